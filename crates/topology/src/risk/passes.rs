use bitcraps_types::Ratio;

use super::draw::uniform;
use super::{Estimate, LinkLife, RiskOptions, Sampled};
use crate::Graph;
use crate::component::DisjointSets;

/// Sums over the samples of one horizon.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    splits: u64,
    parted: u64,
    pairs: f64,
    squares: f64,
}

impl Sums {
    fn sampled(&self, passes: u64) -> Sampled {
        Sampled {
            p_split: Estimate::of_hits(self.splits, passes),
            p_any: Estimate::of_hits(self.parted, passes),
            pairs_left: Estimate::of_mean(self.pairs, self.squares, passes),
        }
    }
}

/// Samples one at a time, joined by union-find.
pub(super) fn outcome(
    graph: &Graph,
    lives: &[LinkLife],
    material: u32,
    options: &RiskOptions,
) -> Sampled {
    let keys: Vec<u64> = lives.iter().map(|life| life.key).collect();
    let survivals = vec![lives.iter().map(|life| life.survival).collect()];
    let mut found = curve(graph, &keys, &survivals, material, options);
    // One horizon in, one out.
    found.pop().unwrap_or(Sums::default().sampled(1))
}

/// All horizons in one pass a sample: links are put in by the time that they live, the longest
/// first (Newman and Ziff 2000).
pub(super) fn curve(
    graph: &Graph,
    keys: &[u64],
    survivals: &[Vec<Ratio>],
    material: u32,
    options: &RiskOptions,
) -> Vec<Sampled> {
    let peers = graph.peers() as u32;
    let links: Vec<(u32, u32)> = graph.link_list().collect();
    let passes = u64::from(options.passes.clamp(1, RiskOptions::MAX_SAMPLES));
    let horizons = survivals.len();
    let mut sums = vec![Sums::default(); horizons];
    let mut sets = DisjointSets::new(graph.peers());
    // The numbers of the links that live to each horizon and not to the next.
    let mut lived: Vec<Vec<u32>> = vec![Vec::new(); horizons];
    for pass in 0..passes {
        sets.reset();
        lived.iter_mut().for_each(Vec::clear);
        for number in 0..links.len() {
            let at = uniform(keys.get(number).copied().unwrap_or(0), options.seed, pass);
            let survives = |of: &&Vec<Ratio>| of.get(number).is_none_or(|s| at < s.get());
            // Survivals descend, so that this is the last horizon it lives to.
            let count = survivals.iter().take_while(survives).count();
            if let Some(last) = count.checked_sub(1) {
                lived[last].push(number as u32);
            }
        }
        let (mut largest, mut pairs, mut parts) = (peers.min(1), 0.0, peers);
        for horizon in (0..horizons).rev() {
            for number in &lived[horizon] {
                let (a, b) = links[*number as usize];
                if let Some((x, y)) = sets.union(a, b) {
                    pairs += f64::from(x) * f64::from(y);
                    largest = largest.max(x + y);
                    parts -= 1;
                }
            }
            let sums = &mut sums[horizon];
            sums.splits += u64::from(peers - largest >= material);
            sums.parted += u64::from(parts > 1);
            sums.pairs += pairs;
            sums.squares += pairs * pairs;
        }
    }
    sums.iter().map(|sums| sums.sampled(passes)).collect()
}

/// Samples of whether a set stays together.
pub(super) fn cut(
    graph: &Graph,
    lives: &[LinkLife],
    set: &[u32],
    options: &RiskOptions,
) -> Estimate {
    let links: Vec<(u32, u32)> = graph.link_list().collect();
    let passes = u64::from(options.passes.clamp(1, RiskOptions::MAX_SAMPLES));
    let mut sets = DisjointSets::new(graph.peers());
    let mut cuts = 0;
    for pass in 0..passes {
        sets.reset();
        for (&(a, b), life) in links.iter().zip(lives) {
            if uniform(life.key, options.seed, pass) < life.survival.get() {
                sets.union(a, b);
            }
        }
        let first = sets.find(set[0]);
        cuts += u64::from(set.iter().any(|peer| sets.find(*peer) != first));
    }
    Estimate::of_hits(cuts, passes)
}
