//! The two orders in which the values of maps lie.

/// Maps of a batch in either layout.
#[derive(Clone, Copy)]
pub enum Maps<'a> {
    /// N x H x W x C.
    ChannelsLast(&'a [f32]),
    /// N x C x H x W.
    Planes(&'a [f32]),
}
