//! A convolution whose groups are one, as a matrix product whose rows are output positions. A pointwise one reads its input in place
//! in either layout; a first layer, which reads few channels, reads a padded copy of its planes in place.

use super::maps::Maps;
use crate::kernels::conv::{Combine, Epilogue, Geometry};
use crate::kernels::disjoint::vec_filled_by;
use crate::kernels::matmul::Matrix;
use crate::kernels::rearrange::paste;
use crate::kernels::row_gemm::{
    ColumnOffsets, PackedColumns, RowEpilogue, Rows, block_width, multiply, multiply_blocks,
};
use rayon::prelude::*;

/// Input channels up to which other than pointwise convolutions are computed so.
const MAX_CHANNELS: usize = 4;
/// Output positions of a task of a first layer, about.
const POSITIONS_PER_TASK: usize = 1 << 10;

/// A dense convolution, its weights packed for rows of positions.
#[derive(Debug)]
pub struct DenseRows {
    g: Geometry,
    columns: PackedColumns,
    bias: Vec<f32>,
}

impl DenseRows {
    /// Whether a convolution can be computed so.
    pub fn suits(g: &Geometry) -> bool {
        let is_pointwise = g.is_pointwise();
        g.groups == 1 && (is_pointwise || g.channels <= MAX_CHANNELS) && g.out >= 8 && !g.output.contains(&0)
    }

    /// y = w * x + b; the batch of `g` is not used. `w` O x C x kh x kw, `bias` O.
    pub fn new(g: &Geometry, w: &[f32], bias: Option<&[f32]>) -> Self {
        let (taps, channels) = (g.taps(), g.channels);
        // In the order of the micro-kernel's sums: taps and, within each, channels.
        let ordered: Vec<f32> = w
            .chunks_exact((taps * channels).max(1))
            .flat_map(|w| (0..taps * channels).map(move |k| w[k % channels * taps + k / channels]))
            .collect();
        let weights = Matrix::rows(&ordered, taps * channels).transposed();
        DenseRows {
            g: *g,
            columns: PackedColumns::new(weights, taps * channels, g.out),
            bias: bias.unwrap_or_default().to_vec(),
        }
    }

    /// The packed weights, and one value an output channel or none.
    pub(super) fn packed(&self) -> (&PackedColumns, &[f32]) {
        (&self.columns, &self.bias)
    }

    /// Its sizes.
    pub(super) fn geometry(&self) -> &Geometry {
        &self.g
    }

    /// The output, N x OH x OW x O; the residual is laid out as it.
    ///
    /// # Panics
    /// Where the input or the residual is shorter than the batch needs, or a layer that is not pointwise gets channels last: a defect
    /// of the caller.
    pub fn run(&self, batch: usize, x: Maps<'_>, epilogue: &Epilogue<'_>) -> Vec<f32> {
        assert!(epilogue.combine == Combine::None || epilogue.combine == Combine::Add, "a mask of channels-last maps");
        let (positions, out) = (self.g.out_pixels(), self.g.out);
        let row_epilogue = RowEpilogue {
            bias: &self.bias,
            residual: epilogue.residual,
            clamp: epilogue.clamp,
            activation: epilogue.activation,
            is_added: false,
        };
        let (channels, rows) = (self.g.channels, batch * positions);
        // SAFETY: the products cover all positions of all samples.
        unsafe {
            vec_filled_by(rows * out, |y| match x {
                _ if !self.g.is_pointwise() => {
                    let Maps::Planes(x) = x else { panic!("a first layer of channels-last maps") };
                    self.first_layer(batch, x, &row_epilogue, y);
                }
                Maps::ChannelsLast(x) => {
                    multiply(rows, Matrix::rows(x, channels), &self.columns, &row_epilogue, y, out)
                }
                Maps::Planes(x) => {
                    for n in 0..batch {
                        let data = &x[n * channels * positions..][..channels * positions];
                        let residual = epilogue.residual.get(n * positions * out..).unwrap_or_default();
                        let own = RowEpilogue { residual, ..row_epilogue };
                        let left = Matrix { data, row: 1, column: positions };
                        multiply(positions, left, &self.columns, &own, y.from(n * positions * out), out);
                    }
                }
            })
        }
    }

    /// A layer of few channels over planes.
    ///
    /// # Safety
    /// `y` must hold the output.
    unsafe fn first_layer(
        &self,
        batch: usize,
        x: &[f32],
        epilogue: &RowEpilogue<'_>,
        y: crate::kernels::disjoint::DisjointSlice<f32>,
    ) {
        assert!(epilogue.residual.is_empty(), "a residual of a first layer");
        let (g, w) = (&self.g, self.g.window);
        let reach = |a: usize| (g.output[a] - 1) * w.stride[a] + (w.kernel[a] - 1) * w.dilation[a] + 1;
        let [height, width] = [reach(0), reach(1)];
        let plane = height * width;
        let offsets: Vec<usize> = (0..g.taps() * g.channels)
            .map(|k| {
                let (tap, channel) = (k / g.channels, k % g.channels);
                let [i, j] = [tap / w.kernel[1] * w.dilation[0], tap % w.kernel[1] * w.dilation[1]];
                channel * plane + i * width + j
            })
            .collect();
        let mut padded = vec![0.0; batch * g.channels * plane];
        let offset = [-(w.padding.top as isize), -(w.padding.left as isize)];
        padded.par_chunks_exact_mut(plane.max(1)).zip(x.par_chunks_exact(g.in_pixels().max(1))).for_each(
            |(to, from)| {
                paste(to, [height, width], from, g.input, offset, None);
            },
        );
        let [rows, columns] = g.output;
        let rows_per_task = POSITIONS_PER_TASK.div_ceil(columns).min(rows);
        let tasks = rows.div_ceil(rows_per_task);
        let blocks = g.out.div_ceil(block_width::<f32>());
        (0..batch * tasks).into_par_iter().for_each(|task| {
            let (n, first) = (task / tasks, task % tasks * rows_per_task);
            for row in first..rows.min(first + rows_per_task) {
                let data = &padded[n * g.channels * plane + row * w.stride[0] * width..];
                let left = Rows { data, row: w.stride[1], columns: ColumnOffsets::Listed(&offsets) };
                // SAFETY: each task owns its rows of outputs.
                unsafe {
                    let to = y.from((n * rows + row) * columns * g.out);
                    multiply_blocks(columns, left, &self.columns, 0..blocks, epilogue, to, g.out);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::graph::op::{Activation, Padding, Window};
    use crate::kernels::conv::{Clamp, PrepackedConv, WinogradTile};
    use crate::kernels::rearrange::transpose;
    use crate::random::Stream;

    #[test]
    fn dense_layers_have_the_bits_of_those_of_planes() {
        let mut rng = Stream::new(0, "dense");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        let strided = Window { padding: Padding { top: 1, left: 0, bottom: 1, right: 2 }, ..Window::square(3, 2, 0) };
        for (batch, channels, out, input, window) in [
            (2, 40, 24, [7, 7], Window::square(1, 1, 0)),
            (1, 300, 131, [5, 9], Window::square(1, 1, 0)),
            (2, 3, 32, [23, 31], strided),
            (1, 1, 9, [12, 12], Window::square(4, 4, 0)),
        ] {
            let output = window.output(input, false).unwrap();
            let g = Geometry { batch, channels, input, out, output, groups: 1, window };
            let (x, pixels) = (random(batch * channels * input[0] * input[1]), output[0] * output[1]);
            let (w, bias) = (random(out * channels * g.taps()), random(out));
            let residual = if g.is_pointwise() { random(batch * out * pixels) } else { Vec::new() };
            let combine = if residual.is_empty() { Combine::None } else { Combine::Add };
            let plain = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::None);
            let rows = DenseRows::new(&g, &w, Some(&bias));
            let last = |x: &[f32], c: usize| transpose(&[batch, c, x.len() / batch / c], &[0, 2, 1], x);
            for (clamp, activation) in [(Clamp::Range(0.0, 6.0), None), (Clamp::None, Some(Activation::HardSwish))] {
                let epilogue = Epilogue { residual: &residual, combine, clamp, activation };
                let want = last(&plain.run(batch, &x, &epilogue), out);
                let turned = if residual.is_empty() { Vec::new() } else { last(&residual, out) };
                let epilogue = Epilogue { residual: &turned, ..epilogue };
                assert!(rows.run(batch, Maps::Planes(&x), &epilogue) == want, "{g:?}");
                if g.is_pointwise() {
                    assert!(rows.run(batch, Maps::ChannelsLast(&last(&x, channels)), &epilogue) == want, "{g:?}");
                }
            }
        }
    }
}
