#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use bitcraps_sim::scenario::{Mistake, Scenario};

/// A scenario without a mistake, of one line each.
const GOOD: [&str; 24] = [
    "name = \"good\"",
    "seconds = 10",
    "[area]",
    "width_m = 50",
    "height_m = 50",
    "[radios.phone]",
    "kind = \"bluetooth\"",
    "range_m = 20",
    "[radios.lan]",
    "kind = \"wifi\"",
    "[[nodes]]",
    "name = \"a\"",
    "[[nodes]]",
    "name = \"crowd\"",
    "count = 3",
    "[[traffic]]",
    "from = \"a\"",
    "to = \"crowd\"",
    "class = \"critical\"",
    "every_ms = 100",
    "[[expect]]",
    "what = \"undelivered\"",
    "at_most = 0",
    "",
];

#[test]
fn a_scenario_without_a_mistake_is_read() {
    let scenario = Scenario::read(&GOOD.join("\n")).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.nodes(), scenario.seed), ("good", 4, 1));
    assert_eq!(scenario.length().as_secs(), 10);
}

/// What is said of the good scenario when one line is another one, or when lines are added to it.
fn said(line: usize, text: &str) -> String {
    let mut lines = GOOD.map(str::to_owned);
    lines[line - 1] = text.to_owned();
    Scenario::read(&lines.join("\n")).unwrap_err().to_string()
}

#[test]
fn each_mistake_is_told_where_it_is_and_what_to_write() {
    for (line, text, expected) in [
        (1, "nam = \"good\"", "1:1: unknown key `nam`; did you mean `name`?"),
        (2, "seconds = \"ten\"", "2:11: `seconds` is a text; a number belongs there"),
        (2, "seconds = 0", "2:11: `seconds` = 0 is out of range, it takes 0.1 to 86400"),
        (2, "seconds = 10\nsed = 3", "3:1: unknown key `sed`; did you mean `seed`?"),
        (
            2,
            "seconds = 10\nseed = -1",
            "3:8: `seed` = -1 is out of range, it takes 0 to 18446744073709551615",
        ),
        (
            2,
            "seconds = 10\nwarm_up_s = 5\nsettle_s = 5",
            "2:11: `seconds`: warm_up_s and settle_s leave no time of `seconds`; shorten them",
        ),
        (5, "", "3:1: `area.height_m` is missing; write it in metres"),
        (4, "widht_m = 50", "4:1: unknown key `area.widht_m`; did you mean `width_m`?"),
        (
            7,
            "kind = \"blutooth\"",
            "7:8: `radios.phone.kind` = \"blutooth\" is not known; did you mean `bluetooth`?; known: bluetooth, wifi, internet",
        ),
        (8, "rang_m = 20", "8:1: unknown key `radios.phone.rang_m`; did you mean `range_m`?"),
        (
            8,
            "range_m = 20\nloss = 1.5",
            "9:8: `radios.phone.loss` = 1.5 is out of range, it takes 0 to 1",
        ),
        (12, "name = \"all\"", "12:8: `nodes.name`: \"all\" is taken; choose another name"),
        (14, "name = \"a\"", "14:8: `nodes.name`: \"a\" is taken; choose another name"),
        (15, "count = 0", "15:9: `nodes.count` = 0 is out of range, it takes 1 to 20000"),
        (
            15,
            "count = 3\nradios = [\"lan\"]",
            "16:10: `nodes.radios`: radio \"lan\" has no range_m, by which nodes find others",
        ),
        (
            15,
            "count = 3\nradios = [\"fone\"]",
            "16:11: `nodes.radios` = \"fone\" is not known; did you mean `phone`?; known: phone, lan",
        ),
        (
            15,
            "count = 3\nspeed_mps = [2, 1]",
            "16:13: `nodes.speed_mps`: the least comes first, and the most is above zero",
        ),
        (
            15,
            "count = 3\nspeed_mps = [1, 2]",
            "16:13: `nodes.speed_mps`: only nodes with radios are somewhere",
        ),
        (
            15,
            "count = 3\nradios = [\"phone\"]\nspread_m = 2",
            "17:12: `nodes.spread_m`: it is around at_m; write that too",
        ),
        (
            15,
            "count = 3\nradios = [\"phone\"]\npause_s = 2",
            "17:11: `nodes.pause_s`: who stays where they are does not pause; write speed_mps",
        ),
        (
            10,
            "kind = \"wifi\"\nlinks = 3",
            "11:9: `radios.lan.links`: only of links that nodes find by themselves, within range_m",
        ),
        (
            15,
            "count = 3\n[[links]]\nradio = \"lan\"\nbetween = [\"a\", \"crowd\"]\nshape = \"row\"",
            "19:9: `links.shape`: only a group has one",
        ),
        (15, "count = 3\nat_m = [60, 1]", "16:8: `nodes.at_m`: [60, 1] is outside of the area"),
        (
            17,
            "from = \"crow\"",
            "17:8: `traffic.from` = \"crow\" is not known; did you mean `crowd`?; known: a, crowd, crowd-1, crowd-2, crowd-3",
        ),
        (
            18,
            "to = \"crowd-4\"",
            "18:6: `traffic.to` = \"crowd-4\" is not known; did you mean `crowd-1`?; known: a, crowd, crowd-1, crowd-2, crowd-3",
        ),
        (18, "to = \"a\"", "18:6: `traffic.to`: a node does not send to itself"),
        (
            19,
            "class = \"urgent\"",
            "19:9: `traffic.class` = \"urgent\" is not known; known: realtime, critical, background, bulk",
        ),
        (
            20,
            "every_ms = 100\nuntil_s = 11",
            "21:11: `traffic.until_s`: it ends before it begins, or after the course",
        ),
        (
            22,
            "what = \"lost\"",
            "22:8: `expect.what` = \"lost\" is not known; known: sent, delivered, delivered_share, undelivered, refused, p50_ms, p99_ms, longest_gap_ms, wrong_views, relayed, bytes_per_node_second, healed",
        ),
        (
            22,
            "what = \"undelivered\"\nclass = \"bulk\"",
            "22:8: `expect.what`: no [[traffic]] sends such messages, so that nothing would be judged",
        ),
        (
            22,
            "what = \"relayed\"\nclass = \"critical\"",
            "23:9: `expect.class`: relayed has no class",
        ),
        (23, "", "21:1: `expect.at_most` is missing; write at_least, at_most or both"),
        (
            24,
            "[[links]]\nradio = \"lan\"",
            "24:1: `links.between` is missing; write between = [\"..\", \"..\"], or a group and its shape",
        ),
        (
            24,
            "[[links]]\nradio = \"lan\"\nbetween = [\"a\"]",
            "26:11: `links.between`: it takes two names",
        ),
        (
            24,
            "[[links]]\nradio = \"lan\"\nbetween = [\"a\", \"a\"]",
            "26:11: `links.between`: a link needs two different nodes",
        ),
        (
            24,
            "[[links]]\nradio = \"lan\"\ngroup = \"crowd\"",
            "24:1: `links.shape` is missing; write how they are joined: row, ring, star or full",
        ),
        (
            24,
            "[[faults]]\nkind = \"kill\"\nat_s = 1",
            "24:1: `faults.node` is missing; write the name of a node or of a group",
        ),
        (
            24,
            "[[faults]]\nkind = \"loss\"\nradio = \"lan\"\nat_s = 1",
            "24:1: `faults.share` is missing; write how much of it",
        ),
        (
            24,
            "[[faults]]\nkind = \"cut\"\nradio = \"lan\"\nshare = 0.5\nat_s = 1",
            "27:9: `faults.share`: a cut has none",
        ),
        (
            24,
            "[[faults]]\nkind = \"cut\"\nradio = \"lan\"\nnode = \"a\"\nat_s = 1",
            "27:8: `faults.node`: only one of node, link, radio and between",
        ),
        (
            24,
            "[[faults]]\nkind = \"kill\"\nnode = \"crowd\"\nsome = 4\nat_s = 1",
            "27:8: `faults.some`: only 3 nodes are called so",
        ),
        (
            24,
            "[[faults]]\nkind = \"kill\"\nnode = \"crowd\"\nat_s = 1\nfor_s = 2\nevery_s = 2\ntimes = 2",
            "29:11: `faults.every_s`: each time has to be over (for_s) before the next begins",
        ),
        (
            24,
            "[[faults]]\nkind = \"kill\"\nnode = \"crowd\"\nat_s = 11",
            "27:8: `faults.at_s`: it comes after the end of the course",
        ),
        (
            24,
            "[[faults]]\nkind = \"suspend\"\nnode = \"a\"\nat_s = 1",
            "24:1: `faults.for_s` is missing; write how long they sleep, in seconds",
        ),
        (24, "nodes = 3", "24:1: unknown key `expect.nodes`"),
    ] {
        assert_eq!(said(line, text), expected, "line {line}: {text}");
    }
}

#[test]
fn what_is_no_toml_is_told_where() {
    let error = Scenario::read("name = \"x\"\nseconds = = 3\n").unwrap_err();
    assert_eq!((error.line, error.column), (2, 11));
    assert!(matches!(error.mistake, Mistake::Syntax(_)), "{error}");
    let long = "#".repeat(bitcraps_sim::scenario::MAX_TEXT + 1);
    assert!(Scenario::read(&long).unwrap_err().to_string().contains("at most 1048576 bytes"));
    assert!(Scenario::read(&long[1..]).unwrap_err().to_string().contains("`name` is missing"));
}

#[test]
fn a_course_of_too_many_messages_is_refused() {
    let text = GOOD.join("\n").replace("seconds = 10", "seconds = 86400");
    let text =
        text.replace("from = \"a\"", "from = \"crowd\"").replace("every_ms = 100", "every_ms = 1");
    let error = Scenario::read(&text).unwrap_err().to_string();
    assert_eq!(error, "20:12: `traffic.every_ms`: with these there are more than 5000000 messages");
}
