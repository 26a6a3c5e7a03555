//! Joining the files of shards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Header, Record, Shard, Time, line, read, read_times, times_path, unwritable};
use crate::data::write_atomically;
use crate::error::{Error, Result};
use crate::experiment::paper::plan::Plan;

/// What a merge found.
#[derive(Debug)]
pub struct Merged {
    /// The header of the joined file.
    pub header: Header,
    /// All runs of the sweep, sorted by id.
    pub records: Vec<Record>,
}

/// Joins files of shards into one, `out`, sorted by id, with their wall times beside it.
///
/// # Errors
/// Files of different sweeps; a run that is double or missing, or belongs to no part of the sweep; a damaged line (the last
/// one included: its shard is to be resumed first); a file that cannot be read or written.
pub fn merge(files: &[PathBuf], out: &Path) -> Result<Merged> {
    let mut first: Option<(&PathBuf, Header)> = None;
    let mut found: HashMap<String, (&PathBuf, usize, Record)> = HashMap::new();
    let mut times = HashMap::new();
    for path in files {
        let content = read(path)?;
        if let Some(damage) = content.damaged_end {
            return Err(format_error(path, format!("the last line is damaged ({damage}); resume this shard first")));
        }
        match &first {
            None => first = Some((path, content.header)),
            Some((other, header)) if header.sweep != content.header.sweep || header.digest != content.header.digest => {
                return Err(format_error(path, format!("belongs to another sweep than {}", other.display())));
            }
            Some(_) => {}
        }
        for (number, record) in content.records {
            if let Some((other, line, _)) = found.get(&record.id) {
                let problem =
                    format!("line {number} is double: run {} is line {line} of {}", record.id, other.display());
                return Err(format_error(path, problem));
            }
            found.insert(record.id.clone(), (path, number, record));
        }
        times.extend(read_times(path));
    }
    let Some((path, header)) = first else {
        return Err(Error::Empty { name: "list of files to merge".into(), expected: "one file" });
    };
    let plan = Plan::new(&header.sweep)?;
    if plan.digest() != header.digest {
        return Err(format_error(path, "was made by another version of this program, with other runs".into()));
    }
    check_complete(path, &header, &plan, &found)?;
    let header = Header { shard: Shard::WHOLE, ..header };
    let mut records: Vec<Record> = found.into_values().map(|entry| entry.2).collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    write(out, &header, &records, &times)?;
    Ok(Merged { header, records })
}

fn check_complete(
    path: &Path,
    header: &Header,
    plan: &Plan,
    found: &HashMap<String, (&PathBuf, usize, Record)>,
) -> Result<()> {
    let shards = header.shard.count;
    let mut missing = Vec::new();
    for index in 1..=shards {
        let left = plan.shard(index, shards).iter().filter(|run| !found.contains_key(&run.0)).count();
        if left > 0 {
            missing.push(format!("{left} of shard {index}/{shards}"));
        }
    }
    if !missing.is_empty() {
        let listing = missing.join(", ");
        return Err(format_error(path, format!("runs are missing from this sweep: {listing}")));
    }
    // All are there, none is double: more runs than planned are strangers.
    let strangers = found.len() - plan.runs.len();
    if strangers > 0 {
        return Err(format_error(path, format!("{strangers} run(s) do not belong to this sweep")));
    }
    Ok(())
}

fn format_error(path: &Path, problem: String) -> Error {
    Error::Format { path: path.into(), problem }
}

fn write(out: &Path, header: &Header, records: &[Record], times: &HashMap<String, f64>) -> Result<()> {
    let mut text = line(out, header)?;
    let mut seconds = String::new();
    for record in records {
        text.push_str(&line(out, record)?);
        if let Some(time) = times.get(&record.id) {
            let time = Time { id: record.id.clone(), seconds: *time };
            seconds.push_str(&serde_json::to_string(&time).map_err(|e| unwritable(out, &e))?);
            seconds.push('\n');
        }
    }
    write_atomically(out, text.as_bytes())?;
    write_atomically(&times_path(out), seconds.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::store::Store;
    use crate::experiment::paper::tests::{record, setting};

    /// The files of three finished shards.
    fn shards(directory: &Path) -> Vec<PathBuf> {
        let (request, plan) = setting();
        (1..=3)
            .map(|index| {
                let path = directory.join(format!("{index}.jsonl"));
                let header = Header::new(&request, &plan, Shard { index, count: 3 });
                let store = Store::create(&path, &header).unwrap();
                for run in plan.shard(index, 3) {
                    store.append(&record(&run.1), index as f64).unwrap();
                }
                path
            })
            .collect()
    }

    #[test]
    fn shards_join_to_what_one_run_would_have_written() {
        let directory = tempfile::tempdir().unwrap();
        let files = shards(directory.path());
        let (request, plan) = setting();
        let whole = directory.path().join("whole.jsonl");
        let store = Store::create(&whole, &Header::new(&request, &plan, Shard::WHOLE)).unwrap();
        plan.runs.iter().for_each(|run| store.append(&record(&run.1), 1.0).unwrap());
        let out = directory.path().join("out.jsonl");
        // In any order.
        let merged = merge(&[files[2].clone(), files[0].clone(), files[1].clone()], &out).unwrap();
        assert_eq!(merged.records.len(), plan.runs.len());
        let sorted = |path: &Path| {
            let mut lines: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(Into::into).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&out), sorted(&whole));
        assert_eq!(read_times(&out).len(), plan.runs.len());
        // The joined file can be resumed, and there is nothing left to do.
        assert_eq!(Store::resume(&out, &merged.header).unwrap().1.len(), plan.runs.len());
    }

    #[test]
    fn missing_double_and_foreign_runs_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let files = shards(directory.path());
        let out = directory.path().join("out.jsonl");
        let refuse = |files: &[PathBuf], expected: &str| {
            let error = merge(files, &out).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!out.exists());
        };
        refuse(&files[..2], "of shard 3/3");
        refuse(&[files[0].clone(), files[1].clone(), files[2].clone(), files[1].clone()], "is double: run");
        refuse(&[], "list of files to merge is empty");
        let text = std::fs::read_to_string(&files[1]).unwrap();
        std::fs::write(&files[1], &text[..text.len() - 9]).unwrap();
        refuse(&files, "resume this shard first");
        let (mut request, _) = setting();
        request.seeds = 1;
        let plan = Plan::new(&request).unwrap();
        std::fs::remove_file(&files[1]).unwrap();
        Store::create(&files[1], &Header::new(&request, &plan, Shard { index: 2, count: 3 })).unwrap();
        refuse(&files, "belongs to another sweep");
    }
}
