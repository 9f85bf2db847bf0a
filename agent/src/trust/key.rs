//! Ed25519 keys (RFC 8032) in the files that OpenSSL writes and reads (RFC 8410).
//!
//! Refused are keys of every other kind, points of small order, which verify anything, and points that are not in
//! their one encoding.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::pem;
use crate::source::file_system::Fault;

/// A key that verifies. Two are equal exactly if they verify the same signatures.
#[derive(Clone)]
pub struct PublicKey {
    point: [u8; POINT],
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads a public key in PEM (`openssl pkey -pubout`).
    pub fn from_pem(text: &[u8]) -> Result<Self, Fault> {
        let der = pem::decode(text, pem::PUBLIC)?;
        let point = der
            .strip_prefix(SPKI)
            .and_then(|point| point.try_into().ok())
            .ok_or_else(|| {
                Fault::new("it is not an Ed25519 key; make one with `driftcheck baseline keygen`")
            })?;
        Self::from_point(point)
    }

    fn from_point(point: [u8; POINT]) -> Result<Self, Fault> {
        check_point(&point)?;
        let parsed =
            ParsedPublicKey::new(&ED25519, point).map_err(|_| Fault::new("it is not an Ed25519 key"))?;
        Ok(Self { point, parsed })
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(&self.spki(), pem::PUBLIC)
    }

    /// What signatures name the key by: SHA-256 over its SPKI, 64 lower-case hexadecimal digits
    /// (`openssl pkey -pubin -outform DER | sha256sum`).
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.spki()))
    }

    /// Whether a signature over these bytes was made with this key's private half.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(bytes, signature).is_ok()
    }

    fn spki(&self) -> Vec<u8> {
        [SPKI, &self.point].concat()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// A key that signs. It is neither shown nor compared.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, Fault> {
        let pair = Ed25519KeyPair::generate().map_err(|_| Fault::new("no randomness for a key"))?;
        Ok(Self(pair))
    }

    /// Reads a private key in PEM, PKCS #8 of either version (`openssl genpkey -algorithm ed25519`).
    pub fn from_pem(text: &[u8]) -> Result<Self, Fault> {
        let der = pem::decode(text, pem::PRIVATE)?;
        Ed25519KeyPair::from_pkcs8(&der)
            .map(Self)
            .map_err(|_| Fault::new("it is not an Ed25519 key; make one with `driftcheck baseline keygen`"))
    }

    /// Reads a private key from a file that nobody but its owner can read, or from a pipe.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let fault = |why: String| Fault::new(format!("{}: {why}", path.display()));
        let told = |why: io::Error| fault(super::told(&why));
        let file = File::open(path).map_err(told)?;
        let found = file.metadata().map_err(told)?;
        let own = rustix::process::geteuid().as_raw();
        if found.is_file() && found.mode() & 0o077 != 0 {
            let mode = found.mode() & 0o7777;
            return Err(fault(format!(
                "others can read the private key (mode {mode:04o}): chmod 600, and consider whether it is still secret"
            )));
        }
        if found.is_file() && own != 0 && found.uid() != own {
            return Err(fault(format!("it belongs to uid {}, not to you", found.uid())));
        }
        let mut text = Vec::new();
        file.take(pem::LIMIT as u64 + 1)
            .read_to_end(&mut text)
            .map_err(told)?;
        Self::from_pem(&text).map_err(|why| fault(why.0))
    }

    /// Writes the private key to `path`, mode 0600, and the public key to `path` with `.pub` behind it. Both must
    /// not be there yet.
    pub fn save(&self, path: &Path) -> Result<(), Fault> {
        let der = self
            .0
            .to_pkcs8v1()
            .map_err(|_| Fault::new("the key cannot be written as PKCS #8"))?;
        let beside = super::with_suffix(path, ".pub");
        create(&beside, 0o644, &self.public()?.to_pem())?;
        create(path, 0o600, &pem::encode(der.as_ref(), pem::PRIVATE)).inspect_err(|_| {
            // The public half of a key that nobody has would only mislead.
            std::fs::remove_file(&beside).ok();
        })
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> Result<PublicKey, Fault> {
        let point = self.0.public_key().as_ref();
        let point = point
            .try_into()
            .map_err(|_| Fault::new("the key has no public half"))?;
        PublicKey::from_point(point)
    }

    /// The signature over these bytes; always the same for the same bytes (RFC 8032, section 5.1.6).
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Writes a file that is not there yet.
fn create(path: &Path, mode: u32, text: &str) -> Result<(), Fault> {
    let fault = |why: io::Error| {
        let why = match why.kind() {
            io::ErrorKind::AlreadyExists => "it is there already; a key is never overwritten".to_owned(),
            _ => super::told(&why),
        };
        Fault::new(format!("{}: {why}", path.display()))
    };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(fault)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .inspect_err(|_| {
            std::fs::remove_file(path).ok();
        })
        .map_err(fault)
}

/// Refuses what the library takes: a point of small order, for which anybody can make signatures, and a point whose
/// coordinate is not reduced, which would be a second spelling of another key.
fn check_point(point: &[u8; POINT]) -> Result<(), Fault> {
    let mut y = *point;
    // The highest bit is the sign of x.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    // The prime is 2^255 - 19, ed ff .. ff 7f.
    if let [first, middle @ .., 0x7f] = &y
        && *first >= 0xed
        && middle.iter().all(|byte| *byte == 0xff)
    {
        return Err(Fault::new("the key is not in its one encoding"));
    }
    if SMALL_ORDER.contains(&y) {
        return Err(Fault::new("the key is of small order: anybody could sign for it"));
    }
    Ok(())
}

/// Length of a point. Bytes.
const POINT: usize = 32;

/// What stands before the point in an Ed25519 key's SPKI (RFC 8410, section 4).
const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The y coordinates of the eight points whose order is 1, 2, 4 or 8; two points may share one.
const SMALL_ORDER: [[u8; POINT]; 5] = {
    let (mut one, mut two) = ([0; POINT], [0xff; POINT]);
    one[0] = 1;
    two[0] = 0xec;
    two[31] = 0x7f;
    [
        [0; POINT],
        one,
        two,
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ]
};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::trust::testing::{key, scratch};

    /// Digits as bytes.
    fn hex(digits: &str) -> Vec<u8> {
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    fn public_pem(point: &[u8]) -> String {
        pem::encode(&[SPKI, point].concat(), pem::PUBLIC)
    }

    /// RFC 8032, section 7.1: secret key, public key, message, signature.
    #[test]
    fn vectors_of_the_rfc() {
        for [secret, public, message, signature] in [
            [
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ],
            [
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ],
            [
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ],
        ] {
            let der = [hex("302e020100300506032b657004220420"), hex(secret)].concat();
            let private = PrivateKey::from_pem(pem::encode(&der, pem::PRIVATE).as_bytes()).unwrap();
            assert_eq!(private.public().unwrap().point.to_vec(), hex(public));
            assert_eq!(HEXLOWER.encode(&private.sign(&hex(message))), signature);
            let public = PublicKey::from_pem(public_pem(&hex(public)).as_bytes()).unwrap();
            assert!(public.verifies(&hex(message), &hex(signature)));
            // S + L is the same signature to a verifier that does not look closely (section 8.4).
            let mut second = hex(signature);
            let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
            let mut carry = 0;
            for (digit, more) in second[32..].iter_mut().zip(order) {
                let sum = u16::from(*digit) + u16::from(more) + carry;
                *digit = u8::try_from(sum & 0xff).unwrap();
                carry = sum >> 8;
            }
            assert!(!public.verifies(&hex(message), &second));
        }
    }

    /// RFC 8410, section 10.1 and 10.3.
    #[test]
    fn keys_of_the_rfc() {
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let read = PublicKey::from_pem(public.as_bytes()).unwrap();
        assert_eq!(read.to_pem(), public);
        assert_eq!(
            PrivateKey::from_pem(private.as_bytes())
                .unwrap()
                .public()
                .unwrap(),
            read
        );
    }

    #[test]
    fn weak_and_misspelled_points_are_refused() {
        for mut point in SMALL_ORDER {
            for sign in [0, 0x80] {
                point[31] |= sign;
                let why = PublicKey::from_pem(public_pem(&point).as_bytes()).unwrap_err().0;
                assert_eq!(why, "the key is of small order: anybody could sign for it");
            }
        }
        for first in 0xed..=0xff {
            for last in [0x7f, 0xff] {
                let mut point = [0xff; POINT];
                (point[0], point[31]) = (first, last);
                let why = PublicKey::from_pem(public_pem(&point).as_bytes()).unwrap_err().0;
                assert_eq!(why, "the key is not in its one encoding");
            }
        }
        for der in [&b""[..], SPKI, &[SPKI, &[9; 33]].concat(), &[9; 44]] {
            let why = PublicKey::from_pem(pem::encode(der, pem::PUBLIC).as_bytes())
                .unwrap_err()
                .0;
            assert!(why.starts_with("it is not an Ed25519 key"), "{why}");
        }
    }

    #[test]
    fn a_key_is_saved_once_and_for_its_owner_alone() {
        let directory = scratch("key-files");
        let path = directory.join("release.key");
        let mine = PrivateKey::generate().unwrap();
        mine.save(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        let public = fs::read(directory.join("release.key.pub")).unwrap();
        assert_eq!(PublicKey::from_pem(&public).unwrap(), mine.public().unwrap());
        assert_eq!(
            PrivateKey::load(&path).unwrap().public().unwrap(),
            mine.public().unwrap()
        );
        let before = fs::read(&path).unwrap();
        let other = key(1);
        let told = other.save(&path).unwrap_err().0;
        assert!(
            told.ends_with("it is there already; a key is never overwritten"),
            "{told}"
        );
        fs::remove_file(directory.join("release.key.pub")).unwrap();
        other.save(&path).unwrap_err();
        assert!(
            !directory.join("release.key.pub").exists(),
            "no public half of a key that was not saved"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
        for bits in [0o640, 0o604, 0o610, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let told = PrivateKey::load(&path).unwrap_err().0;
            assert!(
                told.contains("others can read the private key"),
                "{bits:o}: {told}"
            );
        }
    }

    /// `--key <(decrypt release.key)`.
    #[test]
    fn a_key_can_come_through_a_pipe() {
        let (read, mut write) = io::pipe().unwrap();
        let der = key(3).0.to_pkcs8v1().unwrap();
        write
            .write_all(pem::encode(der.as_ref(), pem::PRIVATE).as_bytes())
            .unwrap();
        drop(write);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read));
        let loaded = PrivateKey::load(Path::new(&path)).unwrap();
        assert_eq!(loaded.public().unwrap(), key(3).public().unwrap());
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(message: Vec<u8>, at in 0..512_usize) {
            let private = key(7);
            let mut signature = private.sign(&message);
            let public = private.public().unwrap();
            prop_assert!(public.verifies(&message, &signature));
            signature[at / 8] ^= 1 << (at % 8);
            prop_assert!(!public.verifies(&message, &signature));
            prop_assert!(!public.verifies(&message, &signature[..at / 8]));
        }

        #[test]
        fn any_point_ends(point: [u8; POINT]) {
            if let Ok(key) = PublicKey::from_pem(public_pem(&point).as_bytes()) {
                prop_assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()).unwrap(), key);
            }
        }

        #[test]
        fn any_private_key_ends(der in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(PrivateKey::from_pem(pem::encode(&der, pem::PRIVATE).as_bytes()).is_err());
        }
    }
}
