//! What must hold for every input of a reader, whoever wrote it. Each function panics when it does
//! not; the bounded tests of this crate and the fuzz targets call the same ones.

use crate::read::{self, Format, Network, ReadError};

/// A network is refused, or is one whose parts fit each other.
pub fn network(data: &[u8], format: Option<Format>) -> Option<Network> {
    match read::network(data, format) {
        Ok(network) => {
            assert_eq!(network.names.len(), network.graph.peers());
            assert_eq!(network.reliabilities.len(), network.graph.links());
            assert!(network.names.len() <= 1 << 20 || !data.is_empty());
            Some(network)
        }
        Err(ReadError::Syntax { line, .. }) => {
            assert!(line >= 1);
            None
        }
        Err(_) => None,
    }
}
