#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use bitcraps_sim::scenario::Scenario;

/// A scenario file of the project.
fn shipped(name: &str) -> Scenario {
    let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    Scenario::read(&text).unwrap_or_else(|error| panic!("{name}:{error}"))
}

/// What it comes to.
fn passes(name: &str) {
    let scenario = shipped(name);
    let verdict = scenario.run(false, |_| ()).unwrap();
    assert!(verdict.passed, "{:#?}", (verdict.findings, verdict.violations));
    assert!(!verdict.findings.is_empty());
}

#[test]
fn dice_hall() {
    passes("dice-hall");
}

#[test]
fn pedestrians() {
    passes("pedestrians");
}

#[test]
fn relay_dies() {
    passes("relay-dies");
}

#[test]
fn access_point_dies() {
    passes("access-point-dies");
}

#[test]
fn apartment_block() {
    passes("apartment-block");
}

#[test]
fn battery_decline() {
    passes("battery-decline");
}

#[test]
fn conference_hall() {
    passes("conference-hall");
}

#[test]
fn convoy() {
    passes("convoy");
}

#[test]
fn festival() {
    passes("festival");
}

#[test]
fn jammer() {
    passes("jammer");
}

#[test]
fn liar() {
    passes("liar");
}

#[test]
fn mass_join() {
    passes("mass-join");
}

#[test]
fn rolling_restart() {
    passes("rolling-restart");
}

#[test]
fn train_carriage() {
    passes("train-carriage");
}

#[test]
fn two_halls() {
    passes("two-halls");
}

#[test]
fn two_villages() {
    passes("two-villages");
}

/// They take minutes: `eval linkstate` runs them.
#[test]
fn crowds_are_without_mistakes() {
    assert_eq!(shipped("thousand").nodes(), 1_000);
    assert_eq!(shipped("ten-thousand").nodes(), 10_000);
}
