use std::path::Path;
use std::time::Duration;

use bitcraps_types::{Kbps, Ratio};

/// The first line of a trace.
pub(crate) const HEADER: &str = "t_ms,up,latency_ms,loss,kbps";
/// Rows of a trace: a day at half a second each, and a bound for what a wrong file may cost.
pub(crate) const MAX_ROWS: usize = 172_800;
/// Length of a trace of one row, which is the same for ever.
const ONLY_ROW: Duration = Duration::from_secs(1);

/// How a link is from one point of a trace to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Since the trace began.
    pub at: Duration,
    /// Whether the link carries anything.
    pub up: bool,
    /// Time on the way.
    pub latency: Duration,
    /// Share of frames that vanish.
    pub loss: Ratio,
    /// Capacity; `None` for none.
    pub rate: Option<Kbps>,
}

/// A measured or made-up course of a link: `t_ms,up,latency_ms,loss,kbps`, constant from each row
/// to the next, and over again from the start when it has ended. The last row lasts as long as the
/// one before it.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkTrace {
    rows: Vec<Row>,
    length: Duration,
}

/// Why a text is no trace. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read the trace {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The first line is another one.
    #[error("line 1: a trace begins with {HEADER:?}, not {found:?}")]
    Header {
        /// What is there.
        found: String,
    },
    /// A line has another number of columns.
    #[error("line {line}: 5 columns are needed, there are {found}")]
    Columns {
        /// The line.
        line: usize,
        /// Its columns.
        found: usize,
    },
    /// A value is none.
    #[error("line {line}, column {column} ({name}): {found:?} is not {wanted}")]
    Value {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// The column's name.
        name: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
    /// Time does not go on.
    #[error("line {line}, column 1 (t_ms): {found} ms does not come after {before} ms")]
    Order {
        /// The line.
        line: usize,
        /// Its time.
        found: u64,
        /// The time of the line before.
        before: u64,
    },
    /// The first row is not at zero.
    #[error("line 2, column 1 (t_ms): a trace begins at 0 ms, not at {0} ms")]
    Start(u64),
    /// There is no row.
    #[error("the trace has no row after its header")]
    Empty,
    /// There are too many rows.
    #[error("line {line}: a trace has at most {MAX_ROWS} rows")]
    TooLong {
        /// The first line that is too many.
        line: usize,
    },
}

impl LinkTrace {
    /// Reads a trace from its text. O(length).
    ///
    /// # Errors
    /// [`TraceError`] naming the first place that is wrong.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()));
        let header = lines.next().map_or("", |(_, line)| line);
        if header != HEADER {
            return Err(TraceError::Header { found: header.to_owned() });
        }
        let mut rows: Vec<Row> = Vec::new();
        for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
            if rows.len() >= MAX_ROWS {
                return Err(TraceError::TooLong { line });
            }
            let row = Row::parse(line, text)?;
            let found = millis(row.at);
            match rows.last().map(|last| millis(last.at)) {
                Some(before) if found <= before => {
                    return Err(TraceError::Order { line, found, before });
                }
                None if found != 0 => return Err(TraceError::Start(found)),
                Some(_) | None => rows.push(row),
            }
        }
        let length = match rows.as_slice() {
            [] => return Err(TraceError::Empty),
            [only] => only.at + ONLY_ROW,
            [.., before, last] => last.at + (last.at - before.at),
        };
        Ok(Self { rows, length })
    }

    /// Reads a trace from a file.
    ///
    /// # Errors
    /// [`TraceError`] naming the file, or the first place in it that is wrong.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(path).map_err(|source| TraceError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Its rows, in the order of time; at least one.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// After that long it begins again.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The row that holds `at` after the trace began, over however many repetitions, and how long
    /// it still holds. O(log rows).
    pub(crate) fn at(&self, at: Duration) -> (Row, Duration) {
        let nanos = at.as_nanos() % self.length.as_nanos().max(1);
        let at = Duration::from_nanos_u128(nanos);
        let next = self.rows.partition_point(|row| row.at <= at);
        let row = self.rows[next.saturating_sub(1)];
        let end = self.rows.get(next).map_or(self.length, |row| row.at);
        (row, end - at)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Row {
    fn parse(line: usize, text: &str) -> Result<Self, TraceError> {
        let columns: Vec<&str> = text.split(',').collect();
        let [t_ms, up, latency_ms, loss, kbps] = columns.as_slice() else {
            return Err(TraceError::Columns { line, found: columns.len() });
        };
        let wrong = |column: usize, found: &str, wanted| TraceError::Value {
            line,
            column,
            name: ["t_ms", "up", "latency_ms", "loss", "kbps"][column - 1],
            found: found.to_owned(),
            wanted,
        };
        let at = t_ms.parse().map_err(|_| wrong(1, t_ms, "a number of milliseconds"))?;
        let up = match *up {
            "0" => false,
            "1" => true,
            other => return Err(wrong(2, other, "0 or 1")),
        };
        let latency: f64 = latency_ms.parse().unwrap_or(f64::NAN);
        let latency = Duration::try_from_secs_f64(latency / 1e3)
            .ok()
            .filter(|latency| *latency <= MAX_LATENCY)
            .ok_or_else(|| wrong(3, latency_ms, "a number of milliseconds up to an hour"))?;
        let share: f64 = loss.parse().unwrap_or(f64::NAN);
        let loss = Ratio::new(share).map_err(|_| wrong(4, loss, "a share from 0 to 1"))?;
        let kbps = kbps.parse().map_err(|_| wrong(5, kbps, "a number of kilobits a second"))?;
        let rate = Kbps::new(kbps).ok();
        Ok(Self { at: Duration::from_millis(at), up, latency, loss, rate })
    }
}

/// Longest latency of a row: beyond it a number is an error, not a link.
pub(crate) const MAX_LATENCY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "t_ms,up,latency_ms,loss,kbps\n0,1,15.5,0.01,300\n500,0,20,1,0\n700,1,2,0,8\n";

    #[test]
    fn a_row_holds_to_the_next_and_the_trace_begins_again() {
        let trace = LinkTrace::parse(GOOD).unwrap();
        assert_eq!(trace.length(), Duration::from_millis(900));
        let at = |ms| {
            let (row, left) = trace.at(Duration::from_millis(ms));
            (row.rate.map(Kbps::get), left.as_millis())
        };
        assert_eq!(at(0), (Some(300), 500));
        assert_eq!(at(499), (Some(300), 1));
        assert_eq!(at(500), (None, 200));
        assert_eq!(at(700), (Some(8), 200));
        assert_eq!(at(899), (Some(8), 1));
        assert_eq!(at(900), (Some(300), 500));
        assert_eq!(at(900 * 1_000_000 + 600), (None, 100));
        let [first, ..] = trace.rows() else { panic!("no rows") };
        assert_eq!(first.latency, Duration::from_micros(15_500));
        assert_eq!((first.loss, first.up), (Ratio::new(0.01).unwrap(), true));
    }

    #[test]
    fn one_row_lasts_for_ever() {
        let trace = LinkTrace::parse("t_ms,up,latency_ms,loss,kbps\r\n0,1,1,0,9\r\n").unwrap();
        assert_eq!(trace.at(Duration::from_secs(77)).0.rate, Kbps::new(9).ok());
    }

    #[test]
    fn an_error_names_line_and_column() {
        let with = |rows: &str| {
            let text = format!("{HEADER}\n{rows}");
            LinkTrace::parse(&text).unwrap_err().to_string()
        };
        let cases = [
            ("0,1,1,0,1\n5,1,1,0", "line 3: 5 columns are needed, there are 4"),
            ("x,1,1,0,1", "line 2, column 1 (t_ms): \"x\" is not a number of milliseconds"),
            ("0,2,1,0,1", "line 2, column 2 (up): \"2\" is not 0 or 1"),
            (
                "0,1,-1,0,1",
                "line 2, column 3 (latency_ms): \"-1\" is not a number of milliseconds up to an hour",
            ),
            (
                "0,1,NaN,0,1",
                "line 2, column 3 (latency_ms): \"NaN\" is not a number of milliseconds up to an hour",
            ),
            ("0,1,1,1.5,1", "line 2, column 4 (loss): \"1.5\" is not a share from 0 to 1"),
            ("0,1,1,0,-4", "line 2, column 5 (kbps): \"-4\" is not a number of kilobits a second"),
            (
                "0,1,1,0,1\n9,1,1,0,1\n9,1,1,0,1",
                "line 4, column 1 (t_ms): 9 ms does not come after 9 ms",
            ),
            ("3,1,1,0,1", "line 2, column 1 (t_ms): a trace begins at 0 ms, not at 3 ms"),
            ("", "the trace has no row after its header"),
        ];
        for (rows, text) in cases {
            assert_eq!(with(rows), text);
        }
        let header = LinkTrace::parse("t,up").unwrap_err().to_string();
        assert_eq!(
            header,
            "line 1: a trace begins with \"t_ms,up,latency_ms,loss,kbps\", not \"t,up\""
        );
    }

    #[test]
    fn too_many_rows_are_refused() {
        let rows = |count: usize| {
            let rows: String = (0..count).map(|i| format!("{i},1,1,0,1\n")).collect();
            LinkTrace::parse(&format!("{HEADER}\n{rows}"))
        };
        assert_eq!(rows(MAX_ROWS).unwrap().rows().len(), MAX_ROWS);
        assert!(
            matches!(rows(MAX_ROWS + 1), Err(TraceError::TooLong { line }) if line == MAX_ROWS + 2)
        );
    }
}
