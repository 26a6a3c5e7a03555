//! One run of the paper's pipeline, step by step as its authors' code takes them.
//!
//! 1. f is trained on (x_n, y_n): full batch, mean loss, momentum 0.9, plateau rule.
//! 2. The gradient of Σ_n ℓ(y'_n f(x_n)) in the inputs is normalised point by point (norms below 10⁻¹² count as 10⁻¹²)
//!    and descended by ε.
//! 3. g, a fresh network, is trained in the same way on (p_n, y'_n) or on (x_n + p_n, y'_n).
//! 4. f and g are compared on clean data: a value of exactly 0 belongs to neither class.
//!
//! Networks and targets are given, not drawn here, so that any other program can be compared with each step
//! (`tests/paper.rs` does so with a plain one). Training runs in the recipe's precision; gradients and outputs are
//! evaluated in double precision.

use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::experiment::learn::Schedule;
use crate::loss::{Loss, StandardLoss};
use crate::network::dense::preactivations;
use crate::network::{
    Descent, Neurons, Precision, Trained, Weights, empirical_ntk, guarded_perturbations, outputs_and_input_gradients,
};
use crate::problem::{Points, Scenario, Slope, TrainingSet};
use crate::theory::perturbed_points;

/// Momentum of both descents.
pub const MOMENTUM: f64 = 0.9;
/// Points of the sample on which the tangent kernel's change is measured.
const KERNEL_SAMPLE: usize = 128;
/// Neurons whose preactivations are held at a time, on each thread.
const NEURONS_AT_ONCE: usize = 32;

/// How both networks are trained, and how the points between are made.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// The loss of both networks and of the perturbation.
    pub loss: StandardLoss,
    /// γ.
    pub slope: Slope,
    /// What g is trained on.
    pub scenario: Scenario,
    /// ε; 0 leaves the points where they are (scenario b) or at the origin (a).
    pub epsilon: f64,
    /// Learning rate and steps of f.
    pub clean: Schedule,
    /// Learning rate and steps of g.
    pub perturbed: Schedule,
    /// Floating-point type of the descents.
    pub precision: Precision,
}

/// A trained network with what happened on the way.
#[derive(Debug, Clone)]
pub struct Network {
    /// Weights and history.
    pub trained: Trained,
    /// Share of neuron–training-point pairs on another side of the kink at the end than at the start.
    pub flip_share: f64,
    /// ‖Θ̂_T − Θ̂_0‖/‖Θ̂_0‖ (Frobenius) of the network's tangent kernel on the first 128 training points.
    pub kernel_change: f64,
}

impl Recipe {
    /// Step 1: trains f.
    ///
    /// # Errors
    /// As [`Descent::train`].
    pub fn train_f(&self, neurons: &Neurons, train: &TrainingSet) -> Result<Network> {
        self.train(self.clean, neurons, train)
    }

    /// Step 2: p_n at the training points (d × N, one column each) against the trained f.
    ///
    /// # Errors
    /// Points of another dimension; another number of targets.
    pub fn perturb(&self, f: &Weights, points: &Points, targets: &[f64]) -> Result<DMatrix<f64>> {
        let (values, gradients) = outputs_and_input_gradients(f, self.slope, points)?;
        self.perturb_along(&gradients, &values, targets)
    }

    /// Step 2 for gradients ∇f(x_n) and values f(x_n) that are known already.
    ///
    /// # Errors
    /// Numbers of values or targets that do not fit.
    pub fn perturb_along(&self, gradients: &DMatrix<f64>, values: &[f64], targets: &[f64]) -> Result<DMatrix<f64>> {
        guarded_perturbations(gradients, values, targets, &self.loss as &dyn Loss, self.epsilon)
    }

    /// Step 3: trains g on the perturbed points.
    ///
    /// # Errors
    /// As [`Descent::train`]; targets other than ±1.
    pub fn train_g(
        &self,
        neurons: &Neurons,
        points: &Points,
        perturbations: &DMatrix<f64>,
        targets: &[f64],
    ) -> Result<Network> {
        let moved = perturbed_points(points, perturbations, self.scenario)?;
        self.train(self.perturbed, neurons, &TrainingSet::new(moved, targets.to_vec())?)
    }

    fn train(&self, schedule: Schedule, neurons: &Neurons, train: &TrainingSet) -> Result<Network> {
        let descent = Descent::new(schedule.learning_rate, schedule.steps)?
            .with_momentum(MOMENTUM)?
            .with_plateau(true)
            .with_precision(self.precision);
        let trained = descent.train(neurons, self.slope, train, &self.loss)?;
        let (flip_share, kernel_change) = changes(&neurons.weights(), &trained.weights, self.slope, train.points())?;
        Ok(Network { trained, flip_share, kernel_change })
    }
}

/// Share of sign changes, and relative change of the tangent kernel.
fn changes(before: &Weights, after: &Weights, slope: Slope, points: &Points) -> Result<(f64, f64)> {
    let [start, end] = [before, after].map(|weights| sides(weights, points));
    let changed = start.iter().zip(&end).filter(|(a, b)| a != b).count();
    let sample = points.select(&(0..KERNEL_SAMPLE.min(points.count())).collect::<Vec<_>>());
    let kernel = empirical_ntk(before, slope, &sample)?;
    let distance = (empirical_ntk(after, slope, &sample)? - &kernel).norm();
    // A kernel of zeros (one dead neuron) has changed by all or nothing.
    let change = if distance == 0.0 { 0.0 } else { distance / kernel.norm().max(f64::MIN_POSITIVE) };
    Ok((changed as f64 / start.len() as f64, change.min(f64::MAX)))
}

/// Whether u_i(x_n) ≥ 0, neuron after neuron.
fn sides(weights: &Weights, points: &Points) -> Vec<bool> {
    let blocks = weights.hidden().par_chunks(NEURONS_AT_ONCE * (points.input_dim() + 1));
    blocks
        .flat_map_iter(|hidden| {
            preactivations(hidden, points.input_dim(), points.as_columns().as_slice()).into_iter().map(|u| u >= 0.0)
        })
        .collect()
}

/// The figures of merit of a run; the keys are a contract of `runs.jsonl` and `runs.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merits {
    /// Share of training points with y f > 0.
    pub accuracy_f: f64,
    /// Share of training points with y g > 0; g never saw these points' labels.
    pub accuracy_g: f64,
    /// The same of f on the test points.
    pub accuracy_f_test: Option<f64>,
    /// The same of g on the test points.
    pub accuracy_g_test: Option<f64>,
    /// Share of test points with sgn f = sgn g.
    pub agreement: f64,
    /// Accuracy of g on the training points after its mean over them is subtracted.
    pub accuracy_g_centred: f64,
    /// Agreement of f with g less its mean over the training points.
    pub agreement_centred: f64,
    /// Mean |cos| between the perturbations' directions and the weighted sums v(x_n).
    pub cosine: f64,
    /// Training points at which ∇f vanishes, so that there is no perturbation.
    pub zero_gradients: usize,
    /// Σ y'_n.
    pub target_sum: f64,
    /// Mean of g over the training points: the offset.
    pub mean_g: f64,
    /// What theory predicts for that mean: the flow time of g times ȳ'Φ(0, x_n), averaged (scenario a, identity loss).
    pub limit_offset: Option<f64>,
    /// Root mean square of g over the training points less the mean.
    pub spread_g: f64,
    /// Gradient-flow time of f.
    pub time: f64,
    /// Gradient-flow time of g.
    pub time_perturbed: f64,
    /// Learning rate of the last step of f.
    pub last_learning_rate: f64,
    /// Learning rate of the last step of g.
    pub last_learning_rate_perturbed: f64,
    /// Loss before the last step of f.
    pub last_loss: f64,
    /// Loss before the last step of g.
    pub last_loss_perturbed: f64,
    /// Share of neuron–training-point pairs of f that changed sides.
    pub flip_share_f: f64,
    /// The same of g, on its own training points.
    pub flip_share_g: f64,
    /// Relative change of f's tangent kernel.
    pub kernel_change_f: f64,
    /// Relative change of g's tangent kernel.
    pub kernel_change_g: f64,
    /// Agreement of the infinite-width limits with a sampled Gaussian start, where it is computed.
    pub limit_agreement: Option<f64>,
    /// Mean |cos| of T∇F + ∇f_0 to v(x_n) for the same sample.
    pub limit_cosine: Option<f64>,
    /// Share of test points at which the sign of g was certified when only f was known (A2), where it is computed.
    pub certified_share: Option<f64>,
}

/// Share of points whose value has the label's sign.
#[must_use]
pub fn accuracy(values: &[f64], labels: &[f64]) -> f64 {
    share(values, labels, |f, y| f * y > 0.0)
}

/// Share of points at which two functions have the same sign, −1, 0 or +1.
#[must_use]
pub fn sign_agreement(f: &[f64], g: &[f64]) -> f64 {
    let sign = |v: f64| f64::from(u8::from(v > 0.0)) - f64::from(u8::from(v < 0.0));
    share(f, g, |f, g| sign(f) == sign(g))
}

fn share(a: &[f64], b: &[f64], same: impl Fn(f64, f64) -> bool) -> f64 {
    a.iter().zip(b).filter(|(a, b)| same(**a, **b)).count() as f64 / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_belongs_to_neither_class() {
        assert_eq!(accuracy(&[1.0, 0.0, -2.0, 3.0], &[1.0, 1.0, -1.0, -1.0]), 0.5);
        assert_eq!(sign_agreement(&[0.0, 0.0, 1.0, -1.0], &[0.0, 1.0, 2.0, -3.0]), 0.75);
    }

    #[test]
    fn a_flipped_neuron_counts_in_share_and_kernel() {
        // d = 1, points ±1. Neuron 1 (w = 1, b = 0) stays, neuron 2 (w = 1, b = 2) moves to b = 0 and flips at −1.
        let weights = |b: f64| Weights::from_augmented(1, vec![1.0, 0.0, 1.0, b], vec![1.0, 1.0]).unwrap();
        let points = Points::from_rows("x", 2, 1, vec![1.0, -1.0]).unwrap();
        let (share, change) = changes(&weights(2.0), &weights(0.0), Slope::RELU, &points).unwrap();
        assert_eq!(share, 0.25);
        // Inner products +1: 2 on the diagonal, 0 off it. Σ a²φ'φ' on the diagonal: (2, 1), then (2, 0).
        assert!((change - 2.0 / 20.0_f64.sqrt()).abs() < 1e-15, "{change}");
        assert_eq!(changes(&weights(2.0), &weights(2.0), Slope::RELU, &points).unwrap(), (0.0, 0.0));
    }
}
