use std::path::Path;

/// Where Linux shows what a machine is fed by.
pub(super) const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether the machine runs on mains power: a supply that is none of a battery is on, or there is no
/// battery of its own at all.
pub(super) fn is_mains(supplies: &Path) -> bool {
    let Ok(supplies) = std::fs::read_dir(supplies) else { return true };
    let mut battery = false;
    for supply in supplies.flatten() {
        let read = |name: &str| std::fs::read_to_string(supply.path().join(name));
        let is = |name: &str, wanted: &str| read(name).is_ok_and(|text| text.trim() == wanted);
        if is("type", "Battery") {
            // That of a mouse does not feed the machine.
            battery |= !is("scope", "Device");
        } else if is("online", "1") {
            return true;
        }
    }
    !battery
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_on_mains_when_it_is_plugged_in_or_has_no_battery() {
        let place = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            let path = place.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            for (file, text) in files {
                std::fs::write(path.join(file), text).unwrap();
            }
        };
        assert!(is_mains(&place.path().join("none")));
        assert!(is_mains(place.path()));
        supply("mouse", &[("type", "Battery\n"), ("scope", "Device\n")]);
        assert!(is_mains(place.path()));
        supply("BAT0", &[("type", "Battery\n")]);
        assert!(!is_mains(place.path()));
        supply("AC", &[("type", "Mains\n"), ("online", "0\n")]);
        assert!(!is_mains(place.path()));
        supply("AC", &[("online", "1\n")]);
        assert!(is_mains(place.path()));
    }
}
