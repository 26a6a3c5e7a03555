//! The pipeline of the paper's experiments against a plain implementation, step by step, from given initial weights.

#[path = "common/mod.rs"]
mod common;
#[path = "paper/merits.rs"]
mod merits;

use common::say;
use nalgebra::DMatrix;
use perturbation_learning::data::{DataSet, Synthetic, synthetic};
use perturbation_learning::experiment::learn::{Experiment, Schedule, Training, mean_absolute_cosine};
use perturbation_learning::experiment::paper::parameters::{DataName, PIPELINE, Parameters, Targets};
use perturbation_learning::experiment::paper::pipeline::{MOMENTUM, Network, Recipe, accuracy, sign_agreement};
use perturbation_learning::experiment::paper::store::Record;
use perturbation_learning::experiment::paper::sweep::Sweep;
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{Initialisation, Neurons, Precision, Readout, Weights, outputs};
use perturbation_learning::problem::{Scenario, Slope};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::theory::{Pair, Predictor, limit_training_set};

/// A network as plain lists: w_ij, b_i, a_i.
#[derive(Clone)]
struct Plain {
    weights: Vec<Vec<f64>>,
    biases: Vec<f64>,
    readout: Vec<f64>,
}

/// What happened in each step, and the network at the end.
struct History {
    losses: Vec<f64>,
    rates: Vec<f64>,
    network: Plain,
}

impl Plain {
    fn of(weights: &Weights) -> Self {
        let stride = weights.input_dim() + 1;
        let rows = || weights.hidden().chunks(stride);
        Plain {
            weights: rows().map(|row| row[..stride - 1].to_vec()).collect(),
            biases: rows().map(|row| row[stride - 1]).collect(),
            readout: weights.readout().to_vec(),
        }
    }

    fn preactivation(&self, i: usize, x: &[f64]) -> f64 {
        let mut u = self.biases[i];
        for (w, x) in self.weights[i].iter().zip(x) {
            u += w * x;
        }
        u
    }

    fn value(&self, slope: f64, x: &[f64]) -> f64 {
        let mut sum = 0.0;
        for i in 0..self.readout.len() {
            let u = self.preactivation(i, x);
            sum += self.readout[i] * if u > 0.0 { u } else { slope * u };
        }
        sum
    }

    fn gradient(&self, slope: f64, x: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; x.len()];
        for i in 0..self.readout.len() {
            let derivative = if self.preactivation(i, x) > 0.0 { 1.0 } else { slope };
            for (s, w) in sum.iter_mut().zip(&self.weights[i]) {
                *s += self.readout[i] * derivative * w;
            }
        }
        sum
    }

    /// All numbers in the order of [`Weights::hidden`].
    fn flat(&self) -> Vec<f64> {
        self.weights.iter().zip(&self.biases).flat_map(|(w, b)| w.iter().copied().chain([*b])).collect()
    }
}

/// ℓ(y f) and its derivative in f, as the scripts write them: −y f, and log(1 + exp(−y f)).
fn loss(name: StandardLoss, y: f64, f: f64) -> (f64, f64) {
    match name {
        StandardLoss::Identity => (-y * f, -y),
        _ => ((1.0 + (-y * f).exp()).ln(), -y * (1.0 - 1.0 / (1.0 + (-y * f).exp()))),
    }
}

/// Training as the scripts do it. The plateau rule, written anew: best loss so far, count of steps without a loss below
/// best·(1 − 10⁻⁴); at the eleventh the rate is divided by ten.
fn train(recipe: &Recipe, schedule: Schedule, start: &Plain, inputs: &[Vec<f64>], labels: &[f64]) -> History {
    let (gamma, count) = (recipe.slope.value(), inputs.len() as f64);
    let mut network = start.clone();
    let mut moving = Plain {
        weights: vec![vec![0.0; inputs[0].len()]; start.readout.len()],
        biases: vec![0.0; start.readout.len()],
        readout: Vec::new(),
    };
    let (mut rate, mut best, mut waited) = (schedule.learning_rate, f64::INFINITY, 0);
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..schedule.steps {
        let mut gradient = Plain { readout: Vec::new(), ..moving.clone() };
        gradient.weights.iter_mut().for_each(|row| row.fill(0.0));
        gradient.biases.fill(0.0);
        let mut mean_loss = 0.0;
        for (x, y) in inputs.iter().zip(labels) {
            let (value, slope) = loss(recipe.loss, *y, network.value(gamma, x));
            mean_loss += value / count;
            for i in 0..network.readout.len() {
                let derivative = if network.preactivation(i, x) > 0.0 { 1.0 } else { gamma };
                let factor = slope * network.readout[i] * derivative / count;
                for (g, x) in gradient.weights[i].iter_mut().zip(x) {
                    *g += factor * x;
                }
                gradient.biases[i] += factor;
            }
        }
        for i in 0..network.readout.len() {
            for j in 0..inputs[0].len() {
                moving.weights[i][j] = 0.9 * moving.weights[i][j] + gradient.weights[i][j];
                network.weights[i][j] -= rate * moving.weights[i][j];
            }
            moving.biases[i] = 0.9 * moving.biases[i] + gradient.biases[i];
            network.biases[i] -= rate * moving.biases[i];
        }
        losses.push(mean_loss);
        rates.push(rate);
        if mean_loss < best * (1.0 - 1e-4) {
            (best, waited) = (mean_loss, 0);
        } else {
            waited += 1;
        }
        if waited > 10 {
            waited = 0;
            if rate - rate / 10.0 > 1e-8 {
                rate *= 0.1;
            }
        }
    }
    History { losses, rates, network }
}

/// p_n = −ε ∇_x ℓ(f(x_n), y'_n)/max(‖∇‖, 10⁻¹²).
fn perturb(recipe: &Recipe, f: &Plain, inputs: &[Vec<f64>], targets: &[f64]) -> Vec<Vec<f64>> {
    let gamma = recipe.slope.value();
    let each = inputs.iter().zip(targets).map(|(x, y)| {
        let (_, slope) = loss(recipe.loss, *y, f.value(gamma, x));
        let gradient: Vec<f64> = f.gradient(gamma, x).iter().map(|g| slope * g).collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt().max(1e-12);
        gradient.iter().map(|g| -recipe.epsilon * g / norm).collect()
    });
    each.collect()
}

/// Largest difference relative to the largest number.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().fold(0.0_f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
    a.iter().zip(b).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs())) / scale
}

struct Case {
    loss: StandardLoss,
    slope: f64,
    scenario: Scenario,
    /// Whether the learning rates are so large that the plateau rule strikes.
    reductions: bool,
}

/// Plain data; or, for reductions, data whose every point occurs with both labels: a logistic loss comes to stand still.
fn inputs(case: &Case) -> (DataSet, Vec<Vec<f64>>) {
    let mut data = synthetic(Synthetic::ShiftedGauss, 4, 24, 40, 11).unwrap();
    if case.reductions {
        let half = data.train.points().select(&(0..12).collect::<Vec<_>>());
        let twice = half.as_columns().as_slice().repeat(2);
        let points = perturbation_learning::problem::Points::from_rows("x", 24, 4, twice).unwrap();
        let labels = (0..24).map(|n| if n < 12 { 1.0 } else { -1.0 }).collect();
        data.train = perturbation_learning::problem::TrainingSet::new(points, labels).unwrap();
    }
    let rows = data.train.points().iter().map(<[f64]>::to_vec).collect();
    (data, rows)
}

fn recipe(case: &Case, precision: Precision) -> Recipe {
    let rates = if case.reductions { (1.0, 0.5) } else { (0.3, 0.2) };
    let steps = if case.reductions { (300, 40) } else { (40, 30) };
    Recipe {
        loss: case.loss,
        slope: Slope::new(case.slope).unwrap(),
        scenario: case.scenario,
        epsilon: 0.4,
        clean: Schedule { learning_rate: rates.0, steps: steps.0 },
        perturbed: Schedule { learning_rate: rates.1, steps: steps.1 },
        precision,
    }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for loss in [StandardLoss::Identity, StandardLoss::Logistic] {
        for slope in [0.0, 0.3] {
            for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
                all.push(Case { loss, slope, scenario, reductions: false });
            }
        }
    }
    for slope in [0.0, 0.3] {
        let (loss, scenario) = (StandardLoss::Logistic, Scenario::OnImage);
        all.push(Case { loss, slope, scenario, reductions: true });
    }
    all
}

/// The steps of one network agree: losses, learning rates, weights.
fn same_steps(what: &str, plain: &History, found: &Network, bound: f64) {
    assert_eq!(plain.rates, found.trained.learning_rates, "{what}: learning rates");
    let losses = distance(&plain.losses, &found.trained.losses);
    assert!(losses <= bound, "{what}: losses differ by {losses:e}, allowed {bound:e}");
    let weights = distance(&plain.network.flat(), found.trained.weights.hidden());
    assert!(weights <= bound, "{what}: weights differ by {weights:e}, allowed {bound:e}");
}

/// Both programs round in their own order. In a step a weight moves by η times a sum of N terms; errors add over the
/// steps of both networks, and the kinks amplify them: steps·N·ε relative to the largest weight, times 10 (a tenth of it
/// is observed). Points with a value within rounding of 0 may fall to either side; these data have none.
#[test]
fn every_step_agrees_with_a_plain_implementation_from_given_weights() {
    let (mut reduced, mut compared) = (0, 0);
    for case in cases() {
        let (data, rows) = inputs(&case);
        let draw = |purpose: &str| {
            let streams = Streams::new(3, purpose);
            Neurons::draw(4, 9, Initialisation::Standard, Readout::Gaussian, streams).unwrap().weights()
        };
        let (f_start, g_start) = (draw("f"), draw("g"));
        let targets = random_signs(&Streams::new(5, "targets"), 24);
        for (precision, epsilon) in [(Precision::F64, f64::EPSILON), (Precision::F32, f64::from(f32::EPSILON))] {
            let recipe = recipe(&case, precision);
            let what = format!("{:?} γ={} {:?} {precision:?}", case.loss, case.slope, case.scenario);
            let steps = (recipe.clean.steps + recipe.perturbed.steps) as f64;
            let bound = 10.0 * steps * 24.0 * epsilon;

            // 1. f.
            let plain_f = train(&recipe, recipe.clean, &Plain::of(&f_start), &rows, data.train.labels());
            let f = recipe.train_f(&Neurons::given(f_start.clone()), &data.train).unwrap();
            same_steps(&format!("{what}, f"), &plain_f, &f, bound);
            // 2. The perturbations.
            let plain_p = perturb(&recipe, &plain_f.network, &rows, &targets);
            let p: DMatrix<f64> = recipe.perturb(&f.trained.weights, data.train.points(), &targets).unwrap();
            assert!(distance(&plain_p.concat(), p.as_slice()) <= 10.0 * bound, "{what}: perturbations");
            // 3. g.
            let moved: Vec<Vec<f64>> = match case.scenario {
                Scenario::PerturbationOnly => plain_p,
                Scenario::OnImage => {
                    let pairs = rows.iter().zip(&plain_p);
                    pairs.map(|(x, p)| x.iter().zip(p).map(|(x, p)| x + p).collect()).collect()
                }
            };
            let plain_g = train(&recipe, recipe.perturbed, &Plain::of(&g_start), &moved, &targets);
            let start = Neurons::given(g_start.clone());
            let g = recipe.train_g(&start, data.train.points(), &p, &targets).unwrap();
            same_steps(&format!("{what}, g"), &plain_g, &g, 10.0 * bound);
            // 4. The figures of merit.
            let at = |network: &Plain, x: &[f64]| network.value(case.slope, x);
            let share = |same: Vec<bool>| same.iter().filter(|s| **s).count() as f64 / same.len() as f64;
            let on = |w: &Weights, points| outputs(w, recipe.slope, points).unwrap();
            let (of, og) = (&f.trained.weights, &g.trained.weights);
            let agree = |x: &[f64]| at(&plain_f.network, x) * at(&plain_g.network, x) > 0.0;
            assert_eq!(
                sign_agreement(&on(of, &data.test), &on(og, &data.test)),
                share(data.test.iter().map(agree).collect()),
                "{what}: agreement"
            );
            let labelled = |network: &Plain| {
                share(rows.iter().zip(data.train.labels()).map(|(x, y)| y * at(network, x) > 0.0).collect())
            };
            let labels = data.train.labels();
            assert_eq!(accuracy(&on(og, data.train.points()), labels), labelled(&plain_g.network), "{what}: accuracy");
            assert_eq!(accuracy(&on(of, data.train.points()), labels), labelled(&plain_f.network), "{what}: accuracy");
            let strikes = |h: &History| usize::from(h.rates.last() != h.rates.first());
            reduced += strikes(&plain_f) + strikes(&plain_g);
            compared += 2;
        }
    }
    assert!(reduced >= 4, "the plateau rule struck in {reduced} of {compared} trainings only");
    say(format_args!(
        "the paper's pipeline: {compared} trainings agree step by step, {reduced} with plateau reductions"
    ));
}

/// With the identity loss the plateau rule strikes where neurons swing: two nearly equal points with opposite labels and
/// a huge learning rate, until they are all inactive (γ = 0). Swinging amplifies rounding errors: double precision is
/// followed to 10⁻⁸ everywhere, single precision where the rule struck.
#[test]
fn plateau_reductions_of_the_identity_loss_are_followed_step_by_step() {
    let points = perturbation_learning::problem::Points::from_rows("x", 2, 1, vec![1.0, 1.2]).unwrap();
    let data = perturbation_learning::problem::TrainingSet::new(points, vec![1.0, -1.0]).unwrap();
    let rows: Vec<Vec<f64>> = data.points().iter().map(<[f64]>::to_vec).collect();
    let schedule = Schedule { learning_rate: 30.0, steps: 100 };
    let mut reduced = 0;
    for (seed, slope) in (0..40).flat_map(|seed| [0.0, 0.3].map(|slope| (seed, slope))) {
        let recipe = Recipe {
            loss: StandardLoss::Identity,
            slope: Slope::new(slope).unwrap(),
            scenario: Scenario::OnImage,
            epsilon: 0.1,
            clean: schedule,
            perturbed: schedule,
            precision: Precision::F64,
        };
        let streams = Streams::new(seed, "swinging");
        let neurons = Neurons::draw(1, 3, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let plain = train(&recipe, schedule, &Plain::of(&neurons.weights()), &rows, data.labels());
        let found = recipe.train_f(&neurons, &data).unwrap();
        same_steps(&format!("seed {seed}, γ={slope}"), &plain, &found, 1e-8);
        if plain.rates[99] < 30.0 {
            // The neurons died, and nothing is amplified any more: single precision is followed too.
            let single = Recipe { precision: Precision::F32, ..recipe }.train_f(&neurons, &data).unwrap();
            same_steps(&format!("seed {seed}, γ={slope}, f32"), &plain, &single, 100.0 * f64::from(f32::EPSILON));
            reduced += 1;
        }
    }
    assert!(reduced >= 3, "the plateau rule struck in {reduced} of 80 trainings only");
    say(format_args!(
        "the paper's pipeline: 80 trainings of swinging neurons agree, {reduced} with plateau reductions"
    ));
}

fn parameters() -> Parameters {
    Parameters {
        pipeline: PIPELINE,
        data: DataName::ShiftedGauss,
        data_digest: None,
        input_dim: 12,
        train_count: 60,
        scenario: Scenario::PerturbationOnly,
        loss: StandardLoss::Identity,
        slope: 0.0,
        width: 30,
        initialisation: Initialisation::Standard,
        epsilon: 0.1,
        steps: 50,
        steps_perturbed: 40,
        learning_rate: 0.1,
        learning_rate_perturbed: 0.3,
        targets: Targets::Random,
        precision: Precision::F32,
        seed: 4,
    }
}

/// Makes runs with a number of threads.
fn made(runs: &[Parameters], threads: usize) -> Vec<Record> {
    let named = runs.iter().map(|run| (run.id().unwrap(), run.clone())).collect();
    let sweep = Sweep::new(named, std::collections::HashMap::new(), true).unwrap();
    let found = std::sync::Mutex::new(Vec::new());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
        sweep
            .run(threads, &|record, _| {
                found.lock().unwrap().push(record);
                Ok(())
            })
            .unwrap();
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// `learn` with the same numbers gives the same networks: accuracies, agreement, cosine, target sum.
#[test]
fn a_sweep_makes_the_runs_of_learn() {
    let run = parameters();
    let data = synthetic(Synthetic::ShiftedGauss, 12, 60, 1000, 4).unwrap();
    let schedule = |learning_rate, steps| Schedule { learning_rate, steps };
    let experiment = Experiment {
        width: 30,
        initialisation: Initialisation::Standard,
        readout: Readout::Gaussian,
        slope: Slope::RELU,
        scenario: Scenario::PerturbationOnly,
        epsilon: 0.1,
        training: Training::Descent {
            clean: schedule(0.1, 50),
            perturbed: schedule(0.3, 40),
            momentum: MOMENTUM,
            plateau: true,
            loss: StandardLoss::Identity,
            precision: Precision::F32,
        },
        seed: 4,
    };
    let expected = experiment.run(&data).unwrap().outcome;
    let found = made(&[run], 1).remove(0).merits.unwrap();
    assert_eq!(
        (found.accuracy_f, found.accuracy_g, found.agreement, found.target_sum, found.time),
        (expected.accuracy_clean, expected.accuracy_perturbed, expected.agreement, expected.target_sum, expected.time)
    );
    assert!((found.cosine - expected.cosine_weighted_sum).abs() < 1e-12);
    assert!(found.limit_agreement.is_some() && found.limit_cosine.unwrap() > 0.0);
}

/// Without a random start the twin is the agreement of T·F and T'·G, here formed by the library's own limit set.
#[test]
fn the_twin_of_an_antisymmetric_run_is_the_agreement_of_the_limits() {
    for (scenario, slope) in [(Scenario::PerturbationOnly, 0.0), (Scenario::OnImage, 0.4)] {
        let run = Parameters { scenario, slope, initialisation: Initialisation::Antisymmetric, ..parameters() };
        let data = synthetic(Synthetic::ShiftedGauss, 12, 60, 1000, 4).unwrap();
        let gamma = Slope::new(slope).unwrap();
        let (targets, points) = (run.draw_targets(), data.train.points());
        let f = Predictor::identity(&data.train, gamma, 1.0).unwrap();
        let set = limit_training_set(&f, points, &targets, run.epsilon, scenario, None).unwrap();
        let g = Predictor::identity(&set, gamma, 1.0).unwrap();
        let found = made(&[run], 1).remove(0).merits.unwrap();
        let expected = sign_agreement(&f.values(&data.test).unwrap(), &g.values(&data.test).unwrap());
        assert_eq!(found.limit_agreement, Some(expected));
        let cosine = mean_absolute_cosine(&f.gradient(points).unwrap(), &f.weighted_sum(points).unwrap());
        assert!((found.limit_cosine.unwrap() - cosine).abs() < 1e-12);
        if scenario == Scenario::PerturbationOnly {
            let origin = vec![0.0; 12];
            let duals = points.iter().map(|x| Pair::new(&origin, x).derivative_dual(gamma)).sum::<f64>() / 60.0;
            let offset = found.time_perturbed * found.target_sum / 60.0 * duals;
            assert!((found.limit_offset.unwrap() - offset).abs() < 1e-12 * found.time_perturbed);
        } else {
            assert_eq!(found.limit_offset, None);
        }
    }
}

/// A standard start changes the twin, and seeds change its sample.
#[test]
fn the_twin_of_a_standard_run_starts_from_a_sample_of_its_seed() {
    let short = Parameters { steps: 1, steps_perturbed: 1, learning_rate: 0.01, ..parameters() };
    let twin = |run: &Parameters| made(std::slice::from_ref(run), 1).remove(0).merits.unwrap().limit_cosine.unwrap();
    let standard = twin(&short);
    let without_start = twin(&Parameters { initialisation: Initialisation::Antisymmetric, ..short.clone() });
    assert!(without_start > 0.9 && standard < 0.5, "{without_start} {standard}");
    assert_ne!(standard, twin(&Parameters { seed: 5, ..short.clone() }));
    assert!(twin(&Parameters { learning_rate: 100.0, ..short }) > 0.9, "a long time outweighs the start");
}

/// The base, and for each parameter but the pipeline's number and the digest of images a run that differs from it in that one alone.
fn one_parameter_each(base: &Parameters) -> Vec<Parameters> {
    let f = [
        Parameters { data: DataName::Gauss, ..base.clone() },
        Parameters { input_dim: 13, ..base.clone() },
        Parameters { train_count: 61, ..base.clone() },
        Parameters { loss: StandardLoss::Logistic, ..base.clone() },
        Parameters { slope: 0.5, ..base.clone() },
        Parameters { width: 32, ..base.clone() },
        Parameters { initialisation: Initialisation::Antisymmetric, ..base.clone() },
        Parameters { steps: 51, ..base.clone() },
        Parameters { learning_rate: 0.11, ..base.clone() },
        Parameters { precision: Precision::F64, ..base.clone() },
        Parameters { seed: 5, ..base.clone() },
    ];
    let g = [
        Parameters { scenario: Scenario::OnImage, ..base.clone() },
        Parameters { epsilon: 0.0, ..base.clone() },
        Parameters { steps_perturbed: 41, ..base.clone() },
        Parameters { learning_rate_perturbed: 0.1, ..base.clone() },
        Parameters { targets: Targets::Balanced, ..base.clone() },
    ];
    let keys = |run: &Parameters| serde_json::to_value(run).unwrap().as_object().unwrap().clone();
    let mut varied: Vec<String> = ["data_digest", "pipeline"].map(Into::into).into();
    for run in f.iter().chain(&g) {
        let different = keys(run).into_iter().filter(|(key, value)| keys(base)[key] != *value);
        varied.extend(different.map(|pair| pair.0));
    }
    varied.sort();
    assert_eq!(varied, keys(base).into_iter().map(|pair| pair.0).collect::<Vec<_>>(), "every parameter, once");
    [base.clone()].into_iter().chain(g).chain(f).collect()
}

/// Runs share data, limits and f only where nothing that these depend on differs.
#[test]
fn results_depend_on_neither_threads_nor_company() {
    let base = parameters();
    let mut runs = one_parameter_each(&base);
    for learning_rate_perturbed in [0.1, 1.0] {
        // A second data set with several f, and several g of each.
        runs.push(Parameters { seed: 5, learning_rate_perturbed, ..base.clone() });
        runs.push(Parameters { seed: 5, learning_rate_perturbed, loss: StandardLoss::Logistic, ..base.clone() });
    }
    let together = made(&runs, 3);
    // In reverse, what is shared wrongly comes from another run: those with an f of their own stand before those that share one.
    assert_eq!(together, made(&runs.iter().rev().cloned().collect::<Vec<_>>(), 1));
    let by_id = |run: &Parameters| {
        let id = run.id().unwrap();
        together.iter().find(|record| record.id == id).unwrap()
    };
    for run in [&runs[0], &runs[10], &runs[18]] {
        assert_eq!(&made(std::slice::from_ref(run), 2)[0], by_id(run));
    }
    // What is varied matters: no two runs have the same results.
    for (index, run) in runs.iter().enumerate() {
        assert!(runs[..index].iter().all(|other| by_id(other).merits != by_id(run).merits), "{run:?}");
    }
    let balanced = together.iter().filter(|r| r.parameters.targets == Targets::Balanced);
    assert!(balanced.map(|r| r.merits.as_ref().unwrap().target_sum).all(|sum| sum == 0.0));
    let logistic = together.iter().filter(|r| r.parameters.loss == StandardLoss::Logistic);
    assert!(logistic.map(|r| r.merits.as_ref().unwrap().limit_agreement).all(|twin| twin.is_none()));
}

/// A tiny set whose random labels all agree cannot be learnt from: recorded as failed, and the others go on.
#[test]
fn a_run_that_cannot_be_made_is_recorded_and_the_others_go_on() {
    let tiny = |seed| Parameters { data: DataName::Gauss, train_count: 2, seed, ..parameters() };
    let records = made(&(0..12).map(tiny).collect::<Vec<_>>(), 1);
    let failed: Vec<&Record> = records.iter().filter(|r| r.failure.is_some()).collect();
    assert!(!failed.is_empty() && failed.len() < 12);
    assert!(failed[0].failure.as_ref().unwrap().contains("distinct labels"));
}
