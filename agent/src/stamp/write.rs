//! `driftcheck stamp`: writing the stamp into an image that is being built.
//!
//! It writes our own file, [`IMAGE_FILE`], and on request two lines of os-release. The same request gives the same
//! bytes, and with `SOURCE_DATE_EPOCH` the same times. It refuses a tree whose links lead elsewhere, and the running
//! system unless that is meant.

use std::collections::BTreeMap;
use std::fmt;

use baseline_format::OsText;
use rustix::io::Errno;

use super::{IMAGE_FILE, Identity, OS_RELEASE, Stamp, check, os_release};
use crate::sys::{self, Directory, Look};
use crate::tree::{LiveTree, Tree as _};

/// What is written, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root of the image.
    pub root: Vec<u8>,
    /// What is written. Name and version must be there.
    pub identity: Identity,
    /// Whether os-release gets `IMAGE_ID` and `IMAGE_VERSION`.
    pub os_release: Target,
    /// Whether the root may be that of the running system.
    pub live: Live,
    /// Time of what is written (`SOURCE_DATE_EPOCH`), seconds since 1970; `None`: now.
    pub mtime: Option<i64>,
}

/// Whether os-release is written, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Only our own file.
    OwnFile,
    /// Our own file and os-release.
    OwnFileAndOsRelease,
}

/// Whether the running system may be stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// Yes.
    Allowed,
    /// No.
    Refused,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// The files, from the root.
    pub files: Vec<OsText>,
    /// What the root said before, if it said something else.
    pub before: Option<Identity>,
}

/// Stamps a root.
pub fn run(settings: &Settings) -> Result<Stamped, Failure> {
    let identity = &settings.identity;
    check(identity).map_err(Failure::Usage)?;
    let (Some(name), Some(version)) = (&identity.name, &identity.version) else {
        return Err(Failure::Usage("an image has a name and a version".to_owned()));
    };
    let root = sys::open_root(&settings.root).map_err(|why| {
        let root = OsText::new(&settings.root);
        Failure::Usage(format!("cannot look at the root `{root}`: {}", sys::explain(why)))
    })?;
    refuse_running_system(&root, settings.live)?;
    let tree = LiveTree::open(&settings.root)
        .map_err(|why| Failure::Usage(format!("cannot look at the root: {why}")))?;
    let before = super::read(&tree);
    let os_release = match settings.os_release {
        Target::OwnFileAndOsRelease => Some(prepared(
            &root,
            &tree,
            [("IMAGE_ID", name), ("IMAGE_VERSION", version)],
        )?),
        Target::OwnFile => {
            refuse_two_stories(&tree, identity)?;
            None
        }
    };

    let look = Look {
        mode: 0o644,
        owner: None,
        xattrs: Vec::new(),
        mtime: settings.mtime,
    };
    let mut files = vec![OsText::from(IMAGE_FILE)];
    let (directory, file) = own_place(&root, settings.mtime)?;
    sys::replace_file(&directory, file, &content(identity), &look)
        .map_err(|why| at(IMAGE_FILE.as_bytes(), why))?;
    if let Some((place, text)) = os_release {
        let look = Look {
            mtime: settings.mtime,
            ..place.look
        };
        sys::replace_file(&place.directory, &place.name, &text, &look).map_err(|why| at(&place.path, why))?;
        files.push(OsText::new(&place.path));
    }
    let before = before.ok().flatten().map(|stamp: Stamp| stamp.identity);
    Ok(Stamped {
        files,
        before: before.filter(|before| before != identity),
    })
}

/// The file's content: JSON, sorted, the same bytes for the same identity.
fn content(identity: &Identity) -> Vec<u8> {
    let members: BTreeMap<&str, &str> = identity.members().collect();
    // Texts by name always have a JSON text.
    let mut text = serde_json::to_vec_pretty(&members).unwrap_or_default();
    text.push(b'\n');
    text
}

fn refuse_running_system(root: &Directory, live: Live) -> Result<(), Failure> {
    let running = sys::open_root(b"/").map_err(|why| at(b"/", why))?;
    if live == Live::Refused && sys::is_same(root, &running).map_err(|why| at(b"/", why))? {
        return Err(Failure::Usage(
            "this is the root of the running system: name the image's root, or say --live if this system is to become \
             the image"
                .to_owned(),
        ));
    }
    Ok(())
}

/// An image must not say two things of itself.
fn refuse_two_stories(tree: &LiveTree, identity: &Identity) -> Result<(), Failure> {
    let other = super::read_os_release(tree).map_err(|why| Failure::Usage(why.to_string()))?;
    let Some((other, path)) = other else { return Ok(()) };
    if other.contradicts(identity) {
        return Err(Failure::Usage(format!(
            "{path} says that this is {other}: add --os-release, so that both say the same"
        )));
    }
    Ok(())
}

/// The directory of our own file, made if it is not there, and the file's name.
fn own_place(root: &Directory, mtime: Option<i64>) -> Result<(Directory, &'static [u8]), Failure> {
    let path = IMAGE_FILE.trim_start_matches('/');
    let (above, file) = path.rsplit_once('/').unwrap_or(("", path));
    let mut directory = sys::open_below(root, b"").map_err(|why| at(b"/", why))?;
    let mut reached = String::new();
    for name in above.split('/') {
        reached = format!("{reached}/{name}");
        directory = sys::make_directory(&directory, name.as_bytes(), mtime)
            .map_err(|why| at(reached.as_bytes(), why))?;
    }
    Ok((directory, file.as_bytes()))
}

/// Where os-release really is, and its new text.
fn prepared(
    root: &Directory,
    tree: &LiveTree,
    values: [(&str, &String); 2],
) -> Result<(sys::Place, Vec<u8>), Failure> {
    for (name, value) in values {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if !value.bytes().all(is_plain) {
            return Err(Failure::Usage(format!(
                "`{value}` cannot be the {name} of os-release: only a-z, 0-9, `.`, `_` and `-` may be in it"
            )));
        }
    }
    for path in OS_RELEASE {
        let place = match sys::real_place(root, path.as_bytes()) {
            Ok(place) => place,
            Err(Errno::NOENT) => continue,
            Err(Errno::INVAL) => return Err(Failure::Usage(format!("{path}: not a regular file"))),
            Err(why) => return Err(at(path.as_bytes(), why)),
        };
        let failed = |why| Failure::Usage(format!("{path}: {why}"));
        let text = tree.read(&place.path, super::LIMIT).map_err(failed)?;
        return Ok((
            place,
            os_release::with(&text, &values.map(|(name, value)| (name, value.as_str()))),
        ));
    }
    Err(Failure::Usage(
        "the root has no os-release to write to: leave out --os-release".to_owned(),
    ))
}

/// Why a root was not stamped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The request cannot be met as it is.
    Usage(String),
    /// A file cannot be reached or written.
    Write {
        /// The file.
        path: OsText,
        /// Why.
        why: String,
    },
}

fn at(path: &[u8], why: Errno) -> Failure {
    Failure::Write {
        path: OsText::new(path),
        why: sys::explain(why),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Write { path, why } => write!(f, "cannot write `{path}`: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::{Path, PathBuf};

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("driftcheck-stamp-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(path.join("usr/lib")).unwrap();
        fs::create_dir_all(path.join("etc")).unwrap();
        path
    }

    fn settings(root: &Path, name: &str, version: &str, os_release: Target) -> Settings {
        Settings {
            root: root.as_os_str().as_encoded_bytes().to_vec(),
            identity: Identity {
                name: Some(name.into()),
                version: Some(version.into()),
                purpose: Some("web server".into()),
                ..Identity::default()
            },
            os_release,
            live: Live::Refused,
            mtime: Some(1_700_000_000),
        }
    }

    #[test]
    fn the_same_request_gives_the_same_image() {
        let root = temporary("same");
        fs::write(root.join("usr/lib/os-release"), "ID=debian\nIMAGE_ID=old\n").unwrap();
        symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
        let wanted = settings(&root, "web", "1.4", Target::OwnFileAndOsRelease);
        let stamped = run(&wanted).unwrap();
        assert_eq!(
            stamped.files,
            [
                "/usr/lib/driftcheck/image.json".into(),
                "/usr/lib/os-release".into()
            ]
        );
        assert_eq!(stamped.before.unwrap().name.as_deref(), Some("old"));
        let own = root.join("usr/lib/driftcheck/image.json");
        let first = fs::read_to_string(&own).unwrap();
        assert_eq!(
            first,
            "{\n  \"name\": \"web\",\n  \"purpose\": \"web server\",\n  \"version\": \"1.4\"\n}\n"
        );
        assert_eq!(
            fs::read_to_string(root.join("etc/os-release")).unwrap(),
            "ID=debian\nIMAGE_ID=web\nIMAGE_VERSION=1.4\n"
        );
        assert_eq!(run(&wanted).unwrap().before, None);
        assert_eq!(fs::read_to_string(&own).unwrap(), first);
        for path in [
            "usr/lib",
            "usr/lib/driftcheck",
            "usr/lib/driftcheck/image.json",
            "usr/lib/os-release",
        ] {
            assert_eq!(
                fs::metadata(root.join(path)).unwrap().mtime(),
                1_700_000_000,
                "{path}"
            );
        }
        let tree = LiveTree::open(&wanted.root).unwrap();
        assert_eq!(
            super::super::read(&tree).unwrap().unwrap().identity,
            wanted.identity
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_would_lie_or_lead_out_is_refused() {
        let root = temporary("refused");
        let said = |settings: &Settings| run(settings).unwrap_err().to_string();
        let wanted = settings(&root, "web", "1.4", Target::OwnFile);
        assert!(said(&settings(Path::new("/"), "web", "1.4", Target::OwnFile)).contains("--live"));
        assert!(said(&settings(&root, "", "1", Target::OwnFile)).contains("name is empty"));
        assert!(said(&settings(&root, "Web", "1", Target::OwnFileAndOsRelease)).contains("IMAGE_ID"));
        assert!(said(&settings(&root, "web", "1", Target::OwnFileAndOsRelease)).contains("no os-release"));
        fs::write(root.join("etc/os-release"), "IMAGE_ID=db\n").unwrap();
        assert_eq!(
            said(&wanted),
            "/etc/os-release says that this is db: add --os-release, so that both say the same"
        );
        fs::remove_file(root.join("etc/os-release")).unwrap();

        let outside = temporary("outside");
        symlink(&outside, root.join("usr/lib/driftcheck")).unwrap();
        assert_eq!(
            said(&wanted),
            "cannot write `/usr/lib/driftcheck`: it is a symbolic link"
        );
        assert!(!outside.join("image.json").exists());
        fs::remove_dir_all(root).unwrap();
        fs::remove_dir_all(outside).unwrap();
    }
}
