//! The files of a layout or archive, by their paths in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baseline_format::OsText;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::manifest::Descriptor;
use crate::source::bytes::{Bytes, FileBytes, ReadAt as _, Sequential};
use crate::source::file_system::Fault;

/// Files that are found by their paths. Paths are components joined by `/`, without `.` and `..`.
pub(super) trait Files: Send + Sync {
    /// A regular file's length in bytes; `None` if there is no such file.
    fn find(&self, path: &[u8]) -> Result<Option<u64>, Fault>;

    /// Opens a file for reading from its beginning to its end.
    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + Send>, Fault>;

    /// A file as bytes that can be read at any place; `None` where it is not stored like that.
    fn bytes(&self, path: &[u8]) -> Result<Option<Bytes>, Fault>;
}

/// A directory of this machine. Links in it are followed: some tools make layouts of links, and what is behind them is
/// verified by its digest.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    fn regular_file(&self, path: &[u8]) -> Result<Option<FileBytes>, Fault> {
        use std::os::unix::ffi::OsStrExt as _;
        let fault = |why: &str| Fault::new(format!("`{}`: {why}", OsText::new(path)));
        if path
            .split(|byte| *byte == b'/')
            .any(|name| matches!(name, b"" | b"." | b".."))
        {
            return Err(fault("not a path in a layout"));
        }
        // Whatever is there instead of a regular file is not waited for.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let opened = File::options()
            .read(true)
            .custom_flags(flags)
            .open(self.0.join(std::ffi::OsStr::from_bytes(path)));
        let file = match opened {
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened.map_err(|why| fault(&why.to_string()))?,
        };
        let metadata = file.metadata().map_err(|why| fault(&why.to_string()))?;
        if !metadata.is_file() {
            return Err(fault("not a regular file"));
        }
        FileBytes::new(file)
            .map(Some)
            .map_err(|why| fault(&why.to_string()))
    }
}

impl Files for Directory {
    fn find(&self, path: &[u8]) -> Result<Option<u64>, Fault> {
        Ok(self.regular_file(path)?.map(|file| file.size()))
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + Send>, Fault> {
        match self.bytes(path)? {
            Some(bytes) => Ok(Box::new(Sequential::new(bytes))),
            None => Err(missing(path)),
        }
    }

    fn bytes(&self, path: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.regular_file(path)?.map(|file| Arc::new(file) as Bytes))
    }
}

pub(super) fn missing(path: &[u8]) -> Fault {
    Fault::new(format!("`{}` is missing", OsText::new(path)))
}

/// A small file's content.
pub(super) fn read_small(files: &dyn Files, path: &[u8]) -> Result<Vec<u8>, Fault> {
    let size = files.find(path)?.ok_or_else(|| missing(path))?;
    let fault = |why: String| Fault::new(format!("`{}`: {why}", OsText::new(path)));
    if size > DOCUMENT {
        return Err(fault(format!(
            "a document of {size} bytes; more than 4 MiB are not read"
        )));
    }
    let mut content = Vec::new();
    let read = files.open(path)?.take(size + 1).read_to_end(&mut content);
    match read.map_err(|why| fault(why.to_string()))? {
        read if read as u64 == size => Ok(content),
        read => Err(fault(format!("{read} bytes instead of {size}"))),
    }
}

/// A document's content, verified against its descriptor. `what` it is, for messages.
pub(super) fn read_blob(files: &dyn Files, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, Fault> {
    let digest = descriptor.digest()?;
    let fault = |why: String| Fault::new(format!("{what} {digest}: {why}"));
    let size = check_size(files, &digest, descriptor.size).map_err(|why| fault(why.0))?;
    if size > DOCUMENT {
        return Err(fault(format!(
            "a document of {size} bytes; more than 4 MiB are not read"
        )));
    }
    let content = read_small(files, &digest.path()).map_err(|why| fault(why.0))?;
    if !digest.fits(&content) {
        return Err(fault("its content does not match its digest".into()));
    }
    Ok(content)
}

/// Refuses a blob that is not there or not as long as it should be. Gives its length.
pub(super) fn check_size(files: &dyn Files, digest: &Digest, expected: u64) -> Result<u64, Fault> {
    match files.find(&digest.path())? {
        None => Err(Fault::new("the blob is missing")),
        Some(size) if size == expected => Ok(size),
        Some(size) => Err(Fault::new(format!(
            "{size} bytes, but its descriptor says {expected}"
        ))),
    }
}

/// Reads a JSON document. `what` it is, for messages. The parser takes no stack for what is nested in members that are
/// not read, and those that are read nest a few levels.
pub(super) fn parse<T: DeserializeOwned>(content: &[u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(content).map_err(|why| Fault::new(format!("{what}: {why}")))
}

/// Longest document that is read. Bytes; registries take manifests of 4 MiB at most.
pub(super) const DOCUMENT: u64 = 4 << 20;
