//! States of shards: the same at every partitioning, and what does not belong together is refused by name.

use convscope_engine::inspect::Evaluate as _;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::probes::{find, merge_states};
use convscope_engine::shapes::{Shapes, net, shapes};
use convscope_engine::states::{Ledger, StateFile, merge};
use convscope_engine::{Artifact, Input, Job, Model, Result, Subject};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const IMAGES: usize = 45;

fn asked() -> (Model, Input) {
    let mut options = Shapes::default();
    options.set("n", &Value::Int(IMAGES as i64)).unwrap();
    (net::load().unwrap(), Input::Data(shapes(&options).unwrap()))
}

/// What a script asks: every kind of state.
fn ask(model: &Model, input: &Input, job: &Job) -> Result<Vec<Artifact>> {
    let layer = Subject::Layer { model: model.clone(), node: model.layer("conv3")? };
    let whole = Subject::Model(model.clone());
    let probe = |name: &str, options: &[(&str, Value)], on: &Subject| {
        let options = options.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
        find(name)?.build(&[], &options)?.ask(on, input, job)
    };
    Ok(vec![
        probe("max_activating", &[("top", Value::Int(3)), ("show", Value::Int(1))], &layer)?,
        probe("codes", &[("predictions", Value::Bool(true))], &whole)?,
        probe("sparsity", &[], &whole)?,
        probe(
            "accuracy_by_attribute",
            &[
                ("by", Value::Text("clutter".into())),
                ("within", Value::Text("scale".into())),
                ("rounds", Value::Int(100)),
            ],
            &whole,
        )?,
        model.accuracy(&input.data()?, job)?,
        model.confusion(&input.data()?, job)?,
    ])
}

/// Bits of all arrays, tables and notes.
fn bits(all: &[Artifact]) -> Vec<String> {
    let array = |t: &convscope_engine::Tensor| {
        let values = convscope_engine::tensor::to_f64(t).unwrap();
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        format!("{:?} {:?} {bits:?}", t.dtype(), t.dims())
    };
    let one = |a: &Artifact| {
        let arrays: BTreeMap<_, _> = a.data.iter().map(|(name, t)| (name.clone(), array(t))).collect();
        format!("{} {arrays:?} {:?} {:?} {}", a.title, a.table().map(|t| t.rows().to_vec()), a.notes, a.complete)
    };
    all.iter().map(one).collect()
}

fn facts() -> BTreeMap<String, String> {
    [("the engine".to_string(), "one".to_string())].into()
}

fn ledger(part: Option<Range<usize>>, folder: Option<&Path>, given: Vec<(String, StateFile)>) -> Arc<Ledger> {
    let mut ledger = Ledger::default();
    (ledger.part, ledger.facts, ledger.given) = (part, facts(), given);
    (ledger.folder, ledger.wave) = (folder.map(Path::to_path_buf), Some(7));
    Arc::new(ledger)
}

fn shard(range: Range<usize>, seed: u64) -> StateFile {
    let (model, input) = asked();
    let ledger = ledger(Some(range), None, Vec::new());
    let mut job = Job::new().with_ledger(ledger.clone());
    job.seed = seed;
    ask(&model, &input, &job).unwrap();
    ledger.file()
}

fn joined(parts: &[(&str, &StateFile)]) -> Result<StateFile> {
    merge(parts.iter().map(|(name, file)| (name.to_string(), Ok((*file).clone()))), merge_states)
}

#[test]
fn shards_join_to_the_bits_of_one_process() {
    let (model, input) = asked();
    let whole = ask(&model, &input, &Job::new()).unwrap();
    let mut first: Option<Vec<u8>> = None;
    for ways in [1, 3, 7] {
        let parts: Vec<StateFile> = (0..ways).map(|i| shard(IMAGES * i / ways..IMAGES * (i + 1) / ways, 0)).collect();
        // Through files, the last one first.
        let read: Vec<StateFile> = parts.iter().rev().map(|p| StateFile::of(&p.bytes().unwrap()).unwrap()).collect();
        assert!(read.iter().rev().eq(&parts));
        let state = merge(read.into_iter().enumerate().map(|(i, p)| (i.to_string(), Ok(p))), merge_states).unwrap();
        assert_eq!(state.entries.len(), 6);
        assert!(state.entries.iter().all(|e| e.gaps().unwrap().is_empty()));
        let bytes = state.bytes().unwrap();
        assert_eq!(first.get_or_insert(bytes.clone()), &bytes, "{ways} shards");
        let job = Job::new().with_ledger(ledger(None, None, vec![("all".into(), state)]));
        assert_eq!(bits(&ask(&model, &input, &job).unwrap()), bits(&whole), "{ways} shards");
    }
}

#[test]
fn what_is_missing_is_computed_and_waves_are_gone_on_with() {
    let (model, input) = asked();
    let whole = bits(&ask(&model, &input, &Job::new()).unwrap());
    let part = shard(10..20, 0);
    let gaps = part.entries[0].gaps().unwrap();
    assert_eq!(gaps, [0..10, 20..IMAGES]);
    let job = Job::new().with_ledger(ledger(None, None, vec![("a part".into(), part)]));
    assert_eq!(bits(&ask(&model, &input, &job).unwrap()), whole);
    // Waves of seven images are kept; what was stopped goes on behind them.
    let folder = tempfile::tempdir().unwrap();
    let stopped = ledger(Some(0..IMAGES), Some(folder.path()), Vec::new());
    ask(&model, &input, &Job::new().with_ledger(stopped.clone())).unwrap();
    let waves: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(waves.len(), 6 * IMAGES.div_ceil(7));
    for (i, wave) in waves.iter().enumerate() {
        match i % 3 {
            0 => std::fs::remove_file(wave).unwrap(),
            1 => std::fs::write(wave, b"cut off").unwrap(),
            _ => {}
        }
    }
    let again = ledger(Some(0..IMAGES), Some(folder.path()), Vec::new());
    assert_eq!(bits(&ask(&model, &input, &Job::new().with_ledger(again.clone())).unwrap()), whole);
    assert_eq!(again.file().bytes().unwrap(), stopped.file().bytes().unwrap());
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let (a, b) = (shard(0..20, 0), shard(20..IMAGES, 0));
    let refused = |parts: &[(&str, &StateFile)]| joined(parts).unwrap_err();
    let e = refused(&[("a", &a), ("b", &b), ("c", &shard(15..20, 0))]);
    assert!(e.message == "images 15 to 19 are in `a` and in `c`" && e.hint.is_some(), "{e}");
    let mut other = b.clone();
    other.entries[2].question.nets[0].weights = "f".repeat(64);
    let e = refused(&[("a", &a), ("b", &other)]);
    assert!(e.message.contains("`b`") && e.message.contains("the net `shapes` has other weights: BLAKE3 ffff"), "{e}");
    let e = refused(&[("a", &a), ("b", &shard(20..IMAGES, 1))]);
    assert!(e.message.contains("the seed is 1 there, 0 here"), "{e}");
    let mut other = b.clone();
    other.facts.insert("the engine".into(), "two".into());
    assert!(refused(&[("a", &a), ("b", &other)]).message.contains("the engine is two there, one here"));
    // A state that was changed or cut off is damaged; one of another version is told as such.
    let bytes = a.bytes().unwrap();
    let last = bytes.len() - 1;
    let mut changed = bytes.clone();
    changed[last] ^= 1;
    assert!(StateFile::of(&changed).unwrap_err().message.contains("damaged"));
    assert!(StateFile::of(&bytes[..last]).is_err());
    let version = b"\\\"version\\\":2";
    let at = bytes.windows(version.len()).position(|w| w == version).unwrap() + version.len() - 1;
    let mut later = bytes.clone();
    later[at] = b'9';
    assert!(StateFile::of(&later).unwrap_err().message.contains("version 9"));
    // Other questions, and probes without such a state, cannot be computed in parts.
    let (model, input) = asked();
    let job = Job::new().with_ledger(ledger(Some(0..5), None, Vec::new()));
    let e =
        find("pca").unwrap().build(&[], &BTreeMap::new()).unwrap().ask(&Subject::Model(model.clone()), &input, &job);
    assert!(e.is_ok(), "pca asks for codes, which have a state");
    let e = model.predict_all(&input.data().unwrap(), &job).unwrap_err();
    assert!(e.message.contains("keeps no state that merges") && e.hint.is_some(), "{e}");
}

/// The bytes of a state file whose metadata was changed, by someone who also makes its digest `again` or not.
fn edited(bytes: &[u8], again: bool, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut head: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let text = head["__metadata__"]["convscope"].as_str().unwrap();
    let mut about: serde_json::Value = serde_json::from_str(text).unwrap();
    change(&mut about);
    if again {
        about["head"] = "0".repeat(64).into();
        about["head"] = convscope_engine::digest::digest(about.to_string().as_bytes()).into();
    }
    head["__metadata__"]["convscope"] = about.to_string().into();
    let head = head.to_string();
    [&(head.len() as u64).to_le_bytes(), head.as_bytes(), &bytes[8 + n..]].concat()
}

#[test]
fn the_head_of_a_state_is_covered_by_a_digest_and_names_images_of_the_data_set() {
    let (a, b) = (shard(0..20, 0), shard(20..IMAGES, 0));
    let bytes = a.bytes().unwrap();
    assert_eq!(StateFile::of(&edited(&bytes, true, |_| {})).unwrap(), a);
    let refused = |again: bool, place: &str, value: serde_json::Value| {
        let changed = edited(&bytes, again, |about| *about.pointer_mut(place).unwrap() = value);
        StateFile::of(&changed).unwrap_err().message
    };
    let broken = |count: u64, images: &[[u64; 2]]| serde_json::json!({ "count": count, "images": images, "said": [] });
    for (place, value) in [
        ("/questions/0/covered", serde_json::json!([[0, 19]])),
        ("/questions/1/kind", "codes 2".into()),
        ("/questions/2/broken", broken(1, &[[3, 4]])),
        ("/facts", serde_json::json!({ "the engine": "two" })),
    ] {
        assert_eq!(refused(false, place, value), "the head is damaged: its digest is another", "{place}");
    }
    for (covered, part) in [
        (serde_json::json!([[40, 20]]), "40 to 20 is no range of 45 images"),
        (serde_json::json!([[u64::MAX, u64::MAX]]), "is no range of 45 images"),
        (serde_json::json!([[0, 46]]), "0 to 46 is no range of 45 images"),
        (serde_json::json!([[7, 7]]), "7 to 7 is no range of 45 images"),
        (serde_json::json!([[0, 10], [5, 20]]), "counted already"),
    ] {
        let message = refused(true, "/questions/0/covered", covered);
        assert!(message.contains(part), "{part}: {message}");
    }
    for wrong in [broken(1, &[[30, 31]]), broken(5, &[[3, 4]]), broken(0, &[[3, 3]])] {
        let message = refused(true, "/questions/2/broken", wrong);
        assert!(message.starts_with("the head is damaged"), "{message}");
    }
    // A state of another kind joins no other, and none is made of a kind that no probe has.
    let unknown = edited(&b.bytes().unwrap(), true, |about| about["questions"][1]["kind"] = "zzz".into());
    let unknown = StateFile::of(&unknown).unwrap();
    let message = joined(&[("a", &a), ("b", &unknown)]).unwrap_err().message;
    assert!(message.contains("`b` holds a state of kind `zzz`, not `codes 1`"), "{message}");
    assert!(joined(&[("b", &unknown)]).unwrap_err().message.contains("`zzz`"));
    // Version 1 had no digest of the head; version 2 is not read without one.
    let without = |version: u32| {
        edited(&bytes, false, |about| {
            about.as_object_mut().unwrap().remove("head");
            about["version"] = version.into();
        })
    };
    assert_eq!(StateFile::of(&without(1)).unwrap(), a);
    assert!(StateFile::of(&without(2)).unwrap_err().message.contains("its digest is another"));
}
