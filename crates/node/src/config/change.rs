use std::fmt;

/// A key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, dots between its tables.
    pub key: &'static str,
    /// The old value, as TOML.
    pub old: String,
    /// The new value, as TOML.
    pub new: String,
    /// Whether a running node keeps the old value until it is started again.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.old, self.new)?;
        if self.needs_restart {
            f.write_str(" (needs a restart)")?;
        }
        Ok(())
    }
}

/// A key with its value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key, dots between its tables.
    pub key: &'static str,
    /// Its value, as TOML.
    pub value: String,
    /// Where the value comes from.
    pub origin: &'a super::Origin,
}
