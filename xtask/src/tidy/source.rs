use std::path::Path;

use super::Finding;

/// Longest source file, in lines before its tests. A longer one holds more than one noun.
pub(super) const MAX_LINES: usize = 500;

/// Words that name no noun of the field.
const BANNED_NAMES: [&str; 9] =
    ["manager", "managers", "handler", "handlers", "helper", "helpers", "util", "utils", "common"];

// Written in pieces, so that this file does not contain what it looks for.
/// Directories of one machine.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/work", "/"), concat!("/root", "/"), concat!("/home", "/")];
/// Work left undone.
const UNDONE: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// What is in code only while it is being written, or to silence a warning without a reason.
const UNFINISHED: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[al", "low("),
    concat!("#![al", "low("),
];

/// A file or directory named by what it is not.
pub(super) fn check_name(path: &Path) -> Option<Finding> {
    let stem = path.with_extension("");
    let parts = stem.iter().map(|part| part.to_string_lossy().into_owned());
    let words: Vec<String> = parts
        .flat_map(|part| part.split(['_', '-']).map(str::to_lowercase).collect::<Vec<_>>())
        .collect();
    let banned = words.iter().find(|word| BANNED_NAMES.contains(&word.as_str()));
    banned.map(|word| {
        Finding::whole(path, format!("`{word}` names nothing; use a noun of the field"))
    })
}

/// Rules of every text.
pub(super) fn check_text(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Not `lines`, which hides a carriage return.
    for (at, line) in text.split('\n').enumerate() {
        let mut find = |rule: &str| findings.push(Finding::at(path, at + 1, rule));
        if line.ends_with([' ', '\t', '\r']) {
            find("space at the end of the line");
        }
        if MACHINE_PATHS.iter().any(|directory| line.contains(directory)) {
            find("a path of one machine");
        }
        if UNDONE.iter().any(|word| line.contains(word)) {
            find("work left undone; do it, or describe what holds now");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::whole(path, "no line end at the end"));
    }
    if text.ends_with("\n\n") {
        findings.push(Finding::whole(path, "empty lines at the end"));
    }
    findings
}

/// Rules of Rust sources; `long` lists the files that may be long.
pub(super) fn check_rust(path: &Path, text: &str, long: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
            findings.push(Finding::at(path, at + 1, format!("`{word}` does not stay in code")));
        }
    }
    let listed = long.iter().any(|(name, _)| Path::new(name) == path);
    let lines = lines_without_tests(text);
    if lines > MAX_LINES && !listed && !is_test(path) {
        let rule = format!("{lines} lines before the tests, above {MAX_LINES}; a file is one noun");
        findings.push(Finding::whole(path, rule));
    }
    findings
}

/// The root of a crate, program or test says what it is.
pub(super) fn check_root(path: &Path, text: &str) -> Option<Finding> {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let documented = first.is_some_and(|line| line.starts_with("//! "));
    (!documented).then(|| Finding::at(path, 1, "the root of a target begins with `//!`"))
}

fn is_test(path: &Path) -> bool {
    let in_tests = path.iter().any(|part| part == "tests");
    in_tests || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Lines up to the inline test module.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let starts_tests = |pair: &[&str]| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    lines.windows(2).position(starts_tests).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_of_no_noun_are_found_in_every_part_of_a_path() {
        for (path, word) in [
            ("crates/node/src/utils.rs", "utils"),
            ("crates/node/src/link_manager.rs", "manager"),
            ("crates/common/src/lib.rs", "common"),
            ("tests/helpers/x.rs", "helpers"),
            ("crates/x/src/Handler.rs", "handler"),
        ] {
            let found = check_name(Path::new(path)).unwrap();
            assert_eq!(
                found.to_string(),
                format!("{path}: `{word}` names nothing; use a noun of the field")
            );
        }
        for path in ["crates/node/src/handlebar.rs", "crates/x/src/commons.rs", "README.md"] {
            assert_eq!(check_name(Path::new(path)), None);
        }
    }

    #[test]
    fn texts_end_cleanly_and_name_no_machine() {
        let path = Path::new("a.md");
        let of = |text: &str| rules(check_text(path, text));
        assert_eq!(of("fine\n\nfine\n"), [""; 0]);
        assert_eq!(of(""), [""; 0]);
        assert_eq!(of("a \nb\t\nc\r\n").len(), 3);
        assert_eq!(of("a \n"), ["a.md:1: space at the end of the line"]);
        assert_eq!(of("a"), ["a.md: no line end at the end"]);
        assert_eq!(of("a\n\n"), ["a.md: empty lines at the end"]);
        for directory in MACHINE_PATHS {
            assert_eq!(of(&format!("\nsee {directory}x\n")), ["a.md:2: a path of one machine"]);
        }
        for word in UNDONE {
            assert_eq!(of(&format!("// {word}: x\n")).len(), 1, "{word}");
        }
        assert_eq!(of("frameworks/ homework\n"), [""; 0]);
    }

    #[test]
    fn unfinished_code_is_found() {
        let path = Path::new("a.rs");
        for word in UNFINISHED {
            assert_eq!(
                rules(check_rust(path, &format!("\n    {word}x)\n"), &[])),
                [format!("a.rs:2: `{word}` does not stay in code")]
            );
        }
        assert_eq!(check_rust(path, "#[expect(dead_code, reason = \"x\")]\n", &[]), []);
    }

    #[test]
    fn length_is_counted_before_the_tests() {
        let path = Path::new("a.rs");
        let full = "x\n".repeat(MAX_LINES);
        let tested = format!("{full}#[cfg(test)]\nmod tests {{\n{full}}}\n");
        let declared = format!("#[cfg(test)]\nmod tests;\n{full}");
        assert_eq!(check_rust(path, &full, &[]), []);
        assert_eq!(check_rust(path, &tested, &[]), []);
        let above = ["a.rs: 501 lines before the tests, above 500; a file is one noun"];
        assert_eq!(rules(check_rust(path, &format!("x\n{full}"), &[])), above);
        assert_eq!(rules(check_rust(path, &format!("x\n{tested}"), &[])), above);
        assert_eq!(rules(check_rust(path, &declared, &[])).len(), 1);
        assert_eq!(check_rust(path, &declared, &[("a.rs", "a reason")]), []);
        for test in ["src/x/tests.rs", "tests/main.rs", "crates/x/tests/y.rs"] {
            assert_eq!(check_rust(Path::new(test), &declared, &[]), []);
        }
    }

    #[test]
    fn a_root_begins_with_what_it_is() {
        let path = Path::new("lib.rs");
        assert_eq!(check_root(path, "//! It is.\n\nmod a;\n"), None);
        assert_eq!(check_root(path, "\n//! It is.\n"), None);
        for text in ["mod a;\n//! It is.\n", "// It is.\n", "//!\n", ""] {
            assert!(check_root(path, text).is_some(), "{text:?}");
        }
    }
}
