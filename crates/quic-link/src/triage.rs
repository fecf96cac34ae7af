/// Handshakes of one endpoint at a time: about 20 ms of work on a slow core, some hundred KiB.
pub const MAX_HANDSHAKES: usize = 64;

/// Handshakes from which a caller must first prove that it can be reached where it claims to be, so
/// that forged addresses cannot fill the rest.
pub const RETRY_FROM: usize = 16;

/// What to do with a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triage {
    /// Begin its handshake.
    Answer,
    /// Let it prove its address first.
    ProveAddress,
    /// Not even say no.
    Ignore,
}

impl Triage {
    /// Of a caller while so many `handshakes` are under way.
    pub const fn of(handshakes: usize, address_proved: bool) -> Self {
        if handshakes >= MAX_HANDSHAKES {
            Self::Ignore
        } else if handshakes >= RETRY_FROM && !address_proved {
            Self::ProveAddress
        } else {
            Self::Answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_bounded() {
        let rows = [
            (0, false, Triage::Answer),
            (RETRY_FROM - 1, false, Triage::Answer),
            (RETRY_FROM, false, Triage::ProveAddress),
            (RETRY_FROM, true, Triage::Answer),
            (MAX_HANDSHAKES - 1, true, Triage::Answer),
            (MAX_HANDSHAKES, true, Triage::Ignore),
            (MAX_HANDSHAKES, false, Triage::Ignore),
        ];
        for (handshakes, proved, expected) in rows {
            let got = Triage::of(handshakes, proved);
            assert_eq!(got, expected, "{handshakes} handshakes, proved {proved}");
        }
    }
}
