use std::path::Path;

/// Where bluetoothd is told how many channels for attributes it keeps.
pub(super) const PLACE: &str = "/etc/bluetooth/main.conf";

/// What to do when bluetoothd keeps more than one channel for attributes, as it does where nothing says
/// otherwise since 5.55: seen with 5.66 and Linux 6.12, whose numbers for them clash with those of others'
/// channels.
pub(super) fn advice(place: &Path) -> Option<String> {
    let settings = std::fs::read_to_string(place).unwrap_or_default();
    let mut section = "";
    let mut channels = None;
    for line in settings.lines().map(str::trim) {
        match (line.strip_prefix('['), line.split_once('=')) {
            (Some(name), _) => section = name.trim_end_matches(']'),
            (None, Some((key, value))) if section == "GATT" && key.trim() == "Channels" => {
                channels = Some(value.trim());
            }
            _ => {}
        }
    }
    let place = place.display();
    (channels != Some("1")).then(|| {
        format!(
            "with `Channels = 1` below `[GATT]` in {place}, bluetoothd would not now and then refuse \
             others' channels"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_for_attributes_is_advised_unless_it_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("main.conf");
        let advised = |settings: &str| {
            std::fs::write(&place, settings).unwrap();
            advice(&place).is_some()
        };
        assert!(!advised(
            "[General]\nChannels = 3\n[GATT]\n Channels=1 \n[Policy]\nChannels = 2\n"
        ));
        assert!(!advised("[GATT]\nChannels = 3\nChannels = 1\n"), "the last one counts");
        for other in
            ["", "[GATT]\n#Channels = 1\n", "[GATT]\nChannels = 3", "[General]\nChannels = 1"]
        {
            assert!(advised(other), "{other:?}");
        }
        let says = advice(&directory.path().join("none")).unwrap();
        assert!(says.contains("none, bluetoothd"), "{says}");
    }
}
