//! A scenario out of a file.

use crate::process::Home;

/// Two nodes and a link that falls silent for a second.
const SCENARIO: &str = "name = \"two\"\nseconds = 8\nwarm_up_s = 1\nsettle_s = 3\n\
    [radios.lan]\nkind = \"wifi\"\n[[nodes]]\nname = \"a\"\n[[nodes]]\nname = \"b\"\n\
    [[links]]\nbetween = [\"a\", \"b\"]\nradio = \"lan\"\n\
    [[traffic]]\nfrom = \"a\"\nto = \"b\"\nclass = \"critical\"\nevery_ms = 100\n\
    [[faults]]\nkind = \"silence\"\nradio = \"lan\"\nat_s = 2\nfor_s = 1\n\
    [[expect]]\nwhat = \"undelivered\"\nat_most = 0\n";

#[test]
fn a_scenario_that_goes_as_expected_passes_and_leaves_a_trace() {
    let home = Home::new();
    home.write("two.toml", SCENARIO);
    home.run(&["sim", "two.toml", "--check"]).exits(0).prints("two.toml: two: 2 nodes, 8 s");
    home.run(&["sim", "two.toml", "--trace", "two.jsonl"])
        .exits(0)
        .prints("critical  40    40")
        .prints("verdict     pass");
    let trace = std::fs::read_to_string(home.join("two.jsonl")).unwrap();
    let delivered = trace.lines().filter(|line| line.contains("\"outcome\":\"delivered\""));
    assert_eq!(delivered.count(), 40);
    let told = home.run(&["sim", "two.toml", "--json", "--seed", "9"]).exits(0).json();
    assert_eq!((&told["schema"], &told["passed"]), (&1.into(), &true.into()));
    assert_eq!(
        (&told["figures"]["seed"], &told["figures"]["all"]["sent"]),
        (&9.into(), &40.into())
    );
    assert!(told["peak_memory_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_broken_expectation_and_a_mistake_are_told_and_exit_with_2() {
    let home = Home::new();
    let broken = format!("{SCENARIO}[[expect]]\nwhat = \"longest_gap_ms\"\nat_most = 500\n");
    home.write("broken.toml", &broken);
    home.run(&["sim", "broken.toml"])
        .exits(2)
        .prints("NOT MET")
        .prints("verdict     fail: 1 of 2 expectations not met");
    home.write("wrong.toml", &SCENARIO.replace("every_ms", "evry_ms"));
    let told = home.run(&["sim", "wrong.toml", "--json"]).exits(2).json();
    assert_eq!(told["error"]["kind"], "scenario");
    let expected = "wrong.toml:18:1: unknown key `traffic.evry_ms`; did you mean `every_ms`?";
    assert_eq!(told["error"]["message"], expected);
}
