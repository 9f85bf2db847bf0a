//! The parser itself: headers, the extension headers before them, the content behind them, and the end.

use std::io;
use std::mem;

use super::End;
use super::header::{BLOCK, Block, Dialect, Header};
use super::member::{Member, MemberKind};
use super::path::{normalise, told};
use super::pax::{self, Pax};
use super::sparse::{self, Map, OldGnuMap, Segment, StoredMap};
use super::stream::Stream;
use crate::source::file_system::Fault;

/// The longest content of an extension header, in bytes: a long name, or all pax records of a member.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The longest target of a symbolic link that Linux makes: `PATH_MAX` without its NUL.
const LONGEST_TARGET: usize = 4095;

/// The most zeros behind the end mark, in bytes: more than any tape's record, less than a compressed stream can hold
/// to keep its reader busy.
const MOST_ZEROS: u64 = 1 << 30;

/// Reads one archive.
pub(super) struct Parser<S> {
    stream: S,
    end: End,
    state: State,
    content: Content,
}

enum State {
    Ended,
    Failed(Fault),
    Reading,
}

impl<S: Stream> Parser<S> {
    pub(super) fn new(stream: S, end: End) -> Self {
        Self {
            stream,
            end,
            state: State::Reading,
            content: Content::default(),
        }
    }

    pub(super) const fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn next_member(&mut self) -> Result<Option<Member>, Fault> {
        match &self.state {
            State::Ended => return Ok(None),
            State::Failed(why) => return Err(why.clone()),
            State::Reading => {}
        }
        let next = self.advance();
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(why) => self.state = State::Failed(why.clone()),
        }
        next
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::Failed(why) = &self.state {
            return Err(io::Error::other(why.clone()));
        }
        match self.content.read(&mut self.stream, buffer) {
            Err(why) if why.kind() != io::ErrorKind::Interrupted => {
                let fault = self.stopped("the content of a member", &why);
                self.state = State::Failed(fault.clone());
                Err(io::Error::new(why.kind(), fault))
            }
            read => read,
        }
    }

    fn advance(&mut self) -> Result<Option<Member>, Fault> {
        let (content, padding) = self.content.take_rest();
        self.stream
            .skip(content)
            .map_err(|why| self.stopped("the content of a member", &why))?;
        let ended = self.stream.position();
        match self.stream.skip(padding) {
            Ok(()) => {}
            // `umoci insert` writes layers that stop with the last byte of the last file.
            Err(why)
                if why.kind() == io::ErrorKind::UnexpectedEof
                    && self.end == End::MayBeMissing
                    && self.stream.position() == ended =>
            {
                return Ok(None);
            }
            Err(why) => return Err(self.stopped("the content of a member", &why)),
        }
        let mut extensions = Extensions::default();
        loop {
            let position = self.stream.position();
            let at = |why: Fault| Fault::new(format!("the header at byte {position}: {why}"));
            let Some(block) = self.block_or_end()? else {
                let cut = |what: &str| {
                    Fault::new(format!(
                        "the archive was cut: it has no {what} at byte {position}"
                    ))
                };
                return match self.end {
                    _ if !extensions.are_none() => Err(cut("member for its extension header")),
                    End::MayBeMissing => Ok(None),
                    End::Required => Err(cut("end mark")),
                };
            };
            if is_zero(&block) {
                extensions.check_none().map_err(at)?;
                self.check_end()?;
                return Ok(None);
            }
            let header = Header::parse(&block).map_err(at)?;
            match header.letter() {
                b'L' => {
                    let content = self.extension(&header).map_err(at)?;
                    extensions.set_name(content).map_err(at)?;
                }
                b'K' => {
                    let content = self.extension(&header).map_err(at)?;
                    extensions.set_link(content).map_err(at)?;
                }
                b'x' | b'X' => {
                    let content = self.extension(&header).map_err(at)?;
                    extensions.set_pax(&content).map_err(at)?;
                }
                b'g' => {
                    extensions.check_none().map_err(at)?;
                    let content = self.extension(&header).map_err(at)?;
                    pax::check_global(&content).map_err(at)?;
                }
                // A volume's label, which has nothing to do with the files.
                b'V' => {
                    extensions.check_none().map_err(at)?;
                    if !header.has_no_size() {
                        self.extension(&header).map_err(at)?;
                    }
                }
                _ => return self.member(&header, extensions).map(Some),
            }
        }
    }

    /// The next block; `None` if the archive ends here.
    fn block_or_end(&mut self) -> Result<Option<Block>, Fault> {
        let mut block = [0; BLOCK];
        let mut rest = &mut block[..];
        while !rest.is_empty() {
            match self.stream.read(rest) {
                Ok(0) if rest.len() == BLOCK => return Ok(None),
                Ok(0) => return Err(self.stopped("a header", &io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => rest = &mut rest[count..],
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(self.stopped("a header", &why)),
            }
        }
        Ok(Some(block))
    }

    fn block(&mut self) -> Result<Block, Fault> {
        let mut block = [0; BLOCK];
        self.stream
            .read_exact(&mut block)
            .map_err(|why| self.stopped("a header", &why))?;
        Ok(block)
    }

    /// Behind the block of zeros that ends the archive there are more zeros, to fill a second block and a tape's
    /// record, or nothing.
    fn check_end(&mut self) -> Result<(), Fault> {
        let start = self.stream.position();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(self.stopped("what follows the end mark", &why)),
            };
            if !is_zero(&buffer[..count]) {
                return Err(Fault::new(format!(
                    "data after the end of the archive, before byte {}",
                    self.stream.position()
                )));
            }
            if self.stream.position() - start > MOST_ZEROS {
                return Err(Fault::new(
                    "more than 1 GiB of zeros after the end of the archive",
                ));
            }
        }
    }

    /// The content of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let size = header.size()?;
        if size > LONGEST_EXTENSION {
            return Err(Fault::new(format!(
                "an extension header of {size} bytes, more than {LONGEST_EXTENSION}"
            )));
        }
        let size = usize::try_from(size).map_err(|_| Fault::new("an extension header that is too long"))?;
        let mut content = vec![0; size.next_multiple_of(BLOCK)];
        self.stream
            .read_exact(&mut content)
            .map_err(|why| self.stopped("an extension header", &why))?;
        content.truncate(size);
        Ok(content)
    }

    /// The member of a header.
    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member, Fault> {
        let Extensions { name, link, pax } = extensions;
        let mut pax = pax.unwrap_or_default();
        let path = match (&name, &pax.path) {
            (Some(path), _) | (None, Some(path)) => path.clone(),
            (None, None) => header.path().into_owned(),
        };
        let of = |path: &[u8], why: Fault| Fault::new(format!("member {}: {why}", told(path)));
        if name.is_some() && pax.path.is_some() || link.is_some() && pax.link.is_some() {
            let why = "GNU tar and pax both say its path or link, and readers heed either";
            return Err(of(&path, Fault::new(why)));
        }
        let sparse = mem::take(&mut pax.sparse)
            .settle()
            .map_err(|why| of(&path, why))?;
        let (path, sparse) = match sparse {
            Some(sparse) => (sparse.name.unwrap_or(path), Some((sparse.map, sparse.size))),
            None => (path, None),
        };
        let link = link.or_else(|| pax.link.take());
        let link = link.as_deref().unwrap_or_else(|| header.link());
        self.settle(header, &path, link, pax, sparse)
            .map_err(|why| of(&path, why))
    }

    /// The member of a header and what its extension headers say, ready to have its content read.
    fn settle(
        &mut self,
        header: &Header,
        path: &[u8],
        link: &[u8],
        pax: Pax,
        sparse: Option<(Map, u64)>,
    ) -> Result<Member, Fault> {
        let path = normalise(path)?;
        let kind = kind(header, path.of_directory, link, &pax)?;
        if !matches!(kind, MemberKind::Directory) {
            if path.bytes.is_empty() {
                return Err(Fault::new("only a directory can be the root"));
            }
            if path.of_directory {
                let why = "its path is that of a directory, but its type is another";
                return Err(Fault::new(why));
            }
        }
        // The pax size rules where the next header is, too.
        let stored = pax.size.map_or_else(|| header.size(), Ok)?;
        if stored != 0 && !matches!(kind, MemberKind::File) {
            return Err(Fault::new(format!(
                "it has {stored} bytes of content, which its type has not: some readers would take them for the \
                 next member"
            )));
        }
        self.content.segments.clear();
        let size = match (header.letter(), sparse) {
            (b'0' | 0, Some((map, size))) => self.pax_sparse(map, size, stored)?,
            (_, Some(_)) => return Err(Fault::new("a sparse map of what is no plain file")),
            (b'S', None) if pax.size.is_some() => {
                return Err(Fault::new("an old GNU sparse file with a pax size"));
            }
            (b'S', None) => self.old_gnu_sparse(header, stored)?,
            (_, None) => self
                .content
                .begin(self.stream.position(), stored, stored, false)?,
        };
        Ok(Member {
            path: path.bytes,
            kind,
            permissions: header.permissions()?,
            uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
            gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
            size,
            mtime: pax.mtime.map_or_else(|| header.mtime(), Ok)?,
            xattrs: pax.xattrs,
            acl: pax.acl,
            default_acl: pax.default_acl,
            immutable: pax.immutable,
            append_only: pax.append_only,
        })
    }

    fn old_gnu_sparse(&mut self, header: &Header, stored: u64) -> Result<u64, Fault> {
        if header.dialect() != Dialect::Gnu {
            return Err(Fault::new(
                "an old GNU sparse file in an archive of another format",
            ));
        }
        let size = header.real_size()?;
        let mut segments = mem::take(&mut self.content.segments);
        let mut map = OldGnuMap::new(&mut segments);
        map.take(header.sparse_map())?;
        let mut continues = header.sparse_map_continues();
        while continues {
            continues = map.take_block(&self.block()?)?;
        }
        self.content.segments = segments;
        self.content.begin(self.stream.position(), size, stored, true)
    }

    fn pax_sparse(&mut self, map: Map, size: u64, stored: u64) -> Result<u64, Fault> {
        let mut left = stored;
        match map {
            Map::Given(segments) => self.content.segments = segments,
            Map::Stored => {
                let mut segments = mem::take(&mut self.content.segments);
                let mut map = StoredMap::default();
                loop {
                    left = left
                        .checked_sub(BLOCK as u64)
                        .ok_or_else(|| Fault::new("its sparse map is longer than what is stored"))?;
                    if !map.take_block(&self.block()?, &mut segments)? {
                        break;
                    }
                }
                self.content.segments = segments;
            }
        }
        self.content.begin(self.stream.position(), size, left, true)
    }

    /// A fault about bytes that could not be read.
    fn stopped(&self, what: &str, why: &io::Error) -> Fault {
        let position = self.stream.position();
        match why.kind() {
            // Whoever gives the bytes may know more of why there are no more of them.
            io::ErrorKind::UnexpectedEof if why.get_ref().is_none() => Fault::new(format!(
                "the archive was cut: it ends in {what}, at byte {position}"
            )),
            _ => Fault::new(format!("in {what}, at byte {position} of the archive: {why}")),
        }
    }
}

/// Where the present member's content is.
#[derive(Default)]
pub(super) struct Content {
    /// Where data is; in order and not empty.
    segments: Vec<Segment>,
    /// The first segment that is not read to its end.
    segment: usize,
    /// The file's size, and how far it was read. Bytes.
    size: u64,
    at: u64,
    /// Bytes of data in the archive that were not read, and zeros that fill the last block.
    stored: u64,
    padding: u64,
    position: u64,
    sparse: bool,
}

impl Content {
    /// Begins to read a file of `size` bytes, `stored` of which are in the archive from `position` on. Returns the size.
    fn begin(&mut self, position: u64, size: u64, stored: u64, sparse: bool) -> Result<u64, Fault> {
        if !sparse {
            self.segments.push(Segment { offset: 0, size });
        }
        sparse::settle(&mut self.segments, size, stored)?;
        let end = position
            .checked_add(stored)
            .and_then(|end| end.checked_next_multiple_of(BLOCK as u64))
            .ok_or_else(|| Fault::new("its content is longer than any archive"))?;
        self.segment = 0;
        self.size = size;
        self.at = 0;
        self.stored = stored;
        self.padding = end - position - stored;
        self.position = position;
        self.sparse = sparse;
        Ok(size)
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn is_sparse(&self) -> bool {
        self.sparse
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How many bytes of the archive are left of this member; it has no more content after that.
    fn take_rest(&mut self) -> (u64, u64) {
        self.size = 0;
        self.at = 0;
        (mem::take(&mut self.stored), mem::take(&mut self.padding))
    }

    fn read(&mut self, stream: &mut impl Stream, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len() as u64;
        if wanted == 0 || self.at == self.size {
            return Ok(0);
        }
        let segment = self.segments.get(self.segment);
        let data = segment.map_or(self.size, |segment| segment.offset);
        if self.at < data {
            let count = wanted.min(data - self.at);
            part(buffer, count).fill(0);
            self.at += count;
            return usize::try_from(count).map_err(io::Error::other);
        }
        let end = segment.map_or(self.size, |segment| segment.offset + segment.size);
        let count = stream.read(part(buffer, end - self.at))?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.stored -= count as u64;
        if self.at == end {
            self.segment += 1;
        }
        Ok(count)
    }
}

/// The beginning of a buffer, at most `count` bytes.
fn part(buffer: &mut [u8], count: u64) -> &mut [u8] {
    let count = usize::try_from(count).map_or(buffer.len(), |count| count.min(buffer.len()));
    &mut buffer[..count]
}

/// What the extension headers before a member say of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl Extensions {
    fn set_name(&mut self, content: Vec<u8>) -> Result<(), Fault> {
        match self.name.replace(long_text(content)?) {
            Some(_) => Err(Fault::new("a second long name for the same member")),
            None => Ok(()),
        }
    }

    fn set_link(&mut self, content: Vec<u8>) -> Result<(), Fault> {
        match self.link.replace(long_text(content)?) {
            Some(_) => Err(Fault::new("a second long link for the same member")),
            None => Ok(()),
        }
    }

    fn set_pax(&mut self, content: &[u8]) -> Result<(), Fault> {
        match self.pax.replace(Pax::parse(content)?) {
            Some(_) => Err(Fault::new("a second extended header for the same member")),
            None => Ok(()),
        }
    }

    const fn are_none(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }

    fn check_none(&self) -> Result<(), Fault> {
        if self.are_none() {
            Ok(())
        } else {
            Err(Fault::new("an extension header before it has no member"))
        }
    }
}

/// The text in a GNU extension header: up to its NUL, behind which there is nothing else.
fn long_text(mut content: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let end = content
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(content.len());
    if !is_zero(content.get(end..).unwrap_or_default()) {
        return Err(Fault::new("a NUL inside of a long name"));
    }
    content.truncate(end);
    Ok(content)
}

/// The type of a member.
fn kind(header: &Header, of_directory: bool, link: &[u8], pax: &Pax) -> Result<MemberKind, Fault> {
    let device = || {
        let (major, minor) = header.device()?;
        let numbers = pax.device_major.or(major).zip(pax.device_minor.or(minor));
        numbers.ok_or_else(|| Fault::new("a device without numbers"))
    };
    Ok(match header.letter() {
        // Before there was a letter for directories, a slash told them.
        0 if of_directory => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::File,
        b'1' => {
            let target = normalise(link).map_err(|why| Fault::new(format!("its target has {why}")))?;
            if target.bytes.is_empty() {
                return Err(Fault::new("a hard link to the root"));
            }
            MemberKind::HardLink(target.bytes)
        }
        b'2' if link.is_empty() => return Err(Fault::new("a symbolic link without a target")),
        b'2' if link.contains(&0) => return Err(Fault::new("a NUL in a symbolic link's target")),
        b'2' if link.len() > LONGEST_TARGET => {
            return Err(Fault::new(format!(
                "a symbolic link's target of more than {LONGEST_TARGET} bytes"
            )));
        }
        b'2' => MemberKind::Link(link.to_vec()),
        b'3' => device().map(|(major, minor)| MemberKind::CharDevice(major, minor))?,
        b'4' => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
        b'5' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        b'M' => {
            return Err(Fault::new(
                "a part of a file that another volume holds the rest of: put the volumes together first",
            ));
        }
        b'D' => {
            return Err(Fault::new(
                "a directory of an incremental dump: a full archive is needed",
            ));
        }
        letter => {
            return Err(Fault::new(format!(
                "the type {} is not one that all readers know",
                told(&[letter])
            )));
        }
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    // Word by word: ends of archives can be long.
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
