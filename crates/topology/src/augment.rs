//! Which links to add: plans, never deeds.

mod among;
mod edge;
mod shortcut;
mod vertex;

pub use among::weakness;
pub use edge::two_edge_connected;
pub use shortcut::shortcuts;
pub use vertex::two_vertex_connected;

use std::cmp::Reverse;

use crate::{Cuts, Graph};

/// What links may be planned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Constraints<'a> {
    /// Only these pairs; all when `None`. Peers out of each other's range cannot be linked.
    pub feasible: Option<&'a [(u32, u32)]>,
    /// No peer gets more neighbours than that; those that have as many get none. No limit when
    /// `None`.
    pub max_degree: Option<u32>,
}

impl Constraints<'_> {
    fn is_free(&self) -> bool {
        self.feasible.is_none() && self.max_degree.is_none()
    }

    fn has_room(&self, degree: u32) -> bool {
        self.max_degree.is_none_or(|most| degree < most)
    }
}

/// A graph with more links; pairs that are linked already, or name nobody, change nothing.
pub fn with_links(graph: &Graph, more: &[(u32, u32)]) -> Graph {
    let peers = graph.peers() as u32;
    let new = more.iter().map(|(a, b)| (*a.min(b), *a.max(b)));
    let new = new.filter(|(a, b)| a != b && *b < peers && graph.row(*a).binary_search(b).is_err());
    let mut links: Vec<(u32, u32)> = graph.link_list().chain(new).collect();
    links.sort_unstable();
    links.dedup();
    // What was a graph, with checked pairs that are new, is one.
    Graph::from_links(graph.peers(), &links).unwrap_or_else(|_| graph.clone())
}

/// Star links: `host` with everybody that it may be linked with and is not, ascending. Links that
/// are there count towards the limit of degrees. O(n).
pub fn star(graph: &Graph, host: u32, constraints: &Constraints<'_>) -> Vec<(u32, u32)> {
    if host as usize >= graph.peers() {
        return Vec::new();
    }
    let mut degree = graph.degree(host);
    let mut links = Vec::new();
    let feasible: Option<Vec<u32>> = constraints.feasible.map(|pairs| {
        let mut others: Vec<u32> = pairs
            .iter()
            .filter(|(a, b)| *a == host || *b == host)
            .map(|(a, b)| if *a == host { *b } else { *a })
            .collect();
        others.sort_unstable();
        others
    });
    for other in 0..graph.peers() as u32 {
        let may = feasible.as_ref().is_none_or(|list| list.binary_search(&other).is_ok());
        let new = other != host && graph.row(host).binary_search(&other).is_err();
        let room = constraints.has_room(degree) && constraints.has_room(graph.degree(other));
        if may && new && room {
            links.push((host.min(other), host.max(other)));
            degree += 1;
        }
    }
    links
}

/// Plan for a game: everybody linked with the host, shortcuts for who is far, and the relays that
/// must not fail meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GamePlan {
    /// Star links to the host.
    pub star: Vec<(u32, u32)>,
    /// Links that shorten the longest ways that are left then.
    pub shortcuts: Vec<(u32, u32)>,
    /// Articulation points of the network as it is: until the plan is carried out, their loss cuts
    /// players off.
    pub critical_relays: Vec<u32>,
}

/// The seed's `optimize_for_gaming`. `count` is how many shortcuts are wanted at most.
pub fn optimize_for_gaming(
    graph: &Graph,
    host: u32,
    count: usize,
    constraints: &Constraints<'_>,
) -> GamePlan {
    let star = star(graph, host, constraints);
    let starred = with_links(graph, &star);
    GamePlan {
        shortcuts: shortcuts(&starred, count, constraints),
        star,
        critical_relays: Cuts::of(graph).articulation_points().to_vec(),
    }
}

/// Links from a list that remove most of what `faults` counts, one after the other: what the
/// optimal plans do when pairs or degrees are restricted, where the optimum is hard (Frederickson
/// and JaJa 1981). At most `count`; ends when no link helps. O(count * pairs * (n + m)).
fn greedily(
    graph: &Graph,
    constraints: &Constraints<'_>,
    count: usize,
    faults: impl Fn(&Graph) -> usize,
) -> Vec<(u32, u32)> {
    /// Pairs tried for a link, the first that are feasible.
    const MAX_TRIED: usize = 4_096;
    let peers = graph.peers() as u32;
    let all = || (0..peers).flat_map(|a| (a + 1..peers).map(move |b| (a, b)));
    let mut current = graph.clone();
    let mut plan = Vec::new();
    let mut left = faults(&current);
    while plan.len() < count && left > 0 {
        let fits = |(a, b): &(u32, u32)| {
            a != b
                && a.max(b) < &peers
                && constraints.has_room(current.degree(*a))
                && constraints.has_room(current.degree(*b))
                && current.row(*a).binary_search(b).is_err()
        };
        let candidates: Vec<(u32, u32)> = match constraints.feasible {
            Some(pairs) => pairs.iter().copied().filter(fits).take(MAX_TRIED).collect(),
            None => all().filter(fits).take(MAX_TRIED).collect(),
        };
        let tried = candidates.into_iter().map(|pair| {
            let graph = with_links(&current, &[pair]);
            (faults(&graph), Reverse((pair.0.max(pair.1), pair.0.min(pair.1))), graph)
        });
        let best = tried.min_by_key(|(faults, Reverse(pair), _)| (*faults, *pair));
        let Some((faults, Reverse((b, a)), graph)) = best.filter(|best| best.0 < left) else {
            break;
        };
        plan.push((a, b));
        current = graph;
        left = faults;
    }
    plan
}

#[cfg(test)]
mod tests;
