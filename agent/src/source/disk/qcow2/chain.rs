//! An image with its backing files, of which only those are opened that the operator allowed.
//!
//! The name in an image is foreign: whoever wrote the image could make an auditor read any file. It is compared
//! with what the operator named, and what is then opened is the operator's path. Nor is a format ever found out
//! by looking.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BackingFile, Format, Qcow2, fault};
use crate::source::bytes::Bytes;
use crate::source::disk::{file, quoted};
use crate::source::file_system::Fault;

/// A backing file that the operator allows: the value of `--backing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Where it is.
    pub path: PathBuf,
    /// Its format, where images do not say it.
    pub format: Option<Format>,
}

impl Allowed {
    /// `FILE`, `raw:FILE` or `qcow2:FILE`. A file whose name begins so is written `./raw:FILE`.
    #[must_use]
    pub fn parse(value: &OsStr) -> Self {
        let bytes = value.as_bytes();
        let (path, format) = match (bytes.strip_prefix(b"raw:"), bytes.strip_prefix(b"qcow2:")) {
            (Some(path), _) => (path, Some(Format::Raw)),
            (_, Some(path)) => (path, Some(Format::Qcow2)),
            _ => (bytes, None),
        };
        Self {
            path: PathBuf::from(OsStr::from_bytes(path)),
            format,
        }
    }
}

/// A virtual disk and what it is made of.
pub struct Chain {
    /// The disk.
    pub disk: Bytes,
    /// The files, as canonical paths: the image, and each one below it.
    pub files: Vec<PathBuf>,
}

/// Opens the image at `path` and its backing files, all of which must be among `allowed`.
pub fn open(path: &Path, allowed: &[Allowed]) -> Result<Chain, Fault> {
    let allowed = allowed.iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
    let mut files = vec![real(path)?];
    let disk = link(path, &allowed, &mut files)?;
    Ok(Chain { disk, files })
}

/// Opens one image of the chain; `files` ends with it.
fn link(path: &Path, allowed: &[Allowed], files: &mut Vec<PathBuf>) -> Result<Bytes, Fault> {
    let mut told_below = false;
    let mut below = |named: &BackingFile| {
        choose(path, named, allowed).and_then(|(next, format)| {
            if files.contains(&next) {
                return Err(fault(format!(
                    "the backing file {} is below itself",
                    next.display()
                )));
            }
            if files.len() > MAX_DEPTH {
                return Err(fault(format!("more than {MAX_DEPTH} backing files")));
            }
            files.push(next.clone());
            let disk = match format {
                Format::Raw => file::open(&next),
                Format::Qcow2 => link(&next, allowed, files),
            };
            disk.inspect_err(|_| told_below = true)
        })
    };
    match Qcow2::open(file::open(path)?, &mut below) {
        Ok(disk) => Ok(Arc::new(disk)),
        // What is wrong with a file below names that file.
        Err(why) if told_below => Err(why),
        Err(why) => Err(Fault::new(format!("{}: {why}", path.display()))),
    }
}

/// The allowed file that an image names, and its format.
fn choose(image: &Path, named: &BackingFile, allowed: &[Allowed]) -> Result<(PathBuf, Format), Fault> {
    let name = String::from_utf8_lossy(&named.name).escape_debug().to_string();
    let refuse = |why: String| Err(fault(format!("the backing file `{name}` {why}")));
    // As qemu tells the two apart: a colon before any slash ends the name of a protocol.
    let special = named.name.iter().find(|byte| matches!(byte, b':' | b'/'));
    if special == Some(&b':') {
        return refuse("is not a plain file name: `qemu-img rebase -u` on a copy can make it one".to_owned());
    }
    // As qemu does: from the directory where the image was found, whatever links led there.
    let mut path = image
        .parent()
        .unwrap_or(Path::new(""))
        .join(OsString::from_vec(named.name.clone()));
    // Even looking whether it is there can wake an automounter: only if there is something to compare it with.
    if !allowed.is_empty() {
        match real(&path) {
            Ok(real) => path = real,
            Err(_) => return refuse("is not there".to_owned()),
        }
    }
    let shown = quoted(&path);
    let Some(chosen) = allowed.iter().find(|allowed| allowed.path == path) else {
        return refuse(format!(
            "is not allowed: if it belongs to the image, add `--backing {shown}`"
        ));
    };
    match (named.format, chosen.format) {
        (Some(said), Some(stated)) if said != stated => refuse(format!(
            "is {} by the image, but {} by `--backing`",
            said.name(),
            stated.name()
        )),
        (Some(format), _) | (None, Some(format)) => Ok((path, format)),
        (None, None) => refuse(format!(
            "has a format that the image does not say: add `--backing raw:{shown}` or `--backing qcow2:{shown}`"
        )),
    }
}

fn canonical(allowed: &Allowed) -> Result<Allowed, Fault> {
    Ok(Allowed {
        path: real(&allowed.path)?,
        format: allowed.format,
    })
}

fn real(path: &Path) -> Result<PathBuf, Fault> {
    std::fs::canonicalize(path).map_err(|why| {
        let text = why.to_string();
        let why = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        Fault::new(format!("{}: {why}", path.display()))
    })
}

/// Backing files below an image.
const MAX_DEPTH: usize = 16;
