//! Who may do what: each single change of users, groups, sudo rules and keys is told as such, and as the change
//! of the file that it was made in. Held to section, key and kind of change.

use std::fs;
use std::path::PathBuf;

use driftcheck_tests::{Drift, Report, Run, Scratch, Tree};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a@example\n";
const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f b@example\n";

/// A root with keys and an included sudo rule, and its baseline.
fn recorded(scratch: &Scratch) -> (Tree, PathBuf) {
    let tree = Tree::small(scratch.join("root"));
    tree.file("home/bob/.ssh/authorized_keys", KEY, 0o600);
    tree.file(
        "etc/sudoers",
        "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
        0o440,
    );
    tree.file("etc/sudoers.d/staff", "%staff ALL=(root) /usr/bin/tool\n", 0o440);
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0)).assert_clean();
    (tree, baseline)
}

/// Makes one change and gives the drifts of `section`; those of the files must be of `file` alone, and
/// linked to them.
fn after(name: &str, section: &str, file: &str, change: impl FnOnce(&Tree)) -> Vec<Drift> {
    let scratch = Scratch::new(name);
    let (tree, baseline) = recorded(&scratch);
    change(&tree);
    let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
    let (files, facts): (Vec<Drift>, Vec<Drift>) = report
        .drifts()
        .into_iter()
        .partition(|drift| drift.section == "files");
    let of_section: Vec<Drift> = facts
        .iter()
        .filter(|drift| drift.section == section)
        .cloned()
        .collect();
    assert!(!of_section.is_empty(), "no drift of {section}: {facts:#?}");
    assert_eq!(
        files.iter().map(|drift| &drift.key[..]).collect::<Vec<_>>(),
        [file]
    );
    // Keys tell their file themselves.
    for fact in of_section.iter().filter(|_| section != "authorized-keys") {
        assert!(
            files[0].related.contains(&fact.id) && fact.related.contains(&files[0].id),
            "not linked to {file}: {fact:#?}"
        );
    }
    of_section
}

/// The one drift.
fn only(drifts: &[Drift]) -> (&str, &str) {
    assert_eq!(drifts.len(), 1, "{drifts:#?}");
    (&drifts[0].key, &drifts[0].change)
}

fn append(tree: &Tree, path: &str, line: &str) {
    let text = fs::read_to_string(tree.join(path)).unwrap();
    fs::write(tree.join(path), text + line).unwrap();
}

#[test]
fn a_user_added_is_told() {
    let drifts = after("accounts-user-added", "users", "/etc/passwd", |tree| {
        append(tree, "etc/passwd", "toor:x:0:0::/root:/bin/sh\n");
    });
    assert_eq!(only(&drifts), ("toor", "added"));
    assert_eq!(drifts[0].severity, "critical", "a second root");
}

#[test]
fn a_user_removed_is_told() {
    let drifts = after("accounts-user-removed", "users", "/etc/passwd", |tree| {
        tree.edit("etc/passwd", "bob:x:1000:1000:Bob:/home/bob:/bin/sh\n", "");
    });
    assert_eq!(only(&drifts), ("bob", "removed"));
}

#[test]
fn a_users_number_and_shell_are_told() {
    for (number, (from, to, field)) in [
        ("bob:x:1000:1000", "bob:x:0:1000", "uid"),
        ("/home/bob:/bin/sh", "/home/bob:/bin/bash", "shell"),
        (":/home/bob:", ":/srv/data:", "home"),
    ]
    .into_iter()
    .enumerate()
    {
        let scratch = format!("accounts-user-changed-{number}");
        let drifts = after(&scratch, "users", "/etc/passwd", |tree| {
            tree.edit("etc/passwd", from, to);
        });
        assert_eq!(only(&drifts), ("bob", "modified"), "{field}");
        assert!(drifts[0].fields.contains_key(field), "{drifts:#?}");
    }
}

#[test]
fn a_group_and_its_members_are_told() {
    let drifts = after("accounts-group-added", "groups", "/etc/group", |tree| {
        append(tree, "etc/group", "new:x:1234:bob\n");
    });
    assert_eq!(only(&drifts), ("new", "added"));
    let drifts = after("accounts-group-member", "groups", "/etc/group", |tree| {
        tree.edit("etc/group", "sudo:x:27:", "sudo:x:27:bob");
    });
    assert_eq!(only(&drifts), ("sudo", "modified"));
    assert!(drifts[0].fields.contains_key("members"), "{drifts:#?}");
}

#[test]
fn a_password_that_may_be_used_is_told_and_its_hash_is_not() {
    const HASH: &str = "$6$saltsalt$Vcq2aTzcWqkPlantedSecretPlantedSecretPlantedSecret";
    let scratch = Scratch::new("accounts-hash");
    let (tree, baseline) = recorded(&scratch);
    tree.edit("etc/shadow", "bob:!:", &format!("bob:{HASH}:"));
    let text = Run::text(tree.path(), &baseline)
        .and(["--list", "0"])
        .run()
        .expect_code(1)
        .text();
    let ran = Run::audit(tree.path(), &baseline).run().expect_code(1);
    let drifts = Report::of(&ran).drifts();
    assert!(
        drifts
            .iter()
            .any(|drift| drift.section == "shadow" && drift.key == "bob"),
        "{drifts:#?}"
    );
    let again = scratch.join("again");
    Run::record(tree.path(), &again).run().expect_code(0);
    let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
        .and([&again])
        .run()
        .expect_code(0)
        .text();
    for written in [text, ran.text(), shown] {
        assert!(
            !written.contains("PlantedSecret") && !written.contains("saltsalt"),
            "{written}"
        );
    }
}

#[test]
fn a_sudo_rule_added_or_removed_is_told() {
    let drifts = after("accounts-sudo-added", "sudoers", "/etc/sudoers.d/staff", |tree| {
        append(tree, "etc/sudoers.d/staff", "bob ALL=(ALL) NOPASSWD: ALL\n");
    });
    let (key, change) = only(&drifts);
    assert!(change == "added" && key.contains("bob"), "{drifts:#?}");
    assert!(
        matches!(&drifts[0].severity[..], "critical" | "high"),
        "{drifts:#?}"
    );
    let drifts = after(
        "accounts-sudo-removed",
        "sudoers",
        "/etc/sudoers.d/staff",
        |tree| {
            fs::write(tree.join("etc/sudoers.d/staff"), "").unwrap();
        },
    );
    let (key, change) = only(&drifts);
    assert!(change == "removed" && key.contains("staff"), "{drifts:#?}");
}

#[test]
fn a_key_added_or_replaced_is_told() {
    let file = "/home/bob/.ssh/authorized_keys";
    let drifts = after("accounts-key-added", "authorized-keys", file, |tree| {
        append(tree, "home/bob/.ssh/authorized_keys", OTHER_KEY);
    });
    let (key, change) = only(&drifts);
    assert!(change == "added" && key.starts_with("bob SHA256:"), "{drifts:#?}");
    let drifts = after("accounts-key-replaced", "authorized-keys", file, |tree| {
        tree.file("home/bob/.ssh/authorized_keys", OTHER_KEY, 0o600);
    });
    let changes: Vec<&str> = drifts.iter().map(|drift| &drift.change[..]).collect();
    assert_eq!(drifts.len(), 2, "{drifts:#?}");
    assert!(
        changes.contains(&"added") && changes.contains(&"removed"),
        "{drifts:#?}"
    );
}

/// Damages one file; the section must have a blind spot, and nothing of it may be called removed if the damage
/// hides the whole of it.
fn damaged(name: &str, section: &str, damage: impl FnOnce(&Tree)) -> Report {
    let scratch = Scratch::new(name);
    let (tree, baseline) = recorded(&scratch);
    damage(&tree);
    let ran = Run::audit(tree.path(), &baseline).run();
    assert!(matches!(ran.code, 2 | 3), "{}: {}", ran.code, ran.text());
    let report = Report::of(&ran);
    assert!(
        !report.unseen(section).is_empty(),
        "{section} is not told as unseen: {:#}",
        report.0
    );
    assert!(report.count("files", "verified") > 10, "the rest goes on");
    report
}

#[test]
fn account_files_that_make_no_sense_are_unseen() {
    for (name, section, path) in [
        ("accounts-bad-passwd", "users", "etc/passwd"),
        ("accounts-bad-group", "groups", "etc/group"),
        ("accounts-bad-shadow", "shadow", "etc/shadow"),
        ("accounts-bad-sudoers", "sudoers", "etc/sudoers"),
    ] {
        let report = damaged(name, section, |tree| {
            tree.file(path, b"\x00\xff garbage without a meaning (\x1b[2J\n", 0o600);
        });
        let text = report.0.to_string();
        assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "{text}");
    }
}

#[test]
fn no_user_is_gone_because_passwd_is_cut_in_a_line() {
    damaged("accounts-cut-passwd", "users", |tree| {
        let text = fs::read_to_string(tree.join("etc/passwd")).unwrap();
        fs::write(tree.join("etc/passwd"), &text[..text.len() - 25]).unwrap();
    });
}

#[test]
fn a_loop_of_includes_ends_and_is_told() {
    damaged("accounts-sudo-loop", "sudoers", |tree| {
        append(tree, "etc/sudoers.d/staff", "@include /etc/sudoers.d/staff\n");
    });
}
