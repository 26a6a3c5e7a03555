//! Rates: how squared deviations fall with the width, as `deviations_fall_at_the_predicted_rates` has it.

use perturbation_learning::network::{GradientFlow, Neurons};
use perturbation_learning::problem::Slope;
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{fit_two_powers, student_quantile};
use perturbation_learning::theory::Predictor;
use rayon::prelude::*;

use crate::evidence::{Evidence, growth};
use crate::fault::Fault;
use crate::instrument::{accept, reject};
use crate::lab::{DIM, Lab, PAIRED, streams};
use crate::skewed::student_level;

pub const RATE: &[Fault] = &[Fault::GradientRateOfFunction];

const NAME: &str = "power: rate of the gradient";

/// Skewness allowed for; found: .6 to .9.
const OF_DEVIATIONS: f64 = 1.5;

/// ‖∇f_T − T∇F‖² is A m^{−1/2} + B m^{−1} (P4): means per width, fitted by the two powers. Judged is the root mean square
/// of the widths' residuals in standard errors, which is at most the largest of them.
pub fn examine_rate() {
    let (lab, time, networks) = (Lab { slope: Slope::RELU, ..Lab::new() }, 1.0, 300);
    let expected = Predictor::identity(&lab.train, lab.slope, time).unwrap().gradient(lab.train.points()).unwrap();
    let flow = GradientFlow::new(&lab.train, lab.slope, time).unwrap().with_gradients().prepare();
    let (init, readout) = (PAIRED.init, PAIRED.readout);
    let group = |width: usize| {
        let one = |index: usize| {
            let name = streams(&format!("rate/width {width}"), index);
            let neurons = Neurons::draw(DIM, width, init, readout, name).unwrap();
            (flow.run(&neurons).unwrap().gradients.unwrap() - &expected).norm_squared()
        };
        (width as f64, (0..networks).into_par_iter().map(one).collect::<Vec<f64>>())
    };
    let groups: Vec<(f64, Vec<f64>)> = [7, 9, 11, 13].map(|power| group(1 << power)).into();
    let judge = |leading: f64| {
        let fit = fit_two_powers(&groups, leading, leading - 0.5).expect("positive variances");
        let count = groups.len() as f64;
        let level = student_level(networks, OF_DEVIATIONS, alpha(NAME) / count);
        let critical = student_quantile(networks as f64 - 1.0, 0.5 * level);
        let spread = groups.iter().map(|(_, values)| growth(values)).fold(0.0, f64::max);
        let distance = (fit.lack_of_fit / count).sqrt();
        vec![Evidence::Mean { distance, critical, growth: spread, p: fit.p_value }]
    };
    accept(NAME, "A m^(-1/2) + B/m", &judge(-0.5));
    reject(NAME, RATE[0], &judge(-1.0));
}
