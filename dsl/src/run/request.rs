//! What a cluster is asked.

use super::source::Source;
use crate::place::Place;
use convscope_engine::table::ClusterOptions;
use std::collections::BTreeMap;

/// A request to a cluster.
#[derive(Clone, Debug)]
pub struct ClusterRequest {
    /// The address of its scheduler: HOST:PORT.
    pub address: String,
    /// How the images are divided among tasks.
    pub options: ClusterOptions,
    /// The script.
    pub source: Source,
    /// The script's folders; the folder of outputs also has what a resumed run needs.
    pub place: Place,
    /// The values that `param` returns.
    pub params: BTreeMap<String, String>,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The memory that probes may use, bytes.
    pub memory: u64,
}
