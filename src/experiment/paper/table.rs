//! Finished runs as CSV: a row per run with every parameter, both learning rates and every figure of merit, so that the
//! selection over learning rates can be undone.

use std::collections::HashMap;
use std::path::Path;

use super::store::Record;
use crate::data::write_atomically;
use crate::error::{Error, Result};

/// Keys of [`Parameters`](super::parameters::Parameters), in order.
const PARAMETERS: [&str; 18] = [
    "pipeline",
    "data",
    "data_digest",
    "input_dim",
    "train_count",
    "scenario",
    "loss",
    "slope",
    "width",
    "initialisation",
    "epsilon",
    "steps",
    "steps_perturbed",
    "learning_rate",
    "learning_rate_perturbed",
    "targets",
    "precision",
    "seed",
];

/// Keys of [`Merits`](super::pipeline::Merits), in order.
const MERITS: [&str; 26] = [
    "accuracy_f",
    "accuracy_g",
    "accuracy_f_test",
    "accuracy_g_test",
    "agreement",
    "accuracy_g_centred",
    "agreement_centred",
    "cosine",
    "zero_gradients",
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
    "flip_share_f",
    "flip_share_g",
    "kernel_change_f",
    "kernel_change_g",
    "limit_agreement",
    "limit_cosine",
    "certified_share",
];

/// Writes the table, whole or not at all; `seconds` by id where known.
///
/// # Errors
/// A file that cannot be written.
pub fn write_runs(path: &Path, records: &[Record], seconds: &HashMap<String, f64>) -> Result<()> {
    let failed = |e: csv::Error| Error::Io { path: path.into(), source: e.into() };
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let header = ["id"].into_iter().chain(PARAMETERS).chain(MERITS).chain(["failure", "seconds"]);
    writer.write_record(header).map_err(failed)?;
    for record in records {
        let time = seconds.get(&record.id);
        let row = (&record.id, &record.parameters);
        match &record.merits {
            Some(merits) => writer.serialize((row, merits, "", time)).map_err(failed)?,
            None => writer.serialize((row, [""; MERITS.len()], &record.failure, time)).map_err(failed)?,
        }
    }
    let bytes = writer.into_inner().map_err(|e| Error::Io { path: path.into(), source: e.into_error() })?;
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::tests::{example, record};

    #[test]
    fn every_key_of_a_run_is_a_column_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs.csv");
        let finished = record(&example());
        let failed = Record::new(example(), Err("diverged".into())).unwrap();
        write_runs(&path, &[finished.clone(), failed], &HashMap::from([(finished.id.clone(), 0.5)])).unwrap();
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let names: Vec<String> = reader.headers().unwrap().iter().map(Into::into).collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        let json = serde_json::to_value(&finished).unwrap();
        let mut checked = 0;
        for part in ["parameters", "merits"] {
            for (key, value) in json[part].as_object().unwrap() {
                let column = names.iter().position(|name| name == key).unwrap_or_else(|| panic!("no column {key}"));
                let cell = &rows[0][column];
                match value {
                    serde_json::Value::Null => assert_eq!(cell, "", "{key}"),
                    serde_json::Value::String(text) => assert_eq!(cell, text, "{key}"),
                    number => assert_eq!(cell.parse::<f64>().unwrap(), number.as_f64().unwrap(), "{key}"),
                }
                checked += 1;
            }
        }
        assert_eq!((checked, names.len()), (PARAMETERS.len() + MERITS.len(), checked + 3));
        let last = names.len() - 1;
        assert_eq!((&rows[0][0], &rows[0][last], &rows[1][last - 1]), (finished.id.as_str(), "0.5", "diverged"));
    }
}
