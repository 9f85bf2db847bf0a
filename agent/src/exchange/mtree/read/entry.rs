//! What one line of an mtree says, as an entry of a baseline.
//!
//! An entry's attributes are those that a walk over the same tree would give, so that the two can be compared. What
//! a walk never gives, such as the mode of a symbolic link or the size of a directory, is not taken over.

use baseline_format::{Entry, OsText, Value};

use super::keywords::{DIGESTS, Device, Keywords};
use crate::exchange::Losses;
use crate::scan::{FILES, describe_xattr};
use crate::sys::Kind;

/// The entry of `path`. Stated facts that it has no place for are counted.
pub(super) fn of(path: &[u8], said: &Keywords, losses: &mut Losses) -> Entry {
    let mut entry = Entry::new(FILES, OsText::new(path));
    let may_be = |kinds: &[Kind]| said.kind.is_none_or(|kind| kinds.contains(&kind));
    if let Some(kind) = said.kind {
        entry.set("type", kind.name());
    }
    if let Some(mode) = said.mode.filter(|_| said.kind != Some(Kind::Link)) {
        entry.set("mode", format!("{mode:04o}"));
    }
    owners(&mut entry, said, losses);
    if may_be(&[Kind::File]) {
        entry = entry.with_some("size", said.size);
        content(&mut entry, said);
    }
    if may_be(&[Kind::Link]) {
        entry = entry.with_some("link", said.link.as_deref().map(Value::bytes));
    }
    if may_be(&[Kind::BlockDevice, Kind::CharDevice]) {
        match said.device {
            Some(Device::Numbers(major, minor)) => entry.set("device", format!("{major}:{minor}")),
            Some(Device::Foreign) => losses.add("`device` in the form of another system"),
            None => {}
        }
    }
    match said.names {
        // bsdtar writes it where it does not know.
        Some(0) => losses.add("`nlink=0`, which says nothing"),
        Some(1) => losses.add("`nlink=1`, which a baseline says by having no `nlink`"),
        Some(names) if said.kind != Some(Kind::Directory) => entry.set("nlink", names),
        _ => {}
    }
    if let Some(time) = said.time {
        entry.set("mtime", time);
    }
    flags(&mut entry, said, losses);
    for (name, value) in &said.xattrs {
        let (name, value) = describe_xattr(name, value);
        entry.set(name, value);
    }
    if said.optional {
        losses.add("`optional`: an audit tells it as removed where it is missing");
    }
    if said.no_change {
        losses.add("`nochange`");
    }
    for keyword in &said.foreign {
        losses.add(format!("the keyword `{keyword}`"));
    }
    entry
}

fn owners(entry: &mut Entry, said: &Keywords, losses: &mut Losses) {
    let owners = [
        ("uid", said.uid, "user", &said.user),
        ("gid", said.gid, "group", &said.group),
    ];
    for (number_name, number, name_name, name) in owners {
        if let Some(number) = number {
            entry.set(number_name, number);
        }
        if let Some(name) = name {
            entry.set(name_name, Value::bytes(name));
            if number.is_none() {
                losses.add(format!(
                    "`{}` without `{number_name}`: an audit shows names of owners and compares numbers",
                    if number_name == "uid" { "uname" } else { "gname" }
                ));
            }
        }
    }
}

/// The preferred one of the digests.
fn content(entry: &mut Entry, said: &Keywords) {
    let mut digests = DIGESTS.iter().zip(&said.digests);
    let preferred = digests.find_map(|(digest, digits)| Some((digest.0, digits.as_deref()?)));
    if let Some((label, digits)) = preferred {
        entry.set("digest", format!("{label}:{digits}"));
    }
}

/// `append-only` and `immutable`, whoever may set them: Linux has one of each.
fn flags(entry: &mut Entry, said: &Keywords, losses: &mut Losses) {
    let Some(words) = &said.flags else { return };
    let (mut append, mut immutable) = (false, false);
    for word in words {
        match word.as_str() {
            "sappnd" | "sappend" | "uappnd" | "uappend" => append = true,
            "schg" | "schange" | "simmutable" | "uchg" | "uchange" | "uimmutable" => immutable = true,
            "none" => losses.add("`flags=none`, which a baseline says by having no `flags`"),
            other => losses.add(format!("the flag `{other}`")),
        }
    }
    let set = [("append-only", append), ("immutable", immutable)];
    let set: Vec<&str> = set
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name)
        .collect();
    if !set.is_empty() {
        entry.set("flags", Value::list(set));
    }
}
