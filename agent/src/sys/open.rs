//! Directories and handles.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, openat2};
use rustix::io::Errno;

use super::metadata::metadata_of;
use super::read::Content;
use super::{Kind, Metadata};

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

/// What inode flags are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// Each file's own.
    OfFiles,
    /// All files are called immutable because nothing on the file system can change.
    OfFileSystem,
}

/// The kernel calls every file of erofs immutable (`erofs_getattr`). From linux/magic.h.
const EROFS_MAGIC: rustix::fs::FsWord = 0xE0F5_E1E2;

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

    /// A further descriptor of the same directory.
    pub fn again(&self) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&self.fd, c".", flags, Mode::empty());
        let fd = open(flags | OFlags::NOATIME)
            .or_else(|why| if why == Errno::PERM { open(flags) } else { Err(why) })?;
        Ok(Self::new(fd, self.view))
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

    /// What inode flags on this file system are about.
    #[must_use]
    pub fn flags(&self) -> Flags {
        match rustix::fs::fstatfs(&self.fd) {
            Ok(system) if system.f_type == EROFS_MAGIC => Flags::OfFileSystem,
            _ => Flags::OfFiles,
        }
    }

    /// What the directory itself is.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        metadata_of(self.fd.as_fd())
    }

    /// Identifier of what is mounted at the directory `path`, which may be several components below this one.
    pub fn mounted_at(&self, path: &[u8]) -> Result<u64, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = BELOW.difference(ResolveFlags::NO_XDEV);
        let fd = retry(|| openat2(&self.fd, path, flags, Mode::empty(), resolve))?;
        // The id is known without asking a file server that may not answer.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        Ok(rustix::fs::statx(&fd, c"", flags, StatxFlags::MNT_ID)?.stx_mnt_id)
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
