//! The trained network with Gaussian readouts in one exponential moment: W12.

use statrs::function::erf::{erf, erfc};

use super::drift::{block_growth, compared_mean_drift, second_moment_parts};
use super::error::{Tail, log_share, shrunk_square};
use super::tail::golden_minimum;
use super::{Geometry, NetworkLaw, ReadoutLaw};
use crate::error::{Error, Result};
use crate::problem::finite_nonnegative;

/// Bins of |α|, and where they end: beyond, the drift is bounded by the range.
const BINS: usize = 60;
const LAST_EDGE: f64 = 7.0;

//= W12@99fa0ae5
/// Error of the trained network with Gaussian readouts, W12: "with probability ≥ 1 − e^{−t}: (1/T)(f_T − f_0)(z) − F(z) ≤ x
/// = (1/λ)(t/n_c + ln I(λ)) − F for every fixed λ; the drift's mean is included". Returns T·x per test point, minimised
/// over λ: the larger of the two tails, each with t = ln(2/δ), or the tail towards 0 with t = ln(1/δ).
///
/// I(λ) bounds E e^{λωB̄} for the mean B̄ of φ'(u_z)V(z) over the training time, with ω = α² in 60 bins of |α| up to 7; in a
/// bin the mean of B̄ differs from F by at most β̄(|α|), W7 given |α|, and its variance is at most the smaller of
/// (√Var B + √v̄(|α|))², W6 given |α|, and of W17's bound given |α|.
///
/// Inputs: as [`network_error_bound`](super::network_error_bound). Tightness: it halves the certified widths of W9's
/// Gaussian form, because the drift and the readouts share one exponential moment (proofs/README.md).
///
/// # Errors
/// Readouts that are not Gaussian; time < 0, infinite or NaN; δ outside (0, 1).
pub fn gaussian_network_error_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    failure_probability: f64,
    tail: Tail,
) -> Result<Vec<f64>> {
    if law.readout() != ReadoutLaw::Gaussian {
        let expected = "3, that of Gaussian readouts";
        return Err(Error::Scalar {
            name: "fourth moment of the readouts",
            value: law.readout().moments()[1],
            expected,
        });
    }
    let time = finite_nonnegative("time", time)?;
    let per_copy = log_share(failure_probability, tail.events())? / law.copies() as f64;
    if time == 0.0 {
        return Ok(vec![0.0; geometry.limit().len()]);
    }
    let bins = bins();
    let root = (law.width() as f64).sqrt();
    let means: Vec<Vec<f64>> =
        bins.iter().map(|bin| compared_mean_drift(geometry, time, bin.edge / root, bin.edge / root)).collect();
    let second = second_moment_parts(geometry, law.width(), time);
    let growth = block_growth(geometry, 1.0 / root, time);
    let bound = |(z, (low, high)): (usize, (f64, f64))| {
        let drift = Drift { means: means.iter().map(|m| m[z]).collect(), second: second[z], growth: growth[z], time };
        let (mean, variance) = (geometry.limit()[z], geometry.variance()[z]);
        let upper = || upper_tail(&bins, mean, variance, high, &drift, per_copy);
        let lower = || upper_tail(&bins, -mean, variance, -low, &drift, per_copy);
        time * tail.select(mean, upper, lower)
    };
    Ok(geometry.ranges().into_iter().enumerate().map(bound).collect())
}

/// |α| between two edges: its probability, and the conditional mean of ω = α² as a point between the edges' squares.
struct Bin {
    edge: f64,
    squares: (f64, f64),
    weights: (f64, f64),
}

fn bins() -> Vec<Bin> {
    let width = LAST_EDGE / BINS as f64;
    let density = |a: f64| (-0.5 * a * a).exp() / (2.0 * std::f64::consts::PI).sqrt();
    // P(|α| < a) = erf(a/√2); far out the complement keeps its digits.
    let between = |a: f64, b: f64| {
        let root = std::f64::consts::FRAC_1_SQRT_2;
        if a < 1.0 { erf(b * root) - erf(a * root) } else { erfc(a * root) - erfc(b * root) }
    };
    (0..BINS)
        .map(|k| {
            let (low, high) = (k as f64 * width, (k + 1) as f64 * width);
            let probability = between(low, high);
            // ∫ ω over the bin, by parts.
            let moment = probability + 2.0 * (low * density(low) - high * density(high));
            let upper = (moment - low * low * probability) / (high * high - low * low);
            let weights = (probability - upper, upper);
            Bin { edge: high, squares: (low * low, high * high), weights }
        })
        .collect()
}

/// The bounds on the drift given |α|, for one test point; `means` per bin.
struct Drift {
    means: Vec<f64>,
    second: [f64; 3],
    growth: f64,
    time: f64,
}

impl Drift {
    /// β̄ at the upper edge of a bin: the mean of B̄ is within it of F.
    fn mean(&self, bin: usize) -> f64 {
        self.means[bin] / self.time
    }

    /// A bound on the variance of B̄ for |α| up to a, where its mean differs from F by at most `bias`.
    fn variance(&self, a: f64, mean: f64, variance: f64, bias: f64) -> f64 {
        let [p1, p2, q1] = self.second;
        let deviation = ((p1 * a + p2 * a * a).sqrt() + (q1 * a).sqrt()) / self.time;
        let grown = variance + a * self.growth / (self.time * self.time) + shrunk_square(mean.abs(), bias);
        (variance.sqrt() + deviation).powi(2).min(grown)
    }
}

/// The x of W12 in units of function change per unit of time.
fn upper_tail(bins: &[Bin], mean: f64, variance: f64, high: f64, drift: &Drift, per_copy: f64) -> f64 {
    // Per bin: weights and squares of its two ends, and M_s = π e^{s·top} + (1−π) e^{s·bottom}.
    let laws: Vec<(&Bin, f64, f64, f64)> = bins
        .iter()
        .enumerate()
        .map(|(k, bin)| {
            let bias = drift.mean(k);
            let gap = (high - mean).max(0.0) + bias;
            // A law that never exceeds its mean is constant.
            let variance = if gap > 0.0 { drift.variance(bin.edge, mean, variance, bias) } else { 0.0 };
            let (share, below) =
                if gap > 0.0 { (variance / (variance + gap * gap), variance / gap) } else { (0.0, 0.0) };
            (bin, share, mean + gap + bias, mean - below + bias)
        })
        .collect();
    let top = high.max(mean).max(0.0);
    let deviation = |log_lambda: f64| {
        let lambda = log_lambda.exp();
        let room = 1.0 - 2.0 * lambda * top;
        let beyond = erfc(LAST_EDGE * (0.5 * room).sqrt()) / room.sqrt();
        let moment = laws.iter().fold(beyond, |sum, (bin, share, top, bottom)| {
            let at = |square: f64| {
                let s = lambda * square;
                share * (s * top).exp() + (1.0 - share) * (s * bottom).exp()
            };
            sum + bin.weights.0 * at(bin.squares.0) + bin.weights.1 * at(bin.squares.1)
        });
        (per_copy + moment.ln()) / lambda - mean
    };
    let spread = 3.0 * variance + 2.0 * mean * mean;
    let scale = if spread > 0.0 { spread } else { f64::MIN_POSITIVE };
    // The optimum for a normal law; others lie within the range around it, as in W2.
    let centre = 0.5 * (2.0 * per_copy / scale).ln();
    let (low, mut end) = (centre - 9.0, centre + 8.0);
    if top > 0.0 {
        // 2λb < 1, with room for rounding.
        end = end.min(((0.5 - 1e-9) / top).ln());
    }
    golden_minimum(low.min(end - 9.0), end, deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Slope;
    use crate::theory::bound::tests::reference;

    #[test]
    fn bins_carry_the_mass_and_the_second_moment_of_a_normal_readout() {
        let bins = bins();
        let mass: f64 = bins.iter().map(|bin| bin.weights.0 + bin.weights.1).sum();
        let square: f64 = bins.iter().map(|bin| bin.weights.0 * bin.squares.0 + bin.weights.1 * bin.squares.1).sum();
        // Beyond 7: P = 2.6·10⁻¹², E ω = 1.3·10⁻¹⁰.
        assert!((mass - 1.0).abs() < 1e-11 && (square - 1.0).abs() < 1e-9, "{mass} {square}");
        assert!(bins.iter().all(|bin| bin.weights.0 > 0.0 && bin.weights.1 > 0.0));
    }

    #[test]
    fn known_answers_of_the_reference() {
        let (train, test) = reference();
        let law = NetworkLaw::antisymmetric(1000, ReadoutLaw::Gaussian).unwrap();
        for (slope, both, one) in KNOWN {
            let data = Geometry::new(&train, Slope::new(slope).unwrap(), &test).unwrap();
            for (tail, known) in [(Tail::Both, both), (Tail::TowardsZero, one)] {
                let found = gaussian_network_error_bound(&data, law, 0.2, 1e-3, tail).unwrap();
                for (found, known) in found.iter().zip(known) {
                    // The reference's λ stand on a grid: it lies above the minimum by up to 10⁻⁶ (see `error`).
                    assert!(*found <= known * (1.0 + 1e-11) && *found >= known * (1.0 - 1e-6), "{found:e} {known:e}");
                }
            }
        }
    }

    #[test]
    fn other_readouts_are_rejected_and_no_time_means_no_error() {
        let (train, test) = reference();
        let data = Geometry::new(&train, Slope::RELU, &test).unwrap();
        let law = |readout| NetworkLaw::standard(100, readout).unwrap();
        let bound = |readout, time| gaussian_network_error_bound(&data, law(readout), time, 0.1, Tail::Both);
        assert!(bound(ReadoutLaw::Rademacher, 1.0).is_err() && bound(ReadoutLaw::Gaussian, f64::NAN).is_err());
        assert_eq!(bound(ReadoutLaw::Gaussian, 0.0).unwrap(), vec![0.0; 5]);
    }

    /// checks/known_answers.py, "W12": slope, two tails, one tail (m = 1000, T = 0.2, δ = 10⁻³, antisymmetric).
    type Known = (f64, [f64; 5], [f64; 5]);
    const KNOWN: [Known; 2] = [
        (
            0.0,
            [1.8484661184748e-02, 4.2363783393053e-02, 1.6644438375636e-02, 3.2434984446954e-02, 2.0752245311525e-02],
            [1.4870425187720e-02, 3.2035772326306e-02, 1.4027001873980e-02, 2.5072983049721e-02, 1.7101067365083e-02],
        ),
        (
            0.3,
            [1.5680581411083e-02, 4.1768807515357e-02, 1.2973500641037e-02, 3.0514274704368e-02, 1.6973290100130e-02],
            [1.1740425495796e-02, 3.1013342002437e-02, 1.0014329261684e-02, 2.2683238053260e-02, 1.3206345317264e-02],
        ),
    ];
}
