//! The names in access control lists are those of the image's own accounts.

use std::collections::HashMap;

use baseline_format::OsText;

use super::acl::Who;
use crate::accounts::{group, passwd};
use crate::source::file_system::Fault;

/// Numeric ids by name, or why they are not known.
pub(super) struct Accounts {
    users: Result<HashMap<Vec<u8>, u32>, Fault>,
    groups: Result<HashMap<Vec<u8>, u32>, Fault>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            users: Ok(HashMap::new()),
            groups: Ok(HashMap::new()),
        }
    }
}

impl Accounts {
    /// Reads them with `file`, which gives a file's content.
    pub(super) fn read(file: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>) -> Self {
        let users = file(PASSWD).map(|content| {
            let lines = passwd::parse(&content).filter_map(|line| line.record.ok());
            first_of_each(
                lines
                    .filter(|user| !user.legacy)
                    .map(|user| (user.name, user.uid)),
            )
        });
        let groups = file(GROUP).map(|content| {
            let lines = group::parse(&content).filter_map(|line| line.record.ok());
            first_of_each(
                lines
                    .filter(|group| !group.legacy)
                    .map(|group| (group.name, group.gid)),
            )
        });
        Self { users, groups }
    }

    /// The numeric id of a name.
    pub(super) fn id(&self, who: Who, name: &[u8]) -> Result<u32, Fault> {
        let (known, what, file) = match who {
            Who::Group => (&self.groups, "group", GROUP),
            Who::User => (&self.users, "user", PASSWD),
        };
        let (name_shown, file) = (OsText::new(name), OsText::new(file));
        let fault = |why: &str| {
            Fault::new(format!(
                "access control list: no number for the {what} `{name_shown}`: /{file} of the image: {why}"
            ))
        };
        let known = known.as_ref().map_err(|why| fault(&why.0))?;
        known
            .get(name)
            .copied()
            .ok_or_else(|| fault("it does not name it"))
    }
}

/// Where a name comes twice, glibc takes the first.
fn first_of_each(pairs: impl Iterator<Item = (Vec<u8>, Option<u32>)>) -> HashMap<Vec<u8>, u32> {
    let mut ids = HashMap::new();
    for (name, id) in pairs {
        if let Some(id) = id {
            ids.entry(name).or_insert(id);
        }
    }
    ids
}

pub(super) const PASSWD: &[u8] = b"etc/passwd";
pub(super) const GROUP: &[u8] = b"etc/group";
