use crate::Graph;

/// Words a peer: how many searches run side by side is 64 times this.
pub(crate) const WORDS: usize = 4;
/// Searches that run side by side.
pub(crate) const LANES: usize = 64 * WORDS;

/// One bit a search.
pub(crate) type Lanes = [u64; WORDS];

const NOBODY: Lanes = [0; WORDS];

/// A level is swept peer by peer, rather than from the peers reached in the last one, when these
/// have more than this share of the arcs.
const SWEEP_SHARE: usize = 8;

/// Breadth-first searches from up to [`LANES`] sources at once, one bit each (Then et al. 2014).
///
/// Works on the peers from `base` on, which must contain the components of the sources.
#[derive(Debug)]
pub(crate) struct Wavefront {
    seen: Vec<Lanes>,
    front: Vec<Lanes>,
    next: Vec<Lanes>,
    reached: Vec<u32>,
    touched: Vec<u32>,
}

impl Wavefront {
    pub(crate) fn new(peers: usize) -> Self {
        let empty = vec![NOBODY; peers];
        Self {
            seen: empty.clone(),
            front: empty.clone(),
            next: empty,
            reached: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Runs from each of `sources`, at most [`LANES`], in the order of the lanes. `level` is called
    /// for each distance from 1 on with the lanes that reached somebody there and, for each such
    /// peer, how many of them did: (distance, lanes, sum of the counts).
    pub(crate) fn run(
        &mut self,
        graph: &Graph,
        base: u32,
        sources: &[u32],
        mut level: impl FnMut(u32, Lanes, u64),
    ) {
        self.seen.fill(NOBODY);
        self.front.fill(NOBODY);
        self.reached.clear();
        let mut everybody = NOBODY;
        for (lane, &source) in sources.iter().enumerate().take(LANES) {
            let at = (source - base) as usize;
            if self.front[at] == NOBODY {
                self.reached.push(source);
            }
            self.front[at][lane / 64] |= 1 << (lane % 64);
            self.seen[at][lane / 64] |= 1 << (lane % 64);
            everybody[lane / 64] |= 1 << (lane % 64);
        }
        let peers = self.seen.len();
        let ends = (base as usize, base as usize + peers);
        let arcs = (graph.offsets()[ends.1] - graph.offsets()[ends.0]) as usize;
        let mut distance = 0;
        while !self.reached.is_empty() {
            distance += 1;
            let outgoing: usize = self.reached.iter().map(|peer| graph.row(*peer).len()).sum();
            let (lanes, count) = if outgoing > arcs / SWEEP_SHARE {
                self.sweep(graph, base, &everybody)
            } else {
                self.spread(graph, base)
            };
            if count > 0 {
                level(distance, lanes, count);
            }
        }
    }

    /// A level from the peers that were reached in the last one.
    fn spread(&mut self, graph: &Graph, base: u32) -> (Lanes, u64) {
        let Self { seen, front, next, reached, touched } = self;
        touched.clear();
        for &peer in reached.iter() {
            let lanes = std::mem::take(&mut front[(peer - base) as usize]);
            for &other in graph.row(peer) {
                let slot = &mut next[(other - base) as usize];
                if *slot == NOBODY {
                    touched.push(other);
                }
                merge(slot, &lanes);
            }
        }
        reached.clear();
        let (mut lanes, mut count) = (NOBODY, 0);
        for &peer in touched.iter() {
            let at = (peer - base) as usize;
            let new = without(&std::mem::take(&mut next[at]), &seen[at]);
            if new != NOBODY {
                merge(&mut seen[at], &new);
                merge(&mut lanes, &new);
                front[at] = new;
                count += ones(&new);
                reached.push(peer);
            }
        }
        (lanes, count)
    }

    /// A level from the side of the peers that somebody has not reached yet.
    fn sweep(&mut self, graph: &Graph, base: u32, everybody: &Lanes) -> (Lanes, u64) {
        let Self { seen, front, next, reached, .. } = self;
        reached.clear();
        let (mut lanes, mut count) = (NOBODY, 0);
        for at in 0..seen.len() {
            if seen[at] == *everybody {
                continue;
            }
            let peer = base + at as u32;
            let mut around = NOBODY;
            for &other in graph.row(peer) {
                merge(&mut around, &front[(other - base) as usize]);
            }
            let new = without(&around, &seen[at]);
            if new != NOBODY {
                merge(&mut seen[at], &new);
                merge(&mut lanes, &new);
                next[at] = new;
                count += ones(&new);
                reached.push(peer);
            }
        }
        // `front` takes the new level, and `next` is left empty for a spread.
        std::mem::swap(front, next);
        next.fill(NOBODY);
        (lanes, count)
    }
}

#[inline]
fn merge(into: &mut Lanes, other: &Lanes) {
    for (word, more) in into.iter_mut().zip(other) {
        *word |= more;
    }
}

#[inline]
fn without(lanes: &Lanes, known: &Lanes) -> Lanes {
    std::array::from_fn(|at| lanes[at] & !known[at])
}

#[inline]
fn ones(lanes: &Lanes) -> u64 {
    lanes.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// How many pairs of peers are how many hops apart: the position is the number of hops, and the
/// first entry stays 0. Pairs that cannot reach each other are in none. O(n m / 256) at worst, and
/// never more than O(n m).
pub fn hop_histogram(graph: &Graph) -> Vec<u64> {
    let mut histogram = vec![0_u64];
    let mut wavefront = Wavefront::new(graph.peers());
    let all: Vec<u32> = (0..graph.peers() as u32).collect();
    for sources in all.chunks(LANES) {
        wavefront.run(graph, 0, sources, |distance, _, count| {
            let at = distance as usize;
            if at >= histogram.len() {
                histogram.resize(at + 1, 0);
            }
            histogram[at] += count;
        });
    }
    // Each pair was found from both of its ends.
    histogram.iter_mut().for_each(|count| *count /= 2);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNREACHED;
    use crate::testing::{self, floyd_warshall};

    #[test]
    fn hops_are_counted_as_floyd_and_warshall_do() {
        let mut rng = fastrand::Rng::with_seed(21);
        for round in 0..60 {
            let peers = if round < 50 { rng.usize(0..30) } else { rng.usize(250..330) };
            let graph = testing::varied(peers, &mut rng);
            let mut expected = vec![0];
            for (a, row) in floyd_warshall(&graph).iter().enumerate() {
                for hops in row[..a].iter().filter(|hops| **hops != UNREACHED) {
                    let at = *hops as usize;
                    expected.resize(expected.len().max(at + 1), 0);
                    expected[at] += 1;
                }
            }
            assert_eq!(hop_histogram(&graph), expected);
        }
    }

    #[test]
    fn each_lane_ends_at_its_own_eccentricity() {
        let mut rng = fastrand::Rng::with_seed(22);
        for _ in 0..50 {
            let peers = rng.usize(1..200);
            let graph = testing::varied(peers, &mut rng);
            let sources: Vec<u32> = (0..LANES).map(|_| rng.u32(0..peers as u32)).collect();
            let mut last = vec![0; LANES];
            Wavefront::new(peers).run(&graph, 0, &sources, |distance, lanes, _| {
                for (lane, last) in last.iter_mut().enumerate() {
                    if lanes[lane / 64] >> (lane % 64) & 1 == 1 {
                        *last = distance;
                    }
                }
            });
            let distances = floyd_warshall(&graph);
            for (source, last) in sources.iter().zip(last) {
                let far = distances[*source as usize].iter().filter(|d| **d != UNREACHED).max();
                assert_eq!(far, Some(&last));
            }
        }
    }
}
