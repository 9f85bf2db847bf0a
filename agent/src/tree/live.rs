//! A directory of this machine as a tree: the live root, or an unpacked image.

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::{Stat, Tree, TreeError};
use crate::sys::{self, Directory, Handle, Kind, Mounts, Readable};

/// A directory as the root of a tree. Absolute links below it lead below it.
#[derive(Debug)]
pub struct LiveTree {
    root: Directory,
    /// Where the root is on this machine, to know which mounts lie below it; empty if it is mounted nowhere.
    path: Vec<u8>,
    readable: Readable,
    mounts: Mounts,
}

impl LiveTree {
    /// Opens a directory as a tree.
    pub fn open(path: &[u8]) -> Result<Self, TreeError> {
        let root = sys::open_root(path).map_err(|why| match why {
            Errno::NOTDIR => TreeError::Failed("it is not a directory".to_owned()),
            why => error(why),
        })?;
        let real = sys::path_of(&root).map_err(error)?;
        let failed = |why: std::io::Error| TreeError::Failed(format!("/proc/self/mountinfo: {why}"));
        Ok(Self {
            root,
            path: real,
            readable: Readable::new().map_err(error)?,
            mounts: Mounts::read().map_err(failed)?,
        })
    }

    /// Takes the root of a file system that is mounted where nobody else sees it.
    pub fn of_hidden_mount(root: Directory) -> Result<Self, TreeError> {
        Ok(Self {
            root,
            path: Vec::new(),
            readable: Readable::new().map_err(error)?,
            mounts: Mounts::default(),
        })
    }

    /// A further descriptor of the root, for a scan.
    pub fn root(&self) -> Result<Directory, TreeError> {
        self.root.again().map_err(error)
    }

    /// Files on the root's file system, if the root is all of it; else 0. An estimate for showing progress.
    #[must_use]
    pub fn inodes_in_use(&self) -> u64 {
        if !self.mounts.is_mount_point(&self.path) {
            return 0;
        }
        rustix::fs::fstatvfs(&self.root).map_or(0, |space| space.f_files.saturating_sub(space.f_ffree))
    }

    /// Whether this is the root of the running system.
    #[must_use]
    pub fn is_running_system(&self) -> bool {
        self.path == b"/"
    }

    fn handle(&self, path: &[u8], last: Last) -> Result<Handle, TreeError> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if last == Last::Itself {
            flags |= OFlags::NOFOLLOW;
        }
        let relative: Vec<u8> = path.iter().copied().skip_while(|byte| *byte == b'/').collect();
        let relative = if relative.is_empty() { &b"."[..] } else { &relative };
        let open = |resolve| openat2(&self.root, relative, flags, Mode::empty(), resolve);
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match open(inside | ResolveFlags::NO_XDEV) {
            Ok(fd) => Ok(Handle::new(fd)),
            // A separate /home or /var is part of the system; a server that may not answer, or a file system
            // that is no files, is not.
            Err(Errno::XDEV) if self.mounts.all_local_towards(&self.path, path) => {
                open(inside).map(Handle::new).map_err(error)
            }
            Err(why) => Err(error(why)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Followed,
    Itself,
}

impl Tree for LiveTree {
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError> {
        let handle = self.handle(path, Last::Followed)?;
        let metadata = handle.metadata().map_err(error)?;
        if metadata.kind() != Kind::File {
            return Err(TreeError::WrongType);
        }
        if metadata.size > limit {
            return Err(TreeError::TooLarge(limit));
        }
        let mut content = self.readable.open(&handle).map_err(error)?;
        let mut bytes = vec![0; usize::try_from(metadata.size).unwrap_or(0) + 1];
        let mut end = 0;
        loop {
            if end == bytes.len() {
                // It has grown since: read on, up to the limit.
                if end as u64 > limit {
                    return Err(TreeError::TooLarge(limit));
                }
                bytes.resize(end + (64 << 10), 0);
            }
            match content.read(&mut bytes[end..]).map_err(error)? {
                0 => break,
                read => end += read,
            }
        }
        bytes.truncate(end);
        Ok(bytes)
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let directory = match self.handle(path, Last::Followed)?.as_directory() {
            Err(Errno::NOTDIR) => return Err(TreeError::WrongType),
            opened => opened.map_err(error)?,
        };
        match directory.names() {
            (_, Some(why)) => Err(error(why)),
            (names, None) => Ok((0..names.len())
                .filter_map(|at| Some(names.get(at)?.0.to_vec()))
                .collect()),
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        stat(&self.handle(path, Last::Followed)?)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        stat(&self.handle(path, Last::Itself)?)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError> {
        let handle = self.handle(path, Last::Itself)?;
        if handle.metadata().map_err(error)?.kind() != Kind::Link {
            return Err(TreeError::WrongType);
        }
        handle.read_link().map_err(error)
    }
}

fn stat(handle: &Handle) -> Result<Stat, TreeError> {
    let metadata = handle.metadata().map_err(error)?;
    Ok(Stat {
        mode: metadata.mode.into(),
        uid: metadata.uid,
        gid: metadata.gid,
        size: metadata.size,
    })
}

fn error(errno: Errno) -> TreeError {
    match errno {
        // A component that is no directory means that nothing has this path, as for a missing one.
        Errno::NOENT | Errno::NOTDIR => TreeError::NotFound,
        Errno::ACCESS | Errno::PERM => TreeError::Denied,
        Errno::XDEV => TreeError::OtherFileSystem,
        other => TreeError::Failed(sys::explain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let root = std::env::temp_dir().join(format!("driftcheck-live-tree-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        for (name, target) in [
            ("absolute", "/etc/passwd"),
            ("up", "../../../../etc/passwd"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let tree = LiveTree::open(root.as_os_str().as_encoded_bytes()).unwrap();
        assert_eq!(tree.read(b"/absolute", 100).unwrap(), b"inside");
        assert_eq!(tree.read(b"/up", 100).unwrap(), b"inside");
        assert_eq!(tree.read(b"/absolute", 5), Err(TreeError::TooLarge(5)));
        assert!(matches!(tree.read(b"/loop", 100), Err(TreeError::Failed(_))));
        assert_eq!(tree.read(b"/etc", 100), Err(TreeError::WrongType));
        assert_eq!(tree.read(b"/etc/nothing", 100), Err(TreeError::NotFound));
        assert_eq!(tree.read(b"/etc/passwd/x", 100), Err(TreeError::NotFound));
        assert_eq!(tree.read_link(b"/absolute").unwrap(), b"/etc/passwd");
        assert!(tree.lstat(b"/absolute").unwrap().is_link());
        assert!(tree.stat(b"/absolute").unwrap().is_file());
        let names: Vec<&[u8]> = vec![b"absolute", b"etc", b"loop", b"up"];
        assert_eq!(tree.list(b"/").unwrap(), names);
        std::fs::remove_dir_all(root).unwrap();
    }
}
