//! Keys that may log in over SSH: section `authorized-keys`.

use std::collections::HashSet;

use baseline_format::{ALL, Entry, OsText, Value};

use super::{Facts, Probe};
use crate::accounts::authorized_keys::{self, AUTHORIZED_KEYS_LIMIT, AuthorizedKey};
use crate::accounts::passwd::{self, User};
use crate::accounts::sshd_files::{DEFAULT, KeyFiles, key_files, path_for};
use crate::accounts::{FILE_LIMIT, UniqueKeys, read_or_report};
use crate::tree::{Tree, TreeError};

/// Reads the key files of every user of `/etc/passwd`: sshd's default ones and those that it is configured for.
#[derive(Debug)]
pub(super) struct AuthorizedKeys;

const SECTION: &str = "authorized-keys";
/// How many keys and malformed lines are reported in all. Users write these files, so without a limit any of
/// them could fill the memory.
const FACTS_LIMIT: usize = 200_000;

impl Probe for AuthorizedKeys {
    fn section(&self) -> &'static str {
        SECTION
    }

    fn sources(&self) -> &'static [&'static str] {
        &[
            "/etc/passwd",
            "/etc/ssh/sshd_config",
            "/etc/ssh/sshd_config.d/",
            "/root/.ssh/authorized_keys",
            "/root/.ssh/authorized_keys2",
        ]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let files = key_files(tree);
        for (path, why) in &files.trouble {
            out.push(Entry::new(SECTION, OsText::new(path)).unseen(ALL, why));
        }
        let Some(bytes) = read_or_report(tree, SECTION, b"/etc/passwd", FILE_LIMIT, out) else {
            return;
        };
        let patterns = patterns(files);
        let mut left = FACTS_LIMIT;
        let mut known = HashSet::new();
        for user in passwd::parse(&bytes).filter_map(|line| line.record.ok()) {
            // Of two accounts with one name, sshd is given the first.
            if !user.legacy && known.insert(user.name.clone()) {
                read_user(tree, &user, &patterns, &mut left, out);
            }
        }
        if left == 0 {
            let why = format!("more than {FACTS_LIMIT} keys; the others are not listed");
            out.push(Entry::new(SECTION, "#more-keys").unseen(ALL, &why));
        }
    }
}

/// Where to look, and the value of the attribute `used`, which plainly used files do without.
fn patterns(files: KeyFiles) -> Vec<(Vec<u8>, Option<&'static str>)> {
    let default = || DEFAULT.iter().map(|pattern| pattern.to_vec());
    let mut patterns: Vec<(Vec<u8>, Option<&'static str>)> = Vec::new();
    match files.always {
        Some(always) => patterns.extend(always.into_iter().map(|pattern| (pattern, None))),
        None => patterns.extend(default().map(|pattern| (pattern, None))),
    }
    patterns.extend(
        files
            .conditional
            .into_iter()
            .map(|pattern| (pattern, Some("match"))),
    );
    patterns.extend(default().map(|pattern| (pattern, Some("no"))));
    patterns
}

fn read_user(
    tree: &dyn Tree,
    user: &User,
    patterns: &[(Vec<u8>, Option<&'static str>)],
    left: &mut usize,
    out: &mut Facts,
) {
    let home = match tree.stat(&user.home) {
        Ok(stat) => stat.is_directory(),
        // Of the wrong type is something on the way there: below a file there is no home.
        Err(TreeError::NotFound | TreeError::WrongType) => false,
        Err(why) if user.home.starts_with(b"/") => {
            out.push(Entry::new(SECTION, OsText::new(&user.home)).unseen(ALL, &why.to_string()));
            false
        }
        Err(_) => false,
    };
    let mut keys = UniqueKeys::default();
    let mut seen = HashSet::new();
    for (pattern, used) in patterns {
        let Some(path) = path_for(pattern, &user.name, user.uid, &user.home) else {
            if !pattern.starts_with(b"/") && user.home.first() != Some(&b'/') {
                continue;
            }
            let why = "sshd's pattern for key files has a token that is not known";
            out.push(Entry::new(SECTION, OsText::new(pattern)).unseen(ALL, why));
            continue;
        };
        let below_home = !pattern.starts_with(b"/");
        if (below_home && !home) || !seen.insert(path.clone()) {
            continue;
        }
        let Some(bytes) = read_or_report(tree, SECTION, &path, AUTHORIZED_KEYS_LIMIT, out) else {
            continue;
        };
        for line in authorized_keys::parse(&bytes) {
            if *left == 0 {
                return;
            }
            *left -= 1;
            out.push(match line.record {
                Ok(key) => entry(user, &key, &path, *used, &mut keys),
                Err(why) => {
                    let place = format!(":{}", line.line);
                    let key = [&user.name, &b" "[..], &path, place.as_bytes()].concat();
                    Entry::new(SECTION, OsText::new(&key)).unseen(ALL, &why.to_string())
                }
            });
        }
    }
}

fn entry(owner: &User, key: &AuthorizedKey, path: &[u8], used: Option<&str>, keys: &mut UniqueKeys) -> Entry {
    let name = [&owner.name, &b" "[..], key.fingerprint.as_bytes()].concat();
    let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| Value::bytes(bytes));
    let options = key.options.iter().map(|option| OsText::new(option));
    Entry::new(SECTION, keys.next(&name))
        .with("type", Value::bytes(&key.kind))
        .with_some("bits", key.bits)
        .with_some("options", (!key.options.is_empty()).then(|| Value::list(options)))
        .with_some("comment", some(&key.comment))
        .with("file", Value::bytes(path))
        .with_some("used", used)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, lines};
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";
    const PASSWD: (&str, &str) = (
        "/etc/passwd",
        "a:x:1:1::/home/a:/bin/sh\nb:x:2:2::/nowhere:/bin/sh\nc:x:3:3::/etc/passwd:\n",
    );

    #[test]
    fn golden() {
        testing::golden(&AuthorizedKeys);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&AuthorizedKeys, "/etc/passwd");
        testing::absent_and_unreadable(&AuthorizedKeys, "/etc/ssh/sshd_config");
        for failing in ["/home/a/.ssh/authorized_keys", "/home/a/.ssh/authorized_keys2"] {
            let found = testing::lines_with_failure(&AuthorizedKeys, &[PASSWD], failing);
            assert_eq!(
                found,
                [format!(
                    "[\"authorized-keys\",\"{failing}\",{{\"unseen\":[\"all: permission denied\"]}}]"
                )]
            );
        }
    }

    #[test]
    fn a_key_twice_is_two_facts() {
        let file = format!("{KEY} one\nno-pty {KEY} two\n");
        assert_eq!(
            lines(
                &AuthorizedKeys,
                &[PASSWD, ("/home/a/.ssh/authorized_keys", &file)]
            )
            .len(),
            2
        );
    }

    #[test]
    fn a_link_to_another_secret_gives_line_numbers_only() {
        let shadow = "root:$6$SaltCanary$HashCanary:1:2:3:4:5:6:\n";
        testing::no_canary(
            &AuthorizedKeys,
            &[PASSWD, ("/home/a/.ssh/authorized_keys", shadow)],
            1,
        );
    }

    #[test]
    fn a_private_key_stays_where_it_is() {
        let file = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5Canary\n-----END OPENSSH PRIVATE KEY-----\n\
             {KEY} b3BlbnNzaC1rZXktdjEAAAAABG5Canary\ncommand=\"curl -H Token:Canary\" {KEY}\nenvironment=\"A=Canary\" {KEY}\n"
        );
        testing::no_canary(
            &AuthorizedKeys,
            &[PASSWD, ("/home/a/.ssh/authorized_keys", &file)],
            6,
        );
    }
}
