use std::borrow::Cow;

use bitcraps_types::Ratio;
use serde::Deserialize;
use serde_json::error::Category;

use super::{Format, Gathering, MAX_NAME, ReadError};

/// What both formats have in common; what is not named here is passed over.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metric: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nodes: Vec<Node<'a>>,
    #[serde(borrow)]
    links: Vec<Link<'a>>,
}

#[derive(Debug, Deserialize)]
struct Node<'a> {
    #[serde(alias = "node_id", borrow)]
    id: Id<'a>,
    #[serde(alias = "label", borrow)]
    hostname: Option<Cow<'a, str>>,
    is_online: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    source: Id<'a>,
    #[serde(borrow)]
    target: Id<'a>,
    source_tq: Option<f64>,
    target_tq: Option<f64>,
    cost: Option<f64>,
}

/// Ids are texts or numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(i64),
}

impl Id<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
        }
    }
}

/// NetJSON or meshviewer JSON.
pub(super) fn read(text: &str, format: Format) -> Result<Gathering, ReadError> {
    let document: Document<'_> = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| {
            let expected = match error.classify() {
                Category::Eof => "more of the document",
                Category::Syntax => "JSON",
                Category::Data | Category::Io => "an object with `nodes` and `links`",
            };
            ReadError::syntax(error.line() as u64, expected, &error.to_string())
        })?;
    if format == Format::NetJson && document.kind.as_deref() != Some("NetworkGraph") {
        let found = document.kind.as_deref().unwrap_or("nothing");
        return Err(ReadError::part("type".to_owned(), "\"NetworkGraph\"", found));
    }
    let etx = document.metric.as_deref().is_some_and(|m| m.to_ascii_lowercase().contains("etx"));
    let mut gathering = Gathering::new();
    // Who is offline is not in the network, and no link of theirs either.
    let mut offline = Vec::new();
    for (at, node) in document.nodes.iter().enumerate() {
        let id = checked(&node.id, || format!("nodes[{at}]"))?;
        if node.is_online == Some(false) {
            offline.push(id.into_owned());
            continue;
        }
        let peer = gathering.peer(&id);
        if let Some(name) = &node.hostname {
            let name: String = name.chars().take(MAX_NAME).collect();
            gathering.call(peer, &name);
        }
    }
    offline.sort_unstable();
    offline.dedup();
    gathering.offline = offline.len();
    for (at, link) in document.links.iter().enumerate() {
        let part = || format!("links[{at}]");
        let source = checked(&link.source, part)?;
        let target = checked(&link.target, part)?;
        let gone = |id: &str| offline.binary_search_by(|known| known.as_str().cmp(id)).is_ok();
        if gone(&source) || gone(&target) {
            continue;
        }
        let reliability = reliability(link, etx).map_err(|value| {
            ReadError::part(part(), "a quality between 0 and 1", &value.to_string())
        })?;
        let (a, b) = (gathering.peer(&source), gathering.peer(&target));
        gathering.link(a, b, reliability);
    }
    Ok(gathering)
}

fn checked<'a>(id: &'a Id<'_>, part: impl Fn() -> String) -> Result<Cow<'a, str>, ReadError> {
    let text = id.text();
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(ReadError::part(part(), "an id of 1 to 1024 bytes", &text));
    }
    Ok(text)
}

/// The worse direction of batman-adv's quality, or what an expected number of transmissions (ETX)
/// says; a cost by another measure says nothing of reliability.
fn reliability(link: &Link<'_>, etx: bool) -> Result<Option<Ratio>, f64> {
    let mut least: Option<Ratio> = None;
    for quality in [link.source_tq, link.target_tq].into_iter().flatten() {
        let ratio = Ratio::new(quality).map_err(|_| quality)?;
        least = Some(least.map_or(ratio, |least| if ratio < least { ratio } else { least }));
    }
    if least.is_none() && etx {
        let tries = link.cost.filter(|cost| *cost >= 1.0);
        least = tries.map(|tries| Ratio::clamped(1.0 / tries));
    }
    Ok(least)
}
