//! Imports and exports against the programs that they are for: NetBSD's mtree, libarchive's bsdtar, go-mtree, and
//! the schema of `CycloneDX`.
//!
//! Without a program these tests say `skipped: ...` and pass, unless `DRIFTCHECK_REQUIRE_ORACLES` asks that they run.
//! go-mtree is not packaged everywhere and is never required. The schema is looked for in the directory that
//! `DRIFTCHECK_SCHEMAS` names.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;
use std::{env, str};

use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, OsText, Reference as _, Value, order};
use driftcheck_agent::exchange::cyclonedx::{self, Distribution};
use driftcheck_agent::exchange::mtree::{self, Spec};
use sha2::{Digest as _, Sha256};

/// Whether the tools are there; if not, says so, or fails where oracles are required.
fn have(tools: &[&str]) -> bool {
    let Some(missing) = tools.iter().find(|tool| which(tool).is_none()) else {
        return true;
    };
    assert!(!required(), "{missing} is missing");
    println!("skipped: {missing} is missing");
    false
}

fn required() -> bool {
    env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|value| !value.is_empty())
}

fn which(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| path.exists())
}

/// A directory of this test's own, with an empty `tree`.
fn work(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("exchange-oracle-{name}"));
    match fs::remove_dir_all(&dir) {
        Err(why) if why.kind() != ErrorKind::NotFound => panic!("{}: {why}", dir.display()),
        _ => fs::create_dir_all(dir.join("tree")).unwrap(),
    }
    dir
}

fn run(command: &mut Command) -> Vec<u8> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.env("LC_ALL", "C").output().unwrap();
    assert!(
        status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

/// Names that a format of lines and words must spell.
const NAMES: [&[u8]; 14] = [
    b"a b",
    b"h#h=q\\w",
    b"nl\nx",
    b"esc\x1b[31m",
    b"caf\xff",
    "gr\u{fc}n".as_bytes(),
    b"st*r?",
    b"[",
    b"tab\tt",
    b"-dash",
    b"@at",
    b".dot",
    b"del\x7f",
    b"\\040",
];

/// A tree with everything that an mtree can say, all of it last changed at one whole second.
fn make(tree: &Path) {
    for name in NAMES {
        fs::write(tree.join(OsStr::from_bytes(name)), name).unwrap();
        symlink(
            OsStr::from_bytes(name),
            tree.join(OsStr::from_bytes(&[b"l ", name].concat())),
        )
        .unwrap();
    }
    fs::create_dir_all(tree.join("d e/deep/er")).unwrap();
    fs::write(tree.join("d e/deep/..x"), "").unwrap();
    fs::hard_link(tree.join(".dot"), tree.join("d e/other name")).unwrap();
    fs::set_permissions(tree.join("a b"), Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(tree.join("d e"), Permissions::from_mode(0o1777)).unwrap();
    run(Command::new("mkfifo").arg(tree.join("fifo")));
    if is_root() {
        run(Command::new("mknod")
            .arg(tree.join("block"))
            .args(["b", "300", "70000"]));
        run(Command::new("mknod").arg(tree.join("char")).args(["c", "1", "3"]));
    }
    run(Command::new("find")
        .arg(tree)
        .args(["-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"]));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The entries of a tree as a walk gives them, in THE order.
fn walk(tree: &Path) -> Vec<Entry> {
    fn below(at: &Path, path: &[u8], entries: &mut Vec<Entry>) {
        entries.push(entry(at, path));
        if !at.symlink_metadata().unwrap().is_dir() {
            return;
        }
        for child in fs::read_dir(at).unwrap().map(Result::unwrap) {
            let name = child.file_name();
            let directory = path.strip_suffix(b"/").unwrap_or(path);
            below(
                &child.path(),
                &[directory, b"/", name.as_bytes()].concat(),
                entries,
            );
        }
    }
    let mut entries = Vec::new();
    below(tree, b"/", &mut entries);
    entries.sort_by(|a, b| order::compare_keys(a.key.as_str(), b.key.as_str()));
    entries
}

fn entry(at: &Path, path: &[u8]) -> Entry {
    let metadata = at.symlink_metadata().unwrap();
    let kind = metadata.file_type();
    let mut entry = Entry::new("files", OsText::new(path))
        .with("uid", metadata.uid())
        .with("gid", metadata.gid())
        .with("mtime", metadata.mtime());
    if metadata.uid() == 0 {
        entry.set("user", "root");
    }
    if metadata.gid() == 0 {
        entry.set("group", "root");
    }
    if !kind.is_symlink() {
        entry.set("mode", format!("{:04o}", metadata.mode() & 0o7777));
    }
    if !kind.is_dir() && metadata.nlink() > 1 {
        entry.set("nlink", i64::try_from(metadata.nlink()).unwrap());
    }
    let name = if kind.is_file() {
        let content = fs::read(at).unwrap();
        let mut digest = b"sha256:".to_vec();
        baseline_format::push_hex(&Sha256::digest(&content), &mut digest);
        entry.set("digest", Value::bytes(&digest));
        entry.set("size", i64::try_from(content.len()).unwrap());
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        entry.set(
            "link",
            Value::bytes(fs::read_link(at).unwrap().as_os_str().as_bytes()),
        );
        "symlink"
    } else if kind.is_block_device() || kind.is_char_device() {
        let device = metadata.rdev();
        let (major, minor) = (device >> 8 & 0xfff, (device & 0xff) | (device >> 12 & 0xf_ff00));
        entry.set("device", format!("{major}:{minor}"));
        if kind.is_block_device() {
            "block-device"
        } else {
            "char-device"
        }
    } else if kind.is_fifo() {
        "fifo"
    } else {
        "socket"
    };
    entry.with("type", name)
}

fn baseline(entries: &[Entry], section: &str, image: Image) -> Vec<u8> {
    let header = Header {
        format: FORMAT_VERSION,
        image,
        sections: vec![SectionInfo {
            name: section.to_owned(),
            revision: 1,
        }],
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
    for entry in entries {
        writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
    }
    writer.finish().unwrap().0
}

/// The entries of an mtree.
fn imported(text: &[u8]) -> (Spec, Vec<Entry>) {
    let spec = Spec::read(text).unwrap_or_else(|why| panic!("{why}\n{}", String::from_utf8_lossy(text)));
    let (bytes, _) = spec.write(&spec.header(Image::default()), Vec::new()).unwrap();
    let mut reader = BaselineReader::open(&bytes[..]).unwrap();
    let mut entries = Vec::new();
    while let Some(line) = reader.current() {
        entries.push(line.to_entry());
        reader.advance().unwrap();
    }
    (spec, entries)
}

/// Checks that an import has every entry of the walk, no others, and nothing that the walk does not say; and that
/// each of the `needed` attributes is there wherever the walk has it.
fn assert_declares(imported: &[Entry], walked: &[Entry], needed: &[&str]) {
    let keys = |entries: &[Entry]| entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(imported), keys(walked));
    for (said, is) in imported.iter().zip(walked) {
        for (name, value) in said.attributes() {
            assert_eq!(Some(value), is.get(name), "{} {name}", said.key);
        }
        for name in needed {
            assert_eq!(said.get(name), is.get(name), "{} {name}", said.key);
        }
    }
}

const ALL: [&str; 9] = [
    "type", "mode", "uid", "gid", "size", "digest", "nlink", "link", "device",
];

#[test]
fn what_netbsds_mtree_writes_is_imported() {
    if !have(&["mtree", "find", "touch", "mkfifo", "mknod"]) {
        return;
    }
    let dir = work("netbsd-in");
    let tree = dir.join("tree");
    make(&tree);
    let walked = walk(&tree);
    let keys = "sha1,md5,sha256,sha512,rmd160,cksum,uid,gid,flags,device,nlink";
    let text = run(Command::new("mtree").args(["-c", "-K", keys, "-p"]).arg(&tree));
    let (spec, entries) = imported(&text);
    assert_declares(&entries, &walked, &ALL);
    let losses: Vec<&str> = spec.losses().iter().map(|loss| loss.what.as_str()).collect();
    assert!(
        losses.contains(&"the keyword `cksum`") && losses.contains(&"the keyword `rmd160`"),
        "{losses:?}"
    );

    let classic = dir.join("classic");
    fs::write(&classic, &text).unwrap();
    let text = run(Command::new("mtree").args(["-C", "-K", keys, "-f"]).arg(&classic));
    assert_declares(&imported(&text).1, &walked, &ALL);

    // Weaker digests alone, and owners by name alone.
    let text = run(Command::new("mtree")
        .args(["-c", "-k", "md5,uname,gname,mode,link", "-p"])
        .arg(&tree));
    let (spec, entries) = imported(&text);
    let md5 = entries.iter().find(|entry| entry.key.as_str() == "/a b").unwrap();
    let digest = run(Command::new("md5sum").arg(tree.join("a b")));
    assert_eq!(
        md5.get("digest").unwrap().to_string(),
        format!("md5:{}", str::from_utf8(&digest[..32]).unwrap())
    );
    assert!(
        spec.losses()
            .iter()
            .any(|loss| loss.what.starts_with("`uname` without `uid`"))
    );
}

#[test]
fn what_bsdtar_writes_is_imported() {
    if !have(&["bsdtar", "find", "touch", "mkfifo", "mknod"]) {
        return;
    }
    let tree = work("bsdtar-in").join("tree");
    make(&tree);
    let walked = walk(&tree);
    let write = |options: &[&str]| {
        let mut command = Command::new("bsdtar");
        run(command
            .current_dir(&tree)
            .arg("-cf")
            .arg("-")
            .args(options)
            .arg("."))
    };
    let text = write(&["--format=mtree", "--options=mtree:all"]);
    assert_declares(&imported(&text).1, &walked, &ALL);
    let needed = [
        "type", "mode", "uid", "gid", "size", "nlink", "link", "device", "mtime",
    ];
    for options in [
        &["--format=mtree"][..],
        &["--format=mtree-classic"],
        &["--format=mtree", "--options=mtree:indent"],
    ] {
        assert_declares(&imported(&write(options)).1, &walked, &needed);
    }
}

#[test]
fn what_gomtree_writes_is_imported() {
    if which("gomtree").is_none() || !have(&["find", "touch", "mkfifo", "mknod"]) {
        println!("skipped: gomtree is missing");
        return;
    }
    let tree = work("gomtree-in").join("tree");
    make(&tree);
    let text = run(Command::new("gomtree")
        .args([
            "-c",
            "-K",
            "sha256digest,uid,gid,mode,link,nlink,size,type,time",
            "-p",
        ])
        .arg(&tree));
    let needed = ["type", "mode", "uid", "gid", "size", "digest", "nlink", "link"];
    assert_declares(&imported(&text).1, &walk(&tree), &needed);
}

fn exported(entries: &[Entry], without: &[&str]) -> Vec<u8> {
    let bytes = baseline(entries, "files", Image::default());
    let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
    let mut text = Vec::new();
    mtree::write(|| Ok(&bytes[..]), &without, &mut text).unwrap();
    text
}

#[test]
fn netbsds_mtree_checks_what_is_exported() {
    if !have(&["mtree", "find", "touch", "mkfifo", "mknod"]) {
        return;
    }
    let dir = work("netbsd-out");
    let (tree, spec) = (dir.join("tree"), dir.join("spec"));
    make(&tree);
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    run(Command::new("touch")
        .args(["-d", "@1700000000"])
        .arg(tree.join("socket"))
        .arg(&tree));
    fs::write(&spec, exported(&walk(&tree), &[])).unwrap();
    let check = || {
        let output = Command::new("mtree")
            .arg("-f")
            .arg(&spec)
            .arg("-p")
            .arg(&tree)
            .output()
            .unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), told)
    };
    assert_eq!(check(), (Some(0), String::new()));

    // One thing of each kind, one after the other.
    let set_time = |path: &Path| {
        run(Command::new("touch")
            .args(["-h", "-d", "@1700000000"])
            .arg(path)
            .arg(&tree));
    };
    let refuted = |what: &str| {
        let (code, told) = check();
        // What is missing or too much is told, but does not make mtree fail.
        assert_eq!(
            code,
            Some(if matches!(what, "missing" | "extra") { 0 } else { 2 }),
            "{what}: {told}"
        );
        assert!(told.contains(what), "{what}: {told}");
    };
    let file = tree.join("a b");
    fs::write(&file, "a B").unwrap();
    set_time(&file);
    refuted("a b:");
    fs::write(&file, "a b").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    set_time(&file);
    refuted("permissions");
    fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(check(), (Some(0), String::new()));
    let link = tree.join("l a b");
    fs::remove_file(&link).unwrap();
    symlink("a c", &link).unwrap();
    set_time(&link);
    refuted("link ref");
    fs::remove_file(&link).unwrap();
    set_time(&tree);
    refuted("missing");
    symlink("a b", &link).unwrap();
    set_time(&link);
    fs::write(tree.join("more"), "").unwrap();
    set_time(&tree.join("more"));
    refuted("extra");
}

#[test]
fn bsdtar_reads_what_is_exported() {
    if !have(&["bsdtar", "find", "touch", "mkfifo", "mknod"]) {
        return;
    }
    let dir = work("bsdtar-out");
    let (tree, spec) = (dir.join("tree"), dir.join("spec"));
    make(&tree);
    let walked = walk(&tree);
    fs::write(&spec, exported(&walked, &[])).unwrap();
    // Where there are no files to look at, bsdtar knows what the mtree says and nothing else.
    let elsewhere = dir.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let at = [b"@", spec.as_os_str().as_bytes()].concat();
    let mut command = Command::new("bsdtar");
    command
        .current_dir(&elsewhere)
        .args(["-cf", "-", "--format=mtree"]);
    let text = run(command.arg(OsStr::from_bytes(&at)));
    let needed = [
        "type", "mode", "uid", "gid", "user", "group", "size", "nlink", "link", "device", "mtime",
    ];
    assert_declares(&imported(&text).1, &walked, &needed);
}

#[test]
fn a_bill_of_materials_is_valid_by_its_schema() {
    let Some(schemas) = env::var_os("DRIFTCHECK_SCHEMAS").map(PathBuf::from) else {
        println!("skipped: DRIFTCHECK_SCHEMAS names no directory");
        return;
    };
    if !have(&["python3"]) {
        return;
    }
    let found = Command::new("python3")
        .args(["-c", "import jsonschema"])
        .output()
        .unwrap();
    if !found.status.success() {
        assert!(!required(), "python3's jsonschema is missing");
        println!("skipped: python3's jsonschema is missing");
        return;
    }
    let script = "\
import json, os, sys, warnings
warnings.simplefilter('ignore')
import jsonschema
load = lambda name: json.load(open(os.path.join(sys.argv[1], name), encoding='utf-8'))
schema = load('bom-1.6.SNAPSHOT.schema.json')
store = {}
for name in ['spdx.SNAPSHOT.schema.json', 'jsf-0.82.SNAPSHOT.schema.json']:
    store['http://cyclonedx.org/schema/' + name] = store[name] = load(name)
resolver = jsonschema.RefResolver(schema['$id'], schema, store)
checker = jsonschema.FormatChecker()
validator = jsonschema.Draft7Validator(schema, resolver=resolver, format_checker=checker)
errors = list(validator.iter_errors(json.load(open(sys.argv[2], encoding='utf-8'))))
for error in errors:
    print(error.message[:500], list(error.path))
sys.exit(1 if errors else 0)
";
    let dir = work("schema");
    let file = dir.join("bom.json");
    let valid = |document: &[u8]| {
        fs::write(&file, document).unwrap();
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(&schemas)
            .arg(&file)
            .output()
            .unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), told)
    };
    for (entries, image, settings) in documents() {
        let bytes = baseline(&entries, "packages", image);
        let mut document = Vec::new();
        cyclonedx::write(
            BaselineReader::open(&bytes[..]).unwrap(),
            &settings,
            &mut document,
        )
        .unwrap();
        assert_eq!(
            valid(&document),
            (true, String::new()),
            "{}",
            String::from_utf8_lossy(&document)
        );
        // The validator is at work.
        let mut broken: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&document).unwrap();
        broken.insert("serialNumber".to_owned(), "urn:uuid:x".into());
        assert!(!valid(&serde_json::to_vec(&broken).unwrap()).0);
    }
}

/// What documents are made of: nothing, and everything.
fn documents() -> Vec<(Vec<Entry>, Image, cyclonedx::Settings)> {
    let package = |key: &[u8]| Entry::new("packages", OsText::new(key));
    let full = vec![
        package(b"alternative/awk").with("mode", "auto"),
        package(b"apk/a\xff").with("version", "1"),
        package(b"deb").unseen("all", "denied").unseen("below", "denied"),
        package(b"deb/libc6:amd64")
            .with("architecture", "amd64")
            .with("automatic", true)
            .with("held", true)
            .with("source", "glibc")
            .with("status", "install ok half-configured")
            .with("vendor", "Maintainers <a@b>")
            .with("version", "1:2.36-9+deb12u10")
            .unseen("signature", "denied"),
        package(b"rpm/kernel.x86_64")
            .with("architecture", "x86_64")
            .with("vendor", Value::list(["a", "b"]))
            .with("version", Value::list(["1:6.10-1", "6.9-1"])),
    ];
    let named = Image {
        name: Some("web \"x\"".to_owned()),
        version: Some("1.4".to_owned()),
        digest: Some(format!("sha256:{}", "ab".repeat(32))),
        source_kind: "oci-layout".to_owned(),
        ..Image::default()
    };
    let sha512 = Image {
        digest: Some(format!("sha512:{}", "ab".repeat(64))),
        ..named.clone()
    };
    let debian = cyclonedx::Settings {
        distribution: Some(Distribution {
            id: "debian".to_owned(),
            version: Some("12".to_owned()),
        }),
        timestamp: Some(SystemTime::UNIX_EPOCH),
    };
    vec![
        (Vec::new(), Image::default(), cyclonedx::Settings::default()),
        (full.clone(), named, debian.clone()),
        (full, sha512, cyclonedx::Settings::default()),
    ]
}
