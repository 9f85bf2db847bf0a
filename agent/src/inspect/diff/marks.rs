//! What of a difference must not be overlooked: power that a file gained or lost, and what else the audit would call
//! bad at once.

use baseline_format::Value;
use baseline_format::report::{Change, ChangeKind, Severity};
use driftcheck_report::diff::Privilege;

use super::packages;
use crate::audit::judge;
use crate::inspect::scopes::setid;

/// What became of setuid, setgid and capabilities.
pub(super) fn privilege(change: &Change, is_directory: bool) -> Option<Privilege> {
    let field = |name: &str| change.fields.iter().find(|field| field.name == name);
    let bits = |value: Option<&Value>| match value {
        Some(Value::Text(mode)) => setid(mode.as_str()),
        _ => 0,
    };
    // On a directory the bits mean something else, on a link they mean nothing.
    let is_file = |value: Option<&Value>| match value {
        Some(kind) => *kind == Value::from("file"),
        None => change.kind == ChangeKind::Modified && !is_directory,
    };
    let kind = field("type");
    let (mut was, mut is) = field("mode").map_or((0, 0), |mode| {
        (bits(mode.expected.as_ref()), bits(mode.actual.as_ref()))
    });
    if !is_file(kind.and_then(|kind| kind.expected.as_ref())) {
        was = 0;
    }
    if !is_file(kind.and_then(|kind| kind.actual.as_ref())) {
        is = 0;
    }
    let (had, has) = field("capabilities").map_or((false, false), |field| {
        (field.expected.is_some(), field.actual.is_some())
    });
    // Other capabilities may be more.
    if is & !was != 0 || has {
        Some(Privilege::Gained)
    } else if was & !is != 0 || had {
        Some(Privilege::Lost)
    } else {
        None
    }
}

/// Why a change must not be overlooked in notes that nobody reads to the end.
pub(super) fn warning(change: &Change, is_directory: bool) -> Option<String> {
    if change.kind == ChangeKind::Unseen {
        return None;
    }
    if change.section == packages::SECTION {
        let is_key = change.key.as_str().starts_with("rpm/gpg-pubkey-");
        return (is_key && change.kind == ChangeKind::Added)
            .then(|| "rpm trusts another key: whoever has it can sign packages".to_owned());
    }
    let judged = if is_directory && change.fields.iter().any(|field| field.name == "mode") {
        judge(&without_setid(change))
    } else {
        judge(change)
    };
    match judged {
        (Severity::Critical, meaning) => {
            Some(meaning.unwrap_or_else(|| "it gives power over the host".to_owned()))
        }
        (Severity::High, Some(meaning)) => Some(meaning),
        _ => None,
    }
}

/// The change of a directory as if it had no setuid and setgid bits.
fn without_setid(change: &Change) -> Change {
    let mut change = change.clone();
    for field in change.fields.iter_mut().filter(|field| field.name == "mode") {
        for value in [&mut field.expected, &mut field.actual].into_iter().flatten() {
            if let Value::Text(mode) = value
                && let Ok(bits) = u32::from_str_radix(mode.as_str(), 8)
            {
                *value = Value::from(format!("{:04o}", bits & 0o1777));
            }
        }
    }
    change
}
