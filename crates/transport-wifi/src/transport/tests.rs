//! Peers that hold a good key and do not keep to the protocol.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcraps_quic_link::greeting::{self, GreetingError, Hello};
use bitcraps_quic_link::{MAX_LINKS_PER_PEER, RETRY_FROM};
use bitcraps_transport_api::{DownReason, Link, TransportEvent};
use bytes::Bytes;
use quinn::{Connection, ConnectionError};
use tokio::sync::Notify;

use super::*;
use crate::connection::{Connection as Wrapped, lost};
use crate::testing::{Bare, identity};

#[derive(Default)]
struct Told {
    ids: AtomicU64,
    ups: Mutex<Vec<Arc<dyn Link>>>,
    downs: Mutex<Vec<DownReason>>,
    frames: Mutex<Vec<Bytes>>,
    changed: Notify,
}

impl Sink for Told {
    fn next_link_id(&self) -> LinkId {
        LinkId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: TransportEvent) {
        match event {
            TransportEvent::Discovered(_) => {}
            TransportEvent::LinkUp(link) => self.ups.lock().unwrap().push(link),
            TransportEvent::LinkDown { reason, .. } => self.downs.lock().unwrap().push(reason),
        }
        self.changed.notify_one();
    }

    fn frames(&self, _link: LinkId, frames: &mut Vec<Bytes>) {
        self.frames.lock().unwrap().append(frames);
        self.changed.notify_one();
    }

    fn written(&self, _link: LinkId, _total: u64) {}
}

impl Told {
    async fn down(&self) -> DownReason {
        loop {
            if let Some(reason) = self.downs.lock().unwrap().pop() {
                return reason;
            }
            self.changed.notified().await;
        }
    }
}

const HELLO: Hello = Hello { incarnation: [1; 8], replaces: None };

/// A transport of node 2 under attack by node 1.
async fn victim() -> (WifiTransport, Arc<Told>) {
    let mut config = WifiConfig::new(vec![SocketAddr::from(([127, 0, 0, 1], 0))]);
    config.connection_timeout = Duration::from_millis(700);
    let transport = WifiTransport::new(config, identity(2)).unwrap();
    let told = Arc::new(Told::default());
    transport.start(told.clone()).await.unwrap();
    (transport, told)
}

async fn linked(attacker: &Bare, victim: &WifiTransport) -> Connection {
    let connection = attacker.call(victim.local_addresses()[0], 2).await;
    greeting::dial(&Wrapped(connection.clone()), HELLO).await.unwrap();
    connection
}

fn said(code: CloseCode, end: &ConnectionError) -> bool {
    code.said_in(&lost(end))
}

async fn stream(connection: &Connection, bytes: &[u8], finish: bool) {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    if finish {
        stream.finish().unwrap();
    } else {
        stream.reset(0_u32.into()).unwrap();
    }
}

#[tokio::test]
async fn whoever_breaks_the_framing_loses_the_link() {
    let too_long = [&65_537_u32.to_be_bytes()[..], b"start"].concat();
    let cut_short = [&9_u32.to_be_bytes()[..], b"eight.."].concat();
    let rows: [(&str, bool, &[u8], bool); 6] = [
        ("a frame of 65537 bytes where 65536 is the most", false, &too_long, true),
        ("2 bytes of a frame are missing at the end", false, &cut_short, true),
        ("1 bytes of a frame are missing at the end", false, &[0, 0, 0], true),
        ("a frame of 65537 bytes where 65536 is the most", true, &too_long, true),
        ("2 bytes of a frame are missing at the end", true, &cut_short, true),
        ("a stream was broken off", true, &cut_short, false),
    ];
    let (victim, told) = victim().await;
    let attacker = Bare::new(1);
    for (why, by_stream, bytes, finish) in rows {
        let connection = linked(&attacker, &victim).await;
        if by_stream {
            stream(&connection, bytes, finish).await;
        } else {
            let datagram = Bytes::copy_from_slice(bytes);
            connection.send_datagram(datagram).unwrap();
        }
        let reason = DownReason::Failed(format!("the peer broke the framing: {why}"));
        assert_eq!(told.down().await, reason);
        let end = connection.closed().await;
        assert!(said(CloseCode::Violation, &end), "{end}");
    }
    assert_eq!(*told.frames.lock().unwrap(), Vec::<Bytes>::new());
}

#[tokio::test]
async fn frames_before_the_broken_one_are_handed_over() {
    let (victim, told) = victim().await;
    let attacker = Bare::new(1);
    let connection = linked(&attacker, &victim).await;
    let bytes = [&4_u32.to_be_bytes()[..], b"good", &u32::MAX.to_be_bytes()].concat();
    connection.send_datagram(bytes.into()).unwrap();
    told.down().await;
    assert_eq!(*told.frames.lock().unwrap(), ["good"]);
}

#[tokio::test]
async fn whoever_greets_wrongly_or_not_at_all_gets_no_link() {
    let (victim, told) = victim().await;
    let attacker = Bare::new(1);
    let rows: [&[u8]; 3] = [&[9; 17], &[0; 16], b""];
    for hello in rows {
        let connection = attacker.call(victim.local_addresses()[0], 2).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(hello).await.unwrap();
        send.finish().unwrap();
        let end = connection.closed().await;
        assert!(said(CloseCode::Violation, &end), "{hello:?}: {end}");
    }
    // Silence: closed by the end of the time that a dial may take.
    let connection = attacker.call(victim.local_addresses()[0], 2).await;
    let end = connection.closed().await;
    assert!(matches!(end, ConnectionError::ApplicationClosed(_)), "{end}");
    assert!(told.ups.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_peer_has_so_many_links_and_no_more() {
    let (victim, told) = victim().await;
    // From another port each: other paths.
    let attackers: Vec<_> = (0..=MAX_LINKS_PER_PEER).map(|_| Bare::new(1)).collect();
    let mut connections = Vec::new();
    for attacker in &attackers[..MAX_LINKS_PER_PEER] {
        connections.push(linked(attacker, &victim).await);
    }
    let one_more = attackers[MAX_LINKS_PER_PEER].call(victim.local_addresses()[0], 2).await;
    let refused = greeting::dial(&Wrapped(one_more), HELLO).await;
    assert!(
        matches!(&refused, Err(GreetingError::Lost(end)) if CloseCode::NoRoom.said_in(end)),
        "{refused:?}"
    );
    let other = Bare::new(3);
    linked(&other, &victim).await;
    // One that goes makes room.
    connections.pop().unwrap().close(0_u32.into(), b"");
    assert_eq!(told.down().await, DownReason::ClosedByPeer);
    let again = Bare::new(1);
    linked(&again, &victim).await;
}

#[tokio::test]
async fn a_node_does_not_link_with_its_own_key() {
    let (victim, told) = victim().await;
    let twin = Bare::new(2);
    let connection = twin.call(victim.local_addresses()[0], 2).await;
    let refused = greeting::dial(&Wrapped(connection.clone()), HELLO).await;
    assert!(matches!(refused, Err(GreetingError::Lost(_))), "{refused:?}");
    assert!(told.ups.lock().unwrap().is_empty());
}

#[tokio::test]
async fn callers_who_say_nothing_do_not_keep_others_out() {
    let (victim, told) = victim().await;
    let silent = Bare::new(3);
    let mut held = Vec::new();
    // Beyond this number callers prove their address first, and are answered all the same.
    for _ in 0..RETRY_FROM + 8 {
        held.push(silent.call(victim.local_addresses()[0], 2).await);
    }
    let caller = Bare::new(1);
    let connection = linked(&caller, &victim).await;
    assert_eq!(told.ups.lock().unwrap().len(), 1);
    drop((held, connection));
}
