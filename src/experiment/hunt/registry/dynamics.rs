//! Statements on single neurons: M3, M4, W13.

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::{Draw, Path, ReadoutSize, follow_pairs};
use crate::experiment::hunt::measure::Observed;
use crate::linalg::norm_squared;
use crate::theory::bound::{
    BoundaryVelocities, flip_probability_bound, flip_probability_bound_with_velocities, velocity_error_bound,
    velocity_magnitude, velocity_range,
};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "M3",
            Kind::Certain,
            "the velocity of a pre-activation, at the start and on average",
            speeds,
            ranges,
        ),
        Entry::new("M4", Kind::Expectation, "the probability of a sign change, given |a| = 1/√m", flips, windows),
        Entry::new("W13", Kind::Expectation, "the same, from velocities at the boundary", flips, |case| {
            let readout = 1.0 / (case.width as f64).sqrt();
            let geometry = case.geometry()?;
            flip_probability_bound_with_velocities(&BoundaryVelocities::new(&geometry), readout, case.time)
        }),
    ]
}

/// The distance from the range's centre of V(z; 0) and of (u(z; T) − u(z; 0))/(aT), largest among the neurons.
fn speeds(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    // Each test point needs the largest value only: a few neurons per case leave time for many cases.
    let draw = Draw { pairs: draw.pairs.min(256), ..draw.clone() };
    let (d, n) = (case.train.input_dim(), case.train.count());
    let at_point = |(z, paths): (&[f64], Vec<[Path; 2]>)| {
        let (low, high) = velocity_range(&case.signed_gram(z), case.slope);
        let centre = 0.5 * (low + high);
        // The velocity and the range, which is a sum of the same numbers.
        let formed = 2.0 * velocity_error_bound(d, n, 0, velocity_magnitude(case.train.points(), z));
        let seen = paths.iter().flatten().flat_map(|path| {
            let way = path.readout.abs() * case.time;
            let moved = (path.trained - path.initial) / (path.readout * case.time);
            let rounding = path.slack.start.preactivation / way + path.slack.start.velocity;
            [((path.velocity - centre).abs(), formed), ((moved - centre).abs(), formed + rounding)]
        });
        let worse = |a: (f64, f64), b: (f64, f64)| {
            let beyond = (a.0 - a.1, b.0 - b.1);
            if beyond.0.is_nan() || beyond.0 > beyond.1 { a } else { b }
        };
        let largest = seen.reduce(worse);
        let (value, rounding) = largest.unwrap_or((0.0, 0.0));
        Observed::Certain { value, rounding }
    };
    Ok(case.test.iter().zip(follow_pairs(case, ReadoutSize::Plain, &draw)?).map(at_point).collect())
}

/// Half the length of the range.
fn ranges(case: &Case) -> Result<Vec<f64>> {
    let half = |z: &[f64]| {
        let (low, high) = velocity_range(&case.signed_gram(z), case.slope);
        0.5 * (high - low)
    };
    Ok(case.test.iter().map(half).collect())
}

/// Sign changes of the neurons with a = 1/√m.
fn flips(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let event = |paths: Vec<[Path; 2]>| Observed::Event {
        trials: paths.len() as u64,
        count: paths.iter().filter(|pair| pair[0].first_flip <= case.time).count() as u64,
    };
    Ok(follow_pairs(case, ReadoutSize::One, draw)?.into_iter().map(event).collect())
}

fn windows(case: &Case) -> Result<Vec<f64>> {
    let bound = |z: &[f64]| {
        let (low, high) = velocity_range(&case.signed_gram(z), case.slope);
        let s = (1.0 + norm_squared(z) / z.len() as f64).sqrt();
        let density = 1.0 / ((2.0 * std::f64::consts::PI).sqrt() * s);
        let readout = 1.0 / (case.width as f64).sqrt();
        flip_probability_bound(high.max(0.0) + (-low).max(0.0), density, readout, case.time)
    };
    case.test.iter().map(bound).collect()
}
