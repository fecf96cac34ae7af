//! iroh alone: its datagrams against messages over an internet link, and its own way out of an outage.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_transport_inet::RelayServer;
use bytes::Bytes;
use iroh::dns::DnsResolver;
use iroh::endpoint::{
    Connection, NetReportConfig, PortmapperConfig, QuicTransportConfig, RelayMode, presets,
};
use iroh::{Endpoint, EndpointAddr, RelayMap, RelayUrl, SecretKey};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::books::{BYTES, EVERY, lock};
use super::echo::{self, Rounds, Workers};
use super::internet::{address, dial, internet, relay_server};
use super::node::{LOOK, Node, PATIENCE, Settings};
use super::relay::Relay;
use crate::clock::wall;
use crate::sample::median;
use crate::{Arguments, Failure, Report, Row};

const ALPN: &[u8] = b"alone/1";
/// Outages of each tuning, at the same time.
const OUTAGES: usize = 4;
/// Before an outage.
const WARM: Duration = Duration::from_millis(400);
/// Longest wait for the end of an outage.
const OUTAGE: Duration = Duration::from_secs(40);

/// How iroh is set.
#[derive(Clone, Copy)]
enum Tuning {
    /// As it comes.
    Plain,
    /// A silent path is given up after 1 s, as the internet transport has it.
    Quick,
}

async fn endpoint(
    key: u8,
    listen: IpAddr,
    relay: Option<&RelayUrl>,
    tuning: Tuning,
) -> Result<Endpoint, Failure> {
    let quic = QuicTransportConfig::builder();
    let quic = match tuning {
        Tuning::Plain => quic,
        Tuning::Quick => quic
            .default_path_max_idle_timeout(Duration::from_secs(1))
            .default_path_keep_alive_interval(Duration::from_millis(300)),
    };
    let relays = relay.map_or(RelayMode::Disabled, |relay| {
        RelayMode::Custom(RelayMap::from_iter([relay.clone()]))
    });
    let mut reports = NetReportConfig::default();
    reports.captive_portal_check = false;
    // Nobody is asked for anything.
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&[key; 32]))
        .alpns(vec![ALPN.to_vec()])
        .transport_config(quic.build())
        .relay_mode(relays)
        .dns_resolver(DnsResolver::builder().with_system_defaults().disable_fallback().build())
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(reports)
        .clear_ip_transports()
        .bind_addr(SocketAddr::new(listen, 0))
        .map_err(|e| Failure::broken("iroh", e))?;
    builder.bind().await.map_err(|e| Failure::broken("iroh", e))
}

/// Two endpoints and their connection.
struct Alone {
    near: Connection,
    far: Connection,
    endpoints: [Endpoint; 2],
}

impl Alone {
    async fn connect(endpoints: [Endpoint; 2], to: EndpointAddr) -> Result<Self, Failure> {
        let accepted = async {
            let none = || Failure::Broken("iroh: nobody called".to_owned());
            let incoming = endpoints[1].accept().await.ok_or_else(none)?;
            incoming.await.map_err(|e| Failure::broken("iroh", e))
        };
        let called =
            async { endpoints[0].connect(to, ALPN).await.map_err(|e| Failure::broken("iroh", e)) };
        let (near, far) = tokio::try_join!(called, accepted)?;
        Ok(Self { near, far, endpoints })
    }

    async fn shut_down(self) {
        for endpoint in &self.endpoints {
            endpoint.close().await;
        }
    }
}

/// From `send` to the end-to-end acknowledgement over a direct path, against the round trip of a
/// datagram of iroh.
pub(super) async fn run_echo(
    arguments: &Arguments,
    workers: Workers,
    report: &mut Report,
) -> Result<(), Failure> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let settings = Settings { hedging: true, max_packet_size: None, seed: arguments.seed };
    let (near, far) = (Node::bare(1, &settings), Node::bare(2, &settings));
    internet(&near, 1, loopback, None).await?;
    let far_way = internet(&far, 2, loopback, None).await?;
    let Some(to) = far_way.local_addresses().first().copied() else {
        return Err(Failure::Broken("a node listens nowhere".to_owned()));
    };
    dial(&near, far.peer, to).await?;
    near.trusts(far.peer, 1).await?;
    far.trusts(near.peer, 1).await?;

    let endpoints = [
        endpoint(11, loopback, None, Tuning::Plain).await?,
        endpoint(12, loopback, None, Tuning::Plain).await?,
    ];
    let Some(to) = endpoints[1].bound_sockets().first().copied() else {
        return Err(Failure::Broken("iroh listens nowhere".to_owned()));
    };
    let to = EndpointAddr::new(endpoints[1].id()).with_ip_addr(to);
    let rival = Alone::connect(endpoints, to).await?;

    let mut inbox = far.coordinator.inbox();
    let application = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let answering = tokio::spawn(answer(rival.far.clone()));
    let times = arguments.size(3_000, 1_000);
    let rounds = Rounds::of(
        || echo::acked(near.coordinator.clone(), far.peer, times),
        || echoed(rival.near.clone(), times),
    );
    let rounds = rounds.await?;
    answering.abort();
    for node in [&near, &far] {
        Node::shut_down(node).await;
    }
    rival.shut_down().await;
    application.await.map_err(|e| Failure::broken("receiving application", e))?;
    workers.report("the internet, direct path", "iroh datagram echo", rounds, report);
    Ok(())
}

async fn echoed(connection: Connection, times: usize) -> Result<Vec<f64>, Failure> {
    let payload = Bytes::from(vec![7; BYTES]);
    let mut samples = Vec::with_capacity(times);
    for _ in 0..times {
        let start = wall();
        connection.send_datagram(payload.clone()).map_err(|e| Failure::broken("iroh", e))?;
        connection.read_datagram().await.map_err(|e| Failure::broken("iroh", e))?;
        samples.push((wall() - start) as f64 / 1e3);
    }
    Ok(samples)
}

async fn answer(connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        if connection.send_datagram(datagram).is_err() {
            return;
        }
    }
}

/// One connection with two paths, and the one in use falls silent: the direct one, because iroh takes
/// no relay while a direct path stands. A datagram every 5 ms.
pub(super) async fn run_failover(
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failure> {
    for (tuning, set) in
        [(Tuning::Plain, "as it comes"), (Tuning::Quick, "path idle 1 s, keep-alive 300 ms")]
    {
        let server = Arc::new(relay_server().await?);
        let mut outages = JoinSet::new();
        for at in 0..arguments.size(OUTAGES, 2) {
            outages.spawn(outage(at as u8, tuning, server.clone()));
        }
        let (mut resumed, mut lost) = (Vec::new(), 0);
        while let Some(outage) = outages.join_next().await {
            let outage = outage.map_err(|e| Failure::broken("an outage", e))??;
            resumed.push(outage.0);
            lost += outage.1;
        }
        let name = |what| {
            format!("iroh alone, {set}, its direct path silent, a relay standing by: {what}")
        };
        report.push(Row::new(name("resume p50"), median(&mut resumed), "ms"));
        report.push(Row::new(name("datagrams lost"), lost as f64, ""));
        report.push(Row::new(name("outages"), resumed.len() as f64, ""));
    }
    Ok(())
}

/// When each numbered datagram was sent and when it came.
#[derive(Default)]
struct Course {
    sent_at: Vec<u64>,
    came_at: Vec<Option<u64>>,
}

impl Course {
    /// When the first datagram sent at `onset` or later came.
    fn resumed(&self, onset: u64) -> Option<u64> {
        let first = self.sent_at.partition_point(|at| *at < onset);
        self.came_at[first..].iter().flatten().min().copied()
    }
}

/// Time to the first datagram that came of those sent in the outage, in ms, and how many never came
/// of those sent before the path was given up.
async fn outage(at: u8, tuning: Tuning, server: Arc<RelayServer>) -> Result<(f64, usize), Failure> {
    let relay: RelayUrl = format!("http://{}", address(&server)?)
        .parse()
        .map_err(|e| Failure::broken("relay", format!("{e}")))?;
    let ip = |last| IpAddr::from([127, 0, 30, last]);
    let endpoints = [
        endpoint(20 + 2 * at, Ipv6Addr::LOCALHOST.into(), Some(&relay), tuning).await?,
        endpoint(21 + 2 * at, ip(1 + at), Some(&relay), tuning).await?,
    ];
    let online = async { tokio::join!(endpoints[0].online(), endpoints[1].online()) };
    let late = |what: &'static str| move |_| Failure::Broken(what.to_owned());
    timeout(PATIENCE, online).await.map_err(late("iroh does not reach the relay"))?;
    let Some(called) = endpoints[1].bound_sockets().first().copied() else {
        return Err(Failure::Broken("iroh listens nowhere".to_owned()));
    };
    let forwarder = Relay::start(Ipv6Addr::LOCALHOST.into(), called).await?;
    let id = endpoints[1].id();
    let to = EndpointAddr::new(id).with_ip_addr(forwarder.front).with_relay_url(relay);
    let pair = Alone::connect(endpoints, to).await?;
    timeout(PATIENCE, two_paths(&pair.near)).await.map_err(late("iroh opens no second path"))?;

    let course = Arc::new(Mutex::new(Course::default()));
    let (mut sending, mut receiving) = (JoinSet::new(), JoinSet::new());
    sending.spawn(sends(pair.near.clone(), course.clone()));
    receiving.spawn(receives(pair.far.clone(), course.clone()));
    sleep(WARM).await;
    forwarder.set_hole(true);
    let onset = wall();
    let ended = async {
        while lock(&course).resumed(onset).is_none() {
            sleep(LOOK).await;
        }
    };
    timeout(OUTAGE, ended).await.map_err(late("iroh does not resume"))?;
    sending.shutdown().await;
    sleep(WARM).await;
    receiving.shutdown().await;
    pair.shut_down().await;
    let course = lock(&course);
    let resumed = course.resumed(onset).unwrap_or(onset);
    let lost = course.came_at.iter().filter(|came| came.is_none()).count();
    Ok(((resumed - onset) as f64 / 1e6, lost))
}

/// Waits until the direct path is in use and the relay stands by.
async fn two_paths(connection: &Connection) {
    let stand = || {
        let paths = connection.paths();
        paths.iter().any(|path| path.is_ip() && path.is_selected())
            && paths.iter().any(|path| path.is_relay())
    };
    while !stand() {
        sleep(LOOK).await;
    }
}

/// Sends a numbered datagram every 5 ms.
async fn sends(connection: Connection, course: Arc<Mutex<Course>>) {
    let mut tick = interval(EVERY);
    loop {
        tick.tick().await;
        let number = {
            let mut course = lock(&course);
            course.sent_at.push(wall());
            course.came_at.push(None);
            course.sent_at.len() - 1
        };
        let mut body = vec![7; BYTES];
        body[..8].copy_from_slice(&(number as u64).to_le_bytes());
        // What it refuses is lost, and counted as that.
        drop(connection.send_datagram(body.into()));
    }
}

/// Writes down what comes.
async fn receives(connection: Connection, course: Arc<Mutex<Course>>) {
    while let Ok(datagram) = connection.read_datagram().await {
        let number = datagram.first_chunk().map(|head| u64::from_le_bytes(*head) as usize);
        if let Some(number) = number
            && let Some(came @ None) = lock(&course).came_at.get_mut(number)
        {
            *came = Some(wall());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_with_the_first_datagram_sent_in_it() {
        let came_at = vec![Some(11), Some(50), None, Some(45), Some(46)];
        let course = Course { sent_at: vec![10, 20, 30, 40, 50], came_at };
        assert_eq!(course.resumed(30), Some(45), "the one sent before came later");
        assert_eq!(course.resumed(51), None);
    }
}
