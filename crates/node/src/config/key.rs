use strsim::damerau_levenshtein;

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Where it is, dots between the tables.
    pub(super) path: &'static str,
    /// Whether a running node keeps the old value until it is started again.
    pub(super) needs_restart: bool,
}

const fn live(path: &'static str) -> Key {
    Key { path, needs_restart: false }
}

const fn restart(path: &'static str) -> Key {
    Key { path, needs_restart: true }
}

/// The static peers are one key: they are compared and overridden as a whole.
pub(super) const PEERS: &str = "peers";
/// What is known inside each of them.
const PEER_KEYS: [&str; 3] = ["peers.addresses", "peers.id", "peers.internet"];

/// Letters at the start of a word that make it likely to be meant.
const MIN_STEM: usize = 3;

/// Every key, in the order of the template.
pub(super) const KEYS: &[Key] = &[
    live("coordination.network_monitor.health_check_interval_seconds"),
    live("coordination.network_monitor.anomaly_threshold_multiplier"),
    live("coordination.network_monitor.partition_risk_alert_threshold"),
    live("coordination.network_monitor.max_diameter_alert"),
    live("coordination.network_monitor.min_clustering_coefficient"),
    live("coordination.network_monitor.bridge_node_load_threshold"),
    live("coordination.network_monitor.partition_risk_clear"),
    live("coordination.network_monitor.max_diameter_clear"),
    live("coordination.network_monitor.min_clustering_clear"),
    live("coordination.network_monitor.bridge_node_load_clear"),
    live("coordination.network_monitor.partition_risk_advice"),
    live("coordination.network_monitor.max_diameter_advice"),
    live("coordination.network_monitor.absent_after_intervals"),
    live("coordination.alerts.partition_risk.for_seconds"),
    live("coordination.alerts.partition_risk.keep_firing_seconds"),
    live("coordination.alerts.network_partitioned.for_seconds"),
    live("coordination.alerts.network_partitioned.keep_firing_seconds"),
    live("coordination.alerts.articulation_point_overload.for_seconds"),
    live("coordination.alerts.articulation_point_overload.keep_firing_seconds"),
    live("coordination.alerts.high_diameter.for_seconds"),
    live("coordination.alerts.high_diameter.keep_firing_seconds"),
    live("coordination.alerts.low_clustering.for_seconds"),
    live("coordination.alerts.low_clustering.keep_firing_seconds"),
    live("coordination.alerts.anomaly_detected.for_seconds"),
    live("coordination.alerts.anomaly_detected.keep_firing_seconds"),
    live("coordination.alerts.transport_down.for_seconds"),
    live("coordination.alerts.transport_down.keep_firing_seconds"),
    live("coordination.alerts.peer_lost.for_seconds"),
    live("coordination.alerts.peer_lost.keep_firing_seconds"),
    live("coordination.alerts.link_state_poisoning.for_seconds"),
    live("coordination.alerts.link_state_poisoning.keep_firing_seconds"),
    live("coordination.alerts.identity_conflict.for_seconds"),
    live("coordination.alerts.identity_conflict.keep_firing_seconds"),
    live("coordination.alerts.data_absent.for_seconds"),
    live("coordination.alerts.data_absent.keep_firing_seconds"),
    live("coordination.betting.pause_above"),
    live("coordination.betting.resume_at"),
    live("coordination.betting.calm_seconds"),
    live("coordination.transport.default_policy"),
    live("coordination.transport.energy_aware_mode"),
    live("coordination.transport.auto_failover_enabled"),
    live("coordination.transport.bluetooth.max_packet_size"),
    live("coordination.transport.bluetooth.connection_timeout_seconds"),
    live("coordination.transport.bluetooth.reliability_threshold"),
    live("coordination.transport.wifi_direct.max_packet_size"),
    live("coordination.transport.wifi_direct.connection_timeout_seconds"),
    live("coordination.transport.wifi_direct.reliability_threshold"),
    live("coordination.transport.internet.max_packet_size"),
    live("coordination.transport.internet.connection_timeout_seconds"),
    live("coordination.transport.internet.reliability_threshold"),
    restart("node.data_dir"),
    restart("node.name"),
    restart("node.privacy"),
    restart("lan.enabled"),
    restart("lan.interfaces"),
    restart("lan.port"),
    restart("lan.discovery_port"),
    restart("lan.mdns"),
    restart("lan.beacon"),
    restart("lan.prior"),
    restart("bluetooth.enabled"),
    restart("bluetooth.adapter"),
    restart("bluetooth.hci"),
    restart("wifi_direct.enabled"),
    restart("wifi_direct.interface"),
    restart("wifi_direct.bus"),
    restart("wifi_direct.pin"),
    restart("internet.enabled"),
    restart("internet.listen"),
    restart("internet.public"),
    restart("internet.relays"),
    restart("internet.relay_roots"),
    live(PEERS),
    live("admission.mode"),
    live("admission.allow"),
    live("admission.block"),
    live("admission.max_peers"),
    live("admission.stranger_links"),
    live("admission.stranger_bytes_per_second"),
    live("healing.enabled"),
    live("healing.mode"),
    restart("healing.link_discovered"),
    live("healing.bluetooth_neighbours"),
    restart("store.enabled"),
    restart("store.path"),
    restart("store.max_bytes"),
    restart("history.enabled"),
    restart("history.path"),
    restart("admin.socket"),
    restart("dashboard.listen"),
    live("log.filter"),
    restart("log.format"),
];

/// What a dotted path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A key that takes a value.
    Value(&'static Key),
    /// A table of keys.
    Section,
    /// A key inside one of the static peers.
    OfPeer,
    /// Nothing this program knows.
    Unknown,
}

/// Looks a dotted path up. Linear in the number of keys.
pub(super) fn place(path: &str) -> Place {
    if let Some(key) = KEYS.iter().find(|key| key.path == path) {
        return Place::Value(key);
    }
    if PEER_KEYS.contains(&path) {
        return Place::OfPeer;
    }
    if KEYS.iter().any(|key| is_within(key.path, path)) { Place::Section } else { Place::Unknown }
}

fn is_within(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// The known key or table that somebody may have meant by `unknown`: in the same table, one whose last
/// word differs in no more than half its letters or begins with what was written; elsewhere, one with
/// the same last word. The closest by the number of letters to change.
pub(super) fn closest(unknown: &str) -> Option<&'static str> {
    let (section, word) = split(unknown);
    let distance = |known: &str| {
        let (known_section, known_word) = split(known);
        let of_word = damerau_levenshtein(word, known_word);
        let longer = word.chars().count().max(known_word.chars().count());
        let cut_short = word.len() >= MIN_STEM && known_word.starts_with(word);
        let alike = 2 * of_word <= longer || cut_short;
        let near = of_word == 0 || known_section == section && alike;
        near.then(|| of_word + damerau_levenshtein(section, known_section))
    };
    known_paths()
        .filter_map(|known| distance(known).map(|d| (d, known)))
        .min()
        .map(|(_, known)| known)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// Every key and every table on the way to one; tables repeat.
fn known_paths() -> impl Iterator<Item = &'static str> {
    let tables =
        KEYS.iter().flat_map(|key| key.path.match_indices('.').map(|(dot, _)| &key.path[..dot]));
    let keys = KEYS.iter().map(|key| key.path);
    keys.chain(PEER_KEYS).chain(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_close_or_absent() {
        for (unknown, expected) in [
            ("lan.discover_port", Some("lan.discovery_port")),
            ("lan.prot", Some("lan.port")),
            ("log.fmt", Some("log.format")),
            ("coordinaton", Some("coordination")),
            ("coordination.transprot", Some("coordination.transport")),
            ("peer", Some("peers")),
            ("peers.addresse", Some("peers.addresses")),
            ("data_dir", Some("node.data_dir")),
            ("coordination.transport.bluetooth.port", Some("lan.port")),
            (
                "coordination.transport.wifi_direkt.max_packet_size",
                Some("coordination.transport.wifi_direct.max_packet_size"),
            ),
            ("coordination.transport.wifi", Some("coordination.transport.wifi_direct")),
            ("lan.disc", Some("lan.discovery_port")),
            ("lan.di", None),
            ("lan.foo", None),
            ("log.xyz", None),
            ("qqqqqqqq", None),
        ] {
            assert_eq!(closest(unknown), expected, "{unknown}");
        }
    }

    #[test]
    fn every_path_is_found_for_what_it_is() {
        for key in KEYS {
            assert_eq!(place(key.path), Place::Value(key));
        }
        assert_eq!(place("peers.id"), Place::OfPeer);
        assert_eq!(place("coordination.transport"), Place::Section);
        assert_eq!(place("coordination.trans"), Place::Unknown);
        assert_eq!(place("lan.port.x"), Place::Unknown);
        assert_eq!(place("peers.name"), Place::Unknown);
    }
}
