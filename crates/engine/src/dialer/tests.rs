use super::*;

const WIFI: TransportType = TransportType::WiFiDirect;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn address(text: &str) -> Address {
    Address::new(text)
}

fn hint(n: u8, place: &str, source: HintSource) -> Hint {
    let target =
        ConnectTarget { transport: WIFI, peer: peer(n), address: address(place), via: None };
    Hint { target, source }
}

fn beacon(n: u8, place: &str) -> Hint {
    hint(n, place, HintSource::Beacon)
}

/// Node 5 among others; peers above it are dialled at once.
fn dialer() -> Dialer {
    Dialer::new(peer(5), 1, DialerConfig::default())
}

fn dialled(dialer: &mut Dialer) -> Vec<String> {
    std::iter::from_fn(|| dialer.poll_connect()).map(|t| t.address.as_str().to_owned()).collect()
}

/// Runs every timer up to `end`, in order; when each dial was made. No dial succeeds.
fn failing(dialer: &mut Dialer, end: Timestamp) -> Vec<Timestamp> {
    let mut dials = Vec::new();
    let mut now = Timestamp::ZERO;
    loop {
        while let Some(target) = dialer.poll_connect() {
            dials.push(now);
            dialer.connected(&target, None, now);
        }
        match dialer.next_deadline().filter(|at| *at <= end) {
            Some(due) => now = now.max(due),
            None => return dials,
        }
        dialer.on_timer(now);
    }
}

#[test]
fn the_smaller_key_dials_at_once_and_the_larger_after_its_grace() {
    let mut dialer = dialer();
    dialer.discovered(beacon(9, "larger"), at(0));
    assert_eq!(dialled(&mut dialer), ["larger"]);
    dialer.discovered(beacon(1, "smaller"), at(0));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    assert_eq!(dialer.next_deadline(), Some(at(3_000)));
    dialer.on_timer(at(2_999));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    dialer.on_timer(at(3_000));
    assert_eq!(dialled(&mut dialer), ["smaller"], "the other may be unable to");
}

#[test]
fn a_link_that_the_other_dialled_within_the_grace_is_enough() {
    let mut dialer = dialer();
    dialer.discovered(beacon(1, "there"), at(0));
    dialer.link_up(LinkId(1), WIFI, peer(1), address("there"), at(0));
    assert_eq!(dialer.next_deadline(), None);
    dialer.on_timer(at(10_000));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    assert!(dialer.targets(at(10_000))[0].linked);
}

#[test]
fn a_link_over_the_address_satisfies_a_target_heard_of_later() {
    let mut dialer = dialer();
    dialer.link_up(LinkId(1), WIFI, peer(9), address("there"), at(0));
    dialer.discovered(beacon(9, "there"), at(0));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    dialer.discovered(beacon(9, "elsewhere"), at(0));
    assert_eq!(dialled(&mut dialer), ["elsewhere"], "another address is another path");
    let other = Hint {
        target: ConnectTarget { transport: TransportType::Internet, ..beacon(9, "there").target },
        source: HintSource::Beacon,
    };
    dialer.discovered(other, at(0));
    assert_eq!(dialled(&mut dialer), ["there"], "and so is another transport");
}

#[test]
fn failures_back_off_with_jitter_up_to_a_minute() {
    let mut dialer = dialer();
    dialer.discovered(hint(9, "there", HintSource::Static), at(0));
    let dials = failing(&mut dialer, at(600_000));
    let gaps: Vec<u128> = dials.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    let expected = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];
    for (gap, expected) in gaps.iter().zip(expected) {
        assert!((expected * 3 / 4..=expected * 5 / 4).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 10, "{gaps:?}");
    assert_eq!(dialer.targets(at(600_000))[0].failures as usize, dials.len());
    let other = {
        let mut dialer = Dialer::new(peer(5), 2, DialerConfig::default());
        dialer.discovered(hint(9, "there", HintSource::Static), at(0));
        failing(&mut dialer, at(600_000))
    };
    assert_ne!(dials, other, "nodes do not fall into step");
}

#[test]
fn success_forgets_failures() {
    let mut dialer = dialer();
    dialer.discovered(hint(9, "there", HintSource::Static), at(0));
    failing(&mut dialer, at(100_000));
    let due = dialer.next_deadline().unwrap();
    dialer.on_timer(due);
    let target = dialer.poll_connect().unwrap();
    dialer.link_up(LinkId(1), WIFI, peer(9), address("there"), at(0));
    dialer.connected(&target, Some(LinkId(1)), due);
    let status = &dialer.targets(due)[0];
    assert_eq!((status.failures, status.linked, status.next_dial), (0, true, None));
    assert_eq!(dialer.next_deadline(), None);
}

#[test]
fn an_address_whose_link_went_is_dialled_again_soon_by_the_smaller_key() {
    for (n, least, most) in [(9, 187, 313), (1, 3_187, 3_313)] {
        let mut dialer = dialer();
        dialer.discovered(beacon(n, "there"), at(0));
        dialer.on_timer(at(3_000));
        let target = dialer.poll_connect().unwrap();
        dialer.link_up(LinkId(1), WIFI, peer(n), address("there"), at(0));
        dialer.connected(&target, Some(LinkId(1)), at(3_000));
        dialer.link_down(LinkId(1), at(10_000));
        let wait = dialer.next_deadline().unwrap().since(at(10_000)).as_millis();
        assert!((least..=most).contains(&wait), "peer {n}: {wait} ms");
        dialer.link_down(LinkId(1), at(11_000));
        assert_eq!(dialer.next_deadline().unwrap().since(at(10_000)).as_millis(), wait);
    }
}

#[test]
fn who_drops_every_link_is_dialled_ever_more_rarely_until_one_lasts() {
    let mut dialer = dialer();
    dialer.discovered(hint(9, "there", HintSource::Static), at(0));
    let (mut now, mut gaps) = (at(0), Vec::new());
    for id in 0..100 {
        let target = dialer.poll_connect().unwrap();
        dialer.link_up(LinkId(id), WIFI, peer(9), address("there"), now);
        dialer.connected(&target, Some(LinkId(id)), now);
        // The last but one lasts.
        let life = Duration::from_millis(if id == 98 { 2_000 } else { 1_999 });
        dialer.link_down(LinkId(id), now + life);
        let due = dialer.next_deadline().unwrap();
        gaps.push(due.since(now + life).as_millis());
        now = due;
        dialer.on_timer(now);
    }
    let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000];
    for (gap, expected) in gaps.iter().zip(expected) {
        assert!((expected * 3 / 4..=expected * 5 / 4).contains(gap), "{gaps:?}");
    }
    assert!(gaps[6..98].iter().all(|gap| (12_000..=16_000).contains(gap)), "{gaps:?}");
    assert!(gaps[98..].iter().all(|gap| *gap <= 313), "{gaps:?}");
}

#[test]
fn a_link_that_came_and_went_before_its_dial_was_reported_is_dialled_again() {
    let mut dialer = dialer();
    dialer.discovered(beacon(9, "there"), at(0));
    let target = dialer.poll_connect().unwrap();
    dialer.link_up(LinkId(1), WIFI, peer(9), address("there"), at(0));
    dialer.link_down(LinkId(1), at(5));
    assert_eq!(dialer.next_deadline(), None, "not twice at once");
    dialer.connected(&target, Some(LinkId(1)), at(6));
    let wait = dialer.next_deadline().unwrap().since(at(6)).as_millis();
    assert!((750..=1_250).contains(&wait), "{wait} ms");
}

#[test]
fn a_link_whose_other_end_shows_another_address_satisfies_its_dial() {
    let mut dialer = dialer();
    dialer.discovered(beacon(9, "name"), at(0));
    let target = dialer.poll_connect().unwrap();
    dialer.link_up(LinkId(1), WIFI, peer(9), address("number"), at(0));
    dialer.connected(&target, Some(LinkId(1)), at(6));
    assert_eq!(dialer.next_deadline(), None);
    dialer.link_down(LinkId(1), at(10_000));
    assert!(dialer.next_deadline().is_some());
}

#[test]
fn nothing_is_dialled_twice_at_once() {
    let mut dialer = dialer();
    for _ in 0..5 {
        dialer.discovered(beacon(9, "there"), at(0));
        dialer.on_timer(at(100_000));
    }
    assert_eq!(dialled(&mut dialer), ["there"]);
    // A result that nobody waits for changes nothing.
    let stray = beacon(9, "elsewhere").target;
    dialer.connected(&stray, None, at(0));
    let mut twice = dialer.targets.get_mut(&key_of(&beacon(9, "there").target)).unwrap().dialling;
    assert!(std::mem::take(&mut twice) && dialer.dials == 1);
}

#[test]
fn a_peer_has_three_links_on_a_transport_at_most() {
    let mut dialer = dialer();
    for place in ["a", "b", "c", "d", "e"] {
        dialer.discovered(beacon(9, place), at(0));
    }
    assert_eq!(dialled(&mut dialer), ["a", "b", "c"]);
    dialer.discovered(beacon(8, "other peer"), at(0));
    assert_eq!(dialled(&mut dialer), ["other peer"]);
    let dial = |place| beacon(9, place).target;
    dialer.connected(&dial("a"), None, at(0));
    assert_eq!(dialled(&mut dialer), ["d"], "a failed dial makes room");
    for (id, place) in [(1, "b"), (2, "c"), (3, "d")] {
        dialer.link_up(LinkId(id), WIFI, peer(9), address(place), at(0));
        dialer.connected(&dial(place), Some(LinkId(id)), at(0));
    }
    dialer.on_timer(at(100_000));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0], "three links are up");
    dialer.link_down(LinkId(2), at(100_000));
    dialer.on_timer(at(100_000));
    assert_eq!(dialled(&mut dialer).len(), 1, "one went");
    assert_eq!(dialer.busy[&(peer(9), WIFI)], 3);
}

#[test]
fn sixteen_dials_are_under_way_at_most() {
    let mut dialer = Dialer::new(peer(0), 1, DialerConfig::default());
    for n in 1..=20 {
        dialer.discovered(beacon(n, "there"), at(0));
    }
    let first: Vec<ConnectTarget> = std::iter::from_fn(|| dialer.poll_connect()).collect();
    assert_eq!(first.len(), MAX_DIALS);
    assert_eq!(dialer.next_deadline(), None, "the result of a dial wakes it");
    for (i, target) in first.iter().enumerate().take(6) {
        dialer.connected(target, None, at(10));
        assert_eq!(dialled(&mut dialer).len(), usize::from(i < 4));
    }
    assert_eq!(dialer.dials, 14);
}

#[test]
fn hints_of_our_own_key_are_ignored() {
    let mut dialer = dialer();
    dialer.discovered(hint(5, "me", HintSource::Static), at(0));
    assert_eq!(dialer.targets(at(0)), []);
}

#[test]
fn peers_that_were_only_heard_of_are_dialled_when_the_config_says_so() {
    let config = DialerConfig { dial_discovered: false, ..DialerConfig::default() };
    let mut dialer = Dialer::new(peer(5), 1, config);
    for source in [HintSource::Beacon, HintSource::Mdns, HintSource::Advertisement] {
        dialer.discovered(hint(9, "heard", source), at(0));
    }
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    dialer.discovered(hint(9, "written", HintSource::Static), at(0));
    assert_eq!(dialled(&mut dialer), ["written"]);
}

#[test]
fn what_was_only_heard_of_is_dialled_when_it_is_asked_for_and_no_longer() {
    let config = DialerConfig { dial_discovered: false, ..DialerConfig::default() };
    let mut dialer = Dialer::new(peer(5), 1, config);
    dialer.discovered(beacon(3, "place"), at(0));
    dialer.discovered(hint(9, "written", HintSource::Static), at(0));
    assert_eq!(dialled(&mut dialer), ["written"]);
    assert_eq!(dialer.prospects(at(0)), BTreeSet::from([(peer(3), WIFI)]));
    // The smaller key would wait for the other end's dial.
    dialer.ask(peer(3), WIFI, at(10));
    assert_eq!(dialled(&mut dialer), ["place"]);
    dialer.connected(&beacon(3, "place").target, None, at(20));
    dialer.on_timer(at(10_000));
    assert_eq!(dialled(&mut dialer), ["place"], "what is asked for is tried again");
    dialer.link_up(LinkId(7), WIFI, peer(3), address("place"), at(0));
    dialer.connected(&beacon(3, "place").target, Some(LinkId(7)), at(10_020));
    assert_eq!(dialer.prospects(at(10_020)), BTreeSet::new());
    assert_eq!(dialer.let_go(peer(3), WIFI), [LinkId(7)]);
    dialer.link_down(LinkId(7), at(10_030));
    dialer.on_timer(at(30_000));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    assert_eq!(dialer.prospects(at(30_000)), BTreeSet::from([(peer(3), WIFI)]));
}

#[test]
fn a_peer_is_busy_while_a_dial_is_under_way_or_a_link_is_up() {
    let mut dialer = dialer();
    assert!(!dialer.is_busy_with(peer(9), WIFI));
    for place in ["one", "two"] {
        dialer.discovered(beacon(9, place), at(0));
    }
    assert_eq!(dialled(&mut dialer), ["one", "two"]);
    dialer.connected(&beacon(9, "one").target, None, at(1));
    assert!(dialer.is_busy_with(peer(9), WIFI), "the other place may answer yet");
    assert!(!dialer.is_busy_with(peer(9), TransportType::Internet));
    dialer.connected(&beacon(9, "two").target, None, at(2));
    assert!(!dialer.is_busy_with(peer(9), WIFI));
    dialer.link_up(LinkId(7), WIFI, peer(9), address("three"), at(0));
    assert!(dialer.is_busy_with(peer(9), WIFI));
}

#[test]
fn a_hint_that_nobody_repeats_is_forgotten_and_the_config_is_not() {
    let mut dialer = dialer();
    dialer.discovered(beacon(9, "quiet"), at(0));
    dialer.discovered(beacon(9, "repeated"), at(0));
    dialer.discovered(hint(9, "written", HintSource::Static), at(0));
    dialer.discovered(beacon(8, "linked"), at(0));
    dialer.link_up(LinkId(1), WIFI, peer(8), address("linked"), at(0));
    for target in std::iter::from_fn(|| dialer.poll_connect()).collect::<Vec<_>>() {
        dialer.connected(&target, (target.peer == peer(8)).then_some(LinkId(1)), at(0));
    }
    dialer.discovered(beacon(9, "repeated"), at(1_000));
    dialer.on_timer(at(0));
    let left = |dialer: &Dialer| -> Vec<String> {
        let mut all: Vec<String> = dialer
            .targets(at(0))
            .iter()
            .map(|t| t.hint.target.address.as_str().to_owned())
            .collect();
        all.sort();
        all
    };
    dialer.on_timer(at(599_999));
    assert_eq!(left(&dialer), ["linked", "quiet", "repeated", "written"]);
    for target in std::iter::from_fn(|| dialer.poll_connect()).collect::<Vec<_>>() {
        dialer.connected(&target, None, at(599_999));
    }
    dialer.on_timer(at(600_900));
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
    dialer.on_timer(at(660_000));
    dialled(&mut dialer);
    assert_eq!(left(&dialer), ["linked", "written"]);
}

#[test]
fn a_dead_address_is_not_dialled_again_and_again() {
    // A peer that changes its address every 43 seconds, 28 times.
    let mut dialer = dialer();
    let mut dials = 0;
    for i in 0..28 {
        let mut now = at(i * 43_000);
        dialer.discovered(beacon(9, &format!("address {i}")), now);
        let end = at((i + 1) * 43_000);
        loop {
            while let Some(target) = dialer.poll_connect() {
                dials += 1;
                dialer.connected(&target, None, now);
            }
            match dialer.next_deadline().filter(|at| *at < end) {
                Some(due) => now = now.max(due),
                None => break,
            }
            dialer.on_timer(now);
        }
    }
    assert_eq!(dials, 28 * UNHEARD_FAILURES);
    // Heard of again, it is worth another try.
    dialer.discovered(beacon(9, "address 27"), at(28 * 43_000));
    assert!(dialer.next_deadline().is_some() || dialer.poll_connect().is_some());
}

#[test]
fn targets_are_bounded_and_the_one_heard_of_longest_ago_gives_way() {
    let config = DialerConfig { grace: HINT_LIFE, ..DialerConfig::default() };
    let mut dialer = Dialer::new(peer(5), 1, config);
    dialer.discovered(hint(9, "written", HintSource::Static), at(0));
    dialer.link_up(LinkId(1), WIFI, peer(8), address("linked"), at(0));
    dialer.discovered(beacon(8, "linked"), at(0));
    for i in 2..MAX_TARGETS as u64 {
        dialer.discovered(beacon(1, &format!("{i:04}")), at(i));
    }
    assert_eq!(dialer.targets.len(), MAX_TARGETS);
    dialer.discovered(beacon(1, "0002"), at(5_000));
    dialer.discovered(beacon(1, "one more"), at(5_001));
    assert_eq!(dialer.targets.len(), MAX_TARGETS);
    let known =
        |dialer: &Dialer, n, place| dialer.targets.contains_key(&(peer(n), WIFI, address(place)));
    assert!(!known(&dialer, 1, "0003"), "the oldest");
    for (n, place) in [(9, "written"), (8, "linked"), (1, "0002"), (1, "one more")] {
        assert!(known(&dialer, n, place), "{place}");
    }
    let queued = dialer.targets.values().filter(|t| t.queued.is_some()).count();
    assert_eq!(queued, dialer.waiting.len());
}

#[test]
fn a_table_full_of_the_config_takes_nothing_more() {
    let mut dialer = dialer();
    for i in 0..MAX_TARGETS {
        dialer.discovered(hint(1, &format!("{i}"), HintSource::Static), at(0));
    }
    dialer.discovered(beacon(9, "heard"), at(1));
    assert_eq!(dialer.targets.len(), MAX_TARGETS);
    assert_eq!(dialled(&mut dialer), [] as [&str; 0]);
}

#[test]
fn what_was_heard_becomes_fixed_when_it_is_written() {
    let mut dialer = dialer();
    dialer.discovered(beacon(9, "there"), at(0));
    dialer.discovered(hint(9, "there", HintSource::Static), at(1));
    assert_eq!(dialer.targets(at(1))[0].hint.source, HintSource::Static);
    dialer.discovered(beacon(9, "there"), at(2));
    assert_eq!(dialer.targets(at(2))[0].hint.source, HintSource::Static);
}

#[test]
fn random_events_keep_the_books() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut dialer = dialer();
    let mut now = at(0);
    let mut links: Vec<(LinkId, u8, String)> = Vec::new();
    let mut dials: Vec<ConnectTarget> = Vec::new();
    for id in 0..20_000 {
        now += Duration::from_millis(rng.u64(0..2_000));
        let (n, place) = (rng.u8(1..9), rng.u8(0..5).to_string());
        match rng.u8(0..6) {
            0 => dialer.discovered(beacon(n, &place), now),
            1 => {
                dialer.link_up(LinkId(id), WIFI, peer(n), address(&place), now);
                links.push((LinkId(id), n, place));
            }
            2 if !links.is_empty() => {
                let (link, ..) = links.swap_remove(rng.usize(..links.len()));
                dialer.link_down(link, now);
            }
            3 if !dials.is_empty() => {
                let target = dials.swap_remove(rng.usize(..dials.len()));
                let link = rng.bool().then(|| {
                    let place = target.address.as_str().to_owned();
                    dialer.link_up(LinkId(id), WIFI, target.peer, target.address.clone(), now);
                    links.push((LinkId(id), target.peer.as_bytes()[0], place));
                    LinkId(id)
                });
                dialer.connected(&target, link, now);
            }
            _ => dialer.on_timer(now),
        }
        dials.extend(std::iter::from_fn(|| dialer.poll_connect()));
        assert_eq!(dialer.dials, dials.len());
        assert!(dials.len() <= MAX_DIALS);
        assert_eq!(dialer.busy.values().sum::<usize>(), dials.len() + links.len());
        let queued: BTreeSet<(Timestamp, Key)> =
            dialer.targets.iter().filter_map(|(key, t)| Some((t.queued?, key.clone()))).collect();
        assert_eq!(queued, dialer.waiting);
        for (key, target) in &dialer.targets {
            assert_eq!(target.queued, dialer.wants(target).then_some(target.due), "{key:?}");
        }
    }
}
