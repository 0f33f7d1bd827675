//! The readers that mutants pass: each reads a file and all that it holds.

use convscope_engine::data::{Dataset, Image, Signal, Volume, load_images, load_tensor};
use convscope_engine::load::labels::read_labels;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::load::tensors::Tensors;
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::params::{Params, Value};
use convscope_engine::run::{Lock, archive};
use convscope_engine::table::{LoadTable, load_table};
use convscope_engine::{DType, Device, Result, Tensor};
use std::path::Path;

/// A reader and what it is called.
pub struct Reader {
    pub name: &'static str,
    pub read: fn(&Path) -> Result<()>,
}

const fn reader(name: &'static str, read: fn(&Path) -> Result<()>) -> Reader {
    Reader { name, read }
}

pub const READERS: [Reader; 17] = [
    reader("onnx", net),
    reader("external", net),
    reader("table", table),
    reader("pth", weights),
    reader("safetensors", weights),
    reader("npy", |path| load_tensor(path).map(drop)),
    reader("wav", |path| Signal::read(path).map(drop)),
    reader("nifti", |path| Volume::read(path).map(drop)),
    reader("idx", data),
    reader("cifar", data),
    reader("coco", data),
    reader("list", data),
    reader("voc", data),
    reader("csv", data),
    reader("image", |path| Image::open(path).map(drop)),
    reader("lock", |path| Lock::open(path).map(drop).and(read_labels(path).map(drop))),
    reader("bundle", |path| archive::read(&std::fs::read(path).unwrap()).map(drop)),
];

/// Operations that a net may take to be run here.
const SMALL: u64 = 50_000_000;

fn net(path: &Path) -> Result<()> {
    let net = load(path, &Options::default())?;
    let values: usize = net.graph().nodes().iter().map(|n| n.shape.iter().product::<usize>()).sum();
    if net.flops() > SMALL || values > 1 << 22 {
        return Ok(());
    }
    let dims = [&[1], net.input_shape()].concat();
    let x = Tensor::ones(dims, DType::F32, &Device::Cpu)?;
    net.output(&x).map(drop)
}

fn table(path: &Path) -> Result<()> {
    let mut options = LoadTable::default();
    options.set("attributes", &Value::List(vec![Value::Text("size".into())]))?;
    let name = path.file_name().unwrap().to_str().unwrap().to_string();
    let data = load_table(&[name], path.parent().unwrap(), &options)?;
    looked_at(&data)
}

fn weights(path: &Path) -> Result<()> {
    let tensors = Tensors::open(path)?;
    let names: Vec<String> = tensors.names().map(str::to_string).collect();
    for name in &names {
        let values = tensors.shape(name).unwrap_or_default().iter().product::<usize>();
        if values <= 1 << 20 {
            tensors.tensor(name)?;
        }
    }
    // As an architecture's, whose names they mostly are not.
    let options = LoadOptions { weights: Some(path.display().to_string()), ..LoadOptions::default() };
    load_model("squeezenet1_1", &options, Path::new(""), &|_| {}).map(drop)
}

fn data(path: &Path) -> Result<()> {
    looked_at(&load_images(path)?)
}

/// Its labels, its first images and its last ones; an image that cannot be read breaks no other.
fn looked_at(data: &Dataset) -> Result<()> {
    data.labels();
    let last = data.len().saturating_sub(2)..data.len();
    let all = (0..data.len().min(4)).chain(last).map(|i| data.get(i).map(drop).and(data.item(i).map(drop)));
    all.collect::<Vec<_>>().into_iter().collect()
}
