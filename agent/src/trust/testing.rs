//! What tests of trust share.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, Sealed};

use super::issued::Issued;
use super::key::PrivateKey;
use super::pem;
use super::sign::{Place, sign};

/// A directory of one test's own, or a file in it; the directory goes when this goes.
pub(super) struct Scratch {
    directory: PathBuf,
    path: PathBuf,
}

/// An empty directory of one test's own.
pub(super) fn scratch(test: &str) -> Scratch {
    let directory = std::env::temp_dir().join(format!("driftcheck-trust-{}-{test}", std::process::id()));
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).unwrap();
    Scratch {
        path: directory.clone(),
        directory,
    }
}

impl Scratch {
    /// The same, as a file in it.
    pub(super) fn file(mut self, name: &str) -> Self {
        self.path = self.directory.join(name);
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// When everything is judged.
pub(super) fn now() -> SystemTime {
    humantime::parse_rfc3339("2026-06-01T00:00:00Z").unwrap()
}

/// A baseline of an image of this name, with one file of this size in it.
pub(super) fn baseline(image: Option<&str>, size: u32) -> Vec<u8> {
    let header = Header {
        format: FORMAT_VERSION,
        image: Image {
            name: image.map(str::to_owned),
            version: Some("1.4".to_owned()),
            digest: Some(format!("sha256:{}", "0f".repeat(32))),
            source_kind: "oci".to_owned(),
            ..Image::default()
        },
        sections: vec![SectionInfo {
            name: "files".to_owned(),
            revision: 1,
        }],
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
    let line = Entry::new("files", "/etc/hostname").with("size", size).to_line();
    writer.push(Line::parse(&line).unwrap()).unwrap();
    writer.finish().unwrap().0
}

/// The key that is made of this byte.
pub(super) fn key(seed: u8) -> PrivateKey {
    let der = [
        &b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..],
        &[seed; 32],
    ]
    .concat();
    PrivateKey::from_pem(pem::encode(&der, pem::PRIVATE).as_bytes()).unwrap()
}

/// A `[[key]]` with this key's public half.
pub(super) fn grant(name: &str, seed: u8, images: &str, more: &str) -> String {
    let pem = key(seed).public().unwrap().to_pem();
    format!("[[key]]\nname = \"{name}\"\npublic-key = '''\n{pem}'''\nimages = [{images}]\n{more}\n")
}

/// Signs a file with the key that is made of this byte.
pub(super) fn sign_with(seed: u8, file: &Path, place: Place, issued: &str) {
    sign(file, &key(seed), place, Issued::parse(issued).unwrap(), now()).unwrap();
}

/// All of a baseline's file but the entries.
pub(super) fn seal(path: &Path) -> Sealed {
    BaselineReader::open(&fs::read(path).unwrap()[..])
        .unwrap()
        .seal()
        .unwrap()
}
