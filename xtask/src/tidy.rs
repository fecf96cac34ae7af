mod manifest;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::command::workspace_root;
use crate::metadata::Metadata;

/// Files that may be longer than [`source::MAX_LINES`], each with its reason.
const LONG: [(&str, &str); 0] = [];

/// Directories nobody wrote.
const NOT_OURS: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

/// Endings of the files that people write here; others are data.
const TEXT: [&str; 14] = [
    "rs", "toml", "md", "sh", "yml", "yaml", "json", "html", "css", "js", "py", "csv", "service",
    "txt",
];

/// What has to be at the root.
const REQUIRED: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "deny.toml"];

/// Holds every file against the rules that no compiler checks.
pub(crate) fn run() -> Result<(), Failure> {
    let root = workspace_root()?;
    let mut findings = Vec::new();
    let mut files = Vec::new();
    walk(&root, &root, &mut files)?;
    for path in &files {
        findings.extend(source::check_name(path));
        let text = read(&root.join(path))?;
        findings.extend(source::check_text(path, &text));
        if path.extension().is_some_and(|e| e == "rs") {
            findings.extend(source::check_rust(path, &text, &LONG));
        }
    }
    for name in REQUIRED {
        if !root.join(name).is_file() {
            findings.push(Finding::whole(Path::new(name), "the project has no such file"));
        }
    }
    for package in Metadata::read()?.packages {
        let relative = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_owned();
        let text = read(&package.manifest_path)?;
        findings.extend(manifest::check(&relative(&package.manifest_path), &package.name, &text));
        for target in &package.targets {
            let path = relative(&target.src_path);
            findings.extend(source::check_root(&path, &read(&target.src_path)?));
        }
    }
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files keep to the rules", files.len());
        Ok(())
    } else {
        let count = findings.len();
        Err(Failure::Checked(format!("tidy: {count} findings")))
    }
}

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: PathBuf,
    /// From 1; 0 stands for the file as a whole.
    line: usize,
    rule: String,
}

impl Finding {
    fn at(path: &Path, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into() }
    }

    fn whole(path: &Path, rule: impl Into<String>) -> Self {
        Self::at(path, 0, rule)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule } = self;
        match line {
            0 => write!(f, "{}: {rule}", path.display()),
            _ => write!(f, "{}:{line}: {rule}", path.display()),
        }
    }
}

/// Collects the text files below `directory`, as paths from `root`, in a fixed order.
fn walk(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Checked(format!("{}: {e}", directory.display()));
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        entries.push(entry.map_err(failed)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().map_err(failed)?.is_dir() {
            if !NOT_OURS.contains(&name.as_ref()) {
                walk(root, &path, files)?;
            }
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str());
        let script = extension.is_none() && directory.file_name().is_some_and(|name| name == ".ci");
        if script || extension.is_some_and(|e| TEXT.contains(&e)) {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::Checked(format!("{}: {e}", path.display())))
}
