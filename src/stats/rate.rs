//! Rates: the slope of log deviation against log width.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{mean, variance};

/// The upper quantile of Student's t: exceeded with probability `tail`.
///
/// # Panics
/// If `degrees_of_freedom ≤ 0` or `tail` lies outside (0, 1/2].
#[must_use]
pub fn student_quantile(degrees_of_freedom: f64, tail: f64) -> f64 {
    assert!(tail > 0.0 && tail <= 0.5, "an upper tail");
    // The lower tail keeps its digits, 1 − tail would not.
    -student(degrees_of_freedom).inverse_cdf(tail)
}

fn student(degrees_of_freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).expect("positive degrees of freedom")
}

/// A straight line through (log x, log y).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RateFit {
    /// The fitted exponent.
    pub slope: f64,
    /// log y at log x = 0.
    pub intercept: f64,
    /// Standard error of the slope.
    pub standard_error: f64,
    /// Number of points less two.
    pub degrees_of_freedom: f64,
}

impl RateFit {
    /// Interval for the slope that misses it with probability `error`, if the logarithms scatter normally and equally
    /// around a line.
    #[must_use]
    pub fn interval(&self, error: f64) -> (f64, f64) {
        let half = student_quantile(self.degrees_of_freedom, error / 2.0) * self.standard_error;
        (self.slope - half, self.slope + half)
    }
}

/// Least squares of log y on log x over all points; points with y = 0 cannot be used and make the fit `None`, as do
/// fewer than three points or a single x.
#[must_use]
pub fn fit_rate(points: &[(f64, f64)]) -> Option<RateFit> {
    let usable = |v: f64| v > 0.0 && v.is_finite();
    if points.len() < 3 || !points.iter().all(|(x, y)| usable(*x) && usable(*y)) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let centre = logs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n));
    let spread: f64 = logs.iter().map(|p| (p.0 - centre.0).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let slope = logs.iter().map(|p| (p.0 - centre.0) * (p.1 - centre.1)).sum::<f64>() / spread;
    let residual: f64 = logs.iter().map(|p| (p.1 - centre.1 - slope * (p.0 - centre.0)).powi(2)).sum();
    Some(RateFit {
        slope,
        intercept: centre.1 - slope * centre.0,
        standard_error: (residual / (n - 2.0) / spread).sqrt(),
        degrees_of_freedom: n - 2.0,
    })
}

/// A power of x fitted to expectations, E y = c x^`slope`, of values y ≥ 0 that scatter in proportion to them: the maximum of the likelihood of
/// Gamma laws of one shape, Σ (y/μ − 1) = Σ (y/μ − 1) log x = 0, with Pearson's estimate of the scatter. Of squares of few normal variables,
/// whose logarithms scatter much more than they do, it knows the slope better than [`fit_rate`] does. `None` for fewer than three values, a single
/// x, an x ≤ 0, a value below 0 or not finite, or an x with no value above 0.
#[must_use]
pub fn fit_power_of_mean(groups: &[(f64, Vec<f64>)]) -> Option<RateFit> {
    let usable = |(x, values): &(f64, Vec<f64>)| {
        x.is_finite()
            && *x > 0.0
            && values.iter().all(|y| y.is_finite() && *y >= 0.0)
            && values.iter().sum::<f64>() > 0.0
    };
    let count = groups.iter().map(|(_, values)| values.len() as f64).sum::<f64>();
    if count < 3.0 || !groups.iter().all(usable) {
        return None;
    }
    // Log x about its mean, the number of values, and their mean.
    let centre = groups.iter().map(|(x, values)| x.ln() * values.len() as f64).sum::<f64>() / count;
    let rows: Vec<[f64; 3]> =
        groups.iter().map(|(x, values)| [x.ln() - centre, values.len() as f64, mean(values)]).collect();
    let sum = |f: &dyn Fn(&[f64; 3]) -> f64| rows.iter().map(|row| row[1] * f(row)).sum::<f64>();
    let spread = sum(&|row| row[0] * row[0]);
    if spread <= 0.0 || spread.is_nan() {
        return None;
    }
    let (mut level, mut slope) = (sum(&|row| row[2].ln()) / count, sum(&|row| row[0] * row[2].ln()) / spread);
    // Minus the logarithm of the likelihood is convex in level and slope.
    let cost = |level: f64, slope: f64| sum(&|row| row[2] * (-level - slope * row[0]).exp() + level + slope * row[0]);
    // Newton's method, which near the optimum ends in rounding. Far from it steps are halved until the cost falls.
    for _ in 0..100 {
        let ratio = |row: &[f64; 3]| row[2] * (-level - slope * row[0]).exp();
        let (up, turn) = (sum(&|row| ratio(row) - 1.0), sum(&|row| row[0] * (ratio(row) - 1.0)));
        let [h, hx, hxx] = [0, 1, 2].map(|power| sum(&|row| row[0].powi(power) * ratio(row)));
        let determinant = h * hxx - hx * hx;
        let (mut up, mut turn) = ((hxx * up - hx * turn) / determinant, (h * turn - hx * up) / determinant);
        let before = cost(level, slope);
        while up.abs() + turn.abs() > 1e-3 && cost(level + up, slope + turn) > before {
            (up, turn) = (0.5 * up, 0.5 * turn);
        }
        (level, slope) = (level + up, slope + turn);
        if up.abs() + turn.abs() < 1e-13 {
            break;
        }
    }
    let residual = |(row, (_, values)): (&[f64; 3], &(f64, Vec<f64>))| {
        let expected = (level + slope * row[0]).exp();
        values.iter().map(|y| (y / expected - 1.0).powi(2)).sum::<f64>()
    };
    let scatter = rows.iter().zip(groups).map(residual).sum::<f64>() / (count - 2.0);
    (level.is_finite() && slope.is_finite() && scatter.is_finite()).then(|| RateFit {
        slope,
        intercept: level - slope * centre,
        standard_error: (scatter / spread).sqrt(),
        degrees_of_freedom: count - 2.0,
    })
}

/// Two known powers fitted to means: E y = A x^p + B x^q, with the leading power p and the next one q from theory.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TwoPowers {
    /// A.
    pub leading: f64,
    /// Standard error of A.
    pub leading_error: f64,
    /// B; may have either sign.
    pub next: f64,
    /// Σ (mean − fit)²/variance over the groups: about chi-squared with (groups − 2) degrees of freedom for large groups.
    pub lack_of_fit: f64,
    /// Probability of a residual as large as the worst one if the powers are right: Student's t of each group, times the
    /// number of groups (Bonferroni). Cautious for small groups, whose variances are not well known.
    pub p_value: f64,
    /// Probability of a leading term as many standard errors above zero if there were none, by Student's t with the degrees
    /// of freedom of Welch and Satterthwaite for A as a combination of the groups' means.
    pub leading_p_value: f64,
}

impl TwoPowers {
    /// Whether the data are consistent with the two powers, and the leading one is really there, each at error
    /// probability `error`/2.
    #[must_use]
    pub fn holds(&self, error: f64) -> bool {
        self.p_value > error / 2.0 && self.leading_p_value <= error / 2.0
    }
}

/// P(t > value).
fn student_tail(degrees_of_freedom: f64, value: f64) -> f64 {
    student(degrees_of_freedom).cdf(-value)
}

/// Fits [`TwoPowers`] to one group of independent values per x by weighted least squares on the groups' means, weighted by
/// their own variances. `None` for fewer than three groups, fewer than two values in one, or one without variance; and where
/// the two powers cannot be told apart, as for a single x.
#[must_use]
pub fn fit_two_powers(groups: &[(f64, Vec<f64>)], leading: f64, next: f64) -> Option<TwoPowers> {
    if groups.len() < 3 || groups.iter().any(|(x, values)| values.len() < 2 || *x <= 0.0) {
        return None;
    }
    if groups.iter().any(|(_, values)| !(values.len() as f64 / variance(values)).is_finite()) {
        return None;
    }
    let rows: Vec<[f64; 4]> = groups
        .iter()
        .map(|(x, values)| [x.powf(leading), x.powf(next), mean(values), values.len() as f64 / variance(values)])
        .collect();
    let sum = |f: &dyn Fn(&[f64; 4]) -> f64| rows.iter().map(|row| row[3] * f(row)).sum::<f64>();
    let (pp, pq, qq) = (sum(&|r| r[0] * r[0]), sum(&|r| r[0] * r[1]), sum(&|r| r[1] * r[1]));
    let (py, qy) = (sum(&|r| r[0] * r[2]), sum(&|r| r[1] * r[2]));
    let determinant = pp * qq - pq * pq;
    // Its rounding is less than that; a NaN is refused, too.
    let told_apart = determinant > 16.0 * f64::EPSILON * rows.len() as f64 * pp * qq;
    if !told_apart {
        return None;
    }
    let (a, b) = ((qq * py - pq * qy) / determinant, (pp * qy - pq * py) / determinant);
    let freedom = |values: &[f64]| values.len() as f64 - 1.0;
    let leading_error = (qq / determinant).sqrt();
    if ![a, b, leading_error].iter().all(|v| v.is_finite()) {
        return None;
    }
    let residual = |row: &[f64; 4]| (row[2] - a * row[0] - b * row[1]).abs() * row[3].sqrt();
    let tails = rows.iter().zip(groups).map(|(row, (_, values))| 2.0 * student_tail(freedom(values), residual(row)));
    let worst = tails.fold(1.0, f64::min);
    // A = Σ c_i mean_i; its variance is Σ c_i²/weight_i.
    let shares = rows.iter().map(|r| (r[3] * (qq * r[0] - pq * r[1]) / determinant).powi(2) / r[3]);
    let spread: f64 = shares.clone().zip(groups).map(|(v, (_, values))| v * v / freedom(values)).sum();
    let welch = shares.sum::<f64>().powi(2) / spread;
    // 0/0 where the squares of the variances underflow.
    let known = welch > 0.0;
    if !known {
        return None;
    }
    let fit = TwoPowers {
        leading: a,
        leading_error,
        next: b,
        lack_of_fit: rows.iter().map(|row| residual(row).powi(2)).sum(),
        p_value: (worst * groups.len() as f64).min(1.0),
        leading_p_value: student_tail(welch, a / leading_error),
    };
    fit.lack_of_fit.is_finite().then_some(fit)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn exact_powers_are_recovered() {
        let points: Vec<(f64, f64)> = [10.0_f64, 100.0, 1000.0].iter().map(|x| (*x, 3.0 * x.powf(-0.25))).collect();
        let fit = fit_rate(&points).unwrap();
        assert!((fit.slope + 0.25).abs() < 1e-12 && (fit.intercept - 3.0_f64.ln()).abs() < 1e-12);
        assert!(fit.standard_error < 1e-12);
        assert!(fit_rate(&[(1.0, 0.0), (2.0, 1.0), (3.0, 1.0)]).is_none());
        let groups: Vec<(f64, Vec<f64>)> = points.iter().map(|(x, y)| (*x, vec![*y; 2])).collect();
        let fit = fit_power_of_mean(&groups).unwrap();
        assert!((fit.slope + 0.25).abs() < 1e-9 && (fit.intercept - 3.0_f64.ln()).abs() < 1e-9, "{fit:?}");
        assert!(fit.standard_error < 1e-9 && fit.degrees_of_freedom == 4.0);
        for wrong in [
            vec![(1.0, vec![1.0]), (2.0, vec![1.0])],
            vec![(1.0, vec![1.0; 5])],
            vec![(1.0, vec![1.0; 3]), (2.0, vec![0.0])],
        ] {
            assert!(fit_power_of_mean(&wrong).is_none(), "{wrong:?}");
        }
        let far = [(1e-300, vec![1e300; 2]), (1.0, vec![1.0; 2]), (1e300, vec![1e-300; 2])];
        assert!((fit_power_of_mean(&far).unwrap().slope + 1.0).abs() < 1e-9);
        assert!(fit_power_of_mean(&[(-1.0, vec![1.0; 2]), (2.0, vec![1.0; 2])]).is_none());
        assert!(fit_power_of_mean(&[(1.0, vec![-1.0, 2.0]), (2.0, vec![1.0; 2])]).is_none());
    }

    /// Squares of single normal variables, of numbers of networks as in `verify`: the slope's interval misses it about as often as it says, and is
    /// two thirds as wide as the line's through the logarithms.
    #[test]
    fn the_power_of_means_of_squares_is_covered() {
        let mut stream = crate::random::Streams::new(6, "stats/power of mean").stream(0);
        let (trials, error) = (400, 0.05);
        let (mut missed, mut widths) = (0, [0.0; 2]);
        for _ in 0..trials {
            let groups: Vec<(f64, Vec<f64>)> = [(64.0, 64), (256.0, 32), (1024.0, 16), (4096.0, 8)]
                .into_iter()
                .map(|(x, count): (f64, usize)| {
                    let square = |normal: f64| normal * normal / x;
                    (x, (0..count).map(|_| square(StandardNormal.sample(&mut stream))).collect())
                })
                .collect();
            let points: Vec<(f64, f64)> = groups.iter().flat_map(|(x, ys)| ys.iter().map(|y| (*x, *y))).collect();
            let (low, high) = fit_power_of_mean(&groups).unwrap().interval(error);
            missed += i32::from(!(low..=high).contains(&-1.0));
            widths[0] += high - low;
            let (low, high) = fit_rate(&points).unwrap().interval(error);
            widths[1] += high - low;
        }
        println!("missed {missed} of {trials}; widths {widths:?}");
        // Binomial: outside of 5 … 40 of 400 with probability 2e-5 at the stated 5 %.
        assert!((5..=40).contains(&missed), "{missed}");
        assert!(widths[0] < 0.75 * widths[1], "{widths:?}");
    }

    #[test]
    fn two_powers_are_recovered_and_wrong_ones_rejected() {
        let group = |x: f64, y: f64| (x, [0.99 * y, 1.01 * y].repeat(20));
        let groups: Vec<_> =
            [10.0_f64, 100.0, 1000.0, 10_000.0].iter().map(|&x| group(x, 2.0 * x.powf(-0.5) + 3.0 / x)).collect();
        let fit = fit_two_powers(&groups, -0.5, -1.0).unwrap();
        assert!((fit.leading - 2.0).abs() < 1e-9 && (fit.next - 3.0).abs() < 1e-8 && fit.lack_of_fit < 1e-12);
        assert!(fit.holds(1e-3));
        for (leading, next) in [(-1.0, -1.5), (0.0, -0.25), (-0.25, -0.75)] {
            assert!(!fit_two_powers(&groups, leading, next).unwrap().holds(1e-3), "{leading} {next}");
        }
    }

    /// Quantiles of Student's t in the far tail, from 30-digit arithmetic.
    #[test]
    fn student_quantiles_are_accurate_in_the_far_tail() {
        let table = [
            (7.0, 0.025, 2.364_624_251_592_784),
            (30.0, 2.5e-5, 4.729_195_798_988_08),
            (14.0, 2.5e-5, 5.752_763_044_862_007),
            (70.0, 1e-9, 6.887_680_801_657_41),
        ];
        for (dof, tail, exact) in table {
            let found = student_quantile(dof, tail);
            // The library's root finder stops at 10⁻⁸ or better.
            assert!((found / exact - 1.0).abs() < 1e-7, "{dof} {tail}: {found}");
        }
    }

    #[test]
    fn two_powers_are_not_fitted_to_groups_without_variance() {
        let group = |values: &[f64]| values.to_vec();
        let groups = [(64.0, group(&[1.0, 2.0])), (256.0, group(&[3.0, 3.0])), (1024.0, group(&[1.0, 2.0]))];
        assert!(fit_two_powers(&groups, -1.0, -1.5).is_none());
        let tiny = [(64.0, group(&[1.0, 2.0])), (256.0, group(&[1e-170, 2e-170])), (1024.0, group(&[1.0, 2.0]))];
        assert!(fit_two_powers(&tiny, -1.0, -1.5).is_none());
    }

    #[test]
    fn two_powers_are_not_fitted_where_they_cannot_be_told_apart() {
        let group = |x: f64| (x, vec![0.9 / x, 1.1 / x, 1.3 / x]);
        for x in [1.0, 64.0, 1e-3] {
            assert!(fit_two_powers(&[group(x), group(x), group(x)], -0.5, -1.0).is_none(), "{x}");
        }
        let groups = [group(64.0), group(256.0), group(1024.0)];
        assert!(fit_two_powers(&groups, -0.5, -1.0).is_some());
        assert!(fit_two_powers(&groups, -0.5, -0.5).is_none());
        assert!(fit_two_powers(&groups, f64::NAN, -0.5).is_none());
        let far = [group(64.0), group(256.0), (f64::NAN, vec![1.0, 2.0])];
        assert!(fit_two_powers(&far, -0.5, -1.0).is_none());
        let tiny: Vec<_> = groups.iter().map(|(x, y)| (*x, y.iter().map(|y| y * 1e-90).collect())).collect();
        assert!(fit_two_powers(&tiny, -0.5, -1.0).is_none());
    }
}
