//! `--baseline vendor` against what others say of the same Debian root: `dpkg --verify` and debsums.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A Debian root of this test's own, or `None` with the reason printed.
fn debian_root(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("DRIFTCHECK_CACHE").unwrap_or_else(|| "/var/tmp/driftcheck-cache".into());
    let tar = Path::new(&cache).join("roots/debian-12.tar");
    let missing = if !tar.exists() {
        Some("no Debian root: run tests/setup/roots.sh as root")
    } else if !rustix::process::geteuid().is_root() {
        Some("needs root, to unpack a root")
    } else {
        None
    };
    if let Some(why) = missing {
        assert!(
            std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|set| set != "1"),
            "required: {why}"
        );
        println!("skipped: {why}");
        return None;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vendor-{name}"));
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    let unpacked = Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"])
        .arg(&root)
        .arg("-xf")
        .arg(&tar)
        .status()
        .unwrap();
    assert!(unpacked.success());
    Some(root)
}

/// The report's drifts and the exit code.
fn audit(root: &Path) -> (Vec<Value>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_driftcheck"))
        .args(["--baseline", "vendor", "--format", "json", "--root"])
        .arg(root)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    (
        report["drifts"].as_array().unwrap().clone(),
        output.status.code().unwrap(),
    )
}

fn keys(drifts: &[Value], change: &str) -> BTreeSet<String> {
    let of_kind = drifts.iter().filter(|drift| drift["change"] == change);
    of_kind
        .map(|drift| drift["key"].as_str().unwrap().to_owned())
        .collect()
}

/// Paths whose content `dpkg --verify` finds different, and those that it finds missing, with links resolved.
fn dpkg_verify(root: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let output = Command::new("dpkg")
        .arg("--root")
        .arg(root)
        .arg("--verify")
        .output()
        .unwrap();
    let (mut changed, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let path = real(root, line.rsplit(' ').next().unwrap());
        if line.starts_with("missing") {
            missing.insert(path);
        } else if line.as_bytes()[2] == b'5' {
            changed.insert(path);
        }
    }
    (changed, missing)
}

/// A path below the root with links in its directories resolved.
fn real(root: &Path, path: &str) -> String {
    let path = Path::new(path);
    let parent = root.join(path.parent().unwrap().strip_prefix("/").unwrap());
    let parent = fs::canonicalize(&parent).unwrap_or(parent);
    let below = parent.strip_prefix(fs::canonicalize(root).unwrap()).unwrap();
    Path::new("/")
        .join(below)
        .join(path.file_name().unwrap())
        .display()
        .to_string()
}

#[test]
fn a_fresh_root_is_clean_and_a_tampered_one_is_told_as_dpkg_and_debsums_tell_it() {
    let Some(root) = debian_root("tampered") else {
        return;
    };
    let (drifts, code) = audit(&root);
    let (changed, missing) = dpkg_verify(&root);
    assert_eq!(keys(&drifts, "modified"), changed, "a fresh root");
    assert!(missing.is_empty());
    assert_eq!(drifts.len(), changed.len(), "nothing else: {drifts:#?}");
    assert_eq!(code, i32::from(!drifts.is_empty()));

    let append = |path: &str| {
        let path = root.join(path);
        let mut content = fs::read(&path).unwrap();
        content.push(b'#');
        fs::write(&path, content).unwrap();
    };
    append("usr/bin/sudo");
    append("bin/dash");
    append("etc/sudoers");
    append("etc/bash.bashrc");
    fs::remove_file(root.join("usr/bin/passwd")).unwrap();
    fs::remove_file(root.join("etc/skel/.profile")).unwrap();
    // The same size and time as before: only the content tells.
    let same = root.join("usr/bin/ping");
    let times = fs::metadata(&same).unwrap().modified().unwrap();
    let mut content = fs::read(&same).unwrap();
    content[1000] ^= 1;
    fs::write(&same, content).unwrap();
    fs::File::options()
        .write(true)
        .open(&same)
        .unwrap()
        .set_modified(times)
        .unwrap();

    let (drifts, code) = audit(&root);
    let (changed, missing) = dpkg_verify(&root);
    assert_eq!(code, 1);
    assert_eq!(keys(&drifts, "modified"), changed);
    assert_eq!(keys(&drifts, "removed"), missing);
    assert!(
        changed.contains("/usr/bin/ping")
            && changed.contains("/usr/bin/dash")
            && changed.contains("/etc/sudoers")
    );

    // debsums judges files with an md5 sum only, and does not resolve links.
    if Command::new("debsums").arg("--version").output().is_ok() {
        let mut command = Command::new("debsums");
        let output = command
            .arg("--changed")
            .arg("--all")
            .arg("--root")
            .arg(&root)
            .output()
            .unwrap();
        let told: BTreeSet<String> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| real(&root, line.strip_prefix(root.to_str().unwrap()).unwrap_or(line)))
            .collect();
        assert_eq!(
            keys(&drifts, "modified")
                .union(&keys(&drifts, "removed"))
                .cloned()
                .collect::<BTreeSet<_>>(),
            told.union(&missing).cloned().collect::<BTreeSet<_>>(),
            "debsums"
        );
    }
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_no_package_owns_is_told_where_it_matters() {
    let Some(root) = debian_root("added") else { return };
    let put = |path: &str, mode: u32| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("usr/bin/backdoor", 0o755);
    put("usr/lib/x86_64-linux-gnu/libevil.so.1", 0o644);
    put("etc/systemd/system/evil.service", 0o644);
    put("etc/cron.d/evil", 0o644);
    put("srv/setuid", 0o4755);
    put("tmp/scratch-setuid", 0o4755);
    symlink("/srv/setuid", root.join("usr/bin/command")).unwrap();
    // None of these is anybody's business here.
    put(
        "usr/lib/python3/dist-packages/x/__pycache__/x.cpython-311.pyc",
        0o644,
    );
    put("usr/local/bin/tool", 0o755);
    put("home/user/bin/tool", 0o755);
    put("var/lib/app/data", 0o644);
    symlink(
        "/etc/alternatives/x-www-browser",
        root.join("usr/bin/x-www-browser"),
    )
    .unwrap();
    put("tmp/scratch", 0o755);

    let (drifts, code) = audit(&root);
    assert_eq!(code, 1);
    let severities: BTreeMap<String, String> = drifts
        .iter()
        .filter(|drift| drift["change"] == "added")
        .map(|drift| {
            (
                drift["key"].as_str().unwrap().to_owned(),
                drift["severity"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let wanted = [
        ("/etc/cron.d/evil", "medium"),
        ("/etc/systemd/system/evil.service", "medium"),
        ("/srv/setuid", "high"),
        ("/tmp/scratch-setuid", "high"),
        ("/usr/bin/backdoor", "medium"),
        ("/usr/bin/command", "medium"),
        ("/usr/lib/x86_64-linux-gnu/libevil.so.1", "medium"),
    ];
    let wanted = wanted
        .map(|(key, severity)| (key.to_owned(), severity.to_owned()))
        .into();
    assert_eq!(severities, wanted);
    fs::remove_dir_all(&root).unwrap();
}
