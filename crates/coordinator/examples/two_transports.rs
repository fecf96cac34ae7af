//! The coordinator used alone, with any transports: here two in-memory ones. One falls silent, and
//! the message arrives over the other.
//!
//! `cargo run -p bitcraps-coordinator --example two_transports`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;

use bitcraps_coordinator::{Config, GamePacketType, MultiTransportCoordinator};
use bitcraps_transport_api::mock::MockNetwork;
use bitcraps_types::{Epoch, Packet, PeerId, TransportType};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, bob) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
    let near = MultiTransportCoordinator::new(Config::new(alice, Epoch(1), 1));
    let far = MultiTransportCoordinator::new(Config::new(bob, Epoch(1), 2));
    let mut inbox = far.inbox();

    let mut handles = Vec::new();
    for transport in [TransportType::Bluetooth, TransportType::WiFiDirect] {
        let (ours, theirs, handle) = MockNetwork::new(transport, alice, bob).pair();
        near.register_transport(Arc::new(ours)).await?;
        far.register_transport(Arc::new(theirs)).await?;
        handles.push(handle);
    }
    let mut notices = near.notices();
    while near.get_available_transports(bob).len() < 2 {
        notices.recv().await?;
    }

    for round in ["before", "while Wi-Fi swallows everything"] {
        let packet = Packet::new(format!("a bet, {round}"));
        let confirmed = near.send_game_packet(GamePacketType::BetUpdate, bob, &packet).await?;
        let delivery = inbox.recv().await.ok_or("the far end shut down")?;
        println!(
            "{:?} arrived over {} after {} transmissions",
            String::from_utf8_lossy(&delivery.payload),
            confirmed.link.transport,
            confirmed.attempts,
        );
        handles[1].set_black_hole(true);
    }
    near.shutdown().await;
    far.shutdown().await;
    Ok(())
}
