//! The type of the functions that translate a node.

use super::scope::Scope;
use super::site::Site;
use super::value::Value;
use crate::error::Result;

/// Translates a node into graph nodes; returns the values of its outputs.
pub type Translate = fn(&mut Scope, &Site<'_>) -> Result<Vec<Value>>;
