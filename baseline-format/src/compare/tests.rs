use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Entry, Value};

/// A reference in memory.
struct Stream(Vec<Vec<u8>>, usize);

impl Stream {
    fn new(entries: &[Entry]) -> Self {
        Self(entries.iter().map(Entry::to_line).collect(), 0)
    }
}

impl Reference for Stream {
    fn current(&self) -> Option<Line<'_>> {
        self.0.get(self.1).map(|bytes| Line::parse(bytes).unwrap())
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        self.1 += 1;
        Ok(())
    }
}

#[derive(Default)]
struct Told {
    changes: Vec<Change>,
    hidden: Vec<Hidden>,
    covered: Vec<String>,
    verified: usize,
}

impl Findings for Told {
    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn hidden(&mut self, hidden: Hidden) {
        self.hidden.push(hidden);
    }

    fn in_scope(&mut self, _: &Line<'_>) -> bool {
        true
    }

    fn covered(&mut self, mounted: &Line<'_>) {
        self.covered.push(mounted.key().into_owned());
    }

    fn met(&mut self, _: &Line<'_>, verified: bool) {
        self.verified += usize::from(verified);
    }
}

fn compare(expected: &[Entry], observed: &[Entry], attributes: Attributes) -> Told {
    let mut told = Told::default();
    let mut comparer = Comparer::new(Stream::new(expected), attributes, &["mtime"]);
    for entry in observed {
        let bytes = entry.to_line();
        comparer
            .observe(&Line::parse(&bytes).unwrap(), &mut told)
            .unwrap();
    }
    comparer.finish(&mut told).unwrap();
    told
}

fn file(key: &str, mode: &str) -> Entry {
    Entry::new("files", key).with("mode", mode).with("mtime", 7i64)
}

fn kinds(told: &Told) -> Vec<(&str, ChangeKind)> {
    told.changes
        .iter()
        .map(|change| (change.key.as_str(), change.kind))
        .collect()
}

#[test]
fn tells_each_kind() {
    let told = compare(
        &[file("/a", "0644"), file("/b", "0644"), file("/c", "0644")],
        &[
            file("/b", "0600"),
            file("/c", "0644").with("mtime", 8i64),
            file("/d", "0644"),
        ],
        Attributes::All,
    );
    assert_eq!(
        kinds(&told),
        [
            ("/a", ChangeKind::Removed),
            ("/b", ChangeKind::Modified),
            ("/d", ChangeKind::Added)
        ]
    );
    assert_eq!(
        told.changes[1].fields,
        [FieldChange {
            name: "mode".into(),
            expected: Some("0644".into()),
            actual: Some("0600".into())
        }]
    );
    assert_eq!(told.verified, 2);
}

#[test]
fn blind_directory_is_not_a_massacre() {
    let expected = [
        file("/d", "0755"),
        file("/d/a", "0644"),
        file("/d/b", "0644"),
        file("/e", "0644"),
    ];
    let observed = [
        file("/d", "0755").unseen(BELOW, "permission denied"),
        file("/e", "0644"),
    ];
    let told = compare(&expected, &observed, Attributes::All);
    assert_eq!(kinds(&told), []);
    assert_eq!(told.hidden.len(), 1);
    assert_eq!((told.hidden[0].entries, told.hidden[0].side), (2, Side::Observed));
    let told = compare(&observed, &expected, Attributes::All);
    assert_eq!(kinds(&told), []);
    assert_eq!(
        (told.hidden[0].entries, told.hidden[0].side),
        (2, Side::Reference)
    );
}

#[test]
fn an_unreadable_source_is_not_a_massacre() {
    let user = |name: &str| Entry::new("users", name).with("uid", 1i64);
    let expected = [user("a"), user("b")];
    let observed = [Entry::new("users", "/etc/passwd").unseen(ALL, "permission denied")];
    for (was, is, side) in [
        (&expected[..], &observed[..], Side::Observed),
        (&observed[..], &expected[..], Side::Reference),
    ] {
        let told = compare(was, is, Attributes::All);
        assert_eq!(kinds(&told), [("/etc/passwd", ChangeKind::Unseen)]);
        assert_eq!((told.hidden[0].entries, told.hidden[0].side), (2, side));
    }
    // One line that is not understood does not hide what was added elsewhere.
    let line = Entry::new("users", "/etc/passwd:3").unseen(ALL, "garbage");
    let told = compare(
        &[line.clone(), user("a")],
        &[line, user("a"), user("b")],
        Attributes::All,
    );
    assert_eq!(
        kinds(&told),
        [("/etc/passwd:3", ChangeKind::Unseen), ("b", ChangeKind::Added)]
    );
}

#[test]
fn a_mount_hides_the_directory_and_all_below() {
    let expected = [file("/p", "0555").with("type", "directory"), file("/p/x", "0644")];
    let observed = [Entry::new("files", "/p")
        .with("type", "directory")
        .with(MOUNT, "proc")];
    let told = compare(&expected, &observed, Attributes::All);
    assert_eq!(kinds(&told), []);
    assert_eq!((told.covered, told.verified), (vec!["/p".to_owned()], 0));
    assert_eq!(told.hidden[0].mount.as_deref(), Some("proc"));
    assert_eq!(told.hidden[0].entries, 1);
}

#[test]
fn a_file_under_a_mount_is_not_verified() {
    let mount = Entry::new("files", "/p").with(MOUNT, "on a file");
    for kind in ["file", "symlink", "unheard-of"] {
        let expected = [file("/p", "0755").with("type", kind)];
        let told = compare(&expected, std::slice::from_ref(&mount), Attributes::All);
        assert_eq!(kinds(&told), [("/p", ChangeKind::Unseen)], "{kind}");
        assert_eq!(told.verified, 0);
    }
    let told = compare(
        std::slice::from_ref(&mount),
        std::slice::from_ref(&mount),
        Attributes::All,
    );
    assert_eq!(kinds(&told), []);
}

#[test]
fn what_is_unseen_is_neither_same_nor_different() {
    let expected = [
        file("/a", "0644").with("digest", "sha256:1"),
        file("/b", "0644").with("digest", "sha256:2"),
    ];
    let observed = [
        file("/a", "0600").unseen("digest", "permission denied"),
        file("/b", "0644").unseen(ALL, "raced"),
    ];
    let told = compare(&expected, &observed, Attributes::All);
    assert_eq!(
        kinds(&told),
        [
            ("/a", ChangeKind::Unseen),
            ("/a", ChangeKind::Modified),
            ("/b", ChangeKind::Unseen)
        ]
    );
    assert_eq!(told.verified, 0);
    assert_eq!(told.changes[0].fields[0].name, "digest");
    assert_eq!(told.changes[0].fields[0].actual, None);
}

#[test]
fn extended_attributes_that_cannot_be_listed_are_not_gone() {
    let expected = [file("/a", "0644")
        .with("capabilities", "cap_kill=ep")
        .with("xattr:user.x", "sha256:0")];
    let observed = [file("/a", "0644").unseen("xattr", "permission denied")];
    let told = compare(&expected, &observed, Attributes::All);
    assert_eq!(kinds(&told), [("/a", ChangeKind::Unseen)]);
}

#[test]
fn undeclared_attributes_do_not_take_part() {
    let expected = [Entry::new("files", "/a").with("mode", "0644")];
    let observed = [file("/a", "0644").with("digest", "md5:1").unseen("size", "raced")];
    let told = compare(&expected, &observed, Attributes::Declared);
    assert_eq!(kinds(&told), []);
    assert_eq!(told.verified, 1);
}

#[test]
fn equal_drifts_have_equal_ids() {
    let id =
        |mode: &str| compare(&[file("/a", "0644")], &[file("/a", mode)], Attributes::All).changes[0].id();
    assert_eq!(id("0600"), id("0600"));
    assert_ne!(id("0600"), id("0601"));
}

/// Sorted entries with one attribute each; few keys, so that both sides share some.
fn snapshot() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::btree_map((0..2u8, "(/[ab.]{1,2}){1,2}"), 0..3i64, 0..12).prop_map(|entries| {
        let mut entries: Vec<Entry> = entries
            .into_iter()
            .map(|((section, key), value)| {
                Entry::new(["files", "users"][usize::from(section)], key).with("value", Value::Integer(value))
            })
            .collect();
        entries.sort_by(|a, b| {
            crate::order::compare((&a.section, a.key.as_str()), (&b.section, b.key.as_str()))
        });
        entries
    })
}

proptest! {
    #[test]
    fn merge_equals_maps(left in snapshot(), right in snapshot()) {
        let map = |side: &[Entry]| side.iter().map(|e| ((e.section.to_string(), e.key.clone()), e.clone())).collect::<BTreeMap<_, _>>();
        let (was, is) = (map(&left), map(&right));
        let mut wanted: Vec<(String, OsText, ChangeKind)> = Vec::new();
        for place in was.keys().chain(is.keys()).collect::<std::collections::BTreeSet<_>>() {
            let kind = match (was.get(place), is.get(place)) {
                (Some(a), Some(b)) if a == b => continue,
                (Some(_), Some(_)) => ChangeKind::Modified,
                (Some(_), None) => ChangeKind::Removed,
                _ => ChangeKind::Added,
            };
            wanted.push((place.0.clone(), place.1.clone(), kind));
        }
        let told = compare(&left, &right, Attributes::All);
        let mut found: Vec<_> = told.changes.iter().map(|c| (c.section.clone(), c.key.clone(), c.kind)).collect();
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(told.verified, was.keys().filter(|place| is.contains_key(place)).count());
    }
}
