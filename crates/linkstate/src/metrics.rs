/// What came and went, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Bodies handed over for transmission.
    pub bodies_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Records of other origins taken.
    pub accepted: u64,
    /// Records that were here already.
    pub duplicates: u64,
    /// Records older than what is here.
    pub outdated: u64,
    /// Records whose signature is wrong, or whose key is not that of their alias.
    pub forged: u64,
    /// Records of origins that change faster than is taken.
    pub limited: u64,
    /// Records of origins for which there was no room.
    pub refused: u64,
    /// Origins forgotten because they were not heard of for three refreshes.
    pub expired: u64,
    /// Times that the databases of two neighbours were compared.
    pub reconciliations: u64,
}
