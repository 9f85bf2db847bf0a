//! The scan: one pass over a tree that gives the `files` section as canonical lines, in THE order.
//!
//! [`walk`] says what comes next, [`inspect`] looks at it, [`lanes`] hashes two files at a time, [`encode`] spells
//! it, and [`pool`] runs these on several threads and puts the results back in order. Memory is bounded by the
//! number of batches under way, not by the size of the tree.

mod content;
mod encode;
mod extended;
mod hash;
mod image_walk;
mod inspect;
pub(crate) mod lanes;
mod pool;
pub(crate) mod scope;
mod sink;
mod stream;
mod walk;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use baseline_format::Line;

pub use encode::{FILES, Owners};
pub(crate) use extended::describe as describe_xattr;
pub use extended::{acl, capabilities};
pub use hash::Algorithm;
pub use inspect::{Plan, Tally};
pub use pool::Depth;
pub use scope::{BadGlob, Judgement, Rule, Scope};

use crate::source::file_system::FileSystem;
use crate::sys::{Directory, Flags, Mounts, PrivateView, Readable, explain};

/// What says which path comes next.
enum Walker {
    Live(walk::Walk),
    Image(image_walk::ImageWalk),
}

impl Walker {
    fn fill(&mut self, batch: &mut walk::Batch) {
        match self {
            Self::Live(walk) => walk.fill(batch),
            Self::Image(walk) => walk.fill(batch),
        }
    }

    const fn flags(&self) -> Flags {
        match self {
            Self::Live(walk) => walk.flags,
            Self::Image(_) => Flags::OfFiles,
        }
    }

    const fn tally(&self) -> &walk::WalkTally {
        match self {
            Self::Live(walk) => &walk.tally,
            Self::Image(walk) => &walk.tally,
        }
    }
}

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

impl Scanned {
    /// Refuses a scan that ended early although its observer wanted more: what was not told would otherwise count
    /// as not being there.
    pub fn whole(self, observer_ended: bool) -> io::Result<Self> {
        if self.stopped && !observer_ended {
            return Err(io::Error::other(
                "the scan ended before the tree did; this is a bug in driftcheck",
            ));
        }
        Ok(self)
    }
}

/// Scans an image that nobody has mounted.
pub fn run_image(
    image: Arc<dyn FileSystem>,
    settings: &Settings<'_>,
    observer: &mut dyn Observer,
) -> io::Result<Scanned> {
    let walk = image_walk::ImageWalk::new(image, Arc::clone(&settings.scope));
    Ok(pool::run(Walker::Image(walk), &readable()?, settings, observer))
}

/// Scans the tree below `root`.
pub fn run(root: Directory, settings: &Settings<'_>, observer: &mut dyn Observer) -> io::Result<Scanned> {
    let readable = readable()?;
    let mounts = Mounts::read()?;
    // Without the capability, or where a filter or an old kernel refuses it, the tree is looked at as it is.
    let view = PrivateView::of(&root, &mounts).and_then(|view| Ok((view.root()?, view)));
    Ok(run_in(root, view.ok(), mounts, &readable, settings, observer))
}

fn readable() -> io::Result<Readable> {
    Readable::new().map_err(|why| {
        let advice = "files are read through /proc/self/fd; is /proc mounted?";
        io::Error::other(format!("/proc/self/fd: {}: {advice}", explain(why)))
    })
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
    let scanned = pool::run(Walker::Live(walk), readable, settings, observer);
    Scanned {
        private_view: view.is_some(),
        ..scanned
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::mpsc;
    use std::time::Duration;

    use baseline_format::header;
    use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkfifoat, mknodat};

    use super::*;
    use crate::sys::open_root;

    struct Sha256OfAll;

    impl Plan for Sha256OfAll {
        fn content(&self, _path: &[u8]) -> Algorithm {
            Algorithm::Sha256
        }
    }

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Observer for Lines {
        fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
            self.0.push(line.as_str().to_owned());
            Ok(())
        }
    }

    fn scan(root: &[u8], private: bool, threads: usize) -> Option<(Vec<String>, Scanned)> {
        let progress = Progress::default();
        let settings = Settings {
            plan: &Sha256OfAll,
            scope: Arc::new(Scope::new(&header::Scope::default(), &[], &[], &[]).unwrap()),
            owners: Owners::default(),
            depth: Depth {
                threads,
                io_depth: None,
            },
            progress: &progress,
        };
        let (root, mounts) = (open_root(root).unwrap(), Mounts::read().unwrap());
        let view = if private {
            // Without the capability there is no such view to test.
            let view = PrivateView::of(&root, &mounts).ok()?;
            Some((view.root().unwrap(), view))
        } else {
            None
        };
        let mut lines = Lines::default();
        let readable = Readable::new().unwrap();
        let scanned = run_in(root, view, mounts, &readable, &settings, &mut lines);
        Some((lines.0, scanned))
    }

    #[test]
    fn both_ways_of_opening_see_the_same_and_disturb_nothing() {
        let root = std::env::temp_dir().join(format!("driftcheck-scan-{}", std::process::id()));
        for directory in 0..8 {
            let directory = root.join(format!("d{directory}"));
            fs::create_dir_all(&directory).unwrap();
            for size in [0, 1, 55, 64, 4096, 49_151, 49_152, 49_153, 300_000] {
                fs::write(directory.join(format!("f{size}")), vec![b'x'; size]).unwrap();
            }
            fs::hard_link(directory.join("f64"), directory.join("z64")).unwrap();
        }
        symlink("d0/f64", root.join("link")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
        fs::set_permissions(root.join("d1/f64"), fs::Permissions::from_mode(0o000)).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        // Nodes of devices may only be made by root, and nowhere on some file systems.
        mknodat(
            CWD,
            root.join("zero"),
            FileType::CharacterDevice,
            mode,
            makedev(1, 5),
        )
        .ok();
        let fifo = root.join("fifo");
        mkfifoat(CWD, &fifo, mode).unwrap();
        let (woken, writer_woke) = mpsc::channel();
        let path = fifo.clone();
        // Sleeps in `open` until there is a reader.
        let writer = std::thread::spawn(move || {
            let opened = rustix::fs::open(&path, OFlags::WRONLY, Mode::empty());
            woken.send(()).ok();
            drop(opened);
        });

        let path = root.as_os_str().as_encoded_bytes();
        let (live, scanned) = scan(path, false, 2).unwrap();
        assert!(!scanned.private_view);
        assert!(live.iter().any(|line| line.contains("\"fifo\"")), "{live:#?}");
        for threads in [1, 2, 7] {
            assert_eq!(scan(path, false, threads).unwrap().0, live, "{threads} threads");
            if let Some((private, scanned)) = scan(path, true, threads) {
                assert_eq!(private, live, "private view, {threads} threads");
                assert!(scanned.private_view);
            }
        }
        assert_eq!(
            writer_woke.recv_timeout(Duration::from_millis(50)),
            Err(mpsc::RecvTimeoutError::Timeout),
            "somebody opened the FIFO"
        );
        // Now somebody does, so that the writer ends.
        drop(rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap());
        writer.join().unwrap();
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_mount_is_named_in_both_views() {
        // `/dev/pts` or `/proc` is mounted on every Linux machine; only names are met above them.
        let named = |private| {
            let progress = Progress::default();
            let include = ["/proc".to_owned(), "/dev".to_owned()];
            let settings = Settings {
                plan: &Sha256OfAll,
                scope: Arc::new(Scope::new(&header::Scope::default(), &[], &include, &[]).unwrap()),
                owners: Owners::default(),
                depth: Depth {
                    threads: 1,
                    io_depth: None,
                },
                progress: &progress,
            };
            let (root, mounts) = (open_root(b"/").unwrap(), Mounts::read().unwrap());
            let view = if private {
                let view = PrivateView::of(&root, &mounts).ok()?;
                Some((view.root().unwrap(), view))
            } else {
                None
            };
            let mut lines = Lines::default();
            let readable = Readable::new().unwrap();
            run_in(root, view, mounts, &readable, &settings, &mut lines);
            Some(lines.0)
        };
        let live = named(false).unwrap();
        assert!(
            live.iter().any(|line| line.contains("\"mount\":\"proc\"")),
            "{live:#?}"
        );
        if let Some(private) = named(true) {
            assert_eq!(private, live);
        }
    }
}
