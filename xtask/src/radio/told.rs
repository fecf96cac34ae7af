//! What the guest told, as figures beside those that they are held against.

use serde::Serialize;

/// A figure that is compared with what the bare sockets do in the same run. Whether a ratio is met is
/// told; what the machine emulates besides decides it too much to fail a run by it.
struct Target {
    name: &'static str,
    unit: &'static str,
    ours: &'static str,
    /// What it is called, and its figure.
    rival: (&'static str, &'static str),
    bound: Bound,
}

const TARGETS: [Target; 6] = [
    Target {
        name: "Bluetooth: meeting, both fresh",
        unit: "s",
        ours: "bluetooth.link_meeting_seconds",
        rival: ("raw", "bluetooth.raw_meeting_seconds"),
        bound: Bound::AtMost(1.3),
    },
    Target {
        name: "Bluetooth: round trip, 200 B",
        unit: "ms",
        ours: "bluetooth.link_round_trip_ms",
        rival: ("raw", "bluetooth.raw_round_trip_ms"),
        bound: Bound::AtMost(1.5),
    },
    Target {
        name: "Bluetooth: throughput",
        unit: "kB/s",
        ours: "bluetooth.link_kilobytes_per_second",
        rival: ("raw", "bluetooth.raw_kilobytes_per_second"),
        bound: Bound::AtLeast(0.7),
    },
    Target {
        name: "Wi-Fi Direct: meeting, both fresh",
        unit: "s",
        ours: "wifi_direct.link_meeting_seconds",
        rival: ("raw", "wifi_direct.raw_meeting_seconds"),
        bound: Bound::AtMost(1.3),
    },
    Target {
        name: "Wi-Fi Direct: a stored group beside a new one",
        unit: "s",
        ours: "wifi_direct.again_seconds",
        rival: ("new", "wifi_direct.link_meeting_seconds"),
        bound: Bound::AtMost(0.5),
    },
    Target {
        name: "Wi-Fi Direct: throughput",
        unit: "kB/s",
        ours: "wifi_direct.link_kilobytes_per_second",
        rival: ("raw", "wifi_direct.raw_kilobytes_per_second"),
        bound: Bound::AtLeast(0.9),
    },
];

/// What a kernel prints when it breaks.
const BREAKS: [&str; 4] = ["kernel BUG at", "BUG: ", "Oops: ", "Kernel panic"];

/// What was measured, as the benchmarks tell it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    rival: Option<&'static str>,
    rival_value: Option<f64>,
    ratio: Option<f64>,
    target: Option<String>,
    met: Option<bool>,
}

/// As the benchmarks print it.
#[derive(Serialize)]
pub(super) struct Printed {
    pub(super) schema: u32,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What the guest told: figures by name, and how it ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    figures: Vec<(String, f64)>,
    pub(super) end: Option<String>,
    /// The first line of the guest's kernel when it breaks.
    pub(super) broken: Option<String>,
}

impl Told {
    /// Takes one line of the guest's console.
    pub(super) fn line(&mut self, line: &str) {
        // The test runner may have begun the line.
        if let Some((_, rest)) = line.split_once("RADIO ") {
            let mut words = rest.split_whitespace();
            if let (Some(name), Some(value)) = (words.next(), words.next())
                && let Ok(value) = value.parse()
            {
                self.figures.push((name.to_owned(), value));
            }
        } else if let Some((_, rest)) = line.split_once("RADIO-END ") {
            self.end = rest.split_whitespace().next().map(str::to_owned);
        } else if self.end.is_none()
            && self.broken.is_none()
            && BREAKS.iter().any(|mark| line.contains(mark))
        {
            self.broken = Some(line.to_owned());
        }
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The targets that were measured, and then every other figure.
    pub(super) fn rows(&self) -> Vec<Row> {
        let judged = TARGETS.iter().filter_map(|target| {
            let (value, raw) = (self.figure(target.ours)?, self.figure(target.rival.1)?);
            let ratio = value / raw;
            let (sign, at, met) = match target.bound {
                Bound::AtMost(at) => ("<=", at, ratio <= at),
                Bound::AtLeast(at) => (">=", at, ratio >= at),
            };
            Some(Row {
                name: target.name.to_owned(),
                value,
                unit: target.unit,
                rival: Some(target.rival.0),
                rival_value: Some(raw),
                ratio: Some(ratio),
                target: Some(format!("ratio {sign} {at:.1}")),
                met: Some(met),
            })
        });
        let compared = |name: &str| TARGETS.iter().any(|t| t.ours == name || t.rival.1 == name);
        let others = self.figures.iter().filter(|(name, _)| !compared(name));
        let plain = others.map(|(name, value)| Row {
            name: name.clone(),
            value: *value,
            unit: "",
            rival: None,
            rival_value: None,
            ratio: None,
            target: None,
            met: None,
        });
        judged.chain(plain).collect()
    }
}

/// A row for people.
pub(super) fn line(row: &Row) -> String {
    let Row { name, value, unit, .. } = row;
    match (row.rival.zip(row.rival_value), row.ratio, &row.target, row.met) {
        (Some((rival, raw)), Some(ratio), Some(target), Some(met)) => {
            let met = if met { "met" } else { "missed" };
            format!(
                "{name:44} {value:8.2} {unit:4} {rival} {raw:8.2} ratio {ratio:5.2}, {target} {met}"
            )
        }
        _ => format!("{name:44} {value:8.2} {unit}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_the_end_are_read_from_whatever_line_they_are_on() {
        let mut told = Told::default();
        for line in [
            "booting",
            "test a ... RADIO bluetooth.raw_round_trip_ms 1.5",
            "RADIO bluetooth.link_round_trip_ms 2.25",
            "RADIO nothing",
            "RADIO-END 101 44.1",
        ] {
            told.line(line);
        }
        assert_eq!(told.figure("bluetooth.raw_round_trip_ms"), Some(1.5));
        assert_eq!((told.figures.len(), told.end.as_deref()), (2, Some("101")));
        let first = "[    3.5] kernel BUG at lib/list_debug.c:56!";
        told.line(first);
        assert_eq!(told.broken, None, "the log is shown again after the end");
        let mut breaks = Told::default();
        breaks.line(first);
        breaks.line("[    3.6] Kernel panic - not syncing");
        assert_eq!(breaks.broken.as_deref(), Some(first));
        let rows = told.rows();
        let line = line(&rows[0]);
        assert!(line.ends_with("raw     1.50 ratio  1.50, ratio <= 1.5 met"), "{line}");
        assert_eq!(rows.len(), 1, "what was not measured is no row");
        told.figures[1].1 = 2.27;
        assert_eq!(told.rows()[0].met, Some(false));
        told.figures.push(("bluetooth.conformance_cases".to_owned(), 19.0));
        let json = serde_json::to_string(&told.rows()[1]).unwrap();
        let expected = r#"{"name":"bluetooth.conformance_cases","value":19.0,"unit":"","rival":null,"rival_value":null,"ratio":null,"target":null,"met":null}"#;
        assert_eq!(json, expected);
    }
}
