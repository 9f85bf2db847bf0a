//! An image's layers as tar streams, verified as they pass.

use std::io::Read;

use super::digest::{Digest, Verified, Verifying};
use super::files::{Files, missing};
use crate::source::archive::{Stream, Streams};
use crate::source::bytes::Bytes;
use crate::source::compression::{Compression, RECOGNISED_BY, ahead, decompress_recognised, recognise};
use crate::source::file_system::Fault;
use crate::source::tar::End;

/// The layers of one image, lowest first.
pub(super) struct Layers {
    files: Box<dyn Files>,
    layers: Vec<Layer>,
}

/// One layer.
pub(super) struct Layer {
    /// Where it is.
    pub(super) path: Vec<u8>,
    /// Its digest as it is stored, and what its media type says of its compression; `None` where only the digest of
    /// the tar archive in it is known.
    pub(super) stored: Option<(Digest, Compression)>,
    /// Digest of the tar archive, from the image's configuration.
    pub(super) diff_id: Digest,
}

impl Layers {
    /// Refuses more layers than any tool makes.
    pub(super) fn new(files: Box<dyn Files>, layers: Vec<Layer>) -> Result<Self, Fault> {
        if layers.len() > LAYERS {
            return Err(Fault::new(format!(
                "{} layers; more than {LAYERS} are not read",
                layers.len()
            )));
        }
        Ok(Self { files, layers })
    }

    fn layer(&self, at: usize) -> Result<&Layer, Fault> {
        self.layers.get(at).ok_or_else(|| Fault::new("no such layer"))
    }
}

impl Streams for Layers {
    fn count(&self) -> usize {
        self.layers.len()
    }

    fn name(&self, at: usize) -> String {
        let digest = self.layers.get(at).map(|layer| match &layer.stored {
            Some((digest, _)) => digest,
            None => &layer.diff_id,
        });
        match digest {
            Some(digest) => format!("layer {} of {} ({digest})", at + 1, self.layers.len()),
            None => String::new(),
        }
    }

    fn open(&self, at: usize) -> Result<Stream, Fault> {
        let layer = self.layer(at)?;
        if self.files.find(&layer.path)?.is_none() {
            return Err(missing(&layer.path));
        }
        let stored = self.files.open(&layer.path)?;
        let (reader, verified): (Box<dyn Read + Send>, Verified) = if let Some((digest, told)) = &layer.stored
        {
            let (stored, verified) = Verifying::new(stored, digest.clone());
            let (compression, reader) = decompress_recognised(stored)?;
            if compression != *told {
                return Err(Fault::new(format!(
                    "its media type says {told}, but its content has {compression}"
                )));
            }
            (reader, verified)
        } else {
            let (_, reader) = decompress_recognised(stored)?;
            let (reader, verified) = Verifying::new(reader, layer.diff_id.clone());
            (Box::new(reader), verified)
        };
        Ok(Stream {
            reader: Box::new(ahead(reader)?),
            end: End::MayBeMissing,
            check: Box::new(move || {
                if verified.is_so() {
                    return Ok(());
                }
                Err(Fault::new("it was not read to its end"))
            }),
        })
    }

    fn bytes(&self, at: usize) -> Option<Bytes> {
        let bytes = self.files.bytes(&self.layers.get(at)?.path).ok()??;
        let mut first = [0; RECOGNISED_BY];
        bytes.read_exact_at(&mut first, 0).ok()?;
        let plain = recognise(&first).is_ok_and(|compression| compression == Compression::None);
        plain.then_some(bytes)
    }
}

/// Most layers of an image. Docker makes 127 at most.
const LAYERS: usize = 1024;
