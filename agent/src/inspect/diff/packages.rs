//! What happened to a package: in which direction its version went, or that another build has the same version.

use std::cmp::Ordering;
use std::collections::HashMap;

use baseline_format::report::{Change, ChangeKind, FieldChange};
use baseline_format::{Line, OsText, Value};
use driftcheck_report::diff::Step;

use crate::packages::{Ecosystem, order};

/// The section.
pub(super) const SECTION: &str = "packages";

/// Attributes that come with the package, unlike those that the administrator sets.
const BUILT: [&str; 4] = ["architecture", "signature", "source", "vendor"];

/// What a change of the `packages` section is; `None` if it is not about a package.
pub(super) fn step(change: &Change) -> Option<Step> {
    let key = change.key.as_str();
    if change.section != SECTION || !is_package(key) {
        return None;
    }
    match change.kind {
        ChangeKind::Added => return Some(Step::Added),
        ChangeKind::Removed => return Some(Step::Removed),
        ChangeKind::Unseen => return None,
        ChangeKind::Modified => {}
    }
    let field = |name: &str| change.fields.iter().find(|field| field.name == name);
    let Some(version) = field("version") else {
        let is_built = BUILT.iter().any(|name| field(name).is_some());
        return Some(if is_built { Step::Rebuilt } else { Step::Changed });
    };
    let newest = |value: &Option<Value>| newest(key, value.as_ref()?);
    let (Some(was), Some(is)) = (newest(&version.expected), newest(&version.actual)) else {
        return Some(Step::Changed);
    };
    Some(match order(key, &was, &is) {
        Some(Ordering::Less) => Step::Upgraded,
        Some(Ordering::Greater) => Step::Downgraded,
        _ => Step::Changed,
    })
}

/// The newest of the versions of one key.
fn newest(key: &str, versions: &Value) -> Option<Vec<u8>> {
    let versions = match versions {
        Value::Text(version) => std::slice::from_ref(version),
        Value::List(versions) => versions,
        _ => return None,
    };
    let bytes = versions.iter().map(|version| version.to_bytes().into_owned());
    bytes.reduce(|newest, version| match order(key, &newest, &version) {
        Some(Ordering::Less) => version,
        _ => newest,
    })
}

fn is_package(key: &str) -> bool {
    let Some((ecosystem, name)) = key.split_once('/') else {
        return false;
    };
    Ecosystem::ALL.iter().any(|known| known.name() == ecosystem) && !name.starts_with("gpg-pubkey-")
}

/// Packages whose entries are the same but whose content is not: the package manager keeps a file of digests for
/// each of them, and that file differs. dpkg's and pacman's are files of their own; apk and rpm keep all in one.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    /// By the package's key without its architecture: the differing file's digests.
    files: HashMap<String, FieldChange>,
    /// The package that both states have and that is in `files`.
    pending: Option<Change>,
}

/// Packages remembered; a system has some thousands. Beyond that they are not told as rebuilt, only as files.
const REMEMBERED: usize = 50_000;

impl Rebuilt {
    /// Remembers a changed file of digests.
    pub(super) fn see_file(&mut self, change: &Change) {
        if change.kind != ChangeKind::Modified || self.files.len() >= REMEMBERED {
            return;
        }
        let Some(package) = package_of(change.key.as_str()) else {
            return;
        };
        if let Some(digest) = change.fields.iter().find(|field| field.name == "digest") {
            let content = FieldChange {
                name: CONTENT.to_owned(),
                ..digest.clone()
            };
            self.files.insert(package, content);
        }
    }

    /// Looks at a package that both states have.
    pub(super) fn see_package(&mut self, line: &Line<'_>) {
        if self.files.is_empty() {
            return;
        }
        let key = line.key();
        let bare = match key.split_once('/') {
            Some(("deb", name)) => name.rsplit_once(':').map_or(key.as_ref(), |_| {
                key.rsplit_once(':').map_or(key.as_ref(), |(bare, _)| bare)
            }),
            _ => key.as_ref(),
        };
        let content = self.files.get(key.as_ref()).or_else(|| self.files.get(bare));
        self.pending = content.map(|content| Change {
            section: SECTION.to_owned(),
            key: OsText::parse(&key).unwrap_or_default(),
            kind: ChangeKind::Modified,
            fields: vec![content.clone()],
        });
    }

    /// The package that was looked at last, unless `change` is about it.
    pub(super) fn take(&mut self, change: Option<&Change>) -> Option<Change> {
        let pending = self.pending.take()?;
        let told = change.is_some_and(|change| change.section == SECTION && change.key == pending.key);
        (!told).then_some(pending)
    }
}

/// The attribute under which the digest of a package's own list of digests is told.
const CONTENT: &str = "content";

/// The package whose digests are kept in the file `path`.
fn package_of(path: &str) -> Option<String> {
    if let Some(file) = path.strip_prefix("/var/lib/dpkg/info/") {
        return Some(format!("deb/{}", file.strip_suffix(".md5sums")?));
    }
    let directory = path
        .strip_prefix("/var/lib/pacman/local/")?
        .strip_suffix("/mtree")?;
    // NAME-VERSION-RELEASE
    let mut parts = directory.rsplitn(3, '-').skip(2);
    Some(format!("pacman/{}", parts.next()?))
}
