//! Files made to hang, mislead or exhaust whoever looks at them: the scan ends, soon, and tells the truth.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, entries, make_node, met, sha256, tool};
use rustix::fs::{FileType, Mode, OFlags};
use serde_json::json;

/// Memory that no scan needs, whatever it meets.
const BOUND: u64 = 64 << 20;

/// A child process that does not outlive its test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Stops a thread when the test ends, also when it fails.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The attributes of one file in a baseline.
fn attributes(baseline: &Path, path: &str) -> serde_json::Value {
    let shown = Run::new(["baseline", "show", "--section", "files", "--format", "json"])
        .and([baseline])
        .run()
        .expect_code(0);
    let entry = entries(&shown.stdout)
        .into_iter()
        .find(|(_, key, _)| key == path.as_bytes());
    entry.unwrap_or_else(|| panic!("no entry of {path}")).2
}

#[test]
fn a_fifo_is_not_opened() {
    let scratch = Scratch::new("hostile-fifo");
    let tree = Tree::small(scratch.join("root"));
    let pipe = tree.join("srv/pipe");
    make_node(&pipe, FileType::Fifo, (0, 0));
    // It ends as soon as anybody opens the other end, even for a moment.
    let script = "echo token > \"$1\"";
    let mut writer = Kept(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&pipe)
            .spawn()
            .unwrap(),
    );
    thread::sleep(Duration::from_millis(100));
    let baseline = scratch.join("baseline");
    let ran = Run::record(tree.path(), &baseline).run().expect_code(0);
    assert!(ran.elapsed < Duration::from_secs(20), "{:?}", ran.elapsed);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    assert!(
        writer.0.try_wait().unwrap().is_none(),
        "the blocked writer was woken"
    );
    let mut token = String::new();
    File::open(&pipe).unwrap().read_to_string(&mut token).unwrap();
    assert_eq!(token, "token\n", "the pipe has lost its content");
    assert_eq!(attributes(&baseline, "/srv/pipe")["type"], "fifo");
}

#[test]
fn sockets_and_devices_are_told_and_left_alone() {
    let scratch = Scratch::new("hostile-nodes");
    let tree = Tree::small(scratch.join("root"));
    // A socket's address is shorter than a scratch directory's path may be.
    let directory = File::open(tree.path()).unwrap();
    let short = format!(
        "/proc/self/fd/{}/srv/socket",
        std::os::fd::AsRawFd::as_raw_fd(&directory)
    );
    let listener = UnixListener::bind(short).unwrap();
    listener.set_nonblocking(true).unwrap();
    let is_root = met(&[Need::Root]);
    if is_root {
        make_node(&tree.join("dev/null"), FileType::CharacterDevice, (1, 3));
        // Reading it would never end; block devices might even spin up.
        make_node(&tree.join("dev/zero"), FileType::CharacterDevice, (1, 5));
        make_node(&tree.join("dev/loop"), FileType::BlockDevice, (7, 250));
    }
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    assert!(listener.accept().is_err(), "somebody has connected");
    assert_eq!(attributes(&baseline, "/srv/socket")["type"], "socket");
    if is_root {
        let null = attributes(&baseline, "/dev/null");
        assert_eq!(
            (&null["type"], &null["device"]),
            (&json!("char-device"), &json!("1:3"))
        );
        let block = attributes(&baseline, "/dev/loop");
        assert_eq!(
            (&block["type"], &block["device"]),
            (&json!("block-device"), &json!("7:250"))
        );
    }
}

#[test]
fn links_are_never_followed() {
    let scratch = Scratch::new("hostile-links");
    let tree = Tree::small(scratch.join("root"));
    fs::create_dir(scratch.join("outside")).unwrap();
    fs::write(scratch.join("outside/secret"), "outside\n").unwrap();
    tree.link("srv/loop", "loop");
    tree.link("srv/one", "two");
    tree.link("srv/two", "one");
    tree.link("srv/up", "..");
    tree.link("srv/dangling", "nowhere/at/all");
    tree.link("srv/out", scratch.join("outside"));
    tree.link("srv/file-out", scratch.join("outside/secret"));
    tree.link("srv/relative-out", "../../outside");
    tree.link("srv/zero", "/dev/zero");
    tree.link("srv/magic", "/proc/self/root");
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
        .and([&baseline])
        .run()
        .expect_code(0)
        .text();
    assert!(!shown.contains("secret\",{\"digest") && !shown.contains(&sha256("outside\n")));
    assert_eq!(
        attributes(&baseline, "/srv/relative-out")["link"],
        "../../outside"
    );
    // What a link points to may change without any drift of the root.
    fs::write(scratch.join("outside/secret"), "other\n").unwrap();
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
}

#[test]
fn a_directory_of_200000_names_takes_bounded_memory_and_time() {
    const NAMES: usize = 200_000;
    let scratch = Scratch::new("hostile-wide");
    let tree = Tree::small(scratch.join("root"));
    tree.directory("srv/wide");
    let wide = rustix::fs::open(
        tree.join("srv/wide"),
        OFlags::DIRECTORY | OFlags::PATH,
        Mode::empty(),
    )
    .unwrap();
    for number in 0..NAMES {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(rustix::fs::openat(&wide, format!("{number}"), flags, Mode::from_raw_mode(0o644)).unwrap());
    }
    let baseline = scratch.join("baseline");
    let recorded = Run::record(tree.path(), &baseline).run().expect_code(0);
    let audited = Run::audit(tree.path(), &baseline).run().expect_code(0);
    let report = Report::of(&audited);
    report.assert_clean();
    assert!(report.count("files", "verified") > NAMES as u64);
    for ran in [recorded, audited] {
        assert!(ran.peak > 0 && ran.peak < BOUND, "{} bytes of memory", ran.peak);
        assert!(ran.elapsed < Duration::from_mins(2), "{:?}", ran.elapsed);
    }
}

#[test]
fn a_path_deeper_than_path_max_is_looked_at_to_its_end() {
    const LEVELS: usize = 220;
    let scratch = Scratch::new("hostile-deep");
    let tree = Tree::small(scratch.join("root"));
    let name = "d".repeat(100);
    let mut deepest =
        rustix::fs::open(tree.join("srv"), OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..LEVELS {
        rustix::fs::mkdirat(&deepest, &name, Mode::from_raw_mode(0o755)).unwrap();
        deepest =
            rustix::fs::openat(&deepest, &name, OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
    }
    let put = |content: &str| {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC;
        let file = rustix::fs::openat(&deepest, "bottom", flags, Mode::from_raw_mode(0o644)).unwrap();
        File::from(file).write_all(content.as_bytes()).unwrap();
    };
    put("one\n");
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    put("two\n");
    let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
    let drifts = report.drifts();
    let key = format!("/srv{}/bottom", format!("/{name}").repeat(LEVELS));
    assert!(key.len() > 20_000);
    assert_eq!((drifts.len(), &drifts[0].key), (1, &key));
    assert_eq!(drifts[0].fields["digest"].1, Some(json!(sha256("two\n"))));
    Run::text(tree.path(), &baseline).run().expect_code(1);
}

#[test]
fn a_sparse_terabyte_is_a_blind_spot_and_quick() {
    let scratch = Scratch::new("hostile-sparse");
    let tree = Tree::small(scratch.join("root"));
    File::create(tree.join("srv/huge"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let baseline = scratch.join("baseline");
    let recorded = Run::record(tree.path(), &baseline).run().expect_code(2);
    assert!(
        recorded.stderr.contains("/srv/huge") && recorded.stderr.contains("INCOMPLETE"),
        "{}",
        recorded.stderr
    );
    assert!(
        recorded.elapsed < Duration::from_secs(20),
        "{:?}",
        recorded.elapsed
    );
    let audited = Run::audit(tree.path(), &baseline).run().expect_code(2);
    assert!(audited.elapsed < Duration::from_secs(20), "{:?}", audited.elapsed);
    let unseen = Report::of(&audited).unseen("files");
    assert!(
        !unseen.is_empty() && unseen.iter().all(|(key, _)| key == "/srv/huge"),
        "{unseen:?}"
    );
    // A limit that only this audit has is a blind spot of this audit.
    let small = scratch.join("small");
    fs::remove_file(tree.join("srv/huge")).unwrap();
    Run::record(tree.path(), &small).run().expect_code(0);
    let limited = Run::audit(tree.path(), &small)
        .and(["--max-file-size", "4"])
        .run()
        .expect_code(2);
    let report = Report::of(&limited);
    assert!(
        report
            .unseen("files")
            .iter()
            .any(|(key, why)| key == "/etc/motd" && why.contains("limit"))
    );
}

#[test]
fn a_file_written_all_the_time_is_raced_or_stable_but_never_wrong() {
    let scratch = Scratch::new("hostile-written");
    let tree = Tree::small(scratch.join("root"));
    let content = vec![b'x'; 8 << 20];
    tree.file("srv/busy", &content, 0o644);
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stopper(&done);
        // The same bytes again and again: the content never differs, only the scan cannot be sure of it.
        scope.spawn(|| {
            let mut file = File::options().write(true).open(tree.join("srv/busy")).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all(&content[..4096]).unwrap();
                std::io::Seek::rewind(&mut file).unwrap();
            }
        });
        for _ in 0..3 {
            let ran = Run::audit(tree.path(), &baseline).run();
            let report = Report::of(&ran);
            let raced = report.count("files", "raced");
            assert_eq!(ran.code, if raced > 0 { 2 } else { 0 }, "{:#}", report.0);
            if raced > 0 {
                let drifts = report.drifts();
                assert_eq!(
                    (drifts.len(), &drifts[0].key[..], &drifts[0].change[..]),
                    (1, "/srv/busy", "unseen")
                );
            }
        }
    });
}

#[test]
fn a_directory_swapped_with_a_link_never_leads_outside() {
    let scratch = Scratch::new("hostile-swapped");
    let tree = Tree::small(scratch.join("root"));
    let outside = scratch.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("from-outside"), "must not be read\n").unwrap();
    fs::write(outside.join("inside"), "must not be read\n").unwrap();
    let secret = sha256("must not be read\n");
    tree.file("srv/swap/inside", "may be read\n", 0o644);
    tree.file("srv/swapped-file", "may be read\n", 0o644);
    let done = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let stop = Stopper(&done);
        let racer = scope.spawn(|| swap_until(&done, &tree, &outside));
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(3) {
            let baseline = scratch.join(format!("baseline-{number}"));
            let ran = Run::record(tree.path(), &baseline).and(["--threads", "3"]).run();
            assert!(matches!(ran.code, 0 | 2), "{}: {}", ran.code, ran.stderr);
            let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
                .and([&baseline])
                .run()
                .expect_code(0)
                .text();
            assert!(
                !shown.contains("from-outside") && !shown.contains(&secret),
                "{shown}"
            );
            number += 1;
        }
        drop(stop);
        racer.join().unwrap()
    });
    assert!(swaps > 100, "only {swaps} swaps: nothing was raced");
}

/// Swaps a directory and a file with links out of the root; how often.
fn swap_until(done: &AtomicBool, tree: &Tree, outside: &Path) -> u64 {
    let pairs: [(PathBuf, PathBuf); 2] = [
        (tree.join("srv/swap"), outside.to_owned()),
        (tree.join("srv/swapped-file"), outside.join("inside")),
    ];
    let mut swaps = 0;
    while !done.load(Ordering::Relaxed) {
        for (path, target) in &pairs {
            let aside = path.with_extension("aside");
            fs::rename(path, &aside).unwrap();
            symlink(target, path).unwrap();
            thread::yield_now();
            fs::remove_file(path).unwrap();
            fs::rename(&aside, path).unwrap();
        }
        swaps += 1;
    }
    swaps
}

#[test]
fn a_tree_that_vanishes_under_the_scan_ends_it_in_order() {
    let scratch = Scratch::new("hostile-vanishing");
    let tree = Tree::small(scratch.join("root"));
    let original = scratch.join("original");
    for number in 0..300 {
        let path = format!("srv/v/{}/{}/f", number % 6, number);
        tree.file(path, "f", 0o644);
    }
    tool(
        "cp",
        [OsStr::new("-a"), tree.join("srv/v").as_ref(), original.as_ref()],
    );
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stopper(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::remove_dir_all(tree.join("srv/v")).unwrap();
                tool(
                    "cp",
                    [OsStr::new("-a"), original.as_ref(), tree.join("srv/v").as_ref()],
                );
            }
        });
        for _ in 0..10 {
            let ran = Run::audit(tree.path(), &baseline).run();
            let report = Report::of(&ran);
            for drift in report.drifts() {
                assert!(drift.key.starts_with("/srv"), "{drift:#?}");
                assert!(
                    matches!(&drift.change[..], "removed" | "unseen" | "modified"),
                    "{drift:#?}"
                );
            }
        }
    });
}
