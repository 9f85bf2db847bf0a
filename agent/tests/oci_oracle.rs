//! Archives and container images against what extracts them: GNU tar, umoci and skopeo. What the reader tells of every
//! path must be what is on the disk after an extraction, and nothing may be missing on either side.
//!
//! Without these programs, or without root, these tests say `skipped: ...` and pass, unless
//! `DRIFTCHECK_REQUIRE_ORACLES=1` asks that they run.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "oci_oracle/listing.rs"]
mod listing;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fmt, fs, io};

use driftcheck_agent::source::Kind as SourceKind;
use driftcheck_agent::source::archive::{self, Archive};
use driftcheck_agent::source::bytes::{Bytes, FileBytes};
use driftcheck_agent::source::oci;
use listing::{Listing, assert_same, on_disk, told};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Whether the tools are there; if not, says so, or fails where oracles are required.
fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| which(tool).is_none());
    let why = match missing {
        Some(tool) => format!("{tool} is missing"),
        None if fs::metadata("/proc/self").unwrap().uid() != 0 => "not root".into(),
        None => return true,
    };
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|value| value.is_empty()),
        "{why}"
    );
    println!("skipped: {why}");
    false
}

fn which(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| path.exists())
}

/// A directory of this test's own, empty, that goes away with it.
struct Work(PathBuf);

impl Work {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oci-oracle-{name}"));
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{command:?}: {told}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|why| panic!("{why}"))
}

fn shell(directory: &Path, script: &str) {
    run(Command::new("sh")
        .args(["-euc", script])
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8"));
}

fn keep_all() -> archive::Options<'static> {
    archive::Options {
        keep: &|_, _| true,
        size_limit: u64::MAX,
        weak: false,
        progress: None,
    }
}

fn keep_none() -> archive::Options<'static> {
    archive::Options {
        keep: &|_, _| false,
        size_limit: u64::MAX,
        weak: false,
        progress: None,
    }
}

fn options(platform: Option<&'static str>, reference: Option<&'static str>) -> oci::Options<'static> {
    oci::Options {
        platform,
        reference,
        archive: keep_all(),
    }
}

fn bytes_of(path: &Path) -> Bytes {
    Arc::new(FileBytes::new(File::open(path).unwrap()).unwrap())
}

/// A tree with everything in it that tar archives can tell.
const RICH: &str = r#"
umask 022
mkdir -p etc usr/bin usr/lib dev var/empty deep/a/b/c
printf 'root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n' > etc/passwd
printf 'root:x:0:\nadm:x:4:\n' > etc/group
echo hello > usr/bin/hello; chmod 4755 usr/bin/hello
cp usr/bin/hello usr/bin/ping; chmod 755 usr/bin/ping; setcap cap_net_raw+ep usr/bin/ping
ln usr/bin/hello usr/lib/hard; ln -s /usr/bin/hello usr/bin/soft; ln usr/bin/soft usr/lib/hard-soft
ln -s usr/bin bin
mkfifo var/fifo; mknod dev/null c 1 3; mknod dev/sda b 8 300
: > var/nothing
head -c 40000 /dev/urandom > var/small; head -c 3000000 /dev/urandom > var/large
truncate -s 20M var/sparse; printf end >> var/sparse
setfattr -n user.binary -v 0x00010a3d0d00 var/small
setfattr -n user.text -v 'two
lines=' var/large
setfattr -n trusted.mark -v yes var/empty
setfacl -m u:daemon:rwx,g:adm:r-x,u:4711:r usr/bin/ping
setfacl -d -m u:daemon:rwx deep/a
chown 4000000:3000000 var/small; chown -h 12:34 usr/bin/soft
chmod 1777 var/empty; chmod 2750 deep
name=$(printf 'x%.0s' $(seq 200)); mkdir -p "deep/$name/$name"; echo long > "deep/$name/$name/$name"
ln -s "$name$name" deep/long-link
printf '\344' > "deep/$(printf 'caf\351')"
touch -d '1965-03-04 05:06:07.25Z' var/nothing
touch -d '2030-03-04 05:06:07.999999999Z' etc/group
touch -d '2020-01-01 00:00:00Z' deep/a deep usr
"#;

const TOOLS: [&str; 5] = ["tar", "setfattr", "setfacl", "setcap", "gzip"];

fn rich(work: &Work) -> PathBuf {
    let tree = work.join("tree");
    fs::create_dir(&tree).unwrap();
    shell(&tree, RICH);
    tree
}

#[test]
fn root_file_system_is_told_as_gnu_tar_extracts_it() {
    if !have(&TOOLS) {
        return;
    }
    let work = Work::new("tar");
    rich(&work);
    let all = "--xattrs --xattrs-include='*' --acls";
    for (form, more, members) in [
        ("pax", "", "."),
        ("pax", "--sparse", "."),
        ("gnu", "--sparse", "etc usr dev var deep bin"),
        ("pax", "--gzip", "."),
        ("pax", "--no-recursion", "usr/bin/hello deep/a/b/c"),
    ] {
        fs::remove_dir_all(work.join("out")).ok();
        shell(
            &work.0,
            &format!(
                "tar -c --numeric-owner --format={form} {} {more} -f a.tar -C tree {members}; mkdir out; \
                 tar -x -p --same-owner --numeric-owner {all} -f a.tar -C out",
                if form == "pax" { all } else { "" },
            ),
        );
        let disk = on_disk(&work.join("out"));
        let file = work.join("a.tar");
        let what = format!("{form} {more} {members}");
        let archive = Archive::from_file(bytes_of(&file), &keep_all()).unwrap();
        assert_same(&what, &told(&archive), &disk);
        let again = Archive::from_file(bytes_of(&file), &keep_none()).unwrap();
        if more != "--gzip" && more != "--sparse" {
            assert_same(&what, &told(&again), &disk);
        }
        let piped = Archive::from_pipe(Box::new(File::open(&file).unwrap()), &keep_all()).unwrap();
        assert_same(&what, &told(&piped), &disk);
        assert!(oci::look_into(&bytes_of(&file)).unwrap().is_none());
        oci::refuse_image_inside(&archive).unwrap();
    }
}

/// bsdtar writes access control lists with numbers, in a form that GNU tar does not read.
#[test]
fn root_file_system_is_told_as_bsdtar_found_it() {
    if !have(&[&TOOLS[..], &["bsdtar"]].concat()) {
        return;
    }
    let work = Work::new("bsdtar");
    let tree = rich(&work);
    // Of a time before 1970 with a fraction it writes the wrong second.
    shell(&tree, "touch -d '1965-03-04 05:06:07Z' var/nothing");
    shell(&work.0, "bsdtar --acls --xattrs --format=pax -cf a.tar -C tree .");
    let archive = Archive::from_file(bytes_of(&work.join("a.tar")), &keep_all()).unwrap();
    assert_same("bsdtar", &told(&archive), &on_disk(&tree));
}

/// Unpacks with umoci, as root. What it leaves out is left out of the listing.
fn umoci(work: &Work, layout: &Path, tag: &str) -> Result<Listing, String> {
    let bundle = work.join("bundle");
    fs::remove_dir_all(&bundle).ok();
    let image = format!("{}:{tag}", layout.display());
    try_run(
        Command::new("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    )?;
    let listing = on_disk(&bundle.join("rootfs"));
    fs::remove_dir_all(&bundle).ok();
    Ok(listing)
}

#[test]
fn layers_made_by_umoci_are_told_as_it_unpacks_them() {
    if !have(&[&TOOLS[..], &["umoci", "skopeo", "zstd"]].concat()) {
        return;
    }
    let work = Work::new("umoci");
    rich(&work);
    let changes = r"
        rm usr/bin/ping; rm -r deep/a; mv var/large var/moved; echo more >> etc/passwd
        rm -r var/empty; echo now a file > var/empty
        rm usr/lib/hard-soft; mkdir usr/lib/hard-soft; echo x > usr/lib/hard-soft/x
        chmod 600 var/small; ln usr/bin/hello usr/bin/third; setfattr -n user.new -v 1 etc
    ";
    let more = r"
        rm -r usr/lib; mkdir usr/lib; echo back > usr/lib/back; ln -s lib usr/lib64
        rm var/fifo; mkfifo var/fifo; rm bin; mkdir bin; echo sh > bin/sh; setcap cap_sys_admin+ep bin/sh
    ";
    shell(
        &work.0,
        &format!(
            r"
            umoci init --layout layout; umoci new --image layout:empty
            umoci unpack --image layout:empty b; cp -a tree/. b/rootfs; umoci repack --image layout:one b
            (cd b/rootfs; {changes}); umoci repack --refresh-bundle --image layout:two b
            (cd b/rootfs; {more}); umoci repack --refresh-bundle --image layout:three b
            umoci config --image layout:three --config.label org.opencontainers.image.version=7
            umoci insert --image layout:three --opaque tree/deep/a /var; umoci insert --image layout:three --whiteout /etc/group
            echo inserted > inserted; umoci insert --image layout:three inserted /etc/inserted; rm -r b
            skopeo --insecure-policy copy -q oci:layout:three oci-archive:oci.tar:some/name:three
            skopeo --insecure-policy copy -q oci:layout:three docker-archive:docker.tar:some/name:three
            skopeo --insecure-policy copy -q --dest-compress-format zstd --dest-compress-level 1 oci:layout:three oci:zstd:three
            skopeo --insecure-policy copy -q --dest-decompress oci:layout:three oci:plain:three
            gzip -k oci.tar docker.tar; zstd -q oci.tar
            "
        ),
    );
    for tag in ["empty", "one", "two", "three"] {
        let disk = umoci(&work, &work.join("layout"), tag).unwrap();
        let mut options = options(None, None);
        options.reference = Some(tag);
        let image = oci::open_layout(&work.join("layout"), &options).unwrap();
        assert_same(tag, &told(&image.archive), &disk);
        assert_eq!(image.identity.references, [tag]);
    }
    let disk = umoci(&work, &work.join("layout"), "three").unwrap();
    assert!(
        disk.contains_key(&b"var/b/c"[..]) && !disk.contains_key(&b"var/moved"[..]),
        "the oracle is opaque"
    );
    for layout in ["zstd", "plain"] {
        let image = oci::open_layout(&work.join(layout), &options(None, None)).unwrap();
        assert_same(layout, &told(&image.archive), &disk);
        assert_eq!(image.identity.version.as_deref(), Some("7"));
    }
    let inspect = |what: &[&str]| {
        let printed = run(Command::new("skopeo")
            .current_dir(&work.0)
            .args(["inspect", "--raw"])
            .args(what));
        format!("sha256:{:x}", Hex(Sha256::digest(printed).into()))
    };
    let manifest = inspect(&["oci-archive:oci.tar"]);
    let id = inspect(&["--config", "docker-archive:docker.tar"]);
    for (file, kind, digest) in [
        ("oci.tar", SourceKind::Oci, &manifest),
        ("oci.tar.gz", SourceKind::Oci, &manifest),
        ("oci.tar.zst", SourceKind::Oci, &manifest),
        ("docker.tar", SourceKind::Docker, &id),
        ("docker.tar.gz", SourceKind::Docker, &id),
    ] {
        let archive = oci::look_into(&bytes_of(&work.join(file))).unwrap().unwrap();
        assert_eq!(archive.kind(), kind, "{file}");
        let image = archive.open(&options(None, None)).unwrap();
        assert_same(file, &told(&image.archive), &disk);
        assert_eq!(&image.identity.digest, digest, "{file}");
    }
}

/// A digest as it is printed.
struct Hex([u8; 32]);

impl fmt::LowerHex for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A layer, written member by member as `d PATH`, `f PATH`, `l PATH TARGET` (symbolic), `h PATH TARGET` (hard). Each
/// member has a time, mode and owner of its own.
fn layer(lines: &[String], from: i64) -> Vec<u8> {
    let mut tar = Vec::new();
    for (time, line) in (from..).zip(lines) {
        let parts: Vec<&str> = line.split(' ').collect();
        let (kind, path, target) = (parts[0], parts[1], parts.get(2).copied().unwrap_or_default());
        let content = if kind == "f" { line.as_bytes() } else { b"" };
        let letter = match kind {
            "d" => '5',
            "l" => '2',
            "h" => '1',
            _ => '0',
        };
        let mode = 0o600 | (time % 0o200);
        let header = format!(
            "{path:\0<100}{mode:07o}\0{:07o}\0{:07o}\0{:011o}\0{time:011o}\0        {letter}{target:\0<100}ustar\x0000",
            time % 7,
            time % 5,
            content.len()
        );
        let mut header = header.into_bytes();
        header.resize(512, 0);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn put_blob(layout: &Path, media_type: &str, content: &[u8]) -> Value {
    let hex = format!("{:x}", Hex(Sha256::digest(content).into()));
    fs::write(layout.join("blobs/sha256").join(&hex), content).unwrap();
    json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": content.len()})
}

/// Writes an image of such layers; gives the descriptor of its manifest.
fn put_image(layout: &Path, architecture: &str, layers: &[Vec<String>]) -> Value {
    let mut time = 1_500_000_000;
    let mut descriptors = Vec::new();
    for lines in layers {
        let tar = layer(lines, time);
        time += 1000;
        descriptors.push(put_blob(layout, "application/vnd.oci.image.layer.v1.tar", &tar));
    }
    let diff_ids: Vec<_> = descriptors.iter().map(|layer| layer["digest"].clone()).collect();
    let config = json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = put_blob(
        layout,
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": descriptors});
    let mut manifest = put_blob(
        layout,
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    manifest["platform"] = json!({"os": "linux", "architecture": architecture});
    manifest
}

fn new_layout(path: &Path) {
    fs::remove_dir_all(path).ok();
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn put_index(layout: &Path, manifests: &[Value]) {
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

fn put_tagged(layout: &Path, layers: &[Vec<String>]) {
    new_layout(layout);
    let mut image = put_image(layout, "amd64", layers);
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "it"});
    put_index(layout, &[image]);
}

/// Whiteouts, opaque directories, links on the way, hard links over layers and replaced directories, in order.
#[test]
fn layers_made_by_hand_are_told_as_umoci_unpacks_them() {
    if !have(&["umoci"]) {
        return;
    }
    let work = Work::new("layers");
    let base = "d usr|d usr/bin|f usr/bin/ls|l bin usr/bin|d etc|f etc/a|f etc/b|h etc/c etc/a|\
                d opt|d opt/x|f opt/x/1|f opt/x/2";
    for layers in [
        vec![base],
        vec![base, "f bin/foo|f bin/.wh.ls"],
        vec![base, "f etc/.wh.a|f etc/a"],
        vec![base, "f etc/a|f etc/.wh.a"],
        vec![base, "f opt/.wh.x|d opt/x|f opt/x/3"],
        vec![base, "d opt/x|f opt/x/3|f opt/.wh.x"],
        vec![base, "f opt/x/.wh..wh..opq|f opt/x/3|d opt/x"],
        vec![base, "f opt/x/3|f opt/x/.wh..wh..opq"],
        vec![base, "f .wh.opt|f opt"],
        vec![base, "d bin|f bin/new"],
        vec![
            base,
            "h opt/hard etc/b|f etc/.wh.b",
            "f opt/hard2|h opt/x/1 opt/hard",
        ],
        vec![base, "f etc/a", "h etc/d etc/c|h etc/e etc/a"],
        vec![base, "l opt /usr|f opt/x", "f usr/.wh.x|f opt/y"],
        vec![base, "f .wh.nothing|f no/.wh.thing|d no", "f .wh..wh..opq|d only"],
        vec!["l a b/c|f a/x", "f b/c/y|h z a/y"],
    ] {
        let layers: Vec<Vec<String>> = layers
            .iter()
            .map(|layer| layer.split('|').map(str::to_owned).collect())
            .collect();
        let layout = work.join("layout");
        put_tagged(&layout, &layers);
        let disk = umoci(&work, &layout, "it").unwrap();
        let image = oci::open_layout(&layout, &options(None, None)).unwrap();
        assert_same(&format!("{layers:?}"), &told(&image.archive), &disk);
    }
}

/// Numbers without any order that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn path(&mut self) -> String {
        let names: Vec<_> = (0..=self.below(3))
            .map(|_| ["a", "b", "c"][self.below(3)])
            .collect();
        names.join("/")
    }

    fn line(&mut self) -> String {
        match self.below(12) {
            0..4 => format!("f {}", self.path()),
            4..7 => format!("d {}", self.path()),
            7 => format!(
                "l {} {}{}",
                self.path(),
                ["", "/", "../"][self.below(3)],
                self.path()
            ),
            8 => format!("h {} {}", self.path(), self.path()),
            9 => format!("f {}/.wh..wh..opq", self.path()),
            10 => format!("f .wh.{}", ["a", "b", "c"][self.below(3)]),
            _ => format!("f {}/.wh.{}", self.path(), ["a", "b", "c"][self.below(3)]),
        }
    }
}

/// Random layers. What umoci cannot unpack must be refused; what is refused beyond that is what extractors differ in.
#[test]
fn random_layers_are_told_as_umoci_unpacks_them() {
    if !have(&["umoci"]) {
        return;
    }
    let work = Work::new("random");
    let layout = work.join("layout");
    let mut numbers = Numbers(1);
    let (mut same, mut tried) = (0, 0);
    while same < 120 {
        tried += 1;
        assert!(tried < 3000, "{same} of {tried} were taken");
        let count = 2 + numbers.below(3);
        let layers: Vec<Vec<String>> = (0..count)
            .map(|_| {
                let mut lines: Vec<String> = (0..=numbers.below(7)).map(|_| numbers.line()).collect();
                let mut paths = BTreeSet::new();
                lines.retain(|line| paths.insert(line.split(' ').nth(1).unwrap().to_owned()));
                lines
            })
            .collect();
        put_tagged(&layout, &layers);
        match oci::open_layout(&layout, &options(None, None)) {
            Ok(image) => {
                let disk = umoci(&work, &layout, "it").unwrap_or_else(|why| panic!("{layers:?}: {why}"));
                assert_same(&format!("{layers:?}"), &told(&image.archive), &disk);
                same += 1;
            }
            Err(why) => {
                let known = [
                    "a second member of th",
                    "not a directory, but other members",
                    "on the way is not a directory",
                    "which is not there at this point",
                    "a hard link to itself",
                    "a hard link to the directory",
                    "too many symbolic links",
                    "a link on the way leads back out",
                ];
                assert!(known.iter().any(|known| why.0.contains(known)), "{why}");
            }
        }
    }
    println!("{same} of {tried} images were the same; the others are refused");
}

#[test]
fn platform_is_chosen_as_skopeo_chooses_it() {
    if !have(&["skopeo"]) {
        return;
    }
    let work = Work::new("platforms");
    let layout = work.join("layout");
    new_layout(&layout);
    let images = ["amd64", "arm64", "s390x"]
        .map(|architecture| put_image(&layout, architecture, &[vec![format!("f {architecture}")]]));
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": images,
    });
    let index = put_blob(
        &layout,
        "application/vnd.oci.image.index.v1+json",
        index.to_string().as_bytes(),
    );
    put_index(&layout, &[index]);
    for (platform, architecture) in [
        ("linux/amd64", "amd64"),
        ("linux/arm64", "arm64"),
        ("linux/s390x", "s390x"),
    ] {
        let image = oci::open_layout(&layout, &options(Some(platform), None)).unwrap();
        let copy = work.join(architecture);
        run(Command::new("skopeo")
            .args(["--insecure-policy", "--override-arch", architecture, "copy", "-q"])
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("oci:{}", copy.display())));
        let copied = oci::open_layout(&copy, &options(None, None)).unwrap();
        assert_eq!(copied.identity.platform, image.identity.platform);
        let names: Vec<Vec<u8>> = told(&image.archive).into_keys().collect();
        assert_eq!(names, [architecture.as_bytes()]);
        assert_eq!(told(&copied.archive), told(&image.archive));
    }
}

/// A layout that was cut while it was copied.
#[test]
fn cut_archives_are_refused() {
    if !have(&["tar", "umoci", "gzip"]) {
        return;
    }
    let work = Work::new("cut");
    let layout = work.join("layout");
    let lines: Vec<String> = (0..200).map(|number| format!("f some-file-{number}")).collect();
    put_tagged(&layout, &[lines]);
    shell(&work.0, "tar -cf whole.tar -C layout .; gzip -k whole.tar");
    for name in ["whole.tar", "whole.tar.gz"] {
        let whole = fs::read(work.join(name)).unwrap();
        let open = |bytes: Vec<u8>| -> Result<(), io::Error> {
            let file: Bytes = Arc::new(bytes);
            let refused = |why: driftcheck_agent::source::file_system::Fault| io::Error::other(why.0);
            let archive = oci::look_into(&file)
                .map_err(refused)?
                .ok_or_else(|| io::Error::other("none"))?;
            archive.open(&options(None, None)).map(drop).map_err(refused)
        };
        open(whole.clone()).unwrap();
        for cut in (0..50).map(|part| whole.len() * part / 50) {
            // GNU tar fills up its last record with zeros: without some of those the archive is whole.
            let rest = whole[cut..].iter().any(|byte| *byte != 0) || name.ends_with("gz");
            assert_eq!(open(whole[..cut].to_vec()).is_err(), rest, "{name} at {cut}");
        }
    }
}
