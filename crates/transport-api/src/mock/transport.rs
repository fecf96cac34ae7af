use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bitcraps_types::{LinkId, PeerId, TransportType};
use tokio::task::JoinHandle;

use super::air::{Air, End};
use super::handle::MockHandle;
use super::network::MockNetwork;
use crate::{Address, ConnectError, ConnectTarget, Sink, StartError, Transport};

/// One end of an in-memory network of two. Made in pairs, see [`MockNetwork`].
pub struct MockTransport {
    air: Arc<Air>,
    end: End,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl MockTransport {
    pub(super) fn new(air: Arc<Air>, end: End) -> Self {
        Self { air, end, task: Mutex::default() }
    }

    /// Near end, far end and handle of a [`MockNetwork`] with every default.
    #[must_use]
    pub fn pair(kind: TransportType, near: PeerId, far: PeerId) -> (Self, Self, MockHandle) {
        MockNetwork::new(kind, near, far).pair()
    }

    /// Who is at this end.
    pub fn peer(&self) -> PeerId {
        self.air.network.peers[self.end as usize]
    }

    /// What the other end dials to reach this one.
    pub fn target(&self) -> ConnectTarget {
        self.air.target(self.end)
    }

    fn take_task(&self) -> Option<JoinHandle<()>> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.take()
    }
}

impl Air {
    pub(super) fn target(&self, end: End) -> ConnectTarget {
        ConnectTarget {
            transport: self.network.kind,
            peer: self.network.peers[end as usize],
            address: Address::new(end.address()),
            via: None,
        }
    }
}

#[async_trait]
impl Transport for MockTransport {
    fn transport_type(&self) -> TransportType {
        self.air.network.kind
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        if !self.air.join(self.end, Arc::clone(&sink)) {
            return Err(StartError::AlreadyStarted);
        }
        let task = tokio::spawn(Arc::clone(&self.air).serve(self.end, sink));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        if self.air.network.link_on_start {
            self.air.link();
        }
        Ok(())
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        if !self.air.joined(self.end) {
            return Err(ConnectError::NotStarted);
        }
        let far = self.end.other();
        let address = target.address.as_str().to_owned();
        if target.transport != self.air.network.kind || !address.starts_with("mock:") {
            let why = format!("expected mock:<name> on {}", self.air.network.kind);
            return Err(ConnectError::BadAddress { address, why });
        }
        let latency = self.air.network.latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency * 2).await;
        }
        if address != far.address() {
            let why = format!("this network ends at {}", far.address());
            return Err(ConnectError::Unreachable { address, why });
        }
        let there = self.air.network.peers[far as usize];
        if target.peer != there {
            let (expected, why) = (target.peer.short(), format!("it is {}", there.short()));
            return Err(ConnectError::WrongPeer { address, expected, why });
        }
        match self.air.link() {
            Some(ids) => Ok(ids[self.end as usize]),
            None => {
                let why = "the network is down or the other end is not started".to_owned();
                Err(ConnectError::Unreachable { address, why })
            }
        }
    }

    async fn shutdown(&self) {
        self.air.leave(self.end);
        if let Some(task) = self.take_task() {
            // The task ends by itself once it has told every link down; a panic in the sink is the
            // test's own and was reported where it happened.
            drop(task.await);
        }
    }
}

impl Drop for MockTransport {
    fn drop(&mut self) {
        self.air.leave(self.end);
        if let Some(task) = self.take_task() {
            task.abort();
        }
    }
}
