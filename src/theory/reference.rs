//! The two statistics that the authors' code compares, exactly instead of by Monte Carlo.
//!
//! They differ from this crate's F and G: no bias term (+1) in the kernel, no normalisation of the perturbation, and the
//! weighted sum v in place of the gradient ∇F.

use nalgebra::DMatrix;

use super::kernel::{Kernel, cross_gram, gram};
use crate::error::Result;
use crate::linalg::{Store, multiply_parallel, view};
use crate::problem::{Points, Slope, TrainingSet};

//= K8@ef5665d7
/// f̂(z) = (1/N) Σ_n y_n Φ(x_n, z)⟨x_n, z⟩ at the test points.
///
/// # Errors
/// Test points of another dimension.
pub fn authors_f(train: &TrainingSet, slope: Slope, test: &Points) -> Result<Vec<f64>> {
    train.points().same_dimension("test points", test)?;
    let duals = cross_gram(Kernel::DerivativeDual, slope, train.points(), test);
    let inner = train.points().as_columns().tr_mul(test.as_columns());
    let scale = 1.0 / train.count() as f64;
    Ok((0..test.count())
        .map(|j| scale * (0..train.count()).map(|n| train.labels()[n] * duals[(n, j)] * inner[(n, j)]).sum::<f64>())
        .collect())
}

//= K8@ef5665d7
/// ĝ(z) = (1/N) Σ_n Φ(r_n, z) (1/N) Σ_k y_k Φ(x_n, x_k)⟨x_k, z⟩ at the test points, for the perturbed points r_n. The
/// targets do not enter: y'_n from the label and y'_n from the perturbation cancel.
///
/// # Errors
/// Points of another dimension; another number of perturbed points.
pub fn authors_g(train: &TrainingSet, perturbed: &Points, slope: Slope, test: &Points) -> Result<Vec<f64>> {
    train.points().same_dimension("test points", test)?;
    train.points().same_dimension("perturbed points", perturbed)?;
    let n = train.count();
    if perturbed.count() != n {
        return Err(crate::Error::Shape {
            name: "perturbed points".into(),
            found: perturbed.count().to_string(),
            expected: format!("{n}, one per training point"),
        });
    }
    let duals = gram(Kernel::DerivativeDual, slope, train.points());
    let signed = DMatrix::from_fn(n, test.count(), |k, j| {
        train.labels()[k] * crate::linalg::dot(train.points().point(k), test.point(j))
    });
    let mut sums = vec![0.0; n * test.count()];
    let (left, right) = (view(duals.as_slice(), n, n), view(signed.as_slice(), n, test.count()));
    multiply_parallel(&mut sums, Store::Replace, 1.0 / n as f64, left, right);
    let outer = cross_gram(Kernel::DerivativeDual, slope, perturbed, test);
    let columns = outer.as_slice().chunks_exact(n).zip(sums.chunks_exact(n));
    Ok(columns.map(|(phi, sums)| crate::linalg::dot(phi, sums) / n as f64).collect())
}
