use std::io::{BufRead, Read};

use bitcraps_types::Ratio;

use super::{Gathering, MAX_LIST, MAX_NAME, ReadError};
use crate::Graph;

/// Two names, a number, and room for a comment.
const MAX_LINE: usize = 4 * MAX_NAME;

/// An edge list.
pub(super) fn read(input: impl BufRead) -> Result<Gathering, ReadError> {
    let mut input = input.take(MAX_LIST + 1);
    let mut gathering = Gathering::new();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let got = (&mut input).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if got == 0 {
            return if input.limit() == 0 {
                Err(ReadError::TooLong(MAX_LIST))
            } else {
                Ok(gathering)
            };
        }
        if line.len() > MAX_LINE {
            let text = String::from_utf8_lossy(&line);
            return Err(ReadError::syntax(number, "a line of at most 4096 bytes", &text));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| ReadError::syntax(number, "UTF-8", "bytes that are not"))?;
        read_line(text.trim_start_matches('\u{feff}').trim(), number, &mut gathering)?;
    }
}

fn read_line(text: &str, number: u64, gathering: &mut Gathering) -> Result<(), ReadError> {
    if let Some(comment) = text.strip_prefix(['#', '%']) {
        if let Some(count) = comment.trim_start().strip_prefix("n ")
            && gathering.peers() == 0
        {
            let count: u32 = count
                .trim()
                .parse()
                .ok()
                .filter(|count| (*count as usize) <= Graph::MAX_PEERS)
                .ok_or_else(|| ReadError::syntax(number, "a number of peers", count))?;
            *gathering = Gathering::numbered(count);
        }
        return Ok(());
    }
    let mut words = text.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return Ok(()) };
    let expected = "two peers and perhaps a reliability";
    let second = words.next().ok_or_else(|| ReadError::syntax(number, expected, text))?;
    let reliability = words.next().map(|word| {
        let value: Option<f64> = word.parse().ok();
        value.and_then(|value| Ratio::new(value).ok()).ok_or_else(|| {
            ReadError::syntax(number, "a reliability between 0 and 1 as the third word", word)
        })
    });
    let reliability = reliability.transpose()?;
    if words.next().is_some() {
        return Err(ReadError::syntax(number, expected, text));
    }
    let mut ends = [0; 2];
    for (end, word) in ends.iter_mut().zip([first, second]) {
        if word.len() > MAX_NAME {
            return Err(ReadError::syntax(number, "a name of at most 1024 bytes", word));
        }
        let below = |end: &u32| (*end as usize) < gathering.peers();
        if gathering.is_numbered() && word.parse().ok().filter(below).is_none() {
            return Err(ReadError::syntax(number, "a number below that of the first line", word));
        }
        *end = gathering.peer(word);
    }
    gathering.link(ends[0], ends[1], reliability);
    Ok(())
}
