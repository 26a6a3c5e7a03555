//! How often Student's interval at the level for skewed values misses, by simulation with weights.

use perturbation_learning::random::Streams;
use perturbation_learning::stats::{mean, student_quantile, variance};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};
use rayon::prelude::*;

use crate::SEED;
use crate::common::say;
use crate::skewed::{shortfall, student_level};

/// A law of values of mean 1, drawn as if a shortfall were typical; with each value the logarithm of its law's density over
/// that which it is drawn from.
enum Law {
    /// Of this skewness; drawn with another shape and mean.
    Gamma { skewness: f64, shape: f64, mean: f64 },
    /// f₀²/Σ of eight neurons with Gaussian readouts: a square of a normal variable times the mean h of eight squares of
    /// rectified ones. Drawn with density e^{−λx} for x given h, and e^{−λh} for h, relatively.
    Output { lambda: f64 },
}

impl Law {
    fn draw(&self, rng: &mut ChaCha8Rng) -> (f64, f64) {
        match *self {
            Law::Gamma { skewness, shape, mean } => {
                let k = 4.0 / (skewness * skewness);
                let x: f64 = Gamma::new(shape, mean / shape).unwrap().sample(rng);
                let log = |k: f64, mean: f64| {
                    k * (k / mean).ln() - statrs::function::gamma::ln_gamma(k) + (k - 1.0) * x.ln() - k * x / mean
                };
                (x, log(k, 1.0) - log(shape, mean))
            }
            Law::Output { lambda } => {
                let narrower = (1.0 + 0.5 * lambda).sqrt().recip();
                let any = 0.5 + 0.5 * narrower;
                let rectified = |rng: &mut ChaCha8Rng| -> f64 {
                    let normal: f64 = StandardNormal.sample(rng);
                    if rng.random::<f64>() * any < 0.5 { 0.0 } else { (narrower * normal).powi(2) }
                };
                let h = (0..8).map(|_| rectified(rng)).sum::<f64>() / 4.0;
                let normal: f64 = StandardNormal.sample(rng);
                let x = normal * normal * h / (1.0 + 2.0 * lambda * h);
                (x, lambda * (x + h) - 0.5 * (2.0 * lambda * h).ln_1p() + 8.0 * any.ln())
            }
        }
    }
}

/// The probability to fall more than z standard errors short, and its standard error.
fn missed(law: &Law, count: usize, z: f64, trials: usize, purpose: &str) -> (f64, f64) {
    let streams = Streams::new(SEED, &format!("levels/{purpose}"));
    let weight = |trial: usize| {
        let mut rng = streams.stream(trial as u64);
        let (values, logs): (Vec<f64>, Vec<f64>) = (0..count).map(|_| law.draw(&mut rng)).unzip();
        let short = (1.0 - mean(&values)) > z * (variance(&values) / count as f64).sqrt();
        if short { logs.iter().sum::<f64>().exp() } else { 0.0 }
    };
    let weights: Vec<f64> = (0..trials).into_par_iter().map(weight).collect();
    (mean(&weights), (variance(&weights) / trials as f64).sqrt())
}

/// The figures of `skewed::student_level`.
#[test]
#[ignore = "minutes of simulation; run it when the level's formula changes"]
fn levels_for_skewed_values_miss_no_more_often_than_they_say() {
    // R, the law's skewness (that of f₀², if no gamma law's), the level's, its error, trials.
    let cases = [
        ("gamma", 60, 0.05, 0.05, 4e-8, 400_000),
        ("gamma", 60, 1.0, 1.0, 4e-8, 400_000),
        ("gamma", 300, 4.0, 4.0, 4e-9, 200_000),
        ("gamma", 300, 8.0_f64.sqrt(), 3.0, 4e-9, 200_000),
        ("gamma", 4000, 8.0_f64.sqrt(), 3.0, 3e-9, 20_000),
        ("gamma", 26_000, 6.0, 6.0, 1.7e-9, 4000),
        ("gamma", 20_000, 8.0_f64.sqrt(), 3.0, 5e-9, 4000),
        ("f₀²", 20_000, 5.35, 6.0, 5e-9, 4000),
        ("f₀²", 4000, 5.35, 5.35, 3e-9, 20_000),
        ("f₀²", 300, 5.35, 5.35, 4e-9, 200_000),
    ];
    for (name, count, skewness, allowed, error, trials) in cases {
        let z = student_quantile(count as f64 - 1.0, 0.5 * student_level(count, allowed, error));
        let law = if name == "gamma" {
            let (_, shape, mean) = shortfall(count, skewness, z);
            Law::Gamma { skewness, shape, mean }
        } else {
            // The scale of a gamma law of this skewness that makes it typical.
            Law::Output { lambda: 2.0 * z / (skewness * (count as f64).sqrt()) }
        };
        let (found, own) = missed(&law, count, z, trials, &format!("{name}/{count}/{skewness}"));
        let student = student_quantile(count as f64 - 1.0, 0.5 * error);
        say(format_args!(
            "{name}, R = {count}, skewness {skewness:.2}, level for {allowed:.2} and {error:.1e}: z = {z:.3} (Student {student:.3}), misses \
             with probability {found:.2e} ± {own:.0e}, {:.1} times less",
            error / found
        ));
        assert!(own < 0.2 * found, "{name} {count}: too few trials");
        assert!(found + 5.0 * own < error, "{name} {count} (seed {SEED})");
    }
}
