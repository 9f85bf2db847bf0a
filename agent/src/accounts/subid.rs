//! `/etc/subuid` and `/etc/subgid`, subuid(5): ids that a user may use inside user namespaces.

use super::{Malformed, Numbered, number, records};

/// One range of subordinate ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Login name or uid of the owner, as written.
    pub owner: Vec<u8>,
    /// First id.
    pub start: u32,
    /// How many ids.
    pub count: u32,
}

/// Parses either file.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Numbered<Range>> {
    records(bytes, |line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        match fields[..] {
            [[], ..] => Err(Malformed::Empty("the owner")),
            [owner, start, count] => Ok(Range {
                owner: owner.to_vec(),
                start: number(start, "the first id")?,
                count: number(count, "the count")?,
            }),
            _ => Err(Malformed::Fields {
                expected: 3,
                found: fields.len(),
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges() {
        let parsed: Vec<_> = parse(b"alice:100000:65536\n1000:1:x\nbob:1\n")
            .map(|line| line.record)
            .collect();
        assert_eq!(
            parsed,
            [
                Ok(Range {
                    owner: b"alice".to_vec(),
                    start: 100_000,
                    count: 65536
                }),
                Err(Malformed::Number("the count")),
                Err(Malformed::Fields {
                    expected: 3,
                    found: 2
                }),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
        }
    }
}
