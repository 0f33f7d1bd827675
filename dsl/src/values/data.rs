//! Data sets in scripts: they are indexed and looped over like lists of images; an image is decoded when it is used.

use crate::convert::{count, index};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::Result;
use convscope_engine::data::{Dataset, Item};
use convscope_engine::random::Stream;
use rhai::{Array, Dynamic, FnPtr, NativeCallContext};

/// Binds data sets.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Dataset>("data set", "Images in a fixed order, with labels and attributes.");
    library.note("data[i] -> image", "Image i, from 0 (negative: from the end), with its label and attributes.");
    library.engine.register_indexer_get(|d: &mut Dataset, i: i64| {
        let at = index(i, d.len(), "image").raise()?;
        d.get(at).raise()
    });
    library.engine.register_indexer_get(|d: &mut Dataset, r: std::ops::Range<i64>| {
        let (start, end) = (index(r.start, d.len() + 1, "image").raise()?, index(r.end, d.len() + 1, "image").raise()?);
        d.select(&(start..end.max(start)).collect::<Vec<_>>()).raise()
    });
    library.getter("data.name -> text", "Its name in results.", |d: &mut Dataset| d.name.clone());
    library.getter("data.labels -> list", "The label of each image; () where it is unknown.", |d: &mut Dataset| {
        d.items().map(|i| i.label.clone().map_or(Dynamic::UNIT, Into::into)).collect::<Array>()
    });
    library.getter("data.classes -> list", "The different labels, sorted.", |d: &mut Dataset| {
        d.labels().iter().map(|l| Dynamic::from(l.to_string())).collect::<Array>()
    });
    library.getter("data.attributes -> list", "The names of the attributes that any image has.", |d: &mut Dataset| {
        d.attribute_names().iter().map(|l| Dynamic::from(l.to_string())).collect::<Array>()
    });
    library.add("data.len() -> number", "The number of images.", |d: &mut Dataset| d.len() as i64);
    library.add("data.take(n: number) -> data", "The first n images.", |d: &mut Dataset, n: i64| {
        let n = count(n, "the number of images").raise()?.min(d.len());
        d.select(&(0..n).collect::<Vec<_>>()).raise()
    });
    library.add("data.skip(n: number) -> data", "All images but the first n.", |d: &mut Dataset, n: i64| {
        let n = count(n, "the number of images").raise()?.min(d.len());
        d.select(&(n..d.len()).collect::<Vec<_>>()).raise()
    });
    library.add("data.shuffle(seed: number) -> data", "The images in a random order.", |d: &mut Dataset, seed: i64| {
        d.select(&Stream::new(seed as u64, "shuffle").permutation(d.len())).raise()
    });
    library.add(
        "data.filter(keep: function) -> data",
        "The images for which the function returns true, called with #{ label, path, attributes, index }: \
         data.filter(|x| x.label == \"cat\"). No pixels are read.",
        |context: NativeCallContext, d: Dataset, keep: FnPtr| filter(&context, &d, &keep),
    );
    library.add(
        "data.map(f: function) -> list",
        "The list of the function's values for each image.",
        |context: NativeCallContext, d: Dataset, f: FnPtr| {
            d.iter()
                .map(|image| f.call_within_context::<Dynamic>(&context, (image.raise()?,)))
                .collect::<Fallible<Array>>()
        },
    );
    library.loops::<Dataset>(|d| Box::new((0..d.len()).map(move |i| d.get(i).map(Dynamic::from).raise())));
    library.text::<Dataset>(|d| format!("data set `{}` of {} images", d.name, d.len()));
}

fn filter(context: &NativeCallContext<'_>, data: &Dataset, keep: &FnPtr) -> Fallible<Dataset> {
    let mut kept = Vec::new();
    for (i, item) in data.items().enumerate() {
        if crate::functions::truth(keep.call_within_context::<Dynamic>(context, (about(&item, i),))?)? {
            kept.push(i);
        }
    }
    data.select(&kept).raise()
}

fn about(item: &Item, i: usize) -> rhai::Map {
    let attributes: rhai::Map =
        item.attributes.iter().map(|(k, v)| (k.as_str().into(), super::image::attribute(v))).collect();
    [
        ("label", item.label.clone().map_or(Dynamic::UNIT, Into::into)),
        ("path", item.path().map_or(Dynamic::UNIT, |p| p.display().to_string().into())),
        ("attributes", Dynamic::from_map(attributes)),
        ("index", (i as i64).into()),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v))
    .collect()
}

/// A data set of the images, or the given data set.
///
/// # Errors
/// Where the value is neither images nor a data set.
pub fn of(value: &Dynamic) -> Result<Dataset> {
    crate::convert::input(value)?.data()
}
