//! Optimisers: gradient ascent with momentum, and Adam. L-BFGS has a file of its own.

use crate::error::Result;

/// Values and gradients on request: what is maximised, and its gradient, at a point.
pub type EvaluateFn<'e> = dyn FnMut(&[f64]) -> Result<(f64, Vec<f64>)> + 'e;

/// An optimiser, which takes steps of ascent.
pub trait Optimiser {
    /// Moves `params` by one step; returns the value before the step.
    ///
    /// # Errors
    /// As the evaluation.
    fn step(&mut self, params: &mut Vec<f64>, evaluate: &mut EvaluateFn<'_>) -> Result<f64>;

    /// Whether no further step can help.
    fn ended(&self) -> bool {
        false
    }
}

/// v <- momentum v + rate g; x <- x + v (Polyak 1964), the rate multiplied by `decay` at every step.
#[derive(Clone, Debug)]
pub struct Momentum {
    /// The step's length for a unit of gradient.
    pub rate: f64,
    /// The share of the last step that is added.
    pub momentum: f64,
    /// What the rate is multiplied by at every step.
    pub decay: f64,
    velocity: Vec<f64>,
}

impl Momentum {
    /// With a steady rate.
    pub fn new(rate: f64, momentum: f64) -> Self {
        Momentum { rate, momentum, decay: 1.0, velocity: Vec::new() }
    }

    /// With a rate that has fallen to `end` of itself after `steps` steps.
    pub fn falling_to(self, end: f64, steps: usize) -> Self {
        Momentum { decay: libm::pow(end, 1.0 / steps.max(1) as f64), ..self }
    }
}

impl Optimiser for Momentum {
    fn step(&mut self, params: &mut Vec<f64>, evaluate: &mut EvaluateFn<'_>) -> Result<f64> {
        let (value, gradient) = evaluate(params)?;
        self.velocity.resize(params.len(), 0.0);
        for ((p, v), g) in params.iter_mut().zip(&mut self.velocity).zip(gradient) {
            *v = self.momentum * *v + self.rate * g;
            *p += *v;
        }
        self.rate *= self.decay;
        Ok(value)
    }
}

/// Kingma and Ba 2014, algorithm 1, with beta1 .9, beta2 .999 and epsilon 1e-8.
#[derive(Clone, Debug)]
pub struct Adam {
    /// The step's length.
    pub rate: f64,
    /// What the rate is multiplied by at every step.
    pub decay: f64,
    steps: i32,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Adam {
    /// With a steady rate.
    pub fn new(rate: f64) -> Self {
        Adam { rate, decay: 1.0, steps: 0, mean: Vec::new(), square: Vec::new() }
    }

    /// With a rate that has fallen to `end` of itself after `steps` steps.
    pub fn falling_to(self, end: f64, steps: usize) -> Self {
        Adam { decay: libm::pow(end, 1.0 / steps.max(1) as f64), ..self }
    }

    /// Moves `params` along `gradient`.
    pub fn ascend(&mut self, params: &mut [f64], gradient: &[f64]) {
        const BETA1: f64 = 0.9;
        const BETA2: f64 = 0.999;
        self.steps += 1;
        self.mean.resize(params.len(), 0.0);
        self.square.resize(params.len(), 0.0);
        let rate = self.rate * (1.0 - BETA2.powi(self.steps)).sqrt() / (1.0 - BETA1.powi(self.steps));
        let epsilon = 1e-8 * (1.0 - BETA2.powi(self.steps)).sqrt();
        for (((p, m), s), g) in params.iter_mut().zip(&mut self.mean).zip(&mut self.square).zip(gradient) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *s = BETA2 * *s + (1.0 - BETA2) * g * g;
            *p += rate * *m / (s.sqrt() + epsilon);
        }
        self.rate *= self.decay;
    }
}

impl Optimiser for Adam {
    fn step(&mut self, params: &mut Vec<f64>, evaluate: &mut EvaluateFn<'_>) -> Result<f64> {
        let (value, gradient) = evaluate(params)?;
        self.ascend(params, &gradient);
        Ok(value)
    }
}

/// x <- (1 - rate) x + rate R g / rms(g): the fixed point of ascent on the objective minus lambda |x|^2 under the lambda
/// for which the picture's root mean square is R; lambda = rms(g) / (2 R) there.
#[derive(Clone, Debug)]
pub struct Balanced {
    /// The length of a step as a share of the way to the fixed point, 0 to 1.
    pub rate: f64,
    /// The root mean square R.
    pub size: f64,
    /// The lambda of the last step.
    pub lambda: f64,
}

impl Optimiser for Balanced {
    fn step(&mut self, params: &mut Vec<f64>, evaluate: &mut EvaluateFn<'_>) -> Result<f64> {
        let (value, gradient) = evaluate(params)?;
        let rms = (gradient.iter().map(|g| g * g).sum::<f64>() / gradient.len().max(1) as f64).sqrt();
        if rms > 0.0 {
            self.lambda = rms / (2.0 * self.size);
            let scale = self.size / rms;
            params.iter_mut().zip(gradient).for_each(|(p, g)| *p += self.rate * (scale * g - *p));
        }
        Ok(value)
    }
}
