use bitcraps_types::PeerId;
use bitcraps_wire::DecodeError;

/// Why a body was not read. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No link with the sender is up.
    #[error("{0} is no neighbour")]
    NoNeighbour(PeerId),
    /// It is not link state.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
