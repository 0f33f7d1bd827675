//! Depthwise convolution of maps whose channels are neighbours, alone or together with the pointwise convolution that makes its input, as
//! in inverted residual blocks (Sandler et al. 2018). The maps between the two, the largest of such nets, then stay in the core's cache.
//!
//! A task computes a band of rows of [`TILE`] channels. It copies (or computes) rows of the input into a ring of padded rows, from
//! which it computes rows of outputs.

use super::dense::DenseRows;
use super::maps::Maps;
use super::ring_rows::RingRows;
use crate::kernels::conv::{Combine, Epilogue, Geometry};
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::kernels::elementwise;
use crate::kernels::matmul::Matrix;
use crate::kernels::row_gemm::{RowEpilogue, block_width, multiply_blocks};
use crate::simd::arch;
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Channels of a task: some blocks of a matrix product's columns, whatever the width of vectors.
pub(super) const TILE: usize = 48;
/// Values of a ring of rows, which stays in the L2 cache.
const RING_VALUES: usize = 1 << 15;
/// Rows of outputs, in reaches of the kernel, below which a band is not divided: its halo is computed again.
const REACHES_PER_BAND: usize = 4;

/// A depthwise convolution, its kernels packed by tiles of channels.
#[derive(Debug)]
pub struct DepthwiseRows {
    pub(super) g: Geometry,
    /// Rows and columns that each tap reads after the first.
    pub(super) taps: Vec<[usize; 2]>,
    /// Columns of a padded row, and those before the input's first.
    pub(super) padded: usize,
    left: usize,
    /// For each tile and each tap the weights of the tile's channels.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// The pointwise convolution that makes the input of a depthwise one, and its epilogue, without a residual.
#[derive(Clone, Copy)]
pub struct Expansion<'a> {
    /// The convolution.
    pub dense: &'a DenseRows,
    /// Its epilogue.
    pub epilogue: Epilogue<'a>,
}

impl DepthwiseRows {
    /// Whether a convolution is one: each output channel reads one input channel of its own.
    pub fn suits(g: &Geometry) -> bool {
        g.groups == g.channels && g.out == g.channels && g.channels >= 8 && !g.output.contains(&0)
    }

    /// y = w * x + b; the batch of `g` is not used. `w` C x 1 x kh x kw, `bias` C.
    pub fn new(g: &Geometry, w: &[f32], bias: Option<&[f32]>) -> Self {
        let (window, count) = (g.window, g.taps());
        let across = window.kernel[1];
        let taps = (0..count).map(|t| [t / across * window.dilation[0], t % across * window.dilation[1]]).collect();
        let tiles = g.channels.div_ceil(TILE);
        let mut weights = vec![0.0; tiles * count * TILE];
        for c in 0..g.channels {
            for t in 0..count {
                weights[(c / TILE * count + t) * TILE + c % TILE] = w[c * count + t];
            }
        }
        let mut own = bias.unwrap_or_default().to_vec();
        own.resize(tiles * TILE, 0.0);
        DepthwiseRows {
            g: *g,
            taps,
            padded: (g.output[1] - 1) * window.stride[1] + (across - 1) * window.dilation[1] + 1,
            left: window.padding.left,
            weights,
            bias: own,
        }
    }

    /// Rows that a row of outputs spans.
    fn reach(&self) -> usize {
        (self.g.window.kernel[0] - 1) * self.g.window.dilation[0] + 1
    }

    /// The output, N x OH x OW x C, of `x`, or of what `expansion` makes of `x`; the residual is laid out as the output.
    ///
    /// # Panics
    /// Where an operand is shorter than the batch needs, or planes have no expansion: a defect of the caller.
    pub fn run(
        &self,
        batch: usize,
        x: Maps<'_>,
        expansion: Option<Expansion<'_>>,
        epilogue: &Epilogue<'_>,
    ) -> Vec<f32> {
        let (g, tiles) = (&self.g, self.g.channels.div_ceil(TILE));
        let source = match (x, expansion) {
            (x, Some(expansion)) => {
                let wide = expansion.dense.geometry();
                assert!(wide.out == g.channels && wide.output == g.input, "an expansion to other maps");
                Source::Expanded { x, expansion }
            }
            (Maps::ChannelsLast(x), None) => {
                assert!(x.len() >= batch * g.in_pixels() * g.channels, "the input is too short");
                Source::Copied(x)
            }
            (Maps::Planes(_), None) => panic!("a depthwise layer of planes"),
        };
        let n = batch * g.out_pixels() * g.channels;
        assert!(epilogue.combine == Combine::None || epilogue.residual.len() >= n, "the residual is too short");
        // As many bands as keep all threads at work; results do not depend on them.
        let wanted = (2 * rayon::current_num_threads()).div_ceil(batch * tiles);
        let most = g.output[0] / (REACHES_PER_BAND * self.reach().div_ceil(g.window.stride[0]));
        let high = g.output[0].div_ceil(wanted.min(most).max(1));
        let bands = g.output[0].div_ceil(high);
        // SAFETY: the tasks cover all rows of all channels and do not overlap.
        unsafe {
            vec_filled_by(n, |y| {
                (0..batch * bands * tiles).into_par_iter().for_each(|task| {
                    let (sample, band, tile) = (task / (bands * tiles), task / tiles % bands, task % tiles);
                    let rows = band * high..g.output[0].min((band + 1) * high);
                    let channels = tile * TILE..g.channels.min((tile + 1) * TILE);
                    Band { layer: self, source, sample, rows, channels, epilogue, y }.run();
                });
            })
        }
    }
}

/// Where the rows of the input come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// N x H x W x C.
    Copied(&'a [f32]),
    /// They are computed.
    Expanded { x: Maps<'a>, expansion: Expansion<'a> },
}

/// Rows of outputs of some channels of a sample.
struct Band<'a> {
    layer: &'a DepthwiseRows,
    source: Source<'a>,
    sample: usize,
    rows: Range<usize>,
    channels: Range<usize>,
    epilogue: &'a Epilogue<'a>,
    y: DisjointSlice<f32>,
}

thread_local! {
    /// Each thread's ring of rows, and the rows that an expansion has just made.
    static BUFFERS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

impl Band<'_> {
    /// # Safety
    /// The output must hold the band, which no other task may touch.
    unsafe fn run(self) {
        let (layer, g) = (self.layer, &self.layer.g);
        let (stride, reach, line) = (g.window.stride[0], layer.reach(), layer.padded * TILE);
        let chunk = ((RING_VALUES / line).saturating_sub(reach) / stride + 1).clamp(1, self.rows.len());
        let slots = (chunk - 1) * stride + reach;
        let [mut ring, mut made] = BUFFERS.take();
        if ring.len() < slots * line {
            ring.resize(slots * line, 0.0);
        }
        for row in ring.chunks_exact_mut(line).take(slots) {
            row[..layer.left.min(layer.padded) * TILE].fill(0.0);
            row[(layer.left + g.input[1]).min(layer.padded) * TILE..].fill(0.0);
        }
        // Rows of the padded input: row r is row r - top of the input.
        let mut ready = self.rows.start * stride;
        for first in self.rows.clone().step_by(chunk) {
            let rows = first..self.rows.end.min(first + chunk);
            let end = (rows.end - 1) * stride + reach;
            self.fill(ready.max(first * stride)..end, slots, &mut ring, &mut made);
            ready = end;
            // SAFETY: the caller's.
            unsafe { self.compute(rows, slots, &ring) };
        }
        BUFFERS.set([ring, made]);
    }

    /// Puts rows of the padded input into the ring.
    fn fill(&self, rows: Range<usize>, slots: usize, ring: &mut [f32], made: &mut Vec<f32>) {
        let (layer, g) = (self.layer, &self.layer.g);
        let ([h, w], top, line) = (g.input, g.window.padding.top, layer.padded * TILE);
        let inside = rows.start.clamp(top, top + h)..rows.end.clamp(top, top + h);
        for row in rows.filter(|row| !inside.contains(row)) {
            ring[row % slots * line..][..line].fill(0.0);
        }
        let count = w.min(layer.padded.saturating_sub(layer.left));
        let place = |row: usize| row % slots * line + layer.left * TILE;
        match self.source {
            Source::Copied(x) => {
                for row in inside {
                    let from = &x[((self.sample * h + row - top) * w) * g.channels + self.channels.start..];
                    let to = ring[place(row)..].chunks_exact_mut(TILE).zip(from.chunks(g.channels)).take(count);
                    to.for_each(|(to, from)| to[..self.channels.len()].copy_from_slice(&from[..self.channels.len()]));
                }
            }
            Source::Expanded { x, expansion } if !inside.is_empty() => {
                let need = inside.len() * w * TILE;
                if made.len() < need {
                    made.resize(need, 0.0);
                }
                self.expand(x, &expansion, inside.start - top..inside.end - top, &mut made[..need]);
                for (row, from) in inside.zip(made.chunks_exact(w * TILE)) {
                    ring[place(row)..][..count * TILE].copy_from_slice(&from[..count * TILE]);
                }
            }
            Source::Expanded { .. } => {}
        }
    }

    /// Computes rows of the input: for each position the tile's channels.
    fn expand(&self, x: Maps<'_>, expansion: &Expansion<'_>, rows: Range<usize>, made: &mut [f32]) {
        let Expansion { dense, epilogue } = expansion;
        let ((columns, bias), [h, w], depth) = (dense.packed(), self.layer.g.input, dense.geometry().channels);
        let left = match x {
            Maps::ChannelsLast(x) => Matrix::rows(&x[(self.sample * h + rows.start) * w * depth..], depth),
            Maps::Planes(x) => {
                Matrix { data: &x[self.sample * depth * h * w + rows.start * w..], row: 1, column: h * w }
            }
        };
        let width = block_width::<f32>();
        let blocks = self.channels.start / width..self.channels.end.div_ceil(width);
        let Epilogue { clamp, activation, .. } = *epilogue;
        let row_epilogue = RowEpilogue { bias, clamp, activation, ..Default::default() };
        // SAFETY: the buffer has room for a tile of each position.
        unsafe { multiply_blocks(rows.len() * w, left, columns, blocks, &row_epilogue, DisjointSlice::new(made), TILE) }
    }

    /// # Safety
    /// As [`Band::run`].
    unsafe fn compute(&self, rows: Range<usize>, slots: usize, ring: &[f32]) {
        let (layer, g) = (self.layer, &self.layer.g);
        let ([height, width], channels) = (g.output, g.channels);
        let (tile, taps) = (self.channels.start / TILE, layer.taps.len());
        let first = ((self.sample * height + rows.start) * width) * channels + self.channels.start;
        let count = rows.len() * width;
        let residual = match self.epilogue.combine {
            Combine::None => &[][..],
            _ => &self.epilogue.residual[first..],
        };
        arch().dispatch(RingRows {
            layer,
            rows,
            slots,
            ring,
            weights: &layer.weights[tile * taps * TILE..][..taps * TILE],
            bias: &layer.bias[tile * TILE..][..TILE],
            channels: self.channels.len(),
            residual,
            bounds: self.epilogue.clamp.bounds(),
            // SAFETY: the caller's.
            y: unsafe { self.y.from(first) },
        });
        if let Some(f) = self.epilogue.activation {
            // SAFETY: these values have just been stored.
            unsafe { elementwise::apply_rows(f, self.y, first, channels, count, self.channels.len()) }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::graph::op::{Activation, Padding, Window};
    use crate::kernels::conv::{Clamp, PrepackedConv, WinogradTile};
    use crate::kernels::rearrange::transpose;
    use crate::random::Stream;

    fn last(batch: usize, channels: usize, x: &[f32]) -> Vec<f32> {
        transpose(&[batch, channels, x.len() / batch / channels], &[0, 2, 1], x)
    }

    #[test]
    fn alone_or_behind_an_expansion_it_has_the_bits_of_the_layers_of_planes() {
        let mut rng = Stream::new(0, "rows");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        let uneven = Padding { top: 1, left: 2, bottom: 3, right: 0 };
        for (batch, channels, out, input, kernel, stride, dilation, padding) in [
            (1, 16, 40, [56, 112], [3, 3], [2, 2], [1, 1], Padding::same(1)),
            (2, 24, 50, [14, 14], [5, 5], [1, 1], [1, 1], Padding::same(2)),
            (1, 40, 17, [31, 75], [3, 3], [1, 1], [2, 2], Padding::same(1)),
            (3, 9, 16, [9, 7], [5, 5], [2, 2], [1, 1], Padding::same(0)),
            (1, 200, 96, [7, 7], [7, 7], [1, 1], [1, 1], Padding::same(3)),
            (2, 12, 100, [13, 11], [4, 3], [2, 3], [1, 2], uneven),
            (1, 8, 8, [1, 40], [1, 9], [1, 1], [1, 1], Padding { top: 0, left: 4, bottom: 0, right: 4 }),
        ] {
            let g = Geometry { batch, channels, input, out, output: input, groups: 1, window: Window::square(1, 1, 0) };
            let window = Window { kernel, stride, dilation, padding };
            let output = window.output(input, false).unwrap();
            let d = Geometry { batch, channels: out, input, out, output, groups: out, window };
            let x = random(batch * channels * input[0] * input[1]);
            let (w, bias) = (random(out * channels), random(out));
            let (kernels, shift) = (random(out * d.taps()), random(out));
            let residual = random(batch * out * output[0] * output[1]);
            let pointwise = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::F2);
            let depthwise = PrepackedConv::forward(&d, &kernels, Some(&shift), WinogradTile::F2);
            let (dense, rows) = (DenseRows::new(&g, &w, Some(&bias)), DepthwiseRows::new(&d, &kernels, Some(&shift)));
            for (between, after) in [
                (Epilogue::NONE, Epilogue { clamp: Clamp::Relu, ..Epilogue::NONE }),
                (
                    Epilogue { activation: Some(Activation::Silu), ..Epilogue::NONE },
                    Epilogue { activation: Some(Activation::HardSwish), ..Epilogue::NONE },
                ),
                (
                    Epilogue { clamp: Clamp::Range(0.0, 6.0), ..Epilogue::NONE },
                    Epilogue { residual: &residual, combine: Combine::Add, ..Epilogue::NONE },
                ),
            ] {
                let wide = pointwise.run(batch, &x, &between);
                let want = last(batch, out, &depthwise.run(batch, &wide, &after));
                let turned = if after.residual.is_empty() { Vec::new() } else { last(batch, out, &residual) };
                let after = Epilogue { residual: &turned, ..after };
                let expansion = Some(Expansion { dense: &dense, epilogue: between });
                assert!(rows.run(batch, Maps::Planes(&x), expansion, &after) == want, "{d:?}");
                let maps = last(batch, channels, &x);
                assert!(rows.run(batch, Maps::ChannelsLast(&maps), expansion, &after) == want, "{d:?}");
                let wide = last(batch, out, &wide);
                assert!(rows.run(batch, Maps::ChannelsLast(&wide), None, &after) == want, "{d:?}");
            }
        }
    }
}
