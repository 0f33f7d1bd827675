//! Predictions without a net in scripts: their accuracy and their images.

use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::data::Dataset;
use convscope_engine::inspect::EvaluatePredictions as _;
use convscope_engine::predictions::Predictions;
use rhai::Dynamic;

/// Binds predictions.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Predictions>("predictions", "The predictions of a classifier, without the classifier.");
    library.getter("predictions.name -> text", "Their name in results: the file's name.", |p: &mut Predictions| {
        p.name.clone()
    });
    library.getter(
        "predictions.data -> data",
        "The images of the predictions: files with truths as labels and the other columns as attributes. The image \
         files must exist only where pixels are read.",
        |p: &mut Predictions| -> Dataset { p.data.clone() },
    );
    library.add("predictions.len() -> number", "The number of images.", |p: &mut Predictions| p.rows.len() as i64);
    library.add(
        "predictions.accuracy() -> artifact",
        "How often the truth is the first guess (top1) and, where five were made, among five (top5), with 95 % \
         Wilson intervals.",
        |p: &mut Predictions| p.accuracy(None).raise(),
    );
    library.add(
        "predictions.accuracy(data) -> artifact",
        "The same, the data set's labels being the truth where the file has none.",
        |p: &mut Predictions, d: Dynamic| super::data::of(&d).and_then(|d| p.accuracy(Some(&d))).raise(),
    );
    library.add(
        "predictions.confusion() -> artifact",
        "How often each label is classified as each class.",
        |p: &mut Predictions| p.confusion(None).raise(),
    );
    library.add(
        "predictions.confusion(data) -> artifact",
        "The same, the data set's labels being the truth where the file has none.",
        |p: &mut Predictions, d: Dynamic| super::data::of(&d).and_then(|d| p.confusion(Some(&d))).raise(),
    );
    library.text::<Predictions>(|p| format!("predictions `{}` of {} images", p.name, p.rows.len()));
}
