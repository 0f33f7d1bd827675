//! The tests of the engine, a module a subject, in one program. `builders`, `golden`, `onnx_bytes`, `own_process`
//! and `reference` are what they share.
#![allow(clippy::unwrap_used)]

mod builders;
mod golden;
mod onnx_bytes;
mod own_process;
mod reference;

mod accuracy_by_attribute;
mod architectures;
mod ascent;
mod attacks;
mod attribution_maps;
mod attribution_metrics;
mod batch_invariance;
mod checkpoint_forms;
mod checkpoints;
mod compare_with_humans;
mod correspondence;
mod datasets;
mod deep_lift;
mod embedding;
mod equivalence;
mod fetched_nets;
mod figures;
mod filters;
mod gradients;
mod hub_answers;
mod hub_nets;
mod image_forms;
mod images;
mod incremental;
mod insertion_deletion;
mod interrupts;
mod kernels;
mod load_model;
mod lrp_conservation;
mod lrp_rules;
mod map_diagnosis;
mod max_activating;
mod model_randomization;
mod mutants;
mod onnx_files;
mod onnx_quirks;
mod onnx_values;
mod outputs;
mod part_correspondence;
mod pointing_game;
mod real_nets;
mod rectifier_rules;
mod retrieval;
mod rise;
mod score_cam;
mod sensitivity;
mod sparsity;
mod window_geometry;
