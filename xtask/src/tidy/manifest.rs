use std::path::Path;

use toml::{Table, Value};

use super::Finding;

const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
/// What a member takes from the workspace, or says itself.
const SAID: [&str; 2] = ["license", "description"];

/// Rules of a member's manifest: lints and dependencies come from the workspace.
pub(super) fn check(path: &Path, package: &str, text: &str) -> Vec<Finding> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::whole(path, format!("no TOML: {error}"))],
    };
    let mut findings = Vec::new();
    let mut find = |rule: String| findings.push(Finding::whole(path, rule));
    if !inherits(manifest.get("lints")) {
        find("[lints] has no `workspace = true`".to_owned());
    }
    for field in SAID {
        if manifest.get("package").and_then(|p| p.get(field)).is_none() {
            find(format!("the package has no {field}"));
        }
    }
    for table in dependency_tables(&manifest) {
        for (name, dependency) in table {
            // A crate may ask for itself, with the features that its own tests need.
            if !inherits(Some(dependency)) && name != package {
                find(format!("{name} does not come from the workspace (`workspace = true`)"));
            }
        }
    }
    findings
}

fn inherits(value: Option<&Value>) -> bool {
    let flag = value.and_then(|value| value.get("workspace"));
    flag.and_then(Value::as_bool) == Some(true)
}

/// Those of the package and those of its `[target.*]` sections.
fn dependency_tables(manifest: &Table) -> impl Iterator<Item = &Table> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let sections = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    sections.flat_map(|section| {
        let tables = DEPENDENCY_TABLES.iter().filter_map(|name| section.get(*name));
        tables.filter_map(Value::as_table)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
        [package]\nname = \"a\"\ndescription = \"x\"\nlicense.workspace = true\n\
        [dependencies]\nb.workspace = true\nc = { workspace = true, optional = true }\n\
        [dev-dependencies]\na = { path = \".\", features = [\"mock\"] }\n\
        [lints]\nworkspace = true\n";

    fn rules(text: &str) -> Vec<String> {
        let findings = check(Path::new("Cargo.toml"), "a", text);
        findings.into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_member_takes_everything_from_the_workspace() {
        assert_eq!(rules(GOOD), [""; 0]);
        for (old, new, rule) in [
            ("[lints]\nworkspace = true\n", "", "[lints] has no `workspace = true`"),
            (
                "[lints]\nworkspace = true\n",
                "[lints]\nworkspace = false\n",
                "[lints] has no `workspace = true`",
            ),
            ("license.workspace = true\n", "", "the package has no license"),
            ("description = \"x\"\n", "", "the package has no description"),
            (
                "b.workspace = true",
                "b = \"1\"",
                "b does not come from the workspace (`workspace = true`)",
            ),
            (
                "[lints]",
                "[target.'cfg(unix)'.dependencies]\nd = { version = \"1\" }\n[lints]",
                "d does not come from the workspace (`workspace = true`)",
            ),
            (
                "[dev-dependencies]",
                "[build-dependencies]\ne = { path = \"../e\" }\n[dev-dependencies]",
                "e does not come from the workspace (`workspace = true`)",
            ),
        ] {
            assert!(GOOD.contains(old), "{old}");
            assert_eq!(rules(&GOOD.replace(old, new)), [rule]);
        }
        assert_eq!(rules("[package").len(), 1);
    }
}
