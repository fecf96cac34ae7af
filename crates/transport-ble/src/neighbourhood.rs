use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::Timestamp;

use crate::advertisement::Tag;
use crate::place::Place;

/// Nodes remembered from their advertisements: a full hall within reach of one radio. The one that
/// was not seen for longest gives way.
pub const MAX_NEIGHBOURS: usize = 64;

/// How long the radio looks for others at a stretch: longer than the longest advertising interval, 1.3 s.
const SCAN: Duration = Duration::from_millis(1_500);
/// From one stretch to the next. Each begins anew because a driver tells of a device once in a stretch, if
/// at all: controllers leave out what they have told. The pause lets the radio serve its links.
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// Stretches of a look while nothing was just lost or begun.
const SCANS: u32 = 3;
/// How long such a look takes: whoever begins one that often looks for others without end.
pub(crate) const LOOK: Duration = SCAN_EVERY.saturating_mul(SCANS);

/// How long this node looks eagerly after its start, after it lost a link, and after it could not reach
/// somebody who is there.
const EAGER: Duration = Duration::from_secs(30);
/// Failures in a row after which somebody who cannot be reached is no reason to look eagerly any more.
const EAGER_FAILURES: u32 = 4;
/// A sighting older than this is nobody to dial. Longer than several stretches, of which each may miss somebody.
const FRESH: Duration = Duration::from_secs(12);
/// How long the lesser tag waits for the greater to connect before it does so itself: the other end
/// may not see it, or may be looking seldom.
const YIELD: Duration = Duration::from_secs(10);
/// How long it waits instead when its own radio has just come back: the other end, which was told that
/// the link is gone and no more, may have given up for a while, or be dialling at this moment.
const RECALL: Duration = Duration::from_secs(3);
/// How long after its end a link is worth [`RECALL`]: later, both have moved on.
const MISSED: Duration = Duration::from_secs(60);
/// A link that lived shorter counts as a dial that failed: the other end refuses it, or is at the
/// edge of reach.
const STABLE: Duration = Duration::from_secs(10);
/// First wait after a failure, doubled by each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// First wait after a dial that nothing answered. A connection that one end alone still has is given up by
/// Linux two seconds after its last use, and an attempt is seen through for two (`bluez::LINGER`): who dials
/// again sooner keeps using it, for ever on radios that do not notice by themselves.
const LET_GO: Duration = Duration::from_secs(6);
/// Longest wait after a failure.
const MAX_RETRY: Duration = Duration::from_secs(300);

struct Neighbour {
    place: Place,
    rssi: i16,
    first_seen: Timestamp,
    seen: Timestamp,
    failures: u32,
    retry_at: Timestamp,
    /// Whether it was not seen since a dial of it failed: it may be away, and a call that waits for it
    /// to come back would cross its own.
    missing: bool,
}

impl Neighbour {
    fn failed(&mut self, least: Duration, now: Timestamp) {
        let wait = (FIRST_RETRY * 2_u32.saturating_pow(self.failures.min(16))).max(least);
        self.failures = self.failures.saturating_add(1);
        self.missing = true;
        self.retry_at = now + wait.min(MAX_RETRY);
    }
}

/// What came of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a link to whom the advertisement named.
    Linked,
    /// There is not.
    Failed,
    /// There is not, and nothing was heard in all the time that a dial has.
    Unanswered,
}

/// Who is in reach, whom to dial next, and when to look for others.
///
/// Pure: it reads no clock and does nothing. Every method is O(n) in the neighbours at most.
pub struct Neighbourhood {
    own: Tag,
    max_links: usize,
    /// From one look to the next while nothing was just lost or begun.
    look_every: Duration,
    neighbours: BTreeMap<Tag, Neighbour>,
    /// When each came up.
    links: BTreeMap<Tag, Timestamp>,
    /// When the last link to each ended. At most [`MAX_NEIGHBOURS`].
    ended: BTreeMap<Tag, Timestamp>,
    /// Whom a link was lost to with this node's own radio.
    missed: BTreeSet<Tag>,
    /// When looking eagerly began.
    eager_since: Timestamp,
}

impl Neighbourhood {
    /// The neighbourhood of the node `own` at its start, whose radio holds `max_links` and looks for others
    /// every `look_every` while nothing was just lost or begun.
    pub fn new(own: Tag, max_links: usize, look_every: Duration, now: Timestamp) -> Self {
        Self {
            own,
            max_links,
            look_every: look_every.max(LOOK),
            neighbours: BTreeMap::new(),
            links: BTreeMap::new(),
            ended: BTreeMap::new(),
            missed: BTreeSet::new(),
            eager_since: now,
        }
    }

    /// An advertisement of `tag` was received from `place`.
    pub fn sighted(&mut self, tag: Tag, place: Place, rssi: i16, now: Timestamp) {
        if tag == self.own {
            return;
        }
        if let Some(known) = self.neighbours.get_mut(&tag) {
            if now.since(known.seen) > FRESH {
                known.first_seen = now;
            }
            (known.place, known.rssi, known.seen) = (place, rssi, now);
            known.missing = false;
            return;
        }
        if self.neighbours.len() >= MAX_NEIGHBOURS
            && let Some(oldest) = self.oldest()
        {
            self.neighbours.remove(&oldest);
        }
        let (first_seen, seen) = (now, now);
        let new =
            Neighbour { place, rssi, first_seen, seen, failures: 0, retry_at: now, missing: false };
        self.neighbours.insert(tag, new);
    }

    fn oldest(&self) -> Option<Tag> {
        self.neighbours.iter().min_by_key(|(_, known)| known.seen).map(|(tag, _)| *tag)
    }

    /// When `tag` may be dialled, if it is there to be dialled.
    fn due(&self, tag: Tag, known: &Neighbour) -> Option<Timestamp> {
        let free = self.links.len() < self.max_links && !self.links.contains_key(&tag);
        let there = free && !known.missing;
        let wait = match self.own > tag {
            true => Duration::ZERO,
            false if self.missed.contains(&tag) => RECALL,
            false => YIELD,
        };
        let turn = known.first_seen + wait;
        let due = known.retry_at.max(turn);
        (there && due.since(known.seen) <= FRESH).then_some(due)
    }

    /// Whom to dial now: of those that are due the one that is received best.
    pub fn next_dial(&self, now: Timestamp) -> Option<(Tag, Place)> {
        self.neighbours
            .iter()
            .filter(|(tag, known)| {
                now.since(known.seen) <= FRESH
                    && self.due(**tag, known).is_some_and(|due| due <= now)
            })
            .max_by_key(|(_, known)| known.rssi)
            .map(|(tag, known)| (*tag, known.place))
    }

    /// A dial of `tag` has ended.
    pub fn dialled(&mut self, tag: Tag, outcome: Outcome, now: Timestamp) {
        self.missed.remove(&tag);
        let least = match outcome {
            Outcome::Linked => return,
            Outcome::Failed => Duration::ZERO,
            Outcome::Unanswered => LET_GO,
        };
        if let Some(known) = self.neighbours.get_mut(&tag) {
            known.failed(least, now);
            if known.failures <= EAGER_FAILURES {
                self.eager_since = now;
            }
        }
    }

    /// A link to `tag` came up, whoever dialled.
    pub fn link_up(&mut self, tag: Tag, now: Timestamp) {
        self.links.insert(tag, now);
        self.ended.remove(&tag);
        self.missed.remove(&tag);
    }

    /// The link to `tag` is down.
    pub fn link_down(&mut self, tag: Tag, now: Timestamp) {
        let Some(since) = self.links.remove(&tag) else { return };
        self.eager_since = now;
        self.ended.retain(|_, at| now.since(*at) <= MISSED);
        if self.ended.len() < MAX_NEIGHBOURS {
            self.ended.insert(tag, now);
        }
        if let Some(known) = self.neighbours.get_mut(&tag) {
            // It was there until now. Whose radio is being switched off may still answer for a moment.
            (known.first_seen, known.seen) = (now, now);
            if now.since(since) < STABLE {
                known.failed(Duration::ZERO, now);
            } else {
                (known.failures, known.retry_at) = (0, now + FIRST_RETRY);
            }
            known.missing = false;
        }
    }

    /// The radio begins anew: what was seen with it counts no more, but for those to whom a link was lost
    /// with it. They are taken for still being where they were.
    pub fn radio_opened(&mut self, now: Timestamp) {
        let ended = std::mem::take(&mut self.ended);
        let missed = ended.into_iter().filter(|(_, at)| now.since(*at) <= MISSED);
        self.missed = missed.map(|(tag, _)| tag).collect();
        self.neighbours.retain(|tag, _| self.missed.contains(tag));
        for known in self.neighbours.values_mut() {
            (known.first_seen, known.seen) = (now, now);
            (known.failures, known.retry_at, known.missing) = (0, now, false);
        }
        self.eager_since = now;
    }

    /// Whether to look for others now, and when that changes next. Never while the radio holds as
    /// many links as it can.
    pub fn scan(&self, now: Timestamp) -> (bool, Option<Timestamp>) {
        if self.links.len() >= self.max_links {
            return (false, None);
        }
        let elapsed = now.since(self.eager_since);
        // How long ago the look began, and how long it lasts.
        let (into, look) = match elapsed.checked_sub(EAGER) {
            None => (elapsed, EAGER),
            Some(calm) => (rest(calm, self.look_every), LOOK),
        };
        let stretch = rest(into, SCAN_EVERY);
        let (on, left) = match (into < look, stretch < SCAN) {
            (true, true) => (true, SCAN - stretch),
            (true, false) => (false, SCAN_EVERY - stretch),
            (false, _) => (false, self.look_every - into),
        };
        (on, Some(now + left))
    }

    /// When [`Self::next_dial`] or [`Self::scan`] may answer otherwise, if nothing happens before.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.neighbours.iter().filter_map(|(tag, known)| self.due(*tag, known));
        due.filter(|due| *due > now).chain(self.scan(now).1).min()
    }
}

/// What is left of `time` after whole periods of `every`.
fn rest(time: Duration, every: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % every.as_nanos()) as u64) // below `every`
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Device;

    fn tag(number: u8) -> Tag {
        Tag([number; 8])
    }

    fn place(number: u8) -> Place {
        Place { device: Device { bytes: [number; 6], random: false }, psm: 0x80 }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn hood() -> Neighbourhood {
        Neighbourhood::new(tag(5), 2, Duration::from_secs(60), at(0))
    }

    #[test]
    fn the_greater_tag_dials_at_once_and_the_lesser_after_its_patience() {
        let mut hood = hood();
        hood.sighted(tag(5), place(5), -10, at(0));
        assert_eq!(hood.next_dial(at(0)), None, "itself");
        hood.sighted(tag(4), place(4), -60, at(0));
        assert_eq!(hood.next_dial(at(0)), Some((tag(4), place(4))));
        hood.link_up(tag(4), at(1));
        hood.sighted(tag(6), place(6), -60, at(1_000));
        hood.sighted(tag(6), place(7), -60, at(9_000));
        assert_eq!(hood.next_dial(at(10_999)), None);
        assert_eq!(hood.deadline(at(9_500)), Some(at(10_000)), "the next look comes before");
        assert_eq!(hood.deadline(at(10_500)), Some(at(11_000)));
        assert_eq!(hood.next_dial(at(11_000)), Some((tag(6), place(7))));
    }

    #[test]
    fn the_best_received_is_dialled_first_and_the_gone_are_not() {
        let mut hood = hood();
        hood.sighted(tag(1), place(1), -80, at(0));
        hood.sighted(tag(2), place(2), -50, at(0));
        hood.sighted(tag(3), place(3), -70, at(0));
        assert_eq!(hood.next_dial(at(0)), Some((tag(2), place(2))));
        assert_eq!(hood.next_dial(at(12_000)), Some((tag(2), place(2))));
        assert_eq!(hood.next_dial(at(12_001)), None);
    }

    /// Whoever is there is dialled as soon as these seconds after each dial, which ends as `outcome`.
    fn waits(outcome: Outcome, seconds: &[u64]) -> (Neighbourhood, Timestamp) {
        let mut hood = hood();
        let mut now = at(0);
        for wait in seconds {
            hood.sighted(tag(1), place(1), -80, now);
            assert_eq!(hood.next_dial(now), Some((tag(1), place(1))), "before {wait}");
            hood.dialled(tag(1), outcome, now);
            let due = now + Duration::from_secs(*wait);
            let early = due - Duration::from_nanos(1);
            hood.sighted(tag(1), place(1), -80, early);
            assert_eq!(hood.next_dial(early), None, "within {wait} s");
            now = due;
        }
        (hood, now)
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_up_to_a_bound() {
        let seconds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
        let (mut hood, now) = waits(Outcome::Failed, &seconds);
        hood.sighted(tag(1), place(1), -80, now);
        hood.dialled(tag(1), Outcome::Linked, now);
        assert!(hood.next_dial(now).is_some());
    }

    #[test]
    fn who_answers_nothing_is_let_go_of_before_it_is_dialled_again() {
        waits(Outcome::Unanswered, &[6, 6, 6, 8, 16]);
    }

    #[test]
    fn a_link_that_lived_is_dialled_again_soon_and_one_that_did_not_waits_longer_each_time() {
        let mut hood = hood();
        hood.sighted(tag(1), place(1), -80, at(0));
        hood.link_up(tag(1), at(0));
        assert_eq!(hood.next_dial(at(1)), None, "linked");
        hood.link_down(tag(1), at(60_000));
        assert_eq!(hood.next_dial(at(60_999)), None, "its radio may be going");
        assert_eq!(hood.next_dial(at(61_000)), Some((tag(1), place(1))), "seen until then");
        for (up, down, due) in [(61_000, 70_999, 71_999), (72_000, 80_000, 82_000)] {
            hood.link_up(tag(1), at(up));
            hood.link_down(tag(1), at(down));
            assert_eq!(hood.next_dial(at(due - 1)), None);
            assert_eq!(hood.next_dial(at(due)), Some((tag(1), place(1))));
        }
        hood.link_down(tag(1), at(82_000));
        assert!(hood.next_dial(at(82_000)).is_some(), "told twice, counted once");
    }

    #[test]
    fn a_full_radio_neither_looks_nor_dials() {
        let mut hood = hood();
        hood.sighted(tag(1), place(1), -80, at(0));
        hood.link_up(tag(2), at(0));
        assert!(hood.next_dial(at(0)).is_some() && hood.scan(at(0)).0);
        hood.link_up(tag(3), at(0));
        assert_eq!((hood.next_dial(at(0)), hood.scan(at(0))), (None, (false, None)));
        assert_eq!(hood.deadline(at(0)), None);
        hood.link_down(tag(3), at(1_000));
        assert!(hood.next_dial(at(1_000)).is_some() && hood.scan(at(1_000)).0);
    }

    #[test]
    fn looks_come_often_at_first_and_seldom_later() {
        let mut hood = hood();
        let rows = [
            (0, true, 1_500),
            (1_499, true, 1_500),
            (1_500, false, 2_000),
            (2_000, true, 3_500),
            (29_500, false, 30_000),
            (30_000, true, 31_500),
            (31_500, false, 32_000),
            (34_000, true, 35_500),
            (35_500, false, 36_000),
            (36_000, false, 90_000),
            (89_999, false, 90_000),
            (90_000, true, 91_500),
        ];
        for (now, on, change) in rows {
            assert_eq!(hood.scan(at(now)), (on, Some(at(change))), "at {now}");
        }
        hood.link_up(tag(1), at(94_000));
        hood.link_down(tag(1), at(100_000));
        assert_eq!(hood.scan(at(105_500)), (false, Some(at(106_000))), "eager again");
        hood.sighted(tag(1), place(1), -80, at(105_500));
        hood.radio_opened(at(200_000));
        assert_eq!(hood.scan(at(200_000)), (true, Some(at(201_500))));
        assert_eq!(hood.next_dial(at(200_000)), None);
    }

    #[test]
    fn who_is_there_and_cannot_be_reached_is_looked_for_a_while() {
        let mut hood = hood();
        for failure in 1..=5_u64 {
            let now = at(failure * 60_000);
            hood.sighted(tag(1), place(1), -80, now);
            hood.dialled(tag(1), Outcome::Failed, now);
            // In the pause between two eager stretches, or in the third of a calm look.
            let eager = hood.scan(now + Duration::from_millis(2_000)).0;
            let calm = hood.scan(now + Duration::from_millis(29_000)).0;
            assert_eq!((eager, calm), (failure <= 4, failure <= 4), "failure {failure}");
        }
    }

    #[test]
    fn whom_a_link_was_lost_to_with_the_radio_is_called_soon_once_it_is_back() {
        let mut hood = hood();
        for (number, lost) in [(6, 40_000), (7, 39_999)] {
            hood.sighted(tag(number), place(number), -80, at(0));
            hood.link_up(tag(number), at(0));
            hood.link_down(tag(number), at(lost));
        }
        hood.sighted(tag(8), place(8), -10, at(99_999));
        hood.radio_opened(at(100_000));
        // Tags greater than its own, to whom it would yield for longer.
        assert_eq!(hood.next_dial(at(102_999)), None);
        assert_eq!(hood.deadline(at(102_000)), Some(at(103_000)));
        assert_eq!(hood.next_dial(at(103_000)), Some((tag(6), place(6))));
        hood.sighted(tag(7), place(7), -10, at(100_000));
        hood.sighted(tag(8), place(8), -10, at(100_000));
        assert_eq!(
            hood.next_dial(at(103_000)),
            Some((tag(6), place(6))),
            "lost too long ago, or never"
        );
        hood.dialled(tag(6), Outcome::Failed, at(103_000));
        hood.sighted(tag(6), place(6), -80, at(104_000));
        assert_eq!(hood.next_dial(at(109_999)), None, "it is not where it was: as any other now");
        assert!(hood.next_dial(at(110_000)).is_some());
    }

    #[test]
    fn who_could_not_be_reached_is_dialled_again_when_it_is_seen_again() {
        let mut hood = hood();
        hood.sighted(tag(1), place(1), -80, at(0));
        hood.dialled(tag(1), Outcome::Failed, at(100));
        assert_eq!((hood.next_dial(at(2_000)), hood.next_dial(at(9_000))), (None, None));
        hood.sighted(tag(1), place(2), -80, at(9_000));
        assert_eq!(hood.next_dial(at(9_000)), Some((tag(1), place(2))));
    }

    #[test]
    fn fault_51_of_28_addresses_in_twenty_minutes_the_last_one_counts() {
        let mut hood = hood();
        hood.sighted(tag(1), place(0), -80, at(0));
        hood.link_up(tag(1), at(0));
        for number in 1..=28 {
            hood.sighted(tag(1), place(number), -80, at(u64::from(number) * 43_000));
        }
        assert_eq!(hood.neighbours.len(), 1);
        hood.link_down(tag(1), at(28 * 43_000));
        let mut dialled = Vec::new();
        for second in 28 * 43..28 * 43 + 600 {
            let now = at(second * 1_000);
            if let Some((whom, to)) = hood.next_dial(now) {
                hood.dialled(whom, Outcome::Failed, now);
                dialled.push(to);
            }
        }
        assert_eq!(dialled, [place(28)], "and that once, unless it is seen again");
    }

    #[test]
    fn whoever_came_back_by_itself_is_no_longer_missed() {
        let mut hood = hood();
        hood.sighted(tag(6), place(6), -80, at(0));
        hood.link_up(tag(6), at(0));
        hood.link_down(tag(6), at(40_000));
        hood.radio_opened(at(41_000));
        hood.link_up(tag(6), at(41_500));
        hood.link_down(tag(6), at(60_000));
        assert_eq!(hood.next_dial(at(69_999)), None);
        assert_eq!(hood.next_dial(at(70_000)), Some((tag(6), place(6))));
    }

    #[test]
    fn a_radio_looks_as_often_as_it_is_told_once_nothing_is_new() {
        // Seconds of ten minutes in which it looks, after the first half minute.
        let on = |seconds| {
            let hood = Neighbourhood::new(tag(5), 2, Duration::from_secs(seconds), at(0));
            let halves = (60..1_260).filter(|half| hood.scan(at(half * 500)).0).count();
            halves as f64 / 2.0
        };
        assert_eq!([0, 6, 10, 60, 300].map(on), [450.0, 450.0, 270.0, 45.0, 9.0]);
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_gives_way() {
        let mut hood = Neighbourhood::new(tag(255), 2, Duration::from_secs(60), at(0));
        for number in 0..MAX_NEIGHBOURS as u8 {
            hood.sighted(tag(number), place(number), -80, at(1_000 + u64::from(number)));
        }
        hood.sighted(tag(0), place(0), -80, at(2_000));
        hood.sighted(tag(100), place(100), -90, at(2_001));
        assert_eq!(hood.neighbours.len(), MAX_NEIGHBOURS);
        assert!(hood.neighbours.contains_key(&tag(0)) && !hood.neighbours.contains_key(&tag(1)));
    }
}
