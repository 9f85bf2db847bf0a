//! Bytes that can be read at any place: an image file, a partition of it, a virtual disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Bytes of known length that can be read at any place, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Length. Bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on. [`io::ErrorKind::UnexpectedEof`] if fewer are there.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Bytes that several readers share.
pub type Bytes = Arc<dyn ReadAt>;

/// A regular file.
#[derive(Debug)]
pub struct FileBytes {
    file: File,
    size: u64,
}

impl FileBytes {
    /// The content of an open regular file, as long as it is now.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// A part of other bytes, such as a partition or a member of an archive.
#[derive(Clone)]
pub struct Window {
    inner: Bytes,
    start: u64,
    size: u64,
}

impl Window {
    /// The `size` bytes of `inner` from `start` on; `None` if it does not have them.
    #[must_use]
    pub fn new(inner: Bytes, start: u64, size: u64) -> Option<Self> {
        (start.checked_add(size)? <= inner.size()).then_some(Self { inner, start, size })
    }
}

impl ReadAt for Window {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        within(self.size, buffer, offset)?;
        self.inner.read_exact_at(buffer, self.start + offset)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        within(self.size(), buffer, offset)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        buffer.copy_from_slice(&self[start..start + buffer.len()]);
        Ok(())
    }
}

/// Refuses a read beyond `size`.
fn within(size: u64, buffer: &[u8], offset: u64) -> io::Result<()> {
    match offset.checked_add(buffer.len() as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads bytes from one place on to their end.
pub struct Sequential {
    inner: Bytes,
    at: u64,
}

impl Sequential {
    /// From the beginning.
    #[must_use]
    pub const fn new(inner: Bytes) -> Self {
        Self { inner, at: 0 }
    }
}

impl io::Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.inner.size().saturating_sub(self.at);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.inner.read_exact_at(&mut buffer[..wanted], self.at)?;
        self.at += wanted as u64;
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_window_ends_where_it_ends() {
        let bytes: Bytes = Arc::new(b"0123456789".to_vec());
        assert!(Window::new(Arc::clone(&bytes), 8, 3).is_none());
        assert!(Window::new(Arc::clone(&bytes), u64::MAX, 3).is_none());
        let window = Window::new(bytes, 2, 5).unwrap();
        let mut two = [0; 2];
        window.read_exact_at(&mut two, 3).unwrap();
        assert_eq!(&two, b"56");
        let beyond = window.read_exact_at(&mut two, 4).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        assert!(window.read_exact_at(&mut two, u64::MAX).is_err());
        let mut all = Vec::new();
        Sequential::new(Arc::new(window)).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"23456");
    }
}
