//! What an instrument says: how far beyond its limit the evidence lies, and with what probability it would again.
//!
//! The power is a lower confidence limit at confidence 1 − 10⁻⁷: a single rejection proves little, but an effect that lies
//! far beyond the limit in its own standard errors does. For means the statistic is Student's, whose law under an effect
//! of δ standard errors is close to normal with mean δ and variance 1 + δ²(κ−1)/4ν, κ the values' kurtosis (Johnson and
//! Welch (1940) with κ = 3): δ is taken at the low end, and the power is that of this δ. For counts both steps are exact
//! (Clopper–Pearson, binomial tail). A deterministic verdict has power 1.

use std::fmt;

use perturbation_learning::stats::{
    binomial_upper_tail, clopper_pearson, mean, power, rejection_count, student_quantile, variance,
};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::skewed::student_level;

/// The probability with which a stated power is an overstatement, per part of an instrument (six at most).
const DOUBT: f64 = 1e-7;

#[derive(Debug, Clone)]
pub enum Evidence {
    /// A mean of independent values is `distance` standard errors from the nearest value that theory allows; rejected
    /// beyond `critical`. `growth` is (κ−1)/4ν.
    Mean { distance: f64, critical: f64, growth: f64, p: f64 },
    /// `observed` of `trials`, where theory allows a share `rate`; rejected at `critical`.
    Count { observed: u64, trials: u64, critical: u64, p: f64 },
    /// A deterministic quantity in units of what is allowed; rejected above 1.
    Exact { excess: f64 },
}

impl Evidence {
    /// Whether the values' expectation lies within `allowance` of `expected`; wrongly rejected with probability `error`, if the
    /// values are near enough to normal.
    pub fn mean(values: &[f64], expected: f64, allowance: f64, error: f64) -> Self {
        Self::at_level(values, expected, allowance, error)
    }

    /// The same for values of this skewness, as squares are, and no allowance.
    pub fn mean_of_skewed(values: &[f64], skewness: f64, expected: f64, error: f64) -> Self {
        Self::at_level(values, expected, 0.0, student_level(values.len(), skewness, error))
    }

    fn at_level(values: &[f64], expected: f64, allowance: f64, level: f64) -> Self {
        let (count, spread) = (values.len() as f64, variance(values));
        let beyond = (mean(values) - expected).abs() - allowance;
        if spread == 0.0 {
            // Constant values: they are the expectation.
            return Evidence::Exact { excess: if beyond <= 0.0 { 0.0 } else { f64::INFINITY } };
        }
        let freedom = count - 1.0;
        let distance = beyond / (spread / count).sqrt();
        let student = StudentsT::new(0.0, 1.0, freedom).unwrap();
        let p = if distance <= 0.0 { 1.0 } else { 2.0 * student.cdf(-distance) };
        let critical = student_quantile(freedom, level / 2.0);
        Evidence::Mean { distance, critical, growth: growth(values), p }
    }

    /// Whether at most a share `rate` of independent trials show the event.
    pub fn count(observed: u64, trials: u64, rate: f64, error: f64) -> Self {
        let critical = rejection_count(trials, rate, error).expect("enough trials to reject at all");
        Evidence::Count { observed, trials, critical, p: binomial_upper_tail(trials, rate, observed) }
    }

    pub fn rejects(&self) -> bool {
        match *self {
            Evidence::Mean { distance, critical, .. } => distance > critical,
            Evidence::Count { observed, critical, .. } => observed >= critical,
            // A quantity that is not a number is no agreement.
            Evidence::Exact { excess } => excess.is_nan() || excess > 1.0,
        }
    }

    /// A lower confidence limit of the probability to be rejected again, with other random numbers.
    pub fn power(&self) -> f64 {
        match *self {
            Evidence::Mean { distance, critical, growth, .. } => {
                let scale = |effect: f64| (1.0 + growth * effect * effect).sqrt();
                let normal = Normal::standard();
                let low = distance + normal.inverse_cdf(DOUBT) * scale(distance);
                normal.cdf((low - critical) / scale(critical))
            }
            Evidence::Count { observed, trials, critical, .. } => {
                power(trials, critical, clopper_pearson(trials, observed, 2.0 * DOUBT).0)
            }
            Evidence::Exact { .. } => f64::from(u8::from(self.rejects())),
        }
    }

    /// The probability of evidence as strong under the theory; 0 or 1 for deterministic verdicts.
    pub fn p_value(&self) -> f64 {
        match *self {
            Evidence::Mean { p, .. } | Evidence::Count { p, .. } => p,
            Evidence::Exact { .. } => f64::from(u8::from(!self.rejects())),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Evidence::Mean { distance, critical, .. } => {
                write!(f, "{distance:.1} standard errors beyond (reject above {critical:.1})")
            }
            Evidence::Count { observed, trials, critical, .. } => {
                write!(f, "{observed} of {trials} (reject at {critical})")
            }
            Evidence::Exact { excess } if excess < 1e3 => {
                write!(f, "{excess:.2} of what is allowed (reject above 1)")
            }
            Evidence::Exact { excess } => write!(f, "{excess:.1e} of what is allowed (reject above 1)"),
        }
    }
}

/// (κ−1)/4ν, κ the kurtosis, taken to be at least the normal law's: the variance of a sample's standard deviation in
/// units of its square.
pub fn growth(values: &[f64]) -> f64 {
    let centre = mean(values);
    let fourth = mean(&values.iter().map(|v| (v - centre).powi(4)).collect::<Vec<f64>>());
    (fourth / variance(values).powi(2) - 1.0).max(2.0) / (4.0 * (values.len() as f64 - 1.0))
}

/// The evidence with the largest power: an instrument rejects if any of its parts does, so its power is at least this.
pub fn strongest(all: &[Evidence]) -> &Evidence {
    all.iter().max_by(|a, b| (a.rejects(), a.power()).partial_cmp(&(b.rejects(), b.power())).unwrap()).unwrap()
}
