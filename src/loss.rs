//! Losses of the margin u = y·f: value ℓ(u) and force g(u) = −ℓ'(u).
//!
//! The training objective is the mean (1/N) Σ ℓ(y_n f(x_n)); gradient flow moves f with ∂_t f(z) = (1/N) Σ y_n g_n Θ(x_n, z).

/// A differentiable loss of the margin. Implement it to bring your own.
pub trait Loss: Sync {
    /// ℓ(u).
    fn value(&self, margin: f64) -> f64;
    /// g(u) = −ℓ'(u). The paper's losses have g ≥ 0 (non-decreasing in the negative margin); the squared loss has not.
    fn force(&self, margin: f64) -> f64;
    /// ℓ(u) and g(u), where both are wanted: they may share an exponential.
    fn value_and_force(&self, margin: f64) -> (f64, f64) {
        (self.value(margin), self.force(margin))
    }
    /// sup |g| over all margins, if finite: 1 for identity and logistic loss.
    fn force_max(&self) -> Option<f64>;
    /// The name used in messages.
    fn name(&self) -> &str;
    /// Whether g ≡ 1 (the identity loss): neurons then do not feel each other, and faster routes apply.
    fn is_identity(&self) -> bool {
        false
    }
}

/// The losses that the crate ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandardLoss {
    /// ℓ(u) = −u, g = 1: the loss of the paper's main experiments, for which the flow is solved exactly.
    Identity,
    /// ℓ(u) = log(1 + e^{−u}), g(u) = 1/(1 + e^u).
    Logistic,
    /// ℓ(u) = e^{−u}, g(u) = e^{−u}.
    Exponential,
    /// ℓ(u) = (1 − u)²/2, g(u) = 1 − u, negative for margins above 1.
    Squared,
}

/// log(1 + e^{−u}) from e^{−|u|}: no overflow for u → −∞.
fn logistic_value(margin: f64, tail: f64) -> f64 {
    tail.ln_1p() + (-margin).max(0.0)
}

/// 1/(1 + e^u) from e^{−|u|}: no overflow, full relative accuracy.
fn logistic_force(margin: f64, tail: f64) -> f64 {
    if margin >= 0.0 { tail / (1.0 + tail) } else { 1.0 / (1.0 + tail) }
}

impl Loss for StandardLoss {
    fn value(&self, margin: f64) -> f64 {
        match self {
            StandardLoss::Identity => -margin,
            StandardLoss::Logistic => logistic_value(margin, (-margin.abs()).exp()),
            StandardLoss::Exponential => (-margin).exp(),
            StandardLoss::Squared => 0.5 * (1.0 - margin).powi(2),
        }
    }

    fn force(&self, margin: f64) -> f64 {
        match self {
            StandardLoss::Identity => 1.0,
            StandardLoss::Logistic => logistic_force(margin, (-margin.abs()).exp()),
            StandardLoss::Exponential => (-margin).exp(),
            StandardLoss::Squared => 1.0 - margin,
        }
    }

    fn value_and_force(&self, margin: f64) -> (f64, f64) {
        match self {
            StandardLoss::Logistic => {
                let tail = (-margin.abs()).exp();
                (logistic_value(margin, tail), logistic_force(margin, tail))
            }
            StandardLoss::Exponential => {
                let value = (-margin).exp();
                (value, value)
            }
            StandardLoss::Identity | StandardLoss::Squared => (self.value(margin), self.force(margin)),
        }
    }

    fn force_max(&self) -> Option<f64> {
        match self {
            StandardLoss::Identity | StandardLoss::Logistic => Some(1.0),
            StandardLoss::Exponential | StandardLoss::Squared => None,
        }
    }

    fn name(&self) -> &str {
        match self {
            StandardLoss::Identity => "identity",
            StandardLoss::Logistic => "logistic",
            StandardLoss::Exponential => "exponential",
            StandardLoss::Squared => "squared",
        }
    }

    fn is_identity(&self) -> bool {
        *self == StandardLoss::Identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_is_minus_the_derivative_of_the_value() {
        let losses = [StandardLoss::Identity, StandardLoss::Logistic, StandardLoss::Exponential, StandardLoss::Squared];
        for loss in losses {
            for margin in [-3.0, -0.5, 0.0, 0.25, 4.0] {
                let h = 1e-5;
                let slope = (loss.value(margin + h) - loss.value(margin - h)) / (2.0 * h);
                // Central differences err by h²/6·|ℓ'''| plus rounding ε|ℓ|/h: below 1e−8 for these margins.
                assert!((slope + loss.force(margin)).abs() < 1e-8, "{} at {margin}", loss.name());
                assert_eq!(loss.value_and_force(margin), (loss.value(margin), loss.force(margin)));
            }
        }
    }

    #[test]
    fn logistic_keeps_its_digits_far_from_zero() {
        assert_eq!(StandardLoss::Logistic.value(-1000.0), 1000.0);
        assert_eq!(StandardLoss::Logistic.force(-1000.0), 1.0);
        assert!(StandardLoss::Logistic.force(700.0) > 0.0);
    }
}
