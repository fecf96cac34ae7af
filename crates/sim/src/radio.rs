//! The link model as a real [`Transport`], in real time: an *emulated* radio for programs that run
//! several nodes in one process. No radio is involved, and every link says so ([`Medium::Emulated`]).
//!
//! [`Medium::Emulated`]: bitcraps_types::Medium::Emulated

mod cable;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_transport_api::{ConnectError, Sink, StartError, Transport};
use bitcraps_types::{Address, ConnectTarget, LinkId, PeerId, Timestamp, TransportType};
use tokio::task::JoinSet;

use crate::LinkModel;
use cable::{Cable, End, lay};

/// How long a dial listens for an advertisement before it gives up: two of BlueZ's scan windows.
const SCAN: Duration = Duration::from_millis(500);
/// Prefix of a radio's address; its peer's key follows.
const SCHEME: &str = "radio:";

/// The air that radios of one process share. A handle; clones share the air.
#[derive(Clone)]
pub struct Ether(Arc<Air>);

struct Air {
    model: LinkModel,
    state: Mutex<State>,
}

struct State {
    rng: fastrand::Rng,
    /// Radios that are on.
    members: BTreeMap<PeerId, Member>,
    silent: BTreeMap<PeerId, bool>,
    /// One task for each cable; each ends when its cable does.
    carriers: JoinSet<()>,
}

struct Member {
    sink: Arc<dyn Sink>,
    cables: Vec<Arc<Cable>>,
}

impl Ether {
    /// Air that carries frames as `model` says, with chance drawn from `seed`.
    pub fn new(model: LinkModel, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let state = State {
            rng,
            members: BTreeMap::new(),
            silent: BTreeMap::new(),
            carriers: JoinSet::new(),
        };
        Self(Arc::new(Air { model, state: Mutex::new(state) }))
    }

    /// Air for Bluetooth LE ([`LinkModel::bluetooth_le`]).
    pub fn bluetooth_le(seed: u64) -> Self {
        Self::new(LinkModel::bluetooth_le(), seed)
    }

    /// A radio for `peer`, switched off until it is started.
    pub fn radio(&self, peer: PeerId) -> EmulatedRadio {
        EmulatedRadio { air: Arc::clone(&self.0), peer }
    }

    /// Where `peer`'s radio is dialled.
    pub fn address_of(&self, peer: PeerId) -> Address {
        Address::new(format!("{SCHEME}{peer}"))
    }

    /// Lets everything to and from `peer` vanish, or no longer. Nobody is told.
    pub fn silence(&self, peer: PeerId, silent: bool) {
        self.0.lock().silent.insert(peer, silent);
    }
}

impl Air {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self, ends: [PeerId; 2]) -> bool {
        let state = self.lock();
        ends.iter().any(|peer| state.silent.get(peer) == Some(&true))
    }
}

/// The runtime's clock, as the model wants it.
#[expect(clippy::disallowed_methods, reason = "an emulated radio keeps the time of its process")]
fn now() -> Timestamp {
    use std::sync::LazyLock;
    use tokio::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Timestamp::from_nanos(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// One node's emulated radio.
pub struct EmulatedRadio {
    air: Arc<Air>,
    peer: PeerId,
}

#[async_trait]
impl Transport for EmulatedRadio {
    fn transport_type(&self) -> TransportType {
        self.air.model.transport
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        let mut state = self.air.lock();
        if state.members.contains_key(&self.peer) {
            return Err(StartError::AlreadyStarted);
        }
        state.members.insert(self.peer, Member { sink, cables: Vec::new() });
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let own = self.air.lock().members.get(&self.peer).map(|m| Arc::clone(&m.sink));
        let own = own.ok_or(ConnectError::NotStarted)?;
        let address = target.address.to_string();
        let bad = |why: String| ConnectError::BadAddress { address: address.clone(), why };
        let key = address.strip_prefix(SCHEME);
        let key = key.ok_or_else(|| bad(format!("it does not begin with {SCHEME}")))?;
        let there: PeerId = key.parse().map_err(|e| bad(format!("{e}")))?;
        // Two connection intervals pass before a link is up.
        tokio::time::sleep(self.air.model.latency * 2).await;
        let other = self.air.lock().members.get(&there).map(|m| Arc::clone(&m.sink));
        let reachable = !self.air.is_silent([self.peer, there]);
        let Some(other) = other.filter(|_| reachable) else {
            tokio::time::sleep(SCAN).await;
            let why = "no radio answers there".to_owned();
            return Err(ConnectError::Unreachable { address, why });
        };
        if there != target.peer {
            let why = format!("{} is there", there.short());
            return Err(ConnectError::WrongPeer { address, expected: target.peer.short(), why });
        }
        let near = End::new(self.peer, own);
        let id = near.id;
        let far = End::new(there, other);
        let mut state = self.air.lock();
        // A radio that was switched off meanwhile is not told of a link any more.
        if !(state.members.contains_key(&self.peer) && state.members.contains_key(&there)) {
            let why = "a radio was switched off".to_owned();
            return Err(ConnectError::Unreachable { address, why });
        }
        let seeds = [state.rng.u64(..), state.rng.u64(..)];
        let (cable, carrier) = lay(Arc::clone(&self.air), [near, far], seeds);
        while state.carriers.try_join_next().is_some() {}
        state.carriers.spawn(carrier);
        for end in [self.peer, there] {
            if let Some(member) = state.members.get_mut(&end) {
                member.cables.retain(|cable| !cable.is_over());
                member.cables.push(Arc::clone(&cable));
            }
        }
        Ok(id)
    }

    async fn shutdown(&self) {
        let Some(member) = self.air.lock().members.remove(&self.peer) else { return };
        for cable in member.cables {
            cable.close(cable.side_of(self.peer));
            cable.over().await;
        }
    }
}
