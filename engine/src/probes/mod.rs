//! The catalog of probes. A probe is one file in its family's folder with a [`params!`](crate::params!) block and a
//! [`Probe`](crate::probe::Probe) impl, named by a line in the folder's `mod.rs` and by one in [`catalog`]. The script
//! function, the reference, completion and the contract tests are made from these.
//!
//! The folders of the families ([`Family`](crate::probe::Family)): `Look` in `look`, `Where` in `attribution`, `Images` in
//! `retrieval`, `Dream` in `synthesis`, `Space` in `spatial`, `Measure` in `measure`, `Fool` in `attack`, `Humans` in `people`,
//! `Judge` in `judge`.

pub mod attack;
pub mod attribution;
pub mod judge;
pub mod look;
pub mod measure;
pub mod people;
pub mod retrieval;
pub mod spatial;
pub mod synthesis;

use crate::accumulators::{Fields, State};
use crate::error::{Error, Result, did_you_mean};
use crate::inspect::{Hits, Pairs};
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
    retrieval::features_by_layer::FeaturesByLayer,
    retrieval::basis_test::BasisTest,
    retrieval::codes::CodesOf,
    retrieval::tsne::Tsne,
    retrieval::mosaic::MosaicOf,
    retrieval::pca::PcaOf,
    retrieval::nearest::Nearest,
    spatial::correspondence::Correspondence,
    spatial::alignment::Alignment,
    spatial::keypoint_transfer::KeypointTransfer,
    spatial::keypoint_classification::KeypointClassification,
    spatial::keypoint_prediction::KeypointPrediction,
    spatial::feature_reconstruction::FeatureReconstruction,
    spatial::part_correspondence::PartCorrespondence,
    people::compare_with_humans::CompareWithHumans,
    people::shape_bias::ShapeBias,
    measure::accuracy_by_attribute::AccuracyByAttribute,
    measure::accuracy_by_class::AccuracyByClass,
    measure::accuracy_by_factor::AccuracyByFactor,
    measure::multi_label_accuracy::MultiLabelAccuracy,
    measure::calibration::Calibration,
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
    judge::compare_nets::CompareNets,
    judge::completeness::Completeness,
    judge::insertion_deletion::InsertionDeletion,
    judge::pointing_game::PointingGame,
    judge::localisation::Localisation,
    judge::sensitivity::Sensitivity,
    judge::model_randomization::ModelRandomization,
    judge::gradient_check::GradientCheck,
}

/// Joins the columns of states of one kind, of disjoint parts of a data set.
///
/// # Errors
/// Where no probe keeps states of that kind, or they do not fit each other.
pub fn merge_states(kind: &str, parts: Vec<Fields>) -> Result<Fields> {
    fn joined<S: State>(parts: Vec<Fields>) -> Result<Fields> {
        let mut states = parts.into_iter().map(|fields| S::read(&fields));
        let mut whole = states.next().ok_or_else(|| Error::internal("no state to merge"))??;
        states.try_for_each(|state| whole.merge(state?))?;
        Ok(whole.write())
    }
    type Merge = fn(Vec<Fields>) -> Result<Fields>;
    let known: [(&str, Merge); 6] = [
        (retrieval::top_activations::TopActivations::KIND, joined::<retrieval::top_activations::TopActivations>),
        (retrieval::coding::CodeRows::KIND, joined::<retrieval::coding::CodeRows>),
        (look::sparsity::Channels::KIND, joined::<look::sparsity::Channels>),
        (measure::accuracy_by_attribute::JudgedImages::KIND, joined::<measure::accuracy_by_attribute::JudgedImages>),
        (Hits::KIND, joined::<Hits>),
        (Pairs::KIND, joined::<Pairs>),
    ];
    let Some((_, merge)) = known.into_iter().find(|(name, _)| *name == kind) else {
        return Err(Error::unsupported(format!("states of kind `{kind}` are not known here"))
            .hint(format!("known are {}", known.map(|(name, _)| name).join(", "))));
    };
    merge(parts)
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
