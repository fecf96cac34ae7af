//! Devices that break the rules of L2CAP: what they send ends links at worst, and those come back.

use bitcraps_transport_api::Transport as _;

use crate::controllers::Controllers;
use crate::{Node, through};

/// L2CAP packets, as hexadecimal text: length, channel, and what there is.
const PACKETS: [(&str, &str); 9] = [
    ("nothing at all", "00000500"),
    ("a signal of no length", "01000500ff"),
    ("a signal longer than the packet", "040005000601ffff"),
    ("an answer to no question", "0e0005001501 0a00 4000 0005 0005 0100 0000"),
    ("credits for no channel", "08000500 1601 0400 7f00 ffff"),
    ("the end of a channel that is not", "08000500 0601 0400 0000 0000"),
    ("a part of a unit without its length", "01004000 00"),
    ("a unit longer than it may be", "04004000 ffff 0000"),
    ("a packet that says it is longer", "ff004000 0000"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn no_packet_keeps_nodes_apart() {
    let mut controllers = Controllers::start(2);
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.ports[1]).await;
    for (number, (what, packet)) in PACKETS.into_iter().enumerate() {
        let before = one.link().await;
        two.link().await;
        controllers.obey(&format!("data 0 {}", packet.replace(' ', "")));
        let outcome = through(&one, &two, number as u8).await != before.id();
        println!("HCI {what}: the link {}", if outcome { "was replaced" } else { "stands" });
    }
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}
