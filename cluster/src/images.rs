//! `codes(image, net)`, `predict(image, net)` and `strongest(image, net, layer, n)`: a net's codes, predictions and strongest
//! channels for encoded images, row by row. A null or an image that cannot be decoded gives null.

use crate::shards::failed;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::probe::Probe;
use convscope_engine::probes::retrieval::codes::CodesOf;
use convscope_engine::probes::retrieval::coding::Pooling;
use convscope_engine::show::Part;
use convscope_engine::tensor::to_f32;
use convscope_engine::{Artifact, Input, Job, Model, Result as Done, Subject};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Builder, Int32Builder, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Images that are decoded at once.
const AT_ONCE: usize = 256;

/// `codes(image, net)`: the input of the net's classifier, a list of 32-bit numbers.
pub fn codes() -> ScalarUDF {
    let gives = DataType::new_list(DataType::Float32, true);
    create_udf("codes", vec![DataType::Binary, DataType::Utf8], gives, Volatility::Immutable, Arc::new(answer_codes))
}

/// `predict(image, net)`: the most probable class, a text.
pub fn predict() -> ScalarUDF {
    let takes = vec![DataType::Binary, DataType::Utf8];
    create_udf("predict", takes, DataType::Utf8, Volatility::Immutable, Arc::new(answer_predict))
}

/// `strongest(image, net, layer, n)`: the numbers of the layer's `n` channels that answer the image most at some position, the
/// strongest first, a list; of equal ones the first.
pub fn strongest() -> ScalarUDF {
    let takes = vec![DataType::Binary, DataType::Utf8, DataType::Utf8, DataType::Int64];
    let gives = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    create_udf("strongest", takes, gives, Volatility::Immutable, Arc::new(answer_strongest))
}

fn answer_codes(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let mut out = ListBuilder::new(Float32Builder::new());
    let probe = CodesOf { cache: false, ..CodesOf::default() };
    each(&arrays, |rows| {
        let model = net(text(&arrays[1], rows.net))?;
        let made = ask(&probe, &Subject::Model(model), &rows.images)?;
        let codes = made.array_named("codes")?;
        let (values, d) = (to_f32(codes)?, codes.dims()[1]);
        rows.write(&mut out, |out, i| match i {
            Some(i) => {
                out.values().append_slice(&values[i * d..][..d]);
                out.append(true);
            }
            None => out.append(false),
        });
        Ok(())
    })?;
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

fn answer_predict(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let mut out = StringBuilder::new();
    let probe = CodesOf { cache: false, predictions: true, ..CodesOf::default() };
    each(&arrays, |rows| {
        let model = net(text(&arrays[1], rows.net))?;
        let made = ask(&probe, &Subject::Model(model), &rows.images)?;
        let classes: Vec<String> = made.parts.iter().find_map(predictions).unwrap_or_default();
        rows.write(&mut out, |out, i| out.append_option(i.and_then(|i| classes.get(i))));
        Ok(())
    })?;
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

fn answer_strongest(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let mut out = ListBuilder::new(Int32Builder::new());
    let probe = CodesOf { cache: false, pool: Pooling::Max, relu: false, ..CodesOf::default() };
    let (layers, counts) = (arrays[2].as_string::<i32>(), arrays[3].as_primitive::<Int64Type>());
    each(&arrays, |rows| {
        let model = net(text(&arrays[1], rows.net))?;
        let layer = Subject::layer(&model, layers.value(rows.net))?;
        let n = usize::try_from(counts.value(rows.net)).unwrap_or(0);
        let made = ask(&probe, &layer, &rows.images)?;
        let codes = made.array_named("codes")?;
        let (values, d) = (to_f32(codes)?, codes.dims()[1]);
        rows.write(&mut out, |out, i| {
            if let Some(i) = i {
                let row = &values[i * d..][..d];
                let mut order: Vec<usize> = (0..d).collect();
                order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
                order.into_iter().take(n).for_each(|c| out.values().append_value(c as i32));
            }
            out.append(i.is_some());
        });
        Ok(())
    })?;
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

/// Some rows that ask the same net.
struct Rows {
    /// The row whose net, layer and number hold for all.
    net: usize,
    /// The images that could be decoded.
    images: Vec<Image>,
    /// Of each row the number of its image among these.
    places: Vec<Option<usize>>,
}

impl Rows {
    fn write<B>(&self, out: &mut B, mut write: impl FnMut(&mut B, Option<usize>)) {
        self.places.iter().for_each(|place| write(out, *place));
    }
}

/// Iterates over rows in pieces whose arguments after the image are the same.
fn each(arrays: &[ArrayRef], mut take: impl FnMut(&Rows) -> Done<()>) -> Result<()> {
    let bytes = arrays[0].as_binary::<i32>();
    let same = |a: usize, b: usize| arrays[1..].iter().all(|c| c.slice(a, 1).to_data() == c.slice(b, 1).to_data());
    let mut row = 0;
    while row < bytes.len() {
        let mut rows = Rows { net: row, images: Vec::new(), places: Vec::new() };
        while row < bytes.len() && rows.places.len() < AT_ONCE && same(rows.net, row) {
            let image = bytes.is_valid(row).then(|| Image::decode(bytes.value(row)).ok()).flatten();
            rows.places.push(image.is_some().then_some(rows.images.len()));
            rows.images.extend(image);
            row += 1;
        }
        if let Some(null) = arrays[1..].iter().position(|c| c.is_null(rows.net)) {
            return Err(DataFusionError::Execution(format!("argument {} behind the image is null", null + 1)));
        }
        take(&rows).map_err(failed)?;
    }
    Ok(())
}

/// A probe's result for images, of which there must be some.
fn ask(probe: &CodesOf, on: &Subject, images: &[Image]) -> Done<Artifact> {
    if images.is_empty() {
        return Ok(Artifact::new("").array("codes", convscope_engine::tensor::tensor(Vec::<f32>::new(), &[0, 1])?));
    }
    probe.run(on, &Input::Data(Dataset::from_images("rows", images.to_vec())), &Job::new())
}

fn predictions(part: &Part) -> Option<Vec<String>> {
    let Part::Table(_, table) = part else { return None };
    let column = table.columns().iter().position(|c| c == "prediction")?;
    Some(table.rows().iter().map(|row| row[column].text()).collect())
}

fn text(column: &ArrayRef, row: usize) -> &str {
    column.as_string::<i32>().value(row)
}

/// The net of a specification as `load_model` takes it, loaded once.
fn net(spec: &str) -> Done<Model> {
    static LOADED: Mutex<Option<HashMap<String, Model>>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(model) = loaded.get(spec) {
        return Ok(model.clone());
    }
    let model = load_model(spec, &LoadOptions::default(), Path::new(""), &|_| ())?;
    loaded.insert(spec.to_string(), model.clone());
    Ok(model)
}
