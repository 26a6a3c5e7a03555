//! Student's level for means of skewed values.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::gamma::{digamma, ln_gamma};

/// The two-sided level at which Student's interval for the mean of `count` values of this skewness misses the expectation
/// with probability `error` at most, if their law is that of gamma variables in the far tail.
///
/// Of skewed values the mean and the standard error are small together, and far out Student's law is wrong by orders of
/// magnitude on that side. There R values fall z standard errors short with probability near e^{−I}/(z√2π), I = R times the
/// least relative entropy of a law whose mean lies z/√R of its own standard deviations short ([`shortfall`]). Expanded, I =
/// z²/2 − sz³/(3√R) + …: Edgeworth's term, the same for any law; for s → 0, I = (R/2)ln(1 + z²/R), Student's own. Here `error` is
/// e^{−I}, which leaves the factor z√2π (15 to 20) for what the expansion does not know of laws other than gamma, and for
/// the other side, on which skewed values are further out more rarely than Student's law says.
///
/// How much rarer than `error` (from 3·10⁻⁹ to 4·10⁻⁸) the miss is in simulations with weights, which
/// `cargo test --test statistics -- --ignored --nocapture levels` repeats: gamma values with R = 60 and s = 1 (z = 8.56, Student's law has 6.31) 7
/// times, nearly normal ones 12; R = 300 with s = 4 2.8 times, χ²₁ 8; χ²₁ with R = 4000 or 20,000 15 times; s = 6 with R = 26,000 13 times; f₀² of
/// eight neurons, whose largest values are further out than those of a gamma law of their skewness, 14 with R = 4000 and 350 with R = 300.
pub fn student_level(count: usize, skewness: f64, error: f64) -> f64 {
    let r = count as f64;
    let missed = |z: f64| (-shortfall(count, skewness, z).0).exp();
    // Beyond √R standard errors Student's own law has a tail like a power.
    let (mut low, mut high) = (0.0, 2.0 * r.sqrt());
    assert!(missed(high) <= error, "too few values for their skewness");
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if missed(middle) <= error {
            high = middle;
        } else {
            low = middle;
        }
    }
    (2.0 * StudentsT::new(0.0, 1.0, r - 1.0).unwrap().cdf(-high)).min(error)
}

/// I, and the shape k' and the mean of the gamma law that makes it typical that `count` gamma values of mean 1 and this
/// skewness s, so of shape k = 4/s², fall z standard errors short.
///
/// Given k', mean and standard deviation k'θ and √k'·θ of it fix the scale: k − k'θ = √k'·θz/√R for original ones of scale 1. Its relative
/// entropy (k' − k)ψ(k') − ln Γ(k') + ln Γ(k) − k ln θ + k'(θ − 1) is minimised over k' by golden sections.
pub fn shortfall(count: usize, skewness: f64, z: f64) -> (f64, f64, f64) {
    let r = count as f64;
    // Below .05 the logarithms would lose digits to each other, and the skewness does not matter.
    let k = 4.0 / skewness.abs().max(0.05).powi(2);
    let scale = |shape: f64| k / (shape + shape.sqrt() * z / r.sqrt());
    let entropy = |log_ratio: f64| {
        let shape = k * log_ratio.exp();
        let theta = scale(shape);
        (shape - k) * digamma(shape) - ln_gamma(shape) + ln_gamma(k) - k * theta.ln() + shape * (theta - 1.0)
    };
    let section = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (-1.0, 3.0);
    for _ in 0..60 {
        let step = section * (high - low);
        if entropy(high - step) < entropy(low + step) {
            high = low + step;
        } else {
            low = high - step;
        }
    }
    let shape = k * low.exp();
    (r * entropy(low), shape, shape * scale(shape) / k)
}
