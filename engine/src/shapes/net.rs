//! The embedded net `shapes`: five convolutions, 16 to 64 channels, trained on the generated images of
//! [`crate::shapes::shapes`] by `examples/train_shapes`.
//!
//! It is small and fast and needs no download, so tests and first examples use it. Its layers suit teaching: 7 x 7 filters
//! first, overlapping pools, a spatial mean before the linear layer. The file is safetensors; its metadata `card` is the
//! net's [`Card`] as JSON.

use crate::data::preprocess::Size;
use crate::error::{Context, Error, Result};
use crate::graph::NodeId;
use crate::graph::Weights;
use crate::graph::builder::Builder;
use crate::graph::op::{Activation, Conv, Op, Pool, Reduction, Window};
use crate::model::{Card, Model, OutputKind};
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// Channels of the five convolutions.
pub const CHANNELS: [usize; 5] = [16, 32, 48, 64, 64];
/// Rows and columns before the first pool and after each of the three.
pub const SIDES: [usize; 4] = [64, 31, 15, 7];
/// Side of the first filters.
pub const FIRST_KERNEL: usize = 7;

static BYTES: &[u8] = include_bytes!("../../assets/shapes.safetensors");

/// The embedded net; built once, then shared.
///
/// # Errors
/// Where the embedded file is damaged.
pub fn load() -> Result<Model> {
    static NET: OnceLock<Model> = OnceLock::new();
    if let Some(net) = NET.get() {
        return Ok(net.clone());
    }
    let net = load_sized(Size { height: SIDES[0], width: SIDES[0] })?;
    Ok(NET.get_or_init(|| net).clone())
}

/// The embedded net for inputs of another size; it was trained on 64 x 64.
///
/// # Errors
/// Where the size is too small for the pools.
pub fn load_sized(size: Size) -> Result<Model> {
    decode(BYTES, size).context(|| "the embedded net `shapes`")
}

/// The file of a net with these parameters (shape and values by name).
///
/// # Errors
/// Where a shape does not fit its values.
pub fn encode(parameters: &BTreeMap<String, (Vec<usize>, Vec<f32>)>, card: &Card) -> Result<Vec<u8>> {
    let bytes: BTreeMap<&String, Vec<u8>> =
        parameters.iter().map(|(name, (_, v))| (name, v.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let damaged = |e: safetensors::SafeTensorError| Error::format(e.to_string());
    let view = |name: &String| TensorView::new(safetensors::Dtype::F32, parameters[name].0.clone(), &bytes[name]);
    let views = bytes.keys().map(|n| Ok((*n, view(n).map_err(damaged)?))).collect::<Result<Vec<_>>>()?;
    let card = serde_json::to_string(card).map_err(|e| Error::format(e.to_string()))?;
    safetensors::serialize(views, Some(HashMap::from([("card".to_string(), card)]))).map_err(damaged)
}

/// The net in a file that [`encode`] wrote, for inputs of `size`.
///
/// # Errors
/// Where a parameter or the card is missing or does not fit.
pub fn decode(bytes: &[u8], size: Size) -> Result<Model> {
    let damaged = |e: safetensors::SafeTensorError| Error::format(e.to_string());
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let card = header.metadata().as_ref().and_then(|m| m.get("card"));
    let card = card.ok_or_else(|| Error::format("no `card` in the metadata"))?;
    let mut card: Card = serde_json::from_str(card).map_err(|e| Error::format(format!("the card: {e}")))?;
    card.output = Some(OutputKind::Softmax);
    card.digest = Some(blake3::hash(bytes).to_hex().to_string());
    if let Some(preprocess) = &mut card.preprocess {
        preprocess.size = size;
    }
    let (graph, weights) = build(&file, size)?;
    Ok(Model::new(graph, weights, card))
}

fn build(file: &SafeTensors<'_>, size: Size) -> Result<(crate::graph::Graph, Weights)> {
    let mut net = Builder::new();
    let read = |name: &str| -> Result<Tensor> {
        let view = file.tensor(name).map_err(|e| Error::format(e.to_string()))?;
        Ok(Tensor::from_raw_buffer(view.data(), DType::F32, view.shape(), &Device::Cpu)?)
    };
    let mut here = net.input("input", vec![3, size.height, size.width])?;
    for i in 1..=CHANNELS.len() {
        let name = format!("conv{i}");
        let weight = net.param(&format!("{name}.weight"), read(&format!("{name}.weight"))?)?;
        let bias = Some(net.param(&format!("{name}.bias"), read(&format!("{name}.bias"))?)?);
        let kernel = net.param_shape(weight).last().copied().unwrap_or(1);
        let window = Window::square(kernel, 1, kernel / 2);
        here = net.add(&name, Op::Conv2d(Conv { weight, bias, window, groups: 1 }), &[here])?;
        here = net.add(&format!("{name}/relu"), Op::Activation(Activation::Relu), &[here])?;
        if [1, 2, 4].contains(&i) {
            here = max_pool(&mut net, &format!("pool{i}"), here)?;
        }
    }
    let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: false };
    here = net.add("mean", mean, &[here])?;
    let weight = net.param("fc.weight", read("fc.weight")?)?;
    let bias = Some(net.param("fc.bias", read("fc.bias")?)?);
    here = net.add("fc", Op::Linear { weight, bias }, &[here])?;
    net.finish(here)
}

fn max_pool(net: &mut Builder, name: &str, from: NodeId) -> Result<NodeId> {
    let pool = Pool { window: Window::square(3, 2, 0), ceil: false, count_padding: false };
    net.add(name, Op::MaxPool(pool), &[from])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pass::Tap;
    use crate::shapes::{Shapes, shapes};

    #[test]
    fn the_embedded_net_is_small_and_complete() {
        assert!(BYTES.len() <= 400_000, "{} bytes", BYTES.len());
        let net = load().unwrap();
        assert_eq!(net.input_shape(), [3, 64, 64]);
        assert_eq!(net.output_len(), net.card().classes.len());
        assert_eq!(net.card().class_index("star").unwrap(), 3);
        let sides = ["conv1", "pool1", "pool2", "pool4"].map(|n| {
            let id = net.layer(n).unwrap();
            net.graph().node(id).shape[1]
        });
        assert_eq!(sides, SIDES);
    }

    #[test]
    fn the_net_takes_other_sizes_and_says_when_one_is_too_small() {
        let net = load_sized(Size { height: 96, width: 80 }).unwrap();
        assert_eq!(net.input_shape(), [3, 96, 80]);
        let image = shapes(&Shapes { n: 1, ..Shapes::new() }).unwrap().get(0).unwrap();
        let x = net.card().preprocess().unwrap().apply(&image).unwrap();
        assert!(net.forward(&x, &Tap::All).is_ok());
        assert!(load_sized(Size { height: 4, width: 64 }).unwrap_err().message.contains("pool"));
    }

    #[test]
    fn the_net_knows_the_shapes() {
        let net = load().unwrap();
        let data = shapes(&Shapes { n: 2000, seed: 1_000_003, ..Shapes::new() }).unwrap();
        let output = net.graph().output();
        let mut right = 0;
        for from in (0..data.len()).step_by(50) {
            let images: Vec<_> = (from..from + 50).map(|i| data.get(i).unwrap()).collect();
            let inputs: Vec<_> = images.iter().map(|i| net.card().preprocess().unwrap().apply(i).unwrap()).collect();
            let x = Tensor::stack(&inputs, 0).unwrap();
            let trace = net.forward(&x, &Tap::Only(vec![output])).unwrap();
            let best = trace.get(output).unwrap().argmax(1).unwrap().to_vec1::<u32>().unwrap();
            let class = |name: Option<&str>| net.card().class_index(name.unwrap()).unwrap() as u32;
            right += images.iter().zip(best).filter(|(i, b)| class(i.label()) == *b).count();
        }
        assert!(right >= 1940, "{right} of 2000");
    }

    #[test]
    fn no_channel_is_dead() {
        let net = load().unwrap();
        let data = shapes(&Shapes { n: 100, seed: 5, ..Shapes::new() }).unwrap();
        let inputs: Vec<_> =
            data.iter().map(|i| net.card().preprocess().unwrap().apply(&i.unwrap()).unwrap()).collect();
        let trace = net.forward(&Tensor::stack(&inputs, 0).unwrap(), &Tap::All).unwrap();
        for i in 1..=CHANNELS.len() {
            let value = trace.get(net.layer(&format!("conv{i}/relu")).unwrap()).unwrap();
            let most = value.max(3).unwrap().max(2).unwrap().max(0).unwrap().to_vec1::<f32>().unwrap();
            assert!(most.iter().all(|v| *v > 0.0), "conv{i}: {most:?}");
        }
    }
}
