//! Whether what is unusual is found: `eval anomaly DIR`.
//!
//! `DIR/labels.json` names windows of anomalies in the CSV files beside it, as the Numenta Anomaly
//! Benchmark does; the score is that of its standard profile. The monitor's detector is judged at its
//! default threshold, which is fixed beforehand; each rival at the threshold that suits it best on
//! these very series. A node's whole panel is judged on simulated networks of production engines, clean
//! ones and ones that something known befalls.

mod cuts;
mod mesh;
mod rivals;
mod series;

use std::path::Path;
use std::time::Duration;

use bitcraps_monitor::{AlertKind, Detector, MonitorConfig};
use bitcraps_types::Timestamp;
use fastrand::Rng;

use crate::{Arguments, Failure, Report, Row};
use mesh::{Ailment, Mesh, PEERS};
use series::{Score, Series};

/// Days of telemetry without anomalies, for each kind of noise.
const CLEAN_DAYS: usize = 20;
/// Ticks of a day.
const TICKS: usize = 17_280;
/// Ticks in which a network settles and its monitors learn what is usual.
const SETTLES: usize = 300;
/// Ticks within which what befalls a network is to be found.
const SOON: usize = 3;
/// Ticks that it lasts, and between two.
const LASTS: usize = 12;
const APART: usize = 72;
/// The severity in the middle, of six.
const MIDDLE: usize = 3;
/// Alerts that say that something has happened; others say what a network is like.
const ALARMS: [AlertKind; 6] = [
    AlertKind::AnomalyDetected,
    AlertKind::NetworkPartitioned,
    AlertKind::TransportDown,
    AlertKind::PeerLost,
    AlertKind::LinkStatePoisoning,
    AlertKind::IdentityConflict,
];

/// Scores the detector and its rivals on the series of a directory, and counts the false alerts of a
/// node whose every series is noise.
///
/// # Errors
/// [`Failure`] when a series or the labels cannot be read.
pub fn run(directory: &str, arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let directory = Path::new(directory);
    if directory.join("labels.json").is_file() {
        judge(&series::read(directory)?, arguments, report);
    } else {
        let missing = directory.display();
        report.progress(&format!("SKIPPED: {missing} has no labels.json, no series was judged"));
        report.push(Row::new("series judged (skipped: no labels.json)", 0.0, ""));
    }
    clean(arguments, report);
    clean_mesh(arguments, report);
    ailing_mesh(arguments, report);
    Ok(())
}

fn judge(series: &[Series], arguments: &Arguments, report: &mut Report) {
    let multiplier = MonitorConfig::default().anomaly_threshold_multiplier;
    let found = |series: &Series| -> Vec<bool> {
        let mut detector = Detector::new(f64::MIN_POSITIVE);
        let values = series.values.iter();
        values.map(|(at, value)| detector.observe(*value, *at, multiplier).begins).collect()
    };
    let own: Score = series.iter().map(|series| series.score(&found(series))).sum();
    report.push(Row::new("series judged", series.len() as f64, ""));
    report.push(Row::new("windows of anomalies", own.windows as f64, ""));
    report.push(Row::new("monitor, windows found", own.found as f64, ""));
    report.push(Row::new("monitor, false alerts", own.false_alerts as f64, ""));
    let mut best = f64::MIN;
    for (name, scorer, thresholds) in rivals::all(arguments.seed) {
        let scores: Vec<Vec<f64>> = series.iter().map(|series| scorer(&series.values)).collect();
        let at = |threshold: f64| -> Score {
            let judged = series.iter().zip(&scores);
            judged
                .map(|(series, scores)| {
                    let found: Vec<bool> = scores.iter().map(|score| *score > threshold).collect();
                    series.score(&found)
                })
                .sum()
        };
        let rival = thresholds.iter().map(|threshold| at(*threshold).standard());
        let rival = rival.fold(f64::MIN, f64::max);
        report.push(Row::new(format!("{name}, NAB standard, its best threshold"), rival, ""));
        best = best.max(rival);
    }
    let row = Row::new("monitor, NAB standard, threshold fixed", own.standard(), "");
    let ahead = own.standard() > best;
    let row =
        row.beside("best rival", best).at_least(40.0).judged("ahead of all".to_owned(), ahead);
    report.push(row);
}

/// A node whose measures are noise of three colours, at the tick of the monitor.
fn clean(arguments: &Arguments, report: &mut Report) {
    let days = arguments.size(CLEAN_DAYS, 4);
    let multiplier = MonitorConfig::default().anomaly_threshold_multiplier;
    let mut alerts = 0;
    let mut rng = Rng::with_seed(arguments.seed);
    for memory in [0.0, 0.5, 0.9] {
        let mut detector = Detector::new(f64::MIN_POSITIVE);
        let (mut at, mut state) = (Timestamp::ZERO, 0.0);
        for _ in 0..days * TICKS {
            at += Duration::from_secs(5);
            state = memory * state + (1.0_f64 - memory * memory).sqrt() * rivals::normal(&mut rng);
            alerts += usize::from(detector.observe(state, at, multiplier).begins);
        }
    }
    let days = (3 * days) as f64;
    report.push(Row::new("clean series, days", days, ""));
    let row = Row::new("clean series, false alerts a day", alerts as f64 / days, "");
    report.push(row.at_most(0.1));
}

/// Networks that nothing befalls: what their peers tell all the same.
fn clean_mesh(arguments: &Arguments, report: &mut Report) {
    let (networks, ticks) = (arguments.size(4, 1), arguments.size(TICKS / 4, TICKS / 24));
    let (mut anomalies, mut others) = (0, 0);
    for number in 0..networks as u64 {
        let mut mesh = Mesh::new(arguments.seed.wrapping_mul(1_000).wrapping_add(number));
        (0..SETTLES).for_each(|_| mesh.tick());
        mesh.fired();
        for tick in 0..ticks {
            mesh.tick();
            for kind in mesh.fired().into_iter().filter(|kind| ALARMS.contains(kind)) {
                report.progress(&format!("network {number}, tick {tick}: {kind}"));
                match kind {
                    AlertKind::AnomalyDetected => anomalies += 1,
                    _ => others += 1,
                }
            }
        }
    }
    let days = (networks * ticks * PEERS) as f64 / TICKS as f64;
    report.push(Row::new("clean simulated networks, node-days", days, ""));
    for (name, count) in [("anomalies", anomalies), ("other alarms", others)] {
        let name = format!("clean simulated networks, false {name} a node-day");
        report.push(Row::new(name, f64::from(count) / days, "").at_most(0.1));
    }
}

/// What befalls networks, and how much of it is told by anybody within three ticks.
#[derive(Debug, Clone, Copy, Default)]
struct Finds {
    all: u32,
    alarmed: u32,
    as_anomaly: u32,
}

impl Finds {
    fn share(count: u32, all: u32) -> f64 {
        100.0 * f64::from(count) / f64::from(all.max(1))
    }
}

fn ailing_mesh(arguments: &Arguments, report: &mut Report) {
    let mut finds = [[Finds::default(); Ailment::SEVERITIES]; Ailment::ALL.len()];
    for number in 0..arguments.size(6, 2) as u64 {
        let seed = arguments.seed.wrapping_mul(1_000).wrapping_add(500 + number);
        let mut mesh = Mesh::new(seed);
        (0..SETTLES).for_each(|_| mesh.tick());
        for severity in 1..=Ailment::SEVERITIES {
            for (ailment, finds) in Ailment::ALL.into_iter().zip(&mut finds) {
                mesh.fired();
                mesh.strike(ailment, severity);
                (0..SOON).for_each(|_| mesh.tick());
                let fired = mesh.fired();
                let finds = &mut finds[severity - 1];
                finds.all += 1;
                finds.alarmed += u32::from(fired.iter().any(|kind| ALARMS.contains(kind)));
                finds.as_anomaly += u32::from(fired.contains(&AlertKind::AnomalyDetected));
                (SOON..LASTS).for_each(|_| mesh.tick());
                mesh.recover(ailment);
                (0..APART).for_each(|_| mesh.tick());
            }
        }
    }
    for (ailment, by_severity) in Ailment::ALL.into_iter().zip(&finds) {
        for (severity, finds) in (1..).zip(by_severity) {
            let name = format!("{}, severity {severity} of 6: told in 3 ticks", ailment.name());
            let row = Row::new(name, Finds::share(finds.alarmed, finds.all), "%");
            let anomalies = Finds::share(finds.as_anomaly, finds.all);
            report.push(row.beside("by anomalies alone", anomalies));
        }
    }
    let middle = finds.iter().map(|by_severity| by_severity[MIDDLE - 1]);
    let (all, told) = middle.fold((0, 0), |(all, told), f| (all + f.all, told + f.alarmed));
    report.push(Row::new("simulated faults, middle severity", f64::from(all), ""));
    let row = Row::new(
        "simulated faults, middle severity: told in 3 ticks",
        Finds::share(told, all),
        "%",
    );
    report.push(row.at_least(90.0));
}
