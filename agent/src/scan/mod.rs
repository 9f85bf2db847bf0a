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

use crate::sys::{Directory, Mounts, PrivateView, Readable, explain};

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
    /// Whether files were opened at once, in a private view of the tree, and not through their handles.
    pub private_view: bool,
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
    // Without the capability, or where a filter or an old kernel refuses it, the tree is looked at as it is.
    let view = PrivateView::of(&root, &mounts).and_then(|view| Ok((view.root()?, view)));
    Ok(run_in(root, view.ok(), mounts, &readable, settings, observer))
}

fn run_in(
    root: Directory,
    view: Option<(Directory, PrivateView)>,
    mounts: Mounts,
    readable: &Readable,
    settings: &Settings<'_>,
    observer: &mut dyn Observer,
) -> Scanned {
    let scope = Arc::clone(&settings.scope);
    // The view lasts for as long as it is held.
    let (walk, view) = match view {
        Some((inside, view)) => (walk::Walk::new(inside, Some(root), mounts, scope), Some(view)),
        None => (walk::Walk::new(root, None, mounts, scope), None),
    };
    let scanned = pool::run(walk, readable, settings, observer);
    Scanned {
        private_view: view.is_some(),
        ..scanned
    }
}
