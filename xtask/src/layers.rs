#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Failure;
use crate::metadata::{Dependency, Metadata, Package};

/// What a crate may depend on, among ours, as a normal dependency.
struct Layer {
    /// Package name without `bitcraps-`.
    name: &'static str,
    may: &'static [&'static str],
    /// Only as an optional dependency, behind a feature.
    may_behind_feature: &'static [&'static str],
}

const fn layer(name: &'static str, may: &'static [&'static str]) -> Layer {
    Layer { name, may, may_behind_feature: &[] }
}

/// "Allowed edges" of ARCHITECTURE.md. A crate that is not here fails the check: its place in the
/// order is decided before it is written.
const LAYERS: [Layer; 18] = [
    layer("types", &[]),
    layer("wire", &["types"]),
    layer("topology", &["types"]),
    layer("session", &["types"]),
    layer("linkstate", &["types", "wire"]),
    layer("monitor", &["types", "topology"]),
    layer("transport-api", &["types"]),
    Layer {
        name: "coordinator",
        may: &["types", "wire", "session"],
        may_behind_feature: &["transport-api"],
    },
    layer(
        "engine",
        &["types", "wire", "session", "topology", "linkstate", "monitor", "coordinator"],
    ),
    layer("quic-link", &["types", "transport-api"]),
    layer("transport-inet", ADAPTER),
    layer("transport-wifi", ADAPTER),
    layer("transport-ble", &["types", "session", "transport-api"]),
    Layer {
        name: "node",
        may: &[
            "types",
            "wire",
            "session",
            "topology",
            "linkstate",
            "monitor",
            "transport-api",
            "coordinator",
            "engine",
        ],
        may_behind_feature: &["transport-inet", "transport-wifi", "transport-ble"],
    },
    Layer {
        name: "sim",
        may: &[
            "types",
            "wire",
            "session",
            "topology",
            "linkstate",
            "monitor",
            "coordinator",
            "engine",
        ],
        may_behind_feature: &["transport-api"],
    },
    layer("dashboard", &["types", "topology", "monitor", "engine", "node"]),
    layer("cli", &["node", "sim", "dashboard", "types", "topology", "monitor"]),
    layer("xtask", &[]),
];

const ADAPTER: &[&str] = &["types", "wire", "transport-api", "quic-link"];

/// Members outside of the order: nothing depends on them, and they may depend on anything.
const FREE: [&str; 2] = ["tests", "benches"];

/// Crates that decide: no runtime, no transport, not even behind a feature.
const PURE: [&str; 7] = ["types", "wire", "session", "topology", "linkstate", "monitor", "engine"];
/// Crates whose core is pure and whose shell is behind a feature.
const PURE_CORE: [&str; 2] = ["coordinator", "sim"];
/// Pure crates build the coordinator without its shell.
const SHELL_OF_COORDINATOR: &str = "driver";
/// Test doubles and suites: never in a program.
const TEST_FEATURES: [&str; 2] = ["mock", "conformance"];

/// Foreign crates that wait, or talk to a network. A name ending in `-` stands for all that begin so.
const SHELL_ONLY: [&str; 15] = [
    "tokio",
    "tokio-",
    "async-trait",
    "async-std",
    "smol",
    "quinn",
    "quinn-",
    "iroh",
    "iroh-",
    "mdns-sd",
    "socket2",
    "rustls",
    "hyper",
    "axum",
    "mio",
];

/// Foreign crates that belong to one crate of ours.
const OWNED: [(&str, &str); 2] = [("petgraph", "topology"), ("dashmap", "coordinator")];

/// Holds the workspace against the table.
pub(crate) fn run() -> Result<(), Failure> {
    let packages = Metadata::read()?.packages;
    let violations = check(&packages);
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        println!("layers: {} members keep to the allowed edges", packages.len());
        Ok(())
    } else {
        let count = violations.len();
        Err(Failure::Checked(format!("layers: {count} edges are not allowed")))
    }
}

/// An edge that the architecture does not allow.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    from: String,
    to: String,
    rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, rule } = self;
        if to.is_empty() {
            write!(f, "{from}: {rule}")
        } else {
            write!(f, "{from} -> {to}: {rule}")
        }
    }
}

/// The name in the table: ours without the prefix, `None` for somebody else's crate.
fn ours(package: &str) -> Option<&str> {
    match package {
        "xtask" => Some(package),
        _ => package.strip_prefix("bitcraps-"),
    }
}

fn check(packages: &[Package]) -> Vec<Violation> {
    let mut violations = BTreeSet::new();
    for package in packages {
        let Some(name) = ours(&package.name) else {
            violations.insert(Violation {
                from: package.name.clone(),
                to: String::new(),
                rule: "a member is called bitcraps-, or xtask",
            });
            continue;
        };
        let mut violate = |to: &str, rule| {
            violations.insert(Violation { from: name.to_owned(), to: to.to_owned(), rule });
        };
        let layer = LAYERS.iter().find(|layer| layer.name == name);
        let free = FREE.contains(&name);
        if layer.is_none() && !free {
            violate("", "it has no place in the table of xtask/src/layers.rs");
        }
        for dependency in package.dependencies.iter().filter(|d| !d.is_dev()) {
            match ours(&dependency.name) {
                Some(to) => {
                    if let Some(rule) = layer.and_then(|layer| broken_edge(layer, to, dependency)) {
                        violate(to, rule);
                    }
                    if let Some(rule) = broken_features(name, to, dependency) {
                        violate(to, rule);
                    }
                }
                None => {
                    if let Some(rule) = broken_foreign(name, dependency) {
                        violate(&dependency.name, rule);
                    }
                }
            }
        }
        if name == "sim" && default_features(package).contains("transport") {
            violate("", "its feature `transport` is on by default");
        }
    }
    violations.extend(upward_cycles(packages));
    violations.into_iter().collect()
}

fn broken_edge(layer: &Layer, to: &str, dependency: &Dependency) -> Option<&'static str> {
    if layer.may.contains(&to) {
        None
    } else if !layer.may_behind_feature.contains(&to) {
        Some("not among the allowed edges")
    } else if !dependency.optional {
        Some("allowed behind a feature only")
    } else {
        None
    }
}

fn broken_features(from: &str, to: &str, dependency: &Dependency) -> Option<&'static str> {
    let has = |feature: &str| dependency.features.iter().any(|f| f == feature);
    let pure = PURE.contains(&from) || PURE_CORE.contains(&from);
    if to == "coordinator"
        && pure
        && (dependency.uses_default_features || has(SHELL_OF_COORDINATOR))
    {
        return Some("allowed without the feature `driver` only");
    }
    if !FREE.contains(&from) && TEST_FEATURES.iter().any(|feature| has(feature)) {
        return Some("its features for tests are for dev-dependencies");
    }
    None
}

fn broken_foreign(from: &str, dependency: &Dependency) -> Option<&'static str> {
    let name = dependency.name.as_str();
    let waits = SHELL_ONLY.iter().any(|known| match known.strip_suffix('-') {
        Some(_) => name.starts_with(known),
        None => name == *known,
    });
    if waits && PURE.contains(&from) {
        return Some("a pure crate has no runtime and no transport, not even behind a feature");
    }
    if waits && PURE_CORE.contains(&from) && !dependency.optional {
        return Some("a pure core has its shell behind a feature");
    }
    for (crate_name, owner) in OWNED {
        // Rivals are measured where nothing depends on them.
        if name == crate_name && from != owner && !FREE.contains(&from) {
            return Some("it belongs to one crate, behind that crate's own types");
        }
    }
    (name == "dashmap" && !dependency.optional).then_some("allowed behind a feature only")
}

/// Everything that `default` turns on within the package.
fn default_features(package: &Package) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut open = vec!["default"];
    while let Some(feature) = open.pop() {
        if found.insert(feature) {
            let implied = package.features.get(feature);
            open.extend(implied.into_iter().flatten().map(String::as_str));
        }
    }
    found
}

/// Dev-dependencies on a crate that depends on the one that has them: the tests of a lower crate
/// would build on an upper one.
fn upward_cycles(packages: &[Package]) -> Vec<Violation> {
    let below: BTreeMap<&str, Vec<&str>> = packages
        .iter()
        .map(|package| {
            let normal = package.dependencies.iter().filter(|d| !d.is_dev());
            (package.name.as_str(), normal.map(|d| d.name.as_str()).collect())
        })
        .collect();
    let reaches = |from: &str, to: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if name == to {
                return true;
            }
            if seen.insert(name) {
                open.extend(below.get(name).into_iter().flatten());
            }
        }
        false
    };
    let mut found = Vec::new();
    for package in packages {
        // A crate may ask for itself: that turns features on for its own tests.
        let dev = package.dependencies.iter().filter(|d| d.is_dev() && d.name != package.name);
        for dependency in dev.filter(|d| reaches(&d.name, &package.name)) {
            let short = |name: &str| ours(name).unwrap_or(name).to_owned();
            found.push(Violation {
                from: short(&package.name),
                to: short(&dependency.name),
                rule: "a dev-dependency makes an upward cycle",
            });
        }
    }
    found
}
