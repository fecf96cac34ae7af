use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::namespace::Namespace;

/// The server that both sites can reach.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// The host of each site. Both have the network that their routers came with, as is common.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

/// How a router chooses the port by which the public network sees a host (RFC 4787, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapping {
    /// The same one, wherever the packet goes: as home routers do, and holes can be punched.
    Independent,
    /// Another one for each destination, at random: no hole can be punched.
    Dependent,
}

/// A public network with a server, and two sites behind routers that translate addresses and let in
/// only what answers.
pub(super) struct Scene {
    /// The public network, where the server is too.
    pub(super) public: Namespace,
    pub(super) sites: [Site; 2],
}

/// A host behind a router.
pub(super) struct Site {
    pub(super) host: Namespace,
    router: Namespace,
    mapping: Mapping,
    /// Last part of the router's public address.
    outside: Cell<u8>,
    /// How often the router forgot which ports it used.
    reboots: Cell<u16>,
}

impl Scene {
    pub(super) fn new(mappings: [Mapping; 2]) -> Self {
        let public = Namespace::new();
        public.ip("link add segment type bridge");
        public.ip(&format!("address add {SERVER}/24 dev segment"));
        public.ip("link set segment up");
        let [near, far] = mappings;
        let sites = [Site::new(&public, "near", 10, near), Site::new(&public, "far", 20, far)];
        Self { public, sites }
    }
}

impl Site {
    fn new(public: &Namespace, name: &str, outside: u8, mapping: Mapping) -> Self {
        let (router, host) = (Namespace::new(), Namespace::new());
        public.cable(name, &router, "wan");
        public.ip(&format!("link set {name} master segment"));
        router.cable("lan", &host, "eth");
        router.ip("address add 192.168.1.1/24 dev lan");
        host.ip(&format!("address add {HOST}/24 dev eth"));
        host.ip("route add default via 192.168.1.1");
        router.forward();
        let (outside, reboots) = (Cell::new(outside), Cell::new(0));
        let site = Self { host, router, mapping, outside, reboots };
        site.router.ip(&format!("address add {}/24 dev wan", site.outside()));
        site.set_rules();
        site
    }

    /// The router's public address.
    pub(super) fn outside(&self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, self.outside.get())
    }

    /// Whether others can see this site's host at `address`: that can be told where mappings are
    /// independent.
    pub(super) fn is_seen_at(&self, address: &str) -> bool {
        match self.port() {
            Some(port) => address == format!("{}:{port}", self.outside()),
            None => address.starts_with(&format!("{}:", self.outside())),
        }
    }

    /// The port by which the host is seen, where it is not the one that it uses.
    fn port(&self) -> Option<u16> {
        (self.reboots.get() > 0).then(|| 20_000 + self.reboots.get())
    }

    /// What comes from outside and answers nothing is dropped before the router remembers it, or
    /// that memory would take the port that the host's own packet is to have.
    fn set_rules(&self) {
        let ports = match self.mapping {
            // As on the inside at first, for a host that uses one.
            Mapping::Independent => {
                self.port().map(|port| format!("to :{port}")).unwrap_or_default()
            }
            Mapping::Dependent => "fully-random".to_owned(),
        };
        self.router.filter(&format!(
            "table ip site {{
               chain translate {{
                 type nat hook postrouting priority srcnat
                 oifname wan meta l4proto udp masquerade {ports}
                 oifname wan masquerade
               }}
               chain input {{
                 type filter hook input priority filter; policy drop
                 ct state established,related accept
                 iifname lan accept
               }}
               chain forward {{
                 type filter hook forward priority filter; policy drop
                 ct state established,related accept
                 iifname lan accept
               }}
             }}"
        ));
    }

    /// The router forgets what it translated, and goes on with other ports.
    pub(super) fn reboot(&self) {
        self.reboots.set(self.reboots.get() + 1);
        self.set_rules();
        self.move_to(self.outside.get());
    }

    /// The router is given another public address, and forgets what it translated.
    pub(super) fn renumber(&self) {
        self.move_to(self.outside.get() + 1);
    }

    /// What was translated to an address is forgotten when it goes.
    fn move_to(&self, outside: u8) {
        self.router.ip(&format!("address del {}/24 dev wan", self.outside()));
        self.outside.set(outside);
        self.router.ip(&format!("address add {}/24 dev wan", self.outside()));
    }

    /// A UDP socket of the host.
    pub(super) fn udp(&self) -> UdpSocket {
        self.host.udp(SocketAddr::from((HOST, 0)))
    }
}
