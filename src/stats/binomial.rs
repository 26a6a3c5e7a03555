//! Exact binomial tests: "at most a share p of the networks exceed the bound".

use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::factorial::ln_binomial;

/// P(Bin(trials, probability) ≥ observed), summed from the small end so that far tails keep their relative accuracy
/// (about 10⁻¹² relative, limited by the logarithms of the binomial coefficients; tested down to 10⁻³⁰⁰).
///
/// # Panics
/// If the probability lies outside [0, 1].
#[must_use]
pub fn binomial_upper_tail(trials: u64, probability: f64, observed: u64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "a probability");
    if observed == 0 || probability == 1.0 {
        return f64::from(observed <= trials);
    }
    if observed > trials || probability == 0.0 {
        return 0.0;
    }
    let (ln_p, ln_q) = (probability.ln(), (-probability).ln_1p());
    let term = |k: u64| (ln_binomial(trials, k) + k as f64 * ln_p + (trials - k) as f64 * ln_q).exp();
    (observed..=trials).rev().map(term).sum::<f64>().min(1.0)
}

/// The smallest count whose upper tail is at most `alpha`: reject "rate ≤ probability" at that many exceedances or more.
/// `None` if even all trials exceeding would not be significant. The time is that of a sum over the trials.
///
/// # Panics
/// If the probability lies outside [0, 1].
#[must_use]
pub fn rejection_count(trials: u64, probability: f64, alpha: f64) -> Option<u64> {
    let significant = |count| binomial_upper_tail(trials, probability, count) <= alpha;
    if !significant(trials) {
        return None;
    }
    // The tail falls with the count: halve the range that holds the first count below α.
    let (mut low, mut high) = (0, trials);
    while low < high {
        let middle = low + (high - low) / 2;
        if significant(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// The probability of reaching `count` exceedances if the true rate is `true_rate`.
#[must_use]
pub fn power(trials: u64, count: u64, true_rate: f64) -> f64 {
    binomial_upper_tail(trials, true_rate, count)
}

/// Exact two-sided interval of Clopper and Pearson (1934) for a rate; misses it with probability at most `error`.
///
/// # Panics
/// If there are no trials, more successes than trials, or `error` lies outside (0, 1).
#[must_use]
pub fn clopper_pearson(trials: u64, successes: u64, error: f64) -> (f64, f64) {
    assert!(trials > 0 && successes <= trials && error > 0.0 && error < 1.0, "a count of trials and an error");
    let (n, k) = (trials as f64, successes as f64);
    let beta = |a, b| Beta::new(a, b).expect("positive shapes");
    let low = if successes == 0 { 0.0 } else { beta(k, n - k + 1.0).inverse_cdf(error / 2.0) };
    let high = if successes == trials { 1.0 } else { beta(k + 1.0, n - k).inverse_cdf(1.0 - error / 2.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_statistics_contract() {
        // R = 400, δ = 0.01: reject at 22 or more; size 2.3·10⁻¹⁰; power 0.9996 against a true rate of 10%.
        assert_eq!(rejection_count(400, 0.01, 1e-9), Some(22));
        assert_eq!((rejection_count(3, 0.5, 1e-9), rejection_count(3, 0.5, 1.0)), (None, Some(0)));
        assert_eq!((rejection_count(0, 0.5, 0.1), rejection_count(0, 0.5, 1.0)), (None, Some(0)));
        assert_eq!((rejection_count(u64::MAX, 0.0, 0.1), rejection_count(u64::MAX, 1.0, 0.1)), (Some(1), None));
        assert_eq!((rejection_count(5, 0.1, 1.1e-5), rejection_count(5, 0.1, 9e-6)), (Some(5), None));
        assert!((binomial_upper_tail(400, 0.01, 22) - 2.3e-10).abs() < 0.05e-10);
        assert!((power(400, 22, 0.1) - 0.9996).abs() < 5e-5);
    }

    #[test]
    fn tails_match_direct_enumeration_and_far_values() {
        for (n, p) in [(5_u64, 0.3_f64), (12, 0.01), (20, 0.9)] {
            let exact = |k: u64| {
                (k..=n).fold(0.0, |sum, j| {
                    let choose = (0..j).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
                    sum + choose * p.powi(j as i32) * (1.0 - p).powi((n - j) as i32)
                })
            };
            for k in 0..=n {
                assert!((binomial_upper_tail(n, p, k) / exact(k) - 1.0).abs() < 1e-12, "{n} {p} {k}");
            }
        }
        // 10⁻³ to the hundredth power.
        assert!((binomial_upper_tail(100, 1e-3, 100) / 1e-300 - 1.0).abs() < 1e-11);
    }

    #[test]
    fn intervals_cover_at_least_as_often_as_stated() {
        let (n, error) = (30, 0.05);
        for p in [0.02, 0.2, 0.5, 0.93] {
            let missed: f64 = (0..=n)
                .filter(|&k| {
                    let (low, high) = clopper_pearson(n, k, error);
                    p < low || p > high
                })
                .map(|k| binomial_upper_tail(n, p, k) - binomial_upper_tail(n, p, k + 1))
                .sum();
            assert!(missed <= error, "p={p}: {missed}");
        }
    }
}
