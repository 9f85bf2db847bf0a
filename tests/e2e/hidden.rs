//! What lies outside of what was looked at is named: mounts, exclusions, the baseline's own file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, met};

fn recorded(scratch: &Scratch, more: &[&str]) -> (Tree, PathBuf) {
    let tree = Tree::small(scratch.join("root"));
    tree.directory("mnt");
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).and(more).run().expect_code(0);
    (tree, baseline)
}

/// Rules that left something out of the files, with the number of entries.
fn skipped(report: &Report) -> Vec<(String, u64)> {
    let rules = report.coverage("files")["skipped"].as_array().unwrap();
    let rule = |rule: &serde_json::Value| {
        (
            rule["rule"].as_str().unwrap().to_owned(),
            rule["entries"].as_u64().unwrap(),
        )
    };
    rules.iter().map(rule).collect()
}

#[test]
fn a_mount_over_expected_files_is_a_blind_spot() {
    let scratch = Scratch::new("hidden-mount");
    if !met(&[Need::Root, Need::MountNamespace]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch, &[]);
    let other = scratch.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("tool"), "#!/bin/sh\nevil\n").unwrap();
    for (name, script) in [
        ("tmpfs", "mount -t tmpfs tmpfs \"$1\""),
        ("another directory, bound", "mount --bind \"$2\" \"$1\""),
        ("the directory itself, bound", "mount --bind \"$1\" \"$1\""),
    ] {
        let ran = Run::audit(tree.path(), &baseline)
            .after_mounting(script, &[&tree.join("usr/bin"), &other])
            .run();
        assert_eq!(ran.code, 2, "{name}: {}{}", ran.stderr, ran.text());
        let report = Report::of(&ran);
        let drifts = report.drifts();
        assert!(
            drifts.iter().all(|drift| drift.change == "unseen"),
            "{name}: {drifts:#?}"
        );
        let unseen = report.unseen("files");
        assert!(
            unseen.iter().any(|(key, _)| key == "/usr/bin"),
            "{name}: {unseen:?}"
        );
        assert!(report.count("files", "verified") > 10, "{name}");
    }
    let text = Run::text(tree.path(), &baseline);
    let text = text
        .after_mounting("mount -t tmpfs tmpfs \"$1\"", &[&tree.join("usr/bin")])
        .run()
        .expect_code(2);
    assert!(
        text.text().contains("/usr/bin") && text.text().contains("tmpfs"),
        "{}",
        text.text()
    );
}

#[test]
fn a_mount_over_one_expected_file_is_a_blind_spot() {
    let scratch = Scratch::new("hidden-file-mount");
    if !met(&[Need::Root, Need::MountNamespace]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch, &[]);
    let evil = scratch.join("evil");
    fs::write(&evil, "#!/bin/sh\nevil\n").unwrap();
    let ran = Run::audit(tree.path(), &baseline)
        .after_mounting("mount --bind \"$2\" \"$1\"", &[&tree.join("usr/bin/tool"), &evil])
        .run();
    assert!(
        ran.code & 2 != 0,
        "a program was replaced by a mount: {}",
        ran.text()
    );
    let unseen = Report::of(&ran).unseen("files");
    assert!(unseen.iter().any(|(key, _)| key == "/usr/bin/tool"), "{unseen:?}");
}

#[test]
fn a_mount_over_an_empty_directory_is_named_and_no_drift() {
    let scratch = Scratch::new("hidden-empty-mount");
    if !met(&[Need::Root, Need::MountNamespace]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch, &[]);
    let ran = Run::audit(tree.path(), &baseline)
        .after_mounting(
            "mount -t tmpfs tmpfs \"$1\"; touch \"$1/in\"",
            &[&tree.join("mnt")],
        )
        .run()
        .expect_code(0);
    let rules = skipped(&Report::of(&ran));
    assert!(
        rules.iter().any(|(rule, _)| rule == "mount /mnt (tmpfs)"),
        "{rules:?}"
    );
}

#[test]
fn what_a_baseline_left_out_is_named_by_every_audit() {
    let scratch = Scratch::new("hidden-recorded");
    let (tree, baseline) = recorded(&scratch, &["--exclude", "/srv/**"]);
    tree.file("srv/data/a", "changed\n", 0o644);
    let ran = Run::audit(tree.path(), &baseline).run().expect_code(0);
    let rules = skipped(&Report::of(&ran));
    assert!(
        rules.iter().any(|(rule, _)| rule.contains("/srv/**")),
        "{rules:?}"
    );
    let text = Run::text(tree.path(), &baseline).run().expect_code(0).text();
    assert!(text.contains("/srv/**"), "{text}");
}

#[test]
fn what_an_audit_leaves_out_is_counted() {
    let scratch = Scratch::new("hidden-audit");
    let (tree, baseline) = recorded(&scratch, &[]);
    tree.file("srv/data/a", "changed\n", 0o644);
    for (glob, entries) in [
        ("/srv/**", 4),
        ("/srv", 5),
        ("/srv/data/a", 1),
        ("**/a", 1),
        ("/srv/d*", 4),
    ] {
        let ran = Run::audit(tree.path(), &baseline)
            .and(["--exclude", glob])
            .run()
            .expect_code(0);
        let report = Report::of(&ran);
        let rules = skipped(&report);
        let rule = format!("--exclude {glob}");
        assert!(rules.contains(&(rule, entries)), "{glob}: {rules:?}");
        let counted = report.count("files", "verified") + entries;
        assert_eq!(
            counted,
            report.count("files", "expected"),
            "{glob}: an entry is neither verified nor skipped"
        );
    }
    let ran = Run::audit(tree.path(), &baseline)
        .and(["--exclude", "/etc/**"])
        .run()
        .expect_code(1);
    assert_eq!(Report::of(&ran).drifts()[0].key, "/srv/data/a");
}

#[test]
fn scratch_places_still_tell_what_gives_power() {
    let scratch = Scratch::new("hidden-scratch");
    let (tree, baseline) = recorded(&scratch, &[]);
    tree.directory("tmp/deep");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    tree.file("tmp/ordinary", "x", 0o644);
    tree.file("tmp/deep/ordinary", "x", 0o755);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    tree.file("tmp/deep/rootshell", "x", 0o4755);
    let drifts = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1)).drifts();
    assert_eq!(
        (drifts.len(), &drifts[0].key[..], &drifts[0].severity[..]),
        (1, "/tmp/deep/rootshell", "critical")
    );
}

#[test]
fn names_that_differ_in_one_invalid_byte_are_two_entries() {
    let scratch = Scratch::new("hidden-names");
    let tree = Tree::small(scratch.join("root"));
    let name = |last: u8| Path::new("srv").join(OsStr::from_bytes(&[b'n', last]));
    tree.file(name(0xfe), "one", 0o644);
    tree.file(name(0xff), "two", 0o644);
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    fs::remove_file(tree.join(name(0xff))).unwrap();
    let drifts = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1)).drifts();
    assert_eq!(
        (drifts.len(), &drifts[0].key[..], &drifts[0].change[..]),
        (1, "/srv/n\\xff", "removed")
    );
    // A name that looks like the other one's spelling is a third.
    tree.file("srv/n\\xff", "two", 0o644);
    let drifts = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1)).drifts();
    assert_eq!(
        (drifts.len(), &drifts[0].key[..], &drifts[1].key[..]),
        (2, "/srv/n\\x5cxff", "/srv/n\\xff")
    );
}

#[test]
fn a_baseline_kept_inside_its_root_is_no_drift() {
    let scratch = Scratch::new("hidden-own");
    let tree = Tree::small(scratch.join("root"));
    tree.directory("var/lib/driftcheck");
    let inside = tree.join("var/lib/driftcheck/baseline");
    Run::record(tree.path(), &inside).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &inside).run().expect_code(0)).assert_clean();
    let first = fs::read(&inside).unwrap();
    Run::record(tree.path(), &inside).run().expect_code(0);
    // Only the directory's time may differ, by which the name came into it.
    Report::of(&Run::audit(tree.path(), &inside).run().expect_code(0)).assert_clean();
    assert!(!first.is_empty());
    // A second file beside it is no part of the exception.
    fs::copy(&inside, tree.join("var/lib/driftcheck/other")).unwrap();
    let drifts = Report::of(&Run::audit(tree.path(), &inside).run().expect_code(1)).drifts();
    assert_eq!(
        (drifts.len(), &drifts[0].key[..]),
        (1, "/var/lib/driftcheck/other")
    );
}
