use crate::Graph;

/// No parent: the root of a tree.
pub(crate) const NONE: u32 = u32::MAX;

/// A depth-first forest with the lowest place that each subtree reaches (Hopcroft and Tarjan 1973).
///
/// Everything is told by place: the number in which the search came upon a peer, so that a parent
/// stands before its children and a subtree is a run of places.
#[derive(Debug, Clone)]
pub(crate) struct Lowlink {
    /// The peer at each place.
    pub(crate) order: Vec<u32>,
    /// The place of the parent, [`NONE`] at a root.
    pub(crate) parents: Vec<u32>,
    /// The lowest place that a subtree reaches, over one link that is not of the tree at most.
    pub(crate) low: Vec<u32>,
}

impl Lowlink {
    /// O(n + m), without recursion: a path of a million peers is no deeper than any other graph.
    pub(crate) fn new(graph: &Graph) -> Self {
        let peers = graph.peers();
        let (offsets, targets) = (graph.offsets(), graph.targets());
        let mut places = vec![NONE; peers];
        let mut order = Vec::with_capacity(peers);
        let mut parents = Vec::with_capacity(peers);
        let mut low = Vec::with_capacity(peers);
        // Where the scan of the row at each place goes on.
        let mut cursors: Vec<u32> = Vec::with_capacity(peers);
        for root in 0..peers as u32 {
            if places[root as usize] != NONE {
                continue;
            }
            let mut place = order.len() as u32;
            places[root as usize] = place;
            order.push(root);
            parents.push(NONE);
            low.push(place);
            cursors.push(offsets[root as usize]);
            loop {
                let at = place as usize;
                let parent = parents[at];
                let mut lowest = low[at];
                let begin = cursors[at] as usize;
                let end = offsets[order[at] as usize + 1] as usize;
                let mut found = None;
                for (step, &next) in targets[begin..end].iter().enumerate() {
                    let known = places[next as usize];
                    if known == NONE {
                        found = Some((step, next));
                        break;
                    }
                    if known < lowest && known != parent {
                        lowest = known;
                    }
                }
                low[at] = lowest;
                if let Some((step, next)) = found {
                    cursors[at] = (begin + step + 1) as u32;
                    let child = order.len() as u32;
                    places[next as usize] = child;
                    order.push(next);
                    parents.push(place);
                    low.push(child);
                    cursors.push(offsets[next as usize]);
                    place = child;
                } else if parent == NONE {
                    break;
                } else {
                    let above = &mut low[parent as usize];
                    *above = (*above).min(lowest);
                    place = parent;
                }
            }
        }
        Self { order, parents, low }
    }

    /// Whether the link from the parent of `place` begins a block: nothing in the subtree reaches
    /// above the parent. False at a root.
    #[inline]
    pub(crate) fn begins_block(&self, place: usize) -> bool {
        let parent = self.parents[place];
        parent != NONE && self.low[place] >= parent
    }

    /// Whether the link from the parent of `place` is the only way between its ends.
    #[inline]
    pub(crate) fn is_bridge(&self, place: usize) -> bool {
        let parent = self.parents[place];
        parent != NONE && self.low[place] > parent
    }

    /// Peers of each subtree.
    pub(crate) fn subtree_sizes(&self) -> Vec<u32> {
        let mut sizes = vec![1_u32; self.order.len()];
        for place in (0..sizes.len()).rev() {
            if let Some(parent) = self.parent(place) {
                sizes[parent] += sizes[place];
            }
        }
        sizes
    }

    /// Place of the root of each place's tree.
    pub(crate) fn roots(&self) -> Vec<u32> {
        let mut roots: Vec<u32> = Vec::with_capacity(self.order.len());
        for place in 0..self.order.len() {
            let root = self.parent(place).map_or(place as u32, |parent| roots[parent]);
            roots.push(root);
        }
        roots
    }

    pub(crate) fn parent(&self, place: usize) -> Option<usize> {
        let parent = self.parents[place];
        (parent != NONE).then_some(parent as usize)
    }
}
