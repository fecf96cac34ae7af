//! What of other devices' packets the host is given. `trouble_host` 0.8 takes it for granted that whoever
//! speaks on a connection keeps to the rules of L2CAP and ATT, and breaks, or believes one device about the
//! channels of another, when that is not so. What no correct device sends is refused here, before it sees it.

use super::host::CHANNELS;

/// Channels of L2CAP (Core 5.4, vol. 3, part A, 2.1): requests for attributes, signals, and the first of those
/// that are opened.
const ATTRIBUTES: u16 = 0x0004;
const SIGNALS: u16 = 0x0005;
const FIRST: u16 = 0x0040;

/// Signals (the same, 4): a channel is asked for, and given; its end is asked for, and confirmed.
const CONNECT: u8 = 0x14;
const CONNECTED: u8 = 0x15;
const DISCONNECT: u8 = 0x06;
const DISCONNECTED: u8 = 0x07;

/// The least that a part of a unit may hold: the first begins with the length of the unit, and the host reads one
/// where it lacks none. The last of several may be shorter; no node divides its units.
const MIN_PART: u16 = 2;

/// A channel that the host has named to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Channel {
    /// The connection to the device that may use it.
    connection: u16,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The host has asked for it, in the signal of this number.
    Asked(u8),
    /// Both ends may speak.
    Open,
}

/// What passes between one controller and the host of it, as far as it decides what may pass next.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// By number, of which the host's first is [`FIRST`].
    channels: [Option<Channel>; CHANNELS],
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused,
    /// The host may have it.
    Passes,
    /// The same; and it must have done all that follows before it may have another one.
    Alone,
}

/// The first `u16` of `bytes`, as HCI and L2CAP write it, and the rest.
fn word(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u16::from_le_bytes(*first), rest))
}

/// A packet of HCI's data: the connection, whether it goes on with an earlier one, and what there is.
fn data(packet: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (handle, rest) = word(packet)?;
    let (len, data) = word(rest)?;
    // Core 5.4, vol. 4, part E, 5.4.2.
    let continues = match handle >> 12 & 0b11 {
        0b01 => true,
        0b00 | 0b10 => false,
        _ => return None,
    };
    (data.len() == usize::from(len)).then_some((handle & 0x0fff, continues, data))
}

/// A packet of the channel of signals: what it is, its number, and what there is. Over LE there is one in each
/// packet (Core 5.4, vol. 3, part A, 4).
fn signal(packet: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (&[code, number], rest) = packet.split_first_chunk()?;
    let (len, signal) = word(rest)?;
    (signal.len() == usize::from(len)).then_some((code, number, signal))
}

/// Whether the host reads no more of a request for attributes than there is (Core 5.4, vol. 3, part F, 3.4). A node
/// has none, and asks for none: what answers a question, or wants no answer, is nothing to it.
fn is_request(packet: &[u8]) -> bool {
    let Some((&code, rest)) = packet.split_first() else { return false };
    match (code, rest.len()) {
        // How much they can be, one by its number, a part of one, names of some, all of one kind, all of some
        // groups, all with a value: most of a length of their own.
        (0x02 | 0x0a, 2) | (0x04 | 0x0c, 4) | (0x08, 6 | 20) | (0x10, 6) | (0x18, 1) => true,
        (0x0e | 0x20, len) => len >= 4,
        (0x06, len) => len >= 6,
        (0x12, len) => len >= 2,
        (0x16, len) => len >= 4,
        _ => false,
    }
}

impl Guard {
    fn channel(&mut self, number: u16) -> Option<&mut Option<Channel>> {
        self.channels.get_mut(usize::from(number.checked_sub(FIRST)?))
    }

    /// Learns which channels the host names to whom, from a packet of data to the controller.
    pub(super) fn sent(&mut self, packet: &[u8]) {
        let Some((connection, false, data)) = data(packet) else { return };
        let Some((_, rest)) = word(data) else { return };
        let Some((SIGNALS, packet)) = word(rest) else { return };
        let Some((code, number, signal)) = signal(packet) else { return };
        let words = signal.as_chunks().0;
        let word = |at: usize| words.get(at).copied().map(u16::from_le_bytes);
        // Which channel of the host's own is spoken of, and what it is from now on.
        let (own, channel) = match code {
            // Behind the number of the service.
            CONNECT => (word(1), Some(Stage::Asked(number))),
            // Before the bounds of the channel, and what became of the question.
            CONNECTED if word(4) == Some(0) => (word(0), Some(Stage::Open)),
            // The other end's is named first by whoever asks.
            DISCONNECT => (word(1), None),
            DISCONNECTED => (word(0), None),
            _ => return,
        };
        if let Some(own) = own
            && let Some(place) = self.channel(own)
        {
            *place = channel.map(|stage| Channel { connection, stage });
        }
    }

    /// Learns that a connection is gone, from an event.
    pub(super) fn told(&mut self, event: &[u8]) -> Verdict {
        // Disconnected (Core 5.4, vol. 4, part E, 7.7.5), with no error.
        let &[0x05, 4, 0, low, high, _] = event else { return Verdict::Passes };
        let connection = u16::from_le_bytes([low, high]) & 0x0fff;
        for channel in &mut self.channels {
            channel.take_if(|channel| channel.connection == connection);
        }
        // What waits for something on it has to hear of it before the number means another one.
        Verdict::Alone
    }

    /// Whether the host may see a packet of data from the controller.
    pub(super) fn admits(&mut self, packet: &[u8]) -> Verdict {
        let Some((connection, continues, data)) = data(packet) else { return Verdict::Refused };
        // Where nothing was begun, because it was refused, the host ends the connection.
        if continues {
            return Verdict::Passes;
        }
        let begun = word(data).and_then(|(len, rest)| Some((len, word(rest)?)));
        let Some((len, (number, data))) = begun else { return Verdict::Refused };
        let is_whole = data.len() == usize::from(len);
        match number {
            // These are so short that nothing has reason to divide them.
            ATTRIBUTES if is_whole && is_request(data) => Verdict::Passes,
            SIGNALS if is_whole => self.signalled(connection, data),
            FIRST.. if len >= MIN_PART && self.is_open(number, connection) => Verdict::Passes,
            // Keys are agreed on over one of the others, of which the host knows nothing.
            _ => Verdict::Refused,
        }
    }

    fn is_open(&mut self, number: u16, connection: u16) -> bool {
        let open = Channel { connection, stage: Stage::Open };
        self.channel(number).is_some_and(|channel| *channel == Some(open))
    }

    fn signalled(&mut self, connection: u16, packet: &[u8]) -> Verdict {
        let Some((code, number, signal)) = signal(packet) else { return Verdict::Refused };
        match code {
            CONNECTED => {
                let asked = Some(Channel { connection, stage: Stage::Asked(number) });
                let place = self.channels.iter_mut().find(|channel| **channel == asked);
                let (Some(place), &[.., low, high], 10) = (place, signal, signal.len()) else {
                    return Verdict::Refused;
                };
                // The host believes that it is one of those that there are (Core 5.4, vol. 3, part A, 4.23).
                *place = match u16::from_le_bytes([low, high]) {
                    0 => Some(Channel { connection, stage: Stage::Open }),
                    2 | 4..=0x0b => None,
                    _ => return Verdict::Refused,
                };
            }
            DISCONNECT => {
                let (Some((number, _)), 4) = (word(signal), signal.len()) else {
                    return Verdict::Refused;
                };
                if !self.is_open(number, connection) {
                    return Verdict::Refused;
                }
                if let Some(place) = self.channel(number) {
                    *place = None;
                }
            }
            // When the host has asked for the end of a channel, it has forgotten it.
            DISCONNECTED => return Verdict::Refused,
            _ => {}
        }
        Verdict::Alone
    }
}

#[cfg(test)]
mod tests;
