use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Inbox, Machine, Notice};
use bitcraps_transport_api::mock::{MockHandle, MockNetwork};
use bitcraps_transport_api::{ConnectTarget, Transport};
use bitcraps_types::{
    Epoch, Hint, HintSource, LinkId, Medium, PeerId, TrafficClass, TransportType,
};
use serde_json::json;

use super::*;
use crate::{Config, Environment, Identity};

mod clients;
mod ping;
mod reports;

/// Longest wait for what is bound to happen.
const SOON: Duration = Duration::from_secs(10);

/// Two nodes over a mock, the near one with an admin socket.
struct Pair {
    near: Arc<Node>,
    far: Option<Node>,
    far_peer: PeerId,
    handle: MockHandle,
    admin: Admin,
    home: tempfile::TempDir,
}

struct Setup {
    linked: bool,
    far: bool,
}

impl Pair {
    async fn linked() -> Self {
        let pair = Self::new(&Setup { linked: true, far: true }).await;
        pair.until_ready().await;
        pair
    }

    async fn new(setup: &Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let [near, far] = [1, 2].map(|byte| Identity::from_seed(&[byte; 32]));
        let far_peer = far.peer_id();
        let (near_end, far_end, handle) =
            MockNetwork::new(TransportType::WiFiDirect, near.peer_id(), far_peer)
                .link_on_start(setup.linked)
                .pair();
        let far = if setup.far {
            let far = Node::builder(&far, Epoch(7)).transport(Arc::new(far_end));
            Some(far.start().await.unwrap())
        } else {
            None
        };
        let near_end: Arc<dyn Transport> = Arc::new(near_end);
        let near = Node::builder(&near, Epoch(3)).transport(near_end).start().await.unwrap();
        let near = Arc::new(near);
        let file = home.path().join("bitcraps.toml");
        fs::write(&file, "[node]\nname = \"near\"\n").unwrap();
        let environment = Environment::from_iter([("HOME", home.path())]);
        let config = Config::load(Some(&file), &environment).unwrap();
        let follow: Follow = Box::new(|config| match config.log().filter.as_str() {
            "nonsense" => Err("no such filter".to_owned()),
            _ => Ok(()),
        });
        let live =
            Arc::new(LiveConfig::new(Arc::clone(&near), Some(file), environment, config, follow));
        let admin = Admin::start(&near, &live, &home.path().join("admin.sock")).unwrap();
        Self { near, far, far_peer, handle, admin, home }
    }

    async fn until_ready(&self) {
        let mut notices = self.near.notices();
        let ready = async {
            while !self.near.peers().iter().any(|p| p.links.iter().any(|l| l.ready)) {
                drop(notices.recv().await);
            }
        };
        tokio::time::timeout(SOON, ready).await.unwrap();
    }

    fn far_inbox(&self) -> Inbox {
        self.far.as_ref().unwrap().inbox()
    }

    fn hear_of(&self, target: ConnectTarget) {
        let hint = Hint { target, source: HintSource::Beacon };
        self.near.with(|engine, now| engine.discovered(hint, now));
    }

    fn path(&self) -> PathBuf {
        self.admin.path().to_owned()
    }

    /// Asks from a thread of its own, as the client blocks.
    async fn ask(&self, asked: Request) -> Result<Response, AdminError> {
        let path = self.path();
        tokio::task::spawn_blocking(move || request(&path, &asked)).await.unwrap()
    }

    async fn refusal(&self, asked: Request) -> (RefusalKind, String) {
        match self.ask(asked).await.unwrap_err() {
            AdminError::Refused(refusal) => (refusal.kind, refusal.message),
            other => panic!("{other:?}"),
        }
    }

    async fn ping(&self, count: u32) -> PingReport {
        let peer = self.far_peer.to_string();
        match self.ask(Request::Ping { peer, count }).await.unwrap() {
            Response::Ping(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&self, ack: Ack, deadline_ms: u64, wait: bool) -> OutcomeReport {
        let request = Request::Send {
            peer: self.far_peer.short(),
            class: TrafficClass::Critical,
            payload: "hello".to_owned(),
            ack,
            deadline_ms: Some(deadline_ms),
            wait,
        };
        match self.ask(request).await.unwrap() {
            Response::Send(report) => {
                assert_eq!((report.peer, report.bytes, report.ack), (self.far_peer, 5, ack));
                report.outcome
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_is_refused_with_its_kind() {
    let pair = Pair::linked().await;
    let send = |peer: &str, deadline_ms| Request::Send {
        peer: peer.to_owned(),
        class: TrafficClass::Bulk,
        payload: String::new(),
        ack: Ack::Peer,
        deadline_ms,
        wait: true,
    };
    let stranger = "ab".repeat(32);
    let (kind, message) = pair.refusal(send(&stranger, None)).await;
    assert_eq!(kind, RefusalKind::NotSent);
    let expected =
        "no route to ababababab: no link with it was ever up and no address of it is known";
    assert!(message.starts_with(expected), "{message}");
    let known = pair.far_peer.to_string();
    let (kind, message) = pair.refusal(send(&known, Some(86_400_001))).await;
    assert_eq!(kind, RefusalKind::NotSent);
    assert_eq!(message, "deadline of 86400.001s exceeds the longest of 86400s");
    assert_eq!(pair.refusal(send("abcd", None)).await.0, RefusalKind::UnknownPeer);
    assert_eq!(pair.refusal(send("x", None)).await.0, RefusalKind::BadPeer);
    for count in [0, 101] {
        let (kind, message) = pair.refusal(Request::Ping { peer: known.clone(), count }).await;
        assert_eq!(kind, RefusalKind::BadRequest);
        assert_eq!(message, format!("a ping sends 1 to 100 messages, not {count}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_changed_and_a_wrong_one_changes_nothing() {
    let pair = Pair::linked().await;
    let file = pair.home.path().join("bitcraps.toml");
    let aware = || pair.near.with(|engine, _| engine.core().config().energy_aware);
    let changed = "[node]\nname = \"other\"\n[coordination.transport]\nenergy_aware_mode = false\n";
    fs::write(&file, changed).unwrap();
    let Response::Reload(report) = pair.ask(Request::Reload).await.unwrap() else { panic!() };
    let told: Vec<_> =
        report.changes.iter().map(|c| (c.key.as_str(), c.new.as_str(), c.needs_restart)).collect();
    let expected = [
        ("coordination.transport.energy_aware_mode", "false", false),
        ("node.name", "\"other\"", true),
    ];
    assert_eq!(told, expected);
    assert!(!aware());

    fs::write(&file, "[coordination.transport]\nenergy_aware_mod = true\n").unwrap();
    let (kind, message) = pair.refusal(Request::Reload).await;
    assert_eq!(kind, RefusalKind::BadConfig);
    assert!(
        message.contains(":2:1: unknown key `coordination.transport.energy_aware_mod`"),
        "{message}"
    );
    fs::write(&file, "[log]\nfilter = \"nonsense\"\n").unwrap();
    let refused = (RefusalKind::BadConfig, "no such filter".to_owned());
    assert_eq!(pair.refusal(Request::Reload).await, refused);
    assert!(!aware(), "what the process cannot follow is not half in force");

    fs::write(&file, changed).unwrap();
    let Response::Reload(report) = pair.ask(Request::Reload).await.unwrap() else { panic!() };
    assert_eq!(report.changes, [], "the refused ones left no trace");
}
