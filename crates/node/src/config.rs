//! The configuration of a node: read from TOML and the environment, checked once, valid ever after.
//!
//! A file is read in four steps: every key is looked up (an unknown one is an error with its place
//! and a suggestion), types are checked, the environment is laid over, and the result is checked
//! against ranges and relations. Nothing here reads the environment of the process or looks at the
//! machine: the [`Environment`] is passed in, and whether an interface exists or a port is free is
//! found out when the node starts.

mod change;
mod check;
mod error;
mod healing;
mod key;
mod limits;
mod origin;
mod overlay;
mod raw;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use bitcraps_engine::monitor::MonitorConfig;
use toml::de::DeTable;
use toml::{Table, Value};

pub use change::{Change, Entry};
pub use error::{ConfigError, Contradiction};
pub use origin::{Location, Origin};
pub use overlay::Environment;
pub use sections::{
    AdminSettings, AdmissionSettings, BluetoothSettings, DashboardSettings, Healing,
    HealingSettings, HistorySettings, Interface, InternetSettings, LanSettings, LogFormat,
    LogSettings, Mode, NodeSettings, Policy, Privacy, StaticPeer, StoreSettings, TransportLimits,
    TransportSettings, WifiDirectSettings,
};

use check::Sections;
use key::KEYS;
use limits::MAX_FILE;
use origin::{Spans, known_keys};
use raw::RawConfig;

/// A configuration that holds: every value in its range, every relation kept.
#[derive(Debug, Clone)]
pub struct Config {
    sections: Sections,
    /// The values in force, with paths resolved.
    effective: Table,
    origins: Origins,
}

impl Config {
    /// Reads the file at `path` with `environment` over it; without a path, the defaults with
    /// `environment` over them.
    ///
    /// # Errors
    /// The first [`ConfigError`] found: unknown keys before wrong types, the file before the
    /// environment, single values before relations.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Self::parse("", Path::new(""), environment);
        };
        let failed = |e: std::io::Error| ConfigError::Read {
            path: path.to_owned(),
            kind: e.kind(),
            reason: e.to_string(),
        };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE {
            return Err(ConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE });
        }
        Self::parse(&text, path, environment)
    }

    /// As [`Self::load`], from text; `name` stands for the file in errors and origins.
    ///
    /// # Errors
    /// As for [`Self::load`], except those of reading.
    pub fn parse(text: &str, name: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let spans = spans_of(text, name)?;
        let mut table: Table = toml::from_str(text).map_err(|e| syntax(name, text, &e))?;
        let variables = overlay::lay_over(&mut table, environment)?;
        let origins = Origins::new(name, text, &spans, variables);
        // Every step that made the table has been deserialized already; this cannot fail anew.
        let raw: RawConfig = table.try_into().map_err(|e| syntax(name, text, &e))?;
        let (sections, resolved) = check::checked(raw, &origins, environment)?;
        let effective = Table::try_from(&resolved).map_err(|e| ConfigError::Syntax {
            at: Location::of(name, text, 0),
            message: e.to_string(),
        })?;
        Ok(Self { sections, effective, origins })
    }

    /// `[coordination.network_monitor]`, `[coordination.alerts]` and `[coordination.betting]`.
    pub fn monitor(&self) -> &MonitorConfig {
        &self.sections.monitor
    }

    /// `[coordination.transport]`.
    pub fn transport(&self) -> &TransportSettings {
        &self.sections.transport
    }

    /// `[node]`.
    pub fn node(&self) -> &NodeSettings {
        &self.sections.node
    }

    /// `[lan]`.
    pub fn lan(&self) -> &LanSettings {
        &self.sections.lan
    }

    /// `[bluetooth]`.
    pub fn bluetooth(&self) -> &BluetoothSettings {
        &self.sections.bluetooth
    }

    /// `[wifi_direct]`.
    pub fn wifi_direct(&self) -> &WifiDirectSettings {
        &self.sections.wifi_direct
    }

    /// `[internet]`.
    pub fn internet(&self) -> &InternetSettings {
        &self.sections.internet
    }

    /// `[[peers]]`, in the order of the file, none twice.
    pub fn peers(&self) -> &[StaticPeer] {
        &self.sections.peers
    }

    /// `[admission]`.
    pub fn admission(&self) -> &AdmissionSettings {
        &self.sections.admission
    }

    /// `[healing]`.
    pub fn healing(&self) -> &HealingSettings {
        &self.sections.healing
    }

    /// `[store]`.
    pub fn store(&self) -> &StoreSettings {
        &self.sections.store
    }

    /// `[history]`.
    pub fn history(&self) -> &HistorySettings {
        &self.sections.history
    }

    /// `[admin]`.
    pub fn admin(&self) -> &AdminSettings {
        &self.sections.admin
    }

    /// `[dashboard]`.
    pub fn dashboard(&self) -> &DashboardSettings {
        &self.sections.dashboard
    }

    /// `[log]`.
    pub fn log(&self) -> &LogSettings {
        &self.sections.log
    }

    /// Where the value of `key` comes from; `None` when there is no such key. The static peers are
    /// one key, `peers`.
    pub fn origin_of(&self, key: &str) -> Option<&Origin> {
        let known = KEYS.iter().find(|known| known.path == key)?;
        Some(self.origins.of(known.path))
    }

    /// Every key with its value in force and where that comes from, in the order of the template.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        KEYS.iter().map(|key| Entry {
            key: key.path,
            value: self.value(key.path),
            origin: self.origins.of(key.path),
        })
    }

    /// The values in force as a configuration file: defaults written out, paths resolved. Reading it
    /// gives this configuration again.
    pub fn effective_toml(&self) -> String {
        self.effective.to_string()
    }

    /// What changes when `new` replaces `old`, in the order of the template.
    pub fn diff(old: &Self, new: &Self) -> Vec<Change> {
        let changed = KEYS.iter().filter_map(|key| {
            let (was, is) = (old.value(key.path), new.value(key.path));
            (was != is).then_some(Change {
                key: key.path,
                old: was,
                new: is,
                needs_restart: key.needs_restart,
            })
        });
        changed.collect()
    }

    /// The JSON schema (2020-12) of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(RawConfig).to_value()
    }

    /// The text of a file with every key in it, documented, those that most people leave alone
    /// behind `#`. It is the `config/bitcraps.toml` of the source tree.
    pub const fn template() -> &'static str {
        include_str!("../../../config/bitcraps.toml")
    }

    fn value(&self, path: &str) -> String {
        let mut words = path.split('.');
        let first = words.next().and_then(|word| self.effective.get(word));
        let value = words.fold(first, |inner, word| inner.and_then(|v| v.get(word)));
        value.map_or_else(String::new, Value::to_string)
    }
}

/// Checks keys, then types, while the places of both are at hand.
fn spans_of(text: &str, name: &Path) -> Result<Spans, ConfigError> {
    let document = DeTable::parse(text).map_err(|e| syntax(name, text, &e))?;
    let spans = known_keys(name, text, document.get_ref())?;
    match toml::from_str::<RawConfig>(text) {
        Ok(_) => Ok(spans),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let Some(key) = spans.covering(offset) else {
                return Err(syntax(name, text, &error));
            };
            Err(ConfigError::WrongType {
                origin: Origin::File(Location::of(name, text, offset)),
                key: key.to_owned(),
                message: error.message().to_owned(),
            })
        }
    }
}

fn syntax(name: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    ConfigError::Syntax {
        at: Location::of(name, text, offset),
        message: error.message().to_owned(),
    }
}

/// Where each key that is not at its default comes from.
#[derive(Debug, Clone)]
struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    fn new(
        name: &Path,
        text: &str,
        spans: &Spans,
        variables: BTreeMap<&'static str, String>,
    ) -> Self {
        let written = KEYS.iter().filter_map(|key| {
            let offset = spans.of(key.path)?;
            Some((key.path, Origin::File(Location::of(name, text, offset))))
        });
        let mut origins: BTreeMap<_, _> = written.collect();
        let set = variables.into_iter();
        origins.extend(set.map(|(key, variable)| (key, Origin::Environment(variable))));
        Self(origins)
    }

    fn of(&self, key: &'static str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }
}
