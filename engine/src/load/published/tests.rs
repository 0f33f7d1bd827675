//! The cards against the nets that their papers define, built here layer by layer with weights of zeros: the shapes of all layers
//! follow from the input's by the operations alone, and a net is taken for no other.
#![allow(clippy::unwrap_used)]

use super::{NETS, Photos, Published, named};
use crate::data::preprocess::{Order, Resize};
use crate::graph::op::{Activation, Binary, Conv, Pool, Window};
use crate::graph::{Builder, NodeId, Op};
use crate::model::{Card, Model};
use candle_core::{DType, Device, Tensor};

/// A net as it grows.
struct Net {
    b: Builder,
    at: NodeId,
    count: usize,
}

impl Net {
    fn new(input: &str, side: usize) -> Self {
        let mut b = Builder::new();
        let at = b.input(input, vec![3, side, side]).unwrap();
        Net { b, at, count: 0 }
    }

    fn zeros(&mut self, dims: &[usize]) -> crate::graph::ParamId {
        self.count += 1;
        self.b.param(&format!("w{}", self.count), Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap()).unwrap()
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.count += 1;
        self.at = self.b.add(&format!("node{}", self.count), op, inputs).unwrap();
        self.at
    }

    fn then(&mut self, op: Op) -> NodeId {
        self.add(op, &[self.at])
    }

    fn conv(&mut self, out: usize, [kernel, stride, pad]: [usize; 3], groups: usize) -> NodeId {
        let channels = self.b.shape(self.at)[0];
        let weight = self.zeros(&[out, channels / groups, kernel, kernel]);
        self.then(Op::Conv2d(Conv { weight, bias: None, window: Window::square(kernel, stride, pad), groups }))
    }

    fn relu(&mut self) {
        self.then(Op::Activation(Activation::Relu));
    }

    /// A pool whose sizes are rounded up, as Caffe's are.
    fn pool(&mut self, kernel: usize, stride: usize) {
        let window = Window::square(kernel, stride, 0);
        self.then(Op::MaxPool(Pool { window, ceil: true, count_padding: false }));
    }

    fn response_norm(&mut self) {
        self.then(Op::LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 });
    }

    /// Linear layers with rectifiers between them.
    fn linear(&mut self, sizes: &[usize]) {
        let n = self.b.shape(self.at).iter().product();
        if self.b.shape(self.at).len() > 1 {
            self.then(Op::Reshape(vec![n]));
        }
        for (k, out) in sizes.iter().enumerate() {
            let inputs = self.b.shape(self.at)[0];
            let weight = self.zeros(&[*out, inputs]);
            self.then(Op::Linear { weight, bias: None });
            if k + 1 < sizes.len() {
                self.relu();
            }
        }
    }

    fn softmax(&mut self) {
        self.then(Op::Softmax { axis: 0, log: false });
    }

    fn model(self, output: &str) -> Model {
        let (graph, weights) = self.b.finish(self.at).unwrap();
        Model::with_outputs(vec![(output.to_string(), graph)], weights, Card::named("net")).unwrap()
    }
}

/// Krizhevsky et al. 2012 in Caffe's versions: normalisations before their pools, or behind them.
fn alexnet(norm_first: bool, classes: usize, output: &str) -> Model {
    let mut net = Net::new("data_0", 227);
    for (out, shape, groups, pooled) in [
        (96, [11, 4, 0], 1, true),
        (256, [5, 1, 2], 2, true),
        (384, [3, 1, 1], 1, false),
        (384, [3, 1, 1], 2, false),
        (256, [3, 1, 1], 2, false),
    ] {
        net.conv(out, shape, groups);
        net.relu();
        if pooled && norm_first {
            net.response_norm();
        }
        if pooled {
            net.pool(3, 2);
        }
        if pooled && !norm_first {
            net.response_norm();
        }
    }
    net.pool(3, 2);
    net.linear(&[4096, 4096, classes]);
    if classes == 1000 {
        net.softmax();
    }
    net.model(output)
}

/// Zeiler and Fergus 2013, figure 3, with 512 maps in its last three convolutions, and 1,024 units before the last layer.
fn zfnet() -> Model {
    let mut net = Net::new("gpu_0/data_0", 224);
    for (out, shape) in [(96, [7, 2, 1]), (256, [5, 2, 0])] {
        net.conv(out, shape, 1);
        net.relu();
        net.response_norm();
        net.pool(3, 2);
    }
    for _ in 0..3 {
        net.conv(512, [3, 1, 1], 1);
        net.relu();
    }
    net.pool(3, 2);
    net.linear(&[4096, 1024, 1000]);
    net.softmax();
    net.model("gpu_0/softmax_1")
}

/// Simonyan and Zisserman 2014, table 1, configurations D and E.
fn vgg(convs: [usize; 5], [input, output]: [&str; 2]) -> Model {
    let mut net = Net::new(input, 224);
    for (out, n) in [64, 128, 256, 512, 512].into_iter().zip(convs) {
        for _ in 0..n {
            net.conv(out, [3, 1, 1], 1);
            net.relu();
        }
        net.pool(2, 2);
    }
    net.linear(&[4096, 4096, 1000]);
    net.model(output)
}

/// He et al. 2015, table 1: three, four, six and three bottlenecks.
fn resnet50(output: &str) -> Model {
    let mut net = Net::new("data", 224);
    net.conv(64, [7, 2, 3], 1);
    net.relu();
    net.pool(3, 2);
    for (stage, (inner, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let from = net.at;
            let skip = if block == 0 { net.conv(4 * inner, [1, stride, 0], 1) } else { from };
            net.at = from;
            net.conv(inner, [1, stride, 0], 1);
            net.relu();
            net.conv(inner, [3, 1, 1], 1);
            net.relu();
            let end = net.conv(4 * inner, [1, 1, 0], 1);
            net.add(Op::Binary(Binary::Add), &[end, skip]);
            net.relu();
        }
    }
    let axes = vec![1, 2];
    net.then(Op::Reduce { reduction: crate::graph::op::Reduction::Mean, axes, keep: false });
    net.linear(&[1000]);
    net.model(output)
}

/// A net's name, and the net: one after the other, since some have more than a hundred million weights.
type Twin = (&'static str, fn() -> Model);

const TWINS: [Twin; 9] = [
    ("bvlcalexnet", || alexnet(true, 1000, "prob_1")),
    ("caffenet", || alexnet(false, 1000, "prob_1")),
    ("rcnn-ilsvrc13", || alexnet(false, 200, "fc-rcnn_1")),
    ("zfnet512", zfnet),
    ("vgg19-caffe2", || vgg([2, 2, 4, 4, 4], ["data_0", "prob_1"])),
    ("vgg16", || vgg([2, 2, 3, 3, 3], ["data", "vgg0_dense2_fwd"])),
    ("vgg19", || vgg([2, 2, 4, 4, 4], ["data", "vgg0_dense2_fwd"])),
    ("resnet50-v1", || resnet50("resnetv17_dense0_fwd")),
    ("resnet50-v2", || resnet50("resnetv24_dense0_fwd")),
];

#[test]
fn each_net_is_its_own_card_s_and_no_other_s() {
    for (name, make) in TWINS {
        let net = make();
        let found: Vec<&str> = NETS.iter().filter(|card| card.unlike(&net).is_none()).map(|card| card.name).collect();
        assert_eq!(found, [name], "{:?}", named(name).unwrap().unlike(&net));
        assert_eq!(net.output_len(), if name == "rcnn-ilsvrc13" { 200 } else { 1000 });
        let card: &Published = named(name).unwrap();
        let photos = card.preprocess(&net).unwrap();
        match card.photos {
            Photos::Caffe(_) => {
                assert_eq!((photos.order, photos.resize), (Order::Bgr, Resize::Direct), "{name}");
                assert_eq!((photos.scale, &photos.mean[..]), (1.0, &[103.939, 116.779, 123.68][..]), "{name}");
            }
            Photos::ImageNet => {
                assert_eq!((photos.order, photos.resize), (Order::Rgb, Resize::Short(256)), "{name}");
                assert_eq!(
                    (&photos.mean[..], &photos.std[..]),
                    (&[0.485, 0.456, 0.406][..], &[0.229, 0.224, 0.225][..])
                );
            }
            Photos::Digits => panic!("{name} takes photos"),
        }
    }
}

#[test]
fn what_differs_is_named() {
    let card = named("bvlcalexnet").unwrap();
    let said = |net: &Model| card.unlike(net).unwrap();
    assert_eq!(
        said(&alexnet(false, 1000, "prob_1")),
        "a response normalisation of 96 channels before its pool is missing"
    );
    assert_eq!(said(&alexnet(true, 200, "prob_1")), "a linear layer of 200 x 4096 is not that net's");
    assert_eq!(said(&alexnet(true, 1000, "prob_2")), "its output is `prob_2`, not `prob_1`");
    assert_eq!(said(&resnet50("x")), "its input is `data`, not `data_0`");
}
