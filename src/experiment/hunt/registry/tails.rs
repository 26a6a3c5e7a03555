//! Tails of means: W2, W3, against the laws for which they are made. The law's numbers are those of the case's data: mean F,
//! variance Var B and upper end b↑ of B = φ'(u)V at the test point.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use statrs::function::factorial::ln_binomial;

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::Draw;
use crate::experiment::hunt::measure::{Observed, exact_quantile};
use crate::network::Readout;
use crate::random::Streams;
use crate::theory::bound::rounding::rounding_factor;
use crate::theory::bound::{bernstein_deviation, chernoff_deviation};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "W2",
            Kind::Probability,
            "the upper tail of a mean of ωB, for B on two points",
            two_point_tail,
            chernoff,
        ),
        Entry::new(
            "W3",
            Kind::Probability,
            "the upper tail of a mean of ωr, for r on {0, ρ}",
            zero_or_range_tail,
            bernstein,
        ),
    ]
}

/// B on {low, high} with P(high) = share.
struct TwoPoints {
    low: f64,
    high: f64,
    share: f64,
}

/// The law that W2 is sharp for: mean, variance and upper end of B at each test point; None where B is constant.
fn extremal_laws(case: &Case) -> Result<Vec<Option<TwoPoints>>> {
    let geometry = case.geometry()?;
    let moments = geometry.limit().iter().zip(geometry.variance()).zip(geometry.ranges());
    Ok(moments
        .map(|((mean, variance), (_, high))| {
            let gap = high - mean;
            // Numbers that are rounding alone describe no law.
            let scale = rounding_factor(f64::from(1 << 20)) * high.abs().max(mean.abs());
            let share = variance / (variance + gap * gap);
            (gap > scale && *variance > scale * scale).then(|| TwoPoints { low: mean - variance / gap, high, share })
        })
        .collect())
}

/// The quantile of the mean of n copies of ωB less `mean`: exact without ω, else from independent means.
fn tail(case: &Case, draw: &Draw, index: usize, law: &TwoPoints, mean: f64) -> Result<Observed> {
    let n = case.law()?.copies();
    let step = (law.high - law.low) / n as f64;
    // λ is at least about √(t/n)/σ: ln M has an absolute error of a few ε, divided by λ.
    let rounding = rounding_factor((64 * (n + 16)) as f64) * (law.high.abs() + law.low.abs());
    if case.readout == Readout::Rademacher {
        let (ln_p, ln_q) = (law.share.ln(), (-law.share).ln_1p());
        let term = |k: u64| {
            let others = n as u64 - k;
            let share = (ln_binomial(n as u64, k) + k as f64 * ln_p + others as f64 * ln_q).exp();
            (law.low - mean + step * k as f64, share)
        };
        return Ok(exact_quantile((0..=n as u64).map(term).collect(), case.failure_probability, rounding));
    }
    let streams = Streams::new(draw.seed, &format!("{}/tail {index}", draw.purpose));
    let values = (0..draw.networks as u64).map(|network| {
        let mut rng = streams.stream(network);
        let terms = (0..n).map(|_| {
            let b = if rng.random_bool(law.share) { law.high } else { law.low };
            let alpha: f64 = StandardNormal.sample(&mut rng);
            alpha * alpha * b
        });
        terms.sum::<f64>() / n as f64 - mean
    });
    Ok(Observed::Tail { values: values.collect(), probability: case.failure_probability, rounding: 64.0 * rounding })
}

fn two_point_tail(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let nothing = Observed::Certain { value: 0.0, rounding: 0.0 };
    let laws = extremal_laws(case)?.into_iter().enumerate();
    laws.map(|(index, law)| {
        law.map_or(Ok(nothing.clone()), |law| {
            let mean = law.low + law.share * (law.high - law.low);
            tail(case, draw, index, &law, mean)
        })
    })
    .collect()
}

fn chernoff(case: &Case) -> Result<Vec<f64>> {
    let (copies, t) = (case.law()?.copies(), -case.failure_probability.ln());
    let bound = |law: Option<TwoPoints>| match law {
        None => Ok(f64::INFINITY),
        Some(law) => {
            let mean = law.low + law.share * (law.high - law.low);
            let variance = (law.high - mean) * (mean - law.low);
            chernoff_deviation(mean, variance.max(0.0), law.high, copies, t, case.readout_law())
        }
    };
    extremal_laws(case)?.into_iter().map(bound).collect()
}

/// r on {0, 1} with the share of the extremal law.
fn zero_or_one(law: &TwoPoints) -> TwoPoints {
    TwoPoints { low: 0.0, high: 1.0, share: law.share }
}

fn zero_or_range_tail(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let nothing = Observed::Certain { value: 0.0, rounding: 0.0 };
    let laws = extremal_laws(case)?.into_iter().enumerate();
    laws.map(|(index, law)| {
        law.map_or(Ok(nothing.clone()), |law| tail(case, draw, index, &zero_or_one(&law), law.share))
    })
    .collect()
}

/// W3 (ii) for ω = 1, (iii) for Gaussian readouts; ρ = 1 and E r² = share.
fn bernstein(case: &Case) -> Result<Vec<f64>> {
    let (copies, t) = (case.law()?.copies(), -case.failure_probability.ln());
    let (moment, scale) = if case.readout == Readout::Gaussian { (3.0, 2.0) } else { (1.0, 1.0 / 3.0) };
    let bound = |law: Option<TwoPoints>| match law {
        None => Ok(f64::INFINITY),
        Some(law) => bernstein_deviation(moment * law.share, scale, copies, t),
    };
    extremal_laws(case)?.into_iter().map(bound).collect()
}
