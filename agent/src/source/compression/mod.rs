//! Compressed streams: gzip, xz and Zstandard.
//!
//! A stream's end is told only when it was read to its own end and every checksum in it matched. A cut or damaged
//! stream, or one with anything behind it, is an error. All members of a gzip stream (as pigz and bgzip write them), all
//! streams of an xz file and all frames of a Zstandard stream are read, one behind the other.
//!
//! Memory is bounded: what asks for a larger window is refused, with the way to compress it that does not. bzip2 and
//! others are recognised and refused.
//!
//! Sources: RFC 1952 (gzip), the .xz file format 1.2.1, RFC 8878 (Zstandard).

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::file_system::Fault;

mod ahead;
mod hashed;
#[cfg(test)]
mod tests;

pub use ahead::{Ahead, ahead};
pub use hashed::{Hashed, Passed, Verified};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no compression",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// How many bytes of a stream [`recognise`] needs, unless the stream is shorter.
pub const RECOGNISED_BY: usize = 10;

/// How the stream that begins with `first` is compressed. A fault if that is known, but cannot be read here; what is
/// not known is taken as not compressed.
pub fn recognise(first: &[u8]) -> Result<Compression, Fault> {
    let refused = |name: &str| {
        Err(Fault::new(format!(
            "compressed with {name}, which is not read here: decompress it first, or compress it with gzip, xz or zstd"
        )))
    };
    match first {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Compression::Xz),
        // A frame, or one to be skipped before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [
            b'B',
            b'Z',
            b'h',
            b'1'..=b'9',
            0x31,
            0x41,
            0x59,
            0x26,
            0x53,
            0x59,
            ..,
        ]
        | [
            b'B',
            b'Z',
            b'h',
            b'1'..=b'9',
            0x17,
            0x72,
            0x45,
            0x38,
            0x50,
            0x90,
            ..,
        ] => refused("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => refused("lz4"),
        [b'L', b'Z', b'I', b'P', 1, ..] => refused("lzip"),
        [0x89, b'L', b'Z', b'O', 0, ..] => refused("lzop"),
        [0x1f, 0x9d, ..] => refused("compress"),
        _ => Ok(Compression::None),
    }
}

/// The decompressed bytes of `reader`, which needs no buffer of its own.
pub fn decompress<'a, R: Read + Send + 'a>(
    reader: R,
    compression: Compression,
) -> Result<Box<dyn Read + Send + 'a>, Fault> {
    of_buffered(BufReader::with_capacity(BUFFER, reader), compression)
}

/// The decompressed bytes of `reader`, whose compression is told by its first bytes.
pub fn decompress_recognised<'a, R: Read + Send + 'a>(
    reader: R,
) -> Result<(Compression, Box<dyn Read + Send + 'a>), Fault> {
    let mut first = Vec::new();
    let mut reader = reader;
    reader
        .by_ref()
        .take(RECOGNISED_BY as u64)
        .read_to_end(&mut first)
        .map_err(|why| Fault::new(format!("cannot read its beginning: {why}")))?;
    let compression = recognise(&first)?;
    let reader = io::Cursor::new(first).chain(reader);
    Ok((compression, decompress(reader, compression)?))
}

fn of_buffered<'a, R: BufRead + Send + 'a>(
    reader: R,
    compression: Compression,
) -> Result<Box<dyn Read + Send + 'a>, Fault> {
    Ok(match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(Told::new(MultiGzDecoder::new(reader), compression)),
        Compression::Xz => {
            let decoder = XzReader::new_mem_limit(reader, true, XZ_MEMORY);
            Box::new(Told::new(decoder, compression))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)
                .map_err(|why| Fault::new(format!("zstd: {why}")))?;
            decoder
                .window_log_max(ZSTD_WINDOW)
                .map_err(|why| Fault::new(format!("zstd: {why}")))?;
            Box::new(Told::new(decoder, compression))
        }
    })
}

/// Compressed bytes that are read at once.
const BUFFER: usize = 128 << 10;
/// Windows of up to 128 MiB, which is what `zstd` itself takes without being asked for more.
const ZSTD_WINDOW: u32 = 27;
/// The largest dictionary of `xz -9` is 64 MiB; the decoder takes a little more. KiB.
const XZ_MEMORY: u32 = (64 << 10) + 1024;

/// What the decoders say of a stream that would pass these bounds; no code of theirs says so.
const XZ_TOO_LARGE: &str = "mem_limit_kb";
const ZSTD_TOO_LARGE: &str = "requires too much memory";

/// A decoder, whose errors say what it decodes and what to do, and stay.
struct Told<D> {
    decoder: D,
    compression: Compression,
    failed: Option<(io::ErrorKind, String)>,
}

impl<D> Told<D> {
    const fn new(decoder: D, compression: Compression) -> Self {
        Self {
            decoder,
            compression,
            failed: None,
        }
    }
}

impl<D> Told<D> {
    fn told(&self, why: &io::Error) -> String {
        let why = why.to_string();
        match self.compression {
            Compression::Xz if why.contains(XZ_TOO_LARGE) => {
                "the xz stream asks for a dictionary of more than 64 MiB: compress with `xz -9` or less".into()
            }
            Compression::Zstd if why.contains(ZSTD_TOO_LARGE) => {
                "the zstd stream asks for a window of more than 128 MiB: compress with `zstd --long=27` or less".into()
            }
            compression => format!("the {compression} stream is cut or damaged: {why}"),
        }
    }
}

impl<D: Read> Read for Told<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, told)) = &self.failed {
            return Err(io::Error::new(*kind, told.clone()));
        }
        match self.decoder.read(buffer) {
            Err(why) if why.kind() != io::ErrorKind::Interrupted => {
                let told = self.told(&why);
                self.failed = Some((why.kind(), told.clone()));
                Err(io::Error::new(why.kind(), told))
            }
            read => read,
        }
    }
}
