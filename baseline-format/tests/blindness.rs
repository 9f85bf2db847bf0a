//! A note of blindness concerns exactly what it names.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use baseline_format::compare::{Attributes, Comparer, Findings, Hidden};
use baseline_format::report::{Change, ChangeKind};
use baseline_format::{Entry, Line, OsText, ReadError, Reference, Value};

/// One entry as a reference.
struct One(Option<Vec<u8>>);

impl Reference for One {
    fn current(&self) -> Option<Line<'_>> {
        self.0.as_ref().map(|bytes| Line::parse(bytes).unwrap())
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        self.0 = None;
        Ok(())
    }
}

#[derive(Default)]
struct Told(Vec<Change>);

impl Findings for Told {
    fn change(&mut self, change: Change) {
        self.0.push(change);
    }
    fn hidden(&mut self, _: Hidden) {}
    fn covered(&mut self, _: &Line<'_>) {}

    fn in_scope(&mut self, _: &Line<'_>) -> bool {
        true
    }
    fn met(&mut self, _: &Line<'_>, _: bool) {}
}

/// Kinds of change and names of fields, of `expected` against `observed`.
fn compare(expected: Option<&Entry>, observed: &Entry) -> Vec<(ChangeKind, Vec<String>)> {
    let mut comparer = Comparer::new(One(expected.map(Entry::to_line)), Attributes::All, &[]);
    let mut told = Told::default();
    let line = observed.to_line();
    comparer.observe(&Line::parse(&line).unwrap(), &mut told).unwrap();
    comparer.finish(&mut told).unwrap();
    let names = |change: &Change| change.fields.iter().map(|field| field.name.clone()).collect();
    told.0.iter().map(|change| (change.kind, names(change))).collect()
}

#[test]
fn names_that_begin_like_the_words_for_all_and_below() {
    let fields = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let blind = |what: &str| Entry::new("sshd", "x").unseen(what, "permission denied");
    assert_eq!(
        compare(None, &blind("all")),
        [(ChangeKind::Unseen, fields(&["unseen"]))]
    );
    // Only the attribute is blind: the entry itself is seen, and it is new.
    assert_eq!(
        compare(None, &blind("allow-users")),
        [(ChangeKind::Added, fields(&["unseen"]))]
    );
    // An attribute whose name begins with `below` is a part of the entry.
    let expected = Entry::new("sshd", "x").with("below-limit", true);
    assert_eq!(
        compare(Some(&expected), &blind("below-limit")),
        [(ChangeKind::Unseen, fields(&["below-limit", "unseen"]))]
    );
}

#[test]
fn an_escaped_attribute_name_is_not_escaped_again() {
    let name = format!("xattr:{}", OsText::new(b"user.\xff"));
    let expected = Entry::new("files", "/x").with(name.clone(), "sha256:00");
    let observed = Entry::new("files", "/x").unseen(&name, "caf\\ denied");
    let Some(Value::List(notes)) = observed.get("unseen") else {
        panic!("no note");
    };
    assert_eq!(notes[0].as_str(), "xattr:user.\\xff: caf\\x5c denied");
    assert_eq!(
        compare(Some(&expected), &observed),
        [(ChangeKind::Unseen, vec![name, "unseen".into()])]
    );
}
