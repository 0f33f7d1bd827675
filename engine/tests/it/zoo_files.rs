//! Random-weight twins of the ONNX model zoo's files (opset 7, a batch of one, weights listed among the inputs, names as Caffe's and
//! CNTK's exporters wrote them): each gets its card by its graph alone, photos become what the papers' nets were trained on, and the
//! small one computes what plain loops compute. The larger nets' layers are tested beside `load/published`.
#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, Node, node};
use convscope_engine::Model;
use convscope_engine::data::{Image, Order};
use convscope_engine::load::options::Labels;
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};

/// A file as it grows: the value at its end, and how many channels that has.
struct Twin {
    graph: Graph,
    at: String,
    channels: usize,
    nodes: usize,
}

impl Twin {
    fn new(input: &str, shape: [i64; 3]) -> Self {
        let graph = Graph::new(&[1, shape[0], shape[1], shape[2]]).called(input);
        Twin { graph, at: input.into(), channels: shape[0] as usize, nodes: 0 }
    }

    /// A weight with values of about `scale`, which is an input, too.
    fn weight(&mut self, name: &str, dims: &[i64], scale: f64) {
        let values = values(name, dims.iter().product::<i64>() as usize, scale);
        self.with(|graph| graph.floats(name, dims, &values).input(name, dims));
    }

    fn with(&mut self, change: impl FnOnce(Graph) -> Graph) {
        let graph = std::mem::replace(&mut self.graph, Graph::new(&[]));
        self.graph = change(graph);
    }

    /// A node on `inputs`, whose result is called after the operator unless `out` names it.
    fn node(&mut self, op: &str, inputs: &[&str], out: Option<&str>, attributes: impl FnOnce(Node) -> Node) -> String {
        self.nodes += 1;
        let out = out.map_or_else(|| format!("{}_{}", op.to_lowercase(), self.nodes), str::to_string);
        let made = attributes(node(op, inputs, &[&out]));
        self.with(|graph| graph.node(made));
        self.at.clone_from(&out);
        out
    }

    /// A convolution and a rectifier.
    fn conv(&mut self, name: &str, out: usize, kernel: i64, stride: i64, pad: i64) -> String {
        let (weight, bias, from) = (format!("{name}_w_0"), format!("{name}_b_0"), self.at.clone());
        let dims = [out as i64, self.channels as i64, kernel, kernel];
        self.weight(&weight, &dims, (2.0 / dims[1..].iter().product::<i64>() as f64).sqrt());
        self.weight(&bias, &[out as i64], 0.01);
        let to = format!("{name}_1");
        let attributes =
            |n: Node| n.ints("strides", &[stride; 2]).ints("pads", &[pad; 4]).ints("kernel_shape", &[kernel; 2]);
        let at = self.node("Conv", &[&from, &weight, &bias], Some(&to), attributes);
        self.channels = out;
        self.node("Relu", &[&at], Some(&format!("{name}_2")), |n| n)
    }

    /// A pool of 3 x 3, padded right and below where Caffe rounds up.
    fn pool(&mut self, stride: i64, pads: [i64; 4]) -> String {
        let from = self.at.clone();
        let attributes = |n: Node| n.ints("strides", &[stride; 2]).ints("pads", &pads).ints("kernel_shape", &[3, 3]);
        self.node("MaxPool", &[&from], None, attributes)
    }

    fn response_norm(&mut self) {
        let from = self.at.clone();
        let attributes = |n: Node| n.int("size", 5).float("alpha", 1e-4).float("beta", 0.75).float("bias", 1.0);
        self.node("LRN", &[&from], None, attributes);
    }

    fn concat(&mut self, parts: &[String], channels: usize) {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.node("Concat", &parts, None, |n| n.int("axis", 1));
        self.channels = channels;
    }

    /// What is computed next begins at `at`, with so many channels.
    fn back(&mut self, at: &str, channels: usize) {
        self.at = at.to_string();
        self.channels = channels;
    }

    /// Dropout as it was exported: with its mask.
    fn dropout(&mut self) {
        let (from, out) = (self.at.clone(), format!("{}_kept", self.at));
        let mask = format!("_{out}_mask");
        let made = node("Dropout", &[&from], &[&out, &mask]).float("ratio", 0.5);
        self.with(|graph| graph.node(made));
        self.at = out;
    }

    fn file(self, output: &str) -> Vec<u8> {
        self.graph.file(output, 7)
    }
}

/// Values between -`scale` and `scale` that look random and are always the same.
fn values(name: &str, n: usize, scale: f64) -> Vec<f32> {
    let stream = Stream::new(7, name);
    (0..n).map(|i| (scale * (2.0 * stream.uniform_at(i as u64) - 1.0)) as f32).collect()
}

/// CNTK's digits (mnist-7.onnx): convolutions without biases, additions behind them, a reshaped matrix.
pub fn mnist() -> Vec<u8> {
    let mut twin = Twin::new("Input3", [1, 28, 28]);
    for (name, dims) in mnist_weights() {
        twin.weight(name, dims, 0.3);
    }
    let pool = |k: i64| move |n: Node| n.ints("kernel_shape", &[k; 2]).ints("strides", &[k; 2]).ints("pads", &[0; 4]);
    let conv = |n: Node| {
        n.ints("kernel_shape", &[5, 5]).ints("strides", &[1, 1]).text("auto_pad", "SAME_UPPER").int("group", 1)
    };
    twin.node("Conv", &["Input3", "Parameter5"], Some("Convolution28_Output_0"), conv);
    twin.node("Add", &["Convolution28_Output_0", "Parameter6"], Some("Plus30_Output_0"), |n| n);
    twin.node("Relu", &["Plus30_Output_0"], Some("ReLU32_Output_0"), |n| n);
    twin.node("MaxPool", &["ReLU32_Output_0"], Some("Pooling66_Output_0"), pool(2));
    twin.node("Conv", &["Pooling66_Output_0", "Parameter87"], Some("Convolution110_Output_0"), conv);
    twin.node("Add", &["Convolution110_Output_0", "Parameter88"], Some("Plus112_Output_0"), |n| n);
    twin.node("Relu", &["Plus112_Output_0"], Some("ReLU114_Output_0"), |n| n);
    twin.node("MaxPool", &["ReLU114_Output_0"], Some("Pooling160_Output_0"), pool(3));
    twin.with(|graph| {
        graph.ints("Pooling160_Output_0_reshape0_shape", &[1, 256]).ints("Parameter193_reshape1_shape", &[256, 10])
    });
    let rows = ["Pooling160_Output_0", "Pooling160_Output_0_reshape0_shape"];
    twin.node("Reshape", &rows, Some("Pooling160_Output_0_reshape0"), |n| n);
    twin.node("Reshape", &["Parameter193", "Parameter193_reshape1_shape"], Some("Parameter193_reshape1"), |n| n);
    twin.node("MatMul", &["Pooling160_Output_0_reshape0", "Parameter193_reshape1"], Some("Times212_Output_0"), |n| n);
    twin.node("Add", &["Times212_Output_0", "Parameter194"], Some("Plus214_Output_0"), |n| n);
    twin.file("Plus214_Output_0")
}

fn mnist_weights() -> [(&'static str, &'static [i64]); 6] {
    [
        ("Parameter5", &[8, 1, 5, 5]),
        ("Parameter6", &[8, 1, 1]),
        ("Parameter87", &[16, 8, 5, 5]),
        ("Parameter88", &[16, 1, 1]),
        ("Parameter193", &[16, 4, 4, 10]),
        ("Parameter194", &[1, 10]),
    ]
}

/// Caffe's SqueezeNet, whose softmax closes over maps of one place.
fn squeezenet() -> Vec<u8> {
    let mut twin = Twin::new("data_0", [3, 224, 224]);
    twin.conv("conv1", 64, 3, 2, 0);
    twin.pool(2, [0; 4]);
    for (i, (squeeze, expand)) in
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)].into_iter().enumerate()
    {
        let name = format!("fire{}", i + 2);
        let small = twin.conv(&format!("{name}/squeeze1x1"), squeeze, 1, 1, 0);
        let one = twin.conv(&format!("{name}/expand1x1"), expand, 1, 1, 0);
        twin.back(&small, squeeze);
        let three = twin.conv(&format!("{name}/expand3x3"), expand, 3, 1, 1);
        twin.concat(&[one, three], 2 * expand);
        if i == 1 || i == 3 {
            twin.pool(2, [0, 0, 1, 1]);
        }
    }
    twin.dropout();
    let at = twin.conv("conv10", 1000, 1, 1, 0);
    let pooled = twin.node("GlobalAveragePool", &[&at], Some("pool10_1"), |n| n);
    twin.node("Softmax", &[&pooled], Some("softmaxout_1"), |n| n);
    twin.file("softmaxout_1")
}

/// Caffe's GoogLeNet: nine inception modules (Szegedy et al. 2014, table 1), a reshape and a matrix product at its end.
fn googlenet() -> Vec<u8> {
    let mut twin = Twin::new("data_0", [3, 224, 224]);
    twin.conv("conv1/7x7_s2", 64, 7, 2, 3);
    twin.pool(2, [0, 0, 1, 1]);
    twin.response_norm();
    twin.conv("conv2/3x3_reduce", 64, 1, 1, 0);
    twin.conv("conv2/3x3", 192, 3, 1, 1);
    twin.response_norm();
    twin.pool(2, [0, 0, 1, 1]);
    let modules = [
        ("3a", [64, 96, 128, 16, 32, 32]),
        ("3b", [128, 128, 192, 32, 96, 64]),
        ("4a", [192, 96, 208, 16, 48, 64]),
        ("4b", [160, 112, 224, 24, 64, 64]),
        ("4c", [128, 128, 256, 24, 64, 64]),
        ("4d", [112, 144, 288, 32, 64, 64]),
        ("4e", [256, 160, 320, 32, 128, 128]),
        ("5a", [256, 160, 320, 32, 128, 128]),
        ("5b", [384, 192, 384, 48, 128, 128]),
    ];
    for (module, [one, three_in, three, five_in, five, pooled]) in modules {
        let (from, channels) = (twin.at.clone(), twin.channels);
        let name = |part: &str| format!("inception_{module}/{part}");
        let a = twin.conv(&name("1x1"), one, 1, 1, 0);
        twin.back(&from, channels);
        twin.conv(&name("3x3_reduce"), three_in, 1, 1, 0);
        let b = twin.conv(&name("3x3"), three, 3, 1, 1);
        twin.back(&from, channels);
        twin.conv(&name("5x5_reduce"), five_in, 1, 1, 0);
        let c = twin.conv(&name("5x5"), five, 5, 1, 2);
        twin.back(&from, channels);
        twin.pool(1, [1; 4]);
        let d = twin.conv(&name("pool_proj"), pooled, 1, 1, 0);
        twin.concat(&[a, b, c, d], one + three + five + pooled);
        if module == "3b" || module == "4e" {
            twin.pool(2, [0, 0, 1, 1]);
        }
    }
    let from = twin.at.clone();
    twin.node("AveragePool", &[&from], Some("pool5/7x7_s1_1"), |n| {
        n.ints("kernel_shape", &[7, 7]).ints("strides", &[1, 1])
    });
    twin.dropout();
    let from = twin.at.clone();
    twin.with(|graph| graph.ints("OC2_DUMMY_1", &[1, 1024]));
    let flat = twin.node("Reshape", &[&from, "OC2_DUMMY_1"], Some("OC2_DUMMY_0"), |n| n);
    twin.weight("loss3/classifier_w_0", &[1000, 1024], 0.05);
    twin.weight("loss3/classifier_b_0", &[1000], 0.01);
    let inputs = [flat.as_str(), "loss3/classifier_w_0", "loss3/classifier_b_0"];
    let scores = twin.node("Gemm", &inputs, Some("loss3/classifier_1"), |n| n.int("transB", 1));
    twin.node("Softmax", &[&scores], Some("prob_1"), |n| n.int("axis", 1));
    twin.file("prob_1")
}

fn load(name: &str, bytes: &[u8], options: &LoadOptions) -> Model {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    load_model(name, options, folder.path(), &|_| {}).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A thousand names, so that none are fetched.
fn named() -> LoadOptions {
    let names = (0..1000).map(|i| format!("n{i:08} class {i}, synonym {i}")).collect();
    LoadOptions { labels: Some(Labels::Names(names)), ..LoadOptions::default() }
}

fn is_noted(net: &Model, what: &str) -> bool {
    net.card().notes.iter().any(|n| n.contains(what))
}

/// What a photo of one colour becomes, one value a channel.
fn of_colour(net: &Model, colour: [u8; 3]) -> Vec<f64> {
    let photo = Image::filled(300, 260, colour).unwrap();
    let x = net.card().preprocess().unwrap().apply(&photo).unwrap();
    let plane = x.dims()[1] * x.dims()[2];
    let all = to_f64(&x).unwrap();
    all.chunks(plane)
        .map(|channel| {
            assert!(channel.iter().all(|v| (v - channel[0]).abs() < 1e-4), "one colour stays one");
            channel[0]
        })
        .collect()
}

#[test]
fn files_of_the_zoo_get_the_cards_of_their_graphs() {
    for (name, bytes) in [("squeezenet1.0", squeezenet()), ("googlenet", googlenet())] {
        // Whatever the file is called.
        let net = load("downloaded.onnx", &bytes, &named());
        assert_eq!((net.input_shape(), net.output_len()), (&[3, 224, 224][..], 1000), "{name}");
        assert!(is_noted(&net, &format!("this is `{name}` of the ONNX model zoo")), "{:?}", net.card().notes);
        // Caffe's nets: blue first, from 0 to 255, less the means of ImageNet's channels.
        let x = of_colour(&net, [200, 100, 50]);
        let want = [50.0 - 103.939, 100.0 - 116.779, 200.0 - 123.68];
        assert!(x.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3), "{name}: {x:?}");
        assert_eq!(net.card().preprocess().unwrap().order, Order::Bgr);
        assert_eq!(net.card().class_index("n00000007").unwrap(), 7);
        assert_eq!(net.card().class_index("synonym 7").unwrap(), 7);
        // Layers go by the papers' names, though the file has names for values alone.
        for layer in if name == "googlenet" {
            ["inception_5b/5x5/relu", "loss3/classifier"]
        } else {
            ["fire9/expand3x3/relu", "conv10"]
        } {
            assert!(net.layer(layer).is_ok(), "{name} has no `{layer}`");
        }
        // A class's score is what enters the closing softmax.
        let scores = net.graph().scores();
        assert!(scores != net.graph().output(), "{name}: the softmax is not peeled");
        let plain = load("downloaded.onnx", &bytes, &LoadOptions { card: Some("none".into()), ..named() });
        assert!(!is_noted(&plain, "of the ONNX model zoo") && plain.card().preprocess.is_none(), "{name}");
        let own = LoadOptions { mean: Some(serde_json::from_str("0.5").unwrap()), ..named() };
        let changed = load("downloaded.onnx", &bytes, &own).card().preprocess().unwrap().clone();
        assert_eq!((&changed.mean[..], changed.order), (&[0.5; 3][..], Order::Bgr), "{name}");
    }
}

/// The closing softmax of SqueezeNet is over maps of one place: probabilities are those of the raw scores.
#[test]
fn a_softmax_over_maps_of_one_place_is_peeled() {
    let net = load("squeezenet1.0-7.onnx", &squeezenet(), &named());
    let x = tensor(values("photo", 3 * 224 * 224, 100.0), &[1, 3, 224, 224]).unwrap();
    let scores = net.scores(&x).unwrap().remove(0);
    let probabilities = net.classes_readout().unwrap().probabilities(&scores);
    let (graph, largest) = (net.graph(), scores.iter().copied().fold(f64::MIN, f64::max));
    let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
    let trace = net.forward(&x, &Tap::Only(vec![graph.output()])).unwrap();
    let output = to_f64(trace.get(graph.output()).unwrap()).unwrap();
    assert_eq!((scores.len(), output.len()), (1000, 1000));
    for ((score, probability), own) in scores.iter().zip(&probabilities).zip(output) {
        let want = (score - largest).exp() / sum;
        assert!((probability - want).abs() < 1e-9 && (own - want).abs() < 1e-6, "{probability} {own} {want}");
    }
    assert!(scores.iter().any(|s| *s > 0.0) && scores.iter().any(|s| (s - scores[0]).abs() > 1e-3));
}

/// The digits' net against loops over its definition.
#[test]
fn the_digits_net_computes_what_its_definition_says() {
    let net = load("mnist-7.onnx", &mnist(), &LoadOptions::default());
    assert!(is_noted(&net, "this is `mnist` of the ONNX model zoo"), "{:?}", net.card().notes);
    assert_eq!((net.input_shape(), net.card().class_name(7)), (&[1, 28, 28][..], "7".to_string()));
    assert!((of_colour(&net, [51; 3])[0] - 0.2).abs() < 1e-6, "grey from 0 to 1");
    let w: Vec<Vec<f32>> =
        mnist_weights().iter().map(|(name, dims)| values(name, dims.iter().product::<i64>() as usize, 0.3)).collect();
    let x = values("digit", 28 * 28, 1.0);
    let first = pooled(&convolved(&x, 1, 28, &w[0], &w[1]), 28, 2);
    let second = pooled(&convolved(&first, 8, 14, &w[2], &w[3]), 14, 3);
    assert_eq!(second.len(), 256);
    let want = (0..10).map(|k| {
        let sum: f64 = second.iter().enumerate().map(|(i, v)| f64::from(*v) * f64::from(w[4][i * 10 + k])).sum();
        sum + f64::from(w[5][k])
    });
    let found = net.scores(&tensor(x.clone(), &[1, 1, 28, 28]).unwrap()).unwrap().remove(0);
    let size = found.iter().fold(0f64, |m, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(want) {
        assert!((a - b).abs() < 1e-4 * size, "{a} {b}");
    }
    let probabilities = net.classes_readout().unwrap().probabilities(&found);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9, "digits exclude each other");
}

/// Labels of another net in the same folder do not take the place of its own.
#[test]
fn labels_of_another_net_beside_the_file_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mnist-7.onnx"), mnist()).unwrap();
    for (lines, name, note) in
        [(1000, "7", "the 1000 labels beside the net do not fit its 10 outputs"), (10, "line 7", "labels")]
    {
        let text: String = (0..lines).map(|i| format!("line {i}\n")).collect();
        std::fs::write(folder.path().join("labels.txt"), text).unwrap();
        let net = load_model("mnist-7.onnx", &LoadOptions::default(), folder.path(), &|_| {}).unwrap();
        assert_eq!(net.card().class_name(7), name, "{lines} lines");
        assert!(is_noted(&net, note), "{:?}", net.card().notes);
    }
}

/// 5 x 5 with two zeros around, a bias a map, negative values cut off.
fn convolved(x: &[f32], maps: usize, side: usize, weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let at = |c: usize, y: isize, x_: isize| {
        let inside = |v: isize| (0..side as isize).contains(&v);
        if inside(y) && inside(x_) { f64::from(x[(c * side + y as usize) * side + x_ as usize]) } else { 0.0 }
    };
    let mut out = Vec::with_capacity(bias.len() * side * side);
    for (o, bias) in bias.iter().enumerate() {
        for (y, x_) in (0..side).flat_map(|y| (0..side).map(move |x_| (y, x_))) {
            let mut sum = f64::from(*bias);
            for (c, i, j) in (0..maps).flat_map(|c| (0..5).flat_map(move |i| (0..5).map(move |j| (c, i, j)))) {
                let w = f64::from(weight[((o * maps + c) * 5 + i) * 5 + j]);
                sum += w * at(c, (y + i) as isize - 2, (x_ + j) as isize - 2);
            }
            out.push(sum.max(0.0) as f32);
        }
    }
    out
}

/// The largest value of windows of `k` x `k` without overlap; what is left over at the end is left out.
fn pooled(x: &[f32], side: usize, k: usize) -> Vec<f32> {
    let (maps, out) = (x.len() / (side * side), side / k);
    let mut all = Vec::new();
    for (c, y, x_) in (0..maps).flat_map(|c| (0..out).flat_map(move |y| (0..out).map(move |x_| (c, y, x_)))) {
        let window = (0..k).flat_map(|i| (0..k).map(move |j| (i, j)));
        let value = |(i, j): (usize, usize)| x[(c * side + y * k + i) * side + x_ * k + j];
        all.push(window.map(value).fold(f32::MIN, f32::max));
    }
    all
}

/// A name alone proves nothing, and a card can be taken all the same.
#[test]
fn a_file_that_has_only_the_name_gets_no_card() {
    let other = |maps: i64| {
        let graph = Graph::new(&[1, 1, 28, 28]).called("Input3");
        let weight = values("w", (maps * 25) as usize, 0.3);
        let graph = graph.floats("w", &[maps, 1, 5, 5], &weight);
        let graph = graph.node(node("Conv", &["Input3", "w"], &["maps"]).ints("kernel_shape", &[5, 5]));
        let graph = graph.node(node("GlobalAveragePool", &["maps"], &["pooled"]));
        graph.node(node("Flatten", &["pooled"], &["Plus214_Output_0"])).file("Plus214_Output_0", 7)
    };
    let net = load("mnist-7.onnx", &other(10), &LoadOptions::default());
    let why = "the file is called as the model zoo's `mnist`, but is not that net";
    assert!(is_noted(&net, why) && is_noted(&net, "card: \"mnist\""), "{:?}", net.card().notes);
    assert!(net.card().preprocess.is_none() && net.card().classes.is_empty());
    let taken = load("digits.onnx", &other(10), &LoadOptions { card: Some("mnist".into()), ..LoadOptions::default() });
    assert!(is_noted(&taken, "card: that of the model zoo's `mnist`, as asked for"), "{:?}", taken.card().notes);
    assert_eq!(taken.card().class_name(3), "3");
    let unknown = LoadOptions { card: Some("alexnet".into()), ..LoadOptions::default() };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("d.onnx"), other(10)).unwrap();
    let error = load_model("d.onnx", &unknown, folder.path(), &|_| {}).unwrap_err();
    assert!(error.message.contains("no card `alexnet`") && error.hint.unwrap().contains("bvlcalexnet"));
}
