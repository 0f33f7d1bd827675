//! `convscope label`: the labelling page on loopback.

use super::net_flags::NetFlags;
use super::terminal;
use clap::Args;
use convscope_engine::data::{Dataset, load_images};
use convscope_engine::humans::points::names;
use convscope_engine::humans::{Classes, Tree};
use convscope_engine::load::LoadOptions;
use convscope_engine::load::load_model;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::{Error, Model, Result};
use convscope_web::label::points::{self, PointSession};
use convscope_web::label::{Examples, LabelSession, Predictions, Settings};
use convscope_web::{Page, Stop, label, serve};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Label images in a browser, to compare people with nets.
///
/// The page is served on this machine only, at an address that contains a secret. Answers are appended to a file; each is on
/// the disk before the page continues. Ending the program or closing the page loses nothing; the next start resumes there.
/// `compare_with_humans(#{ labels: "labels.jsonl" }).run(net, data)` compares the errors of people and net.
#[derive(Args)]
pub struct Label {
    /// The images: a folder (sub-folders are the right classes), a pattern, a .csv table, or `shapes` for generated ones.
    dataset: PathBuf,
    /// The classes to choose from: names in a .txt, .json or .csv file; the net's or the data set's own unless given.
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// A tree of the classes to browse beside the search: a .csv table (node, parent, name; classes by name or WordNet id) or nested
    /// .json (name, children).
    #[arg(long, value_name = "FILE")]
    tree: Option<PathBuf>,
    /// A net whose predictions are shown in training and in the review; it must have the same classes.
    #[arg(long)]
    net: Option<String>,
    #[command(flatten)]
    flags: NetFlags,
    /// The file of the answers [default: labels.jsonl, of points: points.jsonl].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Click named points on each image instead, such as eye,eye,nose; a table of them is written beside the answers (points.csv),
    /// which load_images reads.
    #[arg(long, value_name = "NAMES", conflicts_with_all = ["classes", "tree", "net", "examples", "training", "review"])]
    points: Option<String>,
    /// Labelled example images of each class: a folder, a pattern or a .csv table; not the images to label.
    #[arg(long, value_name = "DATASET")]
    examples: Option<PathBuf>,
    /// Show the right class and the net's answer after each image, to learn the classes.
    #[arg(long)]
    training: bool,
    /// Review the errors of people and net and assign each a kind.
    #[arg(long, conflicts_with = "training")]
    review: bool,
    /// The most guesses for an image.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=5))]
    guesses: u8,
    /// The number of images, for `shapes`.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    n: u32,
    /// The seed of the images' order (and, for `shapes`, of the images).
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The port [default: a free one, and the same one at the next start].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

impl Label {
    /// Serves until Ctrl-C.
    pub fn main(self) -> Result<u8> {
        let data = self.data()?;
        if let Some(points) = &self.points {
            return self.click(data, names(points)?);
        }
        let net = self.net.as_deref().map(|name| net(name, &self.flags.options()?)).transpose()?;
        let classes = self.classes(net.as_ref(), &data)?;
        let examples = match &self.examples {
            Some(from) => Some(load_images(from).map_err(|e| e.context("the examples"))?),
            None if self.generated() => Some(shapes(&Shapes::new().n(400usize).seed(self.seed.wrapping_add(1)))?),
            None => None,
        };
        if self.training || self.review {
            let known = data.items().any(|i| i.label.as_deref().is_some_and(|l| classes.index(l).is_ok()));
            if !known {
                return Err(Error::value(format!("no image of `{}` has one of the classes as its label", data.name))
                    .hint(
                        "training and review need the right classes: sub-folders, or a column `label` in a .csv table",
                    ));
            }
        }
        let settings = Settings {
            seed: self.seed,
            guesses: usize::from(self.guesses),
            training: self.training,
            review: self.review,
        };
        let examples = Examples::of(examples, &classes, self.seed);
        let predictions = net.map(|net| Predictions::new(net, &classes)).transpose()?;
        let tree = self.tree.as_deref().map(|file| Tree::read(file, &classes)).transpose()?;
        if let Some(missing) = tree.as_ref().map(Tree::missing).filter(|n| *n > 0) {
            terminal::print_err(&format!("{missing} classes are not in the tree; they stand in a branch of their own"));
        }
        let out = self.out.clone().unwrap_or_else(|| "labels.jsonl".into());
        let session = LabelSession::open(data, classes, examples, predictions, settings, &out)?;
        let session = Arc::new(session.with_tree(tree));
        let total = session.order.len();
        self.serve(label::page(session.clone()), &out, &format!("{total} images; answers go to {}", out.display()))?;
        for (name, done) in session.people() {
            terminal::print_err(&format!("{name}: {done} of {total}"));
        }
        Ok(0)
    }

    /// Serves the page of points until Ctrl-C.
    fn click(&self, data: Dataset, names: Vec<String>) -> Result<u8> {
        let out = self.out.clone().unwrap_or_else(|| "points.jsonl".into());
        let session = Arc::new(PointSession::open(data, names, self.seed, &out)?);
        let total = session.total();
        let table = session.table().display().to_string();
        let about = format!("{total} images; answers go to {}, the table of points to {table}", out.display());
        self.serve(points::page(session.clone()), &out, &about)?;
        session.write_table()?;
        for (name, done) in session.people() {
            terminal::print_err(&format!("{name}: {done} of {total}"));
        }
        Ok(0)
    }

    /// Serves a page until Ctrl-C; `about` is printed with the address.
    fn serve(&self, page: Page, out: &Path, about: &str) -> Result<()> {
        let stop = Stop::default();
        let signalled = stop.clone();
        ctrlc::set_handler(move || signalled.stop()).map_err(|e| Error::internal(format!("Ctrl-C: {e}")))?;
        serve(page, out, self.port, &stop, |address| {
            terminal::print_out(&format!("{}\n", address.url()));
            terminal::print_err(&format!("{about}; open the address in a browser, Ctrl-C ends"));
            Ok(())
        })
    }

    fn generated(&self) -> bool {
        self.dataset == Path::new("shapes") && !self.dataset.exists()
    }

    fn data(&self) -> Result<Dataset> {
        if self.generated() {
            return shapes(&Shapes::new().n(self.n as usize).seed(self.seed));
        }
        load_images(&self.dataset)
    }

    fn classes(&self, net: Option<&Model>, data: &Dataset) -> Result<Classes> {
        if let Some(file) = &self.classes {
            return Classes::read(file);
        }
        let own = net.map(|n| &n.card().classes).filter(|c| !c.is_empty());
        let labels: Vec<String> = match own {
            Some(classes) => classes
                .iter()
                .map(|c| {
                    let names = std::iter::once(&c.name).chain(&c.synonyms).cloned().collect::<Vec<_>>().join(", ");
                    c.id.iter().cloned().chain([names]).collect::<Vec<_>>().join(" ")
                })
                .collect(),
            None => data.labels(),
        };
        if labels.is_empty() {
            return Err(Error::value(format!("the classes are not known: no image of `{}` has a label", data.name))
                .hint("name them: --classes classes.txt, one a line"));
        }
        Ok(Classes::of(&labels))
    }
}

fn net(name: &str, options: &LoadOptions) -> Result<Model> {
    load_model(name, options, Path::new(""), &|line| terminal::print_err(line))
}
