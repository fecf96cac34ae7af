//! What this node remembers of sources over its own restarts.

use std::collections::BTreeMap;

use bitcraps_types::{Epoch, PeerId, Timestamp, TrafficClass};

use crate::Core;
use crate::config::bounds::{FORMER_EPOCHS, SOURCES};
use crate::peer::Incoming;
use crate::record::{SourceRecord, StreamId, StreamRecord, Write};

/// One source, while it is not there: streams are small as long as nothing comes.
#[derive(Debug, Default)]
struct Remembered {
    begins: Epoch,
    forgotten: Epoch,
    heard: Epoch,
    streams: Vec<StreamRecord>,
}

/// Sources of former incarnations of this node, until they greet.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Sources without a record are remembered since then.
    begins: Epoch,
    sources: BTreeMap<PeerId, Remembered>,
}

impl Memory {
    /// Without a store.
    pub(crate) const fn of_this_life(epoch: Epoch) -> Self {
        Self { begins: epoch, sources: BTreeMap::new() }
    }

    pub(crate) fn recalled(
        begins: Epoch,
        streams: Vec<StreamRecord>,
        sources: Vec<SourceRecord>,
    ) -> Self {
        let mut memory = Self { begins, sources: BTreeMap::new() };
        for SourceRecord { source, begins, forgotten, heard } in sources {
            let remembered = Remembered { begins, forgotten, heard, streams: Vec::new() };
            memory.sources.insert(source, remembered);
        }
        for stream in streams {
            let begins = memory.begins;
            let known = memory.sources.entry(stream.stream.source);
            known.or_insert(Remembered { begins, ..Default::default() }).streams.push(stream);
        }
        memory
    }

    /// Since which incarnation of this node `source` is remembered.
    pub(crate) fn begins(&self, source: &PeerId) -> Epoch {
        self.sources.get(source).map_or(self.begins, |known| known.begins)
    }
}

impl Core {
    /// The peer greets in `epoch`: what former incarnations of this node remember of it is in use
    /// from now on.
    pub(crate) fn remember(&mut self, peer: u32, epoch: Epoch, now: Timestamp) {
        let source = self.peers[peer as usize].id;
        let Some(known) = self.store.memory.sources.get_mut(&source) else {
            return;
        };
        let streams = std::mem::take(&mut known.streams);
        let state = &mut self.peers[peer as usize];
        state.forgotten = state.forgotten.max(known.forgotten);
        let mut obsolete = Vec::new();
        for record in streams {
            let StreamId { epoch: of, class, .. } = record.stream;
            if of == epoch {
                state.incoming[class.index()] = Some(Box::new(Incoming::recalled(&record)));
            } else if class == TrafficClass::Critical {
                state.former.insert((of, class), Box::new(Incoming::recalled(&record)));
            } else {
                obsolete.push(record.stream);
            }
        }
        for class in TrafficClass::ALL {
            if let Some(awake) = state.former.remove(&(epoch, class)) {
                state.incoming[class.index()] = Some(awake);
            }
        }
        for stream in obsolete {
            self.persist_lazily(Write::DropStream(stream), now);
        }
    }

    /// The recalled stream of a source that has not greeted is in use from now on.
    pub(crate) fn wake_stream(&mut self, id: StreamId, now: Timestamp) {
        let Some(known) = self.store.memory.sources.get_mut(&id.source) else {
            return;
        };
        let Some(at) = known.streams.iter().position(|record| record.stream == id) else {
            return;
        };
        let record = known.streams.swap_remove(at);
        if let Some(handle) = self.enter(id.source, now) {
            let awake = Box::new(Incoming::recalled(&record));
            self.peers[handle.0 as usize].former.insert((id.epoch, id.class), awake);
        }
    }

    /// Makes sure that there is a record of a source of which something is to be recorded. False
    /// when there is no room: as many sources as may be remembered are here.
    pub(crate) fn remember_source(&mut self, source: PeerId, now: Timestamp) -> bool {
        let epoch = self.config.epoch;
        let begins = self.store.memory.begins;
        let sources = &mut self.store.memory.sources;
        if let Some(known) = sources.get_mut(&source) {
            if std::mem::replace(&mut known.heard, epoch) != epoch {
                self.write_source(source, now);
            }
            return true;
        }
        if sources.len() >= SOURCES {
            // One that was not heard of in this life gives way, the longest silent first.
            let silent = sources.iter().filter(|(_, known)| known.heard < epoch);
            let Some(gone) = silent.min_by_key(|(_, known)| known.heard).map(|(id, _)| *id) else {
                return false;
            };
            let streams = sources.remove(&gone).map(|known| known.streams).unwrap_or_default();
            for record in streams {
                self.persist_lazily(Write::DropStream(record.stream), now);
            }
            self.persist_lazily(Write::DropSource(gone), now);
            // Whoever has no record may have been forgotten up to now.
            self.store.memory.begins = Epoch(epoch.0.saturating_add(1));
            self.persist_lazily(Write::Begins(self.store.memory.begins), now);
        }
        let known = Remembered { begins, heard: epoch, ..Default::default() };
        self.store.memory.sources.insert(source, known);
        self.write_source(source, now);
        true
    }

    fn write_source(&mut self, source: PeerId, now: Timestamp) {
        if let Some(known) = self.store.memory.sources.get(&source) {
            let Remembered { begins, forgotten, heard, .. } = *known;
            let record = SourceRecord { source, begins, forgotten, heard };
            self.persist_lazily(Write::Source(record), now);
        }
    }

    /// The critical stream of a former incarnation of the peer is in use. False when it was
    /// forgotten: nobody knows any more what was taken of it.
    pub(crate) fn open_former(&mut self, peer: u32, epoch: Epoch, now: Timestamp) -> bool {
        let state = &mut self.peers[peer as usize];
        let stream = (epoch, TrafficClass::Critical);
        if state.former.contains_key(&stream) {
            return true;
        }
        if epoch <= state.forgotten {
            return false;
        }
        state.former.insert(stream, Box::new(Incoming::new()));
        self.bound_former(peer, now);
        self.peers[peer as usize].former.contains_key(&stream)
    }

    /// The peer's own incarnation is a former one from now on.
    pub(crate) fn retire_streams(&mut self, peer: u32, epoch: Epoch, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let source = state.id;
        let incoming = std::mem::take(&mut state.incoming);
        for (class, stream) in TrafficClass::ALL.into_iter().zip(incoming) {
            let Some(stream) = stream else { continue };
            if class == TrafficClass::Critical {
                self.peers[peer as usize].former.insert((epoch, class), stream);
            } else if stream.recorded {
                self.persist_lazily(Write::DropStream(StreamId { source, epoch, class }), now);
            }
        }
        self.bound_former(peer, now);
    }

    /// The oldest incarnations give way when there are too many.
    fn bound_former(&mut self, peer: u32, now: Timestamp) {
        while self.peers[peer as usize].former.len() > FORMER_EPOCHS {
            let state = &mut self.peers[peer as usize];
            let Some(((epoch, class), _)) = state.former.pop_first() else {
                return;
            };
            let source = state.id;
            state.forgotten = state.forgotten.max(epoch);
            let forgotten = state.forgotten;
            if let Some(known) = self.store.memory.sources.get_mut(&source) {
                known.forgotten = forgotten;
                self.write_source(source, now);
            }
            self.persist_lazily(Write::DropStream(StreamId { source, epoch, class }), now);
        }
    }

    /// The state of a stream as the store is to hold it when everything in the next batch is
    /// durable.
    pub(crate) fn stream_record(
        &self,
        peer: u32,
        epoch: Epoch,
        class: TrafficClass,
    ) -> Option<StreamRecord> {
        let state = &self.peers[peer as usize];
        let stream = StreamId { source: state.id, epoch, class };
        state.stream((epoch, class)).map(|incoming| incoming.record(stream))
    }
}
