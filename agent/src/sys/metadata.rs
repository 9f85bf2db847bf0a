//! What a file is.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::Kind;

/// What is needed of `statx`: types, owners, sizes, times, and the attributes that come along for free.
const MASK: StatxFlags = StatxFlags::BASIC_STATS;

pub(super) fn metadata_of(fd: BorrowedFd<'_>) -> Result<Metadata, Errno> {
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, MASK)?;
    let (m, c) = (stat.stx_mtime, stat.stx_ctime);
    Ok(Metadata {
        mode: stat.stx_mode,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        links: stat.stx_nlink,
        mtime: Some(m.tv_sec),
        device: (stat.stx_rdev_major, stat.stx_rdev_minor),
        identity: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
        immutable: stat.stx_attributes.contains(StatxAttributes::IMMUTABLE),
        append_only: stat.stx_attributes.contains(StatxAttributes::APPEND),
        state: State {
            size: i128::from(stat.stx_size),
            modified: (i128::from(m.tv_sec), i128::from(m.tv_nsec)),
            changed: (i128::from(c.tv_sec), i128::from(c.tv_nsec)),
        },
    })
}

/// What a file is: from `statx`, or as an image tells it.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Type and permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Names that the file has.
    pub links: u32,
    /// Time of the last change of the content, whole seconds since 1970, UTC; `None` where an archive does not say.
    pub mtime: Option<i64>,
    /// Major and minor number of the device that a device node stands for.
    pub device: (u32, u32),
    /// What identifies the file on this machine for as long as it is held open, or in its image.
    pub identity: Identity,
    /// Whether nobody may change it (`chattr +i`).
    pub immutable: bool,
    /// Whether it may only grow (`chattr +a`).
    pub append_only: bool,
    /// Everything that changes when the content does.
    pub state: State,
}

impl Metadata {
    /// The type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of_mode(self.mode as u32)
    }

    /// Permission bits with setuid, setgid and sticky.
    #[must_use]
    pub const fn permissions(&self) -> u16 {
        self.mode & 0o7777
    }
}

/// Everything that changes when a file's content does. Two equal ones around a read mean that nobody wrote
/// meanwhile, within the resolution of the file system's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    // Wide enough for the types of every architecture's `struct stat`, signed and unsigned.
    size: i128,
    modified: (i128, i128),
    changed: (i128, i128),
}

/// The state alone, which `fstat` tells for less than `statx`.
pub(super) fn state_of(fd: BorrowedFd<'_>) -> Result<State, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(State {
        size: i128::from(stat.st_size),
        modified: (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec)),
        changed: (i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec)),
    })
}

/// Major and minor device and inode number.
pub type Identity = (u32, u32, u64);
