//! Drifts, kept worst first in bounded memory.
//!
//! A wrong baseline can make a million drifts. The first ones stay in memory; what is beyond goes to a file
//! that has no name, one line a drift, so that nothing is lost and nobody can get at it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};

use baseline_format::report::{Drift, Severity, Summary};

/// Drifts that are kept in memory.
const IN_MEMORY: usize = 8_000;

/// Drifts by severity, each in the order in which they came.
#[derive(Debug, Default)]
pub struct DriftLog {
    buckets: [Bucket; Severity::ALL.len()],
    kept: usize,
    summary: Summary,
    failure: Option<io::Error>,
}

#[derive(Debug, Default)]
struct Bucket {
    memory: Vec<Drift>,
    file: Option<BufWriter<File>>,
}

impl DriftLog {
    /// Adds a drift. What goes wrong is told by [`DriftLog::finish`].
    pub fn push(&mut self, drift: Drift) {
        self.summary.drifts += 1;
        *self.summary.by_severity.entry(drift.severity).or_default() += 1;
        *self.summary.by_section.entry(drift.section.clone()).or_default() += 1;
        *self.summary.by_change.entry(drift.change).or_default() += 1;
        let bucket = &mut self.buckets[drift.severity as usize];
        if bucket.file.is_none() && self.kept < IN_MEMORY {
            self.kept += 1;
            bucket.memory.push(drift);
        } else if self.failure.is_none()
            && let Err(why) = bucket.spill(&drift)
        {
            self.failure = Some(why);
        }
    }

    /// Counts over all drifts.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Ends the log: an error if a drift was lost.
    pub fn finish(mut self) -> io::Result<Self> {
        match self.failure.take() {
            Some(why) => Err(why),
            None => Ok(self),
        }
    }

    /// Sorts what is in memory into THE order; needed when drifts of different sections came late.
    pub(super) fn sort(&mut self) {
        for bucket in &mut self.buckets {
            bucket.memory.sort_by(|a, b| {
                baseline_format::order::compare((&a.section, a.key.as_str()), (&b.section, b.key.as_str()))
            });
        }
    }

    /// The drifts, worst first.
    pub fn into_drifts(self) -> io::Result<Drifts> {
        let mut parts = Vec::new();
        for bucket in self.buckets {
            let file = match bucket.file {
                Some(file) => {
                    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                    file.rewind()?;
                    Some(BufReader::new(file))
                }
                None => None,
            };
            parts.push((bucket.memory.into_iter(), file));
        }
        Ok(Drifts {
            parts: parts.into_iter(),
            current: None,
        })
    }
}

impl Bucket {
    fn spill(&mut self, drift: &Drift) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(BufWriter::new(crate::output::temporary()?));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        serde_json::to_writer(&mut *file, drift)?;
        file.write_all(b"\n")
    }
}

/// Iterator over drifts, worst first.
#[derive(Debug)]
pub struct Drifts {
    parts: std::vec::IntoIter<Part>,
    current: Option<Part>,
}

/// One severity's drifts: those in memory, then those put aside.
type Part = (std::vec::IntoIter<Drift>, Option<BufReader<File>>);

impl Iterator for Drifts {
    type Item = io::Result<Drift>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.current.is_none() {
                self.current = Some(self.parts.next()?);
            }
            let (memory, file) = self.current.as_mut()?;
            if let Some(drift) = memory.next() {
                return Some(Ok(drift));
            }
            if let Some(file) = file {
                let mut line = String::new();
                match file.read_line(&mut line) {
                    Ok(0) => {}
                    Ok(_) => return Some(serde_json::from_str(&line).map_err(io::Error::from)),
                    Err(why) => return Some(Err(why)),
                }
            }
            self.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use baseline_format::report::ChangeKind;

    use super::*;

    #[test]
    fn more_than_memory_holds_comes_back_worst_first() {
        let mut log = DriftLog::default();
        let total = IN_MEMORY * 2;
        for number in 0..total {
            log.push(Drift {
                id: format!("d-{number}"),
                section: "files".into(),
                key: format!("/{number:06}").into(),
                change: ChangeKind::Added,
                fields: Vec::new(),
                severity: Severity::ALL[number % 5],
                meaning: None,
                owner_package: None,
                related: Vec::new(),
            });
        }
        assert_eq!(log.summary().drifts, total as u64);
        let drifts: Vec<Drift> = log
            .finish()
            .unwrap()
            .into_drifts()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(drifts.len(), total);
        assert!(drifts.is_sorted_by_key(|drift| (drift.severity, drift.key.as_str().to_owned())));
    }
}
