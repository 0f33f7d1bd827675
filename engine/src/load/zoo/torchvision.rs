//! torchvision's architectures by name, each with what its weight file does not hold, and the preprocessing of the published
//! weights.

use super::{Architecture, Recipe};
use super::{EFFICIENTNET, EFFICIENTNET2, MNASNET, MOBILENET2, MOBILENET3, REGNET, RESNET, SWIN, VIT};
use super::{alexnet, convnext, densenet, efficientnet, googlenet, inception, mnasnet, mobilenet, regnet, resnet};
use super::{shufflenet, squeezenet, swin, vit};
use crate::data::Interpolation;

const VGG: &str = "Simonyan and Zisserman 2015";
const RESNEXT: &str = "Xie et al. 2017";
const WIDE: &str = "Zagoruyko and Komodakis 2016";
const DENSENET: &str = "Huang et al. 2017";
const SQUEEZENET: &str = "Iandola et al. 2016";
const INCEPTION: &str = "Szegedy et al. 2016";
const SHUFFLENET: &str = "Ma et al. 2018";
const CONVNEXT: &str = "Liu et al. 2022";

const fn cropped(size: usize, short: usize, interpolation: Interpolation) -> Recipe {
    Recipe::Cropped { size, short, interpolation, half: false }
}

const fn half(size: usize, short: usize, interpolation: Interpolation) -> Recipe {
    Recipe::Cropped { size, short, interpolation, half: true }
}

/// torchvision's architectures, and two of other origin.
#[rustfmt::skip]
pub const TORCHVISION: &[Architecture] = &[
    Architecture::new("alexnet", "Krizhevsky 2014", alexnet::alexnet),
    Architecture::new("vgg11", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG11, false)),
    Architecture::new("vgg11_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG11, true)),
    Architecture::new("vgg13", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG13, false)),
    Architecture::new("vgg13_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG13, true)),
    Architecture::new("vgg16", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG16, false)),
    Architecture::new("vgg16_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG16, true)),
    Architecture::new("vgg19", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG19, false)),
    Architecture::new("vgg19_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG19, true)),
    Architecture::new("squeezenet1_0", SQUEEZENET, squeezenet::squeezenet1_0),
    Architecture::new("squeezenet1_1", SQUEEZENET, squeezenet::squeezenet1_1),
    Architecture::new("squeezenet1_1_caffe", SQUEEZENET, squeezenet::caffe).with(Recipe::Caffe),
    Architecture::new("resnet18", RESNET, |n, s| resnet::basic(n, s, [2, 2, 2, 2])),
    Architecture::new("resnet34", RESNET, |n, s| resnet::basic(n, s, [3, 4, 6, 3])),
    Architecture::new("resnet50", RESNET, |n, s| resnet::bottleneck(n, s, [3, 4, 6, 3], 1, 64)),
    Architecture::new("resnet101", RESNET, |n, s| resnet::bottleneck(n, s, [3, 4, 23, 3], 1, 64)),
    Architecture::new("resnet152", RESNET, |n, s| resnet::bottleneck(n, s, [3, 8, 36, 3], 1, 64)),
    Architecture::new("googlenet", "Szegedy et al. 2015", googlenet::googlenet),
    Architecture::new("densenet121", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 24, 16])),
    Architecture::new("densenet161", DENSENET, |n, s| densenet::densenet(n, s, 96, 48, [6, 12, 36, 24])),
    Architecture::new("densenet169", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 32, 32])),
    Architecture::new("densenet201", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 48, 32])),
    Architecture::new("mobilenet_v2", MOBILENET2, mobilenet::mobilenet_v2),
    Architecture::new("efficientnet_lite0", EFFICIENTNET, efficientnet::lite0).with(Recipe::Lite).or_timm(cropped(224, 256, Interpolation::Bicubic)),
    // torchvision, and timm where it has the same name.
    Architecture::new("resnext50_32x4d", RESNEXT, |n, s| resnet::bottleneck(n, s, [3, 4, 6, 3], 32, 4)),
    Architecture::new("resnext101_32x8d", RESNEXT, |n, s| resnet::bottleneck(n, s, [3, 4, 23, 3], 32, 8)),
    Architecture::new("resnext101_64x4d", RESNEXT, |n, s| resnet::bottleneck(n, s, [3, 4, 23, 3], 64, 4)).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("wide_resnet50_2", WIDE, |n, s| resnet::bottleneck(n, s, [3, 4, 6, 3], 1, 128)),
    Architecture::new("wide_resnet101_2", WIDE, |n, s| resnet::bottleneck(n, s, [3, 4, 23, 3], 1, 128)),
    Architecture::new("inception_v3", INCEPTION, inception::inception_v3).with(cropped(299, 342, Interpolation::Bilinear)),
    Architecture::new("mobilenet_v3_large", MOBILENET3, |n, s| mobilenet::mobilenet_v3(n, s, mobilenet::LARGE)),
    Architecture::new("mobilenet_v3_small", MOBILENET3, |n, s| mobilenet::mobilenet_v3(n, s, mobilenet::SMALL)),
    Architecture::new("shufflenet_v2_x0_5", SHUFFLENET, |n, s| shufflenet::shufflenet_v2(n, s, [24, 48, 96, 192, 1024])),
    Architecture::new("shufflenet_v2_x1_0", SHUFFLENET, |n, s| shufflenet::shufflenet_v2(n, s, [24, 116, 232, 464, 1024])),
    Architecture::new("shufflenet_v2_x1_5", SHUFFLENET, |n, s| shufflenet::shufflenet_v2(n, s, [24, 176, 352, 704, 1024])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("shufflenet_v2_x2_0", SHUFFLENET, |n, s| shufflenet::shufflenet_v2(n, s, [24, 244, 488, 976, 2048])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("mnasnet0_5", MNASNET, |n, s| mnasnet::mnasnet(n, s, [16, 8, 16, 24, 40, 48, 96, 160])),
    Architecture::new("mnasnet0_75", MNASNET, |n, s| mnasnet::mnasnet(n, s, [24, 16, 24, 32, 64, 72, 144, 240])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("mnasnet1_0", MNASNET, |n, s| mnasnet::mnasnet(n, s, [32, 16, 24, 40, 80, 96, 192, 320])),
    Architecture::new("mnasnet1_3", MNASNET, |n, s| mnasnet::mnasnet(n, s, [40, 24, 32, 56, 104, 128, 248, 416])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("regnet_y_400mf", REGNET, |n, s| regnet::regnet(n, s, [1, 3, 6, 6], [48, 104, 208, 440])),
    Architecture::new("regnet_y_800mf", REGNET, |n, s| regnet::regnet(n, s, [1, 3, 8, 2], [64, 144, 320, 784])),
    Architecture::new("regnet_y_1_6gf", REGNET, |n, s| regnet::regnet(n, s, [2, 6, 17, 2], [48, 120, 336, 888])),
    Architecture::new("regnet_y_3_2gf", REGNET, |n, s| regnet::regnet(n, s, [2, 5, 13, 1], [72, 216, 576, 1512])),
    Architecture::new("regnet_y_8gf", REGNET, |n, s| regnet::regnet(n, s, [2, 4, 10, 1], [224, 448, 896, 2016])),
    Architecture::new("regnet_y_16gf", REGNET, |n, s| regnet::regnet(n, s, [2, 4, 11, 1], [224, 448, 1232, 3024])),
    Architecture::new("regnet_y_32gf", REGNET, |n, s| regnet::regnet(n, s, [2, 5, 12, 1], [232, 696, 1392, 3712])),
    Architecture::new("regnet_y_128gf", REGNET, |n, s| regnet::regnet(n, s, [2, 7, 17, 1], [528, 1056, 2904, 7392])),
    Architecture::new("regnet_x_400mf", REGNET, |n, s| regnet::regnet(n, s, [1, 2, 7, 12], [32, 64, 160, 400])),
    Architecture::new("regnet_x_800mf", REGNET, |n, s| regnet::regnet(n, s, [1, 3, 7, 5], [64, 128, 288, 672])),
    Architecture::new("regnet_x_1_6gf", REGNET, |n, s| regnet::regnet(n, s, [2, 4, 10, 2], [72, 168, 408, 912])),
    Architecture::new("regnet_x_3_2gf", REGNET, |n, s| regnet::regnet(n, s, [2, 6, 15, 2], [96, 192, 432, 1008])),
    Architecture::new("regnet_x_8gf", REGNET, |n, s| regnet::regnet(n, s, [2, 5, 15, 1], [80, 240, 720, 1920])),
    Architecture::new("regnet_x_16gf", REGNET, |n, s| regnet::regnet(n, s, [2, 6, 13, 1], [256, 512, 896, 2048])),
    Architecture::new("regnet_x_32gf", REGNET, |n, s| regnet::regnet(n, s, [2, 7, 13, 1], [336, 672, 1344, 2520])),
    Architecture::new("convnext_tiny", CONVNEXT, |n, s| convnext::convnext(n, s, [3, 3, 9, 3], [96, 192, 384, 768])).with(cropped(224, 236, Interpolation::Bilinear)),
    Architecture::new("convnext_small", CONVNEXT, |n, s| convnext::convnext(n, s, [3, 3, 27, 3], [96, 192, 384, 768])).with(cropped(224, 230, Interpolation::Bilinear)),
    Architecture::new("convnext_base", CONVNEXT, |n, s| convnext::convnext(n, s, [3, 3, 27, 3], [128, 256, 512, 1024])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("convnext_large", CONVNEXT, |n, s| convnext::convnext(n, s, [3, 3, 27, 3], [192, 384, 768, 1536])).with(cropped(224, 232, Interpolation::Bilinear)),
    Architecture::new("efficientnet_b0", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [1, 2, 2, 3, 3, 4, 1], [32, 16, 24, 40, 80, 112, 192, 320, 1280], 1e-5)).with(cropped(224, 256, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b1", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [2, 3, 3, 4, 4, 5, 2], [32, 16, 24, 40, 80, 112, 192, 320, 1280], 1e-5)).with(cropped(240, 256, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b2", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [2, 3, 3, 4, 4, 5, 2], [32, 16, 24, 48, 88, 120, 208, 352, 1408], 1e-5)).with(cropped(288, 288, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b3", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [2, 3, 3, 5, 5, 6, 2], [40, 24, 32, 48, 96, 136, 232, 384, 1536], 1e-5)).with(cropped(300, 320, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b4", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [2, 4, 4, 6, 6, 8, 2], [48, 24, 32, 56, 112, 160, 272, 448, 1792], 1e-5)).with(cropped(380, 384, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b5", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [3, 5, 5, 7, 7, 9, 3], [48, 24, 40, 64, 128, 176, 304, 512, 2048], 1e-3)).with(cropped(456, 456, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b6", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [3, 6, 6, 8, 8, 11, 3], [56, 32, 40, 72, 144, 200, 344, 576, 2304], 1e-3)).with(cropped(528, 528, Interpolation::Bicubic)),
    Architecture::new("efficientnet_b7", EFFICIENTNET, |n, s| efficientnet::efficientnet(n, s, [4, 7, 7, 10, 10, 13, 4], [64, 32, 48, 80, 160, 224, 384, 640, 2560], 1e-3)).with(cropped(600, 600, Interpolation::Bicubic)),
    Architecture::new("efficientnet_v2_s", EFFICIENTNET2, |n, s| efficientnet::efficientnet_v2(n, s, &[2, 4, 4, 6, 9, 15], &[24, 24, 48, 64, 128, 160, 256, 1280])).with(cropped(384, 384, Interpolation::Bilinear)),
    Architecture::new("efficientnet_v2_m", EFFICIENTNET2, |n, s| efficientnet::efficientnet_v2(n, s, &[3, 5, 5, 7, 14, 18, 5], &[24, 24, 48, 80, 160, 176, 304, 512, 1280])).with(cropped(480, 480, Interpolation::Bilinear)),
    Architecture::new("efficientnet_v2_l", EFFICIENTNET2, |n, s| efficientnet::efficientnet_v2(n, s, &[4, 7, 7, 10, 19, 25, 7], &[32, 32, 64, 96, 192, 224, 384, 640, 1280])).with(half(480, 480, Interpolation::Bicubic)),
    Architecture::new("vit_b_16", VIT, |n, s| vit::vit(n, s, 16, 12, 768, 12)).with(cropped(224, 256, Interpolation::Bilinear)),
    Architecture::new("vit_b_32", VIT, |n, s| vit::vit(n, s, 32, 12, 768, 12)).with(cropped(224, 256, Interpolation::Bilinear)),
    Architecture::new("vit_l_16", VIT, |n, s| vit::vit(n, s, 16, 24, 1024, 16)).with(cropped(224, 242, Interpolation::Bilinear)),
    Architecture::new("vit_l_32", VIT, |n, s| vit::vit(n, s, 32, 24, 1024, 16)).with(cropped(224, 256, Interpolation::Bilinear)),
    Architecture::new("vit_h_14", VIT, |n, s| vit::vit(n, s, 14, 32, 1280, 16)).with(cropped(518, 518, Interpolation::Bicubic)),
    Architecture::new("swin_t", SWIN, |n, s| swin::swin(n, s, [2, 2, 6, 2], 96)).with(cropped(224, 232, Interpolation::Bicubic)),
    Architecture::new("swin_s", SWIN, |n, s| swin::swin(n, s, [2, 2, 18, 2], 96)).with(cropped(224, 246, Interpolation::Bicubic)),
    Architecture::new("swin_b", SWIN, |n, s| swin::swin(n, s, [2, 2, 18, 2], 128)).with(cropped(224, 238, Interpolation::Bicubic)),
];
