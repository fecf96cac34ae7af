use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use bitcraps_transport_api::LinkPath;
use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, Ratio, TransportType};

use super::*;
use crate::precedence::Dialler;
use crate::queue::Queue;

/// As of a transport with several links to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Between {
    peer: PeerId,
    remote: SocketAddr,
}

impl PathKey for Between {
    fn peer(&self) -> PeerId {
        self.peer
    }
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn key(of: u8, port: u16) -> Between {
    Between { peer: peer(of), remote: SocketAddr::from(([127, 0, 0, 2], port)) }
}

fn link(id: u64) -> Arc<QuicLink> {
    Arc::new(QuicLink {
        id: LinkId(id),
        peer: peer(9),
        transport: TransportType::WiFiDirect,
        capabilities: LinkCapabilities {
            max_frame: 256,
            nominal_rate: Kbps::at_least_one(1),
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Loopback,
        },
        path: Box::new(LinkPath::default),
        queue: Queue::default(),
        quiet_ticks: AtomicU32::new(0),
        quiet_limit: None,
    })
}

fn claim(dialler: Dialler, tag: u8) -> Claim {
    Claim { dialler, incarnation: [1; 8], tag: [tag; 8] }
}

/// The table of node 1, which is smaller than every other here.
fn links() -> Links<Between> {
    Links::new(peer(1))
}

fn is_ended(link: &QuicLink) -> bool {
    link.queue.push(bytes::Bytes::new()).is_err()
}

#[test]
fn all_links_together_are_bounded() {
    let links = links();
    let mut id = 0;
    let mut admit = |of: u8, port: u16| {
        id += 1;
        links.admit(key(of, port), &link(id), claim(Dialler::Peer, 1), None)
    };
    let each = u16::try_from(MAX_LINKS_PER_PEER).unwrap();
    let peers = u8::try_from(MAX_LINKS / MAX_LINKS_PER_PEER).unwrap();
    for of in 2..2 + peers {
        for port in 0..each {
            assert_eq!(admit(of, port), Admission::Up, "{of} {port}");
        }
    }
    assert_eq!(admit(200, 0), Admission::NoRoom);
    // The successor of a link needs no more room.
    assert_eq!(admit(2, 0), Admission::Up);
    links.remove(key(2, 1), LinkId(2));
    assert_eq!(admit(200, 0), Admission::Up);
}

#[test]
fn the_loser_is_told_to_end_and_its_end_leaves_the_winner() {
    let links = links();
    let (one, two, three) = (link(1), link(2), link(3));
    let path = key(2, 7);
    let by_peer = links.admit(path, &one, claim(Dialler::Peer, 1), None);
    assert_eq!(by_peer, Admission::Up);
    // Ours crosses, and the smaller key is ours.
    let ours = links.admit(path, &two, claim(Dialler::Us, 2), None);
    assert_eq!(ours, Admission::Up);
    assert!(is_ended(&one) && !is_ended(&two));
    links.remove(path, one.id());
    let late = links.admit(path, &three, claim(Dialler::Peer, 3), None);
    assert_eq!(late, Admission::Yield(LinkId(2)));
    assert!(!is_ended(&two));
}

#[tokio::test]
async fn only_a_quiet_link_is_dialled_over_and_it_is_named() {
    let links = links();
    let (path, standing) = (key(2, 7), link(1));
    links.admit(path, &standing, claim(Dialler::Us, 5), None);
    standing.quiet_ticks.store(1, Ordering::Relaxed);
    let dial = links.begin_dial(path).await;
    assert!(matches!(dial, Path::Taken(LinkId(1))));
    standing.quiet_ticks.store(2, Ordering::Relaxed);
    let Path::Free(dial) = links.begin_dial(path).await else {
        panic!("a quiet link stands in the way");
    };
    assert_eq!(dial.replaces, Some([5; 8]));
    // One dial at a time; the second gets what the first has brought.
    let second = links.begin_dial(path);
    let first = async {
        links.admit(path, &link(2), claim(Dialler::Us, 6), dial.replaces);
        drop(dial);
    };
    let (second, ()) = tokio::join!(second, first);
    assert!(matches!(second, Path::Taken(LinkId(2))));
}

#[tokio::test]
async fn a_link_that_is_about_to_end_is_neither_given_out_nor_in_the_way() {
    let links = links();
    let (path, closed) = (key(2, 7), link(1));
    links.admit(path, &closed, claim(Dialler::Us, 5), None);
    closed.close();
    let ended = async { links.remove(path, closed.id()) };
    let (dial, ()) = tokio::join!(biased; links.begin_dial(path), ended);
    assert!(matches!(dial, Path::Free(Dial { replaces: None, .. })));

    let (closed, newcomer) = (link(2), link(3));
    // The smaller key dialled the standing one: alive it would stay.
    links.admit(path, &closed, claim(Dialler::Us, 5), None);
    closed.close();
    let up = links.admit(path, &newcomer, claim(Dialler::Peer, 6), None);
    assert_eq!(up, Admission::Up);
}

#[tokio::test]
async fn nothing_is_admitted_after_the_end() {
    let links = links();
    links.shut();
    let late = links.admit(key(2, 7), &link(1), claim(Dialler::Us, 1), None);
    assert_eq!(late, Admission::ShutDown);
}
