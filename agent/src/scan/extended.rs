//! Extended attributes told as what they mean: capabilities, access control lists, labels.

use baseline_format::{Value, push_hex};
use sha2::{Digest as _, Sha256};

/// The attribute of an entry that one extended attribute becomes: its name and value.
#[must_use]
pub(crate) fn describe(name: &[u8], value: &[u8]) -> (String, Value) {
    match name {
        b"security.capability" => (
            "capabilities".into(),
            capabilities(value).map_or_else(|| raw(value), Into::into),
        ),
        b"security.selinux" => (
            "selinux".into(),
            Value::bytes(value.strip_suffix(b"\0").unwrap_or(value)),
        ),
        b"system.posix_acl_access" => ("acl".into(), acl(value).map_or_else(|| raw(value), Value::list)),
        b"system.posix_acl_default" => (
            "default-acl".into(),
            acl(value).map_or_else(|| raw(value), Value::list),
        ),
        // What programs put into attributes of their own may be anything, also a secret: only its digest is told.
        _ => (
            format!("xattr:{}", baseline_format::OsText::new(name)),
            raw(value),
        ),
    }
}

/// A value that is not decoded: its digest.
fn raw(value: &[u8]) -> Value {
    let mut text = Vec::from(*b"sha256:");
    push_hex(&Sha256::digest(value), &mut text);
    Value::bytes(&text)
}

/// File capabilities in the form of `cap_to_text(3)`, e.g. `cap_net_raw,cap_setuid=ep`, from the value of
/// `security.capability` (capabilities(7), `struct vfs_cap_data` and `vfs_ns_cap_data`). `None` if it is not
/// one; a value that holds no capability at all is `=`.
#[must_use]
pub fn capabilities(value: &[u8]) -> Option<String> {
    const REVISION: u32 = 0xff00_0000;
    const EFFECTIVE: u32 = 1;
    let mut words = value
        .chunks_exact(4)
        .map(|word| word.try_into().map_or(0, u32::from_le_bytes));
    let magic = words.next()?;
    let (words_of_each, root) = match (magic & REVISION, value.len()) {
        (0x0100_0000, 12) => (1, false),
        (0x0200_0000, 20) => (2, false),
        (0x0300_0000, 24) => (2, true),
        _ => return None,
    };
    let (mut permitted, mut inheritable) = (0, 0);
    for word in 0..words_of_each {
        permitted |= u64::from(words.next()?) << (32 * word);
        inheritable |= u64::from(words.next()?) << (32 * word);
    }
    let effective = magic & EFFECTIVE != 0;
    // Capabilities with the same sets are told together, in order of their numbers.
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for number in 0..64u32 {
        let (p, i) = (permitted >> number & 1 == 1, inheritable >> number & 1 == 1);
        let mut sets = String::new();
        if effective && (p || i) {
            sets.push('e');
        }
        if i {
            sets.push('i');
        }
        if p {
            sets.push('p');
        }
        if sets.is_empty() {
            continue;
        }
        let name = CAPABILITIES
            .get(number as usize)
            .map_or_else(|| number.to_string(), |name| format!("cap_{name}"));
        match groups.iter_mut().find(|(known, _)| *known == sets) {
            Some((_, names)) => names.push(name),
            None => groups.push((sets, vec![name])),
        }
    }
    let mut text: String = groups
        .iter()
        .map(|(sets, names)| format!("{}={sets}", names.join(",")))
        .collect::<Vec<_>>()
        .join(" ");
    if text.is_empty() {
        text.push('=');
    }
    if root {
        text = format!("{text} [rootid={}]", words.next()?);
    }
    Some(text)
}

/// Names of capabilities by number, without `cap_` (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// An access control list in the form of acl(5), numeric, e.g. `user::rw-`, `user:1000:r--`, `mask::r--`, from
/// the value of `system.posix_acl_*` (`linux/posix_acl_xattr.h`). `None` if it is not one.
#[must_use]
pub fn acl(value: &[u8]) -> Option<Vec<String>> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    if !entries.len().is_multiple_of(8) {
        return None;
    }
    let mut list = Vec::new();
    for entry in entries.chunks_exact(8) {
        let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let who = match half(0) {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let bits = half(2);
        let bit = |mask: u16, letter: char| if bits & mask != 0 { letter } else { '-' };
        list.push(format!("{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')));
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_what_setcap_writes() {
        // setcap cap_net_raw=ep FILE; getfattr -e hex -n security.capability FILE
        let net_raw = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(capabilities(&net_raw).unwrap(), "cap_net_raw=ep");
        assert_eq!(capabilities(&net_raw[..19]), None);
        let mut with_root = net_raw.to_vec();
        with_root[3] = 3;
        with_root.extend(1000u32.to_le_bytes());
        assert_eq!(capabilities(&with_root).unwrap(), "cap_net_raw=ep [rootid=1000]");
    }

    #[test]
    fn decodes_what_setfacl_writes() {
        let entry = |tag: u16, bits: u16, id: u32| {
            [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let value = [
            2u32.to_le_bytes().to_vec(),
            entry(1, 6, u32::MAX),
            entry(2, 4, 1000),
            entry(4, 4, u32::MAX),
            entry(0x10, 4, u32::MAX),
            entry(0x20, 0, u32::MAX),
        ]
        .concat();
        let text = [
            "user::rw-",
            "user:1000:r--",
            "group::r--",
            "mask::r--",
            "other::---",
        ];
        assert_eq!(acl(&value).unwrap(), text);
        assert_eq!(acl(&value[..value.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_value_has_a_description(name: Vec<u8>, value: Vec<u8>) {
            for name in [&name[..], b"security.capability", b"system.posix_acl_access", b"security.selinux"] {
                prop_assert!(!describe(name, &value).0.is_empty());
            }
        }
    }
}
