use bitcraps_engine::monitor::{AlertKind, Rule};

use super::*;

#[test]
fn every_rule_is_read_into_its_kind_and_no_other() {
    let usual = *defaults().monitor();
    let keys: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    for (number, kind) in AlertKind::ALL.into_iter().enumerate() {
        let of_kind = |name: &str| {
            let found = keys.iter().filter(|key| {
                let words = key.strip_prefix("coordination.alerts.").unwrap_or_default();
                let table = words.strip_suffix(name).and_then(|table| table.strip_suffix('.'));
                table.is_some_and(|t| t.replace('_', "") == kind.name().to_lowercase())
            });
            found.copied().collect::<Vec<_>>()
        };
        let ([hold], [keep]) = (&of_kind("for_seconds")[..], &of_kind("keep_firing_seconds")[..])
        else {
            panic!("{kind} has no keys of its own");
        };
        let (seven, eight) = (Duration::from_secs(7), Duration::from_secs(8));
        let rule_with = |text: &str| *parse(text, &[]).unwrap().monitor();
        let mut expected = usual;
        expected.rules[number].hold = seven;
        assert_eq!(rule_with(&document(hold, "7")), expected, "{kind}");
        expected.rules[number] = Rule { hold: seven, keep_firing: eight };
        let both = document(hold, "7") + &document(keep, "8");
        assert_eq!(rule_with(&both), expected, "{kind}");
    }
}

#[test]
fn every_other_threshold_is_read_into_its_own() {
    let monitor = |name: &str, value: &str| {
        let text = document(&format!("coordination.{name}"), value);
        *parse(&text, &[]).unwrap().monitor()
    };
    let usual = MonitorConfig::default();
    let ratio = |value| Ratio::new(value).unwrap();
    let mut gate = usual.gate;
    gate.resume = ratio(0.5);
    let with = |change: fn(&mut MonitorConfig)| {
        let mut changed = usual;
        change(&mut changed);
        changed
    };
    for (name, value, expected) in [
        (
            "network_monitor.partition_risk_clear",
            "0.5",
            with(|c| c.partition_risk_clear = Ratio::clamped(0.5)),
        ),
        (
            "network_monitor.partition_risk_advice",
            "0.5",
            with(|c| c.partition_risk_advice = Ratio::clamped(0.5)),
        ),
        ("network_monitor.max_diameter_clear", "3", with(|c| c.max_diameter_clear = 3)),
        ("network_monitor.max_diameter_advice", "3", with(|c| c.max_diameter_advice = 3)),
        (
            "network_monitor.min_clustering_clear",
            "0.5",
            with(|c| c.min_clustering_clear = Ratio::clamped(0.5)),
        ),
        (
            "network_monitor.bridge_node_load_clear",
            "0.5",
            with(|c| c.bridge_node_load_clear = Ratio::clamped(0.5)),
        ),
        ("network_monitor.absent_after_intervals", "9", with(|c| c.absent_after_intervals = 9)),
        ("betting.resume_at", "0.5", MonitorConfig { gate, ..usual }),
        ("betting.calm_seconds", "3", with(|c| c.gate.calm = Duration::from_secs(3))),
    ] {
        assert_eq!(monitor(name, value), expected, "{name}");
        assert_ne!(monitor(name, value), usual, "{name}");
    }
}

#[test]
fn where_an_alert_ends_follows_where_it_begins_unless_it_is_said() {
    let text = "[coordination.network_monitor]\npartition_risk_alert_threshold = 0.5\n\
                max_diameter_alert = 4\nmin_clustering_coefficient = 0.2\n\
                bridge_node_load_threshold = 0.6\n[coordination.betting]\npause_above = 0.4\n";
    let config = parse(text, &[]).unwrap();
    let monitor = config.monitor();
    let ratio = |value| Ratio::new(value).unwrap();
    assert_eq!(monitor.partition_risk_clear, ratio(0.4));
    assert_eq!(monitor.max_diameter_clear, 3);
    assert_eq!(monitor.min_clustering_clear, ratio(0.22));
    assert_eq!(monitor.bridge_node_load_clear, ratio(0.48));
    assert_eq!((monitor.gate.pause, monitor.gate.resume), (ratio(0.4), ratio(0.3)));
    // What is shown is what holds.
    let again = parse(&config.effective_toml(), &[]).unwrap();
    assert_eq!(again.monitor(), monitor);
    // An alert may end where it begins.
    for text in [
        "[coordination.network_monitor]\npartition_risk_clear = 0.7",
        "[coordination.network_monitor]\nmax_diameter_clear = 8",
        "[coordination.network_monitor]\nmin_clustering_clear = 0.3",
        "[coordination.network_monitor]\nbridge_node_load_clear = 0.8",
        "[coordination.betting]\nresume_at = 0.8",
    ] {
        parse(text, &[]).unwrap();
    }
}

#[test]
fn thresholds_that_contradict_each_other_are_refused_with_their_lines() {
    let at_most = "an alert cannot end while its condition holds; write at most the second";
    let at_least = "an alert cannot end while its condition holds; write at least the second";
    let monitor = "coordination.network_monitor";
    for (text, message) in [
        (
            format!("[{monitor}]\npartition_risk_alert_threshold = 0.5\npartition_risk_clear = 0.51"),
            format!(
                "{monitor}.partition_risk_clear = 0.51 (b.toml:3:1) and \
                 {monitor}.partition_risk_alert_threshold = 0.5 (b.toml:2:1): {at_most}"
            ),
        ),
        (
            format!("[{monitor}]\nmax_diameter_clear = 9"),
            format!(
                "{monitor}.max_diameter_clear = 9 (b.toml:2:1) and {monitor}.max_diameter_alert = 8 \
                 (default): {at_most}"
            ),
        ),
        (
            format!("[{monitor}]\nmin_clustering_clear = 0.29"),
            format!(
                "{monitor}.min_clustering_clear = 0.29 (b.toml:2:1) and \
                 {monitor}.min_clustering_coefficient = 0.3 (default): {at_least}"
            ),
        ),
        (
            format!("[{monitor}]\nbridge_node_load_clear = 0.81"),
            format!(
                "{monitor}.bridge_node_load_clear = 0.81 (b.toml:2:1) and \
                 {monitor}.bridge_node_load_threshold = 0.8 (default): {at_most}"
            ),
        ),
        (
            "[coordination.betting]\npause_above = 0.5\nresume_at = 0.6".to_owned(),
            "coordination.betting.resume_at = 0.6 (b.toml:3:1) and coordination.betting.pause_above = \
             0.5 (b.toml:2:1): bets cannot go on at a risk that pauses them; write at most the second"
                .to_owned(),
        ),
    ] {
        assert_eq!(refused(&text), message, "{text}");
    }
}
