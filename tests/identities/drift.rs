//! Tails and the drift at finite width: W2, W3, W5 to W8.

use perturbation_learning::network::{GradientFlow, Neurons, Weights};
use perturbation_learning::problem::{Slope, TrainingSet};
use perturbation_learning::stats::binomial_upper_tail;
use perturbation_learning::theory::bound::{
    Geometry, NetworkLaw, ReadoutLaw, bernstein_deviation, chernoff_deviation, drift_second_moment_bound,
    mean_drift_bound, mean_drift_comparison_bound, mean_drift_limit,
};
use statrs::distribution::{ContinuousCDF, Gamma, Normal};

use crate::common::say;
use crate::{rows, slope};

//= test W2@49c26d12
//= test W3@ed3dfd0e
//= power W2@49c26d12
//= power W3@ed3dfd0e
/// W2 on its extremal law, W3 on signs (ii) and on squared normal variables (iii): exact tails. Fault: half the variance.
#[test]
fn exact_tails_lie_below_the_bounds_and_above_those_of_half_the_variance() {
    for t in [10.0, 20.0, 40.0] {
        let allowed = f64::exp(-t);
        // B on {0, 1} with P(1) = 1/10, 200 copies.
        let exceeding = |x: f64| binomial_upper_tail(200, 0.1, ((0.1 + x) * 200.0).ceil() as u64);
        let bound = |variance: f64| chernoff_deviation(0.1, variance, 1.0, 200, t, ReadoutLaw::Rademacher).unwrap();
        assert!(exceeding(bound(0.09)) <= allowed, "W2 at t = {t}");
        assert!(exceeding(bound(0.045)) > allowed, "W2: half the variance passes at t = {t}");
        // Signs: |Y| ≤ 1, E Y² = 1, c = 1/3. The mean of 400 is 2K/400 − 1.
        let exceeding = |x: f64| binomial_upper_tail(400, 0.5, (200.0 * (1.0 + x)).ceil() as u64);
        let bound = |second: f64| bernstein_deviation(second, 1.0 / 3.0, 400, t).unwrap();
        assert!(exceeding(bound(1.0)) <= allowed, "W3 (ii) at t = {t}");
        assert!(exceeding(bound(0.5)) > allowed, "W3 (ii): half the second moment passes at t = {t}");
        // ω = χ²₁, r = 1: v = 3, c = 2. The sum of n is χ²_n = 2 Γ(n/2).
        let n = 300;
        let sum = Gamma::new(0.5 * f64::from(n), 0.5).unwrap();
        let exceeding = |x: f64| sum.sf(f64::from(n) * (1.0 + x));
        let bound = |second: f64| bernstein_deviation(second, 2.0, 300, t).unwrap();
        assert!(exceeding(bound(3.0)) <= allowed, "W3 (iii) at t = {t}");
        // Var ω = 2, not E ω² = 3: a third of the second moment is below the variance.
        assert!(exceeding(bound(1.0)) > allowed, "W3 (iii): a third of the second moment passes at t = {t}");
    }
}

/// E R̄ and E R̄² of one neuron with Rademacher readout on a single training point x, at z (d = 1), by quadrature.
///
/// R vanishes unless the pre-activation at x or at z lies in its flip window (M4), |u| ≤ qT|K|: two strips of the plane of
/// initial weights. In each, the coordinate across is a midpoint grid and the one along it has midpoints of equal
/// probability; the second strip leaves out the first. Weights are trained by the library's exact flow.
struct Drift {
    mean: f64,
    second_moment: f64,
    absolute: f64,
}

fn drift(x: f64, z: f64, slope: Slope, width: f64, time: f64, grid: usize) -> Drift {
    let normal = Normal::standard();
    let q = 1.0 / width.sqrt();
    let (train, gram) = (TrainingSet::new(rows(1, &[x]), vec![1.0]).unwrap(), x * z + 1.0);
    let windows = [q * time * (x * x + 1.0), q * time * gram.abs()];
    let (mut hidden, mut masses) = (Vec::new(), Vec::new());
    for (strip, at) in [x, z].into_iter().enumerate() {
        let s = (1.0 + at * at).sqrt();
        for i in 0..grid {
            let u = windows[strip] * (2.0 * (i as f64 + 0.5) / grid as f64 - 1.0);
            // Density of u ~ N(0, s²) times the cell, over the cells along.
            let density = (-0.5 * (u / s).powi(2)).exp() / ((2.0 * std::f64::consts::PI).sqrt() * s);
            let mass = density * 2.0 * windows[strip] / (grid * grid) as f64;
            for j in 0..grid {
                let along = normal.inverse_cdf((j as f64 + 0.5) / grid as f64);
                // w̃ = u x̃/s² + along · (1, −at)/s.
                let neuron = [u * at / (s * s) + along / s, u / (s * s) - along * at / s];
                if strip == 0 || (neuron[0] * x + neuron[1]).abs() > windows[0] {
                    hidden.extend(neuron);
                    masses.push(mass);
                }
            }
        }
    }
    let mut result = Drift { mean: 0.0, second_moment: 0.0, absolute: 0.0 };
    for sign in [1.0, -1.0] {
        let a = sign * q;
        let start = Weights::from_augmented(1, hidden.clone(), vec![a; masses.len()]).unwrap();
        let flow = GradientFlow::new(&train, slope, time).unwrap().keep_weights();
        let end = flow.run(&Neurons::given(start)).unwrap().weights.unwrap();
        for ((before, after), mass) in hidden.chunks(2).zip(end.hidden().chunks(2)).zip(&masses) {
            let at = |w: &[f64], point: f64| w[0] * point + w[1];
            let change = slope.activation(at(after, z)) - slope.activation(at(before, z));
            let initial = slope.derivative(at(before, z)) * slope.derivative(at(before, x)) * gram;
            // R = m a [φ(u_T) − φ(u_0)] − T ω φ'(u_z) V_z.
            let drift = width * a * change - time * initial;
            result.mean += 0.5 * mass * drift;
            result.second_moment += 0.5 * mass * drift * drift;
            result.absolute += 0.5 * mass * drift.abs();
        }
    }
    result
}

//= test W5@0326e76b
//= test W6@4922f30b
//= test W7@6699cfd1
//= test W8@68e86f70
//= power W5@0326e76b
//= power W6@4922f30b
//= power W7@6699cfd1
/// With one training point W8's limit is closed-form, W7 is sharp, and W5 and W6 nearly so: constants are pinned. Faults:
/// half of W5, four fifths of W7, a quarter of W6.
#[test]
fn the_drift_of_one_sample_has_its_limit_and_keeps_its_bounds() {
    let (x, z, time) = (1.0, -0.9, 1.0);
    let (train, test) = (TrainingSet::new(rows(1, &[x]), vec![1.0]).unwrap(), rows(1, &[z]));
    for g in [0.0, 0.3] {
        let slope = slope(g);
        let geometry = Geometry::new(&train, slope, &test).unwrap();
        let limit = mean_drift_limit(&geometry, ReadoutLaw::Rademacher, time).unwrap()[0];
        let mut distances = Vec::new();
        for width in [1e2, 1e4, 1e6] {
            let law = NetworkLaw::standard(width as usize, ReadoutLaw::Rademacher).unwrap();
            let found = drift(x, z, slope, width, time, 200);
            // The quadrature's own error, from a coarser grid.
            let coarse = drift(x, z, slope, width, time, 100);
            let error = (found.mean - coarse.mean).abs();
            let first = mean_drift_bound(&geometry, law, time).unwrap()[0];
            let second = drift_second_moment_bound(&geometry, law, time).unwrap()[0];
            let compared = mean_drift_comparison_bound(&geometry, law, time).unwrap()[0];
            let size = found.mean.abs();
            assert!(error < 1e-2 * size, "the quadrature is too coarse: {error} of {size}");
            assert!(size <= first + error && size <= compared + error, "{size} {first} {compared}");
            assert!(found.second_moment <= second, "{} {second}", found.second_moment);
            // W5 again: E|R| ≤ 2 · its first line, hence ≤ 2β₁.
            assert!(found.absolute <= 2.0 * first, "{} {first}", found.absolute);
            say(format_args!(
                "drift, N = 1, γ = {g}, m = {width:.0e}: observed/bound W5 {:.2}, W6 {:.2}, W7 {:.2}; √m E R/β∞ {:.4}",
                size / first,
                found.second_moment / second,
                size / compared,
                width.sqrt() * found.mean / limit
            ));
            if width > 1e3 {
                assert!(size > 0.5 * first + error && size > 0.8 * compared + error, "a mean bound too small passes");
                assert!(found.second_moment > 0.25 * second, "a second moment that is too small passes");
            }
            distances.push((width.sqrt() * found.mean / limit - 1.0).abs());
        }
        // To the limit at rate m^{−1/2}: a factor of ten each, until the quadrature's error is reached.
        assert!(distances[1] < distances[0] / 5.0 + 1e-3 && distances[2] < 2e-3, "{distances:?}");
    }
}
