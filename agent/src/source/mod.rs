//! Where a state is read from: a directory of this machine, an archive, a disk.
//!
//! Whatever it is, it has a [`Tree`] for the probes and can be scanned for the `files` section.

pub mod archive;
pub mod bytes;
pub mod compression;
pub mod disk;
pub mod ext4;
pub mod file_system;
pub mod kernel_mount;
pub mod oci;
mod opening;
pub mod tar;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use baseline_format::OsText;

use crate::host;
use crate::scan::{self, Depth, Observer, Plan, Progress, Scanned, Scope};
use crate::tree::{ImageTree, LiveTree, Tree, TreeError};
use file_system::{Fault, FileSystem};
use kernel_mount::KernelMount;

/// A source that has been opened.
pub struct Source {
    reading: Reading,
    /// What it is, in the word of [`baseline_format::header::Image::source_kind`].
    pub kind: &'static str,
    /// Digest of the image as published; see [`baseline_format::header::Image::digest`].
    pub digest: Option<String>,
    /// How it was named.
    pub name: OsText,
    /// What is odd about it without making it unreadable, in sentences: a partition table whose backup is damaged.
    pub remarks: Vec<String>,
}

enum Reading {
    Directory(LiveTree),
    Image(Arc<dyn FileSystem>, ImageTree),
    /// A file system that the kernel reads for us, for as long as the mount is held.
    Mounted(LiveTree, #[expect(dead_code, reason = "held")] KernelMount),
}

/// How a source is scanned.
pub struct ScanSettings<'a> {
    /// What content is hashed, and how.
    pub plan: &'a dyn Plan,
    /// What is left out.
    pub scope: Arc<Scope>,
    /// Threads and reads under way.
    pub depth: Depth,
    /// Told as the scan goes on.
    pub progress: &'a Progress,
}

/// How a source is read, where that is not plain from the source itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What it is, if that should not be found out from its content.
    pub kind: Option<Kind>,
    /// Which image of an index: `OS/ARCH` or `OS/ARCH/VARIANT`.
    pub platform: Option<String>,
    /// Which of several images: its tag or reference.
    pub reference: Option<String>,
    /// Which partition: its number.
    pub partition: Option<u32>,
    /// Files that a disk image may be backed by.
    pub backing: Vec<Vec<u8>>,
    /// Whether the kernel may mount what is not read here.
    pub mount: bool,
    /// Content longer than this is not read. Bytes.
    pub size_limit: u64,
    /// Whether contents are compared with what packages declare, some of which declare MD5 or SHA-1 alone.
    pub weak_digests: bool,
    /// Whether the digest of the image is wanted, also where finding it out costs another reading of the file.
    pub digest: bool,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A directory of this machine.
    Directory,
    /// A root file system in a tar archive.
    Tar,
    /// An OCI image layout, as a directory or in a tar archive.
    Oci,
    /// What `docker save` writes.
    Docker,
    /// A disk or a file system, raw or in a disk image.
    Disk,
}

impl Kind {
    /// The word in a baseline's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Tar => "tar",
            Self::Oci => "oci",
            Self::Docker => "docker",
            Self::Disk => "disk",
        }
    }
}

impl Source {
    /// Opens what is found at `path` of this machine; `-` is a tar archive from standard input.
    pub fn open(path: &[u8], options: &Options, progress: &Progress) -> Result<Self, SourceError> {
        let mut source = opening::open(path, options, progress)?;
        source.name = OsText::new(path);
        Ok(source)
    }

    fn image(image: Arc<dyn FileSystem>, kind: Kind) -> Self {
        let tree = ImageTree::new(Arc::clone(&image));
        Self::of(Reading::Image(image, tree), kind)
    }

    fn mounted(tree: LiveTree, mount: KernelMount) -> Self {
        Self::of(Reading::Mounted(tree, mount), Kind::Disk)
    }

    fn of(reading: Reading, kind: Kind) -> Self {
        Self {
            reading,
            kind: kind.name(),
            digest: None,
            name: OsText::default(),
            remarks: Vec::new(),
        }
    }

    /// Opens a directory of this machine.
    fn directory(path: &[u8]) -> Result<Self, SourceError> {
        match LiveTree::open(path) {
            Ok(tree) => Ok(Self::of(Reading::Directory(tree), Kind::Directory)),
            Err(why) => Err(SourceError::Directory {
                path: OsText::new(path),
                why,
            }),
        }
    }

    /// The view that probes read.
    #[must_use]
    pub fn tree(&self) -> &dyn Tree {
        match &self.reading {
            Reading::Directory(tree) | Reading::Mounted(tree, _) => tree,
            Reading::Image(_, tree) => tree,
        }
    }

    /// Whether this is the root of the running system.
    #[must_use]
    pub fn is_running_system(&self) -> bool {
        matches!(&self.reading, Reading::Directory(tree) if tree.is_running_system())
    }

    /// Scans the `files` section.
    pub fn scan(&self, settings: &ScanSettings<'_>, observer: &mut dyn Observer) -> io::Result<Scanned> {
        let scan = scan::Settings {
            plan: settings.plan,
            scope: Arc::clone(&settings.scope),
            owners: host::owners(self.tree()),
            depth: settings.depth,
            progress: settings.progress,
        };
        let expected = match &self.reading {
            Reading::Directory(tree) | Reading::Mounted(tree, _) => tree.inodes_in_use(),
            Reading::Image(image, _) => image.expected(),
        };
        // An archive was counted when it went by; now its entries are told.
        settings.progress.entries.store(0, Ordering::Relaxed);
        settings.progress.expected.store(expected, Ordering::Relaxed);
        match &self.reading {
            Reading::Directory(tree) | Reading::Mounted(tree, _) => {
                let root = tree.root().map_err(|why| {
                    io::Error::other(format!("cannot look at the root `{}`: {why}", self.name))
                })?;
                scan::run(root, &scan, observer)
            }
            Reading::Image(image, _) => scan::run_image(Arc::clone(image), &scan, observer),
        }
    }
}

/// Why a source cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// A directory cannot be looked at.
    Directory {
        /// The directory.
        path: OsText,
        /// Why.
        why: TreeError,
    },
    /// An image is refused: it is damaged, ambiguous, or of a kind that is not read.
    Refused {
        /// The image.
        path: OsText,
        /// Why.
        why: Fault,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, why } => write!(f, "cannot look at the root `{path}`: {why}"),
            Self::Refused { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

impl std::error::Error for SourceError {}
