//! System calls for looking at a file system without disturbing it.
//!
//! Everything is reached descriptor first: a name is resolved below an open directory with `openat2` as a mere
//! handle (`O_PATH`), the handle is looked at, and only a regular file is then opened for reading *through the
//! handle*, so that what was looked at and what is read are one file. No FIFO, device or socket is ever opened,
//! links are never followed, mounts are never crossed, access times stay as they are.
//!
//! Who may clone mounts looks at a [`PrivateView`] instead, where the kernel itself sees to nearly all of this,
//! and where what was listed as a regular file is opened at once.

mod clone;
mod kind;
mod loop_device;
mod metadata;
mod mounts;
mod open;
mod read;
mod write;
mod xattr;

pub use clone::PrivateView;
pub use kind::Kind;
pub use loop_device::{DetachedMount, MountFailure, MountRequest};
pub use metadata::{Identity, Metadata, State};
pub use mounts::{Mount, Mounts};
pub use open::{Directory, Flags, Handle, Names, Opened, open_root, path_of};
pub use read::{Content, Readable};
pub use write::{Look, Place, is_same, make_directory, open_below, real_place, replace_file};
pub use xattr::Xattrs;

use rustix::io::Errno;

/// An error of the system as a lower-case fragment.
#[must_use]
pub fn explain(errno: Errno) -> String {
    match errno {
        Errno::ACCESS | Errno::PERM => "permission denied".to_owned(),
        Errno::IO => "input/output error".to_owned(),
        Errno::LOOP => "it is a symbolic link".to_owned(),
        Errno::MFILE | Errno::NFILE => "too many open files".to_owned(),
        Errno::NAMETOOLONG => "name too long".to_owned(),
        Errno::NOENT => "not found".to_owned(),
        Errno::STALE => "stale file handle".to_owned(),
        Errno::XDEV => "on another file system".to_owned(),
        other => {
            let text = std::io::Error::from(other).to_string();
            // The standard library appends " (os error N)"; the number helps nobody.
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}

/// Raises the soft limit of open files to the hard one: a deep tree holds one descriptor a level.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Failure leaves the old limit, under which only absurdly deep trees become blind spots.
    setrlimit(Resource::Nofile, wanted).ok();
}

/// CPU time that this thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_nanos() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
