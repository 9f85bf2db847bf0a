//! One root, packed as every kind of image: `tests/setup/images.sh` makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftcheck_tests::{Need, Run, Scratch, Tree, images, met, tool};
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

#[test]
fn the_gate_finds_the_same_in_every_image() {
    if !met(&[Need::Images]) {
        return;
    }
    let check = |name: &str| {
        let ran = Run::new(["verify-image", "--format", "json"])
            .and([images().join(name)])
            .run();
        assert_eq!(ran.code, 1, "{name}: {}", ran.stderr);
        let check: Value = serde_json::from_slice(&ran.stdout).unwrap();
        (
            check["findings"].clone(),
            check["rules"].clone(),
            check["image"].clone(),
        )
    };
    let (findings, rules, _) = check("root");
    let found = findings.to_string();
    for planted in ["/opt/odd/setuid", "/opt/odd/able"] {
        assert!(found.contains(planted), "{planted}: {found}");
    }
    for (name, _, kind) in &IMAGES[1..] {
        let (others, others_rules, image) = check(name);
        assert_eq!(others, findings, "{name}");
        assert_eq!(others_rules, rules, "{name}");
        assert!(image.to_string().contains(kind), "{name}: {image}");
    }
}

#[test]
fn a_cut_image_is_refused_and_leaves_no_baseline() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-cut");
    let baseline = scratch.path().join("baseline");
    for name in [
        "root.tar.zst",
        "oci.tar",
        "docker.tar",
        "root.ext4",
        "disk.raw",
        "disk.qcow2",
    ] {
        let whole = fs::read(images.join(name)).unwrap();
        let cut = scratch.path().join(name);
        for part in [whole.len() / 3, whole.len() * 9 / 10] {
            fs::write(&cut, &whole[..part]).unwrap();
            let ran = Run::record(&cut, &baseline).run();
            assert_eq!(ran.code, 65, "{name} at {part}: {}", ran.stderr);
            assert!(ran.stderr.contains(name), "{name} at {part}: {}", ran.stderr);
            assert!(!baseline.exists(), "{name} at {part}");
        }
        fs::remove_file(&cut).unwrap();
    }
}

#[test]
fn a_changed_layer_is_refused() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-flipped");
    for name in ["oci.tar", "docker.tar"] {
        let mut bytes = fs::read(images.join(name)).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        let flipped = scratch.path().join(name);
        fs::write(&flipped, bytes).unwrap();
        let ran = Run::record(&flipped, &scratch.path().join("baseline")).run();
        assert_eq!(ran.code, 65, "{name}: {}", ran.stderr);
    }
}

#[test]
fn the_kernel_reads_what_is_not_read_here() {
    if !met(&[
        Need::Root,
        Need::Tool("mkfs.xfs"),
        Need::Tool("mksquashfs"),
        Need::Tool("mkfs.erofs"),
    ]) {
        return;
    }
    let scratch = Scratch::new("images-mounted");
    let tree = Tree::small(scratch.join("root"));
    let path = |name: &str| scratch.join(name).into_os_string().into_string().unwrap();
    let (root, xfs, squashfs, erofs) = (path("root"), path("xfs"), path("squashfs"), path("erofs"));
    tool("truncate", ["-s", "320M", &xfs]);
    // A protofile: the whole tree, as mkfs.xfs copies it without a mount.
    tool(
        "sh",
        [
            "-c",
            &format!(
                "mkfs.xfs -q {xfs} && m=$(mktemp -d) && unshare -m sh -c \"mount -o loop {xfs} $m && cp -a {root}/. $m/ && umount $m\" && rmdir $m"
            ),
        ],
    );
    tool(
        "mksquashfs",
        [&root, &squashfs, "-quiet", "-no-progress", "-xattrs"],
    );
    tool("mkfs.erofs", ["--quiet", &erofs, &root]);
    let entries = |source: &str, more: &[&str]| {
        let baseline = scratch.join("baseline");
        let ran = Run::record(Path::new(source), &baseline).and(more).run();
        assert_eq!(ran.code, 0, "{source}: {}", ran.stderr);
        let shown = Run::new(["baseline", "show", "--all", "--format", "json"])
            .and([&baseline])
            .run();
        let text = String::from_utf8(shown.stdout).unwrap();
        text.lines()
            .filter(|line| !line.starts_with('{'))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = entries(&root, &[]);
    for image in [&xfs, &squashfs, &erofs] {
        let ran = Run::record(Path::new(image), &scratch.join("refused")).run();
        assert_eq!(ran.code, 65, "{}", ran.stderr);
        assert!(ran.stderr.contains("--mount"), "{}", ran.stderr);
        assert_eq!(entries(image, &["--mount"]), expected, "{image}");
    }
    assert!(tree.path().exists());
}

#[test]
fn other_formats_are_refused_with_the_way_out() {
    if !met(&[Need::Tool("qemu-img")]) {
        return;
    }
    let scratch = Scratch::new("images-others");
    for (format, extension) in [("vmdk", "vmdk"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("vdi", "vdi")] {
        let image = scratch.join(format!("disk.{extension}"));
        let path = image.to_str().unwrap();
        tool("qemu-img", ["create", "-q", "-f", format, path, "8M"]);
        let ran = Run::record(&image, &scratch.join("baseline")).run();
        assert_eq!(ran.code, 65, "{format}: {}", ran.stderr);
        let way = format!("qemu-img convert -O qcow2 {path} ");
        assert!(ran.stderr.contains(&way), "{format}: {}", ran.stderr);
    }
}

#[test]
fn a_damaged_container_image_is_no_root_file_system() {
    if !met(&[Need::Images]) {
        return;
    }
    let images = images();
    let scratch = Scratch::new("images-no-root");
    let baseline = scratch.join("baseline");
    // The list of images of a docker archive, by one bit no list any more.
    let mut bytes = fs::read(images.join("docker.tar")).unwrap();
    let list = bytes
        .windows(12)
        .position(|bytes| bytes == b"[{\"Config\":\"")
        .unwrap();
    bytes[list] ^= 1;
    let damaged = scratch.join("docker.tar");
    fs::write(&damaged, bytes).unwrap();
    // A layout without its index.
    let layout = scratch.join("oci");
    tool(
        "cp",
        [
            "-r",
            images.join("oci").to_str().unwrap(),
            layout.to_str().unwrap(),
        ],
    );
    fs::remove_file(layout.join("index.json")).unwrap();
    let packed = scratch.join("oci.tar");
    tool(
        "tar",
        [
            "-cf",
            packed.to_str().unwrap(),
            "-C",
            layout.to_str().unwrap(),
            ".",
        ],
    );
    for image in [&damaged, &layout, &packed] {
        let ran = Run::record(image, &baseline).run();
        assert_eq!(ran.code, 65, "{}: {}", image.display(), ran.stderr);
        assert!(!baseline.exists(), "{}", image.display());
    }
    // Nor is an image that comes where images cannot be read.
    for name in ["docker.tar", "oci.tar"] {
        let status = Run::record(Path::new("-"), &baseline)
            .command()
            .stdin(fs::File::open(images.join(name)).unwrap())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(65), "{name}");
    }
}

#[test]
fn an_option_that_means_nothing_is_refused() {
    if !met(&[Need::Images]) {
        return;
    }
    let scratch = Scratch::new("images-idle");
    for (name, options) in [
        ("root", ["--partition", "1"]),
        ("root.tar.zst", ["--platform", "linux/amd64"]),
        ("oci", ["--backing", "/etc/passwd"]),
        ("root.ext4", ["--reference", "web"]),
    ] {
        let ran = Run::record(&images().join(name), &scratch.join("baseline"))
            .and(options)
            .run();
        assert_eq!(ran.code, 65, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(options[0]), "{name}: {}", ran.stderr);
    }
}
