//! What random targets do to the perturbation-trained limit: G6 and G7.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::linalg::norm_squared;
use crate::problem::{Points, Scenario, Slope, finite_positive};
use crate::theory::{Kernel, Pair, cross_gram, perturbed_points};

/// The limit G of the second network, split into what f passes on and what the targets add.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LabelNoise {
    /// Ā(z) = E_{y'} G(z), per test point.
    pub signal: Vec<f64>,
    /// The bound on |G(z) − Ā(z)|, per test point.
    pub deviation: Vec<f64>,
}

//= G6@ad6e1314
/// Random labels, G6: "split G(z) = Ā(z) + (1/N) Σ_n y'_n B_n(z) with A_n = ½[Θ(c_n+εq_n,z) − Θ(c_n−εq_n,z)],
/// B_n = ½[Θ(c_n+εq_n,z) + Θ(c_n−εq_n,z)], c_n = x_n (b) or 0 (a). With probability ≥ 1 − 2e^{−t} over the targets
/// |G(z) − Ā(z)| ≤ (1/N)√(2t Σ_n B_n(z)²)", t = ln(2/δ).
///
/// Inputs: the training points, `perturbations` εq_n as d × N matrix *for all targets +1*, scenario, slope, test points, δ
/// for each single test point. G is the change per unit of time T'. Tightness: Hoeffding for a Rademacher sum, √(2t)
/// standard deviations; the standard deviation itself is exact.
///
/// # Errors
/// Shapes that do not fit; δ outside (0, 1).
pub fn label_noise_bound(
    points: &Points,
    perturbations: &DMatrix<f64>,
    scenario: Scenario,
    slope: Slope,
    test: &Points,
    failure_probability: f64,
) -> Result<LabelNoise> {
    points.same_dimension("test points", test)?;
    let t = super::error::log_share(failure_probability, 2.0)?;
    let kernel = |perturbations: &DMatrix<f64>| -> Result<DMatrix<f64>> {
        Ok(cross_gram(Kernel::Ntk, slope, &perturbed_points(points, perturbations, scenario)?, test))
    };
    let (plus, minus) = (kernel(perturbations)?, kernel(&-perturbations)?);
    let n = points.count();
    let columns = || plus.as_slice().chunks_exact(n).zip(minus.as_slice().chunks_exact(n));
    let halves =
        |sign: f64| columns().map(move |(plus, minus)| plus.iter().zip(minus).map(move |(p, m)| 0.5 * (p + sign * m)));
    let signal = halves(-1.0).map(|a| a.sum::<f64>() / n as f64).collect();
    let deviation = halves(1.0).map(|b| (2.0 * t * b.map(|b| b * b).sum::<f64>()).sqrt() / n as f64).collect();
    Ok(LabelNoise { signal, deviation })
}

//= G7@0824c92a
/// Offset from unbalanced targets, G7: in scenario a "the targets' imbalance adds the nearly constant offset ȳ'Φ(0,z) to
/// G", ȳ' = (1/N) Σ y'_n. Returns ȳ'Φ(0,z) per test point, up to [`target_offset_remainder_bound`].
///
/// # Errors
/// Another target than ±1; no targets.
pub fn target_offset(targets: &[f64], slope: Slope, test: &Points) -> Result<Vec<f64>> {
    if targets.is_empty() {
        return Err(Error::Empty { name: "targets".into(), expected: "one target" });
    }
    if let Some(row) = targets.iter().position(|y| y.abs() != 1.0) {
        let expected = "+1 or -1".into();
        return Err(Error::Label { name: "targets".into(), row, value: targets[row], expected });
    }
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let origin = vec![0.0; test.input_dim()];
    Ok(test.iter().map(|z| mean * Pair::new(&origin, z).derivative_dual(slope)).collect())
}

//= G7@0824c92a
/// Remainder of G7: "scenario a: |(1/N) Σ y'_n B_n(z) − ȳ'Φ(0,z)| ≤ ((1−γ)²/2π)(ε/√d)(1 + ε‖z‖)", per test point.
///
/// Inputs: slope, ε, test points. Tightness: first order in ε/√d by D5, whose constant is attained for perturbations
/// perpendicular to z; sums over n do not cancel in the bound.
///
/// # Errors
/// ε ≤ 0, infinite or NaN.
pub fn target_offset_remainder_bound(slope: Slope, epsilon: f64, test: &Points) -> Result<Vec<f64>> {
    let epsilon = finite_positive("epsilon", epsilon)?;
    let step = 1.0 - slope.value();
    let scale = step * step / (2.0 * std::f64::consts::PI) * epsilon / (test.input_dim() as f64).sqrt();
    Ok(test.iter().map(|z| scale * (1.0 + epsilon * norm_squared(z).sqrt())).collect())
}

//= G7@0824c92a
/// What centring leaves of the offset, G7: "|S(z) − (1/N) Σ_k S(x_k)| ≤ |ȳ'|((1−γ)²/2π)|θ(0,z) − (1/N) Σ_k θ(0,x_k)| +
/// X(1 + ε‖z‖) + X(1 + (ε/N) Σ_k ‖x_k‖)", S(z) = (1/N) Σ_n y'_n B_n(z), X = ((1−γ)²/2π)ε/√d, in scenario a, per test point.
///
/// Inputs: the targets, slope, ε, the points over which g is averaged, the test points. Tightness: that of
/// [`target_offset_remainder_bound`], which it contains twice.
///
/// # Errors
/// As [`target_offset`] and [`target_offset_remainder_bound`]; test points of another dimension.
pub fn centred_offset_bound(
    targets: &[f64],
    slope: Slope,
    epsilon: f64,
    points: &Points,
    test: &Points,
) -> Result<Vec<f64>> {
    points.same_dimension("test points", test)?;
    let average = |values: Vec<f64>| values.iter().sum::<f64>() / points.count() as f64;
    let offset = average(target_offset(targets, slope, points)?);
    let remainder = average(target_offset_remainder_bound(slope, epsilon, points)?);
    let at_test =
        target_offset(targets, slope, test)?.into_iter().zip(target_offset_remainder_bound(slope, epsilon, test)?);
    Ok(at_test.map(|(at, own)| (at - offset).abs() + own + remainder).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::TrainingSet;
    use crate::random::{Streams, random_signs};
    use crate::theory::bound::tests::reference;
    use crate::theory::{Predictor, perturbations};

    /// G and its parts for random directions on the reference points.
    fn directions(epsilon: f64, targets: &[f64]) -> DMatrix<f64> {
        let gradients = DMatrix::from_fn(3, 12, |row, n| (1.7 * (row + 3 * n) as f64).sin());
        perturbations(&gradients, targets, epsilon).unwrap()
    }

    fn limit(train: &Points, targets: &[f64], epsilon: f64, scenario: Scenario, test: &Points) -> Vec<f64> {
        let moved = perturbed_points(train, &directions(epsilon, targets), scenario).unwrap();
        let set = TrainingSet::new(moved, targets.to_vec()).unwrap();
        Predictor::identity(&set, slope(), 1.0).unwrap().values(test).unwrap()
    }

    fn slope() -> Slope {
        Slope::new(0.2).unwrap()
    }

    //= test G6@ad6e1314
    //= power G6@ad6e1314
    #[test]
    fn the_signal_is_the_mean_over_all_targets_and_the_noise_their_variance() {
        // All 2¹² targets: the mean of G is Ā and its variance Σ B²/N² = deviation²/2t, without sampling.
        let (train, test) = reference();
        let delta = 0.01;
        for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
            let plus = directions(0.7, &[1.0; 12]);
            let noise = label_noise_bound(train.points(), &plus, scenario, slope(), &test, delta).unwrap();
            let all: Vec<Vec<f64>> = (0..1 << 12)
                .map(|bits: u32| {
                    let targets: Vec<f64> = (0..12).map(|n| if bits >> n & 1 == 1 { 1.0 } else { -1.0 }).collect();
                    limit(train.points(), &targets, 0.7, scenario, &test)
                })
                .collect();
            let t = (2.0 / delta).ln();
            for z in 0..test.count() {
                let mean = all.iter().map(|g| g[z]).sum::<f64>() / 4096.0;
                let variance = all.iter().map(|g| (g[z] - mean).powi(2)).sum::<f64>() / 4096.0;
                // Sums of 4096 values of size 1: errors of at most 4096 ε.
                assert!((mean - noise.signal[z]).abs() < 1e-12, "{z}: {mean} {:?}", noise.signal);
                assert!((variance * 2.0 * t / noise.deviation[z].powi(2) - 1.0).abs() < 1e-11, "{z}");
                let exceeding = |bound: f64| all.iter().filter(|g| (g[z] - mean).abs() > bound).count() as f64;
                assert!(exceeding(noise.deviation[z]) <= delta * 4096.0, "{z}: exceeded too often");
                assert!(exceeding(0.5 * noise.deviation[z]) > delta * 4096.0, "{z}: half the bound passes");
            }
        }
    }

    //= test G7@0824c92a
    //= power G7@0824c92a
    #[test]
    fn the_offset_explains_unbalanced_targets_up_to_its_remainder() {
        let (train, test) = reference();
        let targets = random_signs(&Streams::new(1, "bound/target"), 12);
        for epsilon in [0.01, 0.3, 2.0] {
            let plus = directions(epsilon, &[1.0; 12]);
            let scenario = Scenario::PerturbationOnly;
            let noise = label_noise_bound(train.points(), &plus, scenario, slope(), &test, 0.1).unwrap();
            let g = limit(train.points(), &targets, epsilon, scenario, &test);
            let offset = target_offset(&targets, slope(), &test).unwrap();
            let remainder = target_offset_remainder_bound(slope(), epsilon, &test).unwrap();
            for z in 0..test.count() {
                let noise = g[z] - noise.signal[z];
                // Rounding of the sums: far below the remainder, which is at least 10⁻⁴ here.
                assert!((noise - offset[z]).abs() <= remainder[z], "{epsilon} {z}: {noise} {}", offset[z]);
                // Fault: no offset. Small perturbations leave a remainder too small to hide it.
                assert!(epsilon > 0.1 || noise.abs() > remainder[z], "{epsilon} {z}: {noise} passes without offset");
            }
        }
    }

    //= test G7@0824c92a
    //= power G7@0824c92a
    #[test]
    fn centring_leaves_the_remainder_at_the_point_and_its_mean_over_the_data() {
        // Two points far from the origin and a test point at it: there the remainder is small, over the data it is not.
        let points = Points::from_rows("x", 2, 2, vec![5.0, 0.0, 0.0, 5.0]).unwrap();
        let train = TrainingSet::new(points.clone(), vec![1.0, -1.0]).unwrap();
        let (origin, targets, epsilon) = (Points::from_rows("z", 1, 2, vec![0.0; 2]).unwrap(), [1.0, 1.0], 3.0);
        let gradients = Predictor::identity(&train, Slope::RELU, 1.0).unwrap().gradient(&points).unwrap();
        let plus = perturbations(&gradients, &[1.0; 2], epsilon).unwrap();
        // B is half the sum of the kernels for both signs of a perturbation.
        let half = |moves: &DMatrix<f64>, at: &Points| -> Vec<f64> {
            let moved = perturbed_points(&points, moves, Scenario::PerturbationOnly).unwrap();
            let set = TrainingSet::new(moved, targets.to_vec()).unwrap();
            Predictor::identity(&set, Slope::RELU, 0.5).unwrap().values(at).unwrap()
        };
        let noise = |at: &Points| -> Vec<f64> {
            half(&plus, at).iter().zip(half(&-&plus, at)).map(|(plus, minus)| plus + minus).collect()
        };
        let left = (noise(&origin)[0] - noise(&points).iter().sum::<f64>() / 2.0).abs();
        let bound = centred_offset_bound(&targets, Slope::RELU, epsilon, &points, &origin).unwrap()[0];
        assert!(left <= bound, "{left} {bound}");
        // Fault: the remainder at z twice.
        let offset = |at: &Points| target_offset(&targets, Slope::RELU, at).unwrap();
        let own = target_offset_remainder_bound(Slope::RELU, epsilon, &origin).unwrap()[0];
        let twice = (offset(&origin)[0] - offset(&points).iter().sum::<f64>() / 2.0).abs() + 2.0 * own;
        assert!(left > twice, "the remainder at z alone passes: {left} {twice}");
        assert!(centred_offset_bound(&[0.5], Slope::RELU, epsilon, &points, &origin).is_err());
        assert!(centred_offset_bound(&targets, Slope::RELU, 0.0, &points, &origin).is_err());
    }

    //= test G7@0824c92a
    #[test]
    fn centring_bounds_what_is_left_at_random_points() {
        let (train, test) = reference();
        for (epsilon, seed) in [(0.01, 1), (0.3, 2), (2.0, 3)] {
            let targets = random_signs(&Streams::new(seed, "bound/centred"), 12);
            let plus = directions(epsilon, &[1.0; 12]);
            let scenario = Scenario::PerturbationOnly;
            let noise = |at: &Points| -> Vec<f64> {
                let signal = label_noise_bound(train.points(), &plus, scenario, slope(), at, 0.1).unwrap().signal;
                limit(train.points(), &targets, epsilon, scenario, at).iter().zip(signal).map(|(g, s)| g - s).collect()
            };
            let centre = noise(train.points()).iter().sum::<f64>() / 12.0;
            let bound = centred_offset_bound(&targets, slope(), epsilon, train.points(), &test).unwrap();
            for (z, noise) in noise(&test).iter().enumerate() {
                assert!((noise - centre).abs() <= bound[z], "{epsilon} {z}: {noise} {centre} {}", bound[z]);
            }
        }
    }

    #[test]
    fn the_offset_has_its_closed_form_and_bad_input_is_named() {
        // z = √d·e: Φ(0,z) is at 45°: ¾π/2π = 3/8 for the ReLU. ȳ' = ½.
        let z = Points::from_rows("z", 1, 4, vec![2.0, 0.0, 0.0, 0.0]).unwrap();
        let offset = target_offset(&[1.0, 1.0, 1.0, -1.0], Slope::RELU, &z).unwrap()[0];
        assert!((offset - 3.0 / 16.0).abs() < 4.0 * f64::EPSILON);
        // (1/2π)(½/2)(1 + ½·2) = 1/4π.
        let remainder = target_offset_remainder_bound(Slope::RELU, 0.5, &z).unwrap()[0];
        assert!((remainder * 4.0 * std::f64::consts::PI - 1.0).abs() < 4.0 * f64::EPSILON);
        assert!(target_offset(&[0.5], Slope::RELU, &z).is_err() && target_offset(&[], Slope::RELU, &z).is_err());
        assert!(target_offset_remainder_bound(Slope::RELU, 0.0, &z).is_err());
    }
}
