//! What is in a net: activations, filters, sparsity.

pub mod activations;
pub mod checkpoints;
pub mod filters;
pub mod operator_norms;
pub mod sparsity;
