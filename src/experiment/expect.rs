//! What theory expects networks of a finite width to deviate by from their limits: error bars with nothing fitted.

use super::law::readout_law;
use super::learn::{Experiment, Training};
use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::network::Initialisation;
use crate::problem::finite_positive;
use crate::random::{Streams, random_signs};
use crate::theory::bound::{PerturbationRule, second_network_fluctuation_limit};
use crate::theory::{Predictor, kernel_variance, limit_training_set};

/// Samples for the expectation of P10.
const DRAWS: usize = 512;

/// Expected deviations of f and g: root mean squares over the test points, of expectations over networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedDeviations {
    /// Of f_T − f_0 − T·F: the root of T²·2 Var X/m (W1).
    pub f: f64,
    /// Of g_{T'} − g_0 − T'·G: the root of T'²(2 Var X/m + κ/(T√m)), the leading order of what g itself scatters by (W1) and that of what the
    /// perturbations against f bring (G12).
    pub g: f64,
}

impl Experiment {
    /// The expected deviations of this experiment's networks, with its targets. The leading order of each part: left out are for f the mean
    /// drift (W8), of the same order m^(−1/2) but smaller by a factor of order 1/N; and for g the next terms of what perturbations
    /// bring, of order 1/m in the square as 2 Var X/m is. `tests/gradients/whole_runs.rs` finds both
    /// within the 12 % that it allows for what is left out, at m = 2¹³ and 2¹⁴ on few samples. κ is sampled: some 2 % of its square root.
    ///
    /// Cost: 2N² operations per test point twice, and 1024Nd per test point.
    ///
    /// # Errors
    /// Training by descent, or an initialisation that does not start from zero, of which theory says something else; equal training
    /// points; a vanishing gradient of the limit; parameters outside their domains.
    pub fn expected_deviations(&self, data: &DataSet) -> Result<ExpectedDeviations> {
        let Training::Flow { time, time_perturbed } = self.training else {
            let expected = "the exact flow, of which theory tells the deviations";
            return Err(Error::NotCovered {
                what: "what is expected of finite networks",
                found: "training by descent",
                expected,
            });
        };
        if self.initialisation != Initialisation::Antisymmetric {
            let expected = "the antisymmetric one, of which theory tells the deviations";
            return Err(Error::NotCovered {
                what: "what is expected of finite networks",
                found: "standard initialisation",
                expected,
            });
        }
        let (time, time_perturbed) = (finite_positive("time", time)?, finite_positive("time of g", time_perturbed)?);
        if self.width == 0 || !self.width.is_multiple_of(2) {
            let expected = "a positive even number (antisymmetric pairs)";
            return Err(Error::Scalar { name: "width", value: self.width as f64, expected });
        }
        let (train, test) = (&data.train, &data.test);
        let targets = random_signs(&Streams::new(self.seed, "targets"), train.count());
        let limit = Predictor::identity(train, self.slope, 1.0)?;
        let set = limit_training_set(&limit, train.points(), &targets, self.epsilon, self.scenario, None)?;
        let law = readout_law(self.readout);
        let own = |set| kernel_variance(set, self.slope, test, law.fourth_moment());
        let (of_f, of_g) = (own(train)?, own(&set)?);
        let rule = PerturbationRule { targets: &targets, epsilon: self.epsilon, scenario: self.scenario };
        let streams = Streams::new(self.seed, "expected deviations");
        let inputs = second_network_fluctuation_limit(train, self.slope, rule, test, law, DRAWS, &streams)?;
        let width = self.width as f64;
        let root_mean = |values: Vec<f64>| (values.iter().sum::<f64>() / values.len() as f64).sqrt();
        let of_inputs = inputs.iter().map(|inputs| inputs.value / (time * width.sqrt()));
        let of_g = of_g.iter().zip(of_inputs).map(|(own, of_inputs)| 2.0 * own / width + of_inputs);
        Ok(ExpectedDeviations {
            f: time * root_mean(of_f.iter().map(|own| 2.0 * own / width).collect()),
            g: time_perturbed * root_mean(of_g.collect()),
        })
    }
}
