//! Digests of content, in the algorithms that baselines and package databases use.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

/// Which digest is wanted of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Algorithm {
    None,
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// How many there are, [`Algorithm::None`] included.
    pub const COUNT: usize = 5;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::None, Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The label in front of a digest, and the algorithm's name in a report's coverage.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "metadata",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of a labelled digest such as `md5:d41d8...`; `None` if it is not one of ours.
    #[must_use]
    pub fn of(labelled: &str) -> Option<Self> {
        let label = labelled.split_once(':')?.0;
        Self::ALL
            .into_iter()
            .skip(1)
            .find(|algorithm| algorithm.label() == label)
    }
}

/// A digest with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// What nearly all are.
    Sha256([u8; 32]),
    /// Any other.
    Other(Algorithm, Vec<u8>),
}

impl Digest {
    /// The label and the bytes.
    #[must_use]
    pub(super) fn parts(&self) -> (&'static str, &[u8]) {
        match self {
            Self::Sha256(bytes) => ("sha256", bytes),
            Self::Other(algorithm, bytes) => (algorithm.label(), bytes),
        }
    }
}

/// Hashes one stream.
pub(super) enum Hasher {
    Nothing,
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::None => Self::Nothing,
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Md5(hash) => hash.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Nothing => Digest::Other(Algorithm::None, Vec::new()),
            Self::Md5(hash) => Digest::Other(Algorithm::Md5, hash.finalize().to_vec()),
            Self::Sha1(hash) => Digest::Other(Algorithm::Sha1, hash.finalize().to_vec()),
            Self::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
            Self::Sha512(hash) => Digest::Other(Algorithm::Sha512, hash.finalize().to_vec()),
        }
    }
}
