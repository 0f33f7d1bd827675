//! Concatenations of channels whose parts are written in place.

use crate::error::{Error, Result};
use crate::kernels::disjoint::DisjointSlice;

/// The value of a concatenation whose parts are being computed.
pub struct ConcatBuffer {
    values: Vec<f32>,
    len: usize,
    written: usize,
}

impl ConcatBuffer {
    /// A buffer for `len` values.
    pub fn new(len: usize) -> Self {
        ConcatBuffer { values: Vec::with_capacity(len), len, written: 0 }
    }

    /// The whole buffer and its length, for a part that writes `count` values, none of which another part writes.
    pub fn for_part(&mut self, count: usize) -> (DisjointSlice<f32>, usize) {
        self.written += count;
        (DisjointSlice::spare_capacity(&mut self.values), self.len)
    }

    /// The values.
    ///
    /// # Errors
    /// Where parts are missing.
    pub fn into_values(mut self) -> Result<Vec<f32>> {
        if self.written != self.len {
            return Err(Error::internal("a concatenation misses a part"));
        }
        // SAFETY: there is room for `len` values, and the parts, which do not overlap, have written as many.
        unsafe { self.values.set_len(self.len) };
        Ok(self.values)
    }
}
