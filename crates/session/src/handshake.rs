use std::fmt;

use bitcraps_types::{Epoch, PeerId};
use rand_core::CryptoRng;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

#[cfg(feature = "hybrid")]
use crate::kem;
use crate::{HandshakeError, Identity, Tag};

/// What a handshake rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// X25519: an initiation of 69 bytes, a reply of 57.
    #[default]
    Classic,
    /// X25519 and ML-KEM-768: 1,253 and 1,145 bytes.
    #[cfg(feature = "hybrid")]
    Hybrid,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Classic => "X25519",
            #[cfg(feature = "hybrid")]
            Self::Hybrid => "X25519 with ML-KEM-768",
        })
    }
}

/// An ephemeral key and an authenticator.
const NOISE: usize = 32 + 16;
const COUNTER: usize = 8;

impl Suite {
    /// Kind of the initiation; the reply's is one above.
    pub(crate) const fn kind(self) -> u8 {
        match self {
            Self::Classic => 1,
            #[cfg(feature = "hybrid")]
            Self::Hybrid => 3,
        }
    }

    const fn pattern(self) -> &'static str {
        match self {
            Self::Classic => "Noise_KK_25519_ChaChaPoly_SHA256",
            #[cfg(feature = "hybrid")]
            Self::Hybrid => "Noise_KKpsk2_25519_ChaChaPoly_SHA256",
        }
    }

    /// Length of the initiation's Noise message in bytes.
    pub(crate) const fn initiation_len(self) -> usize {
        match self {
            Self::Classic => NOISE + COUNTER,
            #[cfg(feature = "hybrid")]
            Self::Hybrid => NOISE + COUNTER + kem::ENCAPSULATION_KEY,
        }
    }

    /// Length of the reply's ciphertext and Noise message in bytes.
    pub(crate) const fn reply_len(self) -> usize {
        match self {
            Self::Classic => NOISE + Tag::LEN,
            #[cfg(feature = "hybrid")]
            Self::Hybrid => kem::CIPHERTEXT + NOISE + Tag::LEN,
        }
    }
}

/// What both ends know before they start, and must agree on.
pub(crate) struct Context {
    pub(crate) suite: Suite,
    pub(crate) initiator: PeerId,
    pub(crate) initiator_epoch: Epoch,
    pub(crate) responder: PeerId,
    pub(crate) responder_epoch: Epoch,
    /// The initiator's.
    pub(crate) tag: Tag,
}

impl Context {
    fn prologue(&self) -> Vec<u8> {
        let mut out = b"bitcraps session 1".to_vec();
        out.push(self.suite.kind());
        out.extend_from_slice(self.initiator.as_bytes());
        out.extend_from_slice(self.responder.as_bytes());
        out.extend_from_slice(&self.initiator_epoch.0.to_be_bytes());
        out.extend_from_slice(&self.responder_epoch.0.to_be_bytes());
        out.extend_from_slice(&self.tag.0);
        out
    }
}

/// The keys of a session, one a direction.
pub(crate) struct Keys {
    pub(crate) to_responder: Zeroizing<[u8; 32]>,
    pub(crate) to_initiator: Zeroizing<[u8; 32]>,
}

/// Snow's primitives, with the bytes of the ephemeral key passed in.
pub(crate) struct Given(pub(crate) Zeroizing<[u8; 32]>);

struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if bytes.len() == dest.len() => {
                dest.copy_from_slice(bytes.as_slice());
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

impl CryptoResolver for Given {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn noise(
    context: &Context,
    identity: &Identity,
    peer_key: &[u8; 32],
    initiator: bool,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<HandshakeState, snow::Error> {
    let mut ephemeral = Zeroizing::new([0; 32]);
    rng.fill_bytes(ephemeral.as_mut_slice());
    let params = context.suite.pattern().parse()?;
    let prologue = context.prologue();
    let builder = Builder::with_resolver(params, Box::new(Given(ephemeral)))
        .local_private_key(identity.secret())?
        .remote_public_key(peer_key)?
        .prologue(&prologue)?;
    if initiator { builder.build_initiator() } else { builder.build_responder() }
}

/// A handshake that waits for its reply.
pub(crate) struct Initiation {
    state: HandshakeState,
    #[cfg(feature = "hybrid")]
    secret: Option<kem::Secret>,
    suite: Suite,
}

/// Starts a handshake: the initiation's Noise message, and what reads the reply.
pub(crate) fn initiate(
    context: &Context,
    identity: &Identity,
    peer_key: &[u8; 32],
    counter: u64,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(Initiation, Vec<u8>), snow::Error> {
    let mut state = noise(context, identity, peer_key, true, rng)?;
    let mut payload = counter.to_be_bytes().to_vec();
    let suite = context.suite;
    let mut message = vec![0; suite.initiation_len()];
    #[cfg(feature = "hybrid")]
    let secret = match suite {
        Suite::Classic => None,
        Suite::Hybrid => {
            let (secret, public) = kem::generate(rng);
            payload.extend_from_slice(&public);
            Some(secret)
        }
    };
    state.write_message(&payload, &mut message)?;
    payload.clear();
    let initiation = Initiation {
        state,
        #[cfg(feature = "hybrid")]
        secret,
        suite,
    };
    Ok((initiation, message))
}

impl Initiation {
    /// The keys, and the responder's tag, when `reply` answers this initiation. A reply that does
    /// not leaves it waiting for one that does.
    pub(crate) fn finish(&mut self, reply: &[u8]) -> Result<(Keys, Tag), HandshakeError> {
        if reply.len() != self.suite.reply_len() {
            return Err(HandshakeError::Length(reply.len()));
        }
        #[cfg(feature = "hybrid")]
        let reply = match (&self.secret, reply.split_first_chunk()) {
            (Some(secret), Some((ciphertext, noise))) => {
                let shared = secret.decapsulate(ciphertext);
                let set = self.state.set_psk(2, shared.as_slice());
                set.map_err(|_| HandshakeError::Authentication)?;
                noise
            }
            _ => reply,
        };
        let mut tag = [0; Tag::LEN];
        let read = self.state.read_message(reply, &mut tag);
        match read {
            Ok(Tag::LEN) => Ok((split(&mut self.state), Tag(tag))),
            _ => Err(HandshakeError::Authentication),
        }
    }
}

/// An initiation that proved itself.
pub(crate) struct Response {
    state: HandshakeState,
    pub(crate) counter: u64,
    /// Empty in a classic handshake.
    #[cfg(feature = "hybrid")]
    encapsulation_key: Vec<u8>,
    suite: Suite,
}

/// Reads an initiation.
pub(crate) fn receive(
    context: &Context,
    identity: &Identity,
    peer_key: &[u8; 32],
    message: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Response, HandshakeError> {
    let suite = context.suite;
    if message.len() != suite.initiation_len() {
        return Err(HandshakeError::Length(message.len()));
    }
    let state = noise(context, identity, peer_key, false, rng);
    let mut state = state.map_err(|_| HandshakeError::Authentication)?;
    let mut payload = vec![0; message.len()];
    let len = state.read_message(message, &mut payload);
    payload.truncate(len.map_err(|_| HandshakeError::Authentication)?);
    let counter = payload.first_chunk().ok_or(HandshakeError::Length(message.len()))?;
    Ok(Response {
        state,
        counter: u64::from_be_bytes(*counter),
        #[cfg(feature = "hybrid")]
        encapsulation_key: payload.split_off(COUNTER),
        suite,
    })
}

impl Response {
    /// The keys, the tag of the session at this end, and the reply's ciphertext and Noise message.
    pub(crate) fn answer(
        mut self,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Keys, Tag, Vec<u8>), HandshakeError> {
        let broken = HandshakeError::Authentication;
        let tag = Tag::random(rng);
        let mut reply = vec![0; self.suite.reply_len()];
        let head = match self.suite {
            Suite::Classic => 0,
            #[cfg(feature = "hybrid")]
            Suite::Hybrid => {
                let key = self.encapsulation_key.first_chunk().ok_or(broken)?;
                let (ciphertext, shared) = kem::encapsulate(key, rng).ok_or(broken)?;
                self.state.set_psk(2, shared.as_slice()).map_err(|_| broken)?;
                reply[..kem::CIPHERTEXT].copy_from_slice(&ciphertext);
                kem::CIPHERTEXT
            }
        };
        self.state.write_message(&tag.0, &mut reply[head..]).map_err(|_| broken)?;
        Ok((split(&mut self.state), tag, reply))
    }
}

fn split(state: &mut HandshakeState) -> Keys {
    let (to_responder, to_initiator) = state.dangerously_get_raw_split();
    Keys { to_responder: Zeroizing::new(to_responder), to_initiator: Zeroizing::new(to_initiator) }
}
