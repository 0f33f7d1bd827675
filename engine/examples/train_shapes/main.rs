//! Trains the embedded `shapes` net on generated images and writes its weights.
//!
//! `cargo run --release -p convscope-engine --example train_shapes [-- --steps N --out FILE]`
//!
//! Every step sees images that no step saw before, all following from one seed; the net is the same for every number
//! of threads. Batch normalisation is used while training and folded into the convolutions at the end.

// The embedded weights were trained with the functions of the C library.
#![allow(clippy::disallowed_methods)]

mod layers;

use convscope_engine::data::preprocess::{Preprocess, Resize, Size};
use convscope_engine::data::{Attribute, Dataset, Image};
use convscope_engine::model::Card;
use convscope_engine::model::Class;
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::shapes::net as net_file;
use convscope_engine::shapes::{SIDE, ShapeClass};
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::{Context, Error, Model, Result, Tensor};
use layers::{Block, Head, MaxPool, Param};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

const BATCH: usize = 64;
const PEAK_RATE: f64 = 4e-3;
const TRAIN_SEED: u64 = 1;
const TEST_SEED: u64 = 2;
const TEST_IMAGES: usize = 10_000;
const DECAY: f32 = 0.02;
/// The first filters are smooth: what noise they start with has time to fade.
const FIRST_DECAY: f32 = 0.3;

fn main() -> Result<()> {
    let (steps, out) = arguments()?;
    let preprocess = preprocess()?;
    let data = shapes(&Shapes { n: steps * BATCH, seed: TRAIN_SEED, ..Shapes::new() })?;
    let mut net = Net::new();
    let begun = Instant::now();
    let (mut loss, mut right) = (0.0, 0);
    for step in 0..steps {
        let (x, labels) = batch(&data, &preprocess, step * BATCH)?;
        let done = net.learn(x, &labels, rate(step, steps), step as i32 + 1);
        (loss, right) = (loss + done.0, right + done.1);
        if (step + 1) % 100 == 0 {
            let accuracy = right as f64 / (100 * BATCH) as f64;
            println!("{:5} loss {:.4} accuracy {accuracy:.4} {:.0?}", step + 1, loss / 100.0, begun.elapsed());
            (loss, right) = (0.0, 0);
        }
    }
    let card = Card {
        name: "shapes".into(),
        source: "trained by examples/train_shapes on generated images".into(),
        license: "MIT OR Apache-2.0".into(),
        classes: ShapeClass::ALL.iter().map(|c| Class::from_label(c.name())).collect(),
        preprocess: Some(preprocess),
        ..Card::default()
    };
    let bytes = net_file::encode(&net.folded(), &card)?;
    println!("{} bytes", bytes.len());
    let size = Size { height: SIDE, width: SIDE };
    report(&net_file::decode(&bytes, size)?)?;
    std::fs::write(&out, bytes).map_err(|e| Error::io(&out, &e))
}

fn arguments() -> Result<(usize, PathBuf)> {
    let mut out = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/shapes.safetensors"));
    let mut steps = 2000;
    let mut words = std::env::args().skip(1);
    while let (Some(option), value) = (words.next(), words.next()) {
        let value = value.ok_or_else(|| Error::value(format!("`{option}` without a value")))?;
        match option.as_str() {
            "--out" => out = value.into(),
            "--steps" => steps = value.parse().map_err(|_| Error::value(format!("`{value}` is no number of steps")))?,
            _ => return Err(Error::value(format!("no option `{option}`")).hint("--steps N, --out FILE")),
        }
    }
    Ok((steps, out))
}

/// Pixels to about -2 to 2.
fn preprocess() -> Result<Preprocess> {
    let mut preprocess = Preprocess::new(SIDE, 3)?;
    preprocess.resize = Resize::Direct;
    preprocess.mean = vec![0.5; 3];
    preprocess.std = vec![0.25; 3];
    Ok(preprocess)
}

/// A short rise, then half a cosine down to nothing.
fn rate(step: usize, steps: usize) -> f32 {
    let (t, rise) = (step as f64 / steps as f64, 0.06);
    let fall = 0.5 + 0.5 * (std::f64::consts::PI * ((t - rise) / (1.0 - rise)).max(0.0)).cos();
    (PEAK_RATE * (t / rise + 0.02).min(1.0) * fall) as f32
}

fn batch(data: &Dataset, preprocess: &Preprocess, from: usize) -> Result<(Vec<f32>, Vec<usize>)> {
    let one = |index: usize| -> Result<(Vec<f32>, usize)> {
        let image = data.get(index)?;
        Ok((preprocess.apply(&image)?.flatten_all()?.to_vec1::<f32>()?, class_index(&image)?))
    };
    let all = (from..from + BATCH).into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
    let labels = all.iter().map(|(_, label)| *label).collect();
    Ok((all.into_iter().flat_map(|(x, _)| x).collect(), labels))
}

fn class_index(image: &Image) -> Result<usize> {
    let label = image.label().unwrap_or_default();
    let found = ShapeClass::ALL.iter().position(|c| c.name() == label);
    found.ok_or_else(|| Error::internal("a shape without a class"))
}

/// The net while it learns: five blocks, three pools, a head.
struct Net {
    blocks: [Block; 5],
    pools: [MaxPool; 3],
    head: Head,
}

impl Net {
    fn new() -> Self {
        let mut stream = Stream::new(TRAIN_SEED, "shapes net");
        let [a, b, c, d, e] = net_file::CHANNELS;
        let sides = net_file::SIDES;
        let mut block =
            |channels: [usize; 2], kernel, side, decay| Block::new(&mut stream, channels, kernel, side, decay);
        let blocks = [
            block([3, a], net_file::FIRST_KERNEL, sides[0], FIRST_DECAY),
            block([a, b], 3, sides[1], DECAY),
            block([b, c], 3, sides[2], DECAY),
            block([c, d], 3, sides[2], DECAY),
            block([d, e], 3, sides[3], DECAY),
        ];
        let pools = [MaxPool::new(sides[0]), MaxPool::new(sides[1]), MaxPool::new(sides[2])];
        Net { blocks, pools, head: Head::new(&mut stream, e, ShapeClass::ALL.len(), DECAY) }
    }

    /// One step on a batch: its mean cross-entropy and how many it had right.
    fn learn(&mut self, x: Vec<f32>, labels: &[usize], rate: f32, t: i32) -> (f64, usize) {
        let n = labels.len();
        let [b1, b2, b3, b4, b5] = &mut self.blocks;
        let [p1, p2, p3] = &mut self.pools;
        let x = p1.forward(b1.forward(n, x));
        let x = p2.forward(b2.forward(n, x));
        let x = b3.forward(n, x).to_vec();
        let x = p3.forward(b4.forward(n, x));
        let y = self.head.forward(n, b5.forward(n, x));
        let (loss, right, dy) = cross_entropy(&y, labels);
        let last = net_file::SIDES[3];
        let d = self.head.backward(n, &dy, last * last);
        let back = |block: &mut Block, d: Vec<f32>| block.backward(n, d, true).unwrap_or_default();
        let d = back(b5, d);
        let d = back(b4, p3.backward(&d));
        let d = back(b3, d);
        let d = back(b2, p2.backward(&d));
        b1.backward(n, p1.backward(&d), false);
        self.parameters().for_each(|p| p.step(rate, t));
        (loss, right)
    }

    fn parameters(&mut self) -> impl Iterator<Item = &mut Param> {
        let blocks = self.blocks.iter_mut().flat_map(|b| [&mut b.weight, &mut b.scale, &mut b.shift]);
        blocks.chain([&mut self.head.weight, &mut self.head.bias])
    }

    /// The parameters of the net without batch normalisation.
    fn folded(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let mut all = BTreeMap::new();
        for (i, block) in self.blocks.iter().enumerate() {
            let ([from, to], k) = (block.channels, block.kernel);
            let (weight, bias) = block.folded();
            all.insert(format!("conv{}.weight", i + 1), (vec![to, from, k, k], weight));
            all.insert(format!("conv{}.bias", i + 1), (vec![to], bias));
        }
        let (classes, channels) = (self.head.bias.value.len(), net_file::CHANNELS[4]);
        all.insert("fc.weight".into(), (vec![classes, channels], self.head.weight.value.clone()));
        all.insert("fc.bias".into(), (vec![classes], self.head.bias.value.clone()));
        all
    }
}

/// Mean -ln p of the labels, how many have the largest score, and the gradient by the scores.
fn cross_entropy(y: &[f32], labels: &[usize]) -> (f64, usize, Vec<f32>) {
    let (n, classes) = (labels.len(), y.len() / labels.len());
    let (mut loss, mut right, mut dy) = (0.0, 0, Vec::with_capacity(y.len()));
    for (row, label) in y.chunks(classes).zip(labels) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row.iter().map(|v| f64::from(v - top).exp()).collect();
        let total: f64 = powers.iter().sum();
        loss -= (powers[*label] / total).ln() / n as f64;
        right += usize::from(row[*label] == top);
        dy.extend(powers.iter().enumerate().map(|(c, p)| {
            let target = f64::from(u8::from(c == *label));
            ((p / total - target) / n as f64) as f32
        }));
    }
    (loss, right, dy)
}

/// Accuracy on images of another seed: overall, by class, and by third of each attribute.
fn report(model: &Model) -> Result<()> {
    let data = shapes(&Shapes { n: TEST_IMAGES, seed: TEST_SEED, ..Shapes::new() })?;
    let preprocess = model.card().preprocess()?;
    let output = model.graph().output();
    let judge = |from: usize| -> Result<Vec<(Image, bool)>> {
        let images = (from..from + BATCH.min(TEST_IMAGES - from)).map(|i| data.get(i)).collect::<Result<Vec<_>>>()?;
        let inputs = images.iter().map(|i| preprocess.apply(i)).collect::<Result<Vec<_>>>()?;
        let trace = model.forward(&Tensor::stack(&inputs, 0)?, &Tap::Only(vec![output])).context(|| "the test")?;
        let guesses = trace.get(output)?.argmax(1)?.to_vec1::<u32>()?;
        images.into_iter().zip(guesses).map(|(i, g)| class_index(&i).map(|c| (i, c == g as usize))).collect()
    };
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for from in (0..TEST_IMAGES).step_by(BATCH) {
        for (image, right) in judge(from)? {
            let mut names = vec!["all".to_string(), format!("class {}", image.label().unwrap_or_default())];
            for (name, value) in image.attributes() {
                match (name.as_str(), value) {
                    ("texture" | "background", Attribute::Text(t)) => names.push(format!("{name} {t}")),
                    ("scale", Attribute::Number(v)) => names.push(format!("{name} {:.1}", v)),
                    ("contrast", Attribute::Number(v)) => names.push(format!("{name} {:.1}", v)),
                    ("clutter", Attribute::Number(v)) => names.push(format!("{name} {:.0}", (4.0 * v).floor())),
                    _ => {}
                }
            }
            for name in names {
                let group = groups.entry(name).or_default();
                *group = (group.0 + usize::from(right), group.1 + 1);
            }
        }
    }
    for (name, (right, n)) in groups {
        println!("{name:20} {:.4} of {n}", right as f64 / n as f64);
    }
    Ok(())
}
