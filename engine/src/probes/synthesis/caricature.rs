//! Caricatures: an image's own code at a layer, exaggerated.
//!
//! Olah et al., "The Building Blocks of Interpretability", Distill 2018; Johnson's and lucid's caricatures maximise the
//! dot product with the image's code times a power of the cosine.

use crate::ascent::{Adam, Ascent, CodeAlignment, Fourier, Space, Transforms, with_gradient};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::synthesis::{array, colours, pictures};
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};

crate::params! {
    /// A layer's representation of an image, exaggerated: an image made from noise whose code has the direction of the given
    /// image's code and is as long as possible.
    #[probe(
        family = Dream,
        source = "Olah et al. 2018, \"The Building Blocks of Interpretability\"; Mahendran and Vedaldi 2016, section 3.3",
        subjects = "a layer",
        input = One,
        example = "caricature(#{ steps: 4 }).run(net.layer(\"conv2\"), image)"
    )]
    pub struct Caricature as "caricature" {
        /// Steps of ascent.
        steps: usize = 256, in 1..=100_000;
        /// The learning rate of Adam.
        rate: f64 = 0.05, in 1e-6..=100.0;
        /// The exponent of the cosine: a larger one keeps the code's direction more closely, at the cost of its length.
        cosine: f64 = 2.0, in 0.0..=20.0;
        /// The largest random shift, px of the net's input.
        jitter: usize = 4, in 0..=512;
        /// The largest random scaling, as a relative change of size.
        scale: f64 = 0.02, in 0.0..=0.9;
        /// The largest random rotation, degrees.
        rotate: f64 = 2.0, in 0.0..=180.0;
    }
}

impl Probe for Caricature {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, node) = on.as_layer()?;
        let space = Space::of_any(model)?;
        let prepared = input.prepared(model)?;
        let trace = model.forward(&prepared.x, &Tap::Only(vec![node]))?;
        let direction = to_f64(trace.get(node)?)?;
        if direction.iter().all(|v| *v == 0.0) {
            return Err(Error::subject(format!(
                "the code of {on} is zero for this image: there is nothing to exaggerate"
            )));
        }
        let objective = CodeAlignment { node, direction, power: self.cosine };
        let fourier = Fourier::new(&space, &colours(model), 1.0);
        let transforms = Transforms::robust(&space, self.jitter, self.scale, self.rotate);
        let ascent = Ascent {
            transforms: &transforms,
            steps: self.steps,
            label: "caricature",
            ..Ascent::plain(model, &space, &objective, &fourier)
        };
        let start = fourier.start(1, &job.rng("caricature/start"));
        let start = with_gradient(model, &objective, &fourier, start, space.frame.len())?;
        let made = ascent.run(start, &mut Adam::new(self.rate), job)?;
        let code = CodeAlignment { power: 0.0, ..objective };
        let length = crate::ascent::measure(model, &code, &to_f64(&prepared.x)?)?.0[0];
        let reached = crate::ascent::measure(model, &code, &made.images)?.0[0];
        let shown = [
            (to_f64(&prepared.x)?, "the given image".to_string()),
            (made.images.clone(), format!("{on}: {} times its code", crate::show::table::short(reached / length))),
        ];
        Ok(Artifact::new(format!("caricature of an image by {on} in {}", model.card().name))
            .part(pictures(model, &space, "", &shown)?)
            .array("caricature", array(&space, &made.images)?)
            .array("exaggeration", tensor(vec![reached / length], &[1])?)
            .reached(made.done, self.steps))
    }
}
