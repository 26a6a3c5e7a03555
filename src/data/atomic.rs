//! Files appear whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Content that is ready to take its place: on disk beside it, under a temporary name that vanishes if dropped.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(NamedTempFile),
    /// For a pipe or a device, which a file must not replace.
    Bytes(Vec<u8>),
}

impl Staged {
    /// Prepares a file.
    pub(super) fn new(path: &Path, content: &[u8]) -> Result<Self> {
        // A link to a file stays a link: its target is what gets written.
        let path = if path.is_file() { path.canonicalize().unwrap_or_else(|_| path.into()) } else { path.into() };
        if path.exists() && !path.is_file() && !path.is_dir() {
            return Ok(Staged { path, content: Content::Bytes(content.to_vec()) });
        }
        let failed = |source| Error::Io { path: path.clone(), source };
        let mut file = temporary_beside(&path).map_err(failed)?;
        file.write_all(content).map_err(failed)?;
        // A result can be read by all, whatever the process's mask says.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        Ok(Staged { path, content: Content::File(file) })
    }

    /// Puts it in its place, over what may be there.
    pub(super) fn commit(self) -> Result<()> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        match self.content {
            Content::File(file) => file.persist(&self.path).map(drop).map_err(|e| failed(e.error)),
            Content::Bytes(bytes) => {
                File::options().write(true).open(&self.path).and_then(|mut f| f.write_all(&bytes)).map_err(failed)
            }
        }
    }
}

fn temporary_beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // `tempfile_in` would put the temporary name, which means nothing to a reader, into its errors.
    let open = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    tempfile::Builder::new().prefix(".pertlearn-").make_in(directory, open).map_err(|problem| {
        std::io::Error::new(problem.kind(), format!("cannot write in {}: {problem}", directory.display()))
    })
}

/// Writes a file through a temporary one in the same directory: on any error nothing is left behind, and a reader never
/// sees half of it.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    Staged::new(path, content)?.commit()
}

/// Writes a text file whole or not at all.
///
/// # Errors
/// A place that cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, text.as_bytes())
}

/// An error unless a file can be written there: checks before hours are spent.
///
/// # Errors
/// A directory of that name; a parent directory that is missing or not writable.
pub fn check_writable(path: &Path) -> Result<()> {
    let failed = |source| Error::Io { path: path.into(), source };
    if path.is_dir() {
        return Err(failed(std::io::Error::other("is a directory; expected the name of a file")));
    }
    if path.exists() && !path.is_file() {
        return Ok(());
    }
    temporary_beside(path).map(drop).map_err(failed)
}

/// An error unless files can be written in this directory, which may be still to make.
///
/// # Errors
/// A file of that name, or of the name of a directory above it; a directory that is not writable.
pub fn check_writable_directory(path: &Path) -> Result<()> {
    let there = path.ancestors().find(|p| p.exists() && !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |source| Error::Io { path: path.into(), source };
    if !there.is_dir() {
        let problem = format!("{} is a file; expected a directory", there.display());
        return Err(failed(std::io::Error::other(problem)));
    }
    temporary_beside(&there.join("any")).map(drop).map_err(failed)
}
