//! Titles of figures: an artifact's title has the names of probes in scripts, a figure's those in papers.

/// Probes whose usual name is not their own with spaces for underscores.
const PAPER_NAMES: [(&str, &str); 34] = [
    ("carlini_wagner", "Carlini-Wagner"),
    ("cka", "CKA"),
    ("class_model", "class model"),
    ("compare_with_humans", "comparison with people"),
    ("d_rise", "D-RISE"),
    ("deconvnet", "DeconvNet"),
    ("deep_fool", "DeepFool"),
    ("deep_lift", "DeepLIFT"),
    ("attention_rollout", "attention rollout"),
    ("fgsm", "FGSM"),
    ("fooling_image", "fooling image"),
    ("grad_cam", "Grad-CAM"),
    ("grad_cam_plus_plus", "Grad-CAM++"),
    ("gradient_x_input", "gradient × input"),
    ("guided_backprop", "guided backprop"),
    ("guided_grad_cam", "guided Grad-CAM"),
    ("insertion_deletion", "insertion and deletion"),
    ("integrated_gradients", "integrated gradients"),
    ("layer_cam", "LayerCAM"),
    ("lbfgs", "L-BFGS"),
    ("linear_template", "linear template"),
    ("logit_sweep", "logit sweep"),
    ("lrp", "LRP"),
    ("map_elites", "MAP-Elites"),
    ("multi_crop", "multi-crop"),
    ("pgd", "PGD"),
    ("random_noise", "random noise"),
    ("rise", "RISE"),
    ("saliency_box", "saliency box"),
    ("score_cam", "Score-CAM"),
    ("smooth_grad", "SmoothGrad"),
    ("transfer_matrix", "transfer matrix"),
    ("transformer_attribution", "transformer attribution"),
    ("tsne", "t-SNE"),
];

/// A title as a figure's headline: usual names of probes, the net named once, and a capital letter where it is `first` on the page
/// and does not begin with a name.
pub fn headline(title: &str, first: bool) -> String {
    let once = match title.rsplit_once(" in ") {
        Some((head, net)) if head.ends_with(&format!(" of {net}")) => head,
        _ => title,
    };
    let said: Vec<String> = once.split(' ').map(usual).collect();
    let said = said.join(" ");
    let opening = once.split(' ').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' && usual(opening) != opening;
    let word = opening.chars().all(plain) && (opening.len() > 1 || opening == "a");
    match first && word && said.starts_with(|c: char| c.is_ascii_lowercase()) && !said.starts_with("t-") {
        true => said[..1].to_uppercase() + &said[1..],
        false => said,
    }
}

/// A word, or its usual name; punctuation behind it stays.
fn usual(word: &str) -> String {
    let bare = word.trim_end_matches([',', ':', '.', ';']);
    match PAPER_NAMES.iter().find(|(name, _)| *name == bare) {
        Some((_, name)) => format!("{name}{}", &word[bare.len()..]),
        None => word.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::headline;

    #[test]
    fn probes_have_their_usual_names_and_nets_are_said_once() {
        for (title, said) in [
            ("grad_cam of triangle in shapes", "Grad-CAM of triangle in shapes"),
            ("gradient_x_input of ring in shapes", "Gradient × input of ring in shapes"),
            ("filters of shapes in shapes", "Filters of shapes"),
            ("carlini_wagner on an image, shapes", "Carlini-Wagner on an image, shapes"),
            ("conv1: 16 maps of 64 x 64", "conv1: 16 maps of 64 x 64"),
            ("t-SNE of 20 codes at mean", "t-SNE of 20 codes at mean"),
            ("20 codes", "20 codes"),
            ("tsne of 20 codes", "t-SNE of 20 codes"),
            ("random_noise on an image", "Random noise on an image"),
            ("fc_out of ring", "fc_out of ring"),
            ("", ""),
            ("é", "é"),
        ] {
            assert_eq!(headline(title, true), said);
        }
        assert_eq!(headline("gradient", false), "gradient");
        assert_eq!(headline("lrp", false), "LRP");
    }
}
