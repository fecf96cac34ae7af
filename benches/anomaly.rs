//! Whether what is unusual is found: `eval anomaly DIR`.
//!
//! `DIR/labels.json` names windows of anomalies in the CSV files beside it, as the Numenta Anomaly
//! Benchmark does; the score is that of its standard profile. The monitor's detector is judged at its
//! default threshold, which is fixed beforehand; each rival at the threshold that suits it best on
//! these very series.

mod cuts;
mod rivals;
mod series;

use std::path::Path;
use std::time::Duration;

use bitcraps_monitor::{Detector, MonitorConfig};
use bitcraps_types::Timestamp;
use fastrand::Rng;

use crate::{Arguments, Failure, Report, Row};
use series::{Score, Series};

/// Days of telemetry without anomalies, for each kind of noise.
const CLEAN_DAYS: usize = 20;
/// Ticks of a day.
const TICKS: usize = 17_280;

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
