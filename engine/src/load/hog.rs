//! Histograms of oriented gradients as a net: a descriptor without training, for every probe that takes a net or a layer.
//!
//! Dalal, Triggs 2005; as layers of a net as Mahendran and Vedaldi 2014, section 3, have it, so that it is inverted by the loop that
//! inverts other codes.

use crate::data::preprocess::{Preprocess, Size};
use crate::error::{Error, Result};
use crate::graph::builder::Builder;
use crate::graph::op::{Activation, Binary, Border, Conv, Elementary, Op, Window};
use crate::graph::{Graph, NodeId, Weights};
use crate::model::{Card, Model, OutputKind};
use crate::tensor::tensor;
use std::f64::consts::TAU;

/// Directions of gradients that are told apart, over the whole circle.
pub const DIRECTIONS: usize = 8;
/// Rows and columns of a cell, px.
pub const CELL: usize = 8;
/// The usual input's side, px.
const USUAL_SIDE: usize = 64;
/// Added to a gradient's squared length: far below one grey level of 255.
const GRADIENT_EPSILON: f64 = 1e-8;
/// Added to the squared length of a block of cells.
const BLOCK_EPSILON: f64 = 1e-3;
/// What a block's values are clipped at.
const BLOCK_CLIP: f64 = 0.2;
/// The largest cosine whose angle is computed: at 1 the angle has no derivative.
const LARGEST_COSINE: f64 = 1.0 - 1e-6;

/// The net for inputs of `size` (64 x 64 unless given), RGB from -1/2 to 1/2. With g the gradient of luma at a pixel, x(+1) - x(-1) along both
/// axes:
///
/// - `orientations`: |g| max(0, 1 - K / 2 pi arccos <g, u_k> / |g|) for each of K = 8 directions u_k;
/// - `cells`: their sums over cells of 8 px, weighted bilinearly by the distance from the cell's middle;
/// - `hog`: blocks of 2 x 2 cells at length 1, clipped at 0.2, at length 1 again; the block's place is the position.
///
/// # Errors
/// Where the size is no multiple of 8, or smaller than a block.
pub fn net(size: Option<Size>) -> Result<Model> {
    let size = size.unwrap_or(Size { height: USUAL_SIDE, width: USUAL_SIDE });
    if [size.height, size.width].iter().any(|v| v % CELL != 0 || *v < 2 * CELL) {
        return Err(Error::value(format!(
            "`hog` has cells of {CELL} px; {} x {} px do not divide into them",
            size.height, size.width
        ))
        .hint("give a multiple of 8 from 16 up: load_model(\"hog\", #{ size: 128 })"));
    }
    let (graph, weights) = build(size)?;
    // About grey, so that the priors of images by ascent pull towards grey; differences of pixels stay the same.
    let preprocess = Preprocess { mean: vec![0.5; 3], ..Preprocess::new(size, 3)? };
    let card = Card {
        preprocess: Some(preprocess),
        output: Some(OutputKind::Value),
        license: "MIT OR Apache-2.0".into(),
        ..Card::named("hog")
    };
    Ok(Model::new(graph, weights, card))
}

fn build(size: Size) -> Result<(Graph, Weights)> {
    let (mut net, k) = (Builder::new(), DIRECTIONS);
    let input = net.input("input", vec![3, size.height, size.width])?;
    let luma = conv(&mut net, "luma", input, (vec![0.299, 0.587, 0.114], &[1, 3, 1, 1]), (1, 0, 1))?;
    let pads = vec![(0, 0), (1, 1), (1, 1)];
    let border = net.add("border", Op::Pad { pads, border: Border::Edge }, &[luma])?;
    let differences = vec![0., 0., 0., -1., 0., 1., 0., 0., 0., 0., -1., 0., 0., 0., 0., 0., 1., 0.];
    let gradients = conv(&mut net, "gradients", border, (differences, &[2, 1, 3, 3]), (1, 0, 1))?;
    let strength = length(&mut net, "strength", gradients, GRADIENT_EPSILON)?;
    let unit = |i: usize| TAU * (i / 2) as f64 / k as f64;
    let units = (0..2 * k).map(|i| if i % 2 == 0 { libm::cos(unit(i)) } else { libm::sin(unit(i)) }).collect();
    let along = conv(&mut net, "directions", gradients, (units, &[k, 2, 1, 1]), (1, 0, 1))?;
    let cosines = net.add("cosines", Op::Binary(Binary::Div), &[along, strength])?;
    let held = Activation::Clip { low: -LARGEST_COSINE, high: LARGEST_COSINE };
    let held = net.add("cosines/clip", Op::Activation(held), &[cosines])?;
    let angles = net.add("angles", Op::Activation(Activation::Elementary(Elementary::Acos)), &[held])?;
    let share = Activation::HardSigmoid { slope: -(k as f64) / TAU, offset: 1.0 };
    let shares = net.add("shares", Op::Activation(share), &[angles])?;
    let bins = net.add("orientations", Op::Binary(Binary::Mul), &[shares, strength])?;
    let tent: Vec<f64> = (0..2 * CELL).map(|i| 1.0 - (i as f64 + 0.5 - CELL as f64).abs() / CELL as f64).collect();
    let tents: Vec<f64> = tent.iter().flat_map(|a| tent.iter().map(move |b| a * b)).collect();
    let dims = [k, 1, 2 * CELL, 2 * CELL];
    let cells = conv(&mut net, "cells", bins, (tents.repeat(k), &dims), (CELL, CELL / 2, k))?;
    let corners: Vec<f64> = (0..16).map(|i| f64::from(u8::from(i / 4 == i % 4))).collect();
    let blocks = conv(&mut net, "blocks", cells, (corners.repeat(k), &[4 * k, 1, 2, 2]), (1, 0, k))?;
    let once = scaled(&mut net, "blocks/scaled", blocks)?;
    let clipped =
        net.add("blocks/clipped", Op::Activation(Activation::Clip { low: 0.0, high: BLOCK_CLIP }), &[once])?;
    let hog = scaled(&mut net, "hog", clipped)?;
    net.finish(hog)
}

/// A convolution without bias: its values and their dimensions; stride, padding and groups.
fn conv(
    net: &mut Builder,
    name: &str,
    from: NodeId,
    (values, dims): (Vec<f64>, &[usize; 4]),
    (stride, padding, groups): (usize, usize, usize),
) -> Result<NodeId> {
    let weight = net.param(&format!("{name}.weight"), floats(values, dims)?)?;
    let window = Window::square(dims[3], stride, padding);
    net.add(name, Op::Conv2d(Conv { weight, bias: None, window, groups }), &[from])
}

/// sqrt(sum over channels of x^2 + `more`).
fn length(net: &mut Builder, name: &str, from: NodeId, more: f64) -> Result<NodeId> {
    let channels = net.shape(from)[0];
    let squares = net.add(&format!("{name}/squares"), Op::Binary(Binary::Mul), &[from, from])?;
    let weight = net.param(&format!("{name}.weight"), floats(vec![1.0; channels], &[1, channels, 1, 1])?)?;
    let bias = Some(net.param(&format!("{name}.bias"), floats(vec![more], &[1])?)?);
    let sum = Op::Conv2d(Conv { weight, bias, window: Window::square(1, 1, 0), groups: 1 });
    let sum = net.add(&format!("{name}/sum"), sum, &[squares])?;
    net.add(name, Op::Activation(Activation::Sqrt), &[sum])
}

/// The values over their length at each position.
fn scaled(net: &mut Builder, name: &str, from: NodeId) -> Result<NodeId> {
    let length = length(net, &format!("{name}/length"), from, BLOCK_EPSILON)?;
    net.add(name, Op::Binary(Binary::Div), &[from, length])
}

fn floats(values: Vec<f64>, dims: &[usize]) -> Result<candle_core::Tensor> {
    tensor(values.into_iter().map(|v| v as f32).collect::<Vec<f32>>(), dims)
}
