//! Statements on single neurons: M3.

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::{Draw, ReadoutSize, follow_pairs, path_rounding};
use crate::experiment::hunt::measure::{Observed, roundings};
use crate::theory::bound::velocity_range;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "M3",
        Kind::Certain,
        "the velocity of a pre-activation, at the start and on average",
        speeds,
        ranges,
    )]
}

/// The distance from the range's centre of V(z; 0) and of (u(z; T) − u(z; 0))/(aT), largest among the neurons.
fn speeds(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    // Each test point needs the largest value only: a few neurons per case leave time for many cases.
    let draw = Draw { pairs: draw.pairs.min(256), ..draw.clone() };
    let paths = follow_pairs(case, ReadoutSize::Plain, &draw)?;
    let at_point = |(z, paths): (&[f64], Vec<[_; 2]>)| {
        let (low, high) = velocity_range(&case.signed_gram(z), case.slope);
        let centre = 0.5 * (low + high);
        let formed = 2.0 * roundings(case.train.input_dim() + case.train.count() + 8) * case.rounding_scale(z);
        let seen = paths.iter().flatten().flat_map(|path: &crate::experiment::hunt::draw::Path| {
            let moved = (path.trained - path.initial) / (path.readout * case.time);
            let rounding = path_rounding(case, z, path.readout) / case.time;
            [((path.velocity - centre).abs(), formed), ((moved - centre).abs(), formed + rounding)]
        });
        let largest = seen.max_by(|a, b| (a.0 - a.1).total_cmp(&(b.0 - b.1)));
        let (value, rounding) = largest.unwrap_or((0.0, 0.0));
        Observed::Certain { value, rounding }
    };
    Ok(case.test.iter().zip(paths).map(at_point).collect())
}

/// Half the length of the range.
fn ranges(case: &Case) -> Result<Vec<f64>> {
    let half = |z: &[f64]| {
        let (low, high) = velocity_range(&case.signed_gram(z), case.slope);
        0.5 * (high - low)
    };
    Ok(case.test.iter().map(half).collect())
}
