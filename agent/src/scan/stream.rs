//! A large file that is read and hashed piece by piece.

use super::hash::{Algorithm, Digest, Hasher};
use super::lanes;
use super::pool::Large;

/// A large file that is being hashed.
pub(super) struct Stream {
    pub(super) file: Large,
    pub(super) hash: StreamHash,
    pub(super) ended: bool,
    pub(super) failure: Option<String>,
}

pub(super) enum StreamHash {
    Lane(Box<lanes::Hasher>),
    Other(Box<Hasher>),
}

impl StreamHash {
    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Lane(hasher) => Digest::Sha256(hasher.finish()),
            Self::Other(hasher) => hasher.finish(),
        }
    }
}

impl Stream {
    pub(super) fn new(file: Large) -> Self {
        let hash = match file.algorithm {
            Algorithm::Sha256 => StreamHash::Lane(Box::default()),
            other => StreamHash::Other(Box::new(Hasher::new(other))),
        };
        Self {
            file,
            hash,
            ended: false,
            failure: None,
        }
    }

    /// Reads a piece; remembers the end or a failure.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> usize {
        // A file that grows faster than it is read would never end; what is beyond its size shows as a change.
        let size = self.file.facts.metadata.map_or(0, |metadata| metadata.size);
        match self.file.content.read(buffer) {
            Ok(read) => {
                self.ended = read == 0 || self.file.content.position() >= size;
                read
            }
            Err(why) => {
                self.ended = true;
                self.failure = Some(why);
                0
            }
        }
    }

    pub(super) fn absorb(&mut self, piece: &[u8]) {
        match &mut self.hash {
            StreamHash::Lane(hasher) => hasher.update(piece),
            StreamHash::Other(hasher) => hasher.update(piece),
        }
    }

    pub(super) fn absorb_with(&mut self, piece: &[u8], other: &mut Self, others: &[u8]) {
        if let (StreamHash::Lane(a), StreamHash::Lane(b)) = (&mut self.hash, &mut other.hash) {
            lanes::update_pair(a, piece, b, others);
        } else {
            self.absorb(piece);
            other.absorb(others);
        }
    }
}
