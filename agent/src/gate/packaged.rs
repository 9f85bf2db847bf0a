//! What packages say of the image's files: which they installed, and what is not as they shipped it.

use std::collections::HashSet;

use baseline_format::compare::{Attributes, Comparer, Findings, Hidden};
use baseline_format::report::{Change, ChangeKind};
use baseline_format::{Line, OsText, ReadError, Value};

use super::results::Results;
use super::rule::{Config, Difference};
use crate::packages::alternatives;
use crate::scan::FILES;
use crate::tree::Tree;
use crate::vendor::declared::{Declaration, Declared, DeclaredStream};

/// Who answers for which path.
pub(super) struct Owners<'a> {
    declared: &'a Declared,
    /// Links that update-alternatives makes.
    alternatives: HashSet<Vec<u8>>,
}

/// Who answers for a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// A package installed it.
    Declared(&'a Declaration),
    /// A package made it when it was configured.
    Registered,
    /// Nobody.
    Nobody,
}

impl<'a> Owners<'a> {
    pub(super) fn new(declared: &'a Declared, tree: &dyn Tree) -> Self {
        let found = alternatives::read(tree).found;
        let links = found.into_iter().flat_map(|alternative| {
            let slaves = alternative.slaves.into_iter().map(|slave| slave.link);
            std::iter::once(alternative.link).chain(slaves)
        });
        Self {
            declared,
            alternatives: links.collect(),
        }
    }

    /// Who answers for a path.
    pub(super) fn of(&self, path: &[u8]) -> Owner<'a> {
        if let Some(known) = self.declared.get(path) {
            return Owner::Declared(known);
        }
        if self.declared.owner(path).is_some() || self.alternatives.contains(path) {
            return Owner::Registered;
        }
        Owner::Nobody
    }
}

/// The merge of the image's files with what packages declare.
pub(super) struct Comparison<'a> {
    declared: &'a Declared,
    comparer: Comparer<DeclaredStream<'a>>,
    changes: Changes,
}

/// A packaged path that is not as its package shipped it.
#[derive(Debug)]
pub(super) struct Altered {
    pub(super) change: Change,
    pub(super) difference: Difference,
    pub(super) config: Config,
    pub(super) what: String,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(declared: &'a Declared) -> Self {
        Self {
            declared,
            comparer: Comparer::new(DeclaredStream::new(declared), Attributes::Declared, &[]),
            changes: Changes::default(),
        }
    }

    /// Takes the next entry; gives what is altered or missing up to it.
    pub(super) fn observe(&mut self, line: &Line<'_>) -> Result<Vec<Altered>, ReadError> {
        self.comparer.observe(line, &mut self.changes)?;
        let changes = std::mem::take(&mut self.changes.0);
        Ok(changes
            .into_iter()
            .flat_map(|change| judged(self.declared, &change))
            .collect())
    }

    /// A packaged file of which nobody can tell whether its content is what the package shipped was not looked at.
    pub(super) fn tell_undeclared(&self, line: &Line<'_>, results: &mut Results<'_>) {
        if self.declared.has_no_digest_of(line) {
            let key = OsText::parse(&line.key()).unwrap_or_default();
            let path = key.to_bytes();
            let package = self.declared.owner(&path).unwrap_or_default();
            let why =
                format!("digest: {package} declares none: whether it is what was shipped cannot be told");
            results.unseen(FILES, &key, &OsText::from(&why[..]));
        }
    }

    /// What is missing after the last entry.
    pub(super) fn finish(mut self) -> Result<Vec<Altered>, ReadError> {
        self.comparer.finish(&mut self.changes)?;
        let changes = self.changes.0.iter();
        Ok(changes.flat_map(|change| judged(self.declared, change)).collect())
    }
}

/// What a change of a packaged path amounts to: of content, of attributes, or both.
fn judged(declared: &Declared, change: &Change) -> Vec<Altered> {
    let path = change.key.to_bytes().into_owned();
    let Some(known) = declared.get(&path) else {
        return Vec::new();
    };
    // Only an administrator's override names it: no package brought it.
    let Some(package) = declared.owner(&path) else {
        return Vec::new();
    };
    let config = if known.file.config {
        Config::Only
    } else {
        Config::Without
    };
    let altered = |difference, what| Altered {
        change: change.clone(),
        difference,
        config,
        what,
    };
    if change.kind == ChangeKind::Removed {
        if declared.excludes.excuse(&path) {
            return Vec::new();
        }
        return vec![altered(
            Difference::Missing,
            format!("is missing, {package} installed it"),
        )];
    }
    let mut all = Vec::new();
    // Any digest that a package declares for the path will do.
    let is_other = |actual: &Option<Value>| match actual {
        Some(Value::Text(actual)) => known.others.iter().any(|other| other == actual.as_str()),
        _ => false,
    };
    let content = change.fields.iter().any(|field| match &field.name[..] {
        "digest" => !is_other(&field.actual),
        "size" => known.others.is_empty(),
        _ => false,
    });
    if content {
        all.push(altered(
            Difference::Content,
            format!("content is not what {package} shipped"),
        ));
    }
    let value = |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), ToString::to_string);
    let attributes: Vec<String> = change
        .fields
        .iter()
        .filter(|field| !matches!(&field.name[..], "digest" | "size" | "unseen"))
        .map(|field| {
            format!(
                "{} is {}, not {}",
                field.name,
                value(&field.actual),
                value(&field.expected)
            )
        })
        .collect();
    if !attributes.is_empty() {
        let what = format!("{} as {package} shipped it", attributes.join(", "));
        all.push(altered(Difference::Attributes, what));
    }
    all
}

/// Keeps what the comparer tells until it is asked for. What no package declares is looked at elsewhere, and what could
/// not be seen is told by the entries themselves.
#[derive(Debug, Default)]
struct Changes(Vec<Change>);

impl Findings for Changes {
    fn change(&mut self, change: Change) {
        if matches!(change.kind, ChangeKind::Modified | ChangeKind::Removed) {
            self.0.push(change);
        }
    }

    fn hidden(&mut self, _: Hidden) {}

    fn in_scope(&mut self, _: &Line<'_>) -> bool {
        true
    }

    fn covered(&mut self, _: &Line<'_>) {}

    fn met(&mut self, _: &Line<'_>, _: bool) {}
}
