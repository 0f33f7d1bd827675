//! A convolution and the max pool after it, band by band: the convolution's outputs of a band are pooled while they lie in a
//! core's L2 cache, and only the maxima are written to memory.

use super::epilogue::{Clamp, Epilogue};
use super::geometry::Geometry;
use super::prepacked::PrepackedConv;
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::kernels::pool;
use crate::kernels::rearrange::paste;
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of the convolution's outputs in a band.
const BAND_BYTES: usize = 1 << 19;

/// A convolution whose outputs only a max pool reads.
pub struct ConvMaxPool<'a> {
    /// The forward convolution.
    pub prepacked: &'a PrepackedConv,
    /// Its sizes.
    pub conv: Geometry,
    /// The sizes of the pool.
    pub pool: pool::PoolGeometry,
}

/// Whether fusing a max pool into the convolution pays: where its output is much larger than its input, as for a first layer.
pub fn fusion_pays(conv: &Geometry) -> bool {
    let made = conv.out * conv.out_pixels();
    size_of::<f32>() * made > BAND_BYTES && made > 2 * conv.channels * conv.in_pixels()
}

impl ConvMaxPool<'_> {
    /// The maxima for a batch, N x O x PH x PW; `clamp` is applied to the convolution's outputs before.
    pub fn run(&self, batch: usize, x: &[f32], clamp: Clamp) -> Vec<f32> {
        let [down, across] = self.pool.output;
        let (out, sample) = (self.conv.out, self.conv.channels * self.conv.in_pixels());
        let row = out * self.conv.output[1] * size_of::<f32>();
        let high = (BAND_BYTES / row / self.pool.pool.window.stride[0]).clamp(1, down);
        let bands = down.div_ceil(high);
        let band = |y: DisjointSlice<f32>, task: usize| {
            let (n, rows) = (task / bands, task % bands * high..down.min((task % bands + 1) * high));
            let values = self.band(&x[n * sample..][..sample], rows.clone(), clamp);
            for (o, from) in values.chunks_exact(rows.len() * across).enumerate() {
                // SAFETY: every band has rows of its own.
                let to = unsafe { y.slice(((n * out + o) * down + rows.start) * across, from.len()) };
                to.copy_from_slice(from);
            }
        };
        // SAFETY: the bands cover every row of every sample.
        unsafe {
            vec_filled_by(batch * out * down * across, |y| {
                (0..batch * bands).into_par_iter().for_each(|task| band(y, task));
            })
        }
    }

    /// Rows `rows` of the maxima of one sample, O x rows x PW.
    fn band(&self, x: &[f32], rows: Range<usize>, clamp: Clamp) -> Vec<f32> {
        let (conv, mut pool) = (self.conv, self.pool);
        let window = &mut pool.pool.window;
        let (step, above) = (window.stride[0], window.padding.top);
        let end = (rows.end - 1) * step + window.span()[0];
        let read = (rows.start * step).saturating_sub(above)..conv.output[0].min(end - above);
        window.padding.top = above.saturating_sub(rows.start * step);
        pool.input = [read.len(), conv.output[1]];
        pool.output[0] = rows.len();
        let (size, x) = padded_rows(&conv, x, read);
        let made = self.prepacked.run_window(1, size, pool.input, &x, &Epilogue { clamp, ..Epilogue::NONE });
        pool::max(&pool, &made.unwrap_or_default())
    }
}

/// The input, padding included, of output rows `rows` of a convolution: its height and width, and its values.
fn padded_rows(conv: &Geometry, x: &[f32], rows: Range<usize>) -> ([usize; 2], Vec<f32>) {
    let (window, count) = (&conv.window, [rows.len(), conv.output[1]]);
    let size = [0, 1].map(|a| (count[a] - 1) * window.stride[a] + window.span()[a]);
    let top = (rows.start * window.stride[0]) as isize - window.padding.top as isize;
    let mut cut = vec![0.0; conv.channels * size[0] * size[1]];
    for (to, map) in cut.chunks_exact_mut(size[0] * size[1]).zip(x.chunks_exact(conv.in_pixels())) {
        paste(to, size, map, conv.input, [top, -(window.padding.left as isize)], None);
    }
    (size, cut)
}
