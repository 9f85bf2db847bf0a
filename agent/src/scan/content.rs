//! Content that is being read, of a file on this machine or in an image.

use std::io::Read;

use crate::sys::{self, Metadata, explain};

/// A regular file's content, read from its beginning to its end.
pub(super) enum Content {
    /// Of a file that others may write to meanwhile.
    Live(sys::Content),
    /// Of a file in an image, which nobody changes.
    Image { content: Box<dyn Read + Send>, at: u64 },
}

impl Content {
    /// Reads on, as much as fits; 0 at the end. An error is a lower-case fragment.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match self {
            Self::Live(content) => content.read(buffer).map_err(explain),
            Self::Image { content, at } => {
                let read = content.read(buffer).map_err(|why| why.to_string())?;
                *at += read as u64;
                Ok(read)
            }
        }
    }

    /// How much has been read.
    pub(super) const fn position(&self) -> u64 {
        match self {
            Self::Live(content) => content.position(),
            Self::Image { at, .. } => *at,
        }
    }

    /// Whether all of what was `before` has been read, and nobody has written to it since.
    pub(super) fn is_unchanged(&self, before: &Metadata) -> bool {
        self.position() == before.size
            && match self {
                Self::Live(content) => content.state().is_ok_and(|after| after == before.state),
                Self::Image { .. } => true,
            }
    }

    /// Starts again at the beginning, and says what the file is now. Content in an image that was not as long as it
    /// should be is no better the second time.
    pub(super) fn rewind(&mut self) -> Result<Metadata, String> {
        match self {
            Self::Live(content) => {
                let now = content.metadata().map_err(explain)?;
                content.rewind();
                Ok(now)
            }
            Self::Image { at, .. } => Err(format!(
                "the image has {at} bytes of its content, and not its size"
            )),
        }
    }
}
