//! How tight the proved bounds are: observed/bound on standard data, and in the worst cases that hunts find.

use std::path::Path;

use serde::Serialize;

use super::hunt::draw::Draw;
use super::hunt::registry::{Entry, Kind, entries};
use super::hunt::{Case, Outcome};
use crate::data::{DataSet, Synthetic, fashion, mnist, synthetic, write_atomically};
use crate::error::{Error, Result};
use crate::network::{Initialisation, Readout};
use crate::problem::{Scenario, Slope};
use crate::stats::median;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The statement's id.
    pub statement: &'static str,
    /// Data, network and training.
    pub setting: String,
    /// The figure: the median over the points at which the statement speaks, or the largest in a hunt.
    pub observed_over_bound: f64,
    /// The command that gives it.
    pub source: String,
}

impl Row {
    /// The largest ratio of a hunt that was given a number of evaluations; none if the statement never said anything.
    #[must_use]
    pub fn of_hunt(outcome: &Outcome, seed: u64) -> Option<Row> {
        let best = outcome.best.as_ref()?;
        Some(Row {
            statement: outcome.id,
            setting: format!("hunt: {}", best.case).replace(',', ";"),
            observed_over_bound: best.ratio,
            source: format!(
                "pertlearn falsify --bound {} --evaluations {} --seed {seed}",
                outcome.id, outcome.evaluations
            ),
        })
    }
}

/// The standard settings.
#[derive(Debug, Clone, Copy)]
pub struct Standard {
    /// Seed of all random numbers.
    pub seed: u64,
    /// The Gaussian set only, and few networks.
    pub quick: bool,
}

/// Test points whose ratios are summed up by their median.
const POINTS: usize = 8;
const FAILURE: f64 = 0.05;

impl Standard {
    /// Every statement in every setting in which it says something.
    ///
    /// # Errors
    /// Those of data, simulation and theory.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (data, time) in self.data()? {
            for width in if self.quick { vec![64] } else { vec![64, 512] } {
                for readout in [Readout::Gaussian, Readout::Rademacher] {
                    let case = standard_case(&data, time, width, readout);
                    for entry in entries() {
                        rows.extend(self.row(&entry, &data.name, &case)?);
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Data with a time at which few neurons change sign.
    fn data(&self) -> Result<Vec<(DataSet, f64)>> {
        let gauss = synthetic(Synthetic::Gauss, 20, if self.quick { 20 } else { 50 }, POINTS, self.seed)?;
        if self.quick {
            return Ok(vec![(gauss, 0.3)]);
        }
        Ok(vec![(gauss, 0.3), (mnist()?.shortened(50), 0.1), (fashion()?.shortened(50), 0.03)])
    }

    /// The figure of one statement; none where it says nothing.
    fn row(&self, entry: &Entry, data: &str, case: &Case) -> Result<Option<Row>> {
        // Only the network at initialisation needs another start: pairs begin with 0.
        let initialisation = if entry.id() == "W11" { Initialisation::Standard } else { case.initialisation };
        let case = Case { initialisation, ..case.clone() };
        let (pairs, networks) = if self.quick { (2000, 100) } else { (20_000, 200) };
        let purpose = format!("tightness/{}", entry.id());
        let draw = Draw { seed: self.seed, purpose, pairs, networks };
        // The confidence limits are not used: any error probability is good.
        let measured = entry.measure(&case, &draw, 0.25)?;
        let ratios: Vec<f64> = measured.iter().map(super::hunt::measure::Measurement::ratio).collect();
        if ratios.is_empty() {
            return Ok(None);
        }
        let delta = if entry.kind() == Kind::Probability { format!("δ={FAILURE}") } else { String::new() };
        let setting = format!(
            "{data} N={} d={} T={} m={} {:?} {initialisation:?} {delta}",
            case.train.count(),
            case.train.input_dim(),
            case.time,
            case.width,
            case.readout
        );
        let quick = if self.quick { " --quick" } else { "" };
        Ok(Some(Row {
            statement: entry.id(),
            setting: format!("{}; median of {} points", setting.trim_end(), ratios.len()),
            observed_over_bound: median(&ratios),
            source: format!("pertlearn tightness{quick} --seed {}", self.seed),
        }))
    }
}

fn standard_case(data: &DataSet, time: f64, width: usize, readout: Readout) -> Case {
    let stride = data.test.count().div_ceil(POINTS);
    let test: Vec<usize> = (0..data.test.count()).step_by(stride).collect();
    Case {
        train: data.train.clone(),
        slope: Slope::RELU,
        test: data.test.select(&test),
        time,
        width,
        readout,
        initialisation: Initialisation::Antisymmetric,
        failure_probability: FAILURE,
        epsilon: 0.005 * (data.train.input_dim() as f64).sqrt(),
        scenario: Scenario::PerturbationOnly,
    }
}

/// Writes the rows as CSV with the columns `statement,setting,observed_over_bound,source`; figures with four digits.
///
/// # Errors
/// A file that cannot be written.
pub fn write_csv(path: &Path, rows: &[Row]) -> Result<()> {
    let failed = |e: String| Error::Format { path: path.into(), problem: e };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: [&str; 4]| writer.write_record(record).map_err(|e| failed(e.to_string()));
    write(["statement", "setting", "observed_over_bound", "source"])?;
    for row in rows {
        let figure = crate::report::significant(row.observed_over_bound, 4);
        write([row.statement, &row.setting, &figure, &row.source])?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    write_atomically(path, &bytes)
}
