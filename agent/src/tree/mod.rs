//! The read-only view of a file system that probes read: a live root, a directory, an image.
//!
//! Paths are bytes, absolute, starting with `/`; symbolic links are resolved inside the tree, never on the
//! machine that looks. Every read is bounded.

use std::fmt;

/// A read-only view of one file system tree.
pub trait Tree: Send + Sync {
    /// The content of a regular file. Links are followed inside the tree. A file longer than `limit` bytes is
    /// [`TreeError::TooLarge`], anything but a regular file [`TreeError::WrongType`].
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError>;

    /// The names in a directory, sorted by bytes, without `.` and `..`. Links are followed inside the tree.
    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError>;

    /// What a path is, links followed inside the tree.
    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError>;

    /// What a path is, without following a link in its last component.
    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError>;

    /// The target of a symbolic link, as it stands in the link.
    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError>;
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
}

impl Stat {
    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub const fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

/// Why something in a tree could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeError {
    /// It is not there. The only kind that may be taken as absence.
    NotFound,
    /// Permission denied.
    Denied,
    /// Longer than the limit, in bytes.
    TooLarge(u64),
    /// Not of the type that was asked for, e.g. a FIFO where a file was to be read.
    WrongType,
    /// It leads to another file system that is not part of the tree.
    OtherFileSystem,
    /// Anything else, as a lower-case fragment.
    Failed(String),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Denied => f.write_str("permission denied"),
            Self::TooLarge(limit) => write!(f, "longer than {limit} bytes"),
            Self::WrongType => f.write_str("not a regular file"),
            Self::OtherFileSystem => f.write_str("on another file system"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TreeError {}

mod image;
mod live;
#[cfg(test)]
pub(crate) mod memory;

pub use image::ImageTree;
pub use live::LiveTree;
