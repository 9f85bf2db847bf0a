//! What every reader of an unmounted file system gives: an archive's, or a disk's.
//!
//! A reader that cannot be sure that it saw everything refuses, or says of a node what it could not see. It never
//! gives a short listing.

use std::fmt;
use std::io::Read;

use crate::scan::Algorithm;
use crate::sys::Kind;

/// Names one file, directory or other node of a file system, however many names it has: an inode's number.
pub type Node = u64;

/// Extended attributes: names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A file system that is read from an image, without the kernel's help.
pub trait FileSystem: Send + Sync {
    /// The root directory.
    fn root(&self) -> Node;

    /// What a directory holds, sorted by name as bytes, each name once, without `.` and `..`. Never a part of it: a
    /// listing that may be short is a fault.
    fn children(&self, directory: Node) -> Result<Vec<Child>, Fault>;

    /// What a node is.
    fn attributes(&self, node: Node) -> Result<Attributes, Fault>;

    /// The target of a symbolic link.
    fn link(&self, node: Node) -> Result<Vec<u8>, Fault>;

    /// The extended attributes as `listxattr` and `getxattr` would show them to root: full names such as
    /// `security.capability`, values in the kernel's own form (POSIX ACLs as `linux/posix_acl_xattr.h` has them),
    /// sorted by name.
    fn xattrs(&self, node: Node) -> Result<Xattrs, Fault>;

    /// Opens a regular file's content, holes read as zeros, for reading from its beginning to its end: exactly
    /// `Attributes::size` bytes, or an error.
    fn open(&self, node: Node) -> Result<Box<dyn Read + Send>, Fault>;

    /// SHA-256 of a regular file's content, where that is known already because the content went by once.
    fn digest(&self, _node: Node) -> Option<[u8; 32]> {
        None
    }

    /// The same by another algorithm.
    fn weak_digest(&self, _node: Node, _algorithm: Algorithm) -> Option<Vec<u8>> {
        None
    }

    /// Names in all directories, as far as known; for showing progress.
    fn expected(&self) -> u64 {
        0
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The name: not empty, no `/`, no NUL, not `.` or `..`.
    pub name: Vec<u8>,
    /// What it names.
    pub node: Node,
    /// Its type.
    pub kind: Kind,
}

/// What a node is, as `stat` and `lsattr` would tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The type.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Names that the node has.
    pub links: u32,
    /// Time of the last change of the content, whole seconds since 1970, UTC, rounded down. `None` where an archive
    /// does not say.
    pub mtime: Option<i64>,
    /// Major and minor number of the device that a device node stands for.
    pub device: (u32, u32),
    /// `chattr +i`.
    pub immutable: bool,
    /// `chattr +a`.
    pub append_only: bool,
}

/// Why something in an image cannot be told: a lower-case fragment that names the place and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    /// A fault with this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}
