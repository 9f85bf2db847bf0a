use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::source::bytes::ReadAt;
use crate::sys::Kind;

/// Writes a small tar archive, as plainly as the format allows.
#[derive(Clone, Default)]
pub(in crate::source) struct Builder(Vec<u8>);

impl Builder {
    pub(in crate::source) fn file(self, path: &str, content: &[u8]) -> Self {
        self.member(path, b'0', "", 0o644, content)
    }

    pub(in crate::source) fn directory(self, path: &str) -> Self {
        self.member(path, b'5', "", 0o755, b"")
    }

    pub(in crate::source) fn link(self, path: &str, target: &str) -> Self {
        self.member(path, b'2', target, 0o777, b"")
    }

    pub(in crate::source) fn hard_link(self, path: &str, target: &str) -> Self {
        self.member(path, b'1', target, 0o644, b"")
    }

    /// An extension header for the next member.
    pub(in crate::source) fn pax(self, key: &str, value: &str) -> Self {
        let payload = format!(" {key}={value}\n");
        let mut size = payload.len() + 1;
        while size.to_string().len() + payload.len() != size {
            size += 1;
        }
        self.member(
            "PaxHeaders/x",
            b'x',
            "",
            0o644,
            format!("{size}{payload}").as_bytes(),
        )
    }

    pub(in crate::source) fn member(
        mut self,
        path: &str,
        kind: u8,
        target: &str,
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = String::new();
        write!(header, "{path:\0<100}{mode:07o}\0{:07o}\0{:07o}\0", 0, 0).unwrap();
        write!(header, "{:011o}\0{:011o}\0        ", content.len(), 1_700_000_000).unwrap();
        write!(header, "{}{target:\0<100}ustar\x0000", char::from(kind)).unwrap();
        let mut header = header.into_bytes();
        header.resize(512, 0);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(in crate::source) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(in crate::source) fn keep_all() -> Options<'static> {
    Options {
        keep: &|_, _| true,
        size_limit: u64::MAX,
        weak: false,
        progress: None,
    }
}

fn keep_none() -> Options<'static> {
    Options {
        keep: &|_, _| false,
        size_limit: u64::MAX,
        weak: false,
        progress: None,
    }
}

pub(in crate::source) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::source) fn node_at(files: &dyn FileSystem, path: &str) -> Option<Node> {
    let mut node = files.root();
    for name in path.split('/') {
        let children = files.children(node).unwrap();
        node = children.iter().find(|child| child.name == name.as_bytes())?.node;
    }
    Some(node)
}

pub(in crate::source) fn content(files: &dyn FileSystem, path: &str) -> Result<Vec<u8>, Fault> {
    let mut content = Vec::new();
    let mut reader = files.open(node_at(files, path).unwrap())?;
    reader
        .read_to_end(&mut content)
        .map_err(|why| Fault::new(why.to_string()))?;
    Ok(content)
}

fn fault<T>(result: Result<T, Fault>) -> String {
    result.err().expect("a fault").0
}

/// Bytes that count how often they are read.
struct Counted(Vec<u8>, AtomicUsize);

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset == 0 {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        self.0.read_exact_at(buffer, offset)
    }
}

/// Different bytes for each seed.
fn bytes(seed: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap() ^ seed)
        .collect()
}

#[test]
fn everything_is_told_of_a_small_root() {
    let acl = "user::rw-,user:lisa:rwx,group::r--,group:wheel:r-x,mask::rwx,other::---";
    let archive = Builder::default()
        .directory("./")
        .directory("etc/")
        .file(
            "etc/passwd",
            b"root:x:0:0::/:/bin/sh\nlisa:x:1001:1001::/:/bin/sh\nlisa:x:5:5::/:/bin/sh\n",
        )
        .file("etc/group", b"root:x:0:\nwheel:x:10:lisa\n")
        .pax("SCHILY.acl.access", acl)
        .member("secret", b'0', "", 0o670, b"s")
        .pax("SCHILY.acl.default", "user::rwx,group::r-x,other::r-x")
        .directory("handed-on")
        .pax("SCHILY.xattr.user.comment", "told")
        .file("empty", b"")
        .link("lib", "usr/lib")
        .hard_link("etc/passwd-", "etc/passwd")
        .member("fifo", b'6', "", 0o600, b"")
        .finish();
    let archive = Archive::from_file(Arc::new(archive), &keep_none()).unwrap();
    let names: Vec<_> = archive
        .children(archive.root())
        .unwrap()
        .into_iter()
        .map(|child| child.name)
        .collect();
    let expected = ["empty", "etc", "fifo", "handed-on", "lib", "secret"];
    assert_eq!(names, expected.map(|name| name.as_bytes().to_vec()));
    assert_eq!(archive.expected(), 10);
    let node = |path| node_at(&archive, path).unwrap();
    let attributes = archive.attributes(node("etc/passwd")).unwrap();
    assert_eq!(
        (attributes.kind, attributes.links, attributes.mtime),
        (Kind::File, 2, Some(1_700_000_000))
    );
    assert_eq!(node("etc/passwd"), node("etc/passwd-"));
    assert_eq!(archive.link(node("lib")).unwrap(), b"usr/lib");
    assert_eq!(archive.attributes(node("lib")).unwrap().size, 7);
    assert_eq!(
        archive.xattrs(node("empty")).unwrap(),
        [(b"user.comment".to_vec(), b"told".to_vec())]
    );
    assert_eq!(archive.digest(node("empty")), Some(Sha256::digest(b"").into()));
    assert_eq!(content(&archive, "empty").unwrap(), b"");
    let [(name, value)] = &archive.xattrs(node("secret")).unwrap()[..] else {
        panic!("one")
    };
    assert_eq!(name, b"system.posix_acl_access");
    assert_eq!(value[12..20], [2, 0, 7, 0, 233, 3, 0, 0], "the first lisa, 1001");
    let [(name, value)] = &archive.xattrs(node("handed-on")).unwrap()[..] else {
        panic!("one")
    };
    assert_eq!((&name[..], value.len()), (&b"system.posix_acl_default"[..], 28));
    for wrong in ["lib", "etc", "fifo"] {
        assert_eq!(fault(archive.open(node(wrong)).map(drop)), "not a regular file");
        assert_eq!(archive.digest(node(wrong)), None);
    }
    assert_eq!(fault(archive.link(node("etc"))), "not a symbolic link");
    assert_eq!(fault(archive.children(node("lib"))), "not a directory");
    for no in [0, 11, Node::MAX] {
        assert_eq!(fault(archive.attributes(no)), "no such node");
    }
}

#[test]
fn list_that_cannot_be_told_is_a_fault_of_its_node_alone() {
    let acl = |acl: &str| {
        let archive = Builder::default()
            .file("etc/passwd", b"lisa:x:1001:1001::/:/bin/sh\n")
            .pax("SCHILY.acl.access", acl)
            .file("a", b"a")
            .finish();
        let archive = Archive::from_file(Arc::new(archive), &keep_none()).unwrap();
        assert_eq!(
            archive.xattrs(node_at(&archive, "etc/passwd").unwrap()).unwrap(),
            []
        );
        archive.xattrs(node_at(&archive, "a").unwrap())
    };
    assert_eq!(acl("user::rw-,group::r--,other::r--"), Ok(Vec::new()));
    assert_eq!(
        fault(acl("user::rw-,user:tom:r--,group::r--,mask::r--,other::r--")),
        "access control list: no number for the user `tom`: /etc/passwd of the image: it does not name it"
    );
    assert_eq!(
        fault(acl("user::rw-,group:staff:r--,group::r--,mask::r--,other::r--")),
        "access control list: no number for the group `staff`: /etc/group of the image: not found"
    );
    assert_eq!(
        fault(acl("user::rwx,group::r--,other::r--")),
        "access control list: it does not go with the mode 644"
    );
}

#[test]
fn every_file_is_hashed_whatever_its_length() {
    let sizes = [
        1,
        511,
        512,
        513,
        48 << 10,
        (48 << 10) + 1,
        256 << 10,
        (256 << 10) + 1,
        1 << 20,
    ];
    let mut archive = Builder::default();
    for (number, size) in (0..).zip(sizes) {
        archive = archive.file(&format!("f{size}"), &bytes(number, size));
    }
    let archive = archive.finish();
    for options in [keep_all(), keep_none()] {
        let archive = Archive::from_file(Arc::new(archive.clone()), &options).unwrap();
        for (number, size) in (0..).zip(sizes) {
            let path = format!("f{size}");
            let expected = bytes(number, size);
            let node = node_at(&archive, &path).unwrap();
            assert_eq!(
                archive.digest(node),
                Some(Sha256::digest(&expected).into()),
                "{size}"
            );
            assert!(content(&archive, &path).unwrap() == expected, "{size}");
        }
    }
}

#[test]
fn only_what_is_wanted_is_kept_and_asked_for_by_its_name_in_the_tree() {
    let asked = Mutex::new(Vec::new());
    let keep = |path: &[u8], size: u64| {
        asked
            .lock()
            .unwrap()
            .push((String::from_utf8(path.to_vec()).unwrap(), size));
        path == b"usr/bin/a"
    };
    let options = Options {
        keep: &keep,
        size_limit: 100,
        weak: false,
        progress: None,
    };
    let layers = [
        Builder::default()
            .directory("usr/bin")
            .link("bin", "usr/bin")
            .finish(),
        Builder::default()
            .file("bin/a", b"aa")
            .file("b", b"b")
            .file("long", &[0; 101])
            .finish(),
    ];
    let archive = Archive::read(Box::new(InMemory::new(&layers)), Rules::Layers, &options).unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        [("usr/bin/a".to_owned(), 2), ("b".to_owned(), 1)]
    );
    assert_eq!(content(&archive, "usr/bin/a").unwrap(), b"aa");
    assert_eq!(
        fault(content(&archive, "long")),
        "101 bytes are more than the limit of 100 (--max-file-size)"
    );
    assert_eq!(archive.digest(node_at(&archive, "long").unwrap()), None);
}

/// Streams that cannot be read at any place, and count how often they are opened.
struct InMemory {
    layers: Vec<Vec<u8>>,
    opened: Arc<AtomicUsize>,
}

impl InMemory {
    fn new(layers: &[Vec<u8>]) -> Self {
        Self {
            layers: layers.to_vec(),
            opened: Arc::default(),
        }
    }
}

impl Streams for InMemory {
    fn count(&self) -> usize {
        self.layers.len()
    }

    fn name(&self, at: usize) -> String {
        format!("layer {}", at + 1)
    }

    fn open(&self, at: usize) -> Result<Stream, Fault> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Stream::unchecked(Box::new(io::Cursor::new(
            self.layers[at].clone(),
        ))))
    }
}

#[test]
fn what_was_not_kept_is_read_again_with_what_is_beside_it() {
    let mut layer = Builder::default();
    for directory in 0..20 {
        for file in 0..3 {
            layer = layer.file(
                &format!("d{directory}/f{file}"),
                &bytes(directory * 3 + file, 2000),
            );
        }
    }
    let streams = InMemory::new(&[Builder::default().finish(), layer.finish()]);
    let opened = Arc::clone(&streams.opened);
    let archive = Archive::read(Box::new(streams), Rules::Layers, &keep_none()).unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    for directory in 0..16 {
        for file in 0..3 {
            let read = content(&archive, &format!("d{directory}/f{file}")).unwrap();
            assert!(read == bytes(directory * 3 + file, 2000));
        }
    }
    assert_eq!(
        opened.load(Ordering::Relaxed),
        2 + 16,
        "one pass for each directory"
    );
    assert_eq!(
        fault(content(&archive, "d16/f0")),
        "its content was not kept when the archive went by: the archive was read again 16 times already"
    );
    assert!(content(&archive, "d3/f1").is_ok(), "what was read once stays");
}

#[test]
fn uncompressed_file_is_read_at_its_place() {
    let archive = Builder::default()
        .file("a", &[1; 1000])
        .file("b", &bytes(3, 100_000))
        .finish();
    let counted = Arc::new(Counted(archive, AtomicUsize::new(0)));
    let archive = Archive::from_file(counted.clone(), &keep_none()).unwrap();
    let before = counted.1.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert!(content(&archive, "b").unwrap() == bytes(3, 100_000));
    }
    assert_eq!(counted.1.load(Ordering::Relaxed), before);
}

/// Bytes that become others.
struct Changing(Mutex<Vec<u8>>);

impl ReadAt for Changing {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.lock().unwrap().read_exact_at(buffer, offset)
    }
}

#[test]
fn archive_that_changes_is_noticed() {
    let before = Builder::default().file("a", b"before").finish();
    let after = Builder::default().file("a", b"behind").finish();
    for compress in [<[u8]>::to_vec, gzip] {
        let file = Arc::new(Changing(Mutex::new(compress(&before))));
        let archive = Archive::from_file(file.clone(), &keep_none()).unwrap();
        *file.0.lock().unwrap() = compress(&after);
        let told = fault(content(&archive, "a"));
        assert!(
            told.ends_with("the archive changed since it was first read"),
            "{told}"
        );
    }
}

#[test]
fn pipe_is_read_once() {
    let archive = Builder::default().file("kept", b"k").file("lost", b"l").finish();
    for archive in [archive.clone(), gzip(&archive)] {
        let options = Options {
            keep: &|path, _| path == b"kept",
            size_limit: u64::MAX,
            weak: false,
            progress: None,
        };
        let archive = Archive::from_pipe(Box::new(io::Cursor::new(archive)), &options).unwrap();
        assert_eq!(content(&archive, "kept").unwrap(), b"k");
        assert_eq!(
            fault(content(&archive, "lost")),
            "its content was not kept when the archive went by: what comes through a pipe cannot be read again: save \
             it to a file"
        );
        assert!(archive.digest(node_at(&archive, "lost").unwrap()).is_some());
    }
}

#[test]
fn faults_name_the_layer_and_the_path() {
    let cut = Builder::default().file("a", &[1; 5000]).0[..3000].to_vec();
    let twice = Builder::default().file("x/a", b"1").file("x/a", b"2").finish();
    for (layer, why) in [
        (cut, "layer 2: `a`: its content: "),
        (twice, "layer 2: `x/a`: a second member"),
    ] {
        let streams = InMemory::new(&[Builder::default().finish(), layer]);
        let told = fault(Archive::read(Box::new(streams), Rules::Layers, &keep_none()).map(drop));
        assert!(told.starts_with(why), "{told}");
    }
}

proptest! {
    #[test]
    fn damaged_archive_is_refused_or_read_to_its_end(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut archive = Builder::default().file("a/b", &[1; 600]).hard_link("c", "a/b").link("d", "a").finish();
        for (at, byte) in flips {
            let at = at.index(archive.len());
            archive[at] ^= byte;
        }
        if let Ok(archive) = Archive::from_file(Arc::new(archive), &keep_all()) {
            let mut left = vec![archive.root()];
            while let Some(node) = left.pop() {
                for child in archive.children(node).unwrap() {
                    let attributes = archive.attributes(child.node).unwrap();
                    match child.kind {
                        Kind::Directory => left.push(child.node),
                        Kind::File => {
                            let mut content = Vec::new();
                            archive.open(child.node).unwrap().read_to_end(&mut content).unwrap();
                            prop_assert_eq!(content.len() as u64, attributes.size);
                            prop_assert_eq!(archive.digest(child.node), Some(Sha256::digest(&content).into()));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
