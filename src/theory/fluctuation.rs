//! The exact variance of the finite-width kernel: error bars with the right constant.

use rayon::prelude::*;

use super::dual::Pair;
use super::kernel::{Kernel, cross_gram, gram};
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::problem::{Points, Slope, TrainingSet};

//= D7@e5361188
//= W1@23ae4143
//= W8@68e86f70
/// Var X(z) for each test point, X = ω φ'(u(z)) (1/N) Σ_n y_n K_n(z) φ'(u(x_n)), whose mean over m independent neurons is
/// the initial rate ∂_t f(z) of a network of width m.
///
/// Hence, for z not a training point, √m (f_T − f_0 − T·F)(z) → N(β_∞(z), T² Var X·m/n_c), n_c = m for `Standard`
/// initialisation and m/2 for `Antisymmetric` pairs, of which only so many are independent. β_∞ = O(1/N) is the mean drift's
/// ([`mean_drift_limit`](super::bound::mean_drift_limit)).
///
/// `fourth_moment` is E ω² = m² E a⁴: 3 for Gaussian readouts, 1 for ±1/√m. The expectation of φ'(u_z)²φ'(u_n)φ'(u_k)
/// is closed-form by the probability ½ − (θ₁₂+θ₁₃+θ₂₃)/(4π) that three jointly Gaussian variables are all non-negative.
/// Cost: N² angles once, then 2N² operations per test point. The absolute error is that of
/// [`variance_error_bound`](super::bound::variance_error_bound): with ±1/√m, where the variance falls like (1−γ)², little of it is left for γ
/// very near to 1.
///
/// # Errors
/// Test points of another dimension; a fourth moment below 1, which no variable of variance 1 has, or not finite.
pub fn kernel_variance(train: &TrainingSet, slope: Slope, test: &Points, fourth_moment: f64) -> Result<Vec<f64>> {
    train.points().same_dimension("test points", test)?;
    check_fourth_moment(fourth_moment)?;
    let n = train.count();
    // P(u_n, u_k ≥ 0) is the derivative dual of the ReLU.
    let both = gram(Kernel::DerivativeDual, Slope::RELU, train.points());
    let with_test = cross_gram(Kernel::DerivativeDual, Slope::RELU, train.points(), test);
    let g = slope.value();
    let step = 1.0 - g;
    let square_step = 1.0 - g * g;
    let variance = |(index, z): (usize, &[f64])| {
        let with_z = &with_test.as_slice()[index * n..][..n];
        let pairs: Vec<Pair> = train.points().iter().map(|x| Pair::new(x, z)).collect();
        let weights: Vec<f64> =
            pairs.iter().zip(train.labels()).map(|(pair, y)| y * pair.augmented_product() / n as f64).collect();
        let limit: f64 = pairs.iter().zip(&weights).map(|(pair, w)| w * pair.derivative_dual(slope)).sum();
        // E φ'_z² φ'_n φ'_k with φ' = γ + (1−γ)·1 and φ'² = γ² + (1−γ²)·1; P(all three) = ½(P_nk + P_nz + P_kz) − ¼.
        let total: f64 = weights.iter().sum();
        let on_one = square_step * (g * step + 0.5 * step * step);
        let on_both = g * g * step * step + 0.5 * square_step * step * step;
        let constant = g * g * (g * g + g * step) + square_step * (0.5 * g * g - 0.25 * step * step);
        let over_pairs: f64 =
            weights.iter().enumerate().map(|(k, w)| w * dot(&weights, &both.as_slice()[k * n..][..n])).sum();
        let second_moment =
            on_both * over_pairs + 2.0 * on_one * total * dot(&weights, with_z) + constant * total * total;
        // Of a variance far below these two numbers rounding may leave less than nothing.
        (fourth_moment * second_moment - limit * limit).max(0.0)
    };
    let tests: Vec<(usize, &[f64])> = test.iter().enumerate().collect();
    Ok(tests.into_par_iter().map(variance).collect())
}

/// E ω² of readouts with E ω = 1.
pub(super) fn check_fourth_moment(fourth_moment: f64) -> Result<()> {
    if fourth_moment.is_finite() && fourth_moment >= 1.0 {
        return Ok(());
    }
    let expected = "a finite number, at least 1: that of a variable of variance 1";
    Err(Error::Scalar { name: "fourth moment of the readouts", value: fourth_moment, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};

    /// What rounding leaves of a variance of 10⁻²⁰ and less is no negative number.
    #[test]
    fn no_variance_is_negative_and_impossible_moments_are_refused() {
        let data = synthetic(Synthetic::Gauss, 5, 8, 50, 1).unwrap();
        for slope in [1.0 - 1e-8, 1.0 - 1e-9, 1.0 - 1e-10] {
            let variance = kernel_variance(&data.train, Slope::new(slope).unwrap(), &data.test, 1.0).unwrap();
            assert!(variance.iter().all(|variance| *variance >= 0.0), "{variance:?}");
        }
        for wrong in [0.999, f64::NAN, f64::INFINITY] {
            assert!(kernel_variance(&data.train, Slope::RELU, &data.test, wrong).is_err(), "{wrong}");
        }
    }
}
