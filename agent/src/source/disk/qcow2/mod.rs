//! qcow2 images: the virtual disk that is in one, read as its guest would.
//!
//! Source: `docs/interop/qcow2.txt` of qemu; all numbers are big endian. An L1 table says where the L2 tables
//! are, and these say of each cluster of the virtual disk whether it is in the file, compressed in it, zeros,
//! or in the backing file. The active state is read; internal snapshots are not looked at.
//!
//! Refused, with the way out: encryption, external data files, extended L2 entries, images marked as corrupt,
//! features that are not known. What is only met on reading is an error of that read, never zeros: clusters
//! beyond the end of the file, at places where none can be, or that do not decompress to a whole cluster.
//!
//! A backing file is never opened because an image names it: that is the caller's decision ([`chain`]).

pub mod chain;

mod cache;
mod cluster;
mod header;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use cache::Slots;
use cluster::Cluster;

use crate::source::bytes::{Bytes, ReadAt};
use crate::source::file_system::Fault;

/// Whether bytes begin as a qcow2 image does, of any version.
#[must_use]
pub fn is_qcow2(bytes: &dyn ReadAt) -> bool {
    let mut magic = [0; 4];
    bytes.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC
}

/// The virtual disk of an image.
pub struct Qcow2 {
    file: Bytes,
    version: u32,
    cluster_bits: u32,
    size: u64,
    compression: Compression,
    /// Where the L2 tables are; 0 for none.
    l1: Box<[u64]>,
    /// Places in the file where no cluster can be.
    fixed: [Range<u64>; 3],
    /// L2 tables in slices of [`SLICE`] entries, by the number of their first cluster.
    tables: Slots<[u64]>,
    /// Decompressed clusters, by number.
    clusters: Slots<[u8]>,
    backing: Option<Bytes>,
}

/// The file below an image: what it does not have itself is read there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackingFile {
    /// The name as the image has it: as foreign as all of its bytes. Not empty, without NUL.
    pub name: Vec<u8>,
    /// Its format, if the image says so.
    pub format: Option<Format>,
}

/// Formats of a backing file. Never found out by looking: a guest can write a qcow2 header into its raw disk,
/// which would then name any file of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes are the disk.
    Raw,
    /// Another qcow2 image.
    Qcow2,
}

impl Format {
    /// The name as qemu spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    /// RFC 1951, without a header.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl Qcow2 {
    /// Opens an image. If it names a backing file, `backing` gives that one's virtual disk, or refuses it.
    pub fn open(
        file: Bytes,
        backing: &mut dyn FnMut(&BackingFile) -> Result<Bytes, Fault>,
    ) -> Result<Self, Fault> {
        let header = header::parse(&*file)?;
        let l1 = l1(&*file, &header)?;
        let backing = header.backing.as_ref().map(backing).transpose()?;
        let cluster = 1_usize << header.cluster_bits;
        Ok(Self {
            file,
            version: header.version,
            cluster_bits: header.cluster_bits,
            size: header.size,
            compression: header.compression,
            l1,
            fixed: header.fixed,
            tables: Slots::new(CACHED_TABLES / (slice_length(header.cluster_bits) * 8)),
            clusters: Slots::new((CACHED_CLUSTERS / cluster).min(MAX_CACHED)),
            backing,
        })
    }

    /// Where the cluster `index` is. `held` is the slice of an L2 table that was used last.
    fn cluster(&self, index: u64, held: &mut Option<(u64, Arc<[u64]>)>) -> io::Result<Cluster> {
        let length = slice_length(self.cluster_bits) as u64;
        let key = index / length;
        let slice = match held {
            Some((at, slice)) if *at == key => slice,
            _ => {
                let slice = self.tables.get(key, || self.load_slice(key * length))?;
                &held.insert((key, slice)).1
            }
        };
        // An empty slice: there is no table.
        let entry = usize::try_from(index % length).ok().and_then(|at| slice.get(at));
        let entry = entry.copied().unwrap_or(0);
        let bad = |why| {
            invalid(format!(
                "cluster {index} {why}: run `qemu-img check IMAGE` to see more"
            ))
        };
        let cluster = Cluster::of_entry(entry, self.version, self.cluster_bits).map_err(bad)?;
        let place = match cluster {
            Cluster::Absent | Cluster::Zero => return Ok(cluster),
            Cluster::Data(at) | Cluster::Compressed { at, .. } => at,
        };
        if place >= self.file.size() {
            return Err(bad("lies beyond the end of the file"));
        }
        // Tables begin at whole clusters, and so does what is not compressed: looking at its start is enough.
        if self.fixed.iter().any(|fixed| fixed.contains(&place)) {
            return Err(bad("lies in a table of the image"));
        }
        Ok(cluster)
    }

    /// Entries of an L2 table from that of the cluster `first` on; none if there is no table.
    fn load_slice(&self, first: u64) -> io::Result<Arc<[u64]>> {
        let bits = self.cluster_bits - 3;
        let table = usize::try_from(first >> bits).ok().and_then(|at| self.l1.get(at));
        let Some(table) = table.copied().filter(|at| *at != 0) else {
            return Ok(Arc::default());
        };
        let mut bytes = vec![0; slice_length(self.cluster_bits) * 8];
        let at = table + (first & ((1 << bits) - 1)) * 8;
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|why| invalid(format!("the L2 table at {table}: {why}")))?;
        let (entries, _) = bytes.as_chunks();
        Ok(entries.iter().map(|entry| u64::from_be_bytes(*entry)).collect())
    }

    /// What a cluster is, and how many of the `wanted` bytes from `offset` on can be read in one go.
    fn run(
        &self,
        offset: u64,
        wanted: usize,
        held: &mut Option<(u64, Arc<[u64]>)>,
    ) -> io::Result<(Cluster, usize)> {
        let size = 1_usize << self.cluster_bits;
        let index = offset >> self.cluster_bits;
        let first = self.cluster(index, held)?;
        let mut length = size - self.inside(offset);
        let mut next = index + 1;
        while length < wanted {
            let follows = match first {
                Cluster::Compressed { .. } => break,
                Cluster::Absent | Cluster::Zero => first,
                Cluster::Data(at) => Cluster::Data(at.saturating_add((next - index) << self.cluster_bits)),
            };
            if self.cluster(next, held)? != follows {
                break;
            }
            length += size;
            next += 1;
        }
        Ok((first, length.min(wanted)))
    }

    /// How far inside its cluster an offset is.
    const fn inside(&self, offset: u64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "less than a cluster of at most 2 MiB"
        )]
        let inside = (offset & ((1 << self.cluster_bits) - 1)) as usize;
        inside
    }

    /// The content of a compressed cluster.
    fn decompressed(&self, index: u64, at: u64, length: u64) -> io::Result<Arc<[u8]>> {
        self.clusters.get(index, || {
            // The last sector may be cut short by the end of the file; whether it is needed, its content tells.
            let length = length.min(self.file.size() - at);
            let mut packed = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut packed, at)?;
            let mut cluster = vec![0; 1 << self.cluster_bits];
            cluster::decompress(self.compression, &packed, &mut cluster)
                .map_err(|why| invalid(format!("compressed cluster {index}: {why}")))?;
            Ok(cluster.into())
        })
    }

    /// Reads what the image does not have itself. A backing file that is shorter ends in zeros.
    fn read_below(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(backing) = &self.backing else {
            buffer.fill(0);
            return Ok(());
        };
        let there = backing.size().saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(buffer.len());
        let (there, beyond) = buffer.split_at_mut(there);
        beyond.fill(0);
        if there.is_empty() {
            return Ok(());
        }
        backing.read_exact_at(there, offset)
    }
}

impl ReadAt for Qcow2 {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut held = None;
        while !buffer.is_empty() {
            let (cluster, length) = self.run(offset, buffer.len(), &mut held)?;
            let (part, rest) = buffer.split_at_mut(length);
            let inside = self.inside(offset);
            match cluster {
                Cluster::Absent => self.read_below(part, offset)?,
                Cluster::Zero => part.fill(0),
                Cluster::Data(at) => {
                    // qemu reads zeros beyond the end of the file, and would so hide that it is cut.
                    let at = at + inside as u64;
                    self.file
                        .read_exact_at(part, at)
                        .map_err(|why| match why.kind() {
                            io::ErrorKind::UnexpectedEof => invalid(format!(
                                "data at {at} lies beyond the end of the file: is it cut?"
                            )),
                            _ => why,
                        })?;
                }
                Cluster::Compressed { at, length: packed } => {
                    let whole = self.decompressed(offset >> self.cluster_bits, at, packed)?;
                    part.copy_from_slice(&whole[inside..inside + length]);
                }
            }
            buffer = rest;
            offset += length as u64;
        }
        Ok(())
    }
}

/// The L1 table as far as the virtual disk needs it: places of L2 tables.
fn l1(file: &dyn ReadAt, header: &header::Header) -> Result<Box<[u64]>, Fault> {
    // An empty disk needs none, and need not say where it is.
    if header.l1_entries == 0 {
        return Ok(Box::default());
    }
    // At most 32 MiB, which the header has made sure that the file has.
    let length = usize::try_from(header.l1_entries * 8).map_err(|_| fault("the L1 table is too long"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, header.l1_at)
        .map_err(|why| fault(format!("the L1 table: {why}")))?;
    let cluster = 1_u64 << header.cluster_bits;
    let place = |(index, entry): (usize, &[u8; 8])| {
        let entry = u64::from_be_bytes(*entry);
        let bad = |why| Err(fault(format!("L1 entry {index}: its table {why}")));
        let at = entry & L1_OFFSET;
        if entry & L1_RESERVED != 0 {
            return bad("has bits that are not known");
        }
        if at == 0 {
            return Ok(0);
        }
        if !at.is_multiple_of(cluster) {
            return bad("is not aligned");
        }
        if at + cluster > file.size() {
            return bad("lies beyond the end of the file: is it cut?");
        }
        if header.fixed.iter().any(|fixed| fixed.contains(&at)) {
            return bad("lies in another table");
        }
        Ok(at)
    };
    bytes.as_chunks().0.iter().enumerate().map(place).collect()
}

/// Entries of an L2 table that are read at once.
const fn slice_length(cluster_bits: u32) -> usize {
    let table = 1 << (cluster_bits - 3);
    if table < SLICE { table } else { SLICE }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|long| u64::from_be_bytes(*long))
}

fn fault(why: impl std::fmt::Display) -> Fault {
    Fault::new(format!("qcow2: {why}"))
}

fn invalid(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault(why))
}

const MAGIC: &[u8; 4] = b"QFI\xfb";
/// Bits 9 to 55.
const L1_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;

/// Entries of 8 bytes: a page of a table.
const SLICE: usize = 512;
/// Bytes of L2 tables that are kept: those of 64 GiB in clusters of 64 KiB.
const CACHED_TABLES: usize = 8 << 20;
/// Bytes of decompressed clusters that are kept; one cluster of 2 MiB for each of several threads.
const CACHED_CLUSTERS: usize = 16 << 20;
const MAX_CACHED: usize = 1024;
