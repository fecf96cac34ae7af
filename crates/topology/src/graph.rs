use crate::Slot;

/// Why links do not make a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildGraphError {
    /// A link from a peer to itself.
    #[error("link {at}: peer {slot} is linked with itself")]
    SelfLink {
        /// Position in the list.
        at: usize,
        /// The peer.
        slot: Slot,
    },
    /// An end that is not among the peers.
    #[error("link {at}: there is no peer {slot} among {peers}")]
    UnknownPeer {
        /// Position in the list.
        at: usize,
        /// The end.
        slot: Slot,
        /// How many peers there are.
        peers: u32,
    },
    /// The same pair twice.
    #[error("peers {a} and {b} are linked twice")]
    Duplicate {
        /// One end.
        a: Slot,
        /// The other.
        b: Slot,
    },
    /// More peers or links than [`Graph`] numbers.
    #[error(
        "{peers} peers and {links} links; at most {} and {} are analysed",
        Graph::MAX_PEERS,
        Graph::MAX_LINKS
    )]
    TooLarge {
        /// Peers asked for.
        peers: usize,
        /// Links asked for.
        links: usize,
    },
}

/// An immutable simple undirected graph in compressed rows: 8 bytes a link, 4 bytes a peer.
///
/// Rows are sorted. Peers are the numbers 0 to `peers()`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Where each row begins, and at the end the number of arcs; `peers() + 1` long, or empty.
    offsets: Vec<u32>,
    targets: Vec<u32>,
}

impl Graph {
    /// Numbers are 32 bits wide, the highest is no peer, and sums of two distances fit.
    pub const MAX_PEERS: usize = 1 << 30;
    /// Both directions of each link are numbered with 32 bits.
    pub const MAX_LINKS: usize = 1 << 30;

    /// Of a list of links among `peers` peers. O(n + m).
    ///
    /// # Errors
    /// [`BuildGraphError`] naming the first link that is wrong.
    pub fn from_links(peers: usize, links: &[(u32, u32)]) -> Result<Self, BuildGraphError> {
        if peers > Self::MAX_PEERS || links.len() > Self::MAX_LINKS {
            return Err(BuildGraphError::TooLarge { peers, links: links.len() });
        }
        let count = peers as u32;
        let mut offsets = vec![0_u32; peers + 1];
        for (at, &(a, b)) in links.iter().enumerate() {
            if a == b {
                return Err(BuildGraphError::SelfLink { at, slot: Slot(a) });
            }
            for end in [a, b] {
                if end >= count {
                    return Err(BuildGraphError::UnknownPeer { at, slot: Slot(end), peers: count });
                }
                offsets[end as usize + 1] += 1;
            }
        }
        for at in 1..offsets.len() {
            offsets[at] += offsets[at - 1];
        }
        let mut targets = vec![0; 2 * links.len()];
        let mut next = offsets.clone();
        for &(a, b) in links {
            for (from, to) in [(a, b), (b, a)] {
                let cursor = &mut next[from as usize];
                targets[*cursor as usize] = to;
                *cursor += 1;
            }
        }
        let mut graph = Self { offsets, targets };
        for a in 0..count {
            let row = graph.row_mut(a);
            row.sort_unstable();
            if let Some(pair) = row.windows(2).find(|pair| pair[0] == pair[1]) {
                let (a, b) = (Slot(a), Slot(pair[0]));
                return Err(BuildGraphError::Duplicate { a: a.min(b), b: a.max(b) });
            }
        }
        Ok(graph)
    }

    /// Of finished rows: `offsets` has one entry more than there are peers.
    pub(crate) fn of_rows(offsets: Vec<u32>, targets: Vec<u32>) -> Self {
        Self { offsets, targets }
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.targets.len() / 2
    }

    /// Neighbours of a peer in ascending order; none when there is no such peer.
    #[inline]
    pub fn row(&self, peer: u32) -> &[u32] {
        let at = peer as usize;
        match self.offsets.get(at..at + 2) {
            Some(ends) => &self.targets[ends[0] as usize..ends[1] as usize],
            None => &[],
        }
    }

    fn row_mut(&mut self, peer: u32) -> &mut [u32] {
        let at = peer as usize;
        &mut self.targets[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// How many neighbours a peer has.
    #[inline]
    pub fn degree(&self, peer: u32) -> u32 {
        self.row(peer).len() as u32
    }

    /// Every link once, the lower number first, in ascending order. The position in this order is
    /// the link's number in [`LinkIndex`].
    pub fn link_list(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.peers() as u32).flat_map(|a| {
            let row = self.row(a);
            let above = row.partition_point(|b| *b < a);
            row[above..].iter().map(move |b| (a, *b))
        })
    }

    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    pub(crate) fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        4 * (self.offsets.capacity() + self.targets.capacity())
    }
}

/// Numbers of the links of a graph, in the order of [`Graph::link_list`].
#[derive(Debug, Clone)]
pub struct LinkIndex {
    /// Number of the first link in which the peer is the lower end.
    first: Vec<u32>,
}

impl LinkIndex {
    /// O(n log d).
    pub fn new(graph: &Graph) -> Self {
        let mut next = 0;
        let first = (0..graph.peers() as u32).map(|a| {
            let row = graph.row(a);
            let above = row.len() - row.partition_point(|b| *b < a);
            let first = next;
            next += above as u32;
            first
        });
        Self { first: first.collect() }
    }

    /// The number of the link between `a` and `b`, if there is one. O(log d).
    pub fn find(&self, graph: &Graph, a: u32, b: u32) -> Option<u32> {
        let (a, b) = (a.min(b), a.max(b));
        let row = graph.row(a);
        let above = row.partition_point(|c| *c < a);
        let at = row[above..].binary_search(&b).ok()?;
        Some(self.first[a as usize] + at as u32)
    }

    /// Number of each arc's link, in the order of the rows. O(m).
    pub(crate) fn of_arcs(graph: &Graph) -> Vec<u32> {
        let mut numbers = vec![0; graph.targets.len()];
        // Rows are sorted, so the lower neighbours of a peer come in the order in which they are
        // visited here.
        let mut next: Vec<u32> = graph.offsets.clone();
        let mut number = 0;
        for a in 0..graph.peers() as u32 {
            let end = graph.offsets[a as usize + 1];
            for arc in next[a as usize]..end {
                let b = graph.targets[arc as usize];
                numbers[arc as usize] = number;
                let back = &mut next[b as usize];
                numbers[*back as usize] = number;
                *back += 1;
                number += 1;
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_simple_graph_is_refused_with_its_place() {
        let of = |links: &[(u32, u32)]| Graph::from_links(3, links);
        let graph = of(&[(2, 0), (1, 2)]).unwrap();
        assert_eq!((graph.peers(), graph.links()), (3, 2));
        assert_eq!((graph.row(0), graph.row(2), graph.row(3)), (&[2][..], &[0, 1][..], &[][..]));
        assert_eq!(of(&[(0, 1), (2, 2)]), Err(BuildGraphError::SelfLink { at: 1, slot: Slot(2) }));
        let unknown = BuildGraphError::UnknownPeer { at: 0, slot: Slot(3), peers: 3 };
        assert_eq!(of(&[(0, 3)]), Err(unknown));
        let twice = BuildGraphError::Duplicate { a: Slot(0), b: Slot(1) };
        assert_eq!(of(&[(0, 1), (1, 0)]), Err(twice));
        assert_eq!(Graph::from_links(0, &[]).unwrap().peers(), 0);
        let large = BuildGraphError::TooLarge { peers: Graph::MAX_PEERS + 1, links: 0 };
        assert_eq!(Graph::from_links(Graph::MAX_PEERS + 1, &[]), Err(large));
    }

    #[test]
    fn links_are_numbered_in_the_order_of_the_list() {
        let mut rng = fastrand::Rng::with_seed(2);
        let graph = crate::testing::random(30, 0.2, &mut rng);
        let index = LinkIndex::new(&graph);
        let arcs = LinkIndex::of_arcs(&graph);
        for (number, (a, b)) in graph.link_list().enumerate() {
            assert_eq!(index.find(&graph, a, b), Some(number as u32));
            assert_eq!(index.find(&graph, b, a), Some(number as u32));
            for (from, to) in [(a, b), (b, a)] {
                let at = graph.row(from).binary_search(&to).unwrap();
                assert_eq!(arcs[graph.offsets()[from as usize] as usize + at], number as u32);
            }
        }
        let (a, b) = (0..30)
            .flat_map(|a| (0..30).map(move |b| (a, b)))
            .find(|(a, b)| !graph.row(*a).contains(b))
            .unwrap();
        assert_eq!(index.find(&graph, a, b), None);
    }
}
