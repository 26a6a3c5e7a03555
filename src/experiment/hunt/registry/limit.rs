//! Statements on the limit's gradient: P2.

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::Draw;
use crate::experiment::hunt::measure::Observed;
use crate::linalg::norm_squared;
use crate::theory::Predictor;
use crate::theory::bound::boundary_term_bound;
use crate::theory::bound::rounding::rounding_factor;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("P2", Kind::Certain, "the boundary term of the limit's gradient ‖b‖", boundary_terms, |case| {
        boundary_term_bound(&case.train, case.slope, &case.test)
    })]
}

fn boundary_terms(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let terms = Predictor::identity(&case.train, case.slope, 1.0)?.boundary_term(&case.test)?;
    let at_point = |(z, term): (&[f64], &[f64])| Observed::Certain {
        value: norm_squared(term).sqrt(),
        rounding: boundary_rounding(case, z),
    };
    Ok(case.test.iter().zip(terms.as_slice().chunks_exact(case.test.input_dim())).map(at_point).collect())
}

/// A summand (1−γ)²/(2πd) C_k (x_k − (1+c)z/s²)/(s s_k sin θ) errs by its relative error in the sine (R3, proof) and the
/// roundings of the difference.
fn boundary_rounding(case: &Case, z: &[f64]) -> f64 {
    let (d, n) = (z.len() as f64, case.train.count() as f64);
    let (norm_z, square) = (norm_squared(z).sqrt(), 1.0 + norm_squared(z) / d);
    let terms = case.train.points().iter().filter(|x| *x != z).map(|x| {
        let norm = norm_squared(x).sqrt();
        let apart: f64 = x.iter().zip(z).map(|(x, z)| (x - z).powi(2)).sum();
        let (sine, product) = (apart.sqrt() / d.sqrt(), norm * norm_z);
        let share = rounding_factor(132.0 * d + n + 600.0) * (1.0 + norm.max(norm_z) / d.sqrt());
        (product + 1.0) * share * (norm + (1.0 + product / d) * norm_z / square) / sine
    });
    (1.0 - case.slope.value()).powi(2) / (2.0 * std::f64::consts::PI * d) * terms.sum::<f64>() / n
}
