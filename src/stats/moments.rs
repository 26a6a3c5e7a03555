//! Means, variances and quantiles.

use super::student_quantile;

/// Arithmetic mean; NaN for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unbiased variance (two passes); NaN for fewer than two values.
#[must_use]
pub fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan, NumPy's default).
///
/// # Panics
/// If there are no values, or `share` lies outside [0, 1].
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share) && !values.is_empty(), "a quantile of something");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// The median.
///
/// # Panics
/// If there are no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The interval of which nothing is known.
const ANYTHING: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// Two-sided interval for the expectation by Student's t: exact for normal values, asymptotic otherwise. `error` is the
/// probability of missing it. Fewer than two values say nothing: (−∞, ∞). NaN for values that are not finite.
///
/// # Panics
/// If `error` lies outside (0, 1].
#[must_use]
pub fn mean_interval(values: &[f64], error: f64) -> (f64, f64) {
    if values.len() < 2 {
        return ANYTHING;
    }
    let n = values.len() as f64;
    let half = student_quantile(n - 1.0, error / 2.0) * (variance(values) / n).sqrt();
    (mean(values) - half, mean(values) + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((mean(&values), median(&values), quantile(&values, 1.0)), (2.5, 2.5, 4.0));
        assert_eq!(variance(&values), 5.0 / 3.0);
        assert_eq!(quantile(&values, 0.25), 1.75);
        // t interval of (1,2,3,4) at 5%: 2.5 ± 3.18244630528371·√(5/12).
        let (low, high) = mean_interval(&values, 0.05);
        assert!(
            (high - 2.5 - 3.182_446_305_283_71 * (5.0_f64 / 12.0).sqrt()).abs() < 1e-9
                && (low + high - 5.0).abs() < 1e-12
        );
    }

    #[test]
    fn too_few_values_say_nothing() {
        for few in [&[][..], &[1.0]] {
            assert_eq!(mean_interval(few, 0.05), ANYTHING);
        }
        assert!(mean_interval(&[1.0, f64::NAN], 0.05).0.is_nan());
    }
}
