//! What cannot be read or understood is told as not seen, never as gone or the same; and the rest goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, met};

/// A root, and a baseline of it by somebody who may read all of it.
fn recorded(scratch: &Scratch) -> (Tree, std::path::PathBuf) {
    let tree = Tree::small(scratch.join("root"));
    tree.file("srv/closed/in/here", "x", 0o644);
    tree.file("srv/closed/too", "x", 0o644);
    tree.mode("etc/shadow", 0o644);
    tree.mode("etc/sudoers", 0o644);
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&baseline).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600, "a baseline is nobody else's business");
    // Here an ordinary user is to compare with it.
    fs::set_permissions(&baseline, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    (tree, baseline)
}

#[test]
fn a_file_that_may_not_be_read_is_unseen() {
    let scratch = Scratch::new("unreadable-file");
    if !met(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch);
    Report::of(
        &Run::audit(tree.path(), &baseline)
            .as_nobody()
            .run()
            .expect_code(0),
    )
    .assert_clean();
    tree.mode("srv/data/a", 0);
    let report = Report::of(
        &Run::audit(tree.path(), &baseline)
            .as_nobody()
            .run()
            .expect_code(3),
    );
    let unseen = report.unseen("files");
    assert!(
        unseen
            .iter()
            .any(|(key, why)| key == "/srv/data/a" && why.contains("digest")),
        "{unseen:?}"
    );
    let drifts = report.drifts();
    let told: Vec<(&str, &str)> = drifts
        .iter()
        .map(|drift| (&drift.key[..], &drift.change[..]))
        .collect();
    assert_eq!(
        drifts.len(),
        2,
        "the mode, and that the content was not seen: {told:?}"
    );
    assert!(
        told.contains(&("/srv/data/a", "modified")) && told.contains(&("/srv/data/a", "unseen")),
        "{told:?}"
    );
    let modified = drifts.iter().find(|drift| drift.change == "modified").unwrap();
    assert_eq!(
        modified.fields.keys().collect::<Vec<_>>(),
        ["mode"],
        "content is not called changed"
    );
    let text = Run::text(tree.path(), &baseline)
        .as_nobody()
        .run()
        .expect_code(3)
        .text();
    assert!(text.contains("/srv/data/a") && text.contains("denied"), "{text}");
}

#[test]
fn nothing_below_a_closed_directory_is_called_removed() {
    let scratch = Scratch::new("unreadable-directory");
    if !met(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let (tree, _) = recorded(&scratch);
    for (mode, name) in [
        (0o000, "neither read nor entered"),
        (0o111, "not listed"),
        (0o444, "listed, not entered"),
    ] {
        tree.mode("srv/closed", 0o755);
        tree.file("srv/closed/in/here", "x", 0o644);
        let baseline = scratch.join("baseline");
        tree.mode("srv/closed", mode);
        // By root, who sees it all the same, so that the mode itself is as expected.
        Run::record(tree.path(), &baseline).run().expect_code(0);
        let report = Report::of(
            &Run::audit(tree.path(), &baseline)
                .as_nobody()
                .run()
                .expect_code(2),
        );
        for drift in report.drifts() {
            assert_eq!(drift.change, "unseen", "{name}: {drift:#?}");
            assert!(drift.key.starts_with("/srv/closed"), "{name}: {drift:#?}");
        }
        let unseen = report.unseen("files");
        assert!(
            unseen.iter().any(|(key, _)| key.starts_with("/srv/closed")),
            "{name}: {unseen:?}"
        );
        assert!(report.count("files", "verified") > 10, "{name}: the rest goes on");
        // Even if everything in it really is gone: nobody could see that.
        fs::remove_dir_all(tree.join("srv/closed/in")).unwrap();
        let report = Report::of(&Run::audit(tree.path(), &baseline).as_nobody().run());
        assert_eq!(
            report.0["verdict"]
                .as_str()
                .map(|verdict| verdict.contains("incomplete")),
            Some(true)
        );
        if mode != 0o444 {
            assert!(
                report.drifts().iter().all(|drift| drift.change == "unseen"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_baseline_that_could_not_see_says_so_later() {
    let scratch = Scratch::new("unreadable-baseline");
    if !met(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let (tree, _) = recorded(&scratch);
    tree.mode("srv/closed", 0);
    let recorded = Run::new(["record", "-o", "-", "--from"])
        .and([tree.path()])
        .as_nobody()
        .run()
        .expect_code(2);
    assert!(
        recorded.stderr.contains("/srv/closed") && recorded.stderr.contains("INCOMPLETE"),
        "{}",
        recorded.stderr
    );
    let baseline = scratch.join("by-nobody");
    fs::write(&baseline, &recorded.stdout).unwrap();
    let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(2));
    assert!(
        report.drifts().iter().all(|drift| drift.change == "unseen"),
        "{:#}",
        report.0
    );
    assert!(report.unseen("files").iter().any(|(key, _)| key == "/srv/closed"));
}

/// Audits a root whose package database has become this.
fn with_status(name: &str, write: impl FnOnce(&Path)) -> Report {
    let scratch = Scratch::new(name);
    let (tree, baseline) = recorded(&scratch);
    write(&tree.join("var/lib/dpkg/status"));
    tree.file("etc/motd", "and one real change\n", 0o644);
    let ran = Run::audit(tree.path(), &baseline).run().expect_code(3);
    assert!(ran.peak < 256 << 20, "{} bytes of memory", ran.peak);
    let report = Report::of(&ran);
    let unseen = report.unseen("packages");
    assert!(!unseen.is_empty(), "the database is not named: {:#}", report.0);
    let drifts = report.drifts();
    assert!(
        drifts
            .iter()
            .any(|drift| drift.key == "/etc/motd" && drift.change == "modified"),
        "the rest goes on"
    );
    assert!(
        drifts
            .iter()
            .any(|drift| drift.section == "packages" && drift.change == "unseen"),
        "{drifts:#?}"
    );
    report
}

fn assert_no_package_is_gone(report: &Report) {
    for drift in report.drifts() {
        assert!(
            drift.section != "packages" || drift.change != "removed",
            "{drift:#?}"
        );
    }
}

#[test]
fn a_garbled_package_database_is_unseen() {
    let report = with_status("unreadable-garbage", |path| {
        fs::write(
            path,
            [&b"\x00\xff\xfe garbage\x1b[2J"[..], &[0x80; 3000]].concat(),
        )
        .unwrap();
    });
    assert_no_package_is_gone(&report);
}

#[test]
fn no_package_is_gone_because_the_database_is_cut() {
    let report = with_status("unreadable-cut", |path| {
        let text = fs::read_to_string(path).unwrap();
        // In the first paragraph: of the second one nothing is left.
        let cut = text.find("ersion:").unwrap();
        fs::write(path, &text[..cut]).unwrap();
    });
    assert_no_package_is_gone(&report);
}

#[test]
fn an_endless_line_in_the_package_database_is_unseen() {
    let report = with_status("unreadable-endless", |path| {
        let mut file = File::create(path).unwrap();
        file.write_all(b"Package: tool\nDescription: ").unwrap();
        file.set_len(100 << 20).unwrap();
    });
    assert_no_package_is_gone(&report);
}

#[test]
fn a_package_database_that_is_no_file_is_unseen() {
    let report = with_status("unreadable-directory-status", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
    assert_no_package_is_gone(&report);
}

#[test]
fn a_package_database_of_pipes_does_not_hang() {
    let report = with_status("unreadable-fifo-status", |path| {
        fs::remove_file(path).unwrap();
        driftcheck_tests::make_node(path, rustix::fs::FileType::Fifo, (0, 0));
    });
    assert_no_package_is_gone(&report);
}

#[test]
fn an_account_file_that_may_not_be_read_removes_nobody() {
    let scratch = Scratch::new("unreadable-accounts");
    if !met(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let (tree, baseline) = recorded(&scratch);
    tree.mode("etc/shadow", 0);
    tree.mode("etc/sudoers", 0);
    let ran = Run::audit(tree.path(), &baseline)
        .as_nobody()
        .run()
        .expect_code(3);
    let report = Report::of(&ran);
    let removed: Vec<String> = report
        .drifts()
        .iter()
        .filter(|drift| drift.change == "removed")
        .map(|drift| format!("{} {}", drift.section, drift.key))
        .collect();
    assert_eq!(removed, Vec::<String>::new());
}
