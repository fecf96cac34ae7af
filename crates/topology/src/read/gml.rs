use bitcraps_types::Ratio;

use super::{Gathering, MAX_NAME, ReadError};

/// Lists within lists: `graph`, `node`, `graphics`, and a little more.
const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// A key, a number, or anything else without quotes.
    Word(&'a str),
    /// Within quotes, as written.
    Text(&'a str),
    Open,
    Close,
}

/// Words of a text, with their lines.
struct Tokens<'a> {
    rest: &'a str,
    line: u64,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, ReadError> {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            self.skip(self.rest.len() - trimmed.len());
            if !self.rest.starts_with('#') {
                break;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(end);
        }
        let mut chars = self.rest.chars();
        let token = match chars.next() {
            None => return Ok(None),
            Some('[') => {
                self.skip(1);
                Token::Open
            }
            Some(']') => {
                self.skip(1);
                Token::Close
            }
            Some('"') => {
                let inner = &self.rest[1..];
                let end = inner
                    .find('"')
                    .ok_or_else(|| ReadError::syntax(self.line, "a closing quote", self.rest))?;
                let text = &inner[..end];
                self.skip(end + 2);
                Token::Text(text)
            }
            Some(_) => {
                let end = self.rest.find([' ', '\t', '\r', '\n', '[', ']', '"']);
                let word = &self.rest[..end.unwrap_or(self.rest.len())];
                self.skip(word.len());
                Token::Word(word)
            }
        };
        Ok(Some(token))
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.rest = rest;
    }
}

/// What is known of a node or edge.
#[derive(Debug, Default)]
struct Record<'a> {
    id: Option<&'a str>,
    label: Option<&'a str>,
    source: Option<&'a str>,
    target: Option<&'a str>,
    reliability: Option<Ratio>,
}

/// GML: `graph [ node [ id 1 label "x" ] edge [ source 1 target 2 reliability 0.9 ] ]`.
pub(super) fn read(text: &str) -> Result<Gathering, ReadError> {
    let mut tokens = Tokens { rest: text.trim_start_matches('\u{feff}'), line: 1 };
    let mut gathering = Gathering::new();
    // Keys of the lists that are open.
    let mut open: Vec<&str> = Vec::new();
    let mut record = Record::default();
    let mut graphs = 0;
    while let Some(token) = tokens.next()? {
        let key = match token {
            Token::Word(key) => key,
            Token::Close => {
                let Some(closed) = open.pop() else {
                    return Err(ReadError::syntax(tokens.line, "a key", "]"));
                };
                if open == ["graph"] {
                    finish(closed, std::mem::take(&mut record), &mut gathering, tokens.line)?;
                }
                continue;
            }
            Token::Open => return Err(ReadError::syntax(tokens.line, "a key", "[")),
            Token::Text(text) => return Err(ReadError::syntax(tokens.line, "a key", text)),
        };
        match tokens.next()? {
            Some(Token::Open) => {
                if open.len() == MAX_DEPTH {
                    let expected = "lists at most 16 deep";
                    return Err(ReadError::syntax(tokens.line, expected, "a deeper one"));
                }
                graphs += usize::from(open.is_empty() && key == "graph");
                open.push(key);
            }
            Some(Token::Word(value) | Token::Text(value)) => {
                if matches!(open.as_slice(), ["graph", "node" | "edge"]) {
                    keep(&mut record, key, value, tokens.line)?;
                }
            }
            Some(Token::Close) => return Err(ReadError::syntax(tokens.line, "a value", "]")),
            None => return Err(ReadError::syntax(tokens.line, "a value", "the end")),
        }
    }
    if !open.is_empty() {
        return Err(ReadError::syntax(tokens.line, "]", "the end"));
    }
    if graphs == 0 {
        return Err(ReadError::syntax(tokens.line, "graph [", "the end"));
    }
    Ok(gathering)
}

fn keep<'a>(
    record: &mut Record<'a>,
    key: &str,
    value: &'a str,
    line: u64,
) -> Result<(), ReadError> {
    if value.len() > MAX_NAME {
        return Err(ReadError::syntax(line, "a value of at most 1024 bytes", value));
    }
    match key {
        "id" => record.id = Some(value),
        "label" => record.label = Some(value),
        "source" => record.source = Some(value),
        "target" => record.target = Some(value),
        "reliability" | "tq" => {
            let number: Option<f64> = value.parse().ok();
            let ratio = number.and_then(|number| Ratio::new(number).ok());
            let expected = "a reliability between 0 and 1";
            record.reliability =
                Some(ratio.ok_or_else(|| ReadError::syntax(line, expected, value))?);
        }
        _ => {}
    }
    Ok(())
}

fn finish(
    key: &str,
    record: Record<'_>,
    gathering: &mut Gathering,
    line: u64,
) -> Result<(), ReadError> {
    match key {
        "node" => {
            let id = record.id;
            let id =
                id.ok_or_else(|| ReadError::syntax(line, "a node with an id", "one without"))?;
            let peer = gathering.peer(id);
            if let Some(label) = record.label {
                gathering.call(peer, label);
            }
        }
        "edge" => {
            let ends = record.source.zip(record.target);
            let expected = "an edge with a source and a target";
            let (source, target) =
                ends.ok_or_else(|| ReadError::syntax(line, expected, "one without"))?;
            let (a, b) = (gathering.peer(source), gathering.peer(target));
            gathering.link(a, b, record.reliability);
        }
        _ => {}
    }
    Ok(())
}
