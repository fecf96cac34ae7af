use bitcraps_types::Ratio;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Gathering, MAX_NAME, ReadError, line_at};

/// Elements within elements; graphs within nodes are not read, and nothing else nests deeper.
const MAX_DEPTH: usize = 16;

/// What a `<data>` element is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Name,
    Reliability,
    Other,
}

/// What is being read.
#[derive(Debug, Default)]
struct State {
    /// Ids of `<key>` elements that mean something.
    keys: Vec<(String, Meaning)>,
    node: Option<u32>,
    edge: Option<(String, String, Option<Ratio>)>,
    data: Option<Meaning>,
}

/// GraphML: nodes, edges, and the data called `reliability`, `label` and `name`.
pub(super) fn read(text: &str) -> Result<Gathering, ReadError> {
    let mut reader = Reader::from_str(text);
    let mut gathering = Gathering::new();
    let mut state = State::default();
    let mut depth = 0;
    let mut graphs = 0;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let line = || line_at(text, at);
        let event = reader
            .read_event()
            .map_err(|error| ReadError::syntax(line(), "XML", &error.to_string()))?;
        match event {
            Event::Eof if depth > 0 => {
                return Err(ReadError::syntax(line(), "the end of each element", "the end"));
            }
            Event::Eof if graphs == 0 => {
                return Err(ReadError::syntax(line(), "a <graph>", "the end"));
            }
            Event::Eof => return Ok(gathering),
            Event::Start(element) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let expected = "elements at most 16 deep";
                    return Err(ReadError::syntax(line(), expected, "a deeper one"));
                }
                graphs += usize::from(element.local_name().as_ref() == "graph");
                state.open(&element, &mut gathering, line())?;
            }
            Event::Empty(element) => {
                graphs += usize::from(element.local_name().as_ref() == "graph");
                state.open(&element, &mut gathering, line())?;
                state.close(element.local_name().as_ref(), &mut gathering);
            }
            Event::End(element) => {
                depth -= 1;
                state.close(element.local_name().as_ref(), &mut gathering);
            }
            Event::Text(content) => {
                state.read_data(content.trim(), &mut gathering, line())?;
            }
            _ => {}
        }
    }
}

impl State {
    fn open(
        &mut self,
        element: &BytesStart<'_>,
        gathering: &mut Gathering,
        line: u64,
    ) -> Result<(), ReadError> {
        let attribute = |name: &'static str| -> Result<Option<String>, ReadError> {
            for attribute in element.attributes() {
                let attribute =
                    attribute.map_err(|e| ReadError::syntax(line, "attributes", &e.to_string()))?;
                if attribute.key.local_name().as_ref() == name {
                    let value = attribute.value.into_owned();
                    let value = quick_xml::escape::unescape(&value)
                        .map(|v| v.into_owned())
                        .unwrap_or(value);
                    if value.is_empty() || value.len() > MAX_NAME {
                        let expected = "an attribute of 1 to 1024 bytes";
                        return Err(ReadError::syntax(line, expected, &value));
                    }
                    return Ok(Some(value));
                }
            }
            Ok(None)
        };
        let wanted = |name: &'static str, expected: &'static str| {
            attribute(name)?
                .ok_or_else(|| ReadError::syntax(line, expected, "an element without it"))
        };
        match element.local_name().as_ref() {
            "key" => {
                let meaning = match attribute("attr.name")?.as_deref() {
                    Some("reliability" | "tq") => Meaning::Reliability,
                    Some("label" | "name" | "hostname") => Meaning::Name,
                    Some(_) | None => Meaning::Other,
                };
                if meaning != Meaning::Other {
                    self.keys.push((wanted("id", "a <key> with an id")?, meaning));
                }
            }
            "node" => self.node = Some(gathering.peer(&wanted("id", "a <node> with an id")?)),
            "edge" => {
                let source = wanted("source", "an <edge> with a source")?;
                let target = wanted("target", "an <edge> with a target")?;
                self.edge = Some((source, target, None));
            }
            "data" => {
                let key = attribute("key")?;
                let known = self.keys.iter().find(|(id, _)| Some(id) == key.as_ref());
                self.data = known.map(|(_, meaning)| *meaning);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str, gathering: &mut Gathering) {
        match name {
            "node" => self.node = None,
            "data" => self.data = None,
            "edge" => {
                if let Some((source, target, reliability)) = self.edge.take() {
                    let (a, b) = (gathering.peer(&source), gathering.peer(&target));
                    gathering.link(a, b, reliability);
                }
            }
            _ => {}
        }
    }

    fn read_data(
        &mut self,
        content: &str,
        gathering: &mut Gathering,
        line: u64,
    ) -> Result<(), ReadError> {
        if content.is_empty() {
            return Ok(());
        }
        match (self.data, self.node, &mut self.edge) {
            (Some(Meaning::Name), Some(node), _) => {
                let name: String = content.chars().take(MAX_NAME).collect();
                gathering.call(node, &name);
            }
            (Some(Meaning::Reliability), _, Some((_, _, reliability))) => {
                let value: Option<f64> = content.parse().ok();
                let ratio = value.and_then(|value| Ratio::new(value).ok());
                let expected = "a reliability between 0 and 1";
                *reliability =
                    Some(ratio.ok_or_else(|| ReadError::syntax(line, expected, content))?);
            }
            (_, _, _) => {}
        }
        Ok(())
    }
}
