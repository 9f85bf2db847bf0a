//! What an L2 entry says of a cluster, and the content of a compressed one.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::Compression;

/// Where the content of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    /// Not in this image: in the backing file, if there is one.
    Absent,
    /// Zeros, whatever the backing file has.
    Zero,
    /// At this place in the file.
    Data(u64),
    /// Compressed, in these bytes of the file at most.
    Compressed { at: u64, length: u64 },
}

impl Cluster {
    /// Decodes an entry of an L2 table; an error names what it cannot be.
    pub(super) fn of_entry(entry: u64, version: u32, cluster_bits: u32) -> Result<Self, &'static str> {
        if entry & COMPRESSED != 0 {
            if entry & COPIED != 0 {
                return Err("is compressed and to be written in place");
            }
            let shift = 62 - (cluster_bits - 8);
            let at = entry & ((1 << shift) - 1);
            // Bytes up to the end of the first sector, and whole sectors beyond it.
            let further = (entry & !COMPRESSED) >> shift;
            let length = (further + 1) * SECTOR - at % SECTOR;
            return Ok(Self::Compressed { at, length });
        }
        let (at, zero) = (entry & OFFSET, entry & ZERO != 0);
        if entry & RESERVED != 0 || (zero && version < 3) {
            return Err("has bits that this version does not know");
        }
        if !at.is_multiple_of(1 << cluster_bits) {
            return Err("is not aligned");
        }
        match (at, zero) {
            (_, true) => Ok(Self::Zero),
            (0, false) if entry & COPIED != 0 => Err("lies at the header"),
            (0, false) => Ok(Self::Absent),
            (at, false) => Ok(Self::Data(at)),
        }
    }
}

/// Decompresses a cluster into `cluster`, which it must fill. What follows it in the same sector is not looked
/// at: the next cluster begins there.
pub(super) fn decompress(how: Compression, packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    match how {
        Compression::Deflate => {
            let mut inflate = Decompress::new(false);
            let status = inflate.decompress(packed, cluster, FlushDecompress::Finish)?;
            // The end of the stream may not have been met when the cluster was full: qemu does not ask for it
            // either.
            let full = inflate.total_out() == cluster.len() as u64;
            match status {
                Status::Ok | Status::StreamEnd | Status::BufError if full => Ok(()),
                _ => Err(short()),
            }
        }
        Compression::Zstd => {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW))?;
            let mut input = InBuffer::around(packed);
            let mut output = OutBuffer::around(cluster);
            loop {
                let before = (input.pos(), output.pos());
                let hint = decoder.run(&mut input, &mut output)?;
                let full = output.pos() == output.capacity();
                // 0: a frame has ended, with its checksum if it has one.
                if full && hint == 0 {
                    return Ok(());
                }
                if before == (input.pos(), output.pos()) {
                    return Err(short());
                }
            }
        }
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not fill its cluster")
}

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Bits 9 to 55.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const RESERVED: u64 = 0x3f00_0000_0000_01fe;
const SECTOR: u64 = 512;

/// Four times the largest cluster: a window that no writer has a use for, and a bound on memory.
const MAX_WINDOW: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_the_specification_says() {
        for (entry, version, expected) in [
            (0, 3, Ok(Cluster::Absent)),
            (1, 3, Ok(Cluster::Zero)),
            (COPIED | 0x5_0001, 3, Ok(Cluster::Zero)),
            (COPIED | 0x5_0000, 2, Ok(Cluster::Data(0x5_0000))),
            (0x5_0000, 3, Ok(Cluster::Data(0x5_0000))),
            (1, 2, Err("has bits that this version does not know")),
            (0x5_0002, 3, Err("has bits that this version does not know")),
            (1 << 56, 3, Err("has bits that this version does not know")),
            (0x5_0200, 3, Err("is not aligned")),
            (COPIED, 3, Err("lies at the header")),
            (
                COPIED | COMPRESSED | 0x5_0000,
                3,
                Err("is compressed and to be written in place"),
            ),
            (
                COMPRESSED | 0x5_0123,
                3,
                Ok(Cluster::Compressed {
                    at: 0x5_0123,
                    length: 512 - 0x123,
                }),
            ),
            (
                COMPRESSED | 3 << 54 | 0x5_03ff,
                2,
                Ok(Cluster::Compressed {
                    at: 0x5_03ff,
                    length: 3 * 512 + 1,
                }),
            ),
        ] {
            assert_eq!(Cluster::of_entry(entry, version, 16), expected, "{entry:#x}");
        }
    }

    #[test]
    fn only_a_full_cluster_will_do() {
        let text = vec![7; 4096];
        let zstd = zstd_of(&text);
        let mut deflate = Vec::with_capacity(4096);
        flate2::Compress::new(flate2::Compression::default(), false)
            .compress_vec(&text, &mut deflate, flate2::FlushCompress::Finish)
            .unwrap();
        for (how, packed) in [(Compression::Zstd, zstd), (Compression::Deflate, deflate)] {
            let mut cluster = vec![0; 4096];
            decompress(how, &packed, &mut cluster).unwrap();
            assert_eq!(cluster, text, "{how:?}");
            // What follows belongs to the next cluster.
            let followed = [&packed[..], b"garbage"].concat();
            decompress(how, &followed, &mut cluster).unwrap();
            assert_eq!(cluster, text, "{how:?}");
            // Too little, and cut.
            assert!(decompress(how, &packed, &mut vec![0; 8192]).is_err(), "{how:?}");
            assert!(decompress(how, &packed[..8], &mut cluster).is_err(), "{how:?}");
            assert!(decompress(how, b"", &mut cluster).is_err(), "{how:?}");
        }
        // Ends within a frame: qemu refuses it too.
        let long = zstd_of(&vec![7; 8192]);
        assert!(decompress(Compression::Zstd, &long, &mut vec![0; 4096]).is_err());
    }

    fn zstd_of(text: &[u8]) -> Vec<u8> {
        let mut packed = vec![0; 8192];
        let mut encoder = zstd::stream::raw::Encoder::new(3).unwrap();
        let mut output = OutBuffer::around(&mut packed[..]);
        encoder.run(&mut InBuffer::around(text), &mut output).unwrap();
        encoder.finish(&mut output, true).unwrap();
        let end = output.pos();
        packed.truncate(end);
        packed
    }
}
