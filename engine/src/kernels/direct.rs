//! Convolutions to few channels with stride 1, as the gradient of a first layer is: laying out columns would cost more than
//! multiplying them, so inner rows are read where they lie, in copies of bands of the input with their border around them.
//!
//! Positions are counted through rows of the bordered input, so that the inputs of neighbouring ones are neighbours under
//! every tap; positions in the border between two rows are computed too and dropped.

use super::cut::{SCRATCH, Scratch, grow};
use super::finish::{Finish, Join};
use super::packed::Around;
use super::target::Target;
use super::tile::{Block, Inner, Product, ROWS, width};
use super::walk::{Walk, Work};
use rayon::prelude::*;

/// Bytes of a band: it stays in a core's second-level cache.
const BAND_BYTES: usize = 1 << 18;

/// One walk and its panels.
pub struct Part<'a> {
    /// How outputs read inputs; its batch plays no part.
    pub walk: &'a Walk,
    /// Its weights.
    pub panels: &'a [f32],
}

/// Walks over one input.
pub struct Direct<'a> {
    parts: &'a [Part<'a>],
    /// The least row and column that a tap reads at position (0, 0).
    least: [isize; 2],
    /// Height and width of the bordered input.
    size: [usize; 2],
}

impl<'a> Direct<'a> {
    /// The walks, where they make few channels: by the shape of the layer, never by the batch.
    pub fn of(parts: &'a [Part<'a>]) -> Option<Self> {
        let few = |p: &Part<'_>| p.walk.rows <= ROWS && p.walk.stride == [1, 1];
        let taps = || parts.iter().flat_map(|p| &p.walk.taps);
        if parts.is_empty() || !parts.iter().all(few) || taps().count() < 2 {
            return None;
        }
        let least = [0, 1].map(|a| taps().map(|t| t[a]).min().unwrap_or(0));
        let furthest = |a: usize| {
            let ends = parts.iter().filter(|p| p.walk.grid.iter().all(|g| *g > 0));
            ends.flat_map(|p| p.walk.taps.iter().map(move |t| t[a] + p.walk.grid[a] as isize)).max().unwrap_or(least[a])
        };
        let size = [0, 1].map(|a| (furthest(a) - least[a]).max(0) as usize);
        Some(Direct { parts, least, size })
    }

    /// Computes all walks for `batch` samples into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// As [`Walk::run`].
    pub fn run(&self, batch: usize, x: &[f32], bias: &[f32], around: &Around<'_>, out: Target<f32>, len: usize) {
        let Around { other, join, finish, .. } = *around;
        let walks: Vec<Walk> = self.parts.iter().map(|p| Walk { batch, ..p.walk.clone() }).collect();
        let mut ready = Vec::new();
        let mut reach = 0;
        for (walk, part) in walks.iter().zip(self.parts) {
            let work = Work { x, panels: part.panels, bias, other, join, finish };
            if walk.checked(&work, len) {
                reach = reach.max(walk.taps.iter().map(|t| (t[0] - self.least[0]) as usize).max().unwrap_or(0));
                ready.push((walk, work));
            }
        }
        let Some((first, _)) = ready.first() else { return };
        let row = first.channels * self.size[1] * size_of::<f32>();
        let high = (BAND_BYTES / row).clamp(2 * reach + 2, 4 * reach + 16);
        let bands = ready.iter().map(|(walk, _)| walk.grid[0].div_ceil(high)).max().unwrap_or(0);
        let planes = batch * first.groups;
        let plane = (high + reach) * self.size[1];
        let at = |c: usize, t: &[isize; 2]| {
            c * plane + (t[0] - self.least[0]) as usize * self.size[1] + (t[1] - self.least[1]) as usize
        };
        let inner = |walk: &Walk| walk.taps.iter().flat_map(|t| (0..walk.channels).map(move |c| at(c, t))).collect();
        let inners: Vec<Vec<usize>> = ready.iter().map(|(walk, _)| inner(walk)).collect();
        (0..planes * bands).into_par_iter().for_each(|task| {
            let (at, band) = (task / bands, task % bands * high);
            SCRATCH.with_borrow_mut(|scratch| {
                let input = first.channels * first.input[0] * first.input[1];
                grow(&mut scratch.columns, first.channels * plane + width());
                self.border(&x[at * input..][..input], band, high + reach, &mut scratch.columns);
                for ((walk, work), rows) in ready.iter().zip(&inners) {
                    let band = Band { n: at / walk.groups, group: at % walk.groups, from: band, high };
                    self.band(walk, work, &band, rows, scratch, out);
                }
            });
        });
    }

    /// Bordered rows from `from` on of every channel of a group, `high` a channel.
    fn border(&self, x: &[f32], from: usize, high: usize, to: &mut [f32]) {
        let ([h, w], wide) = (self.parts[0].walk.input, self.size[1]);
        let columns = columns_inside(self.least[1], w, wide);
        for (to, x) in to.chunks_exact_mut(high * wide).zip(x.chunks_exact(h * w)) {
            for (y, to) in to.chunks_exact_mut(wide).enumerate() {
                let row = (from + y).wrapping_add_signed(self.least[0]);
                if row >= h || columns.is_empty() {
                    to.fill(0.0);
                    continue;
                }
                let from = &x[row * w + columns.start.wrapping_add_signed(self.least[1])..][..columns.len()];
                to[..columns.start].fill(0.0);
                to[columns.clone()].copy_from_slice(from);
                to[columns.end..].fill(0.0);
            }
        }
    }

    /// A band of a walk's results.
    fn band(&self, walk: &Walk, work: &Work<'_>, band: &Band, rows: &[usize], scratch: &mut Scratch, out: Target<f32>) {
        let (inner, wide, channel) = (walk.inner(), self.size[1], band.group * walk.rows);
        let high = band.high.min(walk.grid[0].saturating_sub(band.from));
        if high == 0 {
            return;
        }
        let Scratch { columns, results, .. } = scratch;
        grow(results, ROWS * width());
        let panels = &work.panels[band.group * ROWS * inner..];
        let bias = work.bias.get(channel..channel + walk.rows).unwrap_or_default();
        let positions = (high - 1) * wide + walk.grid[1];
        for first in (0..positions).step_by(width()) {
            let count = width().min(positions - first);
            let block = Block {
                columns: columns[first..].as_ptr(),
                inner: Inner::At(rows),
                count,
                out: results.as_mut_ptr(),
                out_pitch: width(),
                other: std::ptr::null(),
                join: Join::Alone,
                finish: Finish::Keep,
            };
            // SAFETY: the furthest inner row, from the last position on, still has a tile behind it; the results are this
            // thread's own.
            unsafe { Product { panels, inner, rows: walk.rows, bias, block }.run() };
            let mut lane = 0;
            while lane < count {
                let (y, x) = ((first + lane) / wide, (first + lane) % wide);
                let run = (wide - x).min(count - lane);
                for r in 0..walk.rows {
                    let to = walk.index(band.n, channel + r, band.from + y, x);
                    let inside = run.min(walk.grid[1].saturating_sub(x));
                    for (i, value) in results[r * width() + lane..][..inside].iter().enumerate() {
                        let at = to + i * walk.place.column;
                        // SAFETY: `checked` saw that the last result lies inside `out` (and `other`); no other task has
                        // these positions.
                        unsafe {
                            let value = work.join.apply(*value, work.other.as_ptr().wrapping_add(at));
                            *out.at(at) = work.finish.apply(value);
                        }
                    }
                }
                lane += run;
            }
        }
    }
}

/// The positions, of `size` from `least` on, that lie in `0..length`.
fn columns_inside(least: isize, length: usize, size: usize) -> std::ops::Range<usize> {
    let from = (-least).clamp(0, size as isize) as usize;
    from..(length as isize - least).clamp(from as isize, size as isize) as usize
}

/// Rows of positions of a sample's group.
struct Band {
    n: usize,
    group: usize,
    from: usize,
    high: usize,
}
