//! Linear templates: adding another class's weights to an image fools a linear classifier.
//!
//! Karpathy, "Breaking Linear Classifiers on ImageNet", 2015.

use crate::ascent::{Aim, Score, Space, measure};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attack::{AttackInputs, Norm, Target};
use crate::probes::synthesis::pictures;
use crate::show::table::short;
use crate::show::{Artifact, Grid, Mark, Part, Plot, Scale, Series, Table, Tile};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::{tensor, to_f64};

crate::params! {
    /// A classifier's own templates: a class's weights as an image, and the scores of a photo as another class's template is
    /// added to it. Exact for linear nets; for others the gradient of the class's raw score with respect to the pixels, at the
    /// given image.
    #[probe(
        family = Fool,
        source = "Karpathy 2015, \"Breaking Linear Classifiers on ImageNet\"; Goodfellow et al. 2014, section 3",
        subjects = "a net (its first classes) or a class (what the image shows)",
        input = One,
        example = "linear_template().run(net, image)"
    )]
    pub struct LinearTemplate as "linear_template" {
        /// Classes whose templates are shown when the subject is a net.
        classes: usize = 9, in 1..=1000;
        /// The class whose template is added to the image; the second most probable where absent.
        target: Option<Target> = None;
        /// The largest entry of the added template at the sweep's end, pixel values (0 to 255).
        eps: f64 = 8.0, in 0.0..=255.0;
        /// Points of the sweep from 0 to `eps`.
        points: usize = 9, in 2..=1000;
    }
}

impl Probe for LinearTemplate {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        if matches!(input, Input::Data(_)) {
            return Err(Error::subject("expected an image or a tensor, got a data set"));
        }
        let inputs = AttackInputs::of(on, input, None, job)?;
        let (model, space) = (&inputs.model, &inputs.space);
        let clean = inputs.image(0);
        let linear = is_linear(model, space, clean)?;
        let classes: Vec<usize> = match on {
            Subject::Class { index, .. } => vec![*index],
            _ => (0..model.scores_len().min(self.classes)).collect(),
        };
        let templates = classes.iter().map(|c| template(model, space, *c, clean)).collect::<Result<Vec<_>>>()?;
        let own = argmax(&inputs.clean[0]);
        let other = match &self.target {
            Some(t) => t.class(model, inputs.labels[0], &inputs.clean[0])?,
            None => Aim::Not(own).margin(&inputs.clean[0]).1,
        };
        let added = template(model, space, other, clean)?;
        let largest = Norm::Linf.of(&added).max(f64::MIN_POSITIVE);
        let at = |eps: f64| -> Vec<f64> {
            clean.iter().zip(&added).map(|(x, t)| (x + eps * t / largest).clamp(0.0, 255.0)).collect()
        };
        let mut rows = Table::new([
            "largest change",
            "taken for",
            "probability",
            &format!("p({})", model.card().class_name(other))[..],
        ]);
        let (mut eps, mut p_own, mut p_other) = (Vec::new(), Vec::new(), Vec::new());
        for i in job.steps("linear_template", self.points) {
            let e = self.eps * i as f64 / (self.points - 1) as f64;
            let p = model.probabilities(&space.tensor(&space.to_net(&at(e)))?)?.remove(0);
            let best = argmax(&p);
            rows.push([e.into(), model.card().class_name(best).into(), p[best].into(), p[other].into()]);
            eps.push(e);
            p_own.push(p[inputs.labels[0]]);
            p_other.push(p[other]);
        }
        let done = eps.len();
        let rounded: Vec<f64> = at(self.eps).iter().map(|p| p.round()).collect();
        let shown = [
            (space.to_net(clean), format!("given: {}", model.card().class_name(own))),
            (
                space.to_net(&rounded),
                format!("+ template of {}, at most {}", model.card().class_name(other), short(self.eps)),
            ),
        ];
        let series = |name: usize, y: &[f64]| Series {
            name: model.card().class_name(name),
            x: eps.clone(),
            y: y.to_vec(),
            bars: Vec::new(),
            mark: Mark::Line,
        };
        let plot = Plot {
            title: "probability as the template is added".into(),
            x_label: "largest change, pixel values".into(),
            y_label: "probability".into(),
            categories: Vec::new(),
            series: vec![series(inputs.labels[0], &p_own), series(other, &p_other)],
        };
        let f = space.frame;
        let dims = [f.channels, f.height, f.width];
        let tiles =
            classes.iter().zip(&templates).map(|(c, t)| tile(model, space, *c, t)).collect::<Result<Vec<_>>>()?;
        let stack: Vec<f32> = templates.concat().into_iter().map(|v| v as f32).collect();
        let note = match linear {
            true => "the net is linear: the templates are its weights",
            false => {
                "the net is not linear: these are the last layer's weights carried to the pixels at the given image, and hold around it only"
            }
        };
        Ok(Artifact::new(format!("linear templates of {}", model.card().name))
            .part(Part::Grid(Grid {
                title: "templates, each class's weights on the pixels".into(),
                tiles,
                columns: None,
                label: "score a pixel value".into(),
                scale: Scale::Diverging { bound: None },
            }))
            .part(pictures(model, space, "", &shown)?)
            .part(Part::Plot(plot))
            .part(Part::Table("as the template is added".into(), rows))
            .array("templates", tensor(stack, &[&[classes.len()], &dims[..]].concat())?)
            .array("added", tensor(added.iter().map(|v| *v as f32).collect::<Vec<f32>>(), &dims)?)
            .array("p_target", tensor(p_other, &[done])?)
            .array("p_label", tensor(p_own, &[done])?)
            .array("linear", tensor(vec![f64::from(u8::from(linear))], &[1])?)
            .note(note)
            .reached(done, self.points))
    }
}

/// The derivative of a class's raw score by the pixel values, at an image.
fn template(model: &Model, space: &Space, class: usize, pixels: &[f64]) -> Result<Vec<f64>> {
    let score = Score(vec![Subject::class_at(model, class)?]);
    Ok(space.pull(&measure(model, &score, &space.to_net(pixels))?.1))
}

/// Whether the raw scores are linear in the pixels: their values at the middle between the image and its negative are the
/// means of those at the two, and so on a quarter of the way.
fn is_linear(model: &Model, space: &Space, pixels: &[f64]) -> Result<bool> {
    let between = |t: f64| -> Vec<f64> { pixels.iter().map(|p| p + t * (255.0 - 2.0 * p)).collect() };
    let all: Vec<f64> = [0.0, 0.25, 0.5, 1.0].iter().flat_map(|t| between(*t)).collect();
    let node = model.graph().scores();
    let trace = model.forward(&space.tensor(&space.to_net(&all))?, &crate::pass::Tap::Only(vec![node]))?;
    let scores = to_f64(trace.get(node)?)?;
    let n = scores.len() / 4;
    let size = scores.iter().fold(0.0f64, |m, s| m.max(s.abs())).max(f64::MIN_POSITIVE);
    Ok((0..n).all(|c| {
        let (a, q, h, b) = (scores[c], scores[n + c], scores[2 * n + c], scores[3 * n + c]);
        (h - (a + b) / 2.0).abs() < 1e-4 * size && (q - (0.75 * a + 0.25 * b)).abs() < 1e-4 * size
    }))
}

/// A template as a tile: in colour for nets that see three channels.
fn tile(model: &Model, space: &Space, class: usize, template: &[f64]) -> Result<Tile> {
    let f = space.frame;
    let planes: Vec<usize> =
        if f.channels == 3 { crate::probes::synthesis::colours(model) } else { (0..f.channels).collect() };
    let values: Vec<f32> = if f.channels == 3 {
        // Red, green, blue, whatever the net's order: the order is its own inverse.
        planes.iter().flat_map(|c| template[c * f.plane()..(c + 1) * f.plane()].iter().map(|v| *v as f32)).collect()
    } else {
        template[..f.plane()].iter().map(|v| *v as f32).collect()
    };
    let dims = [3, f.height, f.width];
    Ok(Tile {
        caption: model.card().class_name(class),
        values: tensor(values, if f.channels == 3 { &dims } else { &dims[1..] })?,
    })
}
