//! Reading a file's content, leaving the page cache as it was.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Advice, Mode, OFlags, fadvise};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::metadata::{Metadata, State, metadata_of, state_of};
use super::open::Handle;

/// Opens regular files for reading through handles that have been looked at.
#[derive(Debug)]
pub struct Readable {
    /// `/proc/self/fd`: the way from a handle to a readable descriptor of the same file.
    handles: OwnedFd,
}

impl Readable {
    /// Opens `/proc/self/fd`; an error if `/proc` is not mounted.
    pub fn new() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            handles: rustix::fs::open(c"/proc/self/fd", flags, Mode::empty())?,
        })
    }

    /// Opens for reading. The caller has seen that `handle` is a regular file.
    pub fn open(&self, handle: &Handle) -> Result<Content, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = itoa(handle.as_fd().as_raw_fd());
        let path = name.as_c_str();
        let open = |flags| rustix::fs::openat(&self.handles, path, flags, Mode::empty());
        let (fd, keeps_atime) = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => (open(flags)?, false),
            other => (other?, true),
        };
        Ok(Content {
            fd,
            at: 0,
            cache: Cache::Warm,
            keeps_atime,
        })
    }
}

/// A regular file that is being read from its beginning to its end.
#[derive(Debug)]
pub struct Content {
    fd: OwnedFd,
    at: u64,
    cache: Cache,
    keeps_atime: bool,
}

/// Whose the cached pages of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cache {
    /// All that was read so far had been cached before.
    Warm,
    /// From this offset on, reading had to wait for the disk: those pages are there because of us.
    ColdFrom(u64),
    /// The file system does not tell.
    Unknown,
}

impl Content {
    /// From a descriptor of a mount without access times.
    pub(super) const fn without_atime(fd: OwnedFd) -> Self {
        Self {
            fd,
            at: 0,
            cache: Cache::Warm,
            keeps_atime: true,
        }
    }

    /// Reads on, as much as fits; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let read = match self.cache {
                Cache::Warm => preadv2(
                    &self.fd,
                    &mut [IoSliceMut::new(buffer)],
                    self.at,
                    ReadWriteFlags::NOWAIT,
                ),
                _ => pread(&self.fd, &mut *buffer, self.at),
            };
            match read {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.cache == Cache::Warm => self.cache = Cache::ColdFrom(self.at),
                Err(Errno::OPNOTSUPP | Errno::INVAL) if self.cache == Cache::Warm => {
                    self.cache = Cache::Unknown;
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// How much has been read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// Starts again at the beginning.
    pub const fn rewind(&mut self) {
        self.at = 0;
    }

    /// What the file is now.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        metadata_of(self.fd.as_fd())
    }

    /// What of it changes when somebody writes to it, as it is now.
    pub fn state(&self) -> Result<State, Errno> {
        state_of(self.fd.as_fd())
    }

    /// Whether reading left the access time alone.
    #[must_use]
    pub const fn keeps_atime(&self) -> bool {
        self.keeps_atime
    }
}

impl AsFd for Content {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Content {
    /// Gives back the pages that are cached because of this read, and only those.
    fn drop(&mut self) {
        if let Cache::ColdFrom(offset) = self.cache {
            // Advice: nothing is lost when it is not taken.
            fadvise(&self.fd, offset, None, Advice::DontNeed).ok();
        }
    }
}

/// A descriptor's number as a C string, without an allocation: it is needed once a file.
fn itoa(number: i32) -> Number {
    let mut text = Number {
        bytes: [0; 12],
        start: 11,
    };
    let mut rest = number.unsigned_abs();
    loop {
        text.start -= 1;
        text.bytes[text.start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            return text;
        }
    }
}

struct Number {
    bytes: [u8; 12],
    start: usize,
}

impl Number {
    fn as_c_str(&self) -> &std::ffi::CStr {
        std::ffi::CStr::from_bytes_with_nul(&self.bytes[self.start..]).unwrap_or_default()
    }
}
