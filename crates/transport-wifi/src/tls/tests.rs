use bitcraps_quic_link::crypto_provider;
use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::quic::{ClientConnection, Connection, ServerConnection, Version};
use zeroize::Zeroizing;

use super::*;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&Zeroizing::new([seed; 32]))
}

fn tls(seed: u8, groups: &[&'static dyn rustls::crypto::SupportedKxGroup]) -> Tls {
    let mut provider = crypto_provider();
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    Tls::new(&identity(seed), provider).unwrap()
}

/// Handshakes in memory; the client's end and the server's, or the first error.
fn handshake(
    client: &Tls,
    expected: PeerId,
    server: &Tls,
) -> Result<(Connection, Connection), Error> {
    let config = client.rustls_client(Arc::new(Expected::new(expected)))?;
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut client: Connection =
        ClientConnection::new(Arc::new(config), Version::V1, name, Vec::new())?.into();
    let config = server.rustls_server()?;
    let mut server: Connection =
        ServerConnection::new(Arc::new(config), Version::V1, Vec::new())?.into();
    for _ in 0..8 {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    loop {
        let mut bytes = Vec::new();
        let keys = from.write_hs(&mut bytes);
        if !bytes.is_empty() {
            to.read_hs(&bytes)?;
        } else if keys.is_none() {
            return Ok(());
        }
    }
}

fn group(connection: &Connection) -> NamedGroup {
    connection.negotiated_key_exchange_group().unwrap().name()
}

#[test]
fn the_hybrid_group_is_negotiated_and_both_ends_know_each_other() {
    let (one, two) = (tls(1, &[]), tls(2, &[]));
    let (client, server) = handshake(&one, identity(2).peer(), &two).unwrap();
    assert_eq!(group(&client), NamedGroup::X25519MLKEM768);
    assert_eq!(group(&server), NamedGroup::X25519MLKEM768);
    let shown = |c: &Connection| peer_of(&c.peer_certificates().unwrap()[0]);
    assert_eq!(shown(&client), Some(identity(2).peer()));
    assert_eq!(shown(&server), Some(identity(1).peer()));
    assert_eq!(client.alpn_protocol(), Some(ALPN));
}

#[test]
fn an_end_without_the_hybrid_group_still_connects() {
    let (one, two) = (tls(1, &[kx_group::X25519]), tls(2, &[]));
    let (client, _) = handshake(&one, identity(2).peer(), &two).unwrap();
    assert_eq!(group(&client), NamedGroup::X25519);
}

#[test]
fn no_other_group_is_taken() {
    let (one, two) = (tls(1, &[kx_group::SECP256R1]), tls(2, &[]));
    assert!(handshake(&one, identity(2).peer(), &two).is_err());
}

#[test]
fn another_key_than_the_one_asked_for_is_refused() {
    let (one, two) = (tls(1, &[]), tls(2, &[]));
    let refused = handshake(&one, identity(3).peer(), &two).map(|_| ());
    let reason = CertificateError::ApplicationVerificationFailure;
    assert_eq!(refused, Err(Error::InvalidCertificate(reason)));
}

#[test]
fn a_key_shown_without_its_secret_is_refused() {
    // The server shows the public key of 3 and signs with the secret of 2.
    let (one, two) = (tls(1, &[]), tls(2, &[]));
    let shown = identity(3).certified_key(&crypto_provider()).unwrap();
    let forged = rustls::sign::CertifiedKey::new(shown.cert.clone(), two.key.key.clone());
    let forger = Tls { provider: two.provider.clone(), key: Arc::new(forged) };
    assert!(handshake(&one, identity(3).peer(), &forger).is_err());
    // And the same the other way round: the caller lies.
    assert!(handshake(&forger, identity(1).peer(), &one).is_err());
}
