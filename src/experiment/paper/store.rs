//! Finished runs in a line-delimited JSON file.
//!
//! The first line says which sweep and which shard the file belongs to; every other line is one run. A line is written
//! with one call as soon as its run ends, so a process that is killed leaves whole lines, or a damaged last one, which is
//! cut off when the file is opened again. Every line carries a checksum. Wall times, which differ between repetitions, go
//! to a second file beside it, so that the first has the same content (in another order) however often a sweep was
//! interrupted.

mod merge;
mod record;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use merge::{Merged, merge};
pub use record::{Header, Record, Shard};
use record::{from_line, to_line};

/// What a file holds.
#[derive(Debug)]
pub struct Content {
    /// The first line.
    pub header: Header,
    /// The runs, each with its line number.
    pub records: Vec<(usize, Record)>,
    /// Bytes up to the end of the last good line.
    good: u64,
    /// Why the last line is damaged, if it is.
    pub damaged_end: Option<String>,
}

/// Reads a file of runs.
///
/// # Errors
/// A file that cannot be read; a damaged line that is not the last one; a run that occurs twice or whose id does not fit.
pub fn read(path: &Path) -> Result<Content> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
    let damaged = |number: usize, reason: &str| Error::Format {
        path: path.into(),
        problem: format!("line {number} is damaged: {reason}"),
    };
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').enumerate().peekable();
    let text = |line: &[u8]| -> std::result::Result<String, String> {
        let line = line.strip_suffix(b"\n").ok_or("it does not end")?;
        String::from_utf8(line.to_vec()).map_err(|e| e.to_string())
    };
    let Some((_, first)) = lines.next() else {
        return Err(damaged(1, "it is missing; expected the description of a sweep"));
    };
    let header: Header = text(first).and_then(|line| from_line(&line)).map_err(|e| damaged(1, &e))?;
    let mut content = Content { header, records: Vec::new(), good: first.len() as u64, damaged_end: None };
    let mut seen: HashMap<String, usize> = HashMap::new();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let record = match text(line).and_then(|line| from_line::<Record>(&line)) {
            Ok(record) => record,
            Err(reason) if lines.peek().is_none() => {
                content.damaged_end = Some(format!("line {number}: {reason}"));
                break;
            }
            Err(reason) => return Err(damaged(number, &reason)),
        };
        if record.parameters.id()? != record.id {
            return Err(damaged(number, "its id is not that of its parameters"));
        }
        if let Some(earlier) = seen.insert(record.id.clone(), number) {
            return Err(damaged(number, &format!("it repeats the run of line {earlier}")));
        }
        content.good += line.len() as u64;
        content.records.push((number, record));
    }
    Ok(content)
}

/// A file of runs, open for appending, locked against a second process.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    runs: Mutex<File>,
    times: Mutex<File>,
}

/// The wall time of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Time {
    id: String,
    seconds: f64,
}

/// The file of wall times beside a file of runs.
#[must_use]
pub fn times_path(path: &Path) -> PathBuf {
    path.with_extension("times.jsonl")
}

/// The wall times beside a file of runs; empty if there are none, damaged lines left out: they are only information.
#[must_use]
pub fn read_times(path: &Path) -> HashMap<String, f64> {
    let text = std::fs::read_to_string(times_path(path)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str::<Time>(line).ok()).map(|t| (t.id, t.seconds)).collect()
}

impl Store {
    /// Begins a file.
    ///
    /// # Errors
    /// A file that exists already, or cannot be made.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        let failed = |source| Error::Io { path: path.into(), source };
        let mut file = File::options().create_new(true).read(true).append(true).open(path).map_err(failed)?;
        lock(path, &file)?;
        file.write_all(line(path, header)?.as_bytes()).map_err(failed)?;
        // Times of an earlier sweep, whose runs were removed, mean nothing here.
        let times = File::create(times_path(path)).map_err(failed)?;
        Ok(Store { path: path.into(), runs: Mutex::new(file), times: Mutex::new(times) })
    }

    /// Opens a file again, cuts off a damaged last line, and returns the runs that it holds and what was cut off.
    ///
    /// # Errors
    /// As [`read`]; a file of another sweep or shard; a file that another process has open.
    pub fn resume(path: &Path, header: &Header) -> Result<(Self, Vec<Record>, Option<String>)> {
        let failed = |source| Error::Io { path: path.into(), source };
        let mut file = File::options().read(true).append(true).open(path).map_err(failed)?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        // Killed while the first line was written: nothing is lost.
        if !bytes.contains(&b'\n') && line(path, header)?.as_bytes().starts_with(&bytes) {
            file.set_len(0).map_err(failed)?;
            file.write_all(line(path, header)?.as_bytes()).map_err(failed)?;
            bytes = line(path, header)?.into_bytes();
        }
        let content = parse(path, &bytes)?;
        if content.header != *header {
            let problem = content.header.differences(header);
            return Err(Error::Format { path: path.into(), problem });
        }
        if content.damaged_end.is_some() {
            file.set_len(content.good).map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        let times = open_times(&times_path(path)).map_err(failed)?;
        let store = Store { path: path.into(), runs: Mutex::new(file), times: Mutex::new(times) };
        Ok((store, content.records.into_iter().map(|r| r.1).collect(), content.damaged_end))
    }

    /// Appends a run with its wall time.
    ///
    /// # Errors
    /// A file that cannot be written; a figure of merit that is not finite.
    pub fn append(&self, record: &Record, seconds: f64) -> Result<()> {
        write(&self.path, &self.runs, &line(&self.path, record)?)?;
        let time = Time { id: record.id.clone(), seconds };
        let text = serde_json::to_string(&time).map_err(|e| unwritable(&self.path, &e))?;
        write(&times_path(&self.path), &self.times, &format!("{text}\n"))
    }
}

/// One write call on a file without buffer: the line is with the operating system when this returns.
fn write(path: &Path, file: &Mutex<File>, text: &str) -> Result<()> {
    let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    file.write_all(text.as_bytes()).map_err(|source| Error::Io { path: path.into(), source })
}

/// The times file for appending, after a newline if its last line was cut short.
fn open_times(path: &Path) -> std::io::Result<File> {
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    if text.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn lock(path: &Path, file: &File) -> Result<()> {
    file.try_lock().map_err(|e| {
        let source = match e {
            std::fs::TryLockError::Error(source) => source,
            std::fs::TryLockError::WouldBlock => std::io::Error::other("another process is writing it"),
        };
        Error::Io { path: path.into(), source }
    })
}

/// A line to be written; numbers must be finite, because JSON has no word for others.
fn line<T: Serialize + PartialEq + for<'de> Deserialize<'de>>(path: &Path, value: &T) -> Result<String> {
    let text = to_line(value).map_err(|e| unwritable(path, &e))?;
    // Reading it back finds numbers that JSON turned into null.
    match from_line::<T>(text.trim_end()) {
        Ok(read) if read == *value => Ok(text),
        Ok(_) => Err(unwritable(path, &"a number changes when written")),
        Err(reason) => Err(unwritable(path, &reason)),
    }
}

fn unwritable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Format { path: path.into(), problem: format!("a run cannot be written: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::plan::{FigureName, PanelName, Plan, Request, Scale};
    use crate::experiment::paper::tests::{record, setting};
    use crate::network::Precision;

    /// A file with the first `count` runs of the plan, and its lines.
    fn written(directory: &Path, count: usize) -> (PathBuf, Header, Plan) {
        let (request, plan) = setting();
        let header = Header::new(&request, &plan, Shard::WHOLE);
        let path = directory.join("runs.jsonl");
        let store = Store::create(&path, &header).unwrap();
        for run in &plan.runs[..count] {
            store.append(&record(&run.1), 1.5).unwrap();
        }
        (path, header, plan)
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let (path, header, plan) = written(directory.path(), 3);
        let (store, records, cut) = Store::resume(&path, &header).unwrap();
        assert_eq!(records, plan.runs[..3].iter().map(|run| record(&run.1)).collect::<Vec<_>>());
        assert_eq!(cut, None);
        let failed = Record::new(plan.runs[3].1.clone(), Err("diverged".into())).unwrap();
        store.append(&failed, 0.25).unwrap();
        assert_eq!(read(&path).unwrap().records[3], (5, failed));
        assert_eq!(read_times(&path)[&plan.runs[3].0], 0.25);
        assert!(matches!(Store::create(&path, &header), Err(Error::Io { .. })), "an existing file is kept");
        assert!(Store::resume(&path, &header).unwrap_err().to_string().contains("another process"));
    }

    #[test]
    fn a_last_line_cut_anywhere_is_redone_and_nothing_else_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let (path, header, plan) = written(directory.path(), 3);
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for length in (last..whole.len()).step_by(37).chain([last + 1, whole.len() - 1]) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (store, records, cut) = Store::resume(&path, &header).unwrap();
            assert_eq!((records.len(), cut.is_some()), (2, length > last), "{length}");
            store.append(&record(&plan.runs[2].1), 1.0).unwrap();
            drop(store);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{length}");
        }
        // The header too.
        let end = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for length in [0, 1, end / 2, end - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Store::resume(&path, &header).unwrap().1.len(), 0);
            assert_eq!(std::fs::read(&path).unwrap(), whole[..end]);
        }
    }

    #[test]
    fn damage_elsewhere_is_an_error_that_names_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let (path, header, _) = written(directory.path(), 4);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let changed = |line: usize, from: &str, to: &str| {
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            assert!(lines[line - 1].contains(from));
            lines[line - 1] = lines[line - 1].replacen(from, to, 1);
            lines.join("\n") + "\n"
        };
        let cases = [
            (changed(3, "0.25", "0.26"), "line 3 is damaged: its content has checksum"),
            (changed(2, "{", ""), "line 2 is damaged"),
            (changed(4, "\"check\"", "check"), "line 4 is damaged: no checksum"),
            (changed(1, "seeds", "seedz"), "line 1 is damaged"),
            (whole.clone() + lines[1] + "\n", "line 6 is damaged: it repeats the run of line 2"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            let error = Store::resume(&path, &header).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a damaged file is left as it is");
        }
    }

    #[test]
    fn a_file_of_another_sweep_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, header, plan) = written(directory.path(), 1);
        let other = |request: Request, shard| Header::new(&request, &plan, shard);
        let base = header.sweep.clone();
        let cases = [
            (other(Request { seeds: 9, ..base.clone() }, Shard::WHOLE), "with --seeds 2; this call has --seeds 9"),
            (
                other(Request { first_seed: 3, scale: Scale::Full, ..base.clone() }, Shard::WHOLE),
                "with --scale small, --seed 0; this call has --scale full, --seed 3",
            ),
            (
                other(Request { panels: vec![PanelName::Width, PanelName::Slope], ..base.clone() }, Shard::WHOLE),
                "with no --panel; this call has --panel width --panel slope",
            ),
            (
                other(Request { figures: vec![FigureName::GaussA], images: vec![], ..base.clone() }, Shard::WHOLE),
                "with width; this call has gauss-a",
            ),
            (other(Request { limits: !base.limits, ..base.clone() }, Shard::WHOLE), "; this call has --without-theory"),
            (
                other(Request { precision: Precision::F64, ..base.clone() }, Shard::WHOLE),
                "; this call has --precision f64",
            ),
            (other(Request { images: vec![], ..base.clone() }, Shard::WHOLE), "with the images "),
            (other(base.clone(), Shard { index: 1, count: 2 }), "with no --shard; this call has --shard 1/2"),
            (Header { digest: "other".into(), ..header.clone() }, "with another list of runs"),
        ];
        for (other, expected) in cases {
            let error = Store::resume(&path, &other).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
