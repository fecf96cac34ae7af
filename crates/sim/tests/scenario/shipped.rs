#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use bitcraps_sim::scenario::Scenario;

/// Every scenario file of the project, and what it comes to.
fn passes(name: &str) {
    let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let scenario = Scenario::read(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
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
