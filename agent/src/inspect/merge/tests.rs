use std::cell::Cell;
use std::collections::BTreeMap;

use baseline_format::header::{ExclusionReach, Header, Scope, Stated};
use baseline_format::{Entry, Reference as _, order};
use driftcheck_report::TextStyle;
use proptest::prelude::*;

use super::*;
use crate::inspect::overlay::{self, overlay};
use crate::inspect::testing::{
    ANY_SECTIONS, any_entries, directory, exclusion, file, header, lines, package, sorted, write,
};
use crate::inspect::{ABSENT, OVERLAY, show};

fn input<'a>(place: &str, bytes: &'a [u8]) -> Input<'a> {
    Input {
        place: place.into(),
        open: Box::new(move || Ok(Box::new(bytes))),
    }
}

fn of(baselines: &[&[u8]]) -> Result<(Vec<u8>, Merged), Failure> {
    let inputs: Vec<Input<'_>> = baselines
        .iter()
        .enumerate()
        .map(|(at, bytes)| input(&format!("{at}.dcb"), bytes))
        .collect();
    merge(&inputs, &Settings::default(), Vec::new())
}

fn refused(baselines: &[&[u8]]) -> String {
    of(baselines).unwrap_err().to_string()
}

fn provenance(bytes: &[u8]) -> Vec<String> {
    let mut reader = BaselineReader::open(bytes).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.current() {
        if line.section() == PROVENANCE {
            lines.push(line.as_str().to_owned());
        }
        reader.advance().unwrap();
    }
    lines
}

fn kind(mut header: Header, kind: &str) -> Header {
    header.image.source_kind = kind.to_owned();
    header
}

fn absent(section: &'static str, key: &str) -> Entry {
    Entry::new(section, key).with(ABSENT, true)
}

fn keys(bytes: &[u8]) -> Vec<String> {
    let key = |line: &String| Line::parse(line.as_bytes()).unwrap().key().into_owned();
    lines(bytes).iter().map(key).collect()
}

#[test]
fn later_ones_win_and_say_so() {
    let base = write(
        &header("web", "1", &["files", "packages", "users"]),
        &[
            file("/etc/a", "0644", "1"),
            file("/etc/b", "0644", "1"),
            file("/etc/c", "0644", "1"),
            package("deb/a:all", "1"),
            Entry::new("users", "root").with("uid", 0_i64),
        ],
    );
    let cloud = write(
        &kind(header("cloud", "2", &["files", "users"]), OVERLAY),
        &[
            file("/etc/a", "0600", "2"),
            absent("files", "/etc/b"),
            file("/etc/c", "0644", "1"),
            absent("files", "/etc/nothing"),
            file("/etc/new", "0644", "3"),
            Entry::new("users", "cloud").with("uid", 1000_i64),
        ],
    );
    let role = write(
        &header("role", "3", &["files", "sshd"]),
        &[
            file("/etc/a", "0644", "1"),
            file("/etc/b", "0644", "4"),
            Entry::new("sshd", "port").with("value", "22"),
        ],
    );
    let (bytes, merged) = of(&[&base, &cloud, &role]).unwrap();
    assert_eq!(
        keys(&bytes),
        [
            "/etc/a",
            "/etc/b",
            "/etc/c",
            "/etc/new",
            "deb/a:all",
            "port",
            "cloud",
            "root"
        ]
    );
    assert_eq!(
        (merged.added, merged.replaced, merged.removed, merged.idle),
        (3, 2, 0, 1)
    );
    let told = provenance(&bytes);
    assert_eq!(told.len(), 8);
    assert!(
        told[0].starts_with("[\"provenance\",\"#input/01\",{\"digest\":\"sha256:"),
        "{}",
        told[0]
    );
    assert!(told[1].contains("\"label\":\"cloud 2\"") && told[1].contains("\"source-kind\":\"overlay\""));
    assert_eq!(
        told[3..],
        [
            r#"["provenance","files//etc/a",{"did":"replaced","from":"role 3"}]"#,
            r#"["provenance","files//etc/b",{"did":"replaced","from":"role 3"}]"#,
            r#"["provenance","files//etc/new",{"did":"added","from":"cloud 2"}]"#,
            r#"["provenance","sshd/port",{"did":"added","from":"role 3"}]"#,
            r#"["provenance","users/cloud",{"did":"added","from":"cloud 2"}]"#,
        ]
    );
    let reader = BaselineReader::open(&bytes[..]).unwrap();
    let header = reader.header().clone();
    assert_eq!(
        (header.image.name.as_deref(), header.image.version.as_deref()),
        (Some("role"), Some("3"))
    );
    assert_eq!(
        (header.image.source_kind.as_str(), header.image.digest),
        ("merged", None)
    );
    let names: Vec<&str> = header
        .sections
        .iter()
        .map(|section| section.name.as_str())
        .collect();
    assert_eq!(names, ["files", "packages", "provenance", "sshd", "users"]);
    // Without the last one, what the overlay removes is gone, and that is told.
    let (bytes, merged) = of(&[&base, &cloud]).unwrap();
    assert_eq!((merged.removed, merged.idle), (1, 1));
    assert!(
        provenance(&bytes)
            .contains(&r#"["provenance","files//etc/b",{"did":"removed","from":"cloud 2"}]"#.to_owned())
    );
    // The same inputs, the same bytes.
    assert_eq!(of(&[&base, &cloud]).unwrap().0, bytes);
}

#[test]
fn a_merge_and_an_overlay_say_what_they_are() {
    let summary = |bytes: &[u8]| {
        let inventory = show::inventory(BaselineReader::open(bytes).unwrap(), None, Vec::new()).unwrap();
        let mut out = Vec::new();
        show::summary(&inventory, &TextStyle::default(), &mut out).unwrap();
        (inventory, String::from_utf8(out).unwrap())
    };
    let base = write(&header("web", "1", &["files"]), &[file("/a", "0644", "1")]);
    let over = write(
        &kind(header("cloud", "2", &["files"]), OVERLAY),
        &[absent("files", "/a")],
    );
    let (inventory, text) = summary(&over);
    assert_eq!(inventory.absent, 1);
    assert!(
        text.starts_with("overlay of cloud 2\n") && text.contains("removes"),
        "{text}"
    );
    let (bytes, _) = of(&[&base, &over]).unwrap();
    let (inventory, text) = summary(&bytes);
    let inputs: Vec<(&str, &str)> = inventory
        .inputs
        .iter()
        .map(|input| (input.label.as_str(), input.digest.as_str()))
        .collect();
    let digest = |bytes: &[u8]| BaselineReader::open(bytes).unwrap().verify().unwrap().digest;
    assert_eq!(inputs, [("web 1", &*digest(&base)), ("cloud 2", &*digest(&over))]);
    assert!(text.starts_with("merged baseline of cloud 2\n"), "{text}");
    assert!(
        text.contains("\n  merged from \"web 1\"\n") && text.contains(&digest(&over)),
        "{text}"
    );
}

#[test]
fn what_is_no_directory_any_more_has_nothing_below_it() {
    let base = write(
        &header("web", "1", &["files"]),
        &[
            directory("/a"),
            directory("/a/b"),
            file("/a/b/c", "0644", "1"),
            file("/a-b", "0644", "1"),
            directory("/d"),
            file("/d/e", "0644", "1"),
        ],
    );
    let over = write(
        &kind(header("cloud", "1", &["files"]), OVERLAY),
        &[absent("files", "/a"), file("/d", "0644", "9")],
    );
    let (bytes, merged) = of(&[&base, &over]).unwrap();
    assert_eq!(keys(&bytes), ["/a-b", "/d"]);
    assert_eq!((merged.removed, merged.replaced), (4, 1));
    // What comes with the same overlay or a later one is there.
    let again = write(
        &header("role", "1", &["files"]),
        &[
            directory("/a"),
            file("/a/new", "0644", "1"),
            directory("/d"),
            file("/d/new", "0644", "2"),
        ],
    );
    let (bytes, _) = of(&[&base, &over, &again]).unwrap();
    assert_eq!(keys(&bytes), ["/a", "/a/new", "/a-b", "/d", "/d/new"]);
    // Elsewhere a key is only a name, even if it looks as if it were below another one.
    let rules = |keys: &[&str]| -> Vec<Entry> {
        keys.iter()
            .map(|key| Entry::new("sudoers", *key).with("command", "x"))
            .collect()
    };
    let base = write(
        &header("web", "1", &["sudoers"]),
        &rules(&["rule/a ALL: /bin/x", "rule/a ALL: /bin/x/y"]),
    );
    let over = write(
        &kind(header("cloud", "1", &["sudoers"]), OVERLAY),
        &[absent("sudoers", "rule/a ALL: /bin/x")],
    );
    assert_eq!(keys(&of(&[&base, &over]).unwrap().0), ["rule/a ALL: /bin/x/y"]);
}

#[test]
fn what_only_one_looked_at_is_covered_and_what_none_looked_at_is_not() {
    let scoped = |name: &str, include: &[&str], exclude: &[(&str, ExclusionReach)]| {
        let mut header = header(name, "1", &["files"]);
        header.scope = Scope {
            include: include.iter().map(|glob| (*glob).to_owned()).collect(),
            exclude: exclude
                .iter()
                .map(|(glob, what)| exclusion(glob, *what))
                .collect(),
            ..Scope::default()
        };
        header
    };
    let scope = |bytes: &[u8]| BaselineReader::open(bytes).unwrap().header().scope.clone();
    let all = write(
        &scoped("web", &[], &[("/srv/**", ExclusionReach::All)]),
        &[file("/etc/a", "0644", "1")],
    );
    let etc = write(
        &scoped("cloud", &["/etc/**"], &[]),
        &[file("/etc/b", "0644", "1")],
    );
    let opt = write(&scoped("role", &["/opt/**"], &[]), &[file("/opt/a", "0644", "1")]);
    // The base covers everything but /srv, so the merge does.
    let (bytes, merged) = of(&[&all, &etc]).unwrap();
    assert_eq!((scope(&bytes).include, scope(&bytes).exclude.len()), (vec![], 1));
    assert_eq!(
        merged.remarks,
        [
            "the merged baseline leaves out /srv/**, because web 1 does",
            "an input was narrowed by --include; the merged baseline is not: it covers what the others do",
        ]
    );
    // Two narrow ones cover what one of them does.
    let (bytes, merged) = of(&[&etc, &opt]).unwrap();
    assert_eq!(scope(&bytes).include, ["/etc/**", "/opt/**"]);
    assert_eq!(merged.remarks, ["the merged baseline covers /etc/**, /opt/**"]);
    // An entry where the merge looks away would never be compared.
    let srv = write(&scoped("role", &["/srv/**"], &[]), &[file("/srv/a", "0644", "1")]);
    assert_eq!(
        refused(&[&all, &srv]),
        "1.dcb has `/srv/a`, where 0.dcb looks away (/srv/**): nobody would ever compare it; record both with the same \
         --include and --exclude"
    );
    // But a setuid file is looked at where only the ordinary is left out.
    let scratch = write(&scoped("web", &[], &[("/tmp/**", ExclusionReach::Ordinary)]), &[]);
    let tmp = |mode| write(&scoped("role", &[], &[]), &[file("/tmp/a", mode, "1")]);
    assert!(of(&[&scratch, &tmp("4755")]).is_ok());
    assert!(refused(&[&scratch, &tmp("0755")]).contains("ordinary content of /tmp/**"));
    let found = write(
        &scoped("web", &[], &[("/lost+found", ExclusionReach::Empty)]),
        &[],
    );
    let full = write(&scoped("role", &[], &[]), &[directory("/lost+found")]);
    assert!(refused(&[&found, &full]).contains("/lost+found when it is empty"));
    // By a rule of its own, an entry is there all the same.
    let own = write(
        &scoped("role", &[], &[("/lost+found", ExclusionReach::Empty)]),
        &[directory("/lost+found")],
    );
    assert!(of(&[&found, &own]).is_ok());
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let plain = header("web", "1", &["files"]);
    let base = write(&plain, &[]);
    assert_eq!(refused(&[]), "0 baselines cannot be merged: give from 1 to 64");
    let over = write(
        &kind(header("cloud", "1", &["files"]), OVERLAY),
        &[absent("files", "/a")],
    );
    assert!(refused(&[&over, &base]).starts_with("0.dcb: it is an overlay"));
    let mut newer = plain.clone();
    newer.sections[0].revision = 2;
    assert_eq!(
        refused(&[&base, &write(&newer, &[])]),
        "section `files` is of revision 1 in 0.dcb and of revision 2 in 1.dcb: record the older one again"
    );
    assert_eq!(
        refused(&[&base, &write(&plain, &[absent("files", "/a")])]),
        "1.dcb: it removes `/a`, but it is no overlay: its header does not say so"
    );
    let mut some = plain.clone();
    some.scope.attributes = Stated::Declared;
    let listed = write(&some, &[]);
    assert!(
        refused(&[&listed, &base]).starts_with("0.dcb states only some attributes and 1.dcb all of them")
    );
    assert!(
        refused(&[&base, &listed]).starts_with("1.dcb states only some attributes and 0.dcb all of them")
    );
    let (bytes, _) = of(&[&listed, &listed]).unwrap();
    assert_eq!(
        BaselineReader::open(&bytes[..])
            .unwrap()
            .header()
            .scope
            .attributes,
        Stated::Declared
    );
    let text = serde_json::to_string(&plain).unwrap();
    for (line, member) in [
        (text.replacen("\"image\":", "\"later\":1,\"image\":", 1), "later"),
        (
            text.replacen("\"scope\":{", "\"scope\":{\"later\":1,", 1),
            "scope.later",
        ),
    ] {
        let (bytes, _) = BaselineWriter::with_header_line(&plain, &line, Vec::new())
            .unwrap()
            .finish()
            .unwrap();
        assert!(refused(&[&base, &bytes]).contains(&format!("has a member `{member}`")));
    }
    let cut = &base[..base.len() - 3];
    assert!(refused(&[&base, cut]).starts_with("1.dcb: "));
}

#[test]
fn an_input_that_changes_meanwhile_is_refused() {
    let base = write(&header("web", "1", &["files"]), &[file("/a", "0644", "1")]);
    let other = write(&header("web", "1", &["files"]), &[file("/a", "0644", "2")]);
    for changes_at in [1, 2] {
        let opened = Cell::new(0);
        let inputs = [Input {
            place: "a.dcb".into(),
            open: Box::new(|| {
                let at = opened.replace(opened.get() + 1);
                Ok(Box::new(if at == changes_at { &other[..] } else { &base[..] }))
            }),
        }];
        let failure = merge(&inputs, &Settings::default(), Vec::new()).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "a.dcb: it changed while it was merged: try again"
        );
    }
}

#[test]
fn labels_tell_inputs_apart() {
    let mut nameless = header("x", "1", &["files"]);
    (nameless.image.name, nameless.image.version) = (None, None);
    let (named, nameless) = (write(&header("web", "1", &["files"]), &[]), write(&nameless, &[]));
    let (bytes, merged) = of(&[&named, &named, &nameless]).unwrap();
    let labels: Vec<&str> = merged.labels.iter().map(OsText::as_str).collect();
    assert_eq!(labels, ["web 1", "web 1 (2)", "input 3"]);
    // What was merged can be merged again; what it says of its own inputs stays there.
    let (again, _) = of(&[&bytes, &named]).unwrap();
    assert_eq!(provenance(&again).len(), 2);
    let settings = Settings {
        name: Some("all".to_owned()),
        ..Settings::default()
    };
    let (bytes, _) = merge(&[input("a", &named)], &settings, Vec::new()).unwrap();
    let image = BaselineReader::open(&bytes[..]).unwrap().header().image.clone();
    assert_eq!(
        (image.name.as_deref(), image.version.as_deref()),
        (Some("all"), Some("1"))
    );
}

#[test]
fn an_overlay_is_only_made_of_what_can_be_compared() {
    let make = |base: &[u8], target: &[u8]| {
        overlay(
            ("base".into(), BaselineReader::open(base).unwrap()),
            ("target".into(), BaselineReader::open(target).unwrap()),
            &Settings::default(),
            Vec::new(),
        )
        .map(|(bytes, written)| (keys(&bytes), written.removed, written.unknown))
    };
    let plain = header("web", "1", &["files"]);
    let mut narrow = plain.clone();
    narrow.scope.include = vec!["/etc/**".to_owned()];
    let base = write(
        &plain,
        &[
            directory("/d"),
            file("/d/a", "0644", "1"),
            file("/e", "0644", "1"),
        ],
    );
    let failure = make(&base, &write(&narrow, &[])).unwrap_err();
    assert!(failure.to_string().contains("--include"));
    let failure = make(&base, &write(&header("web", "1", &["files", "users"]), &[])).unwrap_err();
    assert!(matches!(failure, overlay::Failure::Sections));
    let over = write(&kind(plain.clone(), OVERLAY), &[]);
    assert!(matches!(
        make(&base, &over).unwrap_err(),
        overlay::Failure::Overlay
    ));
    // What the target could not see is not absent.
    let blind = write(&plain, &[directory("/d").unseen("below", "permission denied")]);
    assert_eq!(
        make(&base, &blind).unwrap(),
        (vec!["/d".to_owned(), "/e".to_owned()], 1, 1)
    );
}

/// What a merge must give, naively.
fn by_maps(inputs: &[Vec<Entry>]) -> Vec<String> {
    let mut merged: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    for (at, entries) in inputs.iter().enumerate() {
        for bytes in sorted(entries) {
            let line = Line::parse(&bytes).unwrap();
            let (section, key) = (line.section().to_owned(), line.key().into_owned());
            if at > 0
                && section == "files"
                && line
                    .get("type")
                    .is_some_and(|kind| kind.as_json() != "\"directory\"")
            {
                let lower: Vec<_> = merged
                    .keys()
                    .filter(|(other, below)| *other == section && order::is_below(below, &key))
                    .cloned()
                    .collect();
                // What this input has below it by itself comes again.
                for place in lower {
                    merged.remove(&place);
                }
            }
            merged.insert((section, key), bytes.clone());
        }
    }
    let mut lines: Vec<Vec<u8>> = merged.into_values().collect();
    lines.sort_by(|left, right| {
        let (left, right) = (Line::parse(left).unwrap(), Line::parse(right).unwrap());
        order::compare((left.section(), &left.key()), (right.section(), &right.key()))
    });
    lines
        .into_iter()
        .map(|line| String::from_utf8(line).unwrap())
        .collect()
}

proptest! {
    #[test]
    fn one_input_is_itself(entries in any_entries()) {
        let base = write(&header("web", "1", &ANY_SECTIONS), &entries);
        let (bytes, merged) = of(&[&base]).unwrap();
        prop_assert_eq!(lines(&bytes), lines(&base));
        prop_assert_eq!((merged.added, merged.replaced, merged.removed), (0, 0, 0));
        prop_assert_eq!(provenance(&bytes).len(), 1);
    }

    #[test]
    fn merging_equals_maps(inputs in prop::collection::vec(any_entries(), 1..4)) {
        let written: Vec<Vec<u8>> =
            inputs.iter().map(|entries| write(&header("web", "1", &ANY_SECTIONS), entries)).collect();
        let slices: Vec<&[u8]> = written.iter().map(Vec::as_slice).collect();
        let (bytes, _) = of(&slices).unwrap();
        prop_assert_eq!(lines(&bytes), by_maps(&inputs));
    }

    #[test]
    fn an_overlay_makes_the_target_of_its_base(base in any_entries(), target in any_entries()) {
        // What the target could not see below a place, nobody can say is absent.
        let seen: Vec<Entry> = target.into_iter().filter(|entry| {
            let bytes = entry.to_line();
            Line::parse(&bytes).unwrap().hides_below().is_none()
        }).collect();
        let (base, target) = (
            write(&header("web", "1", &ANY_SECTIONS), &base),
            write(&header("web", "2", &ANY_SECTIONS), &seen),
        );
        let open = |bytes| BaselineReader::open(bytes).unwrap();
        let (over, written) = overlay(
            ("base".into(), open(&base[..])), ("target".into(), open(&target[..])), &Settings::default(), Vec::new(),
        ).unwrap();
        prop_assert_eq!(written.unknown, 0);
        let (bytes, _) = of(&[&base, &over]).unwrap();
        prop_assert_eq!(lines(&bytes), lines(&target));
        // Equal baselines need nothing.
        let (nothing, _) = overlay(
            ("base".into(), open(&base[..])), ("base".into(), open(&base[..])), &Settings::default(), Vec::new(),
        ).unwrap();
        prop_assert_eq!(lines(&nothing).len(), 0);
    }
}
