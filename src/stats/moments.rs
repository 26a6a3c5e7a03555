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

/// Mean of `a` less mean of `b`, with Welch's two-sided interval (unequal variances). `error` is the probability of
/// missing the difference of the expectations, for values near enough to normal. Fewer than two values of one kind, and
/// variances that overflow, say nothing: (−∞, ∞). NaN for values that are not finite.
///
/// # Panics
/// If `error` lies outside (0, 1].
#[must_use]
pub fn difference_interval(a: &[f64], b: &[f64], error: f64) -> (f64, (f64, f64)) {
    let (share_a, share_b) = (variance(a) / a.len() as f64, variance(b) / b.len() as f64);
    let (difference, total) = (mean(a) - mean(b), share_a + share_b);
    if a.len() < 2 || b.len() < 2 || total == f64::INFINITY {
        return (difference, ANYTHING);
    }
    if total == 0.0 || total.is_nan() {
        return (difference, (difference + total, difference + total));
    }
    // Powers of two that keep squares of tiny and huge variances in range, and any others as they are.
    let scale = 2.0_f64.powi(if total < 1e-140 { 800 } else { -800 * i32::from(total > 1e140) });
    let (scaled_a, scaled_b) = (share_a * scale, share_b * scale);
    let spread = scaled_a.powi(2) / (a.len() as f64 - 1.0) + scaled_b.powi(2) / (b.len() as f64 - 1.0);
    let freedom = (scaled_a + scaled_b).powi(2) / spread;
    let half = student_quantile(freedom, error / 2.0) * total.sqrt();
    (difference, (difference - half, difference + half))
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
        // Equal variances and sizes: Welch's freedom is 2(n − 1) = 6, quantile 2.446911851144969 at 2.5 %.
        let shifted: Vec<f64> = values.iter().map(|v| v + 1.0).collect();
        let (difference, interval) = difference_interval(&shifted, &values, 0.05);
        let half = 2.446_911_851_144_969 * (2.0_f64 * 5.0 / 12.0).sqrt();
        assert!(difference == 1.0 && (interval.1 - 1.0 - half).abs() < 1e-7, "{interval:?}");
        let (low, high) = mean_interval(&values, 0.05);
        assert!(
            (high - 2.5 - 3.182_446_305_283_71 * (5.0_f64 / 12.0).sqrt()).abs() < 1e-9
                && (low + high - 5.0).abs() < 1e-12
        );
    }

    #[test]
    fn too_few_values_say_nothing_and_sizes_do_not_matter() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for few in [&[][..], &[1.0]] {
            assert_eq!(mean_interval(few, 0.05), ANYTHING);
            assert_eq!(difference_interval(few, &values, 0.05).1, ANYTHING);
            assert_eq!(difference_interval(&values, few, 0.05).1, ANYTHING);
        }
        let scaled = |scale: f64| values.map(|v| v * scale);
        let known = difference_interval(&scaled(2.0), &values, 0.05).1.1;
        for scale in [1e-150, 1e-90, 1e-30, 1e30, 1e90, 1e150] {
            let found = difference_interval(&scaled(2.0 * scale), &scaled(scale), 0.05).1.1;
            assert!((found / scale / known - 1.0).abs() < 1e-9, "{scale:e}: {found:e}");
        }
        assert_eq!(difference_interval(&scaled(1e200), &values, 0.05).1, ANYTHING);
        // Neither a panic nor an interval that holds something.
        let unknown = [1.0, f64::NAN];
        let (low, high) = difference_interval(&unknown, &values, 0.05).1;
        assert!(low.is_nan() && high.is_nan() && mean_interval(&unknown, 0.05).0.is_nan());
    }
}
