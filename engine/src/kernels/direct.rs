//! Convolutions to few channels with stride 1, as the gradient of a first layer is: laying out columns would cost more than
//! multiplying them, so inner rows are read where they lie, in a copy of the input with its border around it.
//!
//! Positions are counted through rows of the bordered input, so that the inputs of neighbouring ones are neighbours under
//! every tap; positions in the border between two rows are computed too and dropped.

use super::columns::{SCRATCH, Walk, Work, grow};
use super::packed::Around;
use super::target::Target;
use super::tile::{Block, Finish, Inner, Join, Product, ROWS, width};
use rayon::prelude::*;

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
        let bordered = self.bordered(batch, x);
        let Around { other, join, finish, .. } = *around;
        for part in self.parts {
            let walk = &Walk { batch, ..part.walk.clone() };
            let work = Work { x, panels: part.panels, bias, other, join, finish };
            if !walk.checked(&work, len) {
                continue;
            }
            let plane = self.size[0] * self.size[1];
            let at = |c: usize, t: &[isize; 2]| {
                c * plane + (t[0] - self.least[0]) as usize * self.size[1] + (t[1] - self.least[1]) as usize
            };
            let rows: Vec<usize> = walk.taps.iter().flat_map(|t| (0..walk.channels).map(move |c| at(c, t))).collect();
            let positions = (walk.grid[0] - 1) * self.size[1] + walk.grid[1];
            let tiles = positions.div_ceil(width());
            (0..batch * walk.groups * tiles).into_par_iter().for_each(|task| {
                let (n, group, first) =
                    (task / tiles / walk.groups, task / tiles % walk.groups, task % tiles * width());
                let columns = &bordered[(n * walk.groups + group) * walk.channels * plane + first..];
                let tile = Tile { n, group, first, count: width().min(positions - first) };
                self.tile(walk, &work, &tile, columns, &rows, out);
            });
        }
    }

    /// The input with zeros around it, and a tile more behind it.
    fn bordered(&self, batch: usize, x: &[f32]) -> Vec<f32> {
        let walk = self.parts[0].walk;
        let ([h, w], [height, wide]) = (walk.input, self.size);
        let mut to = vec![0.0; batch * walk.groups * walk.channels * height * wide + width()];
        let columns = columns_inside(self.least[1], w, wide);
        if columns.is_empty() {
            return to;
        }
        let maps = batch * walk.groups * walk.channels;
        let (planes, _) = to.split_at_mut(maps * height * wide);
        let least = (1usize << 13).div_ceil(h * w);
        planes.par_chunks_mut((height * wide).max(1)).with_min_len(least).zip(x.par_chunks(h * w)).for_each(
            |(to, x)| {
                for y in columns_inside(self.least[0], h, height) {
                    let row = y.wrapping_add_signed(self.least[0]);
                    let from = &x[row * w + columns.start.wrapping_add_signed(self.least[1])..][..columns.len()];
                    to[y * wide..][columns.clone()].copy_from_slice(from);
                }
            },
        );
        to
    }

    fn tile(&self, walk: &Walk, work: &Work<'_>, tile: &Tile, columns: &[f32], rows: &[usize], out: Target<f32>) {
        let (inner, channel) = (walk.inner(), tile.group * walk.rows);
        SCRATCH.with_borrow_mut(|scratch| {
            let results = &mut scratch.results;
            grow(results, ROWS * width());
            let block = Block {
                columns: columns.as_ptr(),
                inner: Inner::At(rows),
                count: tile.count,
                out: results.as_mut_ptr(),
                out_pitch: width(),
                other: std::ptr::null(),
                join: Join::Alone,
                finish: Finish::Keep,
            };
            let panels = &work.panels[tile.group * ROWS * inner..];
            let bias = work.bias.get(channel..channel + walk.rows).unwrap_or_default();
            // SAFETY: the furthest inner row, from the last position on, still has a tile behind it; the results are this
            // thread's own.
            unsafe { Product { panels, inner, rows: walk.rows, bias, block }.run() };
            let mut lane = 0;
            while lane < tile.count {
                let (y, x) = ((tile.first + lane) / self.size[1], (tile.first + lane) % self.size[1]);
                let run = (self.size[1] - x).min(tile.count - lane);
                for r in 0..walk.rows {
                    let first = walk.index(tile.n, channel + r, y, x);
                    let inside = run.min(walk.grid[1].saturating_sub(x));
                    for (i, value) in results[r * width() + lane..][..inside].iter().enumerate() {
                        let at = first + i * walk.place.column;
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
        });
    }
}

/// The positions, of `size` from `least` on, that lie in `0..length`.
fn columns_inside(least: isize, length: usize, size: usize) -> std::ops::Range<usize> {
    let from = (-least).clamp(0, size as isize) as usize;
    from..(length as isize - least).clamp(from as isize, size as isize) as usize
}

/// Positions `first..first + count` of a sample's group.
struct Tile {
    n: usize,
    group: usize,
    first: usize,
    count: usize,
}
