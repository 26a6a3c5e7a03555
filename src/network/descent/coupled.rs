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
//!
//! Once few samples change sides, blocks of steps are taken by the tangent kernel (`by_kernel`), N² operations each.

mod by_gram;
mod by_kernel;
mod by_neurons;
mod by_samples;

use faer::{MatMut, MatRef};
use rayon::prelude::*;

pub(super) use by_kernel::Loops;
use by_kernel::{Moves, Route, Start};

use super::real::Real;
use super::subspace::Subspace;
use super::{Descent, Trained, flow_time, reached};
use crate::error::Result;
use crate::linalg::mirror_lower;
use crate::loss::Loss;
use crate::network::lookup;
use crate::network::neurons::Weights;
use crate::network::plateau::Plateau;
use crate::problem::{Slope, TrainingSet};

/// Width from which the neurons are shared out, not the samples: gradients of all neurons for each task would no longer
/// fit the second-level cache.
const WIDE: usize = 512;

/// Tasks of making a Gram matrix.
const GRAM_TASKS: usize = 32;

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

    fn stride(&self) -> usize {
        self.augmented.len() / self.count()
    }

    /// The augmented inputs as columns.
    fn inputs(&self) -> MatRef<'_, R> {
        MatRef::from_column_major_slice(self.augmented, self.stride(), self.count())
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
    /// The preactivations after a look, and their velocities.
    fn start(&self, step: &Step<'_, R>) -> Start<R>;
    /// Takes the steps of a block.
    fn advance(&mut self, step: &Step<'_, R>, moves: &Moves<R>);
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
    let by_gram = by_gram::pays(step.count(), step.stride(), initial.width(), descent.steps);
    let mut route = Route::new(initial.readout(), &step, by_gram);
    descend(descent, initial, &step, by_gram, &mut route)
}

fn descend<R: Real>(
    descent: &Descent,
    initial: &Weights,
    step: &Step<'_, R>,
    by_gram: bool,
    route: &mut Route<R>,
) -> Result<Trained> {
    let mut state: Box<dyn State<R>> = if by_gram {
        Box::new(by_gram::Multiples::new(initial, step))
    } else if initial.width() < WIDE {
        Box::new(by_samples::Samples::new(initial, step.count()))
    } else {
        Box::new(by_neurons::Neurons::new(initial, step.count()))
    };
    let (mut rule, mut rate) = (Plateau::default(), descent.learning_rate);
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    for at in 0..descent.steps {
        let remaining = descent.steps - at;
        let mean_loss = route.look(step).unwrap_or_else(|| state.look(step));
        losses.push(mean_loss);
        rates.push(rate);
        if !mean_loss.is_finite() {
            break;
        }
        if route.begins(step, at, remaining) {
            route.begin(state.start(step), step, at);
        }
        if !route.is_under_way() {
            state.take(step, R::of(rate));
        } else if let Some(moves) = route.take(step, rate, at, remaining) {
            state.advance(step, &moves);
        }
        if descent.plateau {
            rate = rule.step(mean_loss, rate);
        }
    }
    // A loss that is not finite is reported by the caller, with its step; the weights are then the initial ones.
    let weights = if losses.last().is_none_or(|loss| loss.is_finite()) {
        reached(step.stride() - 1, state.hidden(step), initial.readout().to_vec(), &losses)?
    } else {
        initial.clone()
    };
    let flow_time = flow_time(&rates, descent.momentum);
    Ok(Trained { weights, losses, learning_rates: rates, flow_time })
}

/// What the gradients cost, per operation of a forward product: looked up, .5 to .8 of a product where it was measured.
fn gradient_cost(width: usize) -> f64 {
    if lookup::pays(width) { 0.6 } else { 1.0 }
}

/// ⟨x̃_n, x̃_k⟩ in columns of `len` rows, of which those beyond the last sample are zero: one triangle of blocks is computed, the other
/// one mirrored.
fn gram<R: Real>(inputs: MatRef<'_, R>, len: usize) -> Vec<R> {
    let count = inputs.ncols();
    let size = count.div_ceil(GRAM_TASKS);
    let mut gram = vec![R::default(); len * count];
    gram.par_chunks_mut(size * len).enumerate().for_each(|(index, columns)| {
        let (first, cols) = (index * size, columns.len() / len);
        let target = MatMut::from_column_major_slice_mut(columns, len, cols).subrows_mut(first, count - first);
        let below = inputs.subcols(first, count - first).transpose();
        R::multiply(target, false, below, inputs.subcols(first, cols));
    });
    mirror_lower(&mut gram, len, 0, count);
    gram
}

fn to_real<R: Real>(values: &[f64]) -> Vec<R> {
    values.iter().map(|v| R::of(*v)).collect()
}

fn from_real<R: Real>(values: &[R]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

#[cfg(test)]
mod tests {
    use super::by_kernel::Costs;
    use super::*;
    use crate::loss::StandardLoss;
    use crate::network::descent;
    use crate::network::neurons::{Initialisation, Neurons, Readout};
    use crate::problem::Points;
    use crate::random::Streams;

    /// A constant force, as the identity loss has it: nothing but sign changes moves a sample from where it was foreseen.
    #[derive(Debug)]
    struct Constant;

    impl Loss for Constant {
        fn value(&self, margin: f64) -> f64 {
            -margin
        }

        fn force(&self, _: f64) -> f64 {
            1.0
        }

        fn force_max(&self) -> Option<f64> {
            Some(1.0)
        }

        fn name(&self) -> &str {
            "constant"
        }
    }

    /// Inputs around one of two centres, labelled by it but for every so manieth.
    fn clusters(count: usize, dim: usize, distance: f64, wrong: usize) -> TrainingSet {
        let sign = |n: usize| if n.is_multiple_of(2) { 1.0 } else { -1.0 };
        let value = |n: usize, j: usize| ((n * dim + j) as f64 * 12.9898).sin() + distance * sign(n) * (j as f64).cos();
        let values = (0..count * dim).map(|at| value(at / dim, at % dim)).collect();
        let labels = (0..count).map(|n| if n % wrong == wrong - 1 { -sign(n) } else { sign(n) }).collect();
        TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap()
    }

    /// How far descent ends from one without blocks of steps by the kernel: the largest distance of a loss or of what moved a weight, relative
    /// to the largest one. And how many steps were taken by the kernel, with how many sign changes.
    fn compare<R: Real>(
        descent: &Descent,
        (train, width): (&TrainingSet, usize),
        slope: f64,
        loss: &dyn Loss,
        insist: bool,
    ) -> (f64, usize, usize) {
        let (count, dim) = (train.count(), train.input_dim());
        let streams = Streams::new(3, "neurons");
        let initial =
            Neurons::draw(dim, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap().weights();
        let augmented = descent::augmented::<R>(train);
        let (slope, momentum) = (R::of(slope), R::of(descent.momentum));
        let step = Step { augmented: &augmented, labels: train.labels(), loss, slope, momentum };
        let by_gram = by_gram::pays(count, step.stride(), width, descent.steps);
        let [mut with, mut without] = [0; 2].map(|_| Route::new(initial.readout(), &step, by_gram));
        if insist {
            // Blocks of some steps, one after another; the kernel follows by changes.
            with.next = 7;
            with.costs = Costs { other: 1e9, step: 0.0, block: 1e5, form: 1e9, pair: 10.0, change: 10.0 };
        }
        let by_kernel = descend(descent, &initial, &step, by_gram, &mut with).unwrap();
        without.next = usize::MAX;
        let dense = descend(descent, &initial, &step, by_gram, &mut without).unwrap();
        assert_eq!(without.taken, (0, 0, 0));
        if insist {
            println!("{} blocks", with.taken.2);
            assert!(with.taken.2 >= 3, "{} blocks", with.taken.2);
        }
        assert_eq!(by_kernel.learning_rates, dense.learning_rates);
        let distance = |a: &[f64], b: &[f64]| {
            let largest = b.iter().fold(0.0_f64, |largest, b| largest.max(b.abs()));
            a.iter().zip(b).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / largest
        };
        let moved = |trained: &Trained| {
            let pairs = trained.weights.hidden().iter().zip(initial.hidden());
            pairs.map(|(end, start)| end - start).collect::<Vec<f64>>()
        };
        let distance = distance(&by_kernel.losses, &dense.losses).max(distance(&moved(&by_kernel), &moved(&dense)));
        (distance, with.taken.0, with.taken.1)
    }

    #[test]
    fn the_gram_matrix_has_all_inner_products() {
        // 300 samples: blocks of 10 columns; and sizes that do not divide.
        for (stride, count, padding) in [(3, 300, 0), (5, 77, 51), (2, 1, 0), (4, 6500 / 11, 3)] {
            let augmented: Vec<f64> = (0..stride * count).map(|i| ((i * i) as f64 * 0.37).sin()).collect();
            let len = count + padding;
            let gram = gram(MatRef::from_column_major_slice(&augmented, stride, count), len);
            for (n, x) in augmented.chunks(stride).enumerate() {
                for (k, z) in augmented.chunks(stride).enumerate() {
                    let exact: f64 = x.iter().zip(z).map(|(a, b)| a * b).sum();
                    assert!((gram[n * len + k] - exact).abs() <= 10.0 * f64::EPSILON, "{n}, {k}");
                }
            }
        }
    }

    #[test]
    fn steps_by_the_kernel_are_those_by_products() {
        use StandardLoss::{Exponential, Logistic, Squared};
        let with = |rate: f64, momentum: f64| Descent::new(rate, 200).unwrap().with_momentum(momentum).unwrap();
        type Case<'a> = (&'a str, Descent, (usize, usize, usize), f64, &'a dyn Loss);
        let cases: [Case; 10] = [
            ("narrow", with(0.3, 0.9), (150, 60, 100), 0.0, &Logistic),
            ("few neurons", with(0.3, 0.9), (150, 200, 30), 0.2, &Logistic),
            ("wide", with(0.1, 0.9), (130, 60, 600), 0.0, &Logistic),
            ("few samples", with(0.2, 0.9), (90, 150, 100), 0.1, &Logistic),
            ("without momentum", with(1.0, 0.0), (150, 60, 100), 0.0, &Logistic),
            ("squared", with(0.01, 0.9), (150, 60, 100), 0.0, &Squared),
            ("exponential", with(0.01, 0.9), (150, 60, 100), 0.0, &Exponential),
            ("plateau", with(2.0, 0.9).with_plateau(true), (150, 60, 100), 0.3, &Logistic),
            ("whole tiles", with(0.3, 0.9), (128, 60, 100), 0.0, &Logistic),
            ("constant force", with(0.3, 0.9), (150, 60, 100), 0.0, &Constant),
        ];
        for (name, descent, (count, dim, width), slope, loss) in cases {
            let train = clusters(count, dim, 0.3, 7);
            let (distance, steps, changes) = compare::<f64>(&descent, (&train, width), slope, loss, true);
            println!("{name}: {changes} sign changes, distance {distance:.1e}");
            assert!(steps == descent.steps - 7 && changes > 100, "{name}: {steps} steps, {changes} sign changes");
            assert!(distance < (descent.steps * count) as f64 * f64::EPSILON, "{name}: {distance}");
        }
        // Longer, and what differs in single precision between any two routes is amplified beyond the tolerance.
        let (train, descent) = (clusters(150, 60, 0.3, 7), Descent::new(0.3, 100).unwrap().with_momentum(0.9).unwrap());
        let (distance, _, changes) = compare::<f32>(&descent, (&train, 100), 0.0, &Logistic, true);
        println!("single precision: {changes} sign changes, distance {distance:.1e}");
        assert!(changes > 100 && distance < 100.0 * 150.0 * f64::from(f32::EPSILON));
    }

    #[test]
    fn the_kernel_is_taken_once_few_samples_change_sides() {
        let descent = Descent::new(1.0, 400).unwrap().with_momentum(0.9).unwrap();
        let train = clusters(200, 60, 1.0, 1000);
        let (distance, steps, changes) = compare::<f64>(&descent, (&train, 100), 0.0, &StandardLoss::Logistic, false);
        println!("{steps} steps, {changes} sign changes, distance {distance:.1e}");
        assert!(steps > 300 && steps < 390 && changes > 0);
        assert!(distance < (400 * 200) as f64 * f64::EPSILON);
    }
}
