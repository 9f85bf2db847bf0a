//! Digests, and readers that verify them.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256, Sha512};

use crate::source::file_system::Fault;

/// A digest in the spelling of the OCI image specification (`descriptor.md`, "Digests"), of one of the two registered
/// algorithms: nothing else can become the name of a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Digest {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
}

impl Digest {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let bad = || {
            let shown: String = text.chars().take(150).collect();
            Fault::new(format!(
                "`{}` is not a SHA-256 or SHA-512 digest",
                shown.escape_default()
            ))
        };
        let (algorithm, hex) = text.split_once(':').ok_or_else(bad)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| bad())?;
        match algorithm {
            "sha256" => bytes.try_into().map(Self::Sha256).map_err(|_| bad()),
            "sha512" => match bytes.try_into() {
                Ok(bytes) => Ok(Self::Sha512(Box::new(bytes))),
                Err(_) => Err(bad()),
            },
            _ => Err(bad()),
        }
    }

    /// Of these bytes, by SHA-256.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Where the blob is in a layout.
    pub(super) fn path(&self) -> Vec<u8> {
        format!("blobs/{}", self.to_string().replace(':', "/")).into_bytes()
    }

    pub(super) const fn is_sha256(&self) -> bool {
        matches!(self, Self::Sha256(_))
    }

    /// Whether these bytes have this digest.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(digest) => Sha256::digest(bytes)[..] == digest[..],
            Self::Sha512(digest) => Sha512::digest(bytes)[..] == digest[..],
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256:{}", HEXLOWER.encode(digest)),
            Self::Sha512(digest) => write!(f, "sha512:{}", HEXLOWER.encode(&digest[..])),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Passes bytes on; their end is an error unless they have the digest.
pub(super) struct Verifying<R> {
    inner: R,
    /// `None` once the end was seen.
    hash: Option<Hash>,
    digest: Digest,
    verified: Verified,
}

enum Hash {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

/// Tells whether the end was reached and the digest was right, wherever the reader went.
#[derive(Clone, Default)]
pub(super) struct Verified(Arc<AtomicBool>);

impl Verified {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<R> Verifying<R> {
    pub(super) fn new(inner: R, digest: Digest) -> (Self, Verified) {
        let hash = match digest {
            Digest::Sha256(_) => Hash::Sha256(Sha256::new()),
            Digest::Sha512(_) => Hash::Sha512(Box::default()),
        };
        let verified = Verified::default();
        let reader = Self {
            inner,
            hash: Some(hash),
            digest,
            verified: verified.clone(),
        };
        (reader, verified)
    }
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        match &mut self.hash {
            Some(Hash::Sha256(hash)) => hash.update(piece),
            Some(Hash::Sha512(hash)) => hash.update(piece),
            None => {}
        }
        if read == 0
            && !buffer.is_empty()
            && let Some(hash) = self.hash.take()
        {
            let found = match hash {
                Hash::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
                Hash::Sha512(hash) => Digest::Sha512(Box::new(hash.finalize().into())),
            };
            self.verified.0.store(found == self.digest, Ordering::Release);
        }
        // The end of what is not verified is told again as often as it is asked for.
        if read == 0 && self.hash.is_none() && !self.verified.is_so() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the content is not that of {}", self.digest),
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example "abc".
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn only_registered_digests_are_taken() {
        assert_eq!(Digest::parse(ABC).unwrap(), Digest::of(b"abc"));
        assert_eq!(
            Digest::parse(ABC).unwrap().path(),
            ABC.replace(':', "/").replace("sha256", "blobs/sha256").as_bytes()
        );
        assert!(Digest::parse(ABC_512).unwrap().fits(b"abc"));
        assert_eq!(Digest::parse(ABC_512).unwrap().to_string(), ABC_512);
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../../../etc/passwd",
            &ABC.to_uppercase(),
            &ABC.replace("sha256", "md5"),
            &ABC.replace("sha256", "sha512"),
            &ABC_512.replace("sha512", "sha256"),
            &format!("{ABC}0"),
            &ABC[..70],
            &format!(" {ABC}"),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn end_of_other_bytes_is_an_error_every_time() {
        for digest in [ABC, ABC_512] {
            let digest = Digest::parse(digest).unwrap();
            let (mut reader, verified) = Verifying::new(&b"abc"[..], digest.clone());
            let mut content = Vec::new();
            assert!(!verified.is_so());
            reader.read_to_end(&mut content).unwrap();
            assert!(verified.is_so() && content == b"abc");
            let (mut reader, verified) = Verifying::new(&b"abd"[..], digest);
            assert!(reader.read_to_end(&mut content).is_err());
            assert!(reader.read(&mut [0]).is_err());
            assert!(!verified.is_so());
        }
    }
}
