//! What driftcheck reads of this machine's packages against what dpkg, apt and the others say of them.
//!
//! A test whose tool is missing says so and passes, unless `DRIFTCHECK_REQUIRE_ORACLES=1`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, outside of a test function"
)]

mod dir_tree;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use dir_tree::DirTree;
use driftcheck_agent::packages::{Ecosystem, Installed, Wanted, alternatives, dpkg, version};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[test]
fn packages_equal_dpkg_query() {
    let Some((ours, theirs)) = both(Wanted::Packages, || {
        output(
            "dpkg-query",
            &[
                "-W",
                "-f=${Package}\\t${Version}\\t${Architecture}\\t${Status}\\n",
            ],
        )
    }) else {
        return;
    };
    let ours: BTreeSet<String> = ours
        .packages
        .iter()
        .map(|package| {
            let [name, version, architecture] =
                [&package.name, &package.version, &package.architecture].map(|field| text(field));
            let want = if package.held { "hold" } else { "install" };
            let status = match package.status.as_deref().map(text) {
                None => format!("{want} ok installed"),
                Some(words) if words.contains(' ') => words,
                Some(word) if word == "config-files" => format!("deinstall ok {word}"),
                Some(word) => format!("{want} ok {word}"),
            };
            format!("{name}\t{version}\t{architecture}\t{status}")
        })
        .collect();
    assert!(ours.len() > 10);
    assert_eq!(ours, lines(&theirs));
}

#[test]
fn conffiles_equal_dpkg_query() {
    let Some((_, theirs)) = both(Wanted::Packages, || {
        let status = fs::read("/var/lib/dpkg/status").ok()?;
        let shown = output(
            "dpkg-query",
            &["-W", "-f=${Package}:${Architecture}\\n${Conffiles}\\n"],
        )?;
        Some((status, shown))
    }) else {
        return;
    };
    let (status, shown) = theirs;
    let ours: BTreeSet<String> = dpkg::parse_status(&status)
        .records
        .iter()
        .flat_map(|record| {
            assert!(record.conffile_faults.is_empty());
            let key = format!(
                "{}:{}",
                text(&record.package.name),
                text(&record.package.architecture)
            );
            record.conffiles.iter().map(move |conffile| {
                let digest = conffile
                    .digest
                    .as_deref()
                    .map_or("newconffile", |digest| &digest[4..]);
                let obsolete = if conffile.obsolete { " obsolete" } else { "" };
                let remove = if conffile.remove_on_upgrade {
                    " remove-on-upgrade"
                } else {
                    ""
                };
                format!("{key} {} {digest}{obsolete}{remove}", text(&conffile.path))
            })
        })
        .collect();
    let mut theirs = BTreeSet::new();
    let mut key = "";
    for line in shown.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix(' ') {
            Some(conffile) => drop(theirs.insert(format!("{key} {conffile}"))),
            None => key = line,
        }
    }
    assert!(ours.len() > 10);
    assert_eq!(ours, theirs);
}

#[test]
fn file_lists_equal_dpkg_query() {
    let Some((ours, theirs)) = both(Wanted::PackagesAndFiles, || {
        let names = output(
            "dpkg-query",
            &["-W", "-f=${binary:Package} ${db:Status-Status}\\n"],
        )?;
        let installed: Vec<&str> = names
            .lines()
            .filter_map(|line| line.strip_suffix(" installed"))
            .collect();
        let step = (installed.len() / 60).max(1);
        installed
            .into_iter()
            .step_by(step)
            .map(|name| Some((name.to_owned(), output("dpkg-query", &["-L", name])?)))
            .collect::<Option<Vec<_>>>()
    }) else {
        return;
    };
    assert!(theirs.len() >= 50);
    let mut by_package: BTreeMap<usize, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for file in &ours.files {
        let (all, conffiles) = by_package.entry(file.package).or_default();
        all.insert(text(&file.path));
        if file.config {
            conffiles.insert(text(&file.path));
        }
    }
    for (name, shown) in theirs {
        let (bare, architecture) = name.split_once(':').map_or((&*name, None), |(n, a)| (n, Some(a)));
        let index = ours.packages.iter().position(|package| {
            package.name == bare.as_bytes()
                && architecture.is_none_or(|architecture| package.architecture == architecture.as_bytes())
        });
        let (all, conffiles) = by_package.remove(&index.unwrap()).unwrap_or_default();
        // Lines that do not begin with a slash tell of diversions.
        let theirs: BTreeSet<String> = shown
            .lines()
            .filter(|line| line.starts_with('/'))
            .map(|line| if line == "/." { "/".into() } else { line.into() })
            .collect();
        assert_eq!(
            theirs.difference(&all).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{name}"
        );
        // dpkg-query does not list obsolete configuration files.
        let more: Vec<_> = all
            .difference(&theirs)
            .filter(|path| !conffiles.contains(*path))
            .collect();
        assert_eq!(more, Vec::<&String>::new(), "{name}");
    }
}

#[test]
fn digests_equal_those_of_unchanged_files() {
    let Some((ours, _)) = both(Wanted::PackagesAndFiles, || output("dpkg-query", &["-W", "dpkg"])) else {
        return;
    };
    let dpkg = ours
        .packages
        .iter()
        .position(|package| package.name == b"dpkg")
        .unwrap();
    let declared: Vec<_> = ours
        .files
        .iter()
        .filter(|file| file.package == dpkg && !file.config && file.digest.is_some())
        .collect();
    assert!(declared.len() > 50);
    let mut same = 0;
    for file in &declared {
        let Some(shown) = output("md5sum", &[&text(&file.path)]) else {
            continue;
        };
        same += usize::from(file.digest.as_deref() == Some(&format!("md5:{}", &shown[..32])));
    }
    // Documentation may have been left out of an image; what is there is what the package brought.
    assert!(same > 20, "{same} of {}", declared.len());
}

#[test]
fn diversions_equal_dpkg_divert() {
    let Some((ours, theirs)) = both(Wanted::Packages, || output("dpkg-divert", &["--list"])) else {
        return;
    };
    let ours: BTreeSet<String> = ours
        .diversions
        .iter()
        .map(|diversion| {
            let (from, to) = (text(&diversion.from), text(&diversion.to));
            match diversion.by.as_deref().map(text) {
                Some(by) => format!("diversion of {from} to {to} by {by}"),
                None => format!("local diversion of {from} to {to}"),
            }
        })
        .collect();
    assert_eq!(ours, lines(&theirs));
}

#[test]
fn overrides_equal_dpkg_statoverride() {
    let Some((ours, theirs)) = both(Wanted::Packages, || {
        // It ends with 1 when there is nothing to list.
        let there = fs::metadata("/var/lib/dpkg/statoverride").is_ok_and(|found| found.len() > 0);
        if there {
            output("dpkg-statoverride", &["--list"])
        } else {
            Some(String::new())
        }
    }) else {
        return;
    };
    let ours: BTreeSet<String> = ours
        .overrides
        .iter()
        .map(|stated| {
            let [user, group, path] = [&stated.user, &stated.group, &stated.path].map(|field| text(field));
            format!("{user} {group} {:o} {path}", stated.mode)
        })
        .collect();
    assert_eq!(ours, lines(&theirs));
}

#[test]
fn automatic_and_held_equal_apt_mark() {
    let Some((ours, theirs)) = both(Wanted::Packages, || {
        let native = output("dpkg", &["--print-architecture"])?;
        let shown = |verb| output("apt-mark", &[verb]);
        Some((
            native,
            [shown("showauto")?, shown("showmanual")?, shown("showhold")?],
        ))
    }) else {
        return;
    };
    let (native, [auto, manual, hold]) = theirs;
    let (mut our_auto, mut our_manual, mut our_hold) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for package in &ours.packages {
        let architecture = text(&package.architecture);
        let own = architecture == "all" || architecture == native.trim();
        let name = text(&package.name);
        let name = if own {
            name
        } else {
            format!("{name}:{architecture}")
        };
        match package.automatic {
            Some(true) => drop(our_auto.insert(name.clone())),
            Some(false) => drop(our_manual.insert(name.clone())),
            None => {}
        }
        if package.held {
            our_hold.insert(name);
        }
    }
    if our_auto.is_empty() && our_manual.is_empty() {
        // apt has not noted anything here yet, and takes all to be manual.
        assert_eq!(lines(&auto), BTreeSet::new());
    } else {
        assert_eq!(our_auto, lines(&auto));
        assert_eq!(our_manual, lines(&manual));
    }
    assert_eq!(our_hold, lines(&hold));
}

#[test]
fn alternatives_equal_update_alternatives() {
    let tree = DirTree("/".into());
    let mut checked = 0;
    for alternative in alternatives::read(&tree).found {
        let Some(shown) = output("update-alternatives", &["--query", &text(&alternative.name)]) else {
            return missing("update-alternatives");
        };
        let field = |name: &str| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].to_owned()
        };
        assert_eq!(text(&alternative.link), field("Link: "));
        assert_eq!(alternative.mode.name(), field("Status: "));
        assert_eq!(
            alternative.target.as_deref().map_or("none".into(), text),
            field("Value: ")
        );
        checked += 1;
    }
    println!("{checked} alternatives");
}

#[test]
fn version_order_equals_dpkg() {
    if output("dpkg", &["--version"]).is_none() {
        return missing("dpkg");
    }
    for (a, b) in pairs(
        "([0-2]:)?[0-2]{1,2}([.+~][0-2ab+~.]{0,3}){0,2}(-[0-2ab+~.]{1,3})?",
        250,
    ) {
        let holds = |relation| {
            let status = Command::new("dpkg")
                .args(["--compare-versions", &a, relation, &b])
                .status();
            status.unwrap().success()
        };
        let theirs = match (holds("lt"), holds("eq")) {
            (true, _) => Ordering::Less,
            (false, true) => Ordering::Equal,
            (false, false) => Ordering::Greater,
        };
        assert_eq!(
            version::compare(Ecosystem::Deb, a.as_bytes(), b.as_bytes()),
            theirs,
            "{a} and {b}"
        );
    }
}

#[test]
fn version_order_equals_vercmp() {
    let mut pairs = pairs(
        "([0-2]:)?[0-2ab]{1,2}([._+~]{1,2}[0-2]{0,2}(rc|a|)){0,2}(-[0-2]{1,2})?",
        2000,
    );
    pairs
        .extend([("1.0", "1.0.".into()), ("1.0.", "1.0".into())].map(|(a, b): (&str, String)| (a.into(), b)));
    let Some(theirs) = vercmp(&pairs) else {
        return missing("vercmp");
    };
    assert_eq!(theirs.len(), pairs.len());
    for ((a, b), theirs) in pairs.iter().zip(theirs) {
        assert_eq!(
            version::compare(Ecosystem::Pacman, a.as_bytes(), b.as_bytes()),
            theirs,
            "{a} and {b}"
        );
    }
}

/// pacman's own answers: from `vercmp`, or from the library behind it where only that is packaged.
fn vercmp(pairs: &[(String, String)]) -> Option<Vec<Ordering>> {
    const ASK_LIBRARY: &str = "import ctypes, sys\n\
        alpm = ctypes.CDLL(sys.argv[1])\n\
        for line in sys.stdin.buffer:\n    \
            print(alpm.alpm_pkg_vercmp(*line.rstrip(b'\\n').split(b'\\t')))\n";
    let order = |answer: &str| Some(answer.trim().parse::<i32>().ok()?.cmp(&0));
    if let Some((a, b)) = pairs.first()
        && output("vercmp", &[a, b]).is_some()
    {
        return pairs
            .iter()
            .map(|(a, b)| order(&output("vercmp", &[a, b])?))
            .collect();
    }
    let input = pairs
        .iter()
        .fold(String::new(), |input, (a, b)| input + a + "\t" + b + "\n");
    ["libalpm.so.15", "libalpm.so.14", "libalpm.so.13"]
        .iter()
        .find_map(|library| {
            let mut python = Command::new("python3")
                .args(["-c", ASK_LIBRARY, library])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let mut stdin = python.stdin.take()?;
            let asked = input.clone();
            // A library that is not there ends Python before it has read all.
            let feeder = thread::spawn(move || stdin.write_all(asked.as_bytes()).is_ok());
            let done = python.wait_with_output().ok()?;
            let fed = feeder.join().ok()?;
            if !fed || !done.status.success() {
                return None;
            }
            String::from_utf8(done.stdout).ok()?.lines().map(order).collect()
        })
}

fn pairs(pattern: &str, count: usize) -> Vec<(String, String)> {
    let strategy = (
        proptest::string::string_regex(pattern).unwrap(),
        proptest::string::string_regex(pattern).unwrap(),
    );
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// What we read and what a tool says, of the same state: packages may be installed while the test runs.
fn both<T>(wanted: Wanted, theirs: impl Fn() -> Option<T>) -> Option<(Installed, T)> {
    let state = || {
        let read = |path: &str| fs::read(path).unwrap_or_default();
        let updates = fs::read_dir("/var/lib/dpkg/updates").map_or(0, Iterator::count);
        (
            read("/var/lib/dpkg/status"),
            read("/var/lib/apt/extended_states"),
            read("/var/lib/dpkg/diversions"),
            read("/var/lib/dpkg/statoverride"),
            updates,
        )
    };
    for _ in 0..60 {
        let before = state();
        let Some(ours) = dpkg::read(&DirTree("/".into()), wanted).unwrap() else {
            missing("dpkg's database");
            return None;
        };
        let Some(theirs) = theirs() else {
            missing("a tool of dpkg or apt");
            return None;
        };
        if state() == before {
            assert_eq!(ours.trouble, []);
            return Some((ours, theirs));
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("packages change too often to be compared");
}

fn missing(what: &str) {
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|set| set != "1"),
        "{what} is missing, and oracles are required"
    );
    println!("skipped: {what} is missing");
}

/// What a tool prints; `None` if it is not there or fails.
fn output(tool: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(tool)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .ok()?;
    done.status
        .success()
        .then(|| String::from_utf8(done.stdout).unwrap())
}

fn lines(shown: &str) -> BTreeSet<String> {
    shown.lines().map(Into::into).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
