//! Which image a root says it is: written into it, recorded with its baseline, and told by an audit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use driftcheck_tests::{Report, Run, Scratch, Tree};
use serde_json::{Value, json};

#[test]
fn an_image_says_which_image_it_is() {
    let scratch = Scratch::new("gate-stamp");
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    let stamp = |version: &str| {
        let run = Run::new(["stamp", "--name", "web", "--image-version", version, "--root"]);
        run.and([tree.path()]).run().expect_code(0)
    };
    let header = || -> Value {
        let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
            .and([&baseline])
            .run()
            .expect_code(0)
            .text();
        serde_json::from_str(shown.lines().next().unwrap()).unwrap()
    };

    // Nobody says which image it is: that is told where the baseline has a name all the same.
    Run::record(tree.path(), &baseline)
        .and(["--name", "web", "--image-version", "1.4"])
        .run()
        .expect_code(0);
    let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0));
    let trust = report.0["baseline"]["trust"].to_string();
    assert!(
        trust.contains("nothing on this host says which image it came from"),
        "{trust}"
    );
    assert_eq!(report.0["host"]["image"], Value::Null);

    assert_eq!(
        stamp("1.4").text(),
        "stamped web 1.4 into /usr/lib/driftcheck/image.json\n"
    );
    let mut first = fs::read(tree.join("usr/lib/driftcheck/image.json")).unwrap();
    stamp("1.4");
    assert_eq!(
        fs::read(tree.join("usr/lib/driftcheck/image.json")).unwrap(),
        first
    );
    Run::record(tree.path(), &baseline).run().expect_code(0);
    assert_eq!(
        (&header()["image"]["name"], &header()["image"]["version"]),
        (&json!("web"), &json!("1.4"))
    );
    let clean = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0));
    assert_eq!(clean.0["host"]["image"], json!({"name": "web", "version": "1.4"}));
    for (option, value) in [("--name", "db"), ("--image-version", "1.5")] {
        let refused = Run::record(tree.path(), &scratch.join("refused"))
            .and([option, value])
            .run()
            .expect_code(64);
        assert!(refused.stderr.contains("says of itself"), "{}", refused.stderr);
        assert!(!scratch.join("refused").exists());
    }

    // A host of another version, of another image, and one that lost its stamp.
    stamp("1.3");
    let other = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
    let drift = other
        .drifts()
        .into_iter()
        .find(|drift| drift.section == "image")
        .unwrap();
    assert_eq!((&drift.change[..], &drift.severity[..]), ("modified", "high"));
    first = fs::read(tree.join("usr/lib/driftcheck/image.json")).unwrap();
    let db = String::from_utf8(first).unwrap().replace("web", "db");
    fs::write(tree.join("usr/lib/driftcheck/image.json"), db).unwrap();
    let text = Run::text(tree.path(), &baseline).run().expect_code(1).text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("this host says it came from db 1.3, the baseline is of web 1.4"),
        "{text}"
    );
    fs::remove_file(tree.join("usr/lib/driftcheck/image.json")).unwrap();
    let lost = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
    let drift = lost
        .drifts()
        .into_iter()
        .find(|drift| drift.section == "image")
        .unwrap();
    assert_eq!((&drift.change[..], &drift.severity[..]), ("removed", "high"));
    // A stamp that cannot be understood is not one that is gone.
    fs::write(tree.join("usr/lib/driftcheck/image.json"), "{").unwrap();
    let broken = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(3));
    assert_eq!(broken.unseen("image")[0].0, "/usr/lib/driftcheck/image.json");
}

#[test]
fn a_stamp_stays_in_its_root() {
    let scratch = Scratch::new("gate-stamp-links");
    let tree = Tree::small(scratch.join("root"));
    let outside = scratch.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("os-release"), "ID=outside\n").unwrap();
    let stamp = |more: &[&str]| {
        let run = Run::new(["stamp", "--name", "web", "--image-version", "1.4", "--root"]);
        run.and([tree.path()]).and(more)
    };
    tree.directory("usr/lib");
    symlink(&outside, tree.join("usr/lib/driftcheck")).unwrap();
    let refused = stamp(&[]).run();
    assert!(
        refused.code >= 64 && refused.stderr.contains("symbolic link"),
        "{}",
        refused.stderr
    );
    fs::remove_file(tree.join("usr/lib/driftcheck")).unwrap();
    symlink(outside.join("os-release"), tree.join("etc/os-release")).unwrap();
    stamp(&["--os-release"]).run().expect_code(64);
    fs::remove_file(tree.join("etc/os-release")).unwrap();
    tree.file("usr/lib/os-release", "ID=debian\n", 0o644);
    tree.link("etc/os-release", "/usr/lib/os-release");
    stamp(&["--os-release"]).run().expect_code(0);
    assert_eq!(
        fs::read_to_string(tree.join("usr/lib/os-release")).unwrap(),
        "ID=debian\nIMAGE_ID=web\nIMAGE_VERSION=1.4\n"
    );
    assert!(
        fs::symlink_metadata(tree.join("etc/os-release"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(outside.join("os-release")).unwrap(),
        "ID=outside\n"
    );

    let live = Run::new(["stamp", "--name", "web", "--image-version", "1.4", "--root", "/"])
        .run()
        .expect_code(64);
    assert!(live.stderr.contains("--live"), "{}", live.stderr);
    assert!(!Path::new("/usr/lib/driftcheck/image.json").exists());
    let told = Command::new(driftcheck_tests::binary())
        .args(["stamp", "--name", "web", "--image-version", "1.4", "--root"])
        .arg(tree.path())
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(64));
}
