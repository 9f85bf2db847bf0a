//! Baselines that were made of others: merged, laid over, imported, exported, told apart.

use std::fs;
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, met, tool};
use serde_json::Value;

fn recorded(tree: &Tree, scratch: &Scratch, name: &str) -> PathBuf {
    let baseline = scratch.join(format!("{name}.dcb"));
    Run::record(tree.path(), &baseline)
        .and(["--name", name, "--image-version", "1"])
        .run()
        .expect_code(0);
    baseline
}

/// A base, and the same with a role on top of it.
fn two_states(name: &str) -> (Scratch, Tree, PathBuf, PathBuf) {
    let scratch = Scratch::new(name);
    let tree = Tree::small(scratch.join("root"));
    let base = recorded(&tree, &scratch, "base");
    tree.file("usr/bin/server", "#!/bin/sh\n", 0o755);
    tree.edit("etc/motd", "good", "better");
    fs::remove_file(tree.join("srv/data/a")).unwrap();
    let role = recorded(&tree, &scratch, "role");
    (scratch, tree, base, role)
}

#[test]
fn an_overlay_merged_is_audited_as_what_it_was_made_of() {
    let (scratch, tree, base, role) = two_states("baselines-merged");
    let (overlay, merged) = (scratch.join("overlay.dcb"), scratch.join("merged.dcb"));
    Run::new(["baseline", "overlay"])
        .and([&base, &role])
        .and(["--output".as_ref(), overlay.as_os_str()])
        .run()
        .expect_code(0);
    Run::new(["baseline", "merge"])
        .and([&base, &overlay])
        .and(["--output".as_ref(), merged.as_os_str()])
        .run()
        .expect_code(0);
    Run::audit(tree.path(), &merged).run().expect_code(0);
    // Alone it says only what differs.
    let ran = Run::audit(tree.path(), &overlay).run();
    assert_eq!(ran.code, 65, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("merge it with its base first"),
        "{}",
        ran.stderr
    );
    // Where an entry comes from is told, and is no drift.
    let shown = Run::new(["baseline", "show", "--section", "provenance", "--format", "json"])
        .and([&merged])
        .run()
        .expect_code(0)
        .text();
    for key in ["files//usr/bin/server", "files//srv/data/a", "files//etc/motd"] {
        assert!(shown.contains(&format!("\"{key}\"")), "{key}: {shown}");
    }
    tree.edit("etc/motd", "better", "worse");
    let report = Report::of(&Run::audit(tree.path(), &merged).run().expect_code(1));
    assert_eq!(report.0["summary"]["drifts"], 1, "{}", report.0["drifts"]);
}

#[test]
fn release_notes_tell_two_states_apart() {
    let (_scratch, tree, base, role) = two_states("baselines-notes");
    let diff = |old: &Path, new: &Path| {
        Run::new(["baseline", "diff", "--format", "json"])
            .and([old, new])
            .run()
    };
    let told: Value = serde_json::from_slice(&diff(&base, &role).expect_code(1).stdout).unwrap();
    let mut changes: Vec<String> = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            format!(
                "{} {}",
                change["change"].as_str().unwrap(),
                change["key"].as_str().unwrap()
            )
        })
        .collect();
    changes.sort();
    assert_eq!(
        changes,
        [
            "added /usr/bin/server",
            "modified /etc/motd",
            "removed /srv/data/a"
        ]
    );
    // A directory is a state like any other.
    diff(&role, tree.path()).expect_code(0);
    diff(tree.path(), &role).expect_code(0);
    diff(&base, &base).expect_code(0);
    assert_eq!(diff(&base, Path::new("/dev/null")).code, 65);
}

#[test]
fn an_mtree_of_another_tool_is_a_baseline() {
    if !met(&[Need::Root, Need::Tool("mtree"), Need::Tool("bsdtar")]) {
        return;
    }
    let scratch = Scratch::new("baselines-mtree");
    let tree = Tree::small(scratch.join("root"));
    let root = tree.path().to_str().unwrap().to_owned();
    let netbsd = "mtree -c -k type,mode,uid,gid,size,md5,link -p \"$1\" > \"$2\"";
    let libarchive =
        "bsdtar --format=mtree --options='!all,type,mode,uid,gid,size,sha256,link' -cf \"$2\" -C \"$1\" .";
    for (name, script) in [("netbsd", netbsd), ("libarchive", libarchive)] {
        let spec = scratch.join(name).into_os_string().into_string().unwrap();
        tool("sh", ["-c", script, "sh", &root, &spec]);
        let baseline = scratch.join(format!("{name}.dcb"));
        Run::new(["baseline", "import", &spec, "--name", "web", "--output"])
            .and([&baseline])
            .run()
            .expect_code(0);
        let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0));
        let method = if name == "netbsd" { "md5" } else { "sha256" };
        let coverage = report.0["coverage"].as_array().unwrap();
        let files = coverage
            .iter()
            .find(|section| section["section"] == "files")
            .unwrap();
        let files = &files["methods"];
        assert!(files[method].as_u64().unwrap() >= 9, "{name}: {files}");
        // What the other tool did not look at is not compared; what it did, is.
        tree.edit("etc/motd", "good", "evil");
        let changed = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
        assert_eq!(
            changed.0["drifts"][0]["key"], "/etc/motd",
            "{name}: {}",
            changed.0["drifts"]
        );
        assert_eq!(changed.0["summary"]["drifts"], 1, "{name}");
        tree.edit("etc/motd", "evil", "good");
    }
    // And the way back: the tool finds its own tree in what is exported.
    let baseline = recorded(&tree, &scratch, "web");
    let exported = scratch.join("exported").into_os_string().into_string().unwrap();
    Run::new([
        "baseline",
        "export",
        "--as",
        "mtree",
        "--without",
        "time",
        "--without",
        "uname",
        "--without",
        "gname",
    ])
    .and(["--output", &exported])
    .and([&baseline])
    .run()
    .expect_code(0);
    let check = "mtree -f \"$1\" -p \"$2\"";
    assert_eq!(tool("sh", ["-c", check, "sh", &exported, &root]), "");
}
