//! One root, packed as every kind of image: `tests/setup/images.sh` makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftcheck_tests::{Need, Run, Scratch, images, met};
use serde_json::Value;

/// Each image: its name, how it is read besides, and the word in the header.
const IMAGES: [(&str, &[&str], &str); 8] = [
    ("root", &[], "directory"),
    ("root.tar.zst", &[], "tar"),
    ("oci", &[], "oci"),
    ("oci.tar", &[], "oci"),
    ("docker.tar", &[], "docker"),
    ("root.ext4", &[], "disk"),
    ("disk.raw", &[], "disk"),
    ("disk.qcow2", &[], "disk"),
];

fn record(images: &Path, name: &str, more: &[&str], baseline: &Path) -> Value {
    let ran = Run::record(&images.join(name), baseline).and(more).run();
    assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
    let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
        .and([baseline])
        .run();
    assert_eq!(shown.code, 0, "{name}: {}", shown.stderr);
    let text = String::from_utf8(shown.stdout).unwrap();
    let (header, entries) = text.split_once('\n').unwrap();
    let mut header: Value = serde_json::from_str(header).unwrap();
    header["entries"] = entries.into();
    header
}

#[test]
fn the_same_root_from_every_image() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images");
    let mut all: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, more, kind) in IMAGES {
        let header = record(&images, name, more, &scratch.path().join(format!("{name}.dcb")));
        assert_eq!(header["image"]["source-kind"], kind, "{name}");
        all.insert(name, header);
    }
    let expected = all["root"]["entries"].as_str().unwrap();
    // What no two kinds of image could agree on by chance.
    for (path, part) in [
        (
            "/opt/odd/able",
            r#""capabilities":"cap_net_raw,cap_sys_admin=ep""#,
        ),
        ("/opt/odd/acl", r#""acl":["user::rw-","user:33:r--","#),
        ("/opt/odd/shared", r#""xattr:trusted.note":"sha256:"#),
        ("/opt/odd/shared", r#""default-acl":["#),
        ("/opt/odd/tagged", r#""xattr:user.comment":"sha256:"#),
        ("/opt/odd/disk", r#""device":"259:70000""#),
        ("/opt/odd/z-first", r#""hardlink":"/opt/odd/a-second""#),
        ("/opt/odd/old", r#""mtime":-315619200"#),
        ("/opt/odd/late", r#""mtime":2211854706"#),
        ("/opt/odd/owned", r#""gid":80000"#),
        (r"/opt/odd/caf\\xff", r#""size":6"#),
        ("/opt/odd/setuid", r#""mode":"4755""#),
        ("/opt/replaced", r#""link":"odd""#),
        ("/opt/linked-below", r#""hardlink":"/opt/changed""#),
    ] {
        let start = format!("[\"files\",\"{path}\",");
        let line = expected.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no entry of {path}"));
        assert!(line.contains(part), "{part}: {line}");
    }
    for gone in [
        "/opt/gone",
        "/usr/share/doc/nano",
        "/opt/odd/below",
        "/lost+found",
    ] {
        assert!(!expected.contains(&format!("[\"files\",\"{gone}")), "{gone}");
    }
    assert!(expected.lines().count() > 5000);
    for (name, header) in &all {
        let entries = header["entries"].as_str().unwrap();
        let differing = entries
            .lines()
            .zip(expected.lines())
            .find(|(own, other)| own != other && !own.starts_with('{'));
        assert_eq!(differing, None, "{name}");
        assert_eq!(entries.lines().count(), expected.lines().count(), "{name}");
        assert_eq!(header["scope"], all["root"]["scope"], "{name}");
        let digest = &header["image"]["digest"];
        assert_eq!(digest.is_string(), *name != "root", "{name}: {digest}");
    }
    // The archive of an image layout holds the same image.
    assert_eq!(all["oci"]["image"]["digest"], all["oci.tar"]["image"]["digest"]);
}

#[test]
fn two_runs_write_the_same_file() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-twice");
    for (name, more, _) in IMAGES {
        let [one, other] = ["one", "other"].map(|run| scratch.path().join(run));
        record(&images, name, more, &one);
        let threads = [more, &["--threads", "1"]].concat();
        record(&images, name, &threads, &other);
        assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{name}");
    }
}

#[test]
fn an_image_is_audited_like_a_host() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-audited");
    let baseline = scratch.path().join("oci.dcb");
    record(&images, "oci", &[], &baseline);
    for name in ["root", "disk.qcow2", "docker.tar"] {
        let ran = Run::text(&images.join(name), &baseline).run();
        assert_eq!(
            ran.code,
            0,
            "{name}: {}{}",
            String::from_utf8_lossy(&ran.stdout),
            ran.stderr
        );
    }
}

#[test]
fn without_root_archives_and_disks_read_the_same() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-rootless");
    for (name, more, _) in &IMAGES[1..] {
        let baseline = scratch.path().join("root.dcb");
        record(&images, name, more, &baseline);
        // What umoci made is for its owner only.
        let source = images.join(name);
        if *name == "oci" {
            continue;
        }
        let own = Run::new(["record", "--output", "-", "--from"])
            .and([&source])
            .and(*more)
            .as_nobody()
            .run();
        assert_eq!(own.code, 0, "{name}: {}", own.stderr);
        assert!(own.stdout == fs::read(&baseline).unwrap(), "{name}");
    }
}

#[test]
fn standard_input_is_a_tar() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-stdin");
    let file = scratch.path().join("file.dcb");
    record(&images, "root.tar.zst", &[], &file);
    let piped = scratch.path().join("piped.dcb");
    let status = Run::record(Path::new("-"), &piped)
        .command()
        .stdin(fs::File::open(images.join("root.tar.zst")).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let entries = |baseline: &Path| {
        let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
            .and([baseline])
            .run();
        String::from_utf8(shown.stdout).unwrap()
    };
    assert_eq!(entries(&file), entries(&piped));
}
