//! Which files sshd takes authorized keys from: `AuthorizedKeysFile` of `sshd_config(5)`.
//!
//! This reads the one keyword and what leads to it, `Include` and `Match`; everything else of the file is
//! another section's matter.

use crate::tree::{Tree, TreeError};

/// Where authorized keys are, as patterns with the tokens `%h`, `%u`, `%U` and `%%`; a pattern that is not
/// absolute starts at the user's home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// Patterns for every user; `None` if sshd's default holds, which is [`DEFAULT`].
    pub always: Option<Vec<Vec<u8>>>,
    /// Patterns inside a `Match` block: which users and connections they are for is not worked out here.
    pub conditional: Vec<Vec<u8>>,
    /// What could not be read or followed: the file and why.
    pub trouble: Vec<(Vec<u8>, String)>,
}

/// What sshd reads when nothing is configured.
pub const DEFAULT: [&[u8]; 2] = [b".ssh/authorized_keys", b".ssh/authorized_keys2"];

/// Reads sshd's configuration.
#[must_use]
pub fn key_files(tree: &dyn Tree) -> KeyFiles {
    let mut found = KeyFiles::default();
    let mut budget = FILES_LIMIT;
    // openSUSE keeps the vendor's file in /usr/etc; it counts only where the administrator's is missing.
    for path in [&b"/etc/ssh/sshd_config"[..], b"/usr/etc/ssh/sshd_config"] {
        match tree.read(path, CONFIG_LIMIT) {
            Err(TreeError::NotFound) => {}
            read => {
                let read = read.map_err(|why| why.to_string());
                read_config(
                    tree,
                    path,
                    read,
                    Reach {
                        depth: 0,
                        conditional: false,
                    },
                    &mut budget,
                    &mut found,
                );
                break;
            }
        }
    }
    found
}

/// Longest configuration file that is read, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;
/// Include depth at which sshd stops.
const DEPTH_LIMIT: usize = 16;
/// How many files are read in all; includes that fan out could otherwise be read forever.
const FILES_LIMIT: usize = 4096;

#[derive(Clone, Copy)]
struct Reach {
    depth: usize,
    /// Whether what is read holds only under a `Match`.
    conditional: bool,
}

fn read_config(
    tree: &dyn Tree,
    path: &[u8],
    read: Result<Vec<u8>, String>,
    reach: Reach,
    budget: &mut usize,
    found: &mut KeyFiles,
) {
    let text = match read {
        Ok(text) => text,
        Err(why) => return found.trouble.push((path.to_vec(), why)),
    };
    let mut conditional = reach.conditional;
    for line in text.split(|byte| *byte == b'\n') {
        let words = words(line);
        let Some((keyword, values)) = words.split_first() else {
            continue;
        };
        if keyword.eq_ignore_ascii_case(b"match") {
            conditional = true;
        } else if keyword.eq_ignore_ascii_case(b"authorizedkeysfile") {
            let patterns = values
                .iter()
                .filter(|value| !value.eq_ignore_ascii_case(b"none"))
                .cloned();
            if conditional {
                found.conditional.extend(patterns);
            } else if found.always.is_none() {
                // The first value wins, also over a later file.
                found.always = Some(patterns.collect());
            }
        } else if keyword.eq_ignore_ascii_case(b"include") {
            for value in values {
                let pattern = if value.starts_with(b"/") {
                    value.clone()
                } else {
                    [b"/etc/ssh/", &value[..]].concat()
                };
                for included in expand(tree, &pattern, found) {
                    if reach.depth == DEPTH_LIMIT || *budget == 0 {
                        found
                            .trouble
                            .push((path.to_vec(), "too many levels of includes".into()));
                        return;
                    }
                    *budget -= 1;
                    let read = tree.read(&included, CONFIG_LIMIT).map_err(|why| why.to_string());
                    let reach = Reach {
                        depth: reach.depth + 1,
                        conditional,
                    };
                    read_config(tree, &included, read, reach, budget, found);
                }
            }
        }
    }
}

/// The words of a line: separated by blanks or one `=` behind the keyword, quoted with `"`, up to a comment.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut rest = line.trim_ascii();
    while let Some(first) = rest.first() {
        if *first == b'#' {
            break;
        }
        let mut word = Vec::new();
        let mut quoted = false;
        let mut at = 0;
        while let Some(byte) = rest.get(at) {
            match byte {
                b'"' => quoted = !quoted,
                b' ' | b'\t' if !quoted => break,
                b'=' if !quoted && words.is_empty() => break,
                byte => word.push(*byte),
            }
            at += 1;
        }
        words.push(word);
        rest = rest[at..].trim_ascii_start();
        if words.len() == 1 {
            rest = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start();
        }
    }
    words
}

/// The files that a glob pattern stands for, in the order of glob(3). A pattern that matches nothing gives
/// nothing, as in sshd.
fn expand(tree: &dyn Tree, pattern: &[u8], found: &mut KeyFiles) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    for component in pattern
        .split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
    {
        let wild = component.iter().any(|byte| b"*?[".contains(byte));
        let mut next = Vec::new();
        for path in paths {
            if !wild {
                next.push([&path, &b"/"[..], component].concat());
                continue;
            }
            let folder = if path.is_empty() { &b"/"[..] } else { &path };
            match tree.list(folder) {
                Ok(names) => {
                    let fits = names.into_iter().filter(|name| {
                        (!name.starts_with(b".") || component.starts_with(b".")) && matches(component, name)
                    });
                    next.extend(fits.map(|name| [&path, &b"/"[..], &name].concat()));
                }
                Err(TreeError::NotFound | TreeError::WrongType) => {}
                Err(why) => found.trouble.push((folder.to_vec(), why.to_string())),
            }
        }
        paths = next;
    }
    paths.retain(|path| !matches!(tree.stat(path), Err(TreeError::NotFound)));
    paths
}

/// fnmatch(3) for one component: `*`, `?` and `[...]`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Remembers the last star and how much of the name it covers, so that no pattern takes exponential time.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, covered))) => {
                star = Some((at, covered + 1));
                p = at + 1;
                n = covered + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Length of the class `[...]` at the start of `pattern` if it has `byte` in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let length = pattern.iter().skip(first + 1).position(|byte| *byte == b']')? + first + 1;
    let members = &pattern[first..length];
    let mut inside = false;
    let mut at = 0;
    while at < members.len() {
        if members.get(at + 1) == Some(&b'-') && at + 2 < members.len() {
            inside |= (members[at]..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            inside |= members[at] == byte;
            at += 1;
        }
    }
    (inside != negated).then_some(length + 1)
}

/// The file of one user that a pattern stands for; `None` for a token that sshd does not know, or a pattern
/// below the home of a user who has none.
#[must_use]
pub fn path_for(pattern: &[u8], name: &[u8], uid: Option<u32>, home: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut rest = pattern.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            path.push(*byte);
            continue;
        }
        match rest.next()? {
            b'%' => path.push(b'%'),
            b'h' => path.extend_from_slice(home),
            b'u' => path.extend_from_slice(name),
            b'U' => path.extend_from_slice(uid?.to_string().as_bytes()),
            _ => return None,
        }
    }
    if path.starts_with(b"/") {
        return Some(path);
    }
    home.starts_with(b"/").then(|| [home, b"/", &path].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::memory::MemoryTree;

    fn texts(patterns: &[Vec<u8>]) -> Vec<String> {
        patterns
            .iter()
            .map(|pattern| String::from_utf8_lossy(pattern).into_owned())
            .collect()
    }

    #[test]
    fn first_value_wins_and_includes_come_in_place() {
        let tree = MemoryTree::new()
            .file(
                "/etc/ssh/sshd_config",
                "Include sshd_config.d/*.conf\nAuthorizedKeysFile late\n",
            )
            .file(
                "/etc/ssh/sshd_config.d/20-b.conf",
                "authorizedkeysfile = \"/keys/%u\" .ssh/x # why\n",
            )
            .file(
                "/etc/ssh/sshd_config.d/10-a.conf",
                "# AuthorizedKeysFile no\nPort 22\n",
            )
            .file(
                "/etc/ssh/sshd_config.d/.hidden.conf",
                "AuthorizedKeysFile hidden\n",
            )
            .file("/etc/ssh/sshd_config.d/00-a.txt", "AuthorizedKeysFile no\n");
        let found = key_files(&tree);
        assert_eq!(texts(found.always.as_ref().unwrap()), ["/keys/%u", ".ssh/x"]);
        assert_eq!((found.conditional.len(), found.trouble.len()), (0, 0));
    }

    #[test]
    fn match_blocks_do_not_reach_out_of_their_file() {
        let tree = MemoryTree::new()
            .file(
                "/etc/ssh/sshd_config",
                "Include /etc/ssh/a\nAuthorizedKeysFile none\nMatch User x\nInclude /etc/ssh/b\n",
            )
            .file("/etc/ssh/a", "Match Group y\nAuthorizedKeysFile /a\n")
            .file("/etc/ssh/b", "AuthorizedKeysFile /b\n");
        let found = key_files(&tree);
        assert_eq!(found.always, Some(Vec::new()));
        assert_eq!(texts(&found.conditional), ["/a", "/b"]);
    }

    #[test]
    fn loops_and_unreadable_files_are_trouble() {
        let tree = MemoryTree::new().file(
            "/etc/ssh/sshd_config",
            "Include /etc/ssh/sshd_config\nInclude /etc/ssh/sshd_config\n",
        );
        assert_eq!(key_files(&tree).trouble[0].1, "too many levels of includes");
        let tree = MemoryTree::new().failing("/etc/ssh/sshd_config", TreeError::Denied);
        assert_eq!(
            key_files(&tree).trouble,
            [(b"/etc/ssh/sshd_config".to_vec(), "permission denied".into())]
        );
        assert_eq!(key_files(&MemoryTree::new()), KeyFiles::default());
    }

    #[test]
    fn tokens() {
        let path = |pattern: &str| path_for(pattern.as_bytes(), b"alice", Some(7), b"/home/a");
        assert_eq!(path(".ssh/k"), Some(b"/home/a/.ssh/k".to_vec()));
        assert_eq!(path("%h/k%%"), Some(b"/home/a/k%".to_vec()));
        assert_eq!(path("/k/%u.%U"), Some(b"/k/alice.7".to_vec()));
        assert_eq!(path("/k/%x"), None);
        assert_eq!(path("/k/%"), None);
        assert_eq!(path_for(b".ssh/k", b"a", None, b""), None);
    }

    #[test]
    fn globs() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("[a", "[a", false),
            ("", "", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_configuration(bytes: Vec<u8>, pattern in "[a*?\\[\\]!^-]{0,12}", name in "[a\\[\\]-]{0,12}") {
            let tree = MemoryTree::new().file("/etc/ssh/sshd_config", &bytes);
            prop_assert!(key_files(&tree).conditional.len() <= bytes.len());
            matches(pattern.as_bytes(), name.as_bytes());
        }
    }
}
