use super::draw::survivors;
use super::{Estimate, LinkLife, RiskOptions, Sampled, pairs_within};
use crate::{Graph, LinkIndex, Snapshot};

/// Words of samples that are worked on at once.
const WORDS: usize = 4;
/// Samples worked on at once, one bit each.
const LANES: usize = 64 * WORDS;

type Lanes = [u64; WORDS];

const NONE: Lanes = [0; WORDS];

/// Which links live in which samples, and whom each sample has reached.
struct Samples<'a> {
    graph: &'a Graph,
    arcs: Vec<u32>,
    alive: Vec<Lanes>,
    reached: Vec<Lanes>,
}

impl<'a> Samples<'a> {
    fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            arcs: LinkIndex::of_arcs(graph),
            alive: vec![NONE; graph.links()],
            reached: vec![NONE; graph.peers()],
        }
    }

    fn draw(&mut self, lives: &[LinkLife], seed: u64, block: u64) {
        for (alive, life) in self.alive.iter_mut().zip(lives) {
            *alive =
                std::array::from_fn(|w| survivors(life, seed, block * WORDS as u64 + w as u64));
        }
    }

    /// Spreads from those reached to all that they reach, within the positions of one component.
    /// `open` are the lanes in which somebody is still to be reached.
    ///
    /// Sweeps up and down: positions are in breadth-first order, so that nearly all is done by the
    /// first sweep.
    fn spread(&mut self, begin: usize, end: usize, open: &Lanes) {
        let mut upwards = true;
        while self.sweep(begin, end, open, upwards) {
            upwards = !upwards;
        }
    }

    fn sweep(&mut self, begin: usize, end: usize, open: &Lanes, upwards: bool) -> bool {
        let mut changed = NONE;
        for step in begin..end {
            let peer = if upwards { step } else { begin + end - 1 - step };
            let known = self.reached[peer];
            let missing: Lanes = std::array::from_fn(|w| open[w] & !known[w]);
            if missing == NONE {
                continue;
            }
            let ends = &self.graph.offsets()[peer..peer + 2];
            let arcs = ends[0] as usize..ends[1] as usize;
            let mut around = NONE;
            for (other, link) in self.graph.targets()[arcs.clone()].iter().zip(&self.arcs[arcs]) {
                let (from, alive) = (&self.reached[*other as usize], &self.alive[*link as usize]);
                for w in 0..WORDS {
                    around[w] |= from[w] & alive[w];
                }
            }
            for w in 0..WORDS {
                let new = around[w] & missing[w];
                self.reached[peer][w] |= new;
                changed[w] |= new;
            }
        }
        changed != NONE
    }
}

/// A number a lane, one word for each binary digit: adding a bit to every lane is a few operations.
struct Counters {
    digits: Vec<Lanes>,
}

impl Counters {
    fn add(&mut self, lanes: &Lanes) {
        let mut carry = *lanes;
        for digit in &mut self.digits {
            for w in 0..WORDS {
                let sum = digit[w] ^ carry[w];
                carry[w] &= digit[w];
                digit[w] = sum;
            }
            if carry == NONE {
                return;
            }
        }
        self.digits.push(carry);
    }

    fn get(&self, lane: usize) -> u32 {
        let (word, bit) = (lane / 64, lane % 64);
        let digits = self.digits.iter().enumerate();
        digits.map(|(at, digit)| ((digit[word] >> bit & 1) as u32) << at).sum()
    }
}

/// What became of each sample.
struct Tallies {
    largest: [u32; LANES],
    pairs: [f64; LANES],
    parted: Lanes,
}

/// Samples of the whole network.
pub(super) fn outcome(
    snapshot: &Snapshot,
    lives: &[LinkLife],
    material: u32,
    options: &RiskOptions,
) -> Sampled {
    let graph = snapshot.graph();
    let peers = graph.peers() as u32;
    let mut samples = Samples::new(graph);
    let blocks = blocks(options);
    let (mut splits, mut parted) = (0, 0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for block in 0..blocks {
        samples.draw(lives, options.seed, block);
        let mut tallies = Tallies { largest: [1; LANES], pairs: [0.0; LANES], parted: NONE };
        for ends in snapshot.component_starts().windows(2) {
            if ends[1] - ends[0] > 1 {
                part(&mut samples, ends[0], ends[1], &mut tallies);
            }
        }
        for lane in 0..LANES {
            splits += u64::from(peers - tallies.largest[lane].min(peers) >= material);
            sum += tallies.pairs[lane];
            squares += tallies.pairs[lane] * tallies.pairs[lane];
        }
        parted += tallies.parted.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    }
    let count = blocks * LANES as u64;
    Sampled {
        p_split: Estimate::of_hits(splits, count),
        p_any: Estimate::of_hits(parted, count),
        pairs_left: Estimate::of_mean(sum, squares, count),
    }
}

fn blocks(options: &RiskOptions) -> u64 {
    let samples = options.samples.clamp(1, RiskOptions::MAX_SAMPLES) as usize;
    samples.div_ceil(LANES) as u64
}

/// Takes one part after another off each sample of a component until nobody is left.
fn part(samples: &mut Samples<'_>, begin: u32, end: u32, tallies: &mut Tallies) {
    let peers = end - begin;
    let (begin, end) = (begin as usize, end as usize);
    samples.reached[begin..end].fill(NONE);
    let mut open = [!0; WORDS];
    let mut before = [0_u32; LANES];
    while open != NONE {
        // The first peer that a sample has not reached begins its next part.
        let mut unseeded = open;
        for peer in begin..end {
            let reached = &mut samples.reached[peer];
            for w in 0..WORDS {
                let seed = unseeded[w] & !reached[w];
                reached[w] |= seed;
                unseeded[w] &= !seed;
            }
            if unseeded == NONE {
                break;
            }
        }
        samples.spread(begin, end, &open);
        let mut counters = Counters { digits: Vec::new() };
        samples.reached[begin..end].iter().for_each(|lanes| counters.add(lanes));
        for lane in 0..LANES {
            if open[lane / 64] >> (lane % 64) & 1 == 0 {
                continue;
            }
            let reached = counters.get(lane);
            let size = reached - before[lane];
            before[lane] = reached;
            tallies.pairs[lane] += pairs_within(size);
            tallies.largest[lane] = tallies.largest[lane].max(size);
            if reached == peers {
                open[lane / 64] &= !(1 << (lane % 64));
            } else {
                tallies.parted[lane / 64] |= 1 << (lane % 64);
            }
        }
    }
}

/// Samples of whether a set stays together.
pub(super) fn cut(
    snapshot: &Snapshot,
    lives: &[LinkLife],
    set: &[u32],
    options: &RiskOptions,
) -> Estimate {
    let starts = snapshot.component_starts();
    let component = starts.partition_point(|start| *start <= set[0]);
    let (begin, end) = (starts[component - 1] as usize, starts[component] as usize);
    let mut samples = Samples::new(snapshot.graph());
    let blocks = blocks(options);
    let mut together = 0;
    for block in 0..blocks {
        samples.draw(lives, options.seed, block);
        samples.reached[begin..end].fill(NONE);
        samples.reached[set[0] as usize] = [!0; WORDS];
        samples.spread(begin, end, &[!0; WORDS]);
        let all = set.iter().fold([!0_u64; WORDS], |all, peer| {
            let reached = samples.reached[*peer as usize];
            std::array::from_fn(|w| all[w] & reached[w])
        });
        together += all.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    }
    let count = blocks * LANES as u64;
    Estimate::of_hits(count - together, count)
}
