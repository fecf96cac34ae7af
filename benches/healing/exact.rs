//! The fewest links, by trying every set.

use bitcraps_topology::{Graph, weakness, with_links};

use super::mesh::Pair;

/// The fewest of `pairs` that leave the network no weaker than `goal`; `None` when all leave it so.
pub(super) fn fewest(graph: &Graph, pairs: &[Pair], goal: usize) -> Option<usize> {
    (0..=pairs.len()).find(|count| some(graph, pairs, *count, &mut Vec::new(), goal))
}

fn some(graph: &Graph, pairs: &[Pair], more: usize, chosen: &mut Vec<Pair>, goal: usize) -> bool {
    if more == 0 {
        return weakness(&with_links(graph, chosen)) <= goal;
    }
    (0..pairs.len()).any(|at| {
        chosen.push(pairs[at]);
        let found = some(graph, &pairs[at + 1..], more - 1, chosen, goal);
        chosen.pop();
        found
    })
}
