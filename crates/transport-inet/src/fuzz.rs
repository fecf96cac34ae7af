//! What must hold for every input of the address notation, whoever wrote it. Panics when it does
//! not; the bounded test below and the fuzz target call the same function.

use crate::address::{AddressError, MAX_ADDRESS_BYTES, MAX_DIRECT, MAX_PEER_RELAYS, PeerAddress};

/// An address is refused with a short reason, or keeps to its bounds and is read back from its own
/// text.
///
/// # Errors
/// How it is wrong.
pub fn address(data: &[u8]) -> Result<PeerAddress, &'static str> {
    let Ok(text) = std::str::from_utf8(data) else { return Err("no text") };
    match text.parse::<PeerAddress>() {
        Ok(address) => {
            assert!(address.direct().len() <= MAX_DIRECT, "{address}");
            assert!(address.relays().len() <= MAX_PEER_RELAYS, "{address}");
            assert!(!address.direct().is_empty() || !address.relays().is_empty());
            let shown = address.to_string();
            assert!(shown.len() <= MAX_ADDRESS_BYTES, "{} bytes", shown.len());
            assert_eq!(shown.parse().as_ref(), Ok(&address), "{shown:?}");
            Ok(address)
        }
        Err(error) => {
            assert!(error.to_string().len() <= 512, "{error}");
            Err(match error {
                AddressError::Empty => "empty",
                AddressError::TooLong(_) => "too long",
                AddressError::TooMany { .. } => "too many",
                AddressError::Token(_) => "token",
                AddressError::NoHost(_) => "no host",
                AddressError::Relay { .. } => "relay",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;

    use super::*;

    const INPUTS: usize = 20_000;

    const TOKENS: [&str; 14] = [
        "127.0.0.1:9",
        "192.0.2.255:655",
        "[2001:db8::7]:443",
        "[fe80::1%3]:1",
        "0.0.0.0:1",
        "10.0.0.1:0",
        "https://relay.example",
        "HTTP://[::1]:3340/",
        "https://münchen.example:8443",
        "https://a/b?c#d",
        "ftp://a",
        "https://user:pw@a",
        "localhost",
        "://",
    ];

    #[test]
    fn mutated_addresses_reach_every_refusal() {
        let mut rng = Rng::with_seed(1);
        let mut seen = BTreeSet::new();
        for _ in 0..INPUTS {
            let tokens = rng.usize(..24) * rng.usize(..2) + rng.usize(..4);
            let mut text = String::new();
            for _ in 0..tokens {
                // Mostly good ones, or the bounds on their number are never met.
                let reach = if rng.u8(..20) == 0 { TOKENS.len() } else { 3 };
                text.push_str(TOKENS[rng.usize(..reach)]);
                if reach == 3 && rng.bool() {
                    text.push_str(&rng.u8(..10).to_string());
                }
                text.push_str([" ", "\t", "  "][rng.usize(..3)]);
            }
            if rng.u8(..50) == 0 {
                text.push_str(&" ".repeat(MAX_ADDRESS_BYTES));
            }
            let mut bytes = text.into_bytes();
            if rng.bool() && !bytes.is_empty() {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            seen.insert(address(&bytes).map_or_else(|why| why, |_| "=address"));
        }
        let all =
            ["=address", "empty", "no host", "no text", "relay", "token", "too long", "too many"];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }
}
