//! One link at a time: removed, and put back.

use bitcraps_topology::{EdgeInfo, LinkChange, LiveTopology, MeasureSet, Upkeep};
use bitcraps_types::TransportType;

use super::{measures, shape};
use crate::clock::thread;
use crate::sample::quantile;
use crate::{Arguments, Failure, Report, Row};

const RADIO: TransportType = TransportType::WiFiDirect;
/// Links that are out at any time at most.
const OUT: usize = 2_000;

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    for peers in [10_000, 100_000] {
        let steps = arguments.size(100_000, 5_000);
        report.progress(&format!("{steps} changes of one link, {peers} peers"));
        changes(peers, steps, arguments.seed, report)?;
    }
    Ok(())
}

/// What reading the clock costs, in us: it is part of each time.
fn clock_us() -> f64 {
    const READS: u32 = 10_000;
    let start = thread();
    for _ in 0..READS {
        std::hint::black_box(thread());
    }
    (thread() - start) as f64 / f64::from(READS) / 1e3
}

fn changes(peers: usize, steps: usize, seed: u64, report: &mut Report) -> Result<(), Failure> {
    let graph = shape::geometric(peers, 8.0, seed)?;
    let ids = shape::ids(peers, seed);
    let mut live = LiveTopology::new(measures::topology(&graph, &ids)?);
    let mut inside: Vec<_> =
        graph.link_list().map(|(a, b)| (ids[a as usize], ids[b as usize])).collect();
    let mut outside = Vec::new();
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut removals, mut additions) = (Vec::new(), Vec::new());
    let mut kinds = [0_u32; 3];
    for _ in 0..steps {
        let remove = outside.is_empty() || (outside.len() < OUT && rng.bool());
        let start = thread();
        let upkeep = if remove {
            let (a, b) = inside.swap_remove(rng.usize(0..inside.len()));
            outside.push((a, b));
            live.remove_edge(&a, &b, RADIO).map(|(_, upkeep)| upkeep).ok()
        } else {
            let (a, b) = outside.swap_remove(rng.usize(0..outside.len()));
            inside.push((a, b));
            live.add_edge(&a, &b, EdgeInfo::default()).ok()
        };
        let upkeep = upkeep.ok_or_else(|| Failure::Broken("a change was refused".to_owned()))?;
        if upkeep == Upkeep::Recomputed {
            live.measures();
        }
        let us = (thread() - start) as f64 / 1e3;
        kinds[upkeep as usize] += 1;
        if remove { removals.push(us) } else { additions.push(us) }
    }
    if live.measures() != MeasureSet::of(&live.topology().snapshot()) {
        return Err(Failure::Broken("the measures kept are not those computed anew".to_owned()));
    }
    let mean = (removals.iter().sum::<f64>() + additions.iter().sum::<f64>()) / steps as f64;
    let clock = clock_us();
    let row = |what: &str, us| Row::new(format!("one change, {what}, {peers} peers"), us, "us");
    report.push(row("reading of the clock, part of each time", clock));
    report.push(row("removal p50", quantile(&mut removals, 0.5)).at_most(1.0 + clock));
    report.push(row("removal p99", quantile(&mut removals, 0.99)).at_most(1_000.0));
    report.push(row("addition p50", quantile(&mut additions, 0.5)).at_most(3.0 + clock));
    report.push(row("addition p99", quantile(&mut additions, 0.99)).at_most(1_000.0));
    report.push(row("mean", mean).at_most(50.0));
    let [certified, repaired, recomputed] =
        kinds.map(|count| 100.0 * f64::from(count) / steps as f64);
    for (what, share) in
        [("certified", certified), ("repaired", repaired), ("recomputed", recomputed)]
    {
        report.push(Row::new(format!("changes {what}, {peers} peers"), share, "%"));
    }
    batch(&mut live, &inside, peers, report);
    Ok(())
}

/// One percent of the links removed at once, against computing everything anew.
fn batch(
    live: &mut LiveTopology,
    inside: &[(bitcraps_types::PeerId, bitcraps_types::PeerId)],
    peers: usize,
    report: &mut Report,
) {
    let start = thread();
    std::hint::black_box(MeasureSet::of(&live.topology().snapshot()));
    let anew = (thread() - start) as f64 / 1e6;
    let removals = inside[..inside.len() / 100].iter();
    let removals: Vec<LinkChange> =
        removals.map(|(a, b)| LinkChange::Remove { a: *a, b: *b, transport: RADIO }).collect();
    let start = thread();
    live.apply(&removals);
    live.measures();
    let taken = (thread() - start) as f64 / 1e6;
    let name = format!("{} removals at once, {peers} peers", removals.len());
    report.push(Row::new(name, taken, "ms").beside("computing anew", anew).ratio_at_most(0.2));
}
