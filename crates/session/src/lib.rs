//! End-to-end sealing between the source and the destination of a message, so that a relay carries
//! what it cannot read and cannot change.
//!
//! This crate contains no I/O, no clock, no task and no source of randomness: time and randomness
//! are parameters. It does not retransmit messages, does not tell duplicates apart and does not
//! decide who may talk to whom.
//!
//! ```text
//! initiator                                                responder
//!   initiation   kind | tag | epoch | e, es, ss (counter, [encapsulation key])  ──▶
//!   ◀──  reply   kind | tag of the initiator | [ciphertext] | e, ee, se, [psk] (tag)
//!   confirmation kind | tag of the responder | counter | mac                    ──▶
//!   sealed       tag of the receiver | ciphertext | mac                         ◀─▶
//! ```
//!
//! - **Noise KK** (`Noise_KK_25519_ChaChaPoly_SHA256`): both ends know the other's key beforehand,
//!   because a [`PeerId`](bitcraps_types::PeerId) is one; the X25519 keys are the Ed25519 ones on
//!   the Montgomery curve. Prologue: both ids, both epochs, the tag, the kind. Both ends contribute
//!   an ephemeral key, and the initiator's counter makes a replayed initiation useless.
//! - **Hybrid** (feature `hybrid`, [`Suite::Hybrid`]): `Noise_KKpsk2` whose key is encapsulated with
//!   ML-KEM-768 under a key that the initiation carries: recorded traffic stays closed unless both
//!   X25519 and ML-KEM are broken. The encapsulation is done here rather than by a hybrid Noise
//!   library: the one that exists takes its randomness from a default value of a type, which leaves
//!   no room for randomness that is passed in, and sends an encapsulation key each way of which one
//!   is never used (1,184 bytes more).
//! - **One ciphertext a message**: the nonce of XChaCha20-Poly1305 is the identity of the message
//!   and the generation of its seal, so that sealing it twice gives the same bytes, and no two
//!   messages share a nonce. Every attempt and every fragment carries those bytes.
//! - **A link of its own** (feature `hybrid`, [`link`]): the handshake for carriers that authenticate
//!   nobody, between ends that need not know each other.
//! - **No round trip** is added once a session is established. A session is replaced by a new
//!   handshake while it is still in use; its keys open what is under way for
//!   [`OLD_KEYS_KEPT`] longer.

mod bucket;
mod command;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod handshake;
mod identity;
#[cfg(feature = "hybrid")]
mod kem;
#[cfg(feature = "hybrid")]
pub mod link;
mod peer;
mod replay;
mod seal;
mod session;
mod sessions;

pub use command::Command;
pub use error::{ConnectError, HandshakeError, OpenError, SealError};
pub use handshake::Suite;
pub use identity::Identity;
pub use peer::{OLD_KEYS_KEPT, REKEY_AFTER};
pub use rand_core::CryptoRng;
pub use seal::{OVERHEAD, Sealed};
pub use session::Tag;
pub use sessions::{Config, MAX_PEERS, Sessions};
