//! What answers, and their absence, say about a link.

use super::{
    CHANCE_ANSWERS, Change, DOWN_PROBES, Link, PROBE_FAST, QUEUE_TARGET, RECOVERY_ANSWERS,
    RELAPSE_ANSWERS, SHORT_LIFE, STAGGER, SUSPECT_EXPIRIES,
};
use crate::damping::{Damping, Fall};
use crate::estimator::{Delivery, SizeBucket};
use crate::flight::AckedFlight;
use crate::policy::Tier;
use bitcraps_types::Timestamp;
use std::time::Duration;

impl Link {
    /// The driver cannot send: as good as two expiries.
    pub(crate) fn refused_frame(&mut self, now: Timestamp) -> Option<Change> {
        self.buckets[0].delivery.sample(false);
        self.suspect(SizeBucket::Small, now)
    }

    /// A flight was acknowledged on the link itself, or on another (`detour`).
    pub(crate) fn answered(
        &mut self,
        flight: AckedFlight,
        detour: bool,
        now: Timestamp,
    ) -> Option<Change> {
        let bucket = &mut self.buckets[flight.bucket.index()];
        // The way round is no measure of the link, but its answers are to be waited for.
        let longer = |rtt| bucket.rtt.smoothed().is_none_or(|smoothed| rtt > smoothed);
        if let Some(rtt) = flight.rtt.filter(|rtt| !detour || longer(*rtt)) {
            bucket.rtt.sample(rtt);
        }
        if flight.late {
            bucket.delivery.recant();
        } else {
            bucket.delivery.sample(true);
        }
        bucket.expiries = 0;
        bucket.answers = bucket.answers.saturating_add(1);
        bucket.between = bucket.between.saturating_add(1);
        let (bytes, over, limited) = flight.goodput;
        self.goodput.sample(bytes, over, limited);
        if detour {
            let since = *self.detour_since.get_or_insert(now);
            // Copies of acks take the detour while the direct ones are still on their way.
            self.one_way |= now.since(since) >= self.timeout(flight.bucket) * 2;
        }
        // What passes at this size passes at every smaller one.
        let passed = &mut self.buckets[..=flight.bucket.index()];
        passed.iter_mut().for_each(|b| b.lost_probes = 0);
        self.last_answer = now;
        self.reconsider(flight.bucket, now)
    }

    /// An end ack for a frame of this link was seen to arrive; `alone` when it left over this link
    /// only. After losses it takes ever more of them before acks travel alone again.
    pub(crate) fn ack_arrived(&mut self, alone: bool) {
        self.acks_seen = self.acks_seen.saturating_add(1);
        if alone {
            self.acks_lost = 0;
        }
        self.acks_proven = self.acks_seen >= 1 << self.acks_lost.min(10);
    }

    /// An end ack over this link alone did not arrive: its message came again.
    pub(crate) fn ack_lost(&mut self) {
        self.acks_seen = 0;
        self.acks_lost = self.acks_lost.saturating_add(1);
        self.acks_proven = false;
    }

    /// Whether the last end ack that left over this link alone was lost.
    pub(crate) fn loses_acks(&self) -> bool {
        self.acks_lost > 0
    }

    /// Whether hop acks of its frames need another way: it does not answer, or loses acks.
    pub(crate) fn needs_detour(&self) -> bool {
        self.tier(SizeBucket::Small) >= Tier::Suspect || self.loses_acks()
    }

    /// Whether end acks may leave over this link alone.
    pub(crate) fn carries_acks(&self) -> bool {
        self.acks_proven
    }

    /// A hop ack came over the link itself.
    pub(crate) fn direct_ack(&mut self) {
        self.detour_since = None;
        self.one_way = false;
    }

    /// Trusts the link again when it answered often enough for long enough.
    pub(super) fn reconsider(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        self.suspect_since?;
        // It lives: the next probes may come soon again.
        self.probe_at = self.probe_at.min(now + PROBE_FAST);
        // Many may wait for the same access point: each comes back in its own time. Until then the
        // link is better than one that does not answer.
        let share = (self.greeting.challenge >> 32) as f64 / f64::from(u32::MAX);
        let stagger = if self.was_down { STAGGER.mul_f64(share) } else { Duration::ZERO };
        let size = &mut self.buckets[bucket.index()];
        let hold = if size.pardoned { Duration::ZERO } else { self.damping.hold() };
        let quiet = now.since(size.failed_at);
        if quiet >= hold && size.answers >= RECOVERY_ANSWERS {
            self.down = false;
            size.suspect &= quiet < hold + stagger;
            size.pardoned &= size.suspect;
        }
        if self.down || self.buckets.iter().any(|b| b.suspect) {
            return None;
        }
        self.suspect_since = None;
        if std::mem::take(&mut self.was_down) {
            // An outage is over when it is over: what was lost in it says no more of what will
            // arrive than if the link had been closed and made anew.
            let prior = self.facts.capabilities.prior_reliability;
            self.buckets.iter_mut().for_each(|b| b.delivery = Delivery::new(prior));
        }
        Some(Change::Recovered)
    }

    /// A frame of this size was not acknowledged in time.
    pub(crate) fn expired(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        let index = bucket.index();
        let size = &mut self.buckets[index];
        size.delivery.sample(false);
        self.counters.expiries += 1;
        // Frames that were in the queue together are late together: that is one event.
        if size.expiries > 0 && now.since(size.expired_at) < QUEUE_TARGET {
            return None;
        }
        size.expired_at = now;
        size.expiries = size.expiries.saturating_add(1);
        // One frame that is lost now and then makes no link suspect, and keeps none from recovering.
        if size.expiries < SUSPECT_EXPIRIES {
            return None;
        }
        // A link that carries hundreds of frames a second and loses one in a hundred loses two in a row
        // every few seconds. That is reason to prefer another link for a moment, and no flap: holds
        // would grow to half a minute, in which it happens again. A third one tells.
        let between = std::mem::take(&mut size.between);
        if size.expiries == SUSPECT_EXPIRIES && between >= CHANCE_ANSWERS {
            if size.suspect {
                return None;
            }
            size.pardoned = true;
            return self.distrust(bucket, now).then_some(Change::Suspect);
        }
        let relapse = size.suspect && !size.pardoned && size.answers >= RELAPSE_ANSWERS;
        let flapping = relapse && self.damping.fall(now) == Fall::FlappingBegins;
        let change = self.suspect(bucket, now);
        if flapping { Some(Change::Flapping) } else { change }
    }

    /// Something speaks against frames of this size.
    pub(crate) fn suspect(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        // What was pardoned is no fall yet: this is.
        let fallen = self.buckets.iter().any(|b| b.suspect && !b.pardoned);
        self.buckets[bucket.index()].pardoned = false;
        let trusted = self.distrust(bucket, now);
        if !fallen && self.damping.fall(now) == Fall::FlappingBegins {
            return Some(Change::Flapping);
        }
        trusted.then_some(Change::Suspect)
    }

    /// Frames of this size are out of favour; whether the link was trusted until now.
    fn distrust(&mut self, bucket: SizeBucket, now: Timestamp) -> bool {
        let bucket = &mut self.buckets[bucket.index()];
        bucket.answers = 0;
        bucket.failed_at = now;
        if std::mem::replace(&mut bucket.suspect, true) || self.suspect_since.is_some() {
            return false;
        }
        self.suspect_since = Some(now);
        if self.probe.is_none() {
            self.probe_at = now;
        }
        true
    }

    /// A probe was not answered in time.
    pub(crate) fn probe_lost(&mut self, bucket: SizeBucket, now: Timestamp) -> Option<Change> {
        self.probe = None;
        let size = &mut self.buckets[bucket.index()];
        size.lost_probes = size.lost_probes.saturating_add(1);
        let lost = size.lost_probes;
        let suspect = self.expired(bucket, now);
        if lost >= DOWN_PROBES && !self.down && bucket == SizeBucket::Small {
            (self.down, self.was_down) = (true, true);
            return Some(match suspect {
                Some(Change::Flapping) => Change::Flapping,
                _ => Change::Down,
            });
        }
        suspect
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    /// Whether it passes for dead and has not answered since.
    pub(crate) fn is_mute(&self) -> bool {
        self.down && self.buckets[SizeBucket::Small.index()].lost_probes >= DOWN_PROBES
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect_since.is_some()
    }

    /// What a successor over the same transport inherits; and whether this one's end begins an
    /// episode of flapping.
    pub(crate) fn into_damping(mut self, now: Timestamp) -> (Damping, bool) {
        let short = now.since(self.since) < SHORT_LIFE;
        let flapping = short && self.damping.fall(now) == Fall::FlappingBegins;
        (self.damping, flapping)
    }
}
