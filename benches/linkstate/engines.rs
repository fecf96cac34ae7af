//! The same with production engines, which measure their links themselves: what they take for dead,
//! and how many of them one core and its memory carry.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_linkstate::Config;
use bitcraps_sim::scenario::{Scenario, Step, Verdict};
use bitcraps_sim::{Death, LinkModel, NodeId, Return, Simulation};
use bitcraps_types::{EnergyProfile, Epoch};

use crate::clock::process;
use crate::{Arguments, Failure, Report, Row};

/// How often views are looked at.
const LOOK: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// Longest time that a death may take to be known, before it counts as never.
const LIMIT: Duration = Duration::from_secs(60);

const THOUSAND: &str = include_str!("../../scenarios/thousand.toml");
const TEN_THOUSAND: &str = include_str!("../../scenarios/ten-thousand.toml");

/// Nodes in a ring, each linked with the next and with the fourth after it.
fn ring(seed: u64, count: usize, model: LinkModel) -> (Simulation, Vec<NodeId>) {
    let mut sim = Simulation::new(seed);
    let add = |_| sim.add_node_with(|setup| setup.network = Some(Config::new(Epoch(1))));
    let nodes: Vec<NodeId> = (0..count).map(add).collect();
    for at in 0..count {
        for other in [at + 1, at + 4] {
            sim.add_link(nodes[at], nodes[other % count], model);
        }
    }
    (sim, nodes)
}

/// How many links each living node sees.
fn seen(sim: &Simulation, nodes: &[NodeId]) -> BTreeSet<usize> {
    let networks = nodes.iter().filter_map(|node| sim.engine(*node)?.network());
    networks.map(|network| network.links().count()).collect()
}

/// Silent deaths, and links that lose frames and nothing else.
pub(super) fn silence(arguments: &Arguments, report: &mut Report) {
    // A metered radio is not woken by probes, so that nobody learns of a death while nothing is sent.
    let cable = LinkModel { energy: EnergyProfile::MAINS, metered: false, ..LinkModel::internet() };
    let kinds = [
        ("LAN", LinkModel::wifi().loss(0.05), 3.0),
        ("internet by cable", cable.loss(0.05), 3.0),
        ("Bluetooth", LinkModel::bluetooth_le().loss(0.05), 10.0),
    ];
    for (number, (what, model, most)) in kinds.into_iter().enumerate() {
        let (mut sim, nodes) = ring(arguments.seed + number as u64, 12, model);
        sim.run_for(30 * SECOND);
        let mut worst: f64 = 0.0;
        for dead in nodes.iter().take(arguments.size(12, 3)) {
            sim.kill(*dead, Death::Silent);
            let start = sim.now();
            while seen(&sim, &nodes) != BTreeSet::from([20]) && sim.now().since(start) < LIMIT {
                sim.run_for(LOOK);
            }
            let took = sim.now().since(start);
            worst = worst.max(if took < LIMIT { took.as_secs_f64() } else { f64::INFINITY });
            sim.restart(*dead, Return::NewLinks);
            sim.run_for(30 * SECOND);
        }
        let name = format!("a node falls silent, {what}, 5 % loss: no link of it is seen, worst");
        report.push(Row::new(name, worst, "s").at_most(most));
    }
    let (mut sim, nodes) = ring(arguments.seed + 9, 12, LinkModel::wifi().loss(0.05));
    sim.run_for(30 * SECOND);
    let looks = arguments.size(72_000, 6_000);
    let mut wrong = 0;
    for _ in 0..looks {
        sim.run_for(LOOK);
        wrong += usize::from(seen(&sim, &nodes) != BTreeSet::from([24]));
    }
    let minutes = looks / 1_200;
    let name =
        format!("24 links of 5 % loss for {minutes} min: looks at which one passes for gone");
    report.push(Row::new(name, wrong as f64, "").at_most(0.0));
}

/// A scenario's verdict, and the CPU seconds that it took. It says how far it is.
fn course(text: &str, seed: u64, report: &Report) -> Result<(Verdict, f64), Failure> {
    let mut scenario = Scenario::read(text).map_err(|why| Failure::broken("scenario", why))?;
    scenario.seed = seed;
    let start = process();
    let took = || (process() - start) as f64 / 1e9;
    let length = scenario.length().as_secs_f64();
    let watch = |step: &Step<'_>| {
        if step.at.subsec_nanos() == 0 {
            let at = step.at.as_secs();
            let (took, peak) = (took(), peak());
            report.progress(&format!("{at} of {length} virtual s: {took:.0} s CPU, {peak:.2} GB"));
        }
    };
    let verdict = scenario.run(false, watch).map_err(|why| Failure::broken("scenario", why))?;
    Ok((verdict, took()))
}

/// The most memory that this process had so far, in gigabytes; not a number where nobody tells.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1_024.0 / 1e9)
}

/// The scenario of a thousand nodes.
pub(super) fn thousand(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let (verdict, took) = course(THOUSAND, arguments.seed, report)?;
    let name = "1,000 engines, 60 virtual seconds with churn and traffic";
    report.push(Row::new(format!("{name}: CPU"), took, "s").at_most(120.0));
    report.push(wrong_views(name, &verdict));
    let rate = verdict.figures.bytes_per_node_second / 1e3;
    report.push(Row::new(format!("{name}: a node sends"), rate, "kB/s").at_most(20.0));
    report.push(memory(name));
    Ok(())
}

/// The scenario of ten thousand.
pub(super) fn ten_thousand(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let (verdict, took) = course(TEN_THOUSAND, arguments.seed, report)?;
    let name = "10,000 engines in islands, 10 virtual seconds";
    report.push(Row::new(format!("{name}: CPU"), took, "s"));
    report.push(wrong_views(name, &verdict));
    report.push(memory(name));
    Ok(())
}

fn wrong_views(name: &str, verdict: &Verdict) -> Row {
    let wrong = verdict.figures.wrong_views as f64;
    Row::new(format!("{name}: wrong views at the end"), wrong, "").at_most(0.0)
}

fn memory(name: &str) -> Row {
    Row::new(format!("{name}: memory of this process so far, peak"), peak(), "GB")
}
