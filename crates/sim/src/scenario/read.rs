use bitcraps_types::TrafficClass;
use toml::de::DeTable;

use super::error::{Mistake, ScenarioError};
use super::section::Section;
use super::{
    Expectation, Group, Heals, Laid, MAX_LISTED, MAX_MESSAGES, MAX_NODES, Radio, Scenario, Stream,
    Target, Trouble, TroubleKind, What,
};

/// Longest course: a day.
const MAX_SECONDS: f64 = 86_400.0;
/// Largest area, in metres a side.
pub(super) const MAX_METRES: f64 = 1e6;
/// Largest message, in bytes; what the classes take is known to the nodes.
const MAX_BYTES: u64 = 1 << 20;

/// How the nodes of a group are joined.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Row,
    Ring,
    Star,
    Full,
}

const SHAPES: [(&str, Shape); 4] =
    [("row", Shape::Row), ("ring", Shape::Ring), ("star", Shape::Star), ("full", Shape::Full)];

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// The first mistake, and where it is.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        if text.len() > super::MAX_TEXT {
            let problem = format!("a scenario has at most {} bytes", super::MAX_TEXT);
            return Err(ScenarioError::at(text, 0, Mistake::Syntax(problem)));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ScenarioError::at(text, at, Mistake::Syntax(error.message().trim().to_owned()))
        })?;
        let mut root = Section::root(text, table.get_ref());
        let wanted = "write what the scenario shows";
        let name = root.text("name")?.ok_or_else(|| root.missing("name", wanted))?.to_owned();
        let seed = root.whole("seed", 0..=u64::MAX)?.unwrap_or(1);
        let length = root.time("seconds", 0.1..=MAX_SECONDS)?;
        let length =
            length.ok_or_else(|| root.missing("seconds", "write how long it runs, in seconds"))?;
        let warm_up = root.time("warm_up_s", 0.0..=MAX_SECONDS)?.unwrap_or(length / 10);
        let settle = root.time("settle_s", 0.0..=MAX_SECONDS)?.unwrap_or(length / 10);
        if warm_up + settle >= length {
            let problem = "warm_up_s and settle_s leave no time of `seconds`; shorten them";
            return Err(root.unfit("seconds", problem));
        }
        let area = match root.table("area")? {
            None => None,
            Some(mut area) => {
                let side = |area: &mut Section<'_>, key| {
                    let metres = area.number(key, 1.0..=MAX_METRES)?;
                    metres.ok_or_else(|| area.missing(key, "write it in metres"))
                };
                let sides = [side(&mut area, "width_m")?, side(&mut area, "height_m")?];
                area.done()?;
                Some(sides)
            }
        };
        let mut radios = Vec::new();
        for (name, section) in root.named("radios")? {
            radios.push(Radio::read(name, section)?);
        }
        let mut scenario = Self {
            name,
            seed,
            length,
            warm_up,
            settle,
            area: area.unwrap_or([1.0; 2]),
            groups: Vec::new(),
            radios,
            links: Vec::new(),
            troubles: Vec::new(),
            streams: Vec::new(),
            expectations: Vec::new(),
        };
        for section in root.list("nodes")? {
            let group = scenario.group(section, area)?;
            scenario.groups.push(group);
        }
        if scenario.groups.is_empty() {
            return Err(root.missing("nodes", "write [[nodes]] with a name and a count"));
        }
        for section in root.list("links")? {
            scenario.lay(section)?;
        }
        for section in root.list("faults")? {
            scenario.trouble(section)?;
        }
        let mut messages = 0;
        for section in root.list("traffic")? {
            messages += scenario.stream(section, messages)?;
        }
        for section in root.list("expect")? {
            let expectation = scenario.expectation(section, text)?;
            scenario.expectations.push(expectation);
        }
        root.done()?;
        Ok(scenario)
    }

    /// Every name of a group or node, for whoever misspelt one. Groups come first.
    fn names(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| group.name.clone());
        let nodes = (0..self.nodes()).filter(|node| self.group_of(*node).count > 1);
        groups.chain(nodes.map(|node| self.name_of(node))).collect()
    }

    /// The nodes that a name stands for; `all` stands for every one.
    fn resolve(
        &self,
        section: &Section<'_>,
        key: &str,
        at: usize,
        name: &str,
    ) -> Result<Vec<usize>, ScenarioError> {
        if name == "all" {
            return Ok((0..self.nodes()).collect());
        }
        let of_group = |group: &&Group| group.name == name;
        if let Some(group) = self.groups.iter().find(of_group) {
            return Ok((group.first..group.first + group.count).collect());
        }
        let numbered = name.rsplit_once('-').and_then(|(group, number)| {
            let group = self.groups.iter().find(|g| g.name == group && g.count > 1)?;
            let number = number.parse::<usize>().ok().filter(|n| (1..=group.count).contains(n))?;
            Some(group.first + number - 1)
        });
        numbered.map(|node| vec![node]).ok_or_else(|| {
            let names = self.names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            section.unknown_word(key, at, name, &names)
        })
    }

    fn nodes_at(
        &self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Result<Option<Vec<usize>>, ScenarioError> {
        let Some(name) = section.text(key)? else { return Ok(None) };
        let at = section.place(key);
        self.resolve(section, key, at, name).map(Some)
    }

    fn radio_at(
        &self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Result<Option<usize>, ScenarioError> {
        let known: Vec<(&str, usize)> =
            self.radios.iter().enumerate().map(|(at, radio)| (radio.name.as_str(), at)).collect();
        section.word(key, &known)
    }

    fn group(
        &self,
        mut section: Section<'_>,
        area: Option<[f64; 2]>,
    ) -> Result<Group, ScenarioError> {
        let name = section.text("name")?;
        let name = name.ok_or_else(|| section.missing("name", "write what they are called"))?;
        if name == "all" || self.groups.iter().any(|group| group.name == name) {
            return Err(section.unfit("name", format!("\"{name}\" is taken; choose another name")));
        }
        let first = self.nodes();
        let count = section.whole("count", 1..=MAX_NODES as u64)?.unwrap_or(1) as usize;
        if first + count > MAX_NODES {
            let problem = format!("with them there are more than {MAX_NODES} nodes; take fewer");
            return Err(section.unfit("count", problem));
        }
        let mut radios = Vec::new();
        for (at, word) in section.texts("radios")?.unwrap_or_default() {
            let Some(radio) = self.radios.iter().position(|radio| radio.name == word) else {
                let known: Vec<&str> = self.radios.iter().map(|r| r.name.as_str()).collect();
                return Err(section.unknown_word("radios", at, word, &known));
            };
            if self.radios[radio].range.is_none() {
                let problem =
                    format!("radio \"{word}\" has no range_m, by which nodes find others");
                return Err(section.unfit("radios", problem));
            }
            if area.is_none() {
                let problem = "nodes that find each other need an [area] to be in";
                return Err(section.unfit("radios", problem));
            }
            radios.push(radio);
        }
        let at = section.pair("at_m", 0.0..=MAX_METRES)?;
        if let (Some([x, y]), Some([width, height])) = (at, area)
            && (x > width || y > height)
        {
            return Err(section.unfit("at_m", format!("[{x}, {y}] is outside of the area")));
        }
        let spread = section.number("spread_m", 0.0..=MAX_METRES)?.unwrap_or(0.0);
        let speed = section.pair("speed_mps", 0.0..=1_000.0)?;
        if let Some([least, most]) = speed
            && (least > most || most == 0.0)
        {
            let problem = "the least comes first, and the most is above zero";
            return Err(section.unfit("speed_mps", problem));
        }
        let pause = section.time("pause_s", 0.0..=MAX_SECONDS)?.unwrap_or_default();
        let view = section.flag("view")?.unwrap_or(true);
        let above = section.number("heals_above", 0.0..=1.0)?;
        let heals = match (above, section.flag("lies")?.unwrap_or(false)) {
            (None, false) => Heals::Never,
            (Some(risk), false) => Heals::Above(risk),
            (None, true) => Heals::Lies,
            (Some(_), true) => {
                return Err(section.unfit("lies", "who lies heals nothing; leave heals_above out"));
            }
        };
        let problem = "who does not see the network knows nothing of what it needs";
        section.only_where(view, &["heals_above", "lies"], problem)?;
        let keys = ["at_m", "spread_m", "speed_mps", "pause_s"];
        section.only_where(!radios.is_empty(), &keys, "only nodes with radios are somewhere")?;
        section.only_where(at.is_some(), &["spread_m"], "it is around at_m; write that too")?;
        let problem = "who stays where they are does not pause; write speed_mps";
        section.only_where(speed.is_some(), &["pause_s"], problem)?;
        section.done()?;
        let name = name.to_owned();
        Ok(Group { name, count, first, radios, view, at, spread, speed, pause, heals })
    }

    fn lay(&mut self, mut section: Section<'_>) -> Result<(), ScenarioError> {
        let radio = self.radio_at(&mut section, "radio")?;
        let radio =
            radio.ok_or_else(|| section.missing("radio", "write which radio carries it"))?;
        let name = section.text("name")?.map(str::to_owned);
        let spare = section.flag("spare")?.unwrap_or(false);
        let ends = section.texts("between")?;
        let group = self.nodes_at(&mut section, "group")?;
        let shape = section.word("shape", &SHAPES)?;
        section.only_where(group.is_some(), &["shape"], "only a group has one")?;
        let mut pairs = Vec::new();
        match (ends, group) {
            (Some(ends), None) => {
                let [a, b] = ends.as_slice() else {
                    return Err(section.unfit("between", "it takes two names"));
                };
                let a = self.resolve(&section, "between", a.0, a.1)?;
                let b = self.resolve(&section, "between", b.0, b.1)?;
                let all = a.iter().flat_map(|a| b.iter().map(move |b| [*a, *b]));
                // Two names of one group: each pair once.
                let once = |[x, y]: &[usize; 2]| x != y && (x < y || !a.contains(y));
                pairs.extend(all.filter(once).take(MAX_LISTED + 1));
            }
            (None, Some(nodes)) => {
                let shape = shape.ok_or_else(|| {
                    section.missing("shape", "write how they are joined: row, ring, star or full")
                })?;
                let joined = nodes.windows(2).map(|pair| [pair[0], pair[1]]);
                match (shape, nodes.as_slice()) {
                    (Shape::Row, _) => pairs.extend(joined),
                    (Shape::Ring, [first, .., last]) if nodes.len() > 2 => {
                        pairs.extend(joined);
                        pairs.push([*first, *last]);
                    }
                    (Shape::Ring, _) => pairs.extend(joined),
                    (Shape::Star, []) => {}
                    (Shape::Star, [hub, others @ ..]) => {
                        pairs.extend(others.iter().map(|other| [*hub, *other]));
                    }
                    (Shape::Full, _) => {
                        let later = |at: usize| nodes[at + 1..].iter().map(move |b| (at, *b));
                        let all = (0..nodes.len()).flat_map(later);
                        pairs.extend(all.map(|(a, b)| [nodes[a], b]).take(MAX_LISTED + 1));
                    }
                }
            }
            _ => {
                let wanted = "write between = [\"..\", \"..\"], or a group and its shape";
                return Err(section.missing("between", wanted));
            }
        }
        if pairs.is_empty() {
            return Err(section.unfit("between", "a link needs two different nodes"));
        }
        if self.links.len() + pairs.len() > MAX_LISTED {
            let problem = format!("with them there are more than {MAX_LISTED} links; lay fewer");
            return Err(section.unfit("between", problem));
        }
        section.done()?;
        let laid = |ends| Laid { name: name.clone(), ends, radio, spare };
        self.links.extend(pairs.into_iter().map(laid));
        Ok(())
    }

    fn target(&self, section: &mut Section<'_>, of_nodes: bool) -> Result<Target, ScenarioError> {
        let nodes = self.nodes_at(section, "node")?;
        if of_nodes {
            let wanted = "write the name of a node or of a group";
            return nodes.map(Target::Nodes).ok_or_else(|| section.missing("node", wanted));
        }
        let mut targets: Vec<Target> = nodes.map(Target::Nodes).into_iter().collect();
        let names: Vec<(&str, &str)> =
            self.links.iter().filter_map(|link| link.name.as_deref()).map(|n| (n, n)).collect();
        targets.extend(section.word("link", &names)?.map(|name| Target::Link(name.to_owned())));
        targets.extend(self.radio_at(section, "radio")?.map(Target::Radio));
        if let Some(ends) = section.texts("between")? {
            let [a, b] = ends.as_slice() else {
                return Err(section.unfit("between", "it takes two names"));
            };
            targets.push(Target::Between(
                self.resolve(section, "between", a.0, a.1)?,
                self.resolve(section, "between", b.0, b.1)?,
            ));
        }
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            (Some(_), false) => {
                Err(section.unfit("node", "only one of node, link, radio and between"))
            }
            (None, _) => Err(section.missing("node", "write one of node, link, radio and between")),
        }
    }

    fn trouble(&mut self, mut section: Section<'_>) -> Result<(), ScenarioError> {
        let told = section.flag("told")?;
        let share = section.number("share", 0.0..=1.0)?;
        let latency = section.time("latency_ms", 0.0..=60_000.0)?;
        let kinds = [
            ("kill", TroubleKind::Kill { told: told.unwrap_or(false) }),
            ("suspend", TroubleKind::Suspend),
            ("silence", TroubleKind::Silence),
            ("cut", TroubleKind::Cut),
            ("loss", TroubleKind::Loss(share.unwrap_or(0.0))),
            ("latency", TroubleKind::Latency(latency.unwrap_or_default())),
        ];
        let kind = section.word("kind", &kinds)?;
        let kind = kind.ok_or_else(|| section.missing("kind", "write what goes wrong"))?;
        let of_nodes = matches!(kind, TroubleKind::Kill { .. } | TroubleKind::Suspend);
        for (key, is_there, of) in [
            ("share", share.is_some(), matches!(kind, TroubleKind::Loss(_))),
            ("latency_ms", latency.is_some(), matches!(kind, TroubleKind::Latency(_))),
        ] {
            if is_there && !of {
                return Err(section.unfit(key, format!("a {} has none", kind.name())));
            }
            if of && !is_there {
                return Err(section.missing(key, "write how much of it"));
            }
        }
        if told.is_some() && !matches!(kind, TroubleKind::Kill { .. }) {
            return Err(section.unfit("told", "only of the death of a node peers may be told"));
        }
        let target = self.target(&mut section, of_nodes)?;
        let some = section.whole("some", 1..=MAX_NODES as u64)?.map(|count| count as usize);
        match (&target, some) {
            (Target::Nodes(nodes), Some(some)) if some > nodes.len() => {
                let problem = format!("only {} nodes are called so", nodes.len());
                return Err(section.unfit("some", problem));
            }
            (Target::Link(_) | Target::Radio(_) | Target::Between(..), Some(_)) => {
                return Err(section.unfit("some", "only some of several nodes can be drawn"));
            }
            _ => {}
        }
        let at = section.time("at_s", 0.0..=MAX_SECONDS)?;
        let at = at.ok_or_else(|| section.missing("at_s", "write when, in seconds"))?;
        let lasts = section.time("for_s", 0.001..=MAX_SECONDS)?;
        if kind == TroubleKind::Suspend && lasts.is_none() {
            return Err(section.missing("for_s", "write how long they sleep, in seconds"));
        }
        let every = section.time("every_s", 0.001..=MAX_SECONDS)?;
        let times = section.whole("times", 1..=MAX_LISTED as u64)?;
        let times = match (every, times) {
            (None, None) => 1,
            (Some(every), Some(times)) => {
                if lasts.is_none_or(|lasts| lasts >= every) && times > 1 {
                    let problem = "each time has to be over (for_s) before the next begins";
                    return Err(section.unfit("every_s", problem));
                }
                times as usize
            }
            _ => return Err(section.missing("times", "every_s and times go together")),
        };
        let every = every.unwrap_or_default();
        if at + every * (times as u32 - 1) > self.length {
            return Err(section.unfit("at_s", "it comes after the end of the course"));
        }
        if self.troubles.len() + times > MAX_LISTED {
            let problem = format!("with them there are more than {MAX_LISTED} faults; take fewer");
            return Err(section.unfit("times", problem));
        }
        section.done()?;
        self.troubles.extend((0..times as u32).map(|number| {
            let at = at + every * number;
            let until = lasts.map(|lasts| at + lasts);
            Trouble { at, until, target: target.clone(), some, kind }
        }));
        Ok(())
    }

    /// Adds a stream; how many messages it is at most.
    fn stream(&mut self, mut section: Section<'_>, before: u64) -> Result<u64, ScenarioError> {
        let ends = |section: &mut Section<'_>, key| {
            let nodes = self.nodes_at(section, key)?;
            nodes.ok_or_else(|| section.missing(key, "write the name of a node or group, or all"))
        };
        let (from, to) = (ends(&mut section, "from")?, ends(&mut section, "to")?);
        if from.iter().any(|source| to == [*source]) {
            return Err(section.unfit("to", "a node does not send to itself"));
        }
        let classes = TrafficClass::ALL.map(|class| (class.name(), class));
        let class = section.word("class", &classes)?;
        let class = class.ok_or_else(|| section.missing("class", "write what they are worth"))?;
        let every = section.time("every_ms", 1.0..=MAX_SECONDS * 1e3)?;
        let every = every.ok_or_else(|| section.missing("every_ms", "write how often"))?;
        let bytes = section.whole("bytes", 8..=MAX_BYTES)?.unwrap_or(100) as usize;
        let deadline = section.time("deadline_ms", 1.0..=3.6e6)?;
        let copies = section.whole("copies", 1..=4)?.map(|copies| copies as u8);
        let begin = section.time("from_s", 0.0..=MAX_SECONDS)?.unwrap_or(self.warm_up);
        let end = section.time("until_s", 0.0..=MAX_SECONDS)?;
        let end = end.unwrap_or(self.length - self.settle);
        if begin >= end || end > self.length {
            let problem = "it ends before it begins, or after the course";
            return Err(section.unfit("until_s", problem));
        }
        let pairs = section.word("pairs", &[("fixed", true), ("random", false)])?;
        let times = (end - begin).as_nanos().div_ceil(every.as_nanos()) as u64;
        let messages = times * from.len() as u64;
        if before + messages > MAX_MESSAGES {
            let problem = format!("with these there are more than {MAX_MESSAGES} messages");
            return Err(section.unfit("every_ms", problem));
        }
        section.done()?;
        let fixed = pairs.unwrap_or(true);
        self.streams.push(Stream {
            from,
            to,
            class,
            every,
            bytes,
            deadline,
            copies,
            begin,
            end,
            fixed,
        });
        Ok(messages)
    }

    fn expectation(
        &self,
        mut section: Section<'_>,
        text: &str,
    ) -> Result<Expectation, ScenarioError> {
        let what = section.word("what", &What::ALL)?;
        let what = what.ok_or_else(|| section.missing("what", "write which figure"))?;
        let classes = TrafficClass::ALL.map(|class| (class.name(), class));
        let class = section.word("class", &classes)?;
        if class.is_some() && !what.is_of_messages() {
            return Err(section.unfit("class", format!("{} has no class", what.name())));
        }
        if what.is_of_messages() {
            let sent = |stream: &Stream| class.is_none_or(|class| class == stream.class);
            if !self.streams.iter().any(sent) {
                let problem = "no [[traffic]] sends such messages, so that nothing would be judged";
                return Err(section.unfit("what", problem));
            }
        }
        let least = section.number("at_least", 0.0..=f64::MAX)?;
        let most = section.number("at_most", 0.0..=f64::MAX)?;
        if least.is_none() && most.is_none() {
            return Err(section.missing("at_most", "write at_least, at_most or both"));
        }
        let line =
            ScenarioError::at(text, section.place("what"), Mistake::Syntax(String::new())).line;
        section.done()?;
        Ok(Expectation { what, class, least, most, line })
    }
}
