//! Which Winograd tiles a convolution may use.

/// The largest Winograd tile allowed, by how much rounding it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WinogradTile {
    /// No Winograd: plain sums only.
    None,
    /// F(2 x 2, 3 x 3) where it takes less work.
    F2,
    /// F(2 x 2, 3 x 3) or F(4 x 4, 3 x 3), for results that are not compared with zero afterwards: where a tile's inputs are not
    /// zero but those of one of its outputs are, F(4 x 4) leaves a rounding error, plain sums and F(2 x 2) an exact zero.
    F4,
}
