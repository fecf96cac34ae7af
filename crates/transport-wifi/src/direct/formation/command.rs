use crate::direct::device::Device;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Look for devices for ten seconds.
    Find {
        /// On every channel at first, not only on the three that devices without a group listen on.
        everywhere: bool,
    },
    /// Ask a device who it is.
    Ask(Device),
    /// Form a group by negotiation, or join the one that `device` owns.
    Connect {
        /// With whom.
        device: Device,
        /// How much this device wants to own it.
        intent: u8,
        /// Whether it joins.
        join: bool,
        /// Of a pair with one secret number the one that enters it; the other one shows it.
        enters: bool,
    },
    /// Form a stored group again.
    Invite(Device, u32),
    /// Let a device into the group that this one owns.
    Admit(Device),
    /// Give up what is being formed.
    Cancel,
    /// Leave the group; as its owner, end it.
    Leave,
}
