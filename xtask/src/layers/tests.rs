use super::*;

fn package(name: &str, dependencies: Vec<Dependency>) -> Package {
    Package {
        name: name.to_owned(),
        manifest_path: "Cargo.toml".into(),
        dependencies,
        features: BTreeMap::new(),
        targets: Vec::new(),
    }
}

fn on(name: &str) -> Dependency {
    Dependency {
        name: name.to_owned(),
        kind: None,
        optional: false,
        uses_default_features: false,
        features: Vec::new(),
    }
}

fn optional(name: &str) -> Dependency {
    Dependency { optional: true, ..on(name) }
}

fn dev(name: &str) -> Dependency {
    Dependency { kind: Some("dev".to_owned()), ..on(name) }
}

fn with(dependency: Dependency, feature: &str) -> Dependency {
    Dependency { features: vec![feature.to_owned()], ..dependency }
}

/// What is said about one crate with one dependency.
fn said(from: &str, dependency: Dependency) -> Vec<String> {
    let violations = check(&[package(from, vec![dependency])]);
    violations.iter().map(ToString::to_string).collect()
}

#[test]
fn every_allowed_edge_is_allowed_and_every_other_is_not() {
    for layer in &LAYERS {
        let from = match layer.name {
            "xtask" => "xtask".to_owned(),
            name => format!("bitcraps-{name}"),
        };
        for to in LAYERS.iter().filter(|to| to.name != "xtask") {
            let target = format!("bitcraps-{}", to.name);
            let normal = said(&from, on(&target));
            let behind = said(&from, optional(&target));
            if layer.may.contains(&to.name) {
                assert_eq!(normal, [""; 0], "{from} -> {target}");
            } else if layer.may_behind_feature.contains(&to.name) {
                let rule = format!("{} -> {}: allowed behind a feature only", layer.name, to.name);
                assert_eq!(normal, [rule]);
                assert_eq!(behind, [""; 0], "{from} -> {target}");
            } else {
                let rule = format!("{} -> {}: not among the allowed edges", layer.name, to.name);
                assert_eq!(normal, [rule.as_str()]);
                assert_eq!(behind, [rule.as_str()]);
            }
        }
    }
}

#[test]
fn what_must_never_be_is_refused() {
    for (from, to) in [
        ("coordinator", "transport-wifi"),
        ("coordinator", "monitor"),
        ("coordinator", "topology"),
        ("monitor", "coordinator"),
        ("transport-wifi", "transport-ble"),
        ("transport-wifi", "sim"),
        ("types", "wire"),
        ("wire", "topology"),
        ("engine", "transport-api"),
        ("engine", "node"),
        ("node", "sim"),
        ("dashboard", "cli"),
    ] {
        let rule = format!("{from} -> {to}: not among the allowed edges");
        let edge = on(&format!("bitcraps-{to}"));
        assert_eq!(said(&format!("bitcraps-{from}"), edge), [rule]);
    }
}

#[test]
fn a_build_dependency_counts_and_a_dev_dependency_does_not() {
    let build = Dependency { kind: Some("build".to_owned()), ..on("bitcraps-wire") };
    assert_eq!(said("bitcraps-types", build).len(), 1);
    assert_eq!(said("bitcraps-types", dev("bitcraps-wire")), [""; 0]);
    assert_eq!(said("bitcraps-wire", dev("tokio")), [""; 0]);
}

#[test]
fn runtimes_stay_out_of_pure_crates() {
    for name in PURE {
        let from = format!("bitcraps-{name}");
        for foreign in ["tokio", "tokio-util", "async-trait", "quinn", "quinn-proto", "iroh-base"] {
            let rule = format!(
                "{name} -> {foreign}: a pure crate has no runtime and no transport, not even behind a \
                 feature"
            );
            assert_eq!(said(&from, on(foreign)), [rule.as_str()]);
            assert_eq!(said(&from, optional(foreign)), [rule.as_str()]);
        }
        assert_eq!(said(&from, on("thiserror")), [""; 0]);
    }
    for name in PURE_CORE {
        let from = format!("bitcraps-{name}");
        let rule = format!("{name} -> tokio: a pure core has its shell behind a feature");
        assert_eq!(said(&from, on("tokio")), [rule]);
        assert_eq!(said(&from, optional("tokio")), [""; 0]);
    }
    assert_eq!(said("bitcraps-node", on("tokio")), [""; 0]);
}

#[test]
fn the_coordinator_comes_without_its_shell_to_pure_crates() {
    let defaults = Dependency { uses_default_features: true, ..on("bitcraps-coordinator") };
    let driver = with(on("bitcraps-coordinator"), "driver");
    for from in ["engine", "sim"] {
        let package = format!("bitcraps-{from}");
        let rule = format!("{from} -> coordinator: allowed without the feature `driver` only");
        assert_eq!(said(&package, defaults.clone()), [rule.as_str()]);
        assert_eq!(said(&package, driver.clone()), [rule.as_str()]);
    }
    assert_eq!(said("bitcraps-node", driver), [""; 0]);
}

#[test]
fn owned_crates_stay_with_their_owner() {
    let rule = "it belongs to one crate, behind that crate's own types";
    assert_eq!(said("bitcraps-topology", on("petgraph")), [""; 0]);
    assert_eq!(said("bitcraps-benches", on("petgraph")), [""; 0]);
    assert_eq!(said("bitcraps-monitor", on("petgraph")), [format!("monitor -> petgraph: {rule}")]);
    assert_eq!(said("bitcraps-node", optional("dashmap")), [format!("node -> dashmap: {rule}")]);
    assert_eq!(said("bitcraps-coordinator", optional("dashmap")), [""; 0]);
    assert_eq!(
        said("bitcraps-coordinator", on("dashmap")),
        ["coordinator -> dashmap: allowed behind a feature only"]
    );
}

#[test]
fn features_for_tests_stay_in_tests() {
    for feature in TEST_FEATURES {
        let edge = || with(on("bitcraps-transport-api"), feature);
        assert_eq!(
            said("bitcraps-transport-wifi", edge()),
            ["transport-wifi -> transport-api: its features for tests are for dev-dependencies"]
        );
        assert_eq!(said("bitcraps-benches", edge()), [""; 0]);
        let in_tests = with(dev("bitcraps-transport-api"), feature);
        assert_eq!(said("bitcraps-transport-wifi", in_tests), [""; 0]);
    }
}

#[test]
fn a_member_without_a_place_is_refused() {
    assert_eq!(
        check(&[package("bitcraps-cloud", vec![]), package("stray", vec![])])
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "cloud: it has no place in the table of xtask/src/layers.rs",
            "stray: a member is called bitcraps-, or xtask"
        ]
    );
    let anything = vec![on("bitcraps-cli"), on("tokio"), on("bitcraps-sim")];
    assert_eq!(check(&[package("bitcraps-tests", anything)]), []);
}

#[test]
fn the_radio_of_the_simulator_is_off_by_default() {
    let mut sim = package("bitcraps-sim", vec![]);
    let list = |features: &[&str]| features.iter().map(ToString::to_string).collect();
    sim.features.insert("transport".to_owned(), list(&["dep:tokio"]));
    sim.features.insert("default".to_owned(), list(&[]));
    assert_eq!(check(&[sim.clone()]), []);
    sim.features.insert("radio".to_owned(), list(&["transport"]));
    sim.features.insert("default".to_owned(), list(&["radio"]));
    let violations = check(&[sim]);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].to_string(), "sim: its feature `transport` is on by default");
}

#[test]
fn tests_of_a_lower_crate_do_not_build_on_an_upper_one() {
    let packages = [
        package("bitcraps-types", vec![dev("bitcraps-engine")]),
        package("bitcraps-wire", vec![on("bitcraps-types"), dev("bitcraps-wire")]),
        package("bitcraps-engine", vec![on("bitcraps-wire"), dev("bitcraps-types")]),
    ];
    let violations = check(&packages);
    assert_eq!(violations.len(), 1);
    assert_eq!(
        violations[0].to_string(),
        "types -> engine: a dev-dependency makes an upward cycle"
    );
}
