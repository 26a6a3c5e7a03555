//! IDX files of images and labels, as MNIST and Fashion-MNIST are distributed; gzipped or not.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::DataSet;
use crate::error::{Error, Result};
use crate::problem::{Points, TrainingSet};

/// Images as unsigned bytes, row-major, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// How many.
    pub count: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// count·pixels bytes.
    pub bytes: Vec<u8>,
}

/// The largest file accepted after decompression: full MNIST has 47 MB.
const SIZE_LIMIT: u64 = 1 << 32;

fn format_error(path: &Path, problem: String) -> Error {
    Error::Format { path: path.into(), problem }
}

/// The content of a file, unpacked if it starts with gzip's magic bytes (whatever its name).
fn unpack(path: &Path, raw: &[u8]) -> Result<Vec<u8>> {
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return Ok(raw.to_vec());
    }
    let mut content = Vec::new();
    let read = MultiGzDecoder::new(raw).take(SIZE_LIMIT + 1).read_to_end(&mut content);
    read.map_err(|e| format_error(path, format!("bad gzip data after {} unpacked bytes: {e}", content.len())))?;
    if content.len() as u64 > SIZE_LIMIT {
        return Err(format_error(path, format!("unpacks to more than {SIZE_LIMIT} bytes; expected an image data set")));
    }
    Ok(content)
}

/// Checks magic number and sizes; returns the dimensions and the data.
fn parse(path: &Path, raw: &[u8], rank: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let content = unpack(path, raw)?;
    let header = 4 + 4 * rank;
    if content.len() < header {
        let problem = format!("{} bytes; expected an IDX header of {header} bytes", content.len());
        return Err(format_error(path, problem));
    }
    let expected = [0, 0, 8, rank as u8];
    if content[..4] != expected {
        let magic = u32::from_be_bytes([content[0], content[1], content[2], content[3]]);
        let kind = if rank == 3 { "images" } else { "labels" };
        let problem =
            format!("magic number 0x{magic:08x} at byte 0; expected 0x{:08x} (unsigned byte {kind})", 0x800 + rank);
        return Err(format_error(path, problem));
    }
    let dims: Vec<usize> =
        content[4..header].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let size = dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    let found = content.len() - header;
    if size != Some(found) {
        let wanted = size.map_or("more than memory holds".into(), |s| format!("{s} bytes"));
        let word = if size.is_none_or(|s| s > found) { "truncated" } else { "trailing bytes" };
        let problem = format!("{word}: {found} bytes of data after the header; its dimensions {dims:?} need {wanted}");
        return Err(format_error(path, problem));
    }
    if size == Some(0) {
        return Err(format_error(path, format!("holds nothing: dimensions {dims:?}")));
    }
    Ok((dims, content[header..].to_vec()))
}

/// Images (IDX rank 3, unsigned bytes) from the bytes of a file; `path` is what errors name.
///
/// # Errors
/// Bad gzip data; a wrong magic number; sizes that do not fit; no image.
pub fn parse_images(path: &Path, raw: &[u8]) -> Result<Images> {
    let (dims, bytes) = parse(path, raw, 3)?;
    Ok(Images { count: dims[0], pixels: dims[1] * dims[2], bytes })
}

/// Labels (IDX rank 1, unsigned bytes) from the bytes of a file.
///
/// # Errors
/// As [`parse_images`].
pub fn parse_labels(path: &Path, raw: &[u8]) -> Result<Vec<u8>> {
    Ok(parse(path, raw, 1)?.1)
}

/// Two classes of a labelled image set: which label becomes +1 and which −1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassPair {
    /// Becomes +1.
    pub positive: u8,
    /// Becomes −1.
    pub negative: u8,
}

/// A split (training or test) of images with labels.
pub(super) struct Split {
    pub images: Images,
    pub labels: Vec<u8>,
}

impl Split {
    pub fn new(path: &Path, images: Images, labels: Vec<u8>) -> Result<Self> {
        if images.count != labels.len() {
            let problem = format!("{} labels; expected {}, one per image", labels.len(), images.count);
            return Err(format_error(path, problem));
        }
        Ok(Split { images, labels })
    }

    /// Indices of the images of one class, in file order.
    pub fn class(&self, path: &Path, class: u8) -> Result<Vec<usize>> {
        let indices: Vec<usize> = (0..self.labels.len()).filter(|&n| self.labels[n] == class).collect();
        if indices.is_empty() {
            let mut there = self.labels.clone();
            there.sort_unstable();
            there.dedup();
            return Err(format_error(path, format!("no image has label {class}; the labels present are {there:?}")));
        }
        Ok(indices)
    }

    /// Mean pixel of all images over 255.
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.images.bytes.iter().map(|&b| u64::from(b)).sum();
        sum as f64 / (255.0 * self.images.bytes.len() as f64)
    }

    /// pixel/255 − mean for the given images.
    pub fn points(&self, indices: &[usize], mean: f64) -> Result<Points> {
        let d = self.images.pixels;
        let pixels = indices.iter().flat_map(|&n| &self.images.bytes[n * d..(n + 1) * d]);
        let values = pixels.map(|&b| f64::from(b) / 255.0 - mean).collect();
        Points::from_rows("images", indices.len(), d, values)
    }

    pub fn signs(&self, indices: &[usize], classes: ClassPair) -> Vec<f64> {
        indices.iter().map(|&n| if self.labels[n] == classes.positive { 1.0 } else { -1.0 }).collect()
    }
}

/// A data set of two classes from training indices of `train`, and test images.
pub(super) fn assemble(
    name: &str,
    classes: ClassPair,
    mean: f64,
    (train, train_indices): (&Split, &[usize]),
    (test, test_indices): (&Split, &[usize]),
) -> Result<DataSet> {
    let points = train.points(train_indices, mean)?;
    Ok(DataSet {
        name: name.into(),
        train: TrainingSet::new(points, train.signs(train_indices, classes))?,
        test: test.points(test_indices, mean)?,
        test_labels: Some(test.signs(test_indices, classes)),
    })
}

/// Both classes in file order.
pub(super) fn in_file_order(mut positive: Vec<usize>, negative: Vec<usize>) -> Vec<usize> {
    positive.extend(negative);
    positive.sort_unstable();
    positive
}

/// Finds the file of a directory whose name has the split's and the kind's usual parts, gzipped or not.
fn find_file(directory: &Path, split: &str, kind: &str) -> Result<Option<PathBuf>> {
    let failed = |source| Error::Io { path: directory.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.contains(split) && name.contains(kind) && name.contains("ubyte") {
            found.push(path);
        }
    }
    found.sort();
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|p| p.display().to_string()).collect();
        let problem = format!("several files could be the {split} {kind}: {}; expected one", names.join(", "));
        return Err(format_error(directory, problem));
    }
    Ok(found.pop())
}

/// The files that [`load_idx_directory`] reads.
///
/// # Errors
/// A directory that cannot be listed; an ambiguous file.
pub fn idx_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let parts = [("train", "images"), ("train", "labels"), ("t10k", "images"), ("t10k", "labels")];
    let found = parts.iter().map(|(split, kind)| find_file(directory, split, kind));
    found.filter_map(Result::transpose).collect()
}

/// A split with the paths of its images and of its labels.
fn read_split(directory: &Path, split: &str) -> Result<Option<(PathBuf, PathBuf, Split)>> {
    let (images, labels) = (find_file(directory, split, "images")?, find_file(directory, split, "labels")?);
    let (images, labels) = match (images, labels) {
        (Some(images), Some(labels)) => (images, labels),
        (None, None) => return Ok(None),
        (images, _) => {
            let missing = if images.is_none() { "images-idx3-ubyte" } else { "labels-idx1-ubyte" };
            return Err(format_error(
                directory,
                format!("no file {split}…{missing}[.gz], but its counterpart is there"),
            ));
        }
    };
    let read = |path: &Path| std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source });
    let parsed = parse_images(&images, &read(&images)?)?;
    let split = Split::new(&labels, parsed, parse_labels(&labels, &read(&labels)?)?)?;
    Ok(Some((images, labels, split)))
}

/// Two classes from a directory with the usual IDX files (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the
/// `t10k` pair, with `.gz` or without; any file name that contains these words). Pixels become pixel/255 − mean; `mean`
/// is computed over the whole training file if not given.
///
/// Without a `t10k` pair the last quarter of each class (in file order) is held out as test set.
///
/// # Errors
/// A missing, ambiguous or malformed file; a class that does not occur; fewer than four images of a class to split.
pub fn load_idx_directory(directory: &Path, classes: ClassPair, mean: Option<f64>) -> Result<DataSet> {
    if classes.positive == classes.negative {
        let value = f64::from(classes.positive);
        return Err(Error::Scalar { name: "second class", value, expected: "a label that differs from the first" });
    }
    let Some((images_path, path, train)) = read_split(directory, "train")? else {
        return Err(format_error(directory, "no train-images-idx3-ubyte[.gz] here".into()));
    };
    let name = directory.file_name().map_or_else(|| "images".into(), |n| n.to_string_lossy().into_owned());
    let mean = mean.unwrap_or_else(|| train.mean());
    let (mut positive, mut negative) = (train.class(&path, classes.positive)?, train.class(&path, classes.negative)?);
    if let Some((test_images_path, test_path, test)) = read_split(directory, "t10k")? {
        if test.images.pixels != train.images.pixels {
            let (found, expected) = (test.images.pixels, train.images.pixels);
            let problem = format!("{found} pixels per image; expected {expected}, as in {}", images_path.display());
            return Err(format_error(&test_images_path, problem));
        }
        let chosen =
            in_file_order(test.class(&test_path, classes.positive)?, test.class(&test_path, classes.negative)?);
        return assemble(&name, classes, mean, (&train, &in_file_order(positive, negative)), (&test, &chosen));
    }
    let mut held_out = Vec::new();
    for class in [&mut positive, &mut negative] {
        if class.len() < 4 {
            let problem = format!("{} images of a class; expected at least 4, to hold a quarter out", class.len());
            return Err(format_error(&path, problem));
        }
        held_out.push(class.split_off(class.len() - class.len() / 4));
    }
    let test = in_file_order(held_out.swap_remove(0), held_out.swap_remove(0));
    assemble(&name, classes, mean, (&train, &in_file_order(positive, negative)), (&train, &test))
}
