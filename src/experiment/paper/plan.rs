//! The paper's figures as lists of runs.
//!
//! A figure is a list of panels, a panel a list of cells, a cell one point of the horizontal axis with its runs: every
//! pair of learning rates, for every seed. Runs that several panels share (the default point) occur once. The list is a
//! function of the [`Request`] alone.

mod grid;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::parameters::{DataName, Parameters, digest};
use crate::error::{Error, Result};
use crate::network::Precision;

/// A figure of runs. (The maps are drawn by [`map`](super::map), from runs of their own.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureName {
    /// Shifted Gauss, perturbation alone.
    ShiftedGaussA,
    /// Shifted Gauss, perturbed points.
    ShiftedGaussB,
    /// Gauss, perturbation alone.
    GaussA,
    /// Gauss, perturbed points.
    GaussB,
    /// MNIST, perturbation alone.
    MnistA,
    /// MNIST, perturbed images.
    MnistB,
    /// Fashion-MNIST, perturbation alone.
    FashionA,
    /// Fashion-MNIST, perturbed images.
    FashionB,
    /// Cosine of the perturbations to the weighted sums, for all four data sets.
    Cosine,
    /// Agreement against width at fixed times, and the certified region: a figure of our own.
    Width,
    /// Agreement against the imbalance of the random targets, over eight times as many seeds: another one.
    Offset,
}

impl FigureName {
    /// All figures, in the paper's order, ours last.
    pub const ALL: [FigureName; 11] = [
        FigureName::ShiftedGaussA,
        FigureName::ShiftedGaussB,
        FigureName::GaussA,
        FigureName::GaussB,
        FigureName::MnistA,
        FigureName::MnistB,
        FigureName::FashionA,
        FigureName::FashionB,
        FigureName::Cosine,
        FigureName::Width,
        FigureName::Offset,
    ];

    /// The name on the command line and of the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FigureName::ShiftedGaussA => "shifted-gauss-a",
            FigureName::ShiftedGaussB => "shifted-gauss-b",
            FigureName::GaussA => "gauss-a",
            FigureName::GaussB => "gauss-b",
            FigureName::MnistA => "mnist-a",
            FigureName::MnistB => "mnist-b",
            FigureName::FashionA => "fashion-a",
            FigureName::FashionB => "fashion-b",
            FigureName::Cosine => "cosine",
            FigureName::Width => "width",
            FigureName::Offset => "offset",
        }
    }

    /// The image sets that the figure needs.
    #[must_use]
    pub fn images(self) -> &'static [DataName] {
        match self {
            FigureName::MnistA | FigureName::MnistB => &[DataName::Mnist],
            FigureName::FashionA | FigureName::FashionB => &[DataName::Fashion],
            FigureName::Cosine => &[DataName::Mnist, DataName::Fashion],
            _ => &[],
        }
    }
}

/// A panel of a figure: what its horizontal axis varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PanelName {
    /// Input dimension d, with ε ∝ √d.
    Dim,
    /// The same with the logistic loss.
    DimLogistic,
    /// Perturbation length ε.
    Epsilon,
    /// The same with the logistic loss.
    EpsilonLogistic,
    /// Width m.
    Width,
    /// Slope γ.
    Slope,
    /// Number of training points N.
    Count,
    /// Steps of f.
    StepsF,
    /// Steps of g.
    StepsG,
    /// The first panel with balanced targets; not in the paper.
    Balanced,
    /// The default point alone; only if asked for by name.
    Default,
    /// The default point with the logistic loss; only if asked for by name.
    DefaultLogistic,
    /// The sum of the random targets, of the figure about it.
    Targets,
    /// Width after short training, where signs can be certified; of the figure about width.
    Certified,
}

impl PanelName {
    /// Whether it is a single point: run only if asked for by name, and not drawn.
    #[must_use]
    pub fn is_point(self) -> bool {
        matches!(self, PanelName::Default | PanelName::DefaultLogistic)
    }
}

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Fewer points per panel, smaller sets for the large figures: minutes for all figures.
    Small,
    /// The paper's grids and sizes.
    Full,
}

/// An image set: its content and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSet {
    /// Which.
    pub name: DataName,
    /// [`data_digest`](super::parameters::data_digest) of the set.
    pub digest: String,
    /// d.
    pub input_dim: usize,
    /// N.
    pub train_count: usize,
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The figures.
    pub figures: Vec<FigureName>,
    /// Only these panels; if empty, all but the default points.
    pub panels: Vec<PanelName>,
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds, one after another.
    pub seeds: u64,
    /// How much of each panel.
    pub scale: Scale,
    /// Floating-point type of the descents.
    pub precision: Precision,
    /// Whether the infinite-width limits are computed beside the runs.
    pub limits: bool,
    /// The image sets of the figures.
    pub images: Vec<ImageSet>,
}

/// One point of a panel's horizontal axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Which curve it belongs to (always 0 but in the figure of our own).
    pub series: usize,
    /// Abscissa.
    pub x: f64,
    /// Per seed the ids of the runs with all pairs of learning rates.
    pub runs: Vec<Vec<String>>,
}

/// A panel with its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelPlan {
    /// Which figure.
    pub figure: FigureName,
    /// Which panel; in the cosine figure one panel name occurs for several data sets.
    pub panel: PanelName,
    /// Title.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: &'static str,
    /// Whether that axis is logarithmic.
    pub log_x: bool,
    /// Names of the curves, if there are several.
    pub series: Vec<&'static str>,
    /// The points.
    pub cells: Vec<Cell>,
}

/// All runs of a request, each once, and the panels that show them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The panels, figure after figure.
    pub panels: Vec<PanelPlan>,
    /// The runs with their ids, in the order of the panels.
    pub runs: Vec<(String, Parameters)>,
}

/// How many times as many seeds the figure about the targets' sum has: it shows one point per seed.
const OFFSET_SEEDS: u64 = 8;

/// A cell before its runs are named: parameters without rates and seed, and the rates of f and g.
struct Draft {
    series: usize,
    x: f64,
    parameters: Parameters,
    rates: Vec<f64>,
    rates_perturbed: Vec<f64>,
}

/// A panel before its runs are named.
struct PanelDraft {
    panel: PanelName,
    title: String,
    x_label: &'static str,
    log_x: bool,
    series: Vec<&'static str>,
    cells: Vec<Draft>,
}

impl Plan {
    /// The plan of a request.
    ///
    /// # Errors
    /// A panel that none of the figures has; an image set that is missing from the request; no seed.
    pub fn new(request: &Request) -> Result<Self> {
        if request.seeds == 0 {
            return Err(Error::Scalar { name: "number of seeds", value: 0.0, expected: "at least 1" });
        }
        let (mut panels, mut runs, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for figure in &request.figures {
            for draft in grid::panels(*figure, request)? {
                let wanted = if request.panels.is_empty() {
                    !draft.panel.is_point()
                } else {
                    request.panels.contains(&draft.panel)
                };
                if wanted {
                    let times = if *figure == FigureName::Offset { OFFSET_SEEDS } else { 1 };
                    let count = request.seeds.checked_mul(times);
                    let last = count.and_then(|count| request.first_seed.checked_add(count)).ok_or(Error::Scalar {
                        name: "first seed",
                        value: request.first_seed as f64,
                        expected: "a number so far below 2⁶⁴ that all seeds are",
                    })?;
                    let seeds = request.first_seed..last;
                    panels.push(name_runs(*figure, draft, seeds, &mut runs, &mut known)?);
                }
            }
        }
        if panels.is_empty() {
            let expected = "one; without --panel all are drawn";
            return Err(Error::Empty { name: "list of the figures' panels that --panel names".into(), expected });
        }
        Ok(Plan { panels, runs })
    }

    /// A digest of all ids, whatever their order.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut ids: Vec<&str> = self.runs.iter().map(|run| run.0.as_str()).collect();
        ids.sort_unstable();
        digest(ids.concat().as_bytes())
    }

    /// The runs of shard `index` of `count` (from 1). Runs that share f stay together, and their groups are dealt out
    /// in turn.
    #[must_use]
    pub fn shard(&self, index: usize, count: usize) -> Vec<(String, Parameters)> {
        let groups = groups(&self.runs);
        let mine = groups.into_iter().skip(index - 1).step_by(count);
        mine.flatten().collect()
    }
}

/// The runs in groups that share f, in order of the groups' first runs.
#[must_use]
pub fn groups(runs: &[(String, Parameters)]) -> Vec<Vec<(String, Parameters)>> {
    let mut groups: Vec<Vec<(String, Parameters)>> = Vec::new();
    let mut by_seed_and_rate: HashMap<(u64, u64, usize, usize), Vec<usize>> = HashMap::new();
    for run in runs {
        // A cheap key first; `same_f` decides.
        let p = &run.1;
        let key = (p.seed, p.learning_rate.to_bits(), p.input_dim, p.width);
        let candidates = by_seed_and_rate.entry(key).or_default();
        match candidates.iter().find(|index| groups[**index][0].1.same_f(p)) {
            Some(index) => groups[*index].push(run.clone()),
            None => {
                candidates.push(groups.len());
                groups.push(vec![run.clone()]);
            }
        }
    }
    groups
}

/// Turns a draft into runs with ids; new ones are appended to `runs`.
fn name_runs(
    figure: FigureName,
    draft: PanelDraft,
    seeds: std::ops::Range<u64>,
    runs: &mut Vec<(String, Parameters)>,
    known: &mut HashSet<String>,
) -> Result<PanelPlan> {
    let mut cells = Vec::new();
    for cell in draft.cells {
        let mut per_seed = Vec::new();
        for seed in seeds.clone() {
            let mut ids = Vec::new();
            for rate in &cell.rates {
                for rate_perturbed in &cell.rates_perturbed {
                    let parameters = Parameters {
                        seed,
                        learning_rate: *rate,
                        learning_rate_perturbed: *rate_perturbed,
                        ..cell.parameters.clone()
                    };
                    let id = parameters.id()?;
                    if known.insert(id.clone()) {
                        runs.push((id.clone(), parameters));
                    }
                    ids.push(id);
                }
            }
            per_seed.push(ids);
        }
        cells.push(Cell { series: cell.series, x: cell.x, runs: per_seed });
    }
    let PanelDraft { panel, title, x_label, log_x, series, .. } = draft;
    Ok(PanelPlan { figure, panel, title, x_label, log_x, series, cells })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::tests::request;
    use crate::loss::StandardLoss;

    #[test]
    fn runs_that_panels_share_occur_once_and_every_cell_has_all_its_rates() {
        for scale in [Scale::Small, Scale::Full] {
            let plan = Plan::new(&request(&FigureName::ALL, scale)).unwrap();
            let mut ids: Vec<&String> = plan.runs.iter().map(|run| &run.0).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), plan.runs.len());
            let named: usize = plan.panels.iter().flat_map(|p| &p.cells).flat_map(|c| &c.runs).map(Vec::len).sum();
            assert!(named > plan.runs.len(), "{named}");
            for (panel, cell) in plan.panels.iter().flat_map(|p| p.cells.iter().map(move |cell| (p, cell))) {
                assert_eq!(cell.runs.len(), if panel.figure == FigureName::Offset { 16 } else { 2 });
                assert!(cell.runs.iter().flatten().all(|id| ids.binary_search(&id).is_ok()));
            }
        }
    }

    #[test]
    fn the_full_grid_is_the_papers() {
        let plan = Plan::new(&request(&[FigureName::ShiftedGaussA], Scale::Full)).unwrap();
        let lengths: Vec<usize> = plan.panels.iter().map(|p| p.cells.len()).collect();
        // d, d logistic, ε, m, γ, N, T_f, T_g as in the paper, and d with balanced targets.
        assert_eq!(lengths, [10, 9, 11, 28, 5, 32, 10, 19, 10]);
        let epsilons: Vec<f64> = plan.panels[0].cells.iter().map(|c| epsilon(&plan, c)).collect();
        assert_eq!(epsilons, [0.0031, 0.0044, 0.0054, 0.0063, 0.007, 0.0077, 0.0083, 0.0089, 0.0094, 0.01]);
        let plan = Plan::new(&request(&[FigureName::GaussB], Scale::Full)).unwrap();
        let epsilons: Vec<f64> = plan.panels[0].cells.iter().map(|c| epsilon(&plan, c)).collect();
        assert_eq!(epsilons[..9], [1.0, 1.4, 1.7, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0]);
        assert_eq!(epsilons[9..], [3.1, 4.4, 5.4, 6.3, 7.0, 7.7, 8.3, 8.9, 9.4, 10.0]);
    }

    fn epsilon(plan: &Plan, cell: &Cell) -> f64 {
        plan.runs.iter().find(|run| run.0 == cell.runs[0][0]).unwrap().1.epsilon
    }

    #[test]
    fn shards_are_disjoint_cover_everything_and_keep_runs_with_one_f_together() {
        let plan = Plan::new(&request(&[FigureName::ShiftedGaussA], Scale::Small)).unwrap();
        let shards: Vec<_> = (1..=3).map(|index| plan.shard(index, 3)).collect();
        let mut all: Vec<&String> = shards.iter().flatten().map(|run| &run.0).collect();
        all.sort();
        let mut expected: Vec<&String> = plan.runs.iter().map(|run| &run.0).collect();
        expected.sort();
        assert_eq!(all, expected);
        for (index, shard) in shards.iter().enumerate() {
            for other in &shards[..index] {
                assert!(shard.iter().all(|a| other.iter().all(|b| !a.1.same_f(&b.1))));
            }
        }
        assert_eq!(plan.shard(1, 1).len(), plan.runs.len());
    }

    #[test]
    fn panels_are_chosen_by_name_and_missing_ones_are_errors() {
        let chosen = |panels: &[PanelName]| {
            Plan::new(&Request { panels: panels.into(), ..request(&[FigureName::MnistA], Scale::Small) })
        };
        assert_eq!(chosen(&[PanelName::Slope, PanelName::Width]).unwrap().panels.len(), 2);
        let default = chosen(&[PanelName::Default]).unwrap().runs;
        let logistic = chosen(&[PanelName::DefaultLogistic]).unwrap().runs;
        assert_eq!((default.len(), logistic.len()), (8, 8));
        for ((_, run), (_, same)) in logistic.iter().zip(&default) {
            assert_eq!(run, &Parameters { loss: StandardLoss::Logistic, ..same.clone() });
        }
        assert!(chosen(&[PanelName::Count]).is_err(), "images have no panel of N");
        assert!(Plan::new(&Request { images: vec![], ..request(&[FigureName::MnistA], Scale::Small) }).is_err());
        assert!(Plan::new(&Request { seeds: 0, ..request(&[FigureName::MnistA], Scale::Small) }).is_err());
    }
}
