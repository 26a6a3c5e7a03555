//! Descent with any loss: per step one matrix product of 2N²m operations, or one of 2N(d+1)m and as many sums, which are looked
//! up ([`lookup`](crate::network::lookup)) where there are neurons enough.
//!
//! Points that span a small space are replaced by their coordinates in it, as for the identity loss.
//!
//! The outputs need all neurons before the first force is known. Three routes, by the count of operations and the width:
//! - few samples of high dimension (`by_gram`): one product with the Gram matrix;
//! - narrow networks (`by_samples`): each task takes some samples through the whole step, forward product, forces and
//!   gradients, while their preactivations are in the cache; the gradients are then added in order;
//! - wide ones (`by_neurons`): each task takes some neurons, first forward, then (all outputs added) backward.

mod by_gram;
mod by_neurons;
mod by_samples;

use super::real::Real;
use super::subspace::Subspace;
use super::{Descent, Trained, flow_time, reached};
use crate::error::Result;
use crate::loss::Loss;
use crate::network::neurons::Weights;
use crate::network::plateau::Plateau;
use crate::problem::{Slope, TrainingSet};

/// Width from which the neurons are shared out, not the samples: gradients of all neurons for each task would no longer
/// fit the second-level cache.
const WIDE: usize = 512;

/// What a step needs apart from the state.
struct Step<'a, R> {
    /// (x_n, 1), stride × count.
    augmented: &'a [R],
    labels: &'a [f64],
    loss: &'a dyn Loss,
    slope: R,
    momentum: R,
}

impl<R: Real> Step<'_, R> {
    fn count(&self) -> usize {
        self.labels.len()
    }

    /// Turns outputs of samples from `first` on into forces y_n g(y_n f_n)/N; returns Σ ℓ.
    fn forces(&self, first: usize, outputs: &[f64], forces: &mut [R]) -> f64 {
        let mut sum = 0.0;
        for ((output, y), force) in outputs.iter().zip(&self.labels[first..]).zip(forces) {
            let margin = y * output;
            let (value, pull) = self.loss.value_and_force(margin);
            sum += value;
            *force = R::of(y * pull / self.count() as f64);
        }
        sum
    }
}

/// The state of all neurons, shared out one way or the other.
trait State<R> {
    /// The mean loss at the present weights, and all that the movement needs of it.
    fn look(&mut self, step: &Step<'_, R>) -> f64;
    /// Takes the step that was looked at.
    fn take(&mut self, step: &Step<'_, R>, rate: R);
    /// The hidden weights.
    fn hidden(&self, step: &Step<'_, R>) -> Vec<f64>;
}

pub(super) fn train<R: Real>(
    descent: &Descent,
    initial: &Weights,
    slope: Slope,
    train: &TrainingSet,
    loss: &dyn Loss,
) -> Result<Trained> {
    let Some(mut subspace) = Subspace::<R>::find(train) else {
        return train_on(descent, initial, slope, &super::augmented::<R>(train), train.labels(), loss);
    };
    // In the coordinates of the space that the points span; what is orthogonal to it in the weights stays.
    let augmented = std::mem::take(&mut subspace.augmented);
    let mut hidden: Vec<R> = to_real(initial.hidden());
    let start = from_real(&subspace.project(&hidden));
    let dim = augmented.len() / train.count() - 1;
    let projected = reached(dim, start, initial.readout().to_vec(), &[])?;
    let trained = train_on(descent, &projected, slope, &augmented, train.labels(), loss)?;
    let pairs = trained.weights.hidden().iter().zip(projected.hidden());
    subspace.add(&mut hidden, &pairs.map(|(end, start)| R::of(end - start)).collect::<Vec<R>>());
    let weights = reached(train.input_dim(), from_real(&hidden), initial.readout().to_vec(), &trained.losses)?;
    Ok(Trained { weights, ..trained })
}

/// Trains on the augmented inputs, stride × count.
fn train_on<R: Real>(
    descent: &Descent,
    initial: &Weights,
    slope: Slope,
    augmented: &[R],
    labels: &[f64],
    loss: &dyn Loss,
) -> Result<Trained> {
    let (slope, momentum) = (R::of(slope.value()), R::of(descent.momentum));
    let step = Step { augmented, labels, loss, slope, momentum };
    let (count, stride) = (labels.len(), augmented.len() / labels.len());
    let mut state: Box<dyn State<R>> = if by_gram::pays(count, stride, initial.width(), descent.steps) {
        Box::new(by_gram::Multiples::new(initial, &step))
    } else if initial.width() < WIDE {
        Box::new(by_samples::Samples::new(initial, count))
    } else {
        Box::new(by_neurons::Neurons::new(initial, count))
    };
    let (mut rule, mut rate) = (Plateau::default(), descent.learning_rate);
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..descent.steps {
        let mean_loss = state.look(&step);
        losses.push(mean_loss);
        rates.push(rate);
        if !mean_loss.is_finite() {
            break;
        }
        state.take(&step, R::of(rate));
        if descent.plateau {
            rate = rule.step(mean_loss, rate);
        }
    }
    // A loss that is not finite is reported by the caller, with its step; the weights are then the initial ones.
    let weights = if losses.last().is_none_or(|loss| loss.is_finite()) {
        reached(stride - 1, state.hidden(&step), initial.readout().to_vec(), &losses)?
    } else {
        initial.clone()
    };
    let flow_time = flow_time(&rates, descent.momentum);
    Ok(Trained { weights, losses, learning_rates: rates, flow_time })
}

fn to_real<R: Real>(values: &[f64]) -> Vec<R> {
    values.iter().map(|v| R::of(*v)).collect()
}

fn from_real<R: Real>(values: &[R]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}
