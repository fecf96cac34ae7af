use std::collections::BTreeMap;
use std::fs;
use std::iter::Sum;
use std::path::Path;

use bitcraps_types::Timestamp;
use serde::Deserialize;

use crate::Failure;

/// Share of a series in which nothing counts, and how much that is at most.
const PROBATION: (f64, usize) = (0.15, 750);
/// What a false alert costs, where a window missed costs 1.
const FALSE_ALERT: f64 = 0.11;

/// A series with the windows in which it is anomalous.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) values: Vec<(Timestamp, f64)>,
    /// First and last place of each window, ascending.
    windows: Vec<(usize, usize)>,
}

/// What a detector earned on some series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Score {
    raw: f64,
    pub(super) windows: usize,
    pub(super) found: usize,
    pub(super) false_alerts: usize,
}

impl Score {
    /// 100 for all windows found at their beginnings and nothing else, 0 for silence.
    pub(super) fn standard(&self) -> f64 {
        let windows = self.windows as f64;
        100.0 * (self.raw + windows) / (2.0 * windows)
    }
}

impl Sum for Score {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), |sum, score| Self {
            raw: sum.raw + score.raw,
            windows: sum.windows + score.windows,
            found: sum.found + score.found,
            false_alerts: sum.false_alerts + score.false_alerts,
        })
    }
}

/// 1 long before the end of a window, 0 at it, -1 long after (Lavin and Ahmad 2015).
fn sigmoid(place: f64) -> f64 {
    2.0 / (1.0 + (5.0 * place).exp()) - 1.0
}

impl Series {
    /// So many values, all 0, one a second.
    #[cfg(test)]
    pub(super) fn flat(values: u64, windows: &[(usize, usize)]) -> Self {
        let values = (0..values).map(|second| (Timestamp::from_millis(second * 1_000), 0.0));
        Self { values: values.collect(), windows: windows.to_vec() }
    }

    /// NAB's standard profile: of each window the first find counts, the earlier the more; every
    /// find outside of windows costs, the farther behind one the more.
    pub(super) fn score(&self, found: &[bool]) -> Score {
        let probation = ((PROBATION.0 * self.values.len() as f64) as usize).min(PROBATION.1);
        let mut score = Score::default();
        for &(first, last) in self.windows.iter().filter(|window| window.0 >= probation) {
            score.windows += 1;
            match (first..=last).find(|place| found[*place]) {
                Some(place) => {
                    let length = (last - first + 1) as f64;
                    let before_end = (last - place + 1) as f64 / length;
                    score.raw += sigmoid(-before_end) / sigmoid(-1.0);
                    score.found += 1;
                }
                None => score.raw -= 1.0,
            }
        }
        let finds = (probation..found.len()).filter(|place| found[*place]);
        for place in finds {
            if self.windows.iter().any(|window| (window.0..=window.1).contains(&place)) {
                continue;
            }
            score.false_alerts += 1;
            let before = self.windows.iter().rfind(|window| window.1 < place);
            let behind =
                before.map(|(first, last)| (place - last) as f64 / (last - first).max(1) as f64);
            let value = behind.filter(|behind| *behind <= 3.0).map_or(-1.0, sigmoid);
            score.raw += FALSE_ALERT * value;
        }
        score
    }
}

#[derive(Debug, Deserialize)]
struct Labels {
    windows: BTreeMap<String, Vec<(String, String)>>,
}

/// Every CSV file of a directory: `timestamp,value`, with the windows of its `labels.json`.
pub(super) fn read(directory: &Path) -> Result<Vec<Series>, Failure> {
    let path = directory.join("labels.json");
    let shown = path.display().to_string();
    let text = fs::read_to_string(&path).map_err(|e| Failure::broken(&shown, e))?;
    let labels: Labels = serde_json::from_str(&text).map_err(|e| Failure::broken(&shown, e))?;
    let shown = directory.display().to_string();
    let entries = fs::read_dir(directory).map_err(|e| Failure::broken(&shown, e))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| Failure::broken(&shown, e))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| name.ends_with(".csv"));
    names.sort_unstable();
    let nothing = Vec::new();
    let series = names.iter().map(|name| {
        let text =
            fs::read_to_string(directory.join(name)).map_err(|e| Failure::broken(name, e))?;
        let windows = labels.windows.get(name).unwrap_or(&nothing);
        parse(&text, windows).map_err(|why| Failure::broken(name, why))
    });
    series.collect()
}

fn parse(text: &str, windows: &[(String, String)]) -> Result<Series, String> {
    let mut values = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let wrong = || format!("line {}: a time and a number expected, not `{line}`", number + 1);
        let (time, value) = line.split_once(',').ok_or_else(wrong)?;
        let value: f64 = value.trim().parse().map_err(|_| wrong())?;
        values.push((seconds(time).ok_or_else(wrong)?, value));
    }
    let window = |(from, to): &(String, String)| {
        let wrong = || format!("a window from `{from}` to `{to}` is none");
        let (from, to) = seconds(from).zip(seconds(to)).ok_or_else(wrong)?;
        let first = values.iter().position(|(at, _)| *at >= from);
        let last = values.iter().rposition(|(at, _)| *at <= to);
        first.zip(last).filter(|(first, last)| first <= last).ok_or_else(wrong)
    };
    let windows: Result<Vec<_>, String> = windows.iter().map(window).collect();
    let values = values.iter().map(|(at, value)| (Timestamp::from_millis(at * 1_000), *value));
    Ok(Series { values: values.collect(), windows: windows? })
}

/// Seconds since 1970 of `YYYY-MM-DD HH:MM:SS`, what follows left out (Hinnant 2013).
fn seconds(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March, so that leap days are at the end.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some((days - 719_469) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(places: &[usize]) -> Vec<bool> {
        (0..100).map(|place| places.contains(&place)).collect()
    }

    #[test]
    fn scores_are_those_of_the_standard_profile() {
        let one = Series::flat(100, &[(40, 49)]);
        let standard = |places: &[usize]| one.score(&found(places)).standard();
        assert_eq!(standard(&[]), 0.0);
        assert_eq!(standard(&[40]), 100.0);
        // What is found again in the same window counts no more.
        assert_eq!(standard(&[40, 44, 49]), 100.0);
        // Late is worth less, and a false alert 5.5, less near a window's end.
        assert!((standard(&[49]) - 50.0 * (1.0 + sigmoid(-0.1) / sigmoid(-1.0))).abs() < 1e-9);
        assert!((standard(&[40, 20]) - 94.5).abs() < 1e-9);
        assert!(standard(&[40, 52]) > 94.5 && standard(&[40, 52]) < 100.0);
        assert!((standard(&[40, 99]) - 94.5).abs() < 1e-9);
        // In the first 15 % nothing counts.
        assert_eq!(standard(&[40, 14]), 100.0);
        assert!(standard(&[40, 15]) < 100.0);
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(seconds("1970-01-01 00:00:00"), Some(0));
        assert_eq!(seconds("2014-02-14 14:30:00"), Some(1_392_388_200));
        assert_eq!(seconds("2016-02-29 23:59:59.000000"), Some(1_456_790_399));
        for wrong in ["", "2014-13-01 00:00:00", "x014-01-01 00:00:00", "1812-01-01 00:00:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn files_are_read_with_their_windows() {
        let text = "timestamp,value\n1970-01-01 00:00:00,1\n1970-01-01 00:05:00,2.5\n1970-01-01 00:10:00,3\n";
        let window = |from: &str, to: &str| vec![(from.to_owned(), to.to_owned())];
        let series = parse(text, &window("1970-01-01 00:01:00", "1970-01-01 00:10:00.00")).unwrap();
        assert_eq!(series.windows, [(1, 2)]);
        assert_eq!(series.values[1], (Timestamp::from_millis(300_000), 2.5));
        assert!(parse(text, &window("1971-01-01 00:01:00", "1971-01-01 00:10:00")).is_err());
        assert!(parse("timestamp,value\nnow,1\n", &[]).unwrap_err().starts_with("line 2"));
    }
}
