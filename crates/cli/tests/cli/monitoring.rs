//! The files in `packaging` with which Prometheus and Grafana look after nodes.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bitcraps_monitor::AlertKind;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::prometheus::pair;

/// A file of `packaging`.
pub(crate) fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

fn yaml(name: &str) -> Value {
    let file = fs::read_to_string(packaged(name)).unwrap();
    let documents = YamlLoader::load_from_str(&file).unwrap();
    let [document]: [Yaml; 1] = documents.try_into().unwrap();
    json(document)
}

fn json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Array(items) => items.into_iter().map(json).collect(),
        Yaml::Hash(entries) => {
            let entries = entries.into_iter();
            entries.map(|(key, value)| (key.into_string().unwrap(), json(value))).collect()
        }
        Yaml::String(text) => text.into(),
        Yaml::Integer(number) => number.into(),
        other => panic!("{other:?} has no place in these files"),
    }
}

/// Rules by the name of their alert.
pub(crate) fn rules() -> BTreeMap<String, Value> {
    let file = yaml("prometheus/rules.yml");
    let rules = file["groups"].as_array().unwrap().iter();
    let rules = rules.flat_map(|group| group["rules"].as_array().unwrap().clone());
    let rules: Vec<_> =
        rules.map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule)).collect();
    let count = rules.len();
    let rules: BTreeMap<_, _> = rules.into_iter().collect();
    assert_eq!(rules.len(), count, "two rules have one name");
    rules
}

/// What Grafana asks Prometheus for.
fn asked_by_grafana() -> Vec<String> {
    let file = fs::read_to_string(packaged("grafana/bitcraps.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&file).unwrap();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array();
        assert_eq!(targets.is_none(), panel["type"] == "row", "{panel}");
        let targets = targets.into_iter().flatten();
        asked.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(values) = variable["definition"].as_str() {
            assert_eq!(variable["query"]["query"], values);
            let (metric, _label) =
                values.strip_prefix("label_values(").unwrap().split_once(',').unwrap();
            asked.push(metric.to_owned());
        }
    }
    asked
}

/// Words of PromQL that stand where the name of a metric could.
const WORDS: [&str; 5] = ["and", "or", "unless", "sum", "max"];

/// The metrics that an expression reads: names that are no words and no functions, outside of braces,
/// of brackets, of strings and of lists of labels.
fn metrics(expression: &str) -> BTreeSet<String> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '{' => rest.find('}').unwrap() + 1,
            '[' => rest.find(']').unwrap() + 1,
            '"' => rest[1..].find('"').unwrap() + 2,
            _ if in_name(first) => rest.find(|c| !in_name(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (name, behind) = rest.split_at(skipped);
        rest = behind;
        if !in_name(first) || first.is_ascii_digit() || WORDS.contains(&name) {
            continue;
        }
        let is_called = behind.trim_start().starts_with('(');
        if is_called && ["by", "without"].contains(&name) {
            rest = behind.split_once(')').unwrap().1;
        } else if !is_called {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn metrics_of_an_expression_are_found_and_nothing_else() {
    for (expression, expected) in [
        ("up{job=\"a b\"} == 0", &["up"][..]),
        ("sum by (le, x) (rate(a_b[5m])) / sum without (y) (c:d{e=\"f\"}[1m])", &["a_b", "c:d"]),
        ("absent(up) or max(a) > 0.95 and b{} < 1e3", &["a", "b", "up"]),
        ("histogram_quantile(0.99, sum(rate(t_bucket[$__rate_interval])))", &["t_bucket"]),
        ("label_replace(a, \"b\", \"c\", \"d\", \"e\")", &["a"]),
    ] {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(metrics(expression), expected, "{expression}");
    }
}

#[test]
fn whatever_prometheus_and_grafana_ask_for_is_what_a_node_tells() {
    let (near, _far, _address, _port) = pair();
    let told = near.ask(&["metrics"]).exits(0).out;
    let lines = told.lines().filter(|line| !line.starts_with('#'));
    let told: BTreeSet<_> = lines.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let of_rules = rules().into_values().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let asked: Vec<String> = of_rules.chain(asked_by_grafana()).collect();
    let mut read = BTreeSet::new();
    for expression in &asked {
        let metrics = metrics(expression);
        assert!(!metrics.is_empty(), "{expression} reads nothing");
        for metric in metrics {
            // What Prometheus says itself of what it scrapes.
            let is_known = metric == "up" || told.contains(metric.as_str());
            assert!(is_known, "no node tells {metric}, which is asked for by {expression}");
            read.insert(metric);
        }
    }
    // And nothing that a node tells is left out of the pictures.
    let shown = |metric: &&str| {
        let whole = ["_count", "_sum", "_bucket"].iter().find_map(|end| metric.strip_suffix(end));
        read.contains(*metric) || whole.is_some_and(|name| read.contains(&format!("{name}_bucket")))
    };
    let unseen: Vec<_> = told.iter().filter(|metric| !shown(metric)).collect();
    assert!(unseen.is_empty(), "nobody asks for {unseen:?}");
}

#[test]
fn each_kind_of_alert_has_a_rule_of_its_severity() {
    let rules = rules();
    for kind in AlertKind::ALL {
        let rule = rules.get(kind.name()).unwrap_or_else(|| panic!("no rule tells {kind}"));
        let expected = format!("coordination_alerts_firing{{alertname=\"{kind}\"}} > 0");
        assert_eq!(rule["expr"], expected);
        assert_eq!(rule["labels"]["severity"], kind.severity().name(), "{kind}");
        // The node has waited already.
        assert_eq!(rule.get("for"), None, "{kind}");
    }
}

#[test]
fn each_rule_is_tried_where_it_fires_and_where_it_does_not() {
    let file = yaml("prometheus/rules_test.yml");
    let mut tried: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for test in file["tests"].as_array().unwrap() {
        for case in test["alert_rule_test"].as_array().unwrap() {
            let fires = !case["exp_alerts"].as_array().unwrap().is_empty();
            tried.entry(case["alertname"].as_str().unwrap().to_owned()).or_default().insert(fires);
        }
    }
    let both = BTreeSet::from([false, true]);
    let expected: BTreeMap<_, _> = rules().into_keys().map(|name| (name, both.clone())).collect();
    assert_eq!(tried, expected);
}
