#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
//! Faults of many nodes at once, with healing and without: the same course twice, in the second of which
//! nodes that share no link know of each other and make links where one loss would split them.

use bitcraps_sim::scenario::{Figures, Scenario};

/// Two rings of six over Wi-Fi and two cables between them.
const HALLS: &str = r#"
    name = "two halls"
    seconds = 70
    warm_up_s = 20
    settle_s = 20
    [radios.wifi]
    kind = "wifi"
    [radios.cable]
    kind = "internet"
    latency_ms = 5
    [radios.spare]
    kind = "wifi"
    latency_ms = 12
    [[nodes]]
    name = "east"
    count = 6
    HEALS
    [[nodes]]
    name = "west"
    count = 6
    HEALS
    [[links]]
    group = "east"
    shape = "ring"
    radio = "wifi"
    [[links]]
    group = "west"
    shape = "ring"
    radio = "wifi"
    [[links]]
    between = ["east-1", "west-1"]
    radio = "cable"
    [[links]]
    between = ["east-4", "west-4"]
    radio = "cable"
    [[traffic]]
    from = "east"
    to = "west"
    class = "critical"
    every_ms = 1000
    deadline_ms = 60000
    pairs = "fixed"
    [[links]]
    radio = "spare"
    spare = true
"#;

/// Twenty-four at one access point, each with a slower link to a server, which is the point's only link.
const CROWD: &str = r#"
    name = "an access point"
    seconds = 70
    warm_up_s = 20
    settle_s = 20
    [radios.wifi]
    kind = "wifi"
    [radios.mobile]
    kind = "internet"
    latency_ms = 40
    [radios.spare]
    kind = "wifi"
    latency_ms = 12
    [[nodes]]
    name = "point"
    HEALS
    [[nodes]]
    name = "server"
    HEALS
    [[nodes]]
    name = "guest"
    count = 24
    HEALS
    [[links]]
    between = ["point", "guest"]
    radio = "wifi"
    [[links]]
    between = ["server", "guest"]
    radio = "mobile"
    [[traffic]]
    from = "guest"
    to = "server"
    class = "critical"
    every_ms = 1000
    deadline_ms = 20000
    pairs = "fixed"
    [[traffic]]
    from = "guest"
    to = "guest"
    class = "critical"
    every_ms = 3000
    deadline_ms = 20000
    [[links]]
    group = "guest"
    shape = "ring"
    radio = "spare"
    spare = true
"#;

/// What a course comes to, without healing and with it.
#[expect(clippy::print_stdout, reason = "whoever asks for it compares the figures")]
fn both(course: &str, spare: &str, fault: &str) -> [Figures; 2] {
    let both = ["", "heals_above = 0.02"].map(|heals| {
        let text = course.replace("HEALS", heals) + spare + fault;
        let scenario = Scenario::read(&text).unwrap_or_else(|error| panic!("{error}"));
        let verdict = scenario.run(false, |_| ()).unwrap();
        assert_eq!(verdict.violations, Vec::<String>::new(), "{heals}");
        verdict.figures
    });
    let told = both.each_ref().map(|figures| {
        let of = &figures.classes["critical"];
        (
            figures.healed,
            of.undelivered,
            of.p99_ms,
            of.longest_gap_ms,
            figures.bytes_per_node_second,
        )
    });
    println!("healed, undelivered, p99 ms, longest gap ms, bytes/s and node: {told:?}");
    assert_eq!(both[0].healed, 0, "nobody heals");
    both
}

/// Healing leaves nobody worse off, by more than chance makes of a course.
fn is_no_worse([without, with]: &[Figures; 2]) {
    let of = |figures: &Figures| figures.classes["critical"].clone();
    let (before, after) = (of(without), of(with));
    assert_eq!((before.sent, before.refused), (after.sent, after.refused));
    assert!(after.undelivered <= before.undelivered, "{after:?}, without healing {before:?}");
    assert!(with.wrong_views <= without.wrong_views, "{} wrong views", with.wrong_views);
    let gap = |figures: &bitcraps_sim::scenario::ClassFigures| figures.longest_gap_ms.unwrap();
    assert!(gap(&after) <= gap(&before) * 1.1, "{after:?}, without healing {before:?}");
    assert!(after.p99_ms.unwrap() <= before.p99_ms.unwrap() * 1.1, "{after:?}, not {before:?}");
}

#[test]
fn fault_33_a_partition_that_somebody_can_heal_is_shorter_and_one_that_nobody_can_is_no_longer() {
    let cut = "[[faults]]\nkind = \"cut\"\nradio = \"cable\"\nat_s = 25\nfor_s = 15\n";
    // Only those near the door hear the other hall.
    let bridged = both(HALLS, "between = [\"east-3\", \"west-3\"]\n", cut);
    is_no_worse(&bridged);
    let gap = |figures: &Figures| figures.classes["critical"].longest_gap_ms.unwrap();
    assert!(bridged[1].healed > 0 && gap(&bridged[1]) * 2.0 < gap(&bridged[0]));
    // Those who could link are in one hall: nothing bridges, and the halls meet again as they would.
    let parted = both(HALLS, "between = [\"east-2\", \"east-5\"]\n", cut);
    is_no_worse(&parted);
}

#[test]
fn fault_35_those_who_move_when_an_access_point_dies_get_there_as_soon_with_healing() {
    let dies = "[[faults]]\nkind = \"kill\"\nnode = \"point\"\nat_s = 25\n";
    is_no_worse(&both(CROWD, "", dies));
}

#[test]
fn fault_36_those_who_return_to_an_access_point_do_so_as_smoothly_with_healing() {
    let silent = "[[faults]]\nkind = \"silence\"\nradio = \"wifi\"\nat_s = 25\nfor_s = 8\n";
    is_no_worse(&both(CROWD, "", silent));
}
