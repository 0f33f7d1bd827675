//! Where guided backprop and DeconvNet let a signal through a rectifier, point by point, against the papers' conditions
//! written out: ReLU6 too, whatever its node is called.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::Weights;
use convscope_engine::graph::op::{Activation, Op};
use convscope_engine::graph::{Builder, Graph};
use convscope_engine::model::Card;
use convscope_engine::pass::Tap;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Model};

/// Inputs on both sides of both kinks, and on them.
const X: [f64; 9] = [-3.0, -1e-6, 0.0, 1e-6, 2.5, 5.999, 6.0, 6.001, 40.0];
const R: [f64; 5] = [-2.0, -1e-6, 0.0, 1e-6, 1.5];

/// The signals that come out of one rectifier `f` for every pair of an input and a signal.
fn passed(f: Activation, rules: &Rules, dtype: DType) -> Vec<(f64, f64, f64)> {
    let pairs: Vec<(f64, f64)> = X.iter().flat_map(|x| R.iter().map(move |r| (*x, *r))).collect();
    let mut b = Builder::new();
    let x = b.input("x", vec![pairs.len()]).unwrap();
    // A factor of one in the dtype asked for makes the net compute in it.
    let one = b.param("one", tensor(vec![1.0f64], &[1]).unwrap().to_dtype(dtype).unwrap()).unwrap();
    let one = b.add("factor", Op::Constant(one), &[]).unwrap();
    let y = b.add("same", Op::Binary(convscope_engine::graph::op::Binary::Mul), &[x, one]).unwrap();
    let y = b.add("rectifier", Op::Activation(f), &[y]).unwrap();
    let (graph, weights): (Graph, Weights) = b.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("one rectifier"));
    let row = |v: Vec<f64>| tensor(v, &[1, pairs.len()]).unwrap().to_dtype(dtype).unwrap();
    let trace = model.forward(&row(pairs.iter().map(|p| p.0).collect()), &Tap::All).unwrap();
    let seed = row(pairs.iter().map(|p| p.1).collect());
    let out = trace.backward_to(model.graph().input(), vec![(model.graph().output(), seed)], rules).unwrap();
    pairs.iter().zip(to_f64(&out).unwrap()).map(|((x, r), o)| (*x, *r, o)).collect()
}

/// Checks that R comes through unchanged where `open` holds, and nothing elsewhere.
fn opens(f: Activation, rules: &Rules, open: impl Fn(f64, f64) -> bool) {
    for (dtype, limit) in [(DType::F64, 0.0), (DType::F32, 1e-7)] {
        let all = passed(f, rules, dtype);
        assert!(all.iter().any(|(x, r, _)| open(*x, *r)) && all.iter().any(|(x, r, _)| !open(*x, *r)));
        for (x, r, out) in all {
            let want = if open(x, r) { r } else { 0.0 };
            assert!((out - want).abs() <= limit * r.abs(), "{f:?} {dtype:?}: x = {x}, R = {r} gives {out}, not {want}");
        }
    }
}

#[test]
fn relu6_passes_guided_backprop_inside_its_range_where_the_signal_is_positive() {
    opens(Activation::RELU6, &Rules::guided_backprop(), |x, r| 0.0 < x && x < 6.0 && r > 0.0);
    opens(Activation::Clip { low: 0.0, high: 6.0 }, &Rules::guided_backprop(), |x, r| 0.0 < x && x < 6.0 && r > 0.0);
}

#[test]
fn relu6_passes_deconvnet_where_the_signal_is_positive_whatever_its_input() {
    opens(Activation::RELU6, &Rules::deconvnet(), |_, r| r > 0.0);
    opens(Activation::Clip { low: 0.0, high: 6.0 }, &Rules::deconvnet(), |_, r| r > 0.0);
}

#[test]
fn relu_passes_by_the_papers_conditions() {
    opens(Activation::Relu, &Rules::gradient(), |x, _| x > 0.0);
    opens(Activation::Relu, &Rules::guided_backprop(), |x, r| x > 0.0 && r > 0.0);
    opens(Activation::Relu, &Rules::deconvnet(), |_, r| r > 0.0);
    opens(Activation::RELU6, &Rules::gradient(), |x, _| 0.0 < x && x < 6.0);
}

/// A clip that does not start at zero is no rectifier: its gradient passes, negative signals too.
#[test]
fn other_clips_keep_their_gradient() {
    let clip = Activation::Clip { low: -1.0, high: 6.0 };
    for rules in [Rules::gradient(), Rules::guided_backprop(), Rules::deconvnet()] {
        opens(clip, &rules, |x, _| -1.0 < x && x < 6.0);
    }
}
