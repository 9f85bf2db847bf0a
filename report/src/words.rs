//! Numbers, plurals, instants, and texts made safe and short enough for a terminal.

use std::borrow::Cow;

use baseline_format::OsText;
use unicode_width::UnicodeWidthChar as _;

/// What stands for left-out text. ASCII, because the console that is left when all else fails has nothing else.
pub(crate) const DOTS: &str = "...";

/// A number with thousands separators.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts.
pub(crate) fn count(many: u64, one: &str, more: &str) -> String {
    format!("{} {}", number(many), if many == 1 { one } else { more })
}

/// The instant `seconds` after the epoch, RFC 3339, UTC; `None` outside the years 0 to 9999, for which that
/// format has no spelling.
pub(crate) fn instant(seconds: i64) -> Option<String> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted from 0000-03-01, so that the leap day is the last of its year (proleptic Gregorian).
    let shifted = days.checked_add(719_468)?;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    (0..=9_999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Whether a terminal shows the character and does nothing else with it. The backslash passes: it begins the
/// escapes that are already in a text.
pub(crate) fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let mut buffer = [0; 4];
    let spelled: &str = character.encode_utf8(&mut buffer);
    OsText::from(spelled).as_str() == spelled
}

/// A text without anything that could steer a terminal; what is taken out shows as `\xHH`, as in an [`OsText`].
/// A text that is already safe comes back as it is, escapes and all.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_plain(character) {
            safe.push(character);
        } else {
            safe.push_str(OsText::from(String::from(character)).as_str());
        }
    }
    Cow::Owned(safe)
}

/// A text between quotes if it would otherwise run into what stands around it: nobody can then name a file so
/// that its name reads like another column.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let clear = |byte: u8| !matches!(byte, b' ' | b'"' | b',');
    if !text.is_empty()
        && !text.starts_with('(')
        && text.bytes().all(clear)
        && text.chars().all(|c| c != '\u{a0}')
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{}\"", text.replace('"', "\\x22")))
}

/// Columns that a text takes. Characters that take none are not free for all that: a name made of a thousand
/// accents would be one column wide and still fill the screen. Half of all characters may be such.
pub(crate) fn width(text: &str) -> usize {
    let (columns, characters) = text.chars().fold((0, 0_usize), |(columns, count), character| {
        (columns + columns_of(character), count + 1)
    });
    columns.max(characters.div_ceil(2))
}

/// A text cut in the middle to at most `columns`: both ends of a path say more than its middle.
pub(crate) fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(DOTS.len()) else {
        return Cow::Borrowed(&DOTS[..columns]);
    };
    let head = take(units(text), room / 2);
    let tail = take(units(text).rev(), room - room / 2);
    Cow::Owned(format!("{}{DOTS}{}", &text[..head], &text[text.len() - tail..]))
}

/// Two texts cut to at most `columns` each so that the first difference between them stays in sight.
pub(crate) fn shorten_pair(left: &str, right: &str, columns: usize) -> (String, String) {
    let same = units(left)
        .zip(units(right))
        .take_while(|(l, r)| l == r)
        .map(|(unit, _)| unit.len())
        .sum();
    let differing = width(&left[same..]).max(width(&right[same..]));
    let before = columns.saturating_sub(DOTS.len() + differing).max(columns / 3);
    (
        window(left, same, before, columns),
        window(right, same, before, columns),
    )
}

/// A text filled up with blanks to `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{:1$}", "", columns.saturating_sub(width(text)))
}

/// Breaks a text at blanks into lines of at most `columns`; a word that is longer is shortened. Within a line
/// blanks are kept as they are: two names may differ in nothing else.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.trim_matches(' ').split(' ') {
        let word = shorten(word, columns);
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(&word) <= columns => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word.into_owned()),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// Lays chunks out with commas on lines of at most `columns`, at most `most` of them; a chunk stays in one piece.
pub(crate) fn flow(chunks: impl IntoIterator<Item = String>, columns: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let rest = columns.saturating_sub(", ...".len());
    for chunk in chunks {
        let chunk = shorten(&chunk, rest);
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if width(line) + 2 + width(&chunk) <= rest => {
                line.push_str(", ");
                line.push_str(&chunk);
            }
            Some(line) if full => {
                line.push_str(", ...");
                return lines;
            }
            Some(line) => {
                line.push(',');
                lines.push(chunk.into_owned());
            }
            None => lines.push(chunk.into_owned()),
        }
    }
    lines
}

/// The part of `text` in which the byte `at` is: from `before` columns before it to the end or to where the room
/// ends.
fn window(text: &str, at: usize, before: usize, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns <= 2 * DOTS.len() {
        return shorten(text, columns).into_owned();
    }
    let before = take(units(&text[..at]).rev(), before);
    let start = at - before;
    let lead = if start > 0 { DOTS } else { "" };
    let rest = &text[start..];
    let room = columns - lead.len();
    if width(rest) <= room {
        return format!("{lead}{rest}");
    }
    format!("{lead}{}{DOTS}", &rest[..take(units(rest), room - DOTS.len())])
}

/// Bytes of the units that go into `columns`.
fn take<'a>(units: impl Iterator<Item = &'a str>, columns: usize) -> usize {
    let (mut bytes, mut used) = (0, 0);
    for unit in units {
        used += unit
            .chars()
            .map(|character| columns_of(character).max(1))
            .sum::<usize>();
        if used > columns {
            break;
        }
        bytes += unit.len();
    }
    bytes
}

fn columns_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// Characters, with each `\xHH` in one piece: half an escape would read as something else.
fn units(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let mut cuts = Vec::with_capacity(text.len().min(256));
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escape = rest.starts_with("\\x") && rest.as_bytes().get(2..4).is_some_and(<[u8]>::is_ascii);
        let (unit, tail) = rest.split_at(if escape { 4 } else { first.len_utf8() });
        cuts.push(unit);
        rest = tail;
    }
    cuts.into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_plurals() {
        for (plain, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (106_204, "106,204"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(plain), text);
        }
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(count(1, "entry", "entries"), "1 entry");
        assert_eq!(count(0, "entry", "entries"), "0 entries");
    }

    #[test]
    fn instants() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant(seconds).as_deref(), Some(text));
        }
        for seconds in [253_402_300_800, i64::MAX, i64::MIN] {
            assert_eq!(instant(seconds), None);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_shown_instead() {
        assert_eq!(
            plain("a\\xff b\u{1b}[2J\n\u{9b}\u{202e}\u{fc}"),
            "a\\xff b\\x1b[2J\\x0a\\xc2\\x9b\\xe2\\x80\\xae\u{fc}"
        );
    }

    #[test]
    fn quotes_only_where_needed() {
        for (text, shown) in [
            ("/etc/passwd", "/etc/passwd"),
            ("/a  b", "\"/a  b\""),
            ("", "\"\""),
            ("say \"x\"", "\"say \\x22x\\x22\""),
            ("(absent)", "\"(absent)\""),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }

    #[test]
    fn shortens_in_the_middle_and_keeps_escapes_whole() {
        assert_eq!(shorten("/usr/share/doc/thing", 11), "/usr...hing");
        assert_eq!(shorten("\\xff\\xff\\xff\\xff", 11), "\\xff...\\xff");
        assert_eq!(shorten("abcdef", 2), "..");
        assert_eq!(shorten("abcdef", 6), "abcdef");
    }

    #[test]
    fn pairs_show_their_difference() {
        let same = "x".repeat(100);
        let (left, right) = shorten_pair(&format!("{same}LEFT"), &format!("{same}RIGHT"), 20);
        assert_eq!(
            (left.as_str(), right.as_str()),
            ("...xxxxxxxxxxxxLEFT", "...xxxxxxxxxxxxRIGHT")
        );
    }

    #[test]
    fn flows() {
        let lines = flow(["aa 1", "bb 2", "cc 3", "dd 4", "ee 5"].map(String::from), 16, 2);
        assert_eq!(lines, ["aa 1, bb 2,", "cc 3, dd 4, ..."]);
    }

    proptest! {
        #[test]
        fn plain_is_plain_and_stays(text: String) {
            let safe = plain(&text).into_owned();
            prop_assert!(safe.chars().all(|c| !c.is_control()));
            prop_assert_eq!(plain(&safe), safe.as_str());
        }

        #[test]
        fn cut_texts_fit(left: String, right: String, columns in 0_usize..60) {
            let (left, right) = (plain(&left), plain(&right));
            prop_assert!(width(&shorten(&left, columns)) <= columns);
            let (short_left, short_right) = shorten_pair(&left, &right, columns);
            prop_assert!(width(&short_left) <= columns && width(&short_right) <= columns);
            for line in wrap(&left, columns).into_iter().chain(flow([left.into(), right.into()], columns.max(9), 2)) {
                prop_assert!(width(&line) <= columns.max(9), "{line:?}");
            }
        }
    }
}
