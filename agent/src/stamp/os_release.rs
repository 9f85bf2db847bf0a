//! Lines of os-release(5): assignments as a shell understands them, of which only plain values and quotes are meant.

/// The value of a name; the last assignment counts, as in a shell. `None` if there is none.
pub(super) fn value(text: &[u8], name: &str) -> Option<Vec<u8>> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| assigned(line, name))
        .next_back()
        .map(unquoted)
}

/// The text with names set to values. Other lines stay as they are; a name that is not there yet comes at the end.
/// Values must be of characters that need no quotes.
pub(super) fn with(text: &[u8], values: &[(&str, &str)]) -> Vec<u8> {
    let mut done = vec![false; values.len()];
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut given: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last line end is no line.
    if given.last().is_some_and(|last| last.is_empty()) {
        given.pop();
    }
    for line in given {
        let known = values.iter().position(|(name, _)| assigned(line, name).is_some());
        match known.and_then(|at| Some((values.get(at)?, done.get_mut(at)?))) {
            None => lines.push(line.to_vec()),
            // A second assignment would win over ours.
            Some((_, done)) if *done => {}
            Some(((name, value), done)) => {
                *done = true;
                lines.push(format!("{name}={value}").into_bytes());
            }
        }
    }
    for ((name, value), _) in values.iter().zip(&done).filter(|(_, done)| !**done) {
        lines.push(format!("{name}={value}").into_bytes());
    }
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    text
}

/// What a line assigns to a name, as it is written.
fn assigned<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    line.trim_ascii_start()
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"=")
        .map(<[u8]>::trim_ascii)
}

/// A value without its quotes and the backslashes that protect a character.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let (inner, quote) = match value {
        [b'\'', inner @ .., b'\''] => return inner.to_vec(),
        [b'"', inner @ .., b'"'] => (inner, true),
        plain => (plain, false),
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let protects = byte == b'\\'
            && bytes
                .peek()
                .is_some_and(|next| !quote || matches!(next, b'"' | b'$' | b'`' | b'\\'));
        out.push(if protects {
            bytes.next().unwrap_or(byte)
        } else {
            byte
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_a_shell_does() {
        let text = b"# IMAGE_ID=comment\n IMAGE_ID=old\nIMAGE_ID_LIKE=x\nA='x y'\nB=\"a \\\"b\\\" \\$c \\d\"\nC=x\\ y\nIMAGE_ID=new\n";
        for (name, wanted) in [
            ("IMAGE_ID", Some("new")),
            ("A", Some("x y")),
            ("B", Some("a \"b\" $c \\d")),
            ("C", Some("x y")),
            ("D", None),
        ] {
            assert_eq!(value(text, name).as_deref(), wanted.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn other_lines_stay() {
        let values = [("IMAGE_ID", "web"), ("IMAGE_VERSION", "1.4")];
        assert_eq!(
            with(b"ID=debian\nIMAGE_ID=a\n# end\nIMAGE_ID=b", &values),
            b"ID=debian\nIMAGE_ID=web\n# end\nIMAGE_VERSION=1.4\n"
        );
        assert_eq!(with(b"", &values), b"IMAGE_ID=web\nIMAGE_VERSION=1.4\n");
        assert_eq!(with(b"A=1\n\n", &values[..1]), b"A=1\n\nIMAGE_ID=web\n");
    }

    proptest! {
        #[test]
        fn what_is_set_is_read_again(text: Vec<u8>, id in "[a-z0-9._-]{1,9}", version in "[a-z0-9._-]{1,9}") {
            let values = [("IMAGE_ID", &id[..]), ("IMAGE_VERSION", &version[..])];
            let once = with(&text, &values);
            prop_assert_eq!(value(&once, "IMAGE_ID"), Some(id.clone().into_bytes()));
            prop_assert_eq!(value(&once, "IMAGE_VERSION"), Some(version.clone().into_bytes()));
            prop_assert_eq!(with(&once, &values), once.clone());
        }
    }
}
