//! A scan changes nothing and leaves nothing behind: no access time, no cached page, no file.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, met, set_times, tool};
use rustix::fs::Advice;

/// Modification and access time such that any read of the file changes the latter, also with `relatime`.
const MODIFIED: i64 = 1_600_000_000;
const ACCESSED: i64 = 1_500_000_000;

fn paths_below(directory: &Path, found: &mut Vec<PathBuf>) {
    found.push(directory.to_owned());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            paths_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn access_times_stay() {
    let scratch = Scratch::new("trace-atime");
    if !met(&[Need::Root]) {
        return;
    }
    let tree = Tree::small(scratch.join("root"));
    tree.file("srv/large", vec![1; 2 << 20], 0o644);
    let baseline = scratch.join("baseline");
    let mut paths = Vec::new();
    paths_below(tree.path(), &mut paths);
    paths.retain(|path| !path.is_symlink());
    for path in &paths {
        set_times(path, ACCESSED, MODIFIED);
    }
    let accessed = |path: &Path| fs::metadata(path).unwrap().atime();
    // The file system must be one on which a read would be seen, or this would be no test.
    let canary = scratch.join("canary");
    fs::write(&canary, "x").unwrap();
    set_times(&canary, ACCESSED, MODIFIED);
    drop(fs::read(&canary).unwrap());
    if accessed(&canary) == ACCESSED {
        println!("skipped: the file system keeps no access times");
        return;
    }
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Run::text(tree.path(), &baseline)
        .and(["--threads", "3"])
        .run()
        .expect_code(0);
    for path in &paths {
        assert_eq!(accessed(path), ACCESSED, "{}", path.display());
    }
}

#[test]
fn what_was_not_cached_is_not_cached_afterwards() {
    let scratch = Scratch::new("trace-cache");
    if !met(&[Need::Tool("fincore")]) {
        return;
    }
    let tree = Tree::small(scratch.join("root"));
    let files: Vec<PathBuf> = [10 << 10, 40 << 10, 200 << 10, 9 << 20]
        .iter()
        .map(|&size: &usize| {
            let path = tree.join(format!("srv/{size}"));
            let mut file = File::create(&path).unwrap();
            file.write_all(&vec![5; size]).unwrap();
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            path
        })
        .collect();
    let cached = |path: &Path| {
        let arguments = [Path::new("-nb"), Path::new("-o"), Path::new("RES"), path];
        tool("fincore", arguments).trim().parse::<u64>().unwrap()
    };
    let before: Vec<u64> = files.iter().map(|path| cached(path)).collect();
    if before.iter().any(|&bytes| bytes > 0) {
        println!("skipped: the file system does not let go of its pages");
        return;
    }
    let warm = tree.join("srv/warm");
    fs::write(&warm, vec![6; 1 << 20]).unwrap();
    File::open(&warm).unwrap().sync_all().unwrap();
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    for path in &files {
        assert!(
            cached(path) <= 64 << 10,
            "{}: {} bytes stay cached",
            path.display(),
            cached(path)
        );
    }
    // And what others use stays where they need it.
    assert_eq!(cached(&warm), 1 << 20, "the page cache of others was emptied");
}

#[test]
fn no_name_appears_or_vanishes_in_the_root() {
    let scratch = Scratch::new("trace-empty");
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let mut before = Vec::new();
    paths_below(tree.path(), &mut before);
    Run::text(tree.path(), &baseline).run().expect_code(0);
    let mut after = Vec::new();
    paths_below(tree.path(), &mut after);
    assert_eq!(before, after);
}

/// Calls in a trace that make a file or open one for writing.
fn writes(trace: &str) -> Vec<&str> {
    let write = [
        "O_WRONLY",
        "O_RDWR",
        "O_CREAT",
        "O_TMPFILE",
        "O_TRUNC",
        "O_APPEND",
    ];
    let other = [
        "mkdir", "mknod", "rename", "unlink", "link(", "linkat(", "symlink", "chmod", "chown", "utimens",
        "setxattr", "truncate",
    ];
    trace
        .lines()
        .filter(|line| write.iter().chain(&other).any(|word| line.contains(word)))
        .collect()
}

#[test]
fn nothing_is_written_but_what_was_asked_for() {
    let scratch = Scratch::new("trace-writes");
    if !met(&[Need::Tool("strace")]) {
        return;
    }
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    let trace = scratch.join("trace");
    let strace = || {
        let calls = "trace=open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,\
                     unlinkat,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,\
                     setxattr,fsetxattr,lsetxattr,truncate,ftruncate";
        [
            "strace".as_ref(),
            "-f".as_ref(),
            "-s".as_ref(),
            "4096".as_ref(),
            "-o".as_ref(),
            trace.as_os_str(),
            "-e".as_ref(),
            calls.as_ref(),
        ]
        .map(std::ffi::OsStr::to_owned)
    };
    let ran = Run::record(tree.path(), &baseline).within(strace()).run();
    if ran.stderr.contains("Operation not permitted") {
        println!("skipped: strace may not trace");
        return;
    }
    ran.expect_code(0);
    let text = fs::read_to_string(&trace).unwrap();
    let found = writes(&text);
    in_one_step(&found, "baseline");

    tree.file("etc/motd", "changed\n", 0o644);
    let report = scratch.join("report");
    let ran = Run::audit(tree.path(), &baseline).and(["-o".as_ref(), report.as_os_str()]);
    ran.within(strace()).run().expect_code(1);
    let text = fs::read_to_string(&trace).unwrap();
    let found = writes(&text);
    in_one_step(&found, "report");

    let ran = Run::audit(tree.path(), &baseline)
        .within(strace())
        .run()
        .expect_code(1);
    assert_eq!(Report::of(&ran).drifts().len(), 1);
    assert_eq!(writes(&fs::read_to_string(&trace).unwrap()), Vec::<&str>::new());
}

/// These calls write one file, which has its name when it is complete.
fn in_one_step(found: &[&str], name: &str) {
    assert_eq!(
        found.len(),
        3,
        "a file without a name, a name that says it is not complete, and its own: {found:#?}"
    );
    assert!(
        found[0].contains("O_TMPFILE") && found[0].contains("0600"),
        "{found:#?}"
    );
    for line in &found[1..] {
        assert!(
            line.contains(&format!("/.{name}.")) && line.contains(".partial"),
            "{line}"
        );
    }
}

#[test]
fn files_of_the_root_are_opened_below_it_and_without_a_trace() {
    let scratch = Scratch::new("trace-opens");
    if !met(&[Need::Root, Need::Tool("strace")]) {
        return;
    }
    let tree = Tree::small(scratch.join("root"));
    let trace = scratch.join("trace");
    let wrapper = [
        "strace".as_ref(),
        "-f".as_ref(),
        "-o".as_ref(),
        trace.as_os_str(),
        "-e".as_ref(),
        "trace=openat,openat2,open,open_tree,mount_setattr".as_ref(),
    ];
    let ran = Run::record(tree.path(), &scratch.join("baseline"))
        .within(wrapper.map(std::ffi::OsStr::to_owned))
        .run();
    if ran.stderr.contains("Operation not permitted") {
        println!("skipped: strace may not trace");
        return;
    }
    ran.expect_code(0);
    let text = fs::read_to_string(&trace).unwrap();
    let by_openat2: Vec<&str> = text.lines().filter(|line| line.contains("openat2(")).collect();
    assert!(by_openat2.len() > 15, "{text}");
    // On a view of its own, mounted read-only and without access times and devices, no open leaves a trace.
    let restricted = text
        .lines()
        .find(|line| line.contains("mount_setattr(") && line.ends_with("= 0"));
    if let Some(line) = restricted {
        for attribute in ["MOUNT_ATTR_RDONLY", "MOUNT_ATTR_NODEV", "MOUNT_ATTR_NOATIME"] {
            assert!(line.contains(attribute), "{line}");
        }
    }
    for line in by_openat2 {
        assert!(
            line.contains("RESOLVE_BENEATH") || line.contains("RESOLVE_IN_ROOT"),
            "{line}"
        );
        let is_quiet = line.contains("O_PATH") || line.contains("O_NOATIME") || restricted.is_some();
        assert!(is_quiet, "changes an access time: {line}");
    }
    for line in text.lines().filter(|line| line.contains("/proc/self/fd/")) {
        assert!(
            line.contains("O_NOATIME") || line.contains("O_PATH") || line.contains("O_DIRECTORY"),
            "{line}"
        );
    }
}
