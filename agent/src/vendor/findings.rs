//! What the comparison with the packages tells, and what of it is drift.

use std::collections::HashSet;

use baseline_format::compare::{Findings, Hidden};
use baseline_format::report::{Change, ChangeKind, FieldChange, Severity};
use baseline_format::{Line, OsText, Value, order::is_below};

use super::declared::{Declaration, Declared};
use crate::audit::Collected;
use crate::packages::{DeclaredKind, alternatives};
use crate::scan::FILES;
use crate::tree::Tree;

/// Directories whose executables come from packages.
const PROGRAMS: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/libexec", "/usr/sbin"];
/// Directories whose libraries come from packages.
const LIBRARIES: [&str; 7] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
];
/// Places from which code is started.
const STARTERS: [&str; 11] = [
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/init.d",
    "/etc/systemd/system",
    "/etc/systemd/user",
    "/lib/systemd",
    "/usr/lib/systemd",
    "/etc/profile.d",
];
/// Where administrators put software without a package manager.
const LOCAL: [&str; 2] = ["/opt", "/usr/local"];

/// Sorts what is told into the report.
pub(super) struct VendorFindings<'a> {
    declared: &'a Declared,
    collected: &'a mut Collected,
    /// Links that update-alternatives makes.
    alternatives: HashSet<Vec<u8>>,
    local: u64,
    excused: u64,
    /// Packaged files of which no digest is declared.
    undeclared: u64,
}

impl<'a> VendorFindings<'a> {
    pub(super) fn new(declared: &'a Declared, tree: &dyn Tree, collected: &'a mut Collected) -> Self {
        let found = alternatives::read(tree).found;
        let links = found.into_iter().flat_map(|alternative| {
            let slaves = alternative.slaves.into_iter().map(|slave| slave.link);
            std::iter::once(alternative.link).chain(slaves)
        });
        Self {
            declared,
            alternatives: links.collect(),
            collected,
            local: 0,
            excused: 0,
            undeclared: 0,
        }
    }

    pub(super) fn observed(&mut self, line: &Line<'_>) {
        self.collected.observed(line);
    }

    /// Says what was left out.
    pub(super) fn finish(self) {
        let why = "no package manager looks after it; record a baseline to watch it";
        self.collected
            .skipped(FILES, "unpackaged files in /opt and /usr/local", why, self.local);
        if self.excused > 0 {
            let why = "dpkg was told not to install them";
            self.collected
                .skipped(FILES, "path-exclude of dpkg", why, self.excused);
        }
        if self.undeclared > 0 {
            // They are counted as verified, by existence; no entry is to be counted twice.
            let why = format!(
                "of {} files: their packages declare no digest of them, so that they are there is all that was verified",
                self.undeclared
            );
            self.collected
                .skipped(FILES, "content of packaged files", &why, 0);
        }
    }

    fn push(&mut self, mut change: Change, severity: Severity, meaning: &str) {
        let owner = self.declared.owner(&change.key.to_bytes()).map(OsText::from);
        // What an added file has beyond this is noise: nothing was expected of it.
        if change.kind == ChangeKind::Added {
            change.fields.retain(|field| {
                matches!(
                    field.name.as_str(),
                    "capabilities" | "link" | "mode" | "type" | "user" | "group" | "size"
                )
            });
        }
        self.collected
            .push_owned(change, severity, Some(meaning.to_owned()), owner);
    }

    fn modified(&mut self, mut change: Change, known: &Declaration) {
        // Any digest that a package declares for the path will do.
        change
            .fields
            .retain(|field| match (&field.name[..], &field.actual) {
                ("digest", Some(Value::Text(actual))) => {
                    !known.others.iter().any(|other| other == actual.as_str())
                }
                _ => true,
            });
        if change.fields.is_empty() {
            return;
        }
        if known.file.config {
            return self.push(
                change,
                Severity::Low,
                "a configuration file is not as its package shipped it",
            );
        }
        let code = {
            let path = change.key.as_str();
            PROGRAMS
                .iter()
                .chain(&LIBRARIES)
                .chain(&STARTERS)
                .any(|place| is_below(path, place))
                || path.starts_with("/boot/")
        };
        let named = |name: &str| change.fields.iter().any(|field| field.name == name);
        if named("capabilities") || gained_setid(&change) {
            self.push(
                change,
                Severity::Critical,
                "has rights that its package does not give it",
            );
        } else if named("digest") {
            let severity = if code { Severity::High } else { Severity::Medium };
            self.push(change, severity, "content is not what its package shipped");
        } else {
            let severity = if code { Severity::High } else { Severity::Medium };
            self.push(change, severity, "attributes are not what its package shipped");
        }
    }

    fn removed(&mut self, change: Change, known: &Declaration) {
        let path = change.key.to_bytes();
        if self.declared.excludes.excuse(&path) {
            self.excused += 1;
            return;
        }
        let severity = if known.file.config {
            Severity::Low
        } else {
            Severity::Medium
        };
        let meaning = if known.file.config {
            "a configuration file of a package is missing"
        } else {
            "a package installed it, and it is missing"
        };
        self.push(change, severity, meaning);
    }

    /// What no package declares: told if it is code where packages put code, or has more than ordinary rights.
    fn added(&mut self, change: Change) {
        let path = change.key.to_bytes();
        if self.declared.owner(&path).is_some() || self.alternatives.contains(path.as_ref()) {
            return;
        }
        let text = change.key.as_str().to_owned();
        let within = |places: &[&str]| places.iter().any(|place| is_below(&text, place));
        let text_of = |name: &str| {
            change
                .fields
                .iter()
                .find(|field| field.name == name)
                .and_then(text_value)
        };
        let kind = text_of("type").unwrap_or_default();
        let mode = text_of("mode")
            .and_then(|mode| u32::from_str_radix(&mode, 8).ok())
            .unwrap_or(0);
        let is_file = kind == "file";
        let name = text.rsplit('/').next().unwrap_or_default();
        let is_library = format!("{name}.").contains(".so.");
        let meaning = if is_file && mode & 0o6000 != 0 {
            return self.push(
                change,
                Severity::High,
                "no package owns it, and it runs with more rights than its caller's",
            );
        } else if change.fields.iter().any(|field| field.name == "capabilities") {
            return self.push(
                change,
                Severity::High,
                "no package owns it, and it has file capabilities",
            );
        } else if kind.ends_with("-device") && !is_below(&text, "/dev") {
            return self.push(change, Severity::High, "a device node that no package owns");
        } else if text == "/etc/ld.so.preload" {
            let meaning = "a library is loaded into every program, and no package asks for it";
            return self.push(change, Severity::Critical, meaning);
        } else if within(&LOCAL) {
            self.local += 1;
            return;
        } else if is_file && within(&STARTERS) {
            "a unit, job or script that starts code, and no package owns it"
        } else if is_file && mode & 0o111 != 0 && (within(&PROGRAMS) || within(&LIBRARIES)) {
            "an executable in a system directory that no package owns"
        } else if is_file && is_library && within(&LIBRARIES) {
            "a library in a system directory that no package owns"
        } else if kind == "symlink" && within(&PROGRAMS) {
            if text_of("link").is_some_and(|target| target.starts_with("/etc/alternatives/")) {
                return;
            }
            "a command in a system directory that no package owns"
        } else {
            return;
        };
        self.push(change, Severity::Medium, meaning);
    }
}

impl Findings for VendorFindings<'_> {
    fn change(&mut self, change: Change) {
        let declared = self.declared;
        match (change.kind, declared.get(&change.key.to_bytes())) {
            (ChangeKind::Modified, Some(known)) => self.modified(change, known),
            (ChangeKind::Removed, Some(known)) => self.removed(change, known),
            (ChangeKind::Added, _) => self.added(change),
            // What no package declares and could not be seen is no gap in this audit, unless code may be there.
            (ChangeKind::Unseen, None) if !is_system(change.key.as_str()) => {}
            _ => self.collected.change(change),
        }
    }

    fn hidden(&mut self, hidden: Hidden) {
        if hidden.mount.is_some() || hidden.entries > 0 || is_system(hidden.key.as_str()) {
            self.collected.hidden(hidden);
        } else {
            let why = "could not be looked into; packages install nothing there";
            self.collected
                .skipped(FILES, &format!("below {}", hidden.key), why, 0);
        }
    }

    fn covered(&mut self, mounted: &Line<'_>) {
        self.collected.covered(mounted);
    }

    fn in_scope(&mut self, expected: &Line<'_>) -> bool {
        self.collected.in_scope(expected)
    }

    fn met(&mut self, observed: &Line<'_>, verified: bool) {
        let key = OsText::parse(&observed.key()).unwrap_or_default();
        let declared = self.declared;
        let Some(known) = declared.get(&key.to_bytes()) else {
            return;
        };
        self.collected
            .met_by(observed.section(), known.method(), verified);
        if declared.has_no_digest_of(observed) {
            self.undeclared += 1;
        }
        // rpm declares the capabilities of a file by naming them, and none by naming none; a link or a file of
        // which nothing but existence is declared has no such meaning.
        let none_declared = known.file.capabilities.is_none()
            && known.file.mode.is_some()
            && known.file.kind == Some(DeclaredKind::File);
        if none_declared && let Some(value) = observed.get("capabilities") {
            let field = FieldChange {
                name: "capabilities".into(),
                expected: None,
                actual: Some(value.decode()),
            };
            let change = Change {
                section: FILES.to_owned(),
                key,
                kind: ChangeKind::Modified,
                fields: vec![field],
            };
            self.modified(change, known);
        }
    }
}

/// Whether packages put code there.
fn is_system(path: &str) -> bool {
    let places = PROGRAMS.iter().chain(&LIBRARIES).chain(&STARTERS);
    places
        .into_iter()
        .any(|place| path == *place || is_below(path, place) || is_below(place, path))
}

/// Whether a file has a setid bit that was not declared.
fn gained_setid(change: &Change) -> bool {
    let bits = |value: &Option<Value>| match value {
        Some(Value::Text(mode)) => u32::from_str_radix(mode.as_str(), 8).unwrap_or(0),
        _ => 0,
    };
    let mode = change.fields.iter().find(|field| field.name == "mode");
    mode.is_some_and(|field| bits(&field.actual) & !bits(&field.expected) & 0o6000 != 0)
}

fn text_value(field: &FieldChange) -> Option<String> {
    match &field.actual {
        Some(Value::Text(text)) => Some(text.as_str().to_owned()),
        _ => None,
    }
}
