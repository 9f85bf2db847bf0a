//! Disks and images of disks: what is in a file or block device before there is a file system.
//!
//! [`recognise`](fn@recognise::recognise) says what bytes are, [`qcow2`] shows the virtual disk in an image,
//! [`partitions`] what a disk is divided into. None of them guesses: what is ambiguous, damaged or not known is
//! refused with the reason and, where there is one, the way out.

pub mod file;
pub mod partitions;
pub mod qcow2;
pub mod recognise;

use std::path::Path;

/// A path as it can be pasted into a shell, however hostile: names in images are shown in advice.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-') {
        return text;
    }
    // As the path of a file, whatever its name begins with; control characters do not reach a terminal.
    let dot = if text.starts_with('-') { "./" } else { "" };
    format!(
        "'{dot}{}'",
        text.replace('\'', r"'\''").replace(char::is_control, "?")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_nothing_but_a_name() {
        for (path, expected) in [
            ("/a/b-1_2.raw", "/a/b-1_2.raw"),
            ("my disk", "'my disk'"),
            ("$(reboot)`x`", "'$(reboot)`x`'"),
            ("-x", "'./-x'"),
            ("it's\u{1b}[0m\n", r"'it'\''s?[0m?'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
