use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Writes to standard output at once; an error is returned, where `println!` would panic.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to standard error, if anybody listens there.
pub(crate) fn complain(line: &str) {
    let mut err = io::stderr().lock();
    drop(writeln!(err, "{line}"));
}

/// Whether a person is looking at standard output.
pub(crate) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// `text` with everything that could move a cursor or turn the reading direction escaped: it may
/// come from anybody.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(String::with_capacity(text.len() + 16), |mut out, c| {
        if harmful(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    });
    Cow::Owned(escaped)
}

/// A time for people, from its milliseconds: two units at most.
pub(crate) fn age(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, millis % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A latency for people, from its microseconds: three digits that count.
pub(crate) fn latency(micros: u64) -> String {
    let ms = Duration::from_micros(micros).as_secs_f64() * 1e3;
    match micros {
        0..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..10_000_000 => format!("{ms:.0} ms"),
        _ => format!("{:.0} s", ms / 1e3),
    }
}

/// `count` of something, in the number it has.
pub(crate) fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_text_cannot_steer_the_terminal() {
        assert_eq!(visible("\x1b[2Jhello\r\n"), r"\u{1b}[2Jhello\r\n");
        assert_eq!(visible("a\u{202e}b\u{9b}c"), r"a\u{202e}b\u{9b}c");
        assert!(matches!(visible("grüße, 你好"), Cow::Borrowed("grüße, 你好")));
    }

    #[test]
    fn times_read_well_on_both_sides_of_each_unit() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_599_999, "59 min 59 s"),
            (3_600_000, "1 h 0 min"),
            (86_399_999, "23 h 59 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(age(millis), text);
        }
        for (micros, text) in [
            (0, "0.00 ms"),
            (9_994, "9.99 ms"),
            (10_000, "10.0 ms"),
            (100_000, "100 ms"),
            (9_999_000, "9999 ms"),
            (10_000_000, "10 s"),
        ] {
            assert_eq!(latency(micros), text);
        }
        assert_eq!(counted(1_u32, "peer", "peers"), "1 peer");
        assert_eq!(counted(0_u32, "peer", "peers"), "0 peers");
    }
}
