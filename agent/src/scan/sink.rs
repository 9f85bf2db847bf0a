//! Finished batches, given to the observer one after the other.

use std::ops::Range;

use baseline_format::Line;

use super::encode::{Group, HardLinks, encode};
use super::inspect::Facts;
use super::{Observer, Settings, Stop};

/// A finished batch: text, and where in it the entries are.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) text: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
}

pub(super) enum Piece {
    Line(Range<usize>),
    /// Which file it is a further name of is only known in order.
    Linked(Vec<u8>, Box<Facts>),
}

pub(super) struct Sink<'a> {
    observer: &'a mut dyn Observer,
    links: HardLinks,
    line: Vec<u8>,
    path: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(observer: &'a mut dyn Observer) -> Self {
        Self {
            observer,
            links: HardLinks::default(),
            line: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Gives a batch's entries to the observer.
    pub(super) fn feed(&mut self, encoded: &Encoded, settings: &Settings<'_>) -> Result<(), Stop> {
        let text = std::str::from_utf8(&encoded.text).map_err(|_| Stop)?;
        for piece in &encoded.pieces {
            match piece {
                Piece::Line(place) => {
                    let line = Line::trusted(&text[place.clone()]).ok_or(Stop)?;
                    self.observer.entry(&line)?;
                }
                Piece::Linked(path, facts) => {
                    self.line.clear();
                    let group = facts.metadata.map(|m| self.links.name(m.identity, m.links, path));
                    match group {
                        Some(Group::Same(first)) => {
                            self.path = first;
                            encode(path, facts, Some(&self.path), &settings.owners, &mut self.line);
                        }
                        Some(Group::Unknown) => self.encode_unknown(path, facts, settings),
                        _ => encode(path, facts, None, &settings.owners, &mut self.line),
                    }
                    let line = std::str::from_utf8(&self.line)
                        .ok()
                        .and_then(Line::trusted)
                        .ok_or(Stop)?;
                    self.observer.entry(&line)?;
                }
            }
        }
        Ok(())
    }

    fn encode_unknown(&mut self, path: &[u8], facts: &Facts, settings: &Settings<'_>) {
        let mut line = Vec::new();
        encode(path, facts, None, &settings.owners, &mut line);
        if let Some(parsed) = std::str::from_utf8(&line).ok().and_then(Line::trusted) {
            let why = "too many files with several names to remember the first name of each";
            parsed.to_entry().unseen("hardlink", why).encode(&mut self.line);
        }
    }
}
