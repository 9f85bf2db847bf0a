//! Puts lines on the page: the only place that writes, and so the only one that has to keep the promises that no
//! line is wider than the page and none steers the terminal.

use std::io::{self, Write};

use baseline_format::report::{Coverage, Severity, Verdict};

use super::Colour;
use crate::words::{padded, plain, shorten, width, wrap};

/// A page narrower than this would shorten every name to dots.
const NARROWEST: usize = 24;
/// Below this many columns there is none to spare for a column of names.
const NARROW: usize = 60;
/// Lines of one text at most: nothing that we say is longer, but a report may come from elsewhere.
const LINES: usize = 8;

pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    width: usize,
    colour: Colour,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut dyn Write, width: usize, colour: Colour) -> Self {
        Self {
            out,
            width: width.max(NARROWEST),
            colour,
        }
    }

    /// Columns of a line.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// Writes one line of pieces. What does not fit any more is shortened.
    pub(super) fn line(&mut self, pieces: &[(Ink, &str)]) -> io::Result<()> {
        let mut room = self.width;
        let last = pieces.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (index, (ink, text)) in pieces.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
            let text = if Some(index) == last {
                text.trim_end()
            } else {
                text
            };
            let text = plain(text);
            let text = shorten(&text, room);
            room -= width(&text);
            self.inked(*ink, &text)?;
        }
        self.blank()
    }

    /// Writes a text that may take several lines: `lead` before the first one, as many blanks before the others.
    pub(super) fn wrapped(&mut self, lead: &str, ink: Ink, text: &str) -> io::Result<()> {
        let indent = width(lead);
        let room = self.width.saturating_sub(indent);
        let text = plain(text);
        for (index, line) in wrap(&shorten(&text, room * LINES), room).iter().enumerate() {
            let lead = if index == 0 {
                lead.to_owned()
            } else {
                padded("", indent)
            };
            self.line(&[(Ink::Plain, &lead), (ink, line)])?;
        }
        Ok(())
    }

    /// Writes one line however wide it is; for the verdict, which tools cut out of the text by its line.
    pub(super) fn unbroken(&mut self, ink: Ink, text: &str, most: usize) -> io::Result<()> {
        let text = plain(text);
        self.inked(ink, &shorten(&text, most.max(self.width)))?;
        self.blank()
    }

    /// Every line closes its own colours, so that a pager may start anywhere.
    fn inked(&mut self, ink: Ink, text: &str) -> io::Result<()> {
        match (self.colour, ink.sgr()) {
            (Colour::Always, Some(sgr)) if !text.is_empty() => write!(self.out, "\x1b[{sgr}m{text}\x1b[0m"),
            _ => self.out.write_all(text.as_bytes()),
        }
    }
}

/// The column of section names; on a narrow page each name has a line of its own instead.
pub(super) struct Margin {
    /// Columns of the names; `None` on a narrow page.
    names: Option<usize>,
}

impl Margin {
    pub(super) fn of(coverage: &[Coverage], page: &Page<'_>) -> Self {
        let longest = coverage
            .iter()
            .map(|section| width(&plain(&section.section)))
            .max()
            .unwrap_or(0);
        Self {
            names: (page.width >= NARROW).then(|| longest.clamp(5, (page.width / 5).min(16))),
        }
    }

    /// What stands before the first line of a section.
    pub(super) fn first(&self, section: &str, page: &mut Page<'_>) -> io::Result<String> {
        let section = plain(section);
        if let Some(columns) = self.names {
            return Ok(format!("  {}  ", padded(&shorten(&section, columns), columns)));
        }
        page.line(&[(Ink::Plain, "  "), (Ink::Plain, &section)])?;
        Ok(self.rest())
    }

    /// What stands before the other lines.
    pub(super) fn rest(&self) -> String {
        padded("", self.names.unwrap_or(0) + 4)
    }
}

/// What a piece of text is, for colouring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Alarm,
    Bad,
    Fine,
    Note,
    Plain,
    Strong,
    Warn,
}

impl Ink {
    pub(super) const fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Alarm,
            Severity::High => Self::Bad,
            Severity::Medium => Self::Warn,
            Severity::Low => Self::Note,
            Severity::Info => Self::Strong,
        }
    }

    pub(super) const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::Fine,
            Verdict::Incomplete => Self::Warn,
            Verdict::Drift | Verdict::DriftAndIncomplete => Self::Alarm,
        }
    }

    /// Only the eight colours that every terminal has, and never blue, which is unreadable on black.
    const fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Alarm => Some("1;31"),
            Self::Bad => Some("31"),
            Self::Fine => Some("1;32"),
            Self::Note => Some("36"),
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Warn => Some("33"),
        }
    }
}
