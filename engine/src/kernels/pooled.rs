//! A convolution and the max pool behind it, band by band: what the convolution makes of a band is pooled while it lies in a
//! core's second-level cache, and only what the pool leaves of it is written to memory.

use super::conv;
use super::finish::Finish;
use super::layout::paste;
use super::packed::{Around, Packed};
use super::pool;
use super::target::{Target, filled};
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of a band of the convolution's values.
const BAND_BYTES: usize = 1 << 19;

/// A convolution whose values only a max pool reads.
pub struct Pooled<'a> {
    /// The convolution, forward.
    pub packed: &'a Packed,
    /// Its sizes.
    pub conv: conv::Geometry,
    /// The pool's.
    pub pool: pool::Geometry,
}

/// Whether pooling by bands pays: where a convolution makes much more than it reads, as a first layer does.
pub fn pays(conv: &conv::Geometry) -> bool {
    let made = conv.out * conv.out_pixels();
    size_of::<f32>() * made > BAND_BYTES && made > 2 * conv.channels * conv.in_pixels()
}

impl Pooled<'_> {
    /// The pool's values for a batch; `finish` is what happens to the convolution's before.
    pub fn run(&self, batch: usize, x: &[f32], finish: Finish) -> Vec<f32> {
        let [down, across] = self.pool.output;
        let (out, sample) = (self.conv.out, self.conv.channels * self.conv.in_pixels());
        let row = out * self.conv.output[1] * size_of::<f32>();
        let high = (BAND_BYTES / row / self.pool.pool.window.stride[0]).clamp(1, down);
        let bands = down.div_ceil(high);
        let band = |y: Target<f32>, task: usize| {
            let (n, rows) = (task / bands, task % bands * high..down.min((task % bands + 1) * high));
            let values = self.band(&x[n * sample..][..sample], rows.clone(), finish);
            for (o, from) in values.chunks_exact(rows.len() * across).enumerate() {
                // SAFETY: every band has rows of its own.
                let to = unsafe { y.slice(((n * out + o) * down + rows.start) * across, from.len()) };
                to.copy_from_slice(from);
            }
        };
        // SAFETY: the bands cover every row of every sample.
        unsafe {
            filled(batch * out * down * across, |y| {
                (0..batch * bands).into_par_iter().for_each(|task| band(y, task));
            })
        }
    }

    /// Some rows of the pool's values of one sample.
    fn band(&self, x: &[f32], rows: Range<usize>, finish: Finish) -> Vec<f32> {
        let (conv, mut pool) = (self.conv, self.pool);
        let window = &mut pool.pool.window;
        let (step, above) = (window.stride[0], window.padding.top);
        let end = (rows.end - 1) * step + window.span()[0];
        let read = (rows.start * step).saturating_sub(above)..conv.output[0].min(end - above);
        window.padding.top = above.saturating_sub(rows.start * step);
        pool.input = [read.len(), conv.output[1]];
        pool.output[0] = rows.len();
        let (size, x) = windows(&conv, x, read);
        let made = self.packed.run_window(1, size, pool.input, &x, &Around { finish, ..Around::NONE });
        pool::max(&pool, &made.unwrap_or_default())
    }
}

/// What some rows of a convolution's values read, the border included: its height and width, and the values.
fn windows(conv: &conv::Geometry, x: &[f32], rows: Range<usize>) -> ([usize; 2], Vec<f32>) {
    let (window, count) = (&conv.window, [rows.len(), conv.output[1]]);
    let size = [0, 1].map(|a| (count[a] - 1) * window.stride[a] + window.span()[a]);
    let top = (rows.start * window.stride[0]) as isize - window.padding.top as isize;
    let mut cut = vec![0.0; conv.channels * size[0] * size[1]];
    for (to, map) in cut.chunks_exact_mut(size[0] * size[1]).zip(x.chunks_exact(conv.in_pixels())) {
        paste(to, size, map, conv.input, [top, -(window.padding.left as isize)], None);
    }
    (size, cut)
}
