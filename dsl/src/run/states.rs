//! The states of a script's questions: the facts that must agree to join states, the states of a part of the images, and requests
//! to a cluster.

use super::engine;
use super::script::{Recording, Run};
use crate::output::Silent;
use crate::place::Place;
use convscope_engine::digest::digest;
use convscope_engine::error::Kind;
use convscope_engine::run::Numerics;
use convscope_engine::states::{Ledger, Listing, StateFile};
use convscope_engine::{Error, Job, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The facts that must be equal in states that are joined: engine, numerics, script, parameters.
///
/// # Errors
/// Where a kernel fails in the test of numerics, which is a defect.
pub fn facts(run: &Run) -> Result<BTreeMap<String, String>> {
    let (engine, numerics) = (engine(), Numerics::here()?);
    let params: BTreeMap<&String, &String> = run.params.iter().collect();
    let params = serde_json::to_string(&params).map_err(|e| Error::internal(e.to_string()))?;
    let all = [
        ("the version of convscope", engine.convscope),
        ("the digest of the engine's sources", engine.source),
        ("the target", engine.target),
        ("the class of numerics", numerics.probe),
        ("the script's digest", digest(run.source.text.as_bytes())),
        ("the set of parameters", params),
    ];
    Ok(all.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// The states of a script's questions about some images. Its output is discarded, and so are the files it saves.
///
/// # Errors
/// Where the script fails, or has no question whose state can be kept.
pub fn of_part(
    run: &Run,
    facts: &BTreeMap<String, String>,
    (part, listing): (Range<usize>, Option<Listing>),
    job: Job,
) -> Result<StateFile> {
    let aside = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), &e))?;
    let place = Place { inputs: run.place.inputs.clone(), outputs: aside.path().to_path_buf() };
    let run = Run { title: run.title.clone(), source: run.source.clone(), place, params: run.params.clone() };
    let mut ledger = Ledger::default();
    (ledger.part, ledger.listing, ledger.facts) = (Some(part), listing, facts.clone());
    let ledger = Arc::new(ledger);
    let executed = run.execute(job.with_ledger(ledger.clone()), Arc::new(Silent), Recording::default());
    if executed.result.interrupted {
        return Err(Error::new(Kind::Interrupted, "interrupted"));
    }
    if let Some(error) = &executed.result.error {
        let whole = Error::new(error.kind, error.message.clone());
        return Err(match &error.hint {
            Some(hint) => whole.hint(hint.clone()),
            None => whole,
        });
    }
    let file = ledger.file();
    match file.entries.is_empty() {
        true => Err(keeps_none(&run.source.file)),
        false => Ok(file),
    }
}

/// The error for a script without questions whose states can be kept.
pub fn keeps_none(script: &str) -> Error {
    Error::value(format!("`{script}` asks nothing whose state can be kept")).hint(
        "`max_activating`, `codes`, `sparsity`, `accuracy_by_attribute`, `accuracy_by_class`, `accuracy_by_factor`, `multi_label_accuracy`, \
         `net.accuracy(data)` and `net.confusion(data)` keep states",
    )
}

/// The ledger of a run that uses states computed before.
pub fn ledger_of(facts: BTreeMap<String, String>, given: Vec<(String, StateFile)>) -> Arc<Ledger> {
    let mut ledger = Ledger::default();
    (ledger.facts, ledger.given) = (facts, given);
    Arc::new(ledger)
}
