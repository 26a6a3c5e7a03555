//! Curves: what each is, how it is drawn and what the legend says of it.

use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{BandPlot, LinePlot, ScatterPlot};
use kuva::render::plots::Plot;

/// Blue, vermilion, green, orange, purple, sky blue (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"];
/// The same, darker, for theory: its dashes lie on what was measured.
const DARK: [&str; 6] = ["#00324F", "#6B2F00", "#004D38", "#6E4C00", "#5F3750", "#1F5274"];
const MARKERS: [MarkerShape; 6] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::Triangle,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
    MarkerShape::Pentagon,
];
const BLACK: &str = "#000000";
const GREY: &str = "#808080";
/// Half the size of each colour's marker: of two at one place both are seen.
const SIZES: [f64; 6] = [5.0, 4.0, 4.5, 4.0, 4.0, 4.0];
/// Letters of a line of a legend below a panel; longer labels go on below.
const LEGEND_LETTERS: usize = 36;

/// What a curve is, which decides how it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Measured on networks: markers joined by a solid line, with a band if there is one.
    Measured,
    /// Computed from theory, no constant fitted: dashed.
    Theory,
    /// A proved bound: dash-dotted.
    Bound,
    /// A line to compare slopes with; its height means nothing: thin, grey, dotted.
    Guide,
    /// Another statistic of what a measured curve of the same colour shows: thin, dotted.
    Aside,
    /// Places to take note of; their height means nothing: grey crosses.
    Mark,
}

/// A point of a curve; `band` encloses the stated share of networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Abscissa.
    pub x: f64,
    /// Ordinate: the median for measured curves.
    pub y: f64,
    /// Lower and upper end of the band.
    pub band: Option<(f64, f64)>,
}

/// One curve with its entry in the legend.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The legend's text: what it is, and the fitted slope with its interval if there is one.
    pub label: String,
    /// How it is drawn.
    pub role: Role,
    /// Which colour and marker; curves about one quantity share it. `None` is black.
    pub colour: Option<usize>,
    /// Whether it has an entry in the legend of its own; the label stands in the table in any case.
    pub in_legend: bool,
    /// Error bars in place of a band, for curves whose bands would cover each other; all of the curve is drawn at its abscissae times
    /// this factor, so that bars stand side by side.
    pub bars: Option<f64>,
    /// The points, in order.
    pub points: Vec<CurvePoint>,
}

impl Curve {
    /// A curve without band.
    #[must_use]
    pub fn line(role: Role, colour: Option<usize>, label: impl Into<String>, points: &[(f64, f64)]) -> Self {
        let points = points.iter().map(|&(x, y)| CurvePoint { x, y, band: None }).collect();
        Curve { label: label.into(), role, colour, in_legend: true, bars: None, points }
    }

    /// Medians with a band.
    #[must_use]
    pub fn measured(colour: usize, label: impl Into<String>, points: Vec<CurvePoint>) -> Self {
        Curve { label: label.into(), role: Role::Measured, colour: Some(colour), in_legend: true, bars: None, points }
    }

    /// The same without an entry in the legend, because another curve's entry explains it.
    #[must_use]
    pub fn explained_elsewhere(mut self) -> Self {
        self.in_legend = false;
        self
    }

    /// The same with error bars, drawn at the abscissae times this factor.
    #[must_use]
    pub fn with_bars(mut self, factor: f64) -> Self {
        self.bars = Some(factor);
        self
    }

    fn shade(&self) -> &'static str {
        match (self.role, self.colour) {
            (Role::Guide | Role::Mark, _) => GREY,
            (_, None) => BLACK,
            (Role::Theory, Some(index)) => DARK[index % DARK.len()],
            (_, Some(index)) => COLOURS[index % COLOURS.len()],
        }
    }

    fn marker(&self) -> MarkerShape {
        if self.role == Role::Mark {
            return MarkerShape::Cross;
        }
        MARKERS[self.colour.unwrap_or(0) % MARKERS.len()]
    }

    fn dashes(&self) -> Option<&'static str> {
        match self.role {
            Role::Measured | Role::Mark => None,
            // Told apart in grey, where two quantities have a theory each. Twice, so that legends, which show one cycle, show two dashes.
            Role::Theory if self.colour == Some(1) => Some("8 3 8 3"),
            Role::Theory => Some("6 4 6 4"),
            Role::Bound => Some("11 4 3 4"),
            Role::Guide | Role::Aside => Some("2 3"),
        }
    }

    pub(super) fn legend_entry(&self) -> LegendEntry {
        let shape = match self.role {
            Role::Measured | Role::Mark => LegendShape::Marker(self.marker()),
            _ => LegendShape::Line,
        };
        let dasharray = self.dashes().map(Into::into);
        LegendEntry { label: self.label.clone(), color: self.shade().into(), shape, dasharray }
    }

    /// The entry, and lines below it for what is longer than [`LEGEND_LETTERS`].
    pub(super) fn legend_entries(&self) -> Vec<LegendEntry> {
        let mut lines = vec![String::new()];
        let label = unbreakable(&self.label);
        for word in label.split(' ') {
            let line = lines.last().map_or(0, |line| line.chars().count());
            match lines.last_mut() {
                Some(last) if line == 0 => last.push_str(word),
                Some(last) if line + 1 + word.chars().count() <= LEGEND_LETTERS => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.into()),
            }
        }
        let mut entries: Vec<LegendEntry> = lines.into_iter().map(blank).collect();
        let label = std::mem::take(&mut entries[0].label);
        entries[0] = LegendEntry { label, ..self.legend_entry() };
        entries
    }

    pub(super) fn draw(&self, plots: &mut Vec<Plot>, scale: f64) {
        let factor = self.bars.unwrap_or(1.0);
        let pairs = || self.points.iter().map(|p| (factor * p.x, p.y)).collect::<Vec<_>>();
        if self.role != Role::Mark {
            let mut line = LinePlot::new().with_data(pairs()).with_color(self.shade());
            let thin = matches!(self.role, Role::Guide | Role::Aside) || !self.in_legend;
            line = line.with_stroke_width(scale * if thin { 1.5 } else { 2.0 });
            if let Some(dashes) = self.dashes() {
                line = line.with_line_style(kuva::plot::line::LineStyle::Custom(dashes.into()));
            }
            plots.push(line.into());
        }
        if matches!(self.role, Role::Measured | Role::Mark) {
            let size = SIZES[self.colour.unwrap_or(1) % SIZES.len()];
            let mut markers = ScatterPlot::new().with_data(pairs()).with_color(self.shade());
            if self.bars.is_some() {
                let arms = self.points.iter().map(|p| p.band.map_or((0.0, 0.0), |(low, high)| (p.y - low, high - p.y)));
                markers = markers.with_y_err_asymmetric(arms);
            }
            plots.push(markers.with_marker(self.marker()).with_size(scale * size).into());
        }
    }

    pub(super) fn draw_band(&self, plots: &mut Vec<Plot>) {
        let banded: Vec<(f64, (f64, f64))> = self.points.iter().filter_map(|p| Some((p.x, p.band?))).collect();
        if banded.len() > 1 && self.bars.is_none() {
            let ends = |pick: fn(&(f64, f64)) -> f64| banded.iter().map(move |(_, band)| pick(band));
            let band = BandPlot::new(banded.iter().map(|(x, _)| *x), ends(|b| b.0), ends(|b| b.1));
            plots.push(band.with_color(self.shade()).with_opacity(0.2).into());
        }
    }
}

/// Numbers stay together with their signs and with what they are of: 95 %, m = 64, 1 ± 2 and 5, 50, 95.
fn unbreakable(label: &str) -> String {
    let mut joined = label.to_string();
    for sign in ["=", "±"] {
        joined = joined.replace(&format!(" {sign} "), &format!("\u{a0}{sign}\u{a0}"));
    }
    joined = joined.replace(" %", "\u{a0}%");
    let mut out = String::with_capacity(joined.len());
    for (at, letter) in joined.char_indices() {
        let listed = letter == ' '
            && joined[..at].strip_suffix(',').is_some_and(|left| left.ends_with(|c: char| c.is_ascii_digit()))
            && joined[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        out.push(if listed { '\u{a0}' } else { letter });
    }
    out
}

/// A line of a legend without a symbol.
pub(super) fn blank(label: String) -> LegendEntry {
    LegendEntry { label, color: "#FFFFFF".into(), shape: LegendShape::Line, dasharray: None }
}
