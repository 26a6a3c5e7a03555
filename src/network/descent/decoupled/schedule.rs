//! Learning rates, and what constant forces do under them.

use crate::network::descent::impulse_responses;
use crate::network::descent::stretch::Stretch;

/// The most steps between two decisions whether neurons walk together or alone, while they walk alone.
pub(super) const ALONE_STEPS: usize = 128;

/// A schedule of learning rates with what follows from it.
pub(super) struct Schedule<'a> {
    pub rates: &'a [f64],
    /// R_k for k = 0 … steps (the last is 0: a change after the final step moves nothing).
    pub reach: Vec<f64>,
    /// For each step, the first later one with another rate.
    pub constant_until: Vec<usize>,
    /// For j = 0 … [`ALONE_STEPS`] steps under constant forces and learning rate 1: the coefficients of p and q in the
    /// movement of u, and those in the new p.
    pub stretches: Vec<Stretch<f64>>,
}

impl<'a> Schedule<'a> {
    pub fn new(rates: &'a [f64], momentum: f64) -> Self {
        let mut reach = impulse_responses(rates, momentum);
        reach.push(0.0);
        for k in (0..rates.len()).rev() {
            reach[k] += reach[k + 1];
        }
        let mut constant_until = vec![rates.len(); rates.len()];
        for k in (1..rates.len()).rev() {
            constant_until[k - 1] = if rates[k] == rates[k - 1] { constant_until[k] } else { k };
        }
        let mut stretches = vec![Stretch { s: 0.0, c: 0.0, d: 1.0, b: 0.0 }];
        for j in 0..ALONE_STEPS {
            let last = stretches[j];
            let (d, b) = (momentum * last.d, momentum * last.b + 1.0);
            stretches.push(Stretch { s: last.s + d, c: last.c + b, d, b });
        }
        Schedule { rates, reach, constant_until, stretches }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_what_single_steps_add_up_to() {
        let rates = [0.5; 9];
        let schedule = Schedule::new(&rates, 0.75);
        let (u, p, q) = (1.0, -2.0, 0.5);
        let (mut stepped, mut velocity) = (u, p);
        for k in 0..9 {
            let stretch = schedule.stretches[k];
            let leapt = u + 0.5 * (stretch.s * p + stretch.c * q);
            assert!((leapt - stepped).abs() <= 40.0 * f64::EPSILON);
            assert!((stretch.d * p + stretch.b * q - velocity).abs() <= 40.0 * f64::EPSILON);
            velocity = 0.75 * velocity + q;
            stepped += 0.5 * velocity;
        }
        assert_eq!(Schedule::new(&[1.0, 1.0, 0.1, 0.1, 0.1, 0.01], 0.0).constant_until, [2, 2, 5, 5, 5, 6]);
    }
}
