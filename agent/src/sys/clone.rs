//! A private view of the tree: a detached clone of its mounts, read-only and without devices.
//!
//! It is attached nowhere, so nobody else can see or enter it, and it vanishes with its descriptors, however the
//! process ends. Below it the kernel itself refuses what a reader must never do: device nodes cannot be opened,
//! nothing can be written, and no access time changes. So a name that was listed as a regular file may be opened
//! for reading at once, instead of taking hold of it first and opening it again through `/proc`. What it became
//! meanwhile is refused (a device, a socket, a link) or seen by its descriptor and left unread. One thing remains:
//! a FIFO that takes a regular file's name between listing and opening is opened, without blocking, and closed
//! unread; a writer that waits for a reader of it can see that. Only who may replace names in that directory can
//! bring this about.
//!
//! Mounts below the root are part of the clone, so that the kernel still says where they begin.

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::Mounts;
use super::open::{Directory, View};

/// A detached clone of a directory's mount.
#[derive(Debug)]
pub struct PrivateView {
    /// What holds the clone together: the kernel takes it apart when this is closed.
    clone: OwnedFd,
}

impl PrivateView {
    /// Clones the mount at `root` and what is mounted below. Needs `CAP_SYS_ADMIN` and Linux 5.12; whoever gets
    /// an error looks at the tree as it is.
    pub fn of(root: &Directory, mounts: &Mounts) -> Result<Self, Errno> {
        // The kernel leaves such mounts out of a clone, without a word: what they cover would show.
        if !mounts.all_can_be_cloned() {
            return Err(Errno::INVAL);
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let clone = open_tree(root.as_fd(), c"", flags)?;
        restrict(clone.as_fd())?;
        let view = Self { clone };
        // It must be the same directory, or else everything that is told of it would be of another.
        if view.root()?.metadata()?.identity != root.metadata()?.identity {
            return Err(Errno::STALE);
        }
        Ok(view)
    }

    /// The root of the view.
    pub fn root(&self) -> Result<Directory, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.clone, c".", flags, Mode::empty())?;
        Ok(Directory::new(fd, View::Private))
    }
}

/// `struct mount_attr` of linux/mount.h, in its first and so far only size.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Makes a mount read-only, without devices, setid, programs and access times (`mount_setattr(2)`). Only the root's
/// own mount: no other is ever entered.
#[expect(unsafe_code, reason = "rustix has no mount_setattr")]
fn restrict(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    const READ_ONLY: u64 = 0x01;
    const NO_SETID: u64 = 0x02;
    const NO_DEVICES: u64 = 0x04;
    const NO_PROGRAMS: u64 = 0x08;
    const NO_ACCESS_TIME: u64 = 0x10;
    /// All that is said about access times, which must be cleared to say something else.
    const ACCESS_TIMES: u64 = 0x70;
    let attributes = MountAttributes {
        set: READ_ONLY | NO_SETID | NO_DEVICES | NO_PROGRAMS | NO_ACCESS_TIME,
        clear: ACCESS_TIMES,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the kernel only reads its arguments: an open descriptor, an empty C string that lives for ever, and
    // a structure on this stack, of the layout in linux/mount.h and with its own size beside it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            (&raw const attributes).cast::<c_void>(),
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&errno).unwrap_or(Errno::INVAL))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use rustix::fs::{FileType, mkfifoat, mknodat};

    use super::*;
    use crate::sys::{Kind, open};

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("driftcheck-clone-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn view(path: &Path) -> Option<(PrivateView, Directory)> {
        let root = open::open_root(path.as_os_str().as_encoded_bytes()).unwrap();
        let view = PrivateView::of(&root, &Mounts::read().unwrap());
        match view {
            Ok(view) => {
                let root = view.root().unwrap();
                Some((view, root))
            }
            // Without the capability there is nothing to test here.
            Err(why) => {
                assert!(
                    matches!(why, Errno::PERM | Errno::NOSYS | Errno::INVAL | Errno::ACCESS),
                    "{why}"
                );
                None
            }
        }
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_can_be_written() {
        let path = temporary("kinds");
        std::fs::write(path.join("file"), "content").unwrap();
        symlink("file", path.join("link")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap());
        std::fs::create_dir(path.join("directory")).unwrap();
        if let Some((_hold, root)) = view(&path) {
            let mut content = root.open_file(b"file").unwrap().unwrap();
            let mut buffer = [0; 16];
            assert_eq!(content.read(&mut buffer).unwrap(), 7);
            assert_eq!(root.open_file(b"link").unwrap().err(), Some(Errno::LOOP));
            assert_eq!(root.open_file(b"socket").unwrap().err(), Some(Errno::NXIO));
            assert_eq!(root.open_file(b"nothing").unwrap().err(), Some(Errno::NOENT));
            let device = rustix::fs::makedev(1, 5);
            let mode = Mode::RUSR | Mode::WUSR;
            let node = mknodat(
                rustix::fs::CWD,
                path.join("zero"),
                FileType::CharacterDevice,
                mode,
                device,
            );
            if node.is_ok() {
                assert_eq!(root.open_file(b"zero").unwrap().err(), Some(Errno::ACCESS));
            }
            let write = rustix::fs::openat(&root, c"file", OFlags::WRONLY, Mode::empty());
            assert_eq!(write.err(), Some(Errno::ROFS));
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn access_times_stay() {
        let path = temporary("atime");
        let file = path.join("file");
        std::fs::write(&file, "content").unwrap();
        // Older than the content: the state in which `relatime` would set it.
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let times = std::fs::FileTimes::new().set_accessed(old);
        std::fs::File::open(&file).unwrap().set_times(times).unwrap();
        if let Some((_hold, root)) = view(&path) {
            let mut content = root.open_file(b"file").unwrap().unwrap();
            assert!(content.keeps_atime());
            assert_eq!(content.read(&mut [0; 16]).unwrap(), 7);
            assert!(!root.names().0.is_empty());
        }
        assert_eq!(std::fs::metadata(&file).unwrap().accessed().unwrap(), old);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_fifo_is_seen_by_its_descriptor() {
        let path = temporary("fifo");
        mkfifoat(rustix::fs::CWD, path.join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        if let Some((_hold, root)) = view(&path) {
            // As if it had been a regular file when it was listed.
            let content = root.open_file(b"fifo").unwrap().unwrap();
            assert_eq!(content.metadata().unwrap().kind(), Kind::Fifo);
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_tree_as_it_is_opens_nothing_by_name() {
        let path = temporary("live");
        std::fs::write(path.join("file"), "content").unwrap();
        let root = open::open_root(path.as_os_str().as_encoded_bytes()).unwrap();
        assert!(root.open_file(b"file").is_none());
        std::fs::remove_dir_all(path).unwrap();
    }
}
