//! What must hold for every text that is read as a trace, whoever wrote it. Panics when it does
//! not; the bounded test below and the fuzz target call the same function.

use std::time::Duration;

use crate::trace_csv::{HEADER, MAX_LATENCY, MAX_ROWS};
use crate::{LinkTrace, TraceError};

/// A trace is refused for what it truly holds, or goes on in time and is found again at every row.
///
/// # Errors
/// Why it was refused.
pub fn trace(data: &[u8]) -> Result<LinkTrace, TraceError> {
    let text = String::from_utf8_lossy(data);
    let read = LinkTrace::parse(&text);
    match &read {
        Ok(trace) => whole(trace, &text),
        Err(error) => explained(error, &text),
    }
    read
}

fn whole(trace: &LinkTrace, text: &str) {
    let rows = trace.rows();
    let lines = text.lines().skip(1).filter(|line| !line.trim_end().is_empty()).count();
    assert_eq!(rows.len(), lines);
    assert!((1..=MAX_ROWS).contains(&rows.len()), "{} rows", rows.len());
    assert_eq!(rows[0].at, Duration::ZERO);
    let ends = rows.iter().skip(1).map(|row| row.at).chain([trace.length()]);
    for (row, end) in rows.iter().zip(ends) {
        assert!(row.at < end, "{row:?} ends at {end:?}");
        assert!(row.latency <= MAX_LATENCY, "{row:?}");
        let instant = Duration::from_nanos(1);
        for within in [Duration::ZERO, (end - row.at) / 2, end - row.at - instant] {
            assert_eq!(trace.at(row.at + within), (*row, end - row.at - within));
        }
    }
}

/// The values that an error carries are true of the text.
fn explained(error: &TraceError, text: &str) {
    let at = |line: usize| text.lines().nth(line - 1).map_or("", str::trim_end);
    let right = match error {
        TraceError::Unreadable { .. } => false,
        TraceError::Header { found } => found != HEADER && *found == at(1),
        TraceError::Columns { line, found } => {
            *line > 1 && *found != 5 && at(*line).split(',').count() == *found
        }
        TraceError::Value { line, column, found, .. } => {
            *line > 1 && at(*line).split(',').nth(column - 1) == Some(found)
        }
        TraceError::Order { line, found, before } => {
            *line > 2 && found <= before && first(at(*line)) == Some(*found)
        }
        TraceError::Start(found) => *found > 0,
        TraceError::Empty => text.lines().skip(1).all(|line| line.trim_end().is_empty()),
        TraceError::TooLong { line } => *line > MAX_ROWS + 1,
    };
    assert!(right, "{error}");
}

fn first(line: &str) -> Option<u64> {
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;

    use super::*;

    /// Texts tried; less than a second.
    const INPUTS: usize = 60_000;
    const SEEDS: [&str; 4] = [
        "t_ms,up,latency_ms,loss,kbps\n0,1,15.5,0.01,300\n500,0,20,1,0\n700,1,2,0,8\n",
        "t_ms,up,latency_ms,loss,kbps\r\n0,1,1,0,9\r\n",
        "t_ms,up,latency_ms,loss,kbps\n0,1,3600000,0,4294967295\n18446744073709551615,0,0,0,0",
        "t_ms,up,latency_ms,loss,kbps\n\n0,0,0,0.5,1\n\n  \n1,1,1e3,1e-9,2\n2,1,.5,1.,3\n",
    ];
    /// Parts at an edge of something.
    const PARTS: [&str; 21] = [
        ",",
        "\n",
        "\r",
        " ",
        "0",
        "1",
        "-",
        "+",
        "NaN",
        "inf",
        "1e308",
        "e9",
        ".",
        "-0",
        "0.5",
        "3600000",
        "3600001",
        "4294967296",
        "18446744073709551615",
        "\u{2028}",
        "\n9,1,1,0,1\n",
    ];

    /// A trace with up to four changes.
    fn mutated(rng: &mut Rng) -> Vec<u8> {
        let seed = |rng: &mut Rng| SEEDS[rng.usize(..SEEDS.len())].as_bytes();
        let mut bytes = seed(rng).to_vec();
        for _ in 0..rng.usize(0..=4) {
            // The header is as it is; what is read comes behind it.
            let from = if rng.u8(..8) == 0 { 0 } else { HEADER.len().min(bytes.len()) };
            let at = rng.usize(from..=bytes.len());
            match rng.u8(..8) {
                0 => bytes.truncate(at),
                1 => {
                    let other = seed(rng);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[at.min(other.len())..]);
                }
                2..=4 => {
                    let part = PARTS[rng.usize(..PARTS.len())];
                    let end = (at + rng.usize(..4)).min(bytes.len());
                    bytes.splice(at..end, part.bytes());
                }
                _ if at == bytes.len() => {}
                5 => drop(bytes.remove(at)),
                6 => bytes[at] ^= 1 << rng.u8(..8),
                _ => bytes[at] = rng.u8(..),
            }
        }
        bytes
    }

    #[test]
    fn mutated_traces_reach_every_refusal() {
        let mut rng = Rng::with_seed(1);
        let mut seen = BTreeSet::new();
        for _ in 0..INPUTS {
            seen.insert(match trace(&mutated(&mut rng)) {
                Ok(_) => "=trace",
                Err(TraceError::Unreadable { .. }) => "unreadable",
                Err(TraceError::Header { .. }) => "header",
                Err(TraceError::Columns { .. }) => "columns",
                Err(TraceError::Value { name, .. }) => name,
                Err(TraceError::Order { .. }) => "order",
                Err(TraceError::Start(_)) => "start",
                Err(TraceError::Empty) => "empty",
                Err(TraceError::TooLong { .. }) => "too long",
            });
        }
        let all = [
            "=trace",
            "columns",
            "empty",
            "header",
            "kbps",
            "latency_ms",
            "loss",
            "order",
            "start",
            "t_ms",
            "up",
        ];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }
}
