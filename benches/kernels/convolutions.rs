//! Convolutions of every form, forward and back, and what is fused with them.

use crate::{Case, Work, noise};
use convscope::graph::op::{Activation, Padding, Pool, Window};
use convscope::kernels::channels_last::{DenseRows, DepthwiseRows, Expansion, Maps, means, times};
use convscope::kernels::conv::{Clamp, Combine, ConvMaxPool, Epilogue, Geometry, PrepackedConv, WinogradTile};
use convscope::kernels::pool::PoolGeometry;

/// Convolutions over square maps: channels in and out, height and width of the input, kernel, stride, padding, groups.
const SQUARE: &[(&str, [usize; 7])] = &[
    ("first layer, resnet 7x7/2 3-64 at 224", [3, 64, 224, 7, 2, 3, 1]),
    ("first layer, squeezenet 3x3/2 3-64 at 224", [3, 64, 224, 3, 2, 0, 1]),
    ("patches, vit 16x16/16 3-768 at 224", [3, 768, 224, 16, 16, 0, 1]),
    ("3x3, resnet 64-64 at 56", [64, 64, 56, 3, 1, 1, 1]),
    ("3x3, resnet 256-256 at 14", [256, 256, 14, 3, 1, 1, 1]),
    ("3x3, resnet 512-512 at 7", [512, 512, 7, 3, 1, 1, 1]),
    ("3x3, resnet /2 64-128 at 56", [64, 128, 56, 3, 2, 1, 1]),
    ("3x3, vgg 256-256 at 56", [256, 256, 56, 3, 1, 1, 1]),
    ("3x3, squeezenet 16-64 at 55", [16, 64, 55, 3, 1, 1, 1]),
    ("3x3, squeezenet 32-128 at 27", [32, 128, 27, 3, 1, 1, 1]),
    ("3x3, squeezenet 64-256 at 13", [64, 256, 13, 3, 1, 1, 1]),
    ("5x5, inception 48-64 at 35", [48, 64, 35, 5, 1, 2, 1]),
    ("1x1, squeezenet 16-64 at 55", [16, 64, 55, 1, 1, 0, 1]),
    ("1x1, squeezenet 512-1000 at 13", [512, 1000, 13, 1, 1, 0, 1]),
    ("1x1, mobilenet 16-96 at 112", [16, 96, 112, 1, 1, 0, 1]),
    ("1x1, mobilenet 384-64 at 14", [384, 64, 14, 1, 1, 0, 1]),
    ("1x1, mobilenet 960-160 at 7", [960, 160, 7, 1, 1, 0, 1]),
    ("1x1, resnet /2 256-512 at 56", [256, 512, 56, 1, 2, 0, 1]),
    ("1x1, squeeze-and-excitation 240-10 at 1", [240, 10, 1, 1, 1, 0, 1]),
    ("2x2, convnext /2 96-192 at 56", [96, 192, 56, 2, 2, 0, 1]),
    ("depthwise, mobilenet 3x3 32 at 112", [32, 32, 112, 3, 1, 1, 32]),
    ("depthwise, mobilenet 3x3/2 96 at 112", [96, 96, 112, 3, 2, 1, 96]),
    ("depthwise, mobilenet 3x3 384 at 14", [384, 384, 14, 3, 1, 1, 384]),
    ("depthwise, mobilenet 3x3 960 at 7", [960, 960, 7, 3, 1, 1, 960]),
    ("depthwise, efficientnet 5x5 240 at 28", [240, 240, 28, 5, 1, 2, 240]),
    ("depthwise, efficientnet 5x5/2 672 at 14", [672, 672, 14, 5, 2, 2, 672]),
    ("depthwise, convnext 7x7 96 at 56", [96, 96, 56, 7, 1, 3, 96]),
    ("depthwise, convnext 7x7 768 at 7", [768, 768, 7, 7, 1, 3, 768]),
    ("grouped, resnext 3x3 128-128 in 32 at 56", [128, 128, 56, 3, 1, 1, 32]),
    ("grouped, regnet 3x3 104-104 in 13 at 28", [104, 104, 28, 3, 1, 1, 13]),
    ("grouped, shufflenet 1x1 120-120 in 3 at 28", [120, 120, 28, 1, 1, 0, 3]),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, [channels, out, size, kernel, stride, padding, groups]) in SQUARE {
        let window = Window::square(*kernel, *stride, *padding);
        cases.extend(directions(name, geometry([*channels, *out], [*size; 2], window, *groups)));
    }
    let dilated = Window { dilation: [2; 2], ..Window::square(3, 1, 2) };
    cases.extend(directions("dilated, deeplab 3x3 256-256 at 28", geometry([256, 256], [28; 2], dilated, 1)));
    let dilated = geometry([384, 384], [28; 2], dilated, 384);
    cases.extend(directions("depthwise and dilated, 3x3 384 at 28", dilated));
    // A signal is a plane of one row.
    let row = |kernel: usize, stride: usize| {
        let padding = Padding { top: 0, left: kernel / 2, bottom: 0, right: kernel / 2 };
        Window { kernel: [1, kernel], stride: [1, stride], dilation: [1; 2], padding }
    };
    cases.extend(directions("1-D, 9 64-64 at 4096", geometry([64, 64], [1, 4096], row(9, 1), 1)));
    cases.extend(directions("1-D, first layer 15/2 1-32 at 16000", geometry([1, 32], [1, 16000], row(15, 2), 1)));
    cases.extend(directions("1-D, depthwise 31 256 at 1000", geometry([256, 256], [1, 1000], row(31, 1), 256)));
    // The slices of a volume are stacked into one plane, the taps along the depth are channels.
    let padding = Padding { top: 0, left: 1, bottom: 2, right: 1 };
    let stacked = Window { padding, ..Window::square(3, 1, 0) };
    cases.extend(directions("3-D, 3x3x3 16-32 at 32", geometry([3 * 16, 32], [32 * 34, 32], stacked, 1)));
    cases.extend(fused());
    cases
}

fn geometry([channels, out]: [usize; 2], input: [usize; 2], window: Window, groups: usize) -> Geometry {
    let Window { kernel, stride, dilation, padding } = window;
    let pads = [padding.top + padding.bottom, padding.left + padding.right];
    let output = [0, 1].map(|a| (input[a] + pads[a] - dilation[a] * (kernel[a] - 1) - 1) / stride[a] + 1);
    Geometry { batch: 1, channels, input, out, output, groups, window }
}

/// Values of the input, the weights and the output for a batch, and operations.
fn sizes(g: &Geometry, batch: usize) -> ([usize; 3], usize) {
    let area = |size: [usize; 2]| size[0] * size[1];
    let weights = g.out * g.channels / g.groups * area(g.window.kernel);
    let input = batch * g.channels * area(g.input);
    ([input, weights, batch * g.out * area(g.output)], 2 * batch * area(g.output) * weights)
}

/// Forward, where Winograd suits the layer also by plain sums, and the input gradient. All count the operations of plain sums.
fn directions(name: &str, g: Geometry) -> Vec<Case> {
    let pack = move |tile: WinogradTile| PrepackedConv::forward(&g, &noise(sizes(&g, 1).0[1]), None, tile);
    let forward = |way: &str, tile: WinogradTile| {
        Case::new(format!("{name}, {way}"), move |batch| run(&g, batch, pack(tile), Epilogue::NONE))
    };
    let mut cases = vec![forward("forward", WinogradTile::F2)];
    if pack(WinogradTile::F2).largest_tile() != WinogradTile::None {
        cases.push(forward("forward by plain sums", WinogradTile::None));
    }
    cases.push(Case::new(format!("{name}, gradient"), move |batch| {
        let ([input, weights, output], operations) = sizes(&g, batch);
        let packed = PrepackedConv::input_gradient(&g, &noise(weights), None, WinogradTile::F4);
        let dy = noise(output);
        Work::new(operations, input + weights + output, move || packed.run(batch, &dy, &Epilogue::NONE))
    }));
    cases
}

fn run(g: &Geometry, batch: usize, packed: PrepackedConv, epilogue: Epilogue<'static>) -> Work {
    let ([input, weights, output], operations) = sizes(g, batch);
    let x = noise(input);
    Work::new(operations, input + weights + output, move || packed.run(batch, &x, &epilogue))
}

fn fused() -> Vec<Case> {
    let packed = |g: &Geometry| PrepackedConv::forward(g, &noise(sizes(g, 1).0[1]), None, WinogradTile::F2);
    let mut cases = Vec::new();
    let project = geometry([240, 40], [28; 2], Window::square(1, 1, 0), 1);
    cases.push(Case::new("1x1 and SiLU, efficientnet 240-40 at 28, forward", move |batch| {
        let activation = Some(Activation::Silu);
        run(&project, batch, packed(&project), Epilogue { activation, ..Epilogue::NONE })
    }));
    cases.push(Case::new("1x1 of a gated input, efficientnet 240-40 at 28, forward", move |batch| {
        let ([input, weights, output], operations) = sizes(&project, batch);
        let (packed, x, gate) = (packed(&project), noise(input), noise(batch * project.channels));
        let values = input + weights + output + gate.len();
        Work::new(operations + input, values, move || packed.run_gated(batch, &x, &gate, &Epilogue::NONE))
    }));
    let layer = geometry([64, 64], [56; 2], Window::square(3, 1, 1), 1);
    cases.push(Case::new("3x3, sum and rectifier, resnet 64-64 at 56, forward", move |batch| {
        let ([input, weights, output], operations) = sizes(&layer, batch);
        let (packed, x, residual) = (packed(&layer), noise(input), noise(output));
        Work::new(operations + 2 * output, input + weights + 2 * output, move || {
            let clamp = Clamp::Relu;
            packed.run(batch, &x, &Epilogue { residual: &residual, combine: Combine::Add, clamp, ..Epilogue::NONE })
        })
    }));
    let first = geometry([3, 64], [224; 2], Window::square(7, 2, 3), 1);
    cases.push(Case::new("first layer and max pool, resnet 3-64 at 224, forward", move |batch| {
        let ([input, weights, output], operations) = sizes(&first, batch);
        let pool = Pool { window: Window::square(3, 2, 1), ceil: false, count_padding: false };
        let pool = PoolGeometry { input: first.output, output: [56; 2], pool };
        let (packed, x) = (packed(&first), noise(input));
        // A maximum of nine values for each four outputs of the layer.
        Work::new(operations + output / 4 * 9, input + weights + output / 4, move || {
            ConvMaxPool { prepacked: &packed, conv: first, pool }.run(batch, &x, Clamp::Relu)
        })
    }));
    cases.extend(channels_last());
    cases
}

/// Layers of maps whose channels are neighbours.
fn channels_last() -> Vec<Case> {
    let mut cases = Vec::new();
    let rows = |g: &Geometry| DenseRows::new(g, &noise(g.out * g.channels), None);
    let depthwise = |g: &Geometry| DepthwiseRows::new(g, &noise(g.out * g.window.kernel[0] * g.window.kernel[1]), None);
    for (name, channels, size, kernel) in [
        ("mobilenet 3x3 384 at 14", 384, 14, 3),
        ("mobilenet 3x3 960 at 7", 960, 7, 3),
        ("efficientnet 5x5 672 at 14", 672, 14, 5),
        ("convnext 7x7 96 at 56", 96, 56, 7),
        ("convnext 7x7 768 at 7", 768, 7, 7),
    ] {
        let g = geometry([channels, channels], [size; 2], Window::square(kernel, 1, kernel / 2), channels);
        cases.push(Case::new(format!("depthwise, channels last, {name}, forward"), move |batch| {
            let ([input, weights, output], operations) = sizes(&g, batch);
            let (layer, x) = (depthwise(&g), noise(input));
            Work::new(operations, input + weights + output, move || {
                layer.run(batch, Maps::ChannelsLast(&x), None, &Epilogue::NONE)
            })
        }));
    }
    let narrow = geometry([672, 112], [14; 2], Window::square(1, 1, 0), 1);
    cases.push(Case::new("1x1, channels last, efficientnet 672-112 at 14, forward", move |batch| {
        let ([input, weights, output], operations) = sizes(&narrow, batch);
        let (layer, x) = (rows(&narrow), noise(input));
        Work::new(operations, input + weights + output, move || {
            layer.run(batch, Maps::ChannelsLast(&x), &Epilogue::NONE)
        })
    }));
    let expand = geometry([16, 96], [112; 2], Window::square(1, 1, 0), 1);
    let deep = geometry([96, 96], [112; 2], Window::square(3, 2, 1), 96);
    cases.push(Case::new("1x1 and depthwise, channels last, mobilenet 16-96 at 112 3x3/2, forward", move |batch| {
        let (([input, first, _], one), ([_, second, output], other)) = (sizes(&expand, batch), sizes(&deep, batch));
        let (wide, deep, x) = (rows(&expand), depthwise(&deep), noise(input));
        Work::new(one + other, input + first + second + output, move || {
            let expansion = Some(Expansion { dense: &wide, epilogue: Epilogue::NONE });
            deep.run(batch, Maps::ChannelsLast(&x), expansion, &Epilogue::NONE)
        })
    }));
    let first = geometry([3, 32], [224; 2], Window::square(3, 2, 1), 1);
    cases.push(Case::new("first layer, channels last, mobilenet 3-32 at 224, forward", move |batch| {
        let ([input, weights, output], operations) = sizes(&first, batch);
        let layer = DenseRows::new(&first, &noise(32 * 27), None);
        let x = noise(input);
        Work::new(operations, input + weights + output, move || layer.run(batch, Maps::Planes(&x), &Epilogue::NONE))
    }));
    let (positions, channels) = (14 * 14, 672);
    let maps = move |batch: usize| (noise(batch * positions * channels), noise(batch * channels));
    cases.push(Case::new("means over positions, channels last, 672 at 14", move |batch| {
        let (x, _) = maps(batch);
        Work::new(x.len(), x.len(), move || means(&x, positions, channels, true))
    }));
    cases.push(Case::new("gate, channels last, 672 at 14", move |batch| {
        let (x, gate) = maps(batch);
        Work::new(x.len(), 2 * x.len(), move || times(&x, positions, channels, &gate))
    }));
    cases
}
