//! Matrix products in f32 and f64 whose rows are positions: linear maps over tokens, attention, principal components. The right
//! operand is packed once, in blocks of columns; the left one is read in place.
//!
//! Every result is a sum in the order of the convolutions' micro-kernel: blocks of `KC` products,
//! each a chain of fused multiply-adds from zero, added up one after another, then the bias. So a result has the same bits
//! whatever its tile, the number of rows or threads, and the width and caches of the machine.

use super::conv::microkernel::{KC, MR};
use super::disjoint::DisjointSlice;
use super::elementwise;
use super::matmul::Matrix;
use crate::graph::op::Activation;
use crate::simd::{Lane, arch, lanes_of};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Multiply-adds below which a task is not worth starting.
const MIN_TASK_MACS: usize = 1 << 18;
/// Tasks below which columns are split over tasks, too.
const MIN_TASKS: usize = 16;
/// Values of the left operand that a task reads again for each block of columns: half of a core's cache.
const ROWS_IN_CACHE: usize = 1 << 17;
/// Vectors of columns in a block.
const VECTORS: usize = 3;

/// Columns of a block.
fn block_width<T: Lane>() -> usize {
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

/// The epilogue of a product: what is applied to it before it is stored.
#[derive(Clone, Copy, Default)]
pub struct RowEpilogue<'a, T = f32> {
    /// One value a column, added to the sums; none where empty.
    pub bias: &'a [T],
    /// A function of the result; of results in f32 alone.
    pub activation: Option<Activation>,
    /// Whether the result is added to the values already stored.
    pub is_added: bool,
}

/// out = a b, through the epilogue, on all threads: `a` m rows of b's depth; rows of the result lie `out_row` apart.
///
/// # Panics
/// Where an operand is too short: a defect of the caller.
///
/// # Safety
/// `out` must hold m rows of as many values as `b` has columns, which no other thread may touch.
pub unsafe fn multiply<T: Lane>(
    m: usize,
    a: Matrix<'_, T>,
    b: &PackedColumns<T>,
    epilogue: &RowEpilogue<'_, T>,
    out: DisjointSlice<T>,
    out_row: usize,
) {
    let (depth, columns) = (b.depth, b.columns);
    if !check(m, a, b, epilogue) {
        return;
    }
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
        unsafe { Task { a, b, epilogue, out, out_row }.run(rows, blocks) }
    });
}

/// As [`multiply`], on this thread.
///
/// # Panics
/// As [`multiply`].
///
/// # Safety
/// As [`multiply`].
pub unsafe fn multiply_here<T: Lane>(
    m: usize,
    a: Matrix<'_, T>,
    b: &PackedColumns<T>,
    epilogue: &RowEpilogue<'_, T>,
    out: DisjointSlice<T>,
    out_row: usize,
) {
    if check(m, a, b, epilogue) {
        // SAFETY: the caller's.
        unsafe { Task { a, b, epilogue, out, out_row }.run(0..m, 0..b.columns.div_ceil(block_width::<T>())) }
    }
}

/// Whether there is anything to compute.
///
/// # Panics
/// Where an operand is too short: a defect of the caller.
fn check<T: Lane>(m: usize, a: Matrix<'_, T>, b: &PackedColumns<T>, epilogue: &RowEpilogue<'_, T>) -> bool {
    let (depth, columns) = (b.depth, b.columns);
    if m == 0 || columns == 0 {
        return false;
    }
    assert!(depth == 0 || (m - 1) * a.row + (depth - 1) * a.column < a.data.len(), "the left operand is too short");
    assert!(epilogue.bias.is_empty() || epilogue.bias.len() >= columns, "the bias is too short");
    true
}

/// Rows and blocks of columns of a product.
struct Task<'a, T> {
    a: Matrix<'a, T>,
    b: &'a PackedColumns<T>,
    epilogue: &'a RowEpilogue<'a, T>,
    out: DisjointSlice<T>,
    out_row: usize,
}

impl<T: Lane> Task<'_, T> {
    /// # Safety
    /// As [`multiply`], for these rows and blocks.
    unsafe fn run(&self, rows: Range<usize>, blocks: Range<usize>) {
        let Task { a, b, epilogue, out, out_row } = *self;
        let (first, end) = (blocks.start * block_width::<T>(), (blocks.end * block_width::<T>()).min(b.columns));
        for block in blocks {
            let (columns, count) = b.block(block);
            let at = block * block_width::<T>();
            let product = BlockProduct {
                rows: rows.len(),
                depth: b.depth,
                a: Matrix { data: a.data.get(rows.start * a.row..).unwrap_or_default(), ..a },
                columns,
                count,
                bias: epilogue.bias.get(at..at + count).unwrap_or_default(),
                is_added: epilogue.is_added,
                // SAFETY: the caller's.
                out: unsafe { out.at(rows.start * out_row + at) },
                out_row,
            };
            arch().dispatch(product);
        }
        let Some(f) = epilogue.activation else { return };
        for row in rows {
            // SAFETY: the caller's; these values have just been written.
            let values = unsafe { out.slice(row * out_row + first, end - first) };
            if let Some(values) = T::singles_mut(values) {
                elementwise::apply(f, values);
            }
        }
    }
}

/// Some rows times one block of columns.
struct BlockProduct<'a, T> {
    rows: usize,
    depth: usize,
    /// From the first of the rows on.
    a: Matrix<'a, T>,
    /// The packed block.
    columns: &'a [T],
    /// Columns that are stored.
    count: usize,
    bias: &'a [T],
    is_added: bool,
    out: *mut T,
    out_row: usize,
}

impl<T: Lane> WithSimd for BlockProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut bias = [T::splat(simd, T::default()); VECTORS];
        for (v, part) in self.bias.chunks(T::lanes::<S>()).enumerate() {
            bias[v] = T::partial_load(simd, part);
        }
        match self.count.div_ceil(T::lanes::<S>()) {
            1 => self.all_rows::<S, 1>(simd, [bias[0]]),
            2 => self.all_rows::<S, 2>(simd, [bias[0], bias[1]]),
            _ => self.all_rows::<S, VECTORS>(simd, bias),
        }
    }
}

impl<T: Lane> BlockProduct<'_, T> {
    /// All rows times V vectors, eight rows at a time where there are as many registers.
    #[inline(always)]
    fn all_rows<S: Simd, const V: usize>(&self, simd: S, bias: [T::Vector<S>; V]) {
        let mut row = 0;
        while row < self.rows {
            let left = self.rows - row;
            // SAFETY: `multiply` checked the operands; its caller guarantees the result.
            unsafe {
                row += match left {
                    8.. if S::REGISTER_COUNT >= 32 => self.tile::<S, 8, V>(simd, row, bias),
                    4.. => self.tile::<S, 4, V>(simd, row, bias),
                    2.. => self.tile::<S, 2, V>(simd, row, bias),
                    _ => self.tile::<S, 1, V>(simd, row, bias),
                };
            }
        }
    }

    /// M rows from `row` on times V vectors of columns; returns M.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        row: usize,
        bias: [T::Vector<S>; V],
    ) -> usize {
        // SAFETY: the caller's: the operands hold these rows, and `depth` rows of a block's width.
        unsafe {
            let a = self.a.data.as_ptr().wrapping_add(row * self.a.row);
            let mut total = self.sums_kc::<S, M, V>(simd, a, 0..self.depth.min(KC));
            for first in (KC..self.depth).step_by(KC) {
                let sums = self.sums_kc::<S, M, V>(simd, a, first..self.depth.min(first + KC));
                for (total, sums) in total.iter_mut().zip(&sums) {
                    total.iter_mut().zip(sums).for_each(|(t, s)| *t = T::add(simd, *t, *s));
                }
            }
            for (m, sums) in total.iter().enumerate() {
                for v in 0..V {
                    let to = self.out.add((row + m) * self.out_row + v * T::lanes::<S>());
                    let mut value = T::add(simd, sums[v], bias[v]);
                    let count = T::lanes::<S>().min(self.count - v * T::lanes::<S>());
                    if count == T::lanes::<S>() {
                        if self.is_added {
                            value = T::add(simd, (to as *const T::Vector<S>).read_unaligned(), value);
                        }
                        (to as *mut T::Vector<S>).write_unaligned(value);
                        continue;
                    }
                    let to = std::slice::from_raw_parts_mut(to, count);
                    if self.is_added {
                        value = T::add(simd, T::partial_load(simd, to), value);
                    }
                    T::partial_store(simd, to, value);
                }
            }
        }
        M
    }

    /// The sums over one block of at most KC products, each a chain of fused multiply-adds.
    #[inline(always)]
    unsafe fn sums_kc<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        a: *const T,
        ks: Range<usize>,
    ) -> [[T::Vector<S>; V]; M] {
        let mut acc = [[T::splat(simd, T::default()); V]; M];
        let (row, column, width) = (self.a.row, self.a.column, VECTORS * T::lanes::<S>());
        // SAFETY: the caller's.
        unsafe {
            let mut a = a.add(ks.start * column);
            let mut b = self.columns.as_ptr().add(ks.start * width);
            for _ in ks {
                let mut x = [T::splat(simd, T::default()); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = (b.add(v * T::lanes::<S>()) as *const T::Vector<S>).read_unaligned();
                }
                for (m, acc) in acc.iter_mut().enumerate() {
                    let w = T::splat(simd, *a.add(m * row));
                    for (sum, x) in acc.iter_mut().zip(&x) {
                        *sum = T::mul_add(simd, w, *x, *sum);
                    }
                }
                a = a.wrapping_add(column);
                b = b.add(width);
            }
        }
        acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                    let epilogue = RowEpilogue { bias: &bias, activation, is_added };
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
}
