use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::namespace::Namespace;
use super::scene::{HOST, Mapping, SERVER, Scene, Site};
use crate::process::{Home, LOOK, Lines, Running, now};

/// What no case takes as long as, on a busy machine either: a minute is what iroh leaves between two
/// attempts at a path that has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(100);

/// A relay on the server; killed when dropped.
pub(super) struct Relay(Child);

impl Relay {
    fn start(home: &Home, public: &Namespace) -> Self {
        let listen = format!("{SERVER}:443");
        let words =
            ["relay", "--listen", &listen, "--tls-cert", "relay.pem", "--tls-key", "relay.key"];
        let mut command = public.inside(&home.command(&words));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut out = Lines::of(child.stdout.take().unwrap());
        let relay = Self(child);
        out.until(&url());
        relay
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn url() -> String {
    format!("https://{SERVER}")
}

/// A node at each site, and a relay that both know.
pub(super) struct Pair {
    pub(super) near: Running,
    pub(super) far: Running,
    relay: Option<Relay>,
    /// Holds the relay's key and certificate.
    home: Home,
    pub(super) scene: Scene,
}

impl Pair {
    /// Each knows of the other its key and the relay, and no address.
    pub(super) fn new(mappings: [Mapping; 2]) -> Self {
        let known = |other: &str| {
            format!(
                "[coordination.transport.internet]\nconnection_timeout_seconds = 2\n\
                 [[peers]]\nid = {other:?}\ninternet = [{:?}]\n",
                url()
            )
        };
        Self::configured(mappings, known)
    }

    /// Neither knows of the other, or admits whom nobody invited.
    pub(super) fn strangers(mappings: [Mapping; 2]) -> Self {
        Self::configured(mappings, |_| "[admission]\nmode = \"invitation\"\n".to_owned())
    }

    /// Each with the lines of configuration that the other's key makes.
    fn configured(mappings: [Mapping; 2], lines: impl Fn(&str) -> String) -> Self {
        let scene = Scene::new(mappings);
        let home = Home::new();
        let certified = rcgen::generate_simple_self_signed([SERVER.to_string()]).unwrap();
        let certificate = home.write("relay.pem", &certified.cert.pem());
        home.write("relay.key", &certified.signing_key.serialize_pem());
        let relay = Some(Relay::start(&home, &scene.public));

        let homes = [Home::new(), Home::new()];
        let ids = homes.each_ref().map(|home| {
            let made = home.run(&["keygen", "--json"]).exits(0).json();
            made["peer"].as_str().unwrap().to_owned()
        });
        let [mut near, mut far] = homes;
        let configure = |home: &mut Home, other: &str| {
            fs::copy(&certificate, home.join("relay.pem")).unwrap();
            home.write(
                "bitcraps.toml",
                &format!(
                    "[lan]\nenabled = false\n\
                     [internet]\nlisten = [\"{HOST}:0\"]\nrelays = [{url:?}]\n\
                     relay_roots = \"~/relay.pem\"\n{}",
                    lines(other),
                    url = url()
                ),
            );
        };
        configure(&mut near, &ids[1]);
        configure(&mut far, &ids[0]);
        let [near_site, far_site] = &scene.sites;
        let far = node(far, far_site);
        let near = node(near, near_site);
        Self { near, far, relay, home, scene }
    }

    pub(super) fn kill_relay(&mut self) {
        drop(self.relay.take().unwrap());
    }

    pub(super) fn start_relay(&mut self) {
        self.relay = Some(Relay::start(&self.home, &self.scene.public));
    }

    /// Waits until the link goes directly, as either end sees it.
    #[track_caller]
    pub(super) fn until_direct(&self) {
        let [near, far] = &self.scene.sites;
        for (node, other) in [(&self.near, far), (&self.far, near)] {
            until_way(node, |way| matches!(way, Way::Direct(to) if other.is_seen_at(to)));
        }
    }

    /// Waits until the link goes through the relay, as either end sees it.
    #[track_caller]
    pub(super) fn until_relayed(&self) {
        for node in [&self.near, &self.far] {
            until_way(node, |way| way == Way::Relayed);
        }
    }
}

/// Waits until the only link of `node` takes a way that satisfies `is_so`.
#[track_caller]
fn until_way(node: &Running, is_so: impl Fn(Way<'_>) -> bool) {
    let start = now();
    loop {
        let links = node.ask(&["links", "--json"]).exits(0).json();
        let links = links["links"].as_array().unwrap();
        assert!(links.len() <= 1, "one link for a peer: {links:?}");
        let way = links.first().and_then(Way::of);
        if way.is_some_and(&is_so) {
            return;
        }
        assert!(now() - start < PATIENCE, "still {links:?}");
        std::thread::sleep(LOOK);
    }
}

fn node(home: Home, site: &Site) -> Running {
    let words = ["--config", "bitcraps.toml", "run", "--print-messages=json"];
    let command: Command = site.host.inside(&home.command(&words));
    Running::started(home, command)
}

/// How a link gets from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    Relayed,
    /// With the address at which this end sees the other.
    Direct(&'a str),
}

impl<'a> Way<'a> {
    fn of(link: &'a Value) -> Option<Self> {
        match link["relay"].as_str() {
            Some(relay) => {
                assert_eq!(relay, url());
                Some(Self::Relayed)
            }
            None => link["remote"].as_str().map(Self::Direct),
        }
    }
}
