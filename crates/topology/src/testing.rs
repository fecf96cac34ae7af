use std::collections::BTreeSet;

use bitcraps_types::PeerId;

use crate::Graph;

/// A peer told from others by its number.
pub(crate) fn peer(number: u64) -> PeerId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

pub(crate) fn graph(peers: usize, links: &[(u32, u32)]) -> Graph {
    Graph::from_links(peers, links).unwrap()
}

fn pairs(peers: usize) -> Vec<(u32, u32)> {
    let peers = peers as u32;
    (0..peers).flat_map(|a| (a + 1..peers).map(move |b| (a, b))).collect()
}

/// Each pair linked with the probability `density`.
pub(crate) fn random(peers: usize, density: f64, rng: &mut fastrand::Rng) -> Graph {
    let links: Vec<_> = pairs(peers).into_iter().filter(|_| rng.f64() < density).collect();
    graph(peers, &links)
}

/// Graphs of many shapes: sparse and dense, trees with extra links, rings of cliques.
pub(crate) fn varied(peers: usize, rng: &mut fastrand::Rng) -> Graph {
    if rng.bool() || peers < 2 {
        let degree = rng.f64() * 5.0;
        return random(peers, degree / peers.max(1) as f64, rng);
    }
    let mut links = BTreeSet::new();
    for b in 1..peers as u32 {
        if rng.u32(0..20) > 0 {
            // Near parents make long graphs.
            let reach = if rng.bool() { 3 } else { b };
            links.insert((rng.u32(b - reach.min(b)..b), b));
        }
    }
    for _ in 0..rng.usize(0..peers) {
        let (a, b) = (rng.u32(0..peers as u32), rng.u32(0..peers as u32));
        if a != b {
            links.insert((a.min(b), a.max(b)));
        }
    }
    graph(peers, &links.into_iter().collect::<Vec<_>>())
}

/// Every labelled graph of `peers` peers.
pub(crate) fn all_labelled(peers: usize) -> impl Iterator<Item = Graph> {
    let pairs = pairs(peers);
    (0_u32..1 << pairs.len()).map(move |mask| of_mask(peers, &pairs, mask))
}

fn of_mask(peers: usize, pairs: &[(u32, u32)], mask: u32) -> Graph {
    let chosen = pairs.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
    graph(peers, &chosen.map(|(_, pair)| *pair).collect::<Vec<_>>())
}

/// One graph of each shape with up to `most` peers, found by adding a peer to each smaller shape.
pub(crate) fn all_shapes(most: usize) -> Vec<Graph> {
    let mut all = vec![graph(0, &[])];
    let mut last: Vec<Vec<u32>> = vec![vec![]];
    for peers in 1..=most {
        let mut seen = BTreeSet::new();
        let mut next = Vec::new();
        for rows in &last {
            for neighbours in 0..1_u32 << (peers - 1) {
                let mut rows = rows.clone();
                for (at, row) in rows.iter_mut().enumerate() {
                    *row |= (neighbours >> at & 1) << (peers - 1);
                }
                rows.push(neighbours);
                if seen.insert(shape(&rows)) {
                    next.push(rows);
                }
            }
        }
        for rows in &next {
            let links: Vec<_> =
                pairs(peers).into_iter().filter(|(a, b)| rows[*a as usize] >> b & 1 == 1).collect();
            all.push(graph(peers, &links));
        }
        last = next;
    }
    all
}

/// The least of all ways to write the rows down, with peers sorted by what tells them apart.
fn shape(rows: &[u32]) -> Vec<u32> {
    let degree = |at: usize| rows[at].count_ones();
    let kind = |at: usize| {
        let mut around: Vec<u32> =
            (0..rows.len()).filter(|b| rows[at] >> b & 1 == 1).map(degree).collect();
        around.sort_unstable();
        (degree(at), around)
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| kind(*at));
    let kinds: Vec<_> = order.iter().map(|at| kind(*at)).collect();
    let mut best = None;
    permute(rows, &kinds, &mut order, 0, &mut best);
    best.unwrap_or_default()
}

fn permute(
    rows: &[u32],
    kinds: &[(u32, Vec<u32>)],
    order: &mut [usize],
    at: usize,
    best: &mut Option<Vec<u32>>,
) {
    if at == order.len() {
        let written: Vec<u32> = order
            .iter()
            .map(|a| {
                let bits = order.iter().enumerate();
                bits.map(|(place, b)| (rows[*a] >> b & 1) << place).sum()
            })
            .collect();
        if best.as_ref().is_none_or(|best| written < *best) {
            *best = Some(written);
        }
        return;
    }
    for other in at..order.len() {
        if kinds[other] == kinds[at] {
            order.swap(at, other);
            permute(rows, kinds, order, at + 1, best);
            order.swap(at, other);
        }
    }
}

#[test]
fn there_are_1252_shapes_of_up_to_7_peers() {
    // 1 + 1 + 2 + 4 + 11 + 34 + 156 + 1044, the empty graph included: OEIS A000088.
    assert_eq!(all_shapes(7).len(), 1_253);
}

/// Distances between all pairs, by relaxing over every middle.
pub(crate) fn floyd_warshall(graph: &Graph) -> Vec<Vec<u32>> {
    let peers = graph.peers();
    let mut distances = vec![vec![crate::UNREACHED; peers]; peers];
    for (at, row) in distances.iter_mut().enumerate() {
        row[at] = 0;
        graph.row(at as u32).iter().for_each(|other| row[*other as usize] = 1);
    }
    for middle in 0..peers {
        for a in 0..peers {
            for b in 0..peers {
                let around = distances[a][middle].saturating_add(distances[middle][b]);
                distances[a][b] = distances[a][b].min(around);
            }
        }
    }
    distances
}

/// Every way from one peer to another that visits nobody twice, with its cost.
pub(crate) fn simple_paths(
    graph: &Graph,
    costs: &[Option<u64>],
    from: u32,
    to: u32,
) -> Vec<(Vec<u32>, u64)> {
    fn extend(
        of: (&Graph, &crate::LinkIndex, &[Option<u64>]),
        to: u32,
        path: &mut Vec<u32>,
        cost: u64,
        all: &mut Vec<(Vec<u32>, u64)>,
    ) {
        let (graph, index, costs) = of;
        let at = path[path.len() - 1];
        if at == to {
            all.push((path.clone(), cost));
            return;
        }
        for &next in graph.row(at) {
            let number = index.find(graph, at, next).unwrap();
            if let Some(step) = costs[number as usize].filter(|_| !path.contains(&next)) {
                path.push(next);
                extend(of, to, path, cost + step, all);
                path.pop();
            }
        }
    }
    let mut all = Vec::new();
    let index = crate::LinkIndex::new(graph);
    extend((graph, &index, costs), to, &mut vec![from], 0, &mut all);
    all
}
