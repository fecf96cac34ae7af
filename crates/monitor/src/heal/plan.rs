use std::cmp::Reverse;
use std::collections::BTreeMap;

use bitcraps_topology::{
    Clustering, Constraints, Criticality, Diameters, Graph, Snapshot, hop_distances, shortcuts,
    two_vertex_connected, weakness, with_links,
};
use bitcraps_types::{PeerId, TransportType};
use serde::{Deserialize, Serialize};

use super::view::{Candidate, View};
use super::{HealingConfig, HealthIssue};
use crate::HealthMetrics;

/// Pairs that are tried one by one for a link.
const MAX_TRIED: usize = 256;
/// Times that a plan is made anew because a peer had no room for all of it: each leaves out one pair
/// at least.
const MAX_ROUNDS: usize = 16;

/// Which knowledge a plan was made from: equal for nodes with equal views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanEpoch(pub u64);

impl PlanEpoch {
    /// Of the links and candidates of a view, by FNV-1a. O(n + m + candidates).
    pub fn of(view: &View) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |word: u64| {
            for byte in word.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for peer in view.peers() {
            peer.as_bytes().chunks_exact(8).for_each(|chunk| {
                add(u64::from_le_bytes(*chunk.first_chunk().unwrap_or(&[0; 8])));
            });
        }
        for graph in [view.present(), view.expected()] {
            add(u64::MAX);
            graph.link_list().for_each(|(a, b)| add(u64::from(a) << 32 | u64::from(b)));
        }
        for Candidate { pair: (a, b), transport, mutual, .. } in view.candidates() {
            add(u64::from(*a) << 32 | u64::from(*b));
            add(transport.index() as u64 | u64::from(*mutual) << 8);
        }
        Self(hash)
    }
}

/// A link that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlannedLink {
    /// The lower end.
    pub a: PeerId,
    /// The other.
    pub b: PeerId,
    /// What is to carry it.
    pub transport: TransportType,
    /// The end that is to make it; nobody else acts.
    pub owner: PeerId,
    /// The measure of the issue without the link, see [`weakness_of`].
    pub before: f64,
    /// And with it and those before it in the plan.
    pub promised: f64,
}

/// Links against one issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// From what it was made.
    pub epoch: PlanEpoch,
    /// Against what.
    pub issue: HealthIssue,
    /// The links, in the order in which they are worth making.
    pub links: Vec<PlannedLink>,
}

/// What an issue is measured by, less being better: what single losses leave in parts
/// ([`weakness`]), the diameter, what clustering is below 1, and the share of pairs of peers that
/// depend on one.
pub fn weakness_of(issue: HealthIssue, graph: &Graph) -> f64 {
    match issue {
        HealthIssue::HighPartitionRisk => weakness(graph) as f64,
        HealthIssue::HighDiameter => f64::from(Diameters::of_largest(&Snapshot::of(graph))),
        HealthIssue::LowClustering => 1.0 - Clustering::of(graph).average_clustering_deg2(),
        HealthIssue::BridgeNodeOverload => {
            let others = graph.peers().saturating_sub(1);
            let pairs = (others * others.saturating_sub(1) / 2).max(1) as f64;
            let worst = Criticality::of(graph).peers.first().map_or(0, |peer| peer.pairs_lost);
            worst as f64 / pairs
        }
    }
}

/// Plans against everything that is to be healed, those without links left out. Costs what
/// [`plan_of`] does, for each issue that holds.
pub fn plans_of(view: &View, health: &HealthMetrics, config: &HealingConfig) -> Vec<Plan> {
    if view.candidates().is_empty() {
        return Vec::new();
    }
    let wanted = HealthIssue::ALL.map(|issue| (issue, config.wanted(issue, view, health)));
    wanted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(issue, count)| plan_of(issue, view, config, count))
        .filter(|plan| !plan.links.is_empty())
        .collect()
}

/// At most `count` links against an issue, among the candidates of a view, that leave no peer with
/// more neighbours over a transport than allowed. What one end offers alone is taken where what both
/// offer is not enough. The same for equal views, wherever it is made.
pub fn plan_of(issue: HealthIssue, view: &View, config: &HealingConfig, count: usize) -> Plan {
    let epoch = PlanEpoch::of(view);
    let mut room: Vec<[u32; TransportType::COUNT]> = view
        .neighbours()
        .iter()
        .map(|used| std::array::from_fn(|at| config.max_neighbours[at].saturating_sub(used[at])))
        .collect();
    let mut open: BTreeMap<(u32, u32), Candidate> =
        view.candidates().iter().map(|candidate| (candidate.pair, *candidate)).collect();
    let mut chosen: Vec<(u32, u32)> = Vec::new();
    let mut graph = view.expected().clone();
    let mut alone: BTreeMap<(u32, u32), Candidate> = BTreeMap::new();
    open.retain(|pair, candidate| {
        if !candidate.mutual {
            alone.insert(*pair, *candidate);
        }
        candidate.mutual
    });
    for _ in 0..MAX_ROUNDS {
        let fits = |room: &[[u32; TransportType::COUNT]], candidate: &Candidate| {
            let (a, b) = candidate.pair;
            let at = candidate.transport.index();
            room[a as usize][at] > 0 && room[b as usize][at] > 0
        };
        open.retain(|_, candidate| fits(&room, candidate));
        let pairs: Vec<(u32, u32)> = open.keys().copied().collect();
        let wished = links(issue, &graph, &pairs, count - chosen.len());
        let mut refused = false;
        for pair in wished {
            let Some(candidate) = open.get(&pair).copied() else { continue };
            if !fits(&room, &candidate) {
                refused = true;
                // What comes after may be worth less without it; a way round a loss is not.
                if issue == HealthIssue::HighPartitionRisk {
                    continue;
                }
                break;
            }
            for end in [pair.0, pair.1] {
                room[end as usize][candidate.transport.index()] -= 1;
            }
            open.remove(&pair);
            chosen.push(pair);
        }
        graph = with_links(view.expected(), &chosen);
        if chosen.len() >= count || !refused && alone.is_empty() {
            break;
        }
        if !refused {
            open.append(&mut alone);
        }
    }
    let mut before = weakness_of(issue, view.expected());
    let mut linked = view.expected().clone();
    let candidates = view.candidates();
    let found = chosen.into_iter().filter_map(|pair| {
        let at = candidates.binary_search_by_key(&pair, |candidate| candidate.pair).ok()?;
        let Candidate { transport, owner, .. } = *candidates.get(at)?;
        let (a, b) = (*view.peers().get(pair.0 as usize)?, *view.peers().get(pair.1 as usize)?);
        linked = with_links(&linked, &[pair]);
        let promised = weakness_of(issue, &linked);
        let link = PlannedLink { a, b, transport, owner, before, promised };
        before = promised;
        Some(link)
    });
    Plan { epoch, issue, links: found.collect() }
}

fn links(issue: HealthIssue, graph: &Graph, pairs: &[(u32, u32)], count: usize) -> Vec<(u32, u32)> {
    if pairs.is_empty() || count == 0 {
        return Vec::new();
    }
    match issue {
        HealthIssue::HighPartitionRisk => {
            let constraints = Constraints { feasible: Some(pairs), max_degree: None };
            two_vertex_connected(graph, count, &constraints)
        }
        HealthIssue::HighDiameter => {
            let far = farthest(graph, pairs);
            let constraints = Constraints { feasible: Some(&far), max_degree: None };
            shortcuts(graph, count, &constraints)
        }
        HealthIssue::LowClustering => {
            let common = |(a, b): &(u32, u32)| {
                graph.row(*a).iter().filter(|peer| graph.row(*b).contains(peer)).count()
            };
            let mut closing: Vec<_> =
                pairs.iter().map(|pair| (common(pair), *pair)).filter(|(n, _)| *n > 0).collect();
            closing.sort_by_key(|(count, pair)| (Reverse(*count), *pair));
            let closing: Vec<_> = closing.into_iter().map(|(_, pair)| pair).collect();
            greedily(issue, graph, &closing, count)
        }
        HealthIssue::BridgeNodeOverload => {
            let Some(worst) = Criticality::of(graph).peers.first().map(|peer| peer.what) else {
                return Vec::new();
            };
            let parts = parts_without(graph, worst);
            let across = |(a, b): &&(u32, u32)| {
                *a != worst && *b != worst && parts[*a as usize] != parts[*b as usize]
            };
            let across: Vec<_> = pairs.iter().filter(across).copied().collect();
            greedily(issue, graph, &across, count)
        }
    }
}

/// Of the first pairs, those that make the measure of an issue least, one after the other.
fn greedily(
    issue: HealthIssue,
    graph: &Graph,
    pairs: &[(u32, u32)],
    count: usize,
) -> Vec<(u32, u32)> {
    let mut pairs: Vec<(u32, u32)> = pairs.iter().take(MAX_TRIED).copied().collect();
    let mut current = graph.clone();
    let mut value = weakness_of(issue, &current);
    let mut plan = Vec::new();
    while plan.len() < count {
        let tried = pairs.iter().map(|pair| {
            let graph = with_links(&current, &[*pair]);
            (weakness_of(issue, &graph), *pair, graph)
        });
        let best = tried.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some((less, pair, graph)) = best.filter(|best| best.0 < value) else { break };
        plan.push(pair);
        pairs.retain(|other| *other != pair);
        (current, value) = (graph, less);
    }
    plan
}

/// The pairs whose ends are farthest from each other, those in two parts excepted.
fn farthest(graph: &Graph, pairs: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut ranked = Vec::with_capacity(pairs.len());
    let mut from: Option<(u32, Vec<u32>)> = None;
    for (a, b) in pairs {
        if from.as_ref().is_none_or(|(peer, _)| peer != a) {
            from = Some((*a, hop_distances(graph, *a)));
        }
        let hops = from.as_ref().and_then(|(_, hops)| hops.get(*b as usize)).copied();
        ranked
            .extend(hops.filter(|hops| *hops != bitcraps_topology::UNREACHED).map(|h| (h, *a, *b)));
    }
    ranked.sort_by_key(|(hops, a, b)| (Reverse(*hops), *a, *b));
    ranked.into_iter().take(MAX_TRIED).map(|(_, a, b)| (a, b)).collect()
}

/// A number for the part that each peer is in when one is gone.
fn parts_without(graph: &Graph, gone: u32) -> Vec<u32> {
    let mut parts = vec![u32::MAX; graph.peers()];
    for start in 0..graph.peers() as u32 {
        if start == gone || parts[start as usize] != u32::MAX {
            continue;
        }
        parts[start as usize] = start;
        let mut open = vec![start];
        while let Some(peer) = open.pop() {
            for next in graph.row(peer) {
                if *next != gone && parts[*next as usize] == u32::MAX {
                    parts[*next as usize] = start;
                    open.push(*next);
                }
            }
        }
    }
    parts
}
