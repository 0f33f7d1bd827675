//! Results have the same bits under all vector instructions: those of every probe's example, those of sixteen probes on nets of
//! seven kinds, and, without vectors, those of the sixteen on the embedded net.

mod nets;

use crate::{catalog, instruction_sets, shown};
use convscope_engine::probes;
use std::fmt::Write as _;

/// Questions to a net of ten classes, about one image, which many of them vary in batches, or about several.
const QUESTIONS: [&str; 16] = [
    "activations().run(layer, image)",
    "codes().run(net, data)",
    "occlusion(#{ patch: 16, stride: 12 }).run(class, image)",
    "gradient().run(class, image)",
    "guided_backprop().run(class, image)",
    "gradient_x_input().run(class, image)",
    "integrated_gradients(#{ steps: 8 }).run(class, image)",
    "smooth_grad(gradient(), #{ samples: 6 }).run(class, image)",
    "grad_cam().run(class, image)",
    "score_cam().run(class, image)",
    "lrp(#{ rule: \"epsilon_plus\" }).run(class, image)",
    "deep_lift().run(class, image)",
    "rise(#{ masks: 48 }).run(class, image)",
    "class_model(#{ steps: 6 }).run(class)",
    "invert(#{ steps: 4 }).run(layer, image)",
    "pgd(#{ steps: 5 }).run(net, image)",
];

/// The questions to a net, which an expression of the script language loads.
fn asked(net: &str) -> String {
    let at_hand = "let data = shapes(#{ n: 6, seed: 11 }); let image = data[4]; let class = net.class(2);";
    let mut script = format!("let net = {net}; {at_hand} let layer = net.layers[net.layers.len() / 2];\n");
    QUESTIONS.iter().for_each(|question| writeln!(script, "show({question});").unwrap());
    script
}

/// Holds what a script shows under one choice of vector instructions against what it shows under another.
fn agree(script: &str, count: usize, [one, other]: [Option<&str>; 2]) {
    let (one, other) = (shown::arrays(script, "2", one), shown::arrays(script, "2", other));
    assert!(one.len() >= count && one.len() == other.len(), "{} and {} of {count}", one.len(), other.len());
    for (a, b) in one.iter().zip(&other) {
        assert_eq!(a, b);
    }
}

const WIDE_AND_NARROW: [Option<&str>; 2] = [Some("avx512"), Some("avx2")];

#[test]
fn the_width_of_vectors_changes_no_bit_of_an_example() {
    if instruction_sets::has_both() {
        agree(&catalog::script(), probes::catalog().len(), WIDE_AND_NARROW);
    }
}

#[test]
fn the_width_of_vectors_changes_no_bit_on_nets_of_seven_kinds() {
    if !instruction_sets::has_both() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut nets = vec![r#"load_model("shapes")"#.to_string()];
    nets.push(format!(
        r#"load_model("{}/scripts/nets/vit.onnx", #{{ resize: "direct" }})"#,
        env!("CARGO_MANIFEST_DIR")
    ));
    for (name, file) in nets::files() {
        let path = folder.path().join(name).with_extension("onnx");
        std::fs::write(&path, file).unwrap();
        nets.push(format!(r#"load_model("{}", #{{ resize: "direct" }})"#, path.display()));
    }
    let script: String = nets.iter().map(|net| format!("{{ {} }}\n", asked(net))).collect();
    agree(&script, nets.len() * QUESTIONS.len(), WIDE_AND_NARROW);
}

#[test]
fn a_machine_without_vectors_gets_the_same_bits() {
    agree(&asked(r#"load_model("shapes")"#), QUESTIONS.len(), [None, Some("portable")]);
}
