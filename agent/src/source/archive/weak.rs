//! The digests that dpkg and apk declare, for whoever compares an archive with its packages: contents go by once, so
//! they are computed beside SHA-256 or not at all.

use std::collections::HashMap;

use md5::Md5;
use sha1::Sha1;
use sha2::Digest as _;

use crate::scan::Algorithm;

/// MD5 and SHA-1 of contents, by their SHA-256.
#[derive(Default)]
pub(super) struct WeakDigests(HashMap<[u8; 32], ([u8; 16], [u8; 20])>);

impl WeakDigests {
    /// The digest of the content that has this SHA-256.
    pub(super) fn get(&self, sha256: &[u8; 32], algorithm: Algorithm) -> Option<Vec<u8>> {
        let (md5, sha1) = self.0.get(sha256)?;
        match algorithm {
            Algorithm::Md5 => Some(md5.to_vec()),
            Algorithm::Sha1 => Some(sha1.to_vec()),
            Algorithm::None | Algorithm::Sha256 | Algorithm::Sha512 => None,
        }
    }

    /// Adds a content that is there as a whole.
    pub(super) fn add(&mut self, sha256: [u8; 32], content: &[u8]) {
        let mut hasher = WeakHasher::default();
        hasher.update(content);
        self.finish(sha256, hasher);
    }

    /// Adds a content that was hashed piece by piece.
    pub(super) fn finish(&mut self, sha256: [u8; 32], hasher: WeakHasher) {
        let digests = (hasher.md5.finalize().into(), hasher.sha1.finalize().into());
        self.0.insert(sha256, digests);
    }
}

/// Hashes one content.
#[derive(Default)]
pub(super) struct WeakHasher {
    md5: Md5,
    sha1: Sha1,
}

impl WeakHasher {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.md5.update(piece);
        self.sha1.update(piece);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{Builder, node_at};
    use super::super::{Archive, Options};
    use super::*;
    use crate::source::file_system::FileSystem as _;

    #[test]
    fn small_and_large_contents_have_all_digests() {
        let large = vec![b'a'; 1_000_000];
        let tar = Builder::default()
            .file("small", b"abc")
            .file("large", &large)
            .finish();
        let mut options = Options {
            keep: &|_, _| false,
            size_limit: u64::MAX,
            weak: true,
            progress: None,
        };
        let archive = Archive::from_file(Arc::new(tar.clone()), &options).unwrap();
        let hex = |path, algorithm| {
            let digest = archive.weak_digest(node_at(&archive, path).unwrap(), algorithm);
            digest.map(|digest| data_encoding::HEXLOWER.encode(&digest))
        };
        // RFC 1321 and FIPS 180-2.
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(
            hex("small", Algorithm::Md5),
            told("900150983cd24fb0d6963f7d28e17f72")
        );
        assert_eq!(
            hex("small", Algorithm::Sha1),
            told("a9993e364706816aba3e25717850c26c9cd0d89d")
        );
        assert_eq!(
            hex("large", Algorithm::Sha1),
            told("34aa973cd4c4daa4f61eeb2bdbad27316534016f")
        );
        assert_eq!(hex("large", Algorithm::Sha512), None);
        options.weak = false;
        let plain = Archive::from_file(Arc::new(tar), &options).unwrap();
        let small = node_at(&plain, "small").unwrap();
        assert_eq!(plain.weak_digest(small, Algorithm::Md5), None);
    }
}
