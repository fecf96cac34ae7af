//! A thousand nodes whose views are up to two seconds old: whether each planned link is made once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcraps_monitor::{
    Deed, Healer, HealingConfig, HealthMetrics, NEWS_PER_HOP, Plan, View, plans_of,
};
use bitcraps_topology::weakness;
use bitcraps_types::Timestamp;
use fastrand::Rng;

use super::mesh::{Mesh, Pair, number, pair, peer};
use crate::{Arguments, Failure, Report, Row, clock};

/// Milliseconds between two looks of a node, and resolution of the age of its view.
const STEP: u64 = 250;
/// Ages of views, in steps: up to two seconds.
const AGES: usize = 9;
/// Steps that a link takes to come up.
const DIAL: u64 = 2;
/// Bytes that a neighbour database spends to tell of a pair that could be linked: an alias and what
/// it is.
const CLAIM: usize = 10;

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let peers = arguments.size(1_000, 200);
    report.progress(&format!("{peers} nodes with views up to 2 s old"));
    let mut rng = Rng::with_seed(arguments.seed ^ 0x57a1e);
    let mut mesh = Mesh::geometric(peers, 10.0, 3, &mut rng);
    let config = HealingConfig::default();
    let first = mesh.view()?;
    let before = weakness(first.present());
    let start = clock::thread();
    let single = plans(&first, &config);
    let plan_ms = (clock::thread() - start) as f64 / 1e6;
    let diameter = Mesh::diameter(&first);
    let wanted = alone(mesh.clone(), &config)?;
    let ages: Vec<usize> = (0..peers).map(|_| rng.usize(0..AGES)).collect();
    let mut healers: Vec<Healer> = (0..peers).map(|me| Healer::new(peer(me), config)).collect();
    let mut views: VecDeque<(View, Vec<Plan>, u32)> = VecDeque::from([(first, single, diameter)]);
    let mut dialling: BTreeMap<Pair, (u64, usize)> = BTreeMap::new();
    let (mut made, mut twice, mut again) = (0, 0, 0);
    let mut ever: BTreeSet<Pair> = BTreeSet::new();
    let steps = arguments.size(480, 240);
    for step in 0..steps {
        let now = Timestamp::from_millis(1_000 + step * STEP);
        for (me, healer) in healers.iter_mut().enumerate() {
            let (view, plans, diameter) = &views[ages[me].min(views.len() - 1)];
            healer.take(plans.clone(), view, *diameter, now);
            while let Some(deed) = healer.poll_deed() {
                match deed {
                    Deed::Link { peer, .. } => {
                        let pair = pair(me as u32, number(&peer));
                        made += 1;
                        again += usize::from(!ever.insert(pair));
                        let known = dialling.insert(pair, (step + DIAL, me)).is_some();
                        twice += usize::from(known || mesh.links.contains(&pair));
                    }
                    Deed::Release { .. } => {}
                    Deed::Unlink { peer, .. } => {
                        mesh.links.remove(&pair(me as u32, number(&peer)));
                    }
                }
            }
        }
        let up: Vec<Pair> =
            dialling.iter().filter(|(_, (at, _))| *at <= step).map(|(pair, _)| *pair).collect();
        let changed = !up.is_empty();
        for pair in up {
            dialling.remove(&pair);
            mesh.links.insert(pair);
        }
        let next = if changed {
            let view = mesh.view()?;
            let plans = plans(&view, &config);
            let diameter = Mesh::diameter(&view);
            (view, plans, diameter)
        } else {
            views[0].clone()
        };
        views.push_front(next);
        views.truncate(AGES);
    }
    let after = weakness(&mesh.graph()?);
    let settle = config.settle.max(NEWS_PER_HOP * diameter).as_secs_f64();
    let name = |what: &str| {
        format!(
            "{peers} nodes, diameter {diameter}, views up to 2 s old, plans wait {settle} s: {what}"
        )
    };
    report.push(
        Row::new(name("links made"), made as f64, "links")
            .beside("one node that knows all", wanted as f64),
    );
    report.push(
        Row::new(name("links made by both ends, or twice"), (twice + again) as f64, "links")
            .at_most(0.0),
    );
    report.push(
        Row::new(name("weakness left"), after as f64, "parts").beside("before", before as f64),
    );
    report.push(Row::new(name("one plan"), plan_ms, "ms"));
    let bytes = 2 * mesh.feasible.len() * CLAIM * peers as usize;
    report.push(Row::new(
        name("telling everybody of every feasible pair, a node, reckoned"),
        bytes as f64 / f64::from(peers),
        "bytes",
    ));
    report.push(Row::new(
        name("telling everybody of the links made, a node, reckoned"),
        (2 * made * CLAIM) as f64,
        "bytes",
    ));
    Ok(())
}

fn plans(view: &View, config: &HealingConfig) -> Vec<Plan> {
    let health = HealthMetrics {
        peers: view.peers().len() as u64,
        partition_risk: f64::from(u8::from(weakness(view.present()) > 0)),
        clustering_coefficient: 1.0,
        ..HealthMetrics::default()
    };
    plans_of(view, &health, config)
}

/// Links that a single planner makes, who sees each at once.
fn alone(mut mesh: Mesh, config: &HealingConfig) -> Result<usize, Failure> {
    let mut made = 0;
    loop {
        let planned: Vec<Pair> = plans(&mesh.view()?, config)
            .iter()
            .flat_map(|plan| plan.links.iter().map(|link| pair(number(&link.a), number(&link.b))))
            .collect();
        if planned.is_empty() {
            return Ok(made);
        }
        made += planned.iter().filter(|pair| mesh.links.insert(**pair)).count();
    }
}
