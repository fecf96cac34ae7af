use crate::direct::device::Device;
use crate::direct::service::Tag;

/// What this device is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It made the group, and others join.
    Owner,
    /// It joined.
    Client,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A device is there; `owner` when it owns a group.
    Found {
        /// Which.
        device: Device,
        /// Whether it owns a group that can be joined.
        owner: bool,
    },
    /// A device is not there any more.
    Gone(Device),
    /// A device said who it is.
    Named(Device, Tag),
    /// A device wants to form a group.
    Called(Device),
    /// A device wants to join the group that this one owns.
    Knocked(Device),
    /// The supplicant has stored a group.
    Kept {
        /// Its number.
        group: u32,
        /// At which end of it this device is.
        role: Role,
        /// With whom, when that is known.
        with: Option<Device>,
    },
    /// The group that was being formed will not be.
    Failed,
    /// The other end does not know the stored group that was being formed.
    Unknown,
    /// There is a group.
    Started(Role),
    /// There is none any more.
    Finished,
    /// How many links run over the group, whether there is mains power, how many links there are at all.
    Standing {
        /// Links over the group.
        over: usize,
        /// Links of this transport.
        degree: usize,
        /// Whether the machine runs on mains power.
        mains: bool,
    },
}
