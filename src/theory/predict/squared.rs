//! Squared loss: the flow of f at the training points is linear, and an eigendecomposition solves it for every time.

use nalgebra::DMatrix;

use super::{Predictor, initial_values};
use crate::error::{Error, Result};
use crate::linalg::{dot, symmetric_eigen};
use crate::problem::{Horizon, Points, Slope, TrainingSet};
use crate::theory::kernel::{Kernel, gram};

/// The flow under the squared loss ½(1 − y f)² = ½(y − f)²: f_T(X) − y = e^{−TΘ/N}(f_0(X) − y), hence dual coefficients
/// c = Θ⁻¹(I − e^{−TΘ/N})(y − f_0(X)). The eigendecomposition is kept, so that further times cost N² each.
///
/// Singular kernels (duplicated inputs) need no special case at finite times: (1 − e^{−Tλ/N})/λ tends to T/N as λ → 0.
/// At T = ∞ eigenvalues up to N·ε·λ_max are rounding; their directions do not move and are left out (pseudo-inverse).
#[derive(Debug, Clone)]
pub struct SquaredLossFlow {
    train: Points,
    labels: Vec<f64>,
    slope: Slope,
    kernel: Kernel,
    eigenvalues: Vec<f64>,
    /// One eigenvector per column.
    eigenvectors: DMatrix<f64>,
}

impl SquaredLossFlow {
    /// Decomposes the kernel matrix of the training points: O(N³).
    ///
    /// # Errors
    /// The eigensolver did not converge.
    pub fn new(train: &TrainingSet, slope: Slope, kernel: Kernel) -> Result<Self> {
        let (eigenvalues, eigenvectors) = symmetric_eigen(&gram(kernel, slope, train.points()))?;
        let (points, labels) = (train.points().clone(), train.labels().to_vec());
        Ok(SquaredLossFlow { train: points, labels, slope, kernel, eigenvalues, eigenvectors })
    }

    //= K4@e1ba67e9
    /// The predictor at a time; `initial_train` is f_0 at the training points (zero if not given).
    ///
    /// # Errors
    /// time < 0 or NaN; another number of initial values than training points, or one that is not finite.
    pub fn at(&self, horizon: Horizon, initial_train: Option<&[f64]>) -> Result<Predictor> {
        if let Horizon::Finite(time) = horizon {
            crate::problem::finite_nonnegative("time", time)?;
        }
        let n = self.labels.len();
        let set = TrainingSet::new(self.train.clone(), self.labels.clone())?;
        let initial = initial_values(&set, initial_train)?;
        let residual: Vec<f64> = self.labels.iter().zip(&initial).map(|(y, f)| y - f).collect();
        let largest = self.eigenvalues.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let rounding = n as f64 * f64::EPSILON * largest;
        let response = |eigenvalue: f64| match horizon {
            Horizon::Finite(time) => {
                // Rounding can leave tiny negative eigenvalues of a positive semidefinite matrix.
                let rate = eigenvalue.max(0.0) / n as f64;
                if rate * time < 1e-300 { time / n as f64 } else { -(-rate * time).exp_m1() / (rate * n as f64) }
            }
            Horizon::Infinite if eigenvalue <= rounding => 0.0,
            Horizon::Infinite => 1.0 / eigenvalue,
        };
        let mut coefficients = vec![0.0; n];
        for (vector, eigenvalue) in self.eigenvectors.as_slice().chunks_exact(n).zip(&self.eigenvalues) {
            let factor = dot(vector, &residual) * response(*eigenvalue);
            coefficients.iter_mut().zip(vector).for_each(|(c, v)| *c += factor * v);
        }
        if coefficients.iter().any(|c| !c.is_finite()) {
            let reason = "a dual coefficient is not finite: the time is too large for double precision".into();
            return Err(Error::Numerical { routine: "squared-loss flow", reason });
        }
        Ok(Predictor::new(self.train.clone(), coefficients, self.slope)?.with_kernel(self.kernel))
    }

    /// The eigenvalues of the kernel matrix, ascending; rounding may leave those near 0 slightly negative.
    #[must_use]
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::StandardLoss;

    fn set() -> TrainingSet {
        let points = Points::from_rows("x", 2, 2, vec![1.0, 0.5, -0.3, 2.0]).unwrap();
        TrainingSet::new(points, vec![1.0, -1.0]).unwrap()
    }

    #[test]
    fn initial_values_that_do_not_fit_are_named_by_every_route() {
        let losses = [StandardLoss::Identity, StandardLoss::Logistic, StandardLoss::Exponential, StandardLoss::Squared];
        for loss in losses {
            let trained =
                |initial: &[f64]| Predictor::train(&set(), Slope::RELU, Horizon::Finite(1.0), loss, Some(initial));
            assert!(trained(&[0.1, 0.2]).is_ok());
            assert!(matches!(trained(&[0.1]), Err(Error::Shape { .. })), "{loss:?}");
            let found = trained(&[0.1, f64::NAN]).unwrap_err().to_string();
            assert_eq!(found, "initial values: row 1, column 0 is NaN; expected a finite number", "{loss:?}");
        }
    }

    #[test]
    fn the_gradient_under_another_kernel_is_refused() {
        let of =
            |kernel| SquaredLossFlow::new(&set(), Slope::RELU, kernel).unwrap().at(Horizon::Finite(1.0), None).unwrap();
        let (hidden, both, points) = (of(Kernel::Ntk), of(Kernel::NtkBothLayers), set().points().clone());
        assert!(hidden.gradient(&points).is_ok() && both.values(&points).is_ok());
        assert!(matches!(both.gradient(&points), Err(Error::NotCovered { .. })));
        assert!(matches!(both.gradient_parts(&points), Err(Error::NotCovered { .. })));
        assert!(matches!(both.weighted_sum(&points), Err(Error::NotCovered { .. })));
        assert!(matches!(both.boundary_term(&points), Err(Error::NotCovered { .. })));
    }
}
