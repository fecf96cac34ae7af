//! Programs that measure other libraries, and the libraries they need.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bitcraps_topology::Graph;
use serde::Deserialize;

use crate::Failure;

/// What `pip` puts into the virtual environment.
const PACKAGES: [&str; 4] =
    ["networkit==11.3", "igraph==1.0.0", "networkx==3.6.1", "rustworkx==0.18.1"];
const PYTHON: &str = include_str!("rivals.py");

/// One round of a rival: microseconds by measure and library, and every diameter found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Round {
    pub(super) us: BTreeMap<String, BTreeMap<String, f64>>,
    pub(super) diameters: Vec<u32>,
}

/// A program that has read a graph, and measures once for each line it gets.
#[derive(Debug)]
pub(super) struct Rival {
    name: &'static str,
    child: Child,
    rounds: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Rival {
    fn started(name: &'static str, command: &mut Command) -> Result<Self, Failure> {
        // One thread each, as the measures beside them have.
        command.env("OMP_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::io(name))?;
        let Some((rounds, answers)) = child.stdin.take().zip(child.stdout.take()) else {
            return Err(Failure::Broken(format!("{name} has no standard streams")));
        };
        Ok(Self { name, child, rounds, answers: BufReader::new(answers) })
    }

    /// Has everything measured once. The first call waits until the graph is read.
    pub(super) fn round(&mut self) -> Result<Round, Failure> {
        let mut line = String::new();
        writeln!(self.rounds).map_err(Failure::io(self.name))?;
        self.answers.read_line(&mut line).map_err(Failure::io(self.name))?;
        serde_json::from_str(&line).map_err(|e| Failure::broken(self.name, e))
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The rivals' programs, below the directory that cargo builds into.
#[derive(Debug)]
pub(super) struct Rivals {
    directory: PathBuf,
}

impl Rivals {
    /// Makes a virtual environment with what Python knows, and builds what Rust does.
    ///
    /// # Errors
    /// [`Failure`] of the first command that failed, which has said why on standard error.
    pub(super) fn installed() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::io("this program"))?;
        let built = program.ancestors().nth(2).unwrap_or(Path::new("target"));
        let rivals = Self { directory: built.join("rivals") };
        let venv = rivals.directory.join("venv");
        if !rivals.python().exists() {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        let pip = ["-m", "pip", "install", "--disable-pip-version-check"];
        succeed(Command::new(rivals.python()).args(pip).args(PACKAGES))?;
        let Some(benches) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
            return Err(Failure::Usage("--peers wants to be run by cargo xtask bench".to_owned()));
        };
        let build = ["build", "--release", "--locked", "--manifest-path"];
        let mut build_it = Command::new("cargo");
        build_it.args(build).arg(benches.join("exact-sum-sweep/Cargo.toml"));
        succeed(build_it.arg("--target-dir").arg(&rivals.directory))?;
        Ok(rivals)
    }

    fn python(&self) -> PathBuf {
        self.directory.join("venv/bin/python")
    }

    /// Writes the links of a graph where each rival reads them; Python's measure `only`, when told.
    pub(super) fn start(&self, graph: &Graph, only: Option<&str>) -> Result<[Rival; 2], Failure> {
        let links = self.directory.join("links.txt");
        let mut text = String::new();
        for (a, b) in graph.link_list() {
            text += &format!("{a} {b}\n");
        }
        fs::write(&links, text).map_err(|e| Failure::broken(&links.display().to_string(), e))?;
        let mut python = Command::new(self.python());
        let mut rust = Command::new(self.directory.join("release/exact-sum-sweep"));
        Ok([
            Rival::started("rivals.py", python.args(["-c", PYTHON]).arg(&links).args(only))?,
            Rival::started("exact-sum-sweep", rust.arg(&links))?,
        ])
    }
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}");
    // What it tells is progress.
    let status =
        command.stdout(std::io::stderr()).status().map_err(|e| Failure::broken(&shown, e))?;
    if status.success() { Ok(()) } else { Err(Failure::Broken(format!("{shown}: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_answers_each_line_with_a_round() {
        let script =
            r#"while read l; do echo '{"us":{"diameter":{"x":2.5}},"diameters":[9]}'; done"#;
        let mut rival = Rival::started("sh", Command::new("sh").args(["-c", script])).unwrap();
        for _ in 0..2 {
            let round = rival.round().unwrap();
            assert_eq!((round.us["diameter"]["x"], round.diameters), (2.5, vec![9]));
        }
        let mut silent = Rival::started("sh", Command::new("sh").args(["-c", "exit"])).unwrap();
        assert!(silent.round().is_err());
    }
}
