//! Which architecture a weight file without a name holds: what its names and shapes prove, and what they leave open.

use super::timm_names::TIMM;
use super::values::{TWINS, VALUES};
use super::{ARCHITECTURES, Architecture, How};
use crate::graph::{Node, Op};
use crate::load::tensors::Tensors;

/// What a weight file never holds.
const UNTOLD: &str = "strides, dilations, pools, activations, padding and epsilons";

/// Families by the beginning of their names; all others are nets of inverted residuals.
const FAMILIES: [(&str, &str); 17] = [
    ("alexnet", "AlexNet"),
    ("vgg", "VGG"),
    ("squeezenet", "SqueezeNet"),
    ("resne", "ResNet"),
    ("wide_resnet", "ResNet"),
    ("seresne", "ResNet"),
    ("googlenet", "GoogLeNet"),
    ("densenet", "DenseNet"),
    ("inception", "Inception"),
    ("shufflenet", "ShuffleNet"),
    ("mnasnet0", "MNASNet"),
    ("mnasnet1", "MNASNet"),
    ("regnet", "RegNet"),
    ("convnext", "ConvNeXt"),
    ("vit", "ViT"),
    ("deit", "ViT"),
    ("swin", "Swin"),
];

/// ResNets whose shortcuts average before their convolutions.
const AVERAGED: [&str; 7] =
    ["resnet18d", "resnet26d", "resnet34d", "resnet50d", "resnet101d", "resnet152d", "resnext50d_32x4d"];

/// Added to the difference from an architecture that the names of the tensors disprove.
const DISPROVED: usize = usize::MAX / 2;

/// First convolutions by the names that timm alone gives them.
const TIMM_STEMS: [&str; 3] = ["stem.conv.weight", "patch_embed.proj.weight", "conv_stem.weight"];

/// What the names and shapes of a file's tensors say.
pub struct Recognised {
    /// The architecture that the file is read as.
    pub architecture: &'static Architecture,
    /// Whether the file holds as many values as that architecture has. Otherwise only the family is proved.
    pub exact: bool,
    /// Those that have the same tensors and compute something else.
    pub others: Vec<&'static Architecture>,
    /// Those that have the same tensors, compute the same, and take photos that are prepared in another way.
    pub prepared: Vec<&'static Architecture>,
}

/// An architecture that a file's names and shapes fit at the size that it is made for.
struct Fit {
    architecture: &'static Architecture,
    size: [usize; 2],
    /// By how many values the file differs from the architecture.
    off: usize,
}

/// The architecture whose number of values is the file's or closest to it, among those that its names and shapes fit; the first
/// of several, and timm's name before torchvision's where the file has timm's names.
pub fn recognised(tensors: &Tensors) -> Option<Recognised> {
    let fits: Vec<Fit> = ARCHITECTURES.iter().filter_map(|a| fit(a, tensors)).collect();
    let mut chosen = fits.iter().min_by_key(|fit| fit.off)?;
    let exact = chosen.off == 0;
    let ops = operations(chosen.architecture, tensors, chosen.size)?;
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for fit in fits.iter().filter(|fit| !std::ptr::eq(*fit, chosen) && (!exact || fit.off == 0)) {
        match operations(fit.architecture, tensors, chosen.size) {
            Some(own) if own == ops => same.push(fit),
            Some(_) => others.push(fit.architecture),
            None => {}
        }
    }
    let timm = |fit: &Fit| TIMM.iter().any(|a| a.name == fit.architecture.name);
    if exact
        && has_stem_of_timm(tensors)
        && !timm(chosen)
        && let Some(own) = same.iter().find(|fit| timm(fit))
    {
        chosen = *own;
    }
    let architecture = chosen.architecture;
    let differs = |a: &&Architecture| a.recipe != architecture.recipe && !std::ptr::eq(*a, architecture);
    let of_timm = timm(chosen);
    let prepared = match exact {
        true => same.iter().filter(|fit| timm(fit) == of_timm).map(|fit| fit.architecture).filter(differs).collect(),
        false => Vec::new(),
    };
    Some(Recognised { architecture, exact, others, prepared })
}

fn fit(architecture: &'static Architecture, tensors: &Tensors) -> Option<Fit> {
    let size = architecture.preprocess().map_or([224, 224], |p| [p.size.height, p.size.width]);
    let built = architecture.build(tensors, size, How { dry: true, ..How::default() }).ok()?;
    let known = VALUES.iter().filter(|(name, _)| *name == architecture.name);
    let mut off = known.map(|(_, values)| built.values.abs_diff(*values)).min().unwrap_or(0);
    let averages = |node: &Node| node.name == "layer2.0.downsample.0" && matches!(node.op, Op::AvgPool(_));
    let averaged = built.graph.nodes().iter().any(averages);
    if family(architecture.name) == "ResNet" && averaged != AVERAGED.contains(&architecture.name) {
        off = off.saturating_add(DISPROVED);
    }
    (!built.headless).then_some(Fit { architecture, size, off })
}

fn family(name: &str) -> &'static str {
    FAMILIES.iter().find(|(front, _)| name.starts_with(front)).map_or("inverted residuals", |(_, family)| family)
}

fn operations(architecture: &Architecture, tensors: &Tensors, size: [usize; 2]) -> Option<Vec<Op>> {
    let built = architecture.build(tensors, size, How { dry: true, ..How::default() }).ok()?;
    Some(built.graph.nodes().iter().map(|node| node.op.clone()).collect())
}

/// Whether a first convolution has the name that timm gives it, behind whatever prefix.
pub fn has_stem_of_timm(tensors: &Tensors) -> bool {
    let is =
        |name: &str, stem: &str| name.strip_suffix(stem).is_some_and(|front| front.is_empty() || front.ends_with('.'));
    tensors.names().any(|name| TIMM_STEMS.iter().any(|stem| is(name, stem)))
}

impl Recognised {
    /// What is proved to be the net's name: the architecture's, or only the family's.
    pub fn name(&self) -> &'static str {
        let name = self.architecture.name;
        if self.exact { name } else { family(name) }
    }

    /// The note for the user: what is proved, what is assumed, and which option says otherwise.
    pub fn note(&self) -> String {
        let name = self.architecture.name;
        let listed = |names: &[&str]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let names = |of: &[&'static Architecture]| of.iter().map(|a| a.name).collect::<Vec<_>>();
        let mut note = match self.exact {
            true => format!(
                "recognised as `{name}` by the names and shapes of its tensors; a weight file does not hold {UNTOLD}: \
                 those of `{name}` are assumed"
            ),
            false => format!(
                "the names and shapes of its tensors are of the family {}, but of no net that is known by name; \
                 a weight file does not hold {UNTOLD}: those of `{name}` are assumed",
                self.name()
            ),
        };
        let option = |arch: &str| format!("load_model(.., #{{ arch: \"{arch}\" }})");
        match names(&self.others)[..] {
            [] => note.push_str(&format!(", {} takes another's", option("NAME"))),
            [first, ..] => {
                let all = names(&self.others);
                note.push_str(&format!("; others are those of {}: {} takes these", listed(&all), option(first)));
            }
        }
        let twins: Vec<&str> =
            TWINS.iter().filter(|(of, _)| *of == name && self.exact).map(|(_, twin)| *twin).collect();
        if !twins.is_empty() {
            note.push_str(&format!("; timm's {} has the same tensors and is read from ONNX only", listed(&twins)));
        }
        if let [first, ..] = self.prepared[..] {
            let all = names(&self.prepared);
            note.push_str(&format!(
                "; {} is the same net for photos that are prepared in another way: {}",
                listed(&all),
                option(first.name)
            ));
        }
        note
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::load::zoo::architecture;

    #[test]
    fn a_note_says_what_is_proved_and_what_is_assumed() {
        let [first, other] = ["resnet18", "resnet18d"].map(|name| architecture(name).unwrap());
        let exact = Recognised { architecture: first, exact: true, others: vec![other], prepared: Vec::new() };
        assert_eq!(exact.name(), "resnet18");
        for part in [
            "recognised as `resnet18`",
            "does not hold strides",
            "`resnet18d`",
            "arch: \"resnet18d\"",
            "`resnetblur18`",
        ] {
            assert!(exact.note().contains(part), "{}", exact.note());
        }
        let family = Recognised { exact: false, others: Vec::new(), ..exact };
        assert_eq!(family.name(), "ResNet");
        assert!(!family.note().contains("recognised as"), "{}", family.note());
        assert!(family.note().contains("those of `resnet18` are assumed"), "{}", family.note());
    }

    #[test]
    fn every_family_has_a_name() {
        let family = |name| {
            let architecture = architecture(name).unwrap();
            Recognised { architecture, exact: false, others: Vec::new(), prepared: Vec::new() }.name()
        };
        assert_eq!(family("regnety_002"), "RegNet");
        assert_eq!(family("wide_resnet50_2"), "ResNet");
        assert_eq!(family("seresnext50_32x4d"), "ResNet");
        assert_eq!(family("efficientnet_lite2"), "inverted residuals");
    }
}
