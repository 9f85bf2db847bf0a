//! The same tree gives the same bytes, whoever records it, where, when and how; and always in THE order.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use driftcheck_tests::{
    Need, Report, Run, Scratch, Tree, entries, make_node, met, set_times, sort_key, tool,
};
use rustix::fs::FileType;

/// Names that have broken tools: not UTF-8, steering a terminal or a parser, as long as a name can be, and such
/// that the order of whole paths is not that of their components.
fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"caf\xff"[..],
        b"caf\xfe",
        b"\xff\xfe\x80",
        b"two\nlines",
        b"\x1b[31mred\x1b[0m",
        b"quote\"s'and`ticks",
        b"back\\slash",
        b"back\\x5cslash",
        b"evil\xe2\x80\xaetxt.exe",
        b"-rf",
        b" ",
        b"tab\there",
        b"$(reboot)",
        b"...",
        b"a",
        b"a.b",
        b"a b",
        b"a-",
        "gr\u{fc}n \u{65e5}\u{672c}".as_bytes(),
        b"=cmd|' /C calc'!A0",
        b"\x7f\x01",
    ]
    .iter()
    .map(|name| name.to_vec())
    .collect();
    names.push(vec![b'x'; 255]);
    names.push(vec![0xff; 255]);
    names
}

/// A root with every kind of file that a test without rights can make, and large and small content.
fn varied(scratch: &Scratch) -> Tree {
    let tree = Tree::small(scratch.join("root"));
    for name in hostile_names() {
        let name = OsStr::from_bytes(&name);
        tree.file(Path::new("srv/names").join(name), name.as_bytes(), 0o644);
        tree.file(Path::new("srv/directories").join(name).join("in it"), "x", 0o600);
        tree.link(Path::new("srv/links").join(name), name);
    }
    for number in 0..400 {
        let content = vec![b'c'; number * 7];
        tree.file(format!("srv/many/{}/{number}", number % 7), content, 0o644);
    }
    tree.file("srv/large", vec![7; 3 << 20], 0o644);
    tree.file("srv/larger", vec![8; (5 << 20) + 1], 0o644);
    // The name that sorts first is made last, so that no order of making or of inodes can stand for THE order.
    fs::hard_link(tree.join("srv/large"), tree.join("srv/a-link")).unwrap();
    make_node(&tree.join("srv/pipe"), FileType::Fifo, (0, 0));
    set_times(&tree.join("srv/names/a"), -1, -1);
    tree
}

/// Records and gives the bytes.
fn recorded(root: &Path, scratch: &Scratch, name: &str, more: &[&str]) -> Vec<u8> {
    let baseline = scratch.join(name);
    Run::record(root, &baseline).and(more).run().expect_code(0);
    fs::read(baseline).unwrap()
}

#[test]
fn any_number_of_threads_and_any_time_gives_the_same_bytes() {
    let scratch = Scratch::new("canonical-threads");
    let tree = varied(&scratch);
    let first = recorded(tree.path(), &scratch, "first", &[]);
    // Longer than the second in which times are recorded.
    thread::sleep(Duration::from_millis(1100));
    for (name, more) in [
        ("again", &[][..]),
        ("one", &["--threads", "1"]),
        ("two", &["--threads", "2"]),
        ("seven", &["--threads", "7"]),
        ("deep", &["--io-depth", "16"]),
        ("narrow", &["--threads", "1", "--io-depth", "1"]),
        ("shown", &["--progress", "always"]),
    ] {
        assert!(
            recorded(tree.path(), &scratch, name, more) == first,
            "{name}: other bytes"
        );
    }
    let to_pipe = Run::new(["record", "-o", "-", "--from"])
        .and([tree.path()])
        .run()
        .expect_code(0);
    assert!(to_pipe.stdout == first, "to standard output: other bytes");
}

#[test]
fn a_copy_with_other_inodes_elsewhere_gives_the_same_bytes() {
    let scratch = Scratch::new("canonical-copy");
    let tree = varied(&scratch);
    let first = recorded(tree.path(), &scratch, "first", &[]);
    scratch_copy(tree.path(), &scratch.join("else where"));
    let copy = scratch.join("else where/root");
    assert!(
        recorded(&copy, &scratch, "copy", &[]) == first,
        "a copy: other bytes"
    );
    let relative = Run::new(["record", "--from", "root", "-o", "../relative"])
        .within_directory(&scratch.join("else where"))
        .run()
        .expect_code(0);
    assert!(relative.stdout.is_empty());
    assert!(
        fs::read(scratch.join("relative")).unwrap() == first,
        "a relative root: other bytes"
    );
    // The baseline of one is the baseline of the other.
    Report::of(&Run::audit(&copy, &scratch.join("first")).run().expect_code(0)).assert_clean();
}

fn scratch_copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    tool("cp", [Path::new("-a"), from, to]);
}

#[test]
fn entries_are_all_that_find_finds_and_in_the_order() {
    let scratch = Scratch::new("canonical-order");
    let tree = varied(&scratch);
    recorded(tree.path(), &scratch, "baseline", &["--threads", "3"]);
    let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
        .and([scratch.join("baseline")])
        .run()
        .expect_code(0);
    let entries = entries(&shown.stdout);
    let keys: Vec<_> = entries
        .iter()
        .map(|(section, key, _)| sort_key(section, key))
        .collect();
    let mut sorted = keys.clone();
    sorted.sort();
    sorted.dedup();
    assert!(keys == sorted, "not in THE order, or a key twice");

    let found = Command::new("find")
        .arg(tree.path())
        .args(["-printf", "/%P\\0"])
        .output()
        .unwrap();
    let found: BTreeSet<Vec<u8>> = found
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let files: BTreeSet<Vec<u8>> = entries
        .into_iter()
        .filter(|(section, ..)| section == "files")
        .map(|(_, key, _)| key)
        .collect();
    assert_eq!(files, found);
}

#[test]
fn every_digest_is_that_of_another_program() {
    let scratch = Scratch::new("canonical-digests");
    let tree = varied(&scratch);
    recorded(tree.path(), &scratch, "baseline", &[]);
    let shown = Run::new(["baseline", "show", "--section", "files", "--format", "json"])
        .and([scratch.join("baseline")])
        .run()
        .expect_code(0);
    let files: Vec<_> = entries(&shown.stdout)
        .into_iter()
        .filter(|(.., attributes)| attributes["type"] == "file")
        .collect();
    let paths = files.iter().map(|(_, key, _)| {
        let below = key.strip_prefix(b"/").expect("an absolute path");
        tree.join(OsStr::from_bytes(below)).into_os_string()
    });
    // `-z`: one line a file, whatever its name is.
    let sums = Command::new("sha256sum").arg("-bz").args(paths).output().unwrap();
    assert!(sums.status.success());
    let mut told = sums.stdout.split(|byte| *byte == 0);
    for (_, key, attributes) in &files {
        let line = told.next().expect("a sum for each file");
        let sum = format!("sha256:{}", String::from_utf8_lossy(&line[..64]));
        assert_eq!(attributes["digest"], sum, "{}", String::from_utf8_lossy(key));
    }
    assert!(files.len() > 400);
}

#[test]
fn the_recorder_may_not_matter() {
    let scratch = Scratch::new("canonical-user");
    if !met(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let tree = varied(&scratch);
    // Without what only root may read.
    for private in ["etc/shadow", "etc/sudoers"] {
        tree.mode(private, 0o644);
    }
    for name in hostile_names() {
        let file = Path::new("srv/directories")
            .join(OsStr::from_bytes(&name))
            .join("in it");
        tree.mode(file, 0o644);
    }
    let first = recorded(tree.path(), &scratch, "first", &[]);
    let by_nobody = Run::new(["record", "-o", "-", "--from"])
        .and([tree.path()])
        .as_nobody()
        .run()
        .expect_code(0);
    assert!(by_nobody.stdout == first, "recorded by another user: other bytes");
}
