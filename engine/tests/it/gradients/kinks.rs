//! Gradients where there are none: at ties, kinks and steps, and beyond what a unit sees.

use convscope_engine::graph::op::{Activation, Conv, Pool, Reduction, Window};
use convscope_engine::graph::{Builder, Op};
use convscope_engine::model::Card;
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Model, Tensor};

/// A rounded value passes its signal on as if it were not rounded.
#[test]
fn rounding_passes_gradients_straight_through() {
    let mut builder = Builder::new();
    let input = builder.input("x", vec![4]).unwrap();
    let f = Activation::Quantise { scale: 0.5, zero: 10.0, low: 0.0, high: 12.0, rounds: true };
    let y = builder.add("q", Op::Activation(f), &[input]).unwrap();
    let (graph, weights) = builder.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("q"));
    let x = Tensor::from_slice(&[-9f32, 0.25, 0.75, 1.9], (1, 4), &Device::Cpu).unwrap();
    let trace = model.forward(&x, &Tap::All).unwrap();
    // Halves go to the even integer; 1.9 / 0.5 = 3.8 is above what there is.
    assert_eq!(to_f64(trace.get(y).unwrap()).unwrap(), [0.0, 10.0, 12.0, 12.0]);
    let seed = Tensor::ones((1, 4), convscope_engine::DType::F32, &Device::Cpu).unwrap();
    let flow = trace.backward_to(input, vec![(y, seed)], &Rules::gradient()).unwrap();
    assert_eq!(to_f64(&flow).unwrap(), [0.0, 2.0, 2.0, 0.0]);
}

/// Where values of a window are equal the first takes all of the signal, in row-major order; each window decides alone.
#[test]
fn ties_go_to_the_first() {
    let gradient = |op: Op| {
        let mut b = Builder::new();
        let x = b.input("x", vec![1, 2, 3]).unwrap();
        let y = b.add("y", op, &[x]).unwrap();
        let (graph, weights) = b.finish(y).unwrap();
        let model = Model::new(graph, weights, Card::named("ties"));
        let x = Tensor::ones((1, 1, 2, 3), convscope_engine::DType::F32, &Device::Cpu).unwrap();
        let trace = model.forward(&x, &Tap::All).unwrap();
        let id = model.graph().output();
        let seed = trace.get(id).unwrap().ones_like().unwrap();
        to_f64(&trace.backward_to(model.graph().input(), vec![(id, seed)], &Rules::gradient()).unwrap()).unwrap()
    };
    let pool = Pool { window: Window::square(2, 1, 0), ceil: false, count_padding: false };
    assert_eq!(gradient(Op::MaxPool(pool)), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let pool = Pool { window: Window::square(2, 2, 1), ..pool };
    assert_eq!(gradient(Op::MaxPool(pool)), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    let all = Op::Reduce { reduction: Reduction::Max, axes: vec![1, 2], keep: false };
    assert_eq!(gradient(all), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

/// At a kink the slope is the one that PyTorch takes.
#[test]
fn kinks_are_pytorchs() {
    use convscope_engine::kernels::activation::derivative;
    for (f, x, wanted) in [
        (Activation::Relu, 0.0, 0.0),
        (Activation::RELU6, 0.0, 0.0),
        (Activation::RELU6, 6.0, 0.0),
        (Activation::LeakyRelu(0.1), 0.0, 0.1),
        (Activation::Abs, 0.0, 0.0),
        (Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }, -3.0, 0.0),
    ] {
        assert_eq!(derivative(f, x), wanted, "{f:?} at {x}");
    }
}

/// Two convolutions reach two positions to each side: beyond, a unit's gradient is zero, in whatever tiles the kernels work and
/// whoever is in its batch.
#[test]
fn a_units_gradient_is_zero_where_it_does_not_reach() {
    const SIDE: usize = 40;
    let (mut b, mut rng) = (Builder::new(), Stream::new(8, "reach"));
    let mut at = b.input("x", vec![16, SIDE, SIDE]).unwrap();
    for (i, name) in ["first", "second"].into_iter().enumerate() {
        let dims = [[64, 16, 3, 3], [32, 64, 3, 3]][i];
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.next_normal() as f32).collect();
        let weight = b.param(name, Tensor::from_vec(values, &dims, &Device::Cpu).unwrap()).unwrap();
        let conv = Op::Conv2d(Conv { weight, bias: None, window: Window::square(3, 1, 1), groups: 1 });
        at = b.add(name, conv, &[at]).unwrap();
    }
    let (graph, weights) = b.finish(at).unwrap();
    let model = Model::new(graph, weights, Card::named("reach"));
    let back = |seed: Vec<f32>| {
        let n = seed.len() / (32 * SIDE * SIDE);
        let x = Tensor::zeros((n, 16, SIDE, SIDE), convscope_engine::DType::F32, &Device::Cpu).unwrap();
        let trace = model.forward(&x, &Tap::All).unwrap();
        let seed = Tensor::from_vec(seed, (n, 32, SIDE, SIDE), &Device::Cpu).unwrap();
        let (from, to) = (model.graph().output(), model.graph().input());
        to_f64(&trace.backward_to(to, vec![(from, seed)], &Rules::gradient()).unwrap()).unwrap()
    };
    let unit = |y: usize, x: usize| {
        let mut seed = vec![0.0f32; 32 * SIDE * SIDE];
        seed[(3 * SIDE + y) * SIDE + x] = 1.0;
        seed
    };
    let everywhere: Vec<f32> = (0..32 * SIDE * SIDE).map(|_| rng.next_normal() as f32).collect();
    let seeds = [unit(17, 22), everywhere, unit(0, SIDE - 1)];
    let all = back(seeds.concat());
    for (seed, part) in seeds.iter().zip(all.chunks(16 * SIDE * SIDE)) {
        assert!(back(seed.clone()) == part);
    }
    for (n, [row, column]) in [(0, [17usize, 22usize]), (2, [0, SIDE - 1])] {
        for (i, value) in all[n * 16 * SIDE * SIDE..][..16 * SIDE * SIDE].iter().enumerate() {
            let (y, x) = (i / SIDE % SIDE, i % SIDE);
            let reached = y.abs_diff(row) <= 2 && x.abs_diff(column) <= 2;
            assert!(reached == (*value != 0.0), "sample {n}, row {y}, column {x}: {value}");
        }
    }
}
