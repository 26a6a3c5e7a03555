//! Deterministic bounds, and bounds whose failure probability can be enumerated: faults are rejected with power 1.

use perturbation_learning::problem::{Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::stats::binomial_upper_tail;
use perturbation_learning::theory::bound::{
    ReadoutLaw, angle_change_bound, bernstein_deviation, chernoff_deviation, label_noise_bound, target_offset,
    target_offset_remainder_bound, unit_vector_change_bound, velocity_range,
};
use perturbation_learning::theory::{Pair, Predictor, perturbations, perturbed_points};
use rand_distr::{Distribution, StandardNormal};

use crate::evidence::Evidence;
use crate::fault::Fault;
use crate::instrument::{accept, reject};
use crate::lab::{Lab, SEED};
use crate::theory::{Library, Theory};

fn exactly(excess: f64) -> Vec<Evidence> {
    vec![Evidence::Exact { excess }]
}

pub const GEOMETRY: &[Fault] =
    &[Fault::AngleChordForArc, Fault::UnitVectorFactorTwoForgotten, Fault::RangeSlopeForgotten];

/// D5, D6 and M3: the largest of observed/bound over random points. Rounding: angles are accurate to 10⁻¹⁴, distances of
/// unit vectors to d ε, and sums of ten terms to 10 ε, all far below 10⁻⁹.
pub fn examine_geometry() {
    let (angle, unit, range) = (worst_angle(), worst_unit_vector(), worst_range());
    let rounding = 1.0 + 1e-9;
    accept("angles", "D5 of the library", &exactly(angle.0 / rounding));
    accept("unit vectors", "D6 of the library", &exactly(unit.0 / rounding));
    accept("velocities", "M3 of the library", &exactly(range.0 / rounding));
    for (fault, name, excess) in
        [(GEOMETRY[0], "angles", angle.1), (GEOMETRY[1], "unit vectors", unit.1), (GEOMETRY[2], "velocities", range.1)]
    {
        reject(name, fault, &exactly(excess / rounding));
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The largest of f over random pairs of points of many lengths and distances, for the bound and for the fault.
fn worst(f: impl Fn(&[f64], &[f64]) -> (f64, f64)) -> (f64, f64) {
    let mut rng = Streams::new(SEED, "power/geometry").stream(0);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut largest = (0.0_f64, 0.0_f64);
    for trial in 0..4000 {
        let (d, scale, step) = (1 + trial % 3, 10_f64.powf(normal()), 10_f64.powf(normal() - 0.5));
        let x: Vec<f64> = (0..d).map(|_| scale * normal()).collect();
        let moved: Vec<f64> = x.iter().map(|x| x + step * normal()).collect();
        let found = f(&x, &moved);
        largest = (largest.0.max(found.0), largest.1.max(found.1));
    }
    largest
}

fn worst_angle() -> (f64, f64) {
    worst(|x, z| {
        let d = x.len() as f64;
        let s = |x: &[f64]| (1.0 + norm(x).powi(2) / d).sqrt();
        let distance = norm(&x.iter().zip(z).map(|(x, z)| x - z).collect::<Vec<f64>>());
        let angle = Pair::new(x, z).angle();
        let chord = 2.0 * distance / d.sqrt() / (s(x) + s(z));
        (angle / angle_change_bound(distance, x.len(), s(x), s(z)).unwrap(), angle / chord)
    })
}

fn worst_unit_vector() -> (f64, f64) {
    worst(|x, z| {
        let distance = norm(&x.iter().zip(z).map(|(x, z)| x - z).collect::<Vec<f64>>());
        let unit = norm(&x.iter().zip(z).map(|(a, b)| a / norm(x) - b / norm(z)).collect::<Vec<f64>>());
        let excess = (unit - 16.0 * f64::EPSILON).max(0.0);
        let bound = unit_vector_change_bound(distance, norm(x), norm(z)).unwrap();
        (excess / bound, excess / (0.5 * bound))
    })
}

/// V over V↑ at the corner φ = 1 where C > 0 and γ elsewhere, which attains it.
fn worst_range() -> (f64, f64) {
    let slope = Slope::new(0.3).unwrap();
    let signed: Vec<f64> = (0..10).map(|k| (2.3 * f64::from(k) + 0.4).sin() + 0.3).collect();
    let corner: f64 = signed.iter().map(|c| if *c > 0.0 { *c } else { slope.value() * c }).sum();
    (corner / velocity_range(&signed, slope).1, corner / signed.iter().sum::<f64>())
}

pub const TAILS: &[Fault] = &[Fault::ChernoffVarianceHalved, Fault::BernsteinFactorTwoForgotten];

/// W2 and W3: the exact tail of the mean of n values 0 or 1 over e^{−t}.
pub fn examine_tails() {
    let (n, p) = (400_u64, 0.3_f64);
    let second_moment = p * (1.0 - p);
    let tail = |x: f64, t: f64| binomial_upper_tail(n, p, ((p + x) * n as f64).ceil() as u64) / (-t).exp();
    let worst = |deviation: &dyn Fn(f64) -> f64| [0.5, 1.0, 3.0, 10.0, 20.0].map(|t| tail(deviation(t), t)).into_iter();
    let over = |deviation: &dyn Fn(f64) -> f64| exactly(worst(deviation).fold(0.0, f64::max));
    let chernoff =
        |variance: f64, t| chernoff_deviation(p, variance, 1.0, n as usize, t, ReadoutLaw::Rademacher).unwrap();
    // Centred values are at most 1 in size: the scale is a third.
    let bernstein = |moment: f64, t| bernstein_deviation(moment, 1.0 / 3.0, n as usize, t).unwrap();
    accept("exact tails", "W2 of the library", &over(&|t| chernoff(second_moment, t)));
    accept("exact tails", "W3 of the library", &over(&|t| bernstein(second_moment, t)));
    reject("exact tails", TAILS[0], &over(&|t| chernoff(0.5 * second_moment, t)));
    reject("exact tails", TAILS[1], &over(&|t| bernstein(0.5 * second_moment, t)));
}

pub const TARGETS: &[Fault] = &[Fault::NoiseLogarithmForgotten, Fault::NoiseRootForgotten, Fault::OffsetForgotten];

/// G6 and G7 by all 4096 targets of twelve points: the share of targets beyond the bound over δ, and the noise less the
/// offset over the remainder.
pub fn examine_targets() {
    let (lab, failure, epsilon) = (Lab::new(), 0.05_f64, 0.1);
    let (points, slope, n) = (lab.train.points(), lab.slope, lab.train.count());
    let gradient = Predictor::identity(&lab.train, slope, 1.0).unwrap().gradient(points).unwrap();
    let scenario = Scenario::PerturbationOnly;
    let plus = perturbations(&gradient, &vec![1.0; n], epsilon).unwrap();
    let noise = label_noise_bound(points, &plus, scenario, slope, &lab.test, failure).unwrap();
    let all: Vec<(Vec<f64>, Vec<f64>)> = (0..1_u32 << n)
        .map(|bits| {
            let targets: Vec<f64> = (0..n).map(|k| if bits >> k & 1 == 1 { 1.0 } else { -1.0 }).collect();
            let moves = perturbations(&gradient, &targets, epsilon).unwrap();
            let moved = perturbed_points(points, &moves, scenario).unwrap();
            let limit = Library.limit(&TrainingSet::new(moved, targets.clone()).unwrap(), slope, &lab.test);
            (targets, limit.iter().zip(&noise.signal).map(|(g, signal)| g - signal).collect())
        })
        .collect();
    let share = |factor: f64| -> Vec<Evidence> {
        let beyond =
            |z: usize| all.iter().filter(|(_, noise_z)| noise_z[z].abs() > factor * noise.deviation[z]).count();
        let excess = |z: usize| Evidence::Exact { excess: beyond(z) as f64 / (failure * all.len() as f64) };
        (0..lab.test.count()).map(excess).collect()
    };
    let remainder = target_offset_remainder_bound(slope, epsilon, &lab.test).unwrap();
    let offsets = |known: f64| -> Vec<Evidence> {
        let excess = |(targets, noise): &(Vec<f64>, Vec<f64>)| -> f64 {
            let offset = target_offset(targets, slope, &lab.test).unwrap();
            let parts = noise.iter().zip(offset).zip(&remainder);
            parts.map(|((noise, offset), bound)| (noise - known * offset).abs() / bound).fold(0.0, f64::max)
        };
        exactly(all.iter().map(excess).fold(0.0, f64::max))
    };
    accept("all targets", "G6 of the library", &share(1.0));
    accept("all targets", "G7 of the library", &offsets(1.0));
    reject("all targets", TARGETS[0], &share(1.0 / (2.0 * (2.0 / failure).ln()).sqrt()));
    reject("all targets", TARGETS[1], &share(1.0 / (n as f64).sqrt()));
    reject("all targets", TARGETS[2], &offsets(0.0));
}
