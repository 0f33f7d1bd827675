//! The functions that scheduler, executors and clients know, and the settings that all of them need.

use crate::{exact, images, shards};
use ballista_core::extension::SessionConfigExt;
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

/// The longest message, bytes: a state is one value.
pub const MESSAGE: u32 = 1 << 30;

/// The settings of a session: `partitions` is into how many tasks a stage is cut.
pub fn config(partitions: usize) -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_target_partitions(partitions.max(1))
        // Adaptive planning does not go on where an executor was lost.
        .with_ballista_adaptive_query_planner(false)
        .with_ballista_grpc_client_max_message_size(MESSAGE as usize)
        // A task is one partition, so that a lost executor takes little with it.
        .set_usize("ballista.scheduler.max_partitions_per_task", 1)
}

/// A session that knows the functions.
///
/// # Errors
/// Where one cannot be registered.
pub fn state(config: SessionConfig) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new().with_default_features().with_config(config).build();
    register(&mut state)?;
    Ok(state)
}

/// Registers the functions.
///
/// # Errors
/// Where one cannot be registered.
pub fn register(state: &mut dyn FunctionRegistry) -> Result<()> {
    for function in [shards::probe_shard(), images::codes(), images::predict(), images::strongest()] {
        state.register_udf(Arc::new(function))?;
    }
    for function in [shards::merge_states(), exact::exact_mean(), exact::moments()] {
        state.register_udaf(Arc::new(function))?;
    }
    Ok(())
}
