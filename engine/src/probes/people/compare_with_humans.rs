//! The errors of people and nets on the same images.
//!
//! Karpathy, "What I learned from competing against a ConvNet on ImageNet", 2014; Russakovsky et al. 2014, section 6.4;
//! error consistency: Geirhos, Meding, Wichmann 2020; soft labels: Peterson et al., "Human uncertainty makes
//! classification more robust", 2019.

pub mod judges;
mod pairs;
mod show;
mod soft;
mod together;

use crate::error::{Error, Result};
use crate::humans::classes::ClassList;
use crate::humans::trials::{Columns, TrialSource};
use crate::humans::{Classes, ImageIds, Trials};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use judges::{Judge, Panel};
pub use soft::ChoiceCounts;

crate::params! {
    /// People's answers beside those of nets on the same images: errors with intervals, tests of who errs more, whether both
    /// err on the same images, confusions, kinds of errors, and people's times.
    ///
    /// Nets choose among the same classes as people; only images with a person's answer count. Arrays: `top1`, each subject's
    /// share of right first guesses, people first, in the order of the table; `top5`, the shares of right answers among five
    /// guesses; `z`, `p`, `mcnemar` (chi-squared), `mcnemar_p` (exact) and `error_consistency`, one value for each pair, in the
    /// order of the tables of pairs; `together`, of the images that at least two people answered, the shares on which any of them
    /// is right with the first guess, and among five. In the table of common errors, overlap is Jaccard's index of the errors,
    /// consistency is Cohen's kappa over right and wrong, and kappa is that over the classes of the first guesses.
    #[probe(
        family = Humans,
        source = "Russakovsky et al. 2014, section 6.4; Geirhos, Meding, Wichmann 2020",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "compare_with_humans(#{ labels: [#{ labeller: \"ann\", image: \"shapes/4\", guesses: [\"star\"] }] }).run(net, data)"
    )]
    pub struct CompareWithHumans as "compare_with_humans" {
        /// The answers: the file of a session of `convscope label`, a table of trials (.csv), or a list of maps
        /// #{ labeller, image, guesses, time_s }.
        labels: TrialSource = TrialSource::None;
        /// The classes to choose from: a file of names, a list of names, or a map (or JSON file) from each name to the net's
        /// outputs of that class, whose mean probability decides; the net's own classes unless given.
        classes: ClassList = ClassList::Own;
        /// The meaning of a table's columns, where its header does not tell.
        columns: Columns = Columns::default();
        /// Labellers that are nets, whose answers are among the labels.
        machines: Vec<String> = Vec::new();
        /// In the tests of pairs, an answer is right if the class is among this many guesses; 0 means five where answers have
        /// several guesses, else one.
        top: usize = 0, in 0..=5;
        /// How often people chose each class for each image: a table (.csv) with a column `image` and one a class, or an
        /// N x classes tensor in the data's order; counted from the labels where several people answered.
        soft: ChoiceCounts = ChoiceCounts::None;
        /// Images in each gallery of errors.
        gallery: usize = 8, in 0..=200;
    }
}

impl Probe for CompareWithHumans {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (nets, said) = match on {
            Subject::Predictions(all) => (Vec::new(), all.clone()),
            other => (nets(other)?, Vec::new()),
        };
        let Input::Data(data) = input else {
            return Err(Error::subject(format!("expected a data set, got {}", input.kind()))
                .hint("the images that people labelled: load_images(\"photos\")"));
        };
        let trials = Trials::of(&self.labels, &self.columns)?;
        let classes = classes(&self.classes, &nets)?;
        let keys = ImageIds::of(data);
        let panel = Panel::new(data, &keys, &classes, &trials, &self.machines)?;
        let (panel, done) = panel.with_nets(&nets, data, &classes, job)?;
        let (panel, notes) = panel.with_predictions(&said, data, &classes)?;
        let top = match self.top {
            0 if panel.several_guesses() => 5,
            0 => 1,
            n => n,
        };
        let subjects = show::subjects(&panel)?;
        let found = pairs::of(&panel, top, job);
        let mut artifact = Artifact::new(format!(
            "{} {} and {} {} on {} images of {}",
            panel.people().count(),
            if panel.people().count() == 1 { "person" } else { "people" },
            panel.nets().count(),
            if panel.nets().count() == 1 { "net" } else { "nets" },
            panel.images.len(),
            data.name,
        ));
        for part in subjects.parts.into_iter().chain(pairs::parts(&panel, &found, top)) {
            artifact = artifact.part(part);
        }
        for part in show::kinds(&panel, &trials.tags, &keys, top)
            .into_iter()
            .chain(show::times(&panel))
            .chain(show::galleries(&panel, data, &classes, top, self.gallery)?)
            .chain(show::confusions(&panel, &classes)?)
        {
            artifact = artifact.part(part);
        }
        let together = together::of(&panel);
        artifact.parts.extend(together.iter().map(|t| t.part.clone()));
        artifact = soft::compare(&self.soft, &panel, data, &keys, &classes, artifact)?;
        let column = |f: &dyn Fn(&pairs::JudgePair) -> Option<f64>| {
            let values: Vec<f64> = found.iter().map(|p| f(p).unwrap_or(f64::NAN)).collect();
            tensor(values, &[found.len()])
        };
        let mut artifact = artifact
            .array("top1", tensor(subjects.top1.clone(), &[subjects.top1.len()])?)
            .array("top5", tensor(subjects.top5.clone(), &[subjects.top5.len()])?);
        if let Some(together) = together {
            artifact = artifact.array("together", tensor(together.shares.to_vec(), &[2])?);
        }
        if !found.is_empty() {
            artifact = artifact
                .array("error_consistency", column(&|p| p.counts.error_consistency())?)
                .array("z", column(&|p| p.z.map(|z| z.0))?)
                .array("p", column(&|p| p.z.map(|z| z.1))?)
                .array("mcnemar", column(&|p| Some(p.counts.mcnemar().0))?)
                .array("mcnemar_p", column(&|p| Some(p.counts.mcnemar().1))?);
        }
        artifact.primary = "top1".into();
        for note in panel.notes().into_iter().chain(notes) {
            artifact = artifact.note(note);
        }
        let right = if top == 1 { "the first guess".to_string() } else { format!("one of the first {top} guesses") };
        Ok(artifact
            .note(format!(
                "pairs and kinds of errors: an answer is right where {right} is; intervals are Wilson's, 95 %"
            ))
            .reached(done, panel.images.len() * nets.len()))
    }
}

/// The nets of a subject.
pub(super) fn nets(on: &Subject) -> Result<Vec<Model>> {
    match on {
        Subject::Model(one) => Ok(vec![one.clone()]),
        Subject::Models(all) => Ok(all.clone()),
        other => Err(Error::subject(format!("{other} is no net"))
            .hint("people are compared with whole nets: .run(net, data) or .run([a, b], data)")),
    }
}

/// The classes to choose from.
pub(super) fn classes(given: &ClassList, nets: &[Model]) -> Result<Classes> {
    match given {
        ClassList::File(path) => Classes::read(path),
        ClassList::Names(names) => Ok(Classes::of(names)),
        ClassList::Groups(groups) => Ok(Classes::of_groups(groups.clone())),
        ClassList::Own => {
            let card = nets.first().map(Model::card).filter(|c| !c.classes.is_empty());
            let Some(card) = card else {
                return Err(Error::value("the classes to choose from are not known")
                    .hint("give them: classes: \"classes.txt\", or a list of names"));
            };
            let label = |c: &crate::model::card::Class| {
                std::iter::once(&c.name).chain(&c.synonyms).cloned().collect::<Vec<_>>().join(", ")
            };
            Ok(Classes::of(&card.classes.iter().map(label).collect::<Vec<_>>()))
        }
    }
}

impl Judge {
    /// What the judge is, in a word.
    fn kind(&self) -> &'static str {
        if self.person { "person" } else { "net" }
    }
}
