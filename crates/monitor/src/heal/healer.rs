use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bitcraps_topology::Graph;
use bitcraps_types::{PeerId, Timestamp, TransportType};

use super::debts::Debts;
use super::others::Others;
use super::repair::{ActiveRepair, HealingReport, Outcome, RepairId};
use super::{
    HealingConfig, HealthIssue, NEWS_PER_HOP, Plan, PlanEpoch, PlannedLink, View, plans_of,
    weakness_of,
};
use crate::HealthMetrics;

/// Links of this node's making at once, on their way or up: a healer that wants more than a radio
/// holds is wrong about the network.
pub const MAX_REPAIRS: usize = 64;
/// Repairs remembered after their end.
const MAX_PAST: usize = 64;
/// Links that are asked for at once; the next ones wait until these are up or given up.
pub(super) const MAX_PENDING: usize = 4;
/// Links that may be asked for in [`WINDOW`], whatever is planned.
const MAX_IN_WINDOW: usize = 16;
const WINDOW: Duration = Duration::from_secs(60);
/// How long a link may take to come up.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a pair that could not be linked is left alone; twice as long after each failure.
const BACKOFF: Duration = Duration::from_secs(30);
/// How often it is looked whether a link is needed in the time that it is kept.
const CHECKS: u32 = 16;
/// Links that others made which are weighed before one is let go: as much work as this node's own.
const MAX_WEIGHED: usize = MAX_REPAIRS;
/// Doublings of a wait at most: half an hour, ten hours of keeping.
pub(super) const MAX_DOUBLINGS: u32 = 6;
/// Pairs with a past that are remembered.
pub(super) const MAX_REMEMBERED: usize = 256;

/// What a node is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Make a link and keep it up.
    Link {
        /// With whom.
        peer: PeerId,
        /// Over what.
        transport: TransportType,
    },
    /// Do not try to make a link any more; one that is there stays.
    Release {
        /// With whom.
        peer: PeerId,
        /// Over what.
        transport: TransportType,
    },
    /// Let go of a link that was made.
    Unlink {
        /// With whom.
        peer: PeerId,
        /// Over what.
        transport: TransportType,
    },
}

/// A link that is planned, waiting until the plan has settled.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wish {
    since: Timestamp,
    issue: HealthIssue,
    epoch: PlanEpoch,
    link: PlannedLink,
}

/// What is remembered of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Past {
    failures: u32,
    not_before: Timestamp,
    drops: u32,
}

pub(super) type Pair = (PeerId, PeerId);

/// One node's part in healing: it plans for the whole network as every other node does, and makes the
/// links that are its own to make.
///
/// A link is asked for once it has been planned without a break for [`HealingConfig::settle`], or as long
/// as news takes across the network. Nodes
/// whose views differ because news is on its way agree before that time is over, so that each link is
/// made by one end, and once. A link that is made is let go when the network is as well off without
/// it for [`HealingConfig::keep`], and twice as long after each time that it had to be made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Healer {
    me: PeerId,
    config: HealingConfig,
    /// How long plans settle, in a network as wide as at the last look.
    settle: Duration,
    plans: Vec<Plan>,
    wishes: BTreeMap<Pair, Wish>,
    repairs: BTreeMap<RepairId, ActiveRepair>,
    past: VecDeque<ActiveRepair>,
    remembered: BTreeMap<Pair, Past>,
    asked: VecDeque<Timestamp>,
    debts: Debts,
    others: Others,
    next: u64,
    let_go: Option<Timestamp>,
    /// When links were due to go, and none could.
    refused: Option<Timestamp>,
    deeds: VecDeque<Deed>,
}

impl Healer {
    /// Of the node `me`, which has made no link yet.
    pub fn new(me: PeerId, config: HealingConfig) -> Self {
        Self {
            me,
            config,
            settle: config.settle,
            plans: Vec::new(),
            wishes: BTreeMap::new(),
            repairs: BTreeMap::new(),
            past: VecDeque::new(),
            remembered: BTreeMap::new(),
            asked: VecDeque::new(),
            debts: Debts::default(),
            others: Others::default(),
            next: 1,
            let_go: None,
            refused: None,
            deeds: VecDeque::new(),
        }
    }

    /// What steers it.
    pub const fn config(&self) -> &HealingConfig {
        &self.config
    }

    /// Steers it otherwise from now on. What was made stays.
    pub const fn configure(&mut self, config: HealingConfig) {
        self.config = config;
    }

    /// The plans of the last look, of the whole network.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// Links of this node's making, on their way or up.
    pub fn repairs(&self) -> impl Iterator<Item = &ActiveRepair> {
        self.repairs.values()
    }

    /// Repairs that have ended, the latest first.
    pub fn past(&self) -> impl Iterator<Item = &ActiveRepair> {
        self.past.iter().rev()
    }

    /// What is to be done next.
    pub fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// What is planned and what has come of it, to be told.
    pub fn report(&self, now: Timestamp) -> HealingReport {
        let told = |repair: &ActiveRepair| repair.report(&self.me, now);
        HealingReport {
            me: self.me,
            plans: self.plans.clone(),
            repairs: self.repairs().map(told).collect(),
            past: self.past().map(told).collect(),
        }
    }

    /// When a look is due though nothing has changed.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let ready = |pair: &Pair, wish: &Wish| {
            let not_before = self.remembered.get(pair).map_or(Timestamp::ZERO, |p| p.not_before);
            (wish.since + self.settle).max(not_before)
        };
        // Those that wait for others wait for the look at which these end.
        let room = self.pending() < MAX_PENDING && self.repairs.len() < MAX_REPAIRS;
        let room = room && self.config.acts;
        let open = self.wishes.iter().filter(|(pair, _)| room && !self.is_busy(pair));
        let wishes = open.map(|(pair, wish)| ready(pair, wish));
        let pending = self.repairs.values().filter(|r| r.outcome == Outcome::Pending);
        let given_up = pending.map(|repair| repair.begun + PATIENCE);
        let window = self.asked.front().filter(|_| self.asked.len() >= MAX_IN_WINDOW);
        let own = wishes.chain(given_up).min();
        let own = own.map(|at| window.map_or(at, |first| at.max(*first + WINDOW)));
        own.into_iter().chain(self.debts.next_due()).min()
    }

    /// Looks at the network, plans, and decides what this node does. Costs what [`plans_of`] does.
    pub fn look(&mut self, view: &View, health: &HealthMetrics, now: Timestamp) {
        self.take(plans_of(view, health, &self.config), view, health.network_diameter, now);
    }

    /// The same with the plans of a view of this diameter, made before. O(plans + repairs (n + m)).
    pub fn take(&mut self, plans: Vec<Plan>, view: &View, diameter: u32, now: Timestamp) {
        self.settle = self.config.settle.max(NEWS_PER_HOP.saturating_mul(diameter));
        self.follow(view, now);
        self.plans = plans;
        self.wish(now);
        self.others.follow(&self.plans, &self.me, view, now);
        self.debts.dun(&self.plans, &self.me, self.settle, now);
        if self.config.acts {
            self.ask(now, self.settle);
        }
        self.tidy(view, now);
    }

    /// Asks for what this node owns of the last plans without waiting for them to settle.
    pub fn apply(&mut self, now: Timestamp) {
        self.ask(now, Duration::ZERO);
    }

    /// A link that was asked for cannot be made, wherever the peer was looked for.
    pub fn failed(&mut self, peer: &PeerId, transport: TransportType, now: Timestamp) {
        let me = self.me;
        let failed = |repair: &&ActiveRepair| {
            let link = (repair.peer(&me), repair.link.transport);
            repair.outcome == Outcome::Pending && link == (*peer, transport)
        };
        if let Some(id) = self.repairs.values().find(failed).map(|repair| repair.id) {
            self.end(id, Outcome::Failed, now);
        }
    }

    /// Whether a peer could not be linked with a while ago: until it is tried again, it is not to be
    /// offered, so that everybody plans round it.
    pub fn shuns(&self, peer: &PeerId, now: Timestamp) -> bool {
        let pair = (self.me.min(*peer), self.me.max(*peer));
        self.remembered.get(&pair).is_some_and(|past| now < past.not_before)
    }

    /// Whether what a peer offers is not to be planned with, because it did not do what it offered.
    pub fn distrusts(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.debts.distrusts(peer, now)
    }

    fn pending(&self) -> usize {
        self.repairs.values().filter(|repair| repair.outcome == Outcome::Pending).count()
    }

    /// Whether a pair is being linked, or is linked by this node.
    fn is_busy(&self, pair: &Pair) -> bool {
        self.repairs.values().any(|repair| (repair.link.a, repair.link.b) == *pair)
    }

    fn memory(&mut self, pair: Pair) -> &mut Past {
        if self.remembered.len() >= MAX_REMEMBERED && !self.remembered.contains_key(&pair) {
            let oldest = self.remembered.iter().min_by_key(|(_, past)| past.not_before);
            oldest.map(|(pair, _)| *pair).and_then(|pair| self.remembered.remove(&pair));
        }
        self.remembered.entry(pair).or_default()
    }

    /// Takes up what has become of the links that were asked for.
    fn follow(&mut self, view: &View, now: Timestamp) {
        let (mut ended, mut made) = (Vec::new(), Vec::new());
        let mut measured: BTreeMap<HealthIssue, f64> = BTreeMap::new();
        for repair in self.repairs.values_mut() {
            let linked = view.is_linked(&repair.link.a, &repair.link.b);
            match (repair.outcome, linked) {
                (Outcome::Pending, true) => {
                    repair.outcome = Outcome::Linked;
                    repair.took = Some(now.since(repair.begun));
                    (repair.needed, repair.checked) = (now, now);
                    let value = measured
                        .entry(repair.issue)
                        .or_insert_with(|| weakness_of(repair.issue, view.present()));
                    repair.measured = Some(*value);
                    made.push((repair.link.a, repair.link.b));
                }
                (Outcome::Pending, false) if now >= repair.begun + PATIENCE => {
                    ended.push((repair.id, Outcome::Failed));
                }
                (Outcome::Linked, false) => ended.push((repair.id, Outcome::Lost)),
                (Outcome::Pending, false)
                | (Outcome::Linked, true)
                | (Outcome::Failed | Outcome::Lost | Outcome::Dropped, _) => {}
            }
        }
        for pair in made {
            self.memory(pair).failures = 0;
        }
        for (id, outcome) in ended {
            self.end(id, outcome, now);
        }
    }

    fn end(&mut self, id: RepairId, outcome: Outcome, now: Timestamp) {
        let Some(mut repair) = self.repairs.remove(&id) else { return };
        repair.outcome = outcome;
        let (pair, peer) = ((repair.link.a, repair.link.b), repair.peer(&self.me));
        let memory = self.memory(pair);
        match outcome {
            Outcome::Failed => {
                memory.not_before = now + BACKOFF * (1 << memory.failures.min(MAX_DOUBLINGS));
                memory.failures += 1;
            }
            Outcome::Dropped => memory.drops = (memory.drops + 1).min(MAX_DOUBLINGS),
            Outcome::Pending | Outcome::Linked | Outcome::Lost => {}
        }
        let transport = repair.link.transport;
        self.deeds.push_back(match outcome {
            Outcome::Dropped => Deed::Unlink { peer, transport },
            Outcome::Pending | Outcome::Linked | Outcome::Failed | Outcome::Lost => {
                Deed::Release { peer, transport }
            }
        });
        if self.past.len() >= MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(repair);
    }

    /// Keeps what is still planned, and how long it has been.
    fn wish(&mut self, now: Timestamp) {
        let mut wishes = BTreeMap::new();
        for plan in &self.plans {
            for link in plan.links.iter().filter(|link| link.owner == self.me) {
                let pair = (link.a, link.b);
                let since = self.wishes.get(&pair).map_or(now, |wish| wish.since);
                let wish = Wish { since, issue: plan.issue, epoch: plan.epoch, link: *link };
                wishes.entry(pair).or_insert(wish);
            }
        }
        self.wishes = wishes;
    }

    fn ask(&mut self, now: Timestamp, settle: Duration) {
        while self.asked.front().is_some_and(|at| now >= *at + WINDOW) {
            self.asked.pop_front();
        }
        for (pair, wish) in self.wishes.clone() {
            let past = self.remembered.get(&pair).copied().unwrap_or_default();
            let waits = now < (wish.since + settle).max(past.not_before);
            let full = self.pending() >= MAX_PENDING
                || self.repairs.len() >= MAX_REPAIRS
                || self.asked.len() >= MAX_IN_WINDOW;
            if self.is_busy(&pair) || waits || full {
                continue;
            }
            let id = RepairId(self.next);
            self.next += 1;
            self.asked.push_back(now);
            let repair = ActiveRepair {
                id,
                issue: wish.issue,
                epoch: wish.epoch,
                link: wish.link,
                begun: now,
                outcome: Outcome::Pending,
                took: None,
                measured: None,
                needed: now,
                checked: now,
            };
            let peer = repair.peer(&self.me);
            self.repairs.insert(id, repair);
            self.deeds.push_back(Deed::Link { peer, transport: wish.link.transport });
        }
    }

    /// Lets go of a link that has not been needed for long, one at a time.
    fn tidy(&mut self, view: &View, now: Timestamp) {
        let mut due: Vec<(Timestamp, RepairId, Pair)> = Vec::new();
        let planned = !self.plans.is_empty();
        let again = self.config.keep / CHECKS;
        let mut measures = None;
        let mut measured = || *measures.get_or_insert_with(|| measures_of(view.expected()));
        for repair in self.repairs.values_mut().filter(|r| r.outcome == Outcome::Linked) {
            let pair = (repair.link.a, repair.link.b);
            // While something is amiss, nothing is spared.
            if planned {
                repair.needed = now;
            } else if now >= repair.checked + again {
                repair.checked = now;
                if without(&self.config, view, view.expected(), &measured(), &pair).is_none() {
                    repair.needed = now;
                }
            }
            let drops = self.remembered.get(&pair).map_or(0, |past| past.drops);
            let keep = self.config.keep * (1 << drops.min(MAX_DOUBLINGS));
            let ends = repair.needed + keep + keep.mul_f64(spread(&pair) / 2.0);
            if now >= ends {
                due.push((ends, repair.id, pair));
            }
        }
        let calm = self.let_go.is_none_or(|at| now >= at + self.settle * 4);
        let asked = self.refused.is_some_and(|at| now < at + again);
        if due.is_empty() || !calm || asked {
            return;
        }
        due.sort_unstable();
        let spare = self.spare(view, &measured());
        match due.into_iter().find(|(_, _, pair)| spare.contains(pair)) {
            Some((_, id, _)) => {
                self.let_go = Some(now);
                self.end(id, Outcome::Dropped, now);
            }
            None => self.refused = Some(now),
        }
    }

    /// The links that healing made, here and elsewhere, without all of which together the network is as
    /// well off, `measures` being what it is like now: of those that stand in for each other, the first
    /// ones. Nodes that know the same find the same, so that they do not drop at one time what must not
    /// go together. O(links that healing made (n + m)).
    fn spare(&self, view: &View, measures: &[f64; HealthIssue::COUNT]) -> BTreeSet<Pair> {
        let own = self.repairs.values().filter(|repair| repair.outcome == Outcome::Linked);
        let own = own.map(|repair| (repair.link.a, repair.link.b));
        let made: BTreeSet<Pair> = own.chain(self.others.made().take(MAX_WEIGHED)).collect();
        let mut graph = view.expected().clone();
        let mut spare = BTreeSet::new();
        for pair in made {
            if let Some(rest) = without(&self.config, view, &graph, measures, &pair) {
                graph = rest;
                spare.insert(pair);
            }
        }
        spare
    }
}

/// 0 to 1, the same for a pair at all times.
fn spread(pair: &Pair) -> f64 {
    let head =
        |peer: &PeerId| u64::from_le_bytes(*peer.as_bytes().first_chunk().unwrap_or(&[0; 8]));
    let mixed = (head(&pair.0) ^ head(&pair.1).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

fn measures_of(graph: &Graph) -> [f64; HealthIssue::COUNT] {
    HealthIssue::ALL.map(|issue| weakness_of(issue, graph))
}

/// What is left of a network without a link; `None` when it would be worse off than `measures` say. What
/// is well within its threshold may get worse.
fn without(
    config: &HealingConfig,
    view: &View,
    graph: &Graph,
    measures: &[f64; HealthIssue::COUNT],
    (a, b): &Pair,
) -> Option<Graph> {
    /// Share of a threshold that is well within it.
    const WITHIN: f64 = 0.8;
    let Some((a, b)) = view.position(a).zip(view.position(b)) else { return Some(graph.clone()) };
    let rest: Vec<(u32, u32)> =
        graph.link_list().filter(|pair| *pair != (a.min(b), a.max(b))).collect();
    let without = Graph::from_links(view.peers().len(), &rest).unwrap_or_default();
    let is_worse = HealthIssue::ALL.into_iter().any(|issue| {
        let policy = config.policies[issue.index()];
        if policy.links == 0 {
            return false;
        }
        let value = weakness_of(issue, &without);
        let fine = match issue {
            HealthIssue::HighPartitionRisk => false,
            HealthIssue::HighDiameter => value < policy.threshold,
            HealthIssue::LowClustering => 1.0 - value >= policy.threshold / WITHIN,
            HealthIssue::BridgeNodeOverload => value <= policy.threshold * WITHIN,
        };
        !fine && value > measures[issue.index()]
    });
    (!is_worse).then_some(without)
}

#[cfg(test)]
mod tests;
