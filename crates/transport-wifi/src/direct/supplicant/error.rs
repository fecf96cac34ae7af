/// Why wpa_supplicant does not do what it was asked. The texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplicantError {
    /// The daemon does not answer.
    #[error("wpa_supplicant does not answer: {0}; `systemctl start wpa_supplicant`")]
    NoDaemon(String),
    /// This user may not.
    #[error("not permitted to {what}: {why}; install packaging/dbus/bitcraps-wifi-direct.conf")]
    NotPermitted {
        /// What was tried.
        what: String,
        /// What the system said.
        why: String,
    },
    /// The interface is none of its.
    #[error(
        "wpa_supplicant has no interface {interface}: it has {present}; `iw dev` shows those of the \
         machine, and `wpa_supplicant -u -D nl80211 -i INTERFACE -c FILE` gives it one"
    )]
    NotManaged {
        /// The name asked for.
        interface: String,
        /// Those that are there.
        present: String,
    },
    /// The program or the radio cannot.
    #[error(
        "{interface} cannot form Wi-Fi Direct groups: {why}; `iw phy` must show P2P-client and P2P-GO, \
         and wpa_supplicant be built with CONFIG_P2P and run without p2p_disabled=1"
    )]
    NoDirect {
        /// The interface.
        interface: String,
        /// What it said.
        why: String,
    },
    /// Anything else.
    #[error("{what} failed: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

impl SupplicantError {
    /// What an error of wpa_supplicant, or of the bus, means while doing `what`.
    pub(super) fn of(what: &str, error: &zbus::Error) -> Self {
        let zbus::Error::MethodError(name, why, _) = error else {
            return Self::NoDaemon(error.to_string());
        };
        let (what, why) = (what.to_owned(), why.clone().unwrap_or_else(|| name.to_string()));
        match name.rsplit_once('.').map_or(name.as_str(), |(_, last)| last) {
            "ServiceUnknown" | "NameHasNoOwner" | "NoReply" => Self::NoDaemon(why),
            "AccessDenied" | "NotAuthorized" | "AuthFailed" => Self::NotPermitted { what, why },
            _ => Self::Failed { what, why },
        }
    }
}
