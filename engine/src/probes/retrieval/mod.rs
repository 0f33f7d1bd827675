//! Which images: those that activate a channel most, codes, neighbours, embeddings.

pub mod basis_test;
pub mod codes;
pub mod coding;
pub mod embedding;
pub mod features_by_layer;
pub mod max_activating;
pub mod mosaic;
pub mod nearest;
pub mod pca;
pub mod top_activations;
pub mod tsne;
