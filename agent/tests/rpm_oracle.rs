//! The reader of rpm databases against rpm itself: the same packages, the same files, the same order of versions.
//!
//! Without rpm these tests say `skipped: ...` and pass, unless `DRIFTCHECK_REQUIRE_ORACLES=1` asks that they run.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use driftcheck_agent::packages::rpm::{read, version};
use driftcheck_agent::packages::{DeclaredFile, DeclaredKind, Installed, Wanted};
use driftcheck_agent::tree::{Stat, Tree, TreeError};

/// Whether the tools are there; if not, says so, or fails where oracles are required.
fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| which(tool).is_none());
    // rpm changes its root directory for `--root`.
    let why = match missing {
        Some(tool) => format!("{tool} is missing"),
        None if fs::metadata("/proc/self").unwrap().uid() != 0 => "not root".into(),
        None => return true,
    };
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|v| v != "1"),
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

/// A directory of this test's own, empty.
fn work(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rpm-oracle-{name}"));
    match fs::remove_dir_all(&dir) {
        Err(why) if why.kind() != ErrorKind::NotFound => panic!("{}: {why}", dir.display()),
        _ => fs::create_dir_all(&dir).unwrap(),
    }
    dir
}

fn run(command: &mut Command) -> String {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn run_with_input(command: &mut Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// rpm on the database of a root.
fn rpm(root: &Path) -> Command {
    let mut command = Command::new("rpm");
    command.arg("--root").arg(root).args([
        "--define",
        "_dbpath /var/lib/rpm",
        "--define",
        "_db_backend sqlite",
    ]);
    command
}

fn install(root: &Path, options: &[&str], packages: &[PathBuf]) {
    let always = [
        "-i",
        "--nodeps",
        "--nosignature",
        "--ignorearch",
        "--ignoreos",
        "--ignoresize",
    ];
    run(rpm(root).args(always).args(options).args(packages));
}

/// Builds the packages of a spec file, with some macros defined.
fn build(dir: &Path, spec: &str, macros: &[&str]) -> Vec<PathBuf> {
    let top = dir.join("build");
    fs::create_dir_all(&top).unwrap();
    let path = top.join("demo.spec");
    fs::write(&path, spec).unwrap();
    let out = top.join(format!("out{}", fs::read_dir(&top).unwrap().count()));
    let mut command = Command::new("rpmbuild");
    command
        .arg("-bb")
        .arg("--define")
        .arg(format!("_topdir {}", top.display()));
    command.arg("--define").arg(format!("_rpmdir {}", out.display()));
    for define in [
        "_build_id_links none",
        "__os_install_post %{nil}",
        "_rpmfilename %%{NAME}-%%{VERSION}.rpm",
    ] {
        command.args(["--define", define]);
    }
    for define in macros {
        command.args(["--define", define]);
    }
    run(command.arg(&path));
    fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

const EVERYTHING: &str = r"
Name: everything
Epoch: 3
Version: 1.2~rc1
Release: 4%{?dist}
Summary: all kinds of files
License: MIT
Vendor: The Vendor, Inc.
BuildArch: noarch
AutoReqProv: no
%description
x
%install
mkdir -p %{buildroot}/etc/demo.d %{buildroot}/usr/bin %{buildroot}/var/lib/demo %{buildroot}/usr/share/doc
echo one > %{buildroot}/etc/demo.conf
echo two > %{buildroot}/etc/demo.d/replace.conf
echo three > %{buildroot}/etc/demo.d/missing.conf
echo four > %{buildroot}/etc/demo.d/unverified
printf '#!/bin/sh\n' > %{buildroot}/usr/bin/setuid
cp %{buildroot}/usr/bin/setuid %{buildroot}/usr/bin/capable
ln %{buildroot}/usr/bin/setuid %{buildroot}/usr/bin/hard
ln -s setuid %{buildroot}/usr/bin/soft
ln -s /etc/demo.conf %{buildroot}/var/lib/demo/absolute
: > %{buildroot}/var/lib/demo/empty
: > '%{buildroot}/var/lib/demo/ünïcode'
%files
%config(noreplace) %attr(0640, root, mail) /etc/demo.conf
%dir %attr(0750, daemon, daemon) /etc/demo.d
%config /etc/demo.d/replace.conf
%config(missingok) /etc/demo.d/missing.conf
%verify(not md5 size mtime mode owner group caps) /etc/demo.d/unverified
%attr(4755, root, root) /usr/bin/setuid
%attr(4755, root, root) /usr/bin/hard
%caps(cap_net_raw,cap_net_admin=ep) /usr/bin/capable
/usr/bin/soft
%dir /var/lib/demo
%attr(0600, nobody, nogroup) /var/lib/demo/empty
/var/lib/demo/absolute
/var/lib/demo/ünïcode
%ghost /var/lib/demo/ghost
";

fn plain(name: &str, version: &str, path: &str) -> String {
    format!(
        "Name: {name}
Version: {version}
Release: 1.el9
Summary: x
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
x
%install
mkdir -p $(dirname %{{buildroot}}{path}) %{{buildroot}}/usr/share/doc/{name}
echo {name} {version} > %{{buildroot}}{path}
echo {name} > %{{buildroot}}/usr/share/doc/{name}/readme
%files
{path}
%doc /usr/share/doc/{name}/readme
"
    )
}

fn many_files() -> String {
    let mut spec = plain("many", "20240101", "/usr/lib/many/0");
    let tail = spec.split_off(spec.find("%files").unwrap());
    spec.push_str("for d in $(seq 60); do mkdir -p %{buildroot}/usr/lib/many/$d; for n in $(seq 50); do ");
    spec.push_str("echo $d $n > %{buildroot}/usr/lib/many/$d/$n-with-a-longer-name; done; done\n");
    spec.replace("/usr/lib/many/0", "/usr/lib/many/first") + &tail.replace("/usr/lib/many/0", "/usr/lib/many")
}

/// A root with packages of every kind that matters here, of the caller's own. Building it takes long, and each test
/// may be a process of its own: the first one builds, and the others copy until this file changes.
fn furnished(dir: &Path) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpm-oracle-kept");
    fs::create_dir_all(&kept).unwrap();
    let lock = fs::File::create(kept.join("lock")).unwrap();
    lock.lock().unwrap();
    let (stamp, made_by) = (kept.join("stamp"), include_str!("rpm_oracle.rs"));
    if !fs::read_to_string(&stamp).is_ok_and(|by| by == made_by) {
        furnish(&work("kept/work"));
        fs::write(&stamp, made_by).unwrap();
    }
    run(Command::new("cp")
        .arg("-a")
        .arg(kept.join("work/root"))
        .arg(dir.join("root")));
    dir.join("root")
}

fn furnish(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(&root).unwrap();
    let everything = build(dir, EVERYTHING, &["dist .el9"]);
    let caret = build(
        dir,
        &plain("caret", "2.0^git5", "/opt/caret"),
        &["_binary_filedigest_algorithm 1"],
    );
    let sha512 = build(
        dir,
        &plain("sha512", "1", "/opt/sha512"),
        &["_binary_filedigest_algorithm 10"],
    );
    let many = build(dir, &many_files(), &[]);
    let first = build(dir, &plain("shared-a", "1", "/opt/shared"), &[]);
    let second = build(dir, &plain("shared-b", "1", "/opt/shared"), &[]);
    install(&root, &[], &[everything, caret, many].concat());
    for version in ["5.14.0", "5.15.0"] {
        let kernel = build(
            dir,
            &plain("kernel", version, &format!("/boot/vmlinuz-{version}")),
            &[],
        );
        install(&root, &[], &kernel);
    }
    // Not unpacked: rpm 4.18 would open it and wait for ever.
    let fifo = plain("fifo", "1", "/opt/fifo").replace(
        "%files",
        "rm %{buildroot}/opt/fifo; mkfifo %{buildroot}/opt/fifo\n%files",
    );
    install(&root, &["--justdb"], &build(dir, &fifo, &[]));
    install(&root, &["--excludedocs"], &sha512);
    install(&root, &[], &first);
    install(&root, &["--replacefiles"], &second);
    root
}

/// What `rpm -qa` says, in the terms of [`rows`].
fn rows_of_rpm(root: &Path) -> Rows {
    let format = "P\\t%{DBINSTANCE}\\t%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t\
                  %{VENDOR}\\t%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}|}|\\n[F\\t%{FILENAMES}\\t%{FILESTATES}\\t%{FILEVERIFYFLAGS}\\t\
                  %{FILEFLAGS}\\t%{FILEMODES}\\t%{FILESIZES}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\t%{FILELINKTOS}\\t\
                  %{FILEDIGESTS}\\t%{=FILEDIGESTALGO}\\t%{FILECAPS}\\n]";
    let mut rows = Rows::new();
    let mut key = (0, String::new());
    for line in run(rpm(root).args(["-qa", "--qf", format])).lines() {
        let fields: Vec<_> = line
            .split('\t')
            .map(|field| if field == "(none)" { "" } else { field })
            .collect();
        match fields[..] {
            [
                "P",
                number,
                name,
                version,
                architecture,
                source,
                vendor,
                signature,
            ] => {
                key = (number.parse().unwrap(), name.into());
                let package = format!("{version}|{architecture}|{source}|{vendor}|{}", signed(signature));
                rows.insert(key.clone(), (package, Vec::new()));
            }
            [
                "F",
                path,
                state,
                verify,
                flags,
                mode,
                size,
                user,
                group,
                link,
                digest,
                algorithm,
                capabilities,
            ] => {
                if state != "0" {
                    continue;
                }
                let [verify, flags, mode] = [verify, flags, mode].map(|text| text.parse::<u32>().unwrap());
                let unless = |not: bool, text: &str| if not { String::new() } else { text.to_string() };
                let not = |bit: u32| verify & (1 << bit) == 0;
                let file = mode & 0o170_000 == 0o100_000;
                let symbolic = mode & 0o170_000 == 0o120_000;
                let algorithm = match algorithm {
                    "1" | "" => "md5",
                    "8" => "sha256",
                    "10" => "sha512",
                    other => panic!("{other}"),
                };
                let digest = unless(not(0) || digest.is_empty(), &format!("{algorithm}:{digest}"));
                let mut row = format!("{path}|{:o}|", mode & 0o170_000);
                write!(
                    row,
                    "{}|",
                    unless(not(6) || symbolic, &format!("{:o}", mode & 0o7777))
                )
                .unwrap();
                write!(row, "{}|{}|", unless(not(1) || !file, size), unless(not(3), user)).unwrap();
                write!(row, "{}|{}|", unless(not(4), group), unless(not(2), link)).unwrap();
                write!(
                    row,
                    "{digest}|{}|{}|",
                    unless(not(8), capabilities),
                    flags & 1 != 0
                )
                .unwrap();
                write!(row, "{}", flags & (8 | 64) != 0).unwrap();
                rows.get_mut(&key).unwrap().1.push(row);
            }
            _ => panic!("{line}"),
        }
    }
    rows
}

/// `RSA/SHA256, Mon Nov 23 2026, Key ID 199e2f91fd431d51` in our words.
fn signed(text: &str) -> String {
    let Some((algorithms, rest)) = text.split_once(", ") else {
        return String::new();
    };
    let (_, key) = rest.rsplit_once(' ').unwrap();
    format!("{} key {key}", algorithms.to_lowercase())
}

/// By number and name: the package, and its files in order.
type Rows = BTreeMap<(usize, String), (String, Vec<String>)>;

/// What we read, one line for each package and file. `numbers` are those of the database, in order.
fn rows(installed: &Installed, numbers: &[usize]) -> Rows {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let optional = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(text).unwrap_or_default();
    assert_eq!(installed.packages.len(), numbers.len());
    let mut rows = Rows::new();
    for (at, (package, number)) in installed.packages.iter().zip(numbers).enumerate() {
        let own = installed.files.iter().filter(|file| file.package == at);
        let described = format!(
            "{}|{}|{}|{}|{}",
            text(&package.version),
            text(&package.architecture),
            optional(&package.source),
            optional(&package.vendor),
            optional(&package.signature)
        );
        let file = |file: &DeclaredFile| {
            let kind = match file.kind.unwrap() {
                DeclaredKind::File => "100000",
                DeclaredKind::Directory => "40000",
                DeclaredKind::Link => "120000",
                DeclaredKind::Special => "10000",
            };
            let mode = file.mode.map(|mode| format!("{mode:o}")).unwrap_or_default();
            let size = file.size.map(|size| size.to_string()).unwrap_or_default();
            let mut row = format!("{}|{kind}|{mode}|{size}|", text(&file.path));
            write!(row, "{}|{}|", optional(&file.user), optional(&file.group)).unwrap();
            write!(
                row,
                "{}|{}|",
                optional(&file.link),
                file.digest.as_deref().unwrap_or("")
            )
            .unwrap();
            write!(
                row,
                "{}|{}|{}",
                optional(&file.capabilities),
                file.config,
                file.ghost
            )
            .unwrap();
            row
        };
        rows.insert(
            (*number, text(&package.name)),
            (described, own.map(file).collect()),
        );
    }
    rows
}

fn read_root(root: &Path) -> Installed {
    let installed = read(&DirTree(root.into()), Wanted::PackagesAndFiles)
        .unwrap()
        .unwrap();
    assert_eq!(installed.trouble, []);
    installed
}

fn assert_same_as_rpm(root: &Path) -> Installed {
    let expected = rows_of_rpm(root);
    let numbers: Vec<_> = expected.keys().map(|(number, _)| *number).collect();
    let installed = read_root(root);
    let found = rows(&installed, &numbers);
    for (key, (package, files)) in &expected {
        let (found_package, found_files) = &found[key];
        assert_eq!(found_package, package, "{key:?}");
        for (file, found_file) in files.iter().zip(found_files) {
            assert_eq!(found_file, file, "{key:?}");
        }
        assert_eq!(found_files.len(), files.len(), "{key:?}");
    }
    assert_eq!(found.len(), expected.len());
    installed
}

#[test]
fn packages_and_files_are_those_of_rpm() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let root = furnished(&work("same"));
    let installed = assert_same_as_rpm(&root);

    // That the comparison has seen what it was made for.
    let names: Vec<_> = installed
        .packages
        .iter()
        .map(|p| String::from_utf8_lossy(&p.name))
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "kernel").count(), 2);
    let everything = names.iter().position(|name| name == "everything").unwrap();
    assert_eq!(installed.packages[everything].version, b"3:1.2~rc1-4.el9");
    let file = |path: &str| installed.files.iter().find(|file| file.path == path.as_bytes());
    assert_eq!(file("/usr/bin/setuid").unwrap().mode, Some(0o4755));
    assert_eq!(
        file("/usr/bin/soft").unwrap().link.as_deref(),
        Some(&b"setuid"[..])
    );
    assert!(file("/usr/bin/capable").unwrap().capabilities.is_some());
    assert!(file("/var/lib/demo/ghost").unwrap().ghost && file("/etc/demo.d/missing.conf").unwrap().ghost);
    assert!(file("/etc/demo.conf").unwrap().config);
    assert_eq!(file("/opt/fifo").unwrap().kind, Some(DeclaredKind::Special));
    let unverified = file("/etc/demo.d/unverified").unwrap();
    assert!(unverified.mode.is_none() && unverified.digest.is_none() && unverified.user.is_none());
    assert!(
        file("/opt/caret")
            .unwrap()
            .digest
            .as_ref()
            .unwrap()
            .starts_with("md5:")
    );
    assert!(
        file("/opt/sha512")
            .unwrap()
            .digest
            .as_ref()
            .unwrap()
            .starts_with("sha512:")
    );
    assert!(file("/usr/share/doc/sha512/readme").is_none());
    assert_eq!(
        installed
            .files
            .iter()
            .filter(|file| file.path == b"/opt/shared")
            .count(),
        1
    );
    assert!(installed.files.len() > 3000);
}

/// What `rpm -Va` says: by path, the letters of what differs but the time's, or `missing`.
fn rpm_verify(root: &Path) -> BTreeMap<String, String> {
    let output = rpm(root)
        .args(["-Va", "--nodeps", "--noscripts"])
        .output()
        .unwrap();
    let mut said = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let path = line[line.find('/').unwrap()..].to_owned();
        let letters: String = match line.strip_prefix("missing") {
            Some(_) => "missing".into(),
            None => line
                .chars()
                .take(9)
                .filter(|letter| "S5MLUGP".contains(*letter))
                .collect(),
        };
        if !letters.is_empty() {
            said.insert(path, letters);
        }
    }
    said
}

/// What the audit against the vendor says, in the same words.
fn vendor_audit(root: &Path) -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftcheck"));
    let output = command
        .args(["--baseline", "vendor", "--format", "json", "--root"])
        .arg(root)
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut said = BTreeMap::new();
    for drift in report["drifts"].as_array().unwrap() {
        let letter = |field: &serde_json::Value| {
            let names = ["size", "mode", "digest", "link", "user", "group", "capabilities"];
            let at = names.iter().position(|name| field["name"] == *name);
            at.map(|at| b"SM5LUGP"[at])
        };
        let letters = match drift["change"].as_str().unwrap() {
            "removed" => "missing".to_owned(),
            "modified" => {
                let mut letters: Vec<u8> = drift["fields"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(letter)
                    .collect();
                letters.sort_by_key(|letter| b"SM5LUGP".iter().position(|known| known == letter));
                String::from_utf8(letters).unwrap()
            }
            _ => continue,
        };
        said.insert(drift["key"].as_str().unwrap().to_owned(), letters);
    }
    said
}

#[test]
fn the_vendor_audit_finds_what_rpm_verify_finds() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    if !have(&["rpm", "rpmbuild", "setcap"]) {
        return;
    }
    let root = furnished(&work("verify"));
    // rpm compares owners by name, and names come from the root.
    fs::create_dir_all(root.join("etc")).unwrap();
    for file in ["etc/passwd", "etc/group"] {
        fs::copy(Path::new("/").join(file), root.join(file)).unwrap();
    }
    let before = rpm_verify(&root);
    assert_eq!(vendor_audit(&root), before, "before anything was changed");

    fs::write(root.join("etc/demo.conf"), "changed\n").unwrap();
    fs::write(root.join("etc/demo.d/unverified"), "changed\n").unwrap();
    fs::write(root.join("usr/lib/many/3/7-with-a-longer-name"), "3 8\n").unwrap();
    fs::write(
        root.join("usr/lib/many/4/7-with-a-longer-name"),
        "longer than before\n",
    )
    .unwrap();
    fs::remove_file(root.join("usr/lib/many/5/7-with-a-longer-name")).unwrap();
    fs::remove_file(root.join("etc/demo.d/missing.conf")).unwrap();
    fs::set_permissions(root.join("usr/bin/capable"), fs::Permissions::from_mode(0o755)).unwrap();
    run(Command::new("setcap")
        .arg("cap_sys_admin=ep")
        .arg(root.join("usr/bin/capable")));
    run(Command::new("setcap")
        .arg("cap_net_raw=ep")
        .arg(root.join("opt/caret")));
    fs::remove_file(root.join("usr/bin/soft")).unwrap();
    symlink("capable", root.join("usr/bin/soft")).unwrap();
    run(Command::new("chown")
        .arg("daemon:mail")
        .arg(root.join("var/lib/demo/empty")));
    fs::set_permissions(root.join("etc/demo.d"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(root.join("opt/shared"), fs::Permissions::from_mode(0o4755)).unwrap();

    let (wanted, found) = (rpm_verify(&root), vendor_audit(&root));
    assert_eq!(found, wanted);
    assert!(wanted.len() >= 12, "{wanted:#?}");
}

/// Removals and updates leave free pages behind, which must not be read.
#[test]
fn removed_packages_are_gone() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = work("removed");
    let root = furnished(&dir);
    run(rpm(&root).args(["-e", "--nodeps", "many", "kernel-5.14.0"]));
    let update = build(&dir, &plain("caret", "2.1", "/opt/caret"), &[]);
    install(&root, &["-U"], &update);
    let installed = assert_same_as_rpm(&root);
    assert!(installed.packages.iter().all(|package| package.name != b"many"));
}

/// While another process reads, rpm cannot empty the log at its end.
#[test]
fn transactions_in_the_log_are_seen() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = work("log");
    let root = furnished(&dir);
    let database = root.join("var/lib/rpm/rpmdb.sqlite");
    let reader = rusqlite::Connection::open(&database).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM Packages;")
        .unwrap();
    let count = |root: &Path| read_root(root).packages.len();
    let before = count(&root);
    for name in ["late", "later"] {
        install(
            &root,
            &[],
            &build(&dir, &plain(name, "1", &format!("/opt/{name}")), &[]),
        );
    }
    assert!(
        fs::metadata(root.join("var/lib/rpm/rpmdb.sqlite-wal"))
            .unwrap()
            .len()
            > 32
    );
    assert_eq!(count(&root), before + 2);
    assert_same_as_rpm(&root);
}

#[test]
fn signatures_are_those_of_rpm() {
    if !have(&["rpm", "rpmbuild", "rpmsign", "gpg"]) {
        return;
    }
    let dir = work("signed");
    let root = dir.join("root");
    fs::create_dir_all(&root).unwrap();
    // gpg-agent's socket must have a short path.
    let home = env::temp_dir().join(format!("dc-gpg-{}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    let mut permissions = fs::metadata(&home).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o700);
    fs::set_permissions(&home, permissions).unwrap();
    let gpg = |args: &[&str]| {
        run(Command::new("gpg")
            .env("GNUPGHOME", &home)
            .args(["--batch", "--passphrase", ""])
            .args(args))
    };
    for (name, algorithm) in [("rsa", "rsa2048"), ("eddsa", "ed25519")] {
        let address = format!("{name}@example.org");
        gpg(&["--quick-generate-key", &address, algorithm, "sign", "never"]);
        let packages = build(&dir, &plain(name, "1", &format!("/opt/{name}")), &[]);
        let mut sign = Command::new("rpmsign");
        // Some distributions' macros name a program that they do not have.
        sign.args(["--define", &format!("__gpg {}", which("gpg").unwrap().display())]);
        sign.env("GNUPGHOME", &home)
            .arg("--addsign")
            .args(["--define", &format!("_gpg_name {address}")]);
        run(sign.args(&packages));
        install(&root, &[], &packages);
        let key = dir.join(format!("{name}.asc"));
        fs::write(&key, gpg(&["--armor", "--export", &address])).unwrap();
        run(rpm(&root).arg("--import").arg(&key));
    }
    run(Command::new("gpgconf")
        .env("GNUPGHOME", &home)
        .args(["--kill", "all"]));
    fs::remove_dir_all(&home).unwrap();

    let installed = assert_same_as_rpm(&root);
    let signatures: Vec<_> = installed
        .packages
        .iter()
        .map(|p| p.signature.as_deref().unwrap_or_default())
        .collect();
    assert!(
        signatures.iter().any(|signature| signature.starts_with(b"rsa/")),
        "{signatures:?}"
    );
    assert!(
        signatures
            .iter()
            .any(|signature| signature.starts_with(b"eddsa/")),
        "{signatures:?}"
    );
    assert_eq!(
        installed
            .packages
            .iter()
            .filter(|package| package.name == b"gpg-pubkey")
            .count(),
        2
    );
}

/// The blobs of an rpm database, by number.
fn blobs(root: &Path) -> Vec<(u32, Vec<u8>)> {
    let connection = rusqlite::Connection::open(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    let mut query = connection
        .prepare("SELECT hnum, blob FROM Packages ORDER BY hnum")
        .unwrap();
    query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn same_packages_and_files(a: &Installed, b: &Installed) {
    assert_eq!(a.packages, b.packages);
    assert!(a.files == b.files);
}

/// A root whose database is the file `Packages`, yet to be made.
fn berkeley_root(dir: &Path) -> (PathBuf, PathBuf) {
    let root = dir.join("berkeley");
    fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    let path = root.join("var/lib/rpm/Packages");
    (root, path)
}

#[test]
fn berkeley_db_is_read() {
    if !have(&["rpm", "rpmbuild", "db5.3_load"]) {
        return;
    }
    let dir = work("berkeley");
    let source = furnished(&dir);
    let blobs = blobs(&source);
    for (page_size, order) in [(4096, 1234), (512, 4321), (65536, 1234)] {
        let (root, path) = berkeley_root(&dir.join(page_size.to_string()));
        let mut dump = format!("VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize={page_size}\n");
        write!(dump, "db_lorder={order}\nHEADER=END\n").unwrap();
        let key = |number: u32| {
            hex(&if order == 1234 {
                number.to_le_bytes()
            } else {
                number.to_be_bytes()
            })
        };
        for (number, blob) in &blobs {
            writeln!(dump, " {}\n {}", key(*number), hex(blob)).unwrap();
        }
        writeln!(dump, " {}\n {}\nDATA=END", key(0), key(99)).unwrap();
        run_with_input(Command::new("db5.3_load").arg(&path), &dump);
        same_packages_and_files(&read_root(&root), &read_root(&source));
    }
}

/// Many records, some removed and some replaced by longer and shorter ones, so that buckets are split and pages
/// freed; compared with what Berkeley DB itself says is there.
#[test]
fn berkeley_db_with_history_is_read() {
    if !have(&["rpm", "rpmbuild", "perl"]) {
        return;
    }
    if !Command::new("perl")
        .args(["-MDB_File", "-e", "1"])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        assert!(!have(&["perl-DB_File"]));
        return;
    }
    let dir = work("history");
    let source = furnished(&dir);
    let (root, path) = berkeley_root(&dir);
    let blobs = blobs(&source);
    let mut script = String::new();
    let put = |script: &mut String, number: u32, blob: &[u8]| {
        writeln!(script, "{} {}", hex(&number.to_le_bytes()), hex(blob)).unwrap();
    };
    put(&mut script, 0, &[9, 0, 0, 0]);
    let mut expected = BTreeMap::new();
    for number in 1..800_u32 {
        let (_, blob) = &blobs[number as usize % blobs.len()];
        // The long one only now and then.
        let blob = if blob.len() > 100_000 && number % 200 != 0 {
            &blobs[0].1
        } else {
            blob
        };
        put(&mut script, number, blob);
        expected.insert(number, blob);
        if number > 10 && number % 3 == 0 {
            writeln!(script, "{}", hex(&(number - 10).to_le_bytes())).unwrap();
            expected.remove(&(number - 10));
        }
        if number > 10 && number % 7 == 0 {
            let (_, other) = &blobs[number as usize / 7 % 2];
            put(&mut script, number - 7, other);
            expected.insert(number - 7, other);
        }
    }
    let perl =
        "use DB_File; use Fcntl; tie my %h, 'DB_File', $ARGV[0], O_RDWR|O_CREAT, 0644, $DB_HASH or die;
        while (<STDIN>) { chomp; my ($k, $v) = split / /; $k = pack 'H*', $k;
        if (defined $v) { $h{$k} = pack 'H*', $v } else { delete $h{$k} } } untie %h;";
    run_with_input(Command::new("perl").args(["-e", perl]).arg(&path), &script);

    let installed = read_root(&root);
    let known = read_root(&source);
    let by_blob: BTreeMap<&Vec<u8>, _> = blobs.iter().map(|(_, blob)| blob).zip(&known.packages).collect();
    let expected: Vec<_> = expected.values().map(|blob| by_blob[*blob]).collect();
    assert_eq!(installed.packages.iter().collect::<Vec<_>>(), expected);
}

/// The order of versions, on a table and on random pairs, in one call of rpm.
#[test]
fn versions_are_in_the_order_of_rpm() {
    if !have(&["rpm"]) {
        return;
    }
    let table = "1.0 1.0-1 1.0- 1.0-1-2 1.0~rc1 1.0~rc1-1 1.0~~ 1.0^ 1.0^git1 1.0^~ 1.0~^ 1 1. 1..0 1_0 01.0 1.0a \
                 1.0.a 1.a a A a1 1a 10 9 0:1.0 1:1.0 00:1.0 :1.0 x:1.0 1: 2:1.0-1 10:1 9:1 ^ ~ - -- 1.0-1~a 1.0-1^a \
                 1.0+b 1.0.0 99999999999999999999 100000000000000000000 4294967296:1 1:1:1";
    let table = || table.split_whitespace().map(String::from);
    let mut pairs: Vec<_> = table()
        .flat_map(|a| table().map(move |b| (a.clone(), b)))
        .collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let a = random.version();
        // Close relatives differ in more interesting ways.
        let b = if random.below(2) == 0 {
            String::new()
        } else {
            a.clone()
        };
        pairs.push((a, b + &random.version()));
    }
    let path = work("versions").join("pairs");
    let lines = pairs
        .iter()
        .fold(String::new(), |lines, (a, b)| lines + a + " " + b + "\n");
    fs::write(&path, lines).unwrap();
    let lua = format!(
        "%{{lua: for l in io.lines('{}') do local a, b = l:match('^(.*) (.*)$') \
         print(rpm.vercmp(a, b) .. '\\n') end}}",
        path.display()
    );
    let said = run(Command::new("rpm").args(["--eval", &lua]));
    let said: Vec<i32> = said
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(said.len(), pairs.len());
    for ((a, b), said) in pairs.iter().zip(said) {
        assert_eq!(
            version::compare(a.as_bytes(), b.as_bytes()) as i32,
            said,
            "{a} {b}"
        );
    }
}

/// A fixed sequence of pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn version(&mut self) -> String {
        let alphabet = b"0011299aabZ.._~~^^--:+";
        (0..=self.below(8))
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }
}

/// A directory as a tree. Links are resolved inside of it, as text.
struct DirTree(PathBuf);

impl DirTree {
    fn resolve(&self, path: &[u8], follow_last: bool) -> Result<PathBuf, TreeError> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|b| *b == b'/')
                .filter(|part| !matches!(*part, b"" | b"."))
                .map(Vec::from)
                .rev()
                .collect()
        };
        let mut todo = parts(path);
        let mut done = Vec::new();
        for _ in 0..1000 {
            let Some(part) = todo.pop() else { break };
            if part == b".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = self.join(&done);
            if (follow_last || !todo.is_empty()) && here.is_symlink() {
                let target = fs::read_link(here)
                    .map_err(|why| told(&why))?
                    .into_os_string()
                    .into_vec();
                done.pop();
                if target.starts_with(b"/") {
                    done.clear();
                }
                todo.extend(parts(&target));
            }
        }
        Ok(self.join(&done))
    }

    fn join(&self, parts: &[Vec<u8>]) -> PathBuf {
        parts
            .iter()
            .fold(self.0.clone(), |path, part| path.join(OsStr::from_bytes(part)))
    }
}

fn told(why: &io::Error) -> TreeError {
    match why.kind() {
        ErrorKind::NotFound => TreeError::NotFound,
        _ => TreeError::Failed(why.to_string()),
    }
}

fn stat(metadata: &fs::Metadata) -> Stat {
    Stat {
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: metadata.len(),
    }
}

impl Tree for DirTree {
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError> {
        let bytes = fs::read(self.resolve(path, true)?).map_err(|why| told(&why))?;
        if bytes.len() as u64 > limit {
            Err(TreeError::TooLarge(limit))
        } else {
            Ok(bytes)
        }
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let entries = fs::read_dir(self.resolve(path, true)?).map_err(|why| told(&why))?;
        let mut names = entries
            .map(|entry| Ok(entry.map_err(|why| told(&why))?.file_name().into_vec()))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        fs::symlink_metadata(self.resolve(path, true)?)
            .map(|m| stat(&m))
            .map_err(|why| told(&why))
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        fs::symlink_metadata(self.resolve(path, false)?)
            .map(|m| stat(&m))
            .map_err(|why| told(&why))
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError> {
        let path = self.resolve(path, false)?;
        Ok(fs::read_link(path)
            .map_err(|why| told(&why))?
            .into_os_string()
            .into_vec())
    }
}
