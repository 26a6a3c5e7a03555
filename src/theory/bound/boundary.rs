//! Size of the boundary term of the limit's gradient: P2.

use std::f64::consts::PI;

use super::geometry::{merge, signed_gram};
use crate::error::Result;
use crate::linalg::norm_squared;
use crate::problem::{Points, Slope, TrainingSet};

//= P2@511439b2
/// Boundary term P2: "‖b(x)‖ ≤ (1−γ)²/(2π√d s(x)) Σ_{k: x_k ≠ x} |C_k(x)|".
///
/// Inputs: the training set (equal points are merged, as in b), the slope, the points x. Returns the bound on the
/// boundary term of the limit's change per unit of time for each point. Tightness: observed/bound up to 1.000 (one
/// training point, x = 0; `tests/properties.rs`).
///
/// # Errors
/// Points of another dimension.
pub fn boundary_term_bound(train: &TrainingSet, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    train.points().same_dimension("points", points)?;
    let (distinct, labels) = merge(train);
    let weights: Vec<f64> = labels.iter().map(|y| y / train.count() as f64).collect();
    let sizes = signed_gram(&distinct, &weights, 1.0, points.as_columns());
    let d = points.input_dim() as f64;
    let columns = sizes.as_slice().chunks_exact(distinct.count()).zip(points.iter());
    Ok(columns
        .map(|(column, x)| {
            let others = distinct.iter().zip(column).filter(|(point, _)| *point != x);
            let s = (1.0 + norm_squared(x) / d).sqrt();
            (1.0 - slope.value()).powi(2) / (2.0 * PI * d.sqrt() * s) * others.map(|(_, c)| c.abs()).sum::<f64>()
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_neighbour_by_hand_and_none() {
        let train = TrainingSet::new(Points::from_rows("x", 1, 1, vec![3.0]).unwrap(), vec![-1.0]).unwrap();
        let at = Points::from_rows("x", 2, 1, vec![0.0, 3.0]).unwrap();
        // C = −1 at x = 0, s = 1; at the training point itself nothing is left.
        let bound = boundary_term_bound(&train, Slope::RELU, &at).unwrap();
        assert!((bound[0] - 0.5 / PI).abs() < 1e-16 && bound[1] == 0.0, "{bound:?}");
        assert!(
            boundary_term_bound(&train, Slope::RELU, &Points::from_rows("x", 1, 2, vec![0.0; 2]).unwrap()).is_err()
        );
    }
}
