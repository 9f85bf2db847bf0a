//! How bad a change is, and what it means in a sentence.
//!
//! Built-in rules until a policy file says otherwise: what gives power over the host is critical, what gives
//! access or runs as code is high, what may change behaviour is medium, and what hosts are expected to change is
//! low. The first rule that matches decides; worse rules come first.

use baseline_format::report::{Change, ChangeKind, FieldChange, Severity};
use baseline_format::{Value, order::is_below};

use Severity::{Critical, High, Low, Medium};

/// Files whose content decides who may do what.
const ACCESS: [&str; 16] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/pam.d",
    "/etc/pam.conf",
    "/etc/ssh",
    "/etc/security",
    "/etc/polkit-1",
    "/etc/doas.conf",
    "/etc/login.defs",
    "/etc/nsswitch.conf",
    "/etc/subuid",
    "/etc/subgid",
];
/// Directories of code, and of what starts code.
const CODE: [&str; 24] = [
    "/bin",
    "/boot",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/crontab",
    "/etc/init.d",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/modprobe.d",
    "/etc/profile.d",
    "/etc/systemd",
    "/etc/udev",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/sbin",
    "/usr",
    "/var/spool/cron",
    "/etc/rc.local",
    "/etc/xdg/autostart",
];
/// Directories that programs write while a host runs.
const BUSY: [&str; 7] = ["/home", "/media", "/mnt", "/root", "/run", "/srv", "/var"];
/// Documentation and data below `/usr` that nothing executes.
const INERT: [&str; 6] = [
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/icons",
    "/usr/share/fonts",
];
/// Groups whose members have power over the host.
const POWERFUL: [&str; 13] = [
    "adm",
    "disk",
    "docker",
    "incus",
    "incus-admin",
    "kmem",
    "libvirt",
    "lxd",
    "root",
    "shadow",
    "sudo",
    "wheel",
    "systemd-journal",
];

/// The severity of a change and, where the fields do not say it, what it means.
#[must_use]
pub(crate) fn judge(change: &Change) -> (Severity, Option<String>) {
    if change.kind == ChangeKind::Unseen {
        return (Medium, None);
    }
    match change.section.as_str() {
        "authorized-keys" => (access(change, High), authorized(change)),
        "files" => file(change),
        "groups" => group(change),
        "image" => image(change),
        "packages" => package(change),
        "shadow" => shadow(change),
        "sudoers" => (access(change, High), None),
        "users" => user(change),
        _ => (Medium, None),
    }
}

/// What adds or changes access is as bad as `gained`; what takes it away is medium.
fn access(change: &Change, gained: Severity) -> Severity {
    if change.kind == ChangeKind::Removed {
        Medium
    } else {
        gained
    }
}

fn file(change: &Change) -> (Severity, Option<String>) {
    let path = change.key.as_str();
    let under = |places: &[&str]| places.iter().any(|place| path == *place || is_below(path, place));
    let field = |name: &str| change.fields.iter().find(|field| field.name == name);
    let gained = |name: &str| field(name).is_some_and(|field| field.actual.is_some());
    let bits = |value: Option<&Value>| mode(value);
    let mode = field("mode").map_or((0, 0), |field| {
        (bits(field.expected.as_ref()), bits(field.actual.as_ref()))
    });
    let is = |kind: &str| field("type").is_some_and(|field| field.actual == Some(kind.into()));
    let file_like = change.kind == ChangeKind::Modified || is("file");

    if path == "/etc/ld.so.preload" && change.kind != ChangeKind::Removed {
        return (
            Critical,
            Some("a library is loaded into every program".to_owned()),
        );
    }
    if file_like && mode.1 & !mode.0 & 0o4000 != 0 {
        return (
            Critical,
            Some(format!(
                "{}: runs with its owner's rights",
                gained_words(change, "setuid")
            )),
        );
    }
    if gained("capabilities") {
        return (
            Critical,
            Some(format!(
                "{}: runs with them",
                gained_words(change, "file capabilities")
            )),
        );
    }
    if file_like && mode.1 & !mode.0 & 0o2000 != 0 {
        return (
            High,
            Some(format!(
                "{}: runs with its group's rights",
                gained_words(change, "setgid")
            )),
        );
    }
    if is("block-device") || is("char-device") {
        return (
            High,
            Some("a device node: opens hardware or memory to whoever may open it".to_owned()),
        );
    }
    if is_authorized_keys(path) && change.kind != ChangeKind::Removed {
        return (High, None);
    }
    if !is("symlink") && mode.1 & !mode.0 & 0o002 != 0 && mode.1 & 0o1000 == 0 && !under(&BUSY) {
        return (High, Some("everybody may write to it".to_owned()));
    }
    let changed = |name: &str| field(name).is_some();
    let matters = change.kind != ChangeKind::Modified
        || ["acl", "digest", "flags", "gid", "link", "mode", "type", "uid"]
            .iter()
            .any(|name| changed(name));
    let severity = if !matters || under(&INERT) {
        Low
    } else if under(&ACCESS) || under(&CODE) {
        access(change, High)
    } else if under(&BUSY) {
        Low
    } else {
        Medium
    };
    (severity, None)
}

/// `gained setuid` or `new and setuid`.
fn gained_words(change: &Change, what: &str) -> String {
    if change.kind == ChangeKind::Added {
        format!("new, with {what}")
    } else {
        format!("gained {what}")
    }
}

fn is_authorized_keys(path: &str) -> bool {
    path.ends_with("/.ssh/authorized_keys") || path.ends_with("/.ssh/authorized_keys2")
}

/// Permission bits of a `mode` value.
fn mode(value: Option<&Value>) -> u32 {
    match value {
        Some(Value::Text(text)) => u32::from_str_radix(text.as_str(), 8).unwrap_or(0),
        _ => 0,
    }
}

fn user(change: &Change) -> (Severity, Option<String>) {
    let root = change
        .fields
        .iter()
        .any(|field| field.name == "uid" && field.actual == Some(Value::Integer(0)));
    let root_name = change.key.as_str() == "root";
    match change.kind {
        ChangeKind::Removed => (Medium, None),
        _ if root && !root_name => (Critical, Some("has the rights of root (uid 0)".to_owned())),
        _ => (High, None),
    }
}

fn group(change: &Change) -> (Severity, Option<String>) {
    let powerful = POWERFUL.contains(&change.key.as_str());
    let gained: Vec<String> = change
        .fields
        .iter()
        .filter(|field| field.name == "members")
        .flat_map(gained)
        .collect();
    if powerful && !gained.is_empty() {
        let who = gained.join(", ");
        return (
            High,
            Some(format!("{who} now belongs to a group with power over the host")),
        );
    }
    (Medium, None)
}

/// The stamp that says which image a host came from. A host of another image is compared with the wrong reference,
/// so that every other line of the report may mislead.
fn image(change: &Change) -> (Severity, Option<String>) {
    let side = |of: fn(&FieldChange) -> &Option<Value>| {
        let text = |name: &str| {
            let field = change.fields.iter().find(|field| field.name == name)?;
            Some(of(field).as_ref()?.to_string())
        };
        match (text("name"), text("version")) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (Some(name), None) => Some(name),
            (None, Some(version)) => Some(format!("version {version} of its image")),
            (None, None) => None,
        }
    };
    let (was, is) = (side(|field| &field.expected), side(|field| &field.actual));
    let differs = |name: &str| change.fields.iter().any(|field| field.name == name);
    match (change.kind, was, is) {
        (ChangeKind::Removed, was, _) => {
            let was = was.map_or(String::new(), |was| format!(", the baseline is of {was}"));
            (
                High,
                Some(format!("this host does not say which image it came from{was}")),
            )
        }
        (ChangeKind::Added, _, is) => {
            let is = is.unwrap_or_else(|| "an image".to_owned());
            (
                High,
                Some(format!(
                    "this host says it came from {is}, the image of the baseline had no stamp"
                )),
            )
        }
        (_, Some(was), Some(is)) => {
            let severity = if differs("name") { Critical } else { High };
            (
                severity,
                Some(format!(
                    "this host says it came from {is}, the baseline is of {was}"
                )),
            )
        }
        _ if differs("name") || differs("version") => (
            High,
            Some("this host says less or more of the image it came from than the baseline".to_owned()),
        ),
        _ if differs("os-release") => (
            High,
            Some("the host's stamp and its os-release name different images".to_owned()),
        ),
        _ => (Medium, None),
    }
}

/// Items of a list that were not there before.
fn gained(field: &FieldChange) -> Vec<String> {
    let items = |value: &Option<Value>| match value {
        Some(Value::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    let before = items(&field.expected);
    items(&field.actual)
        .into_iter()
        .filter(|item| !before.contains(item))
        .map(|item| item.to_string())
        .collect()
}

fn shadow(change: &Change) -> (Severity, Option<String>) {
    let password = change.fields.iter().find(|field| field.name == "password");
    match password.and_then(|field| field.actual.as_ref()) {
        Some(Value::Text(state)) if state.as_str() == "empty" && change.kind != ChangeKind::Removed => {
            (Critical, Some("anybody may log in without a password".to_owned()))
        }
        Some(Value::Text(state)) if state.as_str() == "set" => (High, None),
        _ => (Medium, None),
    }
}

fn authorized(change: &Change) -> Option<String> {
    let who = change.key.as_str().split([' ', '/']).next().unwrap_or_default();
    (change.kind == ChangeKind::Added).then(|| format!("a new key may log in as {who}"))
}

fn package(change: &Change) -> (Severity, Option<String>) {
    let version = change.fields.iter().find(|field| field.name == "version");
    if let Some(FieldChange {
        expected: Some(Value::Text(was)),
        actual: Some(Value::Text(is)),
        ..
    }) = version
    {
        return match crate::packages::order(change.key.as_str(), &was.to_bytes(), &is.to_bytes()) {
            Some(std::cmp::Ordering::Less) => (Low, Some(format!("upgraded: {was} -> {is}"))),
            Some(std::cmp::Ordering::Greater) => (High, Some(format!("downgraded: {was} -> {is}"))),
            _ => (Medium, None),
        };
    }
    (
        if change.kind == ChangeKind::Modified {
            Low
        } else {
            Medium
        },
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(
        section: &str,
        key: &str,
        kind: ChangeKind,
        fields: &[(&str, Option<&str>, Option<&str>)],
    ) -> Change {
        let value = |text: Option<&str>| text.map(Value::from);
        let fields = fields
            .iter()
            .map(|(name, was, is)| FieldChange {
                name: (*name).into(),
                expected: value(*was),
                actual: value(*is),
            })
            .collect();
        Change {
            section: section.into(),
            key: key.into(),
            kind,
            fields,
        }
    }

    #[test]
    fn worse_rules_come_first() {
        use ChangeKind::{Added, Modified, Removed};
        let mode = |was, is| vec![("mode", Some(was), Some(is))];
        for (path, kind, fields, wanted) in [
            ("/usr/bin/x", Modified, mode("0755", "4755"), Critical),
            ("/usr/bin/x", Modified, mode("4755", "0755"), High),
            (
                "/tmp/x",
                Added,
                vec![("mode", None, Some("4755")), ("type", None, Some("file"))],
                Critical,
            ),
            (
                "/var/d",
                Added,
                vec![("mode", None, Some("2755")), ("type", None, Some("directory"))],
                Low,
            ),
            (
                "/opt/x",
                Modified,
                vec![("capabilities", None, Some("cap_net_raw=ep"))],
                Critical,
            ),
            ("/etc/ld.so.preload", Added, vec![], Critical),
            ("/etc/ld.so.preload", Removed, vec![], Medium),
            ("/etc/motd", Modified, mode("0644", "0666"), High),
            ("/var/tmp", Modified, mode("1777", "1777"), Low),
            (
                "/etc/ssh/sshd_config",
                Modified,
                vec![("digest", Some("a"), Some("b"))],
                High,
            ),
            (
                "/home/a/.ssh/authorized_keys",
                Modified,
                vec![("digest", Some("a"), Some("b"))],
                High,
            ),
            ("/usr/share/doc/x", Removed, vec![], Low),
            ("/usr/lib/libc.so", Removed, vec![], Medium),
            (
                "/var/log/syslog",
                Modified,
                vec![("digest", Some("a"), Some("b"))],
                Low,
            ),
            (
                "/etc/motd",
                Modified,
                vec![("digest", Some("a"), Some("b"))],
                Medium,
            ),
        ] {
            assert_eq!(
                judge(&change("files", path, kind, &fields)).0,
                wanted,
                "{path} {kind} {fields:?}"
            );
        }
    }

    #[test]
    fn another_image_is_told_in_a_sentence() {
        use ChangeKind::{Added, Modified, Removed};
        let version = || ("version", Some("1.4"), Some("1.3"));
        for (kind, fields, wanted, meaning) in [
            (
                Modified,
                vec![("name", Some("web"), Some("db")), version()],
                Critical,
                "this host says it came from db 1.3, the baseline is of web 1.4",
            ),
            (
                Modified,
                vec![version()],
                High,
                "this host says it came from version 1.3 of its image, the baseline is of version 1.4 of its image",
            ),
            (
                Removed,
                vec![("name", Some("web"), None), ("version", Some("1.4"), None)],
                High,
                "this host does not say which image it came from, the baseline is of web 1.4",
            ),
            (
                Added,
                vec![("name", None, Some("web")), ("version", None, Some("1.4"))],
                High,
                "this host says it came from web 1.4, the image of the baseline had no stamp",
            ),
            (
                Modified,
                vec![("os-release", None, Some("db 7"))],
                High,
                "the host's stamp and its os-release name different images",
            ),
            (
                Modified,
                vec![("version", Some("1.4"), None)],
                High,
                "this host says less or more of the image it came from than the baseline",
            ),
        ] {
            let judged = judge(&change("image", "image", kind, &fields));
            assert_eq!(judged, (wanted, Some(meaning.to_owned())), "{fields:?}");
        }
        assert_eq!(
            judge(&change(
                "image",
                "image",
                Modified,
                &[("purpose", Some("a"), None)]
            ))
            .0,
            Medium
        );
    }

    #[test]
    fn accounts_are_judged_by_what_they_may_do() {
        let mut second_root = change("users", "toor", ChangeKind::Added, &[]);
        second_root.fields.push(FieldChange {
            name: "uid".into(),
            expected: None,
            actual: Some(0i64.into()),
        });
        assert_eq!(judge(&second_root).0, Critical);
        assert_eq!(judge(&change("users", "bob", ChangeKind::Added, &[])).0, High);
        assert_eq!(
            judge(&change("sudoers", "bob ALL", ChangeKind::Added, &[])).0,
            High
        );
        assert_eq!(
            judge(&change("sudoers", "bob ALL", ChangeKind::Removed, &[])).0,
            Medium
        );
        let empty = change(
            "shadow",
            "bob",
            ChangeKind::Modified,
            &[("password", Some("locked"), Some("empty"))],
        );
        assert_eq!(judge(&empty).0, Critical);
        let mut member = change("groups", "sudo", ChangeKind::Modified, &[]);
        member.fields.push(FieldChange {
            name: "members".into(),
            expected: Some(Value::list(["a"])),
            actual: Some(Value::list(["a", "b"])),
        });
        let (severity, meaning) = judge(&member);
        assert_eq!(
            (severity, meaning.as_deref()),
            (High, Some("b now belongs to a group with power over the host"))
        );
    }
}
