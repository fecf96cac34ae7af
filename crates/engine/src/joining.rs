use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};
use bitcraps_wire::{JoinVerdict, SECRET};

use crate::invitation::InvitationName;

/// Invitations that are being proved at once: a person joins one after the other.
const MAX_JOINS: usize = 16;
/// How often a join looks for a link to its inviter.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// First wait for an answer; doubles up to [`ANSWER_WAIT_MAX`].
const ANSWER_WAIT: Duration = Duration::from_millis(250);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// As many invitations are being proved as may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_JOINS} invitations are being proved at once, which is the most; try again later")]
pub struct TooManyJoins;

/// An invitation of somebody else's that this node proves.
#[derive(Debug)]
struct Attempt {
    secret: [u8; SECRET],
    due: Timestamp,
    wait: Duration,
    verdict: Option<JoinVerdict>,
}

/// The invitations that this node is about to prove, one an inviter.
#[derive(Debug, Default)]
pub(crate) struct Joins(BTreeMap<PeerId, Attempt>);

impl Joins {
    pub(crate) fn begin(
        &mut self,
        inviter: PeerId,
        secret: [u8; SECRET],
        now: Timestamp,
    ) -> Result<(), TooManyJoins> {
        if self.0.len() >= MAX_JOINS && !self.0.contains_key(&inviter) {
            return Err(TooManyJoins);
        }
        self.0.insert(inviter, Attempt { secret, due: now, wait: ANSWER_WAIT, verdict: None });
        Ok(())
    }

    /// Ends the attempt; its verdict, if there is one.
    pub(crate) fn end(&mut self, inviter: PeerId) -> Option<JoinVerdict> {
        self.0.remove(&inviter)?.verdict
    }

    pub(crate) fn is_joining(&self, inviter: PeerId) -> bool {
        self.0.contains_key(&inviter)
    }

    pub(crate) fn verdict(&self, inviter: PeerId) -> Option<JoinVerdict> {
        self.0.get(&inviter)?.verdict
    }

    /// Notes the answer to the invitation that is being proved; tells whether it is one.
    pub(crate) fn answered(
        &mut self,
        inviter: PeerId,
        name: InvitationName,
        verdict: JoinVerdict,
    ) -> bool {
        let open = self.0.get_mut(&inviter).filter(|attempt| {
            attempt.verdict.is_none() && InvitationName::of(&attempt.secret) == name
        });
        let asked = open.is_some();
        if let Some(attempt) = open {
            attempt.verdict = Some(verdict);
        }
        asked
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.values().filter(|attempt| attempt.verdict.is_none()).map(|a| a.due).min()
    }

    /// Inviters that are to be asked now.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<(PeerId, [u8; SECRET])> {
        let due = |(_, a): &(&PeerId, &Attempt)| a.verdict.is_none() && a.due <= now;
        self.0.iter().filter(due).map(|(inviter, a)| (*inviter, a.secret)).collect()
    }

    /// The inviter was asked, or there is no link to ask it on.
    pub(crate) fn asked(&mut self, inviter: PeerId, sent: bool, now: Timestamp) {
        let Some(attempt) = self.0.get_mut(&inviter) else {
            return;
        };
        if sent {
            attempt.due = now + attempt.wait;
            attempt.wait = (attempt.wait * 2).min(ANSWER_WAIT_MAX);
        } else {
            attempt.due = now + LOOK_EVERY;
        }
    }
}
