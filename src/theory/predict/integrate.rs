//! The dual equation of a general loss, by an adaptive Dormand–Prince pair of orders 5 and 4.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::linalg::symmetric_times;
use crate::loss::Loss;

/// Error per step in α, relative to |α| + 1, or to |α| + 100/κ for the large kernels of long inputs, κ = max_k (1/N) Σ_l |Θ_kl|: there
/// outputs change by one while α changes by 1/κ.
pub const DEFAULT_TOLERANCE: f64 = 1e-11;
/// The κ up to which errors in α are taken relative to |α| + 1: outputs, which err by κ times as much, have nine digits or more.
const WIDEST: f64 = 1e2;

/// Butcher tableau of Dormand and Prince (1980); the last row of `STAGES` is the fifth-order solution itself.
const STAGES: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];

/// Fifth-order minus fourth-order weights.
const ERROR: [f64; 7] =
    [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0];

/// Steps after which the integration gives up.
const STEP_LIMIT: usize = 1_000_000;

/// Integrates α̇_k = g(y_k f_k), f = f_0 + (1/N) Θ (y∘α), from α = 0 to `time`.
pub(super) fn dual_flow(
    kernel: &DMatrix<f64>,
    labels: &[f64],
    initial: &[f64],
    loss: &dyn Loss,
    time: f64,
    tolerance: f64,
) -> Result<Vec<f64>> {
    if !(tolerance > 0.0 && tolerance < 1.0) {
        return Err(Error::Scalar { name: "tolerance", value: tolerance, expected: "a number in (0, 1)" });
    }
    let n = labels.len();
    let force = |alpha: &[f64]| -> Vec<f64> {
        let signed: Vec<f64> = alpha.iter().zip(labels).map(|(a, y)| a * y / n as f64).collect();
        let moved = symmetric_times(kernel.as_slice(), &signed);
        let values = moved.iter().zip(initial).zip(labels);
        values.map(|((change, f), y)| loss.force(y * (f + change))).collect()
    };
    let mut alpha = vec![0.0; n];
    if time == 0.0 {
        return Ok(alpha);
    }
    let kappa = kernel.as_slice().chunks_exact(n).map(|column| column.iter().map(|k| k.abs()).sum::<f64>() / n as f64);
    let unit = (WIDEST / kappa.fold(0.0, f64::max)).min(1.0);
    let failed = |now: f64, reason| Err(Error::Integration { time: now, horizon: time, reason });
    let mut now = 0.0;
    let mut slopes: Vec<Vec<f64>> = vec![force(&alpha)];
    let mut step = first_step(&slopes[0], time);
    for _ in 0..STEP_LIMIT {
        if now + step >= time || time - (now + step) < 1e-14 * time {
            step = time - now;
        }
        for stage in &STAGES {
            let point = combine(&alpha, step, stage, &slopes);
            slopes.push(force(&point));
        }
        let error = weighted_error(&alpha, unit, step, &slopes) / tolerance;
        if error <= 1.0 {
            alpha = combine(&alpha, step, STAGES[5], &slopes);
            now += step;
            if now >= time {
                return Ok(alpha);
            }
            // First-same-as-last: the final stage is the next step's first.
            slopes = vec![slopes.swap_remove(6)];
        } else {
            slopes.truncate(1);
        }
        // A force that is not finite gives a NaN error: the step is rejected and shrunk.
        let factor = if error.is_finite() { 0.9 * error.max(1e-10).powf(-0.2) } else { 0.1 };
        step *= factor.clamp(0.1, 5.0);
        if step.is_nan() || step <= 1e-14 * now.max(f64::MIN_POSITIVE) {
            return failed(now, "the step size vanished: the force of the loss grows without bound");
        }
    }
    failed(now, "too many steps: the equation is too stiff for this time")
}

/// A first step that changes α by about 10⁻³.
fn first_step(slope: &[f64], time: f64) -> f64 {
    let largest = slope.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    if largest > 0.0 { time.min(1e-3 / largest) } else { time }
}

fn combine(alpha: &[f64], step: f64, weights: &[f64], slopes: &[Vec<f64>]) -> Vec<f64> {
    let mut point = alpha.to_vec();
    for (weight, slope) in weights.iter().zip(slopes) {
        point.iter_mut().zip(slope).for_each(|(p, s)| *p += step * weight * s);
    }
    point
}

/// The largest estimated error of the step over the coefficients, relative to `unit` + |α|; NaN if one is not a number.
fn weighted_error(alpha: &[f64], unit: f64, step: f64, slopes: &[Vec<f64>]) -> f64 {
    let mut worst = 0.0_f64;
    for (k, a) in alpha.iter().enumerate() {
        let error: f64 = ERROR.iter().zip(slopes).map(|(weight, slope)| weight * slope[k]).sum::<f64>() * step;
        let relative = error.abs() / (unit + a.abs());
        if relative.is_nan() {
            return f64::NAN;
        }
        worst = worst.max(relative);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::StandardLoss;

    /// One point with K = 1 from f = 0: f + e^f = t + 1 for the logistic loss, f = ln(1 + t) for the exponential one.
    #[test]
    fn long_times_are_reached_by_forces_that_decay() {
        let kernel = DMatrix::from_element(1, 1, 1.0);
        for time in [1e-3, 1.0, 1e6, 1e12, 1e15, 1e100] {
            let reached =
                |loss: StandardLoss| dual_flow(&kernel, &[1.0], &[0.0], &loss, time, DEFAULT_TOLERANCE).unwrap()[0];
            let exponential = reached(StandardLoss::Exponential);
            assert!((exponential - time.ln_1p()).abs() < 1e-8 * exponential, "{time:e}: {exponential}");
            let logistic = reached(StandardLoss::Logistic);
            let passed = logistic + logistic.exp_m1();
            assert!((passed - time).abs() < 1e-8 * time * logistic.max(1.0), "{time:e}: {logistic}");
        }
    }

    /// The same with the kernels of long inputs, where α moves by 1/K while f moves by one.
    #[test]
    fn large_kernels_are_resolved() {
        for size in [1e3, 1e6, 1e12, 1e60, 1e140] {
            let kernel = DMatrix::from_element(1, 1, size);
            for passed in [1e-3, 1.0, 1e3, 1e9] {
                let reached = |loss: StandardLoss| {
                    size * dual_flow(&kernel, &[1.0], &[0.0], &loss, passed / size, DEFAULT_TOLERANCE).unwrap()[0]
                };
                let exponential = reached(StandardLoss::Exponential);
                assert!(
                    (exponential - passed.ln_1p()).abs() < 1e-7 * exponential,
                    "{size:e} {passed:e}: {exponential}"
                );
                let logistic = reached(StandardLoss::Logistic);
                let found = logistic + logistic.exp_m1();
                assert!((found - passed).abs() < 1e-7 * passed * logistic.max(1.0), "{size:e} {passed:e}: {logistic}");
            }
        }
    }

    /// A force that grows as e^f: f = −ln(1 − t).
    #[derive(Debug)]
    struct Growing;

    impl Loss for Growing {
        fn value(&self, margin: f64) -> f64 {
            -margin.exp()
        }

        fn force(&self, margin: f64) -> f64 {
            margin.exp()
        }

        fn force_max(&self) -> Option<f64> {
            None
        }

        fn name(&self) -> &str {
            "growing"
        }
    }

    #[test]
    fn a_force_that_grows_without_bound_is_an_error() {
        let kernel = DMatrix::from_element(1, 1, 1.0);
        let reached = dual_flow(&kernel, &[1.0], &[0.0], &Growing, 0.5, DEFAULT_TOLERANCE).unwrap()[0];
        assert!((reached - 2.0_f64.ln()).abs() < 1e-9);
        for time in [1.5, 1e300] {
            let error = dual_flow(&kernel, &[1.0], &[0.0], &Growing, time, DEFAULT_TOLERANCE).unwrap_err().to_string();
            assert!(error.contains("the force of the loss grows without bound"), "{error}");
            assert!(time < 2.0 || error.contains(" of 1e300: "), "{error}");
        }
    }
}
