//! The sliding window of a convolution or a pool.

/// Rows and columns added on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// `n` on each side.
    pub fn same(n: usize) -> Self {
        Padding { top: n, left: n, bottom: n, right: n }
    }

    /// Whether there is no padding.
    pub fn is_zero(&self) -> bool {
        *self == Padding::default()
    }
}

/// A sliding window, of a convolution or a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Rows and columns between neighbouring positions.
    pub stride: [usize; 2],
    /// Rows and columns between neighbouring taps.
    pub dilation: [usize; 2],
    /// Padding of the map: zeros for a convolution, ignored by a pool.
    pub padding: Padding,
}

impl Window {
    /// A square window of size `k`, stride `s` and padding `p`.
    pub fn square(k: usize, s: usize, p: usize) -> Self {
        Window { kernel: [k, k], stride: [s, s], dilation: [1, 1], padding: Padding::same(p) }
    }

    /// Height and width of the dilated window.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|a| (self.kernel[a] - 1) * self.dilation[a] + 1)
    }

    /// Output height and width over a map of `h` x `w`, rounded up in ceil mode; `None` where the window does not fit.
    ///
    /// In ceil mode a last window that would start in the padding after the map is dropped, as in PyTorch and ONNX.
    pub fn output(&self, [h, w]: [usize; 2], ceil: bool) -> Option<[usize; 2]> {
        let p = self.padding;
        let axis = |size: usize, before: usize, after: usize, a: usize| {
            let (s, span) = (self.stride[a], self.span()[a]);
            // Rounded up, a window may reach beyond by less than a step.
            let reach = size + before + after + if ceil { s - 1 } else { 0 };
            let mut n = reach.checked_sub(span)? / s + 1;
            if ceil && (n - 1) * s >= size + before {
                n -= 1;
            }
            Some(n)
        };
        Some([axis(h, p.top, p.bottom, 0)?, axis(w, p.left, p.right, 1)?])
    }
}
