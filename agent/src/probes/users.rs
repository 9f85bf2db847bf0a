//! Local accounts: section `users`.

use baseline_format::Entry;

use super::{Facts, Probe};
use crate::accounts::crypt::Password;
use crate::accounts::{FILE_LIMIT, MalformedLines, UniqueKeys, passwd, read_or_report};
use crate::tree::Tree;

/// Reads `/etc/passwd`.
#[derive(Debug)]
pub(super) struct Users;

impl Probe for Users {
    fn section(&self) -> &'static str {
        "users"
    }

    fn sources(&self) -> &'static [&'static str] {
        &["/etc/passwd"]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let Some(bytes) = read_or_report(tree, self.section(), b"/etc/passwd", FILE_LIMIT, out) else {
            return;
        };
        let mut keys = UniqueKeys::default();
        let mut malformed = MalformedLines::new(self.section(), "");
        for line in passwd::parse(&bytes) {
            match line.record {
                Ok(user) => out.push(entry(self.section(), &user, &mut keys)),
                Err(why) => malformed.push(line.line, &why, out),
            }
        }
    }
}

fn entry(section: &'static str, user: &passwd::User, keys: &mut UniqueKeys) -> Entry {
    let text = |bytes: &[u8]| baseline_format::Value::bytes(bytes);
    Entry::new(section, keys.next(&user.name))
        .with_some("uid", user.uid)
        .with_some("gid", user.gid)
        .with("gecos", text(&user.gecos))
        .with("home", text(&user.home))
        .with("shell", text(&user.shell))
        .with_some("in-passwd", user.password.map(|password| in_passwd(&password)))
        .with_some("legacy", user.legacy.then_some(true))
}

/// What stands in a password field that should be `x`.
pub(super) fn in_passwd(password: &Password) -> &'static str {
    match password {
        Password::Empty => "empty",
        Password::Unusable => "locked",
        Password::Locked(_) | Password::Set(_) => "hash",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, lines};
    use super::*;

    #[test]
    fn golden() {
        testing::golden(&Users);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Users, "/etc/passwd");
    }

    #[test]
    fn a_second_root_hides_nobody() {
        let file = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nroot:x:0:0::/tmp:/bin/sh\n";
        let found = lines(&Users, &[("/etc/passwd", file)]);
        assert_eq!(found.len(), 3);
        assert!(found[1].starts_with("[\"users\",\"root#2\","), "{}", found[1]);
    }

    #[test]
    fn no_hash_comes_out() {
        let file = "a:$6$SaltCanary$HashCanary:0:0:::\nb:$6$SaltCanary$HashCanary:zero:0:::\n\
                    $6$SaltCanary$HashCanary:0:0\nc:!$1$SaltCanary$HashCanary:1:1:::\n";
        testing::no_canary(&Users, &[("/etc/passwd", file)], 4);
    }
}
