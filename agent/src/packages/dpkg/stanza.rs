//! Paragraphs of `Field: value` lines, as in deb822(5); see deb-control(5) for the fields.

use super::super::lines::{Faults, Line, lines};

/// One paragraph.
#[derive(Debug)]
pub(super) struct Stanza<'a> {
    /// Line of its first field, counted from 1.
    pub(super) line: usize,
    /// In file order.
    fields: Vec<Field<'a>>,
    /// What is wrong with it.
    pub(super) faults: Faults,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// Line of its name, counted from 1.
    pub(super) line: usize,
    name: &'a [u8],
    /// Where the value begins in the file.
    start: usize,
    /// Everything after the colon, with the continuation lines as they stand in the file.
    pub(super) value: &'a [u8],
}

impl<'a> Stanza<'a> {
    /// The field with this name; names are compared without regard to case, as dpkg does.
    pub(super) fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// A one-line value without the blanks around it; `None` also for an empty one.
    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        let value = self.field(name)?.value;
        let end = value
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(value.len());
        Some(value[..end].trim_ascii()).filter(|text| !text.is_empty())
    }
}

/// The paragraphs of a file, with garbage reported in the paragraph that it stands in.
pub(super) fn stanzas(bytes: &[u8]) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = lines(bytes);
    std::iter::from_fn(move || {
        let first = rest.by_ref().find(|line| !line.bytes.is_empty())?;
        let mut stanza = Stanza {
            line: first.number,
            fields: Vec::new(),
            faults: Faults::default(),
        };
        stanza.take(&first, bytes);
        for line in rest.by_ref().take_while(|line| !line.bytes.is_empty()) {
            stanza.take(&line, bytes);
        }
        Some(stanza)
    })
}

impl<'a> Stanza<'a> {
    fn take(&mut self, line: &Line<'a>, bytes: &'a [u8]) {
        if let Some(why) = line.fault() {
            return self.faults.push(line.number, why);
        }
        if matches!(line.bytes.first(), Some(b' ' | b'\t')) {
            return self.continue_field(line, bytes);
        }
        let Some(colon) = line.bytes.iter().position(|byte| *byte == b':') else {
            return self
                .faults
                .push(line.number, "neither a field nor a continuation");
        };
        let name = line.bytes[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) || name[0] == b'-' {
            return self.faults.push(line.number, "field name is not a word");
        }
        if self
            .fields
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(name))
        {
            return self.faults.push(line.number, "field is there twice");
        }
        if self.fields.len() == MOST_FIELDS {
            return self.faults.push(line.number, "more than 256 fields");
        }
        let (start, value) = (line.start + colon + 1, &line.bytes[colon + 1..]);
        self.fields.push(Field {
            line: line.number,
            name,
            start,
            value,
        });
    }

    fn continue_field(&mut self, line: &Line<'a>, bytes: &'a [u8]) {
        if line.bytes.trim_ascii().is_empty() {
            // dpkg refuses it too; some other readers take it for the end of the paragraph.
            self.faults.push(line.number, "continuation is blank");
        }
        let Some(field) = self.fields.last_mut() else {
            return self.faults.push(line.number, "continuation without a field");
        };
        // Fields and their continuations are neighbours in the file, so the value is one piece of it.
        field.value = &bytes[field.start..line.start + line.bytes.len()];
    }
}

/// dpkg knows about 40 fields; the limit keeps the search for doubled ones short.
const MOST_FIELDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Stanza<'_> {
        let mut found: Vec<_> = stanzas(text.as_bytes()).collect();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn values_keep_their_continuations() {
        let stanza = only("A:  one \nB:\n two\n  three\nc : x\n");
        assert!(stanza.faults.is_empty());
        assert_eq!(stanza.text("a").unwrap(), b"one");
        assert_eq!(stanza.field("b").unwrap().value, b"\n two\n  three");
        assert_eq!(stanza.text("b"), None);
        assert_eq!(stanza.text("C").unwrap(), b"x");
    }

    #[test]
    fn garbage_is_named_by_line_and_the_rest_goes_on() {
        let text = " lost\nA: 1\ngarbage\nB: 2\na: again\n: no name\nN\0L: x\n \nC: 3";
        let stanza = only(text);
        assert_eq!(
            stanza.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [1, 3, 5, 6, 7, 8]
        );
        assert_eq!(
            ["A", "B", "C"].map(|name| stanza.text(name).unwrap()),
            [b"1", b"2", b"3"]
        );
    }

    #[test]
    fn blank_lines_part_stanzas() {
        let lines: Vec<usize> = stanzas(b"\n\nA: 1\n\n\n\nA: 2\nB: 3\n\n")
            .map(|stanza| stanza.line)
            .collect();
        assert_eq!(lines, [3, 7]);
    }
}
