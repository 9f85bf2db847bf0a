//! Every way in which a clean answer could be false: a baseline that is not what it was, a report that did not
//! arrive, an option that leaves out too much.

use std::fs;
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Ran, Report, Run, Scratch, Tree, met, tool};

/// A root and its baseline.
fn recorded(scratch: &Scratch) -> (Tree, PathBuf) {
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    (tree, baseline)
}

/// Fails unless the baseline was refused: exit code, nothing on standard output, one line that names the file and
/// gives a reason.
fn assert_refused(ran: &Ran, baseline: &Path, case: &str) {
    assert_eq!(ran.code, 65, "{case}: {} {}", ran.stderr, ran.text());
    assert_eq!(ran.text(), "", "{case}: half a report");
    let error = ran.stderr.trim_end();
    let told = error.strip_prefix(&format!("driftcheck: error: {}: ", baseline.display()));
    assert!(told.is_some_and(|reason| reason.len() > 5), "{case}: {error}");
    assert_eq!(error.lines().count(), 1, "{case}: {error}");
}

/// Writes a damaged baseline; neither an audit nor the two readers of baselines may accept it.
fn assert_bytes_refused(tree: &Tree, scratch: &Scratch, bytes: &[u8], case: &str) {
    let damaged = scratch.join("damaged");
    fs::write(&damaged, bytes).unwrap();
    assert_refused(&Run::audit(tree.path(), &damaged).run(), &damaged, case);
    assert_eq!(
        Run::new(["baseline", "verify"]).and([&damaged]).run().code,
        65,
        "{case}"
    );
}

#[test]
fn a_baseline_cut_anywhere_is_refused() {
    let scratch = Scratch::new("false-cut");
    let (tree, baseline) = recorded(&scratch);
    let whole = fs::read(&baseline).unwrap();
    let early = (0..whole.len()).step_by(37);
    let late = whole.len().saturating_sub(40)..whole.len();
    for length in early.chain(late) {
        let case = format!("cut to {length} of {} bytes", whole.len());
        assert_bytes_refused(&tree, &scratch, &whole[..length], &case);
    }
}

#[test]
fn a_bit_flipped_anywhere_is_refused_or_changes_nothing() {
    let scratch = Scratch::new("false-flip");
    let (tree, baseline) = recorded(&scratch);
    // How the container packs what is in it depends on the files' times: these make it the same in every run.
    let touch = ["-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"].map(Path::new);
    tool("find", std::iter::once(tree.path()).chain(touch));
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let whole = fs::read(&baseline).unwrap();
    let shown = |file: &Path| {
        Run::new(["baseline", "show", "--all", "--format", "json"])
            .and([file])
            .run()
    };
    let content = shown(&baseline).expect_code(0).stdout;
    let damaged = scratch.join("damaged");
    // All bits of the container's first bytes, and one bit of each byte that a step meets further on.
    let head = (0..24 * 8).map(|bit| (bit / 8, bit % 8));
    let body = (24..whole.len()).step_by(5).map(|at| (at, at % 8));
    let (mut refused, mut harmless) = (0, 0);
    for (at, bit) in head.chain(body) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&damaged, &flipped).unwrap();
        let ran = shown(&damaged);
        if ran.code == 0 {
            // A few bits of the container mean nothing (RFC 8878: an unused one) or ask for more memory than is
            // needed. What is sealed has come out the same, byte for byte.
            assert!(
                ran.stdout == content,
                "bit {bit} of byte {at}: other content was accepted"
            );
            harmless += 1;
        } else {
            let case = format!("bit {bit} of byte {at}");
            assert_refused(&Run::audit(tree.path(), &damaged).run(), &damaged, &case);
            refused += 1;
        }
    }
    assert!(
        harmless < 16 && refused > 250,
        "{harmless} accepted, {refused} refused"
    );
}

#[test]
fn bytes_added_are_refused() {
    let scratch = Scratch::new("false-more");
    let (tree, baseline) = recorded(&scratch);
    let whole = fs::read(&baseline).unwrap();
    for (name, more) in [
        ("one byte", &b"\0"[..]),
        ("a line end", b"\n"),
        ("text", b"[\"files\",\"/evil\",{}]\n"),
        ("the same again", &whole),
        // RFC 8878: readers skip such a frame, so anything could hide in it.
        ("a skippable frame", b"\x50\x2a\x4d\x18\x04\0\0\0evil"),
        ("an empty frame", b"\x28\xb5\x2f\xfd\x20\0\x01\0\0"),
    ] {
        assert_bytes_refused(
            &tree,
            &scratch,
            &[&whole, more].concat(),
            &format!("{name} behind"),
        );
        assert_bytes_refused(
            &tree,
            &scratch,
            &[more, &whole].concat(),
            &format!("{name} in front"),
        );
    }
}

#[test]
fn what_is_no_baseline_is_refused() {
    let scratch = Scratch::new("false-foreign");
    let (tree, _) = recorded(&scratch);
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"hello\n"),
        ("JSON", b"{\"driftcheck-baseline\":1}\n"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"),
        ("zeros", vec![0; 70_000].as_slice()),
        ("an empty zstd frame", b"\x28\xb5\x2f\xfd\x20\0\x01\0\0"),
    ] {
        assert_bytes_refused(&tree, &scratch, bytes, name);
    }
    for (name, path) in [
        ("missing", scratch.join("missing")),
        ("a directory", tree.path().to_owned()),
        ("below a file", tree.join("etc/motd/baseline")),
    ] {
        assert_refused(&Run::audit(tree.path(), &path).run(), &path, name);
    }
}

#[test]
fn a_report_that_does_not_arrive_is_an_error() {
    let scratch = Scratch::new("false-full");
    let (tree, baseline) = recorded(&scratch);
    let full = Path::new("/dev/full");
    for (name, run) in [
        ("text", Run::text(tree.path(), &baseline).to(full)),
        ("JSON", Run::audit(tree.path(), &baseline).to(full)),
        (
            "--output",
            Run::audit(tree.path(), &baseline).and(["--output", "/dev/full"]),
        ),
        (
            "--output below nothing",
            Run::text(tree.path(), &baseline).and(["--output", "/nowhere/at/all"]),
        ),
        (
            "record",
            Run::new(["record", "-o", "-", "--from"])
                .and([tree.path()])
                .to(full),
        ),
        (
            "show",
            Run::new(["baseline", "show", "--all", "--format", "json"])
                .and([&baseline])
                .to(full),
        ),
        (
            "verify",
            Run::new(["baseline", "verify"]).and([&baseline]).to(full),
        ),
        ("schema", Run::new(["schema", "report"]).to(full)),
        ("help", Run::new(["--help"]).to(full)),
    ] {
        let ran = run.run();
        assert_eq!(ran.code, 70, "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("driftcheck: error: "),
            "{name}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_baseline() {
    let scratch = Scratch::new("false-disk");
    if !met(&[Need::Root, Need::MountNamespace]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch);
    for number in 0..400 {
        tree.file(format!("srv/many/{number}"), format!("{number}"), 0o644);
    }
    let disk = scratch.join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=8k tmpfs \"$1\"";
    let report = disk.join("report");
    let ran = Run::audit(tree.path(), &baseline).and(["--output".as_ref(), report.as_os_str()]);
    let ran = ran.after_mounting(mount, &[&disk]).run().expect_code(70);
    assert!(
        ran.stderr.contains("could not be written") && ran.stderr.contains("space"),
        "{}",
        ran.stderr
    );
    // What is left on the disk is looked at in the same mount namespace, by the shell.
    let listed = "mount -t tmpfs -o size=8k tmpfs \"$1\"; d=$1; shift; set +e; \"$@\"; code=$?; ls -A \"$d\"; exit $code";
    let wrapper = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        listed,
        "sh",
    ];
    let wrapper = wrapper
        .iter()
        .map(std::ffi::OsString::from)
        .chain([disk.clone().into_os_string()]);
    let ran = Run::record(tree.path(), &disk.join("baseline"))
        .within(wrapper)
        .run()
        .expect_code(70);
    assert!(
        ran.stderr.contains("baseline") && ran.stderr.contains("space"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.text(), "", "half a baseline is left on the disk");
}

#[test]
fn excluding_everything_is_not_clean() {
    let scratch = Scratch::new("false-exclude");
    let (tree, baseline) = recorded(&scratch);
    tree.file("etc/motd", "a change that is not looked at\n", 0o644);
    for more in [
        &["--exclude", "/**"][..],
        &["--exclude", "/*"],
        &["--exclude", "**"],
        &["--include", "/nowhere/**"],
        &["--section", "files", "--exclude", "/**"],
    ] {
        let ran = Run::text(tree.path(), &baseline).and(more).run().expect_code(2);
        assert!(
            ran.text().contains("nothing was verified"),
            "{more:?}: {}",
            ran.text()
        );
        let last = ran.text().lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("INCOMPLETE: "), "{more:?}: {last}");
    }
    // Looking at one file only is a choice, and that file was verified.
    let one = Run::text(tree.path(), &baseline)
        .and(["--include", "/etc/passwd"])
        .run()
        .expect_code(0);
    assert!(one.text().contains("--include"), "{}", one.text());
    Run::text(tree.path(), &baseline)
        .and(["--section", "packages"])
        .run()
        .expect_code(0);
}

#[test]
fn mistakes_on_the_command_line_are_refused_before_anything_is_looked_at() {
    let scratch = Scratch::new("false-usage");
    let (tree, baseline) = recorded(&scratch);
    let audit = || Run::text(tree.path(), &baseline);
    for (run, named) in [
        (audit().and(["--section", "fils"]), "fils"),
        (audit().and(["--exclude", "/a["]), "/a["),
        (audit().and(["--include", "etc/*"]), "etc/*"),
        (audit().and(["--unknown"]), "--unknown"),
        (audit().and(["--format", "xml"]), "xml"),
        (audit().and(["--threads", "many"]), "many"),
        (audit().and(["stray"]), "stray"),
        (Run::new(["--root", "/"]), "--baseline"),
        (Run::text(&scratch.join("no-root"), &baseline), "no-root"),
        (
            Run::record(tree.path(), &baseline).and(["--section", "fils"]),
            "fils",
        ),
        (
            Run::record(tree.path(), &baseline).and(["--exclude", "/a{b"]),
            "/a{b",
        ),
        (Run::record(&scratch.join("no-root"), &baseline), "no-root"),
        (Run::new(["record"]), "--output"),
        (Run::new(["baseline", "show"]), "FILE"),
        (Run::new(["schema", "nothing"]), "nothing"),
    ] {
        let shown = format!("{run:?}");
        let ran = run.run();
        assert_eq!(ran.code, 64, "{shown}: {}", ran.stderr);
        assert!(ran.stderr.contains(named), "{shown}: {}", ran.stderr);
        assert_eq!(ran.text(), "", "{shown}");
    }
    // A file that is no image is named, too.
    let ran = Run::text(&tree.join("etc/motd"), &baseline).run();
    assert_eq!(ran.code, 65, "{}", ran.stderr);
    assert!(ran.stderr.contains("motd"), "{}", ran.stderr);
    // The refused recordings have not touched the baseline that was there.
    Run::new(["baseline", "verify"])
        .and([&baseline])
        .run()
        .expect_code(0);
}

#[test]
fn a_failed_recording_leaves_the_old_baseline() {
    let scratch = Scratch::new("false-kept");
    let (tree, baseline) = recorded(&scratch);
    let before = fs::read(&baseline).unwrap();
    let mut child = Run::record(Path::new("/usr"), &baseline)
        .and(["--threads", "1"])
        .command()
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        fs::read(&baseline).unwrap() == before,
        "a killed recording replaced the baseline"
    );
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
}

#[test]
fn an_output_that_is_no_file_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;

    let scratch = Scratch::new("output-kinds");
    let tree = Tree::small(scratch.join("root"));
    let (link, file, fifo) = (scratch.join("link"), scratch.join("file"), scratch.join("fifo"));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );

    let ran = Run::record(tree.path(), &fifo).run().expect_code(70);
    assert!(ran.stderr.contains("not a regular file"), "{}", ran.stderr);
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    Run::record(tree.path(), &link).run().expect_code(0);
    assert!(
        fs::symlink_metadata(&link).unwrap().is_symlink(),
        "a link stays a link"
    );
    assert_ne!(fs::read(&file).unwrap(), b"old");
}

#[test]
fn a_report_does_not_replace_its_baseline() {
    let scratch = Scratch::new("output-baseline");
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let before = fs::read(&baseline).unwrap();
    let ran = Run::audit(tree.path(), &baseline).and(["-o".as_ref(), baseline.as_os_str()]);
    ran.run().expect_code(64);
    assert_eq!(fs::read(&baseline).unwrap(), before);
}

#[test]
fn a_number_of_workers_that_cannot_be_is_a_mistake() {
    let scratch = Scratch::new("workers");
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    for option in ["--threads=0", "--threads=99999", "--io-depth=99999999"] {
        Run::audit(tree.path(), &baseline)
            .and([option])
            .run()
            .expect_code(64);
    }
}
