//! The main job: networks of growing width beside their infinite-width limits, with a verdict per claim.
//!
//! For each data set the targets y'_n are drawn once, so that with antisymmetric initialisation everything but the
//! networks' weights is fixed and the limits F, ∇F and G are three fixed functions. Each width then gets several
//! independent networks; every claim is decided by a test over these networks with a stated false-alarm probability.

mod claims;
mod measure;

use rayon::prelude::*;
use serde::Serialize;

use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::network::{GradientFlow, Readout};
use crate::problem::{Slope, finite_positive};

pub use claims::{Claim, Verdict};
pub use measure::{Cell, Limits, StandardCell};

/// One data set with the times and lengths at which the claims say something on it.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The data.
    pub data: DataSet,
    /// T, the training time of f.
    pub time: f64,
    /// T', the training time of g.
    pub time_perturbed: f64,
    /// ε of scenario a (perturbation only).
    pub epsilon_alone: f64,
    /// ε of scenario b (on the image).
    pub epsilon_on_image: f64,
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Widths m, at least three, even, ascending, from [`NARROWEST`] on.
    pub widths: Vec<usize>,
    /// Independent networks of the largest width, at least four. Narrower widths get √(m_max/m) times as many: there they
    /// are cheap, and sharpen every interval.
    pub networks: usize,
    /// γ.
    pub slope: Slope,
    /// Distribution of the frozen readout.
    pub readout: Readout,
    /// Seed of every random stream.
    pub seed: u64,
}

/// The probability that a run of `verify` rejects a claim that is true, over all claims and data sets together: as far as outputs and
/// gradients have the normal laws that they tend to (and rates of change at the start χ² laws of their second and fourth moments), slopes and means over networks are near enough to normal (rates), and the powers of m
/// beyond the two that are fitted do not count. Mismatches have the exact error of a permutation test.
pub const FALSE_ALARM: f64 = 1e-3;

/// The smallest width that is verified: 16 independent terms. The laws and powers for large m do not describe networks of a few neurons, of
/// which true claims would be rejected.
pub const NARROWEST: usize = 32;

/// Networks that may be in memory at a time, about 100 MB each on the embedded images.
const AT_ONCE: usize = 16;

/// Everything found on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct DataReport {
    /// The data set's name.
    pub data: String,
    /// N.
    pub train_count: usize,
    /// M.
    pub test_count: usize,
    /// d.
    pub input_dim: usize,
    /// T.
    pub time: f64,
    /// T'.
    pub time_perturbed: f64,
    /// ε of scenario a.
    pub epsilon_alone: f64,
    /// ε of scenario b.
    pub epsilon_on_image: f64,
    /// Σ y'_n of the targets.
    pub target_sum: f64,
    /// Figures of the limits alone.
    pub limits: LimitSummary,
    /// Per width: means over the networks (antisymmetric initialisation).
    pub widths: Vec<WidthSummary>,
    /// Per width: means over the networks (standard initialisation).
    pub standard: Vec<StandardSummary>,
    /// The verdicts.
    pub claims: Vec<Claim>,
    /// Every network's figures.
    pub cells: Vec<Cell>,
    /// Every network's figures under standard initialisation.
    pub standard_cells: Vec<StandardCell>,
}

/// Figures of the infinite-width limits.
#[derive(Debug, Clone, Serialize)]
pub struct LimitSummary {
    /// Accuracy of sgn F on the test points, if they have labels.
    pub accuracy_f: Option<f64>,
    /// The same of sgn G, scenario a.
    pub accuracy_g_alone: Option<f64>,
    /// The same of sgn G, scenario b.
    pub accuracy_g_on_image: Option<f64>,
    /// Share of test points with sgn F = sgn G, scenario a.
    pub agreement_alone: f64,
    /// Share of test points with sgn F = sgn G, scenario b.
    pub agreement_on_image: f64,
    /// Median over the test points of the margin |T·F|.
    pub margin_f: f64,
    /// Median of |T'·G|, scenario a.
    pub margin_g_alone: f64,
    /// Median of |T'·G|, scenario b.
    pub margin_g_on_image: f64,
    /// Root mean square over test points of the predicted standard deviation of √m·(f_T − T·F).
    pub predicted_deviation: f64,
    /// Limit of ‖∇f_T − T·∇F‖²√m over ‖T·∇F‖², means over the training points (P10), from a sample of Gaussian vectors.
    pub gradient_constant: f64,
    /// Its standard error.
    pub gradient_constant_error: f64,
    /// Mean over the training points of |cos(v, ∇F)|: how far the paper's weighted sum is from the limit direction.
    pub cosine_weighted_sum_limit: f64,
}

/// Means over the networks of one width.
#[derive(Debug, Clone, Serialize)]
pub struct WidthSummary {
    /// m.
    pub width: usize,
    /// Networks of this width.
    pub networks: usize,
    /// Root mean square of f_T − T·F, relative to that of T·F.
    pub deviation_f: f64,
    /// (f_T − T·F)² over its predicted variance, mean: 1 if the constant is right.
    pub variance_ratio: f64,
    /// (∂_t f_0 − F)² at some training points over its variance (W1), mean: 1 if the constant is right.
    pub start_ratio: f64,
    /// Root mean square of ∇f_T − T·∇F relative to that of T·∇F.
    pub deviation_gradient: f64,
    /// Its square over the limit's constant divided by √m (P10): tends to 1.
    pub gradient_ratio: f64,
    /// Mean cosine between perturbation and its limit.
    pub cosine_limit_gradient: f64,
    /// Mean |cos| between perturbation and the paper's weighted sum.
    pub cosine_weighted_sum: f64,
    /// Root mean square of g − T'·G relative to that of T'·G, scenario a.
    pub deviation_g_alone: f64,
    /// The same, scenario b.
    pub deviation_g_on_image: f64,
    /// Share of test points with sgn f = sgn g, scenario a.
    pub agreement_alone: f64,
    /// The same, scenario b.
    pub agreement_on_image: f64,
    /// Accuracy of g on the clean test points, scenario a, if they have labels.
    pub accuracy_perturbed_alone: Option<f64>,
    /// The same, scenario b.
    pub accuracy_perturbed_on_image: Option<f64>,
    /// Share of neurons and training points of f with a sign change.
    pub flip_share: f64,
}

/// Means over the networks of one width, standard initialisation.
#[derive(Debug, Clone, Serialize)]
pub struct StandardSummary {
    /// m.
    pub width: usize,
    /// Mean of f_0² over its exact expectation Σ(z, z): 1 at every width.
    pub initial_output_ratio: f64,
    /// Mean of ‖∇f_0‖² over its exact expectation (1+γ²)/2: 1 at every width.
    pub initial_gradient_ratio: f64,
    /// Mean of (∂_t f_0 − F)² at some training points over its variance (W1): 1 at every width.
    pub start_ratio: f64,
    /// Mean cosine between ∇f_T and ∇F.
    pub cosine_limit_gradient: f64,
    /// What ∇f_0 of constant size leaves of it: the mean of T‖∇F‖/√(T²‖∇F‖² + (1+γ²)/2).
    pub cosine_predicted: f64,
}

impl Verification {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Fewer than three widths, an odd one, one below [`NARROWEST`], widths that do not ascend; fewer than four networks.
    pub fn check(&self) -> Result<()> {
        if self.widths.len() < 3 {
            let found = format!("{} widths", self.widths.len());
            return Err(Error::Shape {
                name: "widths".into(),
                found,
                expected: "at least three, to fit a rate".into(),
            });
        }
        for pair in self.widths.windows(2) {
            if pair[0] >= pair[1] {
                let value = pair[1] as f64;
                return Err(Error::Scalar { name: "width", value, expected: "widths in ascending order" });
            }
        }
        if let Some(&odd) = self.widths.iter().find(|&&m| m == 0 || !m.is_multiple_of(2)) {
            let expected = "a positive even number (antisymmetric pairs)";
            return Err(Error::Scalar { name: "width", value: odd as f64, expected });
        }
        if self.widths[0] < NARROWEST {
            let expected = "at least 32: the claims are about wide networks";
            return Err(Error::Scalar { name: "width", value: self.widths[0] as f64, expected });
        }
        if self.networks < 4 {
            let value = self.networks as f64;
            return Err(Error::Scalar { name: "networks", value, expected: "at least 4, to estimate a spread" });
        }
        Ok(())
    }

    /// Independent networks of one width.
    #[must_use]
    pub fn networks_at(&self, width: usize) -> usize {
        let widest = self.widths.last().copied().unwrap_or(width);
        (self.networks as f64 * (widest as f64 / width as f64).sqrt()).ceil() as usize
    }

    /// Steps of the progress bar on one data set: one per network f with its two g.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.widths.iter().map(|&width| self.networks_at(width)).sum()
    }

    /// Verifies every claim on one of `data_sets` data sets (their number divides the error budget). `step` is called
    /// after each network, from several threads.
    ///
    /// # Errors
    /// Parameters outside their domains; no data sets; a vanishing gradient of the limit function; a slope so near to 1 that the readouts ±1/√m
    /// leave a variance of the kernel that rounding hides.
    pub fn run(&self, setting: &Setting, data_sets: usize, step: &(dyn Fn() + Sync)) -> Result<DataReport> {
        self.check()?;
        if data_sets == 0 {
            return Err(Error::Scalar { name: "number of data sets", value: 0.0, expected: "at least 1" });
        }
        for (name, value) in [("time", setting.time), ("time of g", setting.time_perturbed)] {
            finite_positive(name, value)?;
        }
        let limits = Limits::new(self, setting)?;
        let (train, test) = (&setting.data.train, &setting.data.test);
        let flow = GradientFlow::new(train, self.slope, setting.time)?.with_test(test)?.with_gradients().prepare();
        let networks = |&width: &usize| (0..self.networks_at(width)).map(move |network| (width, network));
        let networks: Vec<(usize, usize)> = self.widths.iter().flat_map(networks).collect();
        // Threads share the networks: narrow ones have too few neurons to share.
        let train = |&(width, network): &(usize, usize)| {
            let cell = measure::antisymmetric(self, setting, &limits, &flow, width, network)?;
            // What does not converge needs fewer networks to show it.
            let standard = || measure::standard(self, setting, &limits, &flow, width, network);
            let standard = network.is_multiple_of(2).then(standard).transpose()?;
            step();
            Ok((cell, standard))
        };
        let mut found = Vec::with_capacity(networks.len());
        for networks in networks.chunks(AT_ONCE) {
            found.extend(networks.par_iter().map(train).collect::<Result<Vec<(Cell, Option<StandardCell>)>>>()?);
        }
        let (cells, standard_cells): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let standard_cells: Vec<StandardCell> = standard_cells.into_iter().flatten().collect();
        let claims = claims::decide(
            self,
            &limits,
            setting.data.train.input_dim(),
            &cells,
            &standard_cells,
            FALSE_ALARM / data_sets as f64,
        );
        Ok(DataReport {
            data: setting.data.name.clone(),
            train_count: setting.data.train.count(),
            test_count: setting.data.test.count(),
            input_dim: setting.data.train.input_dim(),
            time: setting.time,
            time_perturbed: setting.time_perturbed,
            epsilon_alone: setting.epsilon_alone,
            epsilon_on_image: setting.epsilon_on_image,
            target_sum: limits.targets().iter().sum(),
            limits: limits.summary(setting),
            widths: self.widths.iter().map(|&m| WidthSummary::of(m, &cells, &limits)).collect(),
            standard: self.widths.iter().map(|&m| StandardSummary::of(m, &standard_cells, &limits)).collect(),
            claims,
            cells,
            standard_cells,
        })
    }
}

/// Mean of one figure over the items of one width.
fn mean_of<T>(items: &[T], keep: impl Fn(&T) -> bool, figure: impl Fn(&T) -> f64) -> f64 {
    let values: Vec<f64> = items.iter().filter(|item| keep(item)).map(figure).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of an accuracy, or nothing where there were no labels.
fn known(mean: f64) -> Option<f64> {
    mean.is_finite().then_some(mean)
}

impl WidthSummary {
    fn of(width: usize, cells: &[Cell], limits: &Limits) -> Self {
        let mean = |figure: fn(&Cell) -> f64| mean_of(cells, |cell| cell.width == width, figure);
        let root = |figure: fn(&Cell) -> f64| mean(figure).sqrt();
        WidthSummary {
            width,
            networks: cells.iter().filter(|cell| cell.width == width).count(),
            deviation_f: root(|c| c.deviation_f.powi(2)),
            variance_ratio: mean(|c| c.variance_ratio),
            start_ratio: mean(|c| c.start_ratio),
            deviation_gradient: root(|c| c.deviation_gradient.powi(2)),
            gradient_ratio: mean(|c| c.deviation_gradient.powi(2)) * (width as f64).sqrt()
                / limits.gradient_constant().0,
            cosine_limit_gradient: mean(|c| c.cosine_limit_gradient),
            cosine_weighted_sum: mean(|c| c.cosine_weighted_sum),
            deviation_g_alone: root(|c| c.alone.deviation.powi(2)),
            deviation_g_on_image: root(|c| c.on_image.deviation.powi(2)),
            agreement_alone: mean(|c| c.alone.agreement),
            agreement_on_image: mean(|c| c.on_image.agreement),
            accuracy_perturbed_alone: known(mean(|c| c.alone.accuracy.unwrap_or(f64::NAN))),
            accuracy_perturbed_on_image: known(mean(|c| c.on_image.accuracy.unwrap_or(f64::NAN))),
            flip_share: mean(|c| c.flip_share),
        }
    }
}

impl StandardSummary {
    fn of(width: usize, cells: &[StandardCell], limits: &Limits) -> Self {
        let mean = |figure: fn(&StandardCell) -> f64| mean_of(cells, |cell| cell.width == width, figure);
        StandardSummary {
            width,
            initial_output_ratio: mean(|c| c.initial_output_ratio),
            initial_gradient_ratio: mean(|c| c.initial_gradient_ratio),
            start_ratio: mean(|c| c.start_ratio),
            cosine_limit_gradient: mean(|c| c.cosine_limit_gradient),
            cosine_predicted: limits.cosine_predicted(),
        }
    }
}
