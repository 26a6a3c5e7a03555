//! M3, M5, M6, K1 and R5: actual networks stay within what their initial weights allow.

use std::cell::RefCell;

use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{Descent, Initialisation, Neurons, Readout, outputs};
use perturbation_learning::problem::Slope;
use perturbation_learning::theory::bound::{
    Computed, FlowArithmetic, FlowSlack, Start, TrainedNeuron, flip_time_at, flip_times, network_deviation_bound,
    network_enclosure, refutes, velocity_error_bound, velocity_range,
};
use perturbation_learning::theory::path_kernel::{DerivativePath, path_kernel_change};

use super::case::{Case, always, any_case, caught};
use super::common::say;
use super::seen::{Neuron, Seen, slack};

/// Cases per statement, and how many may pass before a wrong theory is caught.
const CASES: u32 = 1000;
const CAUGHT_WITHIN: u32 = 100;

/// What is wrong with the theory that a check is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    Nothing,
    /// K without +1.
    NoBias,
    /// Half of the range, bound or window.
    Half,
    /// Flip times doubled.
    TimesDoubled,
    /// E⁺ and E⁻ swapped.
    EffectsSwapped,
    /// No sample is affected by another's flip.
    EffectsForgotten,
    /// Windows for the opposite readout.
    WrongSign,
    /// T halved.
    HalfTime,
    /// The kink at the test point forgotten (coarse form).
    KinkForgotten,
    /// The derivatives of time 0 for ever.
    Frozen,
    /// γ² for γ.
    SlopeSquared,
    /// No allowance for rounding.
    NoSlack,
    /// A step of the descent more than were taken.
    OneStepMore,
}

/// Observed/bound, over all comparisons of a statement.
struct Ratios(RefCell<Vec<f64>>);

impl Ratios {
    fn new() -> Self {
        Ratios(RefCell::new(Vec::new()))
    }

    fn note(&self, ratio: f64) {
        if ratio.is_finite() {
            self.0.borrow_mut().push(ratio);
        }
    }

    fn say(&self, what: &str) {
        let mut ratios = self.0.borrow_mut();
        ratios.sort_by(f64::total_cmp);
        let count = ratios.len();
        assert!(count > 0, "{what}: nothing was compared");
        say(format_args!(
            "{what}: {count} comparisons, observed/bound median {:.3}, largest {:.5}",
            ratios[count / 2],
            ratios[count - 1]
        ));
    }
}

/// An error unless `observed` lies in [low, high] up to the slack; no slack at all if that is 0.
fn within(what: &str, observed: f64, (low, high): (f64, f64), slack: f64) -> Result<(), String> {
    let (middle, radius) = (0.5 * (low + high), 0.5 * (high - low));
    // The middle, the radius and the difference round by 3u of the sizes.
    let own = 2.0 * f64::EPSILON * (observed.abs() + low.abs() + high.abs());
    let observed = Computed { value: observed - middle, error: if slack > 0.0 { own } else { 0.0 } };
    if refutes(observed, Computed { value: radius, error: slack }).unwrap() {
        return Err(format!("{what}: {:e} from the middle of a radius of {radius:e}, slack {slack:e}", observed.value));
    }
    Ok(())
}

/// C with the fault.
fn faulty_gram(column: &[f64], case: &Case, fault: Fault) -> Vec<f64> {
    let labels = case.train.labels().iter();
    let n = case.train.count() as f64;
    let change = |(c, y): (&f64, &f64)| match fault {
        Fault::NoBias => c - y / n,
        Fault::EffectsSwapped => -c,
        Fault::EffectsForgotten => 0.0,
        _ => *c,
    };
    column.iter().zip(labels).map(change).collect()
}

fn faulty_slope(slope: Slope, fault: Fault) -> Slope {
    if fault == Fault::SlopeSquared { Slope::new(slope.value().powi(2)).unwrap() } else { slope }
}

/// M3: initial velocities, and the way gone by T.
fn velocities(case: &Case, fault: Fault, ratios: &Ratios) -> Result<(), String> {
    let seen = Seen::new(case);
    for (j, &scale) in seen.scales_test.iter().enumerate() {
        let column = faulty_gram(seen.gram_test.column(j).as_slice(), case, fault);
        let (mut low, mut high) = velocity_range(&column, faulty_slope(case.slope, fault));
        if fault == Fault::Half {
            (low, high) = (low + 0.25 * (high - low), high - 0.25 * (high - low));
        }
        let eta = velocity_error_bound(case.train.input_dim(), case.train.count(), 0, scale.1);
        for neuron in &seen.neurons {
            let (at, a) = (&neuron.test[j], neuron.readout);
            within("M3, velocity", at.velocity, (low, high), 2.0 * eta)?;
            ratios.note((at.velocity - 0.5 * (low + high)).abs() / (0.5 * (high - low)));
            let slack = seen.slack(case, neuron, scale).start;
            let way = at.preactivation.1 - at.preactivation.0;
            let ends = (a * case.time * low, a * case.time * high);
            let slack = slack.preactivation + a.abs() * case.time * slack.velocity;
            within("M3, way", way, (ends.0.min(ends.1), ends.0.max(ends.1)), slack)?;
        }
    }
    Ok(())
}

/// M5's times for a neuron under a fault.
fn times(case: &Case, seen: &Seen, neuron: &Neuron, starts: &[Start], fault: Fault) -> Vec<f64> {
    let mut gram = seen.gram.clone();
    for (k, mut column) in gram.column_iter_mut().enumerate() {
        let faulty = faulty_gram(seen.gram.column(k).as_slice(), case, fault);
        column.copy_from_slice(&faulty);
    }
    let readout = if fault == Fault::WrongSign { -neuron.readout } else { neuron.readout };
    let time = if fault == Fault::HalfTime { 0.5 * case.time } else { case.time };
    let times = flip_times(readout, starts, &gram, faulty_slope(case.slope, fault), time, 3).unwrap();
    let factor = if fault == Fault::TimesDoubled { 2.0 } else { 1.0 };
    times.iter().map(|time| factor * time).collect()
}

fn starts(neuron: &Neuron, slack: impl Fn(usize) -> FlowSlack, fault: Fault) -> Vec<Start> {
    let starts = neuron.train.iter().enumerate().map(|(n, at)| at.start(slack(n)));
    starts
        .map(|start| if fault == Fault::NoSlack { Start { slack: Default::default(), ..start } } else { start })
        .collect()
}

/// M5: no first flip, at training and test points, before its time.
fn flips(case: &Case, fault: Fault, ratios: &Ratios) -> Result<(), String> {
    let seen = Seen::new(case);
    for (i, neuron) in seen.neurons.iter().enumerate() {
        let starts = starts(neuron, |n| seen.slack(case, neuron, seen.scales[n]), fault);
        let times = times(case, &seen, neuron, &starts, fault);
        for (n, (at, time)) in neuron.train.iter().zip(&times).enumerate() {
            if at.first_flip.is_finite() {
                ratios.note(time / at.first_flip);
            }
            if at.first_flip < *time {
                return Err(format!("M5: neuron {i} flips at sample {n} at {:e}, before {time:e}", at.first_flip));
            }
        }
        for (j, at) in neuron.test.iter().enumerate() {
            let start = at.start(seen.slack(case, neuron, seen.scales_test[j]));
            let known = TrainedNeuron { readout: neuron.readout, starts: &starts, flip_times: &times, at: start };
            let column = faulty_gram(seen.gram_test.column(j).as_slice(), case, fault);
            let time = flip_time_at(&known, &column, case.slope, case.time).unwrap();
            if at.first_flip.is_finite() {
                ratios.note(time / at.first_flip);
            }
            if at.first_flip < time {
                return Err(format!("M5: neuron {i} flips at test point {j} at {:e}, before {time:e}", at.first_flip));
            }
        }
    }
    Ok(())
}

/// What M6 says about a network at test point j: (low, high), the coarse radius, and the slack.
fn enclosure(
    case: &Case,
    seen: &Seen,
    arithmetic: impl Fn(&Neuron) -> FlowArithmetic,
    time: f64,
    fault: Fault,
) -> Vec<((f64, f64), f64, f64)> {
    let known: Vec<(Vec<Start>, Vec<f64>)> = seen
        .neurons
        .iter()
        .map(|neuron| {
            let slack = |n: usize| slack(arithmetic(neuron), neuron, seen.scales[n], case.time);
            let starts = starts(neuron, slack, fault);
            let times = times(case, seen, neuron, &starts, fault);
            (starts, times)
        })
        .collect();
    let time = if fault == Fault::HalfTime { 0.5 * time } else { time };
    let at_point = |(j, &scale): (usize, &(f64, f64))| {
        let column = faulty_gram(seen.gram_test.column(j).as_slice(), case, fault);
        let neurons = || {
            seen.neurons.iter().zip(&known).map(|(neuron, (starts, flip_times))| {
                let at = neuron.test[j].start(slack(arithmetic(neuron), neuron, scale, case.time));
                TrainedNeuron { readout: neuron.readout, starts, flip_times, at }
            })
        };
        let slope = faulty_slope(case.slope, fault);
        let range = network_enclosure(neurons(), &column, slope, time).unwrap();
        let coarse = if fault == Fault::KinkForgotten {
            let far = neurons().map(|mut n| {
                n.at.preactivation = f64::MAX;
                n
            });
            network_deviation_bound(far, &column, slope, time).unwrap()
        } else {
            network_deviation_bound(neurons(), &column, slope, time).unwrap()
        };
        let output = |neuron: &Neuron| slack(arithmetic(neuron), neuron, scale, case.time).output;
        let total = if fault == Fault::NoSlack { 0.0 } else { seen.neurons.iter().map(output).sum() };
        (range, if fault == Fault::Half { 0.5 * coarse } else { coarse }, total)
    };
    seen.scales_test.iter().enumerate().map(at_point).collect()
}

/// M6, with or without its coarse form, for the flow; notes how much of the slack is needed where M6 is an equality.
fn outputs_of_flow(case: &Case, fault: Fault, coarse: bool, ratios: &Ratios, rounding: &Ratios) -> Result<(), String> {
    let seen = Seen::new(case);
    let arithmetic = |neuron: &Neuron| FlowArithmetic {
        input_dim: case.train.input_dim(),
        train_count: case.train.count(),
        width: case.width,
        moves: neuron.moves,
        updates: neuron.updates,
    };
    for (j, (range, radius, slack)) in enclosure(case, &seen, arithmetic, case.time, fault).into_iter().enumerate() {
        let change = seen.outcome.test_values[j] - seen.outcome.initial_test_values[j];
        let linear = case.time * seen.outcome.initial_rate_test[j];
        if coarse {
            within("M6, coarse", change, (linear - radius, linear + radius), slack)?;
            if radius > 1e3 * slack {
                ratios.note((change - linear).abs() / radius);
            }
            continue;
        }
        within("M6", change, range, slack)?;
        rounding.note((change - range.1).max(range.0 - change).max(0.0) / slack);
        let side = if change >= linear { range.1 - linear } else { linear - range.0 };
        if side > 1e3 * slack {
            ratios.note((change - linear).abs() / side);
        }
    }
    Ok(())
}

/// M6 for descent: from the same start with the same total time.
fn outputs_of_descent(case: &Case, fault: Fault, ratios: &Ratios) -> Result<(), String> {
    const STEPS: usize = 40;
    let taken = if fault == Fault::OneStepMore { STEPS - 1 } else { STEPS };
    let (rate, neurons) = (case.time / STEPS as f64, case.neurons());
    let descent = Descent::new(rate, taken).unwrap();
    let trained = descent.train(&neurons, case.slope, &case.train, &StandardLoss::Identity).unwrap();
    let before = outputs(&neurons.weights(), case.slope, &case.test).unwrap();
    let after = outputs(&trained.weights, case.slope, &case.test).unwrap();
    let seen = Seen::new(case);
    let (dim, count) = (case.train.input_dim(), case.train.count());
    let arithmetic = |_: &Neuron| FlowArithmetic::descent(dim, count, case.width, STEPS);
    for (j, (range, _, slack)) in enclosure(case, &seen, arithmetic, case.time, fault).into_iter().enumerate() {
        within("M6, descent", after[j] - before[j], range, slack)?;
        let linear = case.time * seen.outcome.initial_rate_test[j];
        let side = if after[j] - before[j] >= linear { range.1 - linear } else { linear - range.0 };
        if side > 1e3 * slack {
            ratios.note((after[j] - before[j] - linear).abs() / side);
        }
    }
    Ok(())
}

/// K1: the outputs' change is the path kernel's integral.
fn path_kernel(case: &Case, fault: Fault, rounding: &Ratios) -> Result<(), String> {
    let seen = Seen::new(case);
    for (j, &scale) in seen.scales_test.iter().enumerate() {
        let column = faulty_gram(seen.gram_test.column(j).as_slice(), case, fault);
        let (mut integral, mut slack) = (0.0, 0.0);
        for neuron in &seen.neurons {
            let initial: Vec<f64> = neuron.train.iter().map(|at| case.slope.derivative(at.preactivation.0)).collect();
            let changes: &[_] = if fault == Fault::Frozen { &[] } else { &neuron.changes };
            let path = DerivativePath { readout: neuron.readout, initial: &initial, changes };
            let start = neuron.test[j].preactivation.0;
            let time = if fault == Fault::HalfTime { 0.5 * case.time } else { case.time };
            integral += path_kernel_change(path, start, &column, faulty_slope(case.slope, fault), time);
            slack += seen.slack(case, neuron, scale).output;
        }
        let change = seen.outcome.test_values[j] - seen.outcome.initial_test_values[j];
        let slack = if fault == Fault::NoSlack { 0.0 } else { slack };
        within("K1", change, (integral, integral), slack)?;
        rounding.note((change - integral).abs() / slack);
    }
    Ok(())
}

fn must_be_caught(statement: &str, faults: &[Fault], check: impl Fn(&Case, Fault) -> Result<(), String>) {
    for &fault in faults {
        let taken = caught(CAUGHT_WITHIN, any_case(), |case| check(case, fault));
        say(format_args!("{statement}, {fault:?}: caught by case {taken:?} of at most {CAUGHT_WITHIN}"));
        assert!(taken.is_some(), "{statement}: a theory with the fault {fault:?} passes {CAUGHT_WITHIN} cases");
    }
}

/// The cases are what they claim to be: sliding and resting neurons, repeated points, one class, more and fewer points
/// than dimensions, and networks without any event.
#[test]
fn cases_reach_every_corner() {
    let counts = RefCell::new([0_u32; 8]);
    always(CASES, any_case(), |case| {
        let seen = Seen::new(case);
        let points = case.train.points();
        let repeated = (0..points.count()).any(|n| (0..n).any(|k| points.point(n) == points.point(k)));
        let one_class = case.train.labels().windows(2).all(|pair| pair[0] == pair[1]);
        let corners = [
            seen.outcome.sliding > 0,
            seen.outcome.undecided > 0,
            seen.outcome.events == 0,
            seen.outcome.events > 5 * case.width as u64,
            repeated,
            one_class,
            points.count() < points.input_dim(),
            points.count() > points.input_dim(),
        ];
        counts.borrow_mut().iter_mut().zip(corners).for_each(|(count, reached)| *count += u32::from(reached));
        Ok(())
    });
    let counts = counts.into_inner();
    say(format_args!(
        "{CASES} cases: {} slide, {} rest on a kink, {} without event, {} with five per neuron, {} with repeated points, \
         {} of one class, {} with N < d, {} with N > d",
        counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], counts[6], counts[7]
    ));
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

//= test M3@0eb36093
//= test N2@064d315e
#[test]
fn velocities_stay_within_their_range() {
    let ratios = Ratios::new();
    always(CASES, any_case(), |case| velocities(case, Fault::Nothing, &ratios));
    ratios.say("M3 velocity range");
}

//= power M3@0eb36093
#[test]
fn half_the_range_or_a_range_without_bias_is_left() {
    let ratios = Ratios::new();
    must_be_caught("M3", &[Fault::Half, Fault::NoBias], |case, fault| velocities(case, fault, &ratios));
}

//= test M5@395a0e05
//= test R5@bfbb9e30
#[test]
fn no_sample_flips_before_its_time() {
    let ratios = Ratios::new();
    always(CASES, any_case(), |case| flips(case, Fault::Nothing, &ratios));
    ratios.say("M5 flip times");
}

//= power M5@395a0e05
#[test]
fn wrong_flip_times_are_passed() {
    let ratios = Ratios::new();
    let faults = [
        Fault::TimesDoubled,
        Fault::EffectsSwapped,
        Fault::EffectsForgotten,
        Fault::WrongSign,
        Fault::HalfTime,
        Fault::NoBias,
    ];
    must_be_caught("M5", &faults, |case, fault| flips(case, fault, &ratios));
}

//= test M6@21527c25
//= test R5@bfbb9e30
//= test R6@de993200
#[test]
fn trained_networks_stay_in_their_enclosure() {
    let (ratios, rounding) = (Ratios::new(), Ratios::new());
    always(CASES, any_case(), |case| outputs_of_flow(case, Fault::Nothing, false, &ratios, &rounding));
    ratios.say("M6 enclosure, flow");
    rounding.say("R5 rounding beyond the enclosure, against its slack");
}

//= power M6@21527c25
//= power R5@bfbb9e30
//= power R6@de993200
#[test]
fn wrong_enclosures_are_left() {
    let (ratios, rounding) = (Ratios::new(), Ratios::new());
    let faults = [
        Fault::TimesDoubled,
        Fault::EffectsSwapped,
        Fault::EffectsForgotten,
        Fault::HalfTime,
        Fault::NoBias,
        Fault::SlopeSquared,
        Fault::NoSlack,
    ];
    must_be_caught("M6", &faults, |case, fault| outputs_of_flow(case, fault, false, &ratios, &rounding));
}

//= test M6@21527c25
#[test]
fn trained_networks_stay_within_the_coarse_bound() {
    let (ratios, rounding) = (Ratios::new(), Ratios::new());
    always(CASES, any_case(), |case| outputs_of_flow(case, Fault::Nothing, true, &ratios, &rounding));
    ratios.say("M6 coarse form");
}

//= power M6@21527c25
#[test]
fn wrong_coarse_bounds_are_exceeded() {
    let (ratios, rounding) = (Ratios::new(), Ratios::new());
    let faults = [Fault::Half, Fault::KinkForgotten, Fault::HalfTime, Fault::NoSlack];
    must_be_caught("M6, coarse", &faults, |case, fault| outputs_of_flow(case, fault, true, &ratios, &rounding));
}

//= test M6@21527c25
#[test]
fn networks_trained_by_descent_stay_in_their_enclosure() {
    let ratios = Ratios::new();
    always(CASES / 2, any_case(), |case| outputs_of_descent(case, Fault::Nothing, &ratios));
    ratios.say("M6 enclosure, descent");
}

//= power M6@21527c25
#[test]
fn wrong_enclosures_of_descent_are_left() {
    let ratios = Ratios::new();
    let faults = [Fault::OneStepMore, Fault::TimesDoubled, Fault::EffectsSwapped, Fault::NoBias];
    must_be_caught("M6, descent", &faults, |case, fault| outputs_of_descent(case, fault, &ratios));
}

//= test K1@b4690933
#[test]
fn outputs_change_by_the_integral_of_the_path_kernel() {
    let rounding = Ratios::new();
    always(CASES, any_case(), |case| path_kernel(case, Fault::Nothing, &rounding));
    rounding.say("K1 path kernel, against the slack of rounding");
}

//= power K1@b4690933
#[test]
fn wrong_path_kernels_differ() {
    let rounding = Ratios::new();
    let faults = [Fault::Frozen, Fault::NoBias, Fault::SlopeSquared, Fault::HalfTime, Fault::NoSlack];
    must_be_caught("K1", &faults, |case, fault| path_kernel(case, fault, &rounding));
}

//= test N1@de793693
/// N1: antisymmetric pairs cancel at initialisation, up to the rounding of the sum; a pair of equal readouts does not.
#[test]
fn antisymmetric_networks_start_at_zero_everywhere() {
    always(CASES / 2, any_case(), |case| {
        let draw = |init| {
            let streams = perturbation_learning::random::Streams::new(case.seed, "properties/pairs");
            Neurons::draw(case.train.input_dim(), case.width, init, Readout::Gaussian, streams).unwrap()
        };
        let pairs = draw(Initialisation::Antisymmetric).weights();
        let values = outputs(&pairs, case.slope, &case.test).unwrap();
        for (z, value) in case.test.iter().zip(values) {
            let norm = (z.iter().map(|v| v * v).sum::<f64>() + 1.0).sqrt();
            let rows = pairs.hidden().chunks(z.len() + 1).zip(pairs.readout());
            let size: f64 = rows.map(|(w, a)| a.abs() * w.iter().map(|w| w * w).sum::<f64>().sqrt() * norm).sum();
            // Products may be formed in any order, and the sum of m terms rounds: R1.
            let roundings = (case.width + z.len() + 3) as f64;
            if value.abs() > 2.0 * roundings * f64::EPSILON * size {
                return Err(format!("N1: {value:e} at initialisation"));
            }
        }
        Ok(())
    });
}
