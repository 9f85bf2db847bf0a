//! Rules on small images made for the purpose.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use baseline_format::image_check::{ImageCheck, ImageVerdict, RuleOutcome};

use super::*;

/// A small image of Debian's kind with one package; it goes away with the test.
struct Image(PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const STATUS: &str = "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.10-1\n\
    Conffiles:\n /etc/tool.conf CONFIG\n\n\
    Package: libold2\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.3-4\n\n\
    Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 9\n\n";
const LIST: &str = "/.\n/etc\n/etc/sudoers\n/etc/tool.conf\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/lib\n/usr/share\n/usr/share/key.pem\n/var\n/var/lib\n/var/spool\n/home/alice\n/usr/lib/openssh\n";

impl Image {
    fn new(name: &str) -> Self {
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
        image.file("etc/sudoers", "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n");
        image.file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
        image.file("etc/tool.conf", "a = 1\n");
        image.file("usr/bin/tool", "#!/bin/sh\n");
        image.mode("usr/bin/tool", 0o755);
        image.file("usr/share/key.pem", "-----BEGIN PRIVATE KEY-----\nan example\n");
        image.file("var/lib/dpkg/status", &STATUS.replace("CONFIG", &md5("a = 1\n")));
        image.file("var/lib/dpkg/info/tool.list", LIST);
        image.file("var/lib/dpkg/info/libold2.list", "/.\n");
        image.file(
            "var/lib/dpkg/info/tool.md5sums",
            &format!("{}  usr/bin/tool\n", md5("#!/bin/sh\n")),
        );
        for directory in ["home/alice", "root", "tmp", "usr/lib/openssh", "var/spool"] {
            fs::create_dir_all(image.0.join(directory)).unwrap();
        }
        image.mode("root", 0o700);
        image.mode("tmp", 0o1777);
        image
    }

    /// Makes or replaces a file. What is told of modes must not depend on the umask.
    fn file(&self, path: &str, content: &str) {
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

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.0.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn add(&self, path: &str, text: &str) {
        let known = fs::read_to_string(self.0.join(path)).unwrap();
        fs::write(self.0.join(path), known + text).unwrap();
    }

    fn plant(&self, key: &str, plant: &Plant) {
        match plant {
            File(content) => self.file(key.trim_start_matches('/'), content),
            Do(plant) => plant(self),
        }
    }

    fn check_with(&self, policy: Policy) -> ImageCheck {
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

    fn check(&self, policy: &str) -> ImageCheck {
        self.check_with(policy::of(policy).unwrap())
    }

    /// What breaks the built-in policy: rule and key.
    fn broken(&self) -> BTreeSet<(String, String)> {
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

/// Key and what, of the findings of one rule.
fn found(check: &ImageCheck) -> Vec<(String, String)> {
    check
        .findings
        .iter()
        .map(|finding| (finding.key.to_string(), finding.what.clone()))
        .collect()
}

fn one_rule(test: &str) -> String {
    format!("[[rule]]\nid = 'r'\nreason = 'for a test'\n{test}\n")
}

/// The public half of a key that was thrown away.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbLu3YDanKvpcyZluV4zv6lHnAK42uaRCWyr+YYiBs2 test\n";

/// How a rule is broken.
enum Plant {
    /// A file at the key, with this content.
    File(&'static str),
    /// Anything else.
    Do(fn(&Image)),
}
use Plant::{Do, File};

/// Each rule of the built-in policy, the key that is told, and what breaks it.
const PLANTS: &[(&str, &str, Plant)] = &[
    (
        "account-file-permissions",
        "/etc/passwd",
        Do(|image| {
            image.mode("etc/passwd", 0o664);
        }),
    ),
    (
        "altered-configuration",
        "/etc/tool.conf",
        Do(|image| {
            image.add("etc/tool.conf", "b = 2\n");
        }),
    ),
    (
        "altered-files",
        "/usr/bin/tool",
        Do(|image| {
            image.add("usr/bin/tool", "evil\n");
        }),
    ),
    (
        "authorized-keys",
        "alice SHA256:i9c5SaS29LLpW1gnqXjB+ifMlpGJabGkS7Xl45E8oFE",
        Do(|image| {
            image.file("home/alice/.ssh/authorized_keys", KEY);
        }),
    ),
    (
        "authorized-keys-files",
        "/home/alice/.ssh/authorized_keys",
        File(KEY),
    ),
    (
        "build-proxy",
        "/etc/environment",
        File("A=1\nhttps_proxy=\"http://proxy:3128\"\n"),
    ),
    (
        "cloud-init-state",
        "/var/lib/cloud/instance",
        Do(|image| {
            image.file("var/lib/cloud/instances/i-1/obj.pkl", "x");
            symlink("instances/i-1", image.0.join("var/lib/cloud/instance")).unwrap();
        }),
    ),
    (
        "cluster-credentials",
        "/root/.kube/config",
        File("users:\n- user:\n    client-key-data: Zm9v\n"),
    ),
    ("core-dumps", "/var/crash/tool.crash", File("x")),
    (
        "credential-files",
        "/root/.netrc",
        File("machine a login b password c\n"),
    ),
    (
        "credentials-in-settings",
        "/home/alice/.npmrc",
        File("//registry.npmjs.org/:_authToken=npm_canary\n"),
    ),
    (
        "dhcp-leases",
        "/var/lib/dhcp/dhclient.eth0.leases",
        File("lease {}\n"),
    ),
    (
        "empty-passwords",
        "bob",
        Do(|image| {
            image.add("etc/shadow", "bob::19000:0:99999:7:::\n");
        }),
    ),
    (
        "empty-passwords-in-passwd",
        "bob",
        Do(|image| {
            image.add("etc/passwd", "bob::70002:70001::/:/bin/sh\n");
        }),
    ),
    ("environment-files", "/srv/app/.env", File("KEY=canary\n")),
    (
        "group-passwords",
        "alice",
        Do(|image| {
            image.file("etc/gshadow", "root:*::\nalice:$6$canary$canarycanary::\n");
            image.mode("etc/gshadow", 0o600);
        }),
    ),
    ("hostname", "/etc/hostname", File("builder-7\n")),
    ("installer-logs", "/root/anaconda-ks.cfg", File("rootpw x\n")),
    (
        "known-hosts",
        "/root/.ssh/known_hosts",
        File("git ssh-ed25519 x\n"),
    ),
    ("language-caches", "/root/.cache/pip/x", File("x")),
    (
        "locked-password-hashes",
        "bob",
        Do(|image| {
            image.add("etc/shadow", "bob:!$6$canary$canarycanarycanary:19000::::::\n");
        }),
    ),
    ("logs", "/var/log/syslog", File("a line\n")),
    (
        "machine-id",
        "/etc/machine-id",
        File("0123456789abcdef0123456789abcdef\n"),
    ),
    ("mail", "/var/mail/root", File("From cron\n")),
    (
        "missing-files",
        "/usr/share/key.pem",
        Do(|image| {
            fs::remove_file(image.0.join("usr/share/key.pem")).unwrap();
        }),
    ),
    (
        "network-hardware-addresses",
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        File("DEVICE=eth0\nHWADDR=52:54:00:12:34:56\n"),
    ),
    (
        "network-identity",
        "/etc/udev/rules.d/70-persistent-net.rules",
        File("x\n"),
    ),
    (
        "old-password-hashes",
        "/etc/shadow-",
        Do(|image| {
            image.file(
                "etc/shadow-",
                "root:$y$j9T$canary$canarycanary:19000:0:99999:7:::\n",
            );
            image.mode("etc/shadow-", 0o600);
        }),
    ),
    ("package-caches", "/var/cache/apt/archives/tool.deb", File("x")),
    ("package-lists", "/var/lib/apt/lists/deb_InRelease", File("x")),
    (
        "passwords-in-passwd",
        "bob",
        Do(|image| {
            image.add(
                "etc/passwd",
                "bob:$6$canary$canarycanary:70002:70001::/:/bin/sh\n",
            );
        }),
    ),
    ("private-key-files", "/root/.ssh/id_ed25519", File("x")),
    (
        "private-keys",
        "/srv/app/server.txt",
        File("a certificate\n-----BEGIN EC PRIVATE KEY-----\ncanary\n"),
    ),
    ("program-history", "/root/.python_history", File("import os\n")),
    ("random-seed", "/var/lib/systemd/random-seed", File("x")),
    (
        "registry-credentials",
        "/root/.docker/config.json",
        File("{\"auths\": {\"r\": {\"auth\": \"canary\"}}}"),
    ),
    ("replaced-configuration", "/etc/default/tool.dpkg-old", File("")),
    (
        "repository-credentials",
        "/etc/apt/sources.list",
        File("# deb http://a:b@c\ndeb https://user:canary@repo.example/debian stable main\n"),
    ),
    (
        "root-home-permissions",
        "/root",
        Do(|image| {
            image.mode("root", 0o755);
        }),
    ),
    (
        "second-root",
        "toor",
        Do(|image| {
            image.add("etc/passwd", "toor:x:0:0::/:/bin/sh\n");
        }),
    ),
    (
        "set-passwords",
        "bob",
        Do(|image| {
            image.add("etc/shadow", "bob:$6$canary$canarycanarycanary:19000::::::\n");
        }),
    ),
    (
        "setid-and-capabilities",
        "/usr/bin/tool",
        Do(|image| {
            image.mode("usr/bin/tool", 0o4755);
        }),
    ),
    (
        "shadow-permissions",
        "/etc/shadow",
        Do(|image| {
            image.mode("etc/shadow", 0o644);
        }),
    ),
    ("shell-history", "/root/.bash_history", File("mysql -pcanary\n")),
    (
        "ssh-host-keys",
        "/etc/ssh/ssh_host_rsa_key",
        File("-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    ),
    ("subscription-identity", "/etc/pki/consumer/key.pem", File("x")),
    (
        "sudo-without-authentication",
        "default/global/authenticate",
        Do(|image| image.add("etc/sudoers", "Defaults !authenticate\n")),
    ),
    (
        "sudo-without-password",
        "rule/bob ALL=(ALL) NOPASSWD: ALL",
        Do(|image| image.add("etc/sudoers", "bob ALL=(ALL) NOPASSWD: ALL\n")),
    ),
    ("swap-and-resume", "/swapfile", File("x")),
    ("temporary-files", "/tmp/.X0-lock", File("")),
    ("unexplained-files", "/usr/bin/backdoor", File("x")),
    (
        "unowned-files",
        "/usr/bin/tool",
        Do(|image| {
            std::os::unix::fs::chown(image.0.join("usr/bin/tool"), Some(4711), None).unwrap();
        }),
    ),
    (
        "world-writable-directories",
        "/usr/share",
        Do(|image| {
            image.mode("usr/share", 0o777);
        }),
    ),
    (
        "world-writable-files",
        "/usr/bin/tool",
        Do(|image| {
            image.mode("usr/bin/tool", 0o757);
        }),
    ),
];

#[test]
fn every_built_in_rule_is_broken_by_what_it_is_made_for() {
    let planted: Vec<&str> = PLANTS.iter().map(|(rule, ..)| *rule).collect();
    let rules = policy::load(&[]).unwrap().rules;
    let mut ids: Vec<&str> = rules.iter().map(|rule| &rule.id[..]).collect();
    ids.sort_unstable();
    assert_eq!(planted, ids, "one plant a rule, sorted");
    let is_root = rustix::process::getuid().is_root();
    for (rule, key, plant) in PLANTS {
        if !is_root && *rule == "unowned-files" {
            println!("skipped: {rule}: only root can give files away");
            continue;
        }
        let image = Image::new(&format!("plant-{rule}"));
        let before = image.broken();
        assert!(
            !before.iter().any(|(broken, _)| broken == rule),
            "{rule}: {before:?}"
        );
        image.plant(key, plant);
        let after = image.broken();
        let told: Vec<_> = after.difference(&before).collect();
        assert!(
            told.contains(&&((*rule).to_owned(), (*key).to_owned())),
            "{rule}: {told:?}"
        );
        // What is new is there by itself: a rule that hits its neighbours' plants would drown them. Only files from
        // nowhere are also unexplained, and their kind may be told twice.
        let aside = [
            "unexplained-files",
            "temporary-files",
            "private-keys",
            "shell-history",
            "authorized-keys",
            "authorized-keys-files",
            if is_root { rule } else { "shadow-permissions" },
            rule,
        ];
        assert!(
            told.iter().all(|(broken, _)| aside.contains(&&broken[..])),
            "{rule}: {told:?}"
        );
    }
}

#[test]
fn the_small_image_breaks_nothing() {
    let image = Image::new("clean");
    if rustix::process::getuid().is_root() {
        assert_eq!(image.broken(), BTreeSet::new());
    }
    let check = image.check("extends = 'golden-image'\n");
    assert_eq!(check.policies.len(), 2);
}

#[test]
fn no_secret_is_told() {
    let image = Image::new("secrets");
    for (_, key, plant) in PLANTS.iter().filter(|(rule, ..)| *rule != "missing-files") {
        image.plant(key, plant);
    }
    let check = image.check_with(policy::load(&[]).unwrap());
    let broken = check.rules.iter().filter(|rule| rule.findings > 0).count();
    assert!(broken > PLANTS.len() * 3 / 4, "{broken}");
    let mut told = Vec::new();
    driftcheck_report::write_image_check_json(&check, &mut told).unwrap();
    told.extend(attestation::statement(&check));
    assert!(!String::from_utf8(told).unwrap().contains("canary"));
}

#[test]
fn files_are_selected_by_path_type_and_package() {
    let image = Image::new("select");
    image.file("srv/a.txt", "x");
    image.file("srv/b/c.txt", "");
    symlink("a.txt", image.0.join("srv/link.txt")).unwrap();
    for (test, wanted) in [
        (
            "absent = { paths = ['/srv/*.txt'] }",
            vec!["/srv/a.txt", "/srv/link.txt"],
        ),
        (
            "absent = { paths = ['/srv/**'], types = ['file'] }",
            vec!["/srv/a.txt", "/srv/b/c.txt"],
        ),
        (
            "absent = { paths = ['/srv/**'], types = ['symlink', 'directory'] }",
            vec!["/srv/b", "/srv/link.txt"],
        ),
        (
            "absent = { paths = ['**/*.txt'], unless = ['/srv/b/**', '**/link*'] }",
            vec!["/srv/a.txt"],
        ),
        ("absent = { paths = ['/usr/bin/*'] }", vec!["/usr/bin/tool"]),
        ("absent = { paths = ['/usr/bin/*'], unpackaged = true }", vec![]),
        ("empty = { paths = ['/srv/**'] }", vec!["/srv/a.txt"]),
        ("empty = { paths = ['/srv/**'], or = ['x'] }", vec![]),
        ("empty = { paths = ['/srv/**'], or = ['y'] }", vec!["/srv/a.txt"]),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'] }",
            vec!["/usr/share/key.pem"],
        ),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'], unpackaged = true }",
            vec![],
        ),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'], largest = 3 }",
            vec![],
        ),
        (
            "content = { paths = ['/srv/**'], lines = ['x', 'y'] }",
            vec!["/srv/a.txt"],
        ),
    ] {
        let check = image.check(&one_rule(test));
        let keys: Vec<String> = found(&check).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, wanted, "{test}");
        let outcome = if wanted.is_empty() {
            RuleOutcome::Passed
        } else {
            RuleOutcome::Failed
        };
        assert_eq!(check.rules[0].outcome, outcome, "{test}");
    }
    let check = image.check(&one_rule(
        "content = { paths = ['/usr/share/*'], lines = ['x'], largest = 3 }",
    ));
    assert_eq!(
        check.coverage.skipped[0].rule,
        "content of files longer than 3 bytes"
    );
}

#[test]
fn what_must_be_there_is_looked_for() {
    let image = Image::new("present");
    symlink("usr/bin", image.0.join("bin")).unwrap();
    for (test, wanted) in [
        (
            "present = { paths = ['/usr/bin/tool', '/bin/tool', '/usr/*/tool'] }",
            vec![],
        ),
        (
            "present = { paths = ['/usr/bin/none'] }",
            vec![("/usr/bin/none", "is not there")],
        ),
        (
            "present = { paths = ['/usr/*/none'] }",
            vec![("/usr/*/none", "nothing matches")],
        ),
        (
            "present = { paths = ['/usr/bin'], types = ['file'] }",
            vec![("/usr/bin", "is a directory")],
        ),
        (
            "present = { paths = ['/usr/*'], types = ['file'] }",
            vec![("/usr/*", "nothing matches")],
        ),
        ("mode = { paths = ['/usr/bin/tool'], exactly = '0755' }", vec![]),
        (
            "mode = { paths = ['/usr/bin/tool'], exactly = '0555' }",
            vec![("/usr/bin/tool", "mode is 0755, must be 0555")],
        ),
        (
            "mode = { paths = ['/usr/bin/tool'], at-most = '0750' }",
            vec![("/usr/bin/tool", "mode is 0755, at most 0750 is allowed")],
        ),
        (
            "mode = { paths = ['/tmp'], at-most = '0755', except = '1000' }",
            vec![],
        ),
        (
            "mode = { paths = ['/tmp'], types = ['file'], at-most = '0755' }",
            vec![],
        ),
        (
            "mode = { paths = ['/usr/bin/tool'], user = 'nobody' }",
            vec![("/usr/bin/tool", "user is OWN, must be nobody")],
        ),
    ] {
        let own = if rustix::process::getuid().is_root() {
            "root"
        } else {
            "own"
        };
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(key, what)| ((*key).to_owned(), what.replace("OWN", own)))
            .collect();
        assert_eq!(found(&image.check(&one_rule(test))), wanted, "{test}");
    }
}

#[test]
fn entries_of_any_section_are_held_against_rules() {
    let image = Image::new("facts");
    image.add("etc/sudoers", "bob ALL=(ALL) NOPASSWD: /bin/ls\n");
    for (test, wanted) in [
        (
            "forbid = { section = 'users', keys = ['a*'] }",
            vec![("alice", "is there")],
        ),
        ("forbid = { section = 'users', unless = ['*'] }", vec![]),
        (
            "forbid = { section = 'users', where = { uid = [70001, 70002], shell = '/bin/sh' } }",
            vec![("alice", "shell is /bin/sh, uid is 70001")],
        ),
        (
            "forbid = { section = 'users', where = { uid = '70001' } }",
            vec![],
        ),
        (
            "forbid = { section = 'sudoers', where = { tags = 'NOPASSWD' } }",
            vec![("rule/bob ALL=(ALL) NOPASSWD: /bin/ls", "tags has NOPASSWD")],
        ),
        (
            "forbid = { section = 'sudoers', where = { tags = 'NOPASSWD', command = 'ALL' } }",
            vec![],
        ),
        (
            "forbid = { section = 'files', keys = ['/usr/bin/*'], where = { mode = '0755' } }",
            vec![("/usr/bin/tool", "mode is 0755")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', equals = '/bin/sh' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', equals = '/bin/bash' }",
            vec![("root", "shell is /bin/sh, must be /bin/bash")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', one-of = ['/bin/sh', '/bin/bash'] }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', one-of = ['/a', '/b'] }",
            vec![("root", "shell is /bin/sh, must be one of /a, /b")],
        ),
        (
            "setting = { section = 'users', key = 'alice', attribute = 'uid', at-least = 1000, at-most = 60000 }",
            vec![("alice", "uid is 70001, must be from 1000 to 60000")],
        ),
        (
            "setting = { section = 'shadow', key = '*', attribute = 'max-days', at-most = 90 }",
            vec![
                ("alice", "max-days is 99999, must be at most 90"),
                ("root", "max-days is 99999, must be at most 90"),
            ],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'home', matches = '^/root$' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'home', matches = '^/home/' }",
            vec![("root", "home is /root, must match ^/home/")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'colour', equals = 'red' }",
            vec![("root", "has no colour, must be red")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'colour', equals = 'red', missing = 'pass' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1 }",
            vec![("mallory", "is not there")],
        ),
        (
            "setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1, missing = 'pass' }",
            vec![],
        ),
        (
            "packages = { required = ['tool', 'tool >= 1.9', 'deb/libold2 < 1:3', 'lib*'] }",
            vec![],
        ),
        (
            "packages = { required = ['tool >= 1.11', 'gone', 'rpm/tool'] }",
            vec![
                ("gone", "is not installed"),
                ("rpm/tool", "is not installed"),
                ("tool >= 1.11", "is installed in version 1.10-1"),
            ],
        ),
        (
            "packages = { forbidden = ['lib*', 'gone', 'tool > 1.10-1'] }",
            vec![(
                "deb/libold2:amd64",
                "is installed in version 1:2.3-4, and lib* is forbidden",
            )],
        ),
        ("packages = { forbidden = ['libold2 <= 2.9'] }", vec![]),
    ] {
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(key, what)| ((*key).to_owned(), (*what).to_owned()))
            .collect();
        assert_eq!(found(&image.check(&one_rule(test))), wanted, "{test}");
    }
}

#[test]
fn what_cannot_be_looked_at_never_passes() {
    let image = Image::new("blind");
    let verdict = |policy: &str| {
        let check = image.check(policy);
        let outcomes: Vec<RuleOutcome> = check.rules.iter().map(|rule| rule.outcome).collect();
        (check.verdict, outcomes, check.coverage.unseen_total)
    };
    let users = one_rule("forbid = { section = 'users', keys = ['mallory'] }");
    assert_eq!(verdict(&users), (ImageVerdict::Fit, vec![RuleOutcome::Passed], 0));
    // A section of a later release.
    let later = one_rule("setting = { section = 'user', key = 'a', attribute = 'b', equals = 1 }");
    assert_eq!(
        verdict(&later),
        (ImageVerdict::Incomplete, vec![RuleOutcome::NotJudged], 1)
    );
    assert_eq!(
        image.check(&later).coverage.unseen[0].why.to_string(),
        "all: this release does not read such a section; did you mean `users`?"
    );
    // Part of a section: a malformed line.
    image.add("etc/passwd", "mallory:x\n");
    assert_eq!(
        verdict(&users),
        (ImageVerdict::Incomplete, vec![RuleOutcome::NotJudged], 1)
    );
    let alice = one_rule("forbid = { section = 'users', keys = ['alice'] }");
    assert_eq!(
        verdict(&alice),
        (ImageVerdict::UnfitAndIncomplete, vec![RuleOutcome::Failed], 1)
    );
    let missing = one_rule("setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1 }");
    assert_eq!(
        verdict(&missing).1,
        [RuleOutcome::NotJudged],
        "what was not seen is not missing"
    );
    // Rules about other sections are judged; the check as a whole is not complete.
    let other = one_rule("forbid = { section = 'groups', keys = ['mallory'] }");
    assert_eq!(
        verdict(&other),
        (ImageVerdict::Incomplete, vec![RuleOutcome::Passed], 1)
    );
    // A waiver of the rule does not make the check complete.
    let waived = format!("{users}[[waive]]\nrule = 'r'\nreason = 'a test'\n");
    assert_eq!(
        verdict(&waived),
        (ImageVerdict::Incomplete, vec![RuleOutcome::Waived], 1)
    );
}

#[test]
fn no_package_database_is_a_gap() {
    let image = Image::new("no-database");
    fs::remove_dir_all(image.0.join("var/lib/dpkg")).unwrap();
    let check = image.check(&one_rule("unexplained = {}"));
    assert_eq!(check.verdict, ImageVerdict::UnfitAndIncomplete);
    assert!(
        check.coverage.unseen[0]
            .why
            .as_str()
            .starts_with("all: no package database")
    );
    let waived = one_rule("unexplained = {}") + "[[waive]]\nrule = 'r'\nreason = 'an image from scratch'\n";
    let check = image.check(&waived);
    assert_eq!(
        (check.verdict, check.rules[0].outcome),
        (ImageVerdict::Fit, RuleOutcome::Waived)
    );
    assert!(check.rules[0].waived > 5 && check.waivers[0].findings == check.rules[0].waived);
}

#[test]
fn waivers_are_counted() {
    let image = Image::new("waivers");
    for name in ["a", "b", "c"] {
        image.file(&format!("srv/{name}"), "x");
    }
    let rule = one_rule("absent = { paths = ['/srv/*'] }");
    let waive = |path: &str| format!("[[waive]]\nrule = 'r'\npath = '{path}'\nreason = 'for a test'\n");
    let check = image.check(&(rule.clone() + &waive("/srv/a") + &waive("/srv/x")));
    assert_eq!(
        (
            check.rules[0].findings,
            check.rules[0].waived,
            check.rules[0].outcome
        ),
        (2, 1, RuleOutcome::Failed)
    );
    assert_eq!(
        check
            .waivers
            .iter()
            .map(|waiver| waiver.findings)
            .collect::<Vec<_>>(),
        [1, 0]
    );
    let check = image.check(&(rule.clone() + &waive("/srv/*")));
    assert_eq!(
        (check.verdict, check.rules[0].outcome, check.rules[0].waived),
        (ImageVerdict::Fit, RuleOutcome::Waived, 3)
    );
    let warn = rule.replace("reason", "severity = 'warn'\nreason");
    let check = image.check(&warn);
    assert_eq!(
        (check.verdict, check.rules[0].outcome),
        (ImageVerdict::Fit, RuleOutcome::Warned)
    );
}

#[test]
fn what_a_policy_explains_is_explained() {
    let image = Image::new("explained");
    image.file("opt/app/bin/app", "x");
    symlink("../lib/evil", image.0.join("opt/link")).unwrap();
    let keys = |policy: &str| -> BTreeSet<String> {
        found(&image.check(&(one_rule("unexplained = {}") + policy)))
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    let without = keys("");
    assert!(
        without.contains("/opt/app/bin/app")
            && without.contains("/opt/link")
            && !without.contains("/usr/bin/tool")
    );
    let app = keys("[[explain]]\npaths = ['/opt/app/**']\nreason = 'our application'\n");
    assert_eq!(
        without.difference(&app).map(String::as_str).collect::<Vec<_>>(),
        ["/opt/app", "/opt/app/bin", "/opt/app/bin/app"]
    );
    let link = |target: &str| {
        keys(&format!(
            "[[explain]]\npaths = ['/opt/*']\nlinks-to = ['{target}']\nreason = 'ours'\n"
        ))
    };
    assert!(link("../lib/good").contains("/opt/link"));
    assert!(!link("../lib/*").contains("/opt/link"));
    assert!(link("../lib/*").contains("/opt/app"), "no link");
}

#[test]
fn the_same_image_gives_the_same_digest() {
    let image = Image::new("digest");
    let digest = || image.check(&one_rule("unowned = {}")).image.entries;
    let first = digest();
    assert_eq!(digest(), first);
    image.file("srv/a", "x");
    assert_ne!(digest(), first);
}
