use std::collections::{BTreeMap, BTreeSet};

use bitcraps_types::{Epoch, PeerId, Timestamp};
use bitcraps_wire::{INVITATION_NAME, Join, JoinVerdict, PROOF, SECRET};
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Invitations remembered, those that are used up or expired included: more than a person makes.
pub const MAX_INVITATIONS: usize = 64;
/// Peers that one invitation may admit: a hall.
pub const MAX_USES: u32 = 1_000;

const NAME_OF: &[u8] = b"bitcraps invitation name 1";
const PROOF_OF: &[u8] = b"bitcraps invitation proof 1";

/// Names an invitation without telling its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationName(pub [u8; INVITATION_NAME]);

impl InvitationName {
    /// The name of the invitation with this secret: the head of a SHA-256.
    pub fn of(secret: &[u8; SECRET]) -> Self {
        let digest = Sha256::new().chain_update(NAME_OF).chain_update(secret).finalize();
        let mut name = [0; INVITATION_NAME];
        name.copy_from_slice(&digest[..INVITATION_NAME]);
        Self(name)
    }
}

/// An invitation that this node made.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is to be proved.
    pub secret: [u8; SECRET],
    /// Until when.
    pub expires: Timestamp,
    /// How many peers it admits, 1 to [`MAX_USES`].
    pub uses: u32,
    /// Whom it admitted.
    pub used_by: BTreeSet<PeerId>,
}

impl std::fmt::Debug for Grant {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("expires", &self.expires)
            .field("uses", &self.uses)
            .field("used_by", &self.used_by)
            .finish_non_exhaustive()
    }
}

/// As many invitations are remembered as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_INVITATIONS} invitations are open, which is the most; wait until one has expired")]
pub struct TooManyInvitations;

/// One end of the link that a proof is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) peer: PeerId,
    pub(crate) epoch: Epoch,
    /// Of its hello on this link.
    pub(crate) challenge: u64,
}

fn mac(secret: &[u8; SECRET], joiner: End, inviter: End) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&key(secret));
    mac.update(PROOF_OF);
    for end in [joiner, inviter] {
        mac.update(end.peer.as_bytes());
        mac.update(&end.epoch.0.to_be_bytes());
        mac.update(&end.challenge.to_be_bytes());
    }
    mac
}

/// HMAC takes keys of one block; shorter ones are padded with zeros (RFC 2104).
fn key(secret: &[u8; SECRET]) -> Key<Hmac<Sha256>> {
    let mut key = Key::<Hmac<Sha256>>::default();
    key[..SECRET].copy_from_slice(secret);
    key
}

/// What shows at the `inviter`'s end of a link that the `joiner` knows the secret.
pub(crate) fn proof(secret: &[u8; SECRET], joiner: End, inviter: End) -> [u8; PROOF] {
    mac(secret, joiner, inviter).finalize().into_bytes().into()
}

/// A proof that was accepted, and is to be made durable before its peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redemption {
    /// Who proved it.
    pub peer: PeerId,
    /// The invitation.
    pub invitation: InvitationName,
}

/// What is to be done with a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Answer at once.
    Answer(JoinVerdict),
    /// Make it durable first.
    Redeem(Redemption),
    /// That is being done already.
    Wait,
}

/// The invitations that this node made.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    grants: BTreeMap<InvitationName, Grant>,
    pending: BTreeSet<Redemption>,
}

impl Invitations {
    /// Adds one; the one that expired longest ago makes room.
    pub(crate) fn grant(
        &mut self,
        grant: Grant,
        now: Timestamp,
    ) -> Result<InvitationName, TooManyInvitations> {
        if self.grants.len() >= MAX_INVITATIONS {
            let oldest = self.grants.iter().min_by_key(|(_, grant)| grant.expires);
            let expired = oldest.filter(|(_, grant)| grant.expires <= now).map(|(name, _)| *name);
            self.grants.remove(&expired.ok_or(TooManyInvitations)?);
        }
        let name = InvitationName::of(&grant.secret);
        self.grants.insert(name, grant);
        Ok(name)
    }

    pub(crate) fn withdraw(&mut self, name: InvitationName) {
        self.grants.remove(&name);
    }

    pub(crate) fn grants(&self) -> impl Iterator<Item = (InvitationName, &Grant)> {
        self.grants.iter().map(|(name, grant)| (*name, grant))
    }

    /// Judges a join that came over the link between these ends. `is_admitted` tells whether what
    /// the peer may have won by it before still holds.
    pub(crate) fn judge(
        &mut self,
        join: &Join,
        joiner: End,
        inviter: End,
        is_admitted: bool,
        now: Timestamp,
    ) -> Judgement {
        let name = InvitationName(join.invitation);
        let Some(grant) = self.grants.get(&name) else {
            return Judgement::Answer(JoinVerdict::Unknown);
        };
        if mac(&grant.secret, joiner, inviter).verify_slice(&join.proof).is_err() {
            return Judgement::Answer(JoinVerdict::Wrong);
        }
        let redemption = Redemption { peer: joiner.peer, invitation: name };
        if self.pending.contains(&redemption) {
            return Judgement::Wait;
        }
        if grant.used_by.contains(&joiner.peer) {
            // The answer was lost; or it was forgotten since, and a use does not come back.
            let verdict = if is_admitted { JoinVerdict::Admitted } else { JoinVerdict::UsedUp };
            return Judgement::Answer(verdict);
        }
        if grant.expires <= now {
            return Judgement::Answer(JoinVerdict::Expired);
        }
        let under_way = self.pending.iter().filter(|r| r.invitation == name).count();
        if grant.used_by.len() + under_way >= grant.uses as usize {
            return Judgement::Answer(JoinVerdict::UsedUp);
        }
        self.pending.insert(redemption);
        Judgement::Redeem(redemption)
    }

    /// The redemption is durable, or cannot be. Tells whether it was under way.
    pub(crate) fn redeem(&mut self, redemption: Redemption, kept: bool) -> bool {
        let known = self.pending.remove(&redemption);
        if let Some(grant) = self.grants.get_mut(&redemption.invitation).filter(|_| known && kept) {
            grant.used_by.insert(redemption.peer);
        }
        known
    }
}

#[cfg(test)]
mod tests;
