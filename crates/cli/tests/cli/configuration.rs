//! Configurations written, checked and shown.

use crate::process::Home;

#[test]
fn what_init_writes_check_accepts() {
    let home = Home::new();
    let template = home.run(&["config", "init", "-"]).exits(0).out;
    let checked = home.run_with(&["config", "check", "-"], &template).exits(0);
    let checked = checked.prints("standard input: good, ");
    assert!(checked.err.contains("no interface is chosen in [lan]"), "{}", checked.err);

    home.run(&["config", "init", "--interface", "lo", "--interface", "192.0.2.1"]).exits(0);
    let place = home.join(".config/bitcraps/bitcraps.toml");
    let again = home.run(&["config", "init"]).exits(2);
    again.complains(&format!("{} exists and is not overwritten", place.display()));
    let checked = home.run(&["config", "check"]).exits(0);
    assert_eq!(checked.err, "");
    let shown = home.run(&["config", "show"]).exits(0);
    assert!(shown.out.starts_with(&format!("# {}\n", place.display())), "{}", shown.out);
    let line = template.lines().position(|l| l == "#interfaces = []").unwrap() + 1;
    let origin = home.run(&["config", "show", "--origin"]).exits(0);
    let expected = format!("# {}:{line}:1", place.display());
    let interfaces = origin.out.lines().find(|l| l.starts_with("lan.interfaces = ")).unwrap();
    assert!(interfaces.contains(r#"["lo", "192.0.2.1"]"#), "{interfaces}");
    assert!(interfaces.ends_with(&expected), "{interfaces}");
    home.run(&["config", "init", "-", "--interface", "no such/interface"]).exits(2);
}

#[test]
fn a_mistake_is_told_with_its_place_and_a_suggestion() {
    let home = Home::new();
    home.write("bitcraps.toml", "[lan]\ninterfaces = [\"lo\"]\ndiscover_port = 1\n");
    let said = "bitcraps.toml:3:1: unknown key `lan.discover_port`; did you mean \
                `lan.discovery_port`?";
    for verb in [&["config", "check"][..], &["run"], &["status"]] {
        let ended = home.run(&[&["--config", "bitcraps.toml"], verb].concat());
        ended.exits(2).complains(said);
    }
    let json = home.run(&["config", "check", "bitcraps.toml", "--json"]).exits(2).json();
    assert_eq!(json["error"]["message"], said);
    let filter = home.run_with(&["config", "check", "-"], "[log]\nfilter = \"a=b=c\"\n");
    filter.exits(2).complains("log.filter = \"a=b=c\"");
    let missing = home.run(&["--config", "none.toml", "run"]).exits(2);
    missing.complains("cannot read none.toml");
}

#[test]
fn show_says_which_file_and_which_variable_hold() {
    let home = Home::new();
    let place = home.join(".config/bitcraps/bitcraps.toml");
    let none = format!("# built-in defaults; there is no {}\n", place.display());
    assert_eq!(home.run(&["config", "show"]).exits(0).out, none);
    let all = home.run(&["config", "show", "--effective", "--json"]).exits(0).json();
    let data = all["entries"].as_array().unwrap().iter().find(|e| e["key"] == "node.data_dir");
    let expected = format!("{:?}", home.join(".local/share/bitcraps"));
    assert_eq!(data.unwrap()["value"], expected);
    assert_eq!(all["file"], serde_json::Value::Null);

    home.write("v.toml", "[lan]\nport = 1\n");
    let mut command = home.command(&["config", "show", "--origin"]);
    command.env("BITCRAPS_CONFIG", "v.toml").env("BITCRAPS__LAN__DISCOVERY_PORT", "9");
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert_eq!(lines[0], "# v.toml (by $BITCRAPS_CONFIG)");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
        "lan.port = 1 # v.toml:2:1"
    );
    assert!(lines[2].starts_with("lan.discovery_port = 9"), "{shown}");
    assert!(lines[2].ends_with("BITCRAPS__LAN__DISCOVERY_PORT"), "{shown}");
}

#[test]
fn the_schema_is_json() {
    let home = Home::new();
    let schema = home.run(&["config", "schema"]).exits(0);
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert_eq!(schema["title"], "Config");
    assert!(schema["properties"]["lan"].is_object());
}
