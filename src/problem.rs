//! The vocabulary that theory and simulation share: points, labels, the activation's slope, times and scenarios.
//!
//! Nothing here computes a prediction, so that [`theory`](crate::theory) and [`network`](crate::network) stay two
//! independent witnesses although both speak of the same data.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::linalg::norm_squared;

/// The largest Euclidean norm of a point: fourth powers of it, which the kernel's angle needs, stay finite.
pub const NORM_LIMIT: f64 = 1e70;

/// A non-empty set of points in `R^d`, all finite, with norms of at most [`NORM_LIMIT`].
///
/// Stored as a `d × N` column-major matrix, one point per column: byte for byte the row-major `N × d` array of NumPy.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    columns: DMatrix<f64>,
}

impl Points {
    /// `count` points of dimension `input_dim` from row-major values (point after point).
    ///
    /// `name` is what an error calls the array.
    ///
    /// # Errors
    /// `count = 0` or `input_dim = 0`; `values.len() ≠ count·input_dim`; an entry that is NaN or infinite; a norm above
    /// [`NORM_LIMIT`].
    pub fn from_rows(name: &str, count: usize, input_dim: usize, values: Vec<f64>) -> Result<Self> {
        if count == 0 || input_dim == 0 {
            return Err(Error::Empty { name: name.into(), expected: "one point with one coordinate" });
        }
        if count.checked_mul(input_dim) != Some(values.len()) {
            return Err(Error::Shape {
                name: name.into(),
                found: format!("{} values", values.len()),
                expected: format!("{count} × {input_dim} values"),
            });
        }
        Self::from_columns(name, DMatrix::from_vec(input_dim, count, values))
    }

    /// Points given as the columns of a `d × N` matrix.
    ///
    /// # Errors
    /// As [`Points::from_rows`].
    pub fn from_columns(name: &str, columns: DMatrix<f64>) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::Empty { name: name.into(), expected: "one point with one coordinate" });
        }
        let input_dim = columns.nrows();
        for (row, point) in columns.as_slice().chunks_exact(input_dim).enumerate() {
            // One pass that any entry that is not finite, and any that is too large, fails; then which, and why.
            if norm_squared(point) < 0.99 * NORM_LIMIT * NORM_LIMIT {
                continue;
            }
            let mut scale = 0.0_f64;
            for (column, &value) in point.iter().enumerate() {
                if !value.is_finite() {
                    return Err(Error::NotFinite { name: name.into(), row, column, value });
                }
                scale = scale.max(value.abs());
            }
            // The quick test avoids overflow of the square; the exact one follows.
            if scale > NORM_LIMIT || norm_squared(point).sqrt() > NORM_LIMIT {
                let norm = scale * point.iter().map(|v| (v / scale).powi(2)).sum::<f64>().sqrt();
                return Err(Error::NormTooLarge { name: name.into(), row, norm, limit: NORM_LIMIT });
            }
        }
        Ok(Points { columns })
    }

    /// N, the number of points; at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.ncols()
    }

    /// d, the number of coordinates; at least 1.
    #[must_use]
    pub fn input_dim(&self) -> usize {
        self.columns.nrows()
    }

    /// The n-th point.
    ///
    /// # Panics
    /// If `n ≥ count()`.
    #[must_use]
    pub fn point(&self, n: usize) -> &[f64] {
        let d = self.input_dim();
        &self.columns.as_slice()[n * d..(n + 1) * d]
    }

    /// All points in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.columns.as_slice().chunks_exact(self.input_dim())
    }

    /// The `d × N` matrix with one point per column.
    #[must_use]
    pub fn as_columns(&self) -> &DMatrix<f64> {
        &self.columns
    }

    /// The points with the given indices, in that order.
    ///
    /// # Panics
    /// If an index is out of range or `indices` is empty.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        assert!(!indices.is_empty(), "a selection of points must not be empty");
        Points { columns: self.columns.select_columns(indices) }
    }

    /// An error unless `other` lives in the same space.
    ///
    /// # Errors
    /// Different dimensions.
    pub fn same_dimension(&self, name: &str, other: &Points) -> Result<()> {
        if self.input_dim() == other.input_dim() {
            return Ok(());
        }
        Err(Error::Shape {
            name: name.into(),
            found: format!("{} × {}", other.count(), other.input_dim()),
            expected: format!("points with {} coordinates, as those they go with", self.input_dim()),
        })
    }
}

/// Points with a label +1 or −1 each.
///
/// A single class is allowed here: random targets of a small set can all be equal. Data that a user brings are checked
/// for two classes where they are read ([`data`](crate::data)).
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSet {
    points: Points,
    labels: Vec<f64>,
}

impl TrainingSet {
    /// Points with their labels ±1.
    ///
    /// # Errors
    /// A different number of points and labels; a label other than +1 and −1.
    pub fn new(points: Points, labels: Vec<f64>) -> Result<Self> {
        if labels.len() != points.count() {
            return Err(Error::Shape {
                name: "labels".into(),
                found: format!("{}", labels.len()),
                expected: format!("{}, one per training point", points.count()),
            });
        }
        plus_minus_one("labels", &labels)?;
        Ok(TrainingSet { points, labels })
    }

    /// An error if the labels of equal points sum to zero at every point: a function that starts from zero then learns nothing.
    ///
    /// Cost: sorts the N points.
    ///
    /// # Errors
    /// The labels cancel.
    pub fn check_learnable(&self) -> Result<()> {
        let mut order: Vec<usize> = (0..self.count()).collect();
        // −0 and 0 are one coordinate.
        let bits = |n: usize| self.points.point(n).iter().map(|x| (x + 0.0).to_bits());
        order.sort_unstable_by(|a, b| bits(*a).cmp(bits(*b)));
        let equal = order.chunk_by(|a, b| bits(*a).eq(bits(*b)));
        let cancels = |group: &[usize]| group.iter().map(|n| self.labels[*n]).sum::<f64>() == 0.0;
        if equal.into_iter().all(cancels) {
            let reason = "the labels of equal points cancel everywhere: nothing is learned".into();
            return Err(Error::Numerical { routine: "learning", reason });
        }
        Ok(())
    }

    /// The points.
    #[must_use]
    pub fn points(&self) -> &Points {
        &self.points
    }

    /// The labels, +1 or −1 each.
    #[must_use]
    pub fn labels(&self) -> &[f64] {
        &self.labels
    }

    /// N.
    #[must_use]
    pub fn count(&self) -> usize {
        self.points.count()
    }

    /// d.
    #[must_use]
    pub fn input_dim(&self) -> usize {
        self.points.input_dim()
    }
}

/// The slope γ ∈ [0, 1) of the leaky ReLU φ(u) = max(u, γu); γ = 0 is the ReLU.
///
/// The derivative is 1 for u ≥ 0 and γ for u < 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, serde::Serialize)]
#[serde(transparent)]
pub struct Slope(f64);

impl Slope {
    /// The ReLU, γ = 0.
    pub const RELU: Slope = Slope(0.0);

    /// A slope.
    ///
    /// # Errors
    /// slope < 0, slope ≥ 1 or NaN.
    pub fn new(value: f64) -> Result<Self> {
        // −0.0 would pass the comparison and print oddly; adding 0.0 makes it +0.0.
        if (0.0..1.0).contains(&value) { Ok(Slope(value + 0.0)) } else { Err(Error::Slope { value }) }
    }

    /// γ as a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// φ(u) = max(u, γu).
    #[must_use]
    pub fn activation(self, u: f64) -> f64 {
        if u >= 0.0 { u } else { self.0 * u }
    }

    /// φ'(u): 1 for u ≥ 0, γ for u < 0.
    #[must_use]
    pub fn derivative(self, u: f64) -> f64 {
        if u >= 0.0 { 1.0 } else { self.0 }
    }
}

/// How the second network's inputs are made from perturbations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Scenario a: train on the perturbation alone, r_n = p_n.
    PerturbationOnly,
    /// Scenario b: train on the perturbed point, r_n = x_n + p_n.
    OnImage,
}

/// A training time (gradient-flow time = Σ learning rates), finite or infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Horizon {
    /// A time ≥ 0.
    Finite(f64),
    /// The limit T → ∞, where it exists.
    Infinite,
}

impl Horizon {
    /// A finite or infinite time.
    ///
    /// # Errors
    /// time < 0 or NaN.
    pub fn new(time: f64) -> Result<Self> {
        if time == f64::INFINITY {
            return Ok(Horizon::Infinite);
        }
        Ok(Horizon::Finite(finite_nonnegative("time", time)?))
    }
}

/// `value` if it is finite and not negative.
///
/// # Errors
/// value < 0, infinite or NaN.
pub fn finite_nonnegative(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(Error::Scalar { name, value, expected: "a finite number, at least 0" })
}

/// `value` if it is finite and positive.
///
/// # Errors
/// value ≤ 0, infinite or NaN.
pub fn finite_positive(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::Scalar { name, value, expected: "a finite number above 0" })
}

/// An error unless all values are finite.
///
/// # Errors
/// A value that is NaN or infinite.
pub fn all_finite(name: &str, values: &[f64]) -> Result<()> {
    let Some(row) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    Err(Error::NotFinite { name: name.into(), row, column: 0, value: values[row] })
}

/// An error unless all values are +1 or −1.
///
/// # Errors
/// Another value.
pub fn plus_minus_one(name: &str, values: &[f64]) -> Result<()> {
    let Some(row) = values.iter().position(|value| value.abs() != 1.0) else { return Ok(()) };
    Err(Error::Label { name: name.into(), row, value: values[row], expected: "+1 or -1".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cancel_only_if_they_do_at_every_point() {
        let set = |values: &[f64], labels: &[f64]| {
            TrainingSet::new(Points::from_rows("x", labels.len(), 1, values.to_vec()).unwrap(), labels.to_vec())
                .unwrap()
        };
        assert!(set(&[0.0, 2.0, -0.0, 2.0], &[1.0, 1.0, -1.0, -1.0]).check_learnable().is_err());
        assert!(set(&[0.0, 2.0, 0.0, 3.0], &[1.0, 1.0, -1.0, -1.0]).check_learnable().is_ok());
        assert!(set(&[0.0, 0.0, 0.0], &[1.0, 1.0, -1.0]).check_learnable().is_ok());
    }

    #[test]
    fn points_are_rejected_with_position_and_value() {
        let nan = Points::from_rows("x", 2, 2, vec![0.0, 1.0, 2.0, f64::NAN]).unwrap_err();
        assert_eq!(nan.to_string(), "x: row 1, column 1 is NaN; expected a finite number");
        assert!(matches!(Points::from_rows("x", 1, 2, vec![1e70, 1e70]), Err(Error::NormTooLarge { row: 0, .. })));
        assert!(matches!(Points::from_rows("x", 1, 1, vec![1e300]), Err(Error::NormTooLarge { .. })));
        assert!(matches!(Points::from_rows("x", 0, 3, vec![]), Err(Error::Empty { .. })));
        assert!(matches!(Points::from_rows("x", 2, 2, vec![0.0; 3]), Err(Error::Shape { .. })));
    }

    #[test]
    fn slopes_and_times_outside_their_domain_are_rejected() {
        for bad in [-1e-300, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Slope::new(bad), Err(Error::Slope { .. })), "{bad}");
        }
        assert!(Slope::new(-0.0).unwrap().value().is_sign_positive());
        assert!(Horizon::new(-1.0).is_err() && Horizon::new(f64::NAN).is_err());
        assert_eq!(Horizon::new(f64::INFINITY).unwrap(), Horizon::Infinite);
    }

    #[test]
    fn labels_other_than_plus_minus_one_are_rejected() {
        let points = Points::from_rows("x", 2, 1, vec![0.0, 1.0]).unwrap();
        assert!(matches!(TrainingSet::new(points.clone(), vec![1.0, 0.0]), Err(Error::Label { row: 1, .. })));
        assert!(matches!(TrainingSet::new(points, vec![1.0]), Err(Error::Shape { .. })));
        assert!(matches!(plus_minus_one("y", &[1.0, f64::NAN]), Err(Error::Label { row: 1, .. })));
        assert!(matches!(all_finite("f", &[0.0, f64::NAN]), Err(Error::NotFinite { row: 1, .. })));
    }
}
