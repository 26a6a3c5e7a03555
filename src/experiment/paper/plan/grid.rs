//! The grids: which values each panel of each figure shows. Those of [`Scale::Full`] are facts about the paper's code.

mod bases;

use super::{Draft, FigureName, PanelDraft, PanelName, Request, Scale};
use crate::error::Result;
use crate::experiment::paper::parameters::{DataName, PIPELINE, Parameters, Targets};
use crate::loss::StandardLoss;
use crate::network::{Initialisation, Precision};
use crate::problem::Scenario;
use bases::base;

/// Learning rates of f and of g.
type Rates = (&'static [f64], &'static [f64]);

/// What a panel varies.
#[derive(Clone, Copy)]
enum Axis {
    Dim,
    Epsilon,
    Width,
    Slope,
    Count,
    Steps,
    StepsPerturbed,
}

/// A figure's default point, and the grids around it.
struct Base {
    parameters: Parameters,
    /// The exponent p of ε = 10^p √d, cut to two digits; synthetic data only.
    epsilon_exponent: i32,
    rates: Rates,
    logistic_rates: Rates,
    steps_f_rates: Rates,
    steps_g_rates: Rates,
    /// Steps of both networks in the panel with logistic loss.
    logistic_steps: usize,
    dims: Vec<usize>,
    logistic_dims: Vec<usize>,
    epsilons: Vec<f64>,
    logistic_epsilons: Vec<f64>,
    widths: Vec<usize>,
    slopes: Vec<f64>,
    counts: Vec<usize>,
    steps_f: Vec<usize>,
    steps_g: Vec<usize>,
}

/// 1-2-…-10 per decade, from `first` to `last`.
fn decades(first: usize, last: usize) -> Vec<usize> {
    let mut values = Vec::new();
    let (mut value, mut step) = (first, 10_usize.pow(first.ilog10()));
    while value <= last {
        values.push(value);
        if value == 10 * step {
            step *= 10;
        }
        value += step;
    }
    values
}

/// k·step for k = from … to, as the nearest double to that decimal (step = mantissa·10^exponent).
fn multiples(from: u32, to: u32, (mantissa, exponent): (u32, i32)) -> Vec<f64> {
    (from..=to).map(|k| decimal(k * mantissa, exponent)).collect()
}

/// The double nearest to mantissa·10^exponent.
fn decimal(mantissa: u32, exponent: i32) -> f64 {
    // A power that division expresses exactly is correctly rounded.
    let power = 10_f64.powi(exponent.abs());
    if exponent < 0 { f64::from(mantissa) / power } else { f64::from(mantissa) * power }
}

/// 10^p √d, cut (not rounded) to two digits as in the paper's scripts.
fn scaled_epsilon(input_dim: usize, exponent: i32) -> f64 {
    let root = (input_dim as f64).sqrt();
    let power = root.log10().floor() as i32;
    // √d of a square is exact; the small lift protects it from the division.
    let digits = (root / 10_f64.powi(power - 1) + 1e-9).floor() as u32;
    decimal(digits, power - 1 + exponent)
}

fn axis_values(values: &[usize]) -> Vec<f64> {
    values.iter().map(|v| *v as f64).collect()
}

/// The panels of a figure.
pub(super) fn panels(figure: FigureName, request: &Request) -> Result<Vec<PanelDraft>> {
    match figure {
        FigureName::Cosine => cosine(request),
        FigureName::Width => Ok(vec![width_figure(request), certified_figure(request)]),
        FigureName::Offset => Ok(vec![offset_figure(request)]),
        _ => {
            let base = base(figure, request)?;
            Ok(accuracy(&base))
        }
    }
}

fn accuracy(base: &Base) -> Vec<PanelDraft> {
    let logistic = |p: &mut Parameters| {
        p.loss = StandardLoss::Logistic;
        (p.steps, p.steps_perturbed) = (base.logistic_steps, base.logistic_steps);
    };
    let balanced = |p: &mut Parameters| p.targets = Targets::Balanced;
    let same = |_: &mut Parameters| ();
    let panel = |name, axis, values: Vec<f64>, rates, change: &dyn Fn(&mut Parameters)| {
        panel(base, name, axis, &values, rates, change)
    };
    let synthetic = !base.parameters.data.is_images();
    let mut all = Vec::new();
    if synthetic {
        all.push(panel(PanelName::Dim, Axis::Dim, axis_values(&base.dims), base.rates, &same));
        let dims = axis_values(&base.logistic_dims);
        all.push(panel(PanelName::DimLogistic, Axis::Dim, dims, base.logistic_rates, &logistic));
    }
    all.push(panel(PanelName::Epsilon, Axis::Epsilon, base.epsilons.clone(), base.rates, &same));
    if !synthetic {
        let epsilons = base.logistic_epsilons.clone();
        all.push(panel(PanelName::EpsilonLogistic, Axis::Epsilon, epsilons, base.logistic_rates, &logistic));
    }
    all.push(panel(PanelName::Width, Axis::Width, axis_values(&base.widths), base.rates, &same));
    all.push(panel(PanelName::Slope, Axis::Slope, base.slopes.clone(), base.rates, &same));
    if synthetic {
        all.push(panel(PanelName::Count, Axis::Count, axis_values(&base.counts), base.rates, &same));
    }
    all.push(panel(PanelName::StepsF, Axis::Steps, axis_values(&base.steps_f), base.steps_f_rates, &same));
    all.push(panel(PanelName::StepsG, Axis::StepsPerturbed, axis_values(&base.steps_g), base.steps_g_rates, &same));
    if synthetic {
        all.push(panel(PanelName::Balanced, Axis::Dim, axis_values(&base.dims), base.rates, &balanced));
    } else {
        all.push(panel(PanelName::Balanced, Axis::Epsilon, base.epsilons.clone(), base.rates, &balanced));
    }
    let slope = vec![base.parameters.slope];
    all.push(panel(PanelName::Default, Axis::Slope, slope.clone(), base.rates, &same));
    all.push(panel(PanelName::DefaultLogistic, Axis::Slope, slope, base.logistic_rates, &logistic));
    all
}

fn panel(
    base: &Base,
    name: PanelName,
    axis: Axis,
    values: &[f64],
    rates: Rates,
    change: &dyn Fn(&mut Parameters),
) -> PanelDraft {
    let cells = values
        .iter()
        .map(|&x| {
            let mut parameters = base.parameters.clone();
            set(&mut parameters, axis, x, base.epsilon_exponent);
            change(&mut parameters);
            Draft { series: 0, x, parameters, rates: rates.0.into(), rates_perturbed: rates.1.into() }
        })
        .collect();
    let (title, x_label) = title(name, axis);
    // Axes that begin at 0 or span less than a decade are linear; so are the steps of up to 10.
    let wide = values.first().zip(values.last()).is_some_and(|(first, last)| *first > 0.0 && last / first > 10.0);
    PanelDraft { panel: name, title: title.into(), x_label, log_x: wide, series: Vec::new(), cells }
}

fn set(parameters: &mut Parameters, axis: Axis, x: f64, epsilon_exponent: i32) {
    match axis {
        Axis::Dim => {
            parameters.input_dim = x as usize;
            parameters.epsilon = scaled_epsilon(parameters.input_dim, epsilon_exponent);
        }
        Axis::Epsilon => parameters.epsilon = x,
        Axis::Width => parameters.width = x as usize,
        Axis::Slope => parameters.slope = x,
        Axis::Count => parameters.train_count = x as usize,
        Axis::Steps => parameters.steps = x as usize,
        Axis::StepsPerturbed => parameters.steps_perturbed = x as usize,
    }
}

fn title(name: PanelName, axis: Axis) -> (&'static str, &'static str) {
    let x_label = match axis {
        Axis::Dim => "input dimension d",
        Axis::Epsilon => "perturbation length ε",
        Axis::Width => "width m",
        Axis::Slope => "slope γ",
        Axis::Count => "training points N",
        Axis::Steps => "steps of f",
        Axis::StepsPerturbed => "steps of g",
    };
    let title = match name {
        PanelName::Dim => "Input dimension",
        PanelName::DimLogistic => "Input dimension, logistic loss",
        PanelName::Epsilon => "Perturbation length",
        PanelName::EpsilonLogistic => "Perturbation length, logistic loss",
        PanelName::Width => "Width",
        PanelName::Slope => "Slope",
        PanelName::Count => "Training points",
        PanelName::StepsF => "Training time of f",
        PanelName::StepsG => "Training time of g",
        PanelName::Balanced => "Balanced targets (not in the paper)",
        PanelName::Default => "Default point",
        PanelName::DefaultLogistic => "Default point, logistic loss",
        PanelName::Targets => "Random targets",
        PanelName::Certified => "Certified signs",
    };
    (title, x_label)
}

fn parameters(data: DataName, scenario: Scenario, precision: Precision) -> Parameters {
    Parameters {
        pipeline: PIPELINE,
        data,
        data_digest: None,
        input_dim: 100,
        train_count: 1000,
        scenario,
        loss: StandardLoss::Identity,
        slope: 0.0,
        width: 100,
        initialisation: Initialisation::Standard,
        epsilon: 0.01,
        steps: 1000,
        steps_perturbed: 1000,
        learning_rate: 0.0,
        learning_rate_perturbed: 0.0,
        targets: Targets::Random,
        precision,
        seed: 0,
    }
}

/// The cosine figure: the runs of the accuracy figures (a), seen from another side.
fn cosine(request: &Request) -> Result<Vec<PanelDraft>> {
    let sources = [
        (FigureName::ShiftedGaussA, "shifted Gauss", [PanelName::Dim, PanelName::StepsF].as_slice()),
        (FigureName::GaussA, "Gauss", &[PanelName::Dim, PanelName::StepsF]),
        (FigureName::MnistA, "MNIST", &[PanelName::StepsF]),
        (FigureName::FashionA, "Fashion-MNIST", &[PanelName::StepsF]),
    ];
    let mut all = Vec::new();
    for (figure, name, panels) in sources {
        for mut draft in accuracy(&base(figure, request)?) {
            if panels.contains(&draft.panel) {
                draft.title = format!("{}, {name}", draft.title);
                all.push(draft);
            }
        }
    }
    Ok(all)
}

/// Agreement against width for shifted Gauss (a), lr 0.1/0.1: two initialisations, two times.
fn width_figure(request: &Request) -> PanelDraft {
    let small = request.scale == Scale::Small;
    let base = parameters(DataName::ShiftedGauss, Scenario::PerturbationOnly, request.precision);
    let series = ["standard, 100 steps", "antisymmetric, 100 steps", "standard, 1000 steps"];
    let choices = [
        (Initialisation::Standard, 100, if small { 10_000 } else { 100_000 }),
        (Initialisation::Antisymmetric, 100, if small { 10_000 } else { 100_000 }),
        (Initialisation::Standard, 1000, if small { 1000 } else { 10_000 }),
    ];
    let mut cells = Vec::new();
    for (series, (initialisation, steps, widest)) in choices.into_iter().enumerate() {
        let widths = [100, 300, 1000, 3000, 10_000, 30_000, 100_000].into_iter().filter(|m| *m <= widest);
        cells.extend(widths.map(|width| Draft {
            series,
            x: width as f64,
            parameters: Parameters { width, initialisation, steps, steps_perturbed: steps, ..base.clone() },
            rates: vec![0.1],
            rates_perturbed: vec![0.1],
        }));
    }
    let title = "Agreement against width".into();
    PanelDraft { panel: PanelName::Width, title, x_label: "width m", log_x: true, series: series.into(), cells }
}

/// Agreement and certified shares against width for antisymmetric networks, longer perturbations and short training: where
/// the proofs reach networks that can be trained.
fn certified_figure(request: &Request) -> PanelDraft {
    let usual = parameters(DataName::ShiftedGauss, Scenario::PerturbationOnly, request.precision);
    let (train_count, initialisation, epsilon) = (300, Initialisation::Antisymmetric, 0.1);
    let base = Parameters { train_count, initialisation, epsilon, ..usual };
    let (widest, steps) = (if request.scale == Scale::Small { 30_000 } else { 100_000 }, 10);
    let mut cells = Vec::new();
    for (series, rate) in [0.01, 0.1].into_iter().enumerate() {
        let widths = [1000, 2000, 5000, 10_000, 30_000, 100_000].into_iter().filter(|m| *m <= widest);
        cells.extend(widths.map(|width| Draft {
            series,
            x: width as f64,
            parameters: Parameters { width, steps, steps_perturbed: steps, ..base.clone() },
            rates: vec![rate],
            rates_perturbed: vec![rate],
        }));
    }
    let series = vec!["10 steps at rate 0.01", "10 steps at rate 0.1"];
    let title = "Certified signs (N = 300, ε = 0.1)".into();
    PanelDraft {
        panel: PanelName::Certified,
        title,
        x_label: "width m, antisymmetric start",
        log_x: true,
        series,
        cells,
    }
}

/// The default point of shifted Gauss (a), lr 1/1, for many seeds: what the sum of the random targets does.
fn offset_figure(request: &Request) -> PanelDraft {
    let parameters = parameters(DataName::ShiftedGauss, Scenario::PerturbationOnly, request.precision);
    let cell = Draft { series: 0, x: 0.0, parameters, rates: vec![1.0], rates_perturbed: vec![1.0] };
    PanelDraft {
        panel: PanelName::Targets,
        title: "Unbalanced random targets".into(),
        x_label: "imbalance |Σ y'| of 1000 targets",
        log_x: false,
        series: Vec::new(),
        cells: vec![cell],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_and_cut_epsilons_are_those_of_the_scripts() {
        assert_eq!(decades(8, 30), [8, 9, 10, 20, 30]);
        assert_eq!(decades(100, 5000)[8..], [900, 1000, 2000, 3000, 4000, 5000]);
        assert_eq!(scaled_epsilon(100, -3), 0.01);
        assert_eq!(scaled_epsilon(15, -3), 0.0038);
        assert_eq!((scaled_epsilon(5000, -2), scaled_epsilon(10_000, -1)), (0.7, 10.0));
        assert_eq!(multiples(0, 3, (14, -3)), [0.0, 0.014, 0.028, 0.042]);
    }
}
