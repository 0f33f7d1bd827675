//! Rows of outputs of a depthwise convolution from a ring of padded rows: sums of several columns, for a vector of channels each.
//!
//! Every sum is one chain of fused multiply-adds in the order of the taps, and the bias is added last.

use super::depthwise::{DepthwiseRows, TILE};
use crate::kernels::disjoint::DisjointSlice;
use crate::simd::Lane;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Rows of outputs of a tile, from a ring of rows.
pub(super) struct RingRows<'a> {
    pub layer: &'a DepthwiseRows,
    pub rows: Range<usize>,
    pub slots: usize,
    pub ring: &'a [f32],
    /// Taps x [`TILE`].
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    /// Channels that are stored.
    pub channels: usize,
    /// From the first output on; none where empty.
    pub residual: &'a [f32],
    pub bounds: (f32, f32),
    /// From the first output on.
    pub y: DisjointSlice<f32>,
}

impl WithSimd for RingRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (g, line) = (&self.layer.g, self.layer.padded * TILE);
        assert!(self.ring.len() >= self.slots * line, "the ring is too short");
        let mut taps = vec![std::ptr::null::<f32>(); self.layer.taps.len()];
        for (at, row) in self.rows.clone().enumerate() {
            for (to, [down, right]) in taps.iter_mut().zip(&self.layer.taps) {
                let slot = (row * g.window.stride[0] + down) % self.slots;
                *to = self.ring[slot * line + right * TILE..].as_ptr();
            }
            for lane in (0..self.channels).step_by(S::F32_LANES) {
                let mut column = 0;
                while column < g.output[1] {
                    let left = g.output[1] - column;
                    let place = Place { row: at, column, lane };
                    // SAFETY: a row of the ring holds what all columns read, in whole vectors.
                    unsafe {
                        column += match left {
                            8.. => self.block::<S, 8>(simd, &taps, place),
                            7 => self.block::<S, 7>(simd, &taps, place),
                            4..=6 => self.block::<S, 4>(simd, &taps, place),
                            2..=3 => self.block::<S, 2>(simd, &taps, place),
                            _ => self.block::<S, 1>(simd, &taps, place),
                        };
                    }
                }
            }
        }
    }
}

/// The first output of a block: its row among those computed, its column, and its channel in the tile.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    lane: usize,
}

impl RingRows<'_> {
    /// One vector of channels of B columns; returns B.
    ///
    /// # Safety
    /// The ring must hold what these columns read, the output have room for them.
    #[inline(always)]
    unsafe fn block<S: Simd, const B: usize>(&self, simd: S, taps: &[*const f32], at: Place) -> usize {
        let (g, lanes) = (&self.layer.g, S::F32_LANES);
        let step = g.window.stride[1] * TILE;
        let from = at.column * step + at.lane;
        let mut acc = [simd.splat_f32s(0.0); B];
        for (tap, weights) in taps.iter().zip(self.weights.chunks_exact(TILE)) {
            // SAFETY: the caller's.
            unsafe {
                let w = (weights.as_ptr().add(at.lane) as *const S::f32s).read_unaligned();
                let x = tap.add(from);
                for (b, sum) in acc.iter_mut().enumerate() {
                    *sum = simd.mul_add_f32s(w, (x.add(b * step) as *const S::f32s).read_unaligned(), *sum);
                }
            }
        }
        let count = lanes.min(self.channels - at.lane);
        let bias = S::as_simd_f32s(&self.bias[at.lane..at.lane + lanes]).0[0];
        let (low, high) = self.bounds;
        for (b, sum) in acc.iter().enumerate() {
            let to = (at.row * g.output[1] + at.column + b) * g.channels + at.lane;
            let mut value = simd.add_f32s(*sum, bias);
            if let Some(residual) = self.residual.get(to..to + count) {
                value = simd.add_f32s(value, simd.partial_load_f32s(residual));
            }
            let value = <f32 as Lane>::clamp(simd, value, low, high);
            // SAFETY: the caller's.
            unsafe {
                match count == lanes {
                    true => (self.y.at(to) as *mut S::f32s).write_unaligned(value),
                    false => simd.partial_store_f32s(self.y.slice(to, count), value),
                }
            }
        }
        B
    }
}
