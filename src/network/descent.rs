//! Full-batch gradient descent on the hidden layer, as the reference experiments run it.
//!
//! One step with learning rate η and momentum β: v ← βv + ∇L, w̃ ← w̃ − ηv, for the mean loss L = (1/N) Σ ℓ(y_n f(x_n)).
//! Two routes:
//! - identity loss (`decoupled`): the neurons do not feel each other, and between sign changes a step costs O(N) per
//!   neuron instead of O(N·d), on data that fits the first-level cache;
//! - any other loss (`coupled`): per step one product with a Gram matrix, or one with the inputs and as many sums (a second
//!   product, or looked up from 64 neurons on), whichever is cheaper; once few samples change sides, blocks of steps by the
//!   tangent kernel, N² operations each.
//!
//! Both are compared with a plain implementation in `tests/descent.rs`.

mod coupled;
mod decoupled;
mod follow;
mod gram;
mod real;
mod stretch;
mod strips;
mod subspace;
mod sweep;

use std::cell::OnceCell;

use rayon::prelude::*;

use super::neurons::{Neurons, Weights};
use super::plateau::Plateau;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::problem::{Slope, TrainingSet, finite_positive};

/// The floating-point type of a descent's steps, or of the products that evaluate a network ([`super::outputs_in`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision, as the paper's code.
    F32,
    /// Double precision.
    F64,
}

/// Full-batch gradient descent with optional momentum and plateau rule.
///
/// ```
/// use perturbation_learning::loss::StandardLoss;
/// use perturbation_learning::network::{Descent, Initialisation, Neurons, Readout};
/// use perturbation_learning::problem::{Points, Slope, TrainingSet};
/// use perturbation_learning::random::Streams;
///
/// let points = Points::from_rows("x", 2, 2, vec![1.0, 0.5, -0.5, 1.0])?;
/// let train = TrainingSet::new(points, vec![1.0, -1.0])?;
/// let streams = Streams::new(0, "neurons");
/// let neurons = Neurons::draw(2, 100, Initialisation::Standard, Readout::Gaussian, streams)?;
/// let descent = Descent::new(0.1, 50)?.with_momentum(0.9)?.with_plateau(true);
/// let trained = descent.train(&neurons, Slope::RELU, &train, &StandardLoss::Logistic)?;
/// assert!(trained.losses[49] < trained.losses[0]);
/// # Ok::<(), perturbation_learning::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Descent {
    learning_rate: f64,
    steps: usize,
    momentum: f64,
    plateau: bool,
    precision: Precision,
}

/// A trained network and its history.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The weights after the last step.
    pub weights: Weights,
    /// The training loss before each step.
    pub losses: Vec<f64>,
    /// The learning rate of each step.
    pub learning_rates: Vec<f64>,
    /// The gradient-flow time that the steps amount to: how far a constant unit gradient would have carried a weight,
    /// Σ_k η(1−β^k)/(1−β) for a constant learning rate.
    pub flow_time: f64,
}

impl Descent {
    /// `steps` steps of plain descent in double precision.
    ///
    /// # Errors
    /// learning_rate ≤ 0, infinite or NaN.
    pub fn new(learning_rate: f64, steps: usize) -> Result<Self> {
        let learning_rate = finite_positive("learning rate", learning_rate)?;
        Ok(Descent { learning_rate, steps, momentum: 0.0, plateau: false, precision: Precision::F64 })
    }

    /// With momentum β: v ← βv + ∇L.
    ///
    /// # Errors
    /// β outside [0, 1).
    pub fn with_momentum(mut self, momentum: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&momentum) {
            return Err(Error::Scalar { name: "momentum", value: momentum, expected: "a number in [0, 1)" });
        }
        self.momentum = momentum;
        Ok(self)
    }

    /// With or without the [plateau rule](Plateau).
    #[must_use]
    pub fn with_plateau(mut self, plateau: bool) -> Self {
        self.plateau = plateau;
        self
    }

    /// In single or double precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    //= N2@064d315e
    //= K1@b4690933
    /// Trains the hidden layer of a network.
    ///
    /// Memory: for the identity loss the inputs twice, the weights, 128 MiB of neurons under way (or eight groups of at most 32, each
    /// with as many losses as there are steps), and, once it pays, a Gram matrix of N² numbers (up to N = 23170; twice while it fits into
    /// 16 MiB), and where neurons follow few samples, columns of it, of which about 1 GiB at most is kept from one block of steps to the
    /// next; for other losses the inputs, m·N preactivations and the weights twice (from 512 neurons) or ten times (below), or, for N below
    /// about 1.6(d + 1) from 64 neurons on and 2(d + 1) below, such a Gram matrix and five times m·N numbers. Blocks of steps by the
    /// tangent kernel (up to m·N = 2²⁵ and N = 23170; N rounded up to a multiple of 64) keep four times m·N numbers besides, at their
    /// beginning m·N and the weights twice more, twice m·N at their end, and from the first one on a Gram matrix of N² and a kernel of N²/2
    /// numbers.
    ///
    /// # Errors
    /// A network with another input dimension; divergence (a loss, a weight or the time that is not finite).
    pub fn train(&self, neurons: &Neurons, slope: Slope, train: &TrainingSet, loss: &dyn Loss) -> Result<Trained> {
        if neurons.input_dim() != train.input_dim() {
            return Err(Error::Shape {
                name: "network".into(),
                found: format!("{} inputs", neurons.input_dim()),
                expected: format!("{} inputs, as the training points", train.input_dim()),
            });
        }
        let trained = match self.precision {
            Precision::F32 => self.train_as::<f32>(neurons, slope, train, loss)?,
            Precision::F64 => self.train_as::<f64>(neurons, slope, train, loss)?,
        };
        if let Some(step) = trained.losses.iter().position(|loss| !loss.is_finite()) {
            return Err(Error::Diverged { what: "gradient descent", step, value: trained.losses[step] });
        }
        if !trained.flow_time.is_finite() {
            let (step, value) = (trained.losses.len(), trained.flow_time);
            return Err(Error::Diverged { what: "the time of gradient descent", step, value });
        }
        Ok(trained)
    }

    fn train_as<R: real::Real>(
        &self,
        neurons: &Neurons,
        slope: Slope,
        train: &TrainingSet,
        loss: &dyn Loss,
    ) -> Result<Trained> {
        if loss.is_identity() {
            self.train_decoupled::<R>(neurons, slope, train)
        } else {
            coupled::train::<R>(self, &neurons.weights(), slope, train, loss)
        }
    }

    /// With the identity loss every neuron runs on its own for a given schedule of learning rates. The plateau rule
    /// needs the total loss of each step: the schedule is guessed (no reduction), run, and corrected from the first step
    /// at which the rule decides otherwise, until it confirms itself. A decision is final once it was made: the losses
    /// that it rests on are kept, because another schedule is run with other stretches, and its losses may differ in their
    /// last bits even before the schedules part. So every round decides at least one more step, and the rounds end.
    fn train_decoupled<R: real::Real>(&self, neurons: &Neurons, slope: Slope, train: &TrainingSet) -> Result<Trained> {
        let problem = decoupled::Problem::<R>::new(train, slope, self.momentum);
        let gram = OnceCell::new();
        let mut rates = vec![self.learning_rate; self.steps];
        let mut decided: Vec<f64> = Vec::new();
        loop {
            let (weights, mut losses) = problem.run(neurons, &rates, &gram)?;
            losses[..decided.len()].copy_from_slice(&decided);
            let confirmed = self.schedule(&losses);
            let Some(step) = (0..self.steps).find(|step| confirmed[*step] != rates[*step]) else {
                let flow_time = flow_time(&rates, self.momentum);
                return Ok(Trained { weights, losses, learning_rates: rates, flow_time });
            };
            losses.truncate(step);
            decided = losses;
            rates = confirmed;
        }
    }

    /// The learning rates that the rule prescribes for these losses.
    fn schedule(&self, losses: &[f64]) -> Vec<f64> {
        let (mut rule, mut rate) = (Plateau::default(), self.learning_rate);
        let mut rates = Vec::with_capacity(losses.len());
        for loss in losses {
            rates.push(rate);
            if self.plateau {
                rate = rule.step(*loss, rate);
            }
        }
        rates
    }
}

/// The weights that descent has reached: it has diverged if one is not finite. `losses`: those before each step.
fn reached(input_dim: usize, hidden: Vec<f64>, readout: Vec<f64>, losses: &[f64]) -> Result<Weights> {
    Weights::from_augmented(input_dim, hidden, readout).map_err(|error| match error {
        Error::NotFinite { value, .. } => {
            let step = losses.iter().position(|loss| !loss.is_finite()).unwrap_or(losses.len());
            Error::Diverged { what: "gradient descent", step, value }
        }
        error => error,
    })
}

/// (x_n, 1), stride × count.
fn augmented<R: real::Real>(train: &TrainingSet) -> Vec<R> {
    let stride = train.input_dim() + 1;
    // Zeros first: all threads then touch the memory.
    let mut augmented = vec![R::default(); stride * train.count()];
    augmented.par_chunks_exact_mut(stride).enumerate().for_each(|(n, augmented)| {
        let point = train.points().point(n).iter().copied().chain([1.0]);
        augmented.iter_mut().zip(point).for_each(|(to, x)| *to = R::of(x));
    });
    augmented
}

/// D_j: how far a unit gradient at step j alone carries a weight by the end, Σ_{i ≥ j} η_i β^{i−j}.
fn impulse_responses(rates: &[f64], momentum: f64) -> Vec<f64> {
    let mut responses = rates.to_vec();
    for j in (0..responses.len().saturating_sub(1)).rev() {
        responses[j] += momentum * responses[j + 1];
    }
    responses
}

//= K5@5687c941
/// How far a constant unit gradient carries a weight.
fn flow_time(rates: &[f64], momentum: f64) -> f64 {
    // An empty sum is −0.
    impulse_responses(rates, momentum).iter().sum::<f64>() + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test K5@5687c941
    #[test]
    fn flow_time_is_the_momentum_sum() {
        let (rate, beta, steps) = (0.1, 0.9_f64, 50);
        let sum: f64 = (1..=steps).map(|k| rate * (1.0 - beta.powi(k)) / (1.0 - beta)).sum();
        assert!((flow_time(&vec![rate; steps as usize], beta) - sum).abs() < 100.0 * f64::EPSILON * sum);
        assert_eq!(flow_time(&[0.5, 0.25], 0.0), 0.75);
        // Rates that change: 0.5·1 + 0.25·(1 + ½) + 0.125·(1 + ½ + ¼).
        assert_eq!(flow_time(&[0.5, 0.25, 0.125], 0.5), 0.5 + 0.375 + 0.21875);
        assert_eq!(flow_time(&[], 0.9), 0.0);
    }
}
