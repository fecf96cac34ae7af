//! What the tests of several modules play with.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcraps_quic_link::{Tasks, crypto_provider};
use quinn::Connection;
use zeroize::Zeroizing;

use crate::endpoint::{EndpointFactory, LocalEndpoint};
use crate::identity::Identity;
use crate::tls::{Expected, Tls};

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&Zeroizing::new([seed; 32]))
}

/// A bare endpoint of the node `seed`, with nobody behind it.
pub(crate) struct Bare {
    pub(crate) endpoint: LocalEndpoint,
    tls: Tls,
    _tasks: Arc<Tasks>,
}

impl Bare {
    pub(crate) fn new(seed: u8) -> Self {
        let identity = identity(seed);
        let tls = Tls::new(&identity, crypto_provider()).unwrap();
        let tasks = Arc::new(Tasks::default());
        let factory = EndpointFactory { identity: &identity, tls: &tls, tasks: &tasks };
        let endpoint = factory.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { endpoint, tls, _tasks: tasks }
    }

    /// Calls the node `seed` at `remote`; no word is said yet.
    pub(crate) async fn call(&self, remote: SocketAddr, seed: u8) -> Connection {
        let expected = Arc::new(Expected::new(identity(seed).peer()));
        let call = self.endpoint.call(remote, &self.tls, expected).unwrap();
        call.await.unwrap()
    }
}
