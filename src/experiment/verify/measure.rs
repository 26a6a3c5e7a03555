//! What is measured of one network, and the limits it is measured against.

use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::Serialize;

use super::{LimitSummary, Setting, Verification};
use crate::error::{Error, Result};
use crate::experiment::law::readout_law;
use crate::experiment::learn::{
    accuracy, agreement, column_cosines, mean_absolute_cosine, mean_signed_cosine, root_mean_square,
};
use crate::linalg::{dot, norm_squared};
use crate::loss::StandardLoss;
use crate::network::{
    FlowOutcome, GradientFlow, Initialisation, Neurons, PreparedFlow, Readout, guarded_perturbations,
};
use crate::problem::{Points, Scenario, TrainingSet};
use crate::random::{Streams, random_signs};
use crate::stats::{mean, median};
use crate::theory::bound::{gradient_fluctuation_limit, variance_error_bound, velocity_magnitude};
use crate::theory::{Pair, Predictor, kernel_variance, perturbations, perturbed_points};

/// Test points, and training points, at which the predicted variance is evaluated: each costs N² angle look-ups.
const VARIANCE_POINTS: usize = 24;

/// Products of numbers that the fourth moments at the start may cost, and the least and the most neurons they are sampled from.
const TAIL_COST: usize = 1 << 32;
const TAIL_NEURONS: (usize, usize) = (1 << 12, 1 << 17);

/// Draws for the limit of how gradients scatter, which is then known to about 2 %.
const FLUCTUATION_DRAWS: usize = 512;

/// The infinite-width limits on one data set.
pub struct Limits {
    targets: Vec<f64>,
    /// T·F at the test points, then at the training points.
    change_f: Vec<f64>,
    /// T·∇F and T·v at the training points, d × N.
    gradients: DMatrix<f64>,
    weighted_sums: DMatrix<f64>,
    /// T'·G at the test points.
    change_g: [Vec<f64>; 2],
    /// Some test points, and the variance of √m_independent·(f_T − T·F) there.
    variance_at: Vec<usize>,
    variance: Vec<f64>,
    /// Some training points, F there, and the variance of √m_independent·(∂_t f_0 − F), by which it is at every width (W1).
    start_at: Vec<usize>,
    start: Vec<f64>,
    start_variance: Vec<f64>,
    /// E(|x|²)²/M² of a neuron's summands at these M points, each less F and over its standard deviation.
    start_tail: f64,
    /// ‖∇f_T − T·∇F‖² over ‖T·∇F‖², times √m, in the limit (P10), means over the training points; and its standard error.
    gradient_constant: (f64, f64),
    /// Σ(z, z) at the test points: the variance of f_0.
    initial_variance: Vec<f64>,
    initial_gradient_norm: f64,
}

const SCENARIOS: [Scenario; 2] = [Scenario::PerturbationOnly, Scenario::OnImage];

impl Setting {
    fn epsilon(&self, scenario: Scenario) -> f64 {
        match scenario {
            Scenario::PerturbationOnly => self.epsilon_alone,
            Scenario::OnImage => self.epsilon_on_image,
        }
    }
}

impl Limits {
    pub(super) fn new(run: &Verification, setting: &Setting) -> Result<Self> {
        let (train, test) = (&setting.data.train, &setting.data.test);
        let targets = random_signs(&Streams::new(run.seed, "targets"), train.count());
        let f = Predictor::identity(train, run.slope, setting.time)?;
        let (weighted_sums, boundary_terms) = f.gradient_parts(train.points())?;
        let gradients = &weighted_sums + boundary_terms;
        let limit_of = |scenario| -> Result<Vec<f64>> {
            let steps = perturbations(&gradients, &targets, setting.epsilon(scenario))?;
            let points = perturbed_points(train.points(), &steps, scenario)?;
            let set = TrainingSet::new(points, targets.clone())?;
            Predictor::identity(&set, run.slope, setting.time_perturbed)?.values(test)
        };
        let law = readout_law(run.readout);
        let some = |points: &Points| -> Result<(Vec<usize>, Points, Vec<f64>)> {
            let at: Vec<usize> = (0..points.count()).step_by(points.count().div_ceil(VARIANCE_POINTS)).collect();
            let points = points.select(&at);
            let variance = kernel_variance(train, run.slope, &points, law.fourth_moment())?;
            check_resolved(&variance, train, &points, law.fourth_moment())?;
            Ok((at, points, variance))
        };
        let (variance_at, _, variance) = some(test)?;
        let (start_at, start_points, start_variance) = some(train.points())?;
        let start: Vec<f64> = f.values(&start_points)?.into_iter().map(|value| value / setting.time).collect();
        let streams = Streams::new(run.seed, &format!("verify/{}/fluctuation", setting.data.name));
        let fluctuation =
            gradient_fluctuation_limit(train, run.slope, train.points(), law, FLUCTUATION_DRAWS, &streams)?;
        let mean_square = norm_squared(gradients.as_slice()) / train.count() as f64;
        Ok(Limits {
            change_f: f.values(test)?,
            weighted_sums,
            change_g: [limit_of(SCENARIOS[0])?, limit_of(SCENARIOS[1])?],
            gradients,
            variance_at,
            variance: variance.into_iter().map(|v| v * setting.time * setting.time).collect(),
            start_tail: start_tail(run, setting, &start_points, &start, &start_variance)?,
            start,
            start_at,
            start_variance,
            gradient_constant: (
                setting.time * fluctuation.mean.total / mean_square,
                setting.time * fluctuation.mean.total_error / mean_square,
            ),
            initial_variance: test.iter().map(|z| Pair::new(z, z).value_dual(run.slope)).collect(),
            initial_gradient_norm: 0.5 * (1.0 + run.slope.value().powi(2)),
            targets,
        })
    }

    pub(super) fn targets(&self) -> &[f64] {
        &self.targets
    }

    /// A of W8 for relative squares of antisymmetric networks, A/m: 2T² Var X over (T·F)², in the means over the test points (of those
    /// that the variance was computed for). W8's mean drift is left out.
    pub(super) fn function_constant(&self) -> f64 {
        let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
        let variance = mean(&mut self.variance.iter().copied(), self.variance.len());
        let signal = mean(&mut self.variance_at.iter().map(|&j| self.change_f[j].powi(2)), self.variance_at.len());
        2.0 * variance / signal
    }

    /// Mean over some training points of (∂_t f_0 − F)² over its variance, by the independent terms of a network.
    fn start_ratio(&self, rates: &[f64], independent: f64) -> f64 {
        let limits = self.start.iter().zip(&self.start_variance);
        let ratios =
            self.start_at.iter().zip(limits).map(|(&n, (limit, variance))| (rates[n] - limit).powi(2) / variance);
        independent * ratios.sum::<f64>() / self.start.len() as f64
    }

    /// ν of the χ² whose variance [`start_ratio`](Self::start_ratio) does not exceed: its value is the mean of M squares of sums of `independent`
    /// summands, and its variance, by second and fourth moments, 2 tr C²/M² + (E|x|⁴ − 2 tr C² − M²)/(M²·independent) ≤ 2/ν, tr C² ≤ M².
    pub(super) fn start_freedom(&self, independent: f64) -> f64 {
        (1.0 + 0.5 * (self.start_tail - 1.0) / independent).recip()
    }

    /// A of P10 for relative squares, A/√m, with its standard error.
    pub(super) fn gradient_constant(&self) -> (f64, f64) {
        self.gradient_constant
    }

    /// The mean cosine that ∇f_0 of its constant size leaves between T∇F + ∇f_0 and ∇F.
    pub(super) fn cosine_predicted(&self) -> f64 {
        let signal = column_norms_squared(&self.gradients);
        signal.iter().map(|s| (s / (s + self.initial_gradient_norm)).sqrt()).sum::<f64>() / signal.len() as f64
    }

    pub(super) fn summary(&self, setting: &Setting) -> LimitSummary {
        let margin = |values: &[f64]| median(&values.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let scored = |values: &[f64]| setting.data.test_labels.as_deref().map(|y| accuracy(values, y));
        LimitSummary {
            accuracy_f: scored(&self.change_f),
            accuracy_g_alone: scored(&self.change_g[0]),
            accuracy_g_on_image: scored(&self.change_g[1]),
            agreement_alone: agreement(&self.change_f, &self.change_g[0]),
            agreement_on_image: agreement(&self.change_f, &self.change_g[1]),
            margin_f: margin(&self.change_f),
            margin_g_alone: margin(&self.change_g[0]),
            margin_g_on_image: margin(&self.change_g[1]),
            predicted_deviation: (self.variance.iter().sum::<f64>() / self.variance.len() as f64).sqrt(),
            gradient_constant: self.gradient_constant.0,
            gradient_constant_error: self.gradient_constant.1,
            cosine_weighted_sum_limit: mean_absolute_cosine(&self.gradients, &self.weighted_sums),
        }
    }
}

/// E|x|⁴/M² of one neuron's summands (see [`Limits::start_freedom`]) from a sample of neurons; the moments of their readouts are exact. Few samples on
/// either side of whose kinks the data differ make it large.
fn start_tail(run: &Verification, setting: &Setting, at: &Points, limit: &[f64], variance: &[f64]) -> Result<f64> {
    let train = &setting.data.train;
    let (n, d) = (train.count(), train.input_dim());
    let (least, most) = TAIL_NEURONS;
    let count = (TAIL_COST / (n * (d + at.count()))).clamp(least, most);
    let streams = Streams::new(run.seed, &format!("verify/{}/tail", setting.data.name));
    let neurons = Neurons::draw(d, count, Initialisation::Standard, run.readout, streams)?;
    // (y_n/N) (⟨x_n, z⟩ + 1), a column for each z.
    let scale = 1.0 / n as f64;
    let pull = |z: &[f64]| -> Vec<f64> {
        train.points().iter().zip(train.labels()).map(|(x, y)| scale * y * (dot(x, z) + 1.0)).collect()
    };
    let pulls: Vec<Vec<f64>> = at.iter().map(pull).collect();
    // E ω^k, k = 1 … 4, of ω = m a².
    let moments = match run.readout {
        Readout::Gaussian => [1.0, 3.0, 15.0, 105.0],
        Readout::Rademacher => [1.0; 4],
    };
    let of_neuron = |index: usize| {
        let (mut weights, mut readout) = (vec![0.0; d + 1], [0.0]);
        neurons.fill(index, &mut weights, &mut readout);
        let derivative = |x: &[f64]| run.slope.derivative(dot(x, &weights[..d]) + weights[d]);
        let derivatives: Vec<f64> = train.points().iter().map(derivative).collect();
        // |ωB − F|² over the variances, as a polynomial in ω.
        let mut square = [0.0; 3];
        for ((z, pulls), (limit, variance)) in at.iter().zip(&pulls).zip(limit.iter().zip(variance)) {
            let summand = derivative(z) * dot(pulls, &derivatives);
            square[0] += limit * limit / variance;
            square[1] -= 2.0 * summand * limit / variance;
            square[2] += summand * summand / variance;
        }
        let [c, b, a] = square;
        let [first, second, third, fourth] = moments;
        c * c + 2.0 * b * c * first + (b * b + 2.0 * a * c) * second + 2.0 * a * b * third + a * a * fourth
    };
    // Summed in one order whatever the number of threads.
    let values: Vec<f64> = (0..count).into_par_iter().map(of_neuron).collect();
    Ok(mean(&values) / (at.count() as f64).powi(2))
}

/// Ratios to a variance say something only if rounding leaves a digit of it.
fn check_resolved(variance: &[f64], train: &TrainingSet, at: &Points, fourth_moment: f64) -> Result<()> {
    for (&value, z) in variance.iter().zip(at.iter()) {
        let magnitude = velocity_magnitude(train.points(), z);
        if value <= 10.0 * variance_error_bound(train.input_dim(), train.count(), magnitude, fourth_moment) {
            let name = "variance of the kernel";
            let expected = "far more than rounding may make of it: with Rademacher readouts a slope less near to 1";
            return Err(Error::Scalar { name, value, expected });
        }
    }
    Ok(())
}

fn column_norms_squared(matrix: &DMatrix<f64>) -> Vec<f64> {
    matrix.as_slice().chunks_exact(matrix.nrows()).map(norm_squared).collect()
}

/// Figures of g in one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct PerturbedFigures {
    /// Root mean square over the test points of g − T'·G, relative to that of T'·G.
    pub deviation: f64,
    /// Share of test points with sgn f = sgn g.
    pub agreement: f64,
    /// Share of test points at which "sgn f = sgn g" and "sgn F = sgn G" differ.
    pub mismatch: f64,
    /// Share of clean test points that g classifies as labelled, if they have labels.
    pub accuracy: Option<f64>,
}

/// One f with its two g, antisymmetric initialisation.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// m.
    pub width: usize,
    /// Which of the networks of that width.
    pub network: usize,
    /// Root mean square over the test points of f_T − T·F, relative to that of T·F.
    pub deviation_f: f64,
    /// Mean over some test points of (f_T − T·F)² over its predicted variance.
    pub variance_ratio: f64,
    /// Mean over some training points of (∂_t f_0 − F)² over its variance.
    pub start_ratio: f64,
    /// Share of test points with sgn f ≠ sgn F.
    pub sign_errors_f: f64,
    /// Accuracy of f on the training points.
    pub accuracy_clean: f64,
    /// Root mean square over the training points of ‖∇f_T − T·∇F‖, relative to that of T·∇F.
    pub deviation_gradient: f64,
    /// Mean cosine between the perturbation and its limit.
    pub cosine_limit_gradient: f64,
    /// Mean |cos| between the perturbation and the paper's weighted sum.
    pub cosine_weighted_sum: f64,
    /// Share of neurons and training points with a sign change.
    pub flip_share: f64,
    /// g trained on perturbations alone.
    pub alone: PerturbedFigures,
    /// g trained on perturbed images.
    pub on_image: PerturbedFigures,
}

/// One f under standard initialisation.
#[derive(Debug, Clone, Serialize)]
pub struct StandardCell {
    /// m.
    pub width: usize,
    /// Which of the networks of that width.
    pub network: usize,
    /// Mean over the test points of f_0² over its expectation.
    pub initial_output_ratio: f64,
    /// Mean over the training points of ‖∇f_0‖² over its expectation.
    pub initial_gradient_ratio: f64,
    /// Mean over some training points of (∂_t f_0 − F)² over its variance.
    pub start_ratio: f64,
    /// Mean cosine between ∇f_T and ∇F.
    pub cosine_limit_gradient: f64,
}

fn neurons(
    run: &Verification,
    setting: &Setting,
    initialisation: Initialisation,
    purpose: &str,
    (width, network): (usize, usize),
) -> Result<Neurons> {
    let name = format!("verify/{}/{purpose}/width {width}/network {network}", setting.data.name);
    let streams = Streams::new(run.seed, &name);
    Neurons::draw(setting.data.train.input_dim(), width, initialisation, run.readout, streams)
}

fn gradients_of(outcome: &FlowOutcome) -> Result<&DMatrix<f64>> {
    let reason = || Error::Numerical { routine: "gradient flow", reason: "no gradients".into() };
    outcome.gradients.as_ref().ok_or_else(reason)
}

/// Trains one f and its two g from antisymmetric initialisation.
pub(super) fn antisymmetric(
    run: &Verification,
    setting: &Setting,
    limits: &Limits,
    flow: &PreparedFlow<'_>,
    width: usize,
    network: usize,
) -> Result<Cell> {
    let data = &setting.data;
    let initial = neurons(run, setting, Initialisation::Antisymmetric, "f", (width, network))?;
    let f = flow.run(&initial)?;
    let gradients = gradients_of(&f)?;

    let deviation: Vec<f64> = f.test_values.iter().zip(&limits.change_f).map(|(f, limit)| f - limit).collect();
    // Antisymmetric pairs: half of the neurons are independent.
    let independent = 0.5 * width as f64;
    let ratios: Vec<f64> = limits
        .variance_at
        .iter()
        .zip(&limits.variance)
        .map(|(&j, variance)| deviation[j].powi(2) / (variance / independent))
        .collect();
    let epsilon = setting.epsilon(Scenario::PerturbationOnly);
    let loss = StandardLoss::Identity;
    let unit = guarded_perturbations(gradients, &f.train_values, &limits.targets, &loss, epsilon)?;
    let g = |index: usize| perturbed(run, setting, limits, &f, index, (width, network));
    let (alone, on_image) = (g(0)?, g(1)?);
    let difference = gradients - &limits.gradients;
    Ok(Cell {
        width,
        network,
        deviation_f: root_mean_square(&deviation) / root_mean_square(&limits.change_f),
        variance_ratio: ratios.iter().sum::<f64>() / ratios.len() as f64,
        start_ratio: limits.start_ratio(&f.initial_rate_train, independent),
        sign_errors_f: 1.0 - agreement(&f.test_values, &limits.change_f),
        accuracy_clean: accuracy(&f.train_values, data.train.labels()),
        deviation_gradient: (norm_squared(difference.as_slice()) / norm_squared(limits.gradients.as_slice())).sqrt(),
        cosine_limit_gradient: mean_signed_cosine(&limits.targets, &unit, &limits.gradients),
        cosine_weighted_sum: mean_absolute_cosine(&unit, &limits.weighted_sums),
        flip_share: f.flip_share,
        alone,
        on_image,
    })
}

/// Perturbs against f, trains g, evaluates it.
fn perturbed(
    run: &Verification,
    setting: &Setting,
    limits: &Limits,
    f: &FlowOutcome,
    index: usize,
    cell: (usize, usize),
) -> Result<PerturbedFigures> {
    let (data, scenario) = (&setting.data, SCENARIOS[index]);
    let epsilon = setting.epsilon(scenario);
    let loss = StandardLoss::Identity;
    let steps = guarded_perturbations(gradients_of(f)?, &f.train_values, &limits.targets, &loss, epsilon)?;
    let points = perturbed_points(data.train.points(), &steps, scenario)?;
    let set = TrainingSet::new(points, limits.targets.clone())?;
    let initial = neurons(run, setting, Initialisation::Antisymmetric, ["g alone", "g on image"][index], cell)?;
    let flow = GradientFlow::new(&set, run.slope, setting.time_perturbed)?.with_test(&data.test)?;
    let on_test = flow.run(&initial)?.test_values;
    let limit = &limits.change_g[index];
    let deviation: Vec<f64> = on_test.iter().zip(limit).map(|(g, limit)| g - limit).collect();
    let agrees = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (*a >= 0.0) == (*b >= 0.0)).collect::<Vec<_>>();
    let (finite, infinite) = (agrees(&f.test_values, &on_test), agrees(&limits.change_f, limit));
    let mismatches = finite.iter().zip(&infinite).filter(|(a, b)| a != b).count();
    Ok(PerturbedFigures {
        deviation: root_mean_square(&deviation) / root_mean_square(limit),
        agreement: agreement(&f.test_values, &on_test),
        mismatch: mismatches as f64 / data.test.count() as f64,
        accuracy: data.test_labels.as_deref().map(|y| accuracy(&on_test, y)),
    })
}

/// Trains one f from standard initialisation: what does not converge.
pub(super) fn standard(
    run: &Verification,
    setting: &Setting,
    limits: &Limits,
    flow: &PreparedFlow<'_>,
    width: usize,
    network: usize,
) -> Result<StandardCell> {
    let data = &setting.data;
    let initial = neurons(run, setting, Initialisation::Standard, "f standard", (width, network))?;
    let f = flow.run(&initial)?;
    let outputs = f.initial_test_values.iter().zip(&limits.initial_variance);
    let ratio = outputs.map(|(f, variance)| f * f / variance).sum::<f64>() / data.test.count() as f64;
    let missing = || Error::Numerical { routine: "gradient flow", reason: "no initial gradients".into() };
    let norms = column_norms_squared(f.initial_gradients.as_ref().ok_or_else(missing)?);
    let mean_norm = norms.iter().sum::<f64>() / norms.len() as f64;
    let cosines = column_cosines(gradients_of(&f)?, &limits.gradients);
    Ok(StandardCell {
        width,
        network,
        initial_output_ratio: ratio,
        initial_gradient_ratio: mean_norm / limits.initial_gradient_norm,
        start_ratio: limits.start_ratio(&f.initial_rate_train, width as f64),
        cosine_limit_gradient: mean(&cosines),
    })
}
