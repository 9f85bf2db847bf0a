//! Counting what a baseline holds, entry by entry.

use std::collections::{BTreeMap, HashMap, HashSet};

use baseline_format::header::{End, Header};
use baseline_format::report::Unseen;
use baseline_format::{Line, MOUNT, OsText, Value};
use driftcheck_report::inventory::{INVENTORY_SCHEMA, Input, Inventory, Login, SectionCount};

use crate::inspect::scopes::setid;
use crate::inspect::{ABSENT, INPUTS, PROVENANCE};
use crate::packages::Ecosystem;
use crate::scan::FILES;

/// Bytes of account names that are held; a system has some hundred accounts.
const NAMES: usize = 16 << 20;
/// Shells that let nobody in.
const NO_SHELLS: [&str; 2] = ["false", "nologin"];
/// Sections that together say who can log in.
const LOGIN: [&str; 3] = ["authorized-keys", "shadow", "users"];

/// What has been counted so far.
pub(super) struct Collector {
    inventory: Inventory,
    accounts: Accounts,
}

impl Collector {
    pub(super) fn new(header: &Header) -> Self {
        let mut accounts = Accounts::default();
        for name in LOGIN {
            if !header.sections.iter().any(|section| section.name == name) {
                accounts
                    .unknown
                    .push(format!("the section `{name}` was not recorded"));
            }
        }
        Self {
            inventory: Inventory::default(),
            accounts,
        }
    }

    pub(super) fn take(&mut self, line: &Line<'_>) {
        self.notes(line);
        match line.section() {
            FILES => self.file(line),
            "packages" => self.package(line),
            PROVENANCE => self.provenance(line),
            section if LOGIN.contains(&section) => self.accounts.take(line),
            _ => {}
        }
    }

    pub(super) fn finish(self, header: &Header, end: &End) -> Inventory {
        let mut inventory = self.inventory;
        self.accounts.finish(&mut inventory);
        let revision = |name: &str| header.sections.iter().find(|section| section.name == name);
        let sections = end.sections.iter().map(|sum| SectionCount {
            name: sum.name.clone(),
            revision: revision(&sum.name).map_or(0, |section| section.revision),
            entries: sum.entries,
            digest: sum.digest.clone(),
        });
        Inventory {
            schema: INVENTORY_SCHEMA.to_owned(),
            format: header.format,
            image: header.image.clone(),
            digest: end.digest.clone(),
            entries: end.entries,
            sections: sections.collect(),
            scope: header.scope.clone(),
            ..inventory
        }
    }

    /// Mounts, blind spots and removals, which every section may have.
    fn notes(&mut self, line: &Line<'_>) {
        let inventory = &mut self.inventory;
        let key = || OsText::parse(&line.key()).unwrap_or_default();
        for why in line.unseen() {
            inventory.unseen_total += 1;
            if inventory.unseen.len() < Inventory::LISTED {
                inventory
                    .unseen
                    .push((line.section().to_owned(), Unseen { key: key(), why }));
            }
        }
        if line.as_str().contains("\"mount\":")
            && let Some(kind) = line.get(MOUNT)
        {
            inventory.mounts_total += 1;
            if inventory.mounts.len() < Inventory::LISTED {
                inventory.mounts.push(format!("{} ({})", key(), kind.decode()));
            }
        }
        if line.as_str().contains("\"absent\":true") && is_true(line, ABSENT) {
            inventory.absent += 1;
        }
    }

    fn file(&mut self, line: &Line<'_>) {
        let is_file = || line.get("type").is_some_and(|kind| kind.as_json() == "\"file\"");
        let bits = line.get("mode").map_or(0, |mode| setid(mode.as_json()));
        if bits != 0 && is_file() {
            self.inventory.setuid += u64::from(bits & 0o4000 != 0);
            self.inventory.setgid += u64::from(bits & 0o2000 != 0);
        }
        if line.as_str().contains("\"capabilities\":") && line.get("capabilities").is_some() {
            self.inventory.capabilities += 1;
        }
    }

    fn package(&mut self, line: &Line<'_>) {
        let key = line.key();
        let Some((manager, name)) = key.split_once('/') else {
            return;
        };
        // What dpkg has removed but for its configuration is not installed.
        let is_left_over = || {
            line.get("status")
                .is_some_and(|status| status.as_json() == "\"config-files\"")
        };
        if Ecosystem::ALL.iter().any(|known| known.name() == manager)
            && !name.starts_with("gpg-pubkey-")
            && !is_true(line, ABSENT)
            && !is_left_over()
        {
            match self.inventory.packages.get_mut(manager) {
                Some(many) => *many += 1,
                None => drop(self.inventory.packages.insert(manager.to_owned(), 1)),
            }
        }
    }

    fn provenance(&mut self, line: &Line<'_>) {
        let text = |name: &str| match line.get(name).map(|value| value.decode()) {
            Some(Value::Text(text)) => text,
            _ => OsText::default(),
        };
        if line.key().starts_with(INPUTS) && self.inventory.inputs.len() < Inventory::LISTED {
            self.inventory.inputs.push(Input {
                label: text("label"),
                digest: text("digest"),
            });
        }
    }
}

fn is_true(line: &Line<'_>, name: &str) -> bool {
    line.get(name).is_some_and(|value| value.as_json() == "true")
}

/// Who can log in. The sections come sorted by name: keys, then passwords, then users.
#[derive(Debug, Default)]
struct Accounts {
    keys: HashMap<String, u64>,
    passwords: HashSet<String>,
    open: HashSet<String>,
    logins: BTreeMap<String, Login>,
    held: usize,
    unknown: Vec<String>,
}

impl Accounts {
    fn take(&mut self, line: &Line<'_>) {
        let section = line.section();
        if is_true(line, ABSENT) {
            return;
        }
        if !line.unseen().is_empty() {
            self.doubt(format!("part of `{section}` was not seen"));
        }
        let key = line.key();
        let text = |name: &str| match line.get(name).map(|value| value.decode()) {
            Some(Value::Text(text)) => text.as_str().to_owned(),
            _ => String::new(),
        };
        match section {
            "authorized-keys" => {
                if let Some((user, _)) = key.rsplit_once(" SHA256:")
                    && text("used") != "no"
                    && self.hold(user)
                {
                    *self.keys.entry(user.to_owned()).or_default() += 1;
                }
            }
            "shadow" => match text("password").as_str() {
                "set" if self.hold(&key) => drop(self.passwords.insert(key.into_owned())),
                "empty" if self.hold(&key) => drop(self.open.insert(key.into_owned())),
                _ => {}
            },
            _ => {
                let shell = text("shell");
                let refused = NO_SHELLS.contains(&shell.rsplit('/').next().unwrap_or_default());
                if !refused && !is_true(line, "legacy") && line.get("shell").is_some() {
                    let root = line.get("uid").is_some_and(|uid| uid.as_json() == "0");
                    self.user(&key, root, &text("in-passwd"));
                }
            }
        }
    }

    fn user(&mut self, name: &str, root: bool, in_passwd: &str) {
        let mut by = Vec::new();
        if self.open.contains(name) || in_passwd == "empty" {
            by.push("no password".to_owned());
        }
        if self.passwords.contains(name) || in_passwd == "hash" {
            by.push("password".to_owned());
        }
        match self.keys.get(name) {
            None => {}
            Some(1) => by.push("1 key".to_owned()),
            Some(many) => by.push(format!("{many} keys")),
        }
        if !by.is_empty() && self.hold(name) {
            let login = Login {
                name: OsText::parse(name).unwrap_or_default(),
                root,
                by,
            };
            self.logins.insert(name.to_owned(), login);
        }
    }

    /// Whether there is room for one more name.
    fn hold(&mut self, name: &str) -> bool {
        self.held += 64 + name.len();
        if self.held > NAMES {
            self.doubt("there are more accounts than are held".to_owned());
        }
        self.held <= NAMES
    }

    fn doubt(&mut self, why: String) {
        if !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }

    fn finish(self, inventory: &mut Inventory) {
        inventory.logins_total = self.logins.len() as u64;
        let mut logins: Vec<Login> = self.logins.into_values().collect();
        logins.sort_by_key(|login| !login.root);
        logins.truncate(Inventory::LISTED);
        inventory.logins = logins;
        inventory.logins_unknown = self.unknown;
    }
}
