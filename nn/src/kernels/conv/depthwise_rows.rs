//! Sums of a depthwise convolution several output rows at a time. Rows of outputs below one another read many of the same inputs,
//! so that each vector of them is loaded once for all taps of a column.
//!
//! Every sum is one chain of fused multiply-adds in the order of the taps, whatever the rows and vectors of a block.

use super::epilogue::{Combine, Epilogue};
use super::padded_plane::PaddedPlane;
use pulp::Simd;

/// Rows of outputs that are computed together.
const ROWS: usize = 4;

/// The taps of a kernel as rows of a grid.
pub(super) struct TapGrid {
    /// Where the taps of each column read, from those of the first on.
    columns: Vec<usize>,
    /// How far behind a position the last value lies that it reads, and how many weights a kernel has.
    reach: usize,
    weights: usize,
    /// For blocks of 1 to [`ROWS`] rows the input rows that they read, in the order of the taps.
    steps: [Vec<RowStep>; ROWS],
}

/// A row of inputs, and the rows of outputs that read it.
struct RowStep {
    /// Where the first row of outputs would read it.
    at: usize,
    /// The first of the output rows that read it, and how many there are.
    first: usize,
    count: usize,
    /// The weights of that first row's tap; those of each next row lie `back` before.
    weight: usize,
    back: usize,
}

/// Rows of taps that read rows with one remainder by the stride, one after another.
struct Remainder {
    /// Where the first row of outputs would read the first such row of inputs.
    at: usize,
    /// The number of the input row that the first of the taps reads.
    first: usize,
    /// The rows of taps.
    taps: Vec<usize>,
}

impl TapGrid {
    /// The taps, where they form a grid whose rows follow one another, as those without dilation do.
    pub fn new(padded: &PaddedPlane, taps: &[[isize; 2]]) -> Option<Self> {
        let width = taps.iter().take_while(|t| t[0] == taps[0][0]).count();
        let rows: Vec<isize> = taps.iter().step_by(width.max(1)).map(|t| t[0]).collect();
        let columns = taps.get(..width)?;
        let is_grid = taps.iter().enumerate().all(|(i, t)| *t == [rows[i / width], columns[i % width][1]]);
        if width == 0 || !is_grid || !taps.len().is_multiple_of(width) {
            return None;
        }
        let (down, [top, left], pitch) = (padded.shape.stride[0], padded.shape.origin, padded.pitch());
        let mut remainders: Vec<Option<Remainder>> = (0..down).map(|_| None).collect();
        let mut last = None;
        for (tap, row) in rows.iter().enumerate() {
            let below = usize::try_from(row - top).ok()?;
            let (read, remainder) = (below / down, below % down);
            // In the order of the taps, as blocks read them.
            if last.replace((read, remainder)) >= Some((read, remainder)) {
                return None;
            }
            let at = padded.tap_offset([*row, left]) - read * pitch;
            let own = remainders[remainder].get_or_insert(Remainder { at, first: read, taps: Vec::new() });
            if own.first + own.taps.len() != read {
                return None;
            }
            own.taps.push(tap);
        }
        let remainders: Vec<Remainder> = remainders.into_iter().flatten().collect();
        if remainders.iter().any(|r| r.taps.windows(2).any(|t| t[1] - t[0] != r.step())) {
            return None;
        }
        let steps: [Vec<RowStep>; ROWS] = std::array::from_fn(|rows| steps(&remainders, rows + 1, width, pitch));
        let columns: Vec<usize> = columns.iter().map(|t| padded.tap_offset([top, t[1]])).collect();
        let last = steps[0].iter().map(|s| s.at).max()? + columns.iter().max()?;
        let weights = steps.iter().flatten().map(|s| s.weight + columns.len()).max()?;
        Some(TapGrid { columns, reach: last, weights, steps })
    }
}

impl Remainder {
    /// Rows of taps between neighbours.
    fn step(&self) -> usize {
        self.taps.get(1).map_or(0, |second| second - self.taps[0])
    }
}

/// What a block of `rows` rows reads.
fn steps(remainders: &[Remainder], rows: usize, width: usize, pitch: usize) -> Vec<RowStep> {
    let reach = remainders.iter().map(|r| r.first + r.taps.len()).max().unwrap_or(0);
    let mut steps = Vec::new();
    for read in 0..reach + rows - 1 {
        for r in remainders {
            // Output row j reads input row `read` by tap `read - j - r.first`.
            let end = (read + 1).saturating_sub(r.first).min(rows);
            let first = (read + 1).saturating_sub(r.first + r.taps.len());
            if first < end {
                let weight = r.taps[read - first - r.first] * width;
                let at = r.at + read * pitch;
                steps.push(RowStep { at, first, count: end - first, weight, back: r.step() * width });
            }
        }
    }
    steps
}

/// The output of one plane: what it reads, and where it goes.
pub(super) struct PlaneRows<'a> {
    pub grid: &'a TapGrid,
    /// The padded plane.
    pub values: &'a [f32],
    /// Values between its rows of positions.
    pub pitch: usize,
    pub kernel: &'a [f32],
    pub bias: f32,
    /// Height and width.
    pub output: [usize; 2],
    /// Its residual, if any, is laid out as `y`.
    pub epilogue: Epilogue<'a>,
    /// Rows one after another.
    pub y: &'a mut [f32],
}

impl PlaneRows<'_> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<S: Simd>(mut self, simd: S) {
        let ([height, width], lanes) = (self.output, S::F32_LANES);
        let reach = (height.max(1) - 1) * self.pitch + width.max(1) - 1 + self.grid.reach + lanes;
        assert!(reach <= self.values.len() && self.y.len() >= height * width, "a depthwise plane is too short");
        assert!(self.grid.weights <= self.kernel.len(), "a depthwise kernel is too short");
        let Epilogue { residual, combine, .. } = self.epilogue;
        assert!(combine == Combine::None || residual.len() >= height * width, "the residual is too short");
        for row in (0..height).step_by(ROWS) {
            // SAFETY: just checked.
            unsafe {
                match height - row {
                    1 => self.rows::<S, 1>(simd, row),
                    2 => self.rows::<S, 2>(simd, row),
                    3 => self.rows::<S, 3>(simd, row),
                    _ => self.rows::<S, ROWS>(simd, row),
                }
            }
        }
    }

    /// R rows from `row` on.
    ///
    /// # Safety
    /// The rows must exist, and all that they read.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize>(&mut self, simd: S, row: usize) {
        let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        let mut column = 0;
        while column < self.output[1] {
            // SAFETY: the caller's.
            unsafe {
                column += match (self.output[1] - column).div_ceil(S::F32_LANES).min(most) {
                    1 => self.block::<S, R, 1>(simd, row, column),
                    2 => self.block::<S, R, 2>(simd, row, column),
                    3 => self.block::<S, R, 3>(simd, row, column),
                    _ => self.block::<S, R, 4>(simd, row, column),
                };
            }
        }
    }

    /// V vectors of R rows; returns the columns that they hold.
    ///
    /// # Safety
    /// As [`PlaneRows::rows`].
    #[inline(always)]
    unsafe fn block<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, row: usize, column: usize) -> usize {
        let mut acc = [[simd.splat_f32s(0.0); V]; R];
        let from = self.values.as_ptr().wrapping_add(row * self.pitch + column);
        for step in &self.grid.steps[R - 1] {
            let (x, w) = (from.wrapping_add(step.at), self.kernel.as_ptr().wrapping_add(step.weight));
            let columns = &self.grid.columns[..];
            macro_rules! readers {
                ($($first:literal $count:literal),*) => {
                    match (step.first, step.count) {
                        $(($first, $count) => {
                            // SAFETY: the caller's.
                            unsafe { add_products::<S, R, V, $first, $count>(simd, columns, x, w, step.back, &mut acc) }
                        })*
                        _ => {}
                    }
                };
            }
            readers!(0 1, 0 2, 0 3, 0 4, 1 1, 1 2, 1 3, 2 1, 2 2, 3 1);
        }
        let (lanes, width, bias) = (S::F32_LANES, self.output[1], simd.splat_f32s(self.bias));
        let Epilogue { residual, combine, clamp, .. } = self.epilogue;
        for (r, sums) in acc.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let first = (row + r) * width + column + v * lanes;
                let count = lanes.min(width - column - v * lanes);
                let sum = simd.add_f32s(*sum, bias);
                // What reaches into the next row is stored again with it, where the block holds whole rows.
                let is_full = count == lanes || (width <= V * lanes && first + lanes <= self.output[0] * width);
                let to = &mut self.y[first..first + if is_full { lanes } else { count }];
                if is_full {
                    // SAFETY: the residual is as long as the output, where it is read.
                    let value = unsafe { combine.vector_at(simd, sum, residual.as_ptr().wrapping_add(first)) };
                    S::as_mut_simd_f32s(to).0[0] = clamp.vector(simd, value);
                    continue;
                }
                let value = match combine {
                    Combine::None => sum,
                    _ => combine.vector(simd, sum, simd.partial_load_f32s(&residual[first..first + count])),
                };
                simd.partial_store_f32s(to, clamp.vector(simd, value));
            }
        }
        V * lanes
    }
}

/// Adds the products of one row of inputs, at `x`, with a row of taps each for the output rows FIRST to FIRST + COUNT.
///
/// # Safety
/// V vectors must be readable at `x` plus each of `columns`, as many weights at `w` and at each of the COUNT - 1 rows `back` before.
#[inline(always)]
unsafe fn add_products<S: Simd, const R: usize, const V: usize, const FIRST: usize, const COUNT: usize>(
    simd: S,
    columns: &[usize],
    x: *const f32,
    w: *const f32,
    back: usize,
    acc: &mut [[S::f32s; V]; R],
) {
    for (k, column) in columns.iter().enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let mut values = [simd.splat_f32s(0.0); V];
            for (v, value) in values.iter_mut().enumerate() {
                *value = (x.add(column + v * S::F32_LANES) as *const S::f32s).read_unaligned();
            }
            for j in 0..COUNT {
                if FIRST + j < R {
                    let w = simd.splat_f32s(*w.add(k).wrapping_sub(j * back));
                    for v in 0..V {
                        acc[FIRST + j][v] = simd.mul_add_f32s(w, values[v], acc[FIRST + j][v]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::op::{Padding, Window};
    use crate::kernels::conv::{self, Epilogue, Geometry, PrepackedConv, WinogradTile};
    use crate::random::Stream;

    fn geometries() -> Vec<Geometry> {
        let mut all = Vec::new();
        let padding = Padding { top: 1, left: 2, bottom: 3, right: 0 };
        for kernel in [[2, 2], [3, 3], [5, 5], [7, 7], [9, 9], [1, 7], [4, 3]] {
            for stride in [[1, 1], [2, 2], [2, 3]] {
                for (dilation, input) in [([1, 1], [9, 9]), ([1, 1], [13, 50]), ([2, 1], [20, 17]), ([2, 3], [24, 70])]
                {
                    let window = Window { kernel, stride, dilation, padding };
                    let Some(output) = window.output(input, false) else { continue };
                    all.push(Geometry { batch: 2, channels: 3, input, out: 6, output, groups: 3, window });
                }
            }
        }
        all
    }

    /// For every output of a plane the inputs and weights that it sums, in the order of the taps.
    fn pairs(g: &Geometry) -> Vec<Vec<(usize, usize)>> {
        let w = g.window;
        let inside = |at: usize, before: usize, size: usize| at.checked_sub(before).filter(|i| *i < size);
        let of = |y: usize, x: usize| {
            let mut own = Vec::new();
            for i in 0..w.kernel[0] {
                for j in 0..w.kernel[1] {
                    let row = inside(y * w.stride[0] + i * w.dilation[0], w.padding.top, g.input[0]);
                    let column = inside(x * w.stride[1] + j * w.dilation[1], w.padding.left, g.input[1]);
                    own.extend(row.zip(column).map(|(r, c)| (r * g.input[1] + c, i * w.kernel[1] + j)));
                }
            }
            own
        };
        (0..g.output[0]).flat_map(|y| (0..g.output[1]).map(move |x| of(y, x))).collect()
    }

    #[test]
    fn sums_are_chains_in_the_order_of_the_taps_forward_and_back() {
        for g in geometries() {
            let mut rng = Stream::new(0, "depthwise");
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
            let (source, pixels, taps) = (g.input[0] * g.input[1], g.output[0] * g.output[1], g.taps());
            let x = random(g.batch * g.channels * source);
            let (w, bias, dy) = (random(g.out * taps), random(g.out), random(g.batch * g.out * pixels));
            let pairs = pairs(&g);
            let per_group = g.out / g.groups;
            let mut y = Vec::new();
            for plane in 0..g.batch * g.out {
                let (n, o) = (plane / g.out, plane % g.out);
                let from = (n * g.channels + o / per_group) * source;
                y.extend(pairs.iter().map(|pairs| {
                    let sum = pairs.iter().fold(0.0f32, |s, (i, t)| w[o * taps + t].mul_add(x[from + i], s));
                    (sum + bias[o]).max(-0.5)
                }));
            }
            let forward = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::F2);
            let clamp = conv::Clamp::Range(-0.5, f32::INFINITY);
            assert_eq!(forward.run(g.batch, &x, &Epilogue { clamp, ..Epilogue::NONE }), y, "{g:?}");

            // One output channel a group, so that the gradient is depthwise, too.
            let g = Geometry { out: g.groups, ..g };
            let mut dx = vec![0.0f32; x.len()];
            for plane in 0..g.batch * g.out {
                let (dx, o) = (&mut dx[plane * source..][..source], plane % g.out);
                for (at, pairs) in pairs.iter().enumerate() {
                    // Outputs in order are taps of an input from the last to the first.
                    for (i, t) in pairs {
                        dx[*i] = w[o * taps + t].mul_add(dy[plane * pixels + at], dx[*i]);
                    }
                }
            }
            let back = PrepackedConv::input_gradient(&g, &w[..g.out * taps], None, WinogradTile::F4);
            assert_eq!(back.run(g.batch, &dy, &Epilogue::NONE), dx, "{g:?}");
        }
    }
}
