//! The stamp: what a root says of the image that it is or came from.
//!
//! It is written into the image at build time ([`write`](mod@write)) and travels with every host. It identifies, it does
//! not prove: whoever is root on a host can change it, so nothing but the choice of a baseline may rest on it.
//!
//! Two files can hold it: our own [`IMAGE_FILE`], and os-release(5) with `IMAGE_ID` and `IMAGE_VERSION`. Our own
//! comes first; where the other one says something else, that is told.

mod os_release;
pub mod write;

use std::fmt;

use baseline_format::OsText;
use serde::Deserialize;

use crate::tree::{Tree, TreeError};

/// Our own file, below the root.
pub const IMAGE_FILE: &str = "/usr/lib/driftcheck/image.json";
/// Where os-release(5) is looked for, in this order.
pub const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Either file is short. Bytes.
const LIMIT: u64 = 64 << 10;
/// Longest value. Bytes.
const VALUE_LIMIT: usize = 255;

/// What a root says of its image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// What it says.
    pub identity: Identity,
    /// The file that says it.
    pub source: &'static str,
    /// What os-release says, if that is something else than our own file: `ID VERSION`.
    pub os_release: Option<String>,
    /// Why it is not known whether os-release says something else.
    pub os_release_unseen: Option<Unreadable>,
}

/// Who an image is: the members of [`IMAGE_FILE`], all texts. Unknown members are left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The image's name, e.g. `web`.
    pub name: Option<String>,
    /// The image's version, e.g. `1.4`.
    pub version: Option<String>,
    /// When the image was built, RFC 3339.
    pub built: Option<String>,
    /// Digest of the image as published, where a builder knows it.
    pub digest: Option<String>,
    /// The image that this one was built on.
    pub parent: Option<String>,
    /// What hosts of the image are for.
    pub purpose: Option<String>,
    /// The image that this one takes the place of.
    pub supersedes: Option<String>,
}

impl Identity {
    /// Name and value of what is known, sorted by name.
    pub fn members(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("built", &self.built),
            ("digest", &self.digest),
            ("name", &self.name),
            ("parent", &self.parent),
            ("purpose", &self.purpose),
            ("supersedes", &self.supersedes),
            ("version", &self.version),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// `NAME VERSION`, as far as they are known.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.version) {
            (Some(name), Some(version)) => write!(f, "{name} {version}"),
            (Some(name), None) => f.write_str(name),
            (None, Some(version)) => write!(f, "version {version} of an image without a name"),
            (None, None) => f.write_str("an image without a name"),
        }
    }
}

/// A file that may hold a stamp and cannot be read or understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: &'static str,
    /// Why, as a lower-case fragment.
    pub why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

impl std::error::Error for Unreadable {}

/// Reads the stamp of a root; `None` if it has none. A file that is there and cannot be read is an error: what it
/// says is not known, and the other file must not answer in its place.
pub fn read(tree: &dyn Tree) -> Result<Option<Stamp>, Unreadable> {
    let own = read_own(tree)?;
    let other = read_os_release(tree);
    let Some(identity) = own else {
        return Ok(other?.map(|(identity, source)| Stamp {
            identity,
            source,
            ..Stamp::default()
        }));
    };
    let (other, os_release_unseen) = match other {
        Ok(other) => (other, None),
        Err(why) => (None, Some(why)),
    };
    let os_release = other
        .filter(|(other, _)| other.contradicts(&identity))
        .map(|(other, _)| other.to_string());
    Ok(Some(Stamp {
        identity,
        source: IMAGE_FILE,
        os_release,
        os_release_unseen,
    }))
}

impl Identity {
    /// Whether the other one says another name or version. What one of them does not say does not differ.
    fn contradicts(&self, other: &Self) -> bool {
        let differ = |one: Option<&String>, other: Option<&String>| matches!((one, other), (Some(one), Some(other)) if one != other);
        differ(self.name.as_ref(), other.name.as_ref())
            || differ(self.version.as_ref(), other.version.as_ref())
    }
}

fn read_own(tree: &dyn Tree) -> Result<Option<Identity>, Unreadable> {
    let unreadable = |why: String| Unreadable {
        path: IMAGE_FILE,
        why,
    };
    let bytes = match tree.read(IMAGE_FILE.as_bytes(), LIMIT) {
        Ok(bytes) => bytes,
        Err(TreeError::NotFound) => return Ok(None),
        Err(why) => return Err(unreadable(why.to_string())),
    };
    let identity: Identity = serde_json::from_slice(&bytes).map_err(|why| unreadable(fault_of(&why)))?;
    if identity.name.is_none() {
        return Err(unreadable("no member `name`".to_owned()));
    }
    check(&identity).map_err(unreadable)?;
    Ok(Some(identity))
}

/// Why JSON cannot be taken, without its text, which may be anything.
fn fault_of(why: &serde_json::Error) -> String {
    let what = match why.classify() {
        serde_json::error::Category::Data => "a member is not a text, or is there twice",
        _ => "no JSON",
    };
    format!("line {}, column {}: {what}", why.line(), why.column())
}

fn read_os_release(tree: &dyn Tree) -> Result<Option<(Identity, &'static str)>, Unreadable> {
    for path in OS_RELEASE {
        let unreadable = |why: String| Unreadable { path, why };
        let bytes = match tree.read(path.as_bytes(), LIMIT) {
            Ok(bytes) => bytes,
            Err(TreeError::NotFound) => continue,
            Err(why) => return Err(unreadable(why.to_string())),
        };
        let value = |name: &str| match os_release::value(&bytes, name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => String::from_utf8(value)
                .map(Some)
                .map_err(|_| unreadable(format!("{name}: invalid UTF-8"))),
        };
        let identity = Identity {
            name: value("IMAGE_ID")?,
            version: value("IMAGE_VERSION")?,
            ..Identity::default()
        };
        check(&identity).map_err(unreadable)?;
        let says_something = identity != Identity::default();
        return Ok(says_something.then_some((identity, path)));
    }
    Ok(None)
}

/// Refuses values that no image would have: they end in reports and on terminals.
pub(crate) fn check(identity: &Identity) -> Result<(), String> {
    for (name, value) in identity.members() {
        if value.is_empty() {
            return Err(format!("{name} is empty"));
        }
        if value.len() > VALUE_LIMIT {
            return Err(format!("{name} is longer than {VALUE_LIMIT} bytes"));
        }
        if OsText::from(value).as_str() != value {
            return Err(format!(
                "{name} has a character that cannot be printed, or a backslash"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::memory::MemoryTree;

    fn identity(name: Option<&str>, version: Option<&str>) -> Identity {
        Identity {
            name: name.map(Into::into),
            version: version.map(Into::into),
            ..Identity::default()
        }
    }

    #[test]
    fn our_own_file_comes_first() {
        let os_release = "ID=debian\nIMAGE_ID=\"web\"\nIMAGE_VERSION=1.3\n";
        let tree = || MemoryTree::new().file("/usr/lib/os-release", os_release);
        let found = read(&tree()).unwrap().unwrap();
        assert_eq!(found.identity, identity(Some("web"), Some("1.3")));
        assert_eq!((found.source, &found.os_release), (OS_RELEASE[1], &None));

        let tree = || tree().file(IMAGE_FILE, r#"{"name":"web","version":"1.4","later":[1]}"#);
        let found = read(&tree()).unwrap().unwrap();
        assert_eq!(found.identity, identity(Some("web"), Some("1.4")));
        assert_eq!(
            (found.source, found.os_release.as_deref()),
            (IMAGE_FILE, Some("web 1.3"))
        );

        let found = read(&tree().file("/etc/os-release", "IMAGE_ID=web\n"))
            .unwrap()
            .unwrap();
        assert_eq!(
            found.os_release, None,
            "a version that is not said does not differ"
        );
        let found = read(&tree().failing("/etc/os-release", TreeError::Denied))
            .unwrap()
            .unwrap();
        assert_eq!(
            found.os_release_unseen.unwrap().to_string(),
            "/etc/os-release: permission denied"
        );
    }

    #[test]
    fn no_stamp_is_not_an_unreadable_one() {
        assert_eq!(read(&MemoryTree::new()), Ok(None));
        assert_eq!(
            read(&MemoryTree::new().file("/etc/os-release", "ID=debian\n")),
            Ok(None)
        );
        assert_eq!(
            read(&MemoryTree::new().file("/etc/os-release", "IMAGE_ID=\n")),
            Ok(None)
        );
        let os_release = "IMAGE_ID=web\n";
        for (content, why) in [
            ("", "line 1, column 0: no JSON"),
            ("{", "line 1, column 1: no JSON"),
            ("{}", "no member `name`"),
            (
                r#"{"name":7}"#,
                "line 1, column 9: a member is not a text, or is there twice",
            ),
            (
                r#"{"name":"a","name":"b"}"#,
                "line 1, column 18: a member is not a text, or is there twice",
            ),
            (r#"{"name":""}"#, "name is empty"),
            (
                r#"{"name":"a\u001b[2J"}"#,
                "name has a character that cannot be printed, or a backslash",
            ),
        ] {
            let tree = MemoryTree::new()
                .file(IMAGE_FILE, content)
                .file("/etc/os-release", os_release);
            assert_eq!(read(&tree).unwrap_err().why, why, "{content}");
        }
        let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(300));
        assert!(read(&MemoryTree::new().file(IMAGE_FILE, long)).is_err());
        assert!(read(&MemoryTree::new().file("/etc/os-release", b"IMAGE_ID=caf\xff\n")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_stamp_or_refused(own: Vec<u8>, other in "(IMAGE_ID|IMAGE_VERSION|=|\"|'|\\\\|[ -~\n]){0,40}") {
            for tree in [
                MemoryTree::new().file(IMAGE_FILE, &own).file("/etc/os-release", &other),
                MemoryTree::new().file("/etc/os-release", &other),
            ] {
                if let Ok(Some(stamp)) = read(&tree) {
                    prop_assert!(check(&stamp.identity).is_ok());
                }
            }
        }
    }
}
