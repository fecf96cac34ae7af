/// How much this device wants to own a group, 1 to 14, as the negotiation of Wi-Fi Direct compares it;
/// equal ones are told apart by a random bit of the protocol. The owner's radio never sleeps, so that
/// mains power goes before any number of links; among equals whoever holds more links already, `degree`,
/// serves more. Never 15, which insists: two that insist get no group.
pub(super) fn intent(mains: bool, degree: usize) -> u8 {
    let links = degree.min(6) as u8; // at most 6
    if mains { 8 + links } else { 1 + links }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mains_power_goes_before_links_and_nobody_insists() {
        let rows = [
            (false, 0, 1),
            (false, 1, 2),
            (false, 6, 7),
            (false, 7, 7),
            (true, 0, 8),
            (true, 6, 14),
            (true, usize::MAX, 14),
        ];
        for (mains, degree, expected) in rows {
            assert_eq!(intent(mains, degree), expected, "{mains} {degree}");
        }
    }
}
