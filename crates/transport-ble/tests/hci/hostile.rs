//! Devices that break the rules of L2CAP and ATT: what they send ends their own link at worst.

use std::io::{Error, ErrorKind};

use bitcraps_transport_api::DownReason;
use bitcraps_types::LinkId;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::controllers::Controllers;
use crate::{Node, ended, through};

/// L2CAP packets, as hexadecimal text: length, channel, and what there is.
const PACKETS: [(&str, &str); 23] = [
    ("nothing at all", "00000500"),
    ("a signal of no length", "01000500ff"),
    ("a signal longer than the packet", "040005000601ffff"),
    ("an answer to no question", "0e0005001501 0a00 4000 0005 0005 0100 0000"),
    ("an answer that there is not", "0e0005001502 0a00 0000 0000 0000 0000 0d00"),
    ("credits for no channel", "08000500 1601 0400 7f00 ffff"),
    ("the end of a channel that is not", "08000500 0601 0400 0000 0000"),
    ("two signals in one packet", "10000500 1601 0400 7f00 0100 0601 0400 0000 0000"),
    ("the end of a channel that nobody ended", "08000500 0701 0400 4000 4000"),
    ("a part of a unit without its length", "01004000 00"),
    ("a part of nothing", "00004000"),
    ("a unit on no channel", "03004f00 010000"),
    ("a packet in pieces, of which the first says less", "01004000"),
    ("no attribute", "00000400"),
    ("attributes without a length", "01000400 02"),
    ("attributes from no number", "01000400 04"),
    ("an attribute without a number", "01000400 0a"),
    ("groups by no kind", "05000400 10 0100 ffff"),
    ("groups by a long kind", "15000400 10 0100 ffff 00112233445566778899aabbccddeeff"),
    ("a value for no attribute", "01000400 12"),
    ("an answer of attributes", "01000400 03"),
    ("keys", "07000600 01 03 00 01 10 00 00"),
    ("a channel that there is not", "02003a00 0000"),
];

/// Packets of which the receiver's end of the channel takes notice.
const NOTICED: [(&str, &str); 2] = [
    ("a unit longer than it may be", "04004000 ffff 0000"),
    ("a packet that says it is longer", "ff004000 0000"),
];

/// What is nearly right, of every kind that the host reads, and what is not.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let codes = prop::sample::select(vec![0x01, 0x06, 0x07, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]);
    let words = prop::collection::vec(
        prop_oneof![Just(0), Just(0x40), Just(0x41), Just(0x80), Just(4), any::<u16>()],
        0..6,
    );
    let signal = (codes, 0..4_u8, words, 0..3_usize).prop_map(|(code, number, words, cut)| {
        let words: Vec<_> = words.into_iter().flat_map(u16::to_le_bytes).collect();
        let mut signal = [&[code, number, words.len() as u8, 0][..], &words].concat();
        signal.truncate(signal.len() - cut);
        (5, signal)
    });
    let attributes = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..22))
        .prop_map(|(code, rest)| (4, [&[code][..], &rest].concat()));
    let other = (any::<u16>(), prop::collection::vec(any::<u8>(), 0..30));
    prop_oneof![3 => signal, 2 => attributes, 1 => other].prop_flat_map(|(channel, data)| {
        let len = data.len() as u16;
        prop_oneof![6 => Just(len), 1 => any::<u16>()].prop_map(move |len: u16| {
            [&len.to_le_bytes()[..], &channel.to_le_bytes(), &data].concat()
        })
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// No link of this node up to the last one was given up with its radio.
fn assert_has_its_radio(node: &Node, last: LinkId) {
    let given_up = DownReason::Failed(Error::from(ErrorKind::ConnectionAborted).to_string());
    for link in (0..=last.0).map(LinkId) {
        assert_ne!(node.told.down(link), Some(given_up.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn no_packet_keeps_nodes_apart() {
    let mut controllers = Controllers::start(2);
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.ports[1]).await;
    let before = through(&one, &two, 0).await;
    for (number, (what, packet)) in PACKETS.into_iter().enumerate() {
        controllers.obey(&format!("data 0 {}", packet.replace(' ', "")));
        assert_eq!(through(&one, &two, number as u8).await, before, "{what}");
    }
    println!("HCI {} packets of a hostile device: the link stands", PACKETS.len());
    for (number, (what, packet)) in NOTICED.into_iter().enumerate() {
        controllers.obey(&format!("data 0 {}", packet.replace(' ', "")));
        let link = through(&one, &two, number as u8).await;
        assert_has_its_radio(&one, link);
        println!("HCI {what}: the radio stands");
    }
    ended(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn no_bytes_break_the_host() {
    const COUNT: usize = 3_000;
    let mut controllers = Controllers::start(2);
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.ports[1]).await;
    let (packets, mut runner) = (packets(), TestRunner::deterministic());
    for number in 0..COUNT {
        let packet = packets.new_tree(&mut runner).unwrap().current();
        controllers.obey(&format!("data 0 {}", hexadecimal(&packet)));
        if number % 100 == 99 {
            let link = through(&one, &two, number as u8).await;
            assert_has_its_radio(&one, link);
        }
    }
    println!("HCI {COUNT} packets made up: the radio stands");
    ended(&one, &two).await;
}
