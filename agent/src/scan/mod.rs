//! The scan: one pass over a tree that gives the `files` section as canonical lines, in THE order.
//!
//! [`walk`] says what comes next, [`inspect`] looks at it, [`lanes`] hashes two files at a time, [`encode`] spells
//! it, and [`pool`] runs these on several threads and puts the results back in order. Memory is bounded by the
//! number of batches under way, not by the size of the tree.

mod encode;
mod extended;
mod hash;
mod inspect;
mod lanes;
mod pool;
mod scope;
mod walk;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use baseline_format::Line;

pub use encode::{FILES, Owners};
pub use extended::{acl, capabilities};
pub use hash::Algorithm;
pub use inspect::{Plan, Tally};
pub use pool::Depth;
pub use scope::{BadGlob, Judgement, Rule, Scope};

use crate::sys::{Directory, Mounts, Readable, explain};

/// Revision of the `files` section's attributes.
pub const REVISION: u32 = 1;

/// Receives the entries of a scan, in THE order.
pub trait Observer: Send {
    /// Takes one entry; an error ends the scan.
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop>;
}

/// Why an observer wants no more: it keeps the reason itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// How a scan is done.
pub struct Settings<'a> {
    /// What content is hashed, and how.
    pub plan: &'a dyn Plan,
    /// What is left out.
    pub scope: Arc<Scope>,
    /// Names of owners.
    pub owners: Owners,
    /// Threads and reads under way.
    pub depth: Depth,
    /// Told as the scan goes on.
    pub progress: &'a Progress,
}

/// How far a scan is. Only for showing.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries seen.
    pub entries: AtomicU64,
    /// Bytes hashed.
    pub bytes: AtomicU64,
    /// Entries that are expected, as far as that can be told before; 0 if not.
    pub expected: AtomicU64,
}

/// What a scan counted.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// What was looked at.
    pub tally: Tally,
    /// By rule of the scope: paths that it left out; a directory counts once.
    pub skipped: Vec<u64>,
    /// Whether the observer ended the scan.
    pub stopped: bool,
}

/// Scans the tree below `root`.
pub fn run(root: Directory, settings: &Settings<'_>, observer: &mut dyn Observer) -> io::Result<Scanned> {
    let readable = Readable::new().map_err(|why| {
        let advice = "files are read through /proc/self/fd; is /proc mounted?";
        io::Error::other(format!("/proc/self/fd: {}: {advice}", explain(why)))
    })?;
    let mounts = Mounts::read()?;
    Ok(pool::run(
        walk::Walk::new(root, mounts, Arc::clone(&settings.scope)),
        &readable,
        settings,
        observer,
    ))
}
