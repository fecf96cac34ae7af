use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, ScenarioError, closest};

/// A table of a scenario that is being read. Every key that is asked for is known from then on;
/// [`Self::done`] refuses the others.
pub(super) struct Section<'a> {
    text: &'a str,
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value and where it is.
type Found<'a> = (usize, &'a DeValue<'a>);

impl<'a> Section<'a> {
    pub(super) fn root(text: &'a str, table: &'a DeTable<'a>) -> Self {
        Self { text, path: String::new(), at: 0, table, known: Vec::new() }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn error(&self, at: usize, mistake: Mistake) -> ScenarioError {
        ScenarioError::at(self.text, at, mistake)
    }

    fn value(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.known.push(key);
        let mut entries = self.table.iter();
        let entry = entries.find(|(name, _)| name.get_ref().as_ref() == key);
        entry.map(|(_, value)| (value.span().start, value.get_ref()))
    }

    fn wrong(
        &self,
        key: &str,
        at: usize,
        found: &DeValue<'_>,
        wanted: &'static str,
    ) -> ScenarioError {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(at, Mistake::WrongType { key: self.path_of(key), found, wanted })
    }

    /// What is missing where this table begins, unless it is there under a name that is close.
    pub(super) fn missing(&self, key: &str, wanted: &str) -> ScenarioError {
        /// Letters that somebody mistypes; keys that are asked for later differ in more.
        const TYPED_WRONG: usize = 2;
        let unasked =
            self.table.keys().filter(|name| !self.known.contains(&name.get_ref().as_ref()));
        let distance = |name: &str| strsim::damerau_levenshtein(name, key);
        let nearest = unasked.min_by_key(|name| distance(name.get_ref()));
        if let Some(name) = nearest.filter(|name| distance(name.get_ref()) <= TYPED_WRONG) {
            let (path, suggestion) = (self.path_of(name.get_ref()), Some(key.to_owned()));
            let mistake = Mistake::UnknownKey { key: path, suggestion };
            return self.error(name.span().start, mistake);
        }
        let (key, wanted) = (self.path_of(key), wanted.to_owned());
        self.error(self.at, Mistake::Missing { key, wanted })
    }

    /// A value that is there and does not fit; this table, if it is not.
    pub(super) fn unfit(&self, key: &str, problem: impl Into<String>) -> ScenarioError {
        let mut entries = self.table.iter();
        let entry = entries.find(|(name, _)| name.get_ref().as_ref() == key);
        let at = entry.map_or(self.at, |(_, value)| value.span().start);
        self.error(at, Mistake::Unfit { key: self.path_of(key), problem: problem.into() })
    }

    /// Refuses keys that would say nothing where `fits` does not hold.
    pub(super) fn only_where(
        &self,
        fits: bool,
        keys: &[&str],
        problem: &str,
    ) -> Result<(), ScenarioError> {
        let is_there = |key: &&&str| self.table.keys().any(|name| name.get_ref() == **key);
        match keys.iter().find(is_there).filter(|_| !fits) {
            Some(key) => Err(self.unfit(key, problem)),
            None => Ok(()),
        }
    }

    fn number_at(
        &self,
        key: &str,
        (at, value): Found<'a>,
        range: &RangeInclusive<f64>,
    ) -> Result<f64, ScenarioError> {
        let number = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.wrong(key, at, value, "a number"))?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(self.out_of_range(key, at, number, range))
    }

    fn out_of_range<T: Display>(
        &self,
        key: &str,
        at: usize,
        value: impl Display,
        range: &RangeInclusive<T>,
    ) -> ScenarioError {
        let mistake = Mistake::OutOfRange {
            key: self.path_of(key),
            value: value.to_string(),
            least: range.start().to_string(),
            most: range.end().to_string(),
        };
        self.error(at, mistake)
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, ScenarioError> {
        let found = self.value(key);
        found.map(|found| self.number_at(key, found, &range)).transpose()
    }

    /// Two numbers in a list.
    pub(super) fn pair(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<[f64; 2]>, ScenarioError> {
        const WANTED: &str = "a list of two numbers";
        let Some((at, value)) = self.value(key) else { return Ok(None) };
        let DeValue::Array(items) = value else { return Err(self.wrong(key, at, value, WANTED)) };
        let mut numbers = Vec::new();
        for item in items.iter() {
            let found = (item.span().start, item.get_ref());
            numbers.push(self.number_at(key, found, &range)?);
        }
        let numbers: Result<[f64; 2], _> = numbers.try_into();
        numbers.map(Some).map_err(|_| self.wrong(key, at, value, WANTED))
    }

    pub(super) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ScenarioError> {
        let Some((at, value)) = self.value(key) else { return Ok(None) };
        let number = match value {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.wrong(key, at, value, "a whole number"))?;
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.out_of_range(key, at, number, &range)),
        }
    }

    /// A number of seconds, or of milliseconds when the key ends so.
    pub(super) fn time(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<Duration>, ScenarioError> {
        let scale = if key.ends_with("_ms") { 1e-3 } else { 1.0 };
        Ok(self.number(key, range)?.map(|number| Duration::from_secs_f64(number * scale)))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ScenarioError> {
        match self.value(key) {
            None => Ok(None),
            Some((_, DeValue::Boolean(flag))) => Ok(Some(*flag)),
            Some((at, other)) => Err(self.wrong(key, at, other, "true or false")),
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, ScenarioError> {
        match self.value(key) {
            None => Ok(None),
            Some((_, DeValue::String(text))) => Ok(Some(text)),
            Some((at, other)) => Err(self.wrong(key, at, other, "a text")),
        }
    }

    /// Texts in a list, each with its place.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Vec<(usize, &'a str)>>, ScenarioError> {
        const WANTED: &str = "a list of texts";
        let Some((at, value)) = self.value(key) else { return Ok(None) };
        let DeValue::Array(items) = value else { return Err(self.wrong(key, at, value, WANTED)) };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((item.span().start, text.as_ref())),
                other => return Err(self.wrong(key, item.span().start, other, "a text")),
            }
        }
        Ok(Some(texts))
    }

    /// The thing among `known` that a word names.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        known: &[(&str, T)],
    ) -> Result<Option<T>, ScenarioError> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        let at = self.value(key).map_or(self.at, |(at, _)| at);
        if let Some((_, thing)) = known.iter().find(|(name, _)| *name == word) {
            return Ok(Some(*thing));
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Err(self.unknown_word(key, at, word, &names))
    }

    /// A word that is none of `known`.
    pub(super) fn unknown_word(
        &self,
        key: &str,
        at: usize,
        word: &str,
        known: &[&str],
    ) -> ScenarioError {
        /// Words that an error lists.
        const SHOWN: usize = 12;
        let suggestion = closest(word, known.iter().copied());
        let listed = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        let known = match known.len() {
            0 => "there is none".to_owned(),
            1..=SHOWN => format!("known: {listed}"),
            more => format!("known: {listed} and {} more", more - SHOWN),
        };
        let (key, word) = (self.path_of(key), word.to_owned());
        self.error(at, Mistake::UnknownWord { key, word, suggestion, known })
    }

    /// Where a key's value is; where this table begins, if it has no such key.
    pub(super) fn place(&mut self, key: &'static str) -> usize {
        self.value(key).map_or(self.at, |(at, _)| at)
    }

    fn inside(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Section<'a>, ScenarioError> {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Ok(Section {
                text: self.text,
                path: self.path_of(key),
                at,
                table,
                known: Vec::new(),
            }),
            other => Err(self.wrong(key, at, other, "a table")),
        }
    }

    /// A table inside this one.
    pub(super) fn table(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Section<'a>>, ScenarioError> {
        self.known.push(key);
        let mut entries = self.table.iter();
        let entry = entries.find(|(name, _)| name.get_ref().as_ref() == key);
        entry.map(|(_, value)| self.inside(key, value)).transpose()
    }

    /// Tables inside of one, by name.
    pub(super) fn named(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<(&'a str, Section<'a>)>, ScenarioError> {
        let Some(outer) = self.table(key)? else { return Ok(Vec::new()) };
        let mut entries: Vec<_> = outer.table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let inside = |(name, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &'a std::borrow::Cow<'a, str> = name.get_ref();
            Ok((name.as_ref(), outer.inside(name, value)?))
        };
        entries.into_iter().map(inside).collect()
    }

    /// Tables in a list.
    pub(super) fn list(&mut self, key: &'static str) -> Result<Vec<Section<'a>>, ScenarioError> {
        let Some((at, value)) = self.value(key) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = value else {
            return Err(self.wrong(key, at, value, "a list of tables, each under [[..]]"));
        };
        items.iter().map(|item| self.inside(key, item)).collect()
    }

    /// Refuses the first key that nobody asked for.
    pub(super) fn done(self) -> Result<(), ScenarioError> {
        let unknown = self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref()));
        let Some(first) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let key = first.get_ref();
        let suggestion = closest(key, self.known.iter().copied());
        let mistake = Mistake::UnknownKey { key: self.path_of(key), suggestion };
        Err(self.error(first.span().start, mistake))
    }
}
