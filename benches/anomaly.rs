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
    let labelled = directory.join("labels.json").is_file();
    if labelled && arguments.wants("series") {
        judge(&series::read(directory)?, arguments, report);
    } else if !labelled {
        let missing = directory.display();
        report.progress(&format!("SKIPPED: {missing} has no labels.json, no series was judged"));
        report.push(Row::new("series judged (skipped: no labels.json)", 0.0, ""));
    }
    if arguments.wants("noise") {
        clean(arguments, report);
    }
    if arguments.wants("networks") {
        clean_mesh(arguments, report);
    }
    if arguments.wants("faults") {
        ailing_mesh(arguments, report);
    }
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
    let (networks, ticks) = (arguments.size(10, 1), arguments.size(TICKS / 4, TICKS / 24));
    let watched = at_once(networks, |number| {
        let mut mesh = Mesh::new(arguments.seed.wrapping_mul(1_000).wrapping_add(number));
        (0..SETTLES).for_each(|_| mesh.tick());
        mesh.fired();
        let mut alarms = Vec::new();
        for tick in 0..ticks {
            mesh.tick();
            let fired = mesh.fired().into_iter().filter(|(kind, _)| ALARMS.contains(kind));
            alarms.extend(fired.map(|(kind, what)| (number, tick, kind, what)));
        }
        alarms
    });
    let alarms: Vec<_> = watched.into_iter().flatten().collect();
    for (number, tick, kind, what) in &alarms {
        report.progress(&format!("network {number}, tick {tick}: {kind}: {what}"));
    }
    let days = (networks * ticks * PEERS) as f64 / TICKS as f64;
    report.push(Row::new("clean simulated networks, node-days", days, ""));
    let anomalies = alarms.iter().filter(|alarm| alarm.2 == AlertKind::AnomalyDetected).count();
    let others = alarms.len() - anomalies;
    for (name, count) in [("anomalies", anomalies), ("other alarms", others)] {
        let name = format!("clean simulated networks, false {name}");
        report.push(Row::new(format!("{name} a node-day"), count as f64 / days, "").at_most(0.1));
        // What was seen of so few may be luck.
        let most = most_expected(count) / days;
        let name = format!("{name} a node-day, at most with 95 % confidence");
        report.push(Row::new(name, most, "").at_most(0.1));
    }
}

/// The mean above which so few events, or fewer, have a probability of 5 % (Garwood 1936).
fn most_expected(events: usize) -> f64 {
    let so_few = |mean: f64| {
        let mut term = (-mean).exp();
        let mut sum = term;
        for number in 1..=events {
            term *= mean / number as f64;
            sum += term;
        }
        sum
    };
    let (mut below, mut above) = (0.0, 10.0 + 3.0 * events as f64);
    for _ in 0..60 {
        let middle = f64::midpoint(below, above);
        if so_few(middle) > 0.05 { below = middle } else { above = middle }
    }
    below
}

/// Networks one for each core at a time, in the order of their numbers.
fn at_once<T: Send>(networks: usize, watch: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let numbers: Vec<u64> = (0..networks as u64).collect();
    let mut seen = Vec::with_capacity(networks);
    for some in numbers.chunks(cores) {
        seen.extend(std::thread::scope(|scope| {
            let threads: Vec<_> =
                some.iter().map(|number| scope.spawn(|| watch(*number))).collect();
            let ended = threads.into_iter().map(|thread| match thread.join() {
                Ok(seen) => seen,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ended.collect::<Vec<T>>()
        }));
    }
    seen
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
    let watched = at_once(arguments.size(6, 2), |number| {
        let mut told = Vec::new();
        let seed = arguments.seed.wrapping_mul(1_000).wrapping_add(500 + number);
        let mut mesh = Mesh::new(seed);
        (0..SETTLES).for_each(|_| mesh.tick());
        for severity in 1..=Ailment::SEVERITIES {
            for (place, ailment) in Ailment::ALL.into_iter().enumerate() {
                mesh.fired();
                mesh.strike(ailment, severity);
                (0..SOON).for_each(|_| mesh.tick());
                let fired = mesh.fired();
                let alarmed = fired.iter().any(|(kind, _)| ALARMS.contains(kind));
                let as_anomaly = fired.iter().any(|(kind, _)| *kind == AlertKind::AnomalyDetected);
                told.push((place, severity, alarmed, as_anomaly));
                (SOON..LASTS).for_each(|_| mesh.tick());
                mesh.recover(ailment);
                (0..APART).for_each(|_| mesh.tick());
            }
        }
        told
    });
    let mut finds = [[Finds::default(); Ailment::SEVERITIES]; Ailment::ALL.len()];
    for (place, severity, alarmed, as_anomaly) in watched.into_iter().flatten() {
        let finds = &mut finds[place][severity - 1];
        finds.all += 1;
        finds.alarmed += u32::from(alarmed);
        finds.as_anomaly += u32::from(as_anomaly);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_chi_squared_distribution() {
        // Half of its 95 % quantile with 2 (events + 1) degrees of freedom.
        for (events, bound) in [(0, 2.995_7), (1, 4.743_9), (3, 7.753_7), (20, 29.062)] {
            assert!((most_expected(events) - bound).abs() < 1e-3, "{events}");
        }
    }

    #[test]
    fn networks_are_watched_once_each_and_kept_in_order() {
        assert_eq!(at_once(7, |number| number * number), [0, 1, 4, 9, 16, 25, 36]);
    }
}
