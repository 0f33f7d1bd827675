//! What is no product of matrices: normalisations, softmax, functions of each value, broadcasts, reductions, moves of values,
//! pools, resizes, orders. Most of these are bound by memory.

use crate::{Case, Work, noise};
use convscope::graph::op::{Activation, Alignment, Binary, Border, Pool, Reduction, Sampling, Window};
use convscope::kernels::conv::{Clamp, Combine, Epilogue};
use convscope::kernels::norm::{self, Blocks, Response};
use convscope::kernels::order::{self, Sorting};
use convscope::kernels::pool::{self, PoolGeometry};
use convscope::kernels::resize::{self, ResizeGeometry};
use convscope::kernels::{average_pool, binary, elementwise, max_pool_backward, rearrange, reduce, softmax};

pub fn cases() -> Vec<Case> {
    let mut cases = norms();
    cases.extend(softmaxes());
    cases.extend(functions());
    cases.extend(broadcasts());
    cases.extend(reductions());
    cases.extend(moves());
    cases.extend(pools());
    cases.extend(resizes());
    cases.extend(orders());
    cases
}

/// A kernel from so many values of each sample to as many, with so many operations a value.
fn each(
    name: impl Into<String>,
    values: usize,
    operations: usize,
    run: impl Fn(usize, &[f32]) -> Vec<f32> + Sync + Copy + 'static,
) -> Case {
    Case::new(name, move |batch| {
        let x = noise(batch * values);
        Work::new(operations * x.len(), 2 * x.len(), move || run(batch, &x))
    })
}

/// As [`each`], also from the gradient of the result, or from another operand.
fn pair(
    name: impl Into<String>,
    values: usize,
    operations: usize,
    run: impl Fn(usize, &[f32], &[f32]) -> Vec<f32> + Sync + Copy + 'static,
) -> Case {
    Case::new(name, move |batch| {
        let (x, dy) = (noise(batch * values), noise(batch * values));
        Work::new(operations * x.len(), 3 * x.len(), move || run(batch, &x, &dy))
    })
}

/// Mean and variance take three operations a value, the quotient, scale and shift four; the gradient's two means take four more.
fn norms() -> Vec<Case> {
    let (batch_norm, lrn) = ("batch norm, resnet 64 at 56", "local response norm, alexnet 64 at 55");
    let response = Response { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };
    let mut cases = vec![
        each(batch_norm, 64 * 56 * 56, 2, |_, x| norm::affine(64, 56 * 56, x, &[0.5; 64], Some(&[0.1; 64]))),
        each(format!("{lrn}, forward"), 64 * 55 * 55, 14, move |_, x| norm::response(&response, 64, 55 * 55, x)),
        pair(format!("{lrn}, gradient"), 64 * 55 * 55, 24, move |_, x, dy| {
            norm::response_gradient(&response, 64, 55 * 55, x, dy)
        }),
    ];
    // Values normalised together, values that share a parameter, blocks of a sample, blocks until the parameters repeat.
    for (name, [len, repeat, blocks, periods]) in [
        ("layer norm, vit 768 at 197", [768, 1, 197, 1]),
        ("layer norm, convnext 96 at 3136", [96, 1, 3136, 1]),
        ("group norm, 32 groups of 256 at 28", [8 * 784, 784, 32, 32]),
    ] {
        let parameters = || noise(periods * len / repeat).leak();
        let (scale, shift) = (&*parameters(), Some(&*parameters()));
        let norm = Blocks { len, repeat, periods, scale, shift, eps: 1e-6 };
        cases.push(each(format!("{name}, forward"), blocks * len, 7, move |_, x| norm::normalise(&norm, x)));
        cases.push(pair(format!("{name}, gradient"), blocks * len, 11, move |_, x, dy| {
            norm::normalise_gradient(&norm, x, dy)
        }));
    }
    cases
}

fn softmaxes() -> Vec<Case> {
    let mut cases = Vec::new();
    // Entries of the axis, values between neighbours, values before.
    for (name, [len, inner, outer]) in
        [("softmax, vit 197 at 12 x 197", [197, 1, 12 * 197]), ("softmax, 21 channels at 128", [21, 128 * 128, 1])]
    {
        let values = len * inner * outer;
        cases.push(each(format!("{name}, forward"), values, 5, move |_, x| softmax::softmax(len, inner, false, x)));
        cases.push(pair(format!("{name}, gradient"), values, 4, move |_, y, dy| {
            softmax::softmax_gradient(len, inner, false, y, dy)
        }));
    }
    cases.push(each("log-softmax, 1000, forward", 1000, 5, |_, x| softmax::softmax(1000, 1, true, x)));
    cases
}

fn functions() -> Vec<Case> {
    let mut cases = Vec::new();
    for f in [
        Activation::Relu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu { tanh: false },
        Activation::Tanh,
        Activation::Softplus,
        Activation::Log,
    ] {
        let name = format!("{}, 96 at 56", f.kind());
        cases.push(each(format!("{name}, forward"), 96 * 56 * 56, 1, move |_, x| elementwise::forward(f, x)));
        cases.push(pair(format!("{name}, gradient"), 96 * 56 * 56, 2, move |_, x, dy| elementwise::backward(f, x, dy)));
    }
    cases
}

fn broadcasts() -> Vec<Case> {
    let with_batch = |batch: usize| [batch, 96, 56, 56];
    let mut cases = vec![pair("sum of two, 96 at 56", 96 * 56 * 56, 1, move |batch, a, b| {
        let dims = with_batch(batch);
        binary::forward(Binary::Add, (a, &dims), (b, &dims), &dims)
    })];
    // The other operand's shape, and whether it is one for all samples.
    for (name, f, [c, h, w], is_shared) in [
        ("96 at 56 times a gate of each channel", Binary::Mul, [96, 1, 1], false),
        ("96 at 56 and a row of 56", Binary::Add, [1, 1, 56], true),
        ("prelu, 96 at 56", Binary::Prelu, [96, 1, 1], true),
    ] {
        let operands = move |batch: usize| {
            let (dims, own) = (with_batch(batch), [if is_shared { 1 } else { batch }, c, h, w]);
            (noise(dims.iter().product()), dims, noise(own.iter().product()), own)
        };
        cases.push(Case::new(format!("{name}, forward"), move |batch| {
            let (x, dims, b, own) = operands(batch);
            Work::new(x.len(), 2 * x.len() + b.len(), move || binary::forward(f, (&x, &dims), (&b, &own), &dims))
        }));
        cases.push(Case::new(format!("{name}, gradient"), move |batch| {
            let ((x, dims, b, own), dy) = (operands(batch), operands(batch).0);
            // A product for each operand, and the sum of one of them.
            Work::new(3 * x.len(), 3 * x.len() + 2 * b.len(), move || {
                binary::gradient(f, (&x, &dims), (&b, &own), &dims, &dy)
            })
        }));
    }
    cases
}

fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds: [(&str, Reduction, &'static [usize]); 4] = [
        ("mean over positions", Reduction::Mean, &[2, 3]),
        ("maximum over positions", Reduction::Max, &[2, 3]),
        ("sum over channels", Reduction::Sum, &[1]),
        ("maximum over channels", Reduction::Max, &[1]),
    ];
    for (name, reduction, axes) in kinds {
        let operands = move |batch: usize| {
            let dims = [batch, 192, 28, 28];
            let kept: usize = (0..4).filter(|a| !axes.contains(a)).map(|a| dims[a]).product();
            (dims, noise(dims.iter().product()), noise(kept))
        };
        cases.push(Case::new(format!("{name}, 192 at 28, forward"), move |batch| {
            let (dims, x, y) = operands(batch);
            Work::new(x.len(), x.len() + y.len(), move || reduce::forward(reduction, &dims, axes, &x))
        }));
        cases.push(Case::new(format!("{name}, 192 at 28, gradient"), move |batch| {
            let (dims, x, dy) = operands(batch);
            // Only a maximum reads the values again.
            let read = if reduction == Reduction::Max { x.len() } else { 0 };
            Work::new(x.len(), x.len() + read + dy.len(), move || reduce::gradient(reduction, &dims, axes, &x, &dy))
        }));
    }
    cases
}

fn moves() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, [a, b, c], perm) in [
        ("transpose, channels last 96 at 56", [96, 56 * 56, 1], [0, 2, 1, 3]),
        ("transpose, channels first 96 at 56", [56 * 56, 96, 1], [0, 2, 1, 3]),
        ("transpose, heads first 12 of 197 x 64", [197, 12, 64], [0, 2, 1, 3]),
        ("transpose, keys 12 of 197 x 64", [12, 197, 64], [0, 1, 3, 2]),
    ] {
        cases.push(each(name, a * b * c, 0, move |batch, x| rearrange::transpose(&[batch, a, b, c], &perm, x)));
    }
    cases.push(each("concatenation, densenet 256 and 32 at 28", 288 * 784, 0, |batch, x| {
        let (long, short) = x.split_at(batch * 256 * 784);
        rearrange::concat(batch, 784, &[(long, 256), (short, 32)])
    }));
    cases.push(Case::new("slice, 128 of 256 at 28", |batch| {
        let x = noise(batch * 256 * 784);
        Work::new(0, x.len(), move || rearrange::slice_fused(256, 784, 128, 128, &x, Epilogue::NONE))
    }));
    let shuffled: &[usize] = (0..240).map(|i| i % 3 * 80 + i / 3).collect::<Vec<_>>().leak();
    cases.push(each("channels shuffled, 240 at 28, forward", 240 * 784, 0, move |_, x| {
        rearrange::select(240, 784, shuffled, x)
    }));
    cases.push(each("channels shuffled, 240 at 28, gradient", 240 * 784, 1, move |_, dy| {
        rearrange::select_adjoint(240, 784, shuffled, dy)
    }));
    const PADS: [(usize, usize); 4] = [(0, 0), (0, 0), (1, 1), (1, 1)];
    cases.push(each("padding, 64 at 56, forward", 64 * 56 * 56, 0, |batch, x| {
        rearrange::pad(&[batch, 64, 56, 56], &PADS, Border::Constant(0.0), x)
    }));
    cases.push(each("padding, 64 at 54, gradient", 64 * 56 * 56, 1, |batch, dy| {
        rearrange::pad_adjoint(&[batch, 64, 54, 54], &PADS, Border::Constant(0.0), dy)
    }));
    cases
}

/// One operation for each value under a window.
fn pools() -> Vec<Case> {
    let mut cases = Vec::new();
    // Channels, height and width of the input, kernel, stride, padding.
    for (name, [channels, size, kernel, stride, padding], is_max) in [
        ("max pool, squeezenet 3x3/2 64 at 111", [64, 111, 3, 2, 0], true),
        ("max pool, resnet 3x3/2 64 at 112", [64, 112, 3, 2, 1], true),
        ("max pool, vgg 2x2/2 64 at 224", [64, 224, 2, 2, 0], true),
        ("max pool, inception 3x3 192 at 28", [192, 28, 3, 1, 1], true),
        ("average pool, inception 3x3 192 at 35", [192, 35, 3, 1, 1], false),
        ("average pool, densenet 2x2/2 128 at 56", [128, 56, 2, 2, 0], false),
    ] {
        let after = (size + 2 * padding - kernel) / stride + 1;
        let pool = Pool { window: Window::square(kernel, stride, padding), ceil: false, count_padding: false };
        let g = PoolGeometry { input: [size; 2], output: [after; 2], pool };
        let count = move |batch: usize| [size, after].map(|n| batch * channels * n * n);
        cases.push(Case::new(format!("{name}, forward"), move |batch| {
            let [from, to] = count(batch);
            let x = noise(from);
            let run = move || if is_max { pool::max(&g, &x) } else { average_pool::average(&g, &x) };
            Work::new(to * kernel * kernel, from + to, run)
        }));
        cases.push(Case::new(format!("{name}, gradient"), move |batch| {
            let [from, to] = count(batch);
            let (x, dy) = (noise(from), noise(to));
            if !is_max {
                return Work::new(to * kernel * kernel, from + to, move || average_pool::average_gradient(&g, &dy));
            }
            // With that of the rectifier before it, as passes take it.
            let y = pool::max(&g, &x);
            Work::new(to * kernel * kernel, 2 * (from + to), move || {
                let mask = Combine::Mask(f32::INFINITY);
                max_pool_backward::max_gradient_fused(&g, &x, &y, &dy, mask, Clamp::None)
            })
        }));
    }
    cases
}

fn resizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, sampling, operations) in [("nearest", Sampling::Nearest, 0), ("bilinear", Sampling::Linear, 9)] {
        let alignment = Alignment::HalfPixel;
        let g = ResizeGeometry { input: [32; 2], output: [64; 2], scale: [2.0; 2], sampling, alignment };
        let sizes = |batch: usize| (batch * 48 * 32 * 32, batch * 48 * 64 * 64);
        cases.push(Case::new(format!("resize, {name} 48 at 32 to 64, forward"), move |batch| {
            let (small, large) = sizes(batch);
            let x = noise(small);
            Work::new(operations * large, small + large, move || resize::forward(&g, &x))
        }));
        cases.push(Case::new(format!("resize, {name} 48 at 32 to 64, gradient"), move |batch| {
            let (small, large) = sizes(batch);
            let dy = noise(large);
            Work::new(operations * large, small + large, move || resize::adjoint(&g, &dy))
        }));
    }
    cases
}

/// Sorting takes a comparison for each entry and each bit of their number.
fn orders() -> Vec<Case> {
    let sorting = Sorting { len: 1000, inner: 1, k: 5, largest: true };
    let sorted = Case::new("first 5 of 1000, 16 rows", move |batch| {
        let x = noise(batch * 16 * 1000);
        Work::new(10 * x.len(), x.len() + batch * 16 * 5, move || sorting.values(&x))
    });
    let picked = Case::new("picked by indices, 3136 of 3136 x 32", |batch| {
        let dims = [batch, 3136, 32];
        let index: Vec<f32> = noise(batch * 3136).into_iter().map(|v| ((v + 1.0) * 1568.0).floor()).collect();
        let x = noise(dims.iter().product());
        Work::new(0, 2 * x.len() + index.len(), move || {
            let sources = order::sources(1, &dims, (&index[..], &[batch, 3136, 1]), &dims);
            sources.into_iter().map(|at| x[at]).collect::<Vec<f32>>()
        })
    });
    vec![sorted, picked]
}
