//! Incremental passes against full ones: every operation, strides, paddings, residual sums and concatenations, with windows
//! at corners, borders and in the middle.

#![allow(clippy::unwrap_used)]

use crate::builders::Net;
use convscope_engine::graph::op::{Activation, Binary, Border, Conv, Padding, Pool, Reduction, Window};
use convscope_engine::graph::op::{Alignment, Sampling};
use convscope_engine::graph::{NodeId, Op};
use convscope_engine::pass::{Incremental, Tap};
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f32};
use convscope_engine::{DType, Model, Tensor};

const CLOSE: f32 = 1e-5;

fn model(net: Net) -> Model {
    net.model().to_dtype(DType::F32).unwrap()
}

fn noise(name: &str, dims: &[usize]) -> Tensor {
    let stream = Stream::new(11, name);
    tensor((0..dims.iter().product::<usize>()).map(|i| stream.normal_at(i as u64) as f32).collect(), dims).unwrap()
}

/// The base input with `tile` at `start`.
fn changed(base: &Tensor, start: [usize; 2], tile: &Tensor) -> Tensor {
    let [_, c, height, width] = base.dims()[..] else { panic!() };
    let [_, h, w] = tile.dims()[..] else { panic!() };
    let (mut all, tile) = (to_f32(base).unwrap(), to_f32(tile).unwrap());
    for k in 0..c {
        for y in 0..h {
            let to = (k * height + start[0] + y) * width + start[1];
            all[to..to + w].copy_from_slice(&tile[(k * h + y) * w..][..w]);
        }
    }
    tensor(all, base.dims()).unwrap()
}

/// Windows of 5 x 4 at corners, borders and in the middle give what full passes give, at every node asked for at once.
fn check(name: &str, model: &Model) {
    let shape = model.input_shape();
    let (c, height, width) = (shape[0], shape[1], shape[2]);
    let (h, w) = (5, 4);
    let base = noise("base", &[1, c, height, width]);
    let starts =
        [[0, 0], [height - h, width - w], [0, width - w], [height - h, 0], [height / 2, width / 2], [1, 3], [7, 2]];
    let tiles = noise("tiles", &[starts.len(), c, h, w]);
    let every: Vec<NodeId> = model.layers().collect();
    for goals in [vec![model.graph().output()], every] {
        let pass = Incremental::new(model, &base, &goals).unwrap();
        let trace = pass.run(&starts, tiles.clone()).unwrap().trace(&goals).unwrap();
        for (n, start) in starts.iter().enumerate() {
            let x = changed(&base, *start, &tiles.get(n).unwrap());
            let full = model.forward(&x, &Tap::All).unwrap();
            for id in &goals {
                let (ours, wanted) = (
                    to_f32(&trace.get(*id).unwrap().get(n).unwrap()).unwrap(),
                    to_f32(full.get(*id).unwrap()).unwrap(),
                );
                let largest = wanted.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                for (i, (a, b)) in ours.iter().zip(&wanted).enumerate() {
                    let node = &model.graph().node(*id).name;
                    assert!((a - b).abs() <= CLOSE * largest, "{name}, `{node}`, window {n}, value {i}: {a} for {b}");
                }
            }
        }
    }
}

fn pool(window: Window, ceil: bool, count_padding: bool) -> Pool {
    Pool { window, ceil, count_padding }
}

fn window(
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    [top, left, bottom, right]: [usize; 4],
) -> Window {
    Window { kernel, stride, dilation, padding: Padding { top, left, bottom, right } }
}

#[test]
fn convolutions_of_all_geometries() {
    let cases = [
        ("3x3", window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]), 1),
        ("strided", window([3, 3], [2, 2], [1, 1], [1, 1, 1, 1]), 1),
        ("asymmetric", window([3, 2], [2, 1], [1, 2], [0, 1, 2, 0]), 1),
        ("dilated", window([3, 3], [1, 1], [2, 3], [2, 3, 2, 3]), 1),
        ("pointwise strided", window([1, 1], [2, 3], [1, 1], [0; 4]), 1),
        ("grouped", window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]), 2),
        ("depthwise", window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]), 4),
        ("depthwise strided", window([5, 3], [2, 2], [1, 1], [2, 0, 2, 1]), 4),
    ];
    for (name, window, groups) in cases {
        let mut net = Net::new(&[4, 29, 26], 0.3);
        net.conv("a", 8, window, groups);
        net.relu("a/relu");
        net.conv("b", 6, Window::square(3, 1, 1), 1);
        check(name, &model(net));
    }
}

#[test]
fn pools_of_all_kinds() {
    for (name, op) in [
        ("max", Op::MaxPool(pool(Window::square(3, 2, 1), false, false))),
        ("max ceil", Op::MaxPool(pool(Window::square(3, 2, 0), true, false))),
        ("average", Op::AvgPool(pool(Window::square(3, 2, 1), false, false))),
        ("average counting padding", Op::AvgPool(pool(Window::square(3, 1, 1), false, true))),
        ("average ceil", Op::AvgPool(pool(Window::square(2, 2, 0), true, false))),
    ] {
        let mut net = Net::new(&[3, 29, 26], 0.3);
        net.conv("a", 5, Window::square(3, 1, 1), 1);
        net.then("pool", op);
        net.conv("b", 4, Window::square(1, 1, 0), 1);
        check(name, &model(net));
    }
}

#[test]
fn residual_sums_and_concatenations() {
    let mut net = Net::new(&[3, 32, 30], 0.2);
    net.conv("stem", 6, Window::square(3, 1, 1), 1);
    net.batch_norm("stem/bn");
    let skip = net.relu("stem/relu");
    net.conv("a", 6, Window::square(3, 1, 1), 1);
    net.batch_norm("a/bn");
    net.relu("a/relu");
    net.conv("b", 6, Window::square(3, 1, 1), 1);
    let b = net.batch_norm("b/bn");
    net.add("sum", Op::Binary(Binary::Add), &[b, skip]);
    let relu = net.relu("sum/relu");
    net.conv("down", 6, Window::square(1, 2, 0), 1);
    let down = net.batch_norm("down/bn");
    net.at = relu;
    net.conv("c", 6, Window::square(3, 2, 1), 1);
    let c = net.batch_norm("c/bn");
    net.add("sum2", Op::Binary(Binary::Add), &[c, down]);
    let wide = net.relu("sum2/relu");
    net.conv("left", 4, Window::square(1, 1, 0), 1);
    let left = net.relu("left/relu");
    net.at = wide;
    net.conv("right", 4, Window::square(3, 1, 1), 1);
    let right = net.relu("right/relu");
    net.add("concat", Op::Concat { axis: 0 }, &[left, right]);
    net.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: false });
    let weight = net.random("fc", &[5, 8], 0.5, 0.0);
    net.then("fc", Op::Linear { weight, bias: None });
    net.then("softmax", Op::Softmax { axis: 0, log: false });
    check("residual", &model(net));
}

#[test]
fn other_operations() {
    let local = |name: &str, op: Op| {
        let mut net = Net::new(&[3, 28, 26], 0.2);
        net.conv("a", 6, Window::square(3, 1, 1), 1);
        net.then("op", op);
        net.conv("b", 4, Window::square(3, 2, 1), 1);
        check(name, &model(net));
    };
    local("response", Op::LocalResponseNorm { size: 5, alpha: 1e-2, beta: 0.75, bias: 1.0 });
    local("silu", Op::Activation(Activation::Silu));
    local("relu6", Op::Activation(Activation::RELU6));
    local("select", Op::Select { axis: 0, index: [0, 2, 4].into() });
    local("rows", Op::Select { axis: 1, index: (0..20).collect() });
    local("softmax", Op::Softmax { axis: 0, log: true });
    local("sum of a map", Op::Reduce { reduction: Reduction::Sum, axes: vec![0], keep: true });
    let pads = vec![(0, 0), (2, 1), (1, 2)];
    local("pad", Op::Pad { pads, border: Border::Constant(0.0) });
    let up =
        Op::Resize { size: [56, 52], scale: [2.0, 2.0], sampling: Sampling::Linear, alignment: Alignment::HalfPixel };
    local("resize", up);
}

#[test]
fn gates_and_transposed_convolutions() {
    // Squeeze and excitation: a factor from the whole map changes all of it.
    let mut net = Net::new(&[3, 28, 26], 0.2);
    let map = net.conv("a", 6, Window::square(3, 1, 1), 1);
    net.then("mean", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true });
    net.conv("fc", 6, Window::square(1, 1, 0), 1);
    let gate = net.then("sigmoid", Op::Activation(Activation::Sigmoid));
    net.add("scaled", Op::Binary(Binary::Mul), &[map, gate]);
    net.conv("b", 4, Window::square(3, 1, 1), 1);
    check("gate", &model(net));

    let mut net = Net::new(&[3, 20, 18], 0.2);
    net.conv("a", 4, Window::square(3, 2, 1), 1);
    let weight = net.random("up", &[4, 3, 3, 3], 0.3, 0.0);
    let conv = Conv { weight, bias: None, window: Window::square(3, 2, 1), groups: 1 };
    net.then("up", Op::ConvTranspose2d(conv, [1, 1]));
    net.relu("relu");
    check("transposed", &model(net));

    // A constant that broadcasts.
    let mut net = Net::new(&[3, 24, 22], 0.2);
    let map = net.conv("a", 4, Window::square(3, 1, 1), 1);
    let slope = net.random("slope", &[4, 1, 1], 0.2, 0.1);
    let slope = net.add("slope", Op::Constant(slope), &[]);
    net.add("prelu", Op::Binary(Binary::Prelu), &[map, slope]);
    net.conv("b", 3, Window::square(3, 1, 1), 1);
    check("prelu", &model(net));
}

#[test]
fn a_change_in_a_corner_reaches_less() {
    let mut net = Net::new(&[3, 24, 22], 0.2);
    net.conv("a", 4, Window::square(3, 1, 1), 1);
    net.conv("b", 4, Window::square(5, 1, 2), 1);
    let model = model(net);
    let pass = Incremental::new(&model, &noise("base", &[1, 3, 24, 22]), &[model.graph().output()]).unwrap();
    // 6 + 10 rows and 6 + 10 columns in the middle; in a corner one and three fewer each way.
    assert_eq!(pass.reach([10, 9], [4, 4]), [16, 16]);
    assert_eq!(pass.reach([0, 0], [4, 4]), [12, 12]);
    assert_eq!(pass.reach([20, 9], [4, 4]), [12, 16]);
}

#[test]
fn windows_outside_the_input_are_refused() {
    let mut net = Net::new(&[3, 16, 16], 0.2);
    net.conv("a", 4, Window::square(3, 1, 1), 1);
    let model = model(net);
    let pass = Incremental::new(&model, &noise("base", &[1, 3, 16, 16]), &[model.graph().output()]).unwrap();
    let error = pass.run(&[[14, 0]], noise("tiles", &[1, 3, 4, 4])).err().unwrap();
    assert!(error.to_string().contains("1 windows of 3 x 4 x 4"), "{error}");
}

#[test]
fn a_part_of_the_windows_has_the_bits_that_it_has_among_all() {
    let mut net = Net::new(&[3, 40, 40], 0.3);
    net.conv("a", 32, Window::square(3, 1, 1), 1);
    net.relu("a/relu");
    net.then("pool", Op::MaxPool(pool(Window::square(2, 2, 0), false, false)));
    net.conv("b", 32, Window::square(3, 1, 1), 1);
    let model = model(net);
    let goals = [model.graph().output()];
    let pass = Incremental::new(&model, &noise("base", &[1, 3, 40, 40]), &goals).unwrap();
    // Windows at the border reach fewer values than those in the middle.
    let starts = [[0, 0], [36, 36], [0, 12], [13, 17], [36, 0]];
    let tiles = noise("tiles", &[5, 3, 4, 4]);
    let bits = |t: &Tensor| to_f32(t).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let all = bits(pass.run(&starts, tiles.clone()).unwrap().trace(&goals).unwrap().get(goals[0]).unwrap());
    let mut parts = Vec::new();
    for part in [0..1, 1..3, 3..5] {
        let own = tiles.narrow(0, part.start, part.len()).unwrap().contiguous().unwrap();
        parts.extend(bits(pass.run_part(&starts, part, own).unwrap().trace(&goals).unwrap().get(goals[0]).unwrap()));
    }
    assert_eq!(all, parts);
    assert!(pass.run_part(&starts, 4..6, tiles.narrow(0, 0, 2).unwrap().contiguous().unwrap()).is_err());
}
