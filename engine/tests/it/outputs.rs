//! What raw outputs mean: read from the graph, said by the card, or assumed; and that predictions, maps, accuracies and
//! attacks all follow it. Expected values are written-out sigmoids, softmaxes and finite differences.

#![allow(clippy::unwrap_used)]

use super::builders::Net;
use convscope_engine::ascent::Escape;
use convscope_engine::ascent::{Aim, CrossEntropy, Objective};
use convscope_engine::data::{Preprocess, Size};
use convscope_engine::graph::op::{Activation, Binary, Reduction, Window};
use convscope_engine::graph::{NodeId, Op};
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::model::{Card, OutputKind};
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::{Fgsm, Occlusion};
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject, Tensor};

const SIDE: usize = 8;

/// A small classifier with `outputs` raw outputs, and what is put behind them.
fn net(outputs: usize, end: impl FnOnce(&mut Net) -> NodeId, output: Option<OutputKind>) -> Model {
    let mut net = Net::new(&[3, SIDE, SIDE], 0.3);
    net.conv("conv", 4, Window::square(3, 1, 1), 1);
    net.relu("relu");
    net.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: false });
    net.linear("fc", outputs);
    let end = end(&mut net);
    let (graph, weights) = net.b.finish(end).unwrap();
    let preprocess = Some(Preprocess::new(Size { height: SIDE, width: SIDE }, 3).unwrap());
    Model::new(graph, weights, Card { preprocess, output, ..Card::named("net") })
}

fn plain(net: &mut Net) -> NodeId {
    net.at
}

fn input() -> Tensor {
    let stream = Stream::new(5, "outputs");
    let values = (0..3 * SIDE * SIDE).map(|i| stream.uniform_at(i as u64) as f32).collect::<Vec<f32>>();
    tensor(values, &[1, 3, SIDE, SIDE]).unwrap()
}

fn constant(net: &mut Net, name: &str, value: f64) -> NodeId {
    let id = net.b.param(name, tensor(vec![value], &[1]).unwrap()).unwrap();
    net.b.add(name, Op::Constant(id), &[]).unwrap()
}

fn sigmoid(s: f64) -> f64 {
    1.0 / (1.0 + (-s).exp())
}

fn raw(model: &Model, x: &Tensor) -> Vec<f64> {
    to_f64(&model.output(x).unwrap()).unwrap()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} is not {b}"));
}

#[test]
fn what_the_graph_proves_is_the_net_s_own_value() {
    let x = input();
    let sigmoids = net(4, |n| n.then("end", Op::Activation(Activation::Sigmoid)), None);
    let one = net(1, |n| n.then("end", Op::Activation(Activation::Sigmoid)), None);
    let percent = net(
        3,
        |n| {
            n.then("softmax", Op::Softmax { axis: 0, log: false });
            let hundred = constant(n, "hundred", 100.0);
            n.add("end", Op::Binary(Binary::Mul), &[n.at, hundred])
        },
        None,
    );
    let complement = net(
        1,
        |n| {
            let p = n.then("p", Op::Activation(Activation::Sigmoid));
            let one = constant(n, "one", 1.0);
            let q = n.add("q", Op::Binary(Binary::Sub), &[one, p]);
            n.add("end", Op::Concat { axis: 0 }, &[q, p])
        },
        None,
    );
    for model in [sigmoids, one, percent, complement] {
        assert_eq!(model.readout().kind, OutputKind::Probability);
        close(&model.probabilities(&x).unwrap()[0], &raw(&model, &x));
    }
    // Differences of probabilities can be negative, so they prove nothing.
    let difference = net(
        4,
        |n| {
            let p = n.then("p", Op::Activation(Activation::Sigmoid));
            let half = constant(n, "half", 0.5);
            n.add("end", Op::Binary(Binary::Sub), &[p, half])
        },
        None,
    );
    assert_eq!(difference.readout().kind, OutputKind::Softmax);
}

#[test]
fn a_closing_softmax_or_its_logarithm_is_peeled_off() {
    let x = input();
    let scores = raw(&net(3, plain, None), &x);
    let total: f64 = scores.iter().map(|s| s.exp()).sum();
    let expected: Vec<f64> = scores.iter().map(|s| s.exp() / total).collect();
    for log in [false, true] {
        let model = net(3, |n| n.then("end", Op::Softmax { axis: 0, log }), None);
        close(&model.probabilities(&x).unwrap()[0], &expected);
        close(&model.scores(&x).unwrap()[0], &scores);
        assert_eq!(model.readout().note(), None);
    }
    let written_out = net(
        3,
        |n| {
            n.then("softmax", Op::Softmax { axis: 0, log: false });
            n.then("end", Op::Activation(Activation::Log))
        },
        None,
    );
    close(&written_out.probabilities(&x).unwrap()[0], &expected);
}

#[test]
fn the_card_says_it_and_what_is_assumed_is_noted() {
    let x = input();
    let labels = net(4, plain, Some(OutputKind::Sigmoid));
    let expected: Vec<f64> = raw(&labels, &x).iter().map(|s| sigmoid(*s)).collect();
    close(&labels.probabilities(&x).unwrap()[0], &expected);
    assert!(net(4, plain, None).readout().note().unwrap().contains("softmax over 4 raw outputs"));
    let one = net(1, plain, None);
    close(&one.probabilities(&x).unwrap()[0], &[sigmoid(raw(&one, &x)[0])]);
    assert!(one.readout().note().unwrap().contains("sigmoid of one raw output"));
    let value = net(1, plain, Some(OutputKind::Value));
    assert!(value.probabilities(&x).unwrap_err().message.contains("values, not classes"));
    let table = value.predict(&Input::Tensor(x.clone()), 5).unwrap();
    assert_eq!(table.columns(), ["class", "index", "value"]);
}

#[test]
fn one_output_names_its_class_and_the_complement() {
    let x = input();
    let model = net(1, plain, None);
    let card = model.card().clone().with_labels(&["cat".into(), "dog".into()], 1).unwrap();
    let model = model.with_card(card);
    let table = model.predict(&Input::Tensor(x.clone()), 5).unwrap();
    assert_eq!(table.rows().len(), 2);
    assert_eq!([model.card().class_name(0), model.card().class_name(1)], ["dog", "cat"]);
    assert_eq!(model.card().label_index("cat").unwrap(), 1);
    assert_eq!(model.classes_len(), 2);
}

#[test]
fn occlusion_shows_the_probability_that_the_outputs_mean() {
    let x = input();
    for kind in [OutputKind::Sigmoid, OutputKind::Softmax] {
        let model = net(4, plain, Some(kind)).to_dtype(convscope_engine::DType::F32).unwrap();
        let class = Subject::class_at(&model, 2).unwrap();
        let map =
            Occlusion::new().patch(SIDE).stride(SIDE).run(&class, &Input::Tensor(x.clone()), &Job::new()).unwrap();
        // One position covers all of the input.
        let scores = raw(&model, &x.zeros_like().unwrap());
        let total: f64 = scores.iter().map(|s| s.exp()).sum();
        let expected = if kind == OutputKind::Sigmoid { sigmoid(scores[2]) } else { scores[2].exp() / total };
        close(&to_f64(map.value().unwrap()).unwrap(), &[expected]);
    }
}

#[test]
fn losses_are_logarithms_of_probabilities_with_their_gradients() {
    let x = input().to_dtype(convscope_engine::DType::F64).unwrap();
    let end = |n: &mut Net| n.then("end", Op::Activation(Activation::Sigmoid));
    let nets = [
        (net(4, plain, Some(OutputKind::Softmax)), 2),
        (net(4, plain, Some(OutputKind::Sigmoid)), 2),
        (net(4, end, None), 2),
        (net(1, plain, None), 0),
        (net(1, plain, None), 1),
        (net(1, end, None), 1),
    ];
    for (model, class) in nets {
        let model = model.to_dtype(convscope_engine::DType::F64).unwrap();
        let p = model.readout().probabilities(&model.scores(&x).unwrap()[0])[class];
        let losses: [(Box<dyn Objective>, f64); 3] = [
            (Box::new(CrossEntropy::new(&model, vec![Aim::Not(class)])), -p.ln()),
            (Box::new(CrossEntropy::new(&model, vec![Aim::Be(class)])), p.ln()),
            (Box::new(Escape::new(&model, class)), (1.0 - p).ln()),
        ];
        for (loss, expected) in losses {
            let measure = |x: &Tensor| {
                let trace = model.forward(x, &Tap::All).unwrap();
                let measured = loss.measure(&trace).unwrap();
                (measured.values[0], trace, measured.seed)
            };
            let (value, trace, seed) = measure(&x);
            close(&[value], &[expected]);
            let rules = convscope_engine::rules::Rules::gradient();
            let gradient = to_f64(&trace.backward_to(model.graph().input(), seed, &rules).unwrap()).unwrap();
            let values = to_f64(&x).unwrap();
            for at in [0, 77, 150] {
                let moved = |by: f64| {
                    let mut v = values.clone();
                    v[at] += by;
                    measure(&tensor(v, x.dims()).unwrap()).0
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope - gradient[at]).abs() < 1e-6 * slope.abs().max(1.0), "{slope} is not {}", gradient[at]);
            }
        }
    }
}

#[test]
fn attacks_turn_one_output_into_its_complement() {
    let model = net(1, plain, None);
    let photo = model.card().preprocess().unwrap().undo(&input()).unwrap();
    let attacked = Fgsm::new().eps(255.0).run(&Subject::Model(model), &Input::Image(photo), &Job::new()).unwrap();
    assert_eq!(attacked.data["success"].dims(), [1]);
}

#[test]
fn a_map_is_no_list_of_classes_but_has_classes_of_pixels() {
    let mut net = Net::new(&[3, SIDE, SIDE], 0.3);
    let end = net.conv("head", 5, Window::square(1, 1, 0), 1);
    let (graph, weights) = net.b.finish(end).unwrap();
    let model = Model::new(graph, weights, Card::named("map"));
    let table = model.predict(&Input::Tensor(input()), 5).unwrap();
    assert_eq!(table.columns(), ["class", "index", "share", "mean probability"]);
    let shares: f64 = table.rows().iter().filter_map(|row| row[2].number()).sum();
    assert!((shares - 1.0).abs() < 1e-12, "{shares}");
    assert!(Subject::class_at(&model, 0).is_err());
    assert_eq!(model.output(&input()).unwrap().dims(), [1, 5, 8, 8]);
}

/// A list of channels by tokens lies as a plain map does, but no patch can be followed in it.
#[test]
fn occlusion_watches_maps_and_not_lists_of_tokens() {
    let mut net = Net::new(&[3, SIDE, SIDE], 0.3);
    let map = net.conv("conv", 4, Window::square(3, 1, 1), 1);
    net.then("tokens", Op::Reshape(vec![4, SIDE * SIDE]));
    net.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1], keep: false });
    let end = net.linear("fc", 3);
    let (graph, weights) = net.b.finish(end).unwrap();
    let model = Model::new(graph, weights, Card::named("tokens")).to_dtype(convscope_engine::DType::F32).unwrap();
    assert_eq!(model.last_map_layer(), Some(map));
    let class = Subject::class_at(&model, 1).unwrap();
    assert!(Occlusion::new().run(&class, &Input::Tensor(input()), &Job::new()).is_ok());
}
