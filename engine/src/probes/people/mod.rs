//! Nets beside people.

pub mod compare_with_humans;
pub mod shape_bias;
