//! The seam between coordinator and transports, from outside.

#![expect(clippy::unwrap_used, reason = "a test fails where something is wrong")]

use bitcraps_types::PeerId;

mod broken;
mod contract;
mod mock;

pub(crate) const NEAR: PeerId = PeerId::from_bytes([1; 32]);
pub(crate) const FAR: PeerId = PeerId::from_bytes([2; 32]);
