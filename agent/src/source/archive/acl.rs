//! POSIX access control lists as text, as tar archives hold them, made into the form in which Linux keeps them.
//!
//! The text is that of `acl_to_text(3)`, its entries divided by newlines or commas: `user::rw-`, `user:lisa:rwx`,
//! `group::r-x`, `mask::rwx`, `other::---`; comments from `#` on are left out. Star and bsdtar add the numeric id as a
//! fourth field, which rules over the name, as numeric owners do. Linux's form is that of
//! `linux/posix_acl_xattr.h`: version 2, then tag, permissions and id of each entry, little endian.
//!
//! Refused is a list that Linux would not take (`acl_valid(3)`), and a name that the image's own accounts do not know.

use baseline_format::OsText;

use crate::source::file_system::Fault;

/// Whose numeric id is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Group,
    User,
}

/// Tells the numeric id of a name.
pub(super) type Ids<'a> = dyn Fn(Who, &[u8]) -> Result<u32, Fault> + 'a;

/// An access control list: its entries, sorted, which is Linux's order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acl {
    entries: Vec<Entry>,
}

/// Tag, id (undefined unless the tag has a qualifier) and permissions.
type Entry = (u16, u32, u16);

impl Acl {
    /// Reads a list; `None` if there is nothing in it.
    pub(super) fn parse(text: &[u8], id: &Ids<'_>) -> Result<Option<Self>, Fault> {
        let acl = Self::parse_unchecked(text, id)?;
        if acl.entries.is_empty() {
            return Ok(None);
        }
        acl.check()?;
        Ok(Some(acl))
    }

    fn parse_unchecked(text: &[u8], id: &Ids<'_>) -> Result<Self, Fault> {
        let mut entries = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            for entry in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if !entry.is_empty() {
                    entries.push(parse_entry(entry, id)?);
                }
            }
        }
        entries.sort_unstable();
        Ok(Self { entries })
    }

    /// The permission bits that a file with this list has, without setuid, setgid and sticky: the list rules over
    /// those that its member tells. `None` if there is no list in the text or it is malformed. Needs no names.
    pub(super) fn permissions_in(text: &[u8]) -> Option<u16> {
        Self::parse_unchecked(text, &|_, _| Ok(0)).ok()?.permissions()
    }

    fn check(&self) -> Result<(), Fault> {
        let count = |tag| self.entries.iter().filter(|entry| entry.0 == tag).count();
        for (tag, what) in [(USER_OBJ, "user::"), (GROUP_OBJ, "group::"), (OTHER, "other::")] {
            if count(tag) != 1 {
                return Err(Fault::new(format!(
                    "access control list: {} entries `{what}`",
                    count(tag)
                )));
            }
        }
        if count(MASK) > 1 || (count(MASK) == 0 && count(USER) + count(GROUP) > 0) {
            return Err(Fault::new(format!(
                "access control list: {} entries `mask::`",
                count(MASK)
            )));
        }
        match self
            .entries
            .array_windows()
            .find(|[a, b]| (a.0, a.1) == (b.0, b.1))
        {
            Some([twice, _]) => Err(Fault::new(format!(
                "access control list: two entries for the id {}",
                twice.1
            ))),
            None => Ok(()),
        }
    }

    /// Whether it says no more than permission bits do. Linux keeps no such list, except for what a directory hands
    /// on.
    pub(super) fn is_minimal(&self) -> bool {
        self.entries.len() == 3
    }

    fn permissions(&self) -> Option<u16> {
        let group = self.of(MASK).or_else(|| self.of(GROUP_OBJ))?;
        Some(self.of(USER_OBJ)? << 6 | group << 3 | self.of(OTHER)?)
    }

    /// Whether a member may tell these permission bits beside the list. The group's are the mask's with GNU tar and
    /// star, but those of the group's own entry with bsdtar.
    pub(super) fn goes_with(&self, permissions: u16) -> bool {
        let without_mask = self.of(GROUP_OBJ).map(|group| group << 3);
        self.permissions().is_some_and(|own| {
            own == permissions || without_mask.is_some_and(|group| own & 0o707 | group == permissions)
        })
    }

    fn of(&self, tag: u16) -> Option<u16> {
        self.entries
            .iter()
            .find(|entry| entry.0 == tag)
            .map(|entry| entry.2)
    }

    /// The value of the extended attribute.
    pub(super) fn to_xattr(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, id, permissions) in &self.entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }
}

fn parse_entry(entry: &[u8], id: &Ids<'_>) -> Result<Entry, Fault> {
    let bad = || {
        Fault::new(format!(
            "access control list: malformed entry `{}`",
            OsText::new(entry)
        ))
    };
    let mut fields: Vec<&[u8]> = entry
        .split(|byte| *byte == b':')
        .map(<[u8]>::trim_ascii)
        .collect();
    if matches!(fields.first(), Some(&(b"default" | b"d"))) {
        fields.remove(0);
    }
    let (tag, qualifier, permissions, number) = match *fields {
        [tag, permissions] => (tag, &b""[..], permissions, None),
        [tag, qualifier, permissions] => (tag, qualifier, permissions, None),
        [tag, qualifier, permissions, number] => (tag, qualifier, permissions, Some(number)),
        _ => return Err(bad()),
    };
    let permissions = parse_permissions(permissions).ok_or_else(bad)?;
    let (who, object, named) = match tag {
        b"user" | b"u" => (Who::User, USER_OBJ, USER),
        b"group" | b"g" => (Who::Group, GROUP_OBJ, GROUP),
        b"mask" | b"m" if qualifier.is_empty() => return Ok((MASK, UNDEFINED, permissions)),
        b"other" | b"o" if qualifier.is_empty() => return Ok((OTHER, UNDEFINED, permissions)),
        _ => return Err(bad()),
    };
    match (qualifier, number) {
        ([], None) => Ok((object, UNDEFINED, permissions)),
        ([], Some(_)) => Err(bad()),
        (_, Some(number)) => Ok((named, parse_id(number).ok_or_else(bad)?, permissions)),
        (digits, None) if digits.iter().all(u8::is_ascii_digit) => {
            Ok((named, parse_id(digits).ok_or_else(bad)?, permissions))
        }
        (name, None) => Ok((named, id(who, &unquote(name).ok_or_else(bad)?)?, permissions)),
    }
}

fn parse_permissions(text: &[u8]) -> Option<u16> {
    let [read, write, execute] = text else { return None };
    let bit = |is: u8, letter, bit| match is {
        b'-' => Some(0),
        _ if is == letter => Some(bit),
        _ => None,
    };
    Some(bit(*read, b'r', 4)? | bit(*write, b'w', 2)? | bit(*execute, b'x', 1)?)
}

fn parse_id(text: &[u8]) -> Option<u32> {
    let id = std::str::from_utf8(text).ok()?.parse().ok()?;
    (text.iter().all(u8::is_ascii_digit) && id != UNDEFINED).then_some(id)
}

/// `acl_to_text(3)` writes what would be taken for a divider as a backslash and three octal digits.
fn unquote(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            plain.push(*first);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            plain.push(b'\\');
            rest = after;
        } else {
            let (digits, after) = rest.split_at_checked(3)?;
            plain.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
            rest = after;
        }
    }
    Some(plain)
}

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// `ACL_UNDEFINED_ID`.
const UNDEFINED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(who: Who, name: &[u8]) -> Result<u32, Fault> {
        match (who, name) {
            (Who::User, b"lisa") => Ok(1001),
            (Who::User, b"a b") => Ok(5),
            (Who::Group, b"wheel") => Ok(10),
            _ => Err(Fault::new("nobody")),
        }
    }

    fn parse(text: &str) -> Result<Option<Acl>, Fault> {
        Acl::parse(text.as_bytes(), &ids)
    }

    /// Bytes that `getxattr` gave on ext4 after `setfacl -m u:1001:rwx,u:7:r,g:10:rx` of a file of mode 0640.
    const KERNEL: &str = "0200000001000600ffffffff02000400070000000200070\
                          0e903000004000400ffffffff080005000a00000010000700ffffffff20000000ffffffff";

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    #[test]
    fn every_flavour_becomes_what_the_kernel_has() {
        for text in [
            "user::rw-\nuser:7:r--\nuser:lisa:rwx\ngroup::r--\ngroup:wheel:r-x\nmask::rwx\nother::---\n",
            "user::rw-,user:lisa:rwx:1001,user:seven:r--:7,group::r--,group:foo:r-x:10,mask::rwx,other::---",
            "u::rw-,u:1001:rwx,u:7:r--,g::r--,g:10:r-x,m:rwx,o:---",
            "user::rw-\nuser:lisa:rwx\t#effective:r-x\nuser:7:r--\ngroup::r--\ngroup:10:r-x\nmask::rwx\nother::---",
            "default:user::rw-\ndefault:user:lisa:rwx\ndefault:user:7:r--\ndefault:group::r--\n\
             default:group:wheel:r-x\ndefault:mask::rwx\ndefault:other::---",
        ] {
            let acl = parse(text).unwrap().unwrap();
            assert_eq!(hex(&acl.to_xattr()), KERNEL, "{text}");
            assert_eq!((acl.permissions(), acl.is_minimal()), (Some(0o670), false));
            assert_eq!(Acl::permissions_in(text.as_bytes()), Some(0o670));
            let fitting: Vec<u16> = (0..0o1000).filter(|bits| acl.goes_with(*bits)).collect();
            assert_eq!(fitting, [0o640, 0o670]);
        }
        let plain = parse("user::rwx,group::r-x,other::r--").unwrap().unwrap();
        assert_eq!((plain.permissions(), plain.is_minimal()), (Some(0o754), true));
        assert_eq!(parse("# nothing\n\n").unwrap(), None);
        let quoted = parse(r"user::rwx,user:a\040b:r--,group::r-x,mask::r-x,other::r--")
            .unwrap()
            .unwrap();
        assert_eq!(quoted.entries[1], (USER, 5, 4));
    }

    #[test]
    fn what_linux_would_not_take_is_refused() {
        for text in [
            "user::rwx",
            "user::rwx,group::rwx",
            "user::rwx,group::r-x,other::r--,other::r--",
            "user::rwx,user:7:rwx,group::r-x,other::r--",
            "user::rwx,user:7:rwx,user:7:r--,group::r-x,mask::rwx,other::r--",
            "user::rwx,group::r-x,mask::rwx,mask::r--,other::r--",
            "user::rwx,user:nobody:r--,group::r-x,mask::rwx,other::r--",
            "user::rwx,user:4294967295:r--,group::r-x,mask::rwx,other::r--",
            "user::rwx,user:-1:r--,group::r-x,mask::rwx,other::r--",
            "user::wrx,group::r-x,other::r--",
            "user::rw,group::r-x,other::r--",
            "user::rwx::7,group::r-x,other::r--",
            "user::rwx,group::r-x,other:x:r--",
            "friend::rwx,group::r-x,other::r--",
            r"user::rwx,user:a\0:r--,group::r-x,mask::r-x,other::r--",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-z:,\n0-9#\\\\ -]{0,80}", bytes: Vec<u8>) {
            Acl::parse(text.as_bytes(), &ids).ok();
            Acl::parse(&bytes, &ids).ok();
        }
    }
}
