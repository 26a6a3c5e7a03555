//! CSV files of numbers, with or without a header line.

use std::path::Path;

use super::npy::Array;
use crate::error::{Error, Result};

/// Reads a table of finite numbers. A first line in which no field is a number is a header and is skipped; one that counts its columns, as pandas
/// names those of an array, is refused, as it would be read as a point.
pub(super) fn read_csv(path: &Path) -> Result<Array> {
    let fail = |problem: String| Error::Format { path: path.into(), problem };
    let raw = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(raw.as_slice());
    let (mut values, mut rows, mut columns) = (Vec::new(), 0, 0);
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|e| fail(e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let header = index == 0 && record.iter().all(|field| !field.is_empty() && field.parse::<f64>().is_err());
        if header {
            columns = record.len();
            continue;
        }
        if index == 0
            && record.len() > 2
            && record.iter().enumerate().all(|(column, field)| field == column.to_string())
        {
            let last = record.len() - 1;
            return Err(fail(format!(
                "line {line} is 0,1,…,{last}, a header of column numbers; expected a point (remove the line)"
            )));
        }
        if columns != 0 && record.len() != columns {
            return Err(fail(format!("line {line} has {} fields; expected {columns}", record.len())));
        }
        columns = record.len();
        for (column, field) in record.iter().enumerate() {
            let shown: String = field.chars().take(60).collect();
            let shown = if shown.len() < field.len() { format!("{shown}…") } else { shown };
            let other = [';', '\t', ' '].iter().any(|separator| field.contains(*separator));
            let hint = if other { " (fields are separated by commas)" } else { "" };
            let wrong = |what| fail(format!("line {line}, column {}: '{shown}' is not a {what}{hint}", column + 1));
            let value = field.parse::<f64>().map_err(|_| wrong("number"))?;
            if !value.is_finite() {
                return Err(wrong("finite number in double precision"));
            }
            values.push(value);
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(fail("holds no numbers; expected one point per line".into()));
    }
    Ok(Array { shape: vec![rows, columns], values })
}

/// The bytes of a CSV file; numbers in the shortest form that reads back exactly.
pub(super) fn to_csv(columns: usize, values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut text = String::new();
    for (index, value) in values.enumerate() {
        text.push_str(&value.to_string());
        text.push(if (index + 1) % columns == 0 { '\n' } else { ',' });
    }
    text.into_bytes()
}
