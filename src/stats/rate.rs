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
    use super::*;

    #[test]
    fn exact_powers_are_recovered() {
        let points: Vec<(f64, f64)> = [10.0_f64, 100.0, 1000.0].iter().map(|x| (*x, 3.0 * x.powf(-0.25))).collect();
        let fit = fit_rate(&points).unwrap();
        assert!((fit.slope + 0.25).abs() < 1e-12 && (fit.intercept - 3.0_f64.ln()).abs() < 1e-12);
        assert!(fit.standard_error < 1e-12);
        assert!(fit_rate(&[(1.0, 0.0), (2.0, 1.0), (3.0, 1.0)]).is_none());
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
