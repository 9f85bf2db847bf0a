//! Contents that are kept while an archive goes by, for whoever wants to read them later in any order.
//!
//! Up to [`IN_MEMORY`] bytes stay in memory; what is beyond goes to a file without a name, which vanishes with this
//! process. The same content is kept once: it is found by its SHA-256. What cannot be kept is not an error yet: the
//! reason is told to whoever asks for it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs, process};

/// Kept contents.
#[derive(Default)]
pub(super) struct Store {
    kept: HashMap<[u8; 32], Kept>,
    in_memory: usize,
    file: Option<Arc<File>>,
    /// Bytes of the file that hold kept contents.
    in_file: u64,
    trouble: Option<String>,
}

#[derive(Clone)]
enum Kept {
    Memory(Arc<[u8]>),
    File { start: u64, size: u64 },
}

impl Store {
    /// Keeps a content.
    pub(super) fn keep(&mut self, digest: [u8; 32], content: &[u8]) {
        if self.kept.contains_key(&digest) {
            return;
        }
        if content.len() <= IN_MEMORY.saturating_sub(self.in_memory) {
            self.in_memory += content.len();
            self.kept.insert(digest, Kept::Memory(content.into()));
            return;
        }
        let mut part = Part::default();
        self.add(&mut part, content);
        self.finish(&part, digest);
    }

    /// Adds to a content whose digest is not known yet. One at a time.
    pub(super) fn add(&mut self, part: &mut Part, piece: &[u8]) {
        if part.failed {
            return;
        }
        let start = self.in_file + part.size;
        if let Err(why) = self.write(piece, start) {
            part.failed = true;
            self.trouble.get_or_insert(why);
            return;
        }
        part.size += piece.len() as u64;
    }

    /// Keeps the content that was added.
    pub(super) fn finish(&mut self, part: &Part, digest: [u8; 32]) {
        if part.failed || self.kept.contains_key(&digest) {
            return;
        }
        let start = self.in_file;
        self.in_file += part.size;
        self.kept.insert(
            digest,
            Kept::File {
                start,
                size: part.size,
            },
        );
    }

    fn write(&mut self, piece: &[u8], start: u64) -> Result<(), String> {
        if start + piece.len() as u64 > IN_FILE {
            return Err(format!("more than {} MiB were to be kept", IN_FILE >> 20));
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(nameless_file()?))),
        };
        file.write_all_at(piece, start)
            .map_err(|why| format!("temporary file: {why}"))
    }

    /// A content, if it was kept.
    pub(super) fn open(&self, digest: &[u8; 32]) -> Option<Box<dyn Read + Send>> {
        match self.kept.get(digest)? {
            Kept::Memory(content) => Some(Box::new(io::Cursor::new(Arc::clone(content)))),
            Kept::File { start, size } => Some(Box::new(PartOfFile {
                file: Arc::clone(self.file.as_ref()?),
                at: *start,
                end: start + size,
            })),
        }
    }

    /// Why something could not be kept, if that happened.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// A content that is being kept piece by piece.
#[derive(Default)]
pub(super) struct Part {
    size: u64,
    failed: bool,
}

struct PartOfFile {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for PartOfFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted) else {
            return Ok(0);
        };
        self.file.read_exact_at(buffer, self.at)?;
        self.at += wanted as u64;
        Ok(wanted)
    }
}

/// A file that only its owner may read and that has no name, or loses it at once where the file system has no such
/// files.
fn nameless_file() -> Result<File, String> {
    let mut last = String::new();
    let chosen = env::var_os("TMPDIR")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    for directory in chosen.into_iter().chain([PathBuf::from("/var/tmp")]) {
        match nameless(&directory).or_else(|_| named_for_a_moment(&directory)) {
            Ok(file) => return Ok(file),
            Err(why) => last = format!("{}: {why}", directory.display()),
        }
    }
    Err(format!("no temporary file: {last}"))
}

fn nameless(directory: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(File::from(open(directory, flags, Mode::RUSR | Mode::WUSR)?))
}

fn named_for_a_moment(directory: &Path) -> io::Result<File> {
    let path = directory.join(format!(".driftcheck-{}", process::id()));
    let mut options = File::options();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Most bytes that are kept in memory.
pub(super) const IN_MEMORY: usize = 32 << 20;
/// Most bytes that are kept in the file.
const IN_FILE: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(store: &Store, digest: [u8; 32]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        store.open(&digest)?.read_to_end(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn contents_come_back_from_memory_and_from_the_file() {
        let mut store = Store::default();
        store.keep([1; 32], b"one");
        assert!(store.file.is_none());
        let large = vec![7; IN_MEMORY - 2];
        store.keep([2; 32], &large);
        store.keep([2; 32], &large);
        store.keep([3; 32], b"three");
        let mut part = Part::default();
        store.add(&mut part, b"fo");
        store.add(&mut part, b"ur");
        store.finish(&part, [4; 32]);
        assert_eq!((store.in_memory, store.in_file), (8, large.len() as u64 + 4));
        assert_eq!(read(&store, [1; 32]).unwrap(), b"one");
        assert_eq!(read(&store, [2; 32]).unwrap(), large);
        assert_eq!(read(&store, [3; 32]).unwrap(), b"three");
        assert_eq!(read(&store, [4; 32]).unwrap(), b"four");
        assert_eq!(read(&store, [5; 32]), None);
        assert_eq!(store.trouble(), None);
    }

    #[test]
    fn content_that_was_given_up_leaves_nothing() {
        let mut store = Store::default();
        let mut part = Part::default();
        store.add(&mut part, b"given up");
        let mut part = Part::default();
        store.add(&mut part, b"kept");
        store.finish(&part, [1; 32]);
        assert_eq!(read(&store, [1; 32]).unwrap(), b"kept");
        assert_eq!(store.in_file, 4);
    }

    #[test]
    fn more_than_the_file_may_hold_is_told() {
        let mut store = Store {
            in_file: IN_FILE - 1,
            ..Store::default()
        };
        let mut part = Part::default();
        store.add(&mut part, b"too much");
        store.finish(&part, [1; 32]);
        assert_eq!(read(&store, [1; 32]), None);
        assert_eq!(store.trouble(), Some("more than 4096 MiB were to be kept"));
    }

    #[test]
    fn fallback_leaves_no_name_behind() {
        let directory = env::temp_dir();
        let file = named_for_a_moment(&directory).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        assert!(!directory.join(format!(".driftcheck-{}", process::id())).exists());
    }
}
