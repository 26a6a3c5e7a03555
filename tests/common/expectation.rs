//! Bounds on expectations, held against samples.

use perturbation_learning::stats::{mean, student_quantile, variance};

use crate::common::say;

/// The lower end of Student's one-sided interval for the expectation.
pub fn lower_end(values: &[f64], error: f64) -> f64 {
    let n = values.len() as f64;
    mean(values) - student_quantile(n - 1.0, error) * (variance(values) / n).sqrt()
}

/// A bound on an expectation holds, and the fault is refuted by the same values.
pub fn check_mean(what: &str, values: &[f64], bound: f64, fault: f64, error: f64) {
    let low = lower_end(values, error);
    say(format_args!(
        "{what}: mean/bound {:.3}, lower end/bound {:.3}, fault/bound {:.4}",
        mean(values) / bound,
        low / bound,
        fault / bound
    ));
    assert!(low <= bound, "{what}: the expectation is above {low:e}, the bound is {bound:e} (seed {})", crate::SEED);
    assert!(
        low > fault,
        "{what}: a bound that is too small passes: {fault:e}, interval from {low:e} (seed {})",
        crate::SEED
    );
}
