//! Content of files.

use std::io::{self, Read};
use std::sync::Arc;

use super::Volume;
use super::field::{At as _, ensure};
use super::inode::{INLINE, Inode, MAP};
use super::runs::{Run, Runs};
use super::xattr;
use crate::source::file_system::Fault;

/// Reads a file from its beginning to its end, as much at once as the buffer and the image allow.
pub(super) struct Content {
    volume: Arc<Volume>,
    number: u32,
    runs: Runs,
    /// The run at `at` or the next one after it; `None` if there is no more.
    run: Option<Run>,
    /// Bytes.
    at: u64,
    size: u64,
}

/// The content of a regular file.
pub(super) fn open(volume: &Arc<Volume>, inode: &Inode) -> Result<Box<dyn Read + Send>, Fault> {
    inode.ensure_readable()?;
    if inode.has(INLINE) {
        let data = inline(volume, inode)?;
        let rest = inode.size - data.len() as u64;
        return Ok(Box::new(io::Cursor::new(data).chain(io::repeat(0).take(rest))));
    }
    let mut runs = Runs::of(volume, inode)?;
    let run = runs.next(volume)?;
    Ok(Box::new(Content {
        volume: Arc::clone(volume),
        number: inode.number,
        runs,
        run,
        at: 0,
        size: inode.size,
    }))
}

/// All content at once where it has at most `limit` bytes: of what is small or not a file.
pub(super) fn whole(volume: &Arc<Volume>, inode: &Inode, limit: u64) -> Result<Vec<u8>, Fault> {
    ensure(
        inode.size <= limit,
        format_args!("{} bytes where {limit} are the most", inode.size),
    )?;
    let mut content = Vec::new();
    open(volume, inode)?
        .read_to_end(&mut content)
        .map_err(|why| Fault(why.to_string()))?;
    Ok(content)
}

/// What an inode keeps in itself: in place of the map, and the rest in an extended attribute. At most `size` bytes;
/// fewer after the file was extended without being written, when the rest are zeros.
pub(super) fn inline(volume: &Volume, inode: &Inode) -> Result<Vec<u8>, Fault> {
    let mut data = inode.map()?.to_vec();
    debug_assert_eq!(data.len(), MAP, "the whole map");
    data.extend(xattr::inline_data(volume, inode)?);
    data.truncate(usize::try_from(inode.size).unwrap_or(usize::MAX));
    Ok(data)
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(buffer)
            .at(format_args!("inode {}", self.number))
            .map_err(io::Error::other)
    }
}

impl Content {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let block = self.volume.blocks.size as u64;
        while let Some(run) = self.run
            && (run.start + run.length) * block <= self.at
        {
            self.run = self.runs.next(&self.volume)?;
        }
        // Up to `end` there is one thing: a hole, or the run that it is.
        let (end, physical) = match self.run {
            Some(run) if run.start * block <= self.at => (
                (run.start + run.length) * block,
                run.physical.map(|first| (first, run.start)),
            ),
            Some(run) => (run.start * block, None),
            None => (self.size, None),
        };
        let left = end.min(self.size) - self.at;
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(part) = buffer.get_mut(..length) else {
            return Ok(0);
        };
        match physical {
            Some((first, start)) => self.volume.blocks.read(part, first, self.at - start * block)?,
            None => part.fill(0),
        }
        self.at += length as u64;
        Ok(length)
    }
}
