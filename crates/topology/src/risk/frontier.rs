use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{LinkLife, pairs_within};
use crate::Graph;
use crate::lowlink::Lowlink;

/// Peers with links on both sides of the line between what was decided and what was not. Above this
/// the states are too many to be worth trying.
const MAX_WIDTH: usize = 7;
/// States in one step; a step takes about a microsecond for each.
const MAX_STATES: usize = 2_000;

/// What happens to a network, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// Probability that `material` peers or more are outside of the largest part.
    pub(super) split: f64,
    /// Probability that there is more than one part.
    pub(super) any: f64,
    /// Expected pairs that reach each other.
    pub(super) pairs: f64,
}

/// How the peers of the frontier hang together: for each, in order, the number of its part; then the
/// weight of each part; then the weight of the heaviest part that nothing can be added to.
type State = SmallVec<[u32; 16]>;

/// What a finished part means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// Its weight counts.
    Counts,
    /// It must be the only one with any weight, or the state is dropped.
    Alone,
}

struct Sweep<'a> {
    graph: &'a Graph,
    lives: &'a [LinkLife],
    /// Weight of each peer.
    weights: &'a [u32],
    finish: Finish,
    /// Weight of all peers.
    all: u32,
    frontier: Vec<u32>,
    states: BTreeMap<State, f64>,
    /// Expected pairs within finished parts.
    pairs: f64,
}

/// Split, any split, and pairs left, or `None` when the network is too wide for that.
pub(super) fn outcome(graph: &Graph, lives: &[LinkLife], material: u32) -> Option<Outcome> {
    let peers = graph.peers() as u32;
    let weights = vec![1; graph.peers()];
    let sweep = Sweep::new(graph, lives, &weights, Finish::Counts);
    let (states, pairs) = sweep.run()?;
    let largest = |most: &dyn Fn(u32) -> bool| {
        let found = states.iter().filter(|(heaviest, _)| most(**heaviest));
        found.map(|(_, probability)| probability).sum::<f64>()
    };
    Some(Outcome {
        split: largest(&|heaviest| peers - heaviest >= material),
        any: largest(&|heaviest| heaviest < peers),
        pairs,
    })
}

/// Probability that the peers of `set` stay in one part.
pub(super) fn stay_together(graph: &Graph, lives: &[LinkLife], set: &[u32]) -> Option<f64> {
    let mut weights = vec![0; graph.peers()];
    set.iter().for_each(|peer| weights[*peer as usize] = 1);
    let (states, _) = Sweep::new(graph, lives, &weights, Finish::Alone).run()?;
    Some(states.get(&(set.len() as u32)).copied().unwrap_or(0.0))
}

/// Probability that a connected network stays so: the product over its blocks, each by itself.
/// `None` when one of them is too wide.
pub(super) fn all_reach_all(graph: &Graph, lives: &[LinkLife]) -> Option<f64> {
    let index = crate::LinkIndex::new(graph);
    let mut reliability = 1.0;
    for links in blocks(graph) {
        let numbers = links.iter().map(|(a, b)| index.find(graph, *a, *b));
        let block_lives: Vec<LinkLife> =
            numbers.flatten().filter_map(|number| lives.get(number as usize).copied()).collect();
        let mut names: Vec<u32> = links.iter().flat_map(|(a, b)| [*a, *b]).collect();
        names.sort_unstable();
        names.dedup();
        let name = |peer: u32| names.partition_point(|known| *known < peer) as u32;
        let renamed: Vec<(u32, u32)> = links.iter().map(|(a, b)| (name(*a), name(*b))).collect();
        let block = Graph::from_links(names.len(), &renamed).ok()?;
        let weights = vec![1; names.len()];
        let (states, _) = Sweep::new(&block, &block_lives, &weights, Finish::Alone).run()?;
        reliability *= states.get(&(names.len() as u32)).copied().unwrap_or(0.0);
    }
    Some(reliability)
}

/// The links of each block, ascending.
fn blocks(graph: &Graph) -> Vec<Vec<(u32, u32)>> {
    let lowlink = Lowlink::new(graph);
    let mut places = vec![0_u32; graph.peers()];
    for (place, peer) in lowlink.order.iter().enumerate() {
        places[*peer as usize] = place as u32;
    }
    // The block of the link to each place's parent.
    let mut of_place = vec![0_usize; graph.peers()];
    let mut blocks: Vec<Vec<(u32, u32)>> = Vec::new();
    for place in 0..of_place.len() {
        if lowlink.begins_block(place) {
            of_place[place] = blocks.len();
            blocks.push(Vec::new());
        } else if let Some(parent) = lowlink.parent(place) {
            of_place[place] = of_place[parent];
        }
    }
    for (a, b) in graph.link_list() {
        // The lower end of a link hangs below the other in the tree.
        let below = places[a as usize].max(places[b as usize]);
        blocks[of_place[below as usize]].push((a, b));
    }
    blocks
}

impl<'a> Sweep<'a> {
    fn new(graph: &'a Graph, lives: &'a [LinkLife], weights: &'a [u32], finish: Finish) -> Self {
        let all = weights.iter().sum();
        let states = BTreeMap::from([(State::from_slice(&[0]), 1.0)]);
        Self { graph, lives, weights, finish, all, frontier: Vec::new(), states, pairs: 0.0 }
    }

    /// The probability of each weight of the heaviest part, and the expected pairs within parts.
    fn run(mut self) -> Option<(BTreeMap<u32, f64>, f64)> {
        if width(self.graph) > MAX_WIDTH {
            return None;
        }
        let mut number = 0;
        // A peer comes in with its first link and goes with its last; links are taken in the order
        // of their lower ends.
        for peer in 0..self.graph.peers() as u32 {
            self.enter(peer);
            let row = self.graph.row(peer);
            for other in &row[row.partition_point(|other| *other < peer)..] {
                self.enter(*other);
                let survival = self.lives.get(number).map_or(1.0, |life| life.survival.get());
                self.decide(peer, *other, survival);
                number += 1;
                if self.states.len() > MAX_STATES {
                    return None;
                }
            }
            self.leave(peer);
        }
        let mut heaviest = BTreeMap::new();
        for (state, probability) in &self.states {
            if let Some(weight) = state.last() {
                *heaviest.entry(*weight).or_insert(0.0) += probability;
            }
        }
        Some((heaviest, self.pairs))
    }

    fn enter(&mut self, peer: u32) {
        if self.frontier.contains(&peer) {
            return;
        }
        let at = self.frontier.len();
        self.frontier.push(peer);
        let weight = self.weights[peer as usize];
        self.change(|state| {
            let parts = state.len() - 1 - at;
            state.insert(at, parts as u32);
            state.insert(state.len() - 1, weight);
        });
    }

    fn decide(&mut self, a: u32, b: u32, survival: f64) {
        let Some((a, b)) = self.place(a).zip(self.place(b)) else { return };
        let width = self.frontier.len();
        let mut next = BTreeMap::new();
        for (state, probability) in std::mem::take(&mut self.states) {
            let (x, y) = (state[a].min(state[b]), state[a].max(state[b]));
            if x == y || survival < 1.0 {
                let stays = if x == y { probability } else { probability * (1.0 - survival) };
                *next.entry(state.clone()).or_insert(0.0) += stays;
            }
            if x != y && survival > 0.0 {
                let mut joined = state;
                let weight = joined[width + y as usize];
                joined[width + x as usize] += weight;
                joined.remove(width + y as usize);
                for part in &mut joined[..width] {
                    if *part == y {
                        *part = x;
                    } else if *part > y {
                        *part -= 1;
                    }
                }
                *next.entry(canonical(joined, width)).or_insert(0.0) += probability * survival;
            }
        }
        self.states = next;
    }

    fn leave(&mut self, peer: u32) {
        let Some(at) = self.place(peer) else { return };
        self.frontier.remove(at);
        let width = self.frontier.len();
        let mut next = BTreeMap::new();
        for (mut state, probability) in std::mem::take(&mut self.states) {
            let part = state.remove(at);
            if !state[..width].contains(&part) {
                let weight = state.remove(width + part as usize);
                state[..width].iter_mut().filter(|other| **other > part).for_each(|o| *o -= 1);
                self.pairs += probability * pairs_within(weight);
                if self.finish == Finish::Alone && weight > 0 && weight < self.all {
                    continue;
                }
                if let Some(heaviest) = state.last_mut() {
                    *heaviest = weight.max(*heaviest);
                }
            }
            *next.entry(canonical(state, width)).or_insert(0.0) += probability;
        }
        self.states = next;
    }

    fn place(&self, peer: u32) -> Option<usize> {
        self.frontier.iter().position(|known| *known == peer)
    }

    fn change(&mut self, change: impl Fn(&mut State)) {
        let states = std::mem::take(&mut self.states);
        let changed = states.into_iter().map(|(mut state, probability)| {
            change(&mut state);
            (state, probability)
        });
        self.states = changed.collect();
    }
}

/// Numbers parts in the order of their first peers, so that equal states are equal.
fn canonical(state: State, width: usize) -> State {
    let mut told = state.clone();
    let mut names: SmallVec<[u32; 8]> = SmallVec::new();
    for (at, part) in state[..width].iter().enumerate() {
        let known = names.iter().position(|name| name == part);
        let name = known.unwrap_or_else(|| {
            names.push(*part);
            names.len() - 1
        });
        told[at] = name as u32;
    }
    for (name, part) in names.iter().enumerate() {
        told[width + name] = state[width + *part as usize];
    }
    told
}

/// The widest frontier on the way, counted as soon as it is above [`MAX_WIDTH`] no further.
fn width(graph: &Graph) -> usize {
    let mut open: Vec<u32> = Vec::new();
    let mut widest = 0;
    for peer in 0..graph.peers() as u32 {
        let row = graph.row(peer);
        let above = &row[row.partition_point(|other| *other < peer)..];
        open.extend(above.iter().chain([&peer]));
        open.sort_unstable();
        open.dedup();
        widest = widest.max(open.len());
        if widest > MAX_WIDTH {
            break;
        }
        open.retain(|other| *other != peer);
    }
    widest
}
