use bytes::Bytes;

/// A packet as applications of the seed hand it over: an optional payload.
///
/// An absent and an empty payload are both delivered, as an empty message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// What to deliver.
    pub payload: Option<Bytes>,
}

impl Packet {
    /// A packet with this payload.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: Some(payload.into()) }
    }
}
