//! From names in an mtree to paths.
//!
//! A name without a slash is relative to the directory that was listed last and not left with `..`; a name with a
//! slash is a path from the root. After a path, readers differ on what a relative name is relative to, so that one
//! is refused there.

use super::super::vis;

/// Bytes of a path; more than the kernel takes in one call, less than what fills the memory line by line.
const LONGEST: usize = 64 << 10;

/// Where in the tree an mtree is.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The current directory, empty for the root; `None` before the root and after its `..`.
    current: Option<Vec<u8>>,
    /// Whether a name with a slash has been seen.
    full: bool,
}

impl Paths {
    /// The path of a name. A directory becomes the current one if the name is relative.
    pub(super) fn of(&mut self, name: &[u8], is_directory: bool) -> Result<Vec<u8>, String> {
        let decoded = vis::decode(name)?;
        if decoded.contains(&0) {
            return Err("a zero byte in a name".into());
        }
        if *decoded == *b"." {
            if is_directory && self.current.is_none() {
                self.current = Some(Vec::new());
            }
            return Ok(b"/".to_vec());
        }
        if decoded.contains(&b'/') {
            self.full = true;
            return full(&decoded);
        }
        if self.full {
            return Err(
                "a relative name after a full path, which readers place differently: write its full path"
                    .into(),
            );
        }
        component(&decoded)?;
        let current = self.current.as_deref().unwrap_or_default();
        let path = [current, b"/", &decoded[..]].concat();
        if path.len() > LONGEST {
            return Err(too_long());
        }
        if is_directory {
            self.current = Some(path.clone());
        }
        Ok(path)
    }

    /// Leaves the current directory.
    pub(super) fn up(&mut self) -> Result<(), String> {
        if self.full {
            return Err("`..` after a full path, which readers place differently".into());
        }
        let Some(current) = self.current.take() else {
            return Err("`..` leaves the root".into());
        };
        let slash = current.iter().rposition(|byte| *byte == b'/');
        self.current = slash.map(|at| current.get(..at).unwrap_or_default().to_vec());
        Ok(())
    }

    /// Whether the mtree may end here: whoever writes relative names leaves every directory but the root.
    pub(super) fn end(&self) -> Result<(), String> {
        match self.current.as_deref() {
            None | Some(b"") => Ok(()),
            Some(_) if self.full => Ok(()),
            Some(current) => Err(format!(
                "it ends inside `{}`: it may have been cut; add the missing `..` lines if it is whole",
                baseline_format::OsText::new(current)
            )),
        }
    }
}

fn full(name: &[u8]) -> Result<Vec<u8>, String> {
    let below = name.strip_prefix(b"./").unwrap_or(name);
    if below.starts_with(b"/") {
        return Err("names in an mtree are relative: write it with a dot in front".into());
    }
    for part in below.split(|byte| *byte == b'/') {
        component(part)?;
    }
    let path = [b"/", below].concat();
    if path.len() > LONGEST {
        return Err(too_long());
    }
    Ok(path)
}

fn component(name: &[u8]) -> Result<(), String> {
    match name {
        b"" => Err("an empty component".into()),
        b"." | b".." => Err("`.` or `..` in a path".into()),
        _ => Ok(()),
    }
}

fn too_long() -> String {
    format!("a path of more than {LONGEST} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_last_directory() {
        let mut paths = Paths::default();
        let mut of = |name: &[u8], is_directory| paths.of(name, is_directory);
        assert_eq!(of(b".", true), Ok(b"/".to_vec()));
        assert_eq!(of(b"a\\040b", false), Ok(b"/a b".to_vec()));
        assert_eq!(of(b"d", true), Ok(b"/d".to_vec()));
        assert_eq!(of(b"e", true), Ok(b"/d/e".to_vec()));
        assert!(paths.end().unwrap_err().starts_with("it ends inside `/d/e`"));
        paths.up().unwrap();
        assert_eq!(paths.of(b"f", false), Ok(b"/d/f".to_vec()));
        paths.up().unwrap();
        assert_eq!(paths.end(), Ok(()));
        paths.up().unwrap();
        assert_eq!(paths.up(), Err("`..` leaves the root".to_owned()));
        assert_eq!(paths.of(b"g", false), Ok(b"/g".to_vec()));
        assert_eq!(paths.of(b"x/y", true), Ok(b"/x/y".to_vec()));
        assert!(paths.of(b"z", true).is_err() && paths.up().is_err());
    }

    #[test]
    fn no_path_leaves_the_root() {
        for name in [
            &b"../a"[..],
            b"a/../b",
            b"/etc",
            b"//etc",
            b".//etc",
            b"a/",
            b"a//b",
            b"./.",
            b"\\056\\056",
            b"a\\057b",
        ] {
            assert!(Paths::default().of(name, false).is_err(), "{name:?}");
        }
        let mut paths = Paths::default();
        let long = vec![b'a'; LONGEST];
        assert!(paths.of(&long, true).is_err());
        assert!(paths.of(&[b"./", &long[..]].concat(), true).is_err());
    }
}
