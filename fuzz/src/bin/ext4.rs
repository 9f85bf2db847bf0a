//! A file system: ext2, ext3 or ext4.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;
use std::io::{Read as _, copy, sink};
use std::sync::Arc;

use driftcheck_agent::source::ext4::{Ext4, is_ext4};
use driftcheck_agent::source::file_system::FileSystem as _;
use driftcheck_agent::sys::Kind;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let Ok(ext4) = Ext4::open(Arc::new(data.to_vec())) else {
        return;
    };
    assert!(is_ext4(&data.to_vec()));
    black_box((ext4.label(), ext4.uuid()));
    let mut names = 0;
    let mut waiting = vec![ext4.root()];
    while let Some(node) = waiting.pop() {
        // The census read both, so neither fails now.
        let attributes = ext4.attributes(node).unwrap();
        drop(black_box(ext4.xattrs(node)));
        match attributes.kind {
            Kind::Directory => {
                let children = ext4.children(node).unwrap();
                names += children.len() as u64;
                waiting.extend(children.iter().map(|child| child.node));
            }
            Kind::Link => drop(black_box(ext4.link(node))),
            Kind::File => {
                if let Ok(content) = ext4.open(node) {
                    // Files may be far longer than the image, with nothing but holes in them.
                    drop(copy(&mut content.take(LIMIT), &mut sink()));
                }
            }
            _ => (),
        }
    }
    assert_eq!(names, ext4.expected());
}

const LIMIT: u64 = 1 << 20;
