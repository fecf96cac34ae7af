use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, PeerId, Ratio, TransportType};

use super::air::{Air, End};
use super::handle::MockHandle;
use super::transport::MockTransport;

/// Frames that wait in one direction of a link before it is full: large enough for a burst, small
/// enough that a test reaches it.
pub const DEFAULT_QUEUE_FRAMES: usize = 256;

/// What a pair of mocks is to be like. The defaults: no latency, frames of 1,200 bytes, 10 Mbit/s,
/// mains power, prior reliability 1, a link as soon as both ends are started.
#[derive(Debug, Clone)]
pub struct MockNetwork {
    pub(super) kind: TransportType,
    pub(super) peers: [PeerId; 2],
    pub(super) capabilities: LinkCapabilities,
    pub(super) latency: Duration,
    pub(super) queue_frames: usize,
    pub(super) link_on_start: bool,
}

impl MockNetwork {
    /// A network of transport `kind` between the peers `near` and `far`.
    pub fn new(kind: TransportType, near: PeerId, far: PeerId) -> Self {
        Self {
            kind,
            peers: [near, far],
            capabilities: LinkCapabilities {
                max_frame: 1_200,
                nominal_rate: Kbps::at_least_one(10_000),
                energy: EnergyProfile::MAINS,
                metered: false,
                prior_reliability: Ratio::ONE,
                medium: Medium::Emulated,
            },
            latency: Duration::ZERO,
            queue_frames: DEFAULT_QUEUE_FRAMES,
            link_on_start: true,
        }
    }

    /// The delivery probability that links tell before anything was measured, clamped to 0 to 1.
    /// It loses no frame.
    #[must_use]
    pub fn with_reliability(mut self, prior: f64) -> Self {
        self.capabilities.prior_reliability = Ratio::clamped(prior);
        self
    }

    /// The rate that links tell. It slows nothing down.
    #[must_use]
    pub fn with_rate(mut self, rate: Kbps) -> Self {
        self.capabilities.nominal_rate = rate;
        self
    }

    /// The largest frame in bytes, at least [`LinkCapabilities::MIN_FRAME`].
    #[must_use]
    pub fn with_max_frame(mut self, bytes: usize) -> Self {
        self.capabilities.max_frame = bytes.max(LinkCapabilities::MIN_FRAME);
        self
    }

    /// What the radio is said to cost.
    #[must_use]
    pub fn with_energy(mut self, energy: EnergyProfile) -> Self {
        self.capabilities.energy = energy;
        self
    }

    /// Whether bytes are said to cost money.
    #[must_use]
    pub fn with_metered(mut self, metered: bool) -> Self {
        self.capabilities.metered = metered;
        self
    }

    /// Time from one end to the other; a dial takes twice that.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Frames that wait in one direction of a link before it is full, at least 1.
    #[must_use]
    pub fn with_queue_frames(mut self, frames: usize) -> Self {
        self.queue_frames = frames.max(1);
        self
    }

    /// Whether a link comes up by itself as soon as both ends are started.
    #[must_use]
    pub fn link_on_start(mut self, by_itself: bool) -> Self {
        self.link_on_start = by_itself;
        self
    }

    /// The near end, the far end, and what controls both.
    #[must_use]
    pub fn pair(self) -> (MockTransport, MockTransport, MockHandle) {
        let air = Arc::new(Air::new(self));
        (
            MockTransport::new(Arc::clone(&air), End::Near),
            MockTransport::new(Arc::clone(&air), End::Far),
            MockHandle::new(air),
        )
    }
}
