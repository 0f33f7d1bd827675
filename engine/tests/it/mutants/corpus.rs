//! The small files that mutants are made of: made here, or kept as references that PyTorch and PIL wrote.

use crate::golden;
use crate::onnx_bytes::{Graph, ints, node};
use convscope_engine::data::Image;
use convscope_engine::data::npy;
use convscope_engine::run::archive;
use convscope_engine::{Device, Tensor};
use std::collections::BTreeMap;
use std::io::Write;

/// What a mutant keeps to.
#[derive(Clone, Copy)]
pub enum Form {
    Bytes,
    Protobuf,
    Zip,
    Json,
    Text,
    Png,
    Gzip,
    Safetensors,
    Parquet,
    Tar,
}

/// A file, and what lies beside it.
pub struct Seed {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub form: Form,
    pub beside: Vec<(&'static str, Vec<u8>)>,
}

fn seed(name: &'static str, form: Form, bytes: Vec<u8>) -> Seed {
    Seed { name, bytes, form, beside: Vec::new() }
}

impl Seed {
    fn with(self, name: &'static str, bytes: Vec<u8>) -> Self {
        let beside = self.beside.into_iter().chain([(name, bytes)]).collect();
        Seed { beside, ..self }
    }
}

/// The seeds of a reader.
pub fn of(reader: &str) -> Vec<Seed> {
    match reader {
        "onnx" => nets().into_iter().map(|net| seed("net.onnx", Form::Protobuf, net)).collect(),
        "external" => vec![external().with("w.bin", vec![60; 256]).with("v.bin", vec![61; 40])],
        "table" => tables(),
        "pth" => checkpoints(),
        "safetensors" => vec![seed("net.safetensors", Form::Safetensors, safetensors())],
        "npy" => arrays(),
        "wav" => recordings("signal.wav", Form::Bytes, &["u8.wav", "i16.wav", "i24.wav", "f32.wav"]),
        "nifti" => [
            recordings("scan.nii", Form::Bytes, &["u8.nii", "scaled_big.nii", "u16_second.nii"]),
            recordings("scan.nii.gz", Form::Gzip, &["four.nii.gz", "f64_quaternion.nii.gz"]),
        ]
        .into_iter()
        .flatten()
        .collect(),
        "idx" => idx(),
        "cifar" => vec![seed("data_batch_1.bin", Form::Bytes, cifar()).with("batches.meta.txt", b"a\nb\n".to_vec())],
        "coco" => vec![seed("coco.json", Form::Json, COCO.into()).with("1.png", picture()).with("2.png", picture())],
        "list" => vec![seed("list.json", Form::Json, LIST.into()).with("1.png", picture())],
        "voc" => vec![seed("1.xml", Form::Text, VOC.into()).with("1.png", picture())],
        "csv" => vec![seed("set.csv", Form::Text, TABLE.into()).with("1.png", picture()).with("2.png", picture())],
        "image" => images(),
        "lock" => vec![
            seed("a.lock.json", Form::Json, LOCK.into()),
            seed("labels.json", Form::Json, br#"{"0": "cat", "1": ["dog", "hound"], "2": "cup"}"#.to_vec()),
            seed("labels.csv", Form::Text, b"index,name\n0,cat\n1,dog\n2,cup\n".to_vec()),
        ],
        "bundle" => vec![seed("run.zip", Form::Zip, bundle())],
        other => panic!("no reader `{other}`"),
    }
}

/// What SciPy and nibabel wrote.
fn recordings(name: &'static str, form: Form, files: &[&str]) -> Vec<Seed> {
    let read = |file: &&str| std::fs::read(golden::path(&format!("recordings/{file}"))).unwrap();
    files.iter().map(|file| seed(name, form, read(file))).collect()
}

fn picture() -> Vec<u8> {
    drawn(20, 10).encode_png().unwrap()
}

fn drawn(width: usize, height: usize) -> Image {
    Image::new(width, height, (0..3 * width * height).map(|i| (i * 7 % 251) as u8).collect()).unwrap()
}

/// Nets with most operators that are read: convolutions, pools, shape arithmetic, slices, resizes, norms.
fn nets() -> Vec<Vec<u8>> {
    let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i % 13) as f32 / 13.0 - 0.4).collect() };
    let classifier = Graph::new(&[1, 3, 12, 12])
        .floats("k", &[4, 3, 3, 3], &values(108))
        .floats("d", &[4, 1, 3, 3], &values(36))
        .floats("t", &[4, 2, 2, 2], &values(32))
        .floats("n", &[4], &[1.0; 4])
        .floats("w", &[3, 8], &values(24))
        .ints("minus", &[1, -1])
        .node(node("Conv", &["x", "k"], &["a"]).ints("pads", &[1, 1, 1, 1]).ints("strides", &[2, 2]))
        .node(node("BatchNormalization", &["a", "n", "n", "n", "n"], &["b"]).float("epsilon", 1e-5))
        .node(node("Relu", &["b"], &["c"]))
        .node(node("Conv", &["c", "d"], &["e"]).int("group", 4).ints("dilations", &[1, 1]).ints("pads", &[1, 1, 1, 1]))
        .node(node("Add", &["c", "e"], &["f"]))
        .node(
            node("MaxPool", &["f"], &["g"]).ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]).int("ceil_mode", 1),
        )
        .node(node("ConvTranspose", &["g", "t"], &["h"]).ints("strides", &[2, 2]))
        .node(node("AveragePool", &["h"], &["i"]).ints("kernel_shape", &[3, 3]).ints("strides", &[3, 3]))
        .node(node("Reshape", &["i", "minus"], &["j"]))
        .node(node("Gemm", &["j", "w"], &["y"]).int("transB", 1).float("alpha", 0.5))
        .node(node("Softmax", &["y"], &["q"]).int("axis", 1))
        .file("q", 13);
    let shapes = Graph::new(&[-1, 2, 6, 6])
        .ints("zero", &[0])
        .ints("ends", &[5, 5])
        .ints("starts", &[1, 0])
        .ints("axes", &[2, 3])
        .ints("minus", &[-1])
        .ints("sizes", &[1, 2, 10, 8])
        .ints("pad", &[0, 0, 1, 1, 0, 0, 1, 1])
        .floats("s", &[2, 1, 1], &[0.5, 2.0])
        .floats("roi", &[0], &[])
        .node(node("Slice", &["x", "starts", "ends", "axes"], &["a"]))
        .node(node("Pad", &["a", "pad"], &["b"]).text("mode", "constant"))
        .node(node("Mul", &["b", "s"], &["c"]))
        .node(node("Resize", &["c", "", "", "sizes"], &["d"]).text("mode", "linear"))
        .node(node("Split", &["d"], &["e", "f"]).int("axis", 1))
        .node(node("Concat", &["f", "e"], &["g"]).int("axis", 1))
        .node(node("Transpose", &["g"], &["h"]).ints("perm", &[0, 2, 3, 1]))
        .node(node("Shape", &["h"], &["i"]))
        .node(node("Gather", &["i", "zero"], &["j"]).int("axis", 0))
        .node(node("Concat", &["j", "minus"], &["k"]).int("axis", 0))
        .node(node("Reshape", &["h", "k"], &["l"]))
        .node(node("ReduceMean", &["l"], &["m"]).ints("axes", &[1]).int("keepdims", 1))
        .node(node("Clip", &["m"], &["o"]))
        .node(node("Tile", &["o", "one_two"], &["q"]))
        .ints("one_two", &[1, 2])
        .file("q", 13);
    let older = Graph::new(&[1, 2, 8, 8])
        .node(node("LRN", &["x"], &["a"]).int("size", 3).float("alpha", 0.1))
        .node(node("Upsample", &["a", "by"], &["b"]).text("mode", "nearest"))
        .floats("by", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node(node("GlobalAveragePool", &["b"], &["c"]))
        .node(node("Flatten", &["c"], &["d"]).int("axis", 1))
        .node(node("Dropout", &["d"], &["e"]))
        .node(node("Sigmoid", &["e"], &["q"]))
        .file("q", 9);
    let constants = Graph::new(&[1, 2, 4, 4])
        .ints("shape", &[1, 2, 1, 1])
        .ints("from", &[0, 1])
        .node(node("ConstantOfShape", &["shape"], &["a"]))
        .node(node("Expand", &["a", "shape"], &["b"]))
        .node(node("Add", &["x", "b"], &["c"]))
        .node(node("Range", &["r0", "r1", "r2"], &["d"]))
        .scalar("r0", 0)
        .scalar("r1", 2)
        .scalar("r2", 1)
        .node(node("Gather", &["c", "d"], &["e"]).int("axis", 1))
        .node(node("InstanceNormalization", &["e", "n", "n"], &["f"]))
        .floats("n", &[2], &[1.0, 2.0])
        .node(node("PRelu", &["f", "n1"], &["g"]))
        .floats("n1", &[2, 1, 1], &[0.1, 0.2])
        .node(node("Squeeze", &["p", "from2"], &["q"]))
        .ints("from2", &[2, 3])
        .node(node("ReduceMax", &["g"], &["p"]).attribute(ints("axes", &[2, 3])))
        .file("q", 13);
    vec![classifier, shapes, older, constants]
}

/// A net whose weights lie in files beside it.
fn external() -> Seed {
    let net = Graph::new(&[1, 3, 6, 6])
        .external("k", &[2, 3, 3, 3], &[("location", "w.bin"), ("offset", "8"), ("length", "216")])
        .external("b", &[2], &[("location", "v.bin"), ("checksum", "0")])
        .external("s", &[2, 1, 1], &[("location", "./v.bin"), ("offset", "8"), ("length", "8")])
        .node(node("Conv", &["x", "k", "b"], &["a"]))
        .node(node("Mul", &["a", "s"], &["q"]))
        .file("q", 13);
    seed("net.onnx", Form::Protobuf, net)
}

/// Tables: Parquet as pyarrow wrote it, WebDataset's tar, a manifest.
fn tables() -> Vec<Seed> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for i in 0..3 {
        add(&format!("train/{i}.png"), &picture());
        add(&format!("train/{i}.cls"), i.to_string().as_bytes());
        add(&format!("{}/{i}.json", "deep/".repeat(30)), b"{\"size\": 2}");
    }
    let manifest = b"path,label,size\n1.png,cat,1\n2.png,dog,2.5\n,,\n".to_vec();
    let parquet = std::fs::read(golden::path("tables/hf.parquet")).unwrap();
    vec![
        seed("a.parquet", Form::Parquet, parquet),
        seed("a.tar", Form::Tar, tar.into_inner().unwrap()),
        seed("a.csv", Form::Text, manifest).with("1.png", picture()).with("2.png", picture()),
    ]
}

fn checkpoints() -> Vec<Seed> {
    let (older, forms) = (golden::path("checkpoints/files.zip"), golden::path("checkpoints/forms.zip"));
    let file = |name: &str| {
        golden::entry(if name.contains("forms/") { &forms } else { &older }, name.trim_start_matches("forms/"))
    };
    let mut all: Vec<Seed> =
        ["plain.pth", "wrapped.pth", "forms/deflated.pth", "forms/teacher.pth", "forms/signs.pth", "whole_module.pth"]
            .iter()
            .map(|name| seed("net.pth", Form::Zip, file(name)))
            .collect();
    all.extend(["legacy.pth", "legacy_wrapped.pth"].iter().map(|name| seed("net.pth", Form::Bytes, file(name))));
    all
}

fn safetensors() -> Vec<u8> {
    let tensor = |n: usize| Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap();
    let tensors: BTreeMap<String, Tensor> = [
        ("module.features.0.weight".to_string(), tensor(27).reshape((1, 3, 3, 3)).unwrap()),
        ("module.features.0.bias".to_string(), tensor(1)),
        ("module.classifier.1.weight".to_string(), tensor(4).reshape((4, 1, 1, 1)).unwrap()),
    ]
    .into();
    convscope_engine::load::tensors::to_safetensors(&tensors).unwrap()
}

fn arrays() -> Vec<Seed> {
    let tensor = Tensor::arange(0f32, 24., &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
    let plain = npy::write(&tensor).unwrap();
    let mut fortran = b"\x93NUMPY\x01\0".to_vec();
    let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
    fortran.extend((header.len() as u16).to_le_bytes());
    fortran.extend(header.as_bytes());
    fortran.extend(0..12u8);
    vec![seed("x.npy", Form::Bytes, plain), seed("x.npy", Form::Text, fortran)]
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn idx() -> Vec<Seed> {
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5];
    images.extend(0..60u8);
    let labels = vec![0, 0, 8, 1, 0, 0, 0, 3, 7, 5, 0];
    vec![
        seed("train-images-idx3-ubyte", Form::Bytes, images.clone()).with("train-labels-idx1-ubyte", labels.clone()),
        seed("train-images-idx3-ubyte.gz", Form::Gzip, packed(&images)).with("train-labels-idx1-ubyte", labels.clone()),
        seed("train-images-idx3-ubyte", Form::Bytes, images).with("train-labels-idx1-ubyte.gz", packed(&labels)),
    ]
}

fn cifar() -> Vec<u8> {
    (0..3u8).flat_map(|class| std::iter::once(class).chain((0..3072).map(move |i| (i % 251) as u8 ^ class))).collect()
}

fn images() -> Vec<Seed> {
    let image = drawn(24, 18);
    let (png, jpeg) = (image.encode_png().unwrap(), image.encode_jpeg(90).unwrap());
    let mut all = vec![seed("a.png", Form::Png, png), seed("a.jpg", Form::Bytes, jpeg)];
    let (pil, forms) = (golden::path("pil"), golden::path("images/forms.zip"));
    for name in ["animated.gif", "edges.bmp", "lossy.webp", "alpha.webp", "cmyk.tif", "progressive.jpg", "sixteen.png"]
    {
        all.push(seed("a.img", Form::Bytes, std::fs::read(pil.join(name)).unwrap()));
    }
    for name in
        ["palette.tif", "palette_big.tif", "grey_alpha_deflate.tif", "float_grey_big.tif", "long.jpg", "xmp.webp"]
    {
        all.push(seed("a.img", Form::Bytes, golden::entry(&forms, name)));
    }
    all.push(seed("a.png", Form::Png, std::fs::read(pil.join("palette.png")).unwrap()));
    all.push(seed("a.png", Form::Png, golden::entry(&forms, "xmp.png")));
    all
}

fn bundle() -> Vec<u8> {
    let files = [("run.rhai", "print(1);"), ("run.lock.json", LOCK), ("ro-crate-metadata.json", "{\"@graph\": []}")];
    archive::write(&files.map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).into()).unwrap()
}

const COCO: &str = r#"{"images": [{"id": 5, "file_name": "1.png", "width": 20, "height": 10}, {"id": "6", "file_name": "2.png"}],
 "categories": [{"id": 1.0, "name": "person", "keypoints": ["nose", "hip"]}, {"id": 2, "name": "cup"}],
 "annotations": [{"id": 1, "image_id": 5, "category_id": 2, "bbox": [0, 0, 2, 2], "iscrowd": 0},
  {"id": 2, "image_id": "5", "category_id": 1, "bbox": [4, 2, 10, 5], "keypoints": [6, 3, 2, 0, 0, 0], "area": 50,
   "segmentation": [[4, 2, 14, 2, 14, 7, 4, 7]]},
  {"id": 3, "image_id": 6, "category_id": 1, "iscrowd": 1, "segmentation": {"size": [10, 20], "counts": "01Y20oM2N2O000O20N10001N2N`00"}},
  {"id": 4, "image_id": 6, "category_id": 1, "segmentation": {"size": [10, 20], "counts": [0, 1, 198, 1]}}]}"#;

const LIST: &str = r#"[{"path": "1.png", "label": "cat", "box": [1, 2, 3, 4.5], "keypoints": {"ear": [3, 4.5]}, "mask": "1.png",
 "attributes": {"age": 3}, "colour": "red"}, {"path": "1.png", "more": [1, {"a": null}]}]"#;

const VOC: &str = "<?xml version=\"1.0\"?><annotation><folder>x</folder><filename>1.png</filename><size><width>20</width></size>\
<object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>2</ymin>\
<xmax>5</xmax><ymax>6</ymax></bndbox><part><name>head</name><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>4</xmax><ymax>3</ymax>\
</bndbox></part></object><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>\
</object></annotation>";

const TABLE: &str =
    "path,label,box,mask,keypoints,size\n1.png,cat,2 3 4 5,1.png,tip 3 4; left 5 6,1\n2.png,\"dog, hound\",,,,2.5\n";

const LOCK: &str = include_str!("../../../../scripts/gradient.lock.json");
