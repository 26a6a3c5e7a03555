//! NPY and NPZ arrays: f32, f64 and any integer type, either byte order, C or Fortran order.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, WriterBuilder};

use crate::error::{Error, Result};

/// An array of numbers in C order.
#[derive(Debug)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

fn format_error(path: &Path, problem: String) -> Error {
    Error::Format { path: path.into(), problem }
}

/// Reads an NPY file.
pub(super) fn read_npy(path: &Path) -> Result<Array> {
    let raw = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    parse(path, &raw)
}

/// The archive and the member of `archive.npz` or `archive.npz:member`.
pub(super) fn split_member(path: &Path) -> Option<(PathBuf, Option<String>)> {
    let text = path.to_string_lossy();
    if text.ends_with(".npz") {
        return Some((path.into(), None));
    }
    let (archive, member) = text.rsplit_once(".npz:")?;
    Some((PathBuf::from(format!("{archive}.npz")), Some(member.into())))
}

/// Reads one array of an NPZ file: the named one, or the only one.
pub(super) fn read_npz(path: &Path, member: Option<&str>) -> Result<Array> {
    let raw = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let bad = |e: zip::result::ZipError| format_error(path, format!("not a readable NPZ (zip) file: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(raw)).map_err(bad)?;
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let name = archive.by_index(index).map_err(bad)?.name().map_err(bad)?.into_owned();
        names.push(name);
    }
    let arrays: Vec<String> = names.iter().map(|n| n.trim_end_matches(".npy").to_string()).collect();
    let index = match member {
        None if names.len() == 1 => 0,
        None => {
            let problem = format!("holds {} arrays ({}); choose one: FILE.npz:NAME", arrays.len(), arrays.join(", "));
            return Err(format_error(path, problem));
        }
        Some(member) => arrays
            .iter()
            .position(|n| n == member)
            .ok_or_else(|| format_error(path, format!("no array '{member}'; it holds {}", arrays.join(", "))))?,
    };
    let mut content = Vec::new();
    let mut file = archive.by_index(index).map_err(bad)?;
    file.read_to_end(&mut content).map_err(|e| format_error(path, format!("array '{}': {e}", arrays[index])))?;
    parse(&PathBuf::from(format!("{}:{}", path.display(), arrays[index])), &content)
}

/// An error if the header claims more bytes than the file has: memory for it would be taken before reading.
fn check_header_length(path: &Path, raw: &[u8]) -> Result<()> {
    let length = match *raw {
        [_, _, _, _, _, _, 1, _, a, b, ..] => 10 + u64::from(u16::from_le_bytes([a, b])),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => 12 + u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 12,
    };
    if length > raw.len() as u64 {
        let problem = format!("not a readable NPY file: {} bytes; expected a header of {length} bytes", raw.len());
        return Err(format_error(path, problem));
    }
    Ok(())
}

fn parse(path: &Path, raw: &[u8]) -> Result<Array> {
    check_header_length(path, raw)?;
    let mut reader = Cursor::new(raw);
    let header =
        NpyHeader::from_reader(&mut reader).map_err(|e| format_error(path, format!("not a readable NPY file: {e}")))?;
    let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
    let DType::Plain(dtype) = header.dtype() else {
        return Err(unknown_dtype(path, &header.dtype().descr()));
    };
    let size = dtype.num_bytes().unwrap_or(0);
    let data = &raw[reader.position() as usize..];
    let decode = decoder(dtype.type_char(), size).ok_or_else(|| unknown_dtype(path, &header.dtype().descr()))?;
    let expected = shape.iter().try_fold(size, |product, n| product.checked_mul(*n));
    if expected != Some(data.len()) {
        let wanted = expected.map_or("more than memory holds".into(), |n| n.to_string());
        let problem = format!("{} bytes of data; shape {shape:?} of {size}-byte numbers needs {wanted}", data.len());
        return Err(format_error(path, problem));
    }
    let mut values = Vec::with_capacity(data.len() / size);
    for (index, bytes) in data.chunks_exact(size).enumerate() {
        let mut little = [0_u8; 8];
        little[..size].copy_from_slice(bytes);
        if dtype.endianness() == Endianness::Big {
            little[..size].reverse();
        }
        let value = decode(little).ok_or_else(|| {
            format_error(path, format!("entry {index} is an integer beyond ±2^53, which a double cannot hold exactly"))
        })?;
        values.push(value);
    }
    if header.order() == Order::Fortran {
        values = to_c_order(&shape, &values);
    }
    Ok(Array { shape, values })
}

fn unknown_dtype(path: &Path, dtype: &str) -> Error {
    format_error(path, format!("dtype {dtype}; expected float32, float64, bool or an integer type"))
}

/// Turns the little-endian bytes of a number (padded with zeros) into a double; `None` if it cannot be exact.
fn decoder(kind: TypeChar, size: usize) -> Option<fn([u8; 8]) -> Option<f64>> {
    const EXACT: u64 = 1 << 53;
    fn signed(value: i64) -> Option<f64> {
        (value.unsigned_abs() <= EXACT).then_some(value as f64)
    }
    match (kind, size) {
        (TypeChar::Float, 4) => Some(|b| Some(f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))),
        (TypeChar::Float, 8) => Some(|b| Some(f64::from_le_bytes(b))),
        (TypeChar::Bool, 1) => Some(|b| Some(f64::from(u8::from(b[0] != 0)))),
        (TypeChar::Uint, 1 | 2 | 4 | 8) => Some(|b| {
            let value = u64::from_le_bytes(b);
            (value <= EXACT).then_some(value as f64)
        }),
        // Sign extension by shifting the number to the top of the word and back.
        (TypeChar::Int, 1) => Some(|b| signed(i64::from_le_bytes(b) << 56 >> 56)),
        (TypeChar::Int, 2) => Some(|b| signed(i64::from_le_bytes(b) << 48 >> 48)),
        (TypeChar::Int, 4) => Some(|b| signed(i64::from_le_bytes(b) << 32 >> 32)),
        (TypeChar::Int, 8) => Some(|b| signed(i64::from_le_bytes(b))),
        _ => None,
    }
}

/// Fortran order to C order for any shape.
fn to_c_order(shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    (0..values.len())
        .map(|c_index| {
            let (mut rest, mut at) = (c_index, 0);
            for axis in (0..shape.len()).rev() {
                at += rest % shape[axis] * strides[axis];
                rest /= shape[axis];
            }
            values[at]
        })
        .collect()
}

/// The bytes of an NPY file with doubles in C order.
pub(super) fn to_npy(shape: &[usize], values: impl Iterator<Item = f64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}
