//! The positions of an occluding patch, and the windows of the input with the patch in them.

use crate::error::Result;
use crate::pass::Incremental;
use crate::tensor::tensor;
use candle_core::Tensor;
use std::ops::Range;

/// Where the patch stands, in the order of the map.
pub(super) struct Positions {
    pub(super) patch: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) input: [usize; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Positions {
    pub(super) fn new(patch: [usize; 2], stride: [usize; 2], input: [usize; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|a| {
            let last = input[a].saturating_sub(patch[a]).div_ceil(stride[a]);
            // Only a stride larger than the patch can leave the last patch behind the border.
            if last > 0 && last * stride[a] >= input[a] { last } else { last + 1 }
        });
        Positions { patch, stride, input, rows, columns }
    }

    pub(super) fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// The rows and columns that the patch covers at position `i`.
    pub(super) fn cover(&self, i: usize) -> [Range<usize>; 2] {
        let place = [i / self.columns, i % self.columns];
        [0, 1].map(|a| {
            let from = place[a] * self.stride[a];
            from.min(self.input[a])..(from + self.patch[a]).min(self.input[a])
        })
    }

    /// The top left corner of the window that holds the patch at position `i`.
    pub(super) fn corner(&self, i: usize) -> [usize; 2] {
        let cover = self.cover(i);
        [0, 1].map(|a| cover[a].start.min(self.input[a] - self.patch[a]))
    }

    /// All positions, at most `most` at a time, together those whose patches reach about as far in `pass`.
    pub(super) fn blocks(&self, most: usize, pass: &Incremental) -> Vec<Vec<usize>> {
        let high = most.isqrt().clamp(1, self.rows);
        let wide = (most / high).clamp(1, self.columns);
        // Even shares.
        let [high, wide] = [(self.rows, high), (self.columns, wide)].map(|(n, most)| n.div_ceil(n.div_ceil(most)));
        let reach = |i: usize| pass.reach(self.corner(i), self.patch);
        let mut rows: Vec<usize> = (0..self.rows).collect();
        rows.sort_by_cached_key(|y| reach(y * self.columns)[0]);
        let mut columns: Vec<usize> = (0..self.columns).collect();
        columns.sort_by_cached_key(|x| reach(*x)[1]);
        let blocks = rows.chunks(high).flat_map(|ys| columns.chunks(wide).map(move |xs| (ys, xs)));
        blocks.map(|(ys, xs)| ys.iter().flat_map(|y| xs.iter().map(move |x| y * self.columns + x)).collect()).collect()
    }

    /// The windows of the input that hold the patch at each of the positions in `which`, all of one size: where a patch is
    /// clipped at the border, the window reaches back over the input as it is. N x C x h x w.
    pub(super) fn tiles(&self, base: &[f32], fill: &[f32], which: &[usize]) -> Result<Tensor> {
        let [height, width] = self.input;
        let [high, wide] = self.patch;
        let mut data = Vec::with_capacity(which.len() * fill.len() * high * wide);
        for i in which {
            let [rows, columns] = self.cover(*i);
            let [top, left] = self.corner(*i);
            for (c, value) in fill.iter().enumerate() {
                for y in top..top + high {
                    let from = data.len();
                    let line = (c * height + y) * width + left;
                    data.extend_from_slice(&base[line..line + wide]);
                    if rows.contains(&y) {
                        data[from + columns.start - left..from + columns.end - left].fill(*value);
                    }
                }
            }
        }
        tensor(data, &[which.len(), fill.len(), high, wide])
    }

    /// The part of the input that the map covers when each value is drawn around its patch's centre.
    pub(super) fn extent(&self) -> [f64; 4] {
        let start = [0, 1].map(|a| (self.patch[a] as f64 - self.stride[a] as f64) / 2.0);
        let end = |a: usize, n: usize| start[a] + (n * self.stride[a]) as f64;
        [start[0], start[1], end(0, self.rows), end(1, self.columns)]
    }
}
