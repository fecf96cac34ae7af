//! Pages, scripts and keys.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::process::Home;

#[test]
fn completions_name_the_verbs_in_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).exits(0);
        script.prints("keygen").prints("why");
    }
    home.run(&["completions", "basj"]).exits(64).complains("bash");
}

#[test]
fn every_verb_has_a_page() {
    let home = Home::new();
    let page = home.run(&["man"]).exits(0).prints(".TH bitcraps 1");
    assert!(page.out.contains("Exit codes: 0 healthy"), "{}", page.out);
    home.run(&["man", "--out", "pages"]).exits(0);
    for verb in ["", "-run", "-demo", "-status", "-links", "-send", "-ping", "-config-check"] {
        let page = fs::read_to_string(home.join(&format!("pages/bitcraps{verb}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{verb}: {page}");
    }
}

#[test]
fn the_version_is_the_package_s() {
    let home = Home::new();
    let number = env!("CARGO_PKG_VERSION");
    assert_eq!(home.run(&["version"]).exits(0).out, format!("bitcraps {number}\n"));
    assert_eq!(home.run(&["version", "--json"]).exits(0).json()["version"], number);
}

#[test]
fn a_key_is_made_once() {
    let home = Home::new();
    let made = home.run(&["keygen", "--json"]).exits(0).json();
    let file = home.join(".local/share/bitcraps/key");
    assert_eq!(made["file"], file.display().to_string());
    let key = fs::read_to_string(&file).unwrap();
    assert!(key.contains(made["peer"].as_str().unwrap()), "{key}");
    home.run(&["keygen"]).exits(2).complains("exists and is not overwritten");
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = Home::new();
    let mut command = home.command(&["config", "schema"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Closed before the process has written anything.
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
}
