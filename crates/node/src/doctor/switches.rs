//! Switches that keep radios off, as Linux shows them (`rfkill`).

use std::fs;
use std::path::Path;

/// Where the kernel shows them; absent on a machine without any radio.
pub(super) const PLACE: &str = "/sys/class/rfkill";

/// Most that are looked at; a machine has a handful.
const MAX_SWITCHES: usize = 64;

/// The switch at `place` that keeps radios of a kind off, and what to do; `None` when there is none.
pub(super) fn blocking(place: &Path, kind: &str) -> Option<String> {
    let mut found: Vec<_> =
        fs::read_dir(place).ok()?.flatten().take(MAX_SWITCHES).map(|entry| entry.path()).collect();
    found.sort_unstable();
    found.iter().find_map(|switch| {
        let says = |file: &str| {
            fs::read_to_string(switch.join(file))
                .map(|text| text.trim().to_owned())
                .unwrap_or_default()
        };
        if says("type") != kind {
            return None;
        }
        let name = says("name");
        if says("hard") == "1" {
            return Some(format!(
                "{name} is switched off by a switch of the machine, or in its firmware"
            ));
        }
        (says("soft") == "1").then(|| format!("{name} is switched off: `rfkill unblock {kind}`"))
    })
}
