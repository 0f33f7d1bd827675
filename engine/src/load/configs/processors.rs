//! The image processors of Hugging Face's transformers: what each takes a number for, does where its configuration is silent, and
//! does besides resize, crop, rescaling and normalisation.

use crate::data::Interpolation;

/// What an image processor does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processor {
    /// Its class's name without `ImageProcessor` or `FeatureExtractor`.
    pub name: &'static str,
    /// The `model_type`s of configurations that it belongs to, where they name no processor.
    models: &'static [&'static str],
    /// Whether a size of one number is the side of a square; else it is the short side.
    pub square: bool,
    /// Whether it crops where nothing is said of it.
    pub crops: bool,
    /// Whether it normalises where nothing is said of it.
    pub normalises: bool,
    /// The mean and deviation where nothing is said of them, if there are any.
    pub colours: Option<([f64; 3], [f64; 3])>,
    /// The interpolation where nothing is said of it.
    pub interpolation: Interpolation,
    /// What it does in its own way.
    pub way: Way,
}

/// What a processor does in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing: resize, centre crop, rescaling, normalisation.
    Plain,
    /// Below 384 pixels a short side of size / `crop_pct` and a crop of the size, else a squashed photo.
    ConvNext,
    /// A short side of size / `crop_pct`.
    PoolFormer,
    /// A short side of 256/224 of the size.
    Levit,
    /// Blue, green, red where `do_flip_channel_order` holds, and no normalisation.
    MobileVit,
    /// An offset of -1 (`rescale_offset`), and a second division by the deviation (`include_top`).
    EfficientNet,
    /// A crop before the resize.
    Perceiver,
}

const HALF: Option<([f64; 3], [f64; 3])> = Some(([0.5; 3], [0.5; 3]));
const IMAGENET: Option<([f64; 3], [f64; 3])> = Some(([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
const CLIP: Option<([f64; 3], [f64; 3])> =
    Some(([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]));

/// A processor that takes a number for the side of a square and does not crop.
const SQUARE: Processor = Processor {
    name: "",
    models: &[],
    square: true,
    crops: false,
    normalises: true,
    colours: HALF,
    interpolation: Interpolation::Bicubic,
    way: Way::Plain,
};

/// A processor that takes a number for the short side and crops.
const SHORT_SIDE: Processor = Processor { square: false, crops: true, ..SQUARE };

/// A processor of detectors, that takes the short side and limits the long one.
const DETECTOR: Processor =
    Processor { crops: false, colours: IMAGENET, interpolation: Interpolation::Bilinear, ..SHORT_SIDE };

const BILINEAR: Interpolation = Interpolation::Bilinear;

/// The processor that is assumed where none, or an unknown one, is named.
pub const UNKNOWN: Processor = Processor { colours: None, interpolation: BILINEAR, ..SQUARE };

/// The processors of nets that take one photo of a fixed size.
const PROCESSORS: [Processor; 40] = [
    Processor {
        name: "ViT",
        models: &[
            "vit",
            "swin",
            "swinv2",
            "vit_mae",
            "vit_msn",
            "ijepa",
            "swiftformer",
            "clipseg",
            "dinat",
            "mgp-str",
            "trocr",
        ],
        interpolation: BILINEAR,
        ..SQUARE
    },
    Processor { name: "DeiT", models: &["deit"], crops: true, ..SQUARE },
    Processor { name: "Beit", models: &["beit", "data2vec-vision"], ..SQUARE },
    Processor { name: "Pvt", models: &["pvt", "pvt_v2"], colours: IMAGENET, ..SQUARE },
    Processor { name: "Siglip", models: &["siglip"], square: false, ..SQUARE },
    Processor { name: "Blip", models: &["blip", "blip-2", "instructblip"], colours: CLIP, ..SQUARE },
    Processor { name: "Flava", models: &["flava"], crops: true, colours: CLIP, ..SQUARE },
    Processor { name: "OwlViT", models: &["owlvit"], colours: CLIP, ..SQUARE },
    Processor { name: "DPT", models: &["dpt", "depth_anything"], ..SQUARE },
    Processor { name: "PromptDepthAnything", ..SQUARE },
    Processor { name: "DepthPro", interpolation: BILINEAR, ..SQUARE },
    Processor {
        name: "Segformer",
        models: &["segformer", "upernet"],
        colours: IMAGENET,
        interpolation: BILINEAR,
        ..SQUARE
    },
    Processor { name: "DINOv3ViT", colours: IMAGENET, interpolation: BILINEAR, ..SQUARE },
    Processor { name: "LayoutLMv3", models: &["layoutlmv3", "udop"], interpolation: BILINEAR, ..SQUARE },
    Processor { name: "SegGpt", colours: IMAGENET, ..SQUARE },
    Processor { name: "Sam2", colours: IMAGENET, interpolation: BILINEAR, ..SQUARE },
    Processor { name: "RTDetr", models: &["rt_detr", "rt_detr_v2", "d_fine"], normalises: false, ..DETECTOR },
    Processor { name: "EfficientNet", models: &["efficientnet", "align"], way: Way::EfficientNet, ..SQUARE },
    Processor {
        name: "Perceiver",
        models: &["perceiver"],
        crops: true,
        colours: IMAGENET,
        way: Way::Perceiver,
        ..SQUARE
    },
    Processor {
        name: "CLIP",
        models: &["clip", "altclip", "git", "groupvit", "mlcd", "xclip", "aimv2"],
        colours: CLIP,
        ..SHORT_SIDE
    },
    Processor { name: "ChineseCLIP", models: &["chinese_clip"], colours: CLIP, ..SHORT_SIDE },
    Processor { name: "Bit", models: &["bit", "dinov2", "focalnet", "hiera"], colours: CLIP, ..SHORT_SIDE },
    Processor { name: "ViTHybrid", models: &["vit-hybrid"], ..SHORT_SIDE },
    Processor { name: "MobileNetV1", models: &["mobilenet_v1"], interpolation: BILINEAR, ..SHORT_SIDE },
    Processor { name: "MobileNetV2", models: &["mobilenet_v2"], interpolation: BILINEAR, ..SHORT_SIDE },
    Processor { name: "VideoMAE", models: &["videomae", "timesformer"], interpolation: BILINEAR, ..SHORT_SIDE },
    Processor {
        name: "MobileViT",
        models: &["mobilevit", "mobilevitv2"],
        normalises: false,
        way: Way::MobileVit,
        ..SHORT_SIDE
    },
    Processor { name: "Levit", models: &["levit"], colours: IMAGENET, way: Way::Levit, ..SHORT_SIDE },
    Processor { name: "PoolFormer", models: &["poolformer"], colours: IMAGENET, way: Way::PoolFormer, ..SHORT_SIDE },
    Processor {
        name: "ConvNext",
        models: &["convnext", "convnextv2", "resnet", "regnet", "cvt", "van"],
        crops: false,
        way: Way::ConvNext,
        ..SHORT_SIDE
    },
    Processor { name: "Detr", models: &["detr", "table-transformer", "omdet-turbo"], ..DETECTOR },
    Processor { name: "ConditionalDetr", models: &["conditional_detr"], ..DETECTOR },
    Processor { name: "DeformableDetr", models: &["deformable_detr", "lw_detr"], ..DETECTOR },
    Processor { name: "GroundingDino", models: &["grounding-dino"], ..DETECTOR },
    Processor { name: "RfDetr", models: &["rf_detr"], ..DETECTOR },
    Processor { name: "Yolos", models: &["yolos"], ..DETECTOR },
    Processor { name: "MaskFormer", models: &["maskformer"], ..DETECTOR },
    Processor { name: "Mask2Former", models: &["mask2former"], ..DETECTOR },
    Processor { name: "OneFormer", models: &["oneformer"], ..DETECTOR },
    Processor { name: "Sam", models: &["sam", "sam_hq"], square: true, ..DETECTOR },
];

/// The processor whose class is called `class`: `ViTImageProcessor`, `ViTImageProcessorFast`, `ViTFeatureExtractor`.
pub fn named(class: &str) -> Option<&'static Processor> {
    let class = ["Fast", "Pil"].iter().find_map(|end| class.strip_suffix(end)).unwrap_or(class);
    let name = ["ImageProcessor", "FeatureExtractor"].iter().find_map(|end| class.strip_suffix(end))?;
    PROCESSORS.iter().find(|p| p.name == name)
}

/// The processor of nets whose configuration has this `model_type`.
pub fn of_model(model_type: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().find(|p| p.models.contains(&model_type))
}

/// Keys that change nothing of how one photo becomes an input: what belongs to annotations, to text, to files and to batches.
pub const IDLE: &[&str] = &[
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "tokenizer_class",
    "auto_map",
    "model_input_names",
    "model_type",
    "transformers_version",
    "_valid_processor_keys",
    "_commit_hash",
    "name_or_path",
    "architecture",
    "data_format",
    "input_data_format",
    "return_tensors",
    "disable_grouping",
    "device",
    "do_convert_rgb",
    "image_seq_length",
    "do_reduce_labels",
    "reduce_labels",
    "format",
    "do_convert_annotations",
    "ignore_index",
    "num_labels",
    "num_text",
    "num_classes",
    "class_info_file",
    "repo_path",
    "metadata",
    "mask_size",
    "mask_pad_size",
    "id2label",
    "label2id",
    "do_resize_and_center_crop",
    // Sizes in the files are multiples of it already.
    "ensure_multiple_of",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_is_found_by_its_class_and_by_its_models() {
        for class in ["ConvNextImageProcessor", "ConvNextImageProcessorFast", "ConvNextFeatureExtractor"] {
            assert_eq!(named(class).map(|p| p.way), Some(Way::ConvNext), "{class}");
        }
        assert_eq!(of_model("regnet").map(|p| p.name), Some("ConvNext"));
        assert!(named("ViT").is_none() && named("FooImageProcessor").is_none() && of_model("foo").is_none());
        for (i, one) in PROCESSORS.iter().enumerate() {
            assert!(!one.name.is_empty() && PROCESSORS[..i].iter().all(|p| p.name != one.name), "{}", one.name);
            let twice = one.models.iter().find(|m| PROCESSORS[..i].iter().any(|p| p.models.contains(m)));
            assert!(twice.is_none(), "{twice:?}");
        }
    }
}
