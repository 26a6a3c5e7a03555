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
    let tried = (-400..400).map(|step| centre * (0.02 * f64::from(step)).exp()).filter(|t| *t < pole);
    tried.map(bound).fold(f64::INFINITY, f64::min)
}

/// The mean of values of equal expectation, and an interval for this. `error`: the probability of missing it. `None` without values.
#[must_use]
pub fn mean_square_interval(groups: &[Squares], error: f64) -> Option<(f64, (f64, f64))> {
    let all: Vec<f64> = groups.iter().flat_map(|group| group.values.iter().copied()).collect();
    if all.is_empty() {
        return None;
    }
    let mean = mean(&all);
    let side = |sign: f64| {
        let count = all.len() as f64;
        let term = |group: &Squares| (sign / count, group.freedom, group.values.len() as f64);
        beyond(&groups.iter().map(term).collect::<Vec<_>>(), (2.0 / error).ln())
    };
    Some((mean, (mean / (1.0 + side(1.0)), mean / (1.0 - side(-1.0)))))
}

/// The constant A of values with expectation A + B x^`next`, by weighted least squares, and an interval for it. `error`: the probability of
/// missing it; θ is taken for the larger of a group's mean and the fit. `None` for fewer than two x, a group without values, or numbers out
/// of range.
#[must_use]
pub fn fit_constant_of_squares(groups: &[(f64, Squares)], next: f64, error: f64) -> Option<(f64, (f64, f64))> {
    if groups.len() < 2 || groups.iter().any(|(_, group)| group.values.is_empty()) {
        return None;
    }
    // Weighed by their numbers: all have about the same relative variance.
    let rows: Vec<[f64; 3]> =
        groups.iter().map(|(x, group)| [x.powf(next), mean(&group.values), group.values.len() as f64]).collect();
    let sum = |f: &dyn Fn(&[f64; 3]) -> f64| rows.iter().map(|row| row[2] * f(row)).sum::<f64>();
    let (count, q, qq) = (sum(&|_| 1.0), sum(&|r| r[0]), sum(&|r| r[0] * r[0]));
    let determinant = count * qq - q * q;
    let (v, qv) = (sum(&|r| r[1]), sum(&|r| r[0] * r[1]));
    let (constant, slope) = ((qq * v - q * qv) / determinant, (count * qv - q * v) / determinant);
    let side = |sign: f64| {
        let term = |(row, (_, group)): (&[f64; 3], &(f64, Squares))| {
            let coefficient = sign * (qq - q * row[0]) / determinant;
            (coefficient * row[1].max(constant + slope * row[0]), group.freedom, row[2])
        };
        beyond(&rows.iter().zip(groups).map(term).collect::<Vec<_>>(), (2.0 / error).ln())
    };
    let interval = (constant - side(1.0), constant + side(-1.0));
    [constant, interval.0, interval.1].iter().all(|value| value.is_finite()).then_some((constant, interval))
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    use super::*;

    #[test]
    fn the_interval_of_mean_squares_covers_at_its_error_probability() {
        // Means of n squares are χ²_{nν}/(nν): the probability of missing 1, by its distribution function.
        for (count, freedom) in [(15, 1.0), (60, 1.0), (60, 20.0), (2, 3.0), (30, 784.0)] {
            for error in [0.05, 1e-3, 5e-5] {
                let group = Squares { freedom, values: vec![1.0; count] };
                let (mean, (low, high)) = mean_square_interval(&[group], error).unwrap();
                assert_eq!(mean, 1.0);
                let total = freedom * count as f64;
                let law = ChiSquared::new(total).unwrap();
                // The interval of a mean s holds 1 where 1/high ≤ s ≤ 1/low.
                let missed = law.cdf(total / high) + law.sf(total / low);
                assert!(missed < error && missed > error / 20.0, "{count} {freedom} {error}: {missed}");
            }
        }
        let both = [(1.0, 2.0), (100.0, 4.0)].map(|(freedom, value)| Squares { freedom, values: vec![value] });
        let (mean, (low, high)) = mean_square_interval(&both, 0.01).unwrap();
        assert!(mean == 3.0 && 0.0 < low && low < 3.0 && 3.0 < high);
        assert!(mean_square_interval(&[], 0.01).is_none());
    }

    #[test]
    fn the_constant_of_squares_is_covered_and_a_wrong_one_is_not() {
        let mut stream = crate::random::Streams::new(5, "stats/constant of squares").stream(0);
        let (trials, error) = (400, 0.05);
        let (mut missed, mut kept) = (0, 0);
        for _ in 0..trials {
            // Squares of single normal variables, the law with the widest tails that is covered; A = 1, B = 2.
            let groups: Vec<(f64, Squares)> = [(64.0, 64), (256.0, 32), (1024.0, 16), (4096.0, 8)]
                .into_iter()
                .map(|(width, count): (f64, usize)| {
                    let square = |normal: f64| (1.0 + 2.0 * width.powf(-0.5)) * normal * normal;
                    let values = (0..count).map(|_| square(StandardNormal.sample(&mut stream))).collect();
                    (width, Squares { freedom: 1.0, values })
                })
                .collect();
            let (constant, (low, high)) = fit_constant_of_squares(&groups, -0.5, error).unwrap();
            assert!(low < constant && constant < high);
            missed += i32::from(!(low..=high).contains(&1.0));
            kept += i32::from((low..=high).contains(&3.0));
        }
        println!("missed {missed}, a constant of 3 kept {kept} times, of {trials}");
        assert!(f64::from(missed) <= error * f64::from(trials), "{missed}");
        assert!(f64::from(kept) < 0.2 * f64::from(trials), "{kept}");
    }
}
