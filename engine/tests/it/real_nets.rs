//! Real nets against PyTorch, Captum and onnxruntime: the reference data, where it is there.

#![allow(clippy::unwrap_used)]

use crate::{golden, reference};
use std::path::Path;

use convscope_engine::data::load_tensor;
use convscope_engine::graph::NodeId;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::pass::{Seed, Tap};
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Model, Result, Tensor};

/// The 99.9 % quantile of the errors; the largest may be ten times that (a ReLU at its kink).
const LIMIT: f64 = 1e-4;

#[test]
fn real_nets_agree() {
    let (Some(oracle), Some(nets)) = (reference::data("oracle"), reference::data("nets")) else { return };
    let folders = std::fs::read_dir(&oracle).unwrap();
    let mut names: Vec<String> = folders.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in &names {
        let model = load(nets.join(format!("{name}.onnx")), &Options::default()).unwrap();
        net(&model, &oracle.join(name), &mut wrong).unwrap();
    }
    assert!(!names.is_empty());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn net(model: &Model, folder: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
    let layer = |key: &str| model.layer(meta[key].as_str().unwrap());
    let unit: Vec<usize> = meta["unit"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    layer("late")?;
    for photo in meta["photos"].as_array().unwrap() {
        let (photo, class) = (photo[0].as_str().unwrap(), photo[1].as_u64().unwrap() as usize);
        let x = load_tensor(folder.join(format!("{photo}.input.npy")))?;
        let trace = model.forward(&x, &Tap::All)?;
        let at = |id: NodeId, weights: &[(usize, f32)]| -> Result<Seed> {
            let dims = trace.get(id)?.dims();
            let mut seed = vec![0f32; dims.iter().product()];
            weights.iter().for_each(|(i, w)| seed[*i] = *w);
            Ok(vec![(id, Tensor::from_vec(seed, dims, &Device::Cpu)?)])
        };
        let class_seed = |c: usize| at(model.graph().scores(), &[(c, 1.0)]);
        let back = |seed: Seed, rules: Rules| trace.backward_to(model.graph().input(), seed, &rules);
        let (mid, early) = (layer("mid")?, layer("early")?);
        let pixels = model.graph().node(mid).shape[1..].iter().product::<usize>();
        let mean: Vec<(usize, f32)> = (3 * pixels..4 * pixels).map(|i| (i, 1.0 / pixels as f32)).collect();
        let &[_, height, width] = model.graph().node(early).shape.as_slice() else { panic!("not a map") };
        let place = (unit[0] * height + unit[1]) * width + unit[2];
        let cases = [
            ("logits", model.output(&x)?),
            ("activations_mid", trace.get(mid)?.narrow(1, 0, 16)?),
            ("gradient", back(class_seed(class)?, Rules::gradient())?),
            ("gradient_class7", back(class_seed(7)?, Rules::gradient())?),
            ("gradient_channel3_mid", back(at(mid, &mean)?, Rules::gradient())?),
            ("gradient_unit5_early", back(at(early, &[(place, 1.0)])?, Rules::gradient())?),
            ("guided_backprop", back(class_seed(class)?, Rules::guided_backprop())?),
            ("deconvnet", back(class_seed(class)?, Rules::deconvnet())?),
        ];
        let archive = folder.join(format!("{photo}.npz"));
        let file = std::fs::File::open(&archive).unwrap();
        let held: Vec<String> =
            zip::ZipArchive::new(file).unwrap().file_names().map(|n| n.unwrap().into_owned()).collect();
        for (case, ours) in cases.into_iter().filter(|(case, _)| held.contains(&format!("{case}.npy"))) {
            let [quantile, largest] = errors(&to_f64(&ours)?, &golden::array(&archive, &format!("{case}.npy")));
            let line = format!("{:24} {photo:10} {case:24} {quantile:.1e} max {largest:.1e}", model.card().name);
            println!("{line}");
            if !(quantile <= LIMIT && largest <= 10.0 * LIMIT) {
                wrong.push(line);
            }
        }
    }
    Ok(())
}

/// The 99.9 % quantile of |ours - theirs| / max|theirs| and its maximum.
fn errors(ours: &[f64], theirs: &[f32]) -> [f64; 2] {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(1e-12, |m: f64, v| m.max(f64::from(v.abs())));
    let mut all: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| (a - f64::from(*b)).abs() / largest).collect();
    all.sort_by(f64::total_cmp);
    [all[(all.len() - 1) * 999 / 1000], all[all.len() - 1]]
}
