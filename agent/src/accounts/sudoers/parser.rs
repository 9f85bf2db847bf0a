//! The grammar of sudoers(5): from the words of a line to rules, aliases and settings.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use super::lexer::{Lexer, Line, Token};
use super::{
    Alias, AliasKind, AliasMembers, Change, Command, CommandName, DigestKind, Member, Name, OPTIONS,
    OptionKind, Policy, Rule, Runas, SETENV, Scope, Setting, TAGS, Tag, Trouble,
};

/// Parses one file without following its includes; each include is [`Policy::trouble`].
#[must_use]
pub fn parse(bytes: &[u8], file: &[u8]) -> Policy {
    let mut parser = Parser::default();
    let file: Arc<[u8]> = file.into();
    parser.file(bytes, &file, &mut |parser, include, line| {
        let why = format!("{} is not followed here", include.kind.label());
        parser.policy.trouble.push(Trouble {
            file: Arc::clone(&file),
            line: Some(line),
            why,
        });
    });
    parser.policy
}

/// An include as a file asks for it.
pub(super) struct Include {
    pub(super) kind: IncludeKind,
    /// Path as written, without quotes and backslashes.
    pub(super) path: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IncludeKind {
    File,
    Directory,
}

impl IncludeKind {
    const fn label(self) -> &'static str {
        match self {
            Self::File => "include",
            Self::Directory => "includedir",
        }
    }
}

/// Collects what several files say.
#[derive(Default)]
pub(super) struct Parser {
    pub(super) policy: Policy,
    /// Aliases that are defined already: a second definition is an error, and the first one holds.
    defined: HashSet<(AliasKind, Vec<u8>)>,
}

/// What is done at an include: the parser so far, the include, its line.
pub(super) type OnInclude<'a> = dyn FnMut(&mut Parser, Include, usize) + 'a;

impl Parser {
    /// Parses a file; `on_include` is called in place, for order is part of the meaning.
    pub(super) fn file(&mut self, bytes: &[u8], file: &Arc<[u8]>, on_include: &mut OnInclude<'_>) {
        let complete = match bytes.last() {
            None | Some(b'\n') => Cow::Borrowed(bytes),
            Some(_) => Cow::Owned([bytes, b"\n"].concat()),
        };
        let mut lexer = Lexer::new(&complete);
        while let Some(Line { number, tokens }) = lexer.next_line() {
            let tokens = tokens.into_iter().peekable();
            let mut statement = Statement {
                tokens,
                at_colon: false,
                file,
                out: self,
            };
            match statement.parse() {
                Ok(None) => {}
                Ok(Some((include, complete))) => {
                    if let Err(why) = complete {
                        self.trouble(file, number, why);
                    }
                    on_include(self, include, number);
                }
                Err(why) => self.trouble(file, number, why),
            }
        }
    }

    pub(super) fn trouble(&mut self, file: &Arc<[u8]>, line: usize, why: impl Into<String>) {
        self.policy.trouble.push(Trouble {
            file: Arc::clone(file),
            line: Some(line),
            why: why.into(),
        });
    }
}

/// An include, and whether nothing stands behind it.
type Asked = (Include, Result<(), Why>);

/// Why a line is malformed. A fixed text: what stands in a line may not belong into a report.
type Why = &'static str;

struct Statement<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// Whether the last token that was taken, whatever was expected, is a colon.
    at_colon: bool,
    file: &'a Arc<[u8]>,
    out: &'a mut Parser,
}

impl Statement<'_> {
    fn parse(&mut self) -> Result<Option<Asked>, Why> {
        match self.tokens.peek() {
            Some(Token::Include) => return self.include(IncludeKind::File).map(Some),
            Some(Token::IncludeDir) => return self.include(IncludeKind::Directory).map(Some),
            Some(Token::Defaults(_)) => self.settings()?,
            Some(Token::AliasKeyword(kind)) => {
                let kind = *kind;
                self.next();
                self.aliases(kind)?;
            }
            _ => self.rules()?,
        }
        Ok(None)
    }

    /// sudo follows an include even if something else stands behind it.
    fn include(&mut self, kind: IncludeKind) -> Result<Asked, Why> {
        self.next();
        match self.next() {
            Some(Token::Word(path)) => Ok((Include { kind, path }, self.end())),
            other => Err(unexpected(other.as_ref(), "an include without a path")),
        }
    }

    fn end(&mut self) -> Result<(), Why> {
        match self.next() {
            None => Ok(()),
            token => Err(unexpected(token.as_ref(), "syntax error")),
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.next();
        self.at_colon = token == Some(Token::Colon);
        token
    }

    fn take(&mut self, token: &Token) -> bool {
        self.tokens.next_if_eq(token).is_some()
    }

    fn expect(&mut self, token: &Token) -> Result<(), Why> {
        match self.next() {
            Some(found) if found == *token => Ok(()),
            other => Err(unexpected(other.as_ref(), "syntax error")),
        }
    }

    /// Items with commas between them.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Why>) -> Result<Vec<T>, Why> {
        let mut items = vec![item(self)?];
        while self.take(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn settings(&mut self) -> Result<(), Why> {
        let sign = match self.next() {
            Some(Token::Defaults(sign)) => sign,
            other => return Err(unexpected(other.as_ref(), "syntax error")),
        };
        let scope = match sign {
            Some(b':') => Scope::Users(self.list(Self::user)?.into()),
            Some(b'>') => Scope::Runas(self.list(Self::user)?.into()),
            Some(b'@') => Scope::Hosts(self.list(Self::host)?.into()),
            Some(_) => Scope::Commands(self.list(Self::command)?.into()),
            None => Scope::Global,
        };
        let changes = self.list(Self::setting)?;
        self.end()?;
        let source = self.file;
        self.out
            .policy
            .settings
            .extend(changes.into_iter().map(|(name, change)| Setting {
                scope: scope.clone(),
                name,
                change,
                source: Arc::clone(source),
            }));
        Ok(())
    }

    fn setting(&mut self) -> Result<(Vec<u8>, Change), Why> {
        let off = self.take(&Token::Bang);
        let name = match self.next() {
            Some(Token::Setting(name)) => name,
            other => return Err(unexpected(other.as_ref(), "no setting's name")),
        };
        if off {
            return Ok((name, Change::Switch(false)));
        }
        let make = match self
            .tokens
            .next_if(|token| matches!(token, Token::Assign | Token::Add | Token::Remove))
        {
            None => return Ok((name, Change::Switch(true))),
            Some(Token::Add) => Change::Add,
            Some(Token::Remove) => Change::Remove,
            Some(_) => Change::Assign,
        };
        match self.next() {
            Some(Token::Word(value)) => Ok((name, make(value))),
            other => Err(unexpected(other.as_ref(), "a setting without its value")),
        }
    }

    /// `NAME = LIST : NAME = LIST ...`; those before an error hold.
    fn aliases(&mut self, kind: AliasKind) -> Result<(), Why> {
        loop {
            let name = match self.next() {
                Some(Token::Alias(name)) => name,
                Some(Token::All | Token::Option(_)) => return Err("a reserved word as an alias's name"),
                other => return Err(unexpected(other.as_ref(), "no alias's name")),
            };
            self.expect(&Token::Assign)?;
            let members = match kind {
                AliasKind::Command => AliasMembers::Commands(self.list(Self::command)?),
                AliasKind::Host => AliasMembers::Names(self.list(Self::host)?),
                AliasKind::Runas | AliasKind::User => AliasMembers::Names(self.list(Self::user)?),
            };
            if !self.out.defined.insert((kind, name.clone())) {
                return Err("an alias that is defined already");
            }
            self.out.policy.aliases.push(Alias {
                kind,
                name,
                members,
                source: Arc::clone(self.file),
            });
            if !self.take(&Token::Colon) {
                return self.end();
            }
        }
    }

    /// `USERS HOSTS = COMMANDS : HOSTS = COMMANDS ...`
    fn rules(&mut self) -> Result<(), Why> {
        let users: Arc<[Member]> = self.list(Self::user)?.into();
        let mut rules = self.privilege(&users)?;
        let mut first_error = Ok(());
        let mut more = self.take(&Token::Colon);
        while more {
            more = match self.privilege(&users) {
                Ok(others) => {
                    rules.extend(others);
                    self.take(&Token::Colon)
                }
                Err(why) => {
                    // sudo drops this part and goes on at the next colon, which may be what was wrong.
                    first_error = first_error.and(Err(why));
                    self.at_colon || {
                        while self.tokens.next_if(|token| *token != Token::Colon).is_some() {}
                        self.take(&Token::Colon)
                    }
                }
            };
        }
        self.end()?;
        self.out.policy.rules.append(&mut rules);
        first_error
    }

    fn privilege(&mut self, users: &Arc<[Member]>) -> Result<Vec<Rule>, Why> {
        let hosts: Arc<[Member]> = self.list(Self::host)?.into();
        self.expect(&Token::Assign)?;
        let mut rules: Vec<Rule> = Vec::new();
        loop {
            let mut rule = self.rule(users, &hosts)?;
            if let Some(previous) = rules.last() {
                inherit(&mut rule, previous);
            }
            rules.push(rule);
            if !self.take(&Token::Comma) {
                return Ok(rules);
            }
        }
    }

    fn rule(&mut self, users: &Arc<[Member]>, hosts: &Arc<[Member]>) -> Result<Rule, Why> {
        let runas = if self.take(&Token::Open) {
            Some(Arc::new(self.runas()?))
        } else {
            None
        };
        let mut options: [Option<Arc<[u8]>>; OPTIONS.len()] = Default::default();
        while let Some(Token::Option(kind)) = self.tokens.next_if(|token| matches!(token, Token::Option(_))) {
            self.expect(&Token::Assign)?;
            let value = match self.next() {
                Some(Token::Word(value)) => value,
                other => return Err(unexpected(other.as_ref(), "an option without its value")),
            };
            options[kind as usize] = Some(option_value(kind, value)?.into());
        }
        let mut tags = [None; TAGS.len()];
        while let Some(Token::Tag(Tag { at, value })) =
            self.tokens.next_if(|token| matches!(token, Token::Tag(_)))
        {
            tags[at] = Some(value);
        }
        let command = self.command()?;
        let (users, hosts, source) = (Arc::clone(users), Arc::clone(hosts), Arc::clone(self.file));
        Ok(Rule {
            users,
            hosts,
            runas,
            options,
            tags,
            command,
            source,
        })
    }

    fn runas(&mut self) -> Result<Runas, Why> {
        let mut runas = Runas::default();
        if self.take(&Token::Close) {
            return Ok(runas);
        }
        if self.tokens.peek() != Some(&Token::Colon) {
            runas.users = self.list(Self::user)?;
            if self.take(&Token::Close) {
                return Ok(runas);
            }
            self.expect(&Token::Colon)?;
            runas.groups = self.list(Self::group)?;
        } else if self.take(&Token::Colon) && self.tokens.peek() != Some(&Token::Close) {
            runas.groups = self.list(Self::group)?;
        }
        self.expect(&Token::Close)?;
        Ok(runas)
    }

    fn user(&mut self) -> Result<Member, Why> {
        self.member("no user", |token| match token {
            Token::Group(name) => Ok(Name::Group(name)),
            Token::Netgroup(name) => Ok(Name::Netgroup(name)),
            other => Err(other),
        })
    }

    fn host(&mut self) -> Result<Member, Why> {
        self.member("no host", |token| match token {
            Token::Netgroup(name) => Ok(Name::Netgroup(name)),
            Token::Address(address) => Ok(Name::Address(address)),
            other => Err(other),
        })
    }

    fn group(&mut self) -> Result<Member, Why> {
        self.member("no group", Err)
    }

    fn member(
        &mut self,
        missing: Why,
        special: impl Fn(Token) -> Result<Name, Token>,
    ) -> Result<Member, Why> {
        let negated = self.take(&Token::Bang);
        let name = match self.next() {
            Some(Token::All) => Name::All,
            Some(Token::Alias(name)) => Name::Alias(name),
            Some(Token::Word(name)) => Name::Word(name),
            Some(other) => special(other).map_err(|other| unexpected(Some(&other), missing))?,
            None => return Err(missing),
        };
        Ok(Member { negated, name })
    }

    fn command(&mut self) -> Result<Command, Why> {
        let mut digests = Vec::new();
        while let Some(Token::DigestKind(kind)) =
            self.tokens.next_if(|token| matches!(token, Token::DigestKind(_)))
        {
            self.expect(&Token::Colon)?;
            match self.next() {
                Some(Token::Digest(text)) => {
                    digests.push((
                        kind,
                        digest_bytes(kind, &text).ok_or("a digest of the wrong length")?,
                    ));
                }
                other => return Err(unexpected(other.as_ref(), "no digest")),
            }
            if !self.take(&Token::Comma) {
                break;
            }
            if !matches!(self.tokens.peek(), Some(Token::DigestKind(_))) {
                return Err("a comma between digest and command");
            }
        }
        let negated = self.take(&Token::Bang);
        let name = match self.next() {
            Some(Token::All) => CommandName::All,
            Some(Token::Alias(name)) if digests.is_empty() => CommandName::Alias(name),
            Some(Token::Alias(_)) => return Err("a digest in front of an alias"),
            Some(Token::Command(path, arguments)) => CommandName::Program { path, arguments },
            Some(Token::Word(word)) if word == b"list" => CommandName::Program {
                path: word,
                arguments: None,
            },
            other => {
                return Err(unexpected(
                    other.as_ref(),
                    "no command, which must be an absolute path",
                ));
            }
        };
        Ok(Command {
            negated,
            digests,
            name,
        })
    }
}

fn unexpected(token: Option<&Token>, why: Why) -> Why {
    match token {
        Some(Token::Bad(because)) => because,
        _ => why,
    }
}

/// What a command takes over from the one before it in its list.
fn inherit(rule: &mut Rule, previous: &Rule) {
    // Role and type are one label: who sets either has said all about it.
    let label = [OptionKind::Role as usize, OptionKind::Type as usize];
    let labelled = label.iter().any(|at| rule.options[*at].is_some());
    for (at, (option, before)) in rule.options.iter_mut().zip(&previous.options).enumerate() {
        let kept = (label.contains(&at) && labelled) || at == OptionKind::Profile as usize;
        if option.is_none() && !kept {
            option.clone_from(before);
        }
    }
    for (at, (tag, before)) in rule.tags.iter_mut().zip(&previous.tags).enumerate() {
        // `ALL` has its own SETENV, which it does not pass on, and does not take over another's.
        let implied = at == SETENV && is_all(&rule.command);
        if tag.is_none() && !implied {
            *tag = *before;
        }
    }
    if rule.runas.is_none() {
        rule.runas.clone_from(&previous.runas);
    }
}

fn is_all(command: &Command) -> bool {
    !command.negated && command.name == CommandName::All
}

fn digest_bytes(kind: DigestKind, text: &[u8]) -> Option<Vec<u8>> {
    let length = kind.length();
    let bytes = if text.len() == length * 2 && text.iter().all(u8::is_ascii_hexdigit) {
        HEXLOWER_PERMISSIVE.decode(text).ok()?
    } else if text.ends_with(b"=") {
        BASE64.decode(text).ok()?
    } else {
        BASE64_NOPAD.decode(text).ok()?
    };
    (bytes.len() == length).then_some(bytes)
}

fn option_value(kind: OptionKind, value: Vec<u8>) -> Result<Vec<u8>, Why> {
    match kind {
        OptionKind::Chroot | OptionKind::Cwd if value != b"*" && !matches!(value[..], [b'/' | b'~', ..]) => {
            Err("a directory that does not start with `/` or `~`")
        }
        OptionKind::Timeout => seconds(&value)
            .map(|seconds| seconds.to_string().into())
            .ok_or("no time limit"),
        OptionKind::NotBefore | OptionKind::NotAfter if !is_time(&value) => {
            Err("no date of the form YYYYMMDDHHMMSSZ")
        }
        _ => Ok(value),
    }
}

/// `1d2h3m4s`, units falling, or a number of seconds.
fn seconds(text: &[u8]) -> Option<i32> {
    let mut units = [(b'd', 86400), (b'h', 3600), (b'm', 60), (b's', 1)].into_iter();
    let mut rest = text;
    let mut total: i32 = 0;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number: i32 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let scale = match rest.get(digits) {
            None => 1,
            Some(letter) => units.find(|(unit, _)| letter.to_ascii_lowercase() == *unit)?.1,
        };
        total = number
            .checked_mul(scale)
            .and_then(|number| total.checked_add(number))?;
        rest = rest.get(digits + 1..).unwrap_or_default();
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// A date of RFC 4517, 3.3.13: `YYYYMMDDHH[MM[SS]][.F][Z|+HHMM|-HHMM]`.
fn is_time(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = digits(text);
    let (number, mut rest) = text.split_at(length);
    let part = |at: usize| {
        number
            .get(at..at + 2)
            .map_or(0, |part| (part[0] - b'0') * 10 + part[1] - b'0')
    };
    let in_range = matches!(length, 10 | 12 | 14)
        && (1..=12).contains(&part(4))
        && (1..=31).contains(&part(6))
        && part(8) < 24
        && (length < 12 || part(10) < 60)
        && (length < 14 || part(12) <= 60);
    if let [b'.' | b',', fraction @ ..] = rest {
        rest = &fraction[digits(fraction)..];
    }
    let zone = match rest {
        [] | [b'Z'] => true,
        [b'+' | b'-', zone @ ..] => matches!(zone.len(), 2 | 4) && digits(zone) == zone.len(),
        _ => false,
    };
    in_range && zone
}

#[cfg(test)]
mod tests;
