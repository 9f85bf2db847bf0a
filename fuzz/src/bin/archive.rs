//! Tar archives as a file system. The first byte says by which rules, and after how many blocks the second layer
//! starts.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;
use std::io::{Cursor, Read as _};

use driftcheck_agent::source::archive::{Archive, Options, Rules, Stream, Streams};
use driftcheck_agent::source::file_system::{Fault, FileSystem};
use driftcheck_agent::sys::Kind;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let (rules, layers) = match usize::from(*first) {
        0 => (Rules::RootFileSystem, vec![data.to_vec()]),
        blocks => {
            let (lower, upper) = data.split_at((blocks * 512).min(data.len()));
            (Rules::Layers, vec![lower.to_vec(), upper.to_vec()])
        }
    };
    let options = Options {
        keep: &|path, _| path.len().is_multiple_of(2),
        size_limit: 1 << 20,
        weak: false,
        progress: None,
    };
    if let Ok(archive) = Archive::read(Box::new(InMemory(layers)), rules, &options) {
        check(&archive);
    }
}

/// Every node can be looked at, and what is told of it agrees.
fn check(files: &dyn FileSystem) {
    let mut names = 1;
    let mut left = vec![files.root()];
    while let Some(directory) = left.pop() {
        let children = files.children(directory).unwrap();
        assert!(children.is_sorted_by(|a, b| a.name < b.name));
        for child in children {
            names += 1;
            assert!(!child.name.is_empty() && !child.name.contains(&b'/'));
            assert!(![&b"."[..], b".."].contains(&&child.name[..]));
            let attributes = files.attributes(child.node).unwrap();
            assert_eq!(attributes.kind, child.kind);
            assert!(attributes.links > 0);
            black_box(files.xattrs(child.node).ok());
            match child.kind {
                Kind::Directory => left.push(child.node),
                Kind::Link => assert_eq!(files.link(child.node).unwrap().len() as u64, attributes.size),
                Kind::File if files.digest(child.node).is_some() => {
                    // It is a fault only once the archive was read again too often.
                    if let Ok(mut reader) = files.open(child.node) {
                        let mut content = Vec::new();
                        reader.read_to_end(&mut content).unwrap();
                        assert_eq!(content.len() as u64, attributes.size);
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(names, files.expected());
}

struct InMemory(Vec<Vec<u8>>);

impl Streams for InMemory {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn name(&self, at: usize) -> String {
        format!("layer {at}")
    }

    fn open(&self, at: usize) -> Result<Stream, Fault> {
        let layer = self.0.get(at).ok_or_else(|| Fault::new("no such layer"))?;
        Ok(Stream::unchecked(Box::new(Cursor::new(layer.clone()))))
    }
}
