//! The image that a root says it came from: section `image`.

use baseline_format::{ALL, Entry};

use super::{Facts, Probe};
use crate::stamp::{self, IMAGE_FILE, OS_RELEASE};
use crate::tree::Tree;

/// Reads the stamp that `driftcheck stamp` or a builder wrote into the image.
#[derive(Debug)]
pub(super) struct Image;

/// Key of the one entry.
const KEY: &str = "image";

impl Probe for Image {
    fn section(&self) -> &'static str {
        "image"
    }

    fn sources(&self) -> &'static [&'static str] {
        const SOURCES: &[&str] = &[IMAGE_FILE, OS_RELEASE[0], OS_RELEASE[1]];
        SOURCES
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let stamp = match stamp::read(tree) {
            Ok(None) => return,
            Ok(Some(stamp)) => stamp,
            Err(why) => return out.push(Entry::new(self.section(), why.path).unseen(ALL, &why.why)),
        };
        let mut entry = Entry::new(self.section(), KEY).with("source", stamp.source);
        for (name, value) in stamp.identity.members() {
            entry.set(name, value);
        }
        entry = entry.with_some("os-release", stamp.os_release);
        if let Some(why) = stamp.os_release_unseen {
            entry = entry.unseen("os-release", &why.to_string());
        }
        out.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, lines, lines_with_failure};
    use super::*;

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Image, IMAGE_FILE);
        testing::absent_and_unreadable(&Image, OS_RELEASE[0]);
    }

    #[test]
    fn one_entry_says_which_image() {
        let own = r#"{"name":"web","purpose":"web server","version":"1.4"}"#;
        assert_eq!(
            lines(&Image, &[(IMAGE_FILE, own)]),
            [
                r#"["image","image",{"name":"web","purpose":"web server","source":"/usr/lib/driftcheck/image.json","version":"1.4"}]"#
            ]
        );
        let os_release = "ID=debian\nIMAGE_ID=db\nIMAGE_VERSION='7'\n";
        assert_eq!(
            lines(&Image, &[(OS_RELEASE[0], os_release)]),
            [r#"["image","image",{"name":"db","source":"/etc/os-release","version":"7"}]"#]
        );
        assert_eq!(
            lines(&Image, &[(OS_RELEASE[0], os_release), (IMAGE_FILE, own)]),
            [
                r#"["image","image",{"name":"web","os-release":"db 7","purpose":"web server","source":"/usr/lib/driftcheck/image.json","version":"1.4"}]"#
            ]
        );
        assert_eq!(
            lines_with_failure(&Image, &[(IMAGE_FILE, own)], OS_RELEASE[0]),
            [
                r#"["image","image",{"name":"web","purpose":"web server","source":"/usr/lib/driftcheck/image.json","unseen":["os-release: /etc/os-release: permission denied"],"version":"1.4"}]"#
            ]
        );
    }
}
