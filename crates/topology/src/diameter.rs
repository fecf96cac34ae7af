use crate::distance::Search;
use crate::wavefront::{LANES, Wavefront};
use crate::{Graph, Snapshot, UNREACHED};

/// Searches side by side cost as much as this many searches, for each hop of the diameter: a peer is
/// visited again in nearly every level.
const SINGLES_PER_HOP: usize = 3;

/// Greatest distances in hops, exact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diameters {
    largest_component: u32,
    components: Vec<u32>,
}

impl Diameters {
    /// Of every component: four sweeps, then bounds on the eccentricity of each peer (Takes and
    /// Kosters 2011) and the fringe of a central peer (iFUB, Crescenzi et al. 2013) rule out peers,
    /// and those left are searched from side by side (Then et al. 2014).
    ///
    /// O(n m) at worst; on meshes and on the internet a few searches of O(n + m).
    pub fn of(snapshot: &Snapshot) -> Self {
        let starts = snapshot.component_starts();
        let graph = snapshot.graph();
        let diameters = starts.windows(2).map(|ends| of_component(graph, ends[0], ends[1]));
        let components: Vec<u32> = diameters.collect();
        let sizes = starts.windows(2).map(|ends| ends[1] - ends[0]);
        let largest = sizes.zip(&components).max().map_or(0, |(_, diameter)| *diameter);
        Self { largest_component: largest, components }
    }

    /// That of the largest component alone; the greatest of those of the same size. 0 without links.
    pub fn of_largest(snapshot: &Snapshot) -> u32 {
        let starts = snapshot.component_starts();
        let sizes = starts.windows(2).map(|ends| ends[1] - ends[0]);
        let most = sizes.max().unwrap_or(0);
        let largest = starts.windows(2).filter(|ends| ends[1] - ends[0] == most);
        let diameters = largest.map(|ends| of_component(snapshot.graph(), ends[0], ends[1]));
        diameters.max().unwrap_or(0)
    }

    /// That of the largest component; the greatest of those of the same size. 0 without links.
    pub fn largest_component(&self) -> u32 {
        self.largest_component
    }

    /// That of each component, in the order of positions.
    pub fn components(&self) -> &[u32] {
        &self.components
    }

    /// The greatest of all.
    pub fn any_component(&self) -> u32 {
        self.components.iter().copied().max().unwrap_or(0)
    }
}

/// The diameter of the component at the positions from `begin` to `end`.
pub(crate) fn of_component(graph: &Graph, begin: u32, end: u32) -> u32 {
    let peers = (end - begin) as usize;
    let arcs = graph.offsets()[end as usize] - graph.offsets()[begin as usize];
    match peers {
        0 | 1 => 0,
        _ if arcs as usize == peers * (peers - 1) => 1,
        // Everybody is linked with the one in the middle, and somebody is not with somebody else.
        _ if (begin..end).any(|peer| graph.degree(peer) as usize == peers - 1) => 2,
        _ => Bounds::new(graph, begin, peers).diameter(),
    }
}

/// Searches that prove the diameter of a component by themselves: all of its peers but the most
/// central are bounded by one of them. The first is from one end of a longest way.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) source: u32,
    /// Distance of each position of the component, less its first.
    pub(crate) hops: Vec<u32>,
}

/// The searches that were needed for the diameter of the component at the positions from `begin` to
/// `end`, or `None` when some were made side by side.
pub(crate) fn proof(graph: &Graph, begin: u32, end: u32) -> Option<Vec<Kept>> {
    let mut bounds = Bounds::new(graph, begin, (end - begin) as usize);
    bounds.kept = Some(Vec::new());
    let diameter = bounds.diameter();
    let mut kept = bounds.kept?;
    let first = kept.iter().position(|kept| kept.hops.contains(&diameter))?;
    kept.swap(0, first);
    Some(kept)
}

struct Bounds<'a> {
    graph: &'a Graph,
    base: u32,
    search: Search,
    /// The diameter so far.
    best: u32,
    /// No peer's eccentricity is above this and above `best`.
    upper: Vec<u32>,
    /// The farthest source that a peer is from, while `central` holds; [`UNREACHED`] for those that
    /// were sources themselves.
    lower: Vec<u32>,
    /// Peers whose `upper` may be above `best`, less `base`; others cannot be the end of a longer
    /// path.
    open: Vec<u32>,
    /// Whether searches from central peers still rule out more than others.
    central: bool,
    /// Every search so far, while no more are asked for than were made one at a time.
    kept: Option<Vec<Kept>>,
    /// Distances from the central peer that leaves the fewest candidates.
    levels: Vec<u32>,
}

impl<'a> Bounds<'a> {
    fn new(graph: &'a Graph, base: u32, peers: usize) -> Self {
        Self {
            graph,
            base,
            search: Search::new(peers),
            best: 0,
            upper: vec![UNREACHED; peers],
            lower: vec![0; peers],
            open: (0..peers as u32).collect(),
            central: true,
            kept: None,
            levels: vec![UNREACHED; peers],
        }
    }

    fn diameter(&mut self) -> u32 {
        let peers = self.upper.len() as u32;
        let all = self.base..self.base + peers;
        let hub = all.max_by_key(|peer| (self.graph.degree(*peer), std::cmp::Reverse(*peer)));
        let Some(hub) = hub else { return 0 };
        self.search_from(hub);
        self.centre();
        for _ in 0..2 {
            let Some(far) = self.search.farthest() else { break };
            self.search_from(far);
            let Some(middle) = self.middle() else { break };
            self.search_from(middle);
            self.centre();
            if self.count(&self.levels) == 0 {
                return self.best;
            }
        }
        self.close()
    }

    /// Searches until nobody is left whose eccentricity could be above the best.
    fn close(&mut self) -> u32 {
        let mut wavefront = None;
        // What the last search from a far and from a central peer ruled out.
        let mut ruled_out = [usize::MAX; 2];
        let mut covering = true;
        loop {
            self.tighten();
            let left = self.count(&self.levels);
            let Some(farthest) = self.worst() else { return self.best };
            let side_by_side = SINGLES_PER_HOP * self.best as usize;
            let alone = ruled_out[0].max(ruled_out[1]).saturating_mul(side_by_side);
            if left <= side_by_side || alone >= left.min(LANES) {
                let from_centre = self.central && ruled_out[1] > ruled_out[0];
                self.search_from(if from_centre { self.most_central() } else { farthest });
                self.centre();
                let after = self.count(&self.levels);
                ruled_out[usize::from(from_centre)] = left.saturating_sub(after);
                self.central &= !from_centre || ruled_out[1] > 1;
            } else {
                let wavefront = wavefront.get_or_insert_with(|| Wavefront::new(self.upper.len()));
                let sources = self.sources(covering);
                self.search_side_by_side(wavefront, &sources);
                let after = self.count(&self.levels);
                covering &= left.saturating_sub(after) >= sources.len();
            }
        }
    }

    fn search_from(&mut self, source: u32) {
        let eccentricity = self.search.run(self.graph, source, self.base);
        self.best = self.best.max(eccentricity);
        let (best, hops) = (self.best, &self.search.hops);
        if let Some(kept) = &mut self.kept {
            kept.push(Kept { source, hops: hops.clone() });
        }
        let at = source - self.base;
        let upper = &mut self.upper;
        upper[at as usize] = eccentricity;
        self.open.retain(|peer| {
            let bound = &mut upper[*peer as usize];
            *bound = (*bound).min(eccentricity + hops[*peer as usize]);
            *bound > best
        });
        if self.central {
            for (lower, hops) in self.lower.iter_mut().zip(hops) {
                *lower = (*lower).max(*hops);
            }
        }
        self.lower[at as usize] = UNREACHED;
    }

    /// A peer half way between the source of the last search and the peer farthest from it.
    fn middle(&self) -> Option<u32> {
        let mut at = self.search.farthest()?;
        let hops = |peer: u32| self.search.hops[(peer - self.base) as usize];
        let half = hops(at) / 2;
        while hops(at) > half {
            let wanted = hops(at) - 1;
            at = *self.graph.row(at).iter().find(|other| hops(**other) == wanted)?;
        }
        Some(at)
    }

    /// How many peers may be the end of a longer path, on a level that only one end of it can avoid:
    /// of two peers farther apart than `best`, one is more than half of that from any third.
    fn count(&self, levels: &[u32]) -> usize {
        let half = self.best / 2;
        self.open.iter().filter(|at| levels[**at as usize] > half).count()
    }

    /// Keeps the distances of the last search when they leave fewer candidates.
    fn centre(&mut self) {
        if self.levels[0] == UNREACHED || self.count(&self.search.hops) < self.count(&self.levels) {
            self.levels.copy_from_slice(&self.search.hops);
        }
    }

    /// The other end of a longer path is open too, which bounds the level that it can be on.
    fn tighten(&mut self) {
        let Self { best, levels, open, .. } = self;
        let Some(deepest) = open.iter().map(|at| levels[*at as usize]).max() else { return };
        open.retain(|at| levels[*at as usize] + deepest > *best);
    }

    fn candidates(&self) -> impl Iterator<Item = u32> + '_ {
        let half = self.best / 2;
        self.open.iter().copied().filter(move |at| self.levels[*at as usize] > half)
    }

    /// The candidate with the highest bound.
    fn worst(&self) -> Option<u32> {
        let key = |at: &u32| (self.upper[*at as usize], self.levels[*at as usize]);
        self.candidates().max_by_key(key).map(|at| self.base + at)
    }

    /// The peer from which all sources so far are near, and which was none.
    fn most_central(&self) -> u32 {
        let nearest = self.lower.iter().enumerate().min_by_key(|(_, lower)| **lower);
        self.base + nearest.map_or(0, |(at, _)| at as u32)
    }

    /// Up to [`LANES`] sources. When `covering`, each stands for the candidates around it, which its
    /// eccentricity bounds; otherwise they are the candidates with the highest bounds.
    fn sources(&self, covering: bool) -> Vec<u32> {
        let mut candidates: Vec<u32> = self.candidates().map(|at| self.base + at).collect();
        let upper = |peer: &u32| std::cmp::Reverse(self.upper[(*peer - self.base) as usize]);
        if !covering {
            if candidates.len() > LANES {
                candidates.select_nth_unstable_by_key(LANES, upper);
                candidates.truncate(LANES);
            }
            return candidates;
        }
        candidates.sort_by_key(upper);
        let mut covered = vec![false; self.upper.len()];
        let mut sources = Vec::with_capacity(LANES);
        for candidate in candidates {
            if covered[(candidate - self.base) as usize] {
                continue;
            }
            // Who has many neighbours is near to many.
            let around = self.graph.row(candidate).iter().copied();
            // A bound of theirs is of use when it is below the best.
            let low = |peer: &u32| self.lower[(*peer - self.base) as usize] < self.best;
            let source = around.filter(low).max_by_key(|peer| self.graph.degree(*peer));
            let source = source.unwrap_or(candidate);
            covered[(source - self.base) as usize] = true;
            covered[(candidate - self.base) as usize] = true;
            for other in self.graph.row(source) {
                covered[(other - self.base) as usize] = true;
            }
            sources.push(source);
            if sources.len() == LANES {
                break;
            }
        }
        sources
    }

    /// Exact eccentricities of the sources, and the bounds of those near them.
    fn search_side_by_side(&mut self, wavefront: &mut Wavefront, sources: &[u32]) {
        self.kept = None;
        let mut eccentricities = [0; LANES];
        wavefront.run(self.graph, self.base, sources, |distance, lanes, _| {
            for (word, bits) in lanes.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    eccentricities[64 * word + bits.trailing_zeros() as usize] = distance;
                    bits &= bits - 1;
                }
            }
        });
        let mut rings: Vec<Vec<u32>> = Vec::new();
        for (&source, eccentricity) in sources.iter().zip(eccentricities) {
            self.best = self.best.max(eccentricity);
            let at = (source - self.base) as usize;
            self.upper[at] = eccentricity;
            self.lower[at] = UNREACHED;
            let ring = eccentricity as usize;
            if ring >= rings.len() {
                rings.resize_with(ring + 1, Vec::new);
            }
            rings[ring].push(source);
        }
        // A neighbour's eccentricity is at most one above: from the lowest to just below the best.
        for bound in 0..self.best as usize {
            let now = rings.get_mut(bound).map(std::mem::take).unwrap_or_default();
            let next = bound as u32 + 1;
            for peer in now {
                if self.upper[(peer - self.base) as usize] < bound as u32 {
                    continue;
                }
                for &other in self.graph.row(peer) {
                    let near = &mut self.upper[(other - self.base) as usize];
                    if *near > next {
                        *near = next;
                        if next as usize >= rings.len() {
                            rings.resize_with(next as usize + 1, Vec::new);
                        }
                        rings[next as usize].push(other);
                    }
                }
            }
        }
        let (best, upper) = (self.best, &self.upper);
        self.open.retain(|at| upper[*at as usize] > best);
    }
}

#[cfg(test)]
mod tests;
