//! L-BFGS, with or without a box.
//!
//! Nocedal and Wright, "Numerical Optimization", algorithm 7.4 (two loops over the last steps) with a backtracking line
//! search; within a box, parameters held at an end by the gradient are left out and steps are projected (Bertsekas
//! 1982), so that no step leaves the box.

use super::optimiser::{EvaluateFn, Optimiser};
use crate::error::Result;
use std::collections::VecDeque;

/// Trials of a line search.
const MAX_TRIALS: usize = 20;
/// The Armijo constant: the share of the expected gain that a step must reach.
const ARMIJO: f64 = 1e-4;

/// The state of a run; everything is maximised.
#[derive(Clone, Debug)]
pub struct LbfgsOptimiser {
    memory: usize,
    /// The length of the very first step's largest entry.
    first: f64,
    bounds: Option<(Vec<f64>, Vec<f64>)>,
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    known: Option<(f64, Vec<f64>)>,
    stuck: bool,
}

impl LbfgsOptimiser {
    /// Without bounds; the largest entry of the first step is `first`.
    pub fn new(memory: usize, first: f64) -> Self {
        LbfgsOptimiser { memory, first, bounds: None, pairs: VecDeque::new(), known: None, stuck: false }
    }

    /// Within `low` to `high`.
    pub fn within(self, low: Vec<f64>, high: Vec<f64>) -> Self {
        LbfgsOptimiser { bounds: Some((low, high)), ..self }
    }

    /// The gradient without the entries that push against their bound.
    fn free(&self, x: &[f64], gradient: &[f64]) -> Vec<f64> {
        let Some((low, high)) = &self.bounds else { return gradient.to_vec() };
        let held = |i: usize, g: f64| (x[i] <= low[i] && g < 0.0) || (x[i] >= high[i] && g > 0.0);
        gradient.iter().enumerate().map(|(i, g)| if held(i, *g) { 0.0 } else { *g }).collect()
    }

    fn project(&self, x: &mut [f64]) {
        let Some((low, high)) = &self.bounds else { return };
        x.iter_mut().zip(low.iter().zip(high)).for_each(|(x, (l, h))| *x = x.clamp(*l, *h));
    }

    /// The direction of ascent: the two loops.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for (s, y, rho) in self.pairs.iter().rev() {
            let alpha = rho * dot(s, &q);
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
            alphas.push(alpha);
        }
        match self.pairs.back() {
            Some((_, y, rho)) => {
                let scale = 1.0 / (rho * dot(y, y));
                q.iter_mut().for_each(|q| *q *= scale);
            }
            None => {
                let largest = q.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
                q.iter_mut().for_each(|q| *q *= self.first / largest);
            }
        }
        for ((s, y, rho), alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = rho * dot(y, &q);
            q.iter_mut().zip(s).for_each(|(q, s)| *q += (alpha - beta) * s);
        }
        q
    }
}

impl Optimiser for LbfgsOptimiser {
    fn step(&mut self, params: &mut Vec<f64>, evaluate: &mut EvaluateFn<'_>) -> Result<f64> {
        let (value, gradient) = match self.known.take() {
            Some(known) => known,
            None => evaluate(params)?,
        };
        let free = self.free(params, &gradient);
        let mut direction = self.direction(&free);
        if self.bounds.is_some() {
            direction.iter_mut().zip(&free).filter(|(_, g)| **g == 0.0).for_each(|(d, _)| *d = 0.0);
        }
        if dot(&direction, &free) <= 0.0 {
            self.pairs.clear();
            direction = self.direction(&free);
        }
        let mut length = 1.0;
        for _ in 0..MAX_TRIALS {
            let mut next: Vec<f64> = params.iter().zip(&direction).map(|(p, d)| p + length * d).collect();
            self.project(&mut next);
            let s: Vec<f64> = next.iter().zip(params.iter()).map(|(n, p)| n - p).collect();
            let (found, slope) = evaluate(&next)?;
            if found >= value + ARMIJO * dot(&gradient, &s) && found.is_finite() {
                // Maximising: the curvature pair of minus the function.
                let y: Vec<f64> = gradient.iter().zip(&slope).map(|(a, b)| a - b).collect();
                let curvature = dot(&s, &y);
                if curvature > 1e-10 * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
                    self.pairs.push_back((s, y, 1.0 / curvature));
                    if self.pairs.len() > self.memory {
                        self.pairs.pop_front();
                    }
                }
                *params = next;
                self.known = Some((found, slope));
                self.stuck = false;
                return Ok(value);
            }
            length *= 0.5;
        }
        // No step helps along this direction: forget the curvature; without any, this is the end.
        self.stuck = self.pairs.is_empty();
        self.pairs.clear();
        self.known = Some((value, gradient));
        Ok(value)
    }

    fn ended(&self) -> bool {
        self.stuck
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
