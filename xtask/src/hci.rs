//! `hci`: the Bluetooth transport over controllers that it drives itself, which exist in another process.

use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::command::{cargo, output, run as run_command, shown, succeeds, workspace_root};

/// What makes controllers, of PyPI.
const BUMBLE: &str = "bumble==0.0.236";

/// Where the tests look for a python that has it.
const PYTHON: &str = "BITCRAPS_CONTROLLERS_PYTHON";

/// Runs the tests of `transport-ble` that take virtual controllers, one at a time, and shows what they
/// measure.
///
/// # Errors
/// [`Failure::Impossible`] where there is no python, or it cannot be given what makes controllers; and
/// the failure of the tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let python = python()?;
    let words = ["test", "--workspace", "--features", "bitcraps-transport-ble/controllers"];
    let mut tests = cargo(&[&words[..], &["--test", "hci"]].concat())?;
    tests.args(["--", "--ignored", "--nocapture", "--test-threads=1"]).args(arguments);
    tests.env(PYTHON, python);
    println!("xtask: {}", shown(&tests));
    run_command(tests)
}

/// A python of the project's own with [`BUMBLE`], made below target/ when it is not there.
fn python() -> Result<PathBuf, Failure> {
    let place = workspace_root()?.join("target/controllers");
    let python = place.join("bin/python");
    let told = "import importlib.metadata as m; print('bumble==' + m.version('bumble'))";
    let has_it = || {
        let mut probe = Command::new(&python);
        probe.args(["-c", told]).stderr(std::process::Stdio::null());
        output(probe).is_ok_and(|told| told.trim_ascii_end() == BUMBLE.as_bytes())
    };
    if has_it() {
        return Ok(python);
    }
    let lacking = |what: &str| {
        Failure::Impossible(format!(
            "the tests over virtual controllers take python3 with venv and {BUMBLE} of PyPI: {what}"
        ))
    };
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&place);
    if !succeeds(make) {
        return Err(lacking("`python3 -m venv` fails (apt-get install python3-venv)"));
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", BUMBLE]);
    println!("xtask: {}", shown(&install));
    run_command(install).map_err(|_| lacking("pip does not get it"))?;
    if has_it() { Ok(python) } else { Err(lacking("it is not what pip installed")) }
}
