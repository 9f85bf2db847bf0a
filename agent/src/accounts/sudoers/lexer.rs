//! The words of sudoers(5), line by line.
//!
//! sudo's own lexer takes, in each of its states, the longest text that any of the state's patterns matches;
//! which characters may stand where follows from that and from nothing that the manual says. This one keeps
//! the same states and patterns, so that a line means here what it means to sudo. Where two patterns match the
//! same text, the one that stands first in `ordinary` wins.

use super::patterns::{
    SUDOEDIT, alias_keyword, blanks, continuation, count, defaults, group_length, id_length, include_length,
    ipv6_is_valid, ipv6_length, is_alias, is_ipv4, is_space, line_end, path_length, push_argument,
    regex_length, setting_value, spaced_comma, tag, unescape, unescape_special, word_length,
};
use super::{AliasKind, DigestKind, OptionKind, Tag};

/// One word or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Include,
    IncludeDir,
    /// `Defaults`, and the sign behind it: `:`, `@`, `>`, `!`, or none.
    Defaults(Option<u8>),
    AliasKeyword(AliasKind),
    Tag(Tag),
    All,
    Option(OptionKind),
    Alias(Vec<u8>),
    Word(Vec<u8>),
    /// With its `%`.
    Group(Vec<u8>),
    /// With its `+`.
    Netgroup(Vec<u8>),
    Address(Vec<u8>),
    DigestKind(DigestKind),
    Digest(Vec<u8>),
    Command(Vec<u8>, Option<Vec<u8>>),
    /// Name of a `Defaults` setting.
    Setting(Vec<u8>),
    Assign,
    Add,
    Remove,
    Comma,
    Colon,
    Bang,
    Open,
    Close,
    /// Something that no line can contain, and why.
    Bad(&'static str),
}

/// The words of one line, continuation lines included.
#[derive(Debug)]
pub(super) struct Line {
    /// Number of its first physical line, from 1.
    pub(super) number: usize,
    pub(super) tokens: Vec<Token>,
}

/// Cuts a file into lines of tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    number: usize,
    state: State,
    /// The state that a quoted string or a path returns to.
    previous: State,
    /// Whether the present physical line continues another.
    continued: bool,
    /// A place that does not count as the beginning of a line although a line end stands before it.
    not_beginning: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Initial,
    /// Behind `Defaults`, before the settings.
    GotDefaults,
    /// Before a setting's name.
    StartSettings,
    /// Behind a setting's name.
    InSettings,
    /// Behind the name of a digest.
    WantDigest,
    /// Behind `CWD` or `CHROOT`.
    ExpectPath,
    /// Behind an include.
    GotInclude,
}

impl<'a> Lexer<'a> {
    /// Of a file whose last line has its end; sudo supplies a missing one.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            number: 1,
            state: State::Initial,
            previous: State::Initial,
            continued: false,
            not_beginning: None,
        }
    }

    /// The next line that has any tokens.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        let mut line = Line {
            number: self.number,
            tokens: Vec::new(),
        };
        let mut begin = self.at;
        while self.at < self.bytes.len() {
            let ended = self.step(&mut line.tokens);
            if ended && !line.tokens.is_empty() {
                if self.bytes[begin..self.at].contains(&0) {
                    line.tokens
                        .insert(0, Token::Bad("a NUL byte, at which sudo stops reading"));
                }
                return Some(line);
            }
            if line.tokens.is_empty() {
                line.number = self.number;
                begin = self.at;
            }
        }
        if line.tokens.is_empty() {
            return None;
        }
        line.tokens
            .push(Token::Bad("the file ends inside a continued line"));
        Some(line)
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        taken
    }

    fn at_beginning(&self) -> bool {
        (self.at == 0 || self.bytes[self.at - 1] == b'\n') && self.not_beginning != Some(self.at)
    }

    /// Takes one pattern; true at a line's end.
    fn step(&mut self, out: &mut Vec<Token>) -> bool {
        let rest = self.rest();
        if let Some(length) = continuation(rest) {
            self.take(length);
            self.number += 1;
            self.continued = true;
            return false;
        }
        let end = line_end(rest);
        if end > 0 {
            self.take(end);
            return self.end_line();
        }
        match self.state {
            State::StartSettings | State::InSettings => self.settings(rest, out),
            State::GotInclude => {
                self.include_path(rest, out);
                false
            }
            State::Initial | State::GotDefaults | State::WantDigest | State::ExpectPath => {
                self.ordinary(rest, out)
            }
        }
    }

    fn end_line(&mut self) -> bool {
        self.number += 1;
        self.state = State::Initial;
        self.continued = false;
        true
    }

    fn settings(&mut self, rest: &[u8], out: &mut Vec<Token>) -> bool {
        if rest[0] == b'#' {
            return self.comment(rest, out);
        }
        let bangs = count(rest, |byte| byte == b'!');
        if self.state == State::StartSettings {
            let name = count(rest, |byte| byte.is_ascii_lowercase() || byte == b'_');
            if name > 0 {
                let name = self.take(name);
                out.push(Token::Setting(name.to_vec()));
                self.state = State::InSettings;
                return false;
            }
        } else {
            let value = setting_value(rest);
            match rest {
                [b',', ..] => {
                    self.state = State::StartSettings;
                    return self.sign(1, Token::Comma, out);
                }
                [b'=', ..] => return self.sign(1, Token::Assign, out),
                [b'+', b'=', ..] => return self.sign(2, Token::Add, out),
                [b'-', b'=', ..] => return self.sign(2, Token::Remove, out),
                [b'"', ..] => {
                    self.previous = State::InSettings;
                    self.string(out);
                    return false;
                }
                _ if value > 0 => {
                    let value = self.take(value);
                    out.push(Token::Word(unescape(value)));
                    return false;
                }
                _ => {}
            }
        }
        self.bangs_or_blank(rest, bangs, out);
        false
    }

    fn sign(&mut self, length: usize, token: Token, out: &mut Vec<Token>) -> bool {
        self.take(length);
        out.push(token);
        false
    }

    /// What every state has: `!`, blanks, and nothing else.
    fn bangs_or_blank(&mut self, rest: &[u8], bangs: usize, out: &mut Vec<Token>) {
        let blank = blanks(rest);
        if bangs > 0 {
            self.take(bangs);
            if bangs % 2 == 1 {
                out.push(Token::Bang);
            }
        } else if blank > 0 {
            self.take(blank);
        } else {
            self.take(1);
            out.push(Token::Bad("a character that does not belong here"));
        }
    }

    fn include_path(&mut self, rest: &[u8], out: &mut Vec<Token>) {
        if rest[0] == b'"' {
            self.previous = State::Initial;
            self.string(out);
        } else if is_space(rest[0]) {
            self.bangs_or_blank(rest, 0, out);
        } else {
            let path = self.take(include_length(rest));
            out.push(Token::Word(unescape(path)));
            self.state = State::Initial;
        }
    }

    /// A comment, which may not look like a uid; true at the line's end.
    fn comment(&mut self, rest: &[u8], out: &mut Vec<Token>) -> bool {
        let text = match rest {
            [b'#', b'-', next, ..] if !matches!(next, b'\r' | b'\n' | b'0'..=b'9') => true,
            [b'#', next, ..] => !matches!(next, b'\r' | b'\n' | b'-' | b'0'..=b'9'),
            _ => false,
        };
        let length = if text {
            count(rest, |byte| byte != b'\n')
        } else {
            1
        };
        self.take(length);
        let end = line_end(self.rest());
        if end > 0 {
            self.take(end);
            return self.end_line();
        }
        if self.at < self.bytes.len() {
            out.push(Token::Bad("a character that does not belong here"));
        }
        false
    }

    /// A string in quotation marks; the first mark is at hand.
    fn string(&mut self, out: &mut Vec<Token>) {
        self.take(1);
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            if let Some(length) = continuation(rest) {
                self.take(length + blanks(&rest[length..]));
                self.number += 1;
                self.continued = true;
                continue;
            }
            match rest {
                // Continued up to the end of the file: whatever it was to be, sudo does not miss it.
                [] => return,
                [b'\n', ..] | [b'\r', b'\n', ..] => {
                    self.state = State::Initial;
                    out.push(Token::Bad("a line break inside a string"));
                    return;
                }
                [b'\r', ..] => out.push(Token::Bad("a character that does not belong here")),
                [b'"', ..] => break,
                [b'\\', b'"', ..] => {
                    self.take(1);
                    text.push(b'"');
                }
                [byte, ..] => text.push(*byte),
            }
            self.take(1);
        }
        self.take(1);
        self.state = self.previous;
        let name = matches!(self.previous, State::Initial | State::GotDefaults);
        out.push(match &text[..] {
            [] => Token::Bad("empty string"),
            b"%" | b"%:" if name => Token::Bad("empty group"),
            b"+" if name => Token::Bad("empty netgroup"),
            [b'%', ..] if name => Token::Group(text),
            [b'+', ..] if name => Token::Netgroup(text),
            _ => Token::Word(text),
        });
    }

    /// The states in which names, signs and commands stand.
    fn ordinary(&mut self, rest: &'a [u8], out: &mut Vec<Token>) -> bool {
        let initial = self.state == State::Initial;
        let defaults = self.state == State::GotDefaults;
        let blank = blanks(rest);
        if defaults && let Some(length) = spaced_comma(rest) {
            return self.sign(length, Token::Comma, out);
        }
        if defaults && blank > 0 {
            self.take(blank);
            self.state = State::StartSettings;
            return false;
        }
        let word = word_length(rest);
        if self.state == State::WantDigest && self.digest(rest, word, out) {
            return false;
        }
        if initial && self.keyword(rest, word, out) {
            return false;
        }
        if initial && rest[0] == b'#' && id_length(rest) == 0 {
            return self.comment(rest, out);
        }
        if let Some((length, tag)) = tag(rest) {
            return self.sign(length, Token::Tag(tag), out);
        }
        let address = ipv6_length(rest);
        if address > word {
            let text = self.take(address);
            out.push(if ipv6_is_valid(text) {
                Token::Address(text.to_vec())
            } else {
                Token::Bad("invalid IPv6 address")
            });
            return false;
        }
        if self.command(rest, word, defaults, out) {
            return false;
        }
        if self.name(rest, word, out) {
            return false;
        }
        if (initial || defaults) && rest[0] == b'"' {
            self.previous = self.state;
            self.string(out);
            return false;
        }
        match rest[0] {
            b'(' => self.sign(1, Token::Open, out),
            b')' => self.sign(1, Token::Close, out),
            b',' => self.sign(1, Token::Comma, out),
            b'=' => self.sign(1, Token::Assign, out),
            b':' => self.sign(1, Token::Colon, out),
            _ => {
                self.bangs_or_blank(rest, count(rest, |byte| byte == b'!'), out);
                false
            }
        }
    }

    /// A digest in hexadecimal digits or base 64; of a wrong length it is no word at all.
    fn digest(&mut self, rest: &[u8], word: usize, out: &mut Vec<Token>) -> bool {
        let length = count(rest, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
        });
        if length == 0 || length < word {
            return false;
        }
        let text = self.take(length);
        self.state = State::Initial;
        out.push(Token::Digest(text.to_vec()));
        true
    }

    /// Keywords that begin a line.
    fn keyword(&mut self, rest: &'a [u8], word: usize, out: &mut Vec<Token>) -> bool {
        let beginning = self.at_beginning();
        let (length, token) = if rest.starts_with(b"@includedir") && word == 11 {
            (word, Token::IncludeDir)
        } else if rest.starts_with(b"@include") && word == 8 {
            (word, Token::Include)
        } else if beginning && rest.starts_with(b"#includedir") && blanks(&rest[11..]) > 0 {
            (11, Token::IncludeDir)
        } else if beginning && rest.starts_with(b"#include") && blanks(&rest[8..]) > 0 {
            (8, Token::Include)
        } else if beginning && let Some((length, scope)) = defaults(rest, word) {
            (length, Token::Defaults(scope))
        } else if beginning && let Some((length, kind)) = alias_keyword(rest, word) {
            (length, Token::AliasKeyword(kind))
        } else {
            return false;
        };
        self.take(length);
        if self.continued {
            out.push(Token::Bad("a keyword in a continued line"));
            return true;
        }
        self.state = match token {
            Token::Include | Token::IncludeDir => State::GotInclude,
            Token::Defaults(_) => State::GotDefaults,
            _ => self.state,
        };
        out.push(token);
        true
    }

    /// Names of users, groups, hosts, aliases and options.
    fn name(&mut self, rest: &[u8], word: usize, out: &mut Vec<Token>) -> bool {
        let (initial, defaults) = (self.state == State::Initial, self.state == State::GotDefaults);
        let group = group_length(rest);
        if group > 0 {
            let text = self.take(group);
            out.push(Token::Group(unescape(text)));
            return true;
        }
        let id = id_length(rest);
        if id > 0 && (initial || defaults) {
            let text = self.take(id);
            out.push(Token::Word(text.to_vec()));
            return true;
        }
        if word == 0 {
            return false;
        }
        let text = &rest[..word];
        let token = match text {
            b"%" => Token::Bad("empty group"),
            b"+" => Token::Bad("empty netgroup"),
            [b'+', ..] => Token::Netgroup(unescape(text)),
            _ if is_ipv4(text) => Token::Address(text.to_vec()),
            b"ALL" => Token::All,
            _ if initial && let Some(option) = OptionKind::of(text) => {
                if matches!(option, OptionKind::Cwd | OptionKind::Chroot) {
                    self.previous = self.state;
                    self.state = State::ExpectPath;
                }
                Token::Option(option)
            }
            _ if is_alias(text) => Token::Alias(text.to_vec()),
            _ if let Some(kind) = DigestKind::of(text) => {
                self.state = State::WantDigest;
                Token::DigestKind(kind)
            }
            _ if self.state == State::ExpectPath => {
                self.state = self.previous;
                Token::Word(unescape(text))
            }
            _ if initial || defaults => Token::Word(unescape(text)),
            _ => {
                self.take(1);
                out.push(Token::Bad("a character that does not belong here"));
                return true;
            }
        };
        self.take(word);
        out.push(token);
        true
    }

    /// Commands: a path, a regular expression for one, or `sudoedit`, and arguments.
    fn command(&mut self, rest: &[u8], word: usize, defaults: bool, out: &mut Vec<Token>) -> bool {
        let path = path_length(rest);
        let regex = regex_length(rest);
        let edit = word == SUDOEDIT.len() && rest.starts_with(SUDOEDIT);
        let length = if edit { word } else { path.max(regex) };
        if length == 0 || length < word {
            return false;
        }
        let text = self.take(length);
        if self.state == State::ExpectPath && path == length {
            self.state = self.previous;
            out.push(Token::Word(unescape(text)));
            return true;
        }
        let mut name = unescape_special(text);
        // sudo takes the path of its own editing mode for the mode itself.
        if name.starts_with(b"/") && name.rsplit(|byte| *byte == b'/').next() == Some(SUDOEDIT) {
            name = SUDOEDIT.to_vec();
        }
        if defaults || text.ends_with(b"/") {
            out.push(Token::Command(name, None));
            return true;
        }
        self.state = State::Initial;
        self.arguments(name, out);
        true
    }

    fn arguments(&mut self, name: Vec<u8>, out: &mut Vec<Token>) {
        let mut arguments: Option<Vec<u8>> = None;
        let mut spaced = false;
        loop {
            let rest = self.rest();
            if let Some(length) = continuation(rest) {
                self.take(length);
                self.number += 1;
                self.continued = true;
                spaced = true;
                continue;
            }
            let plain = count(rest, |byte| {
                !matches!(byte, b'#' | b'\\' | b':' | b',' | b' ' | b'\t' | b'\r' | b'\n')
            });
            match rest {
                [b'\\', b'*' | b'?' | b'[' | b']' | b'!' | b'^', ..] => {
                    push_argument(&mut arguments, self.take(2), &mut spaced);
                }
                [b'\\', b':' | b'\\' | b',' | b'=' | b' ' | b'\t' | b'#', ..] => {
                    push_argument(&mut arguments, &self.take(2)[1..], &mut spaced);
                }
                [b'^', ..] if arguments.is_none() => {
                    let regex = self.regex_argument(out);
                    out.extend(regex.map(|regex| Token::Command(name, Some(regex))));
                    return;
                }
                [b'\r', b'\n', ..] => {
                    // To sudo, the longer line end ends the line before the command is complete.
                    out.push(Token::Bad("a carriage return behind a command"));
                    return;
                }
                // Continued up to the end of the file, at which sudo forgets it.
                [] => return,
                [b'#' | b':' | b',' | b'\r' | b'\n', ..] => break,
                [b'=', ..] if plain == 1 => break,
                [b' ' | b'\t', ..] => {
                    self.take(blanks(rest));
                    spaced = true;
                }
                _ if plain > 0 => {
                    push_argument(&mut arguments, self.take(plain), &mut spaced);
                }
                _ => {
                    self.take(1);
                    out.push(Token::Bad("a backslash in front of an ordinary character"));
                }
            }
        }
        self.not_beginning = Some(self.at);
        out.push(Token::Command(name, arguments));
    }

    /// Arguments as a regular expression, up to `$`; blanks and signs are part of it.
    fn regex_argument(&mut self, out: &mut Vec<Token>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            if let Some(length) = continuation(rest) {
                self.take(length + blanks(&rest[length..]));
                self.number += 1;
                continue;
            }
            match rest {
                [] => return None,
                [b'#' | b'\r' | b'\n', ..] => {
                    out.push(Token::Bad("unterminated regular expression"));
                    return None;
                }
                [b'$', ..] => {
                    self.take(1);
                    text.push(b'$');
                    self.continued = false;
                    return Some(text);
                }
                [b'\\', next, ..] if !matches!(next, b'\r' | b'\n') => text.extend_from_slice(self.take(2)),
                _ => text.extend_from_slice(self.take(1)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
