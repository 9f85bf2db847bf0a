//! `/etc/passwd`, passwd(5), as the file says it: NSS and its other sources are not asked.

use super::crypt::Password;
use super::{Malformed, Numbered, number, records};

/// One line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name; a legacy line's keeps its sign, e.g. `+@admins`.
    pub name: Vec<u8>,
    /// The password field if it is not `x`, which means that `/etc/shadow` has it.
    pub password: Option<Password>,
    /// User id; a legacy line may do without.
    pub uid: Option<u32>,
    /// Primary group's id; a legacy line may do without.
    pub gid: Option<u32>,
    /// Full name and more.
    pub gecos: Vec<u8>,
    /// Home directory.
    pub home: Vec<u8>,
    /// Login shell; empty means `/bin/sh`.
    pub shell: Vec<u8>,
    /// Whether it is a line that starts with `+` or `-`, which brings in or takes out accounts of NIS.
    pub legacy: bool,
}

/// Parses the file. Empty lines and comments, which glibc skips, are left out.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Numbered<User>> {
    records(bytes, parse_line)
}

fn parse_line(line: &[u8]) -> Result<User, Malformed> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let legacy = matches!(line.first(), Some(b'+' | b'-'));
    if fields.len() > FIELDS || (!legacy && fields.len() < FIELDS) {
        return Err(Malformed::Fields {
            expected: FIELDS,
            found: fields.len(),
        });
    }
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let id = |at: usize, name| match field(at) {
        [] if legacy => Ok(None),
        text => number(text, name).map(Some),
    };
    if field(0).is_empty() {
        return Err(Malformed::Empty("the name"));
    }
    Ok(User {
        name: field(0).to_vec(),
        password: match field(1) {
            b"x" => None,
            [] if legacy => None,
            text => Some(Password::of(text)),
        },
        uid: id(2, "the uid")?,
        gid: id(3, "the gid")?,
        gecos: field(4).to_vec(),
        home: field(5).to_vec(),
        shell: field(6).to_vec(),
        legacy,
    })
}

const FIELDS: usize = 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_glibc_skips_are_skipped_and_blanks_in_front_do_not_hide_one() {
        let users: Vec<_> = parse(b"# a comment\n\n  toor:x:0:0::/root:/bin/sh\n").collect();
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].line, 3);
        let toor = users[0].record.as_ref().unwrap();
        assert_eq!((&toor.name[..], toor.uid), (&b"toor"[..], Some(0)));
    }

    #[test]
    fn malformed_lines_say_why_and_nothing_else() {
        for (line, why) in [
            (
                "evil:x:0:0",
                Malformed::Fields {
                    expected: 7,
                    found: 4,
                },
            ),
            (
                "a:x:0:0:g:h:s:more",
                Malformed::Fields {
                    expected: 7,
                    found: 8,
                },
            ),
            ("a:x:zero:0:g:h:s", Malformed::Number("the uid")),
            ("a:x:0:-1:g:h:s", Malformed::Number("the gid")),
            (":x:0:0:g:h:s", Malformed::Empty("the name")),
            ("a:x:0:0:g\0:h:s", Malformed::Nul),
        ] {
            let parsed: Vec<_> = parse(line.as_bytes()).map(|line| line.record).collect();
            assert_eq!(parsed, [Err(why)], "{line}");
        }
        let long = [b"a".repeat(super::super::LINE_LIMIT), b":x:0:0:::".to_vec()].concat();
        assert_eq!(
            parse(&long).next().map(|line| line.record),
            Some(Err(Malformed::TooLong))
        );
    }

    #[test]
    fn legacy_lines_are_accounts_too() {
        for line in [
            "+",
            "+::::::",
            "+@admins::::::",
            "-mallory",
            "+alice::0:::/home/a:/bin/sh",
        ] {
            let user = parse(line.as_bytes()).next().unwrap().record.unwrap();
            assert!(user.legacy, "{line}");
        }
    }

    fn any_user() -> impl Strategy<Value = User> {
        let text = "[^:\\n\\x00]{0,12}";
        ("[a-z_][a-z0-9_.-]{0,12}", any::<(u32, u32)>(), text, text, text).prop_map(
            |(name, (uid, gid), gecos, home, shell)| User {
                name: name.into(),
                password: None,
                uid: Some(uid),
                gid: Some(gid),
                gecos: gecos.into(),
                home: home.into(),
                shell: shell.into(),
                legacy: false,
            },
        )
    }

    fn line_of(user: &User) -> Vec<u8> {
        let ids = format!(":x:{}:{}:", user.uid.unwrap(), user.gid.unwrap());
        [
            &user.name,
            ids.as_bytes(),
            &user.gecos,
            b":",
            &user.home,
            b":",
            &user.shell,
            b"\n",
        ]
        .concat()
    }

    proptest! {
        #[test]
        fn users_round_trip(users in prop::collection::vec(any_user(), 0..8)) {
            let file: Vec<u8> = users.iter().flat_map(line_of).collect();
            let again: Vec<User> = parse(&file).map(|line| line.record.unwrap()).collect();
            prop_assert_eq!(again, users);
        }

        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
        }
    }
}
