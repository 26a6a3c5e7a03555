//! The path-kernel identity: how far one neuron carries the output, from the path of its derivatives.

use crate::problem::Slope;

/// One neuron's path as its derivatives tell it.
#[derive(Debug, Clone, Copy)]
pub struct DerivativePath<'a> {
    /// a.
    pub readout: f64,
    /// φ'(u(x_n; 0)) per training point.
    pub initial: &'a [f64],
    /// (time, n, derivative): from that time on φ'(u(x_n)) has that value. In the order of time.
    pub changes: &'a [(f64, usize, f64)],
}

//= K1@b4690933
/// One neuron's summand of the path-kernel identity K1 for the identity loss:
/// "f_T(z) − f_0(z) = (1/N) Σ_n y_n K_n(z) ∫₀ᵀ Σ_i a_i² φ'(u_i(x_n;t)) φ'(u_i(z;t)) dt".
///
/// Inputs: the neuron's path, u(z;0), `signed_gram` C_n(z) = y_n K_n(z)/N, flow time T. Between changes u(z; ·) is a
/// straight line, so that the integral is exact up to rounding (R5). Cost: one operation per change.
#[must_use]
pub fn path_kernel_change(
    path: DerivativePath<'_>,
    preactivation: f64,
    signed_gram: &[f64],
    slope: Slope,
    time: f64,
) -> f64 {
    let mut velocity: f64 = signed_gram.iter().zip(path.initial).map(|(c, derivative)| c * derivative).sum();
    let mut derivatives = path.initial.to_vec();
    let (mut u, mut now, mut integral) = (preactivation, 0.0, 0.0);
    let mut advance = |velocity: f64, until: f64| {
        let (step, speed) = (until - now, path.readout * velocity);
        let end = u + speed * step;
        if (u >= 0.0) == (end >= 0.0) {
            integral += slope.derivative(u) * velocity * step;
        } else {
            let before = (-u / speed).clamp(0.0, step);
            integral += velocity * (slope.derivative(u) * before + slope.derivative(end) * (step - before));
        }
        (u, now) = (end, until);
    };
    for &(at, n, derivative) in path.changes {
        advance(velocity, at);
        velocity += signed_gram[n] * (derivative - derivatives[n]);
        derivatives[n] = derivative;
    }
    advance(velocity, time);
    path.readout * path.readout * integral
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample with C = 2, a = −1, γ = ½, by hand: u(z) = 3 falls at 2; at t = 1 the sample's derivative becomes ½
    /// and u falls on at 1: it reaches 0 at t = 2. Until T = 4: ∫φ'V = 2 + 1 + ½·1·2.
    #[test]
    fn one_sample_by_hand() {
        let slope = Slope::new(0.5).unwrap();
        let path = DerivativePath { readout: -1.0, initial: &[1.0], changes: &[(1.0, 0, 0.5)] };
        assert_eq!(path_kernel_change(path, 3.0, &[2.0], slope, 4.0), 4.0);
        // φ falls from 3 to −1, times a = −1.
        assert_eq!(path_kernel_change(path, 3.0, &[0.0], slope, 4.0), 0.0);
    }
}
