//! Directories and handles.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxAttributes, StatxFlags, openat2,
};
use rustix::io::Errno;

use super::Kind;
use super::read::Content;

/// Rules for resolving one name below an open directory.
const BELOW: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    view: View,
}

/// Where a directory was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// In the mounts that everybody sees.
    Live,
    /// In a [`PrivateView`](super::PrivateView).
    Private,
}

/// What a name turned out to be when it was opened as a directory.
#[derive(Debug)]
pub enum Opened {
    /// A directory.
    Directory(Directory),
    /// Something else, or it became something else since it was listed.
    NotDirectory,
    /// Another file system is mounted there.
    Mount,
    /// It is no longer there.
    Gone,
    /// It cannot be opened.
    Failed(Errno),
}

/// Opens the root of a tree. Links in `path` itself are followed: the operator chose it.
pub fn open_root(path: &[u8]) -> Result<Directory, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(path, flags, Mode::empty());
    let fd = open(flags | OFlags::NOATIME)
        .or_else(|why| if why == Errno::PERM { open(flags) } else { Err(why) })?;
    Ok(Directory::new(fd, View::Live))
}

/// Where a directory is on this machine now.
pub fn path_of(directory: &Directory) -> Result<Vec<u8>, Errno> {
    let path = format!("/proc/self/fd/{}", directory.fd.as_raw_fd());
    Ok(rustix::fs::readlink(path, Vec::new())?.into_bytes())
}

impl Directory {
    pub(super) const fn new(fd: OwnedFd, view: View) -> Self {
        Self { fd, view }
    }

    /// Opens the directory `name`, which must be one component.
    #[must_use]
    pub fn descend(&self, name: &[u8]) -> Opened {
        let flags =
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = |flags| retry(|| openat2(&self.fd, name, flags, Mode::empty(), BELOW));
        // Only the owner and root may ask for no access time; others must do without.
        let opened = match self.view {
            View::Private => open(flags),
            View::Live => match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => open(flags),
                other => other,
            },
        };
        match opened {
            Ok(fd) => Opened::Directory(Self::new(fd, self.view)),
            Err(Errno::XDEV) => Opened::Mount,
            Err(Errno::NOTDIR | Errno::LOOP) => Opened::NotDirectory,
            Err(Errno::NOENT) => Opened::Gone,
            Err(why) => Opened::Failed(why),
        }
    }

    /// Takes hold of `name`, one component, without opening it for anything.
    pub fn handle(&self, name: &[u8]) -> Result<Handle, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Links are not followed by NOFOLLOW; NO_SYMLINKS would refuse to take hold of one.
        let resolve = BELOW.difference(ResolveFlags::NO_SYMLINKS);
        Ok(Handle {
            fd: retry(|| openat2(&self.fd, name, flags, Mode::empty(), resolve))?,
        })
    }

    /// Opens `name`, one component that was listed as a regular file, for reading; the caller looks at what it
    /// opened before it reads. `None` outside a private view, where only handles may be taken.
    #[must_use]
    pub fn open_file(&self, name: &[u8]) -> Option<Result<Content, Errno>> {
        if self.view != View::Private {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Some(openat2(&self.fd, name, flags, Mode::empty(), BELOW).map(Content::without_atime))
    }

    /// What the directory itself is.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        metadata_of(self.fd.as_fd())
    }

    /// The mount of what is mounted at the directory `path`, which may be several components below this one.
    pub fn mounted_at(&self, path: &[u8]) -> Result<Metadata, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = BELOW.difference(ResolveFlags::NO_XDEV);
        let fd = retry(|| openat2(&self.fd, path, flags, Mode::empty(), resolve))?;
        // The id is known without asking a file server that may not answer.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        Ok(Metadata(rustix::fs::statx(&fd, c"", flags, StatxFlags::MNT_ID)?))
    }

    /// All names with their types, sorted by bytes. On an error, the names read so far and the error.
    #[must_use]
    pub fn names(&self) -> (Names, Option<Errno>) {
        let mut names = Names::default();
        let mut buffer = [MaybeUninit::uninit(); LISTED];
        let mut entries = RawDir::new(&self.fd, &mut buffer);
        let mut failure = None;
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        names.push(name, kind_of(entry.file_type()));
                    }
                }
                Err(Errno::INTR) => {}
                Err(why) => {
                    failure = Some(why);
                    break;
                }
            }
        }
        names.sort();
        (names, failure)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A hold on something in a directory; good for looking at it, not for reading.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
}

impl Handle {
    /// What it is.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        metadata_of(self.fd.as_fd())
    }

    /// The target of a symbolic link.
    pub fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, c"", Vec::new())?.into_bytes())
    }

    /// A hold on what `fd` was opened on with `O_PATH`.
    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens it as a directory, for listing.
    pub fn as_directory(&self) -> Result<Directory, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&self.fd, c".", flags, Mode::empty());
        let fd = open(flags | OFlags::NOATIME)
            .or_else(|why| if why == Errno::PERM { open(flags) } else { Err(why) })?;
        Ok(Directory::new(fd, View::Live))
    }

    /// The path below `/proc` that leads to exactly this file, also when its name has gone.
    #[must_use]
    pub fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes of names that are listed at a time.
const LISTED: usize = 16 << 10;

/// What is needed of `statx`: types, owners, sizes, times, and the attributes that come along for free.
const MASK: StatxFlags = StatxFlags::BASIC_STATS;

pub(super) fn metadata_of(fd: BorrowedFd<'_>) -> Result<Metadata, Errno> {
    Ok(Metadata(rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, MASK)?))
}

/// What a file is, from `statx`.
#[derive(Clone, Copy, Debug)]
pub struct Metadata(Statx);

impl Metadata {
    /// The type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of_mode(self.0.stx_mode as u32)
    }

    /// Type and permission bits.
    #[must_use]
    pub const fn mode(&self) -> u16 {
        self.0.stx_mode
    }

    /// Permission bits with setuid, setgid and sticky.
    #[must_use]
    pub const fn permissions(&self) -> u16 {
        self.0.stx_mode & 0o7777
    }

    /// Owner.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    /// Group.
    #[must_use]
    pub const fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// Bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// Names that the file has.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Time of the last change of the content, whole seconds since 1970, UTC.
    #[must_use]
    pub const fn mtime(&self) -> i64 {
        self.0.stx_mtime.tv_sec
    }

    /// Major and minor number of the device that a device node stands for.
    #[must_use]
    pub const fn device(&self) -> (u32, u32) {
        (self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    /// What identifies the file on this machine for as long as it is held open.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        (self.0.stx_dev_major, self.0.stx_dev_minor, self.0.stx_ino)
    }

    /// Whether nobody may change it (`chattr +i`).
    #[must_use]
    pub const fn is_immutable(&self) -> bool {
        self.0.stx_attributes.contains(StatxAttributes::IMMUTABLE)
    }

    /// Whether it may only grow (`chattr +a`).
    #[must_use]
    pub const fn is_append_only(&self) -> bool {
        self.0.stx_attributes.contains(StatxAttributes::APPEND)
    }

    /// Identifier of the mount; only asked for by [`Directory::mounted_at`].
    #[must_use]
    pub const fn mount_id(&self) -> u64 {
        self.0.stx_mnt_id
    }

    /// Everything that changes when the content does.
    #[must_use]
    pub fn state(&self) -> State {
        let (m, c) = (self.0.stx_mtime, self.0.stx_ctime);
        State {
            size: i128::from(self.0.stx_size),
            modified: (i128::from(m.tv_sec), i128::from(m.tv_nsec)),
            changed: (i128::from(c.tv_sec), i128::from(c.tv_nsec)),
        }
    }
}

/// Everything that changes when a file's content does. Two equal ones around a read mean that nobody wrote
/// meanwhile, within the resolution of the file system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const fn kind_of(listed: FileType) -> Kind {
    match listed {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => Kind::Unknown,
    }
}

/// A directory's names, packed: a directory of a million names is a million short strings.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    places: Vec<(u32, u16, Kind)>,
}

impl Names {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The name and type at `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<(&[u8], Kind)> {
        let &(start, length, kind) = self.places.get(at)?;
        let start = start as usize;
        Some((&self.bytes[start..start + usize::from(length)], kind))
    }

    fn push(&mut self, name: &[u8], kind: Kind) {
        // 4 GiB of names in one directory cannot be listed by any file system; a name is at most 255 bytes.
        if let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) {
            self.bytes.extend_from_slice(name);
            self.places.push((start, length, kind));
        }
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let name = |&(start, length, _): &(u32, u16, Kind)| {
            let start = start as usize;
            &bytes[start..start + usize::from(length)]
        };
        self.places.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        // A directory that is changed while it is listed may show a name twice.
        self.places.dedup_by(|a, b| name(a) == name(b));
    }
}

/// Calls again when a signal interrupted the call, or when `openat2` met a rename at the wrong moment.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..16 {
        match call() {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other,
        }
    }
    call()
}
