//! A concatenation whose parts are written where they stand.

use crate::error::{Error, Result};
use crate::kernels::disjoint::DisjointSlice;

/// Its value on the way.
pub struct Joined {
    values: Vec<f32>,
    length: usize,
    written: usize,
}

impl Joined {
    /// Room for `length` values.
    pub fn new(length: usize) -> Self {
        Joined { values: Vec::with_capacity(length), length, written: 0 }
    }

    /// The whole buffer and its length, for a part that writes `count` values, none of which any other part writes.
    pub fn part(&mut self, count: usize) -> (DisjointSlice<f32>, usize) {
        self.written += count;
        (DisjointSlice::spare_capacity(&mut self.values), self.length)
    }

    /// The values.
    ///
    /// # Errors
    /// Where parts are missing.
    pub fn whole(mut self) -> Result<Vec<f32>> {
        if self.written != self.length {
            return Err(Error::internal("a concatenation misses a part"));
        }
        // SAFETY: there is room for `length` values, and the parts, which do not overlap, have written as many.
        unsafe { self.values.set_len(self.length) };
        Ok(self.values)
    }
}
