//! Paths of members, and the names in the layers of container images that mean something else than a file.

use crate::source::file_system::Fault;

/// A path as its directory and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (&[], path),
    }
}

/// The next component that begins at `from` or later, and where to look for the one after it. Empty ones and `.` are
/// passed over.
pub(super) fn component(path: &[u8], mut from: usize) -> Option<(&[u8], usize)> {
    loop {
        let rest = path.get(from..).filter(|rest| !rest.is_empty())?;
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        from += end + 1;
        if !name.is_empty() && name != b"." {
            return Some((name, from));
        }
    }
}

/// What a path in a layer means, by the names that the OCI image specification (`layer.md`, "Whiteouts") and AUFS
/// keep for themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// Itself.
    None,
    /// In this directory, this name of the layers below is gone.
    Whiteout(&'a [u8], &'a [u8]),
    /// Of this directory, all that the layers below have in it is gone.
    Opaque(&'a [u8]),
    /// Bookkeeping of AUFS, never part of an image.
    OfTheUnion,
}

impl<'a> Mark<'a> {
    pub(super) fn of(path: &'a [u8]) -> Result<Self, Fault> {
        let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        if AUFS.contains(&first) {
            return Ok(Self::OfTheUnion);
        }
        let (above, name) = split(path);
        if above
            .split(|byte| *byte == b'/')
            .any(|name| name.starts_with(WHITEOUT))
        {
            return Err(Fault::new("a name below a whiteout"));
        }
        let Some(removed) = name.strip_prefix(WHITEOUT) else {
            return Ok(Self::None);
        };
        match removed {
            b".wh..opq" => Ok(Self::Opaque(above)),
            b"" | b"." | b".." => Err(Fault::new("a whiteout that names nothing in its directory")),
            _ if removed.starts_with(WHITEOUT) => Err(Fault::new("a whiteout of a kind that is not known")),
            _ => Ok(Self::Whiteout(above, removed)),
        }
    }
}

const WHITEOUT: &[u8] = b".wh.";
/// What AUFS keeps in the root of a branch (aufs(5)).
const AUFS: [&[u8]; 3] = [b".wh..wh.aufs", b".wh..wh.orph", b".wh..wh.plnk"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_whatever_is_between_them() {
        let all = |path: &[u8]| {
            let (mut found, mut from) = (Vec::new(), 0);
            while let Some((name, next)) = component(path, from) {
                found.push(name.to_vec());
                from = next;
            }
            found
        };
        assert_eq!(all(b"usr/bin"), [b"usr".to_vec(), b"bin".to_vec()]);
        assert_eq!(all(b"/./usr//bin/."), [b"usr".to_vec(), b"bin".to_vec()]);
        assert_eq!(all(b"../a"), [b"..".to_vec(), b"a".to_vec()]);
        assert!(all(b"").is_empty());
        assert!(all(b"/").is_empty());
    }

    #[test]
    fn reserved_names_mean_what_the_specification_says() {
        assert_eq!(Mark::of(b"a/b"), Ok(Mark::None));
        assert_eq!(Mark::of(b"a/.wh.b"), Ok(Mark::Whiteout(b"a", b"b")));
        assert_eq!(Mark::of(b".wh.b"), Ok(Mark::Whiteout(b"", b"b")));
        assert_eq!(Mark::of(b"a/.wh..wh..opq"), Ok(Mark::Opaque(b"a")));
        assert_eq!(Mark::of(b".wh..wh.plnk/1.2"), Ok(Mark::OfTheUnion));
        for bad in [
            &b".wh."[..],
            b".wh..",
            b"a/.wh...",
            b".wh..wh.x",
            b".wh.a/b",
            b"a/.wh..wh.plnk",
            b"a/.wh.b/c",
        ] {
            assert!(Mark::of(bad).is_err(), "{bad:?}");
        }
    }
}
