use crate::distance::Search;
use crate::wavefront::{LANES, Wavefront};
use crate::{Graph, Snapshot, UNREACHED};

/// A search for one source at a time goes on while it rules out this many candidates; below that,
/// searches side by side are cheaper for each.
const WORTH_A_SEARCH: usize = 24;

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
        let mut largest = 0;
        let mut told = Self::default();
        for ends in starts.windows(2) {
            let diameter = of_component(graph, ends[0], ends[1]);
            told.components.push(diameter);
            if ends[1] - ends[0] > largest {
                largest = ends[1] - ends[0];
                told.largest_component = diameter;
            } else if ends[1] - ends[0] == largest {
                told.largest_component = told.largest_component.max(diameter);
            }
        }
        told
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

struct Bounds<'a> {
    graph: &'a Graph,
    base: u32,
    search: Search,
    /// The diameter so far.
    best: u32,
    /// No peer's eccentricity is above this and above `best`.
    upper: Vec<u32>,
    /// No peer's eccentricity is below this.
    lower: Vec<u32>,
    /// Distances from the central peer that leaves the fewest candidates.
    levels: Vec<u32>,
    candidates: usize,
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
            levels: vec![UNREACHED; peers],
            candidates: usize::MAX,
        }
    }

    fn diameter(mut self) -> u32 {
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
            if self.candidates == 0 {
                return self.best;
            }
        }
        self.close()
    }

    /// Searches until nobody is left whose eccentricity could be above the best.
    fn close(mut self) -> u32 {
        let mut wavefront = None;
        let mut central = false;
        let mut idle = 0;
        loop {
            self.tighten();
            let left = self.count(&self.levels);
            let Some(farthest) = self.worst() else { return self.best };
            if left > LANES / 4 && idle < 2 {
                let source = if central { self.most_central() } else { Some(farthest) };
                let Some(source) = source else { return self.best };
                self.search_from(source);
                self.centre();
                central = !central;
                let ruled_out = left.saturating_sub(self.count(&self.levels));
                idle = if ruled_out < WORTH_A_SEARCH { idle + 1 } else { 0 };
            } else {
                let wavefront = wavefront.get_or_insert_with(|| Wavefront::new(self.upper.len()));
                self.search_side_by_side(wavefront);
                idle = if left > 16 * LANES { 0 } else { idle };
            }
        }
    }

    fn search_from(&mut self, source: u32) {
        let eccentricity = self.search.run(self.graph, source, self.base);
        self.best = self.best.max(eccentricity);
        for ((upper, lower), hops) in
            self.upper.iter_mut().zip(&mut self.lower).zip(&self.search.hops)
        {
            *upper = (*upper).min(eccentricity + hops);
            *lower = (*lower).max(*hops);
        }
        let at = (source - self.base) as usize;
        self.upper[at] = eccentricity;
        self.lower[at] = eccentricity;
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
        let best = self.best;
        let levels = levels.iter().zip(&self.upper);
        levels
            .filter(|(level, upper)| 2 * u64::from(**level) > u64::from(best) && **upper > best)
            .count()
    }

    /// Keeps the distances of the last search when they leave fewer candidates.
    fn centre(&mut self) {
        let with = self.count(&self.search.hops);
        self.candidates = self.count(&self.levels);
        if with < self.candidates || self.levels[0] == UNREACHED {
            self.candidates = with;
            self.levels.copy_from_slice(&self.search.hops);
        }
    }

    /// The other end of a longer path is no candidate that was ruled out, which bounds the level
    /// that it can be on.
    fn tighten(&mut self) {
        let best = self.best;
        let open = self.levels.iter().zip(&self.upper).filter(|(_, upper)| **upper > best);
        let Some(deepest) = open.map(|(level, _)| *level).max() else { return };
        for (upper, level) in self.upper.iter_mut().zip(&self.levels) {
            *upper = (*upper).min(level + deepest);
        }
    }

    fn is_candidate(&self, at: usize) -> bool {
        self.upper[at] > self.best && 2 * self.levels[at] > self.best
    }

    /// The candidate with the highest bound.
    fn worst(&self) -> Option<u32> {
        let candidates = (0..self.upper.len()).filter(|at| self.is_candidate(*at));
        let worst = candidates.max_by_key(|at| (self.upper[*at], self.lower[*at]))?;
        Some(self.base + worst as u32)
    }

    /// The peer from which all sources so far are near, and which was none.
    fn most_central(&self) -> Option<u32> {
        let open = (0..self.upper.len()).filter(|at| self.upper[*at] > self.lower[*at]);
        let nearest = open.min_by_key(|at| (self.lower[*at], self.upper[*at]))?;
        Some(self.base + nearest as u32)
    }

    /// Exact eccentricities of the candidates with the highest bounds.
    fn search_side_by_side(&mut self, wavefront: &mut Wavefront) {
        let mut sources: Vec<u32> =
            (0..self.upper.len()).filter(|at| self.is_candidate(*at)).map(|at| at as u32).collect();
        if sources.len() > LANES {
            let upper = &self.upper;
            let key = |at: &u32| std::cmp::Reverse(upper[*at as usize]);
            sources.select_nth_unstable_by_key(LANES, key);
            sources.truncate(LANES);
        }
        sources.iter_mut().for_each(|source| *source += self.base);
        let mut eccentricities = [0; LANES];
        wavefront.run(self.graph, self.base, &sources, |distance, lanes, _| {
            for (word, bits) in lanes.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    eccentricities[64 * word + bits.trailing_zeros() as usize] = distance;
                    bits &= bits - 1;
                }
            }
        });
        for (&source, eccentricity) in sources.iter().zip(eccentricities) {
            self.best = self.best.max(eccentricity);
            let at = (source - self.base) as usize;
            self.upper[at] = eccentricity;
            self.lower[at] = eccentricity;
            for &other in self.graph.row(source) {
                let near = &mut self.upper[(other - self.base) as usize];
                *near = (*near).min(eccentricity + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
