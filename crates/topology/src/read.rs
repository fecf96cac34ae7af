//! Networks out of files: edge lists, NetJSON, meshviewer JSON, GraphML and GML (feature
//! `formats`).
//!
//! No bytes make a reader panic, and a file is read whole or not at all.

mod gathering;
mod gml;
mod graphml;
mod json;
mod list;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use bitcraps_types::Ratio;
use flate2::bufread::MultiGzDecoder;

use crate::{BuildGraphError, Graph};
use gathering::Gathering;

/// Longest text of a structured format, in bytes after unpacking: it is held in memory.
pub const MAX_TEXT: u64 = 1 << 30;
/// Longest edge list, in bytes after unpacking: 2^30 links of two short names.
pub const MAX_LIST: u64 = 1 << 34;
/// Longest name of a peer, in bytes.
pub const MAX_NAME: usize = 1_024;

/// How a network is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A link a line: `u v [reliability]`, `#` and `%` begin comments, and a first line `# n 12`
    /// says that the peers are the numbers from 0 to 11.
    EdgeList,
    /// `NetworkGraph` of <https://netjson.org>.
    NetJson,
    /// What Freifunk communities publish for their maps.
    Meshviewer,
    /// GraphML.
    GraphMl,
    /// Graph Modelling Language.
    Gml,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::EdgeList, Self::NetJson, Self::Meshviewer, Self::GraphMl, Self::Gml];

    /// Lower-case name, as on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdgeList => "edgelist",
            Self::NetJson => "netjson",
            Self::Meshviewer => "meshviewer",
            Self::GraphMl => "graphml",
            Self::Gml => "gml",
        }
    }

    /// What a text is, by how it begins; an edge list when nothing else fits.
    fn detect(begin: &[u8]) -> Self {
        let text = String::from_utf8_lossy(begin);
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        if text.starts_with('{') {
            if text.contains("NetworkGraph") { Self::NetJson } else { Self::Meshviewer }
        } else if text.starts_with('<') {
            Self::GraphMl
        } else {
            let mut words = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let first = words.find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
            let gml = ["graph", "Creator", "Version", "comment"];
            let word = first.split([' ', '\t', '[']).next().unwrap_or_default();
            // An edge list may have a peer called graph, but not an opening bracket behind it.
            let opens =
                first.contains('[') || first.contains('"') || first == "graph" || word == "Version";
            if gml.contains(&word) && opens { Self::Gml } else { Self::EdgeList }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A network that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// How it was written down.
    pub format: Format,
    /// What each peer is called.
    pub names: Vec<String>,
    /// The graph; its numbers are the positions in `names`.
    pub graph: Graph,
    /// The reliability of each link in the order of [`Graph::link_list`], where the file tells it:
    /// the least of what it tells.
    pub reliabilities: Vec<Option<Ratio>>,
    /// Peers that the file says are offline, which were left out with their links.
    pub offline: usize,
    /// Links of a peer with itself, which were left out.
    pub self_links: usize,
    /// Links of pairs that were linked already: the other direction, or the same again.
    pub repeated: usize,
}

/// Why a network was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes cannot be had.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line says something else than it should.
    #[error("line {line}: expected {expected}, found {found}")]
    Syntax {
        /// From 1.
        line: u64,
        /// What would have been right.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// A part says something else than it should, in a format whose parts have names.
    #[error("{part}: expected {expected}, found {found}")]
    Part {
        /// Where, such as `links[3]`.
        part: String,
        /// What would have been right.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// More than is read.
    #[error("longer than {0} bytes; nothing that long is analysed")]
    TooLong(u64),
    /// What was read makes no graph.
    #[error(transparent)]
    Build(#[from] BuildGraphError),
}

impl ReadError {
    fn syntax(line: u64, expected: &'static str, found: &str) -> Self {
        Self::Syntax { line, expected, found: shortened(found) }
    }

    fn part(part: String, expected: &'static str, found: &str) -> Self {
        Self::Part { part, expected, found: shortened(found) }
    }
}

/// So much of a text as an error shows.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}

/// A network out of `input`, which may be packed with gzip; in `format`, or in what it looks like.
///
/// # Errors
/// [`ReadError`] with the first line or part that is wrong.
pub fn network(input: impl BufRead, format: Option<Format>) -> Result<Network, ReadError> {
    let mut input = Peeked::new(input)?;
    if input.begin().starts_with(&[0x1f, 0x8b]) {
        unpacked(
            Peeked::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))?,
            format,
        )
    } else {
        unpacked(input, format)
    }
}

fn unpacked(mut input: impl Begins, format: Option<Format>) -> Result<Network, ReadError> {
    let format = format.unwrap_or_else(|| Format::detect(input.begin()));
    let gathering = match format {
        Format::EdgeList => list::read(input)?,
        Format::NetJson | Format::Meshviewer => json::read(&text(input)?, format)?,
        Format::GraphMl => graphml::read(&text(input)?)?,
        Format::Gml => gml::read(&text(input)?)?,
    };
    gathering.network(format)
}

fn text(input: impl Read) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    input.take(MAX_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(ReadError::TooLong(MAX_TEXT));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        ReadError::syntax(line as u64, "UTF-8", "bytes that are not")
    })
}

/// The line of a position in a text, from 1.
fn line_at(text: &str, position: usize) -> u64 {
    let before = text.as_bytes().iter().take(position);
    1 + before.filter(|byte| **byte == b'\n').count() as u64
}

/// A reader whose first bytes can be looked at.
trait Begins: BufRead {
    fn begin(&mut self) -> &[u8];
}

/// The first bytes of a reader, kept before the rest.
struct Peeked<R> {
    head: Vec<u8>,
    at: usize,
    rest: R,
}

impl<R: BufRead> Peeked<R> {
    /// A format shows itself within that.
    const HEAD: u64 = 4_096;

    fn new(mut rest: R) -> io::Result<Self> {
        let mut head = Vec::new();
        (&mut rest).take(Self::HEAD).read_to_end(&mut head)?;
        Ok(Self { head, at: 0, rest })
    }
}

impl<R: BufRead> Begins for Peeked<R> {
    fn begin(&mut self) -> &[u8] {
        &self.head
    }
}

impl<R: BufRead> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.head.len() { Ok(&self.head[self.at..]) } else { self.rest.fill_buf() }
    }

    fn consume(&mut self, count: usize) {
        if self.at < self.head.len() { self.at += count } else { self.rest.consume(count) }
    }
}

#[cfg(test)]
mod tests;
