//! Header blobs for the tests of this folder.

use sha2::Digest as _;

use super::{hex, tag};

/// Collects entries and lays them out as rpm does.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    entries: Vec<(u32, u32, u32, Vec<u8>)>,
}

/// The data of an entry.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Bytes(&'a [u8]),
    Chars(&'a [u8]),
    Shorts(&'a [u16]),
    Words(&'a [u32]),
    Longs(&'a [u64]),
}

impl Builder {
    pub(crate) fn add(&mut self, tag: u32, value: Value) -> &mut Self {
        let (kind, count, data) = match value {
            Value::Text(text) => (6, 1, [text.as_bytes(), b"\0"].concat()),
            Value::Texts(all) => (
                8,
                all.len(),
                all.iter().flat_map(|t| [t.as_bytes(), b"\0"].concat()).collect(),
            ),
            Value::Bytes(bytes) => (7, bytes.len(), bytes.to_vec()),
            Value::Chars(bytes) => (1, bytes.len(), bytes.to_vec()),
            Value::Shorts(all) => (3, all.len(), all.iter().flat_map(|n| n.to_be_bytes()).collect()),
            Value::Words(all) => (4, all.len(), all.iter().flat_map(|n| n.to_be_bytes()).collect()),
            Value::Longs(all) => (5, all.len(), all.iter().flat_map(|n| n.to_be_bytes()).collect()),
        };
        self.entries
            .push((tag, kind, u32::try_from(count).unwrap(), data));
        self
    }

    /// A header without region.
    pub(crate) fn plain(&self) -> Vec<u8> {
        let (index, store) = self.laid_out(Vec::new());
        finished(&index, &store)
    }

    /// A header whose entries so far are an immutable region, with a digest of it and with `added` behind it.
    pub(crate) fn sealed(&self, added: &[(u32, Value)]) -> Vec<u8> {
        let (entries, mut store) = self.laid_out(Vec::new());
        let length = u32::try_from(entries.len() + 16).unwrap();
        let offset = u32::try_from(store.len()).unwrap();
        let index = [words(&[tag::HEADER_IMMUTABLE, 7, offset, 16]), entries].concat();
        store.extend(words(&[tag::HEADER_IMMUTABLE, 7, length.wrapping_neg(), 16]));

        let mut region = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
        region.extend(finished(&index, &store));
        let digest = hex(&sha2::Sha256::digest(&region));
        let mut behind = Self::default();
        behind.add(tag::SHA256HEADER, Value::Text(&digest));
        for (tag, value) in added {
            behind.add(*tag, *value);
        }
        let (more, store) = behind.laid_out(store);
        finished(&[index, more].concat(), &store)
    }

    /// The index, and the store with this builder's data behind what it holds already.
    fn laid_out(&self, mut store: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let mut index = Vec::new();
        for (tag, kind, count, data) in &self.entries {
            let width = match kind {
                3 => 2,
                4 => 4,
                5 => 8,
                _ => 1,
            };
            store.resize(store.len().next_multiple_of(width), 0);
            index.extend(words(&[*tag, *kind, u32::try_from(store.len()).unwrap(), *count]));
            store.extend(data);
        }
        (index, store)
    }
}

fn finished(index: &[u8], store: &[u8]) -> Vec<u8> {
    let lengths = [
        u32::try_from(index.len() / 16).unwrap(),
        u32::try_from(store.len()).unwrap(),
    ];
    [&words(&lengths), index, store].concat()
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// The smallest header of a package that rpm would take, called `name`.
pub(crate) fn package(name: &str) -> Builder {
    let mut builder = Builder::default();
    builder.add(tag::NAME, Value::Text(name));
    builder
        .add(tag::VERSION, Value::Text("1.0"))
        .add(tag::RELEASE, Value::Text("1"));
    builder.add(tag::ARCH, Value::Text("noarch"));
    builder
}

/// A header written byte by byte, so that reader and [`Builder`] cannot be wrong in the same way.
pub(crate) fn hand_made() -> Vec<u8> {
    let mut blob = Vec::new();
    blob.extend(b"\x00\x00\x00\x09\x00\x00\x00\x3c");
    blob.extend(b"\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01"); // name, string, 0, 1
    blob.extend(b"\x00\x00\x03\xe9\x00\x00\x00\x06\x00\x00\x00\x05\x00\x00\x00\x01"); // version, string, 5, 1
    blob.extend(b"\x00\x00\x03\xea\x00\x00\x00\x06\x00\x00\x00\x09\x00\x00\x00\x01"); // release, string, 9, 1
    blob.extend(b"\x00\x00\x03\xeb\x00\x00\x00\x04\x00\x00\x00\x0c\x00\x00\x00\x01"); // epoch, int32, 12, 1
    blob.extend(b"\x00\x00\x04\x06\x00\x00\x00\x03\x00\x00\x00\x10\x00\x00\x00\x02"); // modes, int16, 16, 2
    blob.extend(b"\x00\x00\x04\x5c\x00\x00\x00\x04\x00\x00\x00\x14\x00\x00\x00\x02"); // dirindexes, int32, 20, 2
    blob.extend(b"\x00\x00\x04\x5d\x00\x00\x00\x08\x00\x00\x00\x1c\x00\x00\x00\x02"); // basenames, array, 28, 2
    blob.extend(b"\x00\x00\x04\x5e\x00\x00\x00\x08\x00\x00\x00\x20\x00\x00\x00\x02"); // dirnames, array, 32, 2
    blob.extend(b"\x00\x00\x03\xfe\x00\x00\x00\x06\x00\x00\x00\x35\x00\x00\x00\x01"); // arch, string, 53, 1
    blob.extend(b"demo\0"); // 0
    blob.extend(b"1.2\0"); // 5
    blob.extend(b"3a\0"); // 9
    blob.extend(b"\0\0\0\x02"); // 12
    blob.extend(b"\x81\xa4\x41\xed"); // 16: 0100644, 040755
    blob.extend(b"\0\0\0\x01\0\0\0\0"); // 20
    blob.extend(b"a\0b\0"); // 28
    blob.extend(b"/usr/lib/\0/opt/xyz/\0\0"); // 32, and one byte of nothing
    blob.extend(b"x86_64\0"); // 53
    blob
}
