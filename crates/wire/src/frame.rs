use bitcraps_types::{Epoch, PeerId};
use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;
use crate::{
    Data, DecodeError, EndAck, Hello, HopAck, Join, JoinReply, MAX_LINK_STATE, Probe, ProbeReply,
    Relayed,
};

/// The version this build speaks; any other is refused.
pub const VERSION: u8 = 1;

/// In [`HopHeader::deadline_ms`]: the message does not expire.
pub const NO_DEADLINE: u32 = u32::MAX;

const FLAG_HOP_ACK: u8 = 1;
const FLAG_ROUTED: u8 = 2;

/// What the next hop reads before anything else: 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopHeader {
    /// Hops the frame may still travel; a relay decrements it.
    pub ttl: u8,
    /// Milliseconds until the message is worthless, decremented at each hop; [`NO_DEADLINE`] if
    /// never.
    pub deadline_ms: u32,
    /// Number of the frame on this link, in serial arithmetic (RFC 1982), for hop acks. Only data
    /// and probes are numbered; others carry 0.
    pub link_seq: u32,
    /// The incarnation of the next hop that the frame is meant for; any other refuses it. 0 while
    /// unknown, which only a hello may use.
    pub receiver_epoch: Epoch,
}

impl HopHeader {
    /// Encoded length in bytes.
    pub const LEN: usize = 20;
}

/// Ends of a path that is longer than one hop. Absent where they are the ends of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where the body comes from.
    pub source: PeerId,
    /// Where it goes.
    pub destination: PeerId,
    /// The incarnation of the destination that it is meant for.
    pub destination_epoch: Epoch,
}

impl Route {
    /// Encoded length in bytes.
    pub const LEN: usize = 2 * PeerId::LEN + 8;
}

/// What a frame carries beside acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the frame exists for its hop ack.
    Empty,
    /// A message or a fragment of one.
    Data(Data),
    /// The destination's word about messages.
    EndAck(EndAck),
    /// Asks the other end of the link for a sign of life.
    Probe(Probe),
    /// Answers a probe.
    ProbeReply(ProbeReply),
    /// Introduces an incarnation on a new link.
    Hello(Hello),
    /// Asks to be admitted by an invitation.
    Join(Join),
    /// Answers a join.
    JoinReply(JoinReply),
    /// A [`LinkState`](crate::LinkState), encoded: at most [`MAX_LINK_STATE`] bytes.
    LinkState(Bytes),
    /// Something between a source and a destination that share no link; the frame has a route.
    Relayed(Relayed),
}

impl Body {
    const fn kind(&self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Data(_) => 1,
            Self::EndAck(_) => 2,
            Self::Probe(_) => 3,
            Self::ProbeReply(_) => 4,
            Self::Hello(_) => 5,
            Self::Join(_) => 6,
            Self::JoinReply(_) => 7,
            Self::LinkState(_) => 8,
            Self::Relayed(_) => 9,
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Data(data) => Data::HEADER_LEN + data.payload.len(),
            Self::EndAck(ack) => ack.encoded_len(),
            Self::Probe(probe) => probe.encoded_len(),
            Self::ProbeReply(_) => ProbeReply::LEN,
            Self::Hello(_) => Hello::LEN,
            Self::Join(_) => Join::LEN,
            Self::JoinReply(_) => JoinReply::LEN,
            Self::LinkState(state) => state.len(),
            Self::Relayed(relayed) => relayed.encoded_len(),
        }
    }
}

/// One unit that a link carries whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// For the next hop.
    pub header: HopHeader,
    /// Acknowledges frames of the link, or of another link of the same pair.
    pub hop_ack: Option<HopAck>,
    /// Present when source or destination are not the ends of the link.
    pub route: Option<Route>,
    /// For the destination.
    pub body: Body,
}

impl Frame {
    /// Bytes that a direct data frame adds to its payload, without a hop ack.
    pub const DATA_OVERHEAD: usize = HopHeader::LEN + Data::HEADER_LEN;

    /// Exact length of [`Self::encode`]'s result in bytes.
    pub fn encoded_len(&self) -> usize {
        HopHeader::LEN
            + self.hop_ack.map_or(0, |_| HopAck::LEN)
            + self.route.map_or(0, |_| Route::LEN)
            + self.body.encoded_len()
    }

    /// The frame as bytes. Allocates once, copies the payload once.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// Appends the frame's bytes to `out`. Copies the payload once; allocates nothing when `out`
    /// has room for [`Self::encoded_len`] more.
    pub fn encode_into(&self, out: &mut BytesMut) {
        let end = out.len() + self.encoded_len();
        let flags = (u8::from(self.hop_ack.is_some()) * FLAG_HOP_ACK)
            | (u8::from(self.route.is_some()) * FLAG_ROUTED);
        out.put_slice(&[VERSION, flags, self.body.kind(), self.header.ttl]);
        out.put_u32(self.header.deadline_ms);
        out.put_u32(self.header.link_seq);
        out.put_u64(self.header.receiver_epoch.0);
        if let Some(ack) = &self.hop_ack {
            ack.encode(out);
        }
        if let Some(route) = &self.route {
            out.put_slice(route.source.as_bytes());
            out.put_slice(route.destination.as_bytes());
            out.put_u64(route.destination_epoch.0);
        }
        match &self.body {
            Body::Empty => {}
            Body::Data(data) => data.encode(out),
            Body::EndAck(ack) => ack.encode(out),
            Body::Probe(probe) => probe.encode(out),
            Body::ProbeReply(reply) => reply.encode(out),
            Body::Hello(hello) => hello.encode(out),
            Body::Join(join) => join.encode(out),
            Body::JoinReply(reply) => reply.encode(out),
            Body::LinkState(state) => out.put_slice(state),
            Body::Relayed(relayed) => relayed.encode(out),
        }
        debug_assert_eq!(out.len(), end, "encoded_len is exact");
    }

    /// Reads one frame. The payload is a slice of `bytes`, not a copy. O(length of the headers).
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] cannot have produced.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let [version, flags, kind, ttl] = reader.array()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        if flags & !(FLAG_HOP_ACK | FLAG_ROUTED) != 0 {
            return Err(DecodeError::Flags(flags));
        }
        let header = HopHeader {
            ttl,
            deadline_ms: reader.u32()?,
            link_seq: reader.u32()?,
            receiver_epoch: Epoch(reader.u64()?),
        };
        let hop_ack = match flags & FLAG_HOP_ACK {
            0 => None,
            _ => Some(HopAck::decode(&mut reader)?),
        };
        let route = match flags & FLAG_ROUTED {
            0 => None,
            _ => Some(Route {
                source: PeerId::from_bytes(reader.array()?),
                destination: PeerId::from_bytes(reader.array()?),
                destination_epoch: Epoch(reader.u64()?),
            }),
        };
        let body = match kind {
            0 => Body::Empty,
            1 => Body::Data(Data::decode(&mut reader)?),
            2 => Body::EndAck(EndAck::decode(&mut reader)?),
            3 => Body::Probe(Probe::decode(&mut reader)?),
            4 => Body::ProbeReply(ProbeReply::decode(&mut reader)?),
            5 => Body::Hello(Hello::decode(&mut reader)?),
            6 => Body::Join(Join::decode(&mut reader)?),
            7 => Body::JoinReply(JoinReply::decode(&mut reader)?),
            8 => Body::LinkState(reader.rest_up_to("bytes of link state", MAX_LINK_STATE)?),
            9 => Body::Relayed(Relayed::decode(&mut reader)?),
            unknown => return Err(DecodeError::Kind(unknown)),
        };
        if matches!(body, Body::Relayed(_)) && route.is_none() {
            return Err(DecodeError::Inconsistent("a relayed frame has no route"));
        }
        reader.finish()?;
        Ok(Self { header, hop_ack, route, body })
    }
}
