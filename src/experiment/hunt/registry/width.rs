//! Statements on networks of finite width: W4, W5, W6, W7, W9, W11, W12, W14, W17, A2.

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::{Draw, Path, ReadoutSize, follow_pairs, output_rounding, train_networks};
use crate::experiment::hunt::measure::Observed;
use crate::network::{FlowOutcome, Initialisation, Readout};
use crate::theory::bound::{
    BoundaryVelocities, Tail, block_second_moment_bound, certificate_given_f, drift_second_moment_bound,
    gaussian_network_error_bound, initial_output_bound, kernel_deviation_bound, mean_drift_bound,
    mean_drift_bound_with_velocities, mean_drift_comparison_bound, network_error_bound,
};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "W4",
            Kind::Probability,
            "the initial kernel's deviation |F̂₀ − F|",
            kernel_deviations,
            |case| kernel_deviation_bound(&case.geometry()?, case.law()?, case.failure_probability, Tail::Both),
        ),
        Entry::new("W5", Kind::Expectation, "the mean drift |E R|", mean_drift, |case| {
            mean_drift_bound(&case.geometry()?, case.law()?, case.time)
        }),
        Entry::new("W6", Kind::Expectation, "the drift's second moment E R²", second_moment, |case| {
            drift_second_moment_bound(&case.geometry()?, case.law()?, case.time)
        }),
        Entry::new(
            "W7",
            Kind::Expectation,
            "the mean drift |E R|, the signs of the readout compared",
            mean_drift,
            |case| mean_drift_comparison_bound(&case.geometry()?, case.law()?, case.time),
        ),
        Entry::new(
            "W9",
            Kind::Probability,
            "the trained network's error |f_T − f_0 − TF|",
            network_errors,
            |case| network_error_bound(&case.geometry()?, case.law()?, case.time, case.failure_probability, Tail::Both),
        ),
        Entry::new("W11", Kind::Probability, "the network at initialisation |f_0|", initial_outputs, |case| {
            if case.initialisation == Initialisation::Antisymmetric {
                return Ok(Vec::new());
            }
            initial_output_bound(&case.test, case.slope, case.law()?, case.failure_probability)
        }),
        Entry::new(
            "W12",
            Kind::Probability,
            "the trained network's error, Gaussian readouts",
            network_errors,
            |case| {
                if case.readout == Readout::Rademacher {
                    return Ok(Vec::new());
                }
                gaussian_network_error_bound(
                    &case.geometry()?,
                    case.law()?,
                    case.time,
                    case.failure_probability,
                    Tail::Both,
                )
            },
        ),
        Entry::new(
            "W14",
            Kind::Expectation,
            "the mean drift |E R| given |α| = 1, from velocities",
            given_drift,
            |case| {
                let geometry = case.geometry()?;
                mean_drift_bound_with_velocities(&BoundaryVelocities::new(&geometry), case.law()?, 1.0, case.time)
            },
        ),
        Entry::new(
            "W17",
            Kind::Expectation,
            "a trained block's second moment given |α| = 1, E Y²",
            block_moment,
            |case| block_second_moment_bound(&case.geometry()?, 1.0 / (case.width as f64).sqrt(), case.time),
        ),
        Entry::new(
            "A2",
            Kind::Probability,
            "how far a certified g moves towards the wrong sign",
            towards_wrong,
            certified,
        ),
    ]
}

/// One value per network at each test point.
fn tails(
    case: &Case,
    draw: &Draw,
    rounding: impl Fn(&[f64]) -> f64,
    value: impl Fn(&FlowOutcome, usize) -> f64,
) -> Result<Vec<Observed>> {
    let outcomes = train_networks(case, false, draw)?;
    let at_point = |(j, z): (usize, &[f64])| Observed::Tail {
        values: outcomes.iter().map(|outcome| value(outcome, j)).collect(),
        probability: case.failure_probability,
        rounding: rounding(z),
    };
    Ok(case.test.iter().enumerate().map(at_point).collect())
}

fn kernel_deviations(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let limit = case.geometry()?.limit().to_vec();
    let at_start = Case { time: 0.0, ..case.clone() };
    // The rounding of velocities: that of outputs, without their start and per unit of time.
    let rounding = |z: &[f64]| output_rounding(case, z) / case.time.max(f64::MIN_POSITIVE);
    tails(&at_start, draw, rounding, |outcome, j| (outcome.initial_rate_test[j] - limit[j]).abs())
}

fn network_errors(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let limit = case.geometry()?.limit().to_vec();
    tails(
        case,
        draw,
        |z| output_rounding(case, z),
        |outcome, j| (outcome.test_values[j] - outcome.initial_test_values[j] - case.time * limit[j]).abs(),
    )
}

fn initial_outputs(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let at_start = Case { time: 0.0, ..case.clone() };
    tails(&at_start, draw, |z| output_rounding(&at_start, z), |outcome, j| outcome.initial_test_values[j].abs())
}

/// The case's training set is that of g: −sgn G·(g − T'G), which must not reach T'|G| where the sign is certified.
fn towards_wrong(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let limit = case.geometry()?.limit().to_vec();
    tails(
        case,
        draw,
        |z| output_rounding(case, z),
        |outcome, j| -limit[j].signum() * (outcome.test_values[j] - case.time * limit[j]),
    )
}

/// T'|G| where the certificate holds for f of G's sign, else ∞.
fn certified(case: &Case) -> Result<Vec<f64>> {
    let first = case.geometry()?.limit().to_vec();
    let (law, delta) = (case.law()?, case.failure_probability);
    let certificate = certificate_given_f(&case.train, case.slope, &case.test, &first, law, case.time, delta)?;
    let limits = certificate.certified.iter().zip(&certificate.limit);
    Ok(limits.map(|(certified, limit)| if *certified { limit.abs() } else { f64::INFINITY }).collect())
}

/// R/ω = (φ(u_T) − φ(u_0))/a − T φ'(u_0) V_0 of one neuron (K2).
fn relative_drift(case: &Case, path: &Path) -> f64 {
    let slope = case.slope;
    let moved = slope.activation(path.trained) - slope.activation(path.initial);
    moved / path.readout - case.time * slope.derivative(path.initial) * path.velocity
}

/// The paths of pairs of neurons at one test point.
type Pairs = Vec<[Path; 2]>;

/// A power of R/ω, averaged over a pair, with the interval in which it lies: |R/ω| ≤ ρ = T(b↑ − b↓).
fn drift_moment(case: &Case, draw: &Draw, size: ReadoutSize, power: i32, factor: f64) -> Result<Vec<Observed>> {
    let ranges = case.geometry()?.ranges();
    let paths = follow_pairs(case, size, draw)?;
    let at_point = |(paths, (low, high)): (Pairs, (f64, f64))| {
        let limit = (case.time * (high - low)).powi(power);
        let values: Vec<f64> = paths
            .iter()
            .map(|pair| 0.5 * factor * pair.iter().map(|p| relative_drift(case, p).powi(power)).sum::<f64>())
            .collect();
        // The change of φ(u) errs by e = output/|a|, and so does a·T·V (R5); |(r + e)² − r²| ≤ e(2|r| + e).
        let error = |p: &Path| 2.0 * p.slack.output / p.readout.powi(2);
        let largest = limit.sqrt();
        let raised = |e: f64| if power == 2 { e * (2.0 * largest + e) } else { e };
        let rounding =
            factor * paths.iter().flatten().map(|p| raised(error(p))).sum::<f64>() / (2 * paths.len()) as f64;
        let lowest = if power == 2 { 0.0 } else { -limit };
        Observed::Expectation { values, range: (factor * lowest, factor * limit), rounding }
    };
    Ok(paths.into_iter().zip(ranges).map(at_point).collect())
}

fn mean_drift(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    drift_moment(case, draw, ReadoutSize::Squared, 1, 1.0)
}

fn given_drift(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    drift_moment(case, draw, ReadoutSize::One, 1, 1.0)
}

fn second_moment(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let fourth_moment = if case.readout == Readout::Gaussian { 3.0 } else { 1.0 };
    drift_moment(case, draw, ReadoutSize::Fourth, 2, fourth_moment)
}

/// Y² = ((φ(u_T) − φ(u_0))/a)², averaged over a pair; Y lies in T[b↓, b↑] (M6).
fn block_moment(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let paths = follow_pairs(case, ReadoutSize::One, draw)?;
    let moved = |p: &Path| (case.slope.activation(p.trained) - case.slope.activation(p.initial)) / p.readout;
    let at_point = |(paths, (low, high)): (Pairs, (f64, f64))| {
        let largest = case.time * low.abs().max(high.abs());
        let values = paths.iter().map(|pair| 0.5 * pair.iter().map(|p| moved(p).powi(2)).sum::<f64>());
        // Y errs by e = output/|a| (R5), and |(y + e)² − y²| ≤ e(2|y| + e).
        let rounding = paths.iter().flatten().map(|p| p.slack.output / p.readout.abs()).fold(0.0, f64::max);
        let rounding = rounding * (2.0 * largest + rounding);
        Observed::Expectation { values: values.collect(), range: (0.0, largest * largest), rounding }
    };
    Ok(paths.into_iter().zip(case.geometry()?.ranges()).map(at_point).collect())
}
