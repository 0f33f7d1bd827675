//! Convolutions from or to few channels, as a first layer is, forward and backward: laying out columns would cost much
//! beside multiplying them, so inner rows are read where they lie, in copies of bands of the input with their
//! [`Border`] around them.
//!
//! Positions in the border between two rows are computed too and dropped.

use super::border::Border;
use super::cut::{Run, SCRATCH, Scatter, grow};
use super::finish::{Finish, Join};
use super::packed::Around;
use super::target::Target;
use super::tile::{Block, Inner, Product, ROWS, arch, lanes, width};
use super::walk::{Walk, Work};
use rayon::prelude::*;

/// Bytes of a band: it stays in a core's second-level cache.
const BAND_BYTES: usize = 1 << 18;
/// Input channels that are few.
const FEW: usize = 4;

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
    /// The least row that a tap reads at position (0, 0), and how many more the furthest reads.
    least: isize,
    reach: usize,
}

impl<'a> Direct<'a> {
    /// The walks, where they read or make few channels: by the shape of the layer, never by the batch.
    pub fn of(parts: &'a [Part<'a>]) -> Option<Self> {
        let few = |p: &Part<'_>| (p.walk.rows <= ROWS && p.walk.stride == [1, 1]) || p.walk.channels <= FEW;
        let taps = || parts.iter().flat_map(|p| &p.walk.taps).map(|t| t[0]);
        if !parts.iter().all(few) || taps().count() < 2 {
            return None;
        }
        let (least, most) = (taps().min()?, taps().max()?);
        Some(Direct { parts, least, reach: (most - least) as usize })
    }

    /// Computes all walks for `batch` samples into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// As [`Walk::run`].
    pub fn run(&self, batch: usize, x: &[f32], bias: &[f32], around: &Around<'_>, out: Target<f32>, len: usize) {
        let Around { other, join, finish, .. } = *around;
        let walks: Vec<Walk> = self.parts.iter().map(|p| Walk { batch, ..p.walk.clone() }).collect();
        let works = self.parts.iter().map(|part| Work { x, panels: part.panels, bias, other, join, finish });
        let ready: Vec<_> = walks.iter().zip(works).filter(|(walk, work)| walk.checked(work, len)).collect();
        let Some((first, _)) = ready.first() else { return };
        let ([h, w], stride, planes) = (first.input, first.stride, batch * first.groups);
        let row = first.channels * stride[0] * w * size_of::<f32>();
        let beyond = self.reach.div_ceil(stride[0]);
        let high = (BAND_BYTES / row.max(1)).clamp(2 * beyond + 2, 2 * beyond + 10);
        let bands = ready.iter().map(|(walk, _)| walk.grid[0].div_ceil(high)).max().unwrap_or(0);
        let rows = (high - 1) * stride[0] + self.reach + 1;
        let taps: Vec<Vec<_>> =
            ready.iter().map(|(walk, _)| walk.taps.iter().map(|t| [t[0] - self.least, t[1]]).collect()).collect();
        let windows = ready.iter().zip(&taps).map(|((walk, _), taps)| ([high, walk.grid[1]], &taps[..]));
        let border = Border::new([rows, w], stride, windows);
        let inner = |taps: &Vec<[isize; 2]>| -> Vec<usize> {
            let places = taps.iter().map(|tap| border.place(*tap));
            places
                .flat_map(|place| (0..first.channels).map(move |c| (c, place)))
                .map(|(c, p)| c * border.room() + p)
                .collect()
        };
        let inners: Vec<Vec<usize>> = taps.iter().map(inner).collect();
        let room = || vec![0.0; first.channels * border.room() + width()];
        (0..planes * bands).into_par_iter().for_each_init(room, |columns, task| {
            let (at, from) = (task / bands, task % bands * high);
            let band = Band { n: at / first.groups, group: at % first.groups, from, high };
            let input = &x[at * first.channels * h * w..][..first.channels * h * w];
            for (to, map) in columns.chunks_exact_mut(border.room()).zip(input.chunks_exact(h * w)) {
                for i in 0..rows {
                    let row = (from * stride[0] + i).wrapping_add_signed(self.least);
                    match map.chunks_exact(w).nth(row) {
                        Some(line) => border.fill_row(i, line, to),
                        None => border.clear_row(i, to),
                    }
                }
            }
            for ((walk, work), rows) in ready.iter().zip(&inners) {
                band.run(walk, work, &Bordered { columns, rows, pitch: border.pitch() }, out);
            }
        });
    }
}

/// Rows of positions of a sample's group.
struct Band {
    n: usize,
    group: usize,
    from: usize,
    high: usize,
}

/// What a band reads.
struct Bordered<'a> {
    columns: &'a [f32],
    /// Where the inner rows of the first position lie.
    rows: &'a [usize],
    /// Values between rows of positions.
    pitch: usize,
}

impl Band {
    /// The band of a walk's results.
    fn run(&self, walk: &Walk, work: &Work<'_>, from: &Bordered<'_>, out: Target<f32>) {
        let (inner, channel, pitch) = (walk.inner(), self.group * walk.rows, from.pitch);
        let high = self.high.min(walk.grid[0].saturating_sub(self.from));
        if high == 0 {
            return;
        }
        let panels = &work.panels[self.group * walk.rows.next_multiple_of(ROWS) * inner..];
        let bias = work.bias.get(channel..channel + walk.rows).unwrap_or_default();
        let positions = (high - 1) * pitch + walk.grid[1];
        let mut runs = Vec::new();
        SCRATCH.with_borrow_mut(|scratch| {
            grow(&mut scratch.results, walk.rows.next_multiple_of(ROWS) * width());
            for first in (0..positions).step_by(width()) {
                let count = width().min(positions - first);
                let block = Block {
                    columns: from.columns[first..].as_ptr(),
                    inner: Inner::At(from.rows),
                    // Whole vectors: there is room behind the last column.
                    count: count.next_multiple_of(lanes()),
                    out: scratch.results.as_mut_ptr(),
                    out_pitch: width(),
                    other: std::ptr::null(),
                    join: Join::Alone,
                    finish: Finish::Keep,
                };
                // SAFETY: the furthest inner row, from the last position on, still has a tile behind it; the results are
                // this thread's own.
                unsafe { Product { panels, inner, rows: walk.rows, bias, block }.run() };
                runs.clear();
                self.runs(walk, pitch, first, count, &mut runs);
                let (rows, results) = (walk.rows, &scratch.results[..]);
                arch().dispatch(Scatter { walk, work, runs: &runs, channel, rows, results, out });
            }
        });
    }

    /// The runs of `count` positions from `first` on that are results.
    fn runs(&self, walk: &Walk, pitch: usize, first: usize, count: usize, to: &mut Vec<Run>) {
        let mut lane = 0;
        while lane < count {
            let (y, x) = ((first + lane) / pitch, (first + lane) % pitch);
            let run = (pitch - x).min(count - lane);
            let len = run.min(walk.grid[1].saturating_sub(x));
            if len > 0 {
                to.push(Run { lane, len, n: self.n, y: self.from + y, x });
            }
            lane += run;
        }
    }
}
