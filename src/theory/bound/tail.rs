//! Tails of means of independent copies: W2 and W3.

use super::ReadoutLaw;
use crate::error::{Error, Result};
use crate::problem::finite_nonnegative;

/// Golden-section steps over a range of e¹⁷ in λ: the position is found to 10⁻⁷, and the value, flat there, to 10⁻¹³.
const STEPS: usize = 40;

//= W2@49c26d12
/// Two-point Chernoff bound W2: "let B have mean F, variance at most σ² and B ≤ b, and X = ωB with ω independent of B;
/// P((1/n) Σ X_i − F ≥ x) ≤ e^{−t} for x = (1/λ)(t/n + ln M(λ)) − F and every λ > 0 (with 2λb < 1 if Gaussian)".
///
/// M(λ) = π Q(b) + (1−π) Q(b') is the moment generating function of the two-point law on {b', b} with mean F and variance
/// σ²; ω = 1 for Rademacher readouts, χ²₁ for Gaussian ones. Returns x, minimised over λ: (t/n + ln M)/λ is convex in 1/λ,
/// so golden sections find the minimum, and any λ is valid, so an inexact one costs only sharpness.
///
/// Inputs: `mean` F, `variance` σ², `upper` b, `copies` n, `log_inverse_probability` t. The lower tail is the upper tail
/// of −B. Tightness: the best bound that Chernoff's method gives from (b, F, σ²); on images 1.03–1.12 times the normal
/// quantile at m = 1000 (W4).
///
/// # Errors
/// `mean` or `upper` not finite; upper < mean; variance < 0; copies = 0; t ≤ 0; NaN.
pub fn chernoff_deviation(
    mean: f64,
    variance: f64,
    upper: f64,
    copies: usize,
    log_inverse_probability: f64,
    readout: ReadoutLaw,
) -> Result<f64> {
    if !mean.is_finite() {
        return Err(Error::Scalar { name: "mean", value: mean, expected: "a finite number" });
    }
    if !(upper.is_finite() && upper >= mean) {
        return Err(Error::Scalar { name: "upper end", value: upper, expected: "a finite number, at least the mean" });
    }
    finite_nonnegative("variance", variance)?;
    let per_copy = per_copy(copies, log_inverse_probability)?;
    Ok(chernoff(mean, variance, upper, per_copy, readout))
}

//= W3@ed3dfd0e
/// Bernstein's bound W3: "P((1/n) Σ Y_i − EY ≥ √(2vt/n) + ct/n) ≤ e^{−t}" for E Y² ≤ v and
/// E (Y)₊^k ≤ (k!/2) v c^{k−2}, k ≥ 3.
///
/// Inputs: `second_moment` v, `scale` c, `copies` n, `log_inverse_probability` t. Scales for |r| ≤ ρ: c = ρ/3 for Y = r;
/// c = 2ρ, v = 3 E r² for Y = ωr with a Gaussian readout independent of r; c = 7ρ/3 if E[r²|α] ≤ A|α| + A'α², with
/// v = μ₅A + μ₆A'. Tightness: exact to first order in t/n for normal Y; W2 is sharper where both apply.
///
/// # Errors
/// second moment < 0; scale < 0; copies = 0; t ≤ 0; NaN or infinite values.
pub fn bernstein_deviation(second_moment: f64, scale: f64, copies: usize, log_inverse_probability: f64) -> Result<f64> {
    finite_nonnegative("second moment", second_moment)?;
    finite_nonnegative("scale", scale)?;
    Ok(bernstein(second_moment, scale, per_copy(copies, log_inverse_probability)?))
}

/// t/n.
fn per_copy(copies: usize, log_inverse_probability: f64) -> Result<f64> {
    if copies == 0 {
        return Err(Error::Scalar { name: "copies", value: 0.0, expected: "at least 1" });
    }
    crate::problem::finite_positive("log inverse probability", log_inverse_probability)?;
    Ok(log_inverse_probability / copies as f64)
}

/// W3 (i) for `per_copy` = t/n.
pub(super) fn bernstein(second_moment: f64, scale: f64, per_copy: f64) -> f64 {
    (2.0 * second_moment * per_copy).sqrt() + scale * per_copy
}

/// W2 for `per_copy` = t/n > 0, minimised over λ; `upper` below `mean` counts as equal (B is constant).
pub(super) fn chernoff(mean: f64, variance: f64, upper: f64, per_copy: f64, readout: ReadoutLaw) -> f64 {
    let gap = (upper - mean).max(0.0);
    // A law that never exceeds its mean is constant, and so is one without variance.
    let (gap, variance) = if gap > 0.0 && variance > 0.0 { (gap, variance) } else { (0.0, 0.0) };
    let variance_of_product = match readout {
        ReadoutLaw::Rademacher => variance,
        ReadoutLaw::Gaussian => 3.0 * variance + 2.0 * mean * mean,
    };
    if variance_of_product == 0.0 {
        return 0.0;
    }
    // Beyond the range of numbers the minimum would be that of something else.
    if !(variance_of_product + gap * gap).is_finite() {
        return f64::INFINITY;
    }
    let (share, below) = if gap > 0.0 { (variance / (variance + gap * gap), variance / gap) } else { (0.0, 0.0) };
    let deviation = |log_lambda: f64| {
        let lambda = log_lambda.exp();
        match readout {
            // Free of the mean: ln M − λF, with the larger exponential in front. For many copies λ is small and M so near
            // 1 that its rounding would outweigh t/n.
            ReadoutLaw::Rademacher => {
                let reach = lambda * (gap + below);
                let near = ((1.0 - share) * (-reach).exp_m1()).ln_1p();
                let log = if reach < 0.5 { near } else { (share + (1.0 - share) * (-reach).exp()).ln() };
                (per_copy + log) / lambda + gap
            }
            ReadoutLaw::Gaussian => {
                let growth = |b: f64| (-0.5 * (-2.0 * lambda * b).ln_1p()).exp_m1();
                let log = (share * growth(mean + gap) + (1.0 - share) * growth(mean - below)).ln_1p();
                (per_copy + log) / lambda - mean
            }
        }
    };
    // The optimum for a normal law; others lie within the range around it.
    let centre = (2.0 * per_copy / variance_of_product).sqrt().ln();
    let (low, mut high) = (centre - 9.0, centre + 8.0);
    if readout == ReadoutLaw::Gaussian && mean + gap > 0.0 {
        // 2λb < 1, with room for rounding.
        high = high.min(((0.5 - 1e-9) / (mean + gap)).ln());
    }
    golden_minimum(low.min(high - 9.0), high, deviation)
}

/// The smallest value seen by golden sections of [low, high]; what is not finite never wins.
pub(super) fn golden_minimum(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_9;
    let f = |x: f64| Some(f(x)).filter(|value| value.is_finite()).unwrap_or(f64::INFINITY);
    let (mut left, mut right) = (high - RATIO * (high - low), low + RATIO * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    let mut best = f(low).min(f(high)).min(at_left).min(at_right);
    for _ in 0..STEPS {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - RATIO * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + RATIO * (high - low);
            at_right = f(right);
        }
        best = best.min(at_left).min(at_right);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReadoutLaw::{Gaussian, Rademacher};

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "W2".
        let known = [
            (0.3, 0.8, 2.5, 500, 7.0, Rademacher, 1.5768139716157e-01),
            (0.3, 0.8, 2.5, 500, 7.0, Gaussian, 3.2590623930259e-01),
            (-0.4, 0.05, 0.1, 20, 3.0, Rademacher, 1.3845567955921e-01),
            (-0.4, 0.05, 0.1, 20, 3.0, Gaussian, 2.8656156731272e-01),
        ];
        for (mean, variance, upper, copies, t, readout, answer) in known {
            let x = chernoff_deviation(mean, variance, upper, copies, t, readout).unwrap();
            // The reference's grid has steps of 8·10⁻⁴ in ln λ: it lies above the minimum by about ½(4·10⁻⁴)² relative.
            assert!(x <= answer * (1.0 + 1e-12) && x >= answer * (1.0 - 1e-6), "{x} {answer}");
        }
        assert!((bernstein_deviation(2.0, 3.0, 4, 16.0).unwrap() - 16.0).abs() < 1e-14);
    }

    //= test W2@49c26d12
    #[test]
    fn the_exact_tail_of_the_extremal_law_lies_below_the_bound() {
        // B on {b', b} with P(b) = p: the mean of n copies exceeds F + x with an exact binomial probability.
        let (n, p) = (200_u64, 0.1_f64);
        for t in [1.0, 5.0, 20.0] {
            let x = chernoff_deviation(p, p * (1.0 - p), 1.0, n as usize, t, Rademacher).unwrap();
            let count = ((p + x) * n as f64).ceil() as u64;
            let tail = crate::stats::binomial_upper_tail(n, p, count);
            assert!(tail <= (-t).exp(), "{t}: {tail}");
            // Chernoff's method loses a factor of about √(2π t) and the step of the lattice, not more than e².
            assert!(tail >= (-t).exp() / (8.0 * (2.0 * std::f64::consts::PI * t).sqrt()), "{t}: {tail}");
        }
    }

    /// A symmetric law deviates like a normal one up to a share of about t/n. With ln M itself it was 4·10⁻⁶ too small.
    #[test]
    fn with_very_many_copies_nothing_is_lost_to_rounding() {
        for (readout, variance) in [(Rademacher, 1.0_f64), (Gaussian, 3.0)] {
            let x = chernoff_deviation(0.0, 1.0, 1.0, 1_000_000_000_000, 10.0, readout).unwrap();
            assert!((x / (2.0 * variance * 1e-11).sqrt() - 1.0).abs() <= 1e-9, "{x:e}");
        }
    }

    #[test]
    fn deviations_grow_with_t_and_shrink_with_copies() {
        for readout in [Rademacher, Gaussian] {
            let x = |n, t| chernoff_deviation(0.3, 0.8, 2.5, n, t, readout).unwrap();
            assert!(x(100, 3.0) < x(100, 3.1) && x(100, 3.0) > x(101, 3.0));
        }
        let y = |n, t| bernstein_deviation(0.3, 0.8, n, t).unwrap();
        assert!(y(100, 3.0) < y(100, 3.1) && y(100, 3.0) > y(101, 3.0));
    }

    /// A constant B = F with Gaussian readouts: the mean of n copies of Fχ²₁, whose law is F/n times chi-squared with n degrees of
    /// freedom, without 0/0 for the two-point law's weights.
    #[test]
    fn a_constant_with_gaussian_readouts_deviates_like_chi_squared() {
        use statrs::distribution::{ChiSquared, ContinuousCDF};
        let (n, t) = (20, 3.0_f64);
        let law = ChiSquared::new(n as f64).unwrap();
        for mean in [0.7, -0.7, -1e-3] {
            for (variance, upper) in [(0.0, mean), (0.0, mean + 5.0), (1.0, mean)] {
                let x = chernoff_deviation(mean, variance, upper, n, t, Gaussian).unwrap();
                let limit = n as f64 * (1.0 + x / mean);
                let tail = if mean > 0.0 { law.sf(limit) } else { law.cdf(limit) };
                // Chernoff's method loses a factor of about √(2π·2t), not more than 20.
                assert!(x > 0.0 && tail <= (-t).exp() && tail >= (-t).exp() / 20.0, "{mean} {upper}: {x} {tail}");
            }
        }
    }

    #[test]
    fn constants_do_not_deviate_and_bad_input_is_named() {
        assert_eq!(chernoff_deviation(2.0, 0.0, 5.0, 10, 1.0, Rademacher).unwrap(), 0.0);
        assert_eq!(chernoff_deviation(0.0, 0.0, 5.0, 10, 1.0, Gaussian).unwrap(), 0.0);
        assert_eq!(chernoff_deviation(2.0, 3.0, 2.0, 10, 1.0, Rademacher).unwrap(), 0.0);
        assert!(chernoff_deviation(2.0, 1.0, 1.0, 10, 1.0, Rademacher).is_err());
        assert!(chernoff_deviation(f64::NAN, 1.0, 1.0, 10, 1.0, Rademacher).is_err());
        assert!(chernoff_deviation(0.0, -1.0, 1.0, 10, 1.0, Rademacher).is_err());
        assert!(chernoff_deviation(0.0, 1.0, 1.0, 0, 1.0, Rademacher).is_err());
        assert!(bernstein_deviation(1.0, 1.0, 10, 0.0).is_err());
    }
}
