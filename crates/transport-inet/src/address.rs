//! What is known of where a peer is, in one string.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use iroh::RelayUrl;

/// Most bytes of the notation: everything below it at its longest, and some spaces.
pub const MAX_ADDRESS_BYTES: usize = 2_048;

/// Most direct addresses of one peer: a few interfaces, each seen from inside and outside.
pub const MAX_DIRECT: usize = 16;

/// Most relays of one peer; it stays connected to one.
pub const MAX_PEER_RELAYS: usize = 4;

/// Most bytes of one relay's URL: the longest domain name, a port and the scheme.
pub const MAX_RELAY_BYTES: usize = 300;

/// A relay server: `https://relay.example` or, without TLS, `http://192.0.2.7:3340`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relay(RelayUrl);

impl Relay {
    pub(crate) fn url(&self) -> &RelayUrl {
        &self.0
    }

    /// Whether it is named by a loopback address of this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for Relay {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = |why| AddressError::Relay { token: shortened(text), why };
        if text.len() > MAX_RELAY_BYTES {
            return Err(bad(RelayError::TooLong));
        }
        let url: RelayUrl = text.parse().map_err(|_| bad(RelayError::NoUrl))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(bad(RelayError::Scheme));
        }
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(bad(RelayError::NoHost));
        }
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(Self(url)) } else { Err(bad(RelayError::MoreThanHost)) }
    }
}

/// Where a peer can be reached: addresses for the direct way, and relays that it is connected to.
/// Both ways are tried at once, and whatever of it works makes one link.
///
/// As text: tokens separated by spaces, each `ip:port` or a relay's URL.
///
/// ```
/// # use bitcraps_transport_inet::PeerAddress;
/// let address: PeerAddress = "192.0.2.7:4433 https://relay.example".parse()?;
/// assert_eq!(address.direct().len(), 1);
/// assert_eq!(address.to_string(), "192.0.2.7:4433 https://relay.example");
/// # Ok::<(), bitcraps_transport_inet::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    direct: Vec<SocketAddr>,
    relays: Vec<Relay>,
}

/// Whether one host and port are meant.
pub(crate) fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}

impl PeerAddress {
    /// From its parts; what is there twice counts once.
    ///
    /// # Errors
    /// [`AddressError`] when there is nothing, too much, or the address of no host.
    pub fn new(
        direct: impl IntoIterator<Item = SocketAddr>,
        relays: impl IntoIterator<Item = Relay>,
    ) -> Result<Self, AddressError> {
        let mut address = Self { direct: Vec::new(), relays: Vec::new() };
        for direct in direct {
            address.add_direct(direct)?;
        }
        for relay in relays {
            address.add_relay(relay)?;
        }
        address.not_empty()
    }

    /// Where it may be reached without a relay.
    pub fn direct(&self) -> &[SocketAddr] {
        &self.direct
    }

    /// The relays through which it may be reached.
    pub fn relays(&self) -> &[Relay] {
        &self.relays
    }

    fn add_direct(&mut self, address: SocketAddr) -> Result<(), AddressError> {
        if !is_dialable(address) {
            return Err(AddressError::NoHost(address));
        }
        if self.direct.contains(&address) {
            return Ok(());
        }
        if self.direct.len() == MAX_DIRECT {
            return Err(AddressError::TooMany { what: "addresses", max: MAX_DIRECT });
        }
        self.direct.push(address);
        Ok(())
    }

    fn add_relay(&mut self, relay: Relay) -> Result<(), AddressError> {
        if self.relays.contains(&relay) {
            return Ok(());
        }
        if self.relays.len() == MAX_PEER_RELAYS {
            return Err(AddressError::TooMany { what: "relays", max: MAX_PEER_RELAYS });
        }
        self.relays.push(relay);
        Ok(())
    }

    fn not_empty(self) -> Result<Self, AddressError> {
        let empty = self.direct.is_empty() && self.relays.is_empty();
        if empty { Err(AddressError::Empty) } else { Ok(self) }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for direct in &self.direct {
            write!(f, "{space}{direct}")?;
            space = " ";
        }
        for relay in &self.relays {
            write!(f, "{space}{relay}")?;
            space = " ";
        }
        Ok(())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    /// O(n) in the length of `text`, which is bounded.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong(text.len()));
        }
        let mut address = Self { direct: Vec::new(), relays: Vec::new() };
        for token in text.split_ascii_whitespace() {
            if token.contains("://") {
                address.add_relay(token.parse()?)?;
            } else {
                let direct = token.parse();
                address.add_direct(direct.map_err(|_| AddressError::Token(shortened(token)))?)?;
            }
        }
        address.not_empty()
    }
}

/// What is wrong with a relay's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// No URL at all.
    #[error("it is no URL, such as https://relay.example")]
    NoUrl,
    /// Another protocol.
    #[error("a relay is reached by https:// or http://")]
    Scheme,
    /// Nobody is named.
    #[error("it names no host and port")]
    NoHost,
    /// A path, a query or credentials, which a relay does not have.
    #[error("only a host and a port belong there")]
    MoreThanHost,
    /// Longer than any host's name.
    #[error("it is longer than {MAX_RELAY_BYTES} bytes")]
    TooLong,
}

/// Why a text is no [`PeerAddress`] or no [`Relay`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not one token.
    #[error(
        "expected ip:port or the URL of a relay, such as 192.0.2.7:4433 or https://relay.example"
    )]
    Empty,
    /// More than can be meant.
    #[error("{0} bytes, {MAX_ADDRESS_BYTES} is the most")]
    TooLong(usize),
    /// Too long a list.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A token that is neither.
    #[error("{0:?} is neither ip:port, such as 192.0.2.7:4433, nor the URL of a relay")]
    Token(String),
    /// Not the address of one host, or no port.
    #[error("{0} is not the address of one host with a port above 0")]
    NoHost(SocketAddr),
    /// A URL that names no relay.
    #[error("{token:?}: {why}")]
    Relay {
        /// The token.
        token: String,
        /// What is wrong with it.
        why: RelayError,
    },
}

impl AddressError {
    /// What is wrong, for a message that shows the text itself.
    pub fn problem(&self) -> String {
        match self {
            Self::Token(_) => {
                "it is neither ip:port, such as 192.0.2.7:4433, nor the URL of a relay".to_owned()
            }
            Self::NoHost(_) => {
                "nobody can be reached there; write the address of one host and its \
                                port"
                    .to_owned()
            }
            Self::Relay { why, .. } => why.to_string(),
            Self::Empty | Self::TooLong(_) | Self::TooMany { .. } => self.to_string(),
        }
    }
}

/// As much of a token as belongs into a message.
fn shortened(token: &str) -> String {
    const SHOWN: usize = 60;
    if token.chars().count() <= SHOWN {
        token.to_owned()
    } else {
        token.chars().take(SHOWN).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, AddressError> {
        text.parse::<PeerAddress>().map(|address| address.to_string())
    }

    fn relay(token: &str, why: RelayError) -> AddressError {
        AddressError::Relay { token: token.to_owned(), why }
    }

    #[test]
    fn every_form_is_read_and_shown_the_same_way() {
        let rows = [
            ("192.0.2.7:4433", "192.0.2.7:4433"),
            (" [2001:db8::7]:1\t192.0.2.7:1 ", "[2001:db8::7]:1 192.0.2.7:1"),
            ("https://relay.example/", "https://relay.example"),
            ("HTTPS://Relay.Example:443", "https://relay.example"),
            ("http://127.0.0.1:3340 127.0.0.1:9", "127.0.0.1:9 http://127.0.0.1:3340"),
            ("127.0.0.1:9 127.0.0.1:9 http://a http://a/", "127.0.0.1:9 http://a"),
        ];
        for (text, shown) in rows {
            assert_eq!(parse(text).as_deref(), Ok(shown), "{text:?}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        let host = |text: &str| AddressError::NoHost(text.parse().unwrap());
        let rows = [
            ("", AddressError::Empty),
            ("  ", AddressError::Empty),
            ("relay.example", AddressError::Token("relay.example".to_owned())),
            ("127.0.0.1", AddressError::Token("127.0.0.1".to_owned())),
            ("127.0.0.1:0", host("127.0.0.1:0")),
            ("0.0.0.0:9", host("0.0.0.0:9")),
            ("224.0.0.1:9", host("224.0.0.1:9")),
            ("ftp://relay.example", relay("ftp://relay.example", RelayError::Scheme)),
            ("https://", relay("https://", RelayError::NoUrl)),
            ("https://a:0", relay("https://a:0", RelayError::NoHost)),
            ("https://a/b", relay("https://a/b", RelayError::MoreThanHost)),
            ("https://a?b", relay("https://a?b", RelayError::MoreThanHost)),
            ("https://a#b", relay("https://a#b", RelayError::MoreThanHost)),
            ("https://me@a", relay("https://me@a", RelayError::MoreThanHost)),
            ("https://:pw@a", relay("https://:pw@a", RelayError::MoreThanHost)),
        ];
        for (text, error) in rows {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn bounds_hold_exactly() {
        let direct = |n: usize| (1..=n).map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>();
        assert!(parse(&direct(MAX_DIRECT).join(" ")).is_ok());
        let many = AddressError::TooMany { what: "addresses", max: MAX_DIRECT };
        assert_eq!(parse(&direct(MAX_DIRECT + 1).join(" ")), Err(many));
        let relays = |n: usize| (1..=n).map(|n| format!("http://r{n}")).collect::<Vec<_>>();
        assert!(parse(&relays(MAX_PEER_RELAYS).join(" ")).is_ok());
        let many = AddressError::TooMany { what: "relays", max: MAX_PEER_RELAYS };
        assert_eq!(parse(&relays(MAX_PEER_RELAYS + 1).join(" ")), Err(many));
        let padded = |n: usize| format!("{:n$}", "127.0.0.1:9");
        assert!(parse(&padded(MAX_ADDRESS_BYTES)).is_ok());
        let long = AddressError::TooLong(MAX_ADDRESS_BYTES + 1);
        assert_eq!(parse(&padded(MAX_ADDRESS_BYTES + 1)), Err(long));
        let host = |n: usize| format!("http://{}", "a".repeat(n - 7));
        assert!(parse(&host(MAX_RELAY_BYTES)).is_ok());
        let shown = format!("{}…", &host(MAX_RELAY_BYTES)[..60]);
        let long = AddressError::Relay { token: shown, why: RelayError::TooLong };
        assert_eq!(parse(&host(MAX_RELAY_BYTES + 1)), Err(long));
    }

    #[test]
    fn loopback_and_tls_are_told_by_the_url() {
        let rows = [
            ("http://127.0.0.5:1", true, false),
            ("http://[::1]:1", true, false),
            ("https://192.0.2.1", false, true),
            ("https://localhost.example", false, true),
        ];
        for (text, loopback, tls) in rows {
            let relay: Relay = text.parse().unwrap();
            assert_eq!((relay.is_loopback(), relay.is_tls()), (loopback, tls), "{text}");
        }
    }
}
