//! The small image that rules are tested on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use baseline_format::image_check::ImageCheck;

use super::super::policy::{self, Policy};
use super::super::{Settings, check};
use crate::scan::{Depth, Progress};
use crate::source;

/// A small image of Debian's kind with one package; it goes away with the test.
pub(super) struct Image(pub(super) PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const STATUS: &str = "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.10-1\n\
    Conffiles:\n /etc/tool.conf CONFIG\n /etc/sudoers SUDOERS obsolete\n\n\
    Package: libold2\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.3-4\n\n\
    Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 9\n\n";
const SUDOERS: &str = "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nan example\n";
const LIST: &str = "/.\n/etc\n/etc/sudoers\n/etc/tool.conf\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/lib\n/usr/share\n/usr/share/key.pem\n/var\n/var/lib\n/var/spool\n/home/alice\n/usr/lib/openssh\n";

impl Image {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("driftcheck-gate-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        let image = Self(path);
        let (user, group) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let own = if user == 0 {
            String::new()
        } else {
            format!("own:x:{user}:{group}::/:/bin/sh\n")
        };
        image.file(
            "etc/passwd",
            &format!("root:x:0:0:root:/root:/bin/sh\nalice:x:70001:70001::/home/alice:/bin/sh\n{own}"),
        );
        let own = if group == 0 {
            String::new()
        } else {
            format!("own:x:{group}:\n")
        };
        image.file("etc/group", &format!("root:x:0:\nalice:x:70001:\n{own}"));
        image.file(
            "etc/shadow",
            "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n",
        );
        image.mode("etc/shadow", 0o600);
        image.file("etc/sudoers", SUDOERS);
        image.file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
        image.file("etc/tool.conf", "a = 1\n");
        image.file("usr/bin/tool", "#!/bin/sh\n");
        image.mode("usr/bin/tool", 0o755);
        image.file("usr/share/key.pem", KEY);
        let status = STATUS.replace("CONFIG", &md5("a = 1\n"));
        image.file("var/lib/dpkg/status", &status.replace("SUDOERS", &md5(SUDOERS)));
        image.file("var/lib/dpkg/info/tool.list", LIST);
        image.file("var/lib/dpkg/info/libold2.list", "/.\n");
        image.file(
            "var/lib/dpkg/info/tool.md5sums",
            &format!(
                "{}  usr/bin/tool\n{}  usr/share/key.pem\n",
                md5("#!/bin/sh\n"),
                md5(KEY)
            ),
        );
        for directory in ["home/alice", "root", "tmp", "usr/lib/openssh", "var/spool"] {
            fs::create_dir_all(image.0.join(directory)).unwrap();
        }
        image.mode("root", 0o700);
        image.mode("tmp", 0o1777);
        image
    }

    /// Makes or replaces a file. What is told of modes must not depend on the umask.
    pub(super) fn file(&self, path: &str, content: &str) {
        let path = self.0.join(path);
        let mut above: Vec<&Path> = path
            .parent()
            .unwrap()
            .ancestors()
            .take_while(|above| !above.exists())
            .collect();
        above.reverse();
        for directory in above {
            fs::create_dir(directory).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub(super) fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.0.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(super) fn add(&self, path: &str, text: &str) {
        let known = fs::read_to_string(self.0.join(path)).unwrap();
        fs::write(self.0.join(path), known + text).unwrap();
    }

    pub(super) fn check_with(&self, policy: Policy) -> ImageCheck {
        let settings = Settings {
            image: self.0.as_os_str().as_encoded_bytes().to_vec(),
            source: source::Options::default(),
            policies: Vec::new(),
            own: Vec::new(),
            depth: Depth {
                threads: 1,
                io_depth: None,
            },
            size_limit: 1 << 30,
        };
        check(policy, &settings, &Progress::default()).unwrap()
    }

    pub(super) fn check(&self, policy: &str) -> ImageCheck {
        self.check_with(policy::of(policy).unwrap())
    }

    /// What breaks the built-in policy: rule and key.
    pub(super) fn broken(&self) -> BTreeSet<(String, String)> {
        let check = self.check_with(policy::load(&[]).unwrap());
        assert_eq!(check.coverage.unseen, [], "{:#?}", check.coverage);
        check
            .findings
            .into_iter()
            .map(|finding| (finding.rule, finding.key.to_string()))
            .collect()
    }
}

fn md5(text: &str) -> String {
    use md5::{Digest as _, Md5};
    let mut hex = Vec::new();
    baseline_format::push_hex(&Md5::digest(text), &mut hex);
    String::from_utf8(hex).unwrap()
}
