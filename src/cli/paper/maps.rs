//! The maps of `paper`.

use std::collections::HashMap;
use std::path::PathBuf;

use perturbation_learning::data::DataSet;
use perturbation_learning::experiment::paper::map::{Map, Setting, settings};
use perturbation_learning::experiment::paper::parameters::{DataName, data_digest};
use perturbation_learning::experiment::paper::sweep::Sweep;
use perturbation_learning::report::map::{AGREE, Contour, DISAGREE, LegendItem, MapFigure, MapPanel, Stroke};

use super::PaperArguments;

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
    let source = Sweep::new(Vec::new(), images.clone(), false)?;
    let mut panels = Vec::new();
    let path = arguments.out.join("maps.csv");
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["map", "x", "y", "f", "g", "limit_f", "limit_g", "authors_f", "authors_g"])?;
    arguments.say("\nmaps                 f and g agree   F and G agree   (share of the raster)");
    for setting in settings(arguments.scale(), arguments.precision.into(), &describe) {
        let map = setting.make(&source.data(&setting.run)?)?;
        let (networks, limits) = (percent(map.agreement), percent(map.limit_agreement));
        arguments.say(format_args!("{:20} {networks:>13} {limits:>15}", setting.title));
        write_rows(&mut table, &setting, &map)?;
        panels.push(panel(&setting, map));
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
