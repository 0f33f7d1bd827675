//! `cluster(..)`: a cluster answers the script's questions about data sets.

use crate::context::Context;
use crate::convert::options;
use crate::fault::Raise;
use crate::library::Library;
use crate::run::Run;
use crate::run::request::ClusterRequest;
use crate::run::states::{facts, ledger_of};
use convscope_engine::params::Params;
use convscope_engine::table::ClusterOptions;
use convscope_engine::{Error, Result, seal};
use rhai::Map;

/// Binds `cluster`.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "cluster(address: text)",
        "Evaluates the images of this script's data sets on the cluster whose scheduler listens at HOST:PORT. It \
         must be the first line of a script that `convscope run` runs. Probes whose states merge give the same bits \
         as one process; other questions about data sets are refused. Where the script is locked or verified, one \
         process evaluates all images.",
        move |address: &str| ask(&shared, address, &Map::new()).raise(),
    );
    let shared = context.clone();
    library.add("cluster(address: text, options: map)", "", move |address: &str, options: Map| {
        ask(&shared, address, &options).raise()
    });
}

fn ask(context: &Context, address: &str, given: &Map) -> Result<()> {
    let mut chosen = ClusterOptions::default();
    for (name, value) in options(given)? {
        chosen.set(&name, &value)?;
    }
    // A process with a ledger, or a sealed one, computes a task of a cluster itself.
    if context.job.ledger().is_some() || seal::is_held() {
        return Ok(());
    }
    let Some(source) = context.script() else {
        return Err(Error::unsupported("`cluster` is for whole scripts, which every machine runs")
            .hint("save it as a file, then: convscope run FILE --cluster HOST:PORT"));
    };
    let (place, params) = (context.place(), context.params());
    let request = ClusterRequest {
        address: address.to_string(),
        options: chosen,
        source: source.clone(),
        place: place.clone(),
        params: params.clone(),
        seed: context.job.seed,
        memory: context.job.memory,
    };
    let Some(states) = context.output.cluster(&request)? else { return Ok(()) };
    let run = Run { title: source.name.clone(), source, place, params };
    context.job.take_ledger(ledger_of(facts(&run)?, vec![(address.to_string(), states)]))
}
