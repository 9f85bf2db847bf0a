//! Random lines of sudoers.

use proptest::prelude::*;

/// A line as people write them, most of them valid.
pub(crate) fn any_line() -> impl Strategy<Value = String> {
    let spec = (
        any_names(USERS),
        any_names(HOSTS),
        prop::collection::vec(any_command(), 1..4),
    );
    let rule = spec.prop_map(|(users, hosts, commands)| format!("{users} {hosts}={}", commands.join(", ")));
    let alias = |keyword: &'static str, members: &'static [&'static str]| {
        ("[ABFZ]", any_names(members)).prop_map(move |(name, members)| format!("{keyword} {name}={members}"))
    };
    let setting = prop::sample::select(SETTINGS).prop_map(str::to_owned);
    let scoped = (
        prop::sample::select(&[":", "@", ">"][..]),
        any_names(&USERS[..6]),
        prop::sample::select(SETTINGS),
    );
    prop_oneof![
        6 => rule,
        1 => alias("User_Alias", USERS),
        1 => alias("Host_Alias", HOSTS),
        1 => alias("Runas_Alias", USERS),
        1 => alias("Cmnd_Alias", COMMANDS),
        1 => setting.prop_map(|setting| format!("Defaults {setting}")),
        1 => scoped.prop_map(|(sign, names, setting)| format!("Defaults{sign}{names} {setting}")),
        1 => prop::sample::select(&["# c", "", "\t", "#includes", "#1"][..]).prop_map(str::to_owned),
    ]
}

fn any_names(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let glue = prop::sample::select(&[",", ", ", " ,", ",\\\n "][..]);
    let sign = prop::sample::select(&["", "", "", "!", "!!", "! "][..]);
    prop::collection::vec((sign, prop::sample::select(names), glue), 1..4).prop_map(|members| {
        let last = members.len() - 1;
        let spell = |(at, (sign, name, glue)): (usize, (&str, &str, &str))| {
            format!("{sign}{name}{}", if at == last { "" } else { glue })
        };
        members.into_iter().enumerate().map(spell).collect()
    })
}

fn any_command() -> impl Strategy<Value = String> {
    let runas = prop::sample::select(
        &[
            "",
            "",
            "(x) ",
            "()",
            "(:g)",
            "(x,!y : g,#5) ",
            "(ALL:ALL)",
            "(A)",
            "(%g)",
            "(:)",
        ][..],
    );
    // Of a time limit that is all that changes from one command to the next, the JSON knows nothing.
    let option = prop::sample::select(
        &[
            "",
            "",
            "",
            "CWD=/x ",
            "CHROOT=* ",
            "CWD=/t TIMEOUT=1m ",
            "ROLE=r ",
            "TYPE=t ROLE=s ",
        ][..],
    );
    let tag = prop::sample::select(
        &[
            "",
            "",
            "NOPASSWD:",
            "PASSWD: ",
            "SETENV :",
            "NOEXEC:NOSETENV:",
            "MAIL:",
        ][..],
    );
    (runas, option, tag, any_names(COMMANDS))
        .prop_map(|(runas, option, tag, command)| format!("{runas}{option}{tag}{command}"))
}

const USERS: &[&str] = &[
    "a",
    "bob",
    "ALL",
    "A",
    "#1000",
    "%adm",
    "%#20",
    "%:nu",
    "%:#5",
    "+net",
    "\"two words\"",
    "\"%g h\"",
    "c\\,d",
    "\\x41b",
    "a.b*",
    "B_1",
    "d\\ e",
    "\"F\"",
    "#-1",
    "a@b",
    "-x",
    "list",
];
const HOSTS: &[&str] = &[
    "ALL",
    "h",
    "*.e.com",
    "H",
    "10.0.0.1",
    "10.0.0.0/8",
    "fe80::1",
    "::1/64",
    "a:b:c:d",
    "+net",
    "\"x y\"",
    "1.2.3",
    "[ab]?",
    "1.2.3.4/255.255.0.0",
];
const COMMANDS: &[&str] = &[
    "ALL",
    "C",
    "/bin/ls",
    "/bin/ls -l /tmp",
    "/bin/a\\ b x\\,y",
    "/bin/x \"\"",
    "/bin/dir/",
    "sudoedit /etc/x",
    "sudoedit",
    "list",
    "^/bin/[ab]+$",
    "/bin/x ^a b$",
    "/bin/x \\* \\\\n",
    "/bin/x a=b !c",
    "/bin/*x?[a-c]",
    "sha224:d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f /bin/x",
];
const SETTINGS: &[&str] = &[
    "use_pty",
    "!use_pty",
    "env_keep+=\"A B\"",
    "env_keep -= A",
    "env_check=X",
    "!env_delete",
    "lecture=never",
    "passwd_tries = 3,insults",
    "secure_path=\"/a:/b\"",
    "badpass_message=a\\ b",
    "umask=022 , !umask",
];
