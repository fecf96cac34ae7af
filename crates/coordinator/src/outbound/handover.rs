//! Frames made of a message and handed to a link, whole or in fragments.

use super::{QUESTION_BYTES, TTL, has_room, remaining_ms};
use crate::message::Fragments;
use crate::peer::Numbers;
use crate::{Command, Core, SizeBucket};
use bitcraps_types::{AckLevel, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Data, Frame, HopHeader};

impl Core {
    /// Hands the byte range `start..end` to a link; returns the frame's number.
    pub(super) fn hand_over(
        &mut self,
        slot: u32,
        index: usize,
        start: u32,
        end: u32,
        now: Timestamp,
    ) -> u32 {
        let Some(message) = self.messages.get(slot) else {
            return 0;
        };
        let (peer, class) = (message.peer, message.options.class);
        let ticket = self.messages.ticket(slot);
        let state = &mut self.peers[peer as usize];
        let sequence = message.sequence.unwrap_or_default();
        let numbers = state.outgoing[class.index()].numbers_of(message.former);
        let lowest_live = numbers.map_or(sequence, Numbers::lowest_live);
        let behind = sequence.saturating_sub(lowest_live);
        let more_waits = state.outgoing.iter().any(|o| o.queue.len() > 1);
        let link = &mut state.links[index];
        let payload = message.payload.slice(start as usize..end as usize);
        let bytes = Frame::DATA_OVERHEAD + payload.len();
        let seq = link.flights.push(bytes, ticket, !more_waits, now);
        let tell = message.options.ack == AckLevel::Accepted && !message.told;
        link.flights.describe_newest(start, tell);
        link.carried(now);
        let frame = Frame {
            header: HopHeader {
                ttl: TTL,
                deadline_ms: remaining_ms(message.deadline, now),
                link_seq: seq,
                receiver_epoch: state.epoch.unwrap_or_default(),
            },
            hop_ack: None,
            route: None,
            body: Body::Data(Data {
                class,
                ack: message.options.ack,
                generation: 0,
                attempt: message.attempts,
                source_epoch: message.former.unwrap_or(self.config.epoch),
                sequence,
                behind_lowest_live: u16::try_from(behind).unwrap_or(u16::MAX),
                total: message.payload.len() as u32,
                offset: start,
                payload,
            }),
        };
        link.handed(bytes, Some(seq), now);
        if class == TrafficClass::Realtime {
            link.urgent(now);
        }
        let id = link.id();
        let due = link.timer.is_none_or(|at| at > now + link.timeout(SizeBucket::of(bytes)));
        self.refresh_load(peer, index);
        let frame = self.encode(&frame);
        self.command(Command::Transmit { link: id, seq: Some(seq), frame });
        if due {
            self.arm_link(peer, id, now);
        }
        seq
    }

    /// Hands over fragments while the link has room; returns the last one's number when the pass
    /// is complete, and leaves the message at the head of its queue when it is not.
    pub(super) fn hand_over_fragments(
        &mut self,
        slot: u32,
        index: usize,
        begins: bool,
        most: u32,
        now: Timestamp,
    ) -> Option<u32> {
        let message = self.messages.get_mut(slot)?;
        let (peer, class) = (message.peer, message.options.class);
        let total = message.payload.len() as u32;
        let carrier = &self.peers[peer as usize].links[index];
        let (link, first) = (carrier.id(), carrier.flights.next_seq());
        let fragments = message.fragments.get_or_insert_with(|| Box::new(Fragments::default()));
        if begins {
            fragments.cursor = 0;
            fragments.link = Some(link);
            fragments.pass = Some((link, first));
        }
        let mut last = None;
        loop {
            let fragments = self.messages.get(slot)?.fragments.as_ref()?;
            let Some((start, end)) = fragments.next(total, most) else {
                break;
            };
            let state = &self.peers[peer as usize].links[index];
            if state.flights.is_full() || !has_room(state, class, now) {
                // Comes back when the driver has written some.
                let ticket = self.messages.ticket(slot)?;
                self.enqueue(ticket, true);
                return None;
            }
            last = Some(self.hand_over(slot, index, start, end, now));
            if let Some(fragments) = self.messages.get_mut(slot).and_then(|m| m.fragments.as_mut())
            {
                fragments.cursor = end;
            }
        }
        // Everything had arrived, yet no answer came: ask again with a little of it.
        if last.is_none() {
            let start = total.saturating_sub(most.min(QUESTION_BYTES));
            last = Some(self.hand_over(slot, index, start, total, now));
        }
        last
    }
}
