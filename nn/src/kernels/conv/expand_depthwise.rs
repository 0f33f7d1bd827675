//! A pointwise convolution fused with the depthwise one that is its only consumer, as in inverted residual blocks (Sandler et
//! al. 2018). Both are computed in bands of rows and groups of channels, so that the maps between them, the largest of such
//! nets, stay in the core's cache.
//!
//! Every result has the bits of the two convolutions one after another, whatever the bands.

use super::depthwise::{OutputPlane, ReadyProblem, SCRATCH as PLANES};
use super::depthwise_rows::TapGrid;
use super::epilogue::{Combine, Epilogue};
use super::geometry::Geometry;
use super::microkernel::{MR, PanelGemm, RowOffsets, Tile, nr};
use super::padded_plane::PaddedPlane;
use super::prepacked::{PrepackedConv, SinglePhase};
use super::problem::{ConvProblem, OutputLayout};
use super::scratch::{SCRATCH, grow};
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::simd::arch;
use rayon::prelude::*;

/// Channels of a group.
const GROUP: usize = 2 * MR;
/// Values of a band of the input, and of a group: both stay in the L2 cache.
const BAND_VALUES: usize = 3 << 14;
/// Values between the convolutions from which on they do not stay in the cache; below, both ways take as long.
const MIN_BETWEEN: usize = 1 << 19;

/// Whether the fusion pays, by the sizes of the pointwise convolution.
pub fn expansion_pays(conv: &Geometry) -> bool {
    conv.is_pointwise() && conv.groups == 1 && conv.out * conv.out_pixels() >= MIN_BETWEEN
}

/// A pointwise convolution, and the depthwise one after it.
pub struct ExpandDepthwise<'a> {
    pointwise: SinglePhase<'a>,
    depthwise: SinglePhase<'a>,
}

/// The sizes of the work on one band.
struct Bands {
    /// Rows of outputs of a band, the last one's too, and how many bands there are.
    high: usize,
    count: usize,
    /// The row that a tap reads above the first output row of a band, and rows that a band reads.
    top: isize,
    rows: usize,
}

impl<'a> ExpandDepthwise<'a> {
    /// The two, where they fit: one output channel for each input channel of the depthwise convolution.
    pub fn of(pointwise: &'a PrepackedConv, depthwise: &'a PrepackedConv) -> Option<Self> {
        let (pointwise, depthwise) = (pointwise.single_phase()?, depthwise.single_phase()?);
        let (wide, deep) = (pointwise.problem, depthwise.problem);
        let is_pair = wide.takes_gate() && deep.is_depthwise() && deep.out_channels == 1;
        let fits = deep.groups == wide.out_channels && deep.input == wide.output && !deep.output.contains(&0);
        (is_pair && fits && !deep.taps.is_empty()).then_some(ExpandDepthwise { pointwise, depthwise })
    }

    fn bands(&self) -> Bands {
        let (wide, deep) = (self.pointwise.problem, self.depthwise.problem);
        let rows = || deep.taps.iter().map(|t| t[0]);
        let (top, bottom) = (rows().min().unwrap_or(0), rows().max().unwrap_or(0));
        let (reach, step) = ((bottom - top) as usize + 1, deep.stride[0]);
        let room = BAND_VALUES / (wide.in_channels.max(GROUP) * wide.output[1]).max(1);
        let most = (room.saturating_sub(reach) / step + 1).clamp(1, deep.output[0]);
        let count = deep.output[0].div_ceil(most);
        let high = deep.output[0].div_ceil(count);
        Bands { high, count: deep.output[0].div_ceil(high), top, rows: (high - 1) * step + reach }
    }

    /// The output for `batch` samples: `between` is the epilogue of the pointwise convolution, `after` that of the depthwise one;
    /// neither has a residual.
    ///
    /// # Panics
    /// Where `x` is shorter than the batch needs: a defect of the caller.
    pub fn run(&self, batch: usize, x: &[f32], between: &Epilogue<'_>, after: &Epilogue<'_>) -> Vec<f32> {
        let (wide, deep) = (self.pointwise.problem, self.depthwise.problem);
        let ([h, w], channels) = (wide.output, wide.out_channels);
        assert!(x.len() >= batch * wide.in_channels * h * w, "the input is too short");
        assert!(between.combine == Combine::None && after.combine == Combine::None, "a residual between two layers");
        let bands = self.bands();
        let taps: Vec<[isize; 2]> = deep.taps.iter().map(|t| [t[0] - bands.top, t[1]]).collect();
        let padded = PaddedPlane::new([bands.rows, w], deep.stride, [([bands.high, deep.output[1]], &taps[..])]);
        let [last, full] = [deep.output[0] - (bands.count - 1) * bands.high, bands.high].map(|high| {
            let output = [high, deep.output[1]];
            let layout = OutputLayout { row: output[1], column: 1, first: 0, ..deep.layout };
            ConvProblem { input: [bands.rows, w], output, taps: taps.clone(), layout, ..deep.clone() }
        });
        let ready = [&last, &full].map(|problem| ReadyProblem {
            problem,
            taps: taps.iter().map(|t| padded.tap_offset(*t)).collect(),
            grid: TapGrid::new(&padded, &taps),
            kernels: self.depthwise.panels,
        });
        let groups = channels.div_ceil(GROUP);
        let pixels = deep.out_pixels();
        let run = |y: DisjointSlice<f32>, task: usize| {
            let (n, band, group) = (task / (bands.count * groups), task / groups % bands.count, task % groups);
            let own = group * GROUP..channels.min((group + 1) * GROUP);
            let ready = &ready[usize::from(band + 1 < bands.count)];
            let plane = bands.rows * w;
            let mut maps = EXPANDED.take();
            grow(&mut maps, GROUP * plane);
            self.expand(n, x, &bands, band, own.clone(), between, &mut maps);
            for (channel, map) in own.zip(maps.chunks_exact(plane.max(1))) {
                let [rows, columns] = ready.problem.output;
                let at = (n * channels + channel) * pixels + band * bands.high * columns;
                PLANES.with_borrow_mut(|scratch| {
                    let plane = OutputPlane {
                        padded: &padded,
                        problems: std::slice::from_ref(ready),
                        begin: 0,
                        x: map,
                        channel,
                        bias: self.depthwise.bias.get(channel).copied().unwrap_or(0.0),
                        epilogue: *after,
                        scratch,
                        // SAFETY: each task owns the rows of its band and channels.
                        y: unsafe { y.slice(at, rows * columns) },
                    };
                    arch().dispatch(plane);
                });
                // SAFETY: as above.
                after.activate(unsafe { y.slice(at, rows * columns) });
            }
            EXPANDED.set(maps);
        };
        // SAFETY: bands and groups cover all rows of all channels.
        unsafe {
            vec_filled_by(batch * channels * pixels, |y| {
                (0..batch * bands.count * groups).into_par_iter().for_each(|task| run(y, task));
            })
        }
    }

    /// The rows that a band reads, of some channels, zero outside of the image: channel by channel, `bands.rows` rows each.
    #[allow(clippy::too_many_arguments)]
    fn expand(
        &self,
        n: usize,
        x: &[f32],
        bands: &Bands,
        band: usize,
        channels: std::ops::Range<usize>,
        between: &Epilogue<'_>,
        maps: &mut [f32],
    ) {
        let SinglePhase { problem, panels, bias } = self.pointwise;
        let ([h, w], depth, plane) = (problem.output, problem.in_channels, bands.rows * problem.output[1]);
        let first = (band * bands.high * self.depthwise.problem.stride[0]) as isize + bands.top;
        let inside = (-first).clamp(0, bands.rows as isize) as usize;
        let begin = (first + inside as isize) as usize;
        let end = bands.rows.min((h as isize - first).max(inside as isize) as usize);
        for map in maps.chunks_exact_mut(plane.max(1)).take(channels.len()) {
            map[..inside * w].fill(0.0);
            map[end * w..].fill(0.0);
        }
        let (panels, bias) = (&panels[channels.start * depth..], bias.get(channels.clone()).unwrap_or_default());
        let (total, out) = ((end - inside) * w, DisjointSlice::new(maps));
        for p in (0..total).step_by(nr()) {
            let (count, from) = (nr().min(total - p), n * depth * h * w + begin * w + p);
            let tile = |columns, row_offsets| Tile {
                columns,
                row_offsets,
                count,
                // SAFETY: the maps have room for all pixels of these rows.
                out: unsafe { out.at(inside * w + p) },
                out_pitch: plane,
                residual: std::ptr::null(),
                combine: Combine::None,
                clamp: between.clamp,
            };
            let gemm = |tile| PanelGemm { panels, depth, rows: channels.len(), bias, tile };
            if from + (depth - 1) * h * w + nr() <= x.len() {
                // SAFETY: a full tile lies in the input in each row; the maps are this task's own.
                unsafe { gemm(tile(x[from..].as_ptr(), RowOffsets::Unpacked(h * w))).run() };
            } else {
                SCRATCH.with_borrow_mut(|scratch| {
                    grow(&mut scratch.columns, depth * nr());
                    for (k, row) in scratch.columns.chunks_exact_mut(nr()).take(depth).enumerate() {
                        row[..count].copy_from_slice(&x[from + k * h * w..][..count]);
                    }
                    // SAFETY: as above, in the copy.
                    unsafe { gemm(tile(scratch.columns.as_ptr(), RowOffsets::Packed(nr()))).run() };
                });
            }
            // SAFETY: these values have just been stored.
            unsafe { between.activate_rows(out, inside * w + p, plane, channels.len(), count) };
        }
    }
}

thread_local! {
    /// Each thread's maps between the convolutions.
    static EXPANDED: std::cell::Cell<Vec<f32>> = const { std::cell::Cell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::graph::op::{Activation, Padding, Window};
    use crate::kernels::conv::{Clamp, WinogradTile};
    use crate::random::Stream;

    #[test]
    fn both_together_have_the_bits_of_one_after_another() {
        let mut rng = Stream::new(0, "expand");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        for (batch, channels, out, input, kernel, stride, padding, dilation) in [
            (1, 16, 40, [56, 112], 3, 2, 1, 1),
            (2, 24, 20, [57, 56], 5, 1, 2, 1),
            (1, 40, 17, [31, 75], 3, 1, 1, 2),
            (3, 3, 16, [9, 7], 5, 2, 0, 1),
            (1, 200, 8, [40, 33], 7, 1, 3, 1),
            (1, 70, 24, [200, 47], 3, 2, 1, 1),
        ] {
            let g = Geometry { batch, channels, input, out, output: input, groups: 1, window: Window::square(1, 1, 0) };
            let padding = Padding::same(padding);
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], padding };
            let output = window.output(input, false).unwrap();
            let d = Geometry { batch, channels: out, input, out, output, groups: out, window };
            let x = random(batch * channels * input[0] * input[1]);
            let (w, bias) = (random(out * channels), random(out));
            let (kernels, shift) = (random(out * kernel * kernel), random(out));
            let pointwise = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::F2);
            let depthwise = PrepackedConv::forward(&d, &kernels, Some(&shift), WinogradTile::F2);
            for (between, after) in [
                (Epilogue::NONE, Epilogue { clamp: Clamp::Relu, ..Epilogue::NONE }),
                (
                    Epilogue { activation: Some(Activation::Silu), ..Epilogue::NONE },
                    Epilogue { activation: Some(Activation::HardSwish), ..Epilogue::NONE },
                ),
                (Epilogue { clamp: Clamp::Range(0.0, 6.0), ..Epilogue::NONE }, Epilogue::NONE),
            ] {
                let want = depthwise.run(batch, &pointwise.run(batch, &x, &between), &after);
                let pair = ExpandDepthwise::of(&pointwise, &depthwise).unwrap();
                assert!(pair.run(batch, &x, &between, &after) == want, "{d:?}");
            }
        }
    }
}
