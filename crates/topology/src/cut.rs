use crate::Graph;
use crate::component::pairs;
use crate::lowlink::{Lowlink, NONE};

/// Single points of failure, from one depth-first pass (Hopcroft and Tarjan 1973).
///
/// A pair with several transports is one link here: it fails only when all of them do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cuts {
    articulation_points: Vec<u32>,
    bridges: Vec<(u32, u32)>,
    blocks: usize,
}

impl Cuts {
    /// O(n + m).
    pub fn of(graph: &Graph) -> Self {
        Self::of_lowlink(&Lowlink::new(graph))
    }

    pub(crate) fn of_lowlink(lowlink: &Lowlink) -> Self {
        let mut cuts = Self::default();
        let mut is_cut = vec![false; lowlink.order.len()];
        // The root of the current tree, once it has a child.
        let mut parted_root = NONE;
        for (place, &parent) in lowlink.parents.iter().enumerate() {
            if parent == NONE || lowlink.low[place] < parent {
                continue;
            }
            cuts.blocks += 1;
            let (above, below) = (lowlink.order[parent as usize], lowlink.order[place]);
            if lowlink.low[place] > parent {
                cuts.bridges.push((above.min(below), above.max(below)));
            }
            // A root is a cut when it has two children, any other peer when it has one such.
            if lowlink.parents[parent as usize] != NONE || parted_root == parent {
                is_cut[parent as usize] = true;
            } else {
                parted_root = parent;
            }
        }
        let points = is_cut.iter().zip(&lowlink.order).filter(|(cut, _)| **cut);
        cuts.articulation_points.extend(points.map(|(_, peer)| *peer));
        cuts.articulation_points.sort_unstable();
        cuts.bridges.sort_unstable();
        cuts
    }

    /// Peers whose loss splits their component, ascending. The seed's bridge nodes.
    pub fn articulation_points(&self) -> &[u32] {
        &self.articulation_points
    }

    /// Links whose loss splits their component, the lower end first, ascending.
    pub fn bridges(&self) -> &[(u32, u32)] {
        &self.bridges
    }

    /// How many blocks there are: maximal parts that no single peer's loss splits, single links
    /// included and peers without links not.
    pub fn blocks(&self) -> usize {
        self.blocks
    }
}

/// What the loss of a peer or link would cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Critical<T> {
    /// The peer or link.
    pub what: T,
    /// Pairs of other peers that could reach each other and could not any more.
    pub pairs_lost: u64,
    /// Peers outside of the largest part that would remain of the component.
    pub peers_cut_off: u32,
}

/// Articulation points and bridges with what each costs, the most costly first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Criticality {
    /// Peers; all others cost no pair.
    pub peers: Vec<Critical<u32>>,
    /// Links, the lower end first; all others cost no pair.
    pub links: Vec<Critical<(u32, u32)>>,
}

impl Criticality {
    /// Exact, from the sizes of subtrees. O(n + m).
    pub fn of(graph: &Graph) -> Self {
        Self::of_lowlink(&Lowlink::new(graph))
    }

    pub(crate) fn of_lowlink(lowlink: &Lowlink) -> Self {
        let sizes = lowlink.subtree_sizes();
        let roots = lowlink.roots();
        let places = lowlink.order.len();
        // For each place: peers below it that would be cut off, pairs within those parts, and the
        // largest part.
        let mut parts = vec![(0_u32, 0_u64, 0_u32); places];
        let mut links = Vec::new();
        for place in 0..places {
            let Some(parent) = lowlink.parent(place).filter(|_| lowlink.begins_block(place)) else {
                continue;
            };
            let size = sizes[place];
            let (cut_off, within, largest) = &mut parts[parent];
            *cut_off += size;
            *within += pairs(size);
            *largest = size.max(*largest);
            if lowlink.is_bridge(place) {
                let all = sizes[roots[place] as usize];
                let (above, below) = (lowlink.order[parent], lowlink.order[place]);
                links.push(Critical {
                    what: (above.min(below), above.max(below)),
                    pairs_lost: u64::from(size) * u64::from(all - size),
                    peers_cut_off: size.min(all - size),
                });
            }
        }
        let peers = parts.iter().enumerate().filter_map(|(place, (cut_off, within, largest))| {
            let others = sizes[roots[place] as usize] - 1;
            let rest = others - cut_off;
            let pairs_lost = pairs(others) - within - pairs(rest);
            let peers_cut_off = others - rest.max(*largest);
            let what = lowlink.order[place];
            (pairs_lost > 0).then_some(Critical { what, pairs_lost, peers_cut_off })
        });
        let mut found = Self { peers: peers.collect(), links };
        found.peers.sort_unstable_by_key(|c| (std::cmp::Reverse(c.pairs_lost), c.what));
        found.links.sort_unstable_by_key(|c| (std::cmp::Reverse(c.pairs_lost), c.what));
        found
    }
}

#[cfg(test)]
mod tests;
