//! Reads a baseline and believes nothing: spelling, order, counts and digests are checked on every read.
//!
//! A cut file is never taken for a short one: the last entry is only followed by "no more" after the trailer
//! has been read and agrees with all that came before it.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use zstd::stream::read::Decoder;

use crate::envelope::{BadEnvelopes, Envelopes, FRAME, LIMIT};
use crate::header::{End, FORMAT_VERSION, HEADER_START, Header, Trailer, are_sound};
use crate::line::Malformed;
use crate::order;
use crate::writer::{LINE_LIMIT, Sums};
use crate::{Line, Reference};

/// Largest window that a baseline may ask a reader to keep, as a power of two: 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Bytes decompressed at a time.
const CHUNK: usize = 128 << 10;
/// What every zstd frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads one baseline, entry by entry, in memory that does not grow with it.
pub struct BaselineReader<R: BufRead> {
    input: Lines<R>,
    header: Header,
    header_line: String,
    names: Vec<String>,
    sums: Sums,
    last_key: String,
    current: Option<Range<usize>>,
    end: Option<(End, Tail)>,
}

/// All of a baseline that was read to its end, but for its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The header.
    pub header: Header,
    /// The trailer's content.
    pub end: End,
    /// The envelopes that are attached. Nobody has verified a signature yet.
    pub envelopes: Envelopes,
    /// Length of the baseline without what is attached. Bytes.
    pub length: u64,
}

impl<R: BufRead> BaselineReader<R> {
    /// Reads the header and the first entry.
    pub fn open(mut input: R) -> Result<Self, ReadError> {
        let start = input.fill_buf()?;
        if start.len() < MAGIC.len() || !start.starts_with(&MAGIC) {
            return Err(ReadError::Foreign("it is not a zstd file"));
        }
        let mut decoder = Decoder::with_buffer(Counted {
            inner: input,
            passed: 0,
        })?
        .single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        let mut input = Lines {
            decoder: Some(decoder),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            number: 0,
        };
        let line = input.next()?.ok_or(ReadError::Truncated { after: 0 })?;
        let bytes = &input.buffer[line];
        if !bytes.starts_with(HEADER_START.as_bytes()) {
            return Err(ReadError::Foreign(
                "its first line is not the header of a baseline",
            ));
        }
        let header_line =
            String::from_utf8(bytes.to_vec()).map_err(|_| ReadError::Foreign("its header is not UTF-8"))?;
        let version: Version = serde_json::from_str(&header_line).map_err(ReadError::Header)?;
        if version.format == 0 {
            return Err(ReadError::Foreign("there is no format version 0"));
        }
        if version.format > FORMAT_VERSION {
            return Err(ReadError::Version(version.format));
        }
        let header: Header = serde_json::from_str(&header_line).map_err(ReadError::Header)?;
        let names: Vec<String> = header
            .sections
            .iter()
            .map(|section| section.name.clone())
            .collect();
        if !are_sound(&names) {
            return Err(ReadError::Sections);
        }
        let sums = Sums::new(&header_line, names.len());
        let mut reader = Self {
            input,
            header,
            header_line,
            names,
            sums,
            last_key: String::new(),
            current: None,
            end: None,
        };
        reader.advance()?;
        Ok(reader)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The header as it stands in the file, without its line end.
    #[must_use]
    pub fn header_line(&self) -> &str {
        &self.header_line
    }

    /// The trailer's content; `None` before the last entry has been passed.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref().map(|(end, _)| end)
    }

    /// Reads all that is left, which checks it, and returns the trailer's content.
    pub fn verify(self) -> Result<End, ReadError> {
        self.seal().map(|sealed| sealed.end)
    }

    /// Reads all that is left, which checks it, and returns what is known of the whole.
    pub fn seal(mut self) -> Result<Sealed, ReadError> {
        while self.current.is_some() {
            self.advance()?;
        }
        let (end, tail) = self.end.ok_or(ReadError::Truncated {
            after: self.input.number,
        })?;
        Ok(Sealed {
            header: self.header,
            end,
            envelopes: tail.envelopes,
            length: tail.length,
        })
    }

    fn entry(&mut self, range: Range<usize>) -> Result<(), ReadError> {
        let number = self.input.number;
        let line = Line::parse(&self.input.buffer[range.clone()])
            .map_err(|why| ReadError::Malformed { line: number, why })?;
        let key = line.key();
        let at = self.sums.section;
        if self.names.get(at).map(String::as_str) == Some(line.section()) {
            if self.sums.count > 0 && order::compare_keys(&self.last_key, &key).is_ge() {
                let (after, found) = (self.last_key.clone(), key.into_owned());
                return Err(ReadError::OutOfOrder {
                    line: number,
                    found,
                    after,
                });
            }
        } else {
            match self
                .names
                .iter()
                .skip(at + 1)
                .position(|name| name == line.section())
            {
                Some(later) => self.sums.enter(at + 1 + later),
                None => {
                    return Err(ReadError::WrongSection {
                        line: number,
                        section: line.section().to_owned(),
                    });
                }
            }
        }
        self.sums.line(line.as_str());
        self.last_key.clear();
        self.last_key.push_str(&key);
        self.current = Some(range);
        Ok(())
    }

    fn trailer(&mut self, range: Range<usize>) -> Result<(), ReadError> {
        let number = self.input.number;
        let bytes = &self.input.buffer[range];
        let trailer: Trailer =
            serde_json::from_slice(bytes).map_err(|why| ReadError::Trailer { line: number, why })?;
        let found = self.sums.end(&self.names);
        for (said, is) in trailer.end.sections.iter().zip(&found.sections) {
            if said != is {
                return Err(ReadError::SectionDiffers {
                    section: is.name.clone(),
                });
            }
        }
        if trailer.end != found {
            return Err(ReadError::DigestDiffers);
        }
        // No digest covers the trailer, so nothing may be in it but what follows from the rest.
        let text = found
            .to_line()
            .map_err(|why| ReadError::Trailer { line: number, why })?;
        if bytes != text.as_bytes() {
            let offset = bytes
                .iter()
                .zip(text.as_bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let why = "the trailer is not in its one spelling";
            return Err(ReadError::Malformed {
                line: number,
                why: Malformed { offset, why },
            });
        }
        let tail = self.input.tail()?;
        self.end = Some((found, tail));
        Ok(())
    }
}

impl<R: BufRead> Reference for BaselineReader<R> {
    fn current(&self) -> Option<Line<'_>> {
        let text = std::str::from_utf8(&self.input.buffer[self.current.clone()?]).ok()?;
        Line::trusted(text)
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        self.current = None;
        if self.end.is_some() {
            return Ok(());
        }
        let Some(range) = self.input.next()? else {
            return Err(ReadError::Truncated {
                after: self.input.number,
            });
        };
        match self.input.buffer.get(range.start) {
            Some(b'{') => self.trailer(range),
            _ => self.entry(range),
        }
    }
}

impl<R: BufRead> fmt::Debug for BaselineReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaselineReader")
            .field("line", &self.input.number)
            .finish_non_exhaustive()
    }
}

/// The part of a header that is read before its version is known.
#[derive(serde::Deserialize)]
struct Version {
    #[serde(rename = "driftcheck-baseline")]
    format: u32,
}

/// Lines out of the decompressor, in one buffer that is reused.
struct Lines<R: BufRead> {
    /// `None` once the frame has ended.
    decoder: Option<Decoder<'static, Counted<R>>>,
    buffer: Vec<u8>,
    /// Undelivered bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Number of the line delivered last, from 1.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line's place in the buffer, without its line end; `None` at the end of the frame.
    fn next(&mut self) -> Result<Option<Range<usize>>, ReadError> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let range = self.start..searched + at;
                self.start = range.end + 1;
                self.number += 1;
                // How much is decompressed at a time must not decide what is too long.
                if range.len() > LINE_LIMIT {
                    return Err(ReadError::TooLong { line: self.number });
                }
                return Ok(Some(range));
            }
            if self.end - self.start > LINE_LIMIT {
                return Err(ReadError::TooLong {
                    line: self.number + 1,
                });
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            searched = self.end;
            if self.buffer.len() < self.end + CHUNK {
                self.buffer.resize(self.end + CHUNK, 0);
            }
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            let read = decoder
                .read(&mut self.buffer[self.end..])
                .map_err(|why| ReadError::Damaged {
                    after: self.number,
                    why: why.to_string(),
                })?;
            self.end += read;
            if read == 0 {
                return if self.end == 0 {
                    Ok(None)
                } else {
                    Err(ReadError::Truncated { after: self.number })
                };
            }
        }
    }

    /// Checks that nothing follows in the frame, whose checksum is verified by reading to its end, and nothing but
    /// envelopes after it.
    fn tail(&mut self) -> Result<Tail, ReadError> {
        if self.next()?.is_some() {
            return Err(ReadError::AfterTrailer);
        }
        let Some(decoder) = self.decoder.take() else {
            return Err(ReadError::AfterTrailer);
        };
        let Counted { mut inner, passed } = decoder.finish();
        Ok(Tail {
            envelopes: attached(&mut inner)?,
            length: passed,
        })
    }
}

/// What comes after a baseline's frame.
struct Tail {
    envelopes: Envelopes,
    /// Length of the frame. Bytes.
    length: u64,
}

/// The envelopes between here and the end of the file.
fn attached(input: &mut impl BufRead) -> Result<Envelopes, ReadError> {
    if input.fill_buf()?.is_empty() {
        return Ok(Envelopes::default());
    }
    let mut head = Vec::new();
    input.by_ref().take(8).read_to_end(&mut head)?;
    let (magic, length) = head
        .split_first_chunk::<4>()
        .and_then(|(magic, rest)| Some((magic, u32::from_le_bytes(rest.try_into().ok()?))))
        .ok_or(ReadError::AfterTrailer)?;
    if *magic != FRAME {
        return Err(ReadError::AfterTrailer);
    }
    if length as usize > LIMIT {
        return Err(ReadError::Envelopes(BadEnvelopes::TooLong));
    }
    let mut text = Vec::new();
    input.by_ref().take(length.into()).read_to_end(&mut text)?;
    if text.len() != length as usize {
        return Err(ReadError::CutEnvelopes);
    }
    if !input.fill_buf()?.is_empty() {
        return Err(ReadError::AfterTrailer);
    }
    Envelopes::parse(&text).map_err(ReadError::Envelopes)
}

/// A reader that counts what has been taken from it.
struct Counted<R> {
    inner: R,
    /// Bytes.
    passed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.passed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.passed += amount as u64;
    }
}

/// Why a file is not taken as a baseline.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It is something else.
    Foreign(&'static str),
    /// It was written in a format version that this release does not read.
    Version(u32),
    /// The header cannot be understood.
    Header(serde_json::Error),
    /// The header's sections are not sorted, one is listed twice, or a name is none.
    Sections,
    /// An entry is not in its one spelling. Lines count from 1, the header.
    Malformed {
        /// The line.
        line: u64,
        /// What is wrong with it.
        why: Malformed,
    },
    /// An entry's key is not after the one before it.
    OutOfOrder {
        /// The line.
        line: u64,
        /// Its key.
        found: String,
        /// The key before it.
        after: String,
    },
    /// An entry's section is not in the header, or has been left already.
    WrongSection {
        /// The line.
        line: u64,
        /// The section.
        section: String,
    },
    /// A line is longer than [`LINE_LIMIT`].
    TooLong {
        /// The line.
        line: u64,
    },
    /// The compressed data is broken or cut.
    Damaged {
        /// The last good line.
        after: u64,
        /// What the decompressor says.
        why: String,
    },
    /// It ends before its trailer.
    Truncated {
        /// The last line.
        after: u64,
    },
    /// The trailer cannot be understood.
    Trailer {
        /// The line.
        line: u64,
        /// Why.
        why: serde_json::Error,
    },
    /// A section's count or digest is not what the trailer says.
    SectionDiffers {
        /// The section.
        section: String,
    },
    /// The digest over everything is not what the trailer says.
    DigestDiffers,
    /// Something follows the trailer that is not envelopes.
    AfterTrailer,
    /// The envelopes that are attached are cut.
    CutEnvelopes,
    /// What is attached as envelopes is none.
    Envelopes(BadEnvelopes),
    /// The file cannot be read.
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(why) => write!(f, "not a driftcheck baseline: {why}"),
            Self::Version(found) => write!(
                f,
                "written in format version {found}; this release reads up to version {FORMAT_VERSION}: use a newer driftcheck"
            ),
            Self::Header(why) => write!(f, "line 1: the header cannot be understood: {why}"),
            Self::Sections => f.write_str(
                "line 1: the header's section names are not sorted, or have a character other than a-z, 0-9, -",
            ),
            Self::Malformed { line, why } => write!(f, "line {line}: {why}"),
            Self::OutOfOrder { line, found, after } => {
                write!(f, "line {line}: entries out of order: `{found}` after `{after}`")
            }
            Self::WrongSection { line, section } => {
                write!(
                    f,
                    "line {line}: section `{section}` is not in the header, or had ended before"
                )
            }
            Self::TooLong { line } => write!(f, "line {line}: longer than {LINE_LIMIT} bytes"),
            Self::Damaged { after, why } => write!(
                f,
                "the compressed data is cut or broken after line {after}: {why}"
            ),
            Self::Truncated { after } => write!(f, "cut: it ends after line {after}, before its trailer"),
            Self::Trailer { line, why } => write!(f, "line {line}: the trailer cannot be understood: {why}"),
            Self::SectionDiffers { section } => {
                write!(
                    f,
                    "section `{section}` does not have the count and digest that the trailer gives"
                )
            }
            Self::DigestDiffers => {
                f.write_str("the digest over everything is not the one that the trailer gives")
            }
            Self::AfterTrailer => f.write_str("something follows the trailer"),
            Self::CutEnvelopes => f.write_str("cut: it ends in the signatures that are attached"),
            Self::Envelopes(why) => write!(f, "the signatures that are attached: {why}"),
            Self::Io(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Header(why) | Self::Trailer { why, .. } => Some(why),
            Self::Malformed { why, .. } => Some(why),
            Self::Envelopes(why) => Some(why),
            Self::Io(why) => Some(why),
            _ => None,
        }
    }
}
