use proptest::prelude::*;

use super::*;

const NEAR: u16 = 0x2a;
const OTHER: u16 = 0x2b;

/// A packet of data; `flags` as HCI has them, 2 for a beginning and 1 for what goes on.
fn packet(connection: u16, flags: u16, data: &[u8]) -> Vec<u8> {
    let words = [connection | flags << 12, data.len() as u16].map(u16::to_le_bytes);
    [words.as_flattened(), data].concat()
}

fn begins(connection: u16, len: u16, channel: u16, data: &[u8]) -> Vec<u8> {
    let words = [len, channel].map(u16::to_le_bytes);
    packet(connection, 2, &[words.as_flattened(), data].concat())
}

fn whole(connection: u16, channel: u16, data: &[u8]) -> Vec<u8> {
    begins(connection, data.len() as u16, channel, data)
}

fn signals(connection: u16, code: u8, number: u8, words: &[u16]) -> Vec<u8> {
    let words: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let signal = [&[code, number, words.len() as u8, 0][..], &words].concat();
    whole(connection, SIGNALS, &signal)
}

fn asks(connection: u16, number: u8, channel: u16) -> Vec<u8> {
    signals(connection, CONNECT, number, &[0x80, channel, 0x500, 0x500, 16])
}

fn gives(connection: u16, number: u8, channel: u16, result: u16) -> Vec<u8> {
    signals(connection, CONNECTED, number, &[channel, 0x500, 0x500, 16, result])
}

fn ends(connection: u16, channel: u16) -> Vec<u8> {
    signals(connection, DISCONNECT, 7, &[channel, 0x40])
}

const UNIT: [u8; 3] = [1, 0, 9];

impl Guard {
    fn hears(&mut self, connection: u16, channel: u16) -> bool {
        self.admits(&whole(connection, channel, &UNIT)) == Verdict::Passes
    }
}

/// A guard of a host that has channel 0x40 with one device, asked for by this end, and 0x41 with another.
fn guard() -> Guard {
    let mut guard = Guard::default();
    guard.sent(&asks(NEAR, 1, 0x40));
    assert_eq!(guard.admits(&gives(NEAR, 1, 0x77, 0)), Verdict::Alone);
    assert_eq!(guard.admits(&asks(OTHER, 9, 0x55)), Verdict::Alone);
    guard.sent(&gives(OTHER, 9, 0x41, 0));
    guard
}

#[test]
fn units_pass_whole_in_parts_and_in_several_packets() {
    let mut guard = guard();
    for _ in 0..2 {
        assert!(guard.hears(NEAR, 0x40) && guard.hears(OTHER, 0x41));
        let parts =
            [whole(NEAR, 0x40, &[0, 0]), begins(NEAR, 5, 0x40, &[3]), packet(NEAR, 1, &[0; 4])];
        for part in parts {
            assert_eq!(guard.admits(&part), Verdict::Passes);
        }
    }
}

#[test]
fn a_part_of_a_unit_without_room_for_its_length_is_refused() {
    for short in [&[][..], &[1]] {
        assert_eq!(guard().admits(&whole(NEAR, 0x40, short)), Verdict::Refused);
        assert_eq!(
            guard().admits(&begins(NEAR, short.len() as u16, 0x40, &UNIT)),
            Verdict::Refused
        );
    }
    assert_eq!(guard().admits(&begins(NEAR, 2, 0x40, &[])), Verdict::Passes);
}

#[test]
fn a_channel_is_ended_and_spoken_on_by_the_device_at_its_other_end_alone() {
    for number in [0, 1, 0x3f, 0x41, 0x42, 0x50, u16::MAX] {
        assert_eq!(guard().admits(&ends(NEAR, number)), Verdict::Refused, "{number}");
        assert!(!guard().hears(NEAR, number), "{number}");
    }
    let mut guard = guard();
    assert_eq!(guard.admits(&signals(NEAR, DISCONNECT, 7, &[0x40])), Verdict::Refused);
    assert_eq!(guard.admits(&signals(NEAR, DISCONNECT, 7, &[0x40, 0, 0])), Verdict::Refused);
    assert_eq!(guard.admits(&ends(NEAR, 0x40)), Verdict::Alone);
    assert_eq!(guard.admits(&ends(NEAR, 0x40)), Verdict::Refused);
    assert!(!guard.hears(NEAR, 0x40) && guard.hears(OTHER, 0x41));
    // The number is given to another device once it is free.
    guard.sent(&gives(OTHER, 3, 0x40, 0));
    assert!(!guard.hears(NEAR, 0x40) && guard.hears(OTHER, 0x40));
}

#[test]
fn a_channel_that_the_host_has_ended_is_no_channel() {
    let mut guard = guard();
    guard.sent(&signals(NEAR, DISCONNECT, 3, &[0x77, 0x40]));
    guard.sent(&signals(OTHER, DISCONNECTED, 3, &[0x41, 0x55]));
    assert!(!guard.hears(NEAR, 0x40) && !guard.hears(OTHER, 0x41));
    // The host needs no answer, and looks for the channel among those of everybody.
    let answer = signals(OTHER, DISCONNECTED, 3, &[0x77, 0x40]);
    assert_eq!(guard.admits(&answer), Verdict::Refused);
}

#[test]
fn a_question_is_answered_once_by_whom_it_was_asked_with_its_number() {
    let mut guard = Guard::default();
    guard.sent(&asks(NEAR, 5, 0x42));
    assert!(!guard.hears(NEAR, 0x42));
    assert_eq!(guard.admits(&ends(NEAR, 0x42)), Verdict::Refused);
    for wrong in [gives(NEAR, 4, 0x77, 0), gives(OTHER, 5, 0x77, 0), gives(NEAR, 4, 0x77, 2)] {
        assert_eq!(guard.admits(&wrong), Verdict::Refused);
    }
    // Results that there are not, which the host would take for one of its own.
    for result in [1, 3, 0x0c, 0x0d, u16::MAX] {
        assert_eq!(guard.admits(&gives(NEAR, 5, 0x77, result)), Verdict::Refused, "{result}");
    }
    let short = signals(NEAR, CONNECTED, 5, &[0x77, 0]);
    assert_eq!(guard.admits(&short), Verdict::Refused);
    assert_eq!(guard.admits(&gives(NEAR, 5, 0x77, 0)), Verdict::Alone);
    assert!(guard.hears(NEAR, 0x42));
    assert_eq!(guard.admits(&gives(NEAR, 5, 0x77, 0)), Verdict::Refused);

    guard.sent(&asks(NEAR, 6, 0x43));
    assert_eq!(guard.admits(&gives(NEAR, 6, 0, 2)), Verdict::Alone);
    assert_eq!(guard.admits(&gives(NEAR, 6, 0x77, 0)), Verdict::Refused);
    assert!(!guard.hears(NEAR, 0x43));
    // What the host refuses is not open.
    guard.sent(&gives(NEAR, 6, 0x44, 4));
    assert!(!guard.hears(NEAR, 0x44));
}

#[test]
fn a_packet_of_signals_is_one_whole_signal() {
    let mut guard = guard();
    assert_eq!(guard.admits(&signals(NEAR, 0x16, 2, &[0x77, 16])), Verdict::Alone);
    let one = [0x16, 2, 4, 0, 0x77, 0, 16, 0];
    for wrong in [&one[..0], &one[..3], &one[..7], &[one, one].concat(), &[&one[..], &[0]].concat()]
    {
        assert_eq!(guard.admits(&whole(NEAR, SIGNALS, wrong)), Verdict::Refused, "{wrong:?}");
    }
    let divided = begins(NEAR, one.len() as u16, SIGNALS, &one[..5]);
    assert_eq!(guard.admits(&divided), Verdict::Refused);
}

#[test]
fn requests_for_attributes_are_as_long_as_the_host_reads() {
    let mut guard = guard();
    let least = [
        (0x02, 2, true),
        (0x04, 4, true),
        (0x06, 6, false),
        (0x08, 6, true),
        (0x08, 20, true),
        (0x0a, 2, true),
        (0x0c, 4, true),
        (0x0e, 4, false),
        (0x10, 6, true),
        (0x12, 2, false),
        (0x16, 4, false),
        (0x18, 1, true),
        (0x20, 4, false),
    ];
    for (code, len, is_exact) in least {
        let mut asks = |len: usize| guard.admits(&whole(NEAR, ATTRIBUTES, &vec![code; len + 1]));
        assert_eq!(asks(len), Verdict::Passes, "{code:#x}");
        assert_eq!(asks(len - 1), Verdict::Refused, "{code:#x}");
        assert_eq!(asks(len + 1) == Verdict::Refused, is_exact, "{code:#x}");
    }
    // Groups named by 128 bits, which the host breaks on; answers; what wants none; nothing.
    for bytes in [
        vec![0x10; 21],
        vec![0x03, 0, 2],
        vec![0x01, 2, 0, 0, 1],
        vec![0x1e],
        vec![0x52; 4],
        vec![],
    ] {
        assert_eq!(guard.admits(&whole(NEAR, ATTRIBUTES, &bytes)), Verdict::Refused, "{bytes:?}");
    }
    assert_eq!(guard.admits(&begins(NEAR, 3, ATTRIBUTES, &[2, 23])), Verdict::Refused);
    for channel in [0, 1, 2, 3, 6, 7, 0x3a] {
        assert_eq!(guard.admits(&whole(NEAR, channel, &[0; 8])), Verdict::Refused, "{channel}");
    }
}

#[test]
fn packets_of_other_lengths_than_they_say_are_refused() {
    let good = whole(NEAR, 0x40, &UNIT);
    let mut guard = guard();
    for cut in 0..good.len() {
        assert_eq!(guard.admits(&good[..cut]), Verdict::Refused, "{cut}");
    }
    assert_eq!(guard.admits(&[&good[..], &[0]].concat()), Verdict::Refused);
    assert_eq!(guard.admits(&packet(NEAR, 3, &good[4..])), Verdict::Refused);
    assert_eq!(guard.admits(&packet(NEAR, 2, &[1, 0, 0x40])), Verdict::Refused);
    assert_eq!(guard.admits(&good), Verdict::Passes);
}

#[test]
fn channels_end_with_their_connection() {
    let gone = |status, connection: u16| {
        let [low, high] = connection.to_le_bytes();
        [0x05, 4, status, low, high, 0x13]
    };
    let mut guard = guard();
    assert_eq!(guard.told(&gone(1, NEAR)), Verdict::Passes);
    assert_eq!(guard.told(&[0x13, 5, 1, 0x2a, 0, 1, 0]), Verdict::Passes);
    assert!(guard.hears(NEAR, 0x40));
    assert_eq!(guard.told(&gone(0, NEAR)), Verdict::Alone);
    assert!(!guard.hears(NEAR, 0x40) && guard.hears(OTHER, 0x41));
}

proptest! {
    #[test]
    fn no_bytes_break_it(
        packets in prop::collection::vec((0..3, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut guard = guard();
        for (way, bytes) in packets {
            match way {
                0 => guard.sent(&bytes),
                1 => drop(guard.told(&bytes)),
                _ => drop(guard.admits(&bytes)),
            }
        }
    }
}
