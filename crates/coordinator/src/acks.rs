use bitcraps_types::{LinkId, PeerId, Timestamp, TrafficClass};
use bitcraps_wire::{
    Body, EndAck, Frame, HopAck, HopHeader, MAX_ACK_WORDS, MAX_PARTIALS, MAX_RESULTS, NO_DEADLINE,
    StreamAck,
};

use crate::peer::{AckSent, AloneAcks, PendingStream, Stream};
use crate::policy::{self, FailoverPolicy};
use crate::window::Window;
use crate::{Command, Core};

/// Size of an ack frame, as ranking reckons with it.
const ACK_BYTES: usize = 120;

impl Core {
    /// Sends what the turn has to acknowledge to `peer`: on the path that the newest message came
    /// by, with the hop acks of that link, and also on this end's own best link while the path was
    /// not seen to carry acks.
    pub(crate) fn flush_acks(&mut self, peer: u32, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let source = state.id;
        let mut pending = std::mem::take(&mut state.acks.streams);
        let former = std::mem::take(&mut state.acks.former);
        let arrival = state.acks.link.take();
        let mut blocks = Vec::new();
        for class in TrafficClass::ALL {
            let epoch = self.peers[peer as usize].epoch;
            if let (Some(epoch), Some(stream)) = (epoch, pending[class.index()].take()) {
                self.stream_acks(peer, source, (epoch, class), stream, &mut blocks);
            }
        }
        for (stream, pending) in former {
            self.stream_acks(peer, source, stream, pending, &mut blocks);
        }
        let state = &mut self.peers[peer as usize];
        let reports: Vec<LinkId> = state
            .links
            .iter()
            .filter(|l| l.arrivals.is_due(now) && l.peer_tag.is_some())
            .map(|l| l.id())
            .collect();
        let best = self.best_for_acks(peer, now);
        let path = arrival.filter(|link| self.links.contains_key(link)).or(best);
        // The path's report travels with the blocks.
        for link in reports.iter().filter(|link| Some(**link) != path || blocks.is_empty()) {
            self.send_ack(peer, *link, Some((*link, false)), Vec::new(), now);
            if let Some(best) = best.filter(|best| best != link && self.detours(peer, *link)) {
                self.send_ack(peer, best, Some((*link, true)), Vec::new(), now);
            }
        }
        if let Some(path) = path.filter(|_| !blocks.is_empty()) {
            let detour = best.filter(|best| *best != path && self.wants_copy(peer, path));
            if let Some(best) = detour {
                self.send_ack(peer, best, Some((path, true)), blocks.clone(), now);
            }
            self.note_acked(peer, path, detour.is_none(), &blocks);
            self.send_ack(peer, path, Some((path, false)), blocks, now);
            if let Some(link) = self.peers[peer as usize].link_mut(path) {
                link.arrivals.reported();
            }
        }
        for link in reports {
            if let Some(link) = self.peers[peer as usize].link_mut(link) {
                link.arrivals.reported();
            }
        }
    }

    pub(crate) fn best_for_acks(&self, peer: u32, now: Timestamp) -> Option<LinkId> {
        let state = &self.peers[peer as usize];
        if state.links.len() < 2 {
            return state.links.first().filter(|l| l.ready).map(|l| l.id());
        }
        let packet = policy::Packet {
            policy: FailoverPolicy::FastestFirst,
            bytes: ACK_BYTES,
            energy_aware: self.config.energy_aware,
            incumbent: None,
            held: false,
            ceiling_us: u32::MAX,
        };
        let ranking = policy::rank(self.roster.candidates(peer), &packet, now);
        let ready = || ranking.iter().map(|i| &state.links[i]).filter(|link| link.ready);
        let best = ready().find(|link| !link.loses_acks()).or_else(|| ready().next());
        best.map(|link| link.id())
    }

    /// Whether hop acks of `link` need another way.
    fn detours(&self, peer: u32, link: LinkId) -> bool {
        let state = &self.peers[peer as usize];
        state.links.iter().any(|l| l.id() == link && l.needs_detour())
    }

    /// Whether end acks over `path` are to be doubled over the best link.
    fn wants_copy(&self, peer: u32, path: LinkId) -> bool {
        let state = &self.peers[peer as usize];
        let link = state.links.iter().find(|l| l.id() == path);
        link.is_some_and(|l| !l.carries_acks()) || self.detours(peer, path)
    }

    fn note_acked(&mut self, peer: u32, path: LinkId, alone: bool, blocks: &[StreamAck]) {
        let state = &mut self.peers[peer as usize];
        for block in blocks {
            if let Some(incoming) = state.stream_mut((block.source_epoch, block.class)) {
                let sent = AckSent { sequence: block.echo_sequence, path, alone };
                incoming.unproven.get_or_insert(sent);
                incoming.alone = alone.then(|| match incoming.alone {
                    Some(run) if run.path == path => AloneAcks { newest: sent.sequence, ..run },
                    Some(_) | None => {
                        AloneAcks { oldest: sent.sequence, newest: sent.sequence, path }
                    }
                });
            }
        }
    }

    /// One or more blocks that say everything pending about a stream.
    fn stream_acks(
        &mut self,
        peer: u32,
        source: PeerId,
        stream: Stream,
        pending: PendingStream,
        blocks: &mut Vec<StreamAck>,
    ) {
        let state = &self.peers[peer as usize];
        let (epoch, class) = stream;
        // Of a stranger nothing was taken, and what is forgotten has verdicts only.
        let window = state.stream(stream).map(|incoming| &incoming.window);
        let cumulative = window.map_or(0, Window::cumulative);
        let mut bitmaps: Vec<_> = window.iter().map(|w| w.newest(MAX_ACK_WORDS)).collect();
        let mut taken = pending.taken;
        taken.sort_unstable();
        for sequence in taken {
            let named = sequence < cumulative
                || bitmaps.iter().any(|(base, words)| {
                    sequence >= *base && sequence - base < 64 * words.len() as u64
                });
            if let Some(window) = window.filter(|_| !named) {
                bitmaps.push(window.around(sequence, MAX_ACK_WORDS));
            }
        }
        let partials: Vec<_> = pending
            .partials
            .iter()
            .rev()
            .filter_map(|sequence| self.reassembly.partial(&(source, stream, *sequence)))
            .take(MAX_PARTIALS)
            .collect();
        let mut partials = Some(partials);
        let mut results = pending.results.chunks(MAX_RESULTS);
        let mut bitmaps = bitmaps.into_iter();
        loop {
            let (bits, results) = (bitmaps.next(), results.next());
            if bits.is_none() && results.is_none() {
                return;
            }
            let (base, bitmap) = bits.unwrap_or_default();
            blocks.push(StreamAck {
                class,
                source_epoch: epoch,
                cumulative,
                base,
                bitmap,
                echo_sequence: pending.echo.0,
                echo_attempt: pending.echo.1,
                dwell_us: 0,
                results: results.unwrap_or_default().to_vec(),
                partials: partials.take().unwrap_or_default(),
            });
        }
    }

    /// Sends blocks over `link`, in as many frames as its size needs, the hop ack with the first.
    fn send_ack(
        &mut self,
        peer: u32,
        link: LinkId,
        report: Option<(LinkId, bool)>,
        blocks: Vec<StreamAck>,
        now: Timestamp,
    ) {
        let state = &self.peers[peer as usize];
        let Some(epoch) = state.epoch else { return };
        let Some(max_frame) = state.links.iter().find(|l| l.id() == link).map(|l| l.max_frame)
        else {
            return;
        };
        let mut hop_ack = report.and_then(|(of, detour)| {
            let link = state.links.iter().find(|l| l.id() == of)?;
            link.arrivals.ack(if detour { link.peer_tag? } else { 0 }, now)
        });
        let mut group: Vec<StreamAck> = Vec::new();
        let mut frames = Vec::new();
        let mut seen = [false; TrafficClass::COUNT];
        for block in blocks {
            let mut with = group.clone();
            with.push(block.clone());
            let fits = ack_frame(epoch, hop_ack, with).encoded_len() <= max_frame;
            if !group.is_empty() && (!fits || seen[block.class.index()]) {
                frames.push(ack_frame(epoch, hop_ack.take(), std::mem::take(&mut group)));
                seen = [false; TrafficClass::COUNT];
            }
            seen[block.class.index()] = true;
            group.push(clipped(block, epoch, hop_ack, &group, max_frame));
        }
        if !group.is_empty() || frames.is_empty() {
            frames.push(ack_frame(epoch, hop_ack, group));
        }
        for frame in frames {
            self.transmit_unnumbered(peer, link, &frame, now);
        }
    }

    /// Hands a frame to a link that nobody will acknowledge.
    pub(crate) fn transmit_unnumbered(
        &mut self,
        peer: u32,
        link: LinkId,
        frame: &Frame,
        now: Timestamp,
    ) {
        let frame = self.encode(frame);
        let Some(state) = self.peers[peer as usize].link_mut(link) else {
            return;
        };
        state.handed(frame.len(), None, now);
        self.command(Command::Transmit { link, seq: None, frame });
    }
}

fn ack_frame(
    receiver_epoch: bitcraps_types::Epoch,
    hop_ack: Option<HopAck>,
    streams: Vec<StreamAck>,
) -> Frame {
    let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
    let body = if streams.is_empty() { Body::Empty } else { Body::EndAck(EndAck { streams }) };
    Frame { header, hop_ack, route: None, body }
}

/// The block without what would make its frame too large; what is left out is asked for again.
fn clipped(
    mut block: StreamAck,
    epoch: bitcraps_types::Epoch,
    hop_ack: Option<HopAck>,
    group: &[StreamAck],
    max_frame: usize,
) -> StreamAck {
    let len = |block: &StreamAck| {
        let mut with = group.to_vec();
        with.push(block.clone());
        ack_frame(epoch, hop_ack, with).encoded_len()
    };
    while len(&block) > max_frame {
        let gave = block.partials.pop().is_some() || block.results.pop().is_some();
        if !gave {
            break;
        }
    }
    block
}
