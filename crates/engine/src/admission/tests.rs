use super::*;

fn peer(n: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(10_000 + ms)
}

fn admission(mode: AdmissionMode) -> Admission {
    let allow = [peer(1), peer(3)].into();
    let block = [peer(2), peer(3)].into();
    Admission::new(AdmissionConfig { mode, allow, block, ..AdmissionConfig::default() })
}

fn nobody(_: PeerId) -> bool {
    false
}

#[test]
fn the_standing_follows_from_the_lists_the_decisions_and_the_mode() {
    use AdmissionMode::{AllowList, Invitation, Open};
    use Standing::{Admitted, Blocked, Stranger};
    for mode in [Open, AllowList, Invitation] {
        let mut admission = admission(mode);
        let unnamed = if mode == Open { Admitted } else { Stranger };
        let rows = [
            (peer(1), None, Admitted, "allowed"),
            (peer(2), None, Blocked, "blocked"),
            (peer(3), None, Blocked, "what blocks wins"),
            (peer(4), None, unnamed, "nobody named it"),
            (peer(1), Some(Decision::Blocked), Blocked, "blocked by hand"),
            (peer(2), Some(Decision::Admitted), Blocked, "the list still blocks it"),
            (peer(4), Some(Decision::Admitted), Admitted, "admitted by hand"),
            (peer(4), Some(Decision::Blocked), Blocked, "blocked by hand"),
        ];
        for (peer, decision, expected, why) in rows {
            assert_eq!(admission.decide(peer, decision), Ok(()));
            assert_eq!(admission.standing(peer), expected, "{mode:?}: {why}");
            assert_eq!(admission.decide(peer, None), Ok(()));
        }
    }
}

#[test]
fn decisions_are_bounded() {
    let mut admission = admission(AdmissionMode::Invitation);
    let most = MAX_DECISIONS as u32;
    for n in 0..most {
        assert_eq!(admission.decide(peer(n), Some(Decision::Admitted)), Ok(()));
    }
    assert_eq!(admission.decide(peer(most), Some(Decision::Blocked)), Err(TooManyDecisions));
    assert_eq!(admission.decide(peer(7), Some(Decision::Blocked)), Ok(()), "a known one changes");
    assert_eq!(admission.decide(peer(8), None), Ok(()));
    assert_eq!(admission.decide(peer(most), Some(Decision::Blocked)), Ok(()));
}

#[test]
fn the_oldest_stranger_gives_way_to_the_newest() {
    let mut admission = admission(AdmissionMode::Invitation);
    // Slow enough for the rate.
    let mut link = |n: u32| {
        let now = at(u64::from(n) * 60);
        admission.link_up(LinkId(n.into()), peer(100 + n), nobody, now)
    };
    for n in 0..STRANGER_LINKS as u32 {
        assert_eq!(link(n), Welcome::Stays, "{n}");
    }
    for n in 0..1_000 {
        let newest = STRANGER_LINKS as u32 + n;
        assert_eq!(link(newest), Welcome::InPlaceOf(LinkId(n.into())));
    }
    assert_eq!(admission.unnamed.len(), STRANGER_LINKS);
    // One that went by itself leaves its place.
    admission.link_down(LinkId(1_010));
    let now = at(1_000_000);
    assert_eq!(admission.link_up(LinkId(5_000), peer(9), nobody, now), Welcome::Stays);
    // Whoever is named takes nobody's place and needs none.
    assert_eq!(admission.link_up(LinkId(5_001), peer(1), nobody, now), Welcome::Stays);
    let refused = Welcome::Refused(CloseReason::Blocked);
    assert_eq!(admission.link_up(LinkId(5_002), peer(2), nobody, now), refused);
    assert_eq!(admission.unnamed.len(), STRANGER_LINKS);
}

#[test]
fn strangers_come_at_a_rate_and_the_named_at_any() {
    let mut admission = admission(AdmissionMode::AllowList);
    let mut links = 0;
    let mut welcomed = |admission: &mut Admission, who, now| {
        links += 1;
        let refused = Welcome::Refused(CloseReason::NoRoomForStrangers);
        admission.link_up(LinkId(links), who, nobody, now) != refused
    };
    let count =
        |admission: &mut Admission,
         welcomed: &mut dyn FnMut(&mut Admission, PeerId, Timestamp) -> bool,
         now| { (0..200).filter(|n| welcomed(admission, peer(1_000 + n), now)).count() };
    assert_eq!(count(&mut admission, &mut welcomed, at(0)), 40);
    assert_eq!(count(&mut admission, &mut welcomed, at(1_000)), 20);
    assert!((0..200).all(|_| welcomed(&mut admission, peer(1), at(1_000))));
}

#[test]
fn where_everybody_is_admitted_newcomers_do_not_displace_players() {
    let mut admission = admission(AdmissionMode::Open);
    let plays = |who: PeerId| who < peer(200);
    let now = at(0);
    for n in 0..NEWCOMER_LINKS as u32 {
        assert_eq!(admission.link_up(LinkId(n.into()), peer(100 + n), plays, now), Welcome::Stays);
    }
    // The first hundred play: they are newcomers no more, and make room by that.
    for n in 0..100 {
        let link = LinkId(1_000 + n);
        assert_eq!(admission.link_up(link, peer(5_000), plays, now), Welcome::Stays, "{n}");
        if n == 0 {
            // All of them were found to play at once only as far as there was need for room.
            assert_eq!(admission.unnamed.len(), NEWCOMER_LINKS);
        }
    }
    let evicted = admission.link_up(LinkId(2_000), peer(5_000), plays, now);
    assert_eq!(evicted, Welcome::InPlaceOf(LinkId(100)), "the oldest that does not play");
    assert_eq!(admission.unnamed.len(), NEWCOMER_LINKS);
}
