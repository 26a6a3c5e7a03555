//! The limit of the mean drift, where it has a closed form: W8.

use super::geometry::signed_gram;
use super::{Geometry, ReadoutLaw};
use crate::error::{Error, Result};
use crate::problem::finite_nonnegative;

//= W8@68e86f70
/// Limit of the mean drift, W8: "for z not a training point, √m E R(z) → β_∞(z) = (μ₃T²(1−γ)/4) Σ_k C_k(z) p_k
/// E[φ'(u_z) ζ_k | u_k = 0]", which shifts the central limit of √m (f_T − f_0 − T·F)(z). Per test point, in units of the
/// function times √m.
///
/// Exact for up to three distinct training points, for which the conditional expectation is a sum over the signs of at
/// most two others with closed-form probabilities. With one point it is −(μ₃T²(1−γ)²(1+γ)/8) C(z) p K(x,x), which attains W7.
///
/// # Errors
/// More than three distinct training points; a test point that is one of them; an angle of 0 between two points; time < 0, infinite or NaN.
pub fn mean_drift_limit(geometry: &Geometry, readout: ReadoutLaw, time: f64) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let n = geometry.train.len();
    if n > 3 {
        let expected = "at most 3, for which the limit has a closed form";
        return Err(Error::Scalar { name: "number of distinct training points", value: n as f64, expected });
    }
    if let Some(z) = geometry.twin.iter().position(Option::is_some) {
        let expected = "a number that is not the index of a training point among the test points";
        return Err(Error::Scalar { name: "index of a test point", value: z as f64, expected });
    }
    // Points so nearly parallel that their angle is 0 in floating point: the projected correlations are not known.
    let apart = |j: usize, k: usize| j == k || geometry.angles[(j, k)].sin() > 0.0;
    if !(0..n).all(|j| (0..n).all(|k| apart(j, k))) || geometry.test_angles.iter().any(|angle| angle.sin() <= 0.0) {
        let expected = "above 0: points at different angles";
        return Err(Error::Scalar { name: "smallest angle between two points", value: 0.0, expected });
    }
    let [mu3, ..] = readout.moments();
    let scale = mu3 * time * time * (1.0 - geometry.slope.value()) / 4.0;
    let within = signed_gram(&geometry.points, &geometry.weights, 1.0, geometry.points.as_columns());
    let towards = signed_gram(&geometry.points, &geometry.weights, 1.0, geometry.test_points.as_columns());
    let at = |z: usize| {
        // A point whose labels cancel exerts no force of its own.
        let terms = (0..n).filter(|k| within[(*k, *k)] != 0.0).map(|k| {
            let others: Vec<usize> = (0..n).filter(|j| *j != k).collect();
            let angles = |j: usize| geometry.angles[(j, k)];
            let to_test = geometry.test_angles[(k, z)];
            // The correlation of two pre-activations given u_k = 0.
            let given = |angle: f64, a: f64, b: f64| (angle.cos() - a.cos() * b.cos()) / (a.sin() * b.sin());
            let with_test: Vec<f64> =
                others.iter().map(|j| given(geometry.test_angles[(*j, z)], angles(*j), to_test)).collect();
            let mutual = match others[..] {
                [i, j] => given(geometry.angles[(i, j)], angles(i), angles(j)),
                _ => 0.0,
            };
            let forces: Vec<f64> = others.iter().map(|j| within[(*j, k)]).collect();
            let mean = conditional_force(geometry.slope.value(), within[(k, k)], &forces, &with_test, mutual);
            towards[(k, z)] * geometry.train[k].density * mean
        });
        scale * terms.sum::<f64>()
    };
    Ok((0..geometry.test.len()).map(at).collect())
}

/// E[φ'(u_z) ζ_k | u_k = 0] over the signs of the other samples: `own` S_k, `forces` C_j(x_k), correlations with u_z and of
/// the two others.
fn conditional_force(g: f64, own: f64, forces: &[f64], with_test: &[f64], mutual: f64) -> f64 {
    let product = |rho: f64| std::f64::consts::FRAC_2_PI * rho.clamp(-1.0, 1.0).asin();
    let (mean, half) = (0.5 * (1.0 + g), 0.5 * (1.0 - g));
    let count = forces.len();
    (0..1_u32 << count)
        .map(|pattern| {
            let sign = |j: usize| if pattern >> j & 1 == 1 { 1.0 } else { -1.0 };
            let velocity: f64 = forces.iter().enumerate().map(|(j, c)| c * (mean + half * sign(j))).sum();
            let force = own.abs() * (-2.0 * velocity / own - 1.0 - g).clamp(-(1.0 - g), 1.0 - g);
            // Odd moments of signs are 0.
            let pairs = if count == 2 { 1.0 + sign(0) * sign(1) * product(mutual) } else { 1.0 };
            let test: f64 = with_test.iter().enumerate().map(|(j, rho)| sign(j) * product(*rho)).sum();
            force * (mean * pairs + half * test) / f64::from(1 << count)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Points, Slope, TrainingSet};
    use crate::theory::bound::{NetworkLaw, mean_drift_comparison_bound};

    fn geometry(count: usize, slope: f64) -> Geometry {
        let value = |i: usize| (1.7 * i as f64 + 0.3).sin();
        let points = Points::from_rows("x", count, 2, (0..2 * count).map(value).collect()).unwrap();
        let labels = (0..count).map(|n| if n == 1 { -1.0 } else { 1.0 }).collect();
        let test = Points::from_rows("z", 2, 2, vec![0.4, -1.1, 2.0, 0.3]).unwrap();
        Geometry::new(&TrainingSet::new(points, labels).unwrap(), Slope::new(slope).unwrap(), &test).unwrap()
    }

    #[test]
    fn one_point_has_the_closed_form_and_attains_the_comparison_bound() {
        for slope in [0.0, 0.3] {
            let data = geometry(1, slope);
            let limit = mean_drift_limit(&data, ReadoutLaw::Rademacher, 0.7).unwrap();
            let law = NetworkLaw::standard(1 << 50, ReadoutLaw::Rademacher).unwrap();
            let bound = mean_drift_comparison_bound(&data, law, 0.7).unwrap();
            for (z, limit) in limit.iter().enumerate() {
                let factor = 0.49 * (1.0 - slope).powi(2) * (1.0 + slope) / 8.0;
                let known = -factor * data.test_sizes[(0, z)] * data.train[0].density * data.own[0];
                let sign =
                    signed_gram(&data.points, &data.weights, 1.0, data.test_points.as_columns())[(0, z)].signum();
                assert!((limit / (sign * known) - 1.0).abs() < 1e-14, "{z}: {limit}");
                // What remains at m = 2⁵⁰ is of order 2⁻²⁵.
                assert!((bound[z] * 2_f64.powi(25) / limit.abs() - 1.0).abs() < 1e-6, "{z}: {bound:?} {limit}");
            }
        }
    }

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "W8": two and three points, slope 0.2, T = 1, Gaussian; conditional means by sorting all signs.
        for (count, known) in KNOWN {
            let found = mean_drift_limit(&geometry(count, 0.2), ReadoutLaw::Gaussian, 1.0).unwrap();
            for (found, known) in found.iter().zip(known) {
                assert!((found / known - 1.0).abs() < 1e-12, "{count}: {found:e} {known:e}");
            }
        }
    }

    #[test]
    fn more_points_and_training_points_are_refused() {
        assert!(mean_drift_limit(&geometry(4, 0.0), ReadoutLaw::Gaussian, 1.0).is_err());
        let train = Points::from_rows("x", 1, 1, vec![1.0]).unwrap();
        let set = TrainingSet::new(train.clone(), vec![1.0]).unwrap();
        let data = Geometry::new(&set, Slope::RELU, &train).unwrap();
        assert!(mean_drift_limit(&data, ReadoutLaw::Gaussian, 1.0).is_err());
    }

    const KNOWN: [(usize, [f64; 2]); 2] =
        [(2, [3.6323058451520e-02, -5.2130217280156e-02]), (3, [9.2638665513071e-03, -5.1119815069775e-02])];
}
