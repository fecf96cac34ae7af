use proptest::prelude::*;

use super::*;

const FIND_NEAR: Command = Command::Find { everywhere: false };

fn device(number: u8) -> Device {
    Device([2, 0, 0, 0, 0, number])
}

fn tag(number: u8) -> Tag {
    Tag([number; 16])
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The node with tag 5, which wants 1 to 9, after its first look was begun.
fn formation() -> Formation {
    let company = Company::Only((1..10).map(tag).collect());
    let mut formation = Formation::new(tag(5), company, at(0));
    assert_eq!(formation.advance(at(0)), [FIND_NEAR]);
    formation
}

fn found(number: u8) -> Fact {
    Fact::Found { device: device(number), owner: false }
}

fn connect(number: u8) -> Command {
    let (device, enters) = (device(number), number < 5);
    Command::Connect { device, intent: 1, join: false, enters }
}

fn kept(group: u32, role: Role, with: Option<u8>) -> Fact {
    Fact::Kept { group, role, with: with.map(device) }
}

fn over(over: usize) -> Fact {
    Fact::Standing { over, degree: 0, mains: false }
}

impl Formation {
    fn after(&mut self, facts: &[Fact], millis: u64) -> Vec<Command> {
        for fact in facts {
            self.learn(*fact, at(millis));
        }
        let commands = self.advance(at(millis));
        assert!(self.advance(at(millis)).is_empty(), "all was said at once");
        assert!(self.deadline(at(millis)).is_some_and(|deadline| deadline > at(millis)));
        commands
    }

    /// Meets `number`, which is of this program, and forms a group with it.
    fn grouped(&mut self, number: u8, role: Role, millis: u64) {
        let facts =
            [found(number), Fact::Named(device(number), tag(number)), Fact::Called(device(number))];
        assert_eq!(self.after(&facts, millis), [connect(number)]);
        assert_eq!(self.after(&[Fact::Started(role)], millis), []);
        assert!(matches!(self.phase, Phase::Grouped { .. }));
    }
}

#[test]
fn the_greater_tag_begins_at_once_and_the_lesser_after_its_patience() {
    let mut one = formation();
    assert_eq!(one.after(&[found(4)], 1_000), [Command::Ask(device(4))]);
    assert_eq!(one.after(&[Fact::Named(device(4), tag(4))], 1_500), [connect(4)]);
    let mut one = formation();
    assert_eq!(one.after(&[found(6), Fact::Named(device(6), tag(6))], 1_000), []);
    assert_eq!(one.deadline(at(1_000)), Some(at(9_000)));
    assert_eq!(one.after(&[], 8_999), []);
    assert_eq!(one.after(&[], 9_000), [connect(6)]);
}

#[test]
fn strangers_and_other_programs_are_not_joined() {
    let mut one = formation();
    let facts = [
        found(20),
        Fact::Named(device(20), tag(20)),
        Fact::Called(device(20)),
        found(21),
        Fact::Called(device(21)),
        found(5),
        Fact::Named(device(5), tag(5)),
    ];
    assert_eq!(one.after(&facts, 1_000), [Command::Ask(device(21))]);
    assert_eq!(one.after(&[], 11_999), [Command::Ask(device(21))]);
    let mut open = Formation::new(tag(5), Company::Anybody, at(0));
    open.advance(at(0));
    assert_eq!(open.after(&facts[..3], 1), [connect(20)]);
}

#[test]
fn who_calls_before_it_is_known_is_answered_once_it_is_unless_that_takes_long() {
    let mut one = formation();
    assert_eq!(one.after(&[Fact::Called(device(6))], 1_000), [Command::Ask(device(6))]);
    assert_eq!(one.after(&[Fact::Named(device(6), tag(6))], 2_000), [connect(6)]);
    let mut one = formation();
    one.after(&[Fact::Called(device(6))], 1_000);
    one.after(&[], 20_999);
    assert_eq!(one.after(&[Fact::Named(device(6), tag(6))], 21_000), [], "it waits its turn");
    assert_eq!(one.after(&[], 29_000).last(), Some(&connect(6)));
}

#[test]
fn silent_devices_are_asked_ever_more_seldom_while_they_are_there() {
    let mut one = formation();
    let mut now = 1_000;
    let asked = |commands: Vec<Command>| commands.contains(&Command::Ask(device(20)));
    assert!(asked(one.after(&[found(20)], now)));
    for wait in [5, 10, 20, 40, 80, 160, 300, 300] {
        assert!(!asked(one.after(&[], now + wait * 1_000 - 1)), "within {wait} s");
        now += wait * 1_000;
        assert!(asked(one.after(&[], now)), "after {wait} s");
    }
    assert!(!asked(one.after(&[Fact::Gone(device(20))], now + 300_000)));
    assert!(asked(one.after(&[found(20)], now + 300_001)), "it came anew");
}

#[test]
fn an_owner_is_joined_without_waiting_for_it() {
    let mut one = formation();
    let owner = Fact::Found { device: device(6), owner: true };
    let join = Command::Connect { device: device(6), intent: 1, join: true, enters: false };
    assert_eq!(one.after(&[owner, Fact::Named(device(6), tag(6))], 1_000), [join]);
}

#[test]
fn mains_power_and_links_make_an_owner() {
    let mut one = formation();
    let facts = [
        Fact::Standing { over: 0, degree: 3, mains: true },
        found(1),
        Fact::Named(device(1), tag(1)),
    ];
    let expected = Command::Connect { device: device(1), intent: 11, join: false, enters: true };
    assert_eq!(one.after(&facts, 1_000), [expected]);
}

#[test]
fn who_called_goes_first_then_who_is_kept_then_who_waits_longest() {
    let known = |number| [found(number), Fact::Named(device(number), tag(number))];
    let mut one = formation();
    one.grouped(9, Role::Client, 0);
    let facts = [known(3), known(1), known(2)].concat();
    assert_eq!(one.after(&facts, 1_000), []);
    one.learn(kept(7, Role::Owner, Some(2)), at(1_000));
    let mut called = one.clone();
    called.learn(Fact::Called(device(3)), at(2_000));
    let left = [over(1), Fact::Finished, Fact::Gone(device(9))];
    assert_eq!(called.after(&left, 2_000), [connect(3)]);
    assert_eq!(one.after(&left, 2_000), [Command::Invite(device(2), 7)]);
    // The stored group is forgotten, and negotiated anew: 1 has waited for as long, and comes first.
    assert_eq!(one.after(&[Fact::Unknown], 3_000), [connect(1)]);
    assert_eq!(one.after(&[Fact::Failed], 4_000), [connect(2)]);
    assert_eq!(one.after(&[Fact::Failed], 5_000), [connect(3)]);
}

#[test]
fn failures_wait_twice_as_long_each_time_up_to_a_bound() {
    let mut one = formation();
    let mut now = 1_000;
    assert_eq!(one.after(&[found(4), Fact::Named(device(4), tag(4))], now), [connect(4)]);
    for wait in [4, 8, 16, 32, 64, 128, 256, 300, 300] {
        one.after(&[Fact::Failed], now);
        let early = one.after(&[], now + wait * 1_000 - 1);
        assert!(!early.contains(&connect(4)), "within {wait} s");
        now += wait * 1_000;
        assert_eq!(one.after(&[], now), [connect(4)], "after {wait} s");
    }
    // A group over which a link ran clears it.
    let again = [Fact::Started(Role::Client), over(1), Fact::Finished, found(4)];
    one.after(&again, now + 1);
    assert!(matches!(one.phase, Phase::Forming { .. }));
    let failures = |one: &Formation| one.devices[&device(4)].failures;
    assert_eq!(failures(&one), 0);
}

#[test]
fn what_is_not_formed_in_time_is_given_up() {
    let mut one = formation();
    one.after(&[found(4), Fact::Named(device(4), tag(4))], 1_000);
    assert_eq!(one.deadline(at(1_000)), Some(at(46_000)));
    assert_eq!(one.after(&[], 45_999), []);
    assert_eq!(one.after(&[], 46_000), [Command::Cancel, FIND_NEAR]);
    assert_eq!(one.after(&[], 50_000), [connect(4)]);
}

#[test]
fn a_group_without_links_is_left_and_its_device_waits() {
    let mut one = formation();
    one.grouped(4, Role::Client, 1_000);
    assert_eq!(one.after(&[over(0)], 30_999), []);
    assert_eq!(one.after(&[], 31_000), [Command::Leave]);
    assert_eq!(one.after(&[], 60_999), []);
    assert_eq!(one.after(&[], 61_000), [Command::Leave], "again, should it not have ended");
    let found_again = [Fact::Finished, found(4)];
    assert_eq!(one.after(&found_again, 61_100), [connect(4)], "4 s after the failure");
    one.after(&[Fact::Started(Role::Client)], 62_000);
    one.after(&[over(2)], 91_000);
    assert_eq!(one.after(&[], 120_999), []);
    assert_eq!(one.after(&[], 121_000), [Command::Leave], "alone again");
    assert_eq!(one.devices[&device(4)].failures, 1, "it was proved");
}

#[test]
fn a_group_that_ends_before_a_link_counts_as_a_failure() {
    let mut one = formation();
    one.grouped(4, Role::Owner, 1_000);
    assert_eq!(one.after(&[Fact::Finished], 2_000), [FIND_NEAR]);
    assert_eq!(one.after(&[found(4)], 5_999), []);
    assert_eq!(one.after(&[], 6_000), [connect(4)]);
}

#[test]
fn an_owner_lets_in_whom_it_wants_and_nobody_else() {
    let mut one = formation();
    one.grouped(4, Role::Owner, 1_000);
    let facts =
        [Fact::Knocked(device(20)), Fact::Knocked(device(3)), Fact::Named(device(3), tag(3))];
    assert_eq!(one.after(&facts, 2_000), [Command::Ask(device(20)), Command::Admit(device(3))]);
    assert_eq!(one.after(&[Fact::Named(device(20), tag(20))], 3_000), []);
    one.learn(Fact::Knocked(device(2)), at(4_000));
    one.advance(at(4_000));
    assert_eq!(one.after(&[Fact::Named(device(2), tag(2))], 23_999), [Command::Admit(device(2))]);
    let mut client = formation();
    client.grouped(4, Role::Client, 1_000);
    assert_eq!(client.after(&facts[1..], 2_000), []);
}

#[test]
fn stored_groups_are_formed_again_with_whom_they_were_stored() {
    let mut one = formation();
    one.grouped(4, Role::Owner, 1_000);
    one.learn(kept(3, Role::Owner, None), at(1_100));
    one.learn(over(1), at(1_200));
    let again = [Command::Invite(device(4), 3)];
    assert_eq!(one.after(&[Fact::Finished], 2_000), [FIND_NEAR], "it may have gone");
    assert_eq!(one.after(&[found(4)], 2_100), again);
    one.after(&[Fact::Started(Role::Owner), over(1), Fact::Finished], 3_000);
    assert_eq!(one.after(&[found(4)], 3_100), again);
    // Who calls has forgotten it.
    let mut called = one.clone();
    called.learn(Fact::Unknown, at(4_000));
    called.learn(kept(3, Role::Owner, Some(4)), at(4_000));
    assert_eq!(called.after(&[Fact::Called(device(4))], 4_000), [connect(4)]);
    // Who says that it knows none is tried afresh.
    let mut unknown = one.clone();
    assert_eq!(unknown.after(&[Fact::Unknown], 4_000), [connect(4)]);
    assert_eq!(unknown.after(&[Fact::Unknown], 4_000), [], "no stored group is being formed");
    // Who does not answer is asked twice before it is taken to have forgotten.
    assert_eq!(one.deadline(at(3_100)), Some(at(11_100)));
    assert_eq!(one.after(&[], 11_099), []);
    assert_eq!(one.after(&[], 11_100), [Command::Cancel]);
    assert_eq!(one.after(&[], 15_099), [FIND_NEAR]);
    assert_eq!(one.after(&[], 15_100), again);
    assert_eq!(one.after(&[Fact::Failed], 16_000), []);
    assert_eq!(one.after(&[], 24_000), [connect(4)]);
}

#[test]
fn of_a_stored_group_the_owner_invites_at_once_and_the_client_after_its_patience() {
    let known = |number| [found(number), Fact::Named(device(number), tag(number))];
    for (role, number) in [(Role::Owner, 6), (Role::Client, 4)] {
        let mut one = formation();
        one.learn(kept(3, role, Some(number)), at(0));
        let invited = [Command::Invite(device(number), 3)];
        let at_once = one.after(&known(number), 1_000);
        match role {
            Role::Owner => assert_eq!(at_once, invited),
            Role::Client => {
                assert_eq!(at_once, []);
                assert_eq!(one.after(&[], 8_999), []);
                assert_eq!(one.after(&[], 9_000), invited);
            }
        }
    }
}

#[test]
fn who_a_group_is_stored_with_need_not_say_who_it_is_where_anybody_will_do() {
    let mut one = formation();
    assert_eq!(
        one.after(&[kept(3, Role::Owner, Some(4)), found(4)], 1_000),
        [Command::Ask(device(4))]
    );
    let mut open = Formation::new(tag(5), Company::Anybody, at(0));
    open.advance(at(0));
    let mut twice = open.clone();
    let invited = [Command::Invite(device(4), 3)];
    assert_eq!(open.after(&[kept(3, Role::Owner, Some(4)), found(4)], 1_000), invited);
    // One that has no group with this one any more is asked like all others.
    assert_eq!(open.after(&[Fact::Unknown], 2_000), [Command::Ask(device(4))]);
    // And who this node is is known without a question.
    let own = [kept(3, Role::Owner, Some(4)), found(4), Fact::Named(device(4), tag(5))];
    assert_eq!(twice.after(&own, 1_000), []);
}

#[test]
fn looks_come_often_at_first_and_seldom_later() {
    let mut one = formation();
    let mut finds = Vec::new();
    let mut now = at(0);
    while finds.len() < 13 {
        now = one.deadline(now).unwrap();
        let everywhere = finds.len() % 3 == 1;
        assert_eq!(one.advance(now), [Command::Find { everywhere }]);
        finds.push(now.since(at(0)).as_secs());
    }
    assert_eq!(finds, [12, 24, 36, 48, 60, 72, 84, 96, 108, 120, 210, 300, 390]);
    one.learn(found(4), now);
    one.learn(Fact::Named(device(4), tag(4)), now);
    one.advance(now);
    let facts = [Fact::Started(Role::Client), Fact::Gone(device(4)), over(1), Fact::Finished];
    assert_eq!(one.after(&facts, 400_000), [FIND_NEAR], "eager again");
    assert_eq!(one.deadline(at(400_000)), Some(at(412_000)));
}

#[test]
fn tables_are_bounded_and_the_absent_give_way_first() {
    let mut one = formation();
    one.grouped(1, Role::Owner, 0);
    let most = MAX_DEVICES as u8;
    for number in 2..=most {
        one.learn(found(number), at(1_000 + u64::from(number)));
    }
    one.learn(Fact::Gone(device(40)), at(2_000));
    one.learn(found(most + 1), at(2_001));
    one.learn(found(most + 2), at(2_002));
    assert_eq!(one.devices.len(), MAX_DEVICES);
    let knows = |number| one.devices.contains_key(&device(number));
    assert!(knows(1), "there is a group with it");
    assert!(!knows(40), "away");
    assert!(!knows(2) && knows(3), "then the one heard of longest ago");
    for number in 0..=MAX_KEPT as u8 {
        one.learn(kept(number.into(), Role::Client, Some(number)), at(3_000));
    }
    assert_eq!(one.kept.len(), MAX_KEPT);
    assert!(!one.kept.contains_key(&device(0)) && one.kept.contains_key(&device(1)));
}

proptest! {
    #[test]
    fn no_stranger_is_ever_joined_and_nothing_grows(
        steps in proptest::collection::vec((0_u8..11, 0_u8..100, 0_u64..20_000), 0..300),
    ) {
        let company: BTreeSet<_> = (1..50).map(tag).collect();
        let mut one = Formation::new(tag(5), Company::Only(company.clone()), at(0));
        let mut names: BTreeMap<Device, Tag> = BTreeMap::new();
        let mut now = at(0);
        for (kind, number, wait) in steps {
            now += Duration::from_millis(wait);
            let which = device(number);
            let fact = match kind {
                0 | 1 => Fact::Found { device: which, owner: kind == 1 },
                2 => Fact::Gone(which),
                3 => {
                    names.insert(which, tag(number));
                    Fact::Named(which, tag(number))
                }
                4 => Fact::Called(which),
                5 => Fact::Knocked(which),
                6 => kept(number.into(), Role::Owner, (number % 2 == 0).then_some(number)),
                7 if number % 2 == 0 => Fact::Unknown,
                7 => Fact::Failed,
                8 => Fact::Started(if number % 2 == 0 { Role::Owner } else { Role::Client }),
                9 => Fact::Finished,
                _ => over(usize::from(number % 2)),
            };
            one.learn(fact, now);
            let idle = one.phase == Phase::Idle;
            let forming = matches!(one.phase, Phase::Forming { .. });
            let commands = one.advance(now);
            prop_assert!(one.devices.len() <= MAX_DEVICES && one.kept.len() <= MAX_KEPT);
            let begun = |command: &&Command| matches!(command, Command::Connect { .. } | Command::Invite(..));
            let cancelled = commands.contains(&Command::Cancel);
            prop_assert!(commands.iter().filter(begun).count() <= usize::from(idle || cancelled));
            prop_assert!(!cancelled || forming);
            for command in &commands {
                if let Command::Connect { device, .. } | Command::Invite(device, _) | Command::Admit(device) = command {
                    let name = names.get(device).copied();
                    prop_assert!(name.is_some_and(|name| company.contains(&name) && name != tag(5)));
                }
            }
            prop_assert_eq!(one.advance(now), []);
            prop_assert!(one.deadline(now).is_some_and(|deadline| deadline > now));
        }
    }
}
