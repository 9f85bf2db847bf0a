//! The gate: on a small image, and on a real Debian root that was cleaned and then spoiled.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Ran, Run, Scratch, Tree, met, tool};
use serde_json::{Value, json};

use crate::output::validate;

fn verify(root: &Path) -> Run {
    Run::new(["verify-image"]).and([root]).and(["--format", "json"])
}

/// The result, whose verdict must be that of the exit code.
fn result(ran: &Ran) -> Value {
    let json: Value = serde_json::from_slice(&ran.stdout)
        .unwrap_or_else(|why| panic!("no result ({why}), exit code {}: {}", ran.code, ran.stderr));
    let code = match json["verdict"].as_str() {
        Some("fit") => 0,
        Some("unfit") => 1,
        Some("incomplete") => 2,
        Some("unfit-and-incomplete") => 3,
        other => panic!("no such verdict: {other:?}"),
    };
    assert_eq!(ran.code, code, "{json:#}");
    json
}

/// Rule and key of each finding.
fn findings(result: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = result["findings"].as_array().unwrap();
    all.iter()
        .map(|finding| (text(&finding["rule"]), text(&finding["key"])))
        .collect()
}

/// The Debian root of `tests/setup/roots.sh`, as its builder left it.
fn debian(scratch: &Scratch) -> Option<PathBuf> {
    let cache = std::env::var_os("DRIFTCHECK_CACHE").unwrap_or_else(|| "/var/tmp/driftcheck-cache".into());
    let tar = Path::new(&cache).join("roots/debian-12.tar");
    if !met(&[Need::Root]) {
        return None;
    }
    if !tar.exists() {
        let required = std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|value| value == "1");
        assert!(
            !required,
            "required: a Debian root: run tests/setup/roots.sh as root"
        );
        println!("skipped: no Debian root: run tests/setup/roots.sh as root");
        return None;
    }
    let root = scratch.join("debian");
    fs::create_dir(&root).unwrap();
    let fixed = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xf"].map(Into::into);
    tool(
        "tar",
        fixed
            .into_iter()
            .chain([tar.into_os_string(), "-C".into(), root.clone().into_os_string()]),
    );
    Some(root)
}

/// What a careful builder does last.
fn clean(root: &Path) {
    for file in fs::read_dir(root.join("etc/ssh")).unwrap() {
        let file = file.unwrap().path();
        if file
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b"ssh_host_")
        {
            fs::remove_file(file).unwrap();
        }
    }
    fs::write(root.join("etc/hostname"), "localhost\n").unwrap();
}

/// How something is left over.
enum Plant {
    /// A file at the key, with this content.
    File(&'static str),
    /// Anything else.
    Do(fn(&Tree)),
}
use Plant::{Do, File};

/// What was left over, the rule that names it, and the key.
const PLANTS: &[(&str, &str, Plant)] = &[
    (
        "ssh-host-keys",
        "/etc/ssh/ssh_host_ed25519_key",
        File("-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    ),
    (
        "machine-id",
        "/etc/machine-id",
        File("0123456789abcdef0123456789abcdef\n"),
    ),
    ("random-seed", "/var/lib/systemd/random-seed", File("seed")),
    (
        "shell-history",
        "/root/.bash_history",
        File("export TOKEN=canary\n"),
    ),
    ("program-history", "/root/.mysql_history", File("select 1;\n")),
    (
        "authorized-keys-files",
        "/root/.ssh/authorized_keys",
        File("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbLu3YDanKvpcyZluV4zv6lHnAK42uaRCWyr+YYiBs2 me\n"),
    ),
    (
        "authorized-keys",
        "root SHA256:i9c5SaS29LLpW1gnqXjB+ifMlpGJabGkS7Xl45E8oFE",
        Do(|_| {}),
    ),
    (
        "cloud-init-state",
        "/var/lib/cloud/instances/i-0/user-data.txt",
        File("canary\n"),
    ),
    ("logs", "/var/log/apt/history.log", File("Start-Date\n")),
    ("package-caches", "/var/cache/apt/archives/bash.deb", File("x")),
    (
        "package-lists",
        "/var/lib/apt/lists/deb.debian.org_InRelease",
        File("x"),
    ),
    (
        "private-keys",
        "/srv/tls/server.pem",
        File("-----BEGIN RSA PRIVATE KEY-----\ncanary\n"),
    ),
    ("private-key-files", "/root/.ssh/id_rsa", File("x")),
    (
        "credential-files",
        "/root/.aws/credentials",
        File("[default]\naws_secret_access_key = canary\n"),
    ),
    (
        "credentials-in-settings",
        "/root/.npmrc",
        File("//r/:_authToken=canary\n"),
    ),
    (
        "registry-credentials",
        "/root/.docker/config.json",
        File("{\"auths\":{\"r\":{\"auth\": \"canary\"}}}"),
    ),
    (
        "cluster-credentials",
        "/root/.kube/config",
        File("users:\n- user:\n    token: canary\n"),
    ),
    ("environment-files", "/srv/app/.env", File("PASSWORD=canary\n")),
    ("temporary-files", "/var/tmp/build.sh", File("x")),
    ("core-dumps", "/core.4711", File("x")),
    ("dhcp-leases", "/var/lib/dhcp/dhclient.leases", File("lease {}\n")),
    (
        "network-identity",
        "/etc/udev/rules.d/70-persistent-net.rules",
        File("x\n"),
    ),
    ("hostname", "/etc/hostname", File("builder\n")),
    (
        "empty-passwords",
        "guest",
        Do(|root| {
            append(root, "etc/shadow", "guest::19000:0:99999:7:::\n");
        }),
    ),
    (
        "set-passwords",
        "deploy",
        Do(|root| {
            append(
                root,
                "etc/shadow",
                "deploy:$6$canary$canarycanarycanary:19000:0:99999:7:::\n",
            );
        }),
    ),
    (
        "second-root",
        "toor",
        Do(|root| {
            append(root, "etc/passwd", "toor:x:0:0::/nonexistent:/bin/sh\n");
        }),
    ),
    (
        "sudo-without-password",
        "rule/deploy ALL=(ALL) NOPASSWD: ALL",
        Do(|root| root.file("etc/sudoers.d/deploy", "deploy ALL=(ALL) NOPASSWD: ALL\n", 0o440)),
    ),
    (
        "setid-and-capabilities",
        "/usr/bin/find",
        Do(|root| {
            root.mode("usr/bin/find", 0o4755);
        }),
    ),
    (
        "setid-and-capabilities",
        "/usr/local/bin/helper",
        Do(|root| root.file("usr/local/bin/helper", "x", 0o2755)),
    ),
    (
        "world-writable-files",
        "/etc/profile",
        Do(|root| {
            root.mode("etc/profile", 0o666);
        }),
    ),
    (
        "world-writable-directories",
        "/srv/drop",
        Do(|root| {
            root.directory("srv/drop");
            root.mode("srv/drop", 0o777);
        }),
    ),
    (
        "unowned-files",
        "/srv/orphan",
        Do(|root| {
            root.file("srv/orphan", "x", 0o644);
            chown(root.join("srv/orphan"), Some(4711), Some(4712)).unwrap();
        }),
    ),
    ("replaced-configuration", "/etc/default/ssh.dpkg-old", File("x")),
    ("installer-logs", "/root/anaconda-ks.cfg", File("rootpw canary\n")),
    (
        "build-proxy",
        "/etc/apt/apt.conf.d/01proxy",
        File("Acquire::http::Proxy \"http://proxy:3142\";\n"),
    ),
    (
        "repository-credentials",
        "/etc/apt/sources.list",
        Do(|root| {
            append(
                root,
                "etc/apt/sources.list",
                "deb https://user:canary@example.org/ stable main\n",
            );
        }),
    ),
    ("unexplained-files", "/usr/bin/backdoor", File("x")),
    (
        "unexplained-files",
        "/etc/systemd/system/evil.service",
        File("[Service]\n"),
    ),
    (
        "altered-files",
        "/usr/bin/ls",
        Do(|root| {
            append(root, "usr/bin/ls", "x");
        }),
    ),
    (
        "altered-configuration",
        "/etc/login.defs",
        Do(|root| {
            append(root, "etc/login.defs", "# x\n");
        }),
    ),
    (
        "missing-files",
        "/usr/bin/who",
        Do(|root| {
            fs::remove_file(root.join("usr/bin/who")).unwrap();
        }),
    ),
    ("swap-and-resume", "/swapfile", File("x")),
];

fn append(root: &Tree, path: &str, text: &str) {
    let path = root.join(path);
    let known = fs::read(&path).unwrap();
    fs::write(path, [&known[..], text.as_bytes()].concat()).unwrap();
}

#[test]
fn the_gate_passes_a_clean_image_and_names_each_left_over() {
    let scratch = Scratch::new("gate-debian");
    let Some(root) = debian(&scratch) else { return };
    let before = findings(&result(&verify(&root).run().expect_code(1)));
    assert!(
        before.iter().any(|(rule, _)| rule == "ssh-host-keys"),
        "the builder left its keys: {before:?}"
    );
    clean(&root);
    let statement = scratch.join("statement");
    let fit = result(
        &verify(&root)
            .and(["--attestation"])
            .and([&statement])
            .run()
            .expect_code(0),
    );
    assert_eq!(findings(&fit), BTreeSet::new());
    assert!(
        fit["statement"].as_str().unwrap().contains(" rules kept; "),
        "{}",
        fit["statement"]
    );
    let statement: Value = serde_json::from_slice(&fs::read(&statement).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["result"], "PASSED");
    same_as_baseline(&scratch, &root, &fit, &statement);
    assert_eq!(statement["predicate"]["failedTests"], json!([]));

    let tree = Tree::at(root.clone());
    for (_, key, plant) in PLANTS {
        match plant {
            File(content) => tree.file(key.trim_start_matches('/'), content, 0o600),
            Do(plant) => plant(&tree),
        }
    }
    let ran = verify(&root).run().expect_code(1);
    assert!(!ran.text().contains("canary"), "no secret is told");
    let unfit = result(&ran);
    let found = findings(&unfit);
    for (rule, key, _) in PLANTS {
        assert!(
            found.contains(&((*rule).to_owned(), (*key).to_owned())),
            "{rule} {key}: {found:#?}"
        );
    }
    // Whatever else is told is told of what was planted: that it comes from nowhere, or what it comes with.
    let planted: BTreeSet<&str> = PLANTS.iter().map(|(_, key, _)| *key).collect();
    let strange = found
        .iter()
        .filter(|(rule, key)| rule != "unexplained-files" && !planted.contains(&key[..]));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&(String, String)>::new());

    if met(&[Need::PythonModule("jsonschema")]) {
        validate(&scratch, "image-check", &format!("{fit}\n{unfit}\n"));
    }
    let text = Run::new(["verify-image"])
        .and([&root])
        .run()
        .expect_code(1)
        .text();
    assert!(text.lines().last().unwrap().starts_with("UNFIT: "), "{text}");
}

/// The digest of what the gate saw is that of a baseline's sections, put together by somebody else.
fn same_as_baseline(scratch: &Scratch, root: &Path, fit: &Value, statement: &Value) {
    if !met(&[Need::Tool("zstd")]) {
        return;
    }
    let baseline = scratch.join("baseline");
    Run::record(root, &baseline).run().expect_code(0);
    let lines = tool("zstd", [Path::new("-dcq"), &baseline]);
    let end: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let sums = end["end"]["sections"].as_array().unwrap().iter().map(|sum| {
        let text = |name: &str| sum[name].as_str().unwrap().to_owned();
        format!("{} {} {}\n", text("name"), sum["entries"], text("digest"))
    });
    let file = scratch.join("sums");
    fs::write(&file, sums.collect::<String>()).unwrap();
    let digest = tool("sha256sum", [&file]).split(' ').next().unwrap().to_owned();
    assert_eq!(fit["image"]["entries"], format!("sha256:{digest}"));
    assert_eq!(statement["subject"][0]["digest"]["driftcheckEntries"], digest);
}

#[test]
fn waivers_and_explanations_are_counted() {
    let scratch = Scratch::new("gate-waivers");
    let tree = Tree::small(scratch.join("root"));
    let policy = scratch.join("policy.toml");
    let rules = "\
[[rule]]
id = 'motd'
reason = 'no greetings'
absent = { paths = ['/etc/motd*'] }

[[rule]]
id = 'shells'
reason = 'one shell for all'
setting = { section = 'users', key = '*', attribute = 'shell', one-of = ['/bin/sh'] }
";
    fs::write(&policy, rules).unwrap();
    let gate = || verify(tree.path()).and(["--policy"]).and([&policy]);
    let unfit = result(&gate().run().expect_code(1));
    let broken = findings(&unfit);
    assert!(
        broken.contains(&("motd".to_owned(), "/etc/motd".to_owned())),
        "{broken:?}"
    );
    let all = "[[waive]]\nrule = 'motd'\nreason = 'a test'\n[[waive]]\nrule = 'shells'\nreason = 'a test'\n";
    fs::write(&policy, format!("{rules}{all}")).unwrap();
    let statement = scratch.join("statement");
    let fit = result(
        &gate()
            .and(["--attestation"])
            .and([&statement])
            .run()
            .expect_code(0),
    );
    let count = |result: &Value, name: &str| -> u64 {
        result["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule[name].as_u64().unwrap())
            .sum()
    };
    assert_eq!(
        (count(&fit, "findings"), count(&fit, "waived")),
        (0, count(&unfit, "findings"))
    );
    assert_eq!(fit["waivers"][0]["findings"], 2);
    let statement: Value = serde_json::from_slice(&fs::read(&statement).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["result"], "WARNED");
    assert_eq!(statement["predicate"]["configuration"][0]["name"], "policy");

    // What cannot be understood in every word is refused, and nothing is written.
    fs::write(&policy, rules.replace("absent", "absnt")).unwrap();
    let output = scratch.join("output");
    let refused = gate().and(["-o"]).and([&output]).run().expect_code(64);
    assert!(
        refused.stderr.contains("did you mean `absent`?"),
        "{}",
        refused.stderr
    );
    assert!(!output.exists());
}

#[test]
fn what_cannot_be_seen_never_passes() {
    let scratch = Scratch::new("gate-blind");
    let tree = Tree::small(scratch.join("root"));
    let policy = scratch.join("policy.toml");
    fs::write(
        &policy,
        "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { paths = ['/none'] }\n",
    )
    .unwrap();
    let gate = || verify(tree.path()).and(["--policy"]).and([&policy]);
    gate().run().expect_code(0);
    if !met(&[Need::Root, Need::MountNamespace, Need::Tool("setpriv")]) {
        return;
    }
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    tree.mode("root", 0o700);
    let blind = result(&gate().as_nobody().run().expect_code(2));
    assert_eq!(blind["rules"][0]["outcome"], "not-judged");
    let mounted = gate().after_mounting("mount -t tmpfs none \"$1\"", &[&tree.join("srv")]);
    let mounted = result(&mounted.run().expect_code(2));
    assert_eq!(mounted["coverage"]["unseen"][0]["key"], "/srv");
}

#[test]
fn a_package_without_digests_cannot_pass() {
    let scratch = Scratch::new("gate-no-digests");
    let Some(root) = debian(&scratch) else { return };
    let seen = |root: &Path| {
        let json = result(&verify(root).run());
        let unseen = json["coverage"]["unseen"].as_array().unwrap().iter();
        let keys = unseen.filter_map(|one| one["key"].as_str().map(ToOwned::to_owned));
        (json["verdict"].clone(), keys.collect::<BTreeSet<_>>())
    };
    let (_, before) = seen(&root);
    assert!(!before.contains("/usr/bin/cat"), "{before:?}");
    fs::remove_file(root.join("var/lib/dpkg/info/coreutils.md5sums")).unwrap();
    let (verdict, after) = seen(&root);
    assert!(after.contains("/usr/bin/cat"), "{after:?}");
    assert_eq!(verdict, "unfit-and-incomplete");
}
