use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::{Place, closest, place};

/// Where a value of the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(Location),
    /// The environment variable with this name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(location) => location.fmt(f),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Location {
    /// The place of the byte at `offset` in `text`; the end of the text for an offset beyond.
    pub(super) fn of(file: &Path, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Where each key of a file is written, and what its value spans.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans(BTreeMap<String, Span>);

#[derive(Debug, Clone)]
struct Span {
    key: usize,
    value: Range<usize>,
}

impl Spans {
    /// Where the key is written, as an offset in bytes.
    pub(super) fn of(&self, path: &str) -> Option<usize> {
        self.0.get(path).map(|span| span.key)
    }

    /// The innermost key whose value covers the byte at `offset`.
    pub(super) fn covering(&self, offset: usize) -> Option<&str> {
        let covering = self.0.iter().filter(|(_, span)| span.value.contains(&offset));
        covering.min_by_key(|(_, span)| span.value.len()).map(|(path, _)| path.as_str())
    }
}

/// Finds every key of a document, and refuses the first one in it that is not known.
pub(super) fn known_keys(
    file: &Path,
    text: &str,
    root: &DeTable<'_>,
) -> Result<Spans, ConfigError> {
    let mut search = Search::default();
    search.table("", root);
    match search.unknown {
        None => Ok(search.spans),
        Some((at, path)) => Err(ConfigError::UnknownKey {
            at: Location::of(file, text, at),
            suggestion: closest(&path),
            key: path,
        }),
    }
}

#[derive(Default)]
struct Search {
    spans: Spans,
    unknown: Option<(usize, String)>,
}

impl Search {
    // The depth of the recursion is that of the known tables: nothing unknown is entered.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                _ => format!("{prefix}.{}", key.get_ref()),
            };
            let at = key.span().start;
            if place(&path) == Place::Unknown {
                if self.unknown.as_ref().is_none_or(|(first, _)| at < *first) {
                    self.unknown = Some((at, path));
                }
                continue;
            }
            self.value(&path, value);
            // The first of several `[[peers]]` stands for all.
            self.spans.0.entry(path).or_insert(Span { key: at, value: value.span() });
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(inner) => self.table(path, inner),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        self.table(path, inner);
                    }
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}
