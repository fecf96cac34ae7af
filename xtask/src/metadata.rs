use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Failure;
use crate::command::{cargo, output};

/// The part of `cargo metadata` that the checks read: the members, nothing resolved.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// A line of a dependency table, workspace inheritance applied.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` is a normal dependency.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
    pub(crate) uses_default_features: bool,
    pub(crate) features: Vec<String>,
}

impl Dependency {
    /// Whether only tests, examples and benches see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// What is compiled from one root file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) src_path: PathBuf,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self, Failure> {
        let words = ["metadata", "--format-version", "1", "--no-deps"];
        let text = output(cargo(&words)?)?;
        serde_json::from_slice(&text)
            .map_err(|e| Failure::Checked(format!("cannot read `cargo metadata`: {e}")))
    }
}
