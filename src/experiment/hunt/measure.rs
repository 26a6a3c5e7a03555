//! What was observed against a bound, with its confidence statement.

use crate::stats::{clopper_pearson, mean, quantile, rejection_count, variance};

/// What one test point shows. `rounding` bounds the error of the numbers, and counts in favour of the bound.
#[derive(Debug, Clone)]
pub enum Observed {
    /// A number that must not exceed the bound in any network, or that is known exactly.
    Certain {
        /// The number.
        value: f64,
        /// How far rounding may have raised it, or lowered the bound.
        rounding: f64,
    },
    /// Independent values in [low, high]; the absolute value of their expectation must not exceed the bound.
    Expectation {
        /// The values.
        values: Vec<f64>,
        /// Every value lies in this interval, by proof.
        range: (f64, f64),
        /// How far rounding may have raised their mean.
        rounding: f64,
    },
    /// Events of independent trials, whose probability must not exceed the bound.
    Event {
        /// How many trials there were.
        trials: u64,
        /// In how many the event occurred.
        count: u64,
    },
    /// One value per independent network; each may exceed the bound with the given probability.
    Tail {
        /// The values.
        values: Vec<f64>,
        /// δ.
        probability: f64,
        /// How far rounding may have raised a value.
        rounding: f64,
    },
}

/// A bound beside what was observed.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// The observed quantity: the number, the absolute value of the mean, the frequency, or the (1−δ) quantile.
    pub observed: f64,
    /// Its lower confidence limit, after rounding: what it exceeds unless an event of the stated probability occurred.
    pub lower: f64,
    /// The bound.
    pub bound: f64,
}

impl Measurement {
    /// observed/bound: how tight the bound is here.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        ratio(self.observed, self.bound)
    }

    /// Lower confidence limit of the ratio. The bound is violated if it exceeds 1.
    #[must_use]
    pub fn lower_ratio(&self) -> f64 {
        ratio(self.lower, self.bound)
    }

    /// Whether the bound is refuted, up to the error probability of the lower limit. A NaN on either side refutes (R6).
    #[must_use]
    pub fn violates(&self) -> bool {
        let holds = self.lower <= self.bound;
        !holds
    }
}

/// A ratio of numbers ≥ 0; nothing observed is 0 of any bound. More than a bound of 0 or less, and NaN on either side, are
/// the largest number: such a case must not be passed by.
fn ratio(observed: f64, bound: f64) -> f64 {
    let holds = observed <= bound;
    if holds && observed <= 0.0 {
        0.0
    } else if !holds && bound <= 0.0 {
        f64::MAX
    } else {
        // `min` takes MAX for a NaN.
        (observed / bound).min(f64::MAX)
    }
}

/// `value` less its rounding; a rounding of ∞, of which nothing is known, leaves nothing beyond doubt but NaN.
fn less(value: f64, rounding: f64) -> f64 {
    if rounding == f64::INFINITY && !value.is_nan() { f64::NEG_INFINITY } else { value - rounding }
}

impl Observed {
    /// Compares with a bound. `error` (below 1/2) is the probability with which the lower limit may lie above what it limits:
    /// Maurer and Pontil's empirical Bernstein bound (2009, Thm 4) for expectations, Clopper and Pearson's limit for
    /// probabilities, the order statistic of the exact binomial tail for quantiles. A certain number has no error. A single
    /// value of an expectation leaves nothing beyond doubt.
    ///
    /// # Panics
    /// If there are no values or trials.
    #[must_use]
    pub fn measure(&self, bound: f64, error: f64) -> Measurement {
        match self {
            Observed::Certain { value, rounding } => {
                Measurement { observed: *value, lower: less(*value, *rounding), bound }
            }
            Observed::Expectation { values, range, rounding } => {
                assert!(!values.is_empty(), "a sample");
                let (n, t) = (values.len() as f64, (4.0 / error).ln());
                let deviation = match values.len() {
                    1 => f64::INFINITY,
                    _ => (2.0 * variance(values) * t / n).sqrt() + 7.0 * (range.1 - range.0) * t / (3.0 * (n - 1.0)),
                };
                let observed = mean(values).abs();
                Measurement { observed, lower: less(less(observed, deviation), *rounding), bound }
            }
            Observed::Event { trials, count } => {
                let lower = clopper_pearson(*trials, *count, 2.0 * error.min(0.49)).0;
                Measurement { observed: *count as f64 / *trials as f64, lower, bound }
            }
            Observed::Tail { values, .. } if values.iter().any(|value| value.is_nan()) => {
                Measurement { observed: f64::NAN, lower: f64::NAN, bound }
            }
            Observed::Tail { values, probability, rounding } => {
                // As many values above the bound are an event of at most that probability, if each exceeds it with
                // probability at most δ: the bound is refuted if the value of that rank exceeds it.
                let rank = rejection_count(values.len() as u64, *probability, error);
                let mut sorted = values.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let ranked = rank.and_then(|rank| sorted.get((rank as usize).saturating_sub(1)));
                let lower = ranked.map_or(f64::NEG_INFINITY, |value| less(*value, *rounding));
                Measurement { observed: quantile(values, 1.0 - probability), lower, bound }
            }
        }
    }
}

/// ln of the inverse of a hunt's error probabilities, roughly: what lower limits are made for.
const LOG_INVERSE_ERROR: f64 = 23.0;

impl Observed {
    /// What the search maximises: the ratio that a sample `growth` times as large may be expected to show beyond doubt.
    /// Where noise is as large as the bound that is little, so that the search does not end among lucky cases.
    pub(super) fn promise(&self, bound: f64, growth: f64) -> f64 {
        let beyond_doubt = |n: f64, mean: f64, variance: f64, range: f64, rounding: f64| {
            let later = n * growth;
            let luck = 2.0 * (variance / n).sqrt();
            let doubt =
                (2.0 * variance * LOG_INVERSE_ERROR / later).sqrt() + 7.0 * range * LOG_INVERSE_ERROR / (3.0 * later);
            ratio(less(mean - luck - doubt, rounding), bound)
        };
        match self {
            Observed::Certain { value, rounding } => ratio(less(*value, *rounding), bound),
            Observed::Expectation { values, range, rounding } => {
                let n = values.len() as f64;
                let variance = if values.len() == 1 { f64::INFINITY } else { variance(values) };
                beyond_doubt(n, mean(values).abs(), variance, range.1 - range.0, *rounding)
            }
            Observed::Event { trials, count } => {
                let (n, share) = (*trials as f64, *count as f64 / *trials as f64);
                beyond_doubt(n, share, share * (1.0 - share), 1.0, 0.0)
            }
            Observed::Tail { values, .. } if values.iter().any(|value| value.is_nan()) => f64::MAX,
            Observed::Tail { values, probability, rounding } => {
                ratio(less(quantile(values, 1.0 - probability), *rounding), bound)
            }
        }
    }
}

/// The exact (1−δ) quantile of a finite law as a certain number: the largest value v with P(value ≥ v) > δ. A bound that
/// holds with probability ≥ 1−δ lies above it. `law` lists values with their probabilities.
pub(super) fn exact_quantile(mut law: Vec<(f64, f64)>, probability: f64, rounding: f64) -> Observed {
    law.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut tail = 0.0;
    // The sum of the probabilities errs by a few roundings each; a tail that is δ up to that does not count as above.
    let threshold = probability * (1.0 + 1e-9);
    let reached = law.iter().find(|(_, share)| {
        tail += share;
        tail > threshold
    });
    Observed::Certain { value: reached.map_or(0.0, |(value, _)| *value), rounding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::stats::binomial_upper_tail;
    use rand::RngExt;

    #[test]
    fn certain_numbers_violate_beyond_rounding_only() {
        let observed = Observed::Certain { value: 1.0 + 1e-15, rounding: 2e-15 };
        assert!(!observed.measure(1.0, 0.5).violates());
        assert!(observed.measure(1.0 - 4e-15, 0.5).violates());
        assert_eq!(observed.measure(0.0, 0.5).ratio(), f64::MAX);
        assert_eq!(Observed::Certain { value: 0.0, rounding: 0.0 }.measure(0.0, 0.5).ratio(), 0.0);
    }

    #[test]
    fn what_is_not_a_number_refutes_and_unknown_rounding_does_not() {
        let (nan, unknown) = (f64::NAN, f64::INFINITY);
        let certain = |value, rounding| Observed::Certain { value, rounding };
        // A NaN of either sign: x86 makes negative ones, which a total order puts first.
        let mean = |value, rounding| Observed::Expectation { values: vec![0.5, value], range: (0.0, 1.0), rounding };
        let tail = |value, rounding| {
            let values = [[0.5; 99].as_slice(), &[value]].concat();
            Observed::Tail { values, probability: 0.1, rounding }
        };
        for observe in [&certain as &dyn Fn(f64, f64) -> Observed, &mean, &tail] {
            for bad in [observe(nan, 0.0), observe(-nan, 0.0), observe(nan, unknown)] {
                let measured = bad.measure(1.0, 0.1);
                assert!(measured.violates() && measured.lower_ratio() == f64::MAX, "{bad:?}: {measured:?}");
                assert_eq!(bad.promise(1.0, 1.0), f64::MAX, "{bad:?}");
            }
            assert!(observe(0.5, 0.0).measure(nan, 0.1).violates());
            let fine = observe(0.5, unknown).measure(0.1, 0.1);
            assert!(!fine.violates() && fine.lower_ratio() == 0.0, "{fine:?}");
        }
        let one = |value| Observed::Expectation { values: vec![value], range: (0.5, 0.5), rounding: 0.0 };
        assert!(!one(0.5).measure(0.1, 0.1).violates() && one(0.5).promise(0.1, 10.0) == 0.0);
        assert!(one(nan).measure(0.1, 0.1).violates() && one(nan).promise(0.1, 10.0) == f64::MAX);
    }

    #[test]
    fn events_have_the_exact_lower_limit_of_their_probability() {
        let measured = Observed::Event { trials: 10, count: 10 }.measure(0.7, 0.05);
        // p¹⁰ = 0.05 at the limit.
        assert!(measured.observed == 1.0 && (measured.lower - 0.05_f64.powf(0.1)).abs() < 1e-9, "{measured:?}");
        assert!(measured.violates());
        assert_eq!(Observed::Event { trials: 10, count: 0 }.measure(0.0, 0.05).ratio(), 0.0);
        let (trials, error) = (40, 0.02);
        for p in [0.01, 0.3, 0.9] {
            let missed = missed(trials, p, |count| Observed::Event { trials, count }.measure(p, error).violates());
            assert!(missed <= error, "{p}: {missed}");
        }
    }

    /// The probability with which a count of successes is one that `counts`.
    fn missed(trials: u64, p: f64, counts: impl Fn(u64) -> bool) -> f64 {
        let tail = |k| binomial_upper_tail(trials, p, k);
        (0..=trials).filter(|k| counts(*k)).map(|k| tail(k) - tail(k + 1)).sum()
    }

    /// Values of 1 that are rarely 0: a sample that has missed the zeros has no variance, and only the range tells that its
    /// mean may be too large.
    #[test]
    fn the_lower_limit_of_an_expectation_covers_rare_events_that_were_not_seen() {
        let (n, p, error) = (2000, 1e-4, 0.01);
        let violates = |zeros: u64| {
            let values = (0..n).map(|index| if index < zeros { 0.0 } else { 1.0 }).collect();
            Observed::Expectation { values, range: (0.0, 1.0), rounding: 0.0 }.measure(1.0 - p, error).violates()
        };
        let missed = missed(n, p, violates);
        assert!(missed <= error, "{missed}");
    }

    #[test]
    fn a_quantile_is_violated_exactly_if_the_binomial_tail_says_so() {
        let values: Vec<f64> = (0..400).map(f64::from).collect();
        let observed = Observed::Tail { values, probability: 0.01, rounding: 0.0 };
        // 22 of 400 is the rejection count at 10⁻⁹: values 378.. are 22 in number.
        assert!(observed.measure(377.5, 1e-9).violates() && !observed.measure(378.5, 1e-9).violates());
        assert!(binomial_upper_tail(400, 0.01, 22) <= 1e-9);
    }

    #[test]
    fn lower_limits_of_expectations_lie_below_the_expectation_and_come_close() {
        // Rare values are the dangerous case: mean 1/100.
        let (mut missed, mut last) = (0, 0.0);
        for index in 0..200 {
            let mut rng = Streams::new(1, "hunt/measure").stream(index);
            let values = (0..2000).map(|_| if rng.random_bool(0.01) { 1.0 } else { 0.0 }).collect();
            let observed = Observed::Expectation { values, range: (0.0, 1.0), rounding: 0.0 };
            last = observed.measure(0.01, 1e-6).lower;
            missed += u32::from(last > 0.01);
        }
        assert_eq!(missed, 0, "each has probability 10⁻⁶");
        let many = Observed::Expectation { values: vec![0.01; 100_000], range: (0.0, 1.0), rounding: 0.0 };
        assert!(last < 0.01 && many.measure(0.01, 1e-6).lower > 0.0095);
    }

    #[test]
    fn the_exact_quantile_is_the_largest_value_with_more_than_the_tail() {
        let law = vec![(1.0, 0.5), (2.0, 0.3), (3.0, 0.2)];
        for (probability, value) in [(0.1, 3.0), (0.2, 2.0), (0.4, 2.0), (0.5, 1.0)] {
            let Observed::Certain { value: found, .. } = exact_quantile(law.clone(), probability, 0.0) else {
                unreachable!()
            };
            assert_eq!(found, value, "{probability}");
        }
    }
}
