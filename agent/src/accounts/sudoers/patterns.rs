//! The patterns of the sudoers lexer: how much of a text each of them takes.

use super::{AliasKind, TAGS, Tag};

/// The command that stands for sudo's own editing mode.
pub(super) const SUDOEDIT: &[u8] = b"sudoedit";

pub(super) fn count(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| wanted(**byte)).count()
}

pub(super) fn blanks(text: &[u8]) -> usize {
    count(text, |byte| matches!(byte, b' ' | b'\t'))
}

pub(super) fn line_end(text: &[u8]) -> usize {
    match text {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// Length of a backslash, blanks and a line end.
pub(super) fn continuation(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"\\")?;
    let blank = blanks(rest);
    let end = line_end(&rest[blank..]);
    (end > 0).then_some(1 + blank + end)
}

pub(super) fn spaced_comma(text: &[u8]) -> Option<usize> {
    let before = blanks(text);
    let rest = text[before..].strip_prefix(b",")?;
    Some(before + 1 + blanks(rest))
}

/// Length of plain characters and escaped pairs.
fn escaped_run(text: &[u8], plain: impl Fn(u8) -> bool, behind_backslash: impl Fn(u8) -> bool) -> usize {
    let mut length = 0;
    loop {
        match &text[length..] {
            [b'\\', next, ..] if behind_backslash(*next) => length += 2,
            [byte, ..] if *byte != b'\\' && plain(*byte) => length += 1,
            _ => return length,
        }
    }
}

pub(super) fn word_length(text: &[u8]) -> usize {
    escaped_run(
        text,
        |byte| !b"#>!=:,() \t\r\n\"".contains(&byte),
        |next| !matches!(next, b'\t' | b'\n'),
    )
}

pub(super) fn setting_value(text: &[u8]) -> usize {
    if text.first() == Some(&b'!') {
        return 0;
    }
    escaped_run(
        text,
        |byte| !b"#=, \t\r\n\"".contains(&byte),
        |next| !matches!(next, b'\r' | b'\n'),
    )
}

/// `/` and at least one more character.
pub(super) fn path_length(text: &[u8]) -> usize {
    let Some(rest) = text.strip_prefix(b"/") else {
        return 0;
    };
    match escaped_run(
        rest,
        |byte| !b",:= \t\r\n#".contains(&byte),
        |next| b",:= \t#".contains(&next),
    ) {
        0 => 0,
        length => length + 1,
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// An include's path: up to white space that has no backslash in front.
pub(super) fn include_length(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += match &text[length..] {
            [b'\\', rest @ ..] if blanks(rest) > 0 => 1 + blanks(rest),
            [byte, ..] if !is_space(*byte) => 1,
            _ => return length,
        };
    }
}

/// `^...$`, the longest one: a `$` behind a backslash may end it or not.
pub(super) fn regex_length(text: &[u8]) -> usize {
    if text.first() != Some(&b'^') {
        return 0;
    }
    let (mut at, mut longest) = (1, 0);
    loop {
        match &text[at..] {
            [b'\\', b'#', ..] => at += 2,
            [b'\\', b'$', ..] => {
                at += 2;
                longest = at;
            }
            [b'$', ..] => return at + 1,
            [] | [b'#' | b'\r' | b'\n', ..] => return longest,
            _ => at += 1,
        }
    }
}

pub(super) fn id_length(text: &[u8]) -> usize {
    let Some(rest) = text.strip_prefix(b"#") else {
        return 0;
    };
    let sign = usize::from(rest.first() == Some(&b'-'));
    match count(&rest[sign..], |byte| byte.is_ascii_digit()) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

/// `%NAME`, `%#GID`, and both with `:` behind the `%`.
pub(super) fn group_length(text: &[u8]) -> usize {
    let Some(rest) = text.strip_prefix(b"%") else {
        return 0;
    };
    let colon = usize::from(rest.first() == Some(&b':'));
    match word_length(&rest[colon..]).max(id_length(&rest[colon..])) {
        0 => 0,
        name => 1 + colon + name,
    }
}

pub(super) fn tag(text: &[u8]) -> Option<(usize, Tag)> {
    let name = count(text, |byte| byte.is_ascii_uppercase() || byte == b'_');
    let blank = blanks(&text[name..]);
    if text.get(name + blank) != Some(&b':') {
        return None;
    }
    let (at, value) = TAGS.iter().enumerate().find_map(|(at, (yes, no))| {
        let is = |tag: &str| tag.as_bytes() == &text[..name];
        if is(yes) {
            Some((at, true))
        } else {
            is(no).then_some((at, false))
        }
    })?;
    Some((name + blank + 1, Tag { at, value }))
}

pub(super) fn is_alias(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_uppercase)
        && text
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// `Defaults` and its sign, up to what the sign is for.
pub(super) fn defaults(text: &[u8], word: usize) -> Option<(usize, Option<u8>)> {
    let lead = blanks(text);
    let rest = text[lead..].strip_prefix(b"Defaults")?;
    let bare = lead + 8;
    let Some((sign @ (b':' | b'@' | b'>' | b'!'), behind)) = rest.split_first() else {
        return (word <= bare).then_some((bare, None));
    };
    let gap = blanks(behind);
    let bangs = count(&behind[gap..], |byte| byte == b'!');
    let quote = usize::from(behind.get(gap + bangs) == Some(&b'"'));
    let name = &behind[gap + bangs + quote..];
    if word_length(name).max(id_length(name)) > 0 {
        Some((bare + 1 + gap, Some(*sign)))
    } else {
        (word <= bare).then_some((bare, None))
    }
}

pub(super) fn alias_keyword(text: &[u8], word: usize) -> Option<(usize, AliasKind)> {
    let lead = blanks(text);
    let (length, kind) = ALIAS_KEYWORDS.iter().find_map(|(keyword, kind)| {
        text[lead..]
            .starts_with(keyword.as_bytes())
            .then_some((lead + keyword.len(), *kind))
    })?;
    (word <= length).then_some((length, kind))
}

const ALIAS_KEYWORDS: &[(&str, AliasKind)] = &[
    ("Host_Alias", AliasKind::Host),
    ("Cmnd_Alias", AliasKind::Command),
    ("Cmd_Alias", AliasKind::Command),
    ("User_Alias", AliasKind::User),
    ("Runas_Alias", AliasKind::Runas),
];

/// An IPv4 address, perhaps with a mask.
pub(super) fn is_ipv4(text: &[u8]) -> bool {
    let mut halves = text.splitn(2, |byte| *byte == b'/');
    let address = halves.next().is_some_and(is_ipv4_address);
    address
        && halves.next().is_none_or(|mask| {
            let bits = matches!(
                mask,
                [b'0'..=b'9'] | [b'1' | b'2', b'0'..=b'9'] | [b'3', b'0'..=b'2']
            );
            bits || is_ipv4_address(mask)
        })
}

fn is_ipv4_address(text: &[u8]) -> bool {
    let mut octets = 0;
    let all = text.split(|byte| *byte == b'.').all(|octet| {
        octets += 1;
        matches!(
            octet,
            [b'0'..=b'9']
                | [b'0'..=b'9', b'0'..=b'9']
                | [b'1', b'0'..=b'9', b'0'..=b'9']
                | [b'2', b'0'..=b'4', b'0'..=b'9']
                | [b'2', b'5', b'0'..=b'5']
        )
    });
    all && octets == 4
}

/// An IPv6 address, perhaps with a mask: two to seven groups that end in a colon, and perhaps one that does not.
pub(super) fn ipv6_length(text: &[u8]) -> usize {
    let address = ipv6_address_length(text);
    if address == 0 || text.get(address) != Some(&b'/') {
        return address;
    }
    let mask = &text[address + 1..];
    let bits = (1..=3).rev().find(|length| {
        let digits = mask.get(..*length).unwrap_or_default();
        match digits {
            [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] | [b'1', b'0' | b'1', b'0'..=b'9'] => true,
            [b'1', b'2', last] => matches!(last, b'0'..=b'8'),
            _ => false,
        }
    });
    match ipv6_address_length(mask).max(bits.unwrap_or(0)) {
        0 => address,
        mask => address + 1 + mask,
    }
}

fn ipv6_address_length(text: &[u8]) -> usize {
    let (mut at, mut groups) = (0, 0);
    loop {
        let digits = count(&text[at..], |byte| byte.is_ascii_hexdigit()).min(4);
        if groups < 7 && text.get(at + digits) == Some(&b':') {
            at += digits + 1;
            groups += 1;
        } else {
            return if groups >= 2 { at + digits } else { 0 };
        }
    }
}

/// Whether `::` stands at most once on each side of the mask.
pub(super) fn ipv6_is_valid(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'/')
        .all(|side| side.windows(2).filter(|pair| pair == b"::").count() <= 1)
}

/// Takes backslashes away; `\xHH` is the byte that it says.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Takes away the backslashes in front of characters that mean something to sudoers, and no others.
pub(super) fn unescape_special(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let special = bytes.peek().is_some_and(|next| b",:= \t#".contains(next));
        if byte != b'\\' || !special {
            out.push(byte);
        }
    }
    out
}

/// Adds a piece of an argument; blanks between arguments count as one.
pub(super) fn push_argument(arguments: &mut Option<Vec<u8>>, text: &[u8], spaced: &mut bool) {
    let all = arguments.get_or_insert_default();
    if *spaced && !all.is_empty() {
        all.push(b' ');
    }
    *spaced = false;
    all.extend_from_slice(text);
}
