//! Statements on the trained gradients of f at its training points: P5, P7, P8; and on what they do to the limit of a second
//! network: G5, G8. Targets alternate.

use nalgebra::DMatrix;

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::{Draw, output_rounding, train_networks};
use crate::experiment::hunt::measure::Observed;
use crate::linalg::{dot, larger, norm_squared};
use crate::loss::StandardLoss;
use crate::network::{Initialisation, guarded_perturbations};
use crate::problem::{Points, TrainingSet};
use crate::theory::bound::rounding::rounding_factor;
use crate::theory::bound::{
    FirstNetwork, Geometry, GradientGeometry, PerturbationRule, ReadoutLaw, SlidingDerivative, Tail, TrainedGradient,
    cosine_deficit_bound, expected_limit_deviation_bound, gradient_component_bound, gradient_norm_bound,
    limit_deviation_bound,
};
use crate::theory::{Predictor, limit_training_set, perturbed_points};

/// The exact flow gives a sliding neuron its own derivative.
const FLOW: SlidingDerivative = SlidingDerivative::OfFlow;
/// Every evaluation trains networks, and a confirmation thousands.
const WIDTH_LIMIT: usize = 512;

pub(super) fn entries() -> Vec<Entry> {
    let (probability, expectation) = (Kind::Probability, Kind::Expectation);
    vec![
        Entry::new("P5", expectation, "one less the cosine of ∇f_T with its limit", cosine_deficits, |case| {
            if case.initialisation == Initialisation::Standard {
                return Ok(Vec::new());
            }
            let geometry = Geometry::new(&case.train, case.slope, case.train.points())?;
            cosine_deficit_bound(&geometry, case.law()?, case.time, FLOW)
        })
        .up_to_width(WIDTH_LIMIT),
        Entry::new("P7", probability, "the gradient's deviation along z, |⟨z, D_n − d_n⟩|", components, |case| {
            of_trained(case, |trained| {
                let along = gradient_component_bound(trained, case.test.as_columns(), case.failure_probability)?;
                Ok(along.column(0).iter().copied().collect())
            })
        }),
        Entry::new("P8", probability, "the gradient's deviation ‖D_n − d_n‖", norms, |case| {
            of_trained(case, |trained| gradient_norm_bound(trained, case.failure_probability))
        }),
        Entry::new("G5", expectation, "the mean deviation of the limit of g, E|G_r̂ − G|", mean_changes, |case| {
            if case.initialisation == Initialisation::Standard {
                return Ok(Vec::new());
            }
            expected_limit_deviation_bound(&first_network(case, &targets(case))?, &case.test)
        })
        .up_to_width(WIDTH_LIMIT),
        Entry::new("G8", probability, "the deviation of the limit of g, |G_r̂ − G|", changes, |case| {
            of_trained(case, |trained| {
                let targets = targets(case);
                let rule = PerturbationRule { targets: &targets, epsilon: case.epsilon, scenario: case.scenario };
                let delta = case.failure_probability;
                let bound = limit_deviation_bound(trained, rule, case.slope, &case.test, delta, Tail::Both)?;
                Ok(bound.deviation)
            })
        }),
    ]
}

/// A bound on antisymmetric networks with ±1/√m readouts; nothing for others.
fn of_trained(case: &Case, bound: impl Fn(&TrainedGradient<'_>) -> Result<Vec<f64>>) -> Result<Vec<f64>> {
    if case.initialisation == Initialisation::Standard || case.readout_law() != ReadoutLaw::Rademacher {
        return Ok(Vec::new());
    }
    let geometry = GradientGeometry::new(&case.train, case.slope)?;
    bound(&TrainedGradient::new(&geometry, case.law()?, case.time, FLOW)?)
}

fn targets(case: &Case) -> Vec<f64> {
    (0..case.train.count()).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect()
}

fn first_network<'a>(case: &'a Case, targets: &'a [f64]) -> Result<FirstNetwork<'a>> {
    let (law, time, epsilon, scenario) = (case.law()?, case.time, case.epsilon, case.scenario);
    Ok(FirstNetwork { train: &case.train, slope: case.slope, law, time, targets, epsilon, scenario, sliding: FLOW })
}

/// D_T = (∇f_T − ∇f_0)/T at the training points, one d × N matrix per network.
fn trained_gradients(case: &Case, draw: &Draw) -> Result<Vec<DMatrix<f64>>> {
    let outcomes = train_networks(case, true, draw)?;
    let gradient = |outcome: crate::network::FlowOutcome| {
        let (trained, initial) = (outcome.gradients?, outcome.initial_gradients?);
        Some((trained - initial) / case.time)
    };
    Ok(outcomes.into_iter().filter_map(gradient).collect())
}

/// How far rounding may take a gradient divided by T: that of an output with its test point replaced by a unit vector.
fn gradient_rounding(case: &Case, n: usize) -> f64 {
    output_rounding(case, case.train.points().point(n)) / case.time
}

fn at_training_points(
    case: &Case,
    all: &[DMatrix<f64>],
    value: impl Fn(&[f64], &[f64]) -> f64,
    length: f64,
) -> Result<Vec<Observed>> {
    let limits = Predictor::identity(&case.train, case.slope, 1.0)?.gradient(case.train.points())?;
    let at_point = |n: usize| {
        let limit = column(&limits, n);
        Observed::Tail {
            values: all.iter().map(|d| value(column(d, n), limit)).collect(),
            probability: case.failure_probability,
            rounding: gradient_rounding(case, n) * length,
        }
    };
    Ok((0..case.train.count()).map(at_point).collect())
}

fn column(matrix: &DMatrix<f64>, n: usize) -> &[f64] {
    &matrix.as_slice()[n * matrix.nrows()..][..matrix.nrows()]
}

fn components(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let z = case.test.point(0);
    let along = |d: &[f64], limit: &[f64]| d.iter().zip(limit).zip(z).map(|((d, l), z)| (d - l) * z).sum::<f64>().abs();
    at_training_points(case, &trained_gradients(case, draw)?, along, norm_squared(z).sqrt())
}

fn norms(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let distance = |d: &[f64], limit: &[f64]| d.iter().zip(limit).map(|(d, l)| (d - l).powi(2)).sum::<f64>().sqrt();
    at_training_points(case, &trained_gradients(case, draw)?, distance, 1.0)
}

/// How far rounding may turn the unit vector of a computed gradient (D6).
fn direction_rounding(gradient: &[f64], rounding: f64) -> f64 {
    // A gradient of 0 has no direction: 2 is what unit vectors can differ by.
    (2.0 * rounding / norm_squared(gradient).sqrt()).min(2.0)
}

/// 1 − cos in [0, 2]; 1 for a gradient of 0, which P5's proof covers: ‖d − 0‖ = ‖d‖. Less what rounding may have added.
fn cosine_deficits(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let limits = Predictor::identity(&case.train, case.slope, 1.0)?.gradient(case.train.points())?;
    let all = trained_gradients(case, draw)?;
    let at_point = |n: usize| {
        let (limit, error) = (column(&limits, n), gradient_rounding(case, n));
        let deficit = |d: &DMatrix<f64>| {
            let d = column(d, n);
            let lengths = (norm_squared(d) * norm_squared(limit)).sqrt();
            let deficit = if lengths == 0.0 { 1.0 } else { 1.0 - (dot(d, limit) / lengths).clamp(-1.0, 1.0) };
            larger(deficit - direction_rounding(d, error), 0.0)
        };
        Observed::Expectation { values: all.iter().map(deficit).collect(), range: (0.0, 2.0), rounding: 0.0 }
    };
    Ok((0..case.train.count()).map(at_point).collect())
}

/// |Θ(r, z)| ≤ ‖r‖‖z‖ + 1 for r of g's inputs.
fn largest_kernel(case: &Case, z: &[f64]) -> f64 {
    let longest = case.train.points().iter().map(|x| norm_squared(x).sqrt()).fold(0.0, f64::max) + case.epsilon;
    longest * norm_squared(z).sqrt() + 1.0
}

/// |G_r̂(z) − G(z)| per network at each test point, less what rounding may have added. A gradient of 0 gives the perturbation
/// 0, which G4 and G8 cover.
fn limit_changes(case: &Case, draw: &Draw) -> Result<Vec<Vec<f64>>> {
    let targets = targets(case);
    let predictor = Predictor::identity(&case.train, case.slope, 1.0)?;
    let values = |points: Points| {
        Predictor::identity(&TrainingSet::new(points, targets.clone())?, case.slope, 1.0)?.values(&case.test)
    };
    let limit = limit_training_set(&predictor, case.train.points(), &targets, case.epsilon, case.scenario, None)?;
    let expected = values(limit.points().clone())?;
    // The change of Θ per change of r: ‖z‖ through ⟨r, z⟩, and less than |K|/√d through the angle (D5, s ≥ 1).
    let dim = case.train.input_dim() as f64;
    let steepness = |z: &[f64]| norm_squared(z).sqrt() + largest_kernel(case, z) / dim.sqrt();
    let sums = rounding_factor((16 * case.train.input_dim() + 4 * case.train.count() + 128) as f64);
    let changes = |d: &DMatrix<f64>| -> Result<Vec<f64>> {
        let errors = (0..targets.len()).map(|n| direction_rounding(column(d, n), gradient_rounding(case, n)));
        let turned = errors.sum::<f64>() / targets.len() as f64;
        // Of the identity loss, to which the outputs do not matter.
        let moves = guarded_perturbations(d, &targets, &targets, &StandardLoss::Identity, case.epsilon)?;
        let found = values(perturbed_points(case.train.points(), &moves, case.scenario)?)?;
        let differences = found.iter().zip(&expected).zip(case.test.iter());
        let less = differences.map(|((a, b), z)| {
            let rounding = case.epsilon * turned * steepness(z) + 2.0 * sums * largest_kernel(case, z);
            larger((a - b).abs() - rounding, 0.0)
        });
        Ok(less.collect())
    };
    let of_networks: Vec<Vec<f64>> = trained_gradients(case, draw)?.iter().map(changes).collect::<Result<_>>()?;
    Ok((0..case.test.count()).map(|j| of_networks.iter().map(|change| change[j]).collect()).collect())
}

fn mean_changes(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let at_point = |(values, z): (Vec<f64>, &[f64])| {
        let range = (0.0, 2.0 * largest_kernel(case, z));
        Observed::Expectation { values, range, rounding: 0.0 }
    };
    Ok(limit_changes(case, draw)?.into_iter().zip(case.test.iter()).map(at_point).collect())
}

fn changes(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let probability = case.failure_probability;
    let at_point = |values| Observed::Tail { values, probability, rounding: 0.0 };
    Ok(limit_changes(case, draw)?.into_iter().map(at_point).collect())
}
