//! The demo's verdict: it passes, and it notices when a part is missing.

#![cfg(feature = "internet")]
#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::process::Command;

/// Runs the demo and returns its exit code and its JSON.
fn demo(seconds: u32, without: Option<&str>) -> (i32, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps"));
    command.args(["demo", "--json", "--nodes", "6", "--seed", "7"]);
    command.args(["--seconds", &seconds.to_string()]);
    command.args(without.iter().flat_map(|part| ["--without", part]));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "only the result is printed: {text}");
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
}

/// How many of the report's failures contain `part`.
fn failures(report: &serde_json::Value, part: &str) -> usize {
    let all = report["failures"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|f| f.as_str().is_some_and(|f| f.contains(part))).count()
}

#[test]
fn a_demo_passes_and_reports() {
    let (code, report) = demo(18, None);
    assert_eq!((code, report["verdict"].as_str()), (0, Some("pass")), "{report}");
    assert_eq!((report["schema"].as_u64(), report["nodes"].as_u64()), (Some(1), Some(6)));
    for class in ["realtime", "critical", "background", "bulk"] {
        let class = &report["classes"][class];
        assert!(class["delivered"].as_u64() > Some(0), "{report}");
        assert_eq!(class["duplicates_delivered"], 0);
        assert!(class["latency_ms"]["p99"].as_f64() > Some(0.0));
    }
    assert!(report["failover"]["events"].as_u64() >= Some(10));
    assert!(report["failover"]["resume_ms"]["p99"].as_f64().is_some_and(|ms| ms <= 250.0));
    assert!(report["restarts"]["restarts"].as_u64() >= Some(1), "{report}");
    assert_eq!(report["transports"]["bluetooth"]["medium"], "emulated");
    assert_eq!(report["transports"]["wifi"]["medium"], "loopback");
    assert_eq!(report["transports"]["internet"]["medium"], "loopback");
    assert!(report["transports"]["internet"]["requests"].as_u64() > Some(0));
    assert!(report["transports"]["bluetooth"]["requests"].as_u64() > Some(0));
    assert_eq!(report["hops"]["behind"].as_u64(), Some(4));
    assert!(report["hops"]["relayed"].as_u64() > Some(0), "{report}");
    let health = &report["health"];
    assert_eq!(health["last"]["network"]["peers"].as_u64(), Some(6), "{health}");
    assert!(health["last"]["overall_status"].is_string() && health["last"]["betting"].is_string());
    assert!(health["last"]["alerts"].is_array() && health["fired"].is_object(), "{health}");
    let healing = &report["healing"];
    assert!(healing["alerts_fired"].as_u64() >= Some(1), "{report}");
    assert_eq!(
        (healing["links_added"].as_u64(), healing["links_optimum"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(healing["split_after_kill"], false);
    assert!(healing["repair_ms"].as_f64().is_some_and(|ms| ms <= 2_000.0), "{report}");
}

#[test]
fn the_verdict_notices_repeats() {
    let (code, report) = demo(5, Some("dedup"));
    assert_eq!((code, failures(&report, "were repeats")), (2, 1), "{report}");
}

#[test]
fn the_verdict_notices_that_nothing_fails_over() {
    let (code, report) = demo(8, Some("failover"));
    assert_eq!((code, failures(&report, "resumption took")), (2, 1), "{report}");
}

#[test]
fn the_verdict_notices_what_is_not_sent_again() {
    let (code, report) = demo(12, Some("resend"));
    let lost = failures(&report, "critical messages were not delivered");
    assert_eq!((code, lost), (2, 1), "{report}");
}

#[test]
fn impossible_arguments_are_usage_errors() {
    for arguments in [
        ["--nodes", "1"],
        ["--seconds", "4"],
        ["--without", "luck"],
        ["--scene", "luck"],
        ["--runs", "2"],
        ["--scene=healing", "--nodes=8"],
        ["--scene=healing", "--runs=101"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps"));
        let output = command.arg("demo").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}
