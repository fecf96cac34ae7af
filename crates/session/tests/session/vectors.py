"""Makes vectors.txt with implementations that share no code with the crate.

noiseprotocol 0.3.1 (Noise), PyNaCl 1.6.2 (libsodium: key conversion, XChaCha20-Poly1305) and
kyber-py 1.2.0 (ML-KEM-768), all from PyPI:

    pip install noiseprotocol==0.3.1 pynacl==1.6.2 kyber-py==1.2.0
    python vectors.py > vectors.txt
"""

import hashlib
import struct

from kyber_py.ml_kem import ML_KEM_768
from nacl import bindings
from noise.connection import Keypair, NoiseConnection

SEEDS = [bytes([0x11]) * 32, bytes([0x22]) * 32]
EPOCHS = [3, 0x0102030405060708]
TAGS = [bytes.fromhex("a1a2a3a4"), bytes.fromhex("b1b2b3b4")]
EPHEMERALS = [bytes(range(32)), bytes(range(100, 132))]
KEM_SEED = bytes(range(64))
KEM_RANDOM = bytes(range(200, 232))
COUNTER = 1


def static(seed):
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    return (
        public,
        bindings.crypto_sign_ed25519_sk_to_curve25519(secret),
        bindings.crypto_sign_ed25519_pk_to_curve25519(public),
    )


def connection(pattern, prologue, who, psk):
    noise = NoiseConnection.from_name(pattern)
    noise.set_prologue(prologue)
    if psk:
        noise.set_psks(psk)
    own, other = static(SEEDS[who]), static(SEEDS[1 - who])
    noise.set_keypair_from_private_bytes(Keypair.STATIC, own[1])
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, other[2])
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, EPHEMERALS[who])
    noise.set_as_initiator() if who == 0 else noise.set_as_responder()
    noise.start_handshake()
    return noise


def seal(key, nonce, associated, payload):
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(payload, associated, nonce, key)


def nonce(kind, cls, generation, epoch, sequence):
    return bytes([kind, cls, generation]) + bytes(5) + struct.pack(">QQ", epoch, sequence)


def show(name, value):
    print(name, value.hex())


def handshake(name, kind, pattern, hybrid):
    peers = [static(seed)[0] for seed in SEEDS]
    prologue = b"bitcraps session 1" + bytes([kind]) + peers[0] + peers[1]
    prologue += struct.pack(">QQ", *EPOCHS) + TAGS[0]
    payload, ciphertext, psk = struct.pack(">Q", COUNTER), b"", None
    if hybrid:
        encapsulation_key, _ = ML_KEM_768.key_derive(KEM_SEED)
        shared, ciphertext = ML_KEM_768._encaps_internal(encapsulation_key, KEM_RANDOM)
        payload += encapsulation_key
        hashed = b"bitcraps session ML-KEM-768" + shared + ciphertext + encapsulation_key
        psk = hashlib.sha256(hashed).digest()
    initiator = connection(pattern, prologue, 0, psk)
    responder = connection(pattern, prologue, 1, psk)
    first = initiator.write_message(payload)
    assert responder.read_message(first) == payload
    second = responder.write_message(TAGS[1])
    assert initiator.read_message(second) == TAGS[1]
    show(name + " initiation", bytes([kind]) + TAGS[0] + struct.pack(">Q", EPOCHS[0]) + first)
    show(name + " reply", bytes([kind + 1]) + TAGS[0] + ciphertext + second)
    to_responder = bytes(initiator.noise_protocol.cipher_state_encrypt.k)
    to_initiator = bytes(initiator.noise_protocol.cipher_state_decrypt.k)
    confirmation = seal(to_responder, nonce(3, 0, 0, 0, 0), bytes(64), b"")
    show(name + " confirmation", bytes([5]) + TAGS[1] + bytes(8) + confirmation)
    there = seal(to_responder, nonce(1, 1, 2, 3, 77), peers[0] + peers[1], b"a bet of 5")
    show(name + " message", TAGS[1] + there)
    back = seal(to_initiator, nonce(1, 3, 0, EPOCHS[1], 2**40), peers[1] + peers[0], b"")
    show(name + " empty message back", TAGS[0] + back)
    ack = seal(to_initiator, nonce(2, 0, 0, 0, 0), bytes(64), b"taken")
    show(name + " ack back", TAGS[0] + bytes(8) + ack)


for who, seed in enumerate(SEEDS):
    show("peer %d" % who, static(seed)[0])
handshake("classic", 1, b"Noise_KK_25519_ChaChaPoly_SHA256", False)
handshake("hybrid", 3, b"Noise_KKpsk2_25519_ChaChaPoly_SHA256", True)
