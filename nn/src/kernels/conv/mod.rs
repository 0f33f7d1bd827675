//! Convolution and its input gradient.
//!
//! In f32 both are implicit GEMM: the weights are packed once into panels of MR output channels (`prepacked`), the im2col
//! columns of NR output positions are packed just before they are used (`im2col_runs`, `im2col_masked`; `gate` also multiplies the
//! input by one factor for each channel), one `microkernel` multiplies a panel by the columns (`narrow` the last few of a tile), and an
//! `epilogue` (residual, clamp, element-wise function) is applied before the result goes to memory. `gemm` is the loop around these.
//! The input gradient runs the same code: it is one `problem` for each phase of the stride.
//!
//! Some layers have kernels of their own: 3 x 3 with stride 1 (`winograd`), few channels (`direct`), one input channel
//! a group (`depthwise`), and a first layer together with the max pool after it (`conv_max_pool`); those for maps whose channels are
//! neighbours are in [`channels_last`](super::channels_last). `prepacked` picks the kernel by the shape of the layer alone, so that a
//! sample gets the same bits in any batch.
//!
//! In f64, which tests use as the reference, convolution is im2col and a matrix product (`reference`).

mod column_block;
mod conv_max_pool;
mod depthwise;
mod depthwise_rows;
mod direct;
pub(super) mod epilogue;
mod gate;
mod gemm;
mod geometry;
mod im2col_masked;
mod im2col_runs;
pub(super) mod microkernel;
mod narrow;
pub(super) mod padded_plane;
mod prepacked;
mod problem;
mod reference;
mod scratch;
mod weights;
mod winograd;

pub use conv_max_pool::{ConvMaxPool, fusion_pays};
pub use epilogue::{Clamp, Combine, Epilogue};
pub use geometry::Geometry;
pub use prepacked::{OutputSlot, PrepackedConv};
pub use weights::ScaledWeights;
pub use winograd::WinogradTile;

use crate::tensor::Real;

/// y = w * x + b. `x` N x C x H x W, `w` O x C/groups x kh x kw, `bias` O; the result is N x O x OH x OW.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    if let (Some(x), Some(w)) = (T::singles(x), T::singles(w)) {
        let conv = PrepackedConv::forward(g, w, bias.and_then(T::singles), WinogradTile::F2);
        return T::of_singles(conv.run(g.batch, x, &Epilogue::NONE));
    }
    reference::forward(g, x, w, bias)
}

/// dL/dx of y = w * x + b, given `dy` = dL/dy. `dy` N x O x OH x OW, `w` O x C/groups x kh x kw; the result is N x C x H x W.
pub fn input_gradient<T: Real>(g: &Geometry, dy: &[T], w: &[T]) -> Vec<T> {
    if let (Some(dy), Some(w)) = (T::singles(dy), T::singles(w)) {
        let conv = PrepackedConv::input_gradient(g, w, None, WinogradTile::F2);
        return T::of_singles(conv.run(g.batch, dy, &Epilogue::NONE));
    }
    reference::input_gradient(g, dy, w)
}
