//! The trained function of infinite width: f_T(z) = f_0(z) + Σ_k c_k Θ(x_k, z) with dual coefficients c_k.
//!
//! Along the flow ∂_t f(z) = (1/N) Σ_n y_n g_n(t) Θ(x_n, z), so c_k = (y_k/N) ∫₀ᵀ g_k dt for any loss. Identity loss:
//! c_k = y_k T/N. Squared loss: a matrix exponential ([`SquaredLossFlow`]). Any other: an ordinary differential equation
//! in the N dual coefficients, integrated adaptively.

mod gradient;
mod integrate;
mod squared;

pub use integrate::DEFAULT_TOLERANCE;
pub use squared::SquaredLossFlow;

use super::kernel::{Kernel, cross_gram, gram};
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::loss::{Loss, StandardLoss};
use crate::problem::{Horizon, Points, Slope, TrainingSet, all_finite, finite_nonnegative};

/// A trained function of infinite width, as its change from initialisation.
#[derive(Debug, Clone)]
pub struct Predictor {
    train: Points,
    coefficients: Vec<f64>,
    slope: Slope,
    kernel: Kernel,
}

impl Predictor {
    /// From dual coefficients c_k, one per training point, for the tangent kernel of hidden-layer training.
    ///
    /// # Errors
    /// Another number of coefficients than points; a coefficient that is not finite.
    pub fn new(train: Points, coefficients: Vec<f64>, slope: Slope) -> Result<Self> {
        if coefficients.len() != train.count() {
            return Err(Error::Shape {
                name: "dual coefficients".into(),
                found: coefficients.len().to_string(),
                expected: format!("{}, one per training point", train.count()),
            });
        }
        all_finite("dual coefficients", &coefficients)?;
        Ok(Predictor { train, coefficients, slope, kernel: Kernel::Ntk })
    }

    //= K2@94516c8d
    /// Identity loss at time T: c_k = y_k T/N, exactly.
    ///
    /// # Errors
    /// time < 0, infinite or NaN.
    pub fn identity(train: &TrainingSet, slope: Slope, time: f64) -> Result<Self> {
        let scale = finite_nonnegative("time", time)? / train.count() as f64;
        Self::new(train.points().clone(), train.labels().iter().map(|y| y * scale).collect(), slope)
    }

    /// Squared loss at any time, T = ∞ included: see [`SquaredLossFlow`]. `initial_train` is f_0 at the training points
    /// (zero if not given).
    ///
    /// # Errors
    /// As [`SquaredLossFlow::new`]; another number of initial values, or one that is not finite.
    pub fn squared(train: &TrainingSet, slope: Slope, horizon: Horizon, initial_train: Option<&[f64]>) -> Result<Self> {
        SquaredLossFlow::new(train, slope, Kernel::Ntk)?.at(horizon, initial_train)
    }

    /// Any differentiable loss at a finite time, by integrating the dual equation α̇_k = g(y_k f(x_k)) with an adaptive
    /// Dormand–Prince 5(4) pair. `tolerance` bounds the estimated error of each step in α, relative to 1 + |α|;
    /// [`DEFAULT_TOLERANCE`] gives function values to about ten digits.
    ///
    /// # Errors
    /// time < 0, infinite or NaN; a tolerance outside (0, 1); another number of initial values, or one that is not finite;
    /// step sizes that vanish (blow-up of the loss's force).
    pub fn any_loss(
        train: &TrainingSet,
        slope: Slope,
        time: f64,
        loss: &dyn Loss,
        initial_train: Option<&[f64]>,
        tolerance: f64,
    ) -> Result<Self> {
        let time = finite_nonnegative("time", time)?;
        let initial = initial_values(train, initial_train)?;
        let kernel = gram(Kernel::Ntk, slope, train.points());
        let alpha = integrate::dual_flow(&kernel, train.labels(), &initial, loss, time, tolerance)?;
        let scale = 1.0 / train.count() as f64;
        let coefficients = alpha.iter().zip(train.labels()).map(|(alpha, y)| y * alpha * scale).collect();
        Self::new(train.points().clone(), coefficients, slope)
    }

    /// The predictor of one of the shipped losses, by the best route for it. T = ∞ exists for the squared loss only.
    ///
    /// # Errors
    /// [`Error::NoInfiniteTimeLimit`] for the others at T = ∞; another number of initial values, or one that is not finite;
    /// otherwise as the route's own function.
    pub fn train(
        train: &TrainingSet,
        slope: Slope,
        horizon: Horizon,
        loss: StandardLoss,
        initial_train: Option<&[f64]>,
    ) -> Result<Self> {
        // The identity loss does not look at them.
        initial_values(train, initial_train)?;
        match (loss, horizon) {
            (StandardLoss::Squared, _) => Self::squared(train, slope, horizon, initial_train),
            (_, Horizon::Infinite) => Err(Error::NoInfiniteTimeLimit { loss: loss.name().into() }),
            (StandardLoss::Identity, Horizon::Finite(time)) => Self::identity(train, slope, time),
            (_, Horizon::Finite(time)) => Self::any_loss(train, slope, time, &loss, initial_train, DEFAULT_TOLERANCE),
        }
    }

    /// The same coefficients under another kernel: for values only, the closed form of the gradient is that of hidden-layer
    /// training.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The dual coefficients c_k.
    #[must_use]
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// f_T − f_0 at the given points.
    ///
    /// # Errors
    /// Points of another dimension.
    pub fn values(&self, points: &Points) -> Result<Vec<f64>> {
        self.train.same_dimension("test points", points)?;
        // Column blocks bound the memory: N × 512 kernel values at a time.
        let mut values = Vec::with_capacity(points.count());
        let indices: Vec<usize> = (0..points.count()).collect();
        for block in indices.chunks(512) {
            let kernel = cross_gram(self.kernel, self.slope, &self.train, &points.select(block));
            let columns = kernel.as_slice().chunks_exact(self.train.count());
            values.extend(columns.map(|column| dot(column, &self.coefficients)));
        }
        Ok(values)
    }
}

/// f_0 at the training points, zero if not given.
fn initial_values(train: &TrainingSet, given: Option<&[f64]>) -> Result<Vec<f64>> {
    match given {
        None => Ok(vec![0.0; train.count()]),
        Some(values) if values.len() == train.count() => {
            all_finite("initial values", values)?;
            Ok(values.to_vec())
        }
        Some(values) => Err(Error::Shape {
            name: "initial values".into(),
            found: values.len().to_string(),
            expected: format!("{}, one per training point", train.count()),
        }),
    }
}
