//! The left operand of a product, and what its register tiles have in common.

/// Vectors of columns in a block.
pub(super) const VECTORS: usize = 3;

/// The left operand: element (i, k) lies at `i * row` plus the offset of column k.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    /// The values.
    pub data: &'a [T],
    /// Values between rows.
    pub row: usize,
    /// Where the columns lie.
    pub columns: ColumnOffsets<'a>,
}

/// Where the columns of a left operand lie, from its first value on.
#[derive(Clone, Copy)]
pub enum ColumnOffsets<'a> {
    /// Column k this many values after column k - 1.
    Apart(usize),
    /// Each column at an offset of its own.
    Listed(&'a [usize]),
}

impl<T> Rows<'_, T> {
    /// The rows from one on.
    pub(super) fn after(self, rows: usize) -> Self {
        Rows { data: self.data.get(rows * self.row..).unwrap_or_default(), ..self }
    }

    /// The offset of the last value of row 0.
    pub(super) fn reach(&self, depth: usize) -> usize {
        match self.columns {
            ColumnOffsets::Apart(column) => (depth - 1) * column,
            ColumnOffsets::Listed(at) => {
                assert!(at.len() >= depth, "too few columns are listed");
                at[..depth].iter().copied().max().unwrap_or(0)
            }
        }
    }
}
