use super::*;

const SECRET_1: [u8; SECRET] = [7; SECRET];

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn end(n: u8) -> End {
    End {
        peer: PeerId::from_bytes([n; 32]),
        epoch: Epoch(u64::from(n)),
        challenge: 1_000 + u64::from(n),
    }
}

const fn grant(uses: u32) -> Grant {
    Grant {
        secret: SECRET_1,
        expires: Timestamp::from_millis(10_000),
        uses,
        used_by: BTreeSet::new(),
    }
}

/// The joiner `n` proves the secret to the inviter 1.
fn join(n: u8) -> Join {
    let invitation = InvitationName::of(&SECRET_1).0;
    Join { invitation, proof: proof(&SECRET_1, end(n), end(1)) }
}

fn judge(invitations: &mut Invitations, n: u8, now: Timestamp) -> Judgement {
    invitations.judge(&join(n), end(n), end(1), true, now)
}

fn redemption(n: u8) -> Redemption {
    Redemption { peer: end(n).peer, invitation: InvitationName::of(&SECRET_1) }
}

fn granted(uses: u32) -> Invitations {
    let mut invitations = Invitations::default();
    let name = invitations.grant(grant(uses), at(0));
    assert_eq!(name, Ok(InvitationName::of(&SECRET_1)));
    invitations
}

#[test]
fn a_proof_is_hmac_sha256_over_both_ends() {
    // Reckoned with Python's hmac and hashlib.
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&InvitationName::of(&SECRET_1).0), "367137063dbcebe4");
    assert_eq!(
        hex(&proof(&SECRET_1, end(2), end(1))),
        "618166961f21758929526b10ebbced667aad3cc29ccb00d9224162b7e58065e3"
    );
}

#[test]
fn a_proof_holds_for_one_link_between_two_incarnations_of_two_peers() {
    let [joiner, inviter] = [end(2), end(1)];
    let other = |change: fn(&mut End)| {
        let mut ends = [(joiner, inviter), (joiner, inviter)];
        change(&mut ends[0].0);
        change(&mut ends[1].1);
        ends
    };
    let changed = [
        other(|end| end.peer = PeerId::from_bytes([9; 32])),
        other(|end| end.epoch = Epoch(9)),
        other(|end| end.challenge = 9),
    ];
    let swapped = (inviter, joiner);
    for (joiner, inviter) in changed.into_iter().flatten().chain([swapped]) {
        let mut invitations = granted(1);
        let judged = invitations.judge(&join(2), joiner, inviter, true, at(1));
        assert_eq!(judged, Judgement::Answer(JoinVerdict::Wrong), "{joiner:?} {inviter:?}");
    }
    let mut invitations = granted(1);
    assert_eq!(judge(&mut invitations, 2, at(1)), Judgement::Redeem(redemption(2)));
    for bit in 0..PROOF * 8 {
        let mut join = join(3);
        join.proof[bit / 8] ^= 1 << (bit % 8);
        let judged = invitations.judge(&join, end(3), end(1), true, at(1));
        assert_eq!(judged, Judgement::Answer(JoinVerdict::Wrong), "bit {bit}");
    }
}

#[test]
fn an_invitation_holds_until_it_expires() {
    let mut invitations = granted(5);
    assert_eq!(judge(&mut invitations, 2, at(9_999)), Judgement::Redeem(redemption(2)));
    let expired = Judgement::Answer(JoinVerdict::Expired);
    assert_eq!(judge(&mut invitations, 3, at(10_000)), expired);
    let unknown = Join { invitation: [0; INVITATION_NAME], ..join(3) };
    let judged = invitations.judge(&unknown, end(3), end(1), true, at(1));
    assert_eq!(judged, Judgement::Answer(JoinVerdict::Unknown));
    invitations.withdraw(InvitationName::of(&SECRET_1));
    let unknown = Judgement::Answer(JoinVerdict::Unknown);
    assert_eq!(judge(&mut invitations, 3, at(1)), unknown);
}

#[test]
fn an_invitation_admits_as_many_peers_as_it_was_made_for() {
    let used_up = Judgement::Answer(JoinVerdict::UsedUp);
    let mut invitations = granted(2);
    for n in [2, 3] {
        assert_eq!(judge(&mut invitations, n, at(1)), Judgement::Redeem(redemption(n)));
        assert_eq!(judge(&mut invitations, n, at(1)), Judgement::Wait, "it is under way");
    }
    assert_eq!(judge(&mut invitations, 4, at(1)), used_up, "what is under way counts");
    assert!(invitations.redeem(redemption(2), true));
    assert!(!invitations.redeem(redemption(2), true), "once");
    assert_eq!(judge(&mut invitations, 4, at(1)), used_up);
    // A peer whose admission could not be made durable has used nothing.
    assert!(invitations.redeem(redemption(3), false));
    assert_eq!(judge(&mut invitations, 4, at(1)), Judgement::Redeem(redemption(4)));
}

#[test]
fn the_same_peer_is_answered_the_same_and_no_use_comes_back() {
    let mut invitations = granted(1);
    judge(&mut invitations, 2, at(1));
    invitations.redeem(redemption(2), true);
    let admitted = Judgement::Answer(JoinVerdict::Admitted);
    assert_eq!(judge(&mut invitations, 2, at(1)), admitted, "the answer was lost");
    assert_eq!(judge(&mut invitations, 2, at(99_999)), admitted, "late as it may be");
    let forgotten = invitations.judge(&join(2), end(2), end(1), false, at(1));
    assert_eq!(forgotten, Judgement::Answer(JoinVerdict::UsedUp));
}

#[test]
fn invitations_are_bounded_and_those_that_expired_make_room() {
    let mut invitations = Invitations::default();
    let numbered = |n: usize| {
        let mut secret = [0; SECRET];
        secret[..8].copy_from_slice(&n.to_be_bytes());
        Grant { secret, expires: at(1_000 + n as u64), ..grant(1) }
    };
    for n in 0..MAX_INVITATIONS {
        assert!(invitations.grant(numbered(n), at(0)).is_ok());
    }
    assert_eq!(invitations.grant(grant(1), at(999)), Err(TooManyInvitations));
    assert!(invitations.grant(grant(1), at(1_000)).is_ok());
    assert_eq!(invitations.grants().count(), MAX_INVITATIONS);
    let oldest = InvitationName::of(&numbered(0).secret);
    assert!(invitations.grants().all(|(name, _)| name != oldest));
}

#[test]
fn a_secret_is_not_shown() {
    assert!(!format!("{:?}", grant(1)).contains("secret"));
}
