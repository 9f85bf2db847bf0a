//! Local groups: section `groups`.

use std::collections::HashMap;

use baseline_format::{Entry, OsText, Value};

use super::users::in_passwd;
use super::{Facts, Probe};
use crate::accounts::group::{self, Group, GroupShadow};
use crate::accounts::{FILE_LIMIT, MalformedLines, UniqueKeys, read_or_report};
use crate::tree::{Tree, TreeError};

/// Reads `/etc/group` and `/etc/gshadow`.
#[derive(Debug)]
pub(super) struct Groups;

impl Probe for Groups {
    fn section(&self) -> &'static str {
        "groups"
    }

    fn sources(&self) -> &'static [&'static str] {
        &["/etc/group", "/etc/gshadow"]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let section = self.section();
        let mut shadows = Shadows::read(tree, section, out);
        let Some(bytes) = read_or_report(tree, section, b"/etc/group", FILE_LIMIT, out) else {
            return shadows.push_rest(section, out);
        };
        let mut keys = UniqueKeys::default();
        let mut malformed = MalformedLines::new(section, "");
        for line in group::parse(&bytes) {
            match line.record {
                Ok(group) => {
                    let entry = entry(section, &group, &mut keys);
                    out.push(shadows.complete(entry, &group));
                }
                Err(why) => malformed.push(line.line, &why, out),
            }
        }
        shadows.push_rest(section, out);
    }
}

/// What `/etc/gshadow` says, as far as no group has taken it.
#[derive(Default)]
struct Shadows {
    by_name: HashMap<Vec<u8>, GroupShadow>,
    /// Why the file could not be read: then every group's part of it is unseen, not gone.
    unseen: Option<String>,
    /// Second lines for one name; nobody reads them, but somebody wrote them.
    doubled: Vec<GroupShadow>,
}

impl Shadows {
    fn read(tree: &dyn Tree, section: &'static str, out: &mut Facts) -> Self {
        let mut found = Self::default();
        match tree.read(b"/etc/gshadow", FILE_LIMIT) {
            Err(TreeError::NotFound) => {}
            Err(why) => {
                out.push(Entry::new(section, "/etc/gshadow").unseen(baseline_format::ALL, &why.to_string()));
                found.unseen = Some(why.to_string());
            }
            Ok(bytes) => {
                let mut malformed = MalformedLines::new(section, "gshadow/");
                for line in group::parse_shadow(&bytes) {
                    match line.record {
                        Ok(shadow) if found.by_name.contains_key(&shadow.name) => found.doubled.push(shadow),
                        Ok(shadow) => drop(found.by_name.insert(shadow.name.clone(), shadow)),
                        Err(why) => malformed.push(line.line, &why, out),
                    }
                }
            }
        }
        found
    }

    /// Adds what is known of a group from its second file.
    fn complete(&mut self, entry: Entry, group: &Group) -> Entry {
        if let Some(why) = &self.unseen {
            return entry.unseen("admins", why).unseen("password", why);
        }
        let Some(shadow) = self.by_name.remove(&group.name) else {
            return entry;
        };
        let same = {
            let sorted = |names: &[Vec<u8>]| {
                let mut names = names.to_vec();
                names.sort_unstable();
                names.dedup();
                names
            };
            sorted(&group.members) == sorted(&shadow.members)
        };
        with_shadow(entry, &shadow).with_some("shadow-members", (!same).then(|| set(&shadow.members)))
    }

    /// Lines that no group goes with.
    fn push_rest(self, section: &'static str, out: &mut Facts) {
        let mut keys = UniqueKeys::default();
        for shadow in self.by_name.into_values().chain(self.doubled) {
            let key = OsText::new(&[b"gshadow/", keys.next(&shadow.name).to_bytes().as_ref()].concat());
            out.push(
                with_shadow(Entry::new(section, key), &shadow).with("shadow-members", set(&shadow.members)),
            );
        }
    }
}

fn entry(section: &'static str, group: &Group, keys: &mut UniqueKeys) -> Entry {
    Entry::new(section, keys.next(&group.name))
        .with_some("gid", group.gid)
        .with("members", set(&group.members))
        .with_some("in-group", group.password.map(|password| in_passwd(&password)))
        .with_some("legacy", group.legacy.then_some(true))
}

fn with_shadow(entry: Entry, shadow: &GroupShadow) -> Entry {
    entry
        .with("admins", set(&shadow.admins))
        .with("password", shadow.password.state())
        .with_some("scheme", shadow.password.hash().map(|hash| hash.scheme))
}

fn set(names: &[Vec<u8>]) -> Value {
    Value::set(names.iter().map(|name| OsText::new(name)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, lines};
    use super::*;

    #[test]
    fn golden() {
        testing::golden(&Groups);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Groups, "/etc/group");
        testing::absent_and_unreadable(&Groups, "/etc/gshadow");
    }

    #[test]
    fn an_unreadable_second_file_is_not_a_lost_admin() {
        let found = testing::lines_with_failure(&Groups, &[("/etc/group", "a:x:1:\n")], "/etc/gshadow");
        assert_eq!(
            found,
            [
                "[\"groups\",\"/etc/gshadow\",{\"unseen\":[\"all: permission denied\"]}]",
                "[\"groups\",\"a\",{\"gid\":1,\"members\":[],\"unseen\":[\"admins: permission denied\",\"password: permission denied\"]}]",
            ]
        );
    }

    #[test]
    fn no_hash_comes_out() {
        let group = "a:$6$SaltCanary$HashCanary:1:\nb:x:$6$SaltCanary$HashCanary:\n";
        let shadow =
            "a:$6$SaltCanary$HashCanary::\nb:!$6$SaltCanary$HashCanary:root:\nc::$6$SaltCanary$HashCanary:\n";
        testing::no_canary(&Groups, &[("/etc/group", group), ("/etc/gshadow", shadow)], 4);
    }

    #[test]
    fn lines_without_a_group_are_facts() {
        let found = lines(
            &Groups,
            &[
                ("/etc/group", "a:x:1:\n"),
                ("/etc/gshadow", "b:!::\na:!::\na:!:eve:\n"),
            ],
        );
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
