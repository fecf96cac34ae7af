use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

use toml::{Table, Value};

use super::error::ConfigError;
use super::key::{Place, closest, place};
use super::raw::RawConfig;

/// What every variable that sets a key begins with; two underscores stand between tables, too.
const PREFIX: &str = "BITCRAPS__";

/// The environment variables a configuration depends on, taken once and passed in.
///
/// `BITCRAPS__LAN__PORT=0` sets `lan.port`, over the file. The value is read as a TOML value when it
/// is one of the right type, otherwise as text. `XDG_DATA_HOME` and `HOME` say where data lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        env::vars_os().collect()
    }

    /// A variable that is set, not empty and text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(&OsString::from(name))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter();
        Self(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// Puts the variables of `environment` over `table`, and says which variable set which key.
///
/// Each is tried on its own, so that a value of the wrong type is blamed on its variable.
pub(super) fn lay_over(
    table: &mut Table,
    environment: &Environment,
) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let mut set = BTreeMap::new();
    for (name, value) in &environment.0 {
        let Some(name) = name.to_str() else { continue };
        let Some(words) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path = words.to_lowercase().replace("__", ".");
        let Place::Value(key) = place(&path) else {
            return Err(ConfigError::UnknownVariable {
                variable: name.to_owned(),
                suggestion: closest(&path).and_then(variable_for),
            });
        };
        let Some(text) = value.to_str() else {
            return Err(ConfigError::VariableNotText(name.to_owned()));
        };
        *table = with_value(table, key.path, text).map_err(|message| ConfigError::WrongType {
            origin: super::Origin::Environment(name.to_owned()),
            key: key.path.to_owned(),
            message,
        })?;
        set.insert(key.path, name.to_owned());
    }
    Ok(set)
}

/// The variable that sets what is at `path`, if that takes a value.
fn variable_for(path: &str) -> Option<String> {
    match place(path) {
        Place::Value(_) => Some(format!("{PREFIX}{}", path.to_uppercase().replace('.', "__"))),
        Place::Section | Place::OfPeer | Place::Unknown => None,
    }
}

fn with_value(table: &Table, path: &str, text: &str) -> Result<Table, String> {
    let as_text = Value::String(text.to_owned());
    let Some(value) = toml_value(text) else {
        return with(table, path, as_text);
    };
    // A name may look like a number: text is tried second, and its failure is not the one to tell.
    with(table, path, value).or_else(|message| with(table, path, as_text).map_err(|_| message))
}

fn toml_value(text: &str) -> Option<Value> {
    let mut document: Table = format!("value = {text}").parse().ok()?;
    let value = document.remove("value")?;
    // A line end in the text could have added keys.
    document.is_empty().then_some(value)
}

fn with(table: &Table, path: &str, value: Value) -> Result<Table, String> {
    let mut changed = table.clone();
    let mut inner = &mut changed;
    let mut words = path.split('.').peekable();
    while let Some(word) = words.next() {
        if words.peek().is_none() {
            inner.insert(word.to_owned(), value);
            break;
        }
        let next = inner.entry(word).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(format!("{word} is no table"));
        };
        inner = next;
    }
    match changed.clone().try_into::<RawConfig>() {
        Ok(_) => Ok(changed),
        Err(error) => Err(error.message().to_owned()),
    }
}
