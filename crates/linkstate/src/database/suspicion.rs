//! What cannot be true of what origins say, and how long it has to stand before it is told.

use std::time::Duration;

use bitcraps_types::{Timestamp, TransportType};
use bitcraps_wire::Alias;

use super::{GRACE, LinkDatabase};
use crate::table::{ClaimKey, Claims};
use crate::{Command, Flag};

/// Bluetooth links that no radio holds.
const MANY_BLUETOOTH: usize = 24;
/// One end may measure this much more than eight times what the other does: it is busy.
const BUSY: Duration = Duration::from_millis(10);
/// How long ends may disagree: an outage, or a machine that is starved for a moment, is in the smoothed
/// round trip of one end for as long as eight and more samples take to come, one every few seconds on
/// a link that nobody uses.
const DISAGREEMENT: Duration = Duration::from_secs(60);
/// Claims that are suspected at a time. Of what comes when there is no room, the next change is looked at.
const MAX_SUSPICIONS: usize = 1_024;

/// A claim that cannot be true: of whom, and of which link.
pub(super) type Suspicion = (Flag, Alias, ClaimKey);

impl LinkDatabase {
    /// Looks for what cannot be true in what an origin says, after it said something else of some links.
    pub(super) fn check(
        &mut self,
        alias: Alias,
        claims: &Claims,
        changed: &[ClaimKey],
        now: Timestamp,
    ) {
        let own = self.publisher.alias;
        let bluetooth = claims.keys().filter(|(_, t)| *t == TransportType::Bluetooth);
        if bluetooth.count() >= MANY_BLUETOOTH {
            self.flag(alias, Flag::TooManyLinks);
        }
        for (end, transport) in claims.keys().copied() {
            if end == own {
                let due = now + GRACE;
                self.suspect((Flag::NoSuchLink, alias, (own, transport)), due, now);
            }
            // What was said before was held against the other end when one of the two said it; what this
            // node says itself was not.
            if end == own || changed.contains(&(end, transport)) {
                let due = now + DISAGREEMENT;
                self.suspect((Flag::EndsDisagree, alias, (end, transport)), due, now);
                self.suspect((Flag::EndsDisagree, end, (alias, transport)), due, now);
            }
        }
    }

    /// Suspects an origin from now on if there is reason, and no more if there is none.
    fn suspect(&mut self, suspicion: Suspicion, due: Timestamp, now: Timestamp) {
        if !self.is_suspicious(&suspicion, Duration::ZERO, now) {
            self.suspicions.remove(&suspicion);
        } else if self.suspicions.len() < MAX_SUSPICIONS {
            self.suspicions.entry(suspicion).or_insert(due);
        }
    }

    /// Whether a claim is made that cannot be true, or was true longer ago than `grace`.
    fn is_suspicious(&self, suspicion: &Suspicion, grace: Duration, now: Timestamp) -> bool {
        let (flag, alias, (end, transport)) = *suspicion;
        let own = self.publisher.alias;
        let said = |of: Alias, to: Alias| self.table.get(of)?.claim(&(to, transport));
        let Some(claim) = said(alias, end).filter(|_| alias != own) else { return false };
        if flag == Flag::NoSuchLink {
            let neighbour = self.by_alias.get(&alias).and_then(|peer| self.neighbours.get(peer));
            return !neighbour.is_some_and(|neighbour| neighbour.had(transport, grace, now));
        }
        said(end, alias).is_some_and(|other| other.latency() > claim.latency() * 8 + BUSY)
    }

    /// Tells of what was suspected for long enough, and is still said.
    pub(super) fn judge(&mut self, now: Timestamp) {
        let mut due = self.suspicions.extract_if(.., |_, due| *due <= now).collect::<Vec<_>>();
        due.retain(|(suspicion, _)| self.is_suspicious(suspicion, GRACE, now));
        for ((flag, alias, _), _) in due {
            self.flag(alias, flag);
        }
    }

    pub(super) fn flag(&mut self, alias: Alias, flag: Flag) {
        let Some(origin) = self.table.get_mut(alias) else { return };
        let bit = 1 << flag as u8;
        if origin.flags & bit == 0 {
            origin.flags |= bit;
            let peer = origin.introduction.key;
            self.commands.push_back(Command::Flagged { peer, flag });
        }
    }
}
