//! Small nets with every operation: a new one gets its line here.

use super::{MAP, WIDE, check};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{
    Activation, Alignment, Binary, Border, Conv, Elementary, Padding, Pool, Reduction, Sampling, Window,
};
use std::collections::BTreeSet;

pub(super) fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], p: [usize; 4]) -> Window {
    let [top, left, bottom, right] = p;
    Window { kernel, stride, dilation, padding: Padding { top, left, bottom, right } }
}

pub(super) fn convolutions(seen: &mut BTreeSet<&'static str>) {
    // outputs, groups, kernel, stride, dilation, padding
    for (what, out, groups, w) in [
        ("conv", 3, 1, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])),
        ("conv 1x1", 5, 1, window([1, 1], [1, 1], [1, 1], [0; 4])),
        ("conv 1x1 strided", 5, 1, window([1, 1], [2, 3], [1, 1], [0; 4])),
        ("conv strided", 3, 1, window([3, 2], [2, 3], [1, 1], [0, 1, 1, 0])),
        ("conv dilated", 3, 1, window([2, 3], [1, 2], [3, 2], [2, 1, 0, 3])),
        ("conv whole", 7, 1, window([6, 5], [1, 1], [1, 1], [0; 4])),
        ("conv grouped", 6, 2, window([3, 3], [2, 1], [1, 1], [1, 0, 0, 1])),
        ("depthwise", 4, 4, window([3, 3], [1, 2], [1, 1], [1, 1, 1, 1])),
        ("depthwise twofold", 8, 4, window([3, 2], [2, 1], [2, 1], [2, 0, 1, 1])),
        ("conv beyond padding", 2, 1, window([2, 2], [3, 3], [1, 1], [4, 5, 3, 4])),
    ] {
        check(what, MAP, WIDE, seen, |net, x| {
            let weight = net.param(&[out, 4 / groups, w.kernel[0], w.kernel[1]], 0.0, 1.0);
            let bias = Some(net.param(&[out], 0.0, 1.0));
            net.add(Op::Conv2d(Conv { weight, bias, window: w, groups }), &[x])
        });
    }
    for (what, out, groups, w, extra) in [
        ("transposed", 3, 1, window([3, 3], [2, 2], [1, 1], [1, 0, 0, 1]), [0, 1]),
        ("transposed grouped", 6, 2, window([2, 3], [1, 3], [2, 1], [0, 1, 1, 0]), [0, 0]),
        ("transposed depthwise", 4, 4, window([3, 3], [2, 1], [1, 2], [1; 4]), [1, 0]),
    ] {
        check(what, &[4, 4, 3], WIDE, seen, |net, x| {
            let weight = net.param(&[4, out / groups, w.kernel[0], w.kernel[1]], 0.0, 1.0);
            let bias = Some(net.param(&[out], 0.0, 1.0));
            net.add(Op::ConvTranspose2d(Conv { weight, bias, window: w, groups }, extra), &[x])
        });
    }
    for (what, shape) in [("linear", vec![9]), ("linear over rows", vec![3, 4, 9])] {
        check(what, &shape, WIDE, seen, |net, x| {
            let (weight, bias) = (net.param(&[70, 9], 0.0, 1.0), Some(net.param(&[70], 0.0, 1.0)));
            net.add(Op::Linear { weight, bias }, &[x])
        });
    }
    check("matmul with itself", &[3, 4, 4], WIDE, seen, |net, x| {
        let turned = net.add(Op::Transpose(vec![0, 2, 1]), &[x]);
        net.add(Op::MatMul, &[x, turned])
    });
    check("matmul broadcast left", &[3, 4, 5], WIDE, seen, |net, x| {
        let c = net.constant(&[2, 1, 3, 4], 0.0, 1.0);
        net.add(Op::MatMul, &[c, x])
    });
    check("matmul broadcast right", &[1, 4, 5], WIDE, seen, |net, x| {
        let c = net.constant(&[3, 5, 2], 0.0, 1.0);
        net.add(Op::MatMul, &[x, c])
    });
}

pub(super) fn pools(seen: &mut BTreeSet<&'static str>) {
    for (what, w, ceil) in [
        ("2x2", window([2, 2], [2, 2], [1, 1], [0; 4]), false),
        ("overlapping", window([3, 3], [1, 2], [1, 1], [1; 4]), false),
        ("ceil", window([3, 3], [2, 2], [1, 1], [0; 4]), true),
        ("ceil padded", window([3, 2], [2, 3], [1, 1], [1, 1, 0, 1]), true),
        ("uneven", window([2, 3], [1, 1], [1, 1], [0, 2, 1, 0]), false),
        ("dilated", window([2, 2], [1, 2], [3, 2], [1, 0, 2, 1]), false),
        ("apart", window([1, 2], [3, 3], [1, 1], [0; 4]), true),
        ("whole", window([6, 5], [1, 1], [1, 1], [0; 4]), false),
    ] {
        check(&format!("max pool {what}"), MAP, WIDE, seen, |net, x| {
            net.add(Op::MaxPool(Pool { window: w, ceil, count_padding: false }), &[x])
        });
        for count_padding in [false, true] {
            check(&format!("average pool {what} {count_padding}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::AvgPool(Pool { window: w, ceil, count_padding }), &[x])
            });
        }
    }
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        for (axes, keep) in [(vec![1, 2], true), (vec![0], false), (vec![0, 2], false), (vec![0, 1, 2], true)] {
            check(&format!("{reduction:?} {axes:?}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::Reduce { reduction, axes: axes.clone(), keep }, &[x])
            });
        }
    }
}

pub(super) fn functions(seen: &mut BTreeSet<&'static str>) {
    let positive = [0.2, 3.0];
    for (f, range) in [
        (Activation::Relu, WIDE),
        (Activation::RELU6, [0.1, 5.9]),
        (Activation::RELU6, [6.1, 9.0]),
        (Activation::Clip { low: -1.01, high: 0.51 }, [-1.0, 0.5]),
        (Activation::Clip { low: -1.0, high: f64::INFINITY }, [-3.0, -1.1]),
        (Activation::LeakyRelu(0.2), WIDE),
        (Activation::ThresholdedRelu(0.7), [0.71, 2.0]),
        (Activation::ThresholdedRelu(0.7), [-2.0, 0.69]),
        (Activation::Elu(0.7), WIDE),
        (Activation::Step(0.7), [-2.0, 0.69]),
        (Activation::Step(0.7), [0.71, 2.0]),
        (Activation::Celu(1.5), WIDE),
        (Activation::Swish(1.702), [-8.0, 8.0]),
        (Activation::LogSigmoid, [-8.0, 8.0]),
        (Activation::Tanhshrink, WIDE),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [-2.0, -0.51]),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [-0.49, 0.49]),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [0.51, 2.0]),
        (Activation::Selu { alpha: 1.673, scale: 1.051 }, WIDE),
        (Activation::Sigmoid, [-8.0, 8.0]),
        (Activation::HardSigmoid { slope: 0.2, offset: 0.5 }, [-2.4, 2.4]),
        (Activation::HardSigmoid { slope: 0.2, offset: 0.5 }, [2.6, 5.0]),
        (Activation::HardSwish, [-2.9, 2.9]),
        (Activation::HardSwish, [3.1, 5.0]),
        (Activation::HardSwish, [-5.0, -3.1]),
        (Activation::Silu, [-8.0, 8.0]),
        (Activation::Mish, [-8.0, 8.0]),
        (Activation::Gelu { tanh: false }, [-4.0, 4.0]),
        (Activation::Gelu { tanh: true }, [-4.0, 4.0]),
        (Activation::Softplus, [-8.0, 8.0]),
        (Activation::Softsign, WIDE),
        (Activation::Tanh, WIDE),
        (Activation::Erf, WIDE),
        (Activation::Exp, WIDE),
        (Activation::Log, positive),
        (Activation::Sqrt, positive),
        (Activation::Abs, WIDE),
        (Activation::Neg, WIDE),
        (Activation::Reciprocal, positive),
        (Activation::Pow(2.0), WIDE),
        (Activation::Pow(3.0), WIDE),
        (Activation::Pow(1.0), WIDE),
        (Activation::Pow(0.0), WIDE),
        (Activation::Pow(-1.5), positive),
    ] {
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(Op::Activation(f), &[x]));
    }
    for f in Elementary::ALL {
        let range = match f {
            Elementary::Asin | Elementary::Acos | Elementary::Atanh => [-0.9, 0.9],
            Elementary::Acosh => [1.1, 3.0],
            Elementary::Tan => [-1.2, 1.2],
            // Between jumps, where the slope is zero.
            f if f.has_no_derivative() => [0.55, 0.95],
            _ => WIDE,
        };
        let op = Op::Activation(Activation::Elementary(f));
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(op.clone(), &[x]));
    }
    // Without rounding there is a slope to compare with; what is clipped has none.
    for range in [[-5.9, 9.0], [-9.0, -6.2]] {
        let f = Activation::Quantise { scale: 0.05, zero: 3.0, low: -120.0, high: 300.0, rounds: false };
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(Op::Activation(f), &[x]));
    }
    for log in [false, true] {
        for axis in 0..3 {
            check(&format!("softmax {axis} {log}"), MAP, WIDE, seen, |net, x| net.add(Op::Softmax { axis, log }, &[x]));
        }
    }
}

pub(super) fn binaries(seen: &mut BTreeSet<&'static str>) {
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Prelu] {
        // Constants lie apart from the input's range, so that no division is near zero and no maximum near a tie.
        for (dims, centre) in
            [(vec![4, 6, 5], 4.0), (vec![4, 1, 1], -3.0), (vec![5], 3.0), (vec![], 2.5), (vec![2, 4, 1, 5], 3.0)]
        {
            check(&format!("{f:?} with {dims:?}"), MAP, WIDE, seen, |net, x| {
                let c = net.constant(&dims, centre, 0.4);
                net.add(Op::Binary(f), &[x, c])
            });
            check(&format!("{f:?} of {dims:?}"), MAP, [0.3, 2.0], seen, |net, x| {
                let c = net.constant(&dims, centre, 0.4);
                net.add(Op::Binary(f), &[c, x])
            });
        }
        // Two values of the net, one of them broadcast.
        check(&format!("{f:?} of two"), MAP, [0.3, 2.0], seen, |net, x| {
            let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x]);
            let far = net.constant(&[], 3.0, 0.0);
            let mean = net.add(Op::Binary(Binary::Add), &[mean, far]);
            net.add(Op::Binary(f), &[x, mean])
        });
    }
}

/// Powers: of the base for either sign where the exponent is whole, of the exponent where the base is positive.
pub(super) fn powers(seen: &mut BTreeSet<&'static str>) {
    check("power of two", MAP, [0.3, 2.0], seen, |net, x| {
        let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x]);
        net.add(Op::Binary(Binary::Pow), &[x, mean])
    });
    check("power of a constant", MAP, WIDE, seen, |net, x| {
        let c = net.constant(&[4, 1, 1], 3.0, 0.4);
        net.add(Op::Binary(Binary::Pow), &[c, x])
    });
}

/// A gate passes what it holds, and nothing of itself.
pub(super) fn gates(seen: &mut BTreeSet<&'static str>) {
    check("gate", MAP, [0.3, 2.0], seen, |net, x| {
        let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x]);
        net.add(Op::Binary(Binary::Gate), &[x, mean])
    });
}

/// Entries in order and entries picked by computed indices.
pub(super) fn ranks(seen: &mut BTreeSet<&'static str>) {
    for axis in 0..3 {
        for (k, largest) in [(1, true), (3, true), (2, false), (4, false)] {
            check(&format!("order {axis} {k} {largest}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::Order { axis, k, largest, indices: false }, &[x])
            });
            // The entries at the indices are the entries in order; indices alone have no slope.
            check(&format!("pick {axis} {k} {largest}"), MAP, WIDE, seen, |net, x| {
                let indices = net.add(Op::Order { axis, k, largest, indices: true }, &[x]);
                let squares = net.add(Op::Activation(Activation::Pow(2.0)), &[x]);
                net.add(Op::Pick { axis }, &[squares, indices])
            });
        }
    }
    check("pick of a table", &[3, 4], WIDE, seen, |net, x| {
        let indices = net.add(Op::Order { axis: 1, k: 2, largest: true, indices: true }, &[x]);
        let line = net.add(Op::Reshape(vec![6, 1]), &[indices]);
        let table = net.constant(&[4, 5], 0.0, 1.0);
        let rows = net.add(Op::Pick { axis: 0 }, &[table, line]);
        let sums = net.add(Op::Reduce { reduction: Reduction::Sum, axes: vec![0], keep: true }, &[rows]);
        let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![0, 1], keep: true }, &[x]);
        net.add(Op::Binary(Binary::Mul), &[sums, mean])
    });
}

pub(super) fn norms(seen: &mut BTreeSet<&'static str>) {
    for shape in [MAP, &[4]] {
        check("batch norm", shape, WIDE, seen, |net, x| {
            let (scale, shift) = (net.param(&[4], 1.0, 0.5), net.param(&[4], 0.0, 1.0));
            let (mean, var) = (net.param(&[4], 0.0, 1.0), net.param(&[4], 1.0, 0.5));
            net.add(Op::BatchNorm { scale, shift, mean, var, eps: 1e-3 }, &[x])
        });
    }
    for axis in 0..3 {
        check("layer norm", MAP, WIDE, seen, |net, x| {
            let scale = net.param(&MAP[axis..], 1.0, 0.5);
            let shift = (axis != 1).then(|| net.param(&MAP[axis..], 0.0, 1.0));
            net.add(Op::LayerNorm { axis, scale, shift, eps: 1e-3 }, &[x])
        });
    }
    for groups in [1, 2, 4] {
        check("group norm", MAP, WIDE, seen, |net, x| {
            let (scale, shift) = (net.param(&[4], 1.0, 0.5), net.param(&[4], 0.0, 1.0));
            net.add(Op::GroupNorm { groups, scale, shift, eps: 1e-3 }, &[x])
        });
    }
    for (size, channels) in [(1, 4), (2, 5), (3, 5), (4, 6), (5, 7), (11, 4)] {
        check("local response", &[channels, 3, 2], WIDE, seen, |net, x| {
            net.add(Op::LocalResponseNorm { size, alpha: 0.7, beta: 0.75, bias: 1.2 }, &[x])
        });
    }
}

pub(super) fn moves(seen: &mut BTreeSet<&'static str>) {
    for axis in 0..3 {
        check("concat", MAP, WIDE, seen, |net, x| {
            let part = net.add(Op::Select { axis, index: [1, 2].into() }, &[x]);
            let mut dims = MAP.to_vec();
            dims[axis] = 3;
            let c = net.constant(&dims, 0.0, 1.0);
            net.add(Op::Concat { axis }, &[x, c, part, x])
        });
        check("select with repeats", MAP, WIDE, seen, |net, x| {
            net.add(Op::Select { axis, index: [3, 0, 3, 1, 3].into() }, &[x])
        });
    }
    check("reshape", MAP, WIDE, seen, |net, x| net.add(Op::Reshape(vec![8, 15]), &[x]));
    check("identity", MAP, WIDE, seen, |net, x| net.add(Op::Identity, &[x]));
    for perm in [[2, 0, 1], [0, 2, 1], [1, 2, 0]] {
        check("transpose", MAP, WIDE, seen, |net, x| net.add(Op::Transpose(perm.to_vec()), &[x]));
    }
    for border in [Border::Constant(0.5), Border::Reflect, Border::Edge] {
        for pads in [[(0, 0), (2, 1), (0, 3)], [(3, 1), (0, 0), (4, 4)], [(0, 0), (7, 0), (0, 9)]] {
            check("pad", &[4, 3, 5], WIDE, seen, |net, x| net.add(Op::Pad { pads: pads.to_vec(), border }, &[x]));
        }
    }
    for sampling in [Sampling::Nearest, Sampling::Linear] {
        for alignment in [Alignment::HalfPixel, Alignment::Corners, Alignment::Asymmetric] {
            for size in [[12, 10], [7, 13], [3, 2], [1, 1]] {
                let scale = [size[0] as f64 / 6.0, size[1] as f64 / 5.0];
                check(&format!("resize {sampling:?} {alignment:?} {size:?}"), MAP, WIDE, seen, |net, x| {
                    net.add(Op::Resize { size, scale, sampling, alignment }, &[x])
                });
            }
        }
    }
}

pub(super) fn forks(seen: &mut BTreeSet<&'static str>) {
    check("a value used three times", MAP, WIDE, seen, |net, x| {
        let weight = net.param(&[4, 4, 3, 3], 0.0, 0.3);
        let conv = Op::Conv2d(Conv { weight, bias: None, window: Window::square(3, 1, 1), groups: 1 });
        let a = net.add(conv, &[x]);
        let b = net.add(Op::Activation(Activation::Tanh), &[a]);
        let c = net.add(Op::Binary(Binary::Mul), &[a, b]);
        let d = net.add(Op::Binary(Binary::Add), &[c, a]);
        let joined = net.add(Op::Concat { axis: 0 }, &[a, d, x]);
        net.add(Op::Activation(Activation::Sigmoid), &[joined])
    });
    check("a value times itself", MAP, WIDE, seen, |net, x| net.add(Op::Binary(Binary::Mul), &[x, x]));
}
