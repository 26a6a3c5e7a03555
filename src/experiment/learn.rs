//! One run of the perturbation-learning experiment, beside its infinite-width limit.

use nalgebra::DMatrix;
use serde::Serialize;

use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::linalg::{dot, norm_squared};
use crate::loss::StandardLoss;
use crate::network::{
    Descent, GradientFlow, Initialisation, Neurons, Precision, Readout, adversarial_perturbations, initial_gradients,
    input_gradients, outputs, outputs_streamed,
};
use crate::problem::{Horizon, Points, Scenario, Slope, TrainingSet, finite_nonnegative, finite_positive};
use crate::random::{Streams, random_signs};
use crate::theory::{Predictor, limit_training_set_along, perturbed_points};

/// How both networks are trained.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Training {
    /// Exact gradient flow of the identity loss for these times (f, then g).
    Flow {
        /// T, for f.
        time: f64,
        /// T', for g.
        time_perturbed: f64,
    },
    /// Full-batch gradient descent.
    Descent {
        /// For f.
        clean: Schedule,
        /// For g.
        perturbed: Schedule,
        /// Momentum β ∈ [0, 1).
        momentum: f64,
        /// Whether the plateau rule divides the learning rate.
        plateau: bool,
        /// The loss of both networks.
        loss: StandardLoss,
        /// Floating-point type of the steps.
        precision: Precision,
    },
}

/// Learning rate and number of steps of one network.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Schedule {
    /// Learning rate.
    pub learning_rate: f64,
    /// Steps.
    pub steps: usize,
}

/// Everything that defines a run, apart from the data.
#[derive(Debug, Clone, Serialize)]
pub struct Experiment {
    /// m.
    pub width: usize,
    /// How hidden weights are paired.
    pub initialisation: Initialisation,
    /// Distribution of the frozen readout.
    pub readout: Readout,
    /// γ.
    pub slope: Slope,
    /// What g is trained on.
    pub scenario: Scenario,
    /// ε, the length of every perturbation.
    pub epsilon: f64,
    /// How f and g are trained.
    pub training: Training,
    /// Seed of every random stream of the run.
    pub seed: u64,
}

/// A trained network's values and the limit's, at the same points.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Values at initialisation at the test points.
    pub initial: Vec<f64>,
    /// Values after training at the test points.
    pub trained: Vec<f64>,
    /// The limit's change T·F at the test points.
    pub limit_change: Vec<f64>,
    /// Values after training at the clean training points.
    pub trained_on_clean: Vec<f64>,
    /// Gradient-flow time that the training amounts to.
    pub flow_time: f64,
    /// Share of neurons and training points with a sign change, of flows.
    pub flip_share: Option<f64>,
}

impl Comparison {
    /// trained − initial − T·F at each test point.
    #[must_use]
    pub fn deviations(&self) -> Vec<f64> {
        let pairs = self.trained.iter().zip(&self.initial);
        pairs.zip(&self.limit_change).map(|((after, before), limit)| after - before - limit).collect()
    }

    /// The limit's prediction given the network's initial values: f_0 + T·F.
    #[must_use]
    pub fn limit_values(&self) -> Vec<f64> {
        self.initial.iter().zip(&self.limit_change).map(|(before, change)| before + change).collect()
    }
}

/// What a run yields; the serialized keys are a contract of `pertlearn learn --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Share of clean training points that f classifies as labelled.
    pub accuracy_clean: f64,
    /// Share of clean training points that g classifies as labelled; g never saw these labels.
    pub accuracy_perturbed: f64,
    /// The same of f on the test points, if they have labels.
    pub accuracy_clean_test: Option<f64>,
    /// The same of g on the test points.
    pub accuracy_perturbed_test: Option<f64>,
    /// Share of test points with sgn f = sgn g.
    pub agreement: f64,
    /// The same for the limits given the initial values, f_0 + T·F and g_0 + T'·G.
    pub agreement_limit: f64,
    /// The same for F and G alone: what agreement tends to when the initial values vanish.
    pub agreement_limit_signal: f64,
    /// Mean |cos| between the perturbations and the weighted sums v(x_n): the paper's figure.
    pub cosine_weighted_sum: f64,
    /// Mean cosine between the perturbations and y'_n ∇F(x_n), which they tend to.
    pub cosine_limit_gradient: f64,
    /// Root mean square over the test points of f_T − f_0 − T·F.
    pub deviation_f: f64,
    /// Root mean square over the test points of g_T' − g_0 − T'·G.
    pub deviation_g: f64,
    /// The largest |f_T − f_0 − T·F|.
    pub deviation_f_max: f64,
    /// The largest |g_T' − g_0 − T'·G|.
    pub deviation_g_max: f64,
    /// Root mean square of T·F over the test points: what the deviation is to be compared with.
    pub limit_f_scale: f64,
    /// Root mean square of T'·G over the test points.
    pub limit_g_scale: f64,
    /// Root mean square of f_0 over the test points; 0 for antisymmetric initialisation.
    pub initial_f_scale: f64,
    /// Root mean square of g_0 over the test points.
    pub initial_g_scale: f64,
    /// T: the gradient-flow time of f.
    pub time: f64,
    /// T': the gradient-flow time of g.
    pub time_perturbed: f64,
    /// Share of neurons and training points of f with a sign change, of flows: theory of finite widths is about few of them.
    pub flip_share_f: Option<f64>,
    /// The same of g.
    pub flip_share_g: Option<f64>,
    /// Σ y'_n of the random targets: a large sum gives g a constant offset.
    pub target_sum: f64,
    /// N.
    pub train_count: usize,
    /// M.
    pub test_count: usize,
    /// d.
    pub input_dim: usize,
}

/// A finished run: the figures of merit, and what they are computed from.
#[derive(Debug, Clone)]
pub struct Run {
    /// The figures of merit.
    pub outcome: Outcome,
    /// f against T·F.
    pub f: Comparison,
    /// g against T'·G.
    pub g: Comparison,
    /// y'_n of each training point.
    pub targets: Vec<f64>,
    /// The perturbations of length ε, d × N.
    pub perturbations: DMatrix<f64>,
}

/// f trained on clean data, with what the perturbation needs.
struct CleanRun {
    comparison: Comparison,
    limit: Predictor,
    outputs: Vec<f64>,
    gradients: DMatrix<f64>,
    initial_gradients: DMatrix<f64>,
}

impl Experiment {
    /// Runs the experiment on a data set.
    ///
    /// # Errors
    /// Parameters outside their domains; labels of equal points that cancel everywhere; a vanishing gradient at a training point;
    /// divergence of the descent.
    pub fn run(&self, data: &DataSet) -> Result<Run> {
        finite_positive("epsilon", self.epsilon)?;
        // Both see the labels alone at the start; with another loss networks that do not start from zero learn to be zero.
        let by_labels = self.loss() == StandardLoss::Identity || self.initialisation == Initialisation::Antisymmetric;
        if by_labels {
            data.train.check_learnable()?;
        }
        let clean = self.train_clean(&data.train, &data.test)?;
        let targets = random_signs(&Streams::new(self.seed, "targets"), data.train.count());

        let loss = self.loss();
        let perturbations = adversarial_perturbations(&clean.gradients, &clean.outputs, &targets, &loss, self.epsilon)?;
        let points = perturbed_points(data.train.points(), &perturbations, self.scenario)?;
        let perturbed = TrainingSet::new(points, targets.clone())?;
        let start = (self.initialisation == Initialisation::Standard).then_some(&clean.initial_gradients);
        // After no time at all the change is 0; its direction is that of the first moment.
        let still = by_labels && clean.comparison.flow_time == 0.0;
        let limit = if still { Predictor::identity(&data.train, self.slope, 1.0)? } else { clean.limit };
        let points = data.train.points();
        let (weighted_sums, boundary_terms) = limit.gradient_parts(points)?;
        let mut limit_gradients = &weighted_sums + boundary_terms;
        let cosine_weighted_sum = mean_absolute_cosine(&perturbations, &weighted_sums);
        let cosine_limit_gradient = mean_signed_cosine(&targets, &perturbations, &limit_gradients);
        if still {
            limit_gradients.fill(0.0);
        }
        let limit_set =
            limit_training_set_along(limit_gradients, points, &targets, self.epsilon, self.scenario, start)?;
        let g = self.train_perturbed(&perturbed, &limit_set, data)?;

        let outcome = Outcome {
            accuracy_clean: accuracy(&clean.comparison.trained_on_clean, data.train.labels()),
            accuracy_perturbed: accuracy(&g.trained_on_clean, data.train.labels()),
            accuracy_clean_test: data.test_labels.as_deref().map(|y| accuracy(&clean.comparison.trained, y)),
            accuracy_perturbed_test: data.test_labels.as_deref().map(|y| accuracy(&g.trained, y)),
            agreement: agreement(&clean.comparison.trained, &g.trained),
            agreement_limit: agreement(&clean.comparison.limit_values(), &g.limit_values()),
            agreement_limit_signal: agreement(&clean.comparison.limit_change, &g.limit_change),
            cosine_weighted_sum,
            cosine_limit_gradient,
            deviation_f: root_mean_square(&clean.comparison.deviations()),
            deviation_g: root_mean_square(&g.deviations()),
            deviation_f_max: largest(&clean.comparison.deviations()),
            deviation_g_max: largest(&g.deviations()),
            limit_f_scale: root_mean_square(&clean.comparison.limit_change),
            limit_g_scale: root_mean_square(&g.limit_change),
            initial_f_scale: root_mean_square(&clean.comparison.initial),
            initial_g_scale: root_mean_square(&g.initial),
            time: clean.comparison.flow_time,
            time_perturbed: g.flow_time,
            flip_share_f: clean.comparison.flip_share,
            flip_share_g: g.flip_share,
            target_sum: targets.iter().sum(),
            train_count: data.train.count(),
            test_count: data.test.count(),
            input_dim: data.train.input_dim(),
        };
        Ok(Run { outcome, f: clean.comparison, g, targets, perturbations })
    }

    /// The loss of both networks.
    #[must_use]
    pub fn loss(&self) -> StandardLoss {
        match self.training {
            Training::Flow { .. } => StandardLoss::Identity,
            Training::Descent { loss, .. } => loss,
        }
    }

    fn neurons(&self, input_dim: usize, purpose: &str) -> Result<Neurons> {
        Neurons::draw(input_dim, self.width, self.initialisation, self.readout, Streams::new(self.seed, purpose))
    }

    fn train_clean(&self, train: &TrainingSet, test: &Points) -> Result<CleanRun> {
        let neurons = self.neurons(train.input_dim(), "f/neurons")?;
        match self.training {
            Training::Flow { time, .. } => {
                let flow = GradientFlow::new(train, self.slope, time)?.with_test(test)?.with_gradients();
                let outcome = flow.run(&neurons)?;
                let limit = Predictor::identity(train, self.slope, time)?;
                let comparison = Comparison {
                    initial: outcome.initial_test_values,
                    trained: outcome.test_values,
                    limit_change: limit.values(test)?,
                    trained_on_clean: outcome.train_values.clone(),
                    flow_time: time,
                    flip_share: Some(outcome.flip_share),
                };
                let missing = || Error::Numerical { routine: "gradient flow", reason: "no gradients".into() };
                Ok(CleanRun {
                    comparison,
                    limit,
                    outputs: outcome.train_values,
                    gradients: outcome.gradients.ok_or_else(missing)?,
                    initial_gradients: outcome.initial_gradients.ok_or_else(missing)?,
                })
            }
            Training::Descent { clean, .. } => {
                let (comparison, limit, weights) = self.descend(train, train, test, train.points(), clean, &neurons)?;
                Ok(CleanRun {
                    outputs: comparison.trained_on_clean.clone(),
                    gradients: input_gradients(&weights, self.slope, train.points())?,
                    initial_gradients: initial_gradients(&neurons, self.slope, train.points())?,
                    comparison,
                    limit,
                })
            }
        }
    }

    /// Trains g on `perturbed` and its limit on `limit_set`; both are evaluated on clean data.
    fn train_perturbed(&self, perturbed: &TrainingSet, limit_set: &TrainingSet, data: &DataSet) -> Result<Comparison> {
        let neurons = self.neurons(data.train.input_dim(), "g/neurons")?;
        match self.training {
            Training::Flow { time_perturbed, .. } => {
                let everywhere = stack(data.test.as_columns(), data.train.points().as_columns())?;
                let flow = GradientFlow::new(perturbed, self.slope, time_perturbed)?.with_test(&everywhere)?;
                let outcome = flow.run(&neurons)?;
                let limit = Predictor::identity(limit_set, self.slope, time_perturbed)?;
                let tests = data.test.count();
                Ok(Comparison {
                    initial: outcome.initial_test_values[..tests].to_vec(),
                    trained: outcome.test_values[..tests].to_vec(),
                    limit_change: limit.values(&data.test)?,
                    trained_on_clean: outcome.test_values[tests..].to_vec(),
                    flow_time: time_perturbed,
                    flip_share: Some(outcome.flip_share),
                })
            }
            Training::Descent { perturbed: schedule, .. } => {
                let clean_points = data.train.points();
                self.descend(perturbed, limit_set, &data.test, clean_points, schedule, &neurons).map(|run| run.0)
            }
        }
    }

    fn descend(
        &self,
        train: &TrainingSet,
        limit_set: &TrainingSet,
        test: &Points,
        clean_points: &Points,
        schedule: Schedule,
        neurons: &Neurons,
    ) -> Result<(Comparison, Predictor, crate::network::Weights)> {
        let Training::Descent { momentum, plateau, loss, precision, .. } = self.training else {
            unreachable!("only called for descent");
        };
        let descent = Descent::new(schedule.learning_rate, schedule.steps)?
            .with_momentum(momentum)?
            .with_plateau(plateau)
            .with_precision(precision);
        let trained = descent.train(neurons, self.slope, train, &loss)?;
        let horizon = Horizon::Finite(finite_nonnegative("time", trained.flow_time)?);
        // The limit of the identity loss does not depend on the initial values.
        let initial_train = match loss {
            StandardLoss::Identity => None,
            _ => Some(outputs_streamed(neurons, self.slope, limit_set.points())?),
        };
        let limit = Predictor::train(limit_set, self.slope, horizon, loss, initial_train.as_deref())?;
        let comparison = Comparison {
            initial: outputs_streamed(neurons, self.slope, test)?,
            trained: outputs(&trained.weights, self.slope, test)?,
            limit_change: limit.values(test)?,
            trained_on_clean: outputs(&trained.weights, self.slope, clean_points)?,
            flow_time: trained.flow_time,
            flip_share: None,
        };
        Ok((comparison, limit, trained.weights))
    }
}

/// Two sets of points in one.
fn stack(first: &DMatrix<f64>, second: &DMatrix<f64>) -> Result<Points> {
    let values = first.as_slice().iter().chain(second.as_slice()).copied().collect();
    Points::from_rows("evaluation points", first.ncols() + second.ncols(), first.nrows(), values)
}

/// Class of an output: +1 for values ≥ 0, −1 below.
#[must_use]
pub fn class(value: f64) -> f64 {
    if value >= 0.0 { 1.0 } else { -1.0 }
}

/// Share of values whose class is the label.
///
/// # Panics
/// If there are no values, or another number of labels.
#[must_use]
pub fn accuracy(values: &[f64], labels: &[f64]) -> f64 {
    share(values, labels, |value, label| class(*value) == *label)
}

/// Share of points at which two functions have the same class.
///
/// # Panics
/// If there are no values, or another number of them for g.
#[must_use]
pub fn agreement(f: &[f64], g: &[f64]) -> f64 {
    share(f, g, |f, g| class(*f) == class(*g))
}

fn share<A, B>(a: &[A], b: &[B], same: impl Fn(&A, &B) -> bool) -> f64 {
    assert!(!a.is_empty() && a.len() == b.len(), "a share of pairs");
    a.iter().zip(b).filter(|(a, b)| same(a, b)).count() as f64 / a.len() as f64
}

/// Root mean square.
#[must_use]
pub fn root_mean_square(values: &[f64]) -> f64 {
    (norm_squared(values) / values.len() as f64).sqrt()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

/// Mean over the columns of the cosine between a column of `a` and that of `b` times its sign.
pub(super) fn mean_signed_cosine(signs: &[f64], a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    column_cosines(a, b).iter().zip(signs).map(|(cosine, sign)| cosine * sign).sum::<f64>() / a.ncols() as f64
}

/// Mean over columns of |cos| between corresponding columns; a zero column counts as cosine 0.
///
/// # Panics
/// If there are no columns, or matrices of different shapes.
#[must_use]
pub fn mean_absolute_cosine(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    column_cosines(a, b).iter().map(|c| c.abs()).sum::<f64>() / a.ncols() as f64
}

/// Cosine between corresponding columns; 0 where one of them vanishes.
///
/// # Panics
/// If there are no columns, or matrices of different shapes.
#[must_use]
pub fn column_cosines(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Vec<f64> {
    assert!(!a.is_empty() && a.shape() == b.shape(), "pairs of columns");
    let d = a.nrows();
    let columns = a.as_slice().chunks_exact(d).zip(b.as_slice().chunks_exact(d));
    columns
        .map(|(a, b)| {
            let norms = norm_squared(a).sqrt() * norm_squared(b).sqrt();
            if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_count_equal_classes() {
        assert_eq!(accuracy(&[1.0, -0.5, 0.0], &[1.0, 1.0, 1.0]), 2.0 / 3.0);
        assert_eq!(agreement(&[1.0, -0.5], &[0.1, -3.0]), 1.0);
    }

    #[test]
    fn inputs_that_do_not_match_are_not_cut_to_the_shorter() {
        let refused = |f: fn() -> f64| std::panic::catch_unwind(f).is_err();
        assert!(refused(|| accuracy(&[1.0, 1.0], &[1.0])));
        assert!(refused(|| accuracy(&[1.0], &[1.0, 1.0])));
        assert!(refused(|| accuracy(&[], &[])));
        assert!(refused(|| agreement(&[1.0, 1.0], &[1.0])));
        assert!(refused(|| mean_absolute_cosine(&DMatrix::zeros(2, 3), &DMatrix::zeros(2, 2))));
        assert!(refused(|| mean_absolute_cosine(&DMatrix::zeros(0, 3), &DMatrix::zeros(0, 3))));
    }
}
