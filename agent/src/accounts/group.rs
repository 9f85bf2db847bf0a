//! `/etc/group`, group(5), and `/etc/gshadow`, gshadow(5).

use super::crypt::Password;
use super::{Malformed, Numbered, account_name, names, number, records};

/// One line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name; a legacy line's keeps its sign.
    pub name: Vec<u8>,
    /// The password field if it is not `x`, which means that `/etc/gshadow` has it.
    pub password: Option<Password>,
    /// Group id; a legacy line may do without.
    pub gid: Option<u32>,
    /// Members by name, in file order; users whose primary group it is are not among them.
    pub members: Vec<Vec<u8>>,
    /// Whether it is a line that starts with `+` or `-`, which brings in or takes out groups of NIS.
    pub legacy: bool,
}

/// One line of `/etc/gshadow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupShadow {
    /// The group's name.
    pub name: Vec<u8>,
    /// State of the password with which users who are not members may join.
    pub password: Password,
    /// Who may change password and members.
    pub admins: Vec<Vec<u8>>,
    /// Members; meant to be the same as in `/etc/group`.
    pub members: Vec<Vec<u8>>,
}

/// Parses `/etc/group`.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Numbered<Group>> {
    records(bytes, parse_line)
}

/// Parses `/etc/gshadow`.
pub fn parse_shadow(bytes: &[u8]) -> impl Iterator<Item = Numbered<GroupShadow>> {
    records(bytes, parse_shadow_line)
}

fn parse_line(line: &[u8]) -> Result<Group, Malformed> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let legacy = matches!(line.first(), Some(b'+' | b'-'));
    if fields.len() > FIELDS || (!legacy && fields.len() < FIELDS) {
        return Err(Malformed::Fields {
            expected: FIELDS,
            found: fields.len(),
        });
    }
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    if field(0).is_empty() {
        return Err(Malformed::Empty("the name"));
    }
    Ok(Group {
        name: field(0).to_vec(),
        password: match field(1) {
            b"x" => None,
            [] if legacy => None,
            text => Some(Password::of(text)),
        },
        gid: match field(2) {
            [] if legacy => None,
            text => Some(number(text, "the gid")?),
        },
        members: names(field(3)),
        legacy,
    })
}

fn parse_shadow_line(line: &[u8]) -> Result<GroupShadow, Malformed> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    match fields[..] {
        [name, password, admins, members] => {
            let (admins, members) = (names(admins), names(members));
            account_name(name)?;
            admins
                .iter()
                .chain(&members)
                .try_for_each(|name| account_name(name))?;
            Ok(GroupShadow {
                name: name.to_vec(),
                password: Password::of(password),
                admins,
                members,
            })
        }
        _ => Err(Malformed::Fields {
            expected: FIELDS,
            found: fields.len(),
        }),
    }
}

const FIELDS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_and_admins() {
        let group = parse(b"sudo:x:27:alice, bob,,\n").next().unwrap().record.unwrap();
        assert_eq!(
            (group.gid, group.members),
            (Some(27), vec![b"alice".to_vec(), b"bob".to_vec()])
        );
        let shadow = parse_shadow(b"sudo:!:root:alice\n")
            .next()
            .unwrap()
            .record
            .unwrap();
        assert_eq!(
            (shadow.password, shadow.admins),
            (Password::Unusable, vec![b"root".to_vec()])
        );
    }

    #[test]
    fn malformed_lines_say_why() {
        for (line, why) in [
            (
                "sudo:x:27",
                Malformed::Fields {
                    expected: 4,
                    found: 3,
                },
            ),
            (
                "sudo:x:27:a:b",
                Malformed::Fields {
                    expected: 4,
                    found: 5,
                },
            ),
            ("sudo:x::a", Malformed::Number("the gid")),
            (":x:1:", Malformed::Empty("the name")),
        ] {
            assert_eq!(
                parse(line.as_bytes()).map(|line| line.record).collect::<Vec<_>>(),
                [Err(why)],
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn groups_round_trip(name in "[a-z][a-z0-9-]{0,8}", gid: u32, members in prop::collection::vec("[a-z]{1,8}", 0..6)) {
            let line = format!("{name}:x:{gid}:{}\n", members.join(","));
            let group = parse(line.as_bytes()).next().unwrap().record.unwrap();
            prop_assert_eq!(group.name, name.as_bytes());
            prop_assert_eq!(group.gid, Some(gid));
            prop_assert_eq!(group.members, members.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
            prop_assert!(parse_shadow(&bytes).count() <= bytes.len());
        }
    }
}
