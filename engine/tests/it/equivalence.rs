//! What probes leave out when they can does not change what they find: other classes' weights, packed weights that memory
//! has no room for, parts of an occlusion that was stopped.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::builders::Net;
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Activation, Binary, Reduction, Window};
use convscope_engine::job::{Sink, StopSignal};
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::input_signal;
use convscope_engine::probes::attribution::integrated_gradients::IntegratedGradients;
use convscope_engine::probes::attribution::occlusion::Occlusion;
use convscope_engine::random::Stream;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::{tensor, to_f32};
use convscope_engine::{DType, Input, Job, Model, Subject, Tensor};

const CLASSES: usize = 37;

fn single(net: Net) -> Model {
    net.model().to_dtype(DType::F32).unwrap()
}

fn noise(dims: &[usize]) -> Tensor {
    let stream = Stream::new(5, "noise");
    tensor((0..dims.iter().product::<usize>()).map(|i| stream.normal_at(i as u64) as f32).collect(), dims).unwrap()
}

fn trunk() -> Net {
    let mut net = Net::new(&[3, 20, 18], 0.2);
    net.conv("a", 12, Window::square(3, 2, 1), 1);
    net.relu("relu");
    net
}

/// Classes as maps whose means are the scores.
fn by_maps() -> Net {
    let mut net = trunk();
    net.conv("classes", CLASSES, Window::square(1, 1, 0), 1);
    net.relu("last");
    net.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true });
    net.then("flat", Op::Reshape(vec![CLASSES]));
    net
}

/// Classes from a linear layer, behind a softmax.
fn by_rows() -> Net {
    let mut net = trunk();
    net.head(CLASSES);
    net.then("softmax", Op::Softmax { axis: 0, log: false });
    net
}

#[test]
fn a_class_alone_has_the_gradient_that_it_has_among_others() {
    for (name, model) in [("maps", single(by_maps())), ("rows", single(by_rows()))] {
        let alone = model.one_class(5).unwrap().unwrap();
        assert_eq!(alone.output_len(), 1, "{name}");
        let x = noise(&[3, 3, 20, 18]);
        let class = Subject::class_at(&model, 5).unwrap();
        for rules in [Rules::gradient(), Rules::guided_backprop(), Rules::deconvnet()] {
            let trace = model.forward(&x, &Tap::Signs(class.nodes().unwrap())).unwrap();
            let among = trace.backward_to(model.graph().input(), class.seed(&trace).unwrap(), &rules).unwrap();
            let (ours, wanted) = (to_f32(&input_signal(&class, &x, &rules).unwrap()).unwrap(), to_f32(&among).unwrap());
            assert!(wanted.iter().any(|v| *v != 0.0), "{name}");
            assert_eq!(ours, wanted, "{name}");
        }
        let score = |model: &Model, index: usize| {
            let class = Subject::class_at(model, index).unwrap();
            class.scores(&model.forward(&x, &Tap::Only(class.nodes().unwrap())).unwrap()).unwrap()
        };
        assert_eq!(score(&alone, 0), score(&model, 5), "{name}");
    }
}

#[test]
fn classes_that_meet_are_not_taken_apart() {
    let mut normed = trunk();
    normed.conv("classes", CLASSES, Window::square(1, 1, 0), 1);
    normed.batch_norm("norm");
    normed.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: false });
    let mut over_channels = trunk();
    over_channels.conv("classes", CLASSES, Window::square(1, 1, 0), 1);
    over_channels.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![0], keep: false });
    let mut added = trunk();
    let first = added.head(CLASSES);
    let second = added.then("relu2", Op::Activation(Activation::Relu));
    added.add("sum", Op::Binary(Binary::Add), &[first, second]);
    for net in [normed, over_channels, added] {
        assert!(single(net).one_class(2).unwrap().is_none());
    }
}

#[test]
fn a_map_is_the_same_whatever_the_memory() {
    let model = single(by_maps());
    let input = Input::Tensor(noise(&[3, 20, 18]));
    let class = Subject::class_at(&model, 3).unwrap();
    let map = |memory: u64| {
        let mut job = Job::new();
        job.memory = memory;
        let made = IntegratedGradients::default().run(&class, &input, &job).unwrap();
        to_f32(&made.data["integrated_gradients"]).unwrap()
    };
    let (ample, short) = (map(1 << 30), map(1));
    assert!(ample.iter().any(|v| *v != 0.0));
    assert_eq!(ample, short);
    let model = convscope_engine::shapes::net::load().unwrap();
    let image = Input::Image(
        convscope_engine::shapes::shapes(&convscope_engine::shapes::Shapes::new().n(1usize)).unwrap().get(0).unwrap(),
    );
    let class = Subject::class_at(&model, 3).unwrap();
    let map = |memory: u64| {
        let mut job = Job::new();
        job.memory = memory;
        let made = Occlusion::new().patch(8usize).stride(4usize).run(&class, &image, &job).unwrap();
        made.data
            .values()
            .map(|array| to_f32(array).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    assert_eq!(map(1 << 30), map(1));
}

/// Stops the work at its third step.
struct Stopper(StopSignal);

impl Sink for Stopper {
    fn progress(&self, _: &str, done: usize, _: usize) {
        if done == 2 {
            self.0.stop();
        }
    }
}

#[test]
fn a_stopped_occlusion_keeps_what_it_found_where_it_was_found() {
    let model = single(by_rows());
    let input = Input::Tensor(noise(&[3, 20, 18]));
    let class = Subject::class_at(&model, 3).unwrap();
    let probe = Occlusion::new().patch(4usize).stride(1usize);
    let whole = probe.run(&class, &input, &Job::new()).unwrap();
    let job = Job::new();
    let job = job.clone().with_sink(Arc::new(Stopper(job.signal.clone())));
    let part = probe.run(&class, &input, &job).unwrap();
    assert!(whole.complete && !part.complete);
    for name in ["probability", "best", "activity"] {
        let (whole, part) = (to_f32(&whole.data[name]).unwrap(), to_f32(&part.data[name]).unwrap());
        assert!(whole.iter().all(|v| v.is_finite()), "{name}");
        let found: Vec<usize> = (0..part.len()).filter(|i| !part[*i].is_nan()).collect();
        assert!(!found.is_empty() && found.len() < whole.len(), "{name}: {}", found.len());
        assert!(found.iter().all(|i| part[*i] == whole[*i]), "{name}");
    }
}
