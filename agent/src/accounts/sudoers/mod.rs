//! sudoers(5): who may run what as whom.
//!
//! [`read`] follows includes and gives a [`Policy`]: the rules in the order in which sudo evaluates them,
//! aliases as they were defined, and settings as they were made. [`settle`](settled::settle) turns that into
//! facts that do not change when the files are merely reformatted.
//!
//! What a line means here is what it means to sudo 1.9.13, error recovery included: of a line with an error,
//! sudo keeps what it had understood of a rule or of aliases before, and so does this. Rules in LDAP or SSSD
//! are out of reach, and so are owner and mode, for which sudo may refuse a file as a whole.

mod lexer;
mod overrides;
mod parser;
mod patterns;
mod reader;
pub mod settled;
mod spelling;

use std::sync::Arc;

pub use parser::parse;
pub use reader::{FILES, read};

/// Everything that the files say.
#[derive(Debug, Default)]
pub struct Policy {
    /// Rules in the order in which sudo looks at them; the last that matches decides.
    pub rules: Vec<Rule>,
    /// Aliases in order.
    pub aliases: Vec<Alias>,
    /// `Defaults` settings in order.
    pub settings: Vec<Setting>,
    /// What could not be read or understood.
    pub trouble: Vec<Trouble>,
}

/// Something that could not be read or understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file.
    pub file: Arc<[u8]>,
    /// The line, from 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// Why, as a lower-case fragment.
    pub why: String,
}

/// One command that some users may, or with `!` may not, run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub users: Arc<[Member]>,
    /// Where.
    pub hosts: Arc<[Member]>,
    /// As whom; `None` if nothing is said, which means the setting `runas_default`, usually root.
    pub runas: Option<Arc<Runas>>,
    /// `CWD` and the like, by [`OptionKind`].
    pub options: [Option<Arc<[u8]>>; OPTIONS.len()],
    /// `NOPASSWD` and the like, by their place in [`TAGS`]; `None` if nothing is said.
    pub tags: [Option<bool>; TAGS.len()],
    /// What.
    pub command: Command,
    /// The file that says so.
    pub source: Arc<[u8]>,
}

/// As whom a command may be run. Without users and groups: only as oneself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runas {
    /// Users.
    pub users: Vec<Member>,
    /// Groups.
    pub groups: Vec<Member>,
}

/// A member of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whether it is excluded by `!`.
    pub negated: bool,
    /// Who or what it is.
    pub name: Name,
}

/// Who or what a member is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Everything.
    All,
    /// An alias; of which kind follows from the list.
    Alias(Vec<u8>),
    /// A user, group or host by name, which may have wildcards; `#` and a number is an id.
    Word(Vec<u8>),
    /// A group of users, with `%` in front.
    Group(Vec<u8>),
    /// A netgroup, with `+` in front.
    Netgroup(Vec<u8>),
    /// An address, perhaps with a mask.
    Address(Vec<u8>),
}

/// A command as a member of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whether it is excluded by `!`.
    pub negated: bool,
    /// Digests of which the program must have one: algorithm and bytes.
    pub digests: Vec<(DigestKind, Vec<u8>)>,
    /// The command.
    pub name: CommandName,
}

/// Which command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandName {
    /// Every command.
    All,
    /// A command alias.
    Alias(Vec<u8>),
    /// A program.
    Program {
        /// Absolute path, perhaps with wildcards; a directory if it ends in `/`; a regular expression if it
        /// starts with `^`; or `sudoedit` or `list`.
        path: Vec<u8>,
        /// Arguments with one blank between them, `""` for none; `None` allows any.
        arguments: Option<Vec<u8>>,
    },
}

/// A definition of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// What it stands for: users, commands, ...
    pub kind: AliasKind,
    /// Its name.
    pub name: Vec<u8>,
    /// Its members.
    pub members: AliasMembers,
    /// The file that defines it.
    pub source: Arc<[u8]>,
}

/// What an alias stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AliasMembers {
    /// Users, targets or hosts.
    Names(Vec<Member>),
    /// Commands.
    Commands(Vec<Command>),
}

/// Kinds of aliases; each has its own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AliasKind {
    /// `Cmnd_Alias`.
    Command,
    /// `Host_Alias`.
    Host,
    /// `Runas_Alias`.
    Runas,
    /// `User_Alias`.
    User,
}

impl AliasKind {
    /// The kind in keys.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Host => "host",
            Self::Runas => "runas",
            Self::User => "user",
        }
    }
}

/// One `Defaults` setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it holds for.
    pub scope: Scope,
    /// Its name.
    pub name: Vec<u8>,
    /// What is done to it.
    pub change: Change,
    /// The file that makes it.
    pub source: Arc<[u8]>,
}

/// What a setting holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Global,
    /// The invoking users, `:`.
    Users(Arc<[Member]>),
    /// The hosts, `@`.
    Hosts(Arc<[Member]>),
    /// The target users, `>`.
    Runas(Arc<[Member]>),
    /// The commands, `!`.
    Commands(Arc<[Command]>),
}

/// What is done to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Switched on, or with `!` off.
    Switch(bool),
    /// `=`
    Assign(Vec<u8>),
    /// `+=`
    Add(Vec<u8>),
    /// `-=`
    Remove(Vec<u8>),
}

/// Algorithms of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestKind {
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestKind {
    fn of(text: &[u8]) -> Option<Self> {
        let all = [Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];
        all.into_iter().find(|kind| kind.label().as_bytes() == text)
    }

    /// The algorithm's name in sudoers(5).
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest.
    const fn length(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Tags: on, off. Their order is that of the canonical text.
pub const TAGS: [(&str, &str); 8] = [
    ("NOPASSWD", "PASSWD"),
    ("SETENV", "NOSETENV"),
    ("NOEXEC", "EXEC"),
    ("INTERCEPT", "NOINTERCEPT"),
    ("LOG_INPUT", "NOLOG_INPUT"),
    ("LOG_OUTPUT", "NOLOG_OUTPUT"),
    ("MAIL", "NOMAIL"),
    ("FOLLOW", "NOFOLLOW"),
];

/// Place in [`TAGS`] of `SETENV`, which `ALL` implies.
const SETENV: usize = 1;

/// A tag and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    at: usize,
    value: bool,
}

/// Options of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Root directory.
    Chroot,
    /// Working directory.
    Cwd,
    /// SELinux role.
    Role,
    /// SELinux type.
    Type,
    /// `AppArmor` profile.
    Profile,
    /// Time limit; kept in seconds.
    Timeout,
    /// Date from which the rule holds.
    NotBefore,
    /// Date until which the rule holds.
    NotAfter,
}

/// The options' names, by [`OptionKind`]. Their order is that of the canonical text.
pub const OPTIONS: [(OptionKind, &str); 8] = [
    (OptionKind::Chroot, "CHROOT"),
    (OptionKind::Cwd, "CWD"),
    (OptionKind::Role, "ROLE"),
    (OptionKind::Type, "TYPE"),
    (OptionKind::Profile, "APPARMOR_PROFILE"),
    (OptionKind::Timeout, "TIMEOUT"),
    (OptionKind::NotBefore, "NOTBEFORE"),
    (OptionKind::NotAfter, "NOTAFTER"),
];

impl OptionKind {
    fn of(text: &[u8]) -> Option<Self> {
        OPTIONS
            .iter()
            .find(|(_, name)| name.as_bytes() == text)
            .map(|(kind, _)| *kind)
    }
}
