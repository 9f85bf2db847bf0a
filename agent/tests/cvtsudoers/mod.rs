//! What `cvtsudoers -f json` says of a policy, and what driftcheck says, in one form: plain lines of text.

pub(crate) mod generator;

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use driftcheck_agent::accounts::sudoers::{
    Alias, AliasKind, AliasMembers, Change, Command, CommandName, Member, Name, OPTIONS, OptionKind, Policy,
    Rule, Scope, Setting,
};
use serde_json::{Value, json};

/// Rules, aliases and settings; aliases in no order, for cvtsudoers sorts them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) rules: Vec<String>,
    pub(crate) aliases: BTreeSet<String>,
    pub(crate) settings: Vec<String>,
}

/// What driftcheck says.
pub(crate) fn ours(policy: &Policy) -> Said {
    Said {
        rules: policy
            .rules
            .iter()
            .map(|rule| our_rule(rule, hidden_options(policy)))
            .collect(),
        aliases: policy.aliases.iter().map(our_alias).collect(),
        settings: policy
            .settings
            .iter()
            .filter(|setting| is_known(setting))
            .map(our_setting)
            .collect(),
    }
}

/// Settings that sudo does not know are reported, but sudo drops them. Soup has such names, of few letters.
fn is_known(setting: &Setting) -> bool {
    setting.name.len() > 3
}

/// `ALL` implies SETENV. cvtsudoers shows that for all commands around it, or for none of them, so nothing can
/// be compared where `ALL` is.
fn hidden_options(policy: &Policy) -> &'static [&'static str] {
    let all = |rule: &Rule| rule.command.name == CommandName::All;
    if policy.rules.iter().any(all) {
        &["\"setenv\""]
    } else {
        &[]
    }
}

/// What cvtsudoers says.
pub(crate) fn theirs(json: &str, policy: &Policy) -> Said {
    let hidden = hidden_options(policy);
    let json = if json.trim().is_empty() { "{}" } else { json };
    let said: Value = serde_json::from_str(&repaired(json)).unwrap_or_else(|why| panic!("{why}: {json}"));
    let mut rules = Vec::new();
    for spec in array(&said["User_Specs"]) {
        for commands in array(&spec["Cmnd_Specs"]) {
            let mut options: Vec<String> = array(&commands["Options"]).iter().map(Value::to_string).collect();
            options.retain(|option| !hidden.iter().any(|hidden| option.contains(hidden)));
            options.sort_unstable();
            for command in array(&commands["Commands"]) {
                rules.push(canonical(&json!({
                    "users": spec["User_List"],
                    "hosts": spec["Host_List"],
                    "runasusers": commands["runasusers"],
                    "runasgroups": commands["runasgroups"],
                    "options": options,
                    "command": with_hex_digests(command),
                })));
            }
        }
    }
    let mut aliases = BTreeSet::new();
    for kind in ["User_Aliases", "Runas_Aliases", "Host_Aliases", "Command_Aliases"] {
        for (name, members) in said[kind].as_object().into_iter().flatten() {
            let members: Vec<Value> = array(members).iter().map(with_hex_digests).collect();
            aliases.insert(canonical(&json!([kind, name, members])));
        }
    }
    let mut settings = Vec::new();
    for group in array(&said["Defaults"]) {
        for option in array(&group["Options"]) {
            settings.push(canonical(&json!([group["Binding"], option])));
        }
    }
    Said {
        rules,
        aliases,
        settings,
    }
}

/// Up to 1.9.15 or so, cvtsudoers forgets the braces of some options.
fn repaired(json: &str) -> String {
    let line = |line: &str| {
        let text = line.trim();
        let bare = ["runcwd", "runchroot", "role", "type"];
        if !bare.iter().any(|name| text.starts_with(&format!("\"{name}\":"))) {
            return line.to_owned();
        }
        let comma = if text.ends_with(',') { "," } else { "" };
        format!("{{ {} }}{comma}", text.trim_end_matches(','))
    };
    json.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text of a value with the names of its objects sorted.
fn canonical(value: &Value) -> String {
    fn tidy(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(tidy).collect(),
            Value::Object(_) => {
                let mut entries: Vec<_> = value.as_object().into_iter().flatten().collect();
                entries.sort_by_key(|(name, _)| *name);
                Value::Object(
                    entries
                        .into_iter()
                        .map(|(name, value)| (name.clone(), tidy(value)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }
    tidy(value).to_string()
}

fn with_hex_digests(command: &Value) -> Value {
    let mut command = command.clone();
    for kind in ["sha224", "sha256", "sha384", "sha512"] {
        if let Some(Value::String(digest)) = command.get(kind) {
            let bytes = HEXLOWER_PERMISSIVE
                .decode(digest.as_bytes())
                .or_else(|_| BASE64.decode(digest.as_bytes()))
                .or_else(|_| BASE64_NOPAD.decode(digest.as_bytes()));
            command[kind] = HEXLOWER.encode(&bytes.unwrap()).into();
        }
    }
    command
}

fn our_rule(rule: &Rule, hidden: &[&str]) -> String {
    let mut options = options(rule);
    options.retain(|option| !hidden.iter().any(|hidden| option.contains(hidden)));
    options.sort_unstable();
    let runas = rule.runas.as_deref();
    let myself = || json!([{ "username": "" }]);
    let users = runas.and_then(|runas| match (runas.users.is_empty(), runas.groups.is_empty()) {
        (true, true) => Some(myself()),
        (true, false) => None,
        _ => Some(members(&runas.users, "runasalias", user)),
    });
    let groups = runas.filter(|runas| !runas.groups.is_empty());
    canonical(&json!({
        "users": members(&rule.users, "useralias", user),
        "hosts": members(&rule.hosts, "hostalias", host),
        "runasusers": users,
        "runasgroups": groups.map(|runas| members(&runas.groups, "runasalias", group)),
        "options": options,
        "command": command(&rule.command),
    }))
}

fn options(rule: &Rule) -> Vec<String> {
    const TAGS: [&str; 8] = [
        "authenticate",
        "setenv",
        "noexec",
        "intercept",
        "log_input",
        "log_output",
        "send_mail",
        "sudoedit_follow",
    ];
    let mut options = Vec::new();
    for (at, (name, tag)) in TAGS.iter().zip(rule.tags).enumerate() {
        let implied = at == 1 && !rule.command.negated && rule.command.name == CommandName::All;
        if let Some(tag) = tag.or(implied.then_some(true)) {
            // Of this one, the tag is the negation.
            options.push(json!({ *name: tag != (at == 0) }).to_string());
        }
    }
    for ((kind, _), value) in OPTIONS.iter().zip(&rule.options) {
        let Some(value) = value.as_deref().map(text) else {
            continue;
        };
        options.push(match kind {
            OptionKind::Chroot => json!({ "runchroot": value }).to_string(),
            OptionKind::Cwd => json!({ "runcwd": value }).to_string(),
            // Shown elsewhere in the JSON, and only if there are both.
            OptionKind::Role | OptionKind::Type | OptionKind::Profile => continue,
            OptionKind::Timeout if value == "0" => continue,
            OptionKind::Timeout => json!({ "command_timeout": value.parse::<i64>().unwrap() }).to_string(),
            OptionKind::NotBefore => json!({ "notbefore": value }).to_string(),
            OptionKind::NotAfter => json!({ "notafter": value }).to_string(),
        });
    }
    options
}

fn our_alias(alias: &Alias) -> String {
    let (kind, alias_key): (_, _) = match alias.kind {
        AliasKind::Command => ("Command_Aliases", "cmndalias"),
        AliasKind::Host => ("Host_Aliases", "hostalias"),
        AliasKind::Runas => ("Runas_Aliases", "runasalias"),
        AliasKind::User => ("User_Aliases", "useralias"),
    };
    let members = match &alias.members {
        AliasMembers::Commands(commands) => commands.iter().map(command).collect(),
        AliasMembers::Names(names) if alias.kind == AliasKind::Host => members(names, alias_key, host),
        AliasMembers::Names(names) => members(names, alias_key, user),
    };
    canonical(&json!([kind, text(&alias.name), members]))
}

fn our_setting(setting: &Setting) -> String {
    let binding = match &setting.scope {
        Scope::Global => Value::Null,
        Scope::Users(users) => members(users, "useralias", user),
        Scope::Runas(users) => members(users, "runasalias", user),
        Scope::Hosts(hosts) => members(hosts, "hostalias", host),
        Scope::Commands(commands) => commands.iter().map(command).collect(),
    };
    let name = text(&setting.name);
    let list = |operation: &str, value: &[u8]| {
        let items: Vec<String> = text(value).split_ascii_whitespace().map(Into::into).collect();
        json!({ "operation": operation, name.as_str(): items })
    };
    let option = match &setting.change {
        Change::Switch(on) => json!({ name.as_str(): on }),
        Change::Add(value) => list("list_add", value),
        Change::Remove(value) => list("list_remove", value),
        Change::Assign(value) if name.starts_with("env_") && name != "env_file" => list("list_assign", value),
        Change::Assign(value) => json!({ name.as_str(): text(value) }),
    };
    canonical(&json!([binding, option]))
}

fn members(members: &[Member], alias: &str, other: impl Fn(&Name) -> Value) -> Value {
    let member = |member: &Member| {
        let mut value = match &member.name {
            Name::Alias(name) => json!({ alias: text(name) }),
            name => other(name),
        };
        negate(&mut value, member.negated);
        value
    };
    members.iter().map(member).collect()
}

fn negate(value: &mut Value, negated: bool) {
    if negated && let Some(entries) = value.as_object_mut() {
        entries.insert("negated".into(), true.into());
    }
}

fn user(name: &Name) -> Value {
    let numbered = |text: &str| text.strip_prefix('#').and_then(|id| id.parse::<u32>().ok());
    match name {
        Name::Word(name) => match numbered(&text(name)) {
            Some(id) => json!({ "userid": id }),
            None => json!({ "username": text(name) }),
        },
        Name::Group(name) => {
            let name = text(&name[1..]);
            let (kind, name) = name
                .strip_prefix(':')
                .map_or(("user", &name[..]), |name| ("nonunix", name));
            match (kind, numbered(name)) {
                ("user", Some(id)) => json!({ "usergid": id }),
                ("user", None) => json!({ "usergroup": name }),
                (_, Some(id)) => json!({ "nonunixgid": id }),
                (_, None) => json!({ "nonunixgroup": name }),
            }
        }
        Name::Netgroup(name) => json!({ "netgroup": text(&name[1..]) }),
        Name::All => json!({ "username": "ALL" }),
        other => panic!("no user: {other:?}"),
    }
}

fn host(name: &Name) -> Value {
    match name {
        Name::All => json!({ "hostname": "ALL" }),
        Name::Word(name) => json!({ "hostname": text(name) }),
        Name::Address(name) => json!({ "networkaddr": text(name) }),
        Name::Netgroup(name) => json!({ "netgroup": text(&name[1..]) }),
        other => panic!("no host: {other:?}"),
    }
}

fn group(name: &Name) -> Value {
    match name {
        Name::All => json!({ "usergroup": "ALL" }),
        Name::Word(name) => json!({ "usergroup": text(name) }),
        other => panic!("no group: {other:?}"),
    }
}

fn command(command: &Command) -> Value {
    let mut value = match &command.name {
        CommandName::All => json!({ "command": "ALL" }),
        CommandName::Alias(name) => json!({ "cmndalias": text(name) }),
        CommandName::Program {
            path,
            arguments: None,
        } => json!({ "command": text(path) }),
        CommandName::Program {
            path,
            arguments: Some(arguments),
        } => {
            json!({ "command": format!("{} {}", text(path), text(arguments)) })
        }
    };
    for (kind, bytes) in &command.digests {
        value[kind.label()] = HEXLOWER.encode(bytes).into();
    }
    negate(&mut value, command.negated);
    value
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
