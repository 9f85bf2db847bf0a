//! The order in which a tree is met: depth first, names sorted by bytes, which is THE order of `files`.
//!
//! The walk itself only lists directories. Everything else is done by whoever takes its batches, in parallel.

use std::ops::Range;
use std::sync::Arc;

use super::scope::{Judgement, Scope};
use crate::source::file_system::{FileSystem, Node};
use crate::sys::{Directory, Flags, Identity, Kind, Mounts, Names, Opened, explain};

/// Items a batch may have. Small, so that few results wait for the slowest of them.
pub(super) const BATCH: usize = 32;
/// Levels of directories that stay open: the outermost and the innermost. Between them, directories are closed
/// and found again, so that a tree deeper than the limit of open files can be walked.
const OPEN_OUTER: usize = 32;
const OPEN_INNER: usize = 96;

/// A walk over one tree.
pub(super) struct Walk {
    frames: Vec<Frame>,
    /// Path of the innermost frame's directory, without a slash at its end, but for the root.
    path: Vec<u8>,
    root: Option<Directory>,
    /// The root in the mounts that everybody sees, if `root` is that of a private view.
    live: Option<Directory>,
    mounts: Mounts,
    scope: Arc<Scope>,
    pub(super) flags: Flags,
    pub(super) tally: WalkTally,
}

/// What the walk itself counts.
#[derive(Debug, Default)]
pub(super) struct WalkTally {
    /// By rule of the scope: paths that it left out (a directory counts once).
    pub(super) skipped: Vec<u64>,
    /// Names that were gone when they were looked at.
    pub(super) gone: u64,
}

struct Frame {
    directory: Option<Arc<Directory>>,
    /// Set when the directory is closed, to know it again.
    identity: Option<Identity>,
    names: Names,
    at: usize,
    /// Length of the directory's path.
    path: usize,
    ordinary: Option<usize>,
}

/// Some items in a row.
#[derive(Default)]
pub(super) struct Batch {
    paths: Vec<u8>,
    pub(super) items: Vec<Item>,
}

/// One path that was met.
pub(super) struct Item {
    path: Range<usize>,
    name: usize,
    pub(super) what: What,
    /// Only to be told if it is more than ordinary; the rule that says so.
    pub(super) ordinary: Option<usize>,
    /// What is already known to be unseen.
    pub(super) unseen: Option<String>,
}

/// How an item is to be looked at.
pub(super) enum What {
    /// Through its own descriptor.
    Directory(Arc<Directory>),
    /// By its name in this directory, where it was listed as being of this type.
    Name(Arc<Directory>, Kind),
    /// Not at all: the type of the file system that is mounted there.
    Mount(String),
    /// In the image that it is part of.
    Node(Arc<dyn FileSystem>, Node),
    /// Not at all: it cannot be reached any more.
    Lost,
}

impl Batch {
    pub(super) fn path(&self, item: &Item) -> &[u8] {
        &self.paths[item.path.clone()]
    }

    pub(super) fn name(&self, item: &Item) -> &[u8] {
        &self.paths[item.name..item.path.end]
    }

    pub(super) fn push(
        &mut self,
        path: &[u8],
        name_length: usize,
        what: What,
        ordinary: Option<usize>,
        unseen: Option<String>,
    ) {
        let start = self.paths.len();
        self.paths.extend_from_slice(path);
        let end = self.paths.len();
        self.items.push(Item {
            path: start..end,
            name: end - name_length,
            what,
            ordinary,
            unseen,
        });
    }
}

impl WalkTally {
    pub(super) fn of(scope: &Scope) -> Self {
        Self {
            skipped: vec![0; scope.rules().len()],
            gone: 0,
        }
    }
}

impl Walk {
    pub(super) fn new(root: Directory, live: Option<Directory>, mounts: Mounts, scope: Arc<Scope>) -> Self {
        let tally = WalkTally::of(&scope);
        Self {
            frames: Vec::new(),
            path: Vec::new(),
            flags: root.flags(),
            root: Some(root),
            live,
            mounts,
            scope,
            tally,
        }
    }

    /// Fills an empty batch with what comes next; it stays empty at the end.
    pub(super) fn fill(&mut self, batch: &mut Batch) {
        if let Some(root) = self.root.take() {
            self.path.push(b'/');
            self.enter(root, 0, None, batch);
        }
        while batch.items.len() < BATCH {
            let Some(frame) = self.frames.last_mut() else {
                return;
            };
            let Some((name, kind)) = frame.names.get(frame.at) else {
                self.leave();
                continue;
            };
            frame.at += 1;
            self.path.truncate(frame.path);
            if frame.path > 1 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            let (name_length, mut ordinary) = (name.len(), frame.ordinary);
            match self.scope.judge(&self.path) {
                Judgement::Take => {}
                Judgement::Ordinary(rule) => ordinary = ordinary.or(Some(rule)),
                Judgement::Skip(rule) => {
                    self.tally.skipped[rule] += 1;
                    continue;
                }
                Judgement::NotIncluded => {
                    if matches!(kind, Kind::Directory | Kind::Unknown)
                        && self.scope.may_include_below(&self.path)
                    {
                        self.pass_through(name_length, ordinary, batch);
                    }
                    continue;
                }
            }
            self.meet(kind, name_length, ordinary, batch);
        }
    }

    /// Takes up one name of the innermost directory; `self.path` is its path.
    fn meet(&mut self, kind: Kind, name_length: usize, ordinary: Option<usize>, batch: &mut Batch) {
        let Some(directory) = self.innermost() else {
            let why = "all: its directory was moved or replaced while it was read".to_owned();
            batch.push(&self.path, name_length, What::Lost, ordinary, Some(why));
            return;
        };
        if !matches!(kind, Kind::Directory | Kind::Unknown) {
            let what = What::Name(directory, kind);
            batch.push(&self.path, name_length, what, ordinary, None);
            return;
        }
        let name = &self.path[self.path.len() - name_length..];
        match directory.descend(name) {
            Opened::Directory(child) => self.enter(child, name_length, ordinary, batch),
            Opened::NotDirectory => {
                let what = What::Name(directory, Kind::Unknown);
                batch.push(&self.path, name_length, what, ordinary, None);
            }
            Opened::Mount => {
                // A view's mounts are copies that no list of mounts has.
                let mounted = match &self.live {
                    Some(live) => live.mounted_at(self.path.strip_prefix(b"/").unwrap_or(&self.path)),
                    None => directory.mounted_at(name),
                };
                let mount = mounted.ok().and_then(|id| self.mounts.get(id));
                let kind = mount.map_or("unknown", |mount| mount.kind.as_str()).to_owned();
                batch.push(&self.path, name_length, What::Mount(kind), ordinary, None);
            }
            Opened::Gone => self.tally.gone += 1,
            Opened::Failed(why) => {
                let why = format!("below: {}", explain(why));
                batch.push(
                    &self.path,
                    name_length,
                    What::Name(directory, Kind::Unknown),
                    ordinary,
                    Some(why),
                );
            }
        }
    }

    /// Lists a directory, tells it, and makes it the innermost.
    fn enter(
        &mut self,
        directory: Directory,
        name_length: usize,
        mut ordinary: Option<usize>,
        batch: &mut Batch,
    ) {
        let directory = Arc::new(directory);
        let included = !self.scope.is_narrowed() || self.scope.judge(&self.path) == Judgement::Take;
        let told = ordinary;
        let listed = match self.scope.below(&self.path) {
            Judgement::Skip(rule) => {
                self.tally.skipped[rule] += 1;
                None
            }
            judgement => {
                if let Judgement::Ordinary(rule) = judgement {
                    ordinary = ordinary.or(Some(rule));
                }
                Some(directory.names())
            }
        };
        let failure = listed
            .as_ref()
            .and_then(|(_, failure)| *failure)
            .map(|why| format!("below: {}", explain(why)));
        if matches!(&listed, Some((names, None)) if names.is_empty())
            && let Some(rule) = self.scope.empty(&self.path)
        {
            self.tally.skipped[rule] += 1;
            return;
        }
        if included {
            batch.push(
                &self.path,
                name_length,
                What::Directory(Arc::clone(&directory)),
                told,
                failure,
            );
        }
        if let Some((names, _)) = listed {
            self.push_frame(directory, names, ordinary);
        }
    }

    /// Enters a directory that is not told itself, because something below it may be. If that fails it is told
    /// after all, as a place that could not be looked into.
    fn pass_through(&mut self, name_length: usize, ordinary: Option<usize>, batch: &mut Batch) {
        let Some(parent) = self.innermost() else { return };
        let failure = match parent.descend(&self.path[self.path.len() - name_length..]) {
            Opened::Directory(child) => {
                let (names, failure) = child.names();
                self.push_frame(Arc::new(child), names, ordinary);
                failure
            }
            Opened::Failed(why) => Some(why),
            Opened::Mount => Some(rustix::io::Errno::XDEV),
            Opened::NotDirectory | Opened::Gone => None,
        };
        if let Some(why) = failure {
            let why = format!("below: {}", explain(why));
            let what = What::Name(parent, Kind::Unknown);
            batch.push(&self.path, name_length, what, ordinary, Some(why));
        }
    }

    fn push_frame(&mut self, directory: Arc<Directory>, names: Names, ordinary: Option<usize>) {
        let frame = Frame {
            directory: Some(directory),
            identity: None,
            names,
            at: 0,
            path: self.path.len(),
            ordinary,
        };
        self.frames.push(frame);
        if self.frames.len() > OPEN_OUTER + OPEN_INNER {
            let at = self.frames.len() - OPEN_INNER;
            let frame = &mut self.frames[at];
            if let Some(directory) = frame.directory.take() {
                frame.identity = directory.metadata().ok().map(|metadata| metadata.identity);
            }
        }
    }

    fn leave(&mut self) {
        self.frames.pop();
        if let Some(frame) = self.frames.last() {
            self.path.truncate(frame.path);
        }
    }

    /// The innermost directory; opened again, component by component, if it had been closed. `None` if what is
    /// found at its path now is another directory.
    fn innermost(&mut self) -> Option<Arc<Directory>> {
        let last = self.frames.len().checked_sub(1)?;
        if let Some(directory) = &self.frames[last].directory {
            return Some(Arc::clone(directory));
        }
        let mut from = last;
        while self.frames[from].directory.is_none() {
            from = from.checked_sub(1)?;
        }
        let mut directory = self.frames[from].directory.clone()?;
        for frame in &self.frames[from + 1..=last] {
            let path = &self.path[..frame.path];
            let name = path.rsplit(|byte| *byte == b'/').next()?;
            let Opened::Directory(next) = directory.descend(name) else {
                return None;
            };
            let identity = next.metadata().ok()?.identity;
            if frame.identity.is_some_and(|known| known != identity) {
                return None;
            }
            directory = Arc::new(next);
        }
        self.frames[last].directory = Some(Arc::clone(&directory));
        Some(directory)
    }
}
