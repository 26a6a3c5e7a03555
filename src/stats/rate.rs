//! Rates: the slope of log deviation against log width.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The upper quantile of Student's t: exceeded with probability `tail`.
///
/// # Panics
/// If `degrees_of_freedom ≤ 0` or `tail` lies outside (0, 1/2].
#[must_use]
pub fn student_quantile(degrees_of_freedom: f64, tail: f64) -> f64 {
    assert!(tail > 0.0 && tail <= 0.5, "an upper tail");
    let t = StudentsT::new(0.0, 1.0, degrees_of_freedom).expect("positive degrees of freedom");
    // The lower tail keeps its digits, 1 − tail would not.
    -t.inverse_cdf(tail)
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
}
