//! Tar archives that hold a layout, or images of Docker's own form: their members by path.
//!
//! Members of an uncompressed archive are read in any order. A compressed one is read once for the list of members and
//! the small ones among them, and again for the large ones: from the beginning whenever one is wanted that lies before
//! the last one read.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use baseline_format::OsText;

use super::files::{DOCUMENT, Files, missing};
use crate::source::archive::Bounded;
use crate::source::bytes::{Bytes, Sequential};
use crate::source::compression::{Compression, decompress_recognised};
use crate::source::file_system::Fault;
use crate::source::tar::{End, IndexEntry, Member, MemberKind, TarIndex, TarReader};

/// The members of an archive.
pub(super) struct Outer {
    members: HashMap<Vec<u8>, Entry>,
    file: Bytes,
    access: Access,
}

enum Entry {
    /// A regular file: its length, and its number among the members.
    File { size: u64, number: usize },
    /// Another name of what is at this path.
    Alias(Vec<u8>),
}

enum Access {
    /// By the member's number.
    Random(Vec<IndexEntry>),
    Streamed(Streamed),
}

/// What is known of a compressed archive.
struct Streamed {
    /// Contents of small files, by number.
    small: Contents,
    /// Where the last pass stands.
    cursor: Arc<Mutex<Option<Cursor>>>,
}

/// Contents of members, by number.
type Contents = HashMap<usize, Arc<[u8]>>;

/// A pass over a compressed archive.
struct Cursor {
    reader: TarReader<Box<dyn Read + Send>>,
    /// Number of the next member.
    next: usize,
}

impl Outer {
    /// Lists an archive that holds images.
    pub(super) fn read(file: &Bytes) -> Result<Self, Fault> {
        let outer = Self::list(file, &|_| false)?;
        outer.ok_or_else(|| Fault::new("not an archive of images"))
    }

    /// Lists an archive unless it has a member that no archive of images has. Most root file systems are known by
    /// their first members.
    pub(super) fn read_if_images(file: &Bytes) -> Result<Option<Self>, Fault> {
        Self::list(file, &|member| !may_be_in_images(&member.path))
    }

    fn list(file: &Bytes, stop: &dyn Fn(&Member) -> bool) -> Result<Option<Self>, Fault> {
        let (compression, reader) = decompress_recognised(Sequential::new(file.clone()))?;
        let mut members = HashMap::new();
        let access = if compression == Compression::None {
            if begins_with(reader, stop)? {
                return Ok(None);
            }
            let index = TarIndex::read(file, End::Required)?;
            for (number, entry) in index.entries.iter().enumerate() {
                if stop(&entry.member) {
                    return Ok(None);
                }
                add(&mut members, number, &entry.member)?;
            }
            Access::Random(index.entries)
        } else {
            let Some(small) = first_pass(reader, stop, &mut members)? else {
                return Ok(None);
            };
            Access::Streamed(Streamed {
                small,
                cursor: Arc::default(),
            })
        };
        Ok(Some(Self {
            members,
            file: file.clone(),
            access,
        }))
    }

    /// Whether it has members that are called like the layers of Docker's archives.
    pub(super) fn has_layers(&self) -> bool {
        let is_layer =
            |path: &[u8]| path.ends_with(b"/layer.tar") || (path.ends_with(b".tar") && !path.contains(&b'/'));
        self.has_blobs() || self.members.keys().any(|path| is_layer(path))
    }

    /// Whether it has something where a layout has its blobs.
    pub(super) fn has_blobs(&self) -> bool {
        self.members.keys().any(|path| path.starts_with(b"blobs/"))
    }

    /// The file at a path: its length and number.
    fn file_at(&self, path: &[u8]) -> Option<(u64, usize)> {
        let mut path = path;
        for _ in 0..ALIASES {
            match self.members.get(path)? {
                Entry::File { size, number } => return Some((*size, *number)),
                Entry::Alias(other) => path = other,
            }
        }
        None
    }
}

impl Files for Outer {
    fn find(&self, path: &[u8]) -> Result<Option<u64>, Fault> {
        Ok(self.file_at(path).map(|(size, _)| size))
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + Send>, Fault> {
        let (size, number) = self.file_at(path).ok_or_else(|| missing(path))?;
        match &self.access {
            Access::Random(entries) => {
                let entry = entries.get(number).ok_or_else(|| missing(path))?;
                Ok(entry.open(&self.file))
            }
            Access::Streamed(streamed) => match streamed.small.get(&number) {
                Some(content) => Ok(Box::new(io::Cursor::new(Arc::clone(content)))),
                None => streamed.open(&self.file, number, size),
            },
        }
    }

    fn bytes(&self, path: &[u8]) -> Result<Option<Bytes>, Fault> {
        let Some((_, number)) = self.file_at(path) else {
            return Ok(None);
        };
        let Access::Random(entries) = &self.access else {
            return Ok(None);
        };
        let window = entries.get(number).and_then(|entry| entry.window(&self.file));
        Ok(window.map(|window| Arc::new(window) as Bytes))
    }
}

/// Whether an uncompressed archive has such a member before its first long file. To pass over that one, the index
/// need not read it.
fn begins_with(reader: Box<dyn Read + Send + '_>, member: &dyn Fn(&Member) -> bool) -> Result<bool, Fault> {
    let mut reader = TarReader::new(reader, End::Required);
    let mut read = 0;
    while read <= DOCUMENT
        && let Some(next) = reader.next_member()?
    {
        if member(&next) {
            return Ok(true);
        }
        read = read.saturating_add(next.size).saturating_add(512);
    }
    Ok(false)
}

/// Reads a compressed archive to its end. Gives the contents of small files; `None` if `stop` said so.
fn first_pass(
    reader: Box<dyn Read + Send + '_>,
    stop: &dyn Fn(&Member) -> bool,
    members: &mut HashMap<Vec<u8>, Entry>,
) -> Result<Option<Contents>, Fault> {
    let mut reader = TarReader::new(Bounded::new(reader), End::Required);
    let mut small = HashMap::new();
    let mut left = SMALL;
    let mut number = 0;
    while let Some(member) = reader.next_member()? {
        if stop(&member) {
            return Ok(None);
        }
        if number == MEMBERS {
            return Err(Fault::new(format!(
                "an archive of images with more than {MEMBERS} members"
            )));
        }
        add(members, number, &member)?;
        if member.kind == MemberKind::File && member.size <= DOCUMENT.min(left) {
            let mut content = Vec::new();
            let read = reader.read_to_end(&mut content);
            read.map_err(|why| Fault::new(format!("`{}`: {why}", OsText::new(&member.path))))?;
            left -= member.size;
            small.insert(number, content.into());
        }
        number += 1;
    }
    Ok(Some(small))
}

/// Lists a member. A second one of the same path would be another image for some readers.
fn add(members: &mut HashMap<Vec<u8>, Entry>, number: usize, member: &Member) -> Result<(), Fault> {
    let entry = match &member.kind {
        MemberKind::File => Entry::File {
            size: member.size,
            number,
        },
        MemberKind::HardLink(target) => Entry::Alias(target.clone()),
        // Docker makes links of layers that it has written already.
        MemberKind::Link(target) => match beside(&member.path, target) {
            Some(target) => Entry::Alias(target),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    match members.insert(member.path.clone(), entry) {
        None => Ok(()),
        Some(_) => Err(Fault::new(format!(
            "`{}`: a second member of the same path: readers differ in which of the two they take",
            OsText::new(&member.path)
        ))),
    }
}

/// The path that a relative link leads to; `None` if it leads out of the archive.
fn beside(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    names.pop();
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join(&b'/'))
}

impl Streamed {
    /// Opens a member, in the present pass if it has not come to it yet.
    fn open(&self, file: &Bytes, number: usize, size: u64) -> Result<Box<dyn Read + Send>, Fault> {
        let changed = || Fault::new("the archive changed since it was first read");
        let present = self.cursor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut cursor = if let Some(cursor) = present.filter(|cursor| cursor.next <= number) {
            cursor
        } else {
            let (_, reader) = decompress_recognised(Sequential::new(file.clone()))?;
            let reader: Box<dyn Read + Send> = Box::new(Bounded::new(reader));
            Cursor {
                reader: TarReader::new(reader, End::Required),
                next: 0,
            }
        };
        loop {
            let member = cursor.reader.next_member()?.ok_or_else(changed)?;
            cursor.next += 1;
            if cursor.next > number {
                if member.kind != MemberKind::File || member.size != size {
                    return Err(changed());
                }
                return Ok(Box::new(Lent {
                    cursor: Some(cursor),
                    home: Arc::clone(&self.cursor),
                }));
            }
        }
    }
}

/// A member's content, which gives the pass back when it has been read.
struct Lent {
    cursor: Option<Cursor>,
    home: Arc<Mutex<Option<Cursor>>>,
}

impl Read for Lent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(0);
        };
        let read = cursor.reader.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.cursor.take();
        }
        Ok(read)
    }
}

/// Whether archives of images have such members: layouts and what Docker, containers/image, Bazel, Jib and Nix write.
fn may_be_in_images(path: &[u8]) -> bool {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let is_id = |name: &[u8]| name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit);
    match first {
        b"" | b"blobs" | b"oci-layout" | b"repositories" => true,
        name if is_id(name) || name.strip_prefix(b"sha256:").is_some_and(is_id) => true,
        name => {
            path == name
                && [&b".json"[..], b".tar", b".tar.gz"]
                    .iter()
                    .any(|end| name.ends_with(end))
        }
    }
}

/// Bytes of small files that are kept from the first pass.
const SMALL: u64 = 64 << 20;
/// Most members of a compressed archive of images.
const MEMBERS: usize = 1 << 16;
/// Names that lead to one file at most.
const ALIASES: usize = 8;
