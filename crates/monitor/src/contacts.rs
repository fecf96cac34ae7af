use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_topology::{LinkLife, Snapshot, Topology};
use bitcraps_types::{PeerId, Ratio, Timestamp};

/// Pairs remembered at most, those without a link now included; the one unlinked for the longest time
/// gives way. At about 100 bytes each.
const MAX_PAIRS: usize = 65_536;
/// What is believed of links before any was seen to end: one loss in ten minutes of one link.
const PRIOR_LOSSES: f64 = 1.0;
const PRIOR_SECONDS: f64 = 600.0;
/// How much links like it say about one, in losses.
const POOLED: f64 = 1.0;
/// What was seen counts half after so long.
const HALF_LIFE: Duration = Duration::from_secs(1_800);

/// Losses, and the time in which they could have come, the latest counting most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Exposure {
    losses: f64,
    seconds: f64,
}

impl Exposure {
    /// Losses of a link in a second, drawn to `prior` as if that was seen until `weight` links broke.
    fn hazard(self, prior: f64, weight: f64) -> f64 {
        (self.losses + weight) / (self.seconds + weight / prior)
    }
}

/// Losses of one link, and how many links like it would have lost meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Frailty {
    losses: f64,
    expected: f64,
}

impl Frailty {
    fn add(&mut self, losses: f64, hazard: f64, seconds: f64) {
        let keep = (-seconds / HALF_LIFE.as_secs_f64()).exp2();
        self.losses = self.losses * keep + losses;
        self.expected = self.expected * keep + hazard * seconds;
    }

    /// How many times as often as links like it this one breaks.
    fn factor(self) -> f64 {
        (self.losses + POOLED) / (self.expected + POOLED)
    }
}

/// Steps of a link's margin, 0 to 1, and of how that changes: falling, steady, rising.
const MARGINS: usize = 16;
const TRENDS: usize = 3;
/// A margin that changes by less in a second is steady.
const STEADY: f64 = 0.002;
/// Weight of the latest change of a margin.
const LATEST: f64 = 0.5;
/// What a second leaves of how a margin changed before: slow enough that a margin which is measured
/// badly does not pass for one that falls.
const SMOOTH: f64 = 0.75;
/// How much is believed of all links about those of one margin, in losses.
const KINDRED: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Contact {
    linked: bool,
    /// When it was last looked at.
    at: Timestamp,
    /// What it had in hand then, and how that changed in a second.
    margin: f64,
    trend: f64,
    /// The same over some seconds.
    drift: f64,
    own: Frailty,
}

impl Contact {
    fn bin(&self) -> usize {
        let margin = ((self.margin * MARGINS as f64) as usize).min(MARGINS - 1);
        let trend = if self.trend < -STEADY {
            0
        } else if self.trend <= STEADY {
            1
        } else {
            2
        };
        margin * TRENDS + trend
    }
}

/// Tells a pair from others by a quarter of what is random in its keys: looking up a whole one costs three
/// times as much, with tens of thousands in each look.
fn name(a: &PeerId, b: &PeerId) -> u128 {
    let head = |peer: &PeerId| peer.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
    let [a, b] = [a, b].map(|peer| u128::from(u64::from_le_bytes(head(peer))));
    (a.min(b) << 64) | a.max(b)
}

/// How long links between pairs have lasted: what is known of how long they will.
#[derive(Debug, Clone, PartialEq)]
pub struct Contacts {
    pairs: BTreeMap<u128, Contact>,
    all: Exposure,
    /// By margin and trend.
    bins: Vec<Exposure>,
    first: Option<Timestamp>,
    last: Timestamp,
}

impl Default for Contacts {
    fn default() -> Self {
        Self {
            pairs: BTreeMap::new(),
            all: Exposure::default(),
            bins: vec![Exposure::default(); MARGINS * TRENDS],
            first: None,
            last: Timestamp::ZERO,
        }
    }
}

impl Contacts {
    /// Takes up which pairs are linked at `now`, each with the margin that its link has in hand, such as
    /// its reliability; of a pair that is named twice the greater counts.
    /// O((pairs + known) log known).
    pub fn observe(
        &mut self,
        linked: impl Iterator<Item = (PeerId, PeerId, Ratio)>,
        now: Timestamp,
    ) {
        let elapsed = self.first.map_or(0.0, |_| now.since(self.last).as_secs_f64());
        self.first.get_or_insert(now);
        self.last = now;
        let keep = (-elapsed / HALF_LIFE.as_secs_f64()).exp2();
        for exposure in self.bins.iter_mut().chain([&mut self.all]) {
            exposure.losses *= keep;
            exposure.seconds *= keep;
        }
        let all = self.hazard();
        for (a, b, margin) in linked {
            let (pair, margin) = (name(&a, &b), margin.get());
            if self.pairs.len() >= MAX_PAIRS && !self.pairs.contains_key(&pair) {
                continue;
            }
            let own = Frailty::default();
            let fresh = Contact { linked: false, at: now, margin, trend: 0.0, drift: 0.0, own };
            let contact = self.pairs.entry(pair).or_insert(fresh);
            if contact.linked && contact.at < now {
                let seconds = now.since(contact.at).as_secs_f64();
                let exposure = &mut self.bins[contact.bin()];
                contact.own.add(0.0, exposure.hazard(all, KINDRED), seconds);
                exposure.seconds += seconds;
                self.all.seconds += seconds;
                let change = (margin - contact.margin) / seconds;
                contact.trend += LATEST * (change - contact.trend);
                contact.drift += (1.0 - SMOOTH.powf(seconds)) * (change - contact.drift);
                contact.margin = margin;
            } else if contact.linked {
                contact.margin = contact.margin.max(margin);
            } else {
                (contact.margin, contact.trend, contact.drift) = (margin, 0.0, 0.0);
            }
            (contact.linked, contact.at) = (true, now);
        }
        for contact in self.pairs.values_mut().filter(|contact| contact.linked && contact.at < now)
        {
            let seconds = now.since(contact.at).as_secs_f64();
            contact.own.add(1.0, self.bins[contact.bin()].hazard(all, KINDRED), seconds);
            for exposure in [&mut self.bins[contact.bin()], &mut self.all] {
                exposure.losses += 1.0;
                exposure.seconds += seconds;
            }
            (contact.linked, contact.at) = (false, now);
        }
        if self.pairs.len() >= MAX_PAIRS {
            let unlinked = self.pairs.iter().filter(|(_, contact)| !contact.linked);
            let oldest = unlinked.min_by_key(|(_, contact)| contact.at).map(|(pair, _)| *pair);
            oldest.and_then(|pair| self.pairs.remove(&pair));
        }
    }

    /// Losses of a link in a second.
    fn hazard(&self) -> f64 {
        self.all.hazard(PRIOR_LOSSES / PRIOR_SECONDS, PRIOR_LOSSES)
    }

    /// Probability that the link of a pair lives through `horizon`: losses come without memory, at a
    /// rate between that of the pair, that of links with its margin and trend, and that of all
    /// (empirical Bayes, gamma priors).
    pub fn survival(&self, a: &PeerId, b: &PeerId, horizon: Duration) -> Ratio {
        let all = self.hazard();
        let contact = self.pairs.get(&name(a, b));
        let rate = contact.map_or(all, |contact| {
            self.bins[contact.bin()].hazard(all, KINDRED) * contact.own.factor()
        });
        Ratio::clamped((-rate * horizon.as_secs_f64()).exp())
    }

    /// Whether nothing is left of the margin of a pair's link after `time`, if it goes on as it did in the
    /// last seconds.
    pub fn is_ending(&self, a: &PeerId, b: &PeerId, time: Duration) -> bool {
        let contact = self.pairs.get(&name(a, b));
        contact.is_some_and(|contact| {
            contact.margin + contact.drift * time.as_secs_f64() <= 0.0 && contact.drift < 0.0
        })
    }

    /// The future of each link of a snapshot of `topology`, in the order of its link numbers.
    pub fn lives(
        &self,
        topology: &Topology,
        snapshot: &Snapshot,
        horizon: Duration,
    ) -> Vec<LinkLife> {
        let peer = |position| topology.peer(snapshot.slot(position)?);
        let known = topology.lives(snapshot, horizon).into_iter();
        let links = snapshot.graph().link_list().zip(known);
        let life = |((a, b), life): ((u32, u32), LinkLife)| match peer(a).zip(peer(b)) {
            Some((a, b)) => LinkLife { survival: self.survival(&a, &b, horizon), ..life },
            None => life,
        };
        links.map(life).collect()
    }

    /// The mean time that links last.
    pub fn mean_life(&self) -> Duration {
        Duration::from_secs_f64((1.0 / self.hazard()).min(1e9))
    }

    /// How far ahead anything is known: no farther than links last, and than was looked back.
    pub fn known_ahead(&self) -> Duration {
        let watched = self.first.map_or(Duration::ZERO, |first| self.last.since(first));
        self.mean_life().min(watched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn sure((a, b): (PeerId, PeerId)) -> (PeerId, PeerId, Ratio) {
        (a, b, Ratio::ONE)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn before_anything_was_seen_links_are_believed_to_last_ten_minutes() {
        let contacts = Contacts::default();
        assert_eq!(contacts.mean_life(), Duration::from_secs(600));
        let survival = contacts.survival(&peer(1), &peer(2), MINUTE).get();
        assert!((survival - (-0.1_f64).exp()).abs() < 1e-12, "{survival}");
        assert_eq!(contacts.known_ahead(), Duration::ZERO);
    }

    #[test]
    fn what_breaks_often_is_believed_to_break_again() {
        let mut contacts = Contacts::default();
        let (steady, flapping) = ((peer(1), peer(2)), (peer(3), peer(1)));
        for second in (0..1_800).step_by(5) {
            let flaps = (second / 30) % 2 == 0;
            let pairs = [Some(steady), flaps.then_some(flapping)];
            contacts.observe(pairs.into_iter().flatten().map(sure), at(second));
        }
        let of = |pair: (PeerId, PeerId)| contacts.survival(&pair.1, &pair.0, MINUTE).get();
        assert!(of(steady) > 0.9, "{}", of(steady));
        // It lasts half a minute.
        assert!(of(flapping) < 0.25, "{}", of(flapping));
        let stranger = contacts.survival(&peer(8), &peer(9), MINUTE).get();
        assert!(of(flapping) < stranger && stranger < of(steady));
        assert!(contacts.known_ahead() < MINUTE * 5);
    }

    #[test]
    fn a_link_is_ending_when_its_margin_falls_so_that_nothing_will_be_left() {
        let of = |falls: &[(u8, f64)], seconds: u64| {
            let mut contacts = Contacts::default();
            for second in 0..=seconds {
                let links = falls.iter().map(|(number, fall)| {
                    let margin = Ratio::clamped(0.6 - fall * second as f64);
                    (peer(*number), peer(0), margin)
                });
                contacts.observe(links, at(second));
            }
            let ending = |(number, _): &(u8, f64)| {
                contacts.is_ending(&peer(0), &peer(*number), Duration::from_secs(7))
            };
            falls.iter().map(ending).collect::<Vec<_>>()
        };
        // A twentieth in a second, of which (1 - 0.75 ^ n) is believed after n seconds, leaves nothing in
        // seven seconds when 0.3 are left but for 0.012, and when 0.25 are left.
        let falls = [(1, 0.05), (2, 0.0), (3, -0.05)];
        assert_eq!(of(&falls, 6), [false; 3]);
        assert_eq!(of(&falls, 7), [true, false, false]);
        // What has nothing left and does not fall is there all the same.
        let mut contacts = Contacts::default();
        for second in 0..3 {
            contacts.observe([(peer(0), peer(1), Ratio::ZERO)].into_iter(), at(second));
        }
        let week = Duration::from_secs(604_800);
        assert!(!contacts.is_ending(&peer(0), &peer(1), week));
        assert!(!contacts.is_ending(&peer(0), &peer(9), week), "a pair that nobody knows");
        // What is seen seldom counts as what was seen each second meanwhile would.
        for second in [4, 8] {
            let fall = Ratio::clamped(0.6 - 0.05 * second as f64);
            contacts.observe([(peer(0), peer(1), fall)].into_iter(), at(second));
        }
        let drift = contacts.pairs[&name(&peer(0), &peer(1))].drift;
        let first = (1.0 - SMOOTH.powi(2)) * (0.4 / 2.0);
        let then = first * SMOOTH.powi(4) - 0.05 * (1.0 - SMOOTH.powi(4));
        assert!((drift - then).abs() < 1e-12, "{drift}");
    }

    #[test]
    fn a_network_where_nothing_breaks_is_trusted_as_far_as_it_was_watched() {
        let mut contacts = Contacts::default();
        for second in 0..=120 {
            let pairs = (0..40).map(|number| (peer(number), peer(number + 1), Ratio::ONE));
            contacts.observe(pairs, at(second * 5));
        }
        assert_eq!(contacts.known_ahead(), Duration::from_secs(600));
        assert!(contacts.survival(&peer(0), &peer(1), MINUTE).get() > 0.97);
    }

    #[test]
    fn a_look_twice_at_one_time_changes_nothing() {
        let mut contacts = Contacts::default();
        let pairs = [(peer(1), peer(2)), (peer(2), peer(1))];
        contacts.observe(pairs.into_iter().map(sure), at(0));
        contacts.observe(pairs.into_iter().map(sure), at(10));
        let before = contacts.clone();
        contacts.observe(pairs.into_iter().map(sure), at(10));
        assert_eq!(contacts.pairs, before.pairs);
        assert_eq!(
            contacts.survival(&peer(1), &peer(2), MINUTE),
            before.survival(&peer(1), &peer(2), MINUTE)
        );
    }

    #[test]
    fn links_with_little_in_hand_that_lose_it_are_believed_to_break() {
        let mut contacts = Contacts::default();
        // Twenty links one after the other lose a twelfth of their margin in each look, and break at 0.
        for second in (0..3_600).step_by(5) {
            let (age, number) = ((second / 5) % 12, (second / 60) as u8);
            let falling = (peer(200), peer(number), Ratio::clamped(1.0 - age as f64 / 12.0));
            contacts.observe([falling, (peer(201), peer(202), Ratio::ONE)].into_iter(), at(second));
        }
        let now = at(3_600);
        let falling = |margin| (peer(203), peer(204), Ratio::clamped(margin));
        for (margin, second) in [(0.3, 0), (0.2, 5), (0.1, 10)] {
            contacts.observe([falling(margin)].into_iter(), now + Duration::from_secs(second));
        }
        let ten = Duration::from_secs(10);
        let near = contacts.survival(&peer(203), &peer(204), ten).get();
        let far = contacts.survival(&peer(201), &peer(202), ten).get();
        assert!(near < 0.5 && far > 0.9, "{near} and {far}");
    }
}
