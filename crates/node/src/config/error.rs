use std::fmt;
use std::io;
use std::path::PathBuf;

use super::origin::{Location, Origin};

/// Why there is no configuration. Each says where the mistake is and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}; `bitcraps config init` writes a file with every key", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The file is far larger than any configuration.
    #[error("{} is larger than {limit} bytes, which no configuration is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound in bytes.
        limit: u64,
    },
    /// The file is no TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Location,
        /// What the parser says.
        message: String,
    },
    /// The file has a key that means nothing.
    #[error("{at}: unknown key `{key}`{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// Where.
        at: Location,
        /// The key, with its tables.
        key: String,
        /// The known key that is closest, when one is close.
        suggestion: Option<&'static str>,
    },
    /// The environment has a variable that means nothing.
    #[error("environment variable {variable} sets no known key{}", did_you_mean(suggestion.as_deref()))]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The variable that is closest, when one is close.
        suggestion: Option<String>,
    },
    /// The environment has a variable whose value is no Unicode text.
    #[error("environment variable {0} holds no text")]
    VariableNotText(String),
    /// A value has the wrong type, or is none of the words its key takes.
    #[error("{origin}: {key}: {message}")]
    WrongType {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: String,
        /// What was found and what belongs there.
        message: String,
    },
    /// A number lies outside of what its key takes.
    #[error("{origin}: {key} = {value} is out of range, it takes {range}")]
    OutOfRange {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What the key takes.
        range: String,
    },
    /// A list or text is longer than its key takes.
    #[error("{origin}: {key} has {length} {unit}, it takes at most {limit}")]
    TooLong {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// How many there are.
        length: usize,
        /// Of what.
        unit: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A text is not what its key takes.
    #[error("{origin}: {key} = {value:?}: {problem}")]
    Unfit {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong and what belongs there.
        problem: String,
    },
    /// Two values, each good alone, contradict each other.
    #[error("{0}")]
    Contradiction(Box<Contradiction>),
    /// A path is relative to a home directory, and there is none.
    #[error("{origin}: {key} needs HOME to be set; set it, or write an absolute path to {key}")]
    NoHome {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: &'static str,
    },
}

/// Two values that cannot stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// One key, its value, and where that comes from.
    pub first: (&'static str, String, Origin),
    /// The other.
    pub second: (&'static str, String, Origin),
    /// What has to hold between them.
    pub rule: &'static str,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value, origin) = &self.first;
        write!(f, "{key} = {value} ({origin}) and ")?;
        let (key, value, origin) = &self.second;
        write!(f, "{key} = {value} ({origin}): {}", self.rule)
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}
