//! The table that `paper` prints, and the document that it writes.

use perturbation_learning::experiment::paper::chart::{Records, Selection, by_id, select};
use perturbation_learning::experiment::paper::pipeline::Merits;
use perturbation_learning::experiment::paper::plan::{Cell, FigureName, PanelPlan, Plan, Request};
use perturbation_learning::experiment::paper::store::Record;
use perturbation_learning::report::{RunRecord, Table, write_json};
use perturbation_learning::stats::quantile;
use serde::Serialize;

use super::PaperArguments;

type Merit = fn(&Merits) -> Option<f64>;

/// One table per figure: the last point of each panel.
pub fn print(arguments: &PaperArguments, request: &Request, plan: &Plan, records: &[Record]) {
    let found = by_id(records);
    for figure in &request.figures {
        let panels: Vec<&PanelPlan> = plan.panels.iter().filter(|panel| panel.figure == *figure).collect();
        if !panels.is_empty() {
            arguments.say(format_args!("\n{}", figure.name()));
            arguments.say(table(*figure, &panels, &found));
        }
    }
    let failed = records.iter().filter(|record| record.failure.is_some()).count();
    arguments.say(format_args!(
        "median [smallest, largest] over seeds of the largest over learning rates; {failed} of {} runs failed\n",
        records.len()
    ));
}

fn table(figure: FigureName, panels: &[&PanelPlan], found: &Records<'_>) -> Table {
    let own = if figure == FigureName::Cosine { "cosine to v" } else { "agreement" };
    let mut table = Table::new(&["panel", "at", "acc f", "acc g", own, "mean over rates", "theory", "flips"]);
    for panel in panels {
        for cell in last_cells(panel) {
            let spread = |merit: Merit| show(&select(cell, found, merit).largest);
            let (main, limit): (Merit, Merit) = if figure == FigureName::Cosine {
                (|m| Some(m.cosine), |m| m.limit_cosine)
            } else {
                (|m| Some(m.agreement), |m| m.limit_agreement)
            };
            let Selection { mean, .. } = select(cell, found, main);
            let flips = select(cell, found, |m| Some(m.flip_share_f.max(m.flip_share_g))).mean;
            let title = panel.series.get(cell.series).map_or(panel.title.clone(), ToString::to_string);
            table.row(vec![
                title,
                if figure == FigureName::Offset { "all sums".into() } else { format!("{} {}", panel.x_label, cell.x) },
                spread(|m| Some(m.accuracy_f)),
                spread(|m| Some(m.accuracy_g)),
                spread(main),
                middle(&mean),
                spread(limit),
                middle(&flips),
            ]);
        }
    }
    table
}

/// The last cell of each series.
fn last_cells(panel: &PanelPlan) -> Vec<&Cell> {
    let series = panel.cells.iter().map(|cell| cell.series).max().unwrap_or(0);
    (0..=series).filter_map(|s| panel.cells.iter().rfind(|cell| cell.series == s)).collect()
}

fn middle(values: &[f64]) -> String {
    if values.is_empty() { "–".into() } else { format!("{:.3}", quantile(values, 0.5)) }
}

fn show(values: &[f64]) -> String {
    let (Some(low), Some(high)) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max))
    else {
        return "–".into();
    };
    format!("{} [{low:.3}, {high:.3}]", middle(values))
}

#[derive(Serialize)]
struct Document<'a> {
    description: &'static str,
    request: &'a Request,
    runs: usize,
    failed: usize,
    run: RunRecord,
}

impl<'a> Document<'a> {
    fn new(description: &'static str, request: &'a Request, records: &[Record], seconds: f64) -> Self {
        Document {
            description,
            request,
            runs: records.len(),
            failed: records.iter().filter(|record| record.failure.is_some()).count(),
            run: RunRecord::new(request.first_seed, seconds),
        }
    }
}

/// Writes paper.json, and where `--json` says.
pub fn write(arguments: &PaperArguments, request: &Request, records: &[Record], seconds: f64) -> anyhow::Result<()> {
    let description = "A rerun of the paper's figures. runs.jsonl and runs.csv hold a line per run.";
    let document = Document::new(description, request, records, seconds);
    write_json(&arguments.out.join("paper.json"), &document)?;
    arguments.common.write(&document)
}

/// Writes where `--json` says; paper.json belongs to the whole.
pub fn write_shard(
    arguments: &PaperArguments,
    request: &Request,
    records: &[Record],
    seconds: f64,
) -> anyhow::Result<()> {
    let description =
        "A part of a rerun of the paper's figures, for `pertlearn merge`. runs-I-of-K.jsonl holds a line per run.";
    arguments.common.write(&Document::new(description, request, records, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use perturbation_learning::experiment::paper::parameters::{DataName, Parameters};
    use perturbation_learning::experiment::paper::plan::{ImageSet, Scale};
    use perturbation_learning::network::Precision;
    use serde_json::json;

    const KEYS: [&str; 26] = [
        "accuracy_f",
        "accuracy_g",
        "accuracy_f_test",
        "accuracy_g_test",
        "agreement",
        "accuracy_g_centred",
        "agreement_centred",
        "cosine",
        "target_sum",
        "mean_g",
        "limit_offset",
        "spread_g",
        "time",
        "time_perturbed",
        "last_learning_rate",
        "last_learning_rate_perturbed",
        "last_loss",
        "last_loss_perturbed",
        "kernel_change_f",
        "kernel_change_g",
        "limit_agreement",
        "limit_cosine",
        "certified_share",
        "flip_share_f",
        "flip_share_g",
        "zero_gradients",
    ];

    /// A figure of merit of the run with this number: 0.03 times its place in the list, and less than that for the run.
    fn value(key: &str, number: usize) -> f64 {
        let place = KEYS.iter().position(|other| *other == key).unwrap();
        0.03 * (place + 1) as f64 + 0.0023 * (7 * number % 11) as f64
    }

    fn merits(number: usize) -> Merits {
        let of_key = |key: &&str| {
            let value = if *key == "zero_gradients" { json!(0) } else { json!(value(key, number)) };
            (key.to_string(), value)
        };
        let all: serde_json::Map<_, _> = KEYS.iter().map(of_key).collect();
        serde_json::from_value(all.into()).unwrap()
    }

    /// The plan of a figure with two seeds, and the cells of each line of its table; with f and g exchanged in the shares of flips, if
    /// so asked.
    fn rows(figure: FigureName, exchanged: bool) -> (Plan, Vec<Vec<String>>) {
        let images = [DataName::Mnist, DataName::Fashion].map(|name| ImageSet {
            name,
            digest: "d".into(),
            input_dim: 784,
            train_count: 400,
        });
        let (panels, precision, limits) = (Vec::new(), Precision::F32, true);
        let (figures, scale, images) = (vec![figure], Scale::Small, images.into());
        let request = Request { figures, panels, first_seed: 0, seeds: 2, scale, precision, limits, images };
        let plan = Plan::new(&request).unwrap();
        let record = |(number, run): (usize, &(String, Parameters))| {
            let mut merits = merits(number);
            if exchanged {
                std::mem::swap(&mut merits.flip_share_f, &mut merits.flip_share_g);
            }
            Record::new(run.1.clone(), Ok(merits)).unwrap()
        };
        let records: Vec<Record> = plan.runs.iter().enumerate().map(record).collect();
        let text = table(figure, &plan.panels.iter().collect::<Vec<_>>(), &by_id(&records)).to_string();
        let cells =
            |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(Into::into).collect();
        let all = text.lines().map(cells).collect();
        (plan, all)
    }

    /// Per seed the values of a cell's runs.
    fn per_seed(plan: &Plan, cell: &Cell, key: &str) -> Vec<Vec<f64>> {
        let number = |id: &String| plan.runs.iter().position(|run| run.0 == *id).unwrap();
        cell.runs.iter().map(|ids| ids.iter().map(|id| value(key, number(id))).collect()).collect()
    }

    /// Median and range over two seeds of the largest over learning rates, as printed.
    fn largest(plan: &Plan, cell: &Cell, key: &str) -> String {
        let of_seed: Vec<f64> =
            per_seed(plan, cell, key).iter().map(|values| values.iter().copied().fold(0.0, f64::max)).collect();
        let (low, high) = (of_seed[0].min(of_seed[1]), of_seed[0].max(of_seed[1]));
        format!("{:.3} [{low:.3}, {high:.3}]", low + 0.5 * (high - low))
    }

    /// The median of two seeds' means.
    fn mean(plan: &Plan, cell: &Cell, key: &str) -> String {
        let of_seed: Vec<f64> =
            per_seed(plan, cell, key).iter().map(|values| values.iter().sum::<f64>() / values.len() as f64).collect();
        let (low, high) = (of_seed[0].min(of_seed[1]), of_seed[0].max(of_seed[1]));
        format!("{:.3}", low + 0.5 * (high - low))
    }

    /// Every row is its panel's last point, with the agreement or what stands in its place.
    fn assert_rows(figure: FigureName, exchanged: bool, own: (&str, &str), limit: &str) {
        let (plan, rows) = rows(figure, exchanged);
        assert_eq!(rows[0], ["panel", "at", "acc f", "acc g", own.0, "mean over rates", "theory", "flips"]);
        // Below the titles and a line.
        assert_eq!(rows.len() - 2, plan.panels.len());
        for (row, panel) in rows[2..].iter().zip(&plan.panels) {
            let cell = panel.cells.last().unwrap();
            assert_eq!(row[..2], [panel.title.clone(), format!("{} {}", panel.x_label, cell.x)]);
            let shown = ["accuracy_f", "accuracy_g", own.1].map(|key| largest(&plan, cell, key));
            assert_eq!(row[2..5], shown, "{}", panel.title);
            // The share of flips of g is the larger one, or by its name that of f.
            let others = [mean(&plan, cell, own.1), largest(&plan, cell, limit), mean(&plan, cell, "flip_share_g")];
            assert_eq!(row[5..], others, "{}", panel.title);
        }
    }

    #[test]
    fn columns_hold_what_their_titles_say() {
        for exchanged in [false, true] {
            assert_rows(FigureName::ShiftedGaussA, exchanged, ("agreement", "agreement"), "limit_agreement");
            assert_rows(FigureName::Cosine, exchanged, ("cosine to v", "cosine"), "limit_cosine");
        }
    }

    #[test]
    fn series_have_a_row_each() {
        let (plan, rows) = rows(FigureName::Width, false);
        let lines: Vec<[&str; 2]> = rows[2..].iter().map(|row| [row[0].as_str(), row[1].as_str()]).collect();
        let width = |panel: usize, series: usize| {
            let cells = plan.panels[panel].cells.iter().filter(|cell| cell.series == series);
            format!("{} {}", plan.panels[panel].x_label, cells.map(|cell| cell.x).fold(0.0, f64::max))
        };
        let series: Vec<(usize, usize)> = vec![(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)];
        let titles = series.iter().map(|(panel, series)| plan.panels[*panel].series[*series]);
        let at: Vec<String> = series.iter().map(|(panel, series)| width(*panel, *series)).collect();
        let expected: Vec<[&str; 2]> = titles.zip(&at).map(|(title, at)| [title, at.as_str()]).collect();
        assert_eq!(lines, expected);
    }
}
