//! The catalog of probes. A probe is one file in its family's folder with a [`params!`](crate::params!) block and a
//! [`Probe`](crate::probe::Probe) impl, named by a line in the folder's `mod.rs` and by one in [`catalog`]; the script function, the reference, completion and the contract tests
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

/// Makes [`catalog`] and [`all`] of one list.
macro_rules! catalog {
    ($($family:ident::$file:ident::$probe:ident,)+) => {
        /// Every probe, in the order of the reference.
        pub fn catalog() -> Vec<Entry> {
            vec![$(Entry::of::<$family::$file::$probe>()),+]
        }

        /// Every probe's type.
        pub mod all {
            $(pub use super::$family::$file::$probe;)+
        }
    };
}

catalog! {
    look::activations::Activations,
    look::filters::Filters,
    look::sparsity::Sparsity,
    look::operator_norms::OperatorNorms,
    look::checkpoints::Checkpoints,
    attribution::occlusion::Occlusion,
    attribution::gradient::Gradient,
    attribution::guided_backprop::GuidedBackprop,
    attribution::deconvnet::Deconvnet,
    attribution::gradient_x_input::GradientXInput,
    attribution::integrated_gradients::IntegratedGradients,
    attribution::smooth_grad::SmoothGrad,
    attribution::grad_cam::GradCam,
    attribution::grad_cam_plus_plus::GradCamPlusPlus,
    attribution::layer_cam::LayerCam,
    attribution::score_cam::ScoreCam,
    attribution::guided_grad_cam::GuidedGradCam,
    attribution::lrp::Lrp,
    attribution::deep_lift::DeepLift,
    attribution::rise::Rise,
    attribution::multi_crop::MultiCrop,
    attribution::d_rise::DRise,
    attribution::attention::Attention,
    attribution::attention_rollout::AttentionRollout,
    attribution::transformer_attribution::TransformerAttribution,
    attribution::saliency_box::SaliencyBox,
    retrieval::max_activating::MaxActivating,
    retrieval::basis_test::BasisTest,
    retrieval::codes::CodesOf,
    retrieval::tsne::Tsne,
    retrieval::pca::PcaOf,
    retrieval::nearest::Nearest,
    spatial::correspondence::Correspondence,
    spatial::alignment::Alignment,
    spatial::keypoint_transfer::KeypointTransfer,
    spatial::keypoint_classification::KeypointClassification,
    spatial::feature_reconstruction::FeatureReconstruction,
    spatial::part_correspondence::PartCorrespondence,
    people::compare_with_humans::CompareWithHumans,
    people::shape_bias::ShapeBias,
    measure::accuracy_by_attribute::AccuracyByAttribute,
    measure::perturbation_sweep::PerturbationSweep,
    measure::linear_probe::LinearProbe,
    measure::cka::Cka,
    measure::feature_distance::FeatureDistance,
    synthesis::class_model::ClassModel,
    synthesis::maximize::Maximize,
    synthesis::invert::Invert,
    synthesis::caricature::Caricature,
    attack::fgsm::Fgsm,
    attack::pgd::Pgd,
    attack::lbfgs::Lbfgs,
    attack::deep_fool::DeepFool,
    attack::carlini_wagner::CarliniWagner,
    attack::random_noise::RandomNoise,
    attack::fooling_image::FoolingImage,
    attack::map_elites::MapElites,
    attack::linear_template::LinearTemplate,
    attack::universal::Universal,
    attack::epsilon_sweep::EpsilonSweep,
    attack::logit_sweep::LogitSweep,
    attack::transfer_matrix::TransferMatrix,
    judge::compare::Compare,
    judge::completeness::Completeness,
    judge::insertion_deletion::InsertionDeletion,
    judge::pointing_game::PointingGame,
    judge::localisation::Localisation,
    judge::sensitivity::Sensitivity,
    judge::model_randomization::ModelRandomization,
    judge::gradient_check::GradientCheck,
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
