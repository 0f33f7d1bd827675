//! Each thread's scratch memory, kept between tasks.

use std::cell::RefCell;

/// Buffers that a tile of a convolution is packed into and computed in.
#[derive(Default)]
pub(super) struct Scratch {
    /// Rearranged input planes of [Winograd](super::winograd) tiles.
    pub planes: Vec<f32>,
    /// Packed im2col columns, or transformed Winograd inputs.
    pub columns: Vec<f32>,
    /// Results before they are scattered.
    pub results: Vec<f32>,
}

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes `values` at least `len` long.
pub(super) fn grow(values: &mut Vec<f32>, len: usize) {
    if values.len() < len {
        values.resize(len, 0.0);
    }
}
