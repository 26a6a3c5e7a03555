//! What a trained network can be, given the initial one: M4, M5, M6. Identity loss, flow or plain descent; no
//! probability is involved beyond the single neuron of M4.

use nalgebra::DMatrix;

use super::geometry::velocity_range;
use super::rounding::Slack;
use crate::error::{Error, Result};
use crate::problem::{Slope, all_finite, finite_nonnegative};

/// Flip times are rounded down by this share, more than the roundings of the division and sum that yield them.
const ROUND_DOWN: f64 = 8.0 * f64::EPSILON;

/// One neuron at one point at time 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// u(x; 0).
    pub preactivation: f64,
    /// V(x; 0) = Σ_k C_k(x) φ'(u(x_k; 0)): u moves at a·V.
    pub velocity: f64,
    /// How far rounding may have moved the flow from these numbers: R5 for a computed flow, zero for an exact one.
    pub slack: Slack,
}

impl Start {
    /// +1 for u ≥ 0, −1 for u < 0.
    fn sign(&self) -> f64 {
        if self.preactivation >= 0.0 { 1.0 } else { -1.0 }
    }

    /// A slack may be infinite: nothing is then known, and a sign may change at once.
    fn check(&self) -> Result<()> {
        all_finite("preactivation and velocity", &[self.preactivation, self.velocity])?;
        for value in [self.slack.preactivation, self.slack.velocity] {
            nonnegative("slack", value)?;
        }
        Ok(())
    }
}

/// An error unless 0 ≤ value ≤ ∞.
fn nonnegative(name: &'static str, value: f64) -> Result<()> {
    if value >= 0.0 { Ok(()) } else { Err(Error::Scalar { name, value, expected: "a number, at least 0" }) }
}

//= M4@0faeb377
/// Flip windows M4: "given a, P(sign change at x by t) ≤ p(x) |a| t λ(x), λ = (V↑)₊ + (V↓)₋".
///
/// Inputs: `window` λ(x) in units of velocity (from [`velocity_range`]), `density_at_zero` p(x) = 1/(√(2π) s(x)),
/// `readout_abs` |a|, flow time t. Never above 1. Tightness: observed/bound .93 for one training point and γ = .9, .52 for
/// γ = 0, where half of the neurons rest, at most .43 for twelve (`tests/dynamics.rs`); MNIST .15
/// (m = 1000, T = .3).
///
/// # Errors
/// A negative, infinite or NaN argument.
pub fn flip_probability_bound(window: f64, density_at_zero: f64, readout_abs: f64, time: f64) -> Result<f64> {
    let window = finite_nonnegative("flip window", window)?;
    let density = finite_nonnegative("density at zero", density_at_zero)?;
    let speed = finite_nonnegative("readout", readout_abs)? * finite_nonnegative("time", time)?;
    Ok((density * speed * window).min(1.0))
}

//= M5@395a0e05
/// Flip times M5: "the sign of u(x; ·) cannot change before τ'(x) = inf{t : |a| ∫₀ᵗ [ςV(x;0) + E^ς(x;s)] ds ≥
/// |u(x;0)|}, ς = −sgn(u(x;0)) sgn(a)", with E^±(x;t) the sum over the training points x_j ≠ x with τ_j ≤ t of
/// (e_j)_±, e_j(x) = −(1−γ) sgn(u_j) C_j(x).
///
/// Inputs: one neuron's readout a and its `starts` at the N training points, `signed_gram` with C_j(x_k) in row j and
/// column k, flow time T, `passes` ≥ 1. The first pass gives the times of M4, each further one improves them; all are
/// valid. Returns τ_k per training point, ∞ if the sign cannot change within T. Cost: N² per pass at most, N·(flips by
/// T) after the first. Tightness: bound/observed first flip at most 1.00, median .997 over small data sets of every
/// kind (`tests/properties.rs`).
///
/// # Errors
/// A matrix that is not N × N; no pass; a time that is negative or not finite; a readout, a start or an entry of the matrix
/// that is not finite; a slack that is negative or NaN.
pub fn flip_times(
    readout: f64,
    starts: &[Start],
    signed_gram: &DMatrix<f64>,
    slope: Slope,
    time: f64,
    passes: usize,
) -> Result<Vec<f64>> {
    let n = starts.len();
    if signed_gram.shape() != (n, n) {
        return Err(Error::Shape {
            name: "signed Gram matrix".into(),
            found: format!("{} × {}", signed_gram.nrows(), signed_gram.ncols()),
            expected: format!("{n} × {n}, training points by training points"),
        });
    }
    if passes == 0 {
        return Err(Error::Scalar { name: "passes", value: 0.0, expected: "at least 1" });
    }
    let time = finite_nonnegative("time", time)?;
    all_finite("readout", &[readout])?;
    starts.iter().try_for_each(Start::check)?;
    all_finite("signed Gram matrix", signed_gram.as_slice())?;
    let mut times = vec![0.0_f64; n];
    for _ in 0..passes {
        let flips = Flips::new(starts, &times, time);
        let columns = signed_gram.as_slice().chunks_exact(n.max(1));
        let points = starts.iter().zip(columns).enumerate();
        let next = points.map(|(k, (start, column))| flips.earliest(readout, start, column, slope, Some(k)));
        times = next.zip(&times).map(|(new, old)| new.max(*old)).collect();
    }
    Ok(times)
}

/// M5 at any point: the time before which u(x; ·) keeps its sign, ∞ if that is beyond `time`.
///
/// Inputs: as [`flip_times`], whose result is `flip_times`; `at` is the neuron at the point x, `signed_gram` C_j(x).
///
/// # Errors
/// Slices of different lengths; a time that is negative or not finite; a readout, a start or an entry of `signed_gram` that
/// is not finite; a slack or flip time that is negative or NaN.
pub fn flip_time_at(neuron: &TrainedNeuron<'_>, signed_gram: &[f64], slope: Slope, time: f64) -> Result<f64> {
    neuron.check(signed_gram)?;
    let flips = Flips::new(neuron.starts, neuron.flip_times, finite_nonnegative("time", time)?);
    Ok(flips.earliest(neuron.readout, &neuron.at, signed_gram, slope, None))
}

/// The training points that may have flipped by the horizon, in the order of their times.
struct Flips {
    /// τ_j, j, sgn(u_j).
    order: Vec<(f64, usize, f64)>,
    horizon: f64,
}

impl Flips {
    fn new(starts: &[Start], times: &[f64], horizon: f64) -> Self {
        let signs = starts.iter().map(Start::sign);
        let all = times.iter().zip(signs).enumerate().map(|(j, (time, sign))| (*time, j, sign));
        let mut order: Vec<_> = all.filter(|(time, ..)| *time <= horizon).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        Flips { order, horizon }
    }

    /// τ'(x): the way to 0 shrinks at the speed |a|(ςV + E^ς), which grows at each τ_j. `own` is the training point
    /// that x is: its derivative stays until the very flip that is looked for.
    fn earliest(&self, readout: f64, start: &Start, signed_gram: &[f64], slope: Slope, own: Option<usize>) -> f64 {
        let q = readout.abs();
        let mut left = start.preactivation.abs() - start.slack.preactivation;
        if q == 0.0 {
            return f64::INFINITY;
        }
        if left <= 0.0 {
            return 0.0;
        }
        let direction = -start.sign() * readout.signum();
        let (mut now, mut speed) = (0.0, direction * start.velocity + start.slack.velocity);
        let step = 1.0 - slope.value();
        for &(time, j, sign) in self.order.iter().filter(|flip| Some(flip.1) != own) {
            let arrival = now + left / (q * speed);
            if speed > 0.0 && arrival <= time {
                return arrival * (1.0 - ROUND_DOWN);
            }
            left -= q * speed * (time - now);
            now = time;
            speed += (-direction * step * sign * signed_gram[j]).max(0.0);
        }
        let arrival = (now + left / (q * speed)).max(now) * (1.0 - ROUND_DOWN);
        if speed > 0.0 && arrival <= self.horizon { arrival } else { f64::INFINITY }
    }
}

/// One neuron of an initial network, with what M5 knows of its flips, seen at a point z.
#[derive(Debug, Clone, Copy)]
pub struct TrainedNeuron<'a> {
    /// a.
    pub readout: f64,
    /// The neuron at the training points.
    pub starts: &'a [Start],
    /// Lower bounds τ_j of its first sign changes there, from [`flip_times`].
    pub flip_times: &'a [f64],
    /// The neuron at z; its slack is not used by M6, whose rounding is `FlowSlack::output`.
    pub at: Start,
}

impl TrainedNeuron<'_> {
    fn check(&self, signed_gram: &[f64]) -> Result<()> {
        let lengths = [self.starts.len(), self.flip_times.len()];
        if lengths.iter().any(|length| *length != signed_gram.len()) {
            return Err(Error::Shape {
                name: "starts and flip times".into(),
                found: format!("{} and {}", lengths[0], lengths[1]),
                expected: format!("{}, one per training point", signed_gram.len()),
            });
        }
        all_finite("readout", &[self.readout])?;
        self.starts.iter().chain([&self.at]).try_for_each(Start::check)?;
        self.flip_times.iter().try_for_each(|time| nonnegative("flip time", *time))?;
        all_finite("signed Gram matrix", signed_gram)
    }

    /// [D↓, D↑]: where the time integral of the velocity at z lies.
    fn displacement(&self, signed_gram: &[f64], slope: Slope, time: f64) -> (f64, f64) {
        let step = 1.0 - slope.value();
        let (mut down, mut up) = (0.0, 0.0);
        for ((start, flip), c) in self.starts.iter().zip(self.flip_times).zip(signed_gram) {
            let effect = -step * start.sign() * c * (time - flip).max(0.0);
            up += effect.max(0.0);
            down += (-effect).max(0.0);
        }
        (time * self.at.velocity - down, time * self.at.velocity + up)
    }
}

//= M6@21527c25
/// Enclosure M6: "f_T(z) − f_0(z) ∈ [Σ h̲_i, Σ h̄_i], h̄_i = a_i[φ(u_i + a_i D_i↑) − φ(u_i)], h̲_i with D_i↓, where
/// D_i↑ = T V_i(z;0) + Σ_j (T−τ_ij)₊ (e_ij(z))₊ and D_i↓ = T V_i(z;0) − Σ_j (T−τ_ij)₊ (e_ij(z))₋".
///
/// Inputs: all neurons of the network, `signed_gram` C_j(z), flow time T. Returns (low, high). Holds for the flow and
/// for plain descent with Σ η = T. Tightness: deviation from linear growth over the bound's, median .61, largest 1.00
/// over small data sets of every kind; descent .59, 1.00 (`tests/properties.rs`).
///
/// # Errors
/// As [`flip_time_at`].
pub fn network_enclosure<'a>(
    neurons: impl IntoIterator<Item = TrainedNeuron<'a>>,
    signed_gram: &[f64],
    slope: Slope,
    time: f64,
) -> Result<(f64, f64)> {
    let time = finite_nonnegative("time", time)?;
    let (mut low, mut high) = (0.0, 0.0);
    for neuron in neurons {
        neuron.check(signed_gram)?;
        let (a, u) = (neuron.readout, neuron.at.preactivation);
        let (down, up) = neuron.displacement(signed_gram, slope, time);
        let change = |displacement: f64| a * (slope.activation(u + a * displacement) - slope.activation(u));
        low += change(down);
        high += change(up);
    }
    Ok((low, high))
}

/// The coarser bound at the end of M6: "|f_T(z) − f_0(z) − T F̂_0(z)| ≤ (1−γ) Σ_k |C_k(z)| Σ_i a_i² (T − τ_i(x_k))₊ +
/// (1−γ) Σ_i |a_i| (|a_i| T max(|V↑|, |V↓|) − |u_i(z;0)|)₊", F̂_0 the rate of change at time 0.
///
/// Inputs: as [`network_enclosure`]. Tightness: observed/bound median .11, largest 1.00 (`tests/properties.rs`).
///
/// # Errors
/// As there.
pub fn network_deviation_bound<'a>(
    neurons: impl IntoIterator<Item = TrainedNeuron<'a>>,
    signed_gram: &[f64],
    slope: Slope,
    time: f64,
) -> Result<f64> {
    let time = finite_nonnegative("time", time)?;
    all_finite("signed Gram matrix", signed_gram)?;
    let (low, high) = velocity_range(signed_gram, slope);
    let fastest = low.abs().max(high.abs());
    let mut sum = 0.0;
    for neuron in neurons {
        neuron.check(signed_gram)?;
        let q = neuron.readout.abs();
        let waits = signed_gram.iter().zip(neuron.flip_times);
        sum += q * q * waits.map(|(c, flip)| c.abs() * (time - flip).max(0.0)).sum::<f64>();
        sum += q * (q * time * fastest - neuron.at.preactivation.abs()).max(0.0);
    }
    Ok((1.0 - slope.value()) * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(preactivation: f64, velocity: f64) -> Start {
        Start { preactivation, velocity, slack: Slack::default() }
    }

    /// Two samples, a = 1, γ = ½, by hand. C_1(x_1) = −1, C_2(x_1) = −1, C_1(x_2) = −1, C_2(x_2) = 2. u = (3, −1):
    /// V(x_1) = −1 − ½ = −3/2, V(x_2) = −1 + 1 = 0; e_1(x_2) = ½, e_2(x_1) = −½.
    fn two_samples() -> (Vec<Start>, DMatrix<f64>, Slope) {
        let gram = DMatrix::from_row_slice(2, 2, &[-1.0, -1.0, -1.0, 2.0]);
        (vec![start(3.0, -1.5), start(-1.0, 0.0)], gram, Slope::new(0.5).unwrap())
    }

    #[test]
    fn two_samples_by_hand() {
        let (starts, gram, slope) = two_samples();
        let close = |found: &[f64], known: [f64; 2]| {
            // The times are rounded down by 8 ε.
            found.iter().zip(known).all(|(f, k)| *f <= k && *f >= k * (1.0 - 32.0 * f64::EPSILON))
        };
        // Sample 1 falls at 3/2 and, if sample 2 flips, at 2; sample 2 rests and rises at e_1 = ½ if sample 1 flips.
        let first = flip_times(1.0, &starts, &gram, slope, 10.0, 1).unwrap();
        assert!(close(&first, [1.5, 2.0]), "{first:?}");
        // Sample 2 cannot flip before 2: sample 1 falls at 3/2 until it arrives. Sample 2 rests until 3/2: 3/2 + 1/½.
        let second = flip_times(1.0, &starts, &gram, slope, 10.0, 2).unwrap();
        assert!(close(&second, [2.0, 3.5]), "{second:?}");
        assert_eq!(flip_times(0.0, &starts, &gram, slope, 10.0, 3).unwrap(), [f64::INFINITY; 2]);
        assert_eq!(flip_times(1.0, &starts, &gram, slope, 0.5, 1).unwrap(), [f64::INFINITY; 2]);
    }

    #[test]
    fn slack_hastens_flips() {
        let (mut starts, gram, slope) = two_samples();
        starts[0].slack = Slack { preactivation: 1.0, velocity: 0.5 };
        let first = flip_times(1.0, &starts, &gram, slope, 10.0, 1).unwrap();
        // (3 − 1)/(2 + ½).
        assert!((first[0] - 0.8).abs() < 1e-14);
        starts[0].slack.preactivation = 4.0;
        assert_eq!(flip_times(1.0, &starts, &gram, slope, 10.0, 1).unwrap()[0], 0.0);
    }

    #[test]
    fn an_enclosure_by_hand() {
        let (starts, gram, slope) = two_samples();
        let times = flip_times(1.0, &starts, &gram, slope, 3.0, 1).unwrap();
        // At z = x_1, T = 3: D↓ = −9/2 − (3 − 2)·½ = −5 (sample 2), D↑ = −9/2 + (3 − 3/2)·½ = −15/4 (sample 1).
        let neuron = TrainedNeuron { readout: 1.0, starts: &starts, flip_times: &times, at: starts[0] };
        let column: Vec<f64> = gram.column(0).iter().copied().collect();
        let (low, high) = network_enclosure([neuron], &column, slope, 3.0).unwrap();
        // φ(3 − 5) − 3 = −4, and φ(3 − 15/4) − 3 = −27/8.
        assert!((low + 4.0).abs() < 1e-13 && (high + 27.0 / 8.0).abs() < 1e-13, "{low} {high}");
        // Coarse: ½(1·3/2 + 1·1) + ½(3·2 − 3).
        let coarse = network_deviation_bound([neuron], &column, slope, 3.0).unwrap();
        assert!((coarse - 2.75).abs() < 1e-13, "{coarse}");
        assert!((flip_time_at(&neuron, &column, slope, 3.0).unwrap() - 2.0).abs() < 1e-13);
    }

    #[test]
    fn flip_windows_by_hand_and_bad_input() {
        assert_eq!(flip_probability_bound(2.0, 0.25, 0.5, 3.0).unwrap(), 0.75);
        assert_eq!(flip_probability_bound(2.0, 0.25, 0.5, 30.0).unwrap(), 1.0);
        assert!(flip_probability_bound(-1.0, 0.25, 0.5, 3.0).is_err());
        let (starts, gram, slope) = two_samples();
        assert!(flip_times(1.0, &starts[..1], &gram, slope, 1.0, 1).is_err());
        assert!(flip_times(1.0, &starts, &gram, slope, 1.0, 0).is_err());
        assert!(flip_times(1.0, &starts, &gram, slope, f64::NAN, 1).is_err());
        let short = TrainedNeuron { readout: 1.0, starts: &starts, flip_times: &[0.0], at: starts[0] };
        assert!(network_enclosure([short], &[1.0, 2.0], slope, 1.0).is_err());
    }

    #[test]
    fn what_is_not_a_number_is_refused_and_not_taken_for_a_sign_that_stays() {
        let (good, gram, slope) = two_samples();
        let nan = f64::NAN;
        let of = |readout, starts: &[Start], gram: &DMatrix<f64>| flip_times(readout, starts, gram, slope, 1.0, 1);
        let slack = |preactivation, velocity| Slack { preactivation, velocity };
        let bad_starts = [
            start(nan, 1.0),
            start(1.0, nan),
            Start { slack: slack(nan, 0.0), ..good[0] },
            Start { slack: slack(0.0, -1.0), ..good[0] },
        ];
        assert!(of(nan, &good, &gram).is_err());
        assert!(of(1.0, &good, &DMatrix::from_element(2, 2, nan)).is_err());
        let known = TrainedNeuron { readout: 1.0, starts: &good, flip_times: &[0.5, f64::INFINITY], at: good[0] };
        let refused = |neuron: TrainedNeuron<'_>, column: &[f64]| {
            flip_time_at(&neuron, column, slope, 1.0).is_err()
                && network_enclosure([neuron], column, slope, 1.0).is_err()
                && network_deviation_bound([neuron], column, slope, 1.0).is_err()
        };
        let column = [-1.0, 2.0];
        assert!(network_deviation_bound([known], &column, slope, 1.0).is_ok());
        for bad in bad_starts {
            assert!(of(1.0, &[good[0], bad], &gram).is_err(), "{bad:?}");
            assert!(refused(TrainedNeuron { at: bad, ..known }, &column), "{bad:?}");
            assert!(refused(TrainedNeuron { starts: &[good[0], bad], ..known }, &column), "{bad:?}");
        }
        assert!(refused(TrainedNeuron { readout: nan, ..known }, &column));
        assert!(refused(TrainedNeuron { flip_times: &[0.5, nan], ..known }, &column));
        assert!(refused(known, &[-1.0, nan]));
        // Nothing is known of a computed path without a bound on its rounding.
        let unknown = Start { slack: slack(f64::INFINITY, f64::INFINITY), ..good[0] };
        assert_eq!(of(1.0, &[unknown, good[1]], &gram).unwrap()[0], 0.0);
    }
}
