//! A dice table that pauses bets while its players are likely to be parted: three real nodes in a row,
//! linked over QUIC on loopback. The one in the middle leaves, and the table waits.
//!
//! `cargo run -p bitcraps-node --example dice_table`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_node::coordinator::{Outcome, SendOptions};
use bitcraps_node::engine::monitor::{AlertKind, MonitorConfig};
use bitcraps_node::transport_wifi::{StaticPeer, WifiConfig, WifiTransport};
use bitcraps_node::{Identity, Node};
use bitcraps_types::{Epoch, PeerId, TrafficClass};

/// Time between two bets.
const ROUND: Duration = Duration::from_millis(500);
/// The table closes after so many rounds.
const ROUNDS: usize = 60;

async fn seat(
    name: &str,
    home: &std::path::Path,
    listen: SocketAddr,
    friends: &[(PeerId, SocketAddr)],
) -> Result<Node, Box<dyn Error>> {
    let identity = Identity::load_or_create(&home.join(name))?;
    let statics = friends.iter().map(|(peer, address)| StaticPeer {
        peer: *peer,
        address: *address,
        via: None,
    });
    let lan = WifiConfig { statics: statics.collect(), ..WifiConfig::new(vec![listen]) };
    let lan = WifiTransport::new(lan, identity.signing_key().clone().into())?;
    // A game wants to know sooner than an operator does.
    let monitor =
        MonitorConfig { health_check_interval: Duration::from_secs(1), ..MonitorConfig::default() };
    let node = Node::builder(&identity, Epoch(1)).transport(Arc::new(lan)).monitor(monitor);
    Ok(node.start().await?)
}

fn free_address() -> Result<SocketAddr, std::io::Error> {
    UdpSocket::bind("127.0.0.1:0")?.local_addr()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let [middle_at, host_at, player_at] = [free_address()?, free_address()?, free_address()?];
    let middle = seat("middle", home.path(), middle_at, &[]).await?;
    let known = [(middle.id(), middle_at)];
    let host = seat("host", home.path(), host_at, &known).await?;
    let player = seat("player", home.path(), player_at, &known).await?;
    let mut table = player.inbox();
    let taken = tokio::spawn(async move {
        let mut taken = 0;
        while table.recv().await.is_some() {
            taken += 1;
        }
        taken
    });

    let (mut confirmed, mut middle) = (0, Some(middle));
    for round in 0..ROUNDS {
        tokio::time::sleep(ROUND).await;
        if !host.may_bet() {
            let risk = host.health_report().and_then(|report| {
                let fires =
                    report.alerts.iter().any(|a| a.key.kind == AlertKind::NetworkPartitioned);
                report.network_topology.map(|health| (health.partition_risk, fires))
            });
            println!("round {round}: bets are paused; risk and split: {risk:?}");
            break;
        }
        let sees_all = host.health_report().and_then(|report| report.network_topology);
        if sees_all.is_none_or(|health| health.peers < 3) {
            println!("round {round}: waiting for players");
            continue;
        }
        let bet = SendOptions::new(TrafficClass::Critical);
        if let Outcome::Delivered { latency, .. } =
            host.send(player.id(), "ten on the hard eight", bet)?.await
        {
            confirmed += 1;
            println!("round {round}: a bet is confirmed in {latency:?}");
        }
        if confirmed == 5
            && let Some(middle) = middle.take()
        {
            println!("round {round}: the node between them leaves");
            middle.shutdown().await;
        }
    }
    host.shutdown().await;
    player.shutdown().await;
    println!("{confirmed} bets confirmed, {} taken", taken.await?);
    Ok(())
}
