//! Small nets with random weights, built node by node, and what the tests of attributions ask of them.

#![allow(clippy::unwrap_used)]

use convscope_engine::data::{Preprocess, Resize, Size};
use convscope_engine::graph::op::{Activation, Binary, Conv, Pool, Reduction, Window};
use convscope_engine::graph::{Builder, NodeId, Op, ParamId};
use convscope_engine::model::{Card, Class};
use convscope_engine::params::{Params, Spec, Value, unknown_option};
use convscope_engine::probe::{About, Described, Family, Probe, ProbeArg, Takes};
use convscope_engine::random::Stream;
use convscope_engine::show::{Part, Table};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Result, Subject, Tensor};
use std::fmt;
use std::sync::Arc;

/// A net as it grows; `bias` scales all biases and shifts.
pub struct Net {
    pub b: Builder,
    pub bias: f64,
    pub at: NodeId,
}

impl Net {
    pub fn new(shape: &[usize], bias: f64) -> Self {
        let mut b = Builder::new();
        let at = b.input("x", shape.to_vec()).unwrap();
        Net { b, bias, at }
    }

    pub fn random(&mut self, name: &str, dims: &[usize], scale: f64, offset: f64) -> ParamId {
        let stream = Stream::new(3, name);
        let n: usize = dims.iter().product();
        let values = (0..n).map(|i| offset + scale * stream.normal_at(i as u64)).collect::<Vec<f64>>();
        self.b.param(name, tensor(values, dims).unwrap()).unwrap()
    }

    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.at = self.b.add(name, op, inputs).unwrap();
        self.at
    }

    pub fn then(&mut self, name: &str, op: Op) -> NodeId {
        self.add(name, op, &[self.at])
    }

    pub fn relu(&mut self, name: &str) -> NodeId {
        self.then(name, Op::Activation(Activation::Relu))
    }

    pub fn conv(&mut self, name: &str, out: usize, window: Window, groups: usize) -> NodeId {
        let channels = self.b.shape(self.at)[0];
        let dims = [out, channels / groups, window.kernel[0], window.kernel[1]];
        let fan = dims[1..].iter().product::<usize>() as f64;
        let weight = self.random(&format!("{name}.weight"), &dims, (2.0 / fan).sqrt(), 0.0);
        let bias = self.random(&format!("{name}.bias"), &[out], self.bias, 0.0);
        let bias = (self.bias != 0.0).then_some(bias);
        self.then(name, Op::Conv2d(Conv { weight, bias, window, groups }))
    }

    pub fn batch_norm(&mut self, name: &str) -> NodeId {
        let c = self.b.shape(self.at)[0];
        let op = Op::BatchNorm {
            scale: self.random(&format!("{name}.scale"), &[c], 0.1, 1.0),
            shift: self.random(&format!("{name}.shift"), &[c], self.bias, 0.0),
            mean: self.random(&format!("{name}.mean"), &[c], self.bias, 0.0),
            var: self.random(&format!("{name}.var"), &[c], 0.05, 1.0),
            eps: 1e-5,
        };
        self.then(name, op)
    }

    pub fn linear(&mut self, name: &str, out: usize) -> NodeId {
        let n = *self.b.shape(self.at).last().unwrap();
        let weight = self.random(&format!("{name}.weight"), &[out, n], (1.0 / n as f64).sqrt(), 0.0);
        let bias = self.random(&format!("{name}.bias"), &[out], self.bias, 0.0);
        let bias = (self.bias != 0.0).then_some(bias);
        self.then(name, Op::Linear { weight, bias })
    }

    /// Global average, then a linear layer.
    pub fn head(&mut self, classes: usize) -> NodeId {
        let axes = vec![1, 2];
        self.then("pool", Op::Reduce { reduction: Reduction::Mean, axes, keep: false });
        self.linear("fc", classes)
    }

    pub fn model(self) -> Model {
        let at = self.at;
        let (graph, weights) = self.b.finish(at).unwrap();
        Model::new(graph, weights, Card::named("net"))
    }
}

pub fn pool(k: usize, s: usize, p: usize) -> Pool {
    Pool { window: Window::square(k, s, p), ceil: false, count_padding: false }
}

/// An identity and a projected shortcut, batch normalisation after every convolution, an overlapping max pool.
pub fn residual(bias: f64) -> Model {
    let mut n = Net::new(&[3, 17, 15], bias);
    n.conv("stem", 8, Window::square(3, 1, 1), 1);
    n.batch_norm("stem/bn");
    n.relu("stem/relu");
    n.then("stem/pool", Op::MaxPool(pool(3, 2, 1)));
    for (block, out, stride) in [("a", 8, 1), ("b", 12, 2)] {
        let from = n.at;
        n.conv(&format!("{block}/1"), out, Window::square(3, stride, 1), 1);
        n.batch_norm(&format!("{block}/bn1"));
        n.relu(&format!("{block}/relu1"));
        n.conv(&format!("{block}/2"), out, Window::square(3, 1, 1), 1);
        let long = n.batch_norm(&format!("{block}/bn2"));
        let short = if stride == 1 {
            from
        } else {
            n.at = from;
            n.conv(&format!("{block}/short"), out, Window::square(1, stride, 0), 1);
            n.batch_norm(&format!("{block}/bn3"))
        };
        n.add(&format!("{block}/join"), Op::Binary(Binary::Add), &[long, short]);
        n.relu(&format!("{block}/relu2"));
    }
    n.head(5);
    n.model()
}

pub fn input(model: &Model, name: &str) -> Tensor {
    let shape = model.input_shape();
    let stream = Stream::new(11, name);
    let n: usize = shape.iter().product();
    tensor((0..n).map(|i| stream.normal_at(i as u64)).collect::<Vec<f64>>(), &[&[1], shape].concat()).unwrap()
}

pub fn number(a: &Artifact, name: &str) -> f64 {
    to_f64(a.array_named(name).unwrap()).unwrap()[0]
}

pub fn sum(a: &Artifact) -> f64 {
    to_f64(a.value().unwrap()).unwrap().iter().sum()
}

pub fn explain(probe: &dyn Probe, on: &Subject, x: &Tensor) -> Artifact {
    probe.run(on, &Input::Tensor(x.clone()), &Job::new()).unwrap()
}

/// A card for photos of `height` x `width` that are taken as they are: pixels from 0 to 1, then (v - 0.5) / 0.25.
pub fn card(classes: usize, channels: usize, [height, width]: [usize; 2]) -> Card {
    let mut preprocess = Preprocess::new(Size { height, width }, channels).unwrap();
    preprocess.resize = Resize::Direct;
    preprocess.mean = vec![0.5; channels];
    preprocess.std = vec![0.25; channels];
    let classes = (0..classes).map(|i| Class::from_label(&format!("class{i}"))).collect();
    Card { preprocess: Some(preprocess), classes, ..Card::named("net") }
}

/// The values of a net's parameter.
pub fn param(model: &Model, name: &str) -> Vec<f64> {
    to_f64(model.weights().iter().find(|(n, _)| *n == name).unwrap().1).unwrap()
}

/// The values of an artifact's array.
pub fn array(a: &Artifact, name: &str) -> Vec<f64> {
    to_f64(a.array_named(name).unwrap()).unwrap()
}

/// The first table of an artifact whose title begins with `title`.
pub fn table<'a>(a: &'a Artifact, title: &str) -> &'a Table {
    let found = a.parts.iter().find_map(|p| match p {
        Part::Table(t, table) if t.starts_with(title) => Some(table),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no table `{title}`"))
}

/// The numbers of a table's column; what is none is NaN.
pub fn column(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().iter().map(|c| c.number().unwrap_or(f64::NAN)).collect()
}

/// What a planted probe makes of a subject and inputs N x C x H x W: N maps.
type Maps = dyn Fn(&Subject, &Tensor) -> Tensor + Send + Sync;

/// A probe whose maps a test makes up: for the probes that judge maps.
#[derive(Clone)]
pub struct Planted(pub Arc<Maps>);

impl Planted {
    pub fn by(maps: impl Fn(&Subject, &Tensor) -> Tensor + Send + Sync + 'static) -> ProbeArg {
        ProbeArg(Arc::new(Planted(Arc::new(maps))))
    }

    /// The same map for every input.
    pub fn map(values: Vec<f64>, dims: &[usize]) -> ProbeArg {
        let map = tensor(values, &[&[1], dims].concat()).unwrap();
        Planted::by(move |_, _| map.clone())
    }
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("planted")
    }
}

impl Params for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }
    fn doc(&self) -> &'static str {
        "a map made up by a test"
    }
    fn specs(&self) -> Vec<Spec> {
        Vec::new()
    }
    fn set(&mut self, name: &str, _: &Value) -> Result<()> {
        Err(unknown_option("planted", name, &[]))
    }
}

impl Described for Planted {
    fn about(&self) -> About {
        About { family: Family::Where, source: "a test", subjects: "any", input: Takes::One, example: "none" }
    }
}

impl Probe for Planted {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let x = input.prepared(on.model()?)?.x;
        Ok(Artifact::new("planted").array("planted", self.attribute(on, &x, job)?.squeeze(0)?))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _: &Job) -> Result<Tensor> {
        Ok((self.0)(target, x))
    }
}
