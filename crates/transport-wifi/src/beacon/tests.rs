use zeroize::Zeroizing;

use super::*;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&Zeroizing::new([seed; 32]))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn scope(addresses: &[&str]) -> Scope {
    Scope {
        from: Ipv4Addr::LOCALHOST,
        addresses: addresses.iter().map(|a| address(a)).collect(),
        destinations: Vec::new(),
        network: None,
        others: Vec::new(),
    }
}

const NOW: Timestamp = Timestamp::from_millis(10);
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn heard(datagram: &Bytes, hearing: &mut Hearing) -> Result<(PeerId, Vec<SocketAddr>), Unheard> {
    let own = identity(1).peer();
    judge(datagram.clone(), FROM, true, own, hearing, NOW)
}

#[test]
fn a_signed_beacon_is_a_hint_once() {
    let datagram = sign(&identity(2), &scope(&["127.0.0.5:7"]), 3);
    let mut hearing = Hearing::default();
    let hint = (identity(2).peer(), vec![address("127.0.0.5:7")]);
    assert_eq!(heard(&datagram, &mut hearing), Ok(hint));
    assert_eq!(heard(&datagram, &mut hearing), Err(Unheard::Stale));
    let next = sign(&identity(2), &scope(&["127.0.0.5:7"]), 4);
    let quiet = (identity(2).peer(), Vec::new());
    assert_eq!(heard(&next, &mut hearing), Ok(quiet), "hinted before");
}

#[test]
fn a_forged_beacon_leaves_no_trace() {
    let good = sign(&identity(2), &scope(&["127.0.0.5:7"]), 3);
    let mut hearing = Hearing::default();
    for bit in 0..good.len() * 8 {
        let mut forged = good.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        let judged = heard(&forged.into(), &mut hearing);
        assert!(judged.is_err(), "bit {bit}: {judged:?}");
        // Or the ration of verifications would answer in place of the key.
        hearing = Hearing::default();
    }
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(heard(&forged.into(), &mut hearing), Err(Unheard::Forged));
    assert!(heard(&good, &mut hearing).is_ok(), "the true one is heard");
}

#[test]
fn the_own_beacon_and_noise_are_not_heard() {
    let mut hearing = Hearing::default();
    let own = sign(&identity(1), &scope(&["127.0.0.5:7"]), 3);
    assert_eq!(heard(&own, &mut hearing), Err(Unheard::Own));
    let noise = Bytes::from_static(b"bcb0");
    assert_eq!(heard(&noise, &mut hearing), Err(Unheard::NoBeacon));
}

#[test]
fn verification_is_rationed() {
    let mut hearing = Hearing::default();
    while hearing.may_verify(NOW) {}
    let good = sign(&identity(2), &scope(&["127.0.0.5:7"]), 3);
    assert_eq!(heard(&good, &mut hearing), Err(Unheard::Flood));
}

#[test]
fn only_addresses_of_the_same_side_are_hinted_at() {
    let announced =
        ["0.0.0.0:7", "127.0.0.5:0", "127.255.255.255:7", "192.0.2.1:7", "224.0.0.1:7", "[::1]:7"];
    let datagram = sign(&identity(2), &scope(&announced), 3);
    let (_, due) = heard(&datagram, &mut Hearing::default()).unwrap();
    assert_eq!(due, [address("127.0.0.9:7"), address("[::1]:7")]);
    let lan = IpAddr::from([192, 0, 2, 9]);
    let own = identity(1).peer();
    let (_, due) = judge(datagram, lan, false, own, &mut Hearing::default(), NOW).unwrap();
    assert_eq!(due, [address("192.0.2.9:7"), address("192.0.2.1:7")]);
}

#[test]
fn loopback_has_one_scope_and_each_lan_address_its_own() {
    let listening = ["127.0.0.1:1", "127.0.0.2:2", "192.0.2.7:3", "198.51.100.7:4", "[::1]:5"];
    let config = BeaconConfig {
        port: 9,
        destinations: vec![address("127.0.0.3:8"), address("192.0.2.200:8")],
        ..BeaconConfig::default()
    };
    let network = |ip: Ipv4Addr| match ip.octets() {
        [192, 0, 2, _] => Some(Network {
            ip,
            mask: Ipv4Addr::new(255, 255, 255, 0),
            broadcast: Some(Ipv4Addr::new(192, 0, 2, 255)),
        }),
        _ => None,
    };
    let listening = listening.map(address);
    let got: Vec<_> = scopes(&listening, &config, network)
        .into_iter()
        .map(|s| {
            let to: Vec<_> = s.destinations.iter().map(ToString::to_string).collect();
            (s.addresses, to.join(" "))
        })
        .collect();
    let group = "239.255.98.99:9";
    assert_eq!(
        got,
        [
            (listening[..2].to_vec(), "127.255.255.255:9 127.0.0.3:8".to_owned()),
            (listening[2..3].to_vec(), format!("192.0.2.255:9 {group} 192.0.2.200:8")),
            (listening[3..4].to_vec(), format!("{group} 192.0.2.200:8")),
        ]
    );
}

#[test]
fn the_interval_varies_by_a_tenth() {
    let mut rng = fastrand::Rng::with_seed(1);
    let interval = Duration::from_secs(1);
    let draws: Vec<_> = (0..1_000).map(|_| jittered(interval, &mut rng)).collect();
    let (least, most) = (draws.iter().min().unwrap(), draws.iter().max().unwrap());
    assert!((Duration::from_millis(900)..Duration::from_millis(910)).contains(least));
    assert!((Duration::from_millis(1_090)..Duration::from_millis(1_100)).contains(most));
}

#[test]
fn a_beacon_belongs_to_the_scope_of_its_network() {
    let listening = ["127.0.0.1:1", "192.0.2.7:2", "198.51.100.7:3", "203.0.113.7:4"].map(address);
    let network = |ip: Ipv4Addr| {
        let known = ip != Ipv4Addr::new(203, 0, 113, 7);
        known.then_some(Network { ip, mask: Ipv4Addr::new(255, 255, 255, 0), broadcast: None })
    };
    let scopes = scopes(&listening, &BeaconConfig::default(), network);
    let rows = [
        ("127.0.0.9", [true, false, false, false], "loopback alone"),
        ("192.0.2.255", [false, true, false, false], "the last of its network"),
        ("192.0.3.0", [false, true, true, true], "of no network known here"),
        ("198.51.100.1", [false, false, true, false], "the other network"),
        ("::1", [false; 4], "beacons travel by IPv4"),
    ];
    for (from, expected, why) in rows {
        let from = from.parse().unwrap();
        let heard: Vec<_> = scopes.iter().map(|scope| scope.hears(from)).collect();
        assert_eq!(heard, expected, "{from}: {why}");
    }
}
