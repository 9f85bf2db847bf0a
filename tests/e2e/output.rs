//! What is written for people and for programs, and what the process ends with.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use driftcheck_tests::{Need, Ran, Report, Run, Scratch, Tree, met};

fn recorded(scratch: &Scratch) -> (Tree, PathBuf) {
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    (tree, baseline)
}

/// Some drift of every kind, with names that would steer a terminal.
fn drift(tree: &Tree) {
    tree.file("etc/motd", "changed\n", 0o666);
    tree.mode("usr/bin/tool", 0o4755);
    fs::remove_file(tree.join("srv/data/a")).unwrap();
    for name in [
        &b"\x1b]0;owned\x07"[..],
        b"\x1b[2J\x1b[H",
        b"two\nlines",
        b"\xe2\x80\xaegnp.exe",
        b"\x9b31m",
        b"tab\t",
        b"\r CLEAN: nothing differs",
    ] {
        tree.file(Path::new("srv").join(OsStr::from_bytes(name)), name, 0o644);
        tree.link(
            Path::new("usr").join(OsStr::from_bytes(name)),
            OsStr::from_bytes(name),
        );
    }
    tree.edit("var/lib/dpkg/status", "1.10-1", "1.9-1");
}

/// Validates JSON documents, one a line, against a schema, by another program.
pub(super) fn validate(scratch: &Scratch, schema: &str, documents: &str) {
    let script = "\
import json, jsonschema, sys
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
bad = 0
for number, line in enumerate(open(sys.argv[2], encoding='utf-8').read().split('\\n')):
    if line:
        for error in validator.iter_errors(json.loads(line)):
            bad += 1
            print(number + 1, error.message[:500], list(error.path))
sys.exit(1 if bad else 0)
";
    let (schema_file, document_file) = (scratch.join("schema.json"), scratch.join("documents"));
    let printed = Run::new(["schema", schema]).run().expect_code(0);
    fs::write(&schema_file, &printed.stdout).unwrap();
    fs::write(&document_file, documents).unwrap();
    let output = Command::new("python3")
        .args(["-W", "ignore", "-c", script])
        .args([schema_file, document_file])
        .output()
        .unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

#[test]
fn reports_and_baselines_are_valid_by_their_schemas() {
    let scratch = Scratch::new("output-schema");
    if !met(&[Need::PythonModule("jsonschema")]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch);
    let one_line = |ran: &Ran| {
        serde_json::from_slice::<serde_json::Value>(&ran.stdout)
            .unwrap()
            .to_string()
            + "\n"
    };
    let clean = one_line(&Run::audit(tree.path(), &baseline).run().expect_code(0));
    drift(&tree);
    let drifted = one_line(&Run::audit(tree.path(), &baseline).run().expect_code(1));
    let blind = one_line(
        &Run::audit(tree.path(), &baseline)
            .and(["--max-file-size", "3", "--exclude", "/usr/**"])
            .run()
            .expect_code(3),
    );
    validate(&scratch, "report", &(clean + &drifted + &blind));

    let with_all = scratch.join("with-all");
    let named = [
        "--name",
        "web",
        "--image-version",
        "1.4",
        "--purpose",
        "web server",
        "--exclude",
        "/srv/**",
    ];
    Run::record(tree.path(), &with_all)
        .and(named)
        .run()
        .expect_code(0);
    for file in [&baseline, &with_all] {
        let bytes = Command::new("zstd").args(["-dcq"]).arg(file).output();
        // With the trailer, if somebody is there to unpack it; `show` leaves it out.
        let text = match bytes {
            Ok(output) if output.status.success() => output.stdout,
            _ => {
                Run::new(["baseline", "show", "--all", "--format", "json"])
                    .and([file])
                    .run()
                    .expect_code(0)
                    .stdout
            }
        };
        validate(&scratch, "baseline", &String::from_utf8(text).unwrap());
    }
}

#[test]
fn text_cannot_steer_a_terminal() {
    let scratch = Scratch::new("output-control");
    let (tree, baseline) = recorded(&scratch);
    drift(&tree);
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
    };
    for more in [&["--list", "0"][..], &[]] {
        let ran = Run::text(tree.path(), &baseline).and(more).run().expect_code(1);
        let text = String::from_utf8(ran.stdout).expect("UTF-8");
        for line in text.lines() {
            assert!(!line.contains(invisible), "{line:?}");
            // `/srv/...CLEAN` is a name. Only the last line is a verdict.
            assert!(!line.starts_with("CLEAN"), "{line:?}");
        }
        assert!(text.contains("\\x1b[2J"), "{text}");
    }
    // Colour is the only thing that may begin with an escape.
    let colour = Run::text(tree.path(), &baseline)
        .and(["--colour", "always"])
        .run()
        .expect_code(1)
        .text();
    for part in colour.split('\x1b').skip(1) {
        let end = part.find('m').unwrap_or_else(|| panic!("{part:?}"));
        assert!(
            part[1..end].chars().all(|c| c.is_ascii_digit() || c == ';') && part.starts_with('['),
            "{part:?}"
        );
    }
    let json = Run::audit(tree.path(), &baseline).run().expect_code(1).text();
    assert!(
        !json.contains(|c: char| c.is_control() && c != '\n'),
        "JSON with control characters"
    );
    // Neither do errors repeat a name as it is.
    let evil = OsStr::from_bytes(b"/nowhere/\x1b[2J\nCLEAN");
    for ran in [
        Run::text(tree.path(), Path::new(evil)).run().expect_code(65),
        Run::record(Path::new(evil), &scratch.join("x"))
            .run()
            .expect_code(64),
        Run::new(["baseline", "verify"]).and([evil]).run().expect_code(65),
    ] {
        assert!(
            !ran.stderr.contains('\x1b') && !ran.stderr.contains("\nCLEAN"),
            "{:?}",
            ran.stderr
        );
    }
}

#[test]
fn the_last_line_is_the_verdict() {
    let scratch = Scratch::new("output-last");
    let (tree, baseline) = recorded(&scratch);
    let last = |run: Run, code| {
        let text = run.run().expect_code(code).text();
        assert!(text.ends_with('\n'), "{text:?}");
        text.lines().last().unwrap_or_default().to_owned()
    };
    let audit = || Run::text(tree.path(), &baseline);
    let limit = ["--max-file-size", "3"];
    assert!(last(audit(), 0).starts_with("CLEAN: "));
    assert!(last(audit().and(limit), 2).starts_with("INCOMPLETE: "));
    drift(&tree);
    assert!(last(audit(), 1).starts_with("DRIFT: "));
    assert!(last(audit().and(limit), 3).starts_with("DRIFT AND INCOMPLETE: "));
    let text = audit().run().text();
    // Names are never cut, and the verdict is one line, however long; the rest fits.
    let lines = text
        .lines()
        .rev()
        .skip(1)
        .filter(|line| !line.contains(['/', '\\']));
    for line in lines {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn a_closed_pipe_is_quiet_and_keeps_the_exit_code() {
    let scratch = Scratch::new("output-pipe");
    let (tree, baseline) = recorded(&scratch);
    for number in 0..3000 {
        tree.file(format!("srv/many/{number}"), "", 0o644);
    }
    let long = scratch.join("long");
    Run::record(tree.path(), &long).run().expect_code(0);
    for (name, run, code) in [
        ("text", Run::text(tree.path(), &baseline).and(["--list", "0"]), 1),
        ("JSON", Run::audit(tree.path(), &baseline), 1),
        (
            "show",
            Run::new(["baseline", "show", "--all", "--format", "json"]).and([&long]),
            0,
        ),
        ("schema", Run::new(["schema", "report"]), 0),
    ] {
        let mut child = run
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().unwrap());
        reader.read_line(&mut first).unwrap();
        drop(reader);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), &errors[..]), (Some(code), ""), "{name}");
        assert!(!first.is_empty(), "{name}");
    }
}

#[test]
fn every_exit_code_of_the_help_is_met_and_no_other() {
    let scratch = Scratch::new("output-codes");
    let (tree, baseline) = recorded(&scratch);
    let help = Run::new(["--help"]).run().expect_code(0).text();
    let table = help
        .split("Exit codes:")
        .nth(1)
        .unwrap_or_else(|| panic!("no table: {help}"));
    let printed: BTreeSet<i32> = table
        .lines()
        .filter_map(|line| line.trim().split_once("  ")?.0.parse().ok())
        .collect();
    let audit = || Run::text(tree.path(), &baseline);
    let limit = ["--max-file-size", "3"];
    let mut met = vec![
        audit().run().code,
        audit().and(limit).run().code,
        audit().and(["--no-such-option"]).run().code,
        Run::text(tree.path(), &tree.join("etc/motd")).run().code,
        audit().to(Path::new("/dev/full")).run().code,
    ];
    drift(&tree);
    met.push(audit().run().code);
    met.push(audit().and(limit).run().code);
    assert_eq!(met.into_iter().collect::<BTreeSet<i32>>(), printed);
    assert_eq!(printed, BTreeSet::from([0, 1, 2, 3, 64, 65, 70]));
}

#[test]
fn the_same_drift_has_the_same_id_on_every_host() {
    let scratch = Scratch::new("output-ids");
    let mut ids = Vec::new();
    for host in ["one", "another"] {
        let tree = Tree::small(scratch.join(host));
        tree.file("etc/hostname", format!("{host}\n"), 0o644);
        tree.file("srv/only", host, 0o644);
        let baseline = scratch.join(format!("{host}.baseline"));
        Run::record(tree.path(), &baseline).run().expect_code(0);
        drift(&tree);
        let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
        let drifts = report.drifts().into_iter();
        ids.push(drifts.map(|drift| (drift.key, drift.id)).collect::<Vec<_>>());
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].len() >= 15, "{ids:#?}");
    let unique: BTreeSet<&String> = ids[0].iter().map(|(_, id)| id).collect();
    assert_eq!(unique.len(), ids[0].len(), "two drifts with one id");
}

#[test]
fn ids_do_not_depend_on_when_a_file_was_added() {
    let scratch = Scratch::new("output-added-ids");
    let (tree, baseline) = recorded(&scratch);
    let id = |time: i64| {
        tree.file("usr/bin/new", "new\n", 0o755);
        driftcheck_tests::set_times(&tree.join("usr/bin/new"), time, time);
        let drifts = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1)).drifts();
        assert_eq!(drifts.len(), 1);
        drifts[0].id.clone()
    };
    assert_eq!(
        id(1_500_000_000),
        id(1_600_000_000),
        "the same file added to two hosts is one drift"
    );
}

#[test]
fn a_flood_of_drifts_is_complete_in_json_and_bounded_in_text() {
    const FLOOD: usize = 25_000;
    let scratch = Scratch::new("output-flood");
    let (tree, baseline) = recorded(&scratch);
    for number in 0..FLOOD {
        let directory = tree.join(format!("srv/flood/{}", number % 100));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(number.to_string()), "").unwrap();
    }
    tree.file("usr/bin/rootshell", "x", 0o4755);
    let ran = Run::audit(tree.path(), &baseline).run().expect_code(1);
    assert!(
        ran.peak > 0 && ran.peak < 64 << 20,
        "{} bytes of memory",
        ran.peak
    );
    let report = Report::of(&ran);
    let drifts = report.drifts();
    assert_eq!(drifts.len(), FLOOD + 100 + 1 + 1);
    assert_eq!(report.0["summary"]["drifts"], drifts.len());
    let keys: BTreeSet<&str> = drifts.iter().map(|drift| &drift.key[..]).collect();
    assert_eq!(keys.len(), drifts.len(), "a drift is told twice");
    let rank = |severity: &str| {
        ["critical", "high", "medium", "low", "info"]
            .iter()
            .position(|known| *known == severity)
    };
    assert!(
        drifts.is_sorted_by_key(|drift| rank(&drift.severity).expect("a known severity")),
        "not worst first"
    );
    assert_eq!(drifts[0].key, "/usr/bin/rootshell");

    let ran = Run::text(tree.path(), &baseline).run().expect_code(1);
    assert!(ran.peak < 64 << 20, "{} bytes of memory", ran.peak);
    let text = ran.text();
    assert!(text.lines().count() < 500, "{} lines", text.lines().count());
    assert!(text.contains("/usr/bin/rootshell"));
    assert!(
        text.lines()
            .last()
            .is_some_and(|line| line.starts_with("DRIFT: 25,102 differences")),
        "{:?}",
        text.lines().last()
    );
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["record", "--help"],
        &["baseline", "--help"],
    ] {
        let ran = Run::new(arguments).run().expect_code(0);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{arguments:?}");
    }
}
