use super::*;

#[test]
fn the_data_directory_follows_the_environment() {
    let at = |variables: &[(&str, &str)]| {
        let environment: Environment = variables.iter().copied().collect();
        Config::parse("", Path::new("b.toml"), &environment).map(|c| c.node().data_dir.clone())
    };
    let home = PathBuf::from("/h/.local/share/bitcraps");
    assert_eq!(at(&[("HOME", "/h")]), Ok(home.clone()));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_DATA_HOME", "")]), Ok(home.clone()));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_DATA_HOME", "rel")]), Ok(home));
    assert_eq!(at(&[("XDG_DATA_HOME", "/x")]), Ok(PathBuf::from("/x/bitcraps")));
    let error = at(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "default: node.data_dir needs HOME to be set; set it, or write an absolute path to \
         node.data_dir"
    );
    let deep = format!("/{}", "x".repeat(107 - "//bitcraps/admin.sock".len()));
    assert!(at(&[("XDG_DATA_HOME", &deep)]).is_ok());
    assert_eq!(
        at(&[("XDG_DATA_HOME", &format!("{deep}x"))]).unwrap_err().to_string(),
        "default: admin.socket has 108 bytes, it takes at most 107"
    );
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[coordination.transport]\ndefault_policy = \"FastestFirst\"\n[lan]\nport = 5";
    let variables = [
        ("BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY", "MostReliable"),
        ("BITCRAPS__LAN__PORT", "7"),
        ("BITCRAPS__LAN__INTERFACES", "[\"lo\", \"127.0.0.2\"]"),
        ("BITCRAPS__LAN__MDNS", "false"),
        ("BITCRAPS__LAN__PRIOR", "0.25"),
        ("BITCRAPS__NODE__NAME", "42"),
        ("BITCRAPS__LOG__FILTER", ""),
        ("BITCRAPS__LOG__FILTER", "bitcraps=trace"),
        (
            "BITCRAPS__PEERS",
            "[{ id = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\", addresses = \
             [\"127.0.0.1:1\"] }]",
        ),
    ];
    let config = parse(text, &variables).unwrap();
    assert_eq!(config.transport().default_policy, Policy::MostReliable);
    assert_eq!(config.lan().port, 7);
    assert_eq!(config.lan().interfaces.len(), 2);
    assert!(!config.lan().mdns);
    assert_eq!(config.lan().prior, Ratio::new(0.25).unwrap());
    assert_eq!(config.node().name.as_deref(), Some("42"));
    assert_eq!(config.log().filter, "bitcraps=trace");
    assert_eq!(config.peers().len(), 1);
}

#[test]
fn a_mistake_in_the_environment_names_its_variable() {
    for (variable, value, message) in [
        (
            "BITCRAPS__LAN__PROT",
            "1",
            "environment variable BITCRAPS__LAN__PROT sets no known key; did you mean \
             `BITCRAPS__LAN__PORT`?",
        ),
        ("BITCRAPS__LAN", "{}", "environment variable BITCRAPS__LAN sets no known key"),
        ("BITCRAPS__QUUXQUUX", "1", "environment variable BITCRAPS__QUUXQUUX sets no known key"),
        (
            "BITCRAPS__LAN__PORT",
            "seven",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: string \"seven\", \
             expected i64",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "true",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: boolean `true`, expected \
             i64",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "70000",
            "environment variable BITCRAPS__LAN__PORT: lan.port = 70000 is out of range, it takes 0 to \
             65535",
        ),
        (
            "BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY",
            "Fast",
            "environment variable BITCRAPS__COORDINATION__TRANSPORT__DEFAULT_POLICY: \
             coordination.transport.default_policy: unknown variant `Fast`, expected one of \
             `FastestFirst`, `MostReliable`, `EnergyEfficient`, `LoadBalanced`",
        ),
        (
            "BITCRAPS__LAN__PORT",
            "1\nmdns = false",
            "environment variable BITCRAPS__LAN__PORT: lan.port: invalid type: string \"1\\nmdns = \
             false\", expected i64",
        ),
    ] {
        let error = parse("", &[(variable, value)]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_value_that_is_no_text_names_its_variable() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![0xff]);
    let environment: Environment = [
        (OsString::from("HOME"), OsString::from("/h")),
        (OsString::from("BITCRAPS__NODE__NAME"), value.clone()),
    ]
    .into_iter()
    .collect();
    let error = Config::parse("", Path::new(""), &environment).unwrap_err();
    assert_eq!(error.to_string(), "environment variable BITCRAPS__NODE__NAME holds no text");
    // Somebody else's variable may hold anything.
    let environment: Environment =
        [(OsString::from("HOME"), OsString::from("/h")), (OsString::from("OTHER"), value)]
            .into_iter()
            .collect();
    assert!(Config::parse("", Path::new(""), &environment).is_ok());
}

#[test]
fn every_value_knows_where_it_comes_from() {
    let text = "[lan]\nport = 5\n  mdns = true\n[[peers]]\nid = \"0000000000000000000000000000000000000000000000000000000000000000\"\naddresses = [\"127.0.0.1:1\"]\n";
    let config = parse(text, &[("BITCRAPS__LAN__PORT", "6")]).unwrap();
    let origin = |key: &str| config.origin_of(key).map(ToString::to_string);
    assert_eq!(origin("lan.port").unwrap(), "environment variable BITCRAPS__LAN__PORT");
    assert_eq!(origin("lan.mdns").unwrap(), "b.toml:3:3");
    assert_eq!(origin("peers").unwrap(), "b.toml:4:3");
    assert_eq!(origin("lan.beacon").unwrap(), "default");
    assert_eq!(origin("lan.prot"), None);
    assert_eq!(origin("lan"), None);
    assert_eq!(config.entries().count(), KEYS.len());
}
