#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use bitcraps_sim::scenario::{CourseError, Happening, MAX_PAIRS, Scenario, Step, Verdict};

/// Two nodes, a link, a message ten times a second for five seconds, and more.
fn scenario(more: &str) -> Scenario {
    let text = format!(
        "name = \"two\"\nseconds = 10\nwarm_up_s = 1\nsettle_s = 4\n\
         [radios.lan]\nkind = \"wifi\"\nloss = 0\njitter_ms = 0\nlatency_ms = 3\n\
         [[nodes]]\nname = \"a\"\n[[nodes]]\nname = \"b\"\n\
         [[links]]\nname = \"wire\"\nbetween = [\"a\", \"b\"]\nradio = \"lan\"\n\
         [[traffic]]\nfrom = \"a\"\nto = \"b\"\nclass = \"critical\"\nevery_ms = 100\n{more}"
    );
    Scenario::read(&text).unwrap()
}

fn run(more: &str) -> (Verdict, Vec<Happening>) {
    let mut happened = Vec::new();
    let watch = |step: &Step<'_>| happened.extend_from_slice(step.happenings);
    let verdict = scenario(more).run(true, watch).unwrap();
    (verdict, happened)
}

#[test]
fn figures_are_those_of_the_course() {
    let (verdict, happened) = run("[[expect]]\nwhat = \"undelivered\"\nat_most = 0\n");
    assert!(verdict.passed);
    let critical = &verdict.figures.classes["critical"];
    assert_eq!((critical.sent, critical.delivered, critical.undelivered), (50, 50, 0));
    assert_eq!(verdict.figures.all, *critical);
    let p50 = critical.p50_ms.unwrap();
    assert!((6.0..6.5).contains(&p50), "{p50}: 3 ms each way");
    let gap = critical.longest_gap_ms.unwrap();
    assert!((99.0..=101.0).contains(&gap), "{gap}");
    assert_eq!((verdict.figures.links_up, verdict.figures.wrong_views), (1, 0));
    let outcomes =
        happened.iter().filter(|h| matches!(h, Happening::Message { outcome: "delivered", .. }));
    assert_eq!(outcomes.count(), 50);
}

#[test]
fn an_expectation_that_is_broken_fails_the_course_and_says_by_how_much() {
    let (verdict, _) =
        run("[[faults]]\nkind = \"silence\"\nlink = \"wire\"\nat_s = 2\nfor_s = 1.5\n\
         [[expect]]\nwhat = \"longest_gap_ms\"\nat_most = 1000\n\
         [[expect]]\nwhat = \"undelivered\"\nat_most = 0\n");
    assert!(!verdict.passed);
    let [gap, undelivered] = verdict.findings.as_slice() else { panic!("{:?}", verdict.findings) };
    assert!(!gap.met && gap.value.unwrap() >= 1_400.0, "{gap:?}");
    assert!(undelivered.met && undelivered.value == Some(0.0), "{undelivered:?}");
}

#[test]
fn a_source_of_which_nothing_arrives_has_a_gap_from_its_first_message_to_its_last() {
    let (verdict, _) =
        run("[[faults]]\nkind = \"silence\"\nlink = \"wire\"\nat_s = 1\nfor_s = 9\n");
    let critical = &verdict.figures.classes["critical"];
    assert_eq!((critical.sent, critical.delivered), (50, 0));
    assert_eq!(critical.longest_gap_ms, Some(4_900.0));
}

#[test]
fn a_node_that_two_faults_kill_returns_after_both() {
    let (_, happened) = run("[[faults]]\nkind = \"kill\"\nnode = \"b\"\nat_s = 2\nfor_s = 3\n\
         [[faults]]\nkind = \"kill\"\nnode = \"b\"\nat_s = 3\nfor_s = 4\n");
    let up = happened.iter().filter_map(|happening| match happening {
        Happening::LinkUp { at, .. } => Some(*at),
        _ => None,
    });
    assert_eq!(up.collect::<Vec<_>>(), [0.0, 7.0]);
}

#[test]
fn the_place_of_a_dead_node_is_free_for_another() {
    let text = "name = \"three\"\nseconds = 20\n[area]\nwidth_m = 10\nheight_m = 10\n\
                [radios.phone]\nkind = \"bluetooth\"\nrange_m = 25\nlinks = 1\n\
                [[nodes]]\nname = \"w\"\ncount = 3\nradios = [\"phone\"]\n\
                [[faults]]\nkind = \"kill\"\nnode = \"w-2\"\nat_s = 8\n";
    let figures = Scenario::read(text).unwrap().run(false, |_| ()).unwrap().figures;
    assert_eq!((figures.alive, figures.links, figures.links_up), (2, 2, 1));
}

#[test]
fn what_was_never_measured_is_not_met() {
    let (verdict, _) = run("[[faults]]\nkind = \"cut\"\nradio = \"lan\"\nat_s = 0\n\
         [[expect]]\nwhat = \"p99_ms\"\nat_most = 1000000\n");
    assert_eq!((verdict.findings[0].value, verdict.findings[0].met), (None, false));
    assert!(!verdict.passed);
}

#[test]
fn faults_begin_and_end_when_the_scenario_says() {
    let (verdict, happened) = run(
        "[[faults]]\nkind = \"kill\"\nnode = \"b\"\ntold = true\nat_s = 2\nfor_s = 1\n\
         [[faults]]\nkind = \"cut\"\nbetween = [\"a\", \"b\"]\nat_s = 4\nfor_s = 0.5\nevery_s = 1\ntimes = 2\n",
    );
    let told: Vec<String> = happened
        .iter()
        .filter_map(|happening| match happening {
            Happening::FaultBegins { at, kind, .. } => Some(format!("{at} {kind}")),
            Happening::FaultEnds { at, kind, .. } => Some(format!("{at} no {kind}")),
            Happening::LinkUp { at, .. } => Some(format!("{at} up")),
            Happening::LinkDown { at, .. } => Some(format!("{at} down")),
            Happening::LinkSilent { .. } | Happening::Message { .. } => None,
        })
        .collect();
    let expected = [
        "0 up",
        "2 kill",
        "3 no kill",
        "3 up",
        "4 cut",
        "4 down",
        "4.5 no cut",
        "4.5 up",
        "5 cut",
        "5 down",
        "5.5 no cut",
        "5.5 up",
    ];
    assert_eq!(told, expected);
    assert_eq!(verdict.figures.alive, 2);
}

#[test]
fn one_seed_gives_one_course_and_another_seed_another() {
    let text = "name = \"walk\"\nseconds = 20\n[area]\nwidth_m = 60\nheight_m = 60\n\
                [radios.phone]\nkind = \"bluetooth\"\nrange_m = 25\n\
                [[nodes]]\nname = \"w\"\ncount = 12\nradios = [\"phone\"]\nspeed_mps = [2, 5]\n\
                [[traffic]]\nfrom = \"all\"\nto = \"all\"\nclass = \"realtime\"\nevery_ms = 500\n\
                [[faults]]\nkind = \"kill\"\nnode = \"w\"\nsome = 2\nat_s = 8\nfor_s = 3\n";
    let mut scenario = Scenario::read(text).unwrap();
    let first = scenario.run(false, |_| ()).unwrap();
    assert_eq!(scenario.run(false, |_| ()).unwrap(), first);
    assert!(first.figures.links > 12, "they meet: {}", first.figures.links);
    assert!(first.passed, "{:?}", first.violations);
    scenario.seed = 2;
    assert_ne!(scenario.run(false, |_| ()).unwrap().figures.trace_hash, first.figures.trace_hash);
}

#[test]
fn a_crowd_of_more_pairs_than_there_is_room_for_is_refused() {
    let text = "name = \"crowd\"\nseconds = 1\n[area]\nwidth_m = 10\nheight_m = 10\n\
                [radios.lan]\nkind = \"wifi\"\nrange_m = 20\nlinks = 1\n\
                [[nodes]]\nname = \"n\"\ncount = 2001\nradios = [\"lan\"]\nview = false\n";
    let refused = Scenario::read(text).unwrap().run(false, |_| ());
    let radio = "lan".to_owned();
    let crowded = CourseError::Crowded { radio, seconds: 0.0, most: MAX_PAIRS };
    assert_eq!(refused, Err(crowded), "2,001 nodes are 2,001,000 pairs");
}

#[test]
fn a_spare_link_waits_for_healing_though_one_end_does_not_heal() {
    let (verdict, _) = run("[[nodes]]\nname = \"c\"\nheals_above = 1.0\n[[nodes]]\nname = \"d\"\n\
         [[links]]\nbetween = [\"c\", \"d\"]\nradio = \"lan\"\nspare = true\n");
    assert_eq!(verdict.figures.healed, 0);
}
