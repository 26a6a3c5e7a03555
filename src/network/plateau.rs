//! The plateau rule of the reference experiments: divide the learning rate by 10 when the loss has stopped falling.

/// State of the rule: factor 0.1, patience 10, relative threshold 10⁻⁴, changes below 10⁻⁸ ignored.
///
/// A loss is an improvement if it is below best·(1 − 10⁻⁴). For a negative best that bound lies *above* it, so that every
/// loss that is not clearly worse counts as an improvement, and becomes the new best: this is what the framework of the
/// reference code does, and it is kept. After more than ten losses in a row without improvement the learning rate is
/// multiplied by 0.1 and the count starts again.
///
/// The rule is fed once per step with the training loss of that step's forward pass, and acts on the next step's rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Plateau {
    best: f64,
    bad_steps: u32,
}

const FACTOR: f64 = 0.1;
const PATIENCE: u32 = 10;
const THRESHOLD: f64 = 1e-4;
const LEAST_CHANGE: f64 = 1e-8;

impl Default for Plateau {
    fn default() -> Self {
        Plateau { best: f64::INFINITY, bad_steps: 0 }
    }
}

impl Plateau {
    /// Takes in the loss of a step and returns the learning rate of the next.
    pub fn step(&mut self, loss: f64, learning_rate: f64) -> f64 {
        if loss < self.best * (1.0 - THRESHOLD) {
            self.best = loss;
            self.bad_steps = 0;
        } else {
            self.bad_steps += 1;
        }
        if self.bad_steps <= PATIENCE {
            return learning_rate;
        }
        self.bad_steps = 0;
        let reduced = learning_rate * FACTOR;
        if learning_rate - reduced > LEAST_CHANGE { reduced } else { learning_rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(losses: &[f64]) -> Vec<f64> {
        let (mut rule, mut rate) = (Plateau::default(), 1.0);
        losses
            .iter()
            .map(|loss| {
                rate = rule.step(*loss, rate);
                rate
            })
            .collect()
    }

    #[test]
    fn eleven_losses_without_improvement_reduce_the_rate() {
        let constant = rates(&[2.0; 24]);
        // The first loss improves on infinity; eleven bad ones follow, twice.
        assert!(constant[..11].iter().all(|r| *r == 1.0));
        assert_eq!((constant[11], constant[21]), (0.1, 0.1));
        assert!((constant[22] - 0.01).abs() < 1e-17);
    }

    #[test]
    fn a_small_fall_is_no_improvement_and_a_large_one_resets_the_count() {
        let mut losses = vec![1.0];
        losses.extend([0.99995; 10]);
        assert!(rates(&losses).iter().all(|r| *r == 1.0));
        losses.push(0.5);
        losses.extend([0.5; 10]);
        assert!(rates(&losses).iter().all(|r| *r == 1.0));
        losses.push(0.5);
        assert_eq!(*rates(&losses).last().unwrap(), 0.1);
    }

    #[test]
    fn with_negative_losses_standing_still_counts_as_improvement() {
        assert!(rates(&[-1.0; 40]).iter().all(|r| *r == 1.0));
        // Getting worse by more than 10⁻⁴ relative does not.
        let rising: Vec<f64> = (0..13).map(|k| -1.0 + 0.01 * f64::from(k)).collect();
        assert_eq!(*rates(&rising[..12]).last().unwrap(), 0.1);
    }

    #[test]
    fn tiny_changes_are_ignored() {
        let (mut rule, mut rate) = (Plateau::default(), 1e-8);
        for _ in 0..30 {
            rate = rule.step(1.0, rate);
        }
        assert_eq!(rate, 1e-8);
    }
}
