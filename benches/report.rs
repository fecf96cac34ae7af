use std::io::{self, Write as _};

use serde::Serialize;

use crate::Failure;

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    rival: Option<String>,
    rival_value: Option<f64>,
    ratio: Option<f64>,
    target: Option<String>,
    met: Option<bool>,
}

impl Row {
    /// A number without rival and without target.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            rival: None,
            rival_value: None,
            ratio: None,
            target: None,
            met: None,
        }
    }

    /// Compared with a rival measured in the same run; the ratio is this value over the rival's.
    #[must_use]
    pub fn beside(mut self, rival: impl Into<String>, value: f64) -> Self {
        self.rival = Some(rival.into());
        self.rival_value = Some(value);
        self.ratio = Some(self.value / value);
        self
    }

    /// The ratio the other way round: the rival's value over this one.
    #[must_use]
    pub fn beside_inverse(mut self, rival: impl Into<String>, value: f64) -> Self {
        self = self.beside(rival, value);
        self.ratio = Some(value / self.value);
        self
    }

    /// The value must not exceed `most`.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        let met = self.value <= most;
        let target = format!("<= {most} {}", self.unit);
        self.judged(target, met)
    }

    /// The value must reach `least`.
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        let met = self.value >= least;
        let target = format!(">= {least} {}", self.unit);
        self.judged(target, met)
    }

    /// The ratio must not exceed `most`.
    #[must_use]
    pub fn ratio_at_most(self, most: f64) -> Self {
        let met = self.ratio.is_some_and(|ratio| ratio <= most);
        self.judged(format!("ratio <= {most}"), met)
    }

    /// The ratio must reach `least`.
    #[must_use]
    pub fn ratio_at_least(self, least: f64) -> Self {
        let met = self.ratio.is_some_and(|ratio| ratio >= least);
        self.judged(format!("ratio >= {least}"), met)
    }

    /// A target and whether it was met. Targets add up: a row meets its target when it meets all.
    #[must_use]
    pub fn judged(mut self, target: String, met: bool) -> Self {
        self.target = Some(match self.target {
            Some(before) => format!("{before}, {target}"),
            None => target,
        });
        self.met = Some(self.met.unwrap_or(true) && met);
        self
    }
}

/// The rows of one run, told as they come and printed at the end.
#[derive(Debug)]
pub struct Report {
    json: bool,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Printed<'a> {
    schema: u32,
    rows: &'a [Row],
}

impl Report {
    /// Without rows. With `json` only JSON goes to standard output.
    pub fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Says on standard error what is being done.
    pub fn progress(&self, what: &str) {
        // Progress that nobody can see is no failure.
        drop(writeln!(io::stderr(), "bench: {what}"));
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.progress(&line(&row));
        self.rows.push(row);
    }

    /// Prints every row.
    ///
    /// # Errors
    /// [`Failure::Io`] when standard output does not take it.
    pub fn finish(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let text = if self.json {
            let printed = Printed { schema: 1, rows: &self.rows };
            serde_json::to_string(&printed).map_err(|e| Failure::broken("report", e))?
        } else {
            table(&self.rows)
        };
        writeln!(out, "{text}").map_err(Failure::io("standard output"))
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        100_000.0.. => format!("{:.0}", value),
        100.0.. => format!("{value:.1}"),
        10.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn cells(row: &Row) -> [String; 6] {
    let met = match row.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let rival = match (&row.rival, row.rival_value) {
        (Some(name), Some(value)) => format!("{name}: {}", number(value)),
        _ => String::new(),
    };
    [
        row.name.clone(),
        format!("{} {}", number(row.value), row.unit),
        rival,
        row.ratio.map(number).unwrap_or_default(),
        row.target.clone().unwrap_or_default(),
        met.to_owned(),
    ]
}

fn line(row: &Row) -> String {
    let [name, value, rival, ratio, target, met] = cells(row);
    let mut line = format!("{name}: {value}");
    for (label, cell) in [("; ", rival), ("; ratio ", ratio), ("; target ", target), ("; ", met)] {
        if !cell.is_empty() {
            line.push_str(label);
            line.push_str(&cell);
        }
    }
    line
}

fn table(rows: &[Row]) -> String {
    let head = ["what", "value", "rival", "ratio", "target", ""].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|i| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0));
    let padded = lines.iter().map(|cells| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_meets_every_target() {
        let row = |value| Row::new("x", value, "ns").beside("y", 10.0);
        assert_eq!(row(20.0).at_most(20.0).met, Some(true));
        assert_eq!(row(20.1).at_most(20.0).met, Some(false));
        assert_eq!(row(8.0).ratio_at_least(0.8).met, Some(true));
        assert_eq!(row(7.9).ratio_at_least(0.8).met, Some(false));
        assert_eq!(row(13.0).ratio_at_most(1.3).met, Some(true));
        let both = row(8.0).at_least(9.0).ratio_at_least(0.8);
        assert_eq!(both.met, Some(false));
        assert_eq!(both.target.as_deref(), Some(">= 9 ns, ratio >= 0.8"));
        assert_eq!(Row::new("x", 2.0, "ns").beside_inverse("y", 8.0).ratio, Some(4.0));
        assert_eq!(Row::new("x", 2.0, "ns").met, None);
    }

    #[test]
    fn json_has_every_field_of_every_row() {
        let row = Row::new("x", 2.0, "ns").beside("y", 1.0).ratio_at_most(1.3);
        let json = serde_json::to_string(&Printed { schema: 1, rows: &[row] }).unwrap();
        let expected = r#"{"schema":1,"rows":[{"name":"x","value":2.0,"unit":"ns","rival":"y","rival_value":1.0,"ratio":2.0,"target":"ratio <= 1.3","met":false}]}"#;
        assert_eq!(json, expected);
    }
}
