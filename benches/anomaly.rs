//! Whether what is unusual is found: `eval anomaly DIR`.
//!
//! `DIR/labels.json` names windows of anomalies in the CSV files beside it, as the Numenta Anomaly
//! Benchmark does; the score is that of its standard profile. The monitor's detector is judged at its
//! default threshold, which is fixed beforehand, each rival at the lowest one that keeps it as calm on
//! noise; all of them also at thresholds chosen on the other series, and at the best afterwards. A
//! node's whole panel is judged on simulated networks of production engines, clean ones and ones that
//! something known befalls.

mod cuts;
mod mesh;
mod rivals;
mod series;
mod threshold;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bitcraps_monitor::{AlertKind, Detector, MonitorConfig};
use bitcraps_types::Timestamp;
use fastrand::Rng;

use crate::{Arguments, Failure, Report, Row};
use mesh::{Ailment, Mesh, PEERS};
use series::Series;
use threshold::{Standards, Telling, calm};

/// Days of telemetry without anomalies, for each kind of noise.
const CLEAN_DAYS: usize = 20;
/// Ticks of a day.
const TICKS: usize = 17_280;
/// Ticks in which a network settles and its monitors learn what is usual.
const SETTLES: usize = 300;
/// Ticks within which what befalls a network is to be found.
const SOON: usize = 3;
/// Ticks that it lasts, and quiet ones before the next: alerts of anomalies end a minute after them.
const LASTS: usize = 6;
const APART: usize = 24;
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

/// Days of noise of each colour on which rivals get their thresholds, and how many of its first values
/// nothing is said of: as many as of a series of NAB.
const NOISE_DAYS: usize = 10;
const PROBATION: usize = 750;
/// False alerts of a day that are none too many.
const FALSE_A_DAY: f64 = 0.1;
/// Forests draw: what they earn is the mean of so many.
const DRAWS: u64 = 5;

/// A rival on the series that are judged.
struct Rival {
    name: &'static str,
    /// Its threshold by what it says of noise.
    calm: f64,
    thresholds: Vec<f64>,
    /// What it says of each value of each series, for each draw.
    draws: Vec<Vec<Vec<f64>>>,
}

fn judge(series: &[Series], arguments: &Arguments, report: &mut Report) {
    report.push(Row::new("series judged", series.len() as f64, ""));
    let usual = MonitorConfig::default().anomaly_threshold_multiplier;
    let own: Vec<Vec<f64>> = series.iter().map(|series| scored(&series.values)).collect();
    let told = series
        .iter()
        .zip(&own)
        .map(|(series, scores)| series.score(&Telling::Once.alerts(scores, usual)));
    let told: series::Score = told.sum();
    report.push(Row::new("windows of anomalies", told.windows as f64, ""));
    report.push(Row::new("monitor, windows found", told.found as f64, ""));
    report.push(Row::new("monitor, false alerts", told.false_alerts as f64, ""));
    let days = arguments.size(NOISE_DAYS, 1);
    let noise: Vec<_> = colours(days, arguments.seed).collect();
    let most = (FALSE_A_DAY * (noise.len() * days) as f64) as usize;
    let mut rivals = Vec::new();
    for (name, scorer, thresholds) in rivals::all(arguments.seed) {
        let quiet = |values: &Vec<(Timestamp, f64)>| scorer(values).split_off(PROBATION);
        let calm = calm(&noise.iter().map(quiet).collect::<Vec<_>>(), &thresholds, most);
        report.push(Row::new(format!("{name}, threshold fixed on noise"), calm, ""));
        rivals.push(Rival { name, calm, thresholds, draws: Vec::new() });
    }
    for draw in 0..DRAWS {
        for (rival, (_, scorer, _)) in rivals.iter_mut().zip(rivals::all(arguments.seed + draw)) {
            rival.draws.push(series.iter().map(|series| scorer(&series.values)).collect());
        }
    }
    for telling in Telling::ALL {
        let how = telling.name();
        let steps: Vec<f64> = (0..80).map(|step| usual * (0.5 + 0.025 * f64::from(step))).collect();
        let own = Standards::of(series, &own, telling, &steps, usual);
        let (mut fixed, mut others) = (f64::MIN, f64::MIN);
        for Rival { name, calm, thresholds, draws } in &rivals {
            let of =
                |scores: &Vec<Vec<f64>>| Standards::of(series, scores, telling, thresholds, *calm);
            let rival = Standards::mean(&draws.iter().map(of).collect::<Vec<_>>());
            let mut push = |chosen: &str, score: f64| {
                let name = format!("{name}, NAB standard, {how}, threshold {chosen}");
                report.push(Row::new(name, score, ""));
            };
            push("fixed on noise", rival.fixed);
            push("of the other series", rival.others);
            push("best afterwards", rival.best);
            (fixed, others) = (fixed.max(rival.fixed), others.max(rival.others));
        }
        for (chosen, score, rival) in
            [("fixed", own.fixed, fixed), ("of the other series", own.others, others)]
        {
            let name = format!("monitor, NAB standard, {how}, threshold {chosen}");
            let row = Row::new(name, score, "").beside("best rival", rival).at_least(40.0);
            report.push(row.judged("ahead of all".to_owned(), score > rival));
        }
        let name = format!("monitor, NAB standard, {how}, threshold best afterwards");
        report.push(Row::new(name, own.best, ""));
    }
}

/// How unusual the monitor's detector finds each value.
fn scored(values: &[(Timestamp, f64)]) -> Vec<f64> {
    let usual = MonitorConfig::default().anomaly_threshold_multiplier;
    let mut detector = Detector::new(f64::MIN_POSITIVE);
    values.iter().map(|(at, value)| detector.observe(*value, *at, usual).score).collect()
}

/// Noise of three colours at the tick of the monitor.
fn colours(days: usize, seed: u64) -> impl Iterator<Item = Vec<(Timestamp, f64)>> {
    let mut rng = Rng::with_seed(seed);
    [0.0_f64, 0.5, 0.9].into_iter().map(move |memory| {
        let (mut at, mut state) = (Timestamp::ZERO, 0.0);
        let value = |_| {
            at += Duration::from_secs(5);
            state = memory * state + (1.0 - memory * memory).sqrt() * rivals::normal(&mut rng);
            (at, state)
        };
        (0..days * TICKS).map(value).collect()
    })
}

/// A node whose every measure is noise.
fn clean(arguments: &Arguments, report: &mut Report) {
    let days = arguments.size(CLEAN_DAYS, 4);
    let multiplier = MonitorConfig::default().anomaly_threshold_multiplier;
    let alerts = |values: Vec<(Timestamp, f64)>| {
        let mut detector = Detector::new(f64::MIN_POSITIVE);
        let begins = values.into_iter().map(|(at, value)| detector.observe(value, at, multiplier));
        begins.filter(|verdict| verdict.begins).count()
    };
    let alerts: usize = colours(days, arguments.seed).map(alerts).sum();
    let days = (3 * days) as f64;
    report.push(Row::new("clean series, days", days, ""));
    let row = Row::new("clean series, false alerts a day", alerts as f64 / days, "");
    report.push(row.at_most(FALSE_A_DAY));
}

/// Networks that nothing befalls: what their peers tell all the same.
fn clean_mesh(arguments: &Arguments, report: &mut Report) {
    let (networks, ticks) = (arguments.size(10, 1), arguments.size(TICKS / 4, TICKS / 24));
    let days = |networks: usize| (networks * ticks * PEERS) as f64 / TICKS as f64;
    let (mut watched, mut anomalies, mut others) = (0, 0, 0);
    at_once(
        networks,
        |number, tell| {
            let mut mesh = Mesh::new(arguments.seed.wrapping_mul(1_000).wrapping_add(number));
            (0..SETTLES).for_each(|_| mesh.tick());
            mesh.fired();
            for tick in 0..ticks {
                mesh.tick();
                let fired = mesh.fired().into_iter().filter(|(kind, _)| ALARMS.contains(kind));
                fired.for_each(|(kind, what)| tell(Seen::Alarm { number, tick, kind, what }));
            }
            tell(Seen::Whole { number });
        },
        |seen| match seen {
            Seen::Alarm { number, tick, kind, what } => {
                let is_anomaly = kind == AlertKind::AnomalyDetected;
                *(if is_anomaly { &mut anomalies } else { &mut others }) += 1;
                report.progress(&format!("network {number}, tick {tick}: {kind}: {what}"));
            }
            // What other networks have told before their end counts as well: more, not less.
            Seen::Whole { number } => {
                watched += 1;
                let days = days(watched);
                report.progress(&format!(
                    "network {number} is whole, {watched} of {networks}: {days:.1} node-days, \
                     {anomalies} false anomalies and {others} other alarms; with 95 % confidence at \
                     most {:.2} and {:.2} a node-day",
                    most_expected(anomalies) / days,
                    most_expected(others) / days,
                ));
            }
        },
    );
    let days = days(networks);
    report.push(Row::new("clean simulated networks, node-days", days, ""));
    for (name, count) in [("anomalies", anomalies), ("other alarms", others)] {
        let name = format!("clean simulated networks, false {name}");
        report.push(Row::new(format!("{name} a node-day"), count as f64 / days, "").at_most(0.1));
        // What was seen of so few may be luck.
        let most = most_expected(count) / days;
        let name = format!("{name} a node-day, at most with 95 % confidence");
        report.push(Row::new(name, most, "").at_most(0.1));
    }
}

/// What is seen of a clean network.
enum Seen {
    Alarm { number: u64, tick: usize, kind: AlertKind, what: String },
    Whole { number: u64 },
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

/// Networks one for each core at a time; what is told of them is heard while they are watched.
fn at_once<T: Send>(networks: usize, watch: impl Fn(u64, &dyn Fn(T)) + Sync, hear: impl FnMut(T)) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(networks);
    let next = AtomicU64::new(0);
    let (sender, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let sender = sender.clone();
            let (watch, next) = (&watch, &next);
            scope.spawn(move || {
                // Nobody hears when what hears has failed, and that is told.
                let tell = |seen| drop(sender.send(seen));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= networks as u64 {
                        return;
                    }
                    watch(number, &tell);
                }
            });
        }
        drop(sender);
        told.into_iter().for_each(hear);
    });
}

/// What befell a network, and what anybody told of it within three ticks.
#[derive(Debug, Clone, Copy)]
struct Struck {
    number: u64,
    /// Its place in [`Ailment::ALL`].
    place: usize,
    severity: usize,
    alarmed: bool,
    as_anomaly: bool,
    /// Whether there was an alarm in the three ticks before it.
    by_chance: bool,
}

/// What befalls networks, and how much of it is told by anybody within three ticks.
#[derive(Debug, Clone, Copy, Default)]
struct Finds {
    all: usize,
    alarmed: usize,
    as_anomaly: usize,
}

impl Finds {
    fn share(count: usize, all: usize) -> f64 {
        100.0 * count as f64 / all.max(1) as f64
    }
}

/// The severities that befall a network, the one that is judged first: it befalls all of them, each
/// other one the networks of its turn.
fn severities(number: u64) -> [usize; 2] {
    let others = (1..=Ailment::SEVERITIES).filter(|severity| *severity != MIDDLE);
    let turn = number as usize % (Ailment::SEVERITIES - 1);
    [MIDDLE, others.into_iter().nth(turn).unwrap_or(MIDDLE)]
}

fn named(ailment: Ailment, severity: usize) -> String {
    format!("{}, severity {severity} of {}", ailment.name(), Ailment::SEVERITIES)
}

fn ailing_mesh(arguments: &Arguments, report: &mut Report) {
    let networks = arguments.size(6, 2);
    let mut finds = [[Finds::default(); Ailment::SEVERITIES]; Ailment::ALL.len()];
    let (mut all, mut by_chance) = (0, 0);
    at_once(
        networks,
        |number, tell| {
            let seed = arguments.seed.wrapping_mul(1_000).wrapping_add(500 + number);
            let mut mesh = Mesh::new(seed);
            (0..SETTLES).for_each(|_| mesh.tick());
            let alarms = |mesh: &mut Mesh| {
                let fired = mesh.fired();
                let alarmed = fired.iter().any(|(kind, _)| ALARMS.contains(kind));
                (alarmed, fired.iter().any(|(kind, _)| *kind == AlertKind::AnomalyDetected))
            };
            for severity in severities(number) {
                for (place, ailment) in Ailment::ALL.into_iter().enumerate() {
                    (0..APART - SOON).for_each(|_| mesh.tick());
                    mesh.fired();
                    (0..SOON).for_each(|_| mesh.tick());
                    let (by_chance, _) = alarms(&mut mesh);
                    mesh.strike(ailment, severity);
                    (0..SOON).for_each(|_| mesh.tick());
                    let (alarmed, as_anomaly) = alarms(&mut mesh);
                    tell(Struck { number, place, severity, alarmed, as_anomaly, by_chance });
                    (SOON..LASTS).for_each(|_| mesh.tick());
                    mesh.recover(ailment);
                }
            }
        },
        |struck| {
            let Struck { number, place, severity, alarmed, as_anomaly, .. } = struck;
            let name = named(Ailment::ALL[place], severity);
            let told = if alarmed { "told" } else { "MISSED" };
            report.progress(&format!("network {number}: {name}: {told}"));
            let finds = &mut finds[place][severity - 1];
            finds.all += 1;
            finds.alarmed += usize::from(alarmed);
            finds.as_anomaly += usize::from(as_anomaly);
            all += 1;
            by_chance += usize::from(struck.by_chance);
        },
    );
    for (ailment, by_severity) in Ailment::ALL.into_iter().zip(&finds) {
        for (severity, finds) in (1..).zip(by_severity).filter(|(_, finds)| finds.all > 0) {
            let (name, all) = (named(ailment, severity), finds.all);
            let share = Finds::share(finds.alarmed, all);
            let row = Row::new(format!("{name}, of {all}: told in 3 ticks"), share, "%");
            let anomalies = Finds::share(finds.as_anomaly, all);
            report.push(row.beside("by anomalies alone", anomalies));
        }
    }
    let chance = Finds::share(by_chance, all);
    report.push(Row::new("three ticks before a fault with an alarm, by chance", chance, "%"));
    let middle = finds.iter().map(|by_severity| by_severity[MIDDLE - 1]);
    let (all, told) = middle.fold((0, 0), |(all, told), f| (all + f.all, told + f.alarmed));
    report.push(Row::new("simulated faults, middle severity", all as f64, ""));
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
    fn networks_are_watched_once_each_and_heard_while_others_run() {
        // Longer than anything here takes: whoever waits so long is not heard.
        const LONG: Duration = Duration::from_secs(60);
        let mut heard = Vec::new();
        at_once(7, |number, tell| tell(number * number), |square: u64| heard.push(square));
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 4, 9, 16, 25, 36]);
        // The first is heard before the last has ended: that one waits for it.
        let (sender, first) = mpsc::channel();
        let first = std::sync::Mutex::new(first);
        at_once(
            2,
            |number, tell| match number {
                0 => tell(number),
                _ => first.lock().unwrap().recv_timeout(LONG).unwrap(),
            },
            |_| sender.send(()).unwrap(),
        );
    }

    #[test]
    fn the_middle_severity_befalls_every_network_and_each_other_one_some() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(severities),
            [[3, 1], [3, 2], [3, 4], [3, 5], [3, 6], [3, 1]]
        );
    }
}
