//! The sizes of a convolution, and which outputs of a row read inside the image.

use crate::graph::op::Window;

/// The sizes of a convolution from N x C x H x W to N x O x OH x OW.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// N, the samples of the batch.
    pub batch: usize,
    /// C, the input channels.
    pub channels: usize,
    /// H and W of the input.
    pub input: [usize; 2],
    /// O, the output channels.
    pub out: usize,
    /// OH and OW of the output.
    pub output: [usize; 2],
    /// Channel groups: output channels of one group read the input channels of that group only.
    pub groups: usize,
    /// Kernel size, stride, dilation and padding.
    pub window: Window,
}

impl Geometry {
    /// Kernel taps, kh * kw.
    pub(in crate::kernels) fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    /// H * W of the input.
    pub(in crate::kernels) fn in_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// OH * OW of the output.
    pub(in crate::kernels) fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether an im2col column is one pixel: a 1 x 1 kernel with stride 1 and no padding.
    pub(in crate::kernels) fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.window.stride == [1, 1] && self.window.padding.is_zero()
    }
}

/// The range `lo..hi` of `count` outputs from `first` on whose input column `(first + q) * stride + offset` lies in `0..width`,
/// not in the padding.
pub(super) fn valid_range(first: usize, count: usize, offset: isize, stride: usize, width: usize) -> (usize, usize) {
    let s = stride as isize;
    let base = first as isize * s + offset;
    let lo = if base < 0 { (-base).div_euclid(s) + isize::from((-base).rem_euclid(s) != 0) } else { 0 };
    let room = width as isize - 1 - base;
    let hi = if room < 0 { 0 } else { room / s + 1 };
    let hi = (hi as usize).min(count);
    ((lo as usize).min(hi), hi)
}
