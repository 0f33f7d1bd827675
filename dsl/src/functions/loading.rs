//! The loaders: `load_model`, `load_image`, `load_images`, `load_signal`, `load_volume`, `load_table`, `load_tensor`,
//! `sample_image`.

use crate::context::Context;
use crate::convert::options;
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::data::ilsvrc;
use convscope_engine::data::join::JoinTarget;
use convscope_engine::data::{Dataset, Image, Signal, Volume, load_images, load_tensor};
use convscope_engine::error::did_you_mean;
use convscope_engine::load::Labels;
use convscope_engine::load::fetch::{sample_image, sample_images};
use convscope_engine::load::labels::read_labels;
use convscope_engine::load::{LoadOptions, OPTIONS};
use convscope_engine::load::{load_model, photos};
use convscope_engine::params::{Param as _, Params, Spec, Value};
use convscope_engine::predictions::Predictions;
use convscope_engine::recordings::{LoadSignal, LoadVolume, load_signal, load_volume};
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::table::bytes::is_address;
use convscope_engine::table::{LoadTable, check_filter, index, of_shards, shards_of, sources};
use convscope_engine::{Error, Model, Result, seal};
use rhai::{Array, Dynamic, Map};
use std::path::{Path, PathBuf};

/// The size of a table, bytes, up to which its files are digested for the record of a run.
const MAX_DIGESTED_BYTES: u64 = 1 << 30;

/// Binds the loaders.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add("load_model(name: text) -> net", &doc(), move |name: &str| model(&shared, name, &Map::new()).raise());
    let shared = context.clone();
    library.add("load_model(name: text, options: map) -> net", "", move |name: &str, options: Map| {
        model(&shared, name, &options).raise()
    });
    let shared = context.clone();
    library.add("load_image(path: text) -> image", "A photo: PNG, JPEG, BMP, GIF, WebP or TIFF.", move |path: &str| {
        shared.input(path).and_then(Image::open).raise()
    });
    let shared = context.clone();
    library.add(
        "load_images(from: text) -> data",
        "A data set: a folder (sub-folders are labels), a pattern such as \"photos/*.jpg\", a .csv or .json table \
         (path, label, box, mask or class_mask, keypoints, any attributes), annotations of COCO (.json) or VOC \
         (.xml, or their folder), CIFAR-10 batches, or IDX files.",
        move |from: &str| data(&shared, from, &Map::new()).raise(),
    );
    let shared = context.clone();
    library.add(
        "load_images(from: text, options: map) -> data",
        "The same, with more that is known of its images: `classes`, a table of attributes by class (.csv or JSON with a column \
         class); `attributes`, a table or JSON lines of attributes by image, such as ImageNet-X's; `truth`, ILSVRC's file of \
         ground truth (a class's number a line, or a file's name and the number), with `classes_by_number`, the names by number \
         (the devkit's map_clsloc.txt, or synset_words.txt); \
         `answers`, lists of right classes an image, such as ReaL's real.json (JSON, JSON lines or a table of image and answers), for \
         `multi_label_accuracy`; \
         `proposals`, a table or JSON lines of regions (image; left, top, width, height, or x1, y1, x2, y2, or box), each of which becomes \
         an image of the data set.",
        move |from: &str, options: Map| data(&shared, from, &options).raise(),
    );
    let shared = context.clone();
    library.add(
        "load_predictions(from: text) -> predictions",
        "The predictions of a classifier, without the classifier: a .csv table or JSON (a list, or an object a line) of image, \
         prediction and, where they are known, truth and probability; several guesses are separated by `;`; other columns are attributes. \
         `accuracy_by_attribute`, `calibration` and `compare_with_humans` take them in place of nets.",
        move |from: &str| predictions(&shared, from, &Map::new()).raise(),
    );
    let shared = context.clone();
    library.add(
        "load_predictions(from: text, options: map) -> predictions",
        "The same with `classes`: a file or a list of the classes' names, in the order of their numbers; every name and number \
         must be one of them.",
        move |from: &str, options: Map| predictions(&shared, from, &options).raise(),
    );
    let shared = context.clone();
    library.add(
        "load_table(from: text) -> data",
        "A data set of any length, read as it is used: .parquet files (Hugging Face's images, binary columns, \
         paths), WebDataset's .tar files, .csv manifests of paths, a folder of such or of images, an index that \
         `convscope index` wrote; a path, a pattern, shard-{000..047}.tar, an http or https address, a bucket \
         (s3://.., gs://..; feature `cloud`), or a list of such.",
        move |from: &str| table(&shared, &[from.to_string()], &Map::new()).raise(),
    );
    let shared = context.clone();
    library.add("load_table(from: text, options: map) -> data", "", move |from: &str, options: Map| {
        table(&shared, &[from.to_string()], &options).raise()
    });
    let shared = context.clone();
    library.add("load_table(from: list, options: map) -> data", "", move |from: Array, options: Map| {
        let names = from.into_iter().map(|name| {
            let kind = name.type_name();
            name.into_string().map_err(|_| Error::value(format!("`load_table` takes texts, got a list with {kind}")))
        });
        names.collect::<Result<Vec<String>>>().and_then(|names| table(&shared, &names, &options)).raise()
    });
    let shared = context.clone();
    library.add(
        "load_tensor(path: text) -> tensor",
        "Numbers from a .npy file; as an input they count as already preprocessed, C x H x W.",
        move |path: &str| shared.input(path).and_then(load_tensor).raise(),
    );
    let shared = context.clone();
    library.add("load_signal(path: text) -> signal", LoadSignal::default().doc(), move |path: &str| {
        signal(&shared, path, &Map::new()).raise()
    });
    let shared = context.clone();
    library.add("load_signal(path: text, options: map) -> signal", "", move |path: &str, options: Map| {
        signal(&shared, path, &options).raise()
    });
    let shared = context.clone();
    library.add("load_volume(path: text) -> volume", LoadVolume::default().doc(), move |path: &str| {
        volume(&shared, path, &Map::new()).raise()
    });
    let shared = context.clone();
    library.add("load_volume(path: text, options: map) -> volume", "", move |path: &str, options: Map| {
        volume(&shared, path, &options).raise()
    });
    library.add(
        "shapes(options: map) -> data",
        "Generated images of textured shapes on a cluttered background, with known label, mask, box and attributes. \
         The embedded net `shapes` was trained on images of another seed.",
        |options: Map| generated(&options).raise(),
    );
    library.add("shapes(n: number) -> data", "", |n: i64| {
        generated(&[("n".into(), n.into())].into_iter().collect()).raise()
    });
    library.add("shapes() -> data", "", || generated(&Map::new()).raise());
    let shared = context.clone();
    library.add(
        "sample_image(name: text) -> image",
        "A labelled sample photo; `sample_images()` lists the names.",
        move |name: &str| {
            let image = sample_image(name, &|line| shared.output.progress(line, 0, 0)).raise()?;
            shared.sampled(name, &image);
            Fallible::Ok(image)
        },
    );
    library.add("sample_images() -> list", "The names that `sample_image` knows.", || {
        sample_images().iter().map(|s| Dynamic::from(s.name.to_string())).collect::<Array>()
    });
}

/// Loads a net by name, with options as scripts give them.
///
/// # Errors
/// As [`load_model`].
pub fn model(context: &Context, name: &str, given: &Map) -> Result<Model> {
    let read = load_options(given)?;
    let base = context.place().inputs;
    let labels = match &read.labels {
        Some(Labels::Path(path)) => Some(path.as_str()),
        _ => None,
    };
    // Large ONNX files keep their weights in a file beside them, usually under one of these names.
    let beside = ["data", "_data"].map(|end| format!("{name}{}{end}", if end.starts_with('_') { "" } else { "." }));
    let beside = beside.iter().map(String::as_str).filter(|_| name.ends_with(".onnx"));
    for file in [Some(name), read.weights.as_deref(), labels].into_iter().flatten().chain(beside) {
        // Files that a seal excludes are not probed: their existence would be revealed.
        seal::may_read_as(&base.join(file), Path::new(file))?;
        if base.join(file).is_file() {
            context.input(file)?;
        }
    }
    let loaded = load_model(name, &read, &base, &|line| context.output.progress(line, 0, 0));
    if name.trim().starts_with("hf:") {
        context.asked_hub(name.trim(), loaded.is_ok());
    }
    let model = loaded?;
    for file in photos::read_with(model.card()) {
        let net = read.weights.as_deref().unwrap_or(name);
        context.input(&Path::new(net).with_file_name(file).to_string_lossy())?;
    }
    context.loaded(name, &read, &model);
    Ok(model)
}

/// Loads predictions from a file, which is recorded as read.
fn predictions(context: &Context, from: &str, given: &Map) -> Result<Predictions> {
    let mut classes = None;
    for (name, value) in options(given)? {
        classes = match (name.as_str(), value) {
            ("classes", Value::Text(file)) => Some(read_labels(&context.input(&file)?)?),
            ("classes", Value::List(names)) => Some(
                names
                    .iter()
                    .map(String::read)
                    .collect::<Result<Vec<_>>>()
                    .map_err(|e| e.context("option `classes`"))?,
            ),
            ("classes", Value::Nothing) => None,
            ("classes", _) => return Err(Error::value("option `classes` takes a file or a list of names")),
            _ => return Err(unknown("load_predictions", &name, &["classes"])),
        };
    }
    Predictions::read(&context.input(from)?, classes.as_deref())
}

fn unknown(function: &str, name: &str, known: &[&str]) -> Error {
    let close = did_you_mean(name, known.iter().copied()).map_or(String::new(), |c| format!("{c} "));
    Error::value(format!("`{function}` has no option `{name}`")).hint(format!("{close}it takes {}", known.join(", ")))
}

/// Loads a data set, whose files are recorded as read.
fn data(context: &Context, from: &str, given: &Map) -> Result<Dataset> {
    let known = ["classes", "attributes", "truth", "answers", "classes_by_number", "proposals"];
    let mut files = std::collections::BTreeMap::new();
    for (name, value) in options(given)? {
        match value {
            _ if !known.contains(&name.as_str()) => return Err(unknown("load_images", &name, &known)),
            Value::Text(file) => drop(files.insert(name, context.input(&file)?)),
            Value::Nothing => {}
            _ => return Err(Error::value(format!("option `{name}` of `load_images` takes a file"))),
        }
    }
    let mut data = load_images(context.input(from)?)?;
    if let Some(truth) = files.get("truth") {
        data = ilsvrc::with_truth(&data, truth, files.get("classes_by_number").map(PathBuf::as_path))?;
    } else if files.contains_key("classes_by_number") && !files.contains_key("answers") {
        return Err(Error::value("option `classes_by_number` of `load_images` goes with `truth` or `answers`"));
    }
    if let Some(answers) = files.get("answers") {
        data = data.with_answers(answers, files.get("classes_by_number").map(PathBuf::as_path))?;
    }
    for (name, about) in [("classes", JoinTarget::Classes), ("attributes", JoinTarget::Images)] {
        if let Some(table) = files.get(name) {
            data = data.joined(about, table)?;
        }
    }
    if let Some(regions) = files.get("proposals") {
        data = data.proposals(regions)?;
    }
    for note in data.notes.iter() {
        context.output.progress(&format!("{from}: {note}"), 0, 0);
    }
    let files: Vec<_> = data.items().filter_map(|item| item.path().map(Path::to_path_buf)).collect();
    context.listed(files.iter().map(|f| f.as_path()));
    Ok(data)
}

/// Loads the data set of a table. Its files are recorded as read where they are local and not too large to digest.
fn table(context: &Context, names: &[String], given: &Map) -> Result<Dataset> {
    let mut asked = LoadTable::default();
    for (name, value) in options(given)? {
        asked.set(&name, &value)?;
    }
    let files = sources::files(names, &context.place().inputs)?;
    let local: Vec<&Path> = files.iter().filter(|(uri, _)| !is_address(uri)).map(|(uri, _)| Path::new(uri)).collect();
    let bytes: u64 = local.iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum();
    if local.len() < files.len() {
        context.unrepeatable("a table behind an address (`load_table`)");
    } else if bytes > MAX_DIGESTED_BYTES || local.iter().any(|path| path.is_dir()) {
        context.unrepeatable("a table of more than 1 GB, or of a folder's images (`load_table`)");
    } else {
        context.listed(local.into_iter());
    }
    let listed = context.job.ledger().and_then(|ledger| ledger.listing.as_ref());
    if let Some(listed) = listed
        && let Some(index) = index::decode(&listed.file.to_string_lossy())?
    {
        let full = |uri: &str| std::path::absolute(uri).unwrap_or_else(|_| PathBuf::from(uri));
        let mut indexed: Vec<PathBuf> = index.shards.iter().map(|s| full(&s.uri)).collect();
        indexed.dedup();
        if indexed.iter().eq(files.iter().map(|(uri, _)| full(uri)).collect::<Vec<_>>().iter()) {
            check_filter(&listed.file.to_string_lossy(), &index, &asked)?;
            return of_shards(names, index.shards, &asked);
        }
    }
    let shards = shards_of(&files, &asked, None)?;
    of_shards(names, shards, &asked)
}

/// The options of a loader, where they are data.
pub fn specs(name: &str) -> Option<Vec<Spec>> {
    match name {
        "shapes" => Some(Shapes::default().specs()),
        "load_table" => Some(LoadTable::default().specs()),
        "load_signal" => Some(LoadSignal::default().specs()),
        "load_volume" => Some(LoadVolume::default().specs()),
        _ => None,
    }
}

fn signal(context: &Context, path: &str, given: &Map) -> Result<Signal> {
    let mut asked = LoadSignal::default();
    for (name, value) in options(given)? {
        asked.set(&name, &value)?;
    }
    load_signal(context.input(path)?, &asked)
}

fn volume(context: &Context, path: &str, given: &Map) -> Result<Volume> {
    let mut asked = LoadVolume::default();
    for (name, value) in options(given)? {
        asked.set(&name, &value)?;
    }
    load_volume(context.input(path)?, &asked)
}

fn generated(given: &Map) -> Result<Dataset> {
    let mut asked = Shapes::default();
    for (name, value) in options(given)? {
        asked.set(&name, &value)?;
    }
    shapes(&asked)
}

/// The reference's text about `load_model`: what it takes, then a line for each option.
fn doc() -> String {
    let options: String = OPTIONS.iter().map(|o| format!("\n- `{}` ({}): {}", o.name, o.takes, o.doc)).collect();
    format!(
        "A trained net, by its name or from a file. The name is one of:

\
         - \"shapes\", the embedded net, \"hog\", histograms of oriented gradients as a net, or a known one (`convscope models` lists them)
\
         - an .onnx file
\
         - an architecture, with its weights as an option (#{{ weights: \"resnet18.pth\" }})
\
         - a .pth or .safetensors file of a known architecture
\
         - \"hf:org/repo\" or \"hf:org/repo/path/to/file.onnx\", from the Hugging Face Hub, each with @revision

\
         A photo becomes x = (pixel * scale - mean) / std.

Options:
{options}"
    )
}

fn load_options(given: &Map) -> Result<LoadOptions> {
    match Value::Map(options(given)?).json() {
        serde_json::Value::Object(map) => LoadOptions::from_json(&map),
        _ => Err(Error::internal("options are no map")),
    }
}
