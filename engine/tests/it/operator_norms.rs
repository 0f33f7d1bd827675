//! Operator norms against dense matrices: the layer pushed through basis vectors, the circular convolution by its definition, and
//! their largest singular values by one-sided Jacobi rotations.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array};
use convscope_engine::graph::NodeId;
use convscope_engine::graph::op::{Conv, Op, Window};
use convscope_engine::probe::Probe;
use convscope_engine::probes::look::operator_norms::OperatorNorms;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject};

/// The largest singular value of a matrix given by its columns.
fn largest_singular(mut columns: Vec<Vec<f64>>) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for _ in 0..60 {
        let mut off = 0f64;
        for p in 0..columns.len() {
            for q in p + 1..columns.len() {
                let (a, b, c) =
                    (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]), dot(&columns[p], &columns[q]));
                if c.abs() <= 1e-15 * (a * b).sqrt() {
                    continue;
                }
                off = off.max(c.abs() / (a * b).sqrt());
                let zeta = (b - a) / (2.0 * c);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let (cos, sin) = (1.0 / (1.0 + t * t).sqrt(), t / (1.0 + t * t).sqrt());
                for i in 0..columns[p].len() {
                    let (x, y) = (columns[p][i], columns[q][i]);
                    columns[p][i] = cos * x - sin * y;
                    columns[q][i] = sin * x + cos * y;
                }
            }
        }
        if off < 1e-13 {
            break;
        }
    }
    columns.iter().map(|c| dot(c, c).sqrt()).fold(0.0, f64::max)
}

/// The layer's matrix, a column an input value, without its bias.
fn dense(model: &Model) -> f64 {
    let shape = model.input_shape().to_vec();
    let n: usize = shape.iter().product();
    let dims: Vec<usize> = [1].into_iter().chain(shape).collect();
    let at = |i: Option<usize>| {
        let x: Vec<f64> = (0..n).map(|j| f64::from(u8::from(Some(j) == i))).collect();
        to_f64(&model.output(&tensor(x, &dims).unwrap()).unwrap()).unwrap()
    };
    let zero = at(None);
    largest_singular((0..n).map(|i| at(Some(i)).iter().zip(&zero).map(|(a, b)| a - b).collect()).collect())
}

fn ask(model: &Model, iterations: usize) -> Artifact {
    OperatorNorms::new().iterations(iterations).run(&Subject::Model(model.clone()), &Input::None, &Job::new()).unwrap()
}

fn layer(shape: &[usize], make: impl Fn(&mut Net) -> NodeId) -> Model {
    let mut n = Net::new(shape, 0.3);
    make(&mut n);
    n.model()
}

fn windows() -> Vec<Window> {
    let mut uneven = Window::square(3, 1, 0);
    uneven.kernel = [2, 3];
    uneven.padding.left = 2;
    uneven.padding.bottom = 1;
    let mut dilated = Window::square(3, 2, 2);
    dilated.dilation = [2, 1];
    let mut mixed = Window::square(3, 1, 1);
    mixed.stride = [2, 1];
    vec![
        Window::square(3, 1, 1),
        Window::square(1, 1, 0),
        Window::square(3, 2, 1),
        Window::square(5, 3, 0),
        uneven,
        dilated,
        mixed,
    ]
}

/// The bound lies above the dense matrix's norm, and power iteration attains that.
#[test]
fn bounds_hold_and_power_iteration_attains_the_norm() {
    for groups in [1, 2] {
        for window in windows() {
            let model = layer(&[4, 8, 7], |n| n.conv("conv", 6, window, groups));
            let (norm, found) = (dense(&model), ask(&model, 400));
            let (bound, reached) = (array(&found, "bound")[0], array(&found, "reached")[0]);
            assert!(bound >= norm * (1.0 - 1e-5), "{window:?}: {bound} is below {norm}");
            assert!(bound <= 1.6 * norm, "{window:?}: {bound} is far above {norm}");
            assert!(reached <= norm * (1.0 + 1e-4) && reached >= 0.99 * norm, "{window:?}: {reached} of {norm}");
        }
    }
}

/// What is not cut off by a border is exact: fully connected layers, 1 x 1 convolutions, batch normalisation.
#[test]
fn layers_without_borders_are_exact() {
    let models = [
        layer(&[12], |n| n.linear("fc", 7)),
        layer(&[5], |n| n.linear("fc", 9)),
        layer(&[4, 5, 5], |n| n.conv("conv", 6, Window::square(1, 1, 0), 1)),
        layer(&[4, 5, 5], |n| n.conv("conv", 6, Window::square(1, 2, 0), 2)),
        layer(&[4, 6, 6], |n| n.conv("conv", 6, Window::square(2, 2, 0), 1)),
        layer(&[4, 3, 3], |n| n.batch_norm("bn")),
    ];
    for model in models {
        let (norm, bound) = (dense(&model), array(&ask(&model, 0), "bound")[0]);
        assert!((bound - norm).abs() < 1e-5 * norm, "{bound} for {norm}");
    }
}

/// The circular convolution by its definition, over the torus that the bound is computed on.
#[test]
fn the_bound_is_the_norm_of_the_circular_convolution() {
    // 6 rows after 1 of padding: the torus has 7 rows at stride 1, 4 strides at stride 2.
    for (stride, out) in [(1, 7), (2, 4)] {
        let model = layer(&[2, 6, 6], |n| n.conv("conv", 3, Window::square(3, stride, 1), 1));
        let w = crate::builders::param(&model, "conv.weight");
        let side = out * stride;
        let mut columns = vec![vec![0.0; 3 * out * out]; 2 * side * side];
        for (o, c) in (0..3).flat_map(|o| (0..2).map(move |c| (o, c))) {
            for (y, x) in (0..out).flat_map(|y| (0..out).map(move |x| (y, x))) {
                for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                    let from = c * side * side + (y * stride + ky) % side * side + (x * stride + kx) % side;
                    columns[from][o * out * out + y * out + x] += w[(o * 2 + c) * 9 + ky * 3 + kx];
                }
            }
        }
        let (norm, bound) = (largest_singular(columns), array(&ask(&model, 0), "bound")[0]);
        assert!((bound - norm).abs() < 1e-6 * norm, "stride {stride}: {bound} for {norm}");
    }
}

/// A transposed convolution has the norm of the one that it transposes.
#[test]
fn transposed_convolutions_are_bounded_too() {
    for window in [Window::square(3, 1, 1), Window::square(4, 2, 1)] {
        let mut n = Net::new(&[4, 5, 5], 0.0);
        let weight = n.random("w", &[4, 3, window.kernel[0], window.kernel[1]], 0.5, 0.0);
        n.then("up", Op::ConvTranspose2d(Conv { weight, bias: None, window, groups: 1 }, [0, 0]));
        let model = n.model();
        let (norm, bound) = (dense(&model), array(&ask(&model, 0), "bound")[0]);
        assert!(bound >= norm * (1.0 - 1e-5) && bound <= 1.6 * norm, "{bound} for {norm}");
    }
}

#[test]
fn a_layer_without_weights_is_refused() {
    let model = layer(&[4, 5, 5], |n| {
        n.conv("conv", 6, Window::square(3, 1, 1), 1);
        n.relu("relu")
    });
    let on = Subject::layer(&model, "relu").unwrap();
    let error = OperatorNorms::new().run(&on, &Input::None, &Job::new()).unwrap_err();
    assert!(error.message.contains("`relu` (relu) has no operator norm") && error.hint.is_some(), "{error}");
    assert_eq!(array(&ask(&model, 0), "bound").len(), 1);
}
