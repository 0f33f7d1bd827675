//! Matrix products in f32 and f64 whose rows are positions: linear maps over tokens, attention, principal components. The right
//! operand is packed once, in blocks of columns; the left one is read in place.
//!
//! Every result is a sum in the order of the convolutions' micro-kernel: blocks of `KC` products,
//! each a chain of fused multiply-adds from zero, added up one after another, then the bias. So a result has the same bits
//! whatever its tile, the number of rows or threads, and the width and caches of the machine.

mod block_product;
mod rows;

use super::conv::Clamp;
use super::conv::microkernel::MR;
use super::disjoint::DisjointSlice;
use super::elementwise;
use super::matmul::Matrix;
use crate::graph::op::Activation;
use crate::simd::{Lane, arch, lanes_of};
use block_product::BlockProduct;
use rayon::prelude::*;
use rows::VECTORS;
pub use rows::{ColumnOffsets, Rows};
use std::ops::Range;

/// Multiply-adds below which a task is not worth starting.
const MIN_TASK_MACS: usize = 1 << 18;
/// Tasks below which columns are split over tasks, too.
const MIN_TASKS: usize = 16;
/// Values of the left operand that a task reads again for each block of columns: half of a core's cache.
const ROWS_IN_CACHE: usize = 1 << 17;

/// Columns of a block on this machine.
pub fn block_width<T: Lane>() -> usize {
    VECTORS * lanes_of::<T>()
}

/// A matrix of `depth` rows, packed in blocks of columns: for each row the values of the block, zeros after the last column.
#[derive(Debug)]
pub struct PackedColumns<T = f32> {
    depth: usize,
    columns: usize,
    values: Vec<T>,
}

impl<T: Lane> PackedColumns<T> {
    /// Packs `b`, depth x columns.
    ///
    /// # Panics
    /// Where the slice is too short for the matrix: a defect of the caller.
    pub fn new(b: Matrix<'_, T>, depth: usize, columns: usize) -> Self {
        let width = block_width::<T>();
        let mut values = vec![T::default(); columns.div_ceil(width) * width * depth];
        values.par_chunks_mut((width * depth).max(1)).enumerate().for_each(|(block, to)| {
            let first = block * width;
            let count = width.min(columns - first);
            if b.column == 1 {
                let rows = to.chunks_exact_mut(width).enumerate();
                return rows.for_each(|(k, row)| row[..count].copy_from_slice(&b.data[k * b.row + first..][..count]));
            }
            // Sixteen rows at a time: the lines that they read stay in the cache from one to the next.
            for (part, rows) in to.chunks_mut(16 * width).enumerate() {
                for j in 0..count {
                    let from = &b.data[(first + j) * b.column + part * 16 * b.row..];
                    let column = rows[j..].iter_mut().step_by(width).zip(from.iter().step_by(b.row));
                    column.for_each(|(to, v)| *to = *v);
                }
            }
        });
        PackedColumns { depth, columns, values }
    }

    /// Rows.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A block of columns, and how many of them count.
    fn block(&self, block: usize) -> (&[T], usize) {
        let width = block_width::<T>();
        (&self.values[block * width * self.depth..][..width * self.depth], width.min(self.columns - block * width))
    }
}

/// The epilogue of a product: what is applied to it before it is stored, in this order.
#[derive(Clone, Copy)]
pub struct RowEpilogue<'a, T = f32> {
    /// One value a column, added to the sums; none where empty.
    pub bias: &'a [T],
    /// Whether the result is added to the values already stored.
    pub is_added: bool,
    /// Values that are added, laid out as the result; none where empty.
    pub residual: &'a [T],
    /// The range that the result is clamped to.
    pub clamp: Clamp,
    /// A function of the result; of results in f32 alone.
    pub activation: Option<Activation>,
}

impl<T> Default for RowEpilogue<'_, T> {
    fn default() -> Self {
        RowEpilogue { bias: &[], is_added: false, residual: &[], clamp: Clamp::None, activation: None }
    }
}

/// out = a b, through the epilogue, on all threads: `a` m rows of b's depth; rows of the result lie `out_row` apart.
///
/// # Panics
/// Where an operand is too short: a defect of the caller.
///
/// # Safety
/// `out` must hold m rows of as many values as `b` has columns, which no other thread may touch.
pub unsafe fn multiply<'a, T: Lane>(
    m: usize,
    a: impl Into<Rows<'a, T>>,
    b: &PackedColumns<T>,
    epilogue: &RowEpilogue<'_, T>,
    out: DisjointSlice<T>,
    out_row: usize,
) {
    let (depth, columns, a) = (b.depth, b.columns, a.into());
    if !check(m, &a, b, epilogue) {
        return;
    }
    assert!(
        epilogue.residual.is_empty() || epilogue.residual.len() >= (m - 1) * out_row + columns,
        "the residual is too short"
    );
    let blocks = columns.div_ceil(block_width::<T>());
    let most = (m * columns * depth / MIN_TASK_MACS).max(1);
    let in_cache = (ROWS_IN_CACHE / depth.max(1)).clamp(MR, m.next_multiple_of(MR));
    let wanted = m.div_ceil(in_cache).max(MIN_TASKS.min(most).min(m.div_ceil(8 * MR)));
    let rows = m.div_ceil(wanted).next_multiple_of(MR);
    let row_tasks = m.div_ceil(rows);
    let column_tasks = MIN_TASKS.min(most).div_ceil(row_tasks).min(blocks);
    (0..row_tasks * column_tasks).into_par_iter().for_each(|task| {
        let (r, c) = (task / column_tasks, task % column_tasks);
        let rows = r * rows..((r + 1) * rows).min(m);
        let blocks = c * blocks / column_tasks..(c + 1) * blocks / column_tasks;
        // SAFETY: the tasks' rows and blocks do not overlap; the caller guarantees that the result has room for them.
        unsafe { Task { a, b, epilogue, out, out_row, origin: 0 }.run(rows, blocks) }
    });
}

/// As [`multiply`], on this thread.
///
/// # Panics
/// As [`multiply`].
///
/// # Safety
/// As [`multiply`].
pub unsafe fn multiply_here<'a, T: Lane>(
    m: usize,
    a: impl Into<Rows<'a, T>>,
    b: &PackedColumns<T>,
    epilogue: &RowEpilogue<'_, T>,
    out: DisjointSlice<T>,
    out_row: usize,
) {
    // SAFETY: the caller's.
    unsafe { multiply_blocks(m, a, b, 0..b.columns.div_ceil(block_width::<T>()), epilogue, out, out_row) }
}

/// As [`multiply_here`], for some blocks of columns (of [`block_width`]) alone: `out` begins with the first of them. There is no
/// residual.
///
/// # Panics
/// As [`multiply`].
///
/// # Safety
/// `out` must hold m rows of as many values as the blocks have columns, which no other thread may touch.
pub unsafe fn multiply_blocks<'a, T: Lane>(
    m: usize,
    a: impl Into<Rows<'a, T>>,
    b: &PackedColumns<T>,
    blocks: Range<usize>,
    epilogue: &RowEpilogue<'_, T>,
    out: DisjointSlice<T>,
    out_row: usize,
) {
    let a = a.into();
    assert!(epilogue.residual.is_empty(), "a product of blocks has no residual");
    if check(m, &a, b, epilogue) {
        let blocks = blocks.start..blocks.end.min(b.columns.div_ceil(block_width::<T>()));
        // SAFETY: the caller's.
        unsafe { Task { a, b, epilogue, out, out_row, origin: blocks.start * block_width::<T>() }.run(0..m, blocks) }
    }
}

/// Whether there is anything to compute.
///
/// # Panics
/// Where an operand is too short: a defect of the caller.
fn check<T: Lane>(m: usize, a: &Rows<'_, T>, b: &PackedColumns<T>, epilogue: &RowEpilogue<'_, T>) -> bool {
    let (depth, columns) = (b.depth, b.columns);
    if m == 0 || columns == 0 {
        return false;
    }
    assert!(depth == 0 || (m - 1) * a.row + a.reach(depth) < a.data.len(), "the left operand is too short");
    assert!(epilogue.bias.is_empty() || epilogue.bias.len() >= columns, "the bias is too short");
    true
}

/// Rows and blocks of columns of a product.
struct Task<'a, T> {
    a: Rows<'a, T>,
    b: &'a PackedColumns<T>,
    epilogue: &'a RowEpilogue<'a, T>,
    out: DisjointSlice<T>,
    out_row: usize,
    /// The column with which `out` begins.
    origin: usize,
}

impl<T: Lane> Task<'_, T> {
    /// # Safety
    /// As [`multiply`], for these rows and blocks.
    unsafe fn run(&self, rows: Range<usize>, blocks: Range<usize>) {
        let Task { a, b, epilogue, out, out_row, origin } = *self;
        let (first, end) = (blocks.start * block_width::<T>(), (blocks.end * block_width::<T>()).min(b.columns));
        let (low, high) = epilogue.clamp.bounds();
        for block in blocks {
            let (columns, count) = b.block(block);
            let at = block * block_width::<T>();
            let product = BlockProduct {
                rows: rows.len(),
                depth: b.depth,
                a: a.after(rows.start),
                columns,
                count,
                bias: epilogue.bias.get(at..at + count).unwrap_or_default(),
                is_added: epilogue.is_added,
                residual: epilogue.residual.get(rows.start * out_row + at..).unwrap_or_default(),
                low,
                high,
                // SAFETY: the caller's.
                out: unsafe { out.at(rows.start * out_row + at - origin) },
                out_row,
            };
            arch().dispatch(product);
        }
        let is_f32 = T::singles_mut(&mut []).is_some();
        if let Some(f) = epilogue.activation.filter(|_| is_f32) {
            // SAFETY: the caller's; these values have just been written.
            unsafe {
                let from = DisjointSlice::at_pointer(out.at(rows.start * out_row + first - origin).cast::<f32>());
                elementwise::apply_rows(f, from, 0, out_row, rows.len(), end - first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv::microkernel::KC;
    use crate::random::Stream;
    use crate::tensor::Real;

    fn random<T: Real>(n: usize, name: &str) -> Vec<T> {
        let mut rng = Stream::new(0, name);
        (0..n).map(|_| T::of(rng.next_normal())).collect()
    }

    /// One result in the order that the module promises.
    fn in_order<T: Real>(pairs: &[(T, T)], bias: T, fused: fn(T, T, T) -> T) -> T {
        let block = |c: &[(T, T)]| c.iter().fold(T::zero(), |sum, (a, b)| fused(*a, *b, sum));
        let mut blocks = pairs.chunks(KC).map(block);
        let first = blocks.next().unwrap_or(T::zero());
        blocks.fold(first, |total, sum| total + sum) + bias
    }

    #[test]
    fn every_result_is_one_sum_in_one_order() {
        sums_are_in_order(Some(Activation::Relu), f32::mul_add);
        sums_are_in_order(None, f64::mul_add);
    }

    fn sums_are_in_order<T: Real + std::fmt::Debug>(activation: Option<Activation>, fused: fn(T, T, T) -> T) {
        let activated = |v: T| if activation.is_some() && v < T::zero() { T::zero() } else { v };
        for (m, depth, columns) in [(1, 5, 3), (7, 128, 50), (13, 300, 96), (65, 17, 131), (3, 0, 2)] {
            let (a, b): (Vec<T>, Vec<T>) = (random(m * depth, "a"), random(depth * columns, "b"));
            let bias: Vec<T> = random(columns, "bias");
            for is_transposed in [false, true] {
                let right = match is_transposed {
                    false => Matrix::rows(&b, columns),
                    true => Matrix { data: &b, row: 1, column: depth },
                };
                let left = match is_transposed {
                    false => Matrix::rows(&a, depth),
                    true => Matrix { data: &a, row: 1, column: m },
                };
                let packed = PackedColumns::new(right, depth, columns);
                let (pitch, mut out) = (columns + 2, vec![T::of(0.5); m * (columns + 2)]);
                for is_added in [false, true] {
                    let epilogue = RowEpilogue { bias: &bias, activation, is_added, ..Default::default() };
                    // SAFETY: the result has m rows of more than as many columns.
                    unsafe { multiply(m, left, &packed, &epilogue, DisjointSlice::new(&mut out), pitch) };
                }
                for (i, row) in out.chunks(pitch).enumerate() {
                    for (j, value) in row[..columns].iter().enumerate() {
                        let a = (0..depth).map(|k| left.data[i * left.row + k * left.column]);
                        let b = (0..depth).map(|k| right.data[k * right.row + j * right.column]);
                        let once = in_order(&a.zip(b).collect::<Vec<_>>(), bias[j], fused);
                        assert_eq!(*value, activated(activated(once) + once), "{m} {depth} {columns}: {i} {j}");
                    }
                    assert_eq!(row[columns..], [T::of(0.5); 2], "written beside the result");
                }
            }
        }
    }
    #[test]
    fn columns_in_a_list_blocks_residuals_and_clamps_change_no_sum() {
        for (m, depth, columns) in [(7, 128, 50), (13, 300, 101), (33, 27, 32)] {
            let (a, b): (Vec<f32>, Vec<f32>) = (random(m * depth, "a"), random(depth * columns, "b"));
            let residual: Vec<f32> = random(m * columns, "residual");
            let packed = PackedColumns::new(Matrix::rows(&b, columns), depth, columns);
            let product = |a: Rows<'_, f32>, blocks: Option<Range<usize>>, epilogue: &RowEpilogue<'_>| {
                let mut out = vec![0.0; m * columns];
                let to = DisjointSlice::new(&mut out);
                // SAFETY: the result has m rows of as many values.
                unsafe {
                    match blocks {
                        None => multiply(m, a, &packed, epilogue, to, columns),
                        Some(blocks) => multiply_blocks(m, a, &packed, blocks, epilogue, to, columns),
                    }
                }
                out
            };
            let plain = product(Matrix::rows(&a, depth).into(), None, &RowEpilogue::default());
            let listed: Vec<usize> = (0..depth).collect();
            let left = Rows { data: &a, row: depth, columns: ColumnOffsets::Listed(&listed) };
            let epilogue = RowEpilogue { residual: &residual, clamp: Clamp::Range(-0.5, 2.0), ..Default::default() };
            let want: Vec<f32> = plain.iter().zip(&residual).map(|(v, r)| (v + r).clamp(-0.5, 2.0)).collect();
            assert_eq!(product(left, None, &epilogue), want, "{m} {depth} {columns}");
            let (width, last) = (block_width::<f32>(), columns.div_ceil(block_width::<f32>()) - 1);
            let part = product(left, Some(last..last + 1), &RowEpilogue::default());
            for (i, row) in part.chunks(columns).enumerate() {
                let count = columns - last * width;
                assert_eq!(row[..count], plain[i * columns + last * width..][..count], "{m} {depth} {columns}");
            }
        }
    }
}
