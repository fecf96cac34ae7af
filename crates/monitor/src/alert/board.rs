use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bitcraps_types::Timestamp;

use super::{AlertKey, AlertKind, AlertState, AlertStatus, Level, Muted, Rule, Signal, Silences};

/// Alerts followed at once at most, those that ended within [`FLAPS`] included: some for each of a few
/// hundred peers. At about 300 bytes each.
const MAX_ALERTS: usize = 1_024;
/// Alerts remembered after they were resolved.
const MAX_PAST: usize = 256;
/// Changes that nobody has taken up yet, at most; the oldest give way.
const MAX_TRANSITIONS: usize = 256;
/// Over which it is counted how often an alert fired.
const FLAPS: Duration = Duration::from_secs(3_600);
/// Times of firing kept for that.
const MAX_FIRINGS: usize = 32;
/// Longest text kept with an alert, in bytes.
const MAX_WHAT: usize = 512;
/// Longest name of somebody who has seen an alert, in bytes.
const MAX_AUTHOR: usize = 64;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It began to fire.
    Fired,
    /// It is over.
    Resolved,
}

/// An alert that fired or was resolved: told once.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Which.
    pub key: AlertKey,
    /// What became of it.
    pub change: Change,
    /// When.
    pub at: Timestamp,
    /// The number behind it.
    pub value: f64,
    /// What is the case.
    pub what: String,
    /// Why people are not to be told.
    pub muted: Option<Muted>,
}

/// An alert that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAlert {
    /// Which.
    pub key: AlertKey,
    /// When it fired.
    pub fired: Timestamp,
    /// When it was resolved.
    pub resolved: Timestamp,
    /// What was the case when it was last so.
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since when.
    Pending(Timestamp),
    Firing {
        since: Timestamp,
        /// Since when the condition is gone.
        clear: Option<Timestamp>,
    },
    /// Since when; kept to count how often it fires.
    Quiet(Timestamp),
}

#[derive(Debug, Clone)]
struct Entry {
    state: State,
    value: f64,
    what: String,
    split_off: bool,
    firings: VecDeque<Timestamp>,
    acknowledged_by: Option<String>,
}

/// Every alert of a node: inactive, pending, firing, resolved.
#[derive(Debug, Clone)]
pub struct Alerts {
    rules: [Rule; AlertKind::COUNT],
    entries: BTreeMap<AlertKey, Entry>,
    past: VecDeque<PastAlert>,
    transitions: VecDeque<Transition>,
    /// Who wants not to be told of what.
    pub silences: Silences,
    overflow: u64,
    /// Before this, nothing happens by time alone: whoever holds the machine asks at every step.
    due: Timestamp,
    /// There was no room, and no alert has ended since.
    full: bool,
}

impl Alerts {
    /// With these rules, in the order of [`AlertKind::ALL`].
    pub fn new(rules: [Rule; AlertKind::COUNT]) -> Self {
        Self {
            rules,
            entries: BTreeMap::new(),
            past: VecDeque::new(),
            transitions: VecDeque::new(),
            silences: Silences::default(),
            overflow: 0,
            due: Timestamp::MAX,
            full: false,
        }
    }

    /// Other rules from now on; what fires goes on.
    pub fn set_rules(&mut self, rules: [Rule; AlertKind::COUNT]) {
        self.rules = rules;
        self.due = self.earliest();
    }

    /// One look at everything: a condition of which nothing is said does not hold any more.
    /// O((signals + alerts) log alerts).
    pub fn evaluate(&mut self, signals: Vec<Signal>, now: Timestamp) {
        let told: BTreeSet<AlertKey> = signals.iter().map(|signal| signal.key).collect();
        for signal in signals {
            self.take(signal, now);
        }
        for (key, entry) in &mut self.entries {
            if !told.contains(key) && key.kind != AlertKind::DataAbsent {
                entry.look(Level::Clear, now);
            }
        }
        (self.due, self.full) = (now, false);
        self.advance(now);
    }

    /// One look at one condition, beside the rounds. O(log alerts).
    pub fn signal(&mut self, signal: Signal, now: Timestamp) {
        let key = signal.key;
        self.take(signal, now);
        self.advance_one(key, now);
    }

    fn take(&mut self, signal: Signal, now: Timestamp) {
        let Signal { key, level, value, mut what, split_off } = signal;
        if !self.entries.contains_key(&key) {
            if level != Level::Breach {
                return;
            }
            if self.entries.len() >= MAX_ALERTS && (self.full || !self.make_room()) {
                self.full = true;
                self.overflow += 1;
                return;
            }
            self.entries.insert(key, Entry::new(now));
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if level != Level::Clear {
            truncate(&mut what, MAX_WHAT);
            (entry.value, entry.what, entry.split_off) = (value, what, split_off);
        }
        entry.look(level, now);
        self.full &= !matches!(entry.state, State::Quiet(_));
        self.due = self.due.min(entry.due(self.rules[key.kind as usize]));
    }

    /// Forgets the alert that has been over for the longest time.
    fn make_room(&mut self) -> bool {
        let over = self.entries.iter().filter_map(|(key, entry)| match entry.state {
            State::Quiet(since) => Some((since, *key)),
            State::Pending(_) | State::Firing { .. } => None,
        });
        let oldest = over.min();
        oldest.is_some_and(|(_, key)| self.entries.remove(&key).is_some())
    }

    /// Carries on what is due by time alone. O(1) before [`Self::next_deadline`].
    pub fn advance(&mut self, now: Timestamp) {
        if now < self.due {
            return;
        }
        let keys: Vec<AlertKey> = self.entries.keys().copied().collect();
        // A split that fires in this round mutes the risk of it, so risks are looked at last.
        let (risks, others): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.kind == AlertKind::PartitionRisk);
        for key in others.into_iter().chain(risks) {
            self.advance_one(key, now);
        }
        self.due = self.earliest();
    }

    fn advance_one(&mut self, key: AlertKey, now: Timestamp) {
        let rule = self.rules[key.kind as usize];
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match entry.state {
            State::Pending(since) if now >= since + rule.hold => {
                entry.state = State::Firing { since: now, clear: None };
                if entry.firings.len() == MAX_FIRINGS {
                    entry.firings.pop_front();
                }
                entry.firings.push_back(now);
                self.tell(key, Change::Fired, now);
            }
            State::Firing { since, clear: Some(clear) } if now >= clear + rule.keep_firing => {
                entry.state = State::Quiet(now);
                entry.acknowledged_by = None;
                let what = entry.what.clone();
                if self.past.len() == MAX_PAST {
                    self.past.pop_front();
                }
                self.past.push_back(PastAlert { key, fired: since, resolved: now, what });
                self.full = false;
                self.tell(key, Change::Resolved, now);
            }
            State::Quiet(since) if now >= since + FLAPS => {
                self.entries.remove(&key);
                self.full = false;
            }
            State::Pending(_) | State::Firing { .. } | State::Quiet(_) => {}
        }
        if let Some(entry) = self.entries.get(&key) {
            self.due = self.due.min(entry.due(rule));
        }
    }

    /// When the first alert moves by time alone.
    fn earliest(&self) -> Timestamp {
        let due = self.entries.iter().map(|(key, entry)| entry.due(self.rules[key.kind as usize]));
        due.min().unwrap_or(Timestamp::MAX)
    }

    fn tell(&mut self, key: AlertKey, change: Change, now: Timestamp) {
        let Some(entry) = self.entries.get(&key) else { return };
        let muted = self.muted(&key, entry, now);
        let (value, what) = (entry.value, entry.what.clone());
        if self.transitions.len() == MAX_TRANSITIONS {
            self.transitions.pop_front();
            self.overflow += 1;
        }
        self.transitions.push_back(Transition { key, change, at: now, value, what, muted });
    }

    /// A network that is split is not at risk of it, and whom it has lost is known.
    fn muted(&self, key: &AlertKey, entry: &Entry, now: Timestamp) -> Option<Muted> {
        let silenced = self.silences.of(key, now).map(Muted::Silenced);
        let split = AlertKey::of_network(AlertKind::NetworkPartitioned);
        let said = key.kind == AlertKind::PartitionRisk
            || (key.kind == AlertKind::PeerLost && entry.split_off);
        let inhibited = said && self.fires(&split);
        silenced.or(inhibited.then_some(Muted::Inhibited(split.kind)))
    }

    /// Whether an alert fires.
    pub fn fires(&self, key: &AlertKey) -> bool {
        self.entries.get(key).is_some_and(|entry| matches!(entry.state, State::Firing { .. }))
    }

    /// The next change that nobody was told of.
    #[must_use]
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// When [`Self::advance`] may have something to do, and no later than it has.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        Some(self.due).filter(|at| *at != Timestamp::MAX)
    }

    /// Notes who has seen a firing alert, until it is resolved; `name` is its fingerprint. Gives
    /// its identity, or `None` when no alert of that name fires.
    pub fn acknowledge(&mut self, name: u32, author: &str) -> Option<AlertKey> {
        let mut author = author.to_owned();
        truncate(&mut author, MAX_AUTHOR);
        let firing = self.entries.iter_mut().find(|(key, entry)| {
            matches!(entry.state, State::Firing { .. }) && key.fingerprint() == name
        });
        firing.map(|(key, entry)| {
            entry.acknowledged_by = Some(author);
            *key
        })
    }

    /// Every alert that is pending or fires, the worst first.
    pub fn active(&self, now: Timestamp) -> Vec<AlertStatus> {
        let active = self.entries.iter().filter_map(|(key, entry)| {
            let (state, since) = match entry.state {
                State::Pending(since) => (AlertState::Pending, since),
                State::Firing { since, .. } => (AlertState::Firing, since),
                State::Quiet(_) => return None,
            };
            let recent = entry.firings.iter().filter(|at| now.since(**at) < FLAPS).count();
            Some(AlertStatus {
                key: *key,
                name: format!("{:08x}", key.fingerprint()),
                severity: key.kind.severity(),
                state,
                for_ms: u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX),
                value: entry.value,
                what: entry.what.clone(),
                // At most MAX_FIRINGS.
                fired: recent as u32,
                muted: self.muted(key, entry, now),
                acknowledged_by: entry.acknowledged_by.clone(),
            })
        });
        let mut active: Vec<AlertStatus> = active.collect();
        active.sort_by_key(|alert| {
            let pending = alert.state == AlertState::Pending;
            (alert.muted.is_some(), pending, std::cmp::Reverse(alert.severity))
        });
        active
    }

    /// Alerts that are over, the latest first.
    pub fn past(&self) -> impl Iterator<Item = &PastAlert> {
        self.past.iter().rev()
    }

    /// Alerts, and changes of alerts, for which there was no room.
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            state: State::Quiet(now),
            value: 0.0,
            what: String::new(),
            split_off: false,
            firings: VecDeque::new(),
            acknowledged_by: None,
        }
    }

    /// When it moves by time alone.
    fn due(&self, rule: Rule) -> Timestamp {
        match self.state {
            State::Pending(since) => since + rule.hold,
            State::Firing { clear: Some(clear), .. } => clear + rule.keep_firing,
            State::Firing { clear: None, .. } => Timestamp::MAX,
            State::Quiet(since) => since + FLAPS,
        }
    }

    fn look(&mut self, level: Level, now: Timestamp) {
        self.state = match (self.state, level) {
            (State::Quiet(_), Level::Breach) => State::Pending(now),
            (State::Pending(_), Level::Between | Level::Clear) => State::Quiet(now),
            (State::Firing { since, clear: Some(_) }, Level::Breach | Level::Between) => {
                State::Firing { since, clear: None }
            }
            (State::Firing { since, clear: None }, Level::Clear) => {
                State::Firing { since, clear: Some(now) }
            }
            (state, Level::Breach | Level::Between | Level::Clear) => state,
        };
    }
}

fn truncate(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
