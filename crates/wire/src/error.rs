/// Why bytes are not a frame. Nothing was allocated and no state changed; the frame is dropped and
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("frame ends early: {needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A version this build does not speak.
    #[error("unknown frame version {0}")]
    Version(u8),
    /// A flag bit that has no meaning in this version.
    #[error("unknown flags {0:#010b}")]
    Flags(u8),
    /// A body kind this build does not know.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// A traffic class that does not exist.
    #[error("unknown traffic class {0}")]
    Class(u8),
    /// An acknowledgement level or status that does not exist.
    #[error("unknown acknowledgement code {0}")]
    Ack(u8),
    /// An answer to a join that does not exist.
    #[error("unknown verdict {0}")]
    Verdict(u8),
    /// A count or length above its bound.
    #[error("{what} is {value}, at most {bound} allowed")]
    TooMany {
        /// Which field.
        what: &'static str,
        /// What it said.
        value: u64,
        /// The bound.
        bound: u64,
    },
    /// A fragment that is empty, or reaches beyond its message.
    #[error("fragment {offset}+{len} does not lie within its message of {total} bytes")]
    Range {
        /// First byte.
        offset: u32,
        /// Length in bytes.
        len: usize,
        /// Length of the message.
        total: u32,
    },
    /// Two fields contradict each other.
    #[error("{0}")]
    Inconsistent(&'static str),
    /// Bytes after the end of the body.
    #[error("{0} bytes after the end of the frame")]
    Trailing(usize),
    /// No beacon of this protocol.
    #[error("not a beacon")]
    Magic,
}
