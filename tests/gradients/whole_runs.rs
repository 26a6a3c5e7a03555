//! What `learn --expect` says, against whole runs of the experiment.

use perturbation_learning::data::{DataSet, Synthetic, synthetic};
use perturbation_learning::experiment::learn::{Experiment, Training};
use perturbation_learning::network::{Initialisation, Readout};
use perturbation_learning::problem::{Scenario, Slope};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{Squares, mean, mean_square_interval};
use perturbation_learning::theory::{Predictor, kernel_variance, limit_training_set};
use rayon::prelude::*;

use crate::SEED;
use crate::common::say;

/// What the leading orders may leave out of a mean square, relatively. Found with 3000 networks: scenario a at width 2¹³, f 5 % less, g 5 %
/// more; b at 2¹³, f 1 % less, g 12 % more. Of g it falls like m^(−1/2) (G12); of f it does not (the mean drift, W8).
const LEFT_OUT: f64 = 0.12;

/// Of one network: squared deviations, the expected ones, and the part of g's that comes from the perturbations (G12).
struct Square {
    f: f64,
    g: f64,
    expected_f: f64,
    expected_g: f64,
    of_inputs: f64,
}

fn run(experiment: &Experiment, data: &DataSet) -> Square {
    let expected = experiment.expected_deviations(data).unwrap();
    let outcome = experiment.run(data).unwrap().outcome;
    // What g scatters by itself (W1), with the inputs at their limit.
    let &Experiment { slope, scenario, epsilon, width, seed, .. } = experiment;
    let Training::Flow { time_perturbed, .. } = experiment.training else { unreachable!() };
    let targets = random_signs(&Streams::new(seed, "targets"), data.train.count());
    let limit = Predictor::identity(&data.train, slope, 1.0).unwrap();
    let set = limit_training_set(&limit, data.train.points(), &targets, epsilon, scenario, None).unwrap();
    let moment = if experiment.readout == Readout::Gaussian { 3.0 } else { 1.0 };
    let own = mean(&kernel_variance(&set, slope, &data.test, moment).unwrap());
    Square {
        f: outcome.deviation_f.powi(2),
        g: outcome.deviation_g.powi(2),
        expected_f: expected.f.powi(2),
        expected_g: expected.g.powi(2),
        of_inputs: expected.g.powi(2) - time_perturbed.powi(2) * 2.0 * own / width as f64,
    }
}

/// Whole runs with targets of their own each: squared deviations over the expected ones have mean 1, by the interval for means of
/// squares of normal variables (ν = 1: at worst all test points deviate together).
///
/// Scenario b has twice the width, where g's left-out terms are 9 % by their rate. The interval holds the expectation, not 1: judged is whether it meets what is allowed. Faults: twice and half the mean square; what
/// perturbations bring forgotten; and where the times are not 1, each time forgotten where it stands.
#[test]
fn whole_runs_deviate_as_expected_at_their_width() {
    let data = synthetic(Synthetic::ShiftedGauss, 10, 12, 20, SEED).unwrap();
    let plain = Experiment {
        width: 1 << 13,
        initialisation: Initialisation::Antisymmetric,
        readout: Readout::Gaussian,
        slope: Slope::RELU,
        scenario: Scenario::PerturbationOnly,
        epsilon: 0.5,
        training: Training::Flow { time: 1.0, time_perturbed: 1.0 },
        seed: 0,
    };
    let (time, time_perturbed) = (0.4, 2.0);
    let other = Experiment {
        width: 1 << 14,
        readout: Readout::Rademacher,
        slope: Slope::new(0.2).unwrap(),
        scenario: Scenario::OnImage,
        epsilon: 2.0,
        training: Training::Flow { time, time_perturbed },
        ..plain.clone()
    };
    let error = alpha("expected deviations") / 4.0;
    for (name, experiment, networks, [time, time_perturbed]) in
        [("a", plain, 1600, [1.0, 1.0]), ("b", other, 600, [time, time_perturbed])]
    {
        let one = |seed| run(&Experiment { seed, ..experiment.clone() }, &data);
        let all: Vec<Square> = (0..networks).into_par_iter().map(one).collect();
        let ratio = |of: &dyn Fn(&Square) -> f64| -> (f64, (f64, f64)) {
            let values = all.iter().map(of).collect();
            mean_square_interval(&[Squares { freedom: 1.0, values }], error).unwrap()
        };
        let accepted = |(_, (low, high)): (f64, (f64, f64))| low <= 1.0 + LEFT_OUT && high >= 1.0 - LEFT_OUT;
        let of_f = |factor: f64| ratio(&|s| s.f / (factor * s.expected_f));
        let of_g = |factor: f64| ratio(&|s| s.g / (factor * s.expected_g));
        let with_inputs = |factor: f64| ratio(&|s| s.g / (s.expected_g + (factor - 1.0) * s.of_inputs));
        for (what, (mean, (low, high))) in [("f", of_f(1.0)), ("g", of_g(1.0))] {
            say(format_args!("expected deviations, scenario {name}: {what} {mean:.3} in [{low:.3}, {high:.3}]"));
            assert!(accepted((mean, (low, high))), "{name}: {what} (seed {SEED})");
        }
        let mut faults = vec![
            ("twice f's", of_f(2.0)),
            ("half of f's", of_f(0.5)),
            ("twice g's", of_g(2.0)),
            ("half of g's", of_g(0.5)),
            ("nothing from perturbations", with_inputs(0.0)),
        ];
        if time != 1.0 {
            faults.extend([
                ("f's time forgotten", of_f(time.powi(-2))),
                ("g's time forgotten", of_g(time_perturbed.powi(-2))),
                ("f's time forgotten in what perturbations bring", with_inputs(time)),
                ("f's time for its inverse there", with_inputs(time * time)),
            ]);
        }
        for (fault, found) in faults {
            let (mean, (low, high)) = found;
            say(format_args!("expected deviations, scenario {name}, {fault}: {mean:.3} in [{low:.3}, {high:.3}]"));
            assert!(!accepted(found), "{name}: '{fault}' passes (seed {SEED})");
        }
    }
}
