//! Where a node listens for what is not local links.

use std::net::SocketAddr;

use super::Check;
use crate::config::limits::{MAX_INTERNET_LISTEN, MAX_PUBLIC, MAX_RELAYS};
use crate::config::raw::RawInternetLinks;
use crate::config::{ConfigError, DashboardSettings, InternetSettings};

impl Check<'_> {
    pub(super) fn internet(&self, raw: &RawInternetLinks) -> Result<InternetSettings, ConfigError> {
        let (key, count) = ("internet.listen", raw.listen.len());
        self.at_most(key, count, "addresses", MAX_INTERNET_LISTEN)?;
        let mut listen: Vec<SocketAddr> = Vec::with_capacity(count);
        for text in &raw.listen {
            let unfit = |problem| self.unfit(key, text, problem);
            let address: SocketAddr = text.parse().map_err(|_| {
                unfit("it is no address; write ip:port, as 0.0.0.0:47802 or [::]:47802")
            })?;
            let (ip, port) = (address.ip(), address.port());
            if ip.is_multicast() {
                return Err(unfit("it is a multicast address; write one of an interface"));
            }
            let family = || listen.iter().filter(|other| other.is_ipv4() == address.is_ipv4());
            if port != 0 && family().any(|other| *other == address) {
                return Err(unfit("it is listed twice; list it once"));
            }
            if family().any(|other| ip.is_unspecified() || other.ip().is_unspecified()) {
                return Err(unfit(
                    "it stands beside another address of its family, and one of both means every \
                     interface; list that one alone",
                ));
            }
            listen.push(address);
        }
        let key = "internet.public";
        self.at_most(key, raw.public.len(), "addresses", MAX_PUBLIC)?;
        let mut public = Vec::with_capacity(raw.public.len());
        for text in &raw.public {
            let address = self.address(key, text)?;
            if public.contains(&address) {
                return Err(self.unfit(key, text, "it is listed twice; list it once"));
            }
            public.push(address);
        }
        let key = "internet.relays";
        self.at_most(key, raw.relays.len(), "relays", MAX_RELAYS)?;
        for (at, text) in raw.relays.iter().enumerate() {
            #[cfg(feature = "internet")]
            if let Err(error) = text.parse::<bitcraps_transport_inet::Relay>() {
                return Err(self.unfit(key, text, &error.problem()));
            }
            if raw.relays[..at].contains(text) {
                return Err(self.unfit(key, text, "it is listed twice; list it once"));
            }
        }
        let relay_roots = match raw.relay_roots.as_str() {
            "" => None,
            written => Some(self.path("internet.relay_roots", written)?),
        };
        let relays = raw.relays.clone();
        Ok(InternetSettings { enabled: raw.enabled, listen, public, relays, relay_roots })
    }

    pub(super) fn dashboard(&self, listen: &str) -> Result<DashboardSettings, ConfigError> {
        if listen.is_empty() {
            return Ok(DashboardSettings::default());
        }
        let unfit = |problem| self.unfit("dashboard.listen", listen, problem);
        let address: SocketAddr = listen
            .parse()
            .map_err(|_| unfit("it is no address; write ip:port, as 127.0.0.1:9464"))?;
        if !address.ip().is_loopback() {
            return Err(unfit(
                "others could read it there, and nothing asks who they are; write an address of this \
                 machine alone, as 127.0.0.1:9464",
            ));
        }
        Ok(DashboardSettings { listen: Some(address) })
    }
}
