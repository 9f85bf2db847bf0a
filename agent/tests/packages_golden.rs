//! The `packages` section and the declared files of small roots, line by line. Each folder of
//! `golden/packages` is a case: `root`, and the lines expected of it. With `UPDATE_GOLDEN=1` the lines are
//! written instead; look at the difference before it is committed.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

mod dir_tree;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use dir_tree::DirTree;
use driftcheck_agent::packages::{DeclaredFile, Installed, Reader, Wanted, apk, dpkg, pacman};
use driftcheck_agent::probes::{Facts, PROBES};

#[test]
fn sections_of_small_roots() {
    let probe = PROBES.iter().find(|probe| probe.section() == "packages").unwrap();
    for case in cases() {
        let mut facts = Facts::default();
        probe.read(&DirTree(case.join("root")), &mut facts);
        let lines = facts.into_sorted().iter().fold(Vec::new(), |mut lines, entry| {
            entry.encode(&mut lines);
            lines.push(b'\n');
            lines
        });
        golden(&case.join("section.jsonl"), &String::from_utf8(lines).unwrap());
    }
}

#[test]
fn declared_files_of_small_roots() {
    let readers: [Reader; 3] = [apk::read, dpkg::read, pacman::read];
    for case in cases() {
        let mut text = String::new();
        for reader in readers {
            let found = reader(&DirTree(case.join("root")), Wanted::PackagesAndFiles).unwrap();
            if let Some(installed) = &found {
                describe(installed, &mut text);
            }
        }
        golden(&case.join("files.txt"), &text);
    }
}

fn describe(installed: &Installed, text: &mut String) {
    for DeclaredFile {
        path,
        package,
        kind,
        mode,
        user,
        group,
        size,
        link,
        digest,
        config,
        ghost,
        ..
    } in &installed.files
    {
        let word = |bytes: &Option<Vec<u8>>| {
            bytes
                .as_deref()
                .map_or("-".into(), String::from_utf8_lossy)
                .into_owned()
        };
        let package = &installed.packages[*package];
        let kind = kind.map_or("-".into(), |kind| format!("{kind:?}").to_lowercase());
        let mode = mode.map_or("-".into(), |mode| format!("{mode:04o}"));
        let size = size.map_or("-".into(), |size| size.to_string());
        let [name, path] = [&package.name, path].map(|bytes| String::from_utf8_lossy(bytes));
        let [user, group, link] = [user, group, link].map(word);
        let digest = digest.as_deref().unwrap_or("-");
        let flags = match (config, ghost) {
            (false, false) => "",
            (true, false) => " config",
            (false, true) => " ghost",
            (true, true) => " config ghost",
        };
        writeln!(
            text,
            "{name} {kind} {mode} {user}:{group} {size} {link} {digest}{flags} {path}"
        )
        .unwrap();
    }
    for (key, why) in &installed.trouble {
        writeln!(text, "trouble {}: {why}", String::from_utf8_lossy(key)).unwrap();
    }
}

fn cases() -> Vec<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/packages");
    let cases: Vec<PathBuf> = fs::read_dir(cases)
        .unwrap()
        .map(|case| case.unwrap().path())
        .collect();
    assert!(cases.len() >= 5, "only {} cases", cases.len());
    cases
}

fn golden(path: &Path, text: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some_and(|set| set == "1") {
        fs::write(path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(path).unwrap(), "{}", path.display());
}
