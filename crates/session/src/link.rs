//! Keys for one link whose carrier authenticates nobody: Noise XXpsk3, whose key is encapsulated
//! with ML-KEM-768 under a key that the first message carries.
//!
//! ```text
//! caller                                                        answerer
//!   hello   e, {encapsulation key}                                ──▶
//!   ◀──     reply   e, ee, s, es, {id, ciphertext}
//!   proof   s, se, psk, {id}                                      ──▶
//!   record  a frame under the keys of its direction               ◀─▶
//! ```
//!
//! Neither end has to know the other beforehand, nobody who listens learns who they are, and what
//! was recorded stays closed unless both X25519 and ML-KEM are broken. A record that is lost,
//! repeated or changed ends the link: the carrier keeps order and loses nothing while it stands.

use bitcraps_types::PeerId;
use rand_core::CryptoRng;
use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::handshake::Given;
use crate::identity::agreement_key;
use crate::{HandshakeError, Identity, kem};

/// Length of the first message in bytes.
pub const HELLO: usize = 32 + kem::ENCAPSULATION_KEY + MAC;
/// Length of the second message in bytes.
pub const REPLY: usize = 32 + (32 + MAC) + (ID + kem::CIPHERTEXT) + MAC;
/// Length of the third message in bytes.
pub const PROOF: usize = (32 + MAC) + ID + MAC;
/// Bytes that sealing adds to a record.
pub const RECORD_OVERHEAD: usize = MAC;
/// Largest record in bytes, sealed (the bound of a Noise message).
pub const MAX_RECORD: usize = 65_535;

const MAC: usize = 16;
const ID: usize = 32;
const PATTERN: &str = "Noise_XXpsk3_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"bitcraps link 1";
/// Where in the handshake the encapsulated key is mixed in: at the end of the third message.
const PSK: u8 = 3;

fn noise(
    identity: &Identity,
    caller: bool,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<HandshakeState, HandshakeError> {
    let mut ephemeral = Zeroizing::new([0; 32]);
    rng.fill_bytes(ephemeral.as_mut_slice());
    let params = PATTERN.parse().map_err(broken)?;
    let builder = Builder::with_resolver(params, Box::new(Given(ephemeral)))
        .local_private_key(identity.secret())
        .and_then(|builder| builder.prologue(PROLOGUE))
        .map_err(broken)?;
    if caller { builder.build_initiator() } else { builder.build_responder() }.map_err(broken)
}

fn broken(_: snow::Error) -> HandshakeError {
    HandshakeError::Authentication
}

fn write<const LEN: usize>(
    state: &mut HandshakeState,
    payload: &[u8],
) -> Result<Vec<u8>, HandshakeError> {
    let mut out = vec![0; LEN];
    let len = state.write_message(payload, &mut out).map_err(broken)?;
    debug_assert_eq!(len, LEN);
    Ok(out)
}

fn read<const LEN: usize>(
    state: &mut HandshakeState,
    message: &[u8],
) -> Result<Vec<u8>, HandshakeError> {
    if message.len() != LEN {
        return Err(HandshakeError::Length(message.len()));
    }
    let mut payload = vec![0; LEN];
    let len = state.read_message(message, &mut payload).map_err(broken)?;
    payload.truncate(len);
    Ok(payload)
}

/// The peer that `payload` begins with, whose key the handshake has proved; and the rest.
fn proved<'a>(
    state: &HandshakeState,
    payload: &'a [u8],
) -> Result<(PeerId, &'a [u8]), HandshakeError> {
    let (id, rest) =
        payload.split_first_chunk::<ID>().ok_or(HandshakeError::Length(payload.len()))?;
    let peer = PeerId::from_bytes(*id);
    match (agreement_key(&peer), state.get_remote_static()) {
        (Some(key), Some(shown)) if key == *shown => Ok((peer, rest)),
        _ => Err(HandshakeError::Authentication),
    }
}

fn session(state: HandshakeState, peer: PeerId) -> Result<LinkSession, HandshakeError> {
    Ok(LinkSession { state: state.into_transport_mode().map_err(broken)?, peer })
}

/// The end that opens a link, until the other end has replied.
pub struct Caller {
    state: HandshakeState,
    secret: kem::Secret,
    own: PeerId,
}

impl Caller {
    /// Begins a handshake: what reads the reply, and the hello of [`HELLO`] bytes.
    ///
    /// # Errors
    /// [`HandshakeError::Authentication`] when `identity` cannot agree on keys.
    pub fn new(
        identity: &Identity,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut state = noise(identity, true, rng)?;
        let (secret, public) = kem::generate(rng);
        let hello = write::<HELLO>(&mut state, &public)?;
        Ok((Self { state, secret, own: identity.peer() }, hello))
    }

    /// Reads the reply: the session, and the proof of [`PROOF`] bytes without which the other end
    /// does not believe in it.
    ///
    /// # Errors
    /// [`HandshakeError`] when the reply does not answer the hello, or its sender does not hold the
    /// key that it names.
    pub fn finish(mut self, reply: &[u8]) -> Result<(LinkSession, Vec<u8>), HandshakeError> {
        let payload = read::<REPLY>(&mut self.state, reply)?;
        let (peer, ciphertext) = proved(&self.state, &payload)?;
        let wrong = HandshakeError::Length(ciphertext.len());
        let shared = self.secret.decapsulate(ciphertext.try_into().map_err(|_| wrong)?);
        self.state.set_psk(PSK.into(), shared.as_slice()).map_err(broken)?;
        let proof = write::<PROOF>(&mut self.state, self.own.as_bytes())?;
        Ok((session(self.state, peer)?, proof))
    }
}

/// The end that was called, until the caller has proved who it is.
pub struct Answerer {
    state: HandshakeState,
}

impl Answerer {
    /// Answers a hello: what reads the proof, and the reply of [`REPLY`] bytes. About 0.2 ms of
    /// work for a stranger, whose number the caller of this bounds.
    ///
    /// # Errors
    /// [`HandshakeError`] when it is no hello.
    pub fn answer(
        identity: &Identity,
        hello: &[u8],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut state = noise(identity, false, rng)?;
        let key = read::<HELLO>(&mut state, hello)?;
        let wrong = HandshakeError::Length(key.len());
        let key = key.as_slice().try_into().map_err(|_| wrong)?;
        let (ciphertext, shared) =
            kem::encapsulate(key, rng).ok_or(HandshakeError::Authentication)?;
        state.set_psk(PSK.into(), shared.as_slice()).map_err(broken)?;
        let payload = [identity.peer().as_bytes().as_slice(), &ciphertext].concat();
        let reply = write::<REPLY>(&mut state, &payload)?;
        Ok((Self { state }, reply))
    }

    /// Reads the proof: the session with whoever called.
    ///
    /// # Errors
    /// [`HandshakeError`] when the caller does not hold the key that it names.
    pub fn finish(mut self, proof: &[u8]) -> Result<LinkSession, HandshakeError> {
        let payload = read::<PROOF>(&mut self.state, proof)?;
        let (peer, _) = proved(&self.state, &payload)?;
        session(self.state, peer)
    }
}

/// The keys of a link.
pub struct LinkSession {
    state: TransportState,
    peer: PeerId,
}

impl LinkSession {
    /// Who is at the other end.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The next record, [`RECORD_OVERHEAD`] bytes longer than `plain`; `None` when it would exceed
    /// [`MAX_RECORD`], or after 2^64 records.
    pub fn seal(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut record = vec![0; plain.len() + RECORD_OVERHEAD];
        let len = self.state.write_message(plain, &mut record).ok()?;
        record.truncate(len);
        Some(record)
    }

    /// What the next record holds; `None` when it is not the next one that the other end sealed.
    pub fn open(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let mut plain = vec![0; record.len()];
        let len = self.state.read_message(record, &mut plain).ok()?;
        plain.truncate(len);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn established() -> [LinkSession; 2] {
        let (near, far) = (identity(1), identity(2));
        let (caller, hello) = Caller::new(&near, &mut rng(1)).unwrap();
        let (answerer, reply) = Answerer::answer(&far, &hello, &mut rng(2)).unwrap();
        let (session, proof) = caller.finish(&reply).unwrap();
        assert_eq!((hello.len(), reply.len(), proof.len()), (1_232, 1_216, 96));
        [session, answerer.finish(&proof).unwrap()]
    }

    #[test]
    fn both_ends_learn_who_the_other_is_and_read_each_other() {
        let [mut near, mut far] = established();
        assert_eq!((near.peer(), far.peer()), (identity(2).peer(), identity(1).peer()));
        for text in [&b"x"[..], b"", &[7; 1_000]] {
            let record = near.seal(text).unwrap();
            assert_eq!(record.len(), text.len() + RECORD_OVERHEAD);
            assert_eq!(far.open(&record).as_deref(), Some(text));
            let back = far.seal(text).unwrap();
            assert_ne!(back, record);
            assert_eq!(near.open(&back).as_deref(), Some(text));
        }
        assert_eq!(near.seal(&vec![0; MAX_RECORD - RECORD_OVERHEAD + 1]), None);
        assert_eq!(near.seal(&vec![0; MAX_RECORD - RECORD_OVERHEAD]).unwrap().len(), MAX_RECORD);
    }

    #[test]
    fn a_record_changed_repeated_or_left_out_is_refused() {
        let [mut near, mut far] = established();
        let first = near.seal(b"first").unwrap();
        for at in 0..first.len() {
            let mut changed = first.clone();
            changed[at] ^= 1;
            assert_eq!(far.open(&changed), None, "byte {at}");
        }
        assert!(far.open(&first).is_some());
        assert_eq!(far.open(&first), None, "repeated");
        let _skipped = near.seal(b"second").unwrap();
        assert_eq!(far.open(&near.seal(b"third").unwrap()), None, "one is missing");
        assert_eq!(far.open(&[]), None);
    }

    #[test]
    fn no_changed_or_cut_message_gives_a_session() {
        let (near, far) = (identity(1), identity(2));
        let (_, hello) = Caller::new(&near, &mut rng(1)).unwrap();
        let (_, reply) = Answerer::answer(&far, &hello, &mut rng(2)).unwrap();
        for at in (0..reply.len()).step_by(7).chain([reply.len() - 1]) {
            let mut changed = reply.clone();
            changed[at] ^= 1;
            let (caller, _) = Caller::new(&near, &mut rng(1)).unwrap();
            assert_eq!(caller.finish(&changed).err(), Some(HandshakeError::Authentication), "{at}");
        }
        for at in (0..hello.len()).step_by(7) {
            let mut changed = hello.clone();
            changed[at] ^= 1;
            // The first message authenticates nobody, but what answers a changed one answers
            // another caller.
            let Ok((_, reply)) = Answerer::answer(&far, &changed, &mut rng(2)) else { continue };
            let (caller, _) = Caller::new(&near, &mut rng(1)).unwrap();
            assert_eq!(caller.finish(&reply).err(), Some(HandshakeError::Authentication), "{at}");
        }
        for at in 0..PROOF {
            let (caller, hello) = Caller::new(&near, &mut rng(1)).unwrap();
            let (answerer, reply) = Answerer::answer(&far, &hello, &mut rng(2)).unwrap();
            let mut proof = caller.finish(&reply).unwrap().1;
            proof[at] ^= 1;
            assert_eq!(answerer.finish(&proof).err(), Some(HandshakeError::Authentication), "{at}");
        }
        let (caller, hello) = Caller::new(&near, &mut rng(1)).unwrap();
        assert_eq!(caller.finish(&reply[1..]).err(), Some(HandshakeError::Length(REPLY - 1)));
        let cut = Answerer::answer(&far, &hello[1..], &mut rng(2));
        assert_eq!(cut.err(), Some(HandshakeError::Length(HELLO - 1)));
    }

    #[test]
    fn nobody_passes_for_another() {
        let mut liar = identity(1);
        liar.claim(identity(3).peer());
        let far = identity(2);
        let (caller, hello) = Caller::new(&liar, &mut rng(1)).unwrap();
        let (answerer, reply) = Answerer::answer(&far, &hello, &mut rng(2)).unwrap();
        let (_, proof) = caller.finish(&reply).unwrap();
        assert_eq!(answerer.finish(&proof).err(), Some(HandshakeError::Authentication));

        let (caller, hello) = Caller::new(&far, &mut rng(1)).unwrap();
        let (_, reply) = Answerer::answer(&liar, &hello, &mut rng(2)).unwrap();
        assert_eq!(caller.finish(&reply).err(), Some(HandshakeError::Authentication));
    }

    #[test]
    fn a_reply_to_another_hello_is_refused() {
        let (near, far) = (identity(1), identity(2));
        let (_, old) = Caller::new(&near, &mut rng(1)).unwrap();
        let (_, reply) = Answerer::answer(&far, &old, &mut rng(2)).unwrap();
        let (caller, _) = Caller::new(&near, &mut rng(3)).unwrap();
        assert_eq!(caller.finish(&reply).err(), Some(HandshakeError::Authentication));
    }
}
