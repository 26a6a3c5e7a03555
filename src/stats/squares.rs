//! Means of squares of normal variables: intervals by the tails of χ².
//!
//! Student's t misses the mean of squares of few normal variables far more often than a small level says.

use super::moments::mean;

/// Independent values V ≥ 0 with E e^{tV} ≤ E e^{tθχ²_ν/ν}, θ = EV, for t of either sign: squared norms of normal variables of which no
/// component has more than the share 1/ν of θ; and by convexity means of such, however they depend on each other.
#[derive(Debug, Clone)]
pub struct Squares {
    /// ν.
    pub freedom: f64,
    /// The values.
    pub values: Vec<f64>,
}

/// How far Σ c (V − θ) may lie beyond 0, but with probability 1/e^`level`: the least of (level + Σ [−(ν/2) ln(1 − 2t cθ/ν) − t cθ])/t over
/// t > 0. `terms`: cθ, ν and how many there are of them; the bound holds at every t that is tried.
fn beyond(terms: &[(f64, f64, f64)], level: f64) -> f64 {
    let pole = terms.iter().map(|(term, freedom, _)| 2.0 * term / freedom).fold(0.0, f64::max).recip();
    let spread: f64 = terms.iter().map(|(term, freedom, count)| count * 2.0 * term * term / freedom).sum();
    // The optimum of a normal law with this variance; that of squares lies around it.
    let centre = (2.0 * level / spread).sqrt();
    let bound = |t: f64| {
        let growth = |(term, freedom, count): &(f64, f64, f64)| {
            count * (-0.5 * freedom * (-2.0 * t * term / freedom).ln_1p() - t * term)
        };
        (level + terms.iter().map(growth).sum::<f64>()) / t
    };
    // Where no pole ends it, the optimum lies far out for few squares: at t ≈ e^(2·level/Σν).
    let tried = (-400..4000).map(|step| centre * (0.02 * f64::from(step)).exp()).take_while(|t| *t < pole);
    tried.map(bound).fold(f64::INFINITY, f64::min)
}

/// The mean of values of equal expectation, and an interval for this. `error`: the probability of missing it. Of very few values the upper end
/// may be infinite. `None` without values, for ν that are not positive, or an error probability outside (0, 1).
#[must_use]
pub fn mean_square_interval(groups: &[Squares], error: f64) -> Option<(f64, (f64, f64))> {
    let all: Vec<f64> = groups.iter().flat_map(|group| group.values.iter().copied()).collect();
    if all.is_empty() || groups.iter().any(|group| group.freedom.is_nan() || group.freedom <= 0.0) || !in_unit(error) {
        return None;
    }
    let mean = mean(&all);
    let side = |sign: f64| {
        let count = all.len() as f64;
        let term = |group: &Squares| (sign / count, group.freedom, group.values.len() as f64);
        beyond(&groups.iter().map(term).collect::<Vec<_>>(), (2.0 / error).ln())
    };
    let below = 1.0 - side(-1.0);
    Some((mean, (mean / (1.0 + side(1.0)), if below > 0.0 { mean / below } else { f64::INFINITY })))
}

fn in_unit(error: f64) -> bool {
    error > 0.0 && error < 1.0
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    use super::*;

    #[test]
    fn the_interval_of_mean_squares_covers_at_its_error_probability() {
        // Means of n squares are χ²_{nν}/(nν): the probability of missing 1, by its distribution function.
        for (count, freedom) in [(15, 1.0), (60, 1.0), (60, 20.0), (2, 3.0), (30, 784.0), (1, 1.0), (4, 1.0)] {
            for error in [0.05, 1e-3, 5e-5, 1e-8] {
                let group = Squares { freedom, values: vec![1.0; count] };
                let (mean, (low, high)) = mean_square_interval(&[group], error).unwrap();
                assert_eq!(mean, 1.0);
                let total = freedom * count as f64;
                let law = ChiSquared::new(total).unwrap();
                // The interval of a mean s holds 1 where 1/high ≤ s ≤ 1/low.
                let missed = law.cdf(total / high) + law.sf(total / low);
                // Chernoff's bound loses most far out.
                let least = if error < 1e-6 { error / 1000.0 } else { error / 20.0 };
                assert!(missed < error && missed > least, "{count} {freedom} {error}: {missed}");
            }
        }
        let both = [(1.0, 2.0), (100.0, 4.0)].map(|(freedom, value)| Squares { freedom, values: vec![value] });
        let (mean, (low, high)) = mean_square_interval(&both, 0.01).unwrap();
        assert!(mean == 3.0 && 0.0 < low && low < 3.0 && 3.0 < high);
        assert!(mean_square_interval(&[], 0.01).is_none());
        // An error probability that no finite end has is no interval below 0.
        let (_, (low, high)) = mean_square_interval(&[Squares { freedom: 0.01, values: vec![1.0] }], 1e-8).unwrap();
        assert!(low > 0.0 && high == f64::INFINITY, "{low} {high}");
        for (freedom, error) in [(0.0, 0.01), (f64::NAN, 0.01), (1.0, 0.0), (1.0, 1.0), (1.0, f64::NAN)] {
            assert!(
                mean_square_interval(&[Squares { freedom, values: vec![1.0] }], error).is_none(),
                "{freedom} {error}"
            );
        }
    }
}
