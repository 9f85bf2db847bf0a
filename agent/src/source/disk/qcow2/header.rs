//! The header of a qcow2 image with its extensions: everything that decides how, and whether, it can be read.

use std::ops::Range;

use super::{BackingFile, Compression, Format, MAGIC, be32, be64, fault};
use crate::source::bytes::ReadAt;
use crate::source::file_system::Fault;

/// What of a header is needed for reading.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    /// Binary logarithm of the size of a cluster, 9 to 21.
    pub(super) cluster_bits: u32,
    /// Length of the virtual disk. Bytes.
    pub(super) size: u64,
    /// Where the L1 table is, and how many of its entries the virtual disk needs.
    pub(super) l1_at: u64,
    pub(super) l1_entries: u64,
    pub(super) compression: Compression,
    pub(super) backing: Option<BackingFile>,
    /// Where the header, the L1 table and the table of reference counts are: no guest data may lie there.
    pub(super) fixed: [Range<u64>; 3],
}

/// Reads and checks the header.
pub(super) fn parse(bytes: &dyn ReadAt) -> Result<Header, Fault> {
    let first = first_cluster(bytes)?;
    let cut = || fault("the header is cut");
    let word = |at| be32(&first, at).ok_or_else(cut);
    let long = |at| be64(&first, at).ok_or_else(cut);

    let version = word(4)?;
    let (length, compression) = match version {
        2 => (HEADER_2, Compression::Deflate),
        3 => features(&first)?,
        other => {
            return Err(fault(format!(
                "version {other} of the format is not known: {CONVERT}"
            )));
        }
    };
    match word(32)? {
        0 => {}
        1 => return Err(fault(format!("it is encrypted (AES): {CONVERT}"))),
        2 => return Err(fault(format!("it is encrypted (LUKS): {CONVERT}"))),
        other => return Err(fault(format!("it is encrypted (method {other}): {CONVERT}"))),
    }

    let cluster_bits = word(20)?;
    let cluster = 1_u64 << cluster_bits;
    let size = long(24)?;
    // An L1 entry is a table that fills a cluster with entries of 8 bytes, of a cluster each.
    let l1_entries = size.div_ceil(1 << (2 * cluster_bits - 3));
    let (l1_size, l1_at) = (u64::from(word(36)?), long(40)?);
    if l1_size * 8 > MAX_L1 {
        return Err(fault(format!("an L1 table of {l1_size} entries")));
    }
    if l1_entries > l1_size {
        return Err(fault(format!(
            "the L1 table has {l1_size} entries, but {size} bytes need {l1_entries}"
        )));
    }
    let l1 = table("L1 table", l1_at, l1_size * 8, cluster, bytes.size())?;
    let clusters = u64::from(word(56)?);
    if clusters > MAX_REFCOUNTS / cluster {
        return Err(fault(format!("a refcount table of {clusters} clusters")));
    }
    let refcounts = table(
        "refcount table",
        long(48)?,
        clusters * cluster,
        cluster,
        bytes.size(),
    )?;
    if l1.start < refcounts.end && refcounts.start < l1.end {
        return Err(fault("its tables overlap"));
    }

    Ok(Header {
        version,
        cluster_bits,
        size,
        l1_at,
        l1_entries,
        compression,
        backing: backing(&first, length)?,
        fixed: [0..cluster, l1, refcounts],
    })
}

/// The first cluster, as far as the file has it: nothing that is read of the header lies elsewhere.
fn first_cluster(bytes: &dyn ReadAt) -> Result<Vec<u8>, Fault> {
    let mut start = [0; HEADER_2];
    let cut = |_| fault("the header is cut");
    bytes.read_exact_at(&mut start, 0).map_err(cut)?;
    if !start.starts_with(MAGIC) {
        return Err(fault("it does not begin as a qcow2 image does"));
    }
    // Version 1 is another format, and has other things in these places.
    let bits = match be32(&start, 4) {
        Some(1) => return Err(Fault::new(format!("qcow: version 1 is not read: {CONVERT}"))),
        _ => be32(&start, 20).unwrap_or(0),
    };
    if !(9..=21).contains(&bits) {
        return Err(fault(format!("clusters of 2^{bits} bytes")));
    }
    let length = bytes.size().min(1 << bits);
    let mut first = vec![0; usize::try_from(length).unwrap_or(0)];
    bytes
        .read_exact_at(&mut first, 0)
        .map_err(|why| fault(format!("the header: {why}")))?;
    Ok(first)
}

/// What version 3 says beyond version 2: the header's length and how clusters are compressed.
fn features(first: &[u8]) -> Result<(usize, Compression), Fault> {
    let cut = || fault("the header is cut");
    let incompatible = be64(first, 72).ok_or_else(cut)?;
    // DIRTY: only the reference counts may be stale, which say which clusters are free. A reader of guest data
    // never asks them; the L1 and L2 tables are always written before the data counts as written.
    let known = DIRTY | COMPRESSION_TYPE;
    if incompatible & CORRUPT != 0 {
        return Err(fault(
            "it is marked as corrupt: repair a copy with `qemu-img check -r all IMAGE`",
        ));
    }
    if incompatible & EXTERNAL_DATA != 0 {
        return Err(fault(format!("its data is in another file: {CONVERT}")));
    }
    if incompatible & EXTENDED_L2 != 0 {
        return Err(fault(format!("it has extended L2 entries: {CONVERT}")));
    }
    if incompatible & !known != 0 {
        let unknown = incompatible & !known;
        return Err(fault(format!(
            "unknown incompatible features {unknown:#x}: {CONVERT}"
        )));
    }
    let order = be32(first, 96).ok_or_else(cut)?;
    if order > 6 {
        return Err(fault(format!("reference counts of 2^{order} bits")));
    }
    let length = be32(first, 100).ok_or_else(cut)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length < HEADER_3 || !length.is_multiple_of(8) || length > first.len() {
        return Err(fault(format!("a header of {length} bytes")));
    }
    // A field that the header is too short for counts as zero.
    let declared = if length > HEADER_3 {
        first.get(HEADER_3)
    } else {
        None
    };
    match (
        incompatible & COMPRESSION_TYPE != 0,
        declared.copied().unwrap_or(0),
    ) {
        (false, 0) => Ok((length, Compression::Deflate)),
        (true, 1) => Ok((length, Compression::Zstd)),
        (_, kind) => Err(fault(format!("unknown compression type {kind}: {CONVERT}"))),
    }
}

/// The name and format of the backing file.
fn backing(first: &[u8], header: usize) -> Result<Option<BackingFile>, Fault> {
    let cut = || fault("the header is cut");
    let at = usize::try_from(be64(first, 8).ok_or_else(cut)?).unwrap_or(usize::MAX);
    let length = be32(first, 16).ok_or_else(cut)?;
    let end = if at == 0 { first.len() } else { at };
    let stated = backing_format(first.get(header..end).unwrap_or_default())?;
    if at == 0 {
        return Ok(None);
    }
    let name = (1..=MAX_NAME)
        .contains(&length)
        .then(|| first.get(at..)?.get(..length as usize))
        .flatten()
        .filter(|name| at >= header && !name.contains(&0))
        .ok_or_else(|| fault("the name of its backing file is wrong"))?;
    let format = match stated {
        None => None,
        Some(b"raw") => Some(Format::Raw),
        Some(b"qcow2") => Some(Format::Qcow2),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err(fault(format!(
                "its backing file has the format `{}`, of which only raw and qcow2 are read: {CONVERT}",
                other.escape_debug()
            )));
        }
    };
    Ok(Some(BackingFile {
        name: name.to_vec(),
        format,
    }))
}

/// Looks through the header extensions, which may be ended by what follows them.
fn backing_format(mut area: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut format = None;
    while let (Some(kind), Some(length)) = (be32(area, 0), be32(area, 4)) {
        if kind == EXTENSIONS_END {
            break;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let data = area.get(8..).and_then(|rest| rest.get(..length));
        let data = data.ok_or_else(|| fault(format!("the header extension {kind:#010x} is cut")))?;
        match kind {
            BACKING_FORMAT if format.is_some() => return Err(fault("two formats of its backing file")),
            BACKING_FORMAT => format = Some(data),
            // Its bit is not set, or else nothing would have come this far.
            EXTERNAL_DATA_NAME => return Err(fault("it names an external data file that it does not use")),
            // Bitmaps, names of features, and what else may be ignored.
            _ => {}
        }
        area = area.get(8 + length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(format)
}

/// The place of a table, which must be a place that a table can have.
fn table(what: &str, at: u64, length: u64, cluster: u64, file: u64) -> Result<Range<u64>, Fault> {
    if length == 0 {
        return Ok(0..0);
    }
    if at < cluster || !at.is_multiple_of(cluster) {
        return Err(fault(format!("the {what} lies at {at}, where none can")));
    }
    let end = at
        .checked_add(length)
        .filter(|end| *end <= file)
        .ok_or_else(|| fault(format!("the {what} lies beyond the end of the file: is it cut?")))?;
    Ok(at..end)
}

/// The way out, wherever qemu can read what we do not.
const CONVERT: &str = "convert it with `qemu-img convert -O raw IMAGE OUT`";

const HEADER_2: usize = 72;
const HEADER_3: usize = 104;
/// The bounds that qemu has.
const MAX_L1: u64 = 32 << 20;
const MAX_REFCOUNTS: u64 = 8 << 20;
const MAX_NAME: u32 = 1023;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

const EXTENSIONS_END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTERNAL_DATA_NAME: u32 = 0x4441_5441;
