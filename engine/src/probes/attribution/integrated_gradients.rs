//! Integrated gradients: the gradient averaged along the straight path from a baseline, times the difference.
//!
//! Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", 2017, section 3; several baselines averaged:
//! Sturmfels, Lundberg, Lee 2020 ("expected gradients" with random ones: Erion et al. 2019).

use crate::error::{Error, Result};
use crate::job::Job;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probe::Promise;
use crate::probes::attribution::baseline::Baselines;
use crate::probes::attribution::{diagnose, input_signal, signed};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{VALUES_PER_TASK, tensor, to_f32, to_f64};
use candle_core::Tensor;
use rayon::prelude::*;

crate::choice! {
    /// How the path integral is summed.
    pub enum Quadrature {
        /// Gauss-Legendre nodes and weights.
        GaussLegendre = "gauss_legendre",
        /// Riemann's sum with the points in the middle of equal steps.
        RiemannMiddle = "riemann",
        /// Riemann's sum with the points at the ends of equal steps.
        RiemannRight = "riemann_right",
    }
}

/// How many points the path has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSteps {
    /// This number.
    Fixed(usize),
    /// Doubled from 25 until the completeness delta is below 1 % of the score difference, or 1600.
    Auto,
}

const AUTO_FIRST: usize = 25;
const AUTO_LAST: usize = 1600;
const MOST_STEPS: usize = 100_000;

impl From<usize> for PathSteps {
    fn from(n: usize) -> Self {
        PathSteps::Fixed(n)
    }
}

impl Param for PathSteps {
    fn form() -> Form {
        Form { words: "a whole number from 1 to 100000, or \"auto\"".into(), choices: vec!["auto"] }
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(t) if t == "auto" => Ok(PathSteps::Auto),
            Value::Int(n) if (1..=MOST_STEPS as i64).contains(n) => Ok(PathSteps::Fixed(*n as usize)),
            Value::Int(n) => Err(Error::value(format!("takes {}, got {n}", Self::form().words))),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        match self {
            PathSteps::Fixed(n) => Value::Int(*n as i64),
            PathSteps::Auto => Value::Text("auto".into()),
        }
    }
}

crate::params! {
    /// The input minus a baseline, times the mean gradient along the straight path between them.
    ///
    /// Its values sum to S(x) - S(baseline); a note gives the remaining delta.
    #[probe(
        family = Where,
        source = "Sundararajan, Taly, Yan 2017, section 3",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "integrated_gradients(#{ steps: 16 }).run(net, image)"
    )]
    pub struct IntegratedGradients as "integrated_gradients" {
        /// Points along the path, or "auto": doubled until the delta is below 1 % of the score difference.
        steps: PathSteps = PathSteps::Fixed(50);
        /// "gauss_legendre", "riemann" (middle points) or "riemann_right".
        method: Quadrature = Quadrature::GaussLegendre;
        /// Where the path begins: "zero", "blur", "random", a number, an image, a tensor, or a list of these, whose maps are
        /// averaged.
        baseline: Baselines = Baselines::default();
    }
}

impl Probe for IntegratedGradients {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let path = self.integrate(&target, &prepared.x, job)?;
        let map = path.map.squeeze(0)?;
        let mut artifact =
            signed(self.name_of(), &target, &prepared, &map, "contribution to the score, summed over channels")?;
        for reason in diagnose(&map, &target, &prepared.x, &Rules::gradient())? {
            artifact = artifact.note(reason);
        }
        let difference = path.score - path.baseline_score;
        artifact = artifact.note(format!(
            "completeness: the map sums to {:.6}, S(x) - S(baseline) is {difference:.6}, delta {:.2e}; {} steps",
            path.sum(),
            path.delta(),
            path.steps
        ));
        if self.steps == PathSteps::Auto && path.delta().abs() > 0.01 * difference.abs() {
            artifact = artifact
                .note(format!("the delta did not fall below 1 % of the score difference within {} steps", path.steps));
        }
        artifact = artifact.array("delta", tensor(vec![path.delta()], &[1])?);
        Ok(artifact.reached(path.done, path.steps))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let maps = (0..x.dims()[0])
            .map(|n| Ok(self.integrate(target, &x.narrow(0, n, 1)?, job)?.map))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&maps, 0)?)
    }

    fn promise(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Option<Promise>> {
        Ok(Some(Promise::Difference(self.baseline.tensors(target.model()?, x, job)?)))
    }
}

/// The result of one integration.
struct Path {
    map: Tensor,
    score: f64,
    baseline_score: f64,
    total: f64,
    steps: usize,
    done: usize,
}

impl Path {
    fn sum(&self) -> f64 {
        self.total
    }

    fn delta(&self) -> f64 {
        self.total - (self.score - self.baseline_score)
    }
}

impl IntegratedGradients {
    fn name_of(&self) -> &'static str {
        use crate::params::Params;
        self.name()
    }

    fn integrate(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Path> {
        let target = &target.with_model(&job.fitted(&target.model()?.with_winograd_forward()));
        let model = target.model()?;
        let baselines = self.baseline.tensors(model, x, job)?;
        // As the gradients' own passes: no other form of the weights is needed.
        let tap = Tap::Signs(target.nodes()?);
        let score_of = |x: &Tensor| Ok::<f64, Error>(target.scores(&model.forward(x, &tap)?)?[0]);
        let score = score_of(x)?;
        let mut baseline_score = 0.0;
        for b in &baselines {
            baseline_score += score_of(b)? / baselines.len() as f64;
        }
        let mut steps = match self.steps {
            PathSteps::Fixed(n) => n,
            PathSteps::Auto => AUTO_FIRST,
        };
        loop {
            let mut sum = vec![0.0f64; x.elem_count()];
            let mut done = steps;
            for b in &baselines {
                let (part, reached) = self.along(target, x, b, steps, job)?;
                sum.iter_mut().zip(part).for_each(|(s, p)| *s += p / baselines.len() as f64);
                done = done.min(reached);
            }
            let total = sum.iter().sum();
            let map = tensor(sum.into_iter().map(|v| v as f32).collect::<Vec<_>>(), x.dims())?;
            let path = Path { map, score, baseline_score, total, steps, done };
            let good = path.delta().abs() <= 0.01 * (score - baseline_score).abs();
            if matches!(self.steps, PathSteps::Fixed(_)) || good || steps >= AUTO_LAST || job.stopped() {
                return Ok(path);
            }
            steps *= 2;
        }
    }

    /// (x - b) times the mean gradient over `steps` points, and how many points were reached.
    fn along(&self, target: &Subject, x: &Tensor, b: &Tensor, steps: usize, job: &Job) -> Result<(Vec<f64>, usize)> {
        let points = self.method.points(steps);
        let (from, to) = (to_f64(b)?, to_f64(x)?);
        let (start, end) = (to_f32(b)?, to_f32(x)?);
        let batch = job.through(target.model()?, 3, 3 * target.model()?.graph().trace_len(), 8);
        let mut mean = vec![0.0f64; to.len()];
        let mut done = 0;
        for chunk in job.steps("integrated_gradients", steps.div_ceil(batch)) {
            let part = &points[chunk * batch..((chunk + 1) * batch).min(steps)];
            // The points are formed in single precision, as the net computes.
            let mut places = vec![0.0f32; part.len() * to.len()];
            places.par_chunks_mut(to.len().max(1)).zip(part).for_each(|(place, (a, _))| {
                let ends = start.iter().zip(&end);
                place.iter_mut().zip(ends).for_each(|(p, (f, t))| *p = f + *a as f32 * (t - f));
            });
            let stacked = tensor(places, &[&[part.len()], &x.dims()[1..]].concat())?;
            let gradients = to_f64(&input_signal(target, &stacked, &Rules::gradient())?)?;
            mean.par_chunks_mut(VALUES_PER_TASK).enumerate().for_each(|(i, mean)| {
                for ((_, w), g) in part.iter().zip(gradients.chunks(to.len())) {
                    mean.iter_mut().zip(&g[i * VALUES_PER_TASK..]).for_each(|(m, g)| *m += w * g);
                }
            });
            done += part.len();
        }
        mean.iter_mut().enumerate().for_each(|(i, m)| *m *= to[i] - from[i]);
        Ok((mean, done))
    }
}

impl Quadrature {
    /// The points in (0, 1] and their weights, which sum to 1.
    pub fn points(self, n: usize) -> Vec<(f64, f64)> {
        let even = 1.0 / n as f64;
        match self {
            Quadrature::RiemannMiddle => (0..n).map(|i| ((i as f64 + 0.5) * even, even)).collect(),
            Quadrature::RiemannRight => (0..n).map(|i| ((i + 1) as f64 * even, even)).collect(),
            Quadrature::GaussLegendre => (0..n).map(|i| gauss_legendre(n, i)).collect(),
        }
    }
}

/// Node and weight i of the n-point Gauss-Legendre rule on 0..1, by Newton's method on the Legendre polynomial.
fn gauss_legendre(n: usize, i: usize) -> (f64, f64) {
    let mut x = libm::cos(std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5));
    let mut slope = 1.0;
    for _ in 0..100 {
        let (mut p, mut before) = (1.0, 0.0);
        for k in 0..n {
            let k = k as f64;
            (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
        }
        slope = n as f64 * (x * p - before) / (x * x - 1.0);
        let step = p / slope;
        x -= step;
        if step.abs() < 1e-15 {
            break;
        }
    }
    ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauss_legendre_is_exact_for_polynomials_of_degree_2n_minus_1() {
        for n in [1, 2, 5, 50] {
            let points = Quadrature::GaussLegendre.points(n);
            for degree in 0..2 * n.min(6) {
                let sum: f64 = points.iter().map(|(x, w)| w * x.powi(degree as i32)).sum();
                assert!((sum - 1.0 / (degree + 1) as f64).abs() < 1e-13, "{n} points, x^{degree}: {sum}");
            }
        }
    }
}
