//! The class model: the image with the highest score of a class.
//!
//! Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 2.

use crate::ascent::{
    Ascent, Balanced, Momentum, Optimiser, Pixels, Prior, Schedule, Score, Space, Transforms, zero_or_noise,
};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::synthesis::{array, no_input, pictures, seen_in_png, top};
use crate::show::{Artifact, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// argmax over I of S_c(I) - lambda |I|^2: the raw score of a class minus a penalty on the preprocessed image, by gradient
    /// ascent from the zero image; the mean is added back for display. On a linear net the result is w / (2 lambda).
    #[probe(
        family = Dream,
        source = "Simonyan, Vedaldi, Zisserman 2013, section 2; schedules: Yosinski et al. 2015, section 4",
        subjects = "a class; also a channel, unit, direction or sum",
        input = Nothing,
        example = "class_model(#{ steps: 20 }).run(net.class(2))"
    )]
    pub struct ClassModel as "class_model" {
        /// Steps of ascent.
        steps: usize = 200, in 1..=100_000;
        /// lambda, in units of the score per squared unit of the preprocessed input; unless given, the lambda for which the
        /// picture has `contrast`.
        lambda: Option<f64> = None;
        /// The picture's root mean square around the mean, pixel values (0 to 255), where no lambda is given.
        contrast: f64 = 40.0, in 0.1..=1000.0;
        /// The learning rate in units of 1 / (2 lambda): at 1, a step goes to the point where gradient and penalty balance.
        rate: f64 = 0.1, in 1e-6..=1.0;
        /// The largest random shift in each step (wrapping around), px of the net's input: against patterns tied to the pixel grid.
        jitter: usize = 0, in 0..=512;
        /// Standard deviation of a blur every fourth step, px (Yosinski et al. 2015): against high frequencies.
        blur: f64 = 0.0, in 0.0..=100.0;
        /// The share of pixels set to zero every fourth step, those of smallest magnitude (Yosinski et al. 2015).
        clip: f64 = 0.0, in 0.0..=0.99;
    }
}

impl Probe for ClassModel {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        no_input(input)?;
        if matches!(on, Subject::Model(_)) {
            return Err(Error::subject(format!("{on} is a net; the model of which class?")).hint("`net.class(name)`"));
        }
        let target = on.target(&candle_core::Tensor::zeros(1, candle_core::DType::F32, &candle_core::Device::Cpu)?)?;
        let model = target.model()?;
        let space = Space::of_any(model)?;
        let pixels = Pixels::plain(&space);
        let mean_slope = space.slope.iter().map(|s| s.abs()).sum::<f64>() / space.slope.len().max(1) as f64;
        let mut balanced = Balanced { rate: self.rate, size: self.contrast * mean_slope, lambda: 0.0 };
        let priors: Vec<Prior> = self.lambda.map(|lambda| Prior::L2 { lambda }).into_iter().collect();
        let mut fixed = match self.lambda {
            Some(lambda) if lambda > 0.0 => Some(Momentum::new(self.rate / (2.0 * lambda), 0.0)),
            Some(lambda) => return Err(Error::value(format!("option `lambda` must be above 0, got {lambda}"))),
            None => None,
        };
        let optimiser: &mut dyn Optimiser = match &mut fixed {
            Some(momentum) => momentum,
            None => &mut balanced,
        };
        let objective = Score(vec![target.clone()]);
        let transforms = Transforms { jitter: self.jitter, ..Transforms::default() };
        let scheduled = self.blur > 0.0 || self.clip > 0.0;
        let ascent = Ascent {
            transforms: &transforms,
            priors: &priors,
            schedule: scheduled.then_some(Schedule { every: 4, blur: self.blur, clip: self.clip }),
            keep_best: self.lambda.is_some(),
            steps: self.steps,
            label: "class_model",
            ..Ascent::plain(model, &space, &objective, &pixels)
        };
        let (start, noisy) = zero_or_noise(model, &objective, &pixels, space.frame.len(), &job.rng("class_model"))?;
        let made = ascent.run(start, optimiser, job)?;
        let lambda = self.lambda.unwrap_or(balanced.lambda);
        let x = made.images;
        let number = |v: f64| tensor(vec![v], &[1]);
        let mut artifact = Artifact::new(format!("class model of {target} in {}", model.card().name))
            .part(pictures(model, &space, "", &[(x.clone(), target.to_string())])?)
            .array("class_model", array(&space, &x)?)
            .array("score", number(made.values[0])?)
            .array("lambda", number(lambda)?)
            .array("history", tensor(made.history.clone(), &[made.history.len()])?);
        let mut table = Table::new(["quantity", "value"]);
        table.push(["raw score S".into(), made.values[0].into()]);
        table.push(["lambda".into(), lambda.into()]);
        table.push(["S - lambda |I|²".into(), (made.values[0] - lambda * x.iter().map(|v| v * v).sum::<f64>()).into()]);
        artifact = artifact.part(Part::Table("ascent".into(), table));
        if model.card().preprocess.is_some() {
            let seen = seen_in_png(model, &space, &space.picture(model, &x)?)?;
            if let Subject::Class { index, .. } = target {
                artifact = artifact.array("probability", number(seen[index])?);
            }
            artifact = artifact
                .part(Part::Table("what the net sees in the picture, read from a PNG".into(), top(model, &seen, 5)));
        } else {
            artifact = artifact.note("the net's card does not say what a pixel is: the net's input is shown as it is");
        }
        if noisy {
            artifact = artifact.note("the net is silent on the zero image: the ascent began from faint noise");
        }
        Ok(artifact.reached(made.done, self.steps))
    }
}
