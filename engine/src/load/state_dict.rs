//! The choice of the dictionary with the weights in a checkpoint, and its tensors.
//!
//! Training scripts save a state_dict bare or in a dictionary beside epochs, optimisers and averaged copies of itself. The
//! one with (nearly) the most tensors under the best known key is taken; a note says so where there was a choice.

use std::collections::{BTreeMap, BTreeSet};

use super::foreign;
use super::pickle::{Id, Object, Pickle};
use super::tensors::{Tensors, View};
use super::torch::{Storage, StorageRef};
use crate::error::{Context, Error, Result};
use crate::limits::NESTED;

/// Under which keys training scripts put the weights, best first: those of PyTorch's tutorials, Lightning, timm, DINO,
/// BasicSR, and the averaged copies behind the plain ones.
const KEYS: [&str; 22] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
    "network",
    "net_state_dict",
    "state",
    "params",
    "module",
    "teacher",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "model_ema_state_dict",
    "ema_model",
    "ema",
    "params_ema",
    "student",
    "backbone",
    "encoder",
    "best",
];

/// The first of [`KEYS`] that is not an obvious place for the weights.
const LESS_KNOWN: usize = 5;

/// Bytes of a key that may lead to the weights.
const LONGEST_KEY: usize = 256;

/// A dictionary that holds tensors: the keys that lead to it, and how many.
struct Found {
    path: Vec<String>,
    dict: Id,
    tensors: usize,
}

impl Found {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// Smaller is better: fewer of the less known keys.
    fn rank(&self) -> (Vec<usize>, &[String]) {
        let place = |key: &String| KEYS.iter().position(|k| k == key).unwrap_or(KEYS.len());
        (self.path.iter().map(place).collect(), &self.path)
    }
}

/// The tensors of the state_dict that the pickle is or holds; `key` names one of several, its keys joined by dots.
///
/// # Errors
/// Where there is none, or a tensor's record is damaged.
pub fn read(pickle: &Pickle, storages: &BTreeMap<String, Storage>, key: Option<&str>) -> Result<Tensors> {
    let mut tensors = Tensors::default();
    let dict = choose(pickle, key, &mut tensors.notes)?;
    let Object::Dict(entries) = pickle.get(dict) else { return Ok(tensors) };
    for (key, value) in entries {
        let (Some(name), Some(made)) = (pickle.text(*key), tensor(pickle, *value, storages)) else { continue };
        tensors.insert(name.to_string(), made.context(|| format!("tensor `{name}`"))?);
    }
    Ok(tensors.unwrapped())
}

fn choose(pickle: &Pickle, key: Option<&str>, notes: &mut Vec<String>) -> Result<Id> {
    let mut found = search(pickle);
    let names = |found: &[Found]| {
        let all: Vec<String> = found.iter().map(|f| format!("`{}`", f.name())).take(8).collect();
        all.join(", ")
    };
    if let Some(key) = key {
        return match found.iter().find(|f| f.name() == key) {
            Some(one) => Ok(one.dict),
            None => {
                found.retain(|f| !f.path.is_empty());
                Err(Error::not_found(format!("the checkpoint holds no weights under `{key}`")).hint(
                    match found.is_empty() {
                        true => "it has no keys above the weights: leave `key` out".to_string(),
                        false => format!("weights are under {}", names(&found)),
                    },
                ))
            }
        };
    }
    let most = found.iter().map(|f| f.tensors).max().unwrap_or(0);
    found.retain(|f| 2 * f.tensors > most);
    found.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let Some(best) = found.first() else { return Err(no_weights(pickle)) };
    match &found[1..] {
        _ if best.path.is_empty() => {}
        [] => {
            if best.path.len() > 1 || best.rank().0[0] >= LESS_KNOWN {
                notes.push(format!("the weights are those of the checkpoint's `{}`", best.name()));
            }
        }
        others => notes.push(format!(
            "the weights are those of the checkpoint's `{}`; it also holds {} (load_model(.., #{{ key: \"{}\" }}) takes that)",
            best.name(),
            names(others),
            others[0].name()
        )),
    }
    Ok(best.dict)
}

/// All dictionaries with tensors in them, to a depth of [`NESTED`] keys.
fn search(pickle: &Pickle) -> Vec<Found> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open = vec![(pickle.root(), Vec::new())];
    while let Some((dict, path)) = open.pop() {
        let Object::Dict(entries) = pickle.get(dict) else { continue };
        if !seen.insert(dict) {
            continue;
        }
        let tensors = entries.iter().filter(|(k, v)| pickle.text(*k).is_some() && is_tensor(pickle, *v)).count();
        if path.len() < NESTED {
            for (key, value) in entries {
                let key = pickle.text(*key).filter(|k| k.len() <= LONGEST_KEY);
                if let (Some(key), Object::Dict(_)) = (key, pickle.get(*value)) {
                    open.push((*value, path.iter().cloned().chain([key.to_string()]).collect()));
                }
            }
        }
        if tensors > 0 {
            found.push(Found { path, dict, tensors });
        }
    }
    found
}

/// The error that says why there are no weights.
fn no_weights(pickle: &Pickle) -> Error {
    let root = pickle.root();
    let save = "save the weights with torch.save(net.state_dict(), \"weights.pth\")";
    let entries = match pickle.get(root) {
        Object::Dict(entries) => entries,
        Object::Call { .. } if !is_tensor(pickle, root) => return foreign::whole_module(&pickle.kind(root)),
        _ => {
            let kind = pickle.kind(root);
            return Error::format(format!("the checkpoint holds {kind}, not a state_dict")).hint(save);
        }
    };
    let module = entries.iter().find(|(k, v)| {
        let named = pickle.text(*k).is_some_and(|k| KEYS.contains(&k));
        named && matches!(pickle.get(*v), Object::Call { .. }) && !is_tensor(pickle, *v)
    });
    if let Some((_, module)) = module {
        return foreign::whole_module(&pickle.kind(*module));
    }
    let keys: Vec<&str> = entries.iter().filter_map(|(k, _)| pickle.text(*k)).take(8).collect();
    Error::format(match keys[..] {
        [] => "the checkpoint holds no tensors".to_string(),
        _ => format!("the checkpoint holds no state_dict, only `{}`", keys.join("`, `")),
    })
    .hint(save)
}

/// What wraps a tensor: the first of its arguments is the tensor.
const WRAPPERS: [&str; 2] = ["torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"];
const REBUILT: [&str; 2] = ["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"];

fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    pickle.call(id).is_some_and(|(name, _)| WRAPPERS.contains(&name) || REBUILT.contains(&name))
}

/// The view that a tensor object is; nothing where the object is no tensor.
fn tensor(pickle: &Pickle, id: Id, storages: &BTreeMap<String, Storage>) -> Option<Result<View>> {
    let (name, args) = pickle.call(id)?;
    match args {
        [inner, ..] if WRAPPERS.contains(&name) => {
            let (name, args) = pickle.call(*inner)?;
            REBUILT.contains(&name).then(|| view(pickle, args, storages))
        }
        _ if REBUILT.contains(&name) => Some(view(pickle, args, storages)),
        _ => None,
    }
}

/// `(storage, offset, shape, strides, requires_grad, hooks[, metadata])`
fn view(pickle: &Pickle, args: &[Id], storages: &BTreeMap<String, Storage>) -> Result<View> {
    let wrong = || Error::format("the checkpoint's record of it is damaged");
    let [kept, offset, shape, strides, rest @ ..] = args else { return Err(wrong()) };
    let Object::Persistent(key) = pickle.get(*kept) else { return Err(wrong()) };
    let reference = StorageRef::read(pickle, *key)?;
    let (Some(offset), Some(shape), Some(strides)) =
        (pickle.size(*offset), pickle.sizes(*shape), pickle.sizes(*strides))
    else {
        return Err(wrong());
    };
    let storage = storages.get(&reference.key).ok_or_else(|| Error::format("its values are not in the file"))?;
    if storage.dtype != reference.dtype {
        return Err(wrong());
    }
    let first = offset.checked_add(reference.from).and_then(|n| n.checked_mul(reference.dtype.bitsize() / 8));
    let start = first.and_then(|n| n.checked_add(storage.range.start)).ok_or_else(wrong)?;
    let view = View::new(storage.bytes.clone(), start..storage.range.end, reference.dtype, shape, strides)?;
    // `torch._neg_view`: the sign is kept apart from the values.
    let negated = rest.get(2).and_then(|metadata| pickle.entry(*metadata, "neg")).map(|v| pickle.get(v));
    Ok(if negated == Some(&Object::Bool(true)) { view.negated() } else { view })
}
