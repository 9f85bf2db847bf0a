//! Paths of members and targets of hard links, and how names are told.

use baseline_format::OsText;

use crate::source::file_system::Fault;

/// The longest path, in bytes: sixteen times what one system call takes, for trees made by several.
const LONGEST_PATH: usize = 64 << 10;
/// `NAME_MAX` of Linux: no file system holds a longer name.
const LONGEST_NAME: usize = 255;
/// Names in a fault are cut here, in bytes.
const LONGEST_TOLD: usize = 300;

/// A path below the archive's root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Components joined by one `/`, none of them empty, `.` or `..`; empty for the root.
    pub(super) bytes: Vec<u8>,
    /// Whether it was spelled as only a directory's path can be: with `/` or `/.` at its end.
    pub(super) of_directory: bool,
}

/// Brings a path into its one form: a leading `/`, empty components and `.` are dropped, as every extractor does.
pub(super) fn normalise(raw: &[u8]) -> Result<Path, Fault> {
    if raw.is_empty() {
        return Err(Fault::new("an empty path"));
    }
    if raw.len() > LONGEST_PATH {
        return Err(Fault::new(format!("a path of more than {LONGEST_PATH} bytes")));
    }
    if raw.contains(&0) {
        return Err(Fault::new("a NUL in a path"));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut of_directory = false;
    for component in raw.split(|byte| *byte == b'/') {
        of_directory = matches!(component, b"" | b".");
        if of_directory {
            continue;
        }
        if component == b".." {
            return Err(Fault::new("a path that leaves the archive by `..`"));
        }
        if component.len() > LONGEST_NAME {
            return Err(Fault::new(format!(
                "a name of more than {LONGEST_NAME} bytes in a path"
            )));
        }
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(component);
    }
    Ok(Path { bytes, of_directory })
}

/// A name for a message: printable, and cut if it is very long.
pub(super) fn told(name: &[u8]) -> String {
    match name.get(..LONGEST_TOLD) {
        Some(start) => format!("`{}...`", OsText::new(start)),
        None => format!("`{}`", OsText::new(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        for (raw, normal, of_directory) in [
            ("a", "a", false),
            ("./a/b", "a/b", false),
            ("/a//b/./c", "a/b/c", false),
            ("a/", "a", true),
            ("a/.", "a", true),
            (".", "", true),
            ("./", "", true),
            ("/", "", true),
            ("...", "...", false),
            ("a\nb", "a\nb", false),
        ] {
            let expected = Path {
                bytes: normal.into(),
                of_directory,
            };
            assert_eq!(normalise(raw.as_bytes()), Ok(expected), "{raw}");
        }
        let long = [b'n'; LONGEST_NAME + 1];
        assert!(normalise(&long[1..]).is_ok());
        for raw in [&b""[..], b"..", b"a/../b", b"a/..", b"/..", b"a\0", &long] {
            assert!(normalise(raw).is_err(), "{}", told(raw));
        }
        let deep = b"a/".repeat(LONGEST_PATH / 2);
        assert!(normalise(&deep).is_ok());
        assert!(normalise(&[&deep[..], b"b"].concat()).is_err());
    }

    #[test]
    fn told_names_are_printable_and_short() {
        assert_eq!(told(b"a\x1b\xff"), "`a\\x1b\\xff`");
        assert!(told(&[b'a'; 9999]).len() < 400);
    }
}
