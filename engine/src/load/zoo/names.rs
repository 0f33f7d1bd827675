//! Renames a file's tensors to the names that the architecture expects.
//!
//! Training code wraps a net in modules of its own (`model.`, `backbone.`, `encoder_q.`), removes the classifier, or
//! chains a net's children, which then only have numbers. The prefix is found by counting how many names fit behind it.

use std::collections::{BTreeMap, BTreeSet};

use crate::load::tensors::Tensors;

/// How many components of a name may stand before the architecture's.
const MOST_PREFIX_COMPONENTS: usize = 6;

/// Of copies of one net, those that are taken first: the ones that are meant for use.
const PREFERRED_PREFIXES: [&str; 8] =
    ["teacher", "ema", "module", "model", "encoder_q", "online", "backbone", "encoder"];

/// `nn.Sequential(*list(resnet.children())[:-1])`: the children by their numbers.
const CHILDREN: [(&str, &str); 6] =
    [("0", "conv1"), ("1", "bn1"), ("4", "layer1"), ("5", "layer2"), ("6", "layer3"), ("7", "layer4")];

/// The tensors under the names that are `expected`, and notes on the renaming; `None` where no other names fit
/// better than those that they have.
pub fn fitted(tensors: &Tensors, expected: &BTreeSet<String>) -> Option<(Tensors, Vec<String>)> {
    let hits = |rename: &dyn Fn(&str) -> String| tensors.names().filter(|n| expected.contains(&rename(n))).count();
    let bare = hits(&|n| n.to_string());
    let fronts = fronts(tensors, expected);
    let rank = |front: &str| {
        let last = front.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        PREFERRED_PREFIXES
            .iter()
            .position(|f| *f == last || front.starts_with(&format!("{f}.")))
            .unwrap_or(PREFERRED_PREFIXES.len())
    };
    let best = fronts.iter().min_by_key(|(front, n)| (usize::MAX - **n, rank(front), front.as_str()));
    let behind = best.map_or(0, |(_, n)| *n);
    // Submodules saved alone: `vgg.features`, the children of a ResNet.
    let features = |n: &str| format!("features.{n}");
    let children = |n: &str| {
        let (first, rest) = n.split_once('.').unwrap_or((n, ""));
        CHILDREN.iter().find(|(number, _)| *number == first).map_or(n.to_string(), |(_, name)| format!("{name}.{rest}"))
    };
    type Rename<'a> = &'a dyn Fn(&str) -> String;
    let before: [(&str, Rename<'_>); 2] =
        [("the file holds the net's `features` alone", &features), ("the file numbers the net's children", &children)];
    for (note, rename) in before {
        if hits(rename) > bare.max(behind) {
            return Some((tensors.clone().renamed(rename), vec![note.to_string()]));
        }
    }
    let (front, _) = best.filter(|(_, n)| **n > bare)?;
    let others: Vec<&str> =
        fronts.iter().filter(|(f, n)| *f != front && **n == behind).map(|(f, _)| f.as_str()).collect();
    let mut notes = Vec::new();
    let mut outside = BTreeSet::new();
    let mut out = tensors.clone().selected(|name| match name.strip_prefix(front.as_str()) {
        Some(rest) => Some(rest.to_string()),
        // A classifier beside the prefix under its own name.
        None if expected.contains(name) && tensors.view(&format!("{front}{name}")).is_none() => Some(name.to_string()),
        None => {
            outside.insert(name.split('.').next().unwrap_or(name).to_string());
            None
        }
    });
    let parts = |names: &[&str]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        notes.push(format!("the weights are those under `{front}`; the file also holds {}", parts(&others)));
    } else if !outside.is_empty() {
        let outside: Vec<&str> = outside.iter().map(String::as_str).take(8).collect();
        notes.push(format!("the weights are those under `{front}`; what is under {} is left out", parts(&outside)));
    }
    out.notes.clone_from(&tensors.notes);
    Some((out, notes))
}

/// The first tensor of each architecture whose sizes are the file's; its prefix is that of all tensors.
const STEMS: [&str; 13] = [
    "features.0.0.weight",
    "conv_stem.weight",
    "patch_embed.proj.weight",
    "conv_proj.weight",
    "stem.0.weight",
    "stem.conv.weight",
    "conv1.0.weight",
    "layers.0.weight",
    "Conv2d_1a_3x3.conv.weight",
    "stages.0.blocks.0.gamma",
    "layers.0.blocks.0.norm1.weight",
    "blocks.0.norm1.weight",
    "encoder.pos_embedding",
];

/// The tensors without the one prefix under which a stem of [`STEMS`] stands, with a note, where there is none without.
pub fn unwrapped(tensors: &Tensors) -> Option<(Tensors, String)> {
    if tensors.names().any(|n| STEMS.contains(&n)) {
        return None;
    }
    let stem = |name: &str| STEMS.iter().find_map(|stem| name.strip_suffix(stem)).map(str::to_string);
    let mut fronts: Vec<String> = tensors.names().filter_map(stem).filter(|f| f.ends_with('.')).collect();
    fronts.sort_by_key(|f| (f.len(), f.clone()));
    let front = fronts.into_iter().next()?;
    // A single prefix that all names have is no choice and needs no note; a classifier beside it keeps its name.
    let outside = tensors.names().filter(|n| !n.starts_with(&front)).count();
    let note = format!("the weights are those under `{front}`; {outside} tensors beside it keep their names");
    let out = tensors.clone().selected(|name| Some(name.strip_prefix(front.as_str()).unwrap_or(name).to_string()));
    Some((out, note))
}

/// The prefixes of expected names in the file, each with the number of names that have it.
fn fronts(tensors: &Tensors, expected: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in tensors.names() {
        for (at, _) in name.match_indices('.').take(MOST_PREFIX_COMPONENTS) {
            if expected.contains(&name[at + 1..]) {
                *counts.entry(name[..=at].to_string()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// Whether two names are in the order in which modules run: numbers by their size.
pub fn in_order(a: &str, b: &str) -> std::cmp::Ordering {
    let key = |name: &str| -> Vec<(u64, String)> {
        name.split('.').map(|part| part.parse().map_or((u64::MAX, part.to_string()), |n| (n, String::new()))).collect()
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_run_in_the_order_of_their_numbers() {
        let mut names = ["fc.10", "fc.2", "fc", "fc.1.3", "fc.1.0", "fc.out"];
        names.sort_by(|a, b| in_order(a, b));
        assert_eq!(names, ["fc", "fc.1.0", "fc.1.3", "fc.2", "fc.10", "fc.out"]);
    }
}
