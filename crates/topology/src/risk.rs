//! What a horizon may bring: the probability of a split, from the survival of each link.

mod draw;
mod frontier;
mod lanes;
mod passes;

use std::time::Duration;

use bitcraps_types::{PeerId, Ratio};

use crate::component::pairs;
use crate::cut::{Critical, Criticality};
use crate::{Components, Graph, LinkWeight, Snapshot, Topology};

/// The time over which a link's reliability is taken for the probability that it lives on: the tick
/// of the health monitor.
pub const RELIABILITY_PERIOD: Duration = Duration::from_secs(5);

/// Above this, samples are drawn one at a time and joined by union-find; up to it 256 at once.
const SIDE_BY_SIDE_PEERS: usize = 4_096;

/// What is known of one link's future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLife {
    /// Tells the link from others, and stays the same from tick to tick: the same random numbers are
    /// drawn for it each time, so that a risk changes because links do and not because dice are
    /// rolled again.
    pub key: u64,
    /// Probability that it lives to the end of the horizon.
    pub survival: Ratio,
}

impl LinkWeight {
    /// Probability of living through `horizon`, when failures come without memory and the
    /// reliability is the probability of living through [`RELIABILITY_PERIOD`].
    pub fn survival(&self, horizon: Duration) -> Ratio {
        let periods = horizon.as_secs_f64() / RELIABILITY_PERIOD.as_secs_f64();
        Ratio::clamped(self.reliability.get().powf(periods))
    }
}

impl Topology {
    /// The future of each link of a snapshot of this state, in the order of its link numbers.
    pub fn lives(&self, snapshot: &Snapshot, horizon: Duration) -> Vec<LinkLife> {
        let weights = self.weights(snapshot);
        let links = snapshot.graph().link_list().zip(weights);
        let peer = |position| snapshot.slot(position).and_then(|slot| self.peer(slot));
        links
            .map(|((a, b), weight)| {
                let ends = peer(a).zip(peer(b)).map(|(a, b)| (a.min(b), a.max(b)));
                let key = ends.map_or(0, |(a, b)| draw::mix(head(&a) ^ draw::mix(head(&b))));
                LinkLife { key, survival: weight.survival(horizon) }
            })
            .collect()
    }
}

fn head(peer: &PeerId) -> u64 {
    // Keys are as good as random in every part; eight bytes are enough to tell links apart.
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&peer.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

/// How many peers outside of the largest component make a split material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// max(1, ceil(share of all peers)).
    Share(Ratio),
    /// So many, at least 1.
    Peers(u32),
}

impl Material {
    /// The number for a network of `peers`.
    pub fn peers(self, peers: usize) -> u32 {
        match self {
            // A share is at most 1, so the product fits wherever the number of peers does.
            Self::Share(share) => ((share.get() * peers as f64).ceil() as u32).max(1),
            Self::Peers(peers) => peers.max(1),
        }
    }
}

impl Default for Material {
    /// 5 %.
    fn default() -> Self {
        Self::Share(Ratio::clamped(0.05))
    }
}

/// How partition risk is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskOptions {
    /// What makes a split material.
    pub material: Material,
    /// Samples up to 4,096 peers, rounded up to a multiple of 256, at most [`Self::MAX_SAMPLES`].
    /// The standard error of a probability is at most 0.5 / sqrt(samples).
    pub samples: u32,
    /// Samples above 4,096 peers, each O(m); shares of many pairs average themselves there.
    pub passes: u32,
    /// Seed of the samples.
    pub seed: u64,
}

impl RiskOptions {
    /// A million: standard errors below 0.0005, and seconds of work.
    pub const MAX_SAMPLES: u32 = 1 << 20;
}

impl Default for RiskOptions {
    fn default() -> Self {
        Self { material: Material::default(), samples: 1_024, passes: 40, seed: 1 }
    }
}

/// A number with its standard error, which is 0 when the number is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its standard deviation over repetitions of the sampling.
    pub standard_error: f64,
}

impl Estimate {
    /// Without error.
    pub const fn exact(value: f64) -> Self {
        Self { value, standard_error: 0.0 }
    }

    /// Of an event seen `hits` times. The error is that of (hits + 1) / (samples + 2), so that what
    /// was never seen is not certain never to be (Agresti and Coull 1998).
    fn of_hits(hits: u64, samples: u64) -> Self {
        let likely = (hits + 1) as f64 / (samples + 2) as f64;
        let standard_error = (likely * (1.0 - likely) / samples as f64).sqrt();
        Self { value: hits as f64 / samples as f64, standard_error }
    }

    /// Of the mean of `samples` values with these sums of values and squares.
    fn of_mean(sum: f64, squares: f64, samples: u64) -> Self {
        let count = samples as f64;
        let value = sum / count;
        let variance = (squares / count - value * value).max(0.0);
        Self { value, standard_error: (variance / count).sqrt() }
    }
}

/// A network that is split now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentSplit {
    /// How many components there are, at least two.
    pub components: u32,
    /// Peers outside of the largest.
    pub peers_outside: u32,
    /// Whether that is material.
    pub material: bool,
}

/// The risk that a network falls apart within a horizon, links failing independently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionRisk {
    /// Probability of a material split. The number that alerts. 1 when the network is materially
    /// split now.
    pub p_split: Estimate,
    /// Probability that not everybody reaches everybody. Near 1 in any large network, where some
    /// leaf always flaps: to report, not to alert on. 1 when the network is split now.
    pub p_any: Estimate,
    /// Expected share of the pairs that reach each other now and will not.
    pub pairs_lost: Estimate,
    /// Peers outside of the largest component from which on a split is material.
    pub material: u32,
    /// What is split already.
    pub split_now: Option<CurrentSplit>,
}

impl PartitionRisk {
    /// Exact by dynamic programming over a frontier while that is narrow (Hardy, Lucet and Limnios
    /// 2007), else sampled: 256 samples at once, one bit each, or union-find above 4,096 peers.
    ///
    /// `lives` is in the order of [`Graph::link_list`]; links without an entry do not fail.
    /// O(samples (n + m)) at most.
    pub fn of(snapshot: &Snapshot, lives: &[LinkLife], options: &RiskOptions) -> Self {
        let graph = snapshot.graph();
        let components = Components::of(snapshot);
        let material = options.material.peers(graph.peers());
        let lives = all_lives(graph, lives);
        let connected = components.connected_pairs();
        let found = match frontier::outcome(graph, &lives, material) {
            Some(outcome) => Sampled {
                p_split: Estimate::exact(outcome.split),
                p_any: Estimate::exact(outcome.any),
                pairs_left: Estimate::exact(outcome.pairs),
            },
            None if graph.peers() <= SIDE_BY_SIDE_PEERS => {
                let sampled = lanes::outcome(snapshot, &lives, material, options);
                match frontier::all_reach_all(graph, &lives) {
                    Some(reliability) => {
                        Sampled { p_any: Estimate::exact(1.0 - reliability), ..sampled }
                    }
                    None => sampled,
                }
            }
            None => passes::outcome(graph, &lives, material, options),
        };
        let mut risk = Self {
            p_split: found.p_split,
            p_any: found.p_any,
            pairs_lost: share_lost(found.pairs_left, connected),
            material,
            split_now: current_split(graph.peers(), &components, material),
        };
        risk.admit_split();
        risk
    }

    /// The risk at each of several horizons from one set of samples, so that a longer horizon is
    /// never safer by chance. `survivals[h]` are the survivals of every link to the horizon `h`,
    /// ascending horizons, so descending survivals. O(passes (m a(n) + horizons)).
    pub fn curve(
        snapshot: &Snapshot,
        keys: &[u64],
        survivals: &[Vec<Ratio>],
        options: &RiskOptions,
    ) -> Vec<Self> {
        let graph = snapshot.graph();
        let components = Components::of(snapshot);
        let material = options.material.peers(graph.peers());
        let connected = components.connected_pairs();
        let split_now = current_split(graph.peers(), &components, material);
        let found = passes::curve(graph, keys, survivals, material, options);
        let risks = found.into_iter().map(|found| {
            let mut risk = Self {
                p_split: found.p_split,
                p_any: found.p_any,
                pairs_lost: share_lost(found.pairs_left, connected),
                material,
                split_now,
            };
            risk.admit_split();
            risk
        });
        risks.collect()
    }

    fn admit_split(&mut self) {
        if let Some(split) = self.split_now {
            self.p_any = Estimate::exact(1.0);
            if split.material {
                self.p_split = Estimate::exact(1.0);
            }
        }
    }
}

/// What samples, or the exact reckoning, say of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sampled {
    p_split: Estimate,
    p_any: Estimate,
    pairs_left: Estimate,
}

fn all_lives(graph: &Graph, lives: &[LinkLife]) -> Vec<LinkLife> {
    let forever = LinkLife { key: 0, survival: Ratio::ONE };
    let given = lives.iter().copied().chain(std::iter::repeat(forever));
    given.take(graph.links()).collect()
}

fn share_lost(left: Estimate, connected: u64) -> Estimate {
    if connected == 0 {
        return Estimate::exact(0.0);
    }
    let all = connected as f64;
    // Rounding may leave the exact sum a little above all pairs.
    let value = (1.0 - left.value / all).clamp(0.0, 1.0);
    Estimate { value, standard_error: left.standard_error / all }
}

fn current_split(peers: usize, components: &Components, material: u32) -> Option<CurrentSplit> {
    let outside = peers as u32 - components.largest();
    (components.count() > 1).then_some(CurrentSplit {
        components: components.count() as u32,
        peers_outside: outside,
        material: outside >= material,
    })
}

/// The probability that the peers of `set`, positions, do not stay in one component; 0 for fewer
/// than two. This is what a table and its host ask before a bet.
///
/// Exact when the network is narrow, else sampled as [`PartitionRisk::of`] does.
pub fn p_cut(
    snapshot: &Snapshot,
    lives: &[LinkLife],
    set: &[u32],
    options: &RiskOptions,
) -> Estimate {
    let graph = snapshot.graph();
    let mut set: Vec<u32> =
        set.iter().copied().filter(|peer| (*peer as usize) < graph.peers()).collect();
    set.sort_unstable();
    set.dedup();
    let Some((&first, others)) = set.split_first() else { return Estimate::exact(0.0) };
    let component = |peer| snapshot.component_starts().partition_point(|start| *start <= peer);
    if others.iter().any(|peer| component(*peer) != component(first)) {
        return Estimate::exact(1.0);
    }
    if others.is_empty() {
        return Estimate::exact(0.0);
    }
    let lives = all_lives(graph, lives);
    if let Some(together) = frontier::stay_together(graph, &lives, &set) {
        return Estimate::exact(1.0 - together);
    }
    if graph.peers() <= SIDE_BY_SIDE_PEERS {
        lanes::cut(snapshot, &lives, &set, options)
    } else {
        passes::cut(graph, &lives, &set, options)
    }
}

/// A peer or link with the pairs that its failure is expected to cost within the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedLoss<T> {
    /// What would fail, and what that would cost.
    pub critical: Critical<T>,
    /// Pairs lost times the probability of failing: a lower bound to the first order.
    pub pairs: f64,
}

/// Peers and links by expected loss, the most costly first. Those that are not listed cost nothing
/// when they fail alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LossRanking {
    /// Articulation points.
    pub peers: Vec<ExpectedLoss<u32>>,
    /// Bridges, the lower end first.
    pub links: Vec<ExpectedLoss<(u32, u32)>>,
}

impl LossRanking {
    /// `peer_survival` is the probability that any one peer lives through the horizon. O(n + m).
    pub fn of(graph: &Graph, lives: &[LinkLife], peer_survival: Ratio) -> Self {
        let criticality = Criticality::of(graph);
        let index = crate::LinkIndex::new(graph);
        let failure = |(a, b): (u32, u32)| {
            let number = index.find(graph, a, b).map(|number| number as usize);
            let life = number.and_then(|number| lives.get(number));
            1.0 - life.map_or(1.0, |life| life.survival.get())
        };
        let peers = criticality.peers.into_iter().map(|critical| ExpectedLoss {
            critical,
            pairs: critical.pairs_lost as f64 * (1.0 - peer_survival.get()),
        });
        let links = criticality.links.into_iter().map(|critical| ExpectedLoss {
            critical,
            pairs: critical.pairs_lost as f64 * failure(critical.what),
        });
        let mut ranking = Self { peers: peers.collect(), links: links.collect() };
        ranking.peers.sort_by(|a, b| b.pairs.total_cmp(&a.pairs));
        ranking.links.sort_by(|a, b| b.pairs.total_cmp(&a.pairs));
        ranking
    }
}

/// Pairs within a part, as a number to add up.
fn pairs_within(size: u32) -> f64 {
    pairs(size) as f64
}

#[cfg(test)]
mod tests;
