//! The signs of f and g, certified together before either is drawn: A6, from a sample of pairs of neurons, or A3, in closed
//! form.
//!
//! The pairs of A6 are trained exactly by [`PairSampling`]; everything after that is a bound of [`theory::bound`](crate::theory::bound).
//! No network of the width in question is ever trained: the cost grows like √m only.
//!
//! A [`PairCertificate`] holds limits per unit of time, F and G, beside errors at the end of training, of f_T and g_T'.

use crate::error::{Error, Result};
use crate::network::Readout;
use crate::network::flow::{PairMoments, PairSampling, Truncation};
use crate::problem::{Points, Scenario, Slope, TrainingSet, finite_positive};
use crate::random::Streams;
use crate::theory::bound::{
    Geometry, GradientLaw, GradientSample, NetworkLaw, PairCertificate, PairTruncation, PerturbationRule, Perturbing,
    ReadoutLaw, Sampling, SignMargin, SlidingDerivative, Times, gradient_enclosure, gradient_events, limit_enclosure,
    pair_certificate, sampled_drift_bound, sampled_network_error_bound,
};
use crate::theory::{Predictor, perturbations, perturbed_points};
use nalgebra::DMatrix;

/// Where the means and variances of a certificate come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From a sample of single pairs of neurons (A6): several times sharper.
    Sampled,
    /// From closed forms alone (A3): no random number enters.
    ClosedForm,
}

/// Everything that a certificate depends on, apart from the width.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// The training set of f.
    pub train: &'a TrainingSet,
    /// γ.
    pub slope: Slope,
    /// The test points.
    pub test: &'a Points,
    /// What g is trained on.
    pub scenario: Scenario,
    /// ε.
    pub epsilon: f64,
    /// y', one target per training point, ±1.
    pub targets: &'a [f64],
    /// T.
    pub time: f64,
    /// T'.
    pub time_perturbed: f64,
    /// δ, for all test points together.
    pub failure_probability: f64,
    /// A6 or A3; what follows matters to A6 only.
    pub method: Method,
    /// How many pairs of neurons are sampled at widths up to 1024; beyond, √(m/1024) times as many, because sign changes,
    /// which the sample must see, become rarer like m^(−1/2).
    pub samples: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// How many widths may be looked at before one certificate is chosen: each pays its share of δ for the sample.
    pub widths: usize,
}

/// Shares of δ.
const OF_SAMPLE: f64 = 0.25;
const OF_TRUNCATION: f64 = 0.125;
const OF_FIRST: f64 = 0.125;
const OF_GRADIENTS: f64 = 0.25;
const OF_SECOND: f64 = 0.25;

/// A setting whose closed forms have been computed.
pub struct Certifier<'a> {
    setting: Setting<'a>,
    geometry: Geometry,
    limits: DMatrix<f64>,
}

impl<'a> Certifier<'a> {
    /// Checks a setting and computes F, its variance and the limit gradients.
    ///
    /// # Errors
    /// Times or ε that are not positive and finite; δ outside (0, 1); no samples or widths; shapes that do not fit; targets
    /// other than ±1; a limit gradient that vanishes.
    pub fn new(setting: Setting<'a>) -> Result<Self> {
        finite_positive("time", setting.time)?;
        finite_positive("time of g", setting.time_perturbed)?;
        finite_positive("epsilon", setting.epsilon)?;
        for (name, value) in [("samples", setting.samples), ("widths", setting.widths)] {
            if value == 0 {
                return Err(Error::Scalar { name, value: 0.0, expected: "at least 1" });
            }
        }
        let delta = setting.failure_probability;
        if !(delta > 0.0 && delta < 1.0) {
            let expected = "a number in (0, 1)";
            return Err(Error::Scalar { name: "failure probability", value: delta, expected });
        }
        let geometry = Geometry::new(setting.train, setting.slope, setting.test)?;
        let limits = Predictor::identity(setting.train, setting.slope, 1.0)?.gradient(setting.train.points())?;
        // Targets, shapes and gradients are checked before any neuron is trained.
        let moves = perturbations(&limits, setting.targets, setting.epsilon)?;
        perturbed_points(setting.train.points(), &moves, setting.scenario)?;
        Ok(Certifier { setting, geometry, limits })
    }

    //= A6@496e46f5
    /// The certificate for antisymmetric networks of `width` neurons with readouts ±1/√m, and perturbations from gradients with the
    /// flow's own derivative at sliding neurons (N3). Its limits are F and G, per unit of time; its errors are those of f_T
    /// against T·F and of g_T' against T'·G, so that the sign of f is certified where `error_f` < T·|`limit_f`|.
    ///
    /// # Errors
    /// A width that is 0 or odd; a sample that cannot be drawn.
    pub fn certify(&self, width: usize) -> Result<PairCertificate> {
        if width == 0 || !width.is_multiple_of(2) {
            let expected = "an even number, at least 2, for antisymmetric pairs";
            return Err(Error::Scalar { name: "width", value: width as f64, expected });
        }
        match self.setting.method {
            Method::Sampled => self.sampled(width),
            Method::ClosedForm => self.closed_form(width),
        }
    }

    fn closed_form(&self, width: usize) -> Result<PairCertificate> {
        let &Setting { train, slope, test, scenario, epsilon, targets, .. } = &self.setting;
        let rule = PerturbationRule { targets, epsilon, scenario };
        let law = NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher)?;
        let times = Times { first: self.setting.time, second: self.setting.time_perturbed };
        let delta = self.setting.failure_probability;
        pair_certificate(train, slope, test, rule, SlidingDerivative::OfFlow, law, times, delta)
    }

    /// A6.
    fn sampled(&self, width: usize) -> Result<PairCertificate> {
        let setting = &self.setting;
        let (copies, test_count, train_count) = (width / 2, setting.test.count(), setting.train.count());
        let delta = setting.failure_probability;
        let (sample_events, network_events) = gradient_events(test_count, train_count);
        let log = |events: usize, share: f64| (events as f64 / (share * delta)).ln();
        // Any number of widths: a product of integers could wrap, and events be forgotten.
        let sample_t = log_of_events(setting.widths, sample_events + 3 * test_count, OF_SAMPLE * delta);
        let directions = test_count + 2 * train_count;
        let truncation = PairTruncation::new(setting.train.input_dim(), directions, copies, OF_TRUNCATION * delta)?;
        let moments = self.sample(width, truncation)?;
        let sampling = Sampling::new(moments.count, copies, sample_t, log(network_events, OF_GRADIENTS))?;

        let error_f = self.first_errors(&moments, sampling, copies, log(test_count, OF_FIRST))?;
        let law = GradientLaw {
            train: setting.train,
            slope: setting.slope,
            width,
            time: setting.time,
            limits: &self.limits,
            truncation,
        };
        let gradients = gradient_enclosure(law, &gradient_sample(&moments), sampling, setting.test)?;
        let perturbing = Perturbing {
            points: setting.train.points(),
            targets: setting.targets,
            epsilon: setting.epsilon,
            scenario: setting.scenario,
            slope: setting.slope,
            limits: &self.limits,
        };
        let second = limit_enclosure(perturbing, &gradients, setting.test)?;
        let limit_g = second.limit.clone();
        let signs: Vec<f64> = limit_g.iter().map(|g| if *g < 0.0 { -1.0 } else { 1.0 }).collect();
        let (time, network_t) = (setting.time_perturbed, log(test_count, OF_SECOND));
        let margins = second.margins(SignMargin { width, time, network_t }, &signs)?;
        let error_g: Vec<f64> = margins.iter().zip(&limit_g).map(|(margin, g)| time * g.abs() - margin).collect();
        let limit_f = self.geometry.limit().to_vec();
        let times = Times { first: setting.time, second: time };
        PairCertificate::new(limit_f, limit_g, error_f, error_g, times)
    }

    fn sample(&self, width: usize, truncation: PairTruncation) -> Result<PairMoments> {
        let setting = &self.setting;
        let sampling = PairSampling::new(setting.train, setting.slope, setting.time, setting.test, &self.limits)?;
        let limits = Truncation {
            projection: truncation.projection,
            norm_squared: truncation.norm_squared,
            readout: f64::INFINITY,
        };
        let streams = Streams::new(setting.seed, &format!("certify/pairs at width {width}"));
        let growth = (width as f64 / 1024.0).sqrt().max(1.0);
        let count = (setting.samples as f64 * growth).ceil() as usize;
        sampling.run(width, count, Readout::Rademacher, limits, streams)
    }

    fn first_errors(&self, moments: &PairMoments, sampling: Sampling, copies: usize, t: f64) -> Result<Vec<f64>> {
        let time = self.setting.time;
        let drifts: Result<Vec<_>> = self
            .geometry
            .ranges()
            .iter()
            .enumerate()
            .map(|(z, (low, high))| {
                let (mean, square) = (moments.drift.mean[z], moments.drift.square[z]);
                sampled_drift_bound(sampling, mean, square, time * (high - low))
            })
            .collect();
        sampled_network_error_bound(&self.geometry, copies, time, &drifts?, t)
    }
}

/// t' with widths·events·e^{−t'} = δ.
fn log_of_events(widths: usize, events: usize, failure_probability: f64) -> f64 {
    (widths as f64 * events as f64 / failure_probability).ln()
}

fn gradient_sample(moments: &PairMoments) -> GradientSample {
    let row = |matrix: &DMatrix<f64>| matrix.as_slice().to_vec();
    let both = |moments: &crate::network::flow::Moments| [row(&moments.mean), row(&moments.square)];
    GradientSample {
        along_test: [moments.along_test.mean.clone(), moments.along_test.square.clone()],
        along_point: both(&moments.along_point),
        along_limit: both(&moments.along_centre),
        across_limit: both(&moments.across_centre),
        across_limit_driven: row(&moments.across_centre_driven.mean),
        halves: [moments.halves.0.clone(), moments.halves.1.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};

    #[test]
    fn settings_are_checked_before_anything_is_drawn() {
        let data = synthetic(Synthetic::Gauss, 3, 4, 2, 1).unwrap();
        let setting = |targets: &'static [f64]| Setting {
            train: &data.train,
            slope: Slope::RELU,
            test: &data.test,
            scenario: Scenario::OnImage,
            epsilon: 0.5,
            targets,
            time: 1.0,
            time_perturbed: 1.0,
            failure_probability: 0.1,
            method: Method::Sampled,
            samples: 10,
            seed: 1,
            widths: 1,
        };
        let refused = |setting: Setting<'_>| -> Option<String> { Certifier::new(setting).err().map(|e| e.to_string()) };
        assert_eq!(refused(setting(&[1.0, -1.0, 1.0, -1.0])), None);
        for bad in [&[1.0, -1.0, 1.0][..], &[1.0, -1.0, 1.0, 0.5], &[1.0, -1.0, 1.0, f64::NAN]] {
            assert!(refused(setting(bad)).unwrap().contains("targets"), "{bad:?}");
        }
        // Equal points with opposite labels: F = 0.
        let points = Points::from_rows("x", 2, 3, [1.0, 2.0, 3.0].repeat(2)).unwrap();
        let train = TrainingSet::new(points, vec![1.0, -1.0]).unwrap();
        let vanishing = Setting { train: &train, ..setting(&[1.0, -1.0]) };
        assert!(refused(vanishing).unwrap().contains("gradient"));
    }

    #[test]
    fn events_are_counted_for_any_number_of_widths() {
        // 10 is 2·5.
        assert_eq!(log_of_events(2, 5, 0.1), (10.0_f64 / 0.1).ln());
        let many = log_of_events(usize::MAX, 2, 0.1);
        assert!((many - (65.0 * 2.0_f64.ln() - 0.1_f64.ln())).abs() < 1e-12, "{many}");
    }
}
