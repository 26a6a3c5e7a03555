//! Two classes, whatever their label values, as +1 and −1.

use crate::error::{Error, Result};

/// Labels of exactly two distinct finite values as ±1: the larger value becomes +1.
///
/// # Errors
/// Fewer than two labels; a label that is NaN or infinite; one class, or more than two.
pub fn classes_to_signs(name: &str, raw: &[f64]) -> Result<Vec<f64>> {
    if raw.len() < 2 {
        let (found, expected) = (raw.len().to_string(), "at least two, one of each class".into());
        return Err(Error::Shape { name: name.into(), found, expected });
    }
    if let Some(row) = raw.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite { name: name.into(), row, column: 0, value: raw[row] });
    }
    let mut distinct: Vec<f64> = Vec::new();
    for value in raw {
        if !distinct.contains(value) {
            distinct.push(*value);
        }
    }
    distinct.sort_by(f64::total_cmp);
    if distinct.len() != 2 {
        let shown: Vec<String> = distinct.iter().take(10).map(f64::to_string).collect();
        let more = if distinct.len() > 10 { ", …" } else { "" };
        let listing = format!("{}{more}", shown.join(", "));
        return Err(Error::Classes { name: name.into(), found: distinct.len(), listing });
    }
    Ok(raw.iter().map(|v| if *v == distinct[1] { 1.0 } else { -1.0 }).collect())
}

/// Test labels as ±1 by the same rule as the training labels `train`.
///
/// # Errors
/// As [`classes_to_signs`] for the training labels; a test label that does not occur among them.
pub fn labels_like(name: &str, train: &[f64], test: &[f64]) -> Result<Vec<f64>> {
    let signs = classes_to_signs("training labels", train)?;
    let value_of = |sign: f64| train[signs.iter().position(|s| *s == sign).expect("both classes occur")];
    let (low, high) = (value_of(-1.0), value_of(1.0));
    test.iter()
        .enumerate()
        .map(|(row, &value)| match value {
            v if v == high => Ok(1.0),
            v if v == low => Ok(-1.0),
            value => {
                let expected = format!("{low} or {high}, as among the training labels");
                Err(Error::Label { name: name.into(), row, value, expected })
            }
        })
        .collect()
}
