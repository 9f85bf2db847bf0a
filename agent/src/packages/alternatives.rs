//! Which of several programs a general name means: update-alternatives(1) of Debian, in
//! `/var/lib/dpkg/alternatives`, and alternatives(8) of Red Hat, in `/var/lib/alternatives`.
//!
//! Both keep a file a name that begins alike: `auto` or `manual`, the path that stands for the choice, then a
//! name and a path for each slave, and an empty line. What can be chosen follows and is not read. What is
//! chosen is no part of the file: it is where the link `/etc/alternatives/NAME` leads.
//!
//! Trouble has the keys `alternative/NAME` and `alternative`; a reason that begins with `target: ` concerns
//! only [`Alternative::target`].

use super::lines::{Line, at, if_there, joined, lines};
use crate::tree::{Tree, TreeError};

/// A general name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The name, e.g. `editor`.
    pub name: Vec<u8>,
    /// The path that programs use, e.g. `/usr/bin/editor`.
    pub link: Vec<u8>,
    /// Who chooses.
    pub mode: Mode,
    /// What is chosen; `None` if nothing is.
    pub target: Option<Vec<u8>>,
    /// What follows the choice.
    pub slaves: Vec<Slave>,
}

/// A name that follows another one's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slave {
    /// The name, e.g. `editor.1.gz`.
    pub name: Vec<u8>,
    /// The path that programs use.
    pub link: Vec<u8>,
}

/// Who chooses between alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The priorities that packages gave.
    Auto,
    /// The administrator.
    Manual,
}

impl Mode {
    /// As it is written in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Alternatives {
    /// By name within a place.
    pub found: Vec<Alternative>,
    /// What could not be read or understood: the key it concerns and why.
    pub trouble: Vec<(Vec<u8>, String)>,
}

/// Reads all alternatives. Where there are none, nothing is found and nothing is wrong.
pub fn read(tree: &dyn Tree) -> Alternatives {
    let mut all = Alternatives::default();
    for place in PLACES {
        match if_there(tree.list(place)) {
            Ok(names) => names
                .unwrap_or_default()
                .iter()
                .for_each(|name| take(tree, place, name, &mut all)),
            Err(why) => all.trouble.push((b"alternative".into(), at(place, &why))),
        }
    }
    all
}

const PLACES: [&[u8]; 2] = [b"/var/lib/dpkg/alternatives", b"/var/lib/alternatives"];
const LINKS: &[u8] = b"/etc/alternatives/";

/// Bytes of one file; 100 choices with 100 slaves each have about 500 KiB.
const FILE_LIMIT: u64 = 4 << 20;
const MOST_SLAVES: usize = 10_000;

fn take(tree: &dyn Tree, place: &[u8], name: &[u8], all: &mut Alternatives) {
    // What both leave behind while they replace a file.
    if name.ends_with(b".dpkg-tmp") || name.ends_with(b".new") {
        return;
    }
    let path = joined(&[place, b"/", name]);
    let key = joined(&[b"alternative/", name]);
    let bytes = match if_there(tree.read(&path, FILE_LIMIT)) {
        Ok(Some(bytes)) => bytes,
        // Removed since the directory was listed.
        Ok(None) => return,
        Err(why) => return all.trouble.push((key, at(&path, &why))),
    };
    let Administration { mode, link, slaves } = match parse_alternative(&bytes) {
        Ok(administration) => administration,
        Err(why) => return all.trouble.push((key, at(&path, &why))),
    };
    let chosen = joined(&[LINKS, name]);
    let target = match if_there(tree.read_link(&chosen)) {
        Ok(target) => target,
        Err(why) => {
            let why = if why == TreeError::WrongType {
                "not a symbolic link".into()
            } else {
                why.to_string()
            };
            all.trouble.push((key, format!("target: {}", at(&chosen, &why))));
            None
        }
    };
    all.found.push(Alternative {
        name: name.to_vec(),
        link,
        mode,
        target,
        slaves,
    });
}

/// The part of a file that is alike in both kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administration {
    /// Who chooses.
    pub mode: Mode,
    /// The path that programs use.
    pub link: Vec<u8>,
    /// What follows the choice.
    pub slaves: Vec<Slave>,
}

/// Parses the beginning of a file; the error is a lower-case fragment.
pub fn parse_alternative(bytes: &[u8]) -> Result<Administration, String> {
    let mut sound = lines(bytes).map(|line| match line.fault() {
        Some(why) => Err(format!("line {}: {why}", line.number)),
        None => Ok(line),
    });
    let mode = match sound.next().transpose()?.map(|line| line.bytes) {
        Some(b"auto") => Mode::Auto,
        Some(b"manual") => Mode::Manual,
        _ => return Err("line 1: neither auto nor manual".into()),
    };
    let path = |owner: &str, sound: &mut dyn Iterator<Item = Result<Line<'_>, String>>| {
        let line = sound
            .next()
            .transpose()?
            .ok_or_else(|| format!("{owner} has no path"))?;
        if line.bytes.first() != Some(&b'/') {
            return Err(format!("line {}: not an absolute path", line.number));
        }
        Ok(line.bytes.to_vec())
    };
    let link = path("the name", &mut sound)?;
    let mut slaves = Vec::new();
    while let Some(line) = sound.next().transpose()?.filter(|line| !line.bytes.is_empty()) {
        if slaves.len() == MOST_SLAVES {
            return Err("more than 10,000 slaves".into());
        }
        slaves.push(Slave {
            name: line.bytes.to_vec(),
            link: path("a slave", &mut sound)?,
        });
    }
    Ok(Administration { mode, link, slaves })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::memory::MemoryTree;

    const AWK: &str = "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n/usr/bin/mawk\n5\n\n\n";

    #[test]
    fn both_kinds_of_file() {
        let awk = parse_alternative(AWK.as_bytes()).unwrap();
        assert_eq!(
            (awk.mode, &awk.link[..], awk.slaves.len()),
            (Mode::Auto, &b"/usr/bin/awk"[..], 1)
        );
        let ld =
            parse_alternative(b"manual\n/usr/bin/ld\n\n/usr/bin/ld.bfd\n50\n/usr/bin/ld.gold\n30\n").unwrap();
        assert_eq!(
            (ld.mode, &ld.link[..], ld.slaves.len()),
            (Mode::Manual, &b"/usr/bin/ld"[..], 0)
        );
    }

    #[test]
    fn the_choice_is_where_the_link_leads() {
        let tree = MemoryTree::new()
            .file("/var/lib/dpkg/alternatives/awk", AWK)
            .file("/var/lib/dpkg/alternatives/awk.dpkg-tmp", "")
            .link("/etc/alternatives/awk", "/usr/bin/mawk")
            .file("/var/lib/alternatives/ld", "manual\n/usr/bin/ld\n\n")
            .file("/var/lib/alternatives/odd", "auto\n/usr/bin/odd\n\n")
            .file("/etc/alternatives/odd", "no link");
        let all = read(&tree);
        let found: Vec<_> = all
            .found
            .iter()
            .map(|a| (&a.name[..], a.target.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                (&b"awk"[..], Some(&b"/usr/bin/mawk"[..])),
                (b"ld", None),
                (b"odd", None)
            ]
        );
        let why = "target: /etc/alternatives/odd: not a symbolic link".to_owned();
        assert_eq!(all.trouble, [(b"alternative/odd".to_vec(), why)]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "line 1: neither auto nor manual"),
            ("automatic\n/a\n", "line 1: neither auto nor manual"),
            ("auto\n", "the name has no path"),
            ("auto\na\n", "line 2: not an absolute path"),
            ("auto\n/a\nslave\n", "a slave has no path"),
            ("auto\n/a\nslave\n\n", "line 4: not an absolute path"),
            ("auto\n/a\0\n", "line 2: line has a NUL byte"),
        ] {
            assert_eq!(parse_alternative(text.as_bytes()).unwrap_err(), why, "{text:?}");
        }
        let tree = MemoryTree::new()
            .failing("/var/lib/alternatives", TreeError::Denied)
            .failing("/var/lib/dpkg/alternatives/x", TreeError::TooLarge(7))
            .file("/var/lib/dpkg/alternatives/y", "z");
        let keys: Vec<_> = read(&tree).trouble.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [&b"alternative/x"[..], b"alternative/y", b"alternative"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>, text in "(auto|manual)?\n(/?[a-z]{0,2}\n){0,5}") {
            prop_assert!(parse_alternative(&bytes).map_or(0, |a| a.slaves.len()) <= bytes.len());
            prop_assert!(parse_alternative(text.as_bytes()).map_or(0, |a| a.slaves.len()) <= text.len());
        }
    }
}
