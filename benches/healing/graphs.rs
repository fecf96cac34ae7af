//! Real and geometric networks: an hour of healing each, and exact search on small parts of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcraps_monitor::{
    Deed, Healer, HealingConfig, HealthIssue, HealthMetrics, plan_of, plans_of,
};
use bitcraps_topology::read::{self, Format};
use bitcraps_topology::{Graph, weakness, with_links};
use bitcraps_types::Timestamp;
use fastrand::Rng;

use super::exact;
use super::mesh::{Mesh, Pair, number, pair, peer};
use crate::{Arguments, Failure, Report, Row};

/// Neighbours over Bluetooth at most: the least and the most that radios hold.
const CAPS: [u32; 2] = [4, 7];
/// Feasible pairs of a network without places.
const PAIRS: usize = 4_096;
/// Seconds between two looks.
const TICK: u64 = 5;
const HOUR: u64 = 3_600;
/// Peers of a part that is searched exactly, and pairs in it.
const BALL: usize = 14;
const BALL_PAIRS: usize = 14;
/// The files that are wanted of a directory: community networks.
const WANTED: [&str; 3] = ["freifunk-", "ninux-", "nycmesh-"];

/// What an hour of healing did.
struct Hour {
    added: usize,
    dropped: usize,
    again: usize,
    violations: usize,
    before: usize,
    after: usize,
    /// The least that all feasible pairs together could leave.
    goal: usize,
    /// Links that it takes at least to leave what was left.
    least: usize,
}

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(arguments.seed);
    let mut named: Vec<(String, Graph)> = Vec::new();
    match &arguments.graphs {
        Some(directory) => {
            for path in files(Path::new(directory))? {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                named.push((name, graph(&path)?));
            }
        }
        None => {
            report.progress("real networks are skipped: name their directory with --graphs");
            report.push(Row::new("real networks measured (--graphs names none)", 0.0, "networks"));
        }
    }
    let mut meshes: Vec<(String, Mesh)> = Vec::new();
    let mut free = (0, 0);
    for (name, graph) in &named {
        let plan = bitcraps_topology::two_edge_connected(graph, &Default::default());
        free = (free.0 + plan.len(), free.1 + half_the_leaves(graph));
        report.push(
            Row::new(
                format!(
                    "{name}: every pair feasible, links against any link's loss (topology's plan)"
                ),
                plan.len() as f64,
                "links",
            )
            .beside("half the leaves", half_the_leaves(graph) as f64),
        );
        meshes.push((name.clone(), Mesh::of_graph(graph, 4, PAIRS, &mut rng)));
    }
    if free.1 > 0 {
        report.push(
            Row::new("every pair feasible: links against any link's loss, all real networks (topology's plan)", free.0 as f64, "links")
                .beside("half the leaves", free.1 as f64)
                .ratio_at_most(1.15),
        );
    }
    for (count, peers) in arguments.size(&[(6, 60), (4, 200), (2, 600)][..], &[(2, 60)][..]) {
        for round in 0..*count {
            let mesh = Mesh::geometric(*peers, 9.0, 3, &mut rng);
            meshes.push((format!("geometric {peers} #{round}"), mesh));
        }
    }
    balls(&meshes, arguments, &mut rng, report)?;
    let mut sum = (0, 0, 0, 0, 0);
    let (mut total, mut links) = (0, (0, 0));
    for (name, mesh) in &meshes {
        if mesh.peers > arguments.size(u32::MAX, 700) {
            report.progress(&format!("{name} is left out of a first look: {} peers", mesh.peers));
            continue;
        }
        for cap in CAPS {
            report.progress(&format!("{name}, at most {cap} neighbours"));
            let hour = healed(mesh.clone(), cap)?;
            report.push(
                Row::new(
                    format!(
                        "{name}, cap {cap}: weakness left ({} links added, {} dropped; {} before)",
                        hour.added, hour.dropped, hour.before
                    ),
                    hour.after as f64,
                    "parts",
                )
                .beside("all feasible pairs", hour.goal as f64),
            );
            total += 1;
            sum.0 += hour.violations;
            sum.1 += hour.again;
            sum.2 += usize::from(hour.after == 0);
            sum.3 += usize::from(hour.after <= hour.goal);
            sum.4 += usize::from(hour.goal == 0);
            if hour.after <= hour.goal {
                links = (links.0 + hour.added, links.1 + hour.least);
            }
        }
    }
    report.push(
        Row::new(
            "links added to all networks left as strong as candidates allow",
            links.0 as f64,
            "links",
        )
        .beside("a bound of any plan, that knows nothing of who can link", links.1 as f64),
    );
    report.push(
        Row::new("peers above their limit of neighbours", sum.0 as f64, "peers").at_most(0.0),
    );
    report.push(
        Row::new("oscillations in an hour: pairs linked again", sum.1 as f64, "pairs").at_most(0.0),
    );
    let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
    report.push(Row::new(
        "networks that no single loss splits afterwards",
        share(sum.2, total),
        "%",
    ));
    report.push(Row::new(
        "networks that candidates, without limits, would let be so",
        share(sum.4, total),
        "%",
    ));
    report.push(Row::new(
        "networks as strong as candidates, without limits, allow",
        share(sum.3, total),
        "%",
    ));
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e| Failure::broken(&directory.display().to_string(), e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = WANTED.iter().any(|start| name.starts_with(start));
        if wanted && name.ends_with(".txt") && !name.ends_with(".weights.txt") {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn graph(path: &Path) -> Result<Graph, Failure> {
    let failed = |e: read::ReadError| Failure::broken(&path.display().to_string(), e);
    let file = File::open(path).map_err(|e| failed(e.into()))?;
    Ok(read::network(BufReader::new(file), Some(Format::EdgeList)).map_err(failed)?.graph)
}

/// Leaves of the forest of bridges, half of them, rounded up: what Eswaran and Tarjan's (1976) plan
/// needs at least. An isolated part counts for two.
fn half_the_leaves(graph: &Graph) -> usize {
    let bridges: BTreeSet<Pair> =
        bitcraps_topology::Cuts::of(graph).bridges().iter().copied().collect();
    let peers = graph.peers();
    let mut part = vec![u32::MAX; peers];
    for start in 0..peers as u32 {
        if part[start as usize] != u32::MAX {
            continue;
        }
        part[start as usize] = start;
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            for next in graph.row(at) {
                if part[*next as usize] == u32::MAX && !bridges.contains(&pair(at, *next)) {
                    part[*next as usize] = start;
                    open.push(*next);
                }
            }
        }
    }
    let mut degree: BTreeMap<u32, usize> = part.iter().map(|part| (*part, 0)).collect();
    for (a, b) in &bridges {
        for end in [a, b] {
            *degree.entry(part[*end as usize]).or_default() += 1;
        }
    }
    if degree.len() == 1 {
        return 0;
    }
    let loose: usize = degree.values().map(|degree| 2_usize.saturating_sub(*degree)).sum();
    loose.div_ceil(2)
}

/// Small parts of every network, against exact search.
fn balls(
    meshes: &[(String, Mesh)],
    arguments: &Arguments,
    rng: &mut Rng,
    report: &mut Report,
) -> Result<(), Failure> {
    report.progress("exact search");
    let (mut planned, mut fewest, mut short, mut count) = (0, 0, 0, 0);
    let config = HealingConfig { max_neighbours: [64; 3], ..HealingConfig::default() };
    for (_, mesh) in meshes {
        let graph = mesh.graph()?;
        for _ in 0..arguments.size(12, 4) {
            let Some(ball) = ball(&graph, mesh, rng)? else { continue };
            let view = ball.view()?;
            let inside = ball.graph()?;
            let goal = weakness(&with_links(&inside, &ball.feasible));
            let plan = plan_of(HealthIssue::HighPartitionRisk, &view, &config, usize::MAX);
            let pairs: Vec<Pair> =
                plan.links.iter().map(|link| pair(number(&link.a), number(&link.b))).collect();
            let Some(best) = exact::fewest(&inside, &ball.feasible, goal) else { continue };
            planned += plan.links.len();
            fewest += best;
            count += 1;
            short += usize::from(weakness(&with_links(&inside, &pairs)) > goal);
        }
    }
    report.push(
        Row::new(
            format!("links planned for {count} parts of {BALL} peers"),
            planned as f64,
            "links",
        )
        .beside("fewest, by exact search", fewest as f64)
        .ratio_at_most(1.15),
    );
    report
        .push(Row::new("parts left weaker than they could be", short as f64, "parts").at_most(0.0));
    Ok(())
}

/// A part of a network, with the pairs in it that are feasible; `None` when nothing could be healed.
fn ball(graph: &Graph, mesh: &Mesh, rng: &mut Rng) -> Result<Option<Mesh>, Failure> {
    let start = rng.u32(0..mesh.peers);
    let mut inside: Vec<u32> = vec![start];
    let mut head = 0;
    while let Some(at) = inside.get(head).copied() {
        head += 1;
        let mut row = graph.row(at).to_vec();
        rng.shuffle(&mut row);
        for next in row.into_iter().take(4) {
            if inside.len() < BALL && !inside.contains(&next) {
                inside.push(next);
            }
        }
    }
    let place = |peer: &u32| inside.iter().position(|other| other == peer).map(|at| at as u32);
    let within = |(a, b): &Pair| Some(pair(place(a)?, place(b)?));
    let mut feasible: Vec<Pair> = mesh.feasible.iter().filter_map(within).collect();
    rng.shuffle(&mut feasible);
    feasible.truncate(BALL_PAIRS);
    let ball = Mesh {
        peers: inside.len() as u32,
        links: mesh.links.iter().filter_map(within).collect(),
        feasible,
    };
    let before = ball.graph()?;
    let helps = weakness(&with_links(&before, &ball.feasible)) < weakness(&before);
    Ok(helps.then_some(ball))
}

/// An hour of healing in which every node looks every five seconds and a link takes one look to come
/// up. While anything is weak, the risk alert is taken to fire.
fn healed(mut mesh: Mesh, cap: u32) -> Result<Hour, Failure> {
    let config = HealingConfig { max_neighbours: [cap, 64, 64], ..HealingConfig::default() };
    let before = mesh.degrees();
    let first = mesh.graph()?;
    let goal = weakness(&with_links(&first, &mesh.feasible));
    let mut healers: Vec<Healer> =
        (0..mesh.peers).map(|me| Healer::new(peer(me), config)).collect();
    let mut hour = Hour {
        added: 0,
        dropped: 0,
        again: 0,
        violations: 0,
        before: weakness(&first),
        after: 0,
        goal,
        least: 0,
    };
    let mut made: BTreeSet<Pair> = BTreeSet::new();
    let mut view = mesh.view()?;
    let health = |graph: &Graph| HealthMetrics {
        peers: graph.peers() as u64,
        partition_risk: f64::from(u8::from(weakness(graph) > 0)),
        clustering_coefficient: 1.0,
        ..HealthMetrics::default()
    };
    let mut plans = plans_of(&view, &health(view.present()), &config);
    let mut diameter = Mesh::diameter(&view);
    for second in (0..HOUR).step_by(TICK as usize) {
        let now = Timestamp::from_millis(second * 1_000) + Duration::from_secs(1);
        let mut changed = false;
        for (me, healer) in healers.iter_mut().enumerate() {
            healer.take(plans.clone(), &view, diameter, now);
            while let Some(deed) = healer.poll_deed() {
                changed = true;
                match deed {
                    Deed::Link { peer, .. } => {
                        let pair = pair(me as u32, number(&peer));
                        hour.again += usize::from(!made.insert(pair));
                        hour.added += 1;
                        mesh.links.insert(pair);
                    }
                    Deed::Release { .. } => {}
                    Deed::Unlink { peer, .. } => {
                        hour.dropped += 1;
                        mesh.links.remove(&pair(me as u32, number(&peer)));
                    }
                }
            }
        }
        if changed {
            view = mesh.view()?;
            plans = plans_of(&view, &health(view.present()), &config);
            diameter = Mesh::diameter(&view);
            let degrees = mesh.degrees();
            let above = degrees.iter().zip(&before).filter(|(now, then)| **now > cap.max(**then));
            hour.violations += above.count();
        }
    }
    let last = mesh.graph()?;
    hour.after = weakness(&last);
    hour.least = at_least(&first, &last);
    Ok(hour)
}

/// Links that any plan needs that leaves a network as strong as `after`, which is as strong as the
/// candidates allow: a link joins two parts, with a peer gone as with everybody there, and a peer with
/// less than two links that was given some has to be given as many, up to two (as in Hsu and
/// Ramachandran 1993). O(n (n + m)).
fn at_least(before: &Graph, after: &Graph) -> usize {
    let all = 0..before.peers() as u32;
    let joined = |gone| parts(before, gone).saturating_sub(parts(after, gone));
    let joined = all.clone().map(|peer| joined(Some(peer))).chain([joined(None)]).max();
    let ends: u32 = all
        .map(|peer| {
            let had = before.degree(peer);
            2_u32.saturating_sub(had).min(after.degree(peer).saturating_sub(had))
        })
        .sum();
    joined.unwrap_or(0).max(ends.div_ceil(2) as usize)
}

/// Parts of a network in which a peer may be gone.
fn parts(graph: &Graph, gone: Option<u32>) -> usize {
    let mut seen = vec![false; graph.peers()];
    let mut parts = 0;
    for start in 0..graph.peers() as u32 {
        if seen[start as usize] || Some(start) == gone {
            continue;
        }
        parts += 1;
        seen[start as usize] = true;
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            for next in graph.row(at) {
                if Some(*next) != gone && !std::mem::replace(&mut seen[*next as usize], true) {
                    open.push(*next);
                }
            }
        }
    }
    parts
}
