//! The user's arrays: points, labels and vectors from NPY, NPZ and CSV files, results to NPY and CSV files.
//!
//! Points are rows: an N×d array. Values are taken as they are: unsigned bytes stay 0 … 255. Files are written whole or
//! not at all.

use std::path::{Path, PathBuf};

use nalgebra::DMatrix;

use super::atomic::{Staged, check_writable};
use super::csv_file::{read_csv, to_csv};
use super::npy::{Array, read_npy, read_npz, split_member, to_npy};
use crate::error::{Error, Result};
use crate::problem::Points;

#[derive(Clone, Copy)]
enum Format {
    Npy,
    Csv,
}

fn format_error(path: &Path, problem: String) -> Error {
    Error::Format { path: path.into(), problem }
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn read(path: &Path) -> Result<Array> {
    if let Some((archive, member)) = split_member(path) {
        return read_npz(&archive, member.as_deref());
    }
    match extension(path).as_str() {
        "npy" => read_npy(path),
        "csv" => read_csv(path),
        other => Err(format_error(path, format!("extension '{other}'; expected .npy, .npz, .npz:NAME or .csv"))),
    }
}

/// The file that is read for this name: `archive.npz` for `archive.npz:member`, otherwise the file of that name.
#[must_use]
pub fn array_file(path: &Path) -> PathBuf {
    split_member(path).map_or_else(|| path.into(), |(archive, _)| archive)
}

/// Points, one per row: a two-dimensional array.
///
/// # Errors
/// An unreadable file; another number of dimensions; the errors of [`Points::from_rows`].
pub fn read_points(path: &Path) -> Result<Points> {
    read_rows("points", path)
}

/// The same for rows of another kind, which errors name.
///
/// # Errors
/// As [`read_points`].
pub fn read_rows(name: &str, path: &Path) -> Result<Points> {
    let array = read(path)?;
    let [count, input_dim] = array.shape[..] else {
        let hint = if array.shape.len() == 1 { " (one point? reshape it to 1×d)" } else { "" };
        let problem = format!("shape {:?}{hint}; expected two dimensions, N points × d coordinates", array.shape);
        return Err(format_error(path, problem));
    };
    Points::from_rows(name, count, input_dim, array.values).map_err(|e| e.in_file(path))
}

/// A vector: one dimension, or a single row or column. Entries must be finite.
///
/// # Errors
/// An unreadable file; a matrix; an entry that is NaN or infinite; no entry.
pub fn read_vector(path: &Path) -> Result<Vec<f64>> {
    let array = read(path)?;
    if array.shape.iter().filter(|&&n| n != 1).count() > 1 {
        return Err(format_error(path, format!("shape {:?}; expected a vector", array.shape)));
    }
    if array.values.is_empty() {
        return Err(Error::Empty { name: "vector".into(), expected: "one entry" }.in_file(path));
    }
    if let Some(row) = array.values.iter().position(|v| !v.is_finite()) {
        let value = array.values[row];
        return Err(Error::NotFinite { name: "vector".into(), row, column: 0, value }.in_file(path));
    }
    Ok(array.values)
}

/// Labels as they stand in the file; [`classes_to_signs`](super::classes_to_signs) makes ±1 of them.
///
/// # Errors
/// As [`read_vector`].
pub fn read_labels(path: &Path) -> Result<Vec<f64>> {
    read_vector(path)
}

fn output_format(path: &Path) -> Result<Format> {
    match extension(path).as_str() {
        "npy" => Ok(Format::Npy),
        "csv" => Ok(Format::Csv),
        other => Err(format_error(path, format!("output extension '{other}'; expected .npy or .csv"))),
    }
}

/// An error unless [`write_matrix`] and its kin can write there: checks before hours are spent.
///
/// # Errors
/// An extension other than .npy and .csv; the errors of [`check_writable`].
pub fn check_output(path: &Path) -> Result<()> {
    output_format(path)?;
    check_writable(path)
}

/// Array files that appear together: all are prepared first (under temporary names), and take their places only if no
/// preparation failed. What is dropped uncommitted leaves nothing behind.
#[derive(Debug, Default)]
pub struct ArrayFiles {
    staged: Vec<Staged>,
}

impl ArrayFiles {
    /// Adds a matrix as it stands: shape rows × columns.
    ///
    /// # Errors
    /// An extension other than .npy and .csv; an entry that is NaN or infinite; a file that cannot be written.
    pub fn matrix(&mut self, path: &Path, matrix: &DMatrix<f64>) -> Result<()> {
        self.add(path, &[matrix.nrows(), matrix.ncols()], matrix.transpose().as_slice())
    }

    /// Adds a d × N matrix of points (one per column) as an N × d array.
    ///
    /// # Errors
    /// As [`ArrayFiles::matrix`].
    pub fn point_columns(&mut self, path: &Path, columns: &DMatrix<f64>) -> Result<()> {
        self.add(path, &[columns.ncols(), columns.nrows()], columns.as_slice())
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// As [`ArrayFiles::matrix`].
    pub fn vector(&mut self, path: &Path, values: &[f64]) -> Result<()> {
        self.add(path, &[values.len()], values)
    }

    fn add(&mut self, path: &Path, shape: &[usize], values: &[f64]) -> Result<()> {
        let columns = shape.get(1).copied().unwrap_or(1);
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            let (row, column, value) = (index / columns, index % columns, values[index]);
            return Err(Error::NotFinite { name: "result".into(), row, column, value }.in_file(path));
        }
        let values = values.iter().copied();
        let bytes = match output_format(path)? {
            Format::Npy => to_npy(shape, values).map_err(|source| Error::Io { path: path.into(), source })?,
            Format::Csv => to_csv(columns, values),
        };
        self.staged.push(Staged::new(path, &bytes)?);
        Ok(())
    }

    /// Puts all files in their places.
    ///
    /// # Errors
    /// A file that cannot take its place.
    pub fn commit(self) -> Result<()> {
        self.staged.into_iter().try_for_each(Staged::commit)
    }
}

/// Writes a matrix as it stands: shape rows × columns.
///
/// # Errors
/// An extension other than .npy and .csv; an entry that is NaN or infinite; a file that cannot be written (nothing is
/// left behind then).
pub fn write_matrix(path: &Path, matrix: &DMatrix<f64>) -> Result<()> {
    let mut files = ArrayFiles::default();
    files.matrix(path, matrix)?;
    files.commit()
}

/// Writes a d × N matrix of points (one per column) as an N × d array.
///
/// # Errors
/// As [`write_matrix`].
pub fn write_point_columns(path: &Path, columns: &DMatrix<f64>) -> Result<()> {
    let mut files = ArrayFiles::default();
    files.point_columns(path, columns)?;
    files.commit()
}

/// Writes a vector.
///
/// # Errors
/// As [`write_matrix`].
pub fn write_vector(path: &Path, values: &[f64]) -> Result<()> {
    let mut files = ArrayFiles::default();
    files.vector(path, values)?;
    files.commit()
}
