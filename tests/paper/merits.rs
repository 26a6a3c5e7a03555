//! Every figure of merit of a run, formed again from the steps of the pipeline and from theory.

use std::collections::BTreeMap;

use perturbation_learning::data::{DataSet, Synthetic, synthetic};
use perturbation_learning::experiment::learn::mean_absolute_cosine;
use perturbation_learning::experiment::paper::parameters::{DataName, Parameters};
use perturbation_learning::experiment::paper::pipeline::{Merits, Network, accuracy, sign_agreement};
use perturbation_learning::experiment::paper::sweep::FRESH_POINTS;
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{Initialisation, Precision, input_gradients, outputs};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::theory::bound::{NetworkLaw, ReadoutLaw, certificate_given_f};
use perturbation_learning::theory::{InitialProcess, Pair, Predictor, limit_training_set_along, perturbed_points};
use serde_json::Value;

use super::{made, parameters};

/// The width of the run of which most signs are certified.
const WIDEST: usize = 5000;

/// Agreement of T·F + f_0 and T'·G + g_0 of the library, and mean |cos| of T∇F + ∇f_0 to v; (f_0, ∇f_0) and g_0 are samples from
/// streams of their own.
fn limits(run: &Parameters, data: &DataSet, targets: &[f64], (time, time_perturbed): (f64, f64)) -> (f64, f64) {
    let (slope, points) = (Slope::new(run.slope).unwrap(), data.train.points());
    let standard = run.initialisation == Initialisation::Standard;
    let limit = Predictor::identity(&data.train, slope, time).unwrap();
    let mut gradients = limit.gradient(points).unwrap();
    let [mut f_start, mut g_start] = [(); 2].map(|()| vec![0.0; data.test.count()]);
    if standard {
        let sample = |name: &str, gradients| {
            let process = InitialProcess::new(slope, &data.test, gradients).unwrap();
            process.sample(&Streams::new(run.seed, name), 0).unwrap()
        };
        let start = sample("limit/f", Some(points));
        gradients += &start.gradients;
        (f_start, g_start) = (start.values, sample("limit/g", None).values);
    }
    let set = limit_training_set_along(gradients.clone(), points, targets, run.epsilon, run.scenario, None).unwrap();
    let change = Predictor::identity(&set, slope, time_perturbed).unwrap().values(&data.test).unwrap();
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
    let f = sum(&f_start, &limit.values(&data.test).unwrap());
    let agreement = sign_agreement(&f, &sum(&g_start, &change));
    // One sample for both would be seen.
    assert!(!standard || (agreement - sign_agreement(&f, &sum(&f_start, &change))).abs() > 0.05, "{run:?}");
    (agreement, mean_absolute_cosine(&gradients, &limit.weighted_sum(points).unwrap()))
}

/// The share of signs that A2 certifies at δ = 0.01, for values `first` and a time.
fn certified(run: &Parameters, set: &TrainingSet, test: &Points, first: &[f64], time: f64) -> f64 {
    let law = NetworkLaw::antisymmetric(run.width, ReadoutLaw::Gaussian).unwrap();
    certificate_given_f(set, Slope::new(run.slope).unwrap(), test, first, law, time, 0.01).unwrap().share()
}

/// The data of a run.
fn data_of(run: &Parameters) -> DataSet {
    let kind = if run.data == DataName::Gauss { Synthetic::Gauss } else { Synthetic::ShiftedGauss };
    synthetic(kind, run.input_dim, run.train_count, FRESH_POINTS, run.seed).unwrap()
}

/// T'ȳ' times the mean of Φ(0, x_n), pair by pair.
fn offset(run: &Parameters, data: &DataSet, targets: &[f64], time_perturbed: f64) -> f64 {
    let (origin, slope) = (vec![0.0; run.input_dim], Slope::new(run.slope).unwrap());
    let duals = data.train.points().iter().map(|x| Pair::new(&origin, x).derivative_dual(slope));
    let n = run.train_count as f64;
    time_perturbed * (targets.iter().sum::<f64>() / n) * (duals.sum::<f64>() / n)
}

/// Every figure of merit, from single steps.
fn recomputed(run: &Parameters) -> Merits {
    let data = data_of(run);
    let (recipe, targets, labels) = (run.recipe().unwrap(), run.draw_targets(), data.train.labels());
    let (points, test_labels) = (data.train.points(), data.test_labels.as_ref().unwrap());
    let f = recipe.train_f(&run.neurons("f/neurons").unwrap(), &data.train).unwrap();
    let moved = recipe.perturb(&f.trained.weights, points, &targets).unwrap();
    let g = recipe.train_g(&run.neurons("g/neurons").unwrap(), points, &moved, &targets).unwrap();
    let on = |network: &Network, points: &Points| outputs(&network.trained.weights, recipe.slope, points).unwrap();
    let (f_test, g_train, g_test) = (on(&f, &data.test), on(&g, points), on(&g, &data.test));
    let (time, time_perturbed) = (f.trained.flow_time, g.trained.flow_time);

    let mean_g = g_train.iter().sum::<f64>() / run.train_count as f64;
    let less_mean = |values: &[f64]| values.iter().map(|v| v - mean_g).collect::<Vec<f64>>();
    let spread = less_mean(&g_train).iter().map(|v| v * v).sum::<f64>() / run.train_count as f64;
    let gradients = input_gradients(&f.trained.weights, recipe.slope, points).unwrap();
    let sums = Predictor::identity(&data.train, recipe.slope, 1.0).unwrap().weighted_sum(points).unwrap();
    let identity = run.loss == StandardLoss::Identity;
    let limits = identity.then(|| limits(run, &data, &targets, (time, time_perturbed)));
    let certified = (identity && run.initialisation == Initialisation::Antisymmetric && run.width >= 1000).then(|| {
        let set = TrainingSet::new(perturbed_points(points, &moved, run.scenario).unwrap(), targets.clone()).unwrap();
        let share = |values: &[f64], time: f64| certified(run, &set, &data.test, values, time);
        let found = share(&f_test, time_perturbed);
        if run.width == WIDEST {
            // To certify g against itself, or for the time of f, would be seen.
            assert!(share(&g_test, time_perturbed) != found && share(&f_test, time) != found, "{run:?}");
        }
        found
    });
    let offset =
        (identity && run.scenario == Scenario::PerturbationOnly).then(|| offset(run, &data, &targets, time_perturbed));
    Merits {
        accuracy_f: accuracy(&on(&f, points), labels),
        accuracy_g: accuracy(&g_train, labels),
        accuracy_f_test: Some(accuracy(&f_test, test_labels)),
        accuracy_g_test: Some(accuracy(&g_test, test_labels)),
        agreement: sign_agreement(&f_test, &g_test),
        accuracy_g_centred: accuracy(&less_mean(&g_train), labels),
        agreement_centred: sign_agreement(&f_test, &less_mean(&g_test)),
        cosine: mean_absolute_cosine(&gradients, &sums),
        zero_gradients: gradients.column_iter().filter(|gradient| gradient.iter().all(|v| *v == 0.0)).count(),
        target_sum: targets.iter().sum(),
        mean_g,
        limit_offset: offset,
        spread_g: spread.sqrt(),
        time,
        time_perturbed,
        last_learning_rate: *f.trained.learning_rates.last().unwrap(),
        last_learning_rate_perturbed: *g.trained.learning_rates.last().unwrap(),
        last_loss: *f.trained.losses.last().unwrap(),
        last_loss_perturbed: *g.trained.losses.last().unwrap(),
        flip_share_f: f.flip_share,
        flip_share_g: g.flip_share,
        kernel_change_f: f.kernel_change,
        kernel_change_g: g.kernel_change,
        limit_agreement: limits.map(|limits| limits.0),
        limit_cosine: limits.map(|limits| limits.1),
        certified_share: certified,
    }
}

/// Runs with T ≠ T': two whose signs are certified, a narrower one whose limits start from a sample, and one of few neurons that
/// learn random labels at large rates: many of them die, so that gradients vanish and losses stand still (in double precision, as
/// rounding grows on the way there).
fn runs() -> [Parameters; 4] {
    let base = Parameters { epsilon: 1.0, slope: 0.3, ..parameters() };
    let antisymmetric = Parameters { width: 1000, initialisation: Initialisation::Antisymmetric, ..base.clone() };
    let rates = |learning_rate, learning_rate_perturbed, run: Parameters| Parameters {
        learning_rate,
        learning_rate_perturbed,
        ..run
    };
    let (data, loss) = (DataName::Gauss, StandardLoss::Logistic);
    let sizes = Parameters { input_dim: 3, train_count: 30, width: 4, ..base.clone() };
    let dying = Parameters { data, loss, slope: 0.0, seed: 0, precision: Precision::F64, ..sizes };
    [
        rates(0.03, 0.02, Parameters { seed: 2, ..antisymmetric.clone() }),
        rates(0.03, 0.02, Parameters { width: WIDEST, seed: 0, scenario: Scenario::OnImage, ..antisymmetric }),
        rates(0.01, 0.005, Parameters { seed: 1, width: 300, ..base }),
        rates(20.0, 60.0, dying),
    ]
}

/// A sweep's figures of merit are those of the steps and of the limits, each with the network, the points, the values and the time
/// that its name says.
#[test]
fn every_figure_of_merit_is_what_its_name_says() {
    let mut columns: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for run in runs() {
        let found = made(std::slice::from_ref(&run), 2).remove(0).merits.unwrap();
        let expected = recomputed(&run);
        // Sums of up to 60 terms in another order, relative to the largest term: some 60ε ≈ 10⁻¹⁴.
        let near = |name: &str, found: Option<f64>, expected: Option<f64>| {
            let error = found.unwrap_or_default() - expected.unwrap_or_default();
            let scale = expected.map_or(1.0, |v| v.abs().max(1.0));
            assert!(found.is_some() == expected.is_some() && error.abs() < 1e-12 * scale, "{name}: {error:e}, {run:?}");
        };
        near("cosine", Some(found.cosine), Some(expected.cosine));
        near("limit_cosine", found.limit_cosine, expected.limit_cosine);
        near("limit_offset", found.limit_offset, expected.limit_offset);
        near("spread_g", Some(found.spread_g), Some(expected.spread_g));
        let Merits { cosine, limit_cosine, limit_offset, spread_g, .. } = found;
        assert_eq!(found, Merits { cosine, limit_cosine, limit_offset, spread_g, ..expected }, "{run:?}");
        for (key, value) in serde_json::to_value(&found).unwrap().as_object().unwrap() {
            columns.entry(key.clone()).or_default().push(value.clone());
        }
    }
    // Any two of them differ in some run, so that none can stand in the place of another.
    for (key, values) in &columns {
        let same: Vec<&String> = columns.iter().filter(|other| other.1 == values).map(|other| other.0).collect();
        assert_eq!(same, [key]);
    }
    // Some gradients vanish, and last learning rates are not the first ones.
    assert!(columns["zero_gradients"].iter().any(|count| *count != 0));
    let of_last = |key: &str| columns[key].last().unwrap().as_f64().unwrap();
    let last = &runs()[3];
    assert!(of_last("last_learning_rate") < last.learning_rate, "the plateau rule struck");
    assert!(of_last("last_learning_rate_perturbed") < last.learning_rate_perturbed, "the plateau rule struck");
}
