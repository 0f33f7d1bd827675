//! Predictions without a net in scripts: how well they are, and the images that they are about.

use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::data::Dataset;
use convscope_engine::inspect::Told as _;
use convscope_engine::predictions::Predictions;
use rhai::Dynamic;

/// Binds predictions.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Predictions>("predictions", "What a classifier said of images, without the classifier.");
    library.getter(
        "predictions.name -> text",
        "What they are called in results: the file's name.",
        |p: &mut Predictions| p.name.clone(),
    );
    library.getter(
        "predictions.data -> data",
        "The images that they are about: files with truths as labels and the file's other columns as attributes. The files need \
         be there only where something asks for pixels.",
        |p: &mut Predictions| -> Dataset { p.data.clone() },
    );
    library.add("predictions.len() -> number", "The number of images.", |p: &mut Predictions| p.rows.len() as i64);
    library.add(
        "predictions.accuracy() -> artifact",
        "How often the truth is the first guess (top1) and, where five were made, among five (top5), with 95 % Wilson intervals.",
        |p: &mut Predictions| p.accuracy(None).raise(),
    );
    library.add(
        "predictions.accuracy(data) -> artifact",
        "The same, the data set's labels being the truth where the file has none.",
        |p: &mut Predictions, d: Dynamic| super::data::of(&d).and_then(|d| p.accuracy(Some(&d))).raise(),
    );
    library.add(
        "predictions.confusion() -> artifact",
        "How often each label is taken for each class.",
        |p: &mut Predictions| p.confusion(None).raise(),
    );
    library.add(
        "predictions.confusion(data) -> artifact",
        "The same, the data set's labels being the truth where the file has none.",
        |p: &mut Predictions, d: Dynamic| super::data::of(&d).and_then(|d| p.confusion(Some(&d))).raise(),
    );
    library.text::<Predictions>(|p| format!("predictions `{}` of {} images", p.name, p.rows.len()));
}
