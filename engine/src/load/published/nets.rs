//! The nets: their layers as their files have them, and what the zoo says of them.

use super::layers::{Layer, conv, linear, norm_before_pool, norm_behind_pool};
use super::{Classes, Photos, Published, Source};
use crate::model::OutputKind;

/// Every net that has a card.
pub static NETS: [Published; 12] = [
    Published {
        name: "bvlcalexnet",
        what: "AlexNet (Krizhevsky et al. 2012) by Caffe",
        folder: "alexnet",
        ends: ["data_0", "prob_1"],
        layers: || alexnet(norm_before_pool, linear(1000, 4096)),
        photos: Photos::Caffe(Source::Measured),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "caffenet",
        what: "CaffeNet: AlexNet with the pools before the normalisations",
        folder: "caffenet",
        ends: ["data_0", "prob_1"],
        layers: || alexnet(norm_behind_pool, linear(1000, 4096)),
        photos: Photos::Caffe(Source::Measured),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "rcnn-ilsvrc13",
        what: "R-CNN (Girshick et al. 2013): CaffeNet with the detectors of ILSVRC 2013",
        folder: "rcnn_ilsvrc13",
        ends: ["data_0", "fc-rcnn_1"],
        layers: || alexnet(norm_behind_pool, linear(200, 4096)),
        photos: Photos::Caffe(Source::Kin),
        classes: Classes::Detection,
        // Scores of support vector machines.
        output: Some(OutputKind::Value),
    },
    Published {
        name: "zfnet512",
        what: "ZFNet (Zeiler and Fergus 2013) with 512 maps in its fourth layer",
        folder: "zfnet-512",
        ends: ["gpu_0/data_0", "gpu_0/softmax_1"],
        layers: zfnet,
        photos: Photos::Caffe(Source::Measured),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "googlenet",
        what: "GoogLeNet (Szegedy et al. 2014) by Caffe; the zoo's inception-v1 is the same graph",
        folder: "inception_and_googlenet/googlenet",
        ends: ["data_0", "prob_1"],
        layers: googlenet,
        photos: Photos::Caffe(Source::Measured),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "squeezenet1.0",
        what: "SqueezeNet 1.0 (Iandola et al. 2016) by Caffe",
        folder: "squeezenet",
        ends: ["data_0", "softmaxout_1"],
        layers: squeezenet,
        photos: Photos::Caffe(Source::Measured),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "vgg19-caffe2",
        what: "VGG19 (Simonyan and Zisserman 2014) by Caffe",
        folder: "vgg",
        ends: ["data_0", "prob_1"],
        layers: || vgg([2, 2, 4, 4, 4]),
        photos: Photos::Caffe(Source::Kin),
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "vgg16",
        what: "VGG16 (Simonyan and Zisserman 2014) by MXNet",
        folder: "vgg",
        ends: ["data", "vgg0_dense2_fwd"],
        layers: || vgg([2, 2, 3, 3, 3]),
        photos: Photos::ImageNet,
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "vgg19",
        what: "VGG19 (Simonyan and Zisserman 2014) by MXNet",
        folder: "vgg",
        ends: ["data", "vgg0_dense2_fwd"],
        layers: || vgg([2, 2, 4, 4, 4]),
        photos: Photos::ImageNet,
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "resnet50-v1",
        what: "ResNet-50 (He et al. 2015) by MXNet",
        folder: "resnet",
        ends: ["data", "resnetv17_dense0_fwd"],
        layers: resnet50,
        photos: Photos::ImageNet,
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "resnet50-v2",
        what: "ResNet-50 with normalisations first (He et al. 2016) by MXNet",
        folder: "resnet",
        ends: ["data", "resnetv24_dense0_fwd"],
        layers: resnet50,
        photos: Photos::ImageNet,
        classes: Classes::ImageNet,
        output: None,
    },
    Published {
        name: "mnist",
        what: "two convolutions for handwritten digits (CNTK's tutorial 103D)",
        folder: "mnist",
        ends: ["Input3", "Plus214_Output_0"],
        layers: || vec![conv(8, 1, 5), conv(16, 8, 5), linear(10, 256)],
        photos: Photos::Digits,
        classes: Classes::Digits,
        output: Some(OutputKind::Softmax),
    },
];

/// AlexNet's layers, with its normalisations before the pools or behind them.
fn alexnet(norm: fn(usize) -> Layer, last: Layer) -> Vec<Layer> {
    let convs = [conv(96, 3, 11), conv(256, 48, 5), conv(384, 256, 3), conv(384, 192, 3), conv(256, 192, 3)];
    let norms = [norm(96), norm(256)];
    let ends = [linear(4096, 9216), linear(4096, 4096), last];
    convs.into_iter().chain(norms).chain(ends).collect()
}

fn zfnet() -> Vec<Layer> {
    let convs = [conv(96, 3, 7), conv(256, 96, 5), conv(512, 256, 3), conv(512, 512, 3), conv(512, 512, 3)];
    let norms = [norm_before_pool(96), norm_before_pool(256)];
    let ends = [linear(4096, 18_432), linear(1024, 4096), linear(1000, 1024)];
    convs.into_iter().chain(norms).chain(ends).collect()
}

/// The inception modules: channels in, then those of 1 x 1, of 3 x 3 reduced and whole, of 5 x 5 reduced and whole, and of the pool
/// (Szegedy et al. 2014, table 1).
const INCEPTION: [[usize; 7]; 9] = [
    [192, 64, 96, 128, 16, 32, 32],
    [256, 128, 128, 192, 32, 96, 64],
    [480, 192, 96, 208, 16, 48, 64],
    [512, 160, 112, 224, 24, 64, 64],
    [512, 128, 128, 256, 24, 64, 64],
    [512, 112, 144, 288, 32, 64, 64],
    [528, 256, 160, 320, 32, 128, 128],
    [832, 256, 160, 320, 32, 128, 128],
    [832, 384, 192, 384, 48, 128, 128],
];

fn googlenet() -> Vec<Layer> {
    let mut all = vec![conv(64, 3, 7), conv(64, 64, 1), conv(192, 64, 3), norm_behind_pool(64), norm_before_pool(192)];
    for [inputs, one, three_in, three, five_in, five, pool] in INCEPTION {
        all.extend([conv(one, inputs, 1), conv(three_in, inputs, 1), conv(three, three_in, 3)]);
        all.extend([conv(five_in, inputs, 1), conv(five, five_in, 5), conv(pool, inputs, 1)]);
    }
    all.push(linear(1000, 1024));
    all
}

fn squeezenet() -> Vec<Layer> {
    // The zoo's file begins with kernels of 3 x 3 and 64 channels, as version 1.1 does.
    let mut all = vec![conv(64, 3, 3), conv(1000, 512, 1)];
    let fires = [[64, 16, 64], [128, 16, 64], [128, 32, 128], [256, 32, 128]];
    let deeper = [[256, 48, 192], [384, 48, 192], [384, 64, 256], [512, 64, 256]];
    for [inputs, squeeze, expand] in fires.into_iter().chain(deeper) {
        all.extend([conv(squeeze, inputs, 1), conv(expand, squeeze, 1), conv(expand, squeeze, 3)]);
    }
    all
}

/// VGG with these numbers of convolutions between its pools.
fn vgg(convs: [usize; 5]) -> Vec<Layer> {
    let (mut all, mut inputs) = (Vec::new(), 3);
    for (channels, n) in [64, 128, 256, 512, 512].into_iter().zip(convs) {
        for _ in 0..n {
            all.push(conv(channels, inputs, 3));
            inputs = channels;
        }
    }
    all.extend([linear(4096, 25_088), linear(4096, 4096), linear(1000, 4096)]);
    all
}

fn resnet50() -> Vec<Layer> {
    let (mut all, mut inputs) = (vec![conv(64, 3, 7)], 64);
    for (inner, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        all.push(conv(4 * inner, inputs, 1));
        for _ in 0..blocks {
            all.extend([conv(inner, inputs, 1), conv(inner, inner, 3), conv(4 * inner, inner, 1)]);
            inputs = 4 * inner;
        }
    }
    all.push(linear(1000, 2048));
    all
}
