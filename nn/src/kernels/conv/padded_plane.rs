//! A plane in a halo of padding, its rows and columns sorted by their remainder by the stride.
//!
//! Window positions are counted through the padded rows. Under one tap neighbouring positions then read neighbouring values, at
//! a constant offset, however narrow the plane and whatever the stride. Positions that fall between the last of a row and the
//! first of the next mean nothing; their results are dropped.

use crate::tensor::Real;

/// Where the values of a plane lie in its padded copy.
pub(in crate::kernels) struct PaddedPlane {
    /// Its sizes.
    pub shape: PaddedShape,
    /// Where each row of the plane begins (at remainder 0 by the column stride); none where no window reads it.
    rows: Vec<Option<usize>>,
    columns: ReadColumns,
}

/// The columns of the plane that windows read: `count` from `first` on, which lies `column` right of the leftmost tap.
/// `even` and `odd`: where it and its right neighbour lie in a padded row.
#[derive(Clone, Copy)]
struct ReadColumns {
    first: usize,
    count: usize,
    column: usize,
    even: usize,
    odd: usize,
}

/// The sizes of a plane and its halo.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::kernels) struct PaddedShape {
    /// Height and width of the plane.
    pub input: [usize; 2],
    /// Rows and columns between neighbouring window positions.
    pub stride: [usize; 2],
    /// The topmost row and leftmost column that a tap reads at position (0, 0).
    pub origin: [isize; 2],
    /// Padded rows and columns of each remainder by the stride.
    pub size: [usize; 2],
}

impl PaddedPlane {
    /// For `windows` over a plane of size `input`: each has its grid of positions and the input offsets of its taps at position
    /// (0, 0).
    pub fn new<'a>(
        input: [usize; 2],
        stride: [usize; 2],
        windows: impl IntoIterator<Item = ([usize; 2], &'a [[isize; 2]])> + Clone,
    ) -> Self {
        let taps = || windows.clone().into_iter().flat_map(|(_, taps)| taps);
        let origin = [0, 1].map(|a| taps().map(|t| t[a]).min().unwrap_or(0));
        let size = [0, 1].map(|a| {
            let reach = |taps: &[[isize; 2]]| taps.iter().map(|t| (t[a] - origin[a]) as usize).max().unwrap_or(0);
            let sizes = windows.clone().into_iter().map(|(grid, taps)| reach(taps) / stride[a] + grid[a]);
            sizes.max().unwrap_or(0)
        });
        let shape = PaddedShape { input, stride, origin, size };
        let rows = (0..input[0]).map(|i| {
            let row = usize::try_from(i as isize - origin[0]).ok()?;
            (row / stride[0] < size[0]).then(|| shape.at(row, 0))
        });
        let first = (origin[1].max(0) as usize).min(input[1]);
        let column = (origin[1].max(0) - origin[1]) as usize;
        let count = (input[1] - first).min((size[1] * stride[1]).saturating_sub(column));
        let columns = ReadColumns { first, count, column, even: shape.at(0, column), odd: shape.at(0, column + 1) };
        PaddedPlane { shape, rows: rows.collect(), columns }
    }

    /// Where a tap reads at position (0, 0).
    pub fn tap_offset(&self, tap: [isize; 2]) -> usize {
        let [down, right] = [0, 1].map(|a| (tap[a] - self.shape.origin[a]) as usize);
        self.shape.at(down, right)
    }

    /// Values of a padded plane.
    pub fn len(&self) -> usize {
        let PaddedShape { stride, size, .. } = self.shape;
        stride[0] * stride[1] * size[0] * size[1]
    }

    /// Values between neighbouring rows of positions.
    pub fn pitch(&self) -> usize {
        self.shape.size[1]
    }

    /// Positions of a grid, those between its rows included.
    pub fn positions(&self, grid: [usize; 2]) -> usize {
        if grid.contains(&0) { 0 } else { (grid[0] - 1) * self.pitch() + grid[1] }
    }

    /// Copies a plane's values to where they lie; the halo is left as it is.
    #[inline(always)]
    pub fn fill<T: Real>(&self, plane: &[T], to: &mut [T]) {
        plane.chunks_exact(self.shape.input[1]).enumerate().for_each(|(i, line)| self.fill_row(i, line, to));
    }

    /// As [`PaddedPlane::fill`], for row i of the plane.
    #[inline(always)]
    pub fn fill_row<T: Real>(&self, i: usize, line: &[T], to: &mut [T]) {
        let Some(row) = self.rows[i] else { return };
        let ReadColumns { first, count, column, even, odd } = self.columns;
        let (line, to, step) = (&line[first..first + count], &mut to[row..], self.shape.stride[1]);
        match step {
            1 => to[column..column + count].copy_from_slice(line),
            2 => {
                // In pairs, which compilers vectorise.
                let evens = to[even..][..count / 2].iter_mut().zip(line.chunks_exact(2));
                evens.for_each(|(to, pair)| *to = pair[0]);
                let odds = to[odd..][..count / 2].iter_mut().zip(line.chunks_exact(2));
                odds.for_each(|(to, pair)| *to = pair[1]);
                if count % 2 == 1 {
                    to[even + count / 2] = line[count - 1];
                }
            }
            _ => {
                for begin in 0..step.min(count) {
                    let to = &mut to[self.shape.at(0, column + begin)..];
                    to.iter_mut().zip(line[begin..].iter().step_by(step)).for_each(|(t, v)| *t = *v);
                }
            }
        }
    }

    /// As [`PaddedPlane::fill_row`], for a row of zeros.
    pub fn zero_row<T: Real>(&self, i: usize, to: &mut [T]) {
        let Some(row) = self.rows[i] else { return };
        for column in 0..self.shape.stride[1] {
            to[row + self.shape.at(0, column)..][..self.shape.size[1]].fill(T::zero());
        }
    }

    /// Writes one value for each window of `grid` to its position; the values between rows are left as they are.
    #[inline(always)]
    pub fn spread<T: Real>(&self, values: &[T], grid: [usize; 2], to: &mut [T]) {
        let rows = to.chunks_exact_mut(self.pitch()).zip(values.chunks_exact(grid[1]));
        rows.for_each(|(to, from)| to[..grid[1]].copy_from_slice(from));
    }

    /// The inverse of [`PaddedPlane::spread`]: the value at each position of `grid`.
    #[inline(always)]
    pub fn collect<T: Real>(&self, from: &[T], grid: [usize; 2], values: &mut [T]) {
        let rows = values.chunks_exact_mut(grid[1].max(1)).zip(from.chunks(self.pitch().max(1)));
        rows.for_each(|(to, from)| to.copy_from_slice(&from[..grid[1]]));
    }

    /// The inverse of [`PaddedPlane::fill`]; zero where no window reads a value.
    #[inline(always)]
    pub fn gather<T: Real>(&self, from: &[T], plane: &mut [T]) {
        let (PaddedShape { input, stride: [_, step], .. }, ReadColumns { first, count, column, even, odd }) =
            (self.shape, self.columns);
        for (line, row) in plane.chunks_exact_mut(input[1]).zip(&self.rows) {
            let Some(row) = row else {
                line.fill(T::zero());
                continue;
            };
            line[..first].fill(T::zero());
            line[first + count..].fill(T::zero());
            let (line, from) = (&mut line[first..first + count], &from[*row..]);
            match step {
                1 => line.copy_from_slice(&from[column..column + count]),
                2 => {
                    let values = from[even..][..count / 2].iter().zip(&from[odd..][..count / 2]);
                    line.chunks_exact_mut(2).zip(values).for_each(|(pair, (e, o))| (pair[0], pair[1]) = (*e, *o));
                    if count % 2 == 1 {
                        line[count - 1] = from[even + count / 2];
                    }
                }
                _ => line.iter_mut().enumerate().for_each(|(i, v)| *v = from[self.shape.at(0, column + i)]),
            }
        }
    }
}

impl PaddedShape {
    /// Where a row and a column lie, both counted from the origin.
    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> usize {
        let part = row % self.stride[0] * self.stride[1] + column % self.stride[1];
        (part * self.size[0] + row / self.stride[0]) * self.size[1] + column / self.stride[1]
    }
}
