//! A dice table that pauses bets while its players are likely to be parted, or are: three real nodes in
//! a row, linked over QUIC on loopback. The links of the one in the middle are cut, the table pauses;
//! they come back, and it goes on.
//!
//! `cargo run -p bitcraps-node --example dice_table`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_node::coordinator::{Outcome, SendOptions};
use bitcraps_node::engine::monitor::{Betting, MonitorConfig};
use bitcraps_node::transport_wifi::{StaticPeer, WifiConfig, WifiTransport};
use bitcraps_node::{Identity, Node, Table};
use bitcraps_types::{Epoch, PeerId, TrafficClass, TransportType};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

type Failure = Box<dyn Error + Send + Sync>;

/// Time between two bets.
const ROUND: Duration = Duration::from_millis(200);
/// Bets of a part of the game.
const BETS: usize = 5;
/// How long anything may take that is bound to come.
const SOON: Duration = Duration::from_secs(60);

/// What happened at a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Game {
    /// Bets confirmed before its links were cut, and after.
    pub(crate) confirmed: [usize; 2],
    /// Bets that the player took.
    pub(crate) taken: usize,
    /// How the gate moved.
    pub(crate) moves: Vec<Betting>,
}

fn lan(
    identity: &Identity,
    listen: SocketAddr,
    friends: &[(PeerId, SocketAddr)],
) -> Result<Arc<WifiTransport>, Failure> {
    let statics = friends.iter().map(|(peer, address)| StaticPeer {
        peer: *peer,
        address: *address,
        via: None,
    });
    let config = WifiConfig { statics: statics.collect(), ..WifiConfig::new(vec![listen]) };
    Ok(Arc::new(WifiTransport::new(config, identity.signing_key().clone().into())?))
}

async fn seat(identity: &Identity, lan: Arc<WifiTransport>) -> Result<Node, Failure> {
    // A game wants to know sooner than an operator does.
    let monitor =
        MonitorConfig { health_check_interval: Duration::from_secs(1), ..MonitorConfig::default() };
    Ok(Node::builder(identity, Epoch(1)).transport(lan).monitor(monitor).start().await?)
}

fn free_address() -> Result<SocketAddr, std::io::Error> {
    UdpSocket::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until a node sees `peers` of the network.
async fn until_sees(node: &Node, peers: u64) {
    let seen = || node.health_report().and_then(|report| report.network_topology);
    while seen().is_none_or(|network| network.peers < peers) {
        sleep(ROUND).await;
    }
}

/// Bets while the table takes any; how many were confirmed.
async fn bet(table: &Table, host: &Node, player: PeerId) -> Result<usize, Failure> {
    let mut confirmed = 0;
    while table.betting() == Betting::Open && confirmed < BETS {
        let critical = SendOptions::new(TrafficClass::Critical);
        if let Outcome::Delivered { latency, .. } =
            host.send(player, "ten on the hard eight", critical)?.await
        {
            confirmed += 1;
            println!("a bet is confirmed in {latency:?}");
        }
        sleep(ROUND).await;
    }
    Ok(confirmed)
}

/// Plays a game whose players are parted for a while.
///
/// # Errors
/// Whatever goes wrong.
pub(crate) async fn play(home: &Path) -> Result<Game, Failure> {
    let identity = |name: &str| Identity::load_or_create(&home.join(name));
    let [between, host, player] = [identity("between")?, identity("host")?, identity("player")?];
    let address = free_address()?;
    let middle = seat(&between, lan(&between, address, &[])?).await?;
    let known = [(middle.id(), address)];
    let host = seat(&host, lan(&host, free_address()?, &known)?).await?;
    let player = seat(&player, lan(&player, free_address()?, &known)?).await?;
    let mut inbox = player.inbox();
    let taken = tokio::spawn(async move {
        let mut taken = 0;
        while inbox.recv().await.is_some() {
            taken += 1;
        }
        taken
    });
    timeout(SOON, until_sees(&host, 3)).await?;

    let mut table = host.watch_table([host.id(), player.id()])?;
    let moves: watch::Sender<Vec<Betting>> = watch::Sender::default();
    let log = moves.clone();
    table.on_change(move |betting| {
        println!("bets are {betting:?}");
        log.send_modify(|moves| moves.push(betting));
    });
    let mut moved = moves.subscribe();
    let before = bet(&table, &host, player.id()).await?;

    println!("the links of the node between them are cut");
    middle.deregister_transport(TransportType::WiFiDirect).await;
    timeout(SOON, moved.wait_for(|moves| moves.last() == Some(&Betting::Paused))).await??;
    println!("they come back");
    middle.register_transport(lan(&between, address, &[])?).await?;
    timeout(SOON, moved.wait_for(|moves| moves.last() == Some(&Betting::Open))).await??;
    let after = bet(&table, &host, player.id()).await?;

    let moves = moves.borrow().clone();
    drop(table);
    for node in [host, player, middle] {
        node.shutdown().await;
    }
    Ok(Game { confirmed: [before, after], taken: taken.await?, moves })
}

/// Plays in a directory that is gone afterwards.
#[tokio::main]
async fn main() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let Game { confirmed: [before, after], taken, .. } = play(home.path()).await?;
    println!("{before} bets confirmed before and {after} after, {taken} taken");
    Ok(())
}
