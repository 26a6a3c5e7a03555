//! The figures. Each function measures what it draws.

use std::path::Path;

use nalgebra::DMatrix;
use perturbation_learning::Result;
use perturbation_learning::experiment::learn::{agreement, root_mean_square};
use perturbation_learning::experiment::readout_law;
use perturbation_learning::network::{Initialisation, Readout};
use perturbation_learning::random::Streams;
use perturbation_learning::report::plot::{Curve, CurvePoint, Figure, Panel, Role};
use perturbation_learning::stats::{mean, mean_interval, quantile};
use perturbation_learning::theory::bound::{
    PerturbationRule, gradient_fluctuation_limit, second_network_fluctuation_limit,
};
use perturbation_learning::theory::{Predictor, kernel_variance, limit_training_set};
use statrs::function::erf::erf;

use super::bounds;
use super::process::InitialProcess;
use super::series::{Measured, bands, guide, level, measured, networks, slope, slopes, widths};
use super::study::{SEED, SLOPE, Study, column_distance, trained_gradients};

/// Networks of a width at least: fewer have no 5 and 95 % quantiles to speak of.
const LEAST: usize = 32;

/// How much is spent.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Everything small, for CI.
    pub quick: bool,
}

impl Effort {
    /// Widths 2^first … 2^last.
    fn widths(self, first: u32, last: u32, step: usize) -> Vec<usize> {
        if self.quick { widths(first, 10, 2) } else { widths(first, last, step) }
    }

    /// Networks of a width that together have about 2^neurons neurons: `least` … 100.
    fn networks(self, width: usize, neurons: u32, least: usize) -> usize {
        if self.quick { 4 } else { networks(width, 1 << neurons, least, 100) }
    }
}

fn panel(title: &str, y_label: &str, log_y: bool, curves: Vec<Curve>) -> Panel {
    let (title, x_label, y_label) = (title.into(), "width m".into(), y_label.into());
    Panel { title, x_label, log_x: true, y_label, log_y, y_range: None, curves }
}

/// Writes a figure and says where.
pub fn write(name: &str, panels: Vec<Panel>, directory: &Path) -> Result<()> {
    let [_, png, _] = Figure::row(name, panels).write(directory)?;
    println!("{}", png.display());
    Ok(())
}

/// The small data of most figures: d = 20, N = 50, T = 1; g from perturbations alone, ε = 0.5.
pub fn small_study(readout: Readout) -> Result<Study> {
    Study::new(readout, (20, 50, 50), 1.0, 0.5)
}

/// The quantile of |Y(z)| where z is a uniformly drawn test point and Y(z) ~ N(0, σ(z)²): bisection.
fn mixture_quantile(sigma: &[f64], share: f64) -> f64 {
    let below = |q: f64| sigma.iter().map(|s| erf(q / (s * 2.0_f64.sqrt()))).sum::<f64>() / sigma.len() as f64;
    let (mut low, mut high) = (0.0, 10.0 * sigma.iter().fold(0.0_f64, |a, b| a.max(*b)));
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// A proved bound.
fn proved(label: &str, points: &[(f64, f64)]) -> Curve {
    Curve::line(Role::Bound, None, label, points)
}

/// Median, 5 % and 95 % quantile of |Y(z)| with the given variances at the test points, Gaussian.
fn predicted(what: &str, variance: impl Fn(f64) -> Vec<f64>, widths: &[usize]) -> [Curve; 3] {
    [0.5, 0.05, 0.95].map(|share| {
        let at = |&m: &usize| {
            let sigma: Vec<f64> = variance(m as f64).iter().map(|v| v.sqrt()).collect();
            (m as f64, mixture_quantile(&sigma, share))
        };
        let label = if share == 0.5 { what.into() } else { format!("{what}: quantile {share}") };
        let curve = Curve::line(Role::Theory, None, label, &widths.iter().map(at).collect::<Vec<_>>());
        if share == 0.5 { curve } else { curve.explained_elsewhere() }
    })
}

/// Per width the mean of `ratios`, one per network, with a 95 % interval.
fn means(ratios: &Measured) -> Vec<CurvePoint> {
    let groups = ratios.chunk_by(|a, b| a.0 == b.0);
    groups
        .map(|group| {
            let of_width: Vec<f64> = group.iter().map(|p| p.1).collect();
            CurvePoint { x: group[0].0, y: mean(&of_width), band: Some(mean_interval(&of_width, 0.05)) }
        })
        .collect()
}

/// What the curves of gradients are.
const NETWORKS: &str = "networks: median, 5–95 %";

/// The limit of how trained gradients scatter (P10), over the training points.
struct Fluctuation {
    time: f64,
    /// Mean of tr Σ.
    total: f64,
    /// Mean of (tr Σ − ⟨ê,Σê⟩)/2‖∇F‖².
    across: f64,
}

impl Fluctuation {
    fn new(study: &Study, effort: Effort) -> Result<Self> {
        let (train, draws) = (&study.data.train, if effort.quick { 1_000 } else { 100_000 });
        let law = readout_law(study.readout);
        let streams = Streams::new(SEED, "fluctuation");
        let limit = gradient_fluctuation_limit(train, SLOPE, train.points(), law, draws, &streams)?;
        let squares = study.gradients.column_iter().map(|gradient| (gradient.norm() / study.time).powi(2));
        let across: Vec<f64> =
            limit.points.iter().zip(squares).map(|(limit, square)| 0.5 * limit.across / square).collect();
        Ok(Fluctuation { time: study.time, total: limit.mean.total, across: mean(&across) })
    }

    /// Root mean square of ‖∇f_T − T·∇F‖.
    fn distance(&self, width: f64) -> f64 {
        (self.time * self.total / width.sqrt()).sqrt()
    }

    /// Mean of 1 − cos(∇f_T, ∇F).
    fn deficit(&self, width: f64) -> f64 {
        self.across / (self.time * width.sqrt())
    }
}

/// Values: |f_T − T·F| over almost five decades of width, with the predicted distribution.
pub fn function(directory: &Path, effort: Effort) -> Result<()> {
    let study = small_study(Readout::Gaussian)?;
    let widths = effort.widths(6, 22, 2);
    let variance =
        kernel_variance(&study.data.train, SLOPE, &study.data.test, readout_law(study.readout).fourth_moment())?;
    let variance: Vec<f64> = variance.iter().map(|v| study.time.powi(2) * v).collect();
    let (mut pooled, mut per_network, mut ratios) = (Measured::new(), Measured::new(), Measured::new());
    for &width in &widths {
        for index in 0..effort.networks(width, 24, LEAST) {
            let (m, deviation) = (width as f64, study.function_deviation(width, index)?);
            let squares: Vec<f64> = deviation.iter().zip(&variance).map(|(v, var)| v * v * 0.5 * m / var).collect();
            ratios.push((m, mean(&squares)));
            per_network.push((m, root_mean_square(&deviation)));
            pooled.extend(deviation.iter().map(|v| (m, v.abs())));
        }
    }
    let label = format!("networks × test points: median, 5–95 %; {}", slope(&per_network));
    let mut values = vec![Curve::measured(0, label, bands(&pooled))];
    let label = "theory, nothing fitted: 5, 50, 95 % of N(0, T² Var X/(m/2))";
    // Antisymmetric pairs are m/2 independent ones.
    let of_pairs = |width: f64| variance.iter().map(|v| v / (0.5 * width)).collect();
    values.extend(predicted(label, of_pairs, &widths));
    let label = "bound (W9), 95 % of networks, the largest of all points";
    values.push(proved(label, &bounds::function(&study, &widths)?));
    let ratios = means(&ratios);
    let shown: Vec<usize> = ratios.iter().map(|p| p.x as usize).collect();
    let constants = vec![
        Curve::measured(0, "networks: mean, its 95 % interval", ratios),
        level(None, "theory: 1, mean drift (W8) left out", 1.0, &shown),
    ];
    let constants = Panel {
        y_range: Some((0.0, 2.0)),
        ..panel("The constant", "(f_T − T·F)² over its variance", false, constants)
    };
    let values = panel("Function values", "|f_T(z) − T·F(z)|", true, values);
    write("function", vec![values, constants], directory)
}

/// Gradients, directions, and g: what the networks of one run of widths deviate by.
pub fn gradient_and_g(directory: &Path, effort: Effort) -> Result<()> {
    // The bounds on gradients are proved for readouts ±1/√m.
    let study = small_study(Readout::Rademacher)?;
    let widths = effort.widths(6, 17, 1);
    let mut all = Vec::new();
    for &width in &widths {
        for index in 0..effort.networks(width, 21, LEAST) {
            all.push((width as f64, study.deviations(width, index)?));
        }
    }
    let gradient: Measured = all.iter().map(|(m, d)| (*m, d.gradient)).collect();
    let direction: Measured = all.iter().map(|(m, d)| (*m, d.direction)).collect();
    let g: Measured = all.iter().map(|(m, d)| (*m, root_mean_square(&d.perturbed))).collect();
    let pooled = all.iter().flat_map(|(m, d)| d.perturbed.iter().map(move |v| (*m, v.abs())));

    let limit = Fluctuation::new(&study, effort)?;
    let [norms, cosines] = bounds::gradient(&study, &widths)?;
    let norms = proved("bound (P8), 95 % of networks", &norms);
    let cosines =
        (!cosines.is_empty()).then(|| proved("bound (P8), 95 % of networks, where it is below every ‖∇F‖", &cosines));
    let theory = |value: fn(&Fluctuation, f64) -> f64| {
        let points: Vec<(f64, f64)> = widths.iter().map(|&m| (m as f64, value(&limit, m as f64))).collect();
        Curve::line(Role::Theory, None, "theory, nothing fitted (P10)", &points)
    };
    let curve = measured(0, NETWORKS, &gradient);
    let against = guide("slope −1/2, the rate of function values", -0.5, (0.7, 1.5), &curve);
    let curves = vec![curve, theory(Fluctuation::distance), norms, against];
    let gradients = panel("Gradients", "‖∇f_T − T·∇F‖", true, curves);
    let curve = measured(1, NETWORKS, &direction);
    let curves = [curve, theory(Fluctuation::deficit)].into_iter().chain(cosines).collect();
    let directions = panel("Directions of perturbations", "1 − cos(∇f_T, ∇F)", true, curves);
    write("gradient", vec![gradients, directions], directory)?;

    let label = format!("networks × test points: median, 5–95 %; {}", slopes(&g));
    let mut curves = vec![Curve::measured(2, label, bands(&pooled.collect::<Measured>()))];
    let variance =
        kernel_variance(&study.perturbed, SLOPE, &study.data.test, readout_law(study.readout).fourth_moment())?;
    let rule = PerturbationRule { targets: &study.targets, epsilon: study.epsilon, scenario: study.scenario };
    let (law, draws) = (readout_law(study.readout), if effort.quick { 1_000 } else { 100_000 });
    let streams = Streams::new(SEED, "fluctuation");
    let (train, test) = (&study.data.train, &study.data.test);
    let inputs = second_network_fluctuation_limit(train, SLOPE, rule, test, law, draws, &streams)?;
    // That of g given its inputs falls like 2/m, that of the inputs like 1/√m.
    let variance = |width: f64| -> Vec<f64> {
        let terms = variance.iter().zip(&inputs);
        terms.map(|(own, inputs)| own / (0.5 * width) + inputs.value / (study.time * width.sqrt())).collect()
    };
    let scaled = |width: f64| variance(width).iter().map(|v| study.time_perturbed.powi(2) * v).collect();
    curves.extend(predicted("theory, nothing fitted (W1, G12): 5, 50, 95 %", scaled, &widths));
    curves.push(guide("dotted, steeper: slope −1/2", -0.5, (1.6, 1.2), &curves[0]));
    curves.push(guide("dotted, flatter: slope −1/4", -0.25, (1.6, 1.2), &curves[0]));
    let label = "bound (G8, G11), 95 % of networks, the largest of all points";
    curves.push(proved(label, &bounds::perturbed(&study, &widths)?));
    write("perturbed", vec![panel("The network trained on perturbations", "|g(z) − T'·G(z)|", true, curves)], directory)
}

/// Which vector is the limit direction: distances of (∇f_T − ∇f_0)/T to v and to ∇F.
pub fn limit_direction(directory: &Path, effort: Effort) -> Result<()> {
    // P8 is proved for readouts ±1/√m.
    let study = Study::new(Readout::Rademacher, (3, 20, 10), 0.3, 0.5)?;
    let widths = effort.widths(6, 22, 2);
    let (mut to_sum, mut to_gradient) = (Measured::new(), Measured::new());
    for &width in &widths {
        for index in 0..effort.networks(width, 24, LEAST) {
            let f = study.train_f(Initialisation::Antisymmetric, width, index)?;
            let distance = |limit: &DMatrix<f64>| column_distance(trained_gradients(&f), limit) / study.time;
            to_sum.push((width as f64, distance(&study.weighted_sums)));
            to_gradient.push((width as f64, distance(&study.gradients)));
        }
    }
    let boundary = column_distance(&study.gradients, &study.weighted_sums) / study.time;
    let [bound, _] = bounds::gradient(&study, &widths)?;
    let bound: Vec<(f64, f64)> = bound.iter().map(|(width, norm)| (*width, norm / study.time)).collect();
    let limit = Fluctuation::new(&study, effort)?;
    let predicted = |colour, label: String, squared: f64| {
        let at = |&m: &usize| (m as f64, (limit.distance(m as f64) / study.time).hypot(squared));
        Curve::line(Role::Theory, Some(colour), label, &widths.iter().map(at).collect::<Vec<_>>())
    };
    let curves = vec![
        Curve::measured(1, "from v: networks, median, 5–95 %", bands(&to_sum)),
        predicted(1, format!("theory (P10): tends to ‖b‖ = {boundary:.4}"), boundary),
        measured(0, "from ∇F = v + b: networks, median, 5–95 %", &to_gradient),
        predicted(0, "theory (P10): tends to 0".into(), 0.0),
        proved("bound (P8), from ∇F, 95 % of networks", &bound),
    ];
    let y_label = "distance of (∇f_T − ∇f₀)/T";
    write("limit-direction", vec![panel("Which direction is the limit?", y_label, true, curves)], directory)
}

/// Agreement of sgn f and sgn g against width under both initialisations, at a short and at a longer time.
pub fn agreement_figure(directory: &Path, effort: Effort) -> Result<()> {
    let mut panels = Vec::new();
    for time in [1.0, 4.0] {
        let study = Study::new(Readout::Gaussian, (20, 50, 200), time, 0.5)?;
        let widths = effort.widths(6, 16, 2);
        let (mut antisymmetric, mut standard) = (Measured::new(), Measured::new());
        for &width in &widths {
            for index in 0..effort.networks(width, 20, LEAST) {
                antisymmetric.push((width as f64, study.deviations(width, index)?.agreement));
                standard.push((width as f64, study.standard_agreement(width, index)?));
            }
        }
        let limit = agreement(&study.change_f, &study.change_g);
        let sampled = standard_prediction(&study, if effort.quick { 20 } else { 400 })?;
        let at = |share| quantile(&sampled, share);
        let curves = vec![
            Curve::measured(0, "antisymmetric (f₀ = 0): networks, median, 5–95 %", bands(&antisymmetric)),
            level(Some(0), format!("theory: F and G agree on {limit:.3}"), limit, &widths),
            Curve::measured(1, "standard (f₀ random): networks, median, 5–95 %", bands(&standard)),
            level(Some(1), format!("theory, Gaussian f₀, ∇f₀, g₀: {:.3} (5 and 95 % thin)", at(0.5)), at(0.5), &widths),
            level(Some(1), "theory: 5 % quantile", at(0.05), &widths).explained_elsewhere(),
            level(Some(1), "theory: 95 % quantile", at(0.95), &widths).explained_elsewhere(),
        ];
        let title = format!("Agreement at T = T' = {time}");
        panels.push(Panel { y_range: Some((0.2, 1.0)), ..panel(&title, "share with sgn f = sgn g", false, curves) });
    }
    write("agreement", panels, directory)
}

/// The law of the agreement at infinite width under standard initialisation: f = f_0 + T·F and g = g_0 + T'·G, where G
/// comes from perturbations along ∇f_0 + T·∇F, and (f_0, ∇f_0), g_0 are sampled from their exact Gaussian limits.
fn standard_prediction(study: &Study, samples: usize) -> Result<Vec<f64>> {
    let (points, test) = (study.data.train.points(), &study.data.test);
    let process = InitialProcess::new(points, test);
    let (of_f, of_g) = (Streams::new(SEED, "process/f"), Streams::new(SEED, "process/g"));
    let predictor = Predictor::identity(&study.data.train, SLOPE, study.time)?;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
    (0..samples)
        .map(|index| {
            let (f_0, gradients) = process.sample(&of_f, index);
            let (g_0, _) = process.sample(&of_g, index);
            let (epsilon, scenario) = (study.epsilon, study.scenario);
            let set = limit_training_set(&predictor, points, &study.targets, epsilon, scenario, Some(&gradients))?;
            let change = Predictor::identity(&set, SLOPE, study.time_perturbed)?.values(test)?;
            Ok(agreement(&sum(&f_0, &study.change_f), &sum(&g_0, &change)))
        })
        .collect()
}
