//! That the routers of the scene do what is relied on, seen by plain sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::scene::{Mapping, SERVER, Scene};
use crate::process::{SOON, now};

/// How long nothing is waited for.
const SILENCE: Duration = Duration::from_millis(200);

/// Two servers that answer nothing, so that what a host sends opens its router for them alone.
fn servers(scene: &Scene) -> [UdpSocket; 2] {
    [3_478, 3_479].map(|port| scene.public.udp(SocketAddr::from((SERVER, port))))
}

/// Sends from `host` to `server`; where from that seems to come.
fn seen(host: &UdpSocket, server: &UdpSocket) -> SocketAddr {
    host.send_to(b"who am I?", server.local_addr().unwrap()).unwrap();
    received(server).unwrap()
}

/// Sends from `host` until that seems to come from elsewhere: a router forgets a little later.
fn seen_anew(host: &UdpSocket, server: &UdpSocket, former: SocketAddr) -> SocketAddr {
    let start = now();
    loop {
        let mapped = seen(host, server);
        if mapped != former {
            return mapped;
        }
        assert!(now() - start < SOON, "{former} is not forgotten");
    }
}

/// Where the next datagram comes from, or `None` when there is none.
fn received(socket: &UdpSocket) -> Option<SocketAddr> {
    within(socket, SOON)
}

fn within(socket: &UdpSocket, limit: Duration) -> Option<SocketAddr> {
    socket.set_read_timeout(Some(limit)).unwrap();
    match socket.recv_from(&mut [0; 64]) {
        Ok((_, from)) => Some(from),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_site_is_seen_from_its_router_and_lets_in_only_answers() {
    let scene = Scene::new([Mapping::Independent; 2]);
    let [one, other] = servers(&scene);
    for site in &scene.sites {
        let host = site.udp();
        let mapped = seen(&host, &one);
        assert_eq!(mapped, SocketAddr::from((site.outside(), host.local_addr().unwrap().port())));
        other.send_to(b"unasked", mapped).unwrap();
        assert_eq!(within(&host, SILENCE), None, "a stranger came in");
        one.send_to(b"asked", mapped).unwrap();
        assert_eq!(received(&host), Some(one.local_addr().unwrap()));
    }
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_mapping_holds_for_every_destination_or_for_one() {
    let scene = Scene::new([Mapping::Independent, Mapping::Dependent]);
    let [one, other] = servers(&scene);
    let [near, far] = &scene.sites;
    let host = near.udp();
    assert_eq!(seen(&host, &one), seen(&host, &other));
    let host = far.udp();
    let mapped = seen(&host, &one);
    assert_ne!(mapped, seen(&host, &other));
    assert_eq!(mapped, seen(&host, &one), "while it is remembered");
}

/// Both hosts send to where a server saw the other one, twice: the first datagram may be too early.
/// What each receives.
fn punched(scene: &Scene) -> [bool; 2] {
    let [server, _] = servers(scene);
    let hosts = scene.sites.each_ref().map(|site| site.udp());
    let [near, far] = &hosts;
    let mapped = hosts.each_ref().map(|host| seen(host, &server));
    for _ in 0..2 {
        near.send_to(b"knock", mapped[1]).unwrap();
        far.send_to(b"knock", mapped[0]).unwrap();
    }
    [within(near, SILENCE) == Some(mapped[1]), within(far, SILENCE) == Some(mapped[0])]
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_hole_is_punched_only_where_mappings_are_independent() {
    use Mapping::{Dependent, Independent};
    assert_eq!(punched(&Scene::new([Independent; 2])), [true, true]);
    assert_eq!(punched(&Scene::new([Dependent; 2])), [false, false]);
    assert_eq!(punched(&Scene::new([Independent, Dependent])), [false, false]);
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_router_that_changes_forgets_what_it_translated() {
    let scene = Scene::new([Mapping::Independent; 2]);
    let [server, _] = servers(&scene);
    let [site, _] = &scene.sites;
    let host = site.udp();
    let first = seen(&host, &server);
    site.reboot();
    let second = seen_anew(&host, &server, first);
    assert_eq!((second.ip(), second.port()), (first.ip(), 20_001));
    site.renumber();
    let third = seen_anew(&host, &server, second);
    assert_ne!(third.ip(), first.ip());
    assert_eq!((third.ip(), third.port()), (site.outside().into(), 20_001));
    for former in [first, second] {
        server.send_to(b"too late", former).unwrap();
    }
    assert_eq!(within(&host, SILENCE), None, "what is forgotten came in");
    server.send_to(b"now", third).unwrap();
    assert_eq!(received(&host), Some(server.local_addr().unwrap()));
}
