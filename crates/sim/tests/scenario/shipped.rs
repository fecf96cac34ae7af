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
fn two_halls() {
    passes("two-halls");
}

/// They take minutes: `eval linkstate` runs them.
#[test]
fn crowds_are_without_mistakes() {
    assert_eq!(shipped("thousand").nodes(), 1_000);
    assert_eq!(shipped("ten-thousand").nodes(), 10_000);
}
