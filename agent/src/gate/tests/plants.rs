//! What the built-in policy is made to find: each of its rules, and what breaks it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::image::Image;
use crate::gate::{attestation, policy};

impl Image {
    fn plant(&self, key: &str, plant: &Plant) {
        match plant {
            File(content) => self.file(key.trim_start_matches('/'), content),
            Do(plant) => plant(self),
        }
    }
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

/// Rules about who owns what, which only root can arrange.
const OWNERS: [&str; 4] = [
    "account-file-permissions",
    "root-home-permissions",
    "shadow-permissions",
    "unowned-files",
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
        if !is_root && OWNERS.contains(rule) {
            println!("skipped: {rule}: needs files that belong to root, or to nobody");
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
    let is_root = rustix::process::getuid().is_root();
    let plantable = |rule: &str| rule != "missing-files" && (is_root || rule != "unowned-files");
    for (_, key, plant) in PLANTS.iter().filter(|(rule, ..)| plantable(rule)) {
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
