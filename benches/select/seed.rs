//! The selection of the first design of this project, as its document writes it: the rival of
//! [`super::lookup`].

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use bitcraps_types::{PeerId, TransportType};
use tokio::sync::RwLock;

pub(super) struct TransportMetrics {
    pub(super) latency_ms: f64,
}

/// Two locked maps, a list cloned for each packet, and a search by a key.
pub(super) struct MultiTransportCoordinator {
    peer_transports: Arc<RwLock<HashMap<PeerId, Vec<TransportType>>>>,
    transport_metrics: Arc<RwLock<HashMap<TransportType, TransportMetrics>>>,
}

impl MultiTransportCoordinator {
    /// Every one of `peers` is reached over every transport.
    pub(super) fn new(peers: impl Iterator<Item = PeerId>) -> Self {
        let all = || TransportType::ALL.to_vec();
        let latency_ms = |t: TransportType| 1.0 + 10.0 * t.index() as f64;
        let metrics = TransportType::ALL
            .into_iter()
            .map(|t| (t, TransportMetrics { latency_ms: latency_ms(t) }))
            .collect();
        Self {
            peer_transports: Arc::new(RwLock::new(peers.map(|p| (p, all())).collect())),
            transport_metrics: Arc::new(RwLock::new(metrics)),
        }
    }

    async fn get_available_transports(&self, peer_id: &PeerId) -> Vec<TransportType> {
        self.peer_transports.read().await.get(peer_id).cloned().unwrap_or_default()
    }

    async fn select_transport(
        &self,
        available: &[TransportType],
        _packet_size: usize,
    ) -> Result<TransportType, Box<dyn Error>> {
        let metrics = self.transport_metrics.read().await;
        available
            .iter()
            .min_by_key(|t| metrics.get(t).map(|m| m.latency_ms as u64).unwrap_or(u64::MAX))
            .copied()
            .ok_or("No transport available".into())
    }

    /// What `send_packet` does up to the choice.
    pub(super) async fn decide(
        &self,
        peer_id: PeerId,
        packet_size: usize,
    ) -> Result<TransportType, Box<dyn Error>> {
        let available = self.get_available_transports(&peer_id).await;
        if available.is_empty() {
            return Err("No transport available for peer".into());
        }
        self.select_transport(&available, packet_size).await
    }
}
