//! The maps of `paper`.

use std::collections::HashMap;
use std::path::PathBuf;

use perturbation_learning::data::DataSet;
use perturbation_learning::experiment::paper::map::{Map, Setting, settings};
use perturbation_learning::experiment::paper::parameters::{DataName, data_digest};
use perturbation_learning::experiment::paper::sweep::Sweep;
use perturbation_learning::report::map::{AGREE, Contour, DISAGREE, LegendItem, MapFigure, MapPanel, Stroke};

use super::PaperArguments;

/// Columns of maps.csv.
const COLUMNS: [&str; 9] = ["map", "x", "y", "f", "g", "limit_f", "limit_g", "authors_f", "authors_g"];

/// The authors' statistics lie below the limits, and are wide enough to be seen where both coincide; that of g is darker, as it may lie
/// on that of f.
fn authors(dashed: bool) -> Stroke {
    Stroke { colour: if dashed { "#000000" } else { "#808080" }, dashed, width: 5.0 }
}

fn limit(dashed: bool) -> Stroke {
    Stroke { colour: "#1FD1A0", dashed, width: 2.0 }
}

/// Makes and draws all maps; returns the paths of figure and data.
pub fn draw(arguments: &PaperArguments, images: &HashMap<DataName, DataSet>) -> anyhow::Result<Vec<PathBuf>> {
    let describe = |name: DataName| {
        images
            .get(&name)
            .map_or((String::new(), 0, 0), |data| (data_digest(data), data.train.input_dim(), data.train.count()))
    };
    let settings = settings(arguments.scale(), arguments.precision.into(), &describe);
    draw_settings(arguments, images, &settings)
}

fn draw_settings(
    arguments: &PaperArguments,
    images: &HashMap<DataName, DataSet>,
    settings: &[Setting],
) -> anyhow::Result<Vec<PathBuf>> {
    let source = Sweep::new(Vec::new(), images.clone(), false)?;
    let mut panels = Vec::new();
    let path = arguments.out.join("maps.csv");
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS)?;
    arguments.say("\nmaps                 f and g agree   F and G agree   (share of the raster)");
    for setting in settings {
        let map = setting.make(&source.data(&setting.run)?)?;
        let (networks, limits) = (percent(map.agreement), percent(map.limit_agreement));
        arguments.say(format_args!("{:20} {networks:>13} {limits:>15}", setting.title));
        write_rows(&mut table, setting, &map)?;
        panels.push(panel(setting, map));
    }
    let bytes = table.into_inner().map_err(|e| e.into_error())?;
    std::fs::write(&path, bytes)?;
    let figure = MapFigure {
        name: "maps".into(),
        labels: ("x: coefficient of mean of y = +1".into(), "y: coefficient of mean of y = −1".into()),
        panels,
        columns: 4,
        legend: legend(),
    };
    let mut paths = figure.write(&arguments.out)?.to_vec();
    paths.push(path);
    Ok(paths)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// At most 60 × 60 points of each raster: the table is for plotting again, not for archiving.
fn write_rows(table: &mut csv::Writer<Vec<u8>>, setting: &Setting, map: &Map) -> anyhow::Result<()> {
    let n = map.axis.len();
    let step = n.div_ceil(60);
    for j in (0..n).step_by(step) {
        for i in (0..n).step_by(step) {
            let at = j * n + i;
            let values = [&map.f, &map.g, &map.limit_f, &map.limit_g, &map.authors_f, &map.authors_g];
            // Six digits: the values are drawn, and the file stays small.
            let row = [map.axis[i], map.axis[j]].into_iter().chain(values.map(|v| v[at]));
            let cells: Vec<String> = row.map(|v| format!("{v:.5e}")).collect();
            table.write_record([setting.title.to_string()].into_iter().chain(cells))?;
        }
    }
    Ok(())
}

fn panel(setting: &Setting, map: Map) -> MapPanel {
    let filled = map.f.iter().zip(&map.g).map(|(f, g)| (*f > 0.0) == (*g > 0.0)).collect();
    let contours = vec![
        Contour { values: map.authors_f, stroke: authors(false) },
        Contour { values: map.authors_g, stroke: authors(true) },
        Contour { values: map.limit_f, stroke: limit(false) },
        Contour { values: map.limit_g, stroke: limit(true) },
    ];
    MapPanel { title: setting.title.into(), axis: map.axis, filled, contours, samples: map.samples }
}

fn legend() -> Vec<LegendItem> {
    vec![
        LegendItem::Fill(AGREE, "networks agree: sgn f = sgn g".into()),
        LegendItem::Fill(DISAGREE, "networks disagree".into()),
        LegendItem::Line(authors(false), "f̂ = 0, the authors' statistic".into()),
        LegendItem::Line(authors(true), "ĝ = 0, the authors' statistic".into()),
        LegendItem::Line(limit(false), "F = 0, the limit of f".into()),
        LegendItem::Line(limit(true), "G = 0, the limit of g".into()),
        LegendItem::Sample(1.0, "samples with y = +1".into()),
        LegendItem::Sample(-1.0, "samples with y = −1".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};
    use perturbation_learning::data::{fashion, mnist};
    use perturbation_learning::experiment::paper::plan::Scale;
    use perturbation_learning::network::Precision;

    /// A map of two points per axis whose arrays can be told apart; f and g agree at the last two points.
    fn map() -> Map {
        let from = |first: f64| vec![first, first + 1.0, first + 2.0, first + 3.0];
        Map {
            axis: vec![-7.0, 7.0],
            f: from(10.0),
            g: vec![-20.0, -21.0, 22.0, 23.0],
            limit_f: from(30.0),
            limit_g: from(40.0),
            authors_f: from(50.0),
            authors_g: from(60.0),
            samples: vec![(1.0, 2.0, -1.0)],
            agreement: 0.5,
            limit_agreement: 1.0,
        }
    }

    fn setting() -> Setting {
        settings(Scale::Small, Precision::F32, &|_| (String::new(), 0, 0)).remove(0)
    }

    #[test]
    fn columns_of_the_table_hold_what_their_titles_say() {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(COLUMNS).unwrap();
        write_rows(&mut table, &setting(), &map()).unwrap();
        let text = String::from_utf8(table.into_inner().unwrap()).unwrap();
        let (columns, titles) = read(&text);
        let column = |name: &str| columns[name].clone();
        let map = map();
        assert_eq!((column("x"), column("y")), (vec![-7.0, 7.0, -7.0, 7.0], vec![-7.0, -7.0, 7.0, 7.0]));
        assert_eq!((column("f"), column("g")), (map.f, map.g));
        assert_eq!((column("limit_f"), column("limit_g")), (map.limit_f, map.limit_g));
        assert_eq!((column("authors_f"), column("authors_g")), (map.authors_f, map.authors_g));
        assert_eq!(titles, ["Shifted Gauss (a)"; 4]);
    }

    #[test]
    fn lines_and_fills_are_what_the_legend_says() {
        let panel = panel(&setting(), map());
        assert_eq!(
            (panel.title.as_str(), &panel.axis, &panel.samples),
            ("Shifted Gauss (a)", &map().axis, &map().samples)
        );
        assert_eq!(panel.filled, [false, false, true, true]);
        let look = |stroke: &Stroke| (stroke.colour, stroke.dashed, stroke.width.to_bits());
        let legend = legend();
        let line = |text: &str| {
            let lines = legend.iter().filter_map(|item| match item {
                LegendItem::Line(stroke, label) if label.starts_with(text) => Some(look(stroke)),
                _ => None,
            });
            let strokes: Vec<_> = lines.collect();
            assert_eq!(strokes.len(), 1, "{text}");
            let drawn = panel.contours.iter().filter(|contour| look(&contour.stroke) == strokes[0]);
            drawn.map(|contour| contour.values.clone()).collect::<Vec<_>>()
        };
        assert_eq!(line("F = 0, the limit of f"), [map().limit_f]);
        assert_eq!(line("G = 0, the limit of g"), [map().limit_g]);
        assert_eq!(line("f̂ = 0, the authors' statistic"), [map().authors_f]);
        assert_eq!(line("ĝ = 0, the authors' statistic"), [map().authors_g]);
        let fill = |colour: &str, text: &str| {
            legend.iter().any(|item| matches!(item, LegendItem::Fill(c, t) if *c == colour && t.starts_with(text)))
        };
        assert!(fill(AGREE, "networks agree") && fill(DISAGREE, "networks disagree"));
    }

    /// The columns of a table by name, and the titles of its rows.
    fn read(text: &str) -> (HashMap<&str, Vec<f64>>, Vec<&str>) {
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let column = |at: usize| rows[1..].iter().map(|row| row[at].parse().unwrap()).collect();
        let columns = (1..COLUMNS.len()).map(|at| (rows[0][at], column(at)));
        (columns.collect(), rows[1..].iter().map(|row| row[0]).collect())
    }

    /// All eight, of tiny sets, networks and rasters.
    #[test]
    fn maps_are_drawn_and_tabled() {
        let directory = tempfile::tempdir().unwrap();
        let command = PaperArguments::augment_args(clap::Command::new("paper"));
        let words = ["paper", "maps", "--json", "-", "--out", directory.path().to_str().unwrap()];
        let arguments = PaperArguments::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let sets = [(DataName::Mnist, mnist().unwrap()), (DataName::Fashion, fashion().unwrap())];
        let images: HashMap<DataName, DataSet> = sets.map(|(name, set)| (name, set.shortened(10))).into();
        let mut settings = settings(Scale::Small, Precision::F64, &|_| (String::new(), 784, 20));
        for Setting { run, resolution, .. } in &mut settings {
            (run.train_count, run.width, run.steps, run.steps_perturbed, *resolution) = (20, 8, 3, 2, 4);
            run.input_dim = if run.data.is_images() { 784 } else { 6 };
        }
        let drawn = draw_settings(&arguments, &images, &settings).unwrap();
        let names = ["maps.svg", "maps.png", "maps.csv"].map(|name| directory.path().join(name));
        assert_eq!(drawn, names);
        let [svg, png] = [0, 1].map(|file| std::fs::read(&names[file]).unwrap());
        assert!(svg.trim_ascii_end().ends_with(b"</svg>") && png.starts_with(b"\x89PNG"));

        let text = std::fs::read_to_string(&names[2]).unwrap();
        let (columns, titles) = read(&text);
        let source = Sweep::new(Vec::new(), images, false).unwrap();
        for (setting, (index, titles)) in settings.iter().zip(titles.chunks(16).enumerate()) {
            assert_eq!(titles, [setting.title; 16]);
            let map = setting.make(&source.data(&setting.run).unwrap()).unwrap();
            for (name, values) in [("f", &map.f), ("g", &map.g), ("limit_g", &map.limit_g)] {
                for (found, value) in columns[name][16 * index..].iter().zip(values) {
                    // Six digits.
                    assert!((found - value).abs() <= 0.5e-5 * value.abs(), "{} {name}: {found} {value}", setting.title);
                }
            }
        }
        assert_eq!(titles.len(), 8 * 16);
    }
}
