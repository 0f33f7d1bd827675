//! The catalog of probes. A probe is one file in its family's folder with a [`params!`](crate::params!) block and a
//! [`Probe`](crate::probe::Probe) impl, plus its line in [`catalog`]; the script function, the reference, completion and the contract tests
//! follow from there.

pub mod attack;
pub mod attribution;
pub mod judge;
pub mod look;
pub mod measure;
pub mod people;
pub mod retrieval;
pub mod spatial;
pub mod synthesis;

use crate::error::{Error, Result, did_you_mean};
use crate::probe::Entry;

/// Every probe, in the order of the reference.
pub fn catalog() -> Vec<Entry> {
    vec![
        Entry::of::<look::activations::Activations>(),
        Entry::of::<look::filters::Filters>(),
        Entry::of::<look::sparsity::Sparsity>(),
        Entry::of::<attribution::occlusion::Occlusion>(),
        Entry::of::<attribution::gradient::Gradient>(),
        Entry::of::<attribution::gradient::GuidedBackprop>(),
        Entry::of::<attribution::gradient::Deconvnet>(),
        Entry::of::<attribution::gradient_x_input::GradientXInput>(),
        Entry::of::<attribution::integrated_gradients::IntegratedGradients>(),
        Entry::of::<attribution::smooth_grad::SmoothGrad>(),
        Entry::of::<attribution::cam::GradCam>(),
        Entry::of::<attribution::cam::GradCamPlusPlus>(),
        Entry::of::<attribution::cam::LayerCam>(),
        Entry::of::<attribution::cam::ScoreCam>(),
        Entry::of::<attribution::cam::GuidedGradCam>(),
        Entry::of::<attribution::lrp::Lrp>(),
        Entry::of::<attribution::deep_lift::DeepLift>(),
        Entry::of::<attribution::rise::Rise>(),
        Entry::of::<attribution::saliency_box::SaliencyBox>(),
        Entry::of::<retrieval::max_activating::MaxActivating>(),
        Entry::of::<retrieval::basis_test::BasisTest>(),
        Entry::of::<retrieval::codes::CodesOf>(),
        Entry::of::<retrieval::tsne::Tsne>(),
        Entry::of::<retrieval::pca::PcaOf>(),
        Entry::of::<retrieval::nearest::Nearest>(),
        Entry::of::<spatial::correspondence::Correspondence>(),
        Entry::of::<spatial::alignment::Alignment>(),
        Entry::of::<spatial::keypoint_transfer::KeypointTransfer>(),
        Entry::of::<spatial::keypoint_classification::KeypointClassification>(),
        Entry::of::<spatial::feature_reconstruction::FeatureReconstruction>(),
        Entry::of::<spatial::part_correspondence::PartCorrespondence>(),
        Entry::of::<people::compare_with_humans::CompareWithHumans>(),
        Entry::of::<people::shape_bias::ShapeBias>(),
        Entry::of::<measure::accuracy_by_attribute::AccuracyByAttribute>(),
        Entry::of::<measure::perturbation_sweep::PerturbationSweep>(),
        Entry::of::<synthesis::class_model::ClassModel>(),
        Entry::of::<synthesis::maximize::Maximize>(),
        Entry::of::<synthesis::invert::Invert>(),
        Entry::of::<synthesis::caricature::Caricature>(),
        Entry::of::<attack::fgsm::Fgsm>(),
        Entry::of::<attack::pgd::Pgd>(),
        Entry::of::<attack::lbfgs::Lbfgs>(),
        Entry::of::<attack::deep_fool::DeepFool>(),
        Entry::of::<attack::carlini_wagner::CarliniWagner>(),
        Entry::of::<attack::fooling_image::FoolingImage>(),
        Entry::of::<attack::linear_template::LinearTemplate>(),
        Entry::of::<attack::universal::Universal>(),
        Entry::of::<attack::epsilon_sweep::EpsilonSweep>(),
        Entry::of::<attack::transfer_matrix::TransferMatrix>(),
        Entry::of::<judge::compare::Compare>(),
        Entry::of::<judge::completeness::Completeness>(),
        Entry::of::<judge::insertion_deletion::InsertionDeletion>(),
        Entry::of::<judge::pointing_game::PointingGame>(),
        Entry::of::<judge::sensitivity::Sensitivity>(),
        Entry::of::<judge::model_randomization::ModelRandomization>(),
        Entry::of::<judge::gradient_check::GradientCheck>(),
    ]
}

/// The catalog's entry called `name`.
///
/// # Errors
/// Where there is none; the hint names the closest.
pub fn find(name: &str) -> Result<Entry> {
    let names: Vec<&'static str> = catalog().iter().map(Entry::name).collect();
    catalog().into_iter().find(|e| e.name() == name).ok_or_else(|| {
        let hint = did_you_mean(name, names).unwrap_or_else(|| "`convscope doc` lists all".to_string());
        Error::not_found(format!("no probe `{name}`")).hint(hint)
    })
}
