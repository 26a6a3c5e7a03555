//! `pertlearn paper` and `pertlearn merge`: the paper's figures, rerun.

mod maps;
mod progress;
mod summary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use perturbation_learning::data::embedded::{FASHION_MEAN, MNIST_MEAN};
use perturbation_learning::data::{
    self, ClassPair, DataSet, check_writable_directory, fashion, idx_files, load_idx_directory, mnist,
};
use perturbation_learning::experiment::paper::chart::{by_id, figure};
use perturbation_learning::experiment::paper::parameters::{DataName, data_digest};
use perturbation_learning::experiment::paper::plan::{FigureName, ImageSet, PanelName, Plan, Request, Scale};
use perturbation_learning::experiment::paper::store::{Header, Record, Shard, Store, merge, read_times, times_path};
use perturbation_learning::experiment::paper::sweep::Sweep;
use perturbation_learning::experiment::paper::table::write_runs;

use super::arguments::{Common, PrecisionName, Random};
use super::files::{Files, check_not_read};
use super::{Verdict, say};
use progress::Progress;

/// Training images per class of the small scale.
const SMALL_PER_CLASS: usize = 200;
/// Share of the available memory that may be planned with.
const MEMORY_SHARE: f64 = 0.8;

/// Rerun the paper's figures, with seeds and error bars.
///
/// Every panel is a sweep over data, ε, width, … and learning rates, with several seeds. Finished runs go to runs.jsonl in
/// the output directory one by one; a sweep that was killed continues with --resume. At the end runs.csv (a row per run)
/// and the figures (SVG, PNG, CSV) are written there.
#[derive(Debug, Args)]
pub struct PaperArguments {
    /// Which figures.
    #[arg(value_enum, required = true)]
    figure: Vec<FigureArgument>,
    /// Only this panel; repeat for several. "default" and "default-logistic" are the default point alone.
    #[arg(long, value_enum, value_name = "PANEL")]
    panel: Vec<PanelArgument>,
    /// How many seeds, counted from --seed.
    #[arg(long, value_name = "R", default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,
    /// small: shortened grids and smaller sets, minutes for all figures; full: the paper's.
    #[arg(long, value_enum, default_value = "small")]
    scale: ScaleArgument,
    /// Make the runs and runs.csv, but draw no figure and no map.
    #[arg(long)]
    only_grid: bool,
    /// Leave out the infinite-width limits: sampling their start takes most of the time of a small sweep.
    #[arg(long)]
    without_theory: bool,
    /// Directory of the results.
    #[arg(long, value_name = "DIR", default_value = "pertlearn-paper")]
    out: PathBuf,
    /// Continue the sweep that runs.jsonl in the output directory belongs to.
    #[arg(long)]
    resume: bool,
    /// Only part I of K of the runs, into runs-I-of-K.jsonl, for `pertlearn merge`; draws nothing.
    #[arg(long, value_name = "I/K", value_parser = str::parse::<Shard>)]
    shard: Option<Shard>,
    /// Directory with complete IDX files, in subdirectories mnist and fashion, instead of the embedded subsets.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Floating-point type of the descents.
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionName,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FigureArgument {
    ShiftedGaussA,
    ShiftedGaussB,
    GaussA,
    GaussB,
    MnistA,
    MnistB,
    FashionA,
    FashionB,
    /// Cosine of the perturbations to the weighted sums.
    Cosine,
    /// Decision regions on the plane of the class means, at the paper's seeds whatever --seed says.
    Maps,
    /// Agreement against width (not in the paper).
    Width,
    /// Agreement against the imbalance of the targets, eight times as many seeds (not in the paper).
    Offset,
    /// All of them.
    All,
}

impl FigureArgument {
    /// Whether the word asks for a figure.
    fn names(self, figure: FigureName) -> bool {
        let word = self.to_possible_value();
        self == FigureArgument::All || word.is_some_and(|word| word.get_name() == figure.name())
    }

    fn maps(self) -> bool {
        matches!(self, FigureArgument::Maps | FigureArgument::All)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PanelArgument {
    Dim,
    DimLogistic,
    Epsilon,
    EpsilonLogistic,
    Width,
    Slope,
    Count,
    StepsF,
    StepsG,
    /// The first panel with balanced targets (not in the paper).
    Balanced,
    /// The default point alone.
    Default,
    /// The default point with the logistic loss.
    DefaultLogistic,
    /// The panel of the figure "offset".
    Targets,
    /// The second panel of the figure "width": shares of certified signs.
    Certified,
}

impl From<PanelArgument> for PanelName {
    fn from(name: PanelArgument) -> Self {
        match name {
            PanelArgument::Dim => PanelName::Dim,
            PanelArgument::DimLogistic => PanelName::DimLogistic,
            PanelArgument::Epsilon => PanelName::Epsilon,
            PanelArgument::EpsilonLogistic => PanelName::EpsilonLogistic,
            PanelArgument::Width => PanelName::Width,
            PanelArgument::Slope => PanelName::Slope,
            PanelArgument::Count => PanelName::Count,
            PanelArgument::StepsF => PanelName::StepsF,
            PanelArgument::StepsG => PanelName::StepsG,
            PanelArgument::Balanced => PanelName::Balanced,
            PanelArgument::Default => PanelName::Default,
            PanelArgument::DefaultLogistic => PanelName::DefaultLogistic,
            PanelArgument::Targets => PanelName::Targets,
            PanelArgument::Certified => PanelName::Certified,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScaleArgument {
    Small,
    Full,
}

/// Runs the sweep and draws.
pub fn run(arguments: &PaperArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    arguments.check()?;
    let images = arguments.images()?;
    let request = arguments.request(&images);
    // Before anything is written.
    let plan = (!request.figures.is_empty()).then(|| Plan::new(&request)).transpose()?;
    if let Some(plan) = &plan {
        arguments.check_panels(plan)?;
    }
    std::fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let mut records = Vec::new();
    if let Some(plan) = &plan {
        records = arguments.sweep(&request, plan, images.clone())?;
    }
    if let Some(shard) = arguments.shard {
        arguments.say(format_args!("shard {}/{}: {} runs", shard.index, shard.count, records.len()));
        summary::write_shard(arguments, &request, &records, start.elapsed().as_secs_f64())?;
        return Ok(Verdict::Held);
    }
    let mut drawn = Vec::new();
    if let Some(plan) = &plan {
        let file = arguments.out.join("runs.csv");
        write_runs(&file, &records, &read_times(&arguments.runs_path()))?;
        drawn.push(file);
        if !arguments.only_grid {
            let found = by_id(&records);
            for figure in request.figures.iter().filter_map(|name| figure(*name, plan, &found)) {
                drawn.extend(figure.write(&arguments.out)?);
            }
        }
        summary::print(arguments, &request, plan, &records);
    }
    if arguments.maps() && !arguments.only_grid {
        drawn.extend(maps::draw(arguments, &images)?);
    }
    for path in &drawn {
        arguments.say(path.display());
    }
    summary::write(arguments, &request, &records, start.elapsed().as_secs_f64())?;
    Ok(Verdict::Held)
}

impl PaperArguments {
    fn check(&self) -> anyhow::Result<()> {
        Files { inside: self.written(), inputs: self.read()?, ..Files::default() }.check(&self.common)?;
        check_writable_directory(&self.out)?;
        let runs_only = self.shard.is_some() || self.only_grid || !self.panel.is_empty();
        if runs_only && self.figures().is_empty() {
            bail!("maps: --shard, --only-grid and --panel are for the figures of runs");
        }
        Ok(())
    }

    /// What is written into the output directory: names that a sweep gives, whether this call draws or not.
    fn written(&self) -> Vec<PathBuf> {
        let figures = FigureName::ALL.map(FigureName::name).into_iter().chain(["maps"]);
        let figures = figures.flat_map(|name| ["svg", "png", "csv"].map(|extension| format!("{name}.{extension}")));
        let names = figures.chain(["runs.csv".into(), "paper.json".into()]).map(|name| self.out.join(name));
        let runs = self.runs_path();
        names.chain([times_path(&runs), runs]).collect()
    }

    /// What is read, or would be by a call for another part of the sweep: image sets, and files of runs other than its own.
    fn read(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for set in self.data_dir.iter().flat_map(|all| self.needed().into_iter().map(|name| subdirectory(all, name))) {
            // What is no directory is refused when it is to be read.
            if set.is_dir() {
                files.extend(idx_files(&set)?);
            }
        }
        let own = self.runs_path();
        let own = [times_path(&own), own];
        let there = std::fs::read_dir(&self.out).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_store = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("runs") && name.ends_with(".jsonl") && !own.contains(path)
        };
        files.extend(there.filter(is_store));
        Ok(files)
    }

    /// An error if `--panel` leaves nothing of a figure that is named, or names what none of the figures has.
    fn check_panels(&self, plan: &Plan) -> anyhow::Result<()> {
        if self.panel.is_empty() {
            return Ok(());
        }
        let named =
            |figure: &FigureName| self.figure.iter().any(|word| *word != FigureArgument::All && word.names(*figure));
        let empty = |figure: &FigureName| plan.panels.iter().all(|panel| panel.figure != *figure);
        if let Some(figure) = FigureName::ALL.into_iter().find(|figure| named(figure) && empty(figure)) {
            bail!("{}: --panel names none of its panels; expected one, or a call without this figure", figure.name());
        }
        let unknown = |name: PanelName| plan.panels.iter().all(|panel| panel.panel != name);
        if let Some(word) = self.panel.iter().find(|word| unknown(PanelName::from(**word))) {
            let word = word.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default();
            bail!("--panel {word}: none of the figures has it; expected a panel of one of them");
        }
        Ok(())
    }

    /// A line on standard output, unless that belongs to the JSON document.
    fn say(&self, line: impl std::fmt::Display) {
        if !self.common.json_on_stdout() {
            say(line);
        }
    }

    /// The figures of runs, in the paper's order.
    fn figures(&self) -> Vec<FigureName> {
        FigureName::ALL.into_iter().filter(|figure| self.figure.iter().any(|word| word.names(*figure))).collect()
    }

    fn maps(&self) -> bool {
        self.figure.iter().any(|word| word.maps())
    }

    fn scale(&self) -> Scale {
        match self.scale {
            ScaleArgument::Small => Scale::Small,
            ScaleArgument::Full => Scale::Full,
        }
    }

    /// Names of the image sets that the figures need.
    fn needed(&self) -> Vec<DataName> {
        let mut needed: Vec<DataName> = self.figures().iter().flat_map(|f| f.images()).copied().collect();
        if self.maps() {
            needed.extend([DataName::Mnist, DataName::Fashion]);
        }
        needed.sort();
        needed.dedup();
        needed
    }

    /// The image sets that the figures need.
    fn images(&self) -> anyhow::Result<HashMap<DataName, DataSet>> {
        let needed = self.needed();
        if let (Some(directory), true) = (&self.data_dir, needed.is_empty()) {
            bail!("--data-dir: {} is not needed; expected a figure of MNIST or Fashion-MNIST", directory.display());
        }
        let load = |name| {
            let data = match (&self.data_dir, name) {
                (Some(directory), DataName::Mnist) => from_directory(&subdirectory(directory, name), 1, 2, MNIST_MEAN)?,
                (Some(directory), _) => from_directory(&subdirectory(directory, name), 0, 9, FASHION_MEAN)?,
                (None, DataName::Mnist) => mnist()?,
                (None, _) => fashion()?,
            };
            let small = self.scale() == Scale::Small;
            anyhow::Ok((name, if small { data.shortened(SMALL_PER_CLASS) } else { data }))
        };
        needed.into_iter().map(load).collect()
    }

    fn request(&self, images: &HashMap<DataName, DataSet>) -> Request {
        let figures = self.figures();
        let used = |name: &DataName| figures.iter().any(|f| f.images().contains(name));
        let mut sets: Vec<ImageSet> = images
            .iter()
            .filter(|(name, _)| used(name))
            .map(|(name, data)| ImageSet {
                name: *name,
                digest: data_digest(data),
                input_dim: data.train.input_dim(),
                train_count: data.train.count(),
            })
            .collect();
        sets.sort_by_key(|set| set.name);
        Request {
            figures,
            panels: self.panel.iter().map(|panel| PanelName::from(*panel)).collect(),
            first_seed: self.random.seed,
            seeds: self.seeds,
            scale: self.scale(),
            precision: self.precision.into(),
            limits: !self.without_theory,
            images: sets,
        }
    }

    fn runs_path(&self) -> PathBuf {
        self.out.join(match self.shard {
            Some(Shard { index, count }) => format!("runs-{index}-of-{count}.jsonl"),
            None => "runs.jsonl".into(),
        })
    }

    /// Makes the runs that are not finished yet; returns all of the shard, in the plan's order.
    fn sweep(&self, request: &Request, plan: &Plan, images: HashMap<DataName, DataSet>) -> anyhow::Result<Vec<Record>> {
        let shard = self.shard.unwrap_or(Shard::WHOLE);
        let mine = plan.shard(shard.index, shard.count);
        let (path, header) = (self.runs_path(), Header::new(request, plan, shard));
        let (store, finished) = self.open(&path, &header)?;
        let mut known: HashMap<String, Record> = finished.into_iter().map(|r| (r.id.clone(), r)).collect();
        let left: Vec<_> = mine.iter().filter(|run| !known.contains_key(&run.0)).cloned().collect();
        let (total, left_count) = (mine.len(), left.len());
        let sweep = Sweep::new(left, images, request.limits)?;
        let workers = self.state_memory(&sweep, total, left_count)?;
        let progress = Progress::new(total, left_count);
        let new = std::sync::Mutex::new(Vec::new());
        let result = sweep.run(workers, &|record, seconds| {
            store.append(&record, seconds)?;
            new.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(record);
            progress.advance();
            Ok(())
        });
        progress.finish();
        result?;
        let new = new.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.extend(new.into_iter().map(|r| (r.id.clone(), r)));
        Ok(mine.iter().filter_map(|run| known.remove(&run.0)).collect())
    }

    fn open(&self, path: &Path, header: &Header) -> anyhow::Result<(Store, Vec<Record>)> {
        if !path.exists() {
            return Ok((Store::create(path, header)?, Vec::new()));
        }
        if !self.resume {
            bail!("{}: exists already; continue it with --resume, or choose another --out", path.display());
        }
        let (store, records, cut) = Store::resume(path, header)?;
        if let Some(damage) = cut {
            self.say(format_args!("{}: damaged end cut off ({damage}); its run is redone", path.display()));
        }
        Ok((store, records))
    }

    /// Says how many runs there are and what memory they take; returns how many data sets to work on at a time.
    fn state_memory(&self, sweep: &Sweep, total: usize, left: usize) -> anyhow::Result<usize> {
        let available = available_memory().unwrap_or(f64::INFINITY);
        let workers = sweep.workers(MEMORY_SHARE * available);
        let size = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
        let each = sweep.bytes_per_worker();
        if workers == 0 && left > 0 {
            bail!(
                "the largest run takes {}, of {} available; expected at most {:.0} % of it: choose --panel or --scale small",
                size(each),
                size(available),
                100.0 * MEMORY_SHARE
            );
        }
        self.say(format_args!(
            "{total} runs, {} of them finished; memory at most {} ({workers} data sets at a time, up to {} each)",
            total - left,
            size(each * workers as f64),
            size(each)
        ));
        Ok(workers)
    }
}

/// Where `--data-dir` has an image set.
fn subdirectory(directory: &Path, name: DataName) -> PathBuf {
    directory.join(if name == DataName::Mnist { "mnist" } else { "fashion" })
}

fn from_directory(path: &Path, positive: u8, negative: u8, mean: f64) -> anyhow::Result<DataSet> {
    if !path.is_dir() {
        bail!("--data-dir: {} is no directory; expected one with IDX files", path.display());
    }
    Ok(load_idx_directory(path, ClassPair { positive, negative }, Some(mean))?)
}

/// Bytes of memory that the system would give without swapping; `None` where it does not say.
fn available_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes)
}

/// Join the files of `paper --shard I/K` into one.
///
/// Checks that they belong to one sweep, and that no run is missing or double. Put the result as runs.jsonl into a
/// directory and draw its figures with `pertlearn paper … --resume --out DIR`.
#[derive(Debug, Args)]
pub struct MergeArguments {
    /// Files runs-I-of-K.jsonl.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The joined file.
    #[arg(long, value_name = "FILE", default_value = "runs.jsonl")]
    out: PathBuf,
}

/// Joins the files.
pub fn run_merge(arguments: &MergeArguments) -> anyhow::Result<Verdict> {
    // Wall times lie beside the runs, here and there.
    let inputs: Vec<PathBuf> = arguments.files.iter().flat_map(|file| [file.clone(), times_path(file)]).collect();
    check_not_read(&[&arguments.out, &times_path(&arguments.out)], &inputs)?;
    data::check_writable(&arguments.out)?;
    let merged = merge(&arguments.files, &arguments.out)?;
    let failed = merged.records.iter().filter(|record| record.failure.is_some()).count();
    say(format_args!(
        "{}: {} runs of {} file(s), none missing, none double; {failed} failed",
        arguments.out.display(),
        merged.records.len(),
        arguments.files.len()
    ));
    Ok(Verdict::Held)
}
