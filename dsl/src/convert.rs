//! Conversions between rhai's values and the engine's: options, subjects, inputs, rows of tables.

use crate::library::plain;
use convscope_engine::data::{Dataset, Image, Signal, Volume};
use convscope_engine::params::{Param, Value};
use convscope_engine::predictions::Predictions;
use convscope_engine::probe::ProbeArg;
use convscope_engine::show::{Cell, Table};
use convscope_engine::subject::Samples;
use convscope_engine::{Artifact, Error, Input, Model, Result, Subject, Tensor};
use rhai::{Array, Dynamic, Map};
use std::collections::BTreeMap;

/// The kind of a value in words.
pub fn kind(value: &Dynamic) -> String {
    let name = value.type_name();
    let own = [
        (std::any::type_name::<Model>(), "a net"),
        (std::any::type_name::<Subject>(), "a subject"),
        (std::any::type_name::<Tensor>(), "a tensor"),
        (std::any::type_name::<Image>(), "an image"),
        (std::any::type_name::<Signal>(), "a signal"),
        (std::any::type_name::<Volume>(), "a volume"),
        (std::any::type_name::<Dataset>(), "a data set"),
        (std::any::type_name::<Table>(), "a table"),
        (std::any::type_name::<Artifact>(), "an artifact"),
        (std::any::type_name::<ProbeArg>(), "a probe"),
        (std::any::type_name::<Predictions>(), "predictions"),
    ];
    own.iter().find(|(t, _)| *t == name).map_or_else(|| plain(name).to_string(), |(_, k)| (*k).to_string())
}

/// Converts a script's value for the engine. An artifact converts to its primary array, a signal or volume to its numbers, a table
/// to a list of maps.
///
/// # Errors
/// For a kind of value that the engine does not take, such as a function.
pub fn value(from: &Dynamic) -> Result<Value> {
    if from.is_unit() {
        return Ok(Value::Nothing);
    }
    if let Ok(b) = from.as_bool() {
        return Ok(Value::Bool(b));
    }
    if let Ok(i) = from.as_int() {
        return Ok(Value::Int(i));
    }
    if let Ok(f) = from.as_float() {
        return Ok(Value::Float(f));
    }
    if from.is_string() || from.is_char() {
        return Ok(Value::Text(from.to_string()));
    }
    if let Some(list) = from.read_lock::<Array>() {
        return Ok(Value::List(list.iter().map(value).collect::<Result<_>>()?));
    }
    if let Some(map) = from.read_lock::<Map>() {
        return Ok(Value::Map(options(&map)?));
    }
    let other = from.clone();
    if let Some(v) = cast::<Image>(&other) {
        return Ok(Value::Image(v));
    }
    if let Some(v) = cast::<Tensor>(&other) {
        return Ok(Value::Tensor(v));
    }
    if let Some(v) = cast::<Signal>(&other) {
        return Ok(Value::Tensor(v.values));
    }
    if let Some(v) = cast::<Volume>(&other) {
        return Ok(Value::Tensor(v.values));
    }
    if let Some(v) = cast::<Dataset>(&other) {
        return Ok(Value::Data(v));
    }
    if let Some(v) = cast::<Model>(&other) {
        return Ok(Value::Model(v));
    }
    if let Some(v) = cast::<Subject>(&other) {
        return Ok(Value::Subject(v));
    }
    if let Some(v) = cast::<ProbeArg>(&other) {
        return Ok(v.into());
    }
    if let Some(v) = cast::<Artifact>(&other) {
        return Ok(Value::Tensor(v.value()?.clone()));
    }
    if let Some(v) = cast::<Table>(&other) {
        let rows = v.rows().iter().map(|r| value(&Dynamic::from_map(row(&v, r))));
        return Ok(Value::List(rows.collect::<Result<_>>()?));
    }
    if let Some(range) = whole_numbers(&other) {
        return Ok(Value::List(range.map(Value::Int).collect()));
    }
    Err(Error::value(format!("{} cannot be used here", kind(from))))
}

/// A copy of the value where it has this type.
pub fn cast<T: rhai::Variant + Clone>(from: &Dynamic) -> Option<T> {
    from.read_lock::<T>().map(|v| v.clone())
}

/// The integers of a range value.
pub fn whole_numbers(from: &Dynamic) -> Option<std::ops::Range<i64>> {
    cast::<std::ops::Range<i64>>(from)
        .or_else(|| cast::<std::ops::RangeInclusive<i64>>(from).map(|r| *r.start()..r.end().saturating_add(1)))
}

/// Converts an option map for the engine.
///
/// # Errors
/// As [`value`]; the message names the option.
pub fn options(map: &Map) -> Result<BTreeMap<String, Value>> {
    map.iter().map(|(k, v)| Ok((k.to_string(), value(v).map_err(|e| e.context(format!("option `{k}`")))?))).collect()
}

/// Converts an engine's value for a script.
pub fn dynamic(from: &Value) -> Dynamic {
    match from.clone() {
        Value::Nothing => Dynamic::UNIT,
        Value::Bool(b) => b.into(),
        Value::Int(i) => i.into(),
        Value::Float(f) => f.into(),
        Value::Text(t) => t.into(),
        Value::List(l) => Dynamic::from_array(l.iter().map(dynamic).collect()),
        Value::Map(m) => Dynamic::from_map(m.iter().map(|(k, v)| (k.as_str().into(), dynamic(v))).collect()),
        Value::Image(v) => Dynamic::from(v),
        Value::Tensor(v) => Dynamic::from(v),
        Value::Data(v) => Dynamic::from(v),
        Value::Model(v) => Dynamic::from(v),
        Value::Subject(v) => Dynamic::from(v),
        Value::Probe(_) => ProbeArg::read(from).map_or(Dynamic::UNIT, Dynamic::from),
    }
}

/// Converts to a probe's subject.
///
/// # Errors
/// Where the value is no net, part of a net or list of nets.
pub fn subject(from: &Dynamic) -> Result<Subject> {
    if let Some(model) = cast::<Model>(from) {
        return Ok(Subject::Model(model));
    }
    if let Some(subject) = cast::<Subject>(from) {
        return Ok(subject);
    }
    if let Some(told) = cast::<Predictions>(from) {
        return Ok(Subject::Predictions(vec![told]));
    }
    if let Some(list) = from.read_lock::<Array>() {
        let models: Option<Vec<Model>> = list.iter().map(cast::<Model>).collect();
        if let Some(models) = models.filter(|m| !m.is_empty()) {
            return Ok(Subject::Models(models));
        }
        let told: Option<Vec<Predictions>> = list.iter().map(cast::<Predictions>).collect();
        if let Some(told) = told.filter(|t| !t.is_empty()) {
            return Ok(Subject::Predictions(told));
        }
    }
    let hint = match cast::<Image>(from).is_some() || cast::<Dataset>(from).is_some() || cast::<Tensor>(from).is_some()
    {
        true => "the subject comes first, then the input: probe.run(net, image)",
        false => "ask about a net, `net.class(name)`, `net.layer(name)`, a part of a layer, or a list of nets",
    };
    Err(Error::subject(format!("{} is no subject", kind(from))).hint(hint))
}

/// Converts to a probe's input: an image, a signal, a volume, a tensor, an artifact (its primary array), a data set, a list of
/// images, a map of these by the names of a net's inputs, or nothing.
///
/// # Errors
/// Where the value is something else.
pub fn input(from: &Dynamic) -> Result<Input> {
    if from.is_unit() {
        return Ok(Input::None);
    }
    if let Some(image) = cast::<Image>(from) {
        return Ok(Input::Image(image));
    }
    if let Some(signal) = cast::<Signal>(from) {
        return Ok(Input::Samples(Samples::Signal(signal)));
    }
    if let Some(volume) = cast::<Volume>(from) {
        return Ok(Input::Samples(Samples::Volume(volume)));
    }
    if let Some(tensor) = cast::<Tensor>(from) {
        return Ok(Input::Tensor(tensor));
    }
    if let Some(data) = cast::<Dataset>(from) {
        return Ok(Input::Data(data));
    }
    if let Some(artifact) = cast::<Artifact>(from) {
        return Ok(Input::Tensor(artifact.value()?.clone()));
    }
    if let Some(list) = from.read_lock::<Array>()
        && let Some(images) = list.iter().map(cast::<Image>).collect::<Option<Vec<_>>>()
        && !images.is_empty()
    {
        return Ok(Input::Data(Dataset::from_images("images", images)));
    }
    if let Some(map) = from.read_lock::<Map>() {
        let one = |(name, value): (&rhai::Identifier, &Dynamic)| {
            let value = of_input(value).map_err(|e| e.context(format!("input `{name}`")))?;
            Ok((name.to_string(), value))
        };
        return Ok(Input::Several(map.iter().map(one).collect::<Result<_>>()?));
    }
    let hint = match from.is_string() {
        true => {
            "load it first: load_image(path), load_images(folder), load_signal(path), load_volume(path), load_tensor(path)"
        }
        false => "give an image, a tensor, a data set, or a list of images",
    };
    Err(Error::value(format!("{} is no input", kind(from))).hint(hint))
}

/// The value of one of a net's inputs: as [`input`]; numbers and lists of numbers become tensors.
fn of_input(from: &Dynamic) -> Result<Input> {
    if let Ok(number) = number(from) {
        return Ok(Input::Tensor(crate::values::tensor::of(vec![number], &[])?));
    }
    match from.is_array() && input(from).is_err() {
        true => crate::values::tensor::from_list(from).map(Input::Tensor),
        false => input(from),
    }
}

/// Converts a table's cell for a script.
pub fn cell(from: &Cell) -> Dynamic {
    match from {
        Cell::Nothing => Dynamic::UNIT,
        Cell::Bool(b) => (*b).into(),
        Cell::Int(i) => (*i).into(),
        Cell::Float(f) => (*f).into(),
        Cell::Text(t) => t.clone().into(),
    }
}

/// A table's row as a map by column names.
pub fn row(table: &Table, cells: &[Cell]) -> Map {
    table.columns().iter().zip(cells).map(|(name, c)| (name.as_str().into(), cell(c))).collect()
}

/// Converts to a table's cell; other than plain values become text.
pub fn to_cell(from: &Dynamic) -> Cell {
    match value(from) {
        Ok(Value::Nothing) => Cell::Nothing,
        Ok(Value::Bool(b)) => Cell::Bool(b),
        Ok(Value::Int(i)) => Cell::Int(i),
        Ok(Value::Float(f)) => Cell::Float(f),
        Ok(Value::Text(t)) => Cell::Text(t),
        Ok(Value::Subject(s)) => Cell::Text(s.to_string()),
        Ok(Value::Model(m)) => Cell::Text(m.card().name.clone()),
        Ok(other) => Cell::Text(other.json().to_string()),
        Err(_) => Cell::Text(from.to_string()),
    }
}

/// The numbers in a list or a tensor of one axis.
///
/// # Errors
/// Where there are other values in it.
pub fn numbers(from: &Dynamic) -> Result<Vec<f64>> {
    if let Some(range) = whole_numbers(from) {
        return Ok(range.map(|i| i as f64).collect());
    }
    if let Some(tensor) = cast::<Tensor>(from) {
        return convscope_engine::tensor::to_f64(&tensor);
    }
    if let Some(artifact) = cast::<Artifact>(from) {
        return convscope_engine::tensor::to_f64(artifact.value()?);
    }
    let Some(list) = from.read_lock::<Array>() else {
        return Err(Error::value(format!("expected a list of numbers, got {}", kind(from))));
    };
    list.iter().map(number).collect()
}

/// Converts an integer or floating-point value.
///
/// # Errors
/// Where it is neither.
pub fn number(from: &Dynamic) -> Result<f64> {
    if let Ok(i) = from.as_int() {
        return Ok(i as f64);
    }
    from.as_float().map_err(|_| Error::value(format!("expected a number, got {}", kind(from))))
}

/// Converts an index. Negative ones count from the end.
///
/// # Errors
/// Where it is out of range.
pub fn index(i: i64, len: usize, of: &str) -> Result<usize> {
    let at = if i < 0 { i + len as i64 } else { i };
    usize::try_from(at).ok().filter(|at| *at < len).ok_or_else(|| {
        let error = Error::not_found(format!("no {of} {i}: there are {len}"));
        if len == 0 { error } else { error.hint(format!("they are counted from 0 to {}", len - 1)) }
    })
}

/// Converts a size or count, which is 0 or more.
///
/// # Errors
/// Where it is negative.
pub fn count(i: i64, what: &str) -> Result<usize> {
    usize::try_from(i).map_err(|_| Error::value(format!("{what} must be a whole number from 0, got {i}")))
}
