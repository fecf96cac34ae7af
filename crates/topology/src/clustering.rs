use crate::Graph;

/// Triangles of a network, counted exactly, and the three coefficients that are made of them.
///
/// The coefficients are computed from integers summed by degree, in the order of the degrees: equal
/// networks give equal bits, however the counts came about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clustering {
    peers: u64,
    by_degree: Vec<Tally>,
}

/// Peers of one degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    peers: u64,
    /// Sum of the triangles at each of them.
    triangles: u64,
}

impl Clustering {
    /// Forward algorithm on links directed from the lower to the higher degree (Latapy 2008;
    /// Ortmann and Brandes 2014), or by number where that costs few steps. O(m sqrt m).
    pub fn of(graph: &Graph) -> Self {
        let mut clustering = Self::default();
        for (peer, count) in triangles(graph).into_iter().enumerate() {
            clustering.add(graph.degree(peer as u32), count);
        }
        clustering
    }

    /// Counts a peer.
    pub(crate) fn add(&mut self, degree: u32, triangles: u32) {
        let at = degree as usize;
        if at >= self.by_degree.len() {
            self.by_degree.resize(at + 1, Tally::default());
        }
        self.peers += 1;
        self.by_degree[at].peers += 1;
        self.by_degree[at].triangles += u64::from(triangles);
    }

    /// Takes back what [`Self::add`] counted.
    pub(crate) fn subtract(&mut self, degree: u32, triangles: u32) {
        let tally = &mut self.by_degree[degree as usize];
        self.peers -= 1;
        tally.peers -= 1;
        tally.triangles -= u64::from(triangles);
    }

    /// Peers with the degree that is the position, and the triangles at them, for degrees from 2.
    fn tallies(&self) -> impl Iterator<Item = (u64, Tally)> + '_ {
        let tallies = self.by_degree.iter().enumerate().skip(2);
        tallies.map(|(degree, tally)| (degree as u64, *tally))
    }

    fn sum(&self) -> f64 {
        let closed = self.tallies().filter(|(_, tally)| tally.triangles > 0);
        closed.map(|(d, tally)| tally.triangles as f64 / (d * (d - 1) / 2) as f64).sum()
    }

    /// Mean over all peers of the share of linked pairs among a peer's neighbours, 0 below two
    /// neighbours (Watts and Strogatz 1998). The seed's formula. 0 without peers.
    pub fn average_clustering(&self) -> f64 {
        ratio(self.sum(), self.peers)
    }

    /// The same mean over the peers with at least two neighbours. The seed's code. 0 without such.
    pub fn average_clustering_deg2(&self) -> f64 {
        ratio(self.sum(), self.tallies().map(|(_, tally)| tally.peers).sum())
    }

    /// Three times the triangles over the paths of two links: the share of such paths whose ends
    /// are linked. 0 without such paths.
    pub fn transitivity(&self) -> f64 {
        let closed: u64 = self.tallies().map(|(_, tally)| tally.triangles).sum();
        // Up to 2^30 peers of degree below 2^30: 128 bits hold every sum.
        let wedge =
            |(d, tally): (u64, Tally)| u128::from(tally.peers) * u128::from(d * (d - 1) / 2);
        let paths: u128 = self.tallies().map(wedge).sum();
        if paths == 0 { 0.0 } else { closed as f64 / paths as f64 }
    }

    /// How many triangles there are.
    pub fn triangles(&self) -> u64 {
        self.by_degree.iter().map(|tally| tally.triangles).sum::<u64>() / 3
    }

    /// How many peers have the degree that is the position; as long as the highest degree needs.
    pub fn degree_histogram(&self) -> Vec<u64> {
        let counts = self.by_degree.iter().map(|tally| tally.peers);
        let mut counts: Vec<u64> = counts.collect();
        while counts.last() == Some(&0) {
            counts.pop();
        }
        counts
    }
}

fn ratio(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Triangles at each peer. A peer is in no more of them than there are links, so 32 bits suffice.
pub(crate) fn triangles(graph: &Graph) -> Vec<u32> {
    /// Steps a link up to which links are directed by number, for nothing: rows are sorted.
    const FEW_STEPS: u64 = 8;
    let peers = 0..graph.peers() as u32;
    let lower = |peer: u32| graph.row(peer).iter().map(|other| u32::from(*other < peer)).sum();
    let lower: Vec<u32> = peers.map(lower).collect();
    let steps = |(peer, lower): (u32, &u32)| {
        u64::from(*lower) * u64::from(graph.degree(peer).saturating_sub(*lower))
    };
    let steps: u64 = (0..).zip(&lower).map(steps).sum();
    if steps <= FEW_STEPS * graph.links() as u64 {
        return closed(graph.peers(), |peer| &graph.row(peer)[lower[peer as usize] as usize..]);
    }
    let (starts, outs) = directed(graph);
    closed(graph.peers(), |peer| {
        let at = peer as usize;
        &outs[starts[at] as usize..starts[at + 1] as usize]
    })
}

/// Triangles at each peer of a graph whose links are directed without a cycle.
fn closed<'a>(peers: usize, out: impl Fn(u32) -> &'a [u32]) -> Vec<u32> {
    let mut counts = vec![0_u32; peers];
    let mut marked = vec![false; peers];
    for low in 0..peers as u32 {
        let nexts = out(low);
        if nexts.len() < 2 {
            continue;
        }
        for &next in nexts {
            marked[next as usize] = true;
        }
        let mut of_low = 0;
        for &middle in nexts {
            let mut of_middle = 0;
            for &high in out(middle) {
                let closes = u32::from(marked[high as usize]);
                counts[high as usize] += closes;
                of_middle += closes;
            }
            counts[middle as usize] += of_middle;
            of_low += of_middle;
        }
        counts[low as usize] += of_low;
        for &next in nexts {
            marked[next as usize] = false;
        }
    }
    counts
}

/// Rows of the links directed towards the higher degree, then the higher number.
fn directed(graph: &Graph) -> (Vec<u32>, Vec<u32>) {
    let peers = graph.peers();
    let mut starts = Vec::with_capacity(peers + 1);
    // One more: what is not taken is written over.
    let mut outs = vec![0; graph.links() + 1];
    let mut end = 0;
    starts.push(0);
    for peer in 0..peers as u32 {
        let row = graph.row(peer);
        let own = (row.len() as u64) << 32 | u64::from(peer);
        for &other in row {
            outs[end] = other;
            let theirs = u64::from(graph.degree(other)) << 32 | u64::from(other);
            end += usize::from(theirs > own);
        }
        starts.push(end as u32);
    }
    (starts, outs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, all_labelled, all_shapes, graph};

    fn check(graph: &Graph) {
        let linked = |a: u32, b: u32| graph.row(a).contains(&b);
        let peers = graph.peers() as u32;
        let mut sum = 0.0;
        let (mut closed, mut paths, mut from_2) = (0_u32, 0_u32, 0_u32);
        for peer in 0..peers {
            let row = graph.row(peer);
            let mut at = 0;
            for (i, a) in row.iter().enumerate() {
                at += row[i + 1..].iter().filter(|b| linked(*a, **b)).count() as u32;
            }
            let possible = (row.len() * row.len().saturating_sub(1) / 2) as u32;
            closed += at;
            paths += possible;
            if possible > 0 {
                from_2 += 1;
                sum += f64::from(at) / f64::from(possible);
            }
        }
        let over = |sum: f64, count: u32| if count == 0 { 0.0 } else { sum / f64::from(count) };
        let clustering = Clustering::of(graph);
        for (told, expected) in [
            (clustering.average_clustering(), over(sum, peers)),
            (clustering.average_clustering_deg2(), over(sum, from_2)),
            (clustering.transitivity(), over(f64::from(closed), paths)),
        ] {
            assert!((told - expected).abs() < 1e-12, "{told} {expected} {graph:?}");
        }
        assert_eq!(clustering.triangles(), u64::from(closed / 3));
        let mut degrees = vec![0; peers as usize + 1];
        (0..peers).for_each(|peer| degrees[graph.row(peer).len()] += 1);
        let told = clustering.degree_histogram();
        assert_eq!(told, degrees[..told.len()]);
        assert_eq!(told.iter().sum::<u64>(), u64::from(peers));
    }

    #[test]
    fn every_small_graph_agrees_with_the_definition() {
        (0..=5).flat_map(all_labelled).for_each(|graph| check(&graph));
        all_shapes(7).iter().for_each(check);
    }

    #[test]
    fn larger_graphs_agree_with_the_definition() {
        let mut rng = fastrand::Rng::with_seed(12);
        for _ in 0..100 {
            let peers = rng.usize(8..60);
            check(&testing::varied(peers, &mut rng));
        }
        check(&testing::random(60, 0.6, &mut rng));
    }

    #[test]
    fn what_was_counted_can_be_taken_back() {
        let triangle = Clustering::of(&graph(3, &[(0, 1), (1, 2), (0, 2)]));
        let mut other = triangle.clone();
        other.add(7, 3);
        assert!(other.average_clustering() < 1.0);
        other.subtract(7, 3);
        assert_eq!(other.average_clustering().to_bits(), triangle.average_clustering().to_bits());
        assert_eq!(other.degree_histogram(), [0, 0, 3]);
    }
}
