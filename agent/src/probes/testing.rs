//! What every probe's tests check in the same way.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{Facts, Probe};
use crate::tree::TreeError;
use crate::tree::memory::MemoryTree;

/// The canonical lines that a probe finds in a tree.
pub(crate) fn lines_of(probe: &dyn Probe, tree: &MemoryTree) -> Vec<String> {
    let mut facts = Facts::default();
    probe.read(tree, &mut facts);
    facts
        .into_sorted()
        .iter()
        .map(|entry| String::from_utf8(entry.to_line()).unwrap())
        .collect()
}

/// The canonical lines that a probe finds in a few files.
pub(crate) fn lines(probe: &dyn Probe, files: &[(&str, &str)]) -> Vec<String> {
    lines_of(probe, &tree(files))
}

/// The same with one more path at which every look is denied.
pub(crate) fn lines_with_failure(probe: &dyn Probe, files: &[(&str, &str)], failing: &str) -> Vec<String> {
    lines_of(probe, &tree(files).failing(failing, TreeError::Denied))
}

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    files.iter().fold(MemoryTree::new(), |tree, (path, content)| {
        tree.file(path, content)
    })
}

/// An empty tree has no facts; a file that cannot be read is one fact that says so.
pub(crate) fn absent_and_unreadable(probe: &dyn Probe, path: &str) {
    assert_eq!(lines_of(probe, &MemoryTree::new()), [""; 0]);
    let section = probe.section();
    for (why, text) in [
        (TreeError::Denied, "permission denied"),
        (TreeError::TooLarge(64 << 20), "longer than 67108864 bytes"),
        (TreeError::WrongType, "not a regular file"),
        (
            TreeError::Failed("input/output error".into()),
            "input/output error",
        ),
    ] {
        let found = lines_of(probe, &MemoryTree::new().failing(path, why));
        assert_eq!(
            found,
            [format!(
                "[\"{section}\",\"{path}\",{{\"unseen\":[\"all: {text}\"]}}]"
            )]
        );
    }
}

/// The probe finds this many facts in the files, and the word `Canary` is in none of them.
pub(crate) fn no_canary(probe: &dyn Probe, files: &[(&str, &str)], facts: usize) {
    let found = lines(probe, files);
    assert_eq!(found.len(), facts, "{found:#?}");
    for line in found {
        assert!(!line.contains("Canary"), "{line}");
    }
}

/// Compares what the probe finds in `tests/golden/SECTION/root` with `tests/golden/SECTION/expected`. With
/// `UPDATE_GOLDEN=1` writes that file instead.
pub(crate) fn golden(probe: &dyn Probe) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(probe.section());
    let tree = load(&folder.join("root"), "", MemoryTree::new());
    let found = lines_of(probe, &tree).join("\n") + "\n";
    let expected = folder.join("expected");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, found).unwrap();
    } else {
        assert_eq!(found, fs::read_to_string(&expected).unwrap());
    }
}

fn load(folder: &Path, below: &str, mut tree: MemoryTree) -> MemoryTree {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let path = format!("{below}/{}", item.file_name().to_str().unwrap());
        if item.file_type().unwrap().is_dir() {
            tree = load(&item.path(), &path, tree);
        } else {
            tree = tree.file(&path, fs::read(item.path()).unwrap());
        }
    }
    tree
}

/// Files that probes read.
const READ_FILES: [&str; 12] = [
    "/etc/os-release",
    "/usr/lib/driftcheck/image.json",
    "/etc/passwd",
    "/etc/group",
    "/etc/gshadow",
    "/etc/shadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/sudoers",
    "/etc/ssh/sshd_config",
    "/root/.ssh/authorized_keys",
    "/etc/hostname",
];

proptest! {
    /// Whatever stands in the files, every probe comes to an end, and its keys are in order and there once.
    #[test]
    fn any_bytes_give_facts(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "([:#a0,\n+x=!$]|root:|ALL){0,60}") {
        for content in [&bytes[..], text.as_bytes(), &[b"root:x:0:0::/root:/bin/sh\n", text.as_bytes()].concat()] {
            let tree = READ_FILES.iter().fold(MemoryTree::new(), |tree, path| tree.file(path, content));
            for probe in super::PROBES {
                let mut facts = Facts::default();
                probe.read(&tree, &mut facts);
                let facts = facts.into_sorted();
                let in_order = |pair: &[baseline_format::Entry]| {
                    baseline_format::order::compare_keys(pair[0].key.as_str(), pair[1].key.as_str()).is_lt()
                };
                prop_assert!(facts.windows(2).all(in_order));
                prop_assert!(facts.iter().all(|fact| fact.section == probe.section()));
            }
        }
    }
}
