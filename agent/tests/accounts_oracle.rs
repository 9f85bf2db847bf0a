//! What driftcheck reads of accounts against what the tools say that use them.
//!
//! A test whose tool is missing says so and passes, unless `DRIFTCHECK_REQUIRE_ORACLES=1`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, outside of a test function"
)]

mod cvtsudoers;
mod dir_tree;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use cvtsudoers::generator::any_line;
use cvtsudoers::{ours, theirs};
use dir_tree::DirTree;
use driftcheck_agent::accounts::crypt::Password;
use driftcheck_agent::accounts::sudoers::{CommandName, Policy};
use driftcheck_agent::accounts::{authorized_keys, group, passwd, sudoers};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[test]
fn users_and_groups_equal_getent() {
    let id = |id: Option<u32>| id.map(|id| id.to_string()).unwrap_or_default();
    let Some(shown) = run("getent", &["-s", "files", "passwd"], "") else {
        return;
    };
    let users: Vec<String> = passwd::parse(&fs::read("/etc/passwd").unwrap())
        .map(|line| line.record.unwrap())
        .map(|user| {
            let [name, gecos, home, shell] =
                [&user.name, &user.gecos, &user.home, &user.shell].map(|field| text(field));
            format!("{name}:{}:{}:{gecos}:{home}:{shell}", id(user.uid), id(user.gid))
        })
        .collect();
    assert_eq!(users, without_password(&shown));
    let Some(shown) = run("getent", &["-s", "files", "group"], "") else {
        return;
    };
    let groups: Vec<String> = group::parse(&fs::read("/etc/group").unwrap())
        .map(|line| line.record.unwrap())
        .map(|group| {
            format!(
                "{}:{}:{}",
                text(&group.name),
                id(group.gid),
                text(&group.members.join(&b","[..]))
            )
        })
        .collect();
    assert_eq!(groups, without_password(&shown));
}

fn without_password(shown: &str) -> Vec<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        [&fields[..1], &fields[2..]].concat().join(":")
    };
    shown.lines().map(line).collect()
}

#[test]
fn schemes_equal_those_of_libcrypt() {
    for (method, scheme) in [
        ("yescrypt", "yescrypt"),
        ("gost-yescrypt", "gost-yescrypt"),
        ("scrypt", "scrypt"),
        ("bcrypt", "bcrypt"),
        ("bcrypt-a", "bcrypt"),
        ("sha512crypt", "sha512"),
        ("sha256crypt", "sha256"),
        ("sunmd5", "sunmd5"),
        ("md5crypt", "md5"),
        ("bsdicrypt", "bsdicrypt"),
        ("descrypt", "des"),
        ("nt", "nthash"),
    ] {
        let Some(hash) = run("mkpasswd", &["-s", "-m", method], "password\n") else {
            return;
        };
        let found = Password::of(hash.trim().as_bytes());
        assert_eq!(
            (found.state(), found.hash().map(|hash| hash.scheme)),
            ("set", Some(scheme)),
            "{method}"
        );
        let locked = Password::of(format!("!{}", hash.trim()).as_bytes());
        assert_eq!(
            (locked.state(), locked.hash()),
            ("locked", found.hash()),
            "{method}"
        );
    }
}

#[test]
fn fingerprints_equal_ssh_keygen() {
    let folder = scratch("keys");
    for (kind, bits) in [
        ("rsa", "2048"),
        ("rsa", "3072"),
        ("dsa", "1024"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
        ("ed25519", "256"),
    ] {
        let path = folder.join(format!("{kind}-{bits}"));
        let path = path.to_str().unwrap();
        let arguments = [
            "-q",
            "-t",
            kind,
            "-b",
            bits,
            "-N",
            "",
            "-C",
            "a comment",
            "-f",
            path,
        ];
        match accepts("ssh-keygen", &arguments, "") {
            None => return,
            // It is gone from new releases.
            Some(false) if kind == "dsa" => continue,
            Some(made) => assert!(made, "{kind}"),
        }
        let public = fs::read_to_string(format!("{path}.pub")).unwrap();
        same_fingerprints(
            &folder,
            &format!("{public}# comment\n\n  restrict,from=\"a b,c\"\t{public}"),
            2,
        );
    }
    let tokens = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo= token\n\
                  sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBIELQJ2DgvaX1yQlKFokfWM2suuaCFI2qp0eJodHyg6O4ifxc3XpRKd1OS8dNYQtE/YjdXSrA+AOnMF5ns2Nkx4AAAAEc3NoOg== token\n";
    same_fingerprints(&folder, tokens, 2);
    fs::remove_dir_all(folder).unwrap();
}

fn same_fingerprints(folder: &std::path::Path, file: &str, count: usize) {
    let path = folder.join("authorized_keys");
    fs::write(&path, file).unwrap();
    let Some(shown) = run("ssh-keygen", &["-lf", path.to_str().unwrap()], "") else {
        return;
    };
    let shown: Vec<(&str, &str)> = shown
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0], words[1])
        })
        .collect();
    let keys: Vec<_> = authorized_keys::parse(file.as_bytes())
        .map(|line| line.record.unwrap())
        .collect();
    assert_eq!((keys.len(), shown.len()), (count, count), "{file}");
    for (key, (bits, fingerprint)) in keys.iter().zip(shown) {
        assert_eq!(key.fingerprint, fingerprint);
        assert!(
            key.bits.is_none_or(|ours| ours.to_string() == bits),
            "{bits} {:?}",
            key.bits
        );
    }
}

#[test]
fn tricky_policies_equal_cvtsudoers() {
    for (at, policy) in TRICKY.iter().enumerate() {
        let Some(valid) = same_policy(policy) else { return };
        assert!(valid, "policy {at} is not valid");
    }
}

const TRICKY: &[&str] = &[
    // Comments, uids that look like comments, continuation, blanks.
    "# c \\\n#1000,#0\tALL=\\\n  ALL#end\n#includes x\n#\n\n%#20 \\\n ALL = /bin/ls   -l \\\n  /tmp # c\n",
    // Aliases of all kinds, several on a line, in each other.
    "User_Alias A = a, !b, %c, +d, #5, %#6, %:e, \"%two words\", b\\ x, \"ALL\" : B=A,!x\nHost_Alias H=10.0.0.0/8, fe80::1/64, *.e.com, !h, 1.2.3.4/255.0.0.0, +n\n\
     Cmnd_Alias C = /bin/a, !/bin/b -x\\,y, sudoedit /etc/m, /opt/d/ : D=C,ALL\nRunas_Alias R=o,#33,%g,!R2 : R2=p\nCmd_Alias E=/bin/e\n  User_Alias Z=z\nA H=(R:R) C\n",
    // What is taken over from one command to the next.
    "a ALL=(x,!y:g) NOPASSWD:SETENV: /bin/a, PASSWD: /bin/b, ALL, NOEXEC: /bin/c, () /bin/d, (:h) /bin/e, (:) ALL : h2=EXEC:NOSETENV: ALL, /bin/f\n",
    "a ALL=INTERCEPT:LOG_INPUT:LOG_OUTPUT:MAIL:FOLLOW: /bin/a, NOINTERCEPT:NOLOG_INPUT:NOLOG_OUTPUT:NOMAIL:NOFOLLOW: /bin/b, NOPASSWD :PASSWD: /bin/c\n",
    // Options.
    "a ALL=CWD=/x TIMEOUT=1d2h3m4s /bin/a, CHROOT=~ /bin/b, CWD=* NOTBEFORE=20230101000000Z NOTAFTER=20240101000000Z /bin/c, TIMEOUT=0 ROLE=r /bin/d, /bin/e, TYPE=t ALL\n",
    // Escapes and quotes.
    "a\\x41b,c\\,d,\\%x,\"\\%y\",\"q\\\"r\" ALL=/bin/a\\ b c\\,d, /bin/a\\#b[ab]* c?d \\* \\\\n \"x y\", /bin/a(b)!c>d\"e =x a=b !z, /bin/x \"\"\n",
    // Regular expressions.
    "a ALL=^/bin/(a|b)$ x, ^/x\\$y$, /bin/foo ^a,b:c$, /bin/b x ^a\n",
    // Digests.
    "a ALL=sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=, sha224:D14A028C2A3A2BC9476102BB288234C415A2B01F828EA62AC5B3E42F !/bin/ls, sha256 : 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU ALL\n",
    // Settings.
    "Defaults\tenv_reset, !lecture,!!insults, passwd_tries=5 , badpass_message=\"No \\\"x\\\" \\x20 \\\n    y\"\nDefaults:a,%b,\"+c d\",#10,A  !authenticate\nDefaults@w,10.0.0.0/8,H log_output\n\
     Defaults>r,ALL env_keep += \"A B C\"\nDefaults!/bin/a\\,b,C,ALL,sudoedit noexec\nDefaults env_keep -= A,env_check=B\n Defaults secure_path=/a\\:/b # c\nDefaults: a use_pty\nDefaults \\\n umask=022,\\\n !umask\n",
    // Names that are nearly something else.
    "list,@a,@includex,-a,a@b,NOPASSWD,FOO.x 10.0.0,1.2.3.400,\"1.2.3.4\",FOO_1,1::,::1/128,a:b:c=list, list\n",
    // Line ends of other systems, and none at the end.
    "a ALL=ALL\r\nUser_Alias A=b\r\nb ALL=(x) ALL\r\nc ALL=/bin/b",
];

#[test]
fn what_cvtsudoers_writes_again_is_the_same() {
    let policy = "a ALL=ROLE=r TYPE=t CWD=/x /bin/a, TYPE=u /bin/b, (x) NOPASSWD: /bin/c\\,d \\* \"\", ^/bin/(x|y)$ ^a b$\n\
                  Cmnd_Alias C=/bin/a\\ b x, !/bin/c\n\"two words\",%g\\ h,\\x61 ALL=(:g,#5) C, !ALL\n";
    let Some(again) = run("cvtsudoers", &["-c", "/dev/null", "-f", "sudoers", "-"], policy) else {
        return;
    };
    let [one, other] = [policy, &again].map(|text| sudoers::parse(text.as_bytes(), b"f"));
    assert_eq!((one.trouble.len(), other.trouble.len()), (0, 0), "{again}");
    assert_eq!((one.rules, one.aliases), (other.rules, other.aliases), "{again}");
}

#[test]
fn invalid_lines_are_invalid_to_both() {
    for line in [
        "a ALL",
        "a ALL=",
        "a ALL=ALL,",
        "a ALL=! ! /bin/a",
        "a ALL=rel",
        "a ALL=/",
        "a ALL=/bin/d/ x",
        "a ALL=/bin/a x:y",
        "a ALL=/bin/a x\\y",
        "a ALL=/bin/a #5",
        "a ALL=/bin/a\\*",
        "a ALL=list x",
        "a ALL=(a:) ALL",
        "a ALL=(a,) ALL",
        "a ALL=(A B) /bin/x",
        "a ALL=sha224:abcd /bin/ls",
        "a ALL=sha256: /bin/x",
        "a ALL=CWD=x ALL",
        "a ALL=CWD=\"/a b\" ALL",
        "a ALL=TIMEOUT=1h2d ALL",
        "a ALL=NOPASSWD: CWD=/x ALL",
        "a ALL=NOTBEFORE=x ALL",
        "a ALL=ALL : b",
        "a ALL=ALL \\\n",
        "a ALL=/bin/a x\r\n",
        "a=b ALL=ALL",
        "a>b ALL=ALL",
        "sha224 ALL=ALL",
        "10.0.0.1 ALL=ALL",
        "a 1::2::3=ALL",
        "% ALL=ALL",
        "\"%\" ALL=ALL",
        "\"\" ALL=ALL",
        "\"a ALL=ALL",
        "#-\na ALL=ALL",
        "#12 x",
        "User_Alias ALL=x",
        "User_Alias CWD=x",
        "User_Alias a=x",
        "User_Alias A=x\nUser_Alias A=y",
        "a ALL=ALL, \\\nDefaults use_pty",
        "Defaults",
        "Defaults x=",
        "Defaults insults,",
        "Defaults !insults=x",
        "Defaults insults #5",
        "Defaults lecture=\"\"",
        "Defaults  >  root use_pty",
        "Defaults!/bin/a b insults",
        "@include",
    ] {
        let Some(valid) = same_policy(line) else { return };
        assert!(!valid, "{line}");
        let Some(checked) = accepts("visudo", &["-c", "-f", "-"], line) else {
            return;
        };
        assert!(!checked, "{line}");
    }
}

#[test]
fn includes_equal_cvtsudoers() {
    let root = scratch("include");
    fs::create_dir_all(root.join("etc/local.d")).unwrap();
    for (name, content) in [
        (
            "sudoers",
            "a ALL=ALL\n#include sudoers.x\nb ALL=ALL\n@includedir local.d\n@includedir missing\n",
        ),
        (
            "sudoers.x",
            "c ALL=ALL\n@include \"sudoers y\" # why\nUser_Alias X=x",
        ),
        ("sudoers y", "Defaults use_pty\n"),
        ("local.d/20", "e ALL=ALL"),
        ("local.d/10", "d ALL=ALL"),
        ("local.d/10.bak", "no ALL=ALL\n"),
        ("local.d/10~", "no ALL=ALL\n"),
    ] {
        fs::write(root.join("etc").join(name), content).unwrap();
    }
    // Of a folder that is not root's, sudo includes nothing.
    let owned = fs::metadata(&root).unwrap().uid() == 0;
    if !owned {
        println!("skipped: needs a folder of root");
    }
    let path = root.join("etc/sudoers");
    if owned
        && let Some(json) = run(
            "cvtsudoers",
            &["-c", "/dev/null", "-f", "json", path.to_str().unwrap()],
            "",
        )
    {
        let policy = sudoers::read(&DirTree(root.clone()));
        assert_eq!(policy.trouble, []);
        assert_eq!(policy.rules.len(), 5);
        assert_eq!(ours(&policy), theirs(&json, &policy));
    }
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn generated_policies_equal_cvtsudoers() {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(any_line(), 1..5);
    let (mut valid, mut all) = (0, 0);
    for _ in 0..CASES {
        let policy = strategy.new_tree(&mut runner).unwrap().current().join("\n");
        let Some(is_valid) = same_policy(&policy) else {
            return;
        };
        valid += usize::from(is_valid);
        all += 1;
    }
    assert!(
        valid * 4 > all,
        "only {valid} of {all} are valid: nothing was compared"
    );
}

#[test]
fn soup_equals_cvtsudoers() {
    let mut runner = TestRunner::deterministic();
    let soup = "(a|B|ALL|/|/b|\\^|\\$| |,|=|:|!|\\(|\\)|\"|\\\\|#|%|\\+|@|1|\n|\t|ALL=|Defaults|NOPASSWD:|\\\\\n|;|-){1,7}";
    let strategy = proptest::string::string_regex(soup).unwrap();
    let frames = [
        "SOUP",
        "SOUP ALL=ALL",
        "a SOUP=ALL",
        "a ALL=SOUP",
        "a ALL=/b SOUP",
        "a ALL=(SOUP) ALL",
        "Defaults SOUP",
        "DefaultsSOUP x",
        "Defaults umask=SOUP",
        "User_Alias SOUP",
        "Cmnd_Alias C=SOUP",
        "Host_Alias H=SOUP",
    ];
    for at in 0..CASES {
        let soup = strategy.new_tree(&mut runner).unwrap().current();
        let policy = frames[at % frames.len()].replace("SOUP", &soup);
        if same_policy(&policy).is_none() {
            return;
        }
    }
}

/// How many random policies are compared; each starts a process.
const CASES: usize = 600;

/// Whether a policy is valid to both, in which case it must mean the same to both. `None` without cvtsudoers.
fn same_policy(text: &str) -> Option<bool> {
    let policy = sudoers::parse(text.as_bytes(), b"f");
    let (valid, json) = start("cvtsudoers", &["-c", "/dev/null", "-f", "json", "-"], text)?;
    // Whether a regular expression is one, only sudo knows.
    if !valid && has_regex(&policy) {
        return Some(false);
    }
    assert_eq!(policy.trouble.is_empty(), valid, "{text:?}: {:?}", policy.trouble);
    if valid {
        assert_eq!(ours(&policy), theirs(&json, &policy), "{text}");
    }
    Some(valid)
}

fn has_regex(policy: &Policy) -> bool {
    let regex = |name: &CommandName| match name {
        CommandName::Program { path, arguments } => {
            path.starts_with(b"^")
                || arguments
                    .as_ref()
                    .is_some_and(|arguments| arguments.starts_with(b"^"))
        }
        _ => false,
    };
    policy.rules.iter().any(|rule| regex(&rule.command.name)) || format!("{policy:?}").contains("path: [94,")
}

/// The output of a program that succeeds; `None`, after saying so, if it is missing or fails.
fn run(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let (success, output) = start(program, arguments, input)?;
    if !success {
        skip(&format!("{program} {} fails", arguments.join(" ")));
    }
    success.then_some(output)
}

fn accepts(program: &str, arguments: &[&str], input: &str) -> Option<bool> {
    start(program, arguments, input).map(|(success, _)| success)
}

fn start(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let path = env::var_os("PATH").map_or_else(String::new, |path| path.to_string_lossy().into_owned());
    let child = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        skip(&format!("{program} is missing"));
        return None;
    };
    // A program that does not read its input closes it, which is no failure.
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        drop(written);
    }
    Some((output.status.success(), String::from_utf8(output.stdout).unwrap()))
}

fn skip(why: &str) {
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|set| set != "1"),
        "{why}"
    );
    println!("skipped: {why}");
}

fn scratch(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("driftcheck-accounts-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
