//! `/etc/shadow`, shadow(5): password states and ageing, never the hashes.

use super::crypt::Password;
use super::{Malformed, Numbered, account_name, records};

/// One line of `/etc/shadow`. Days are counted from 1970-01-01; a field that is empty is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Login name.
    pub name: Vec<u8>,
    /// State and scheme of the password.
    pub password: Password,
    /// Day of the last change; 0 means that it must be changed at the next login.
    pub changed: Option<i64>,
    /// Days until it may be changed again.
    pub min: Option<i64>,
    /// Days until it must be changed.
    pub max: Option<i64>,
    /// Days of warning before that.
    pub warn: Option<i64>,
    /// Days after that on which it is still accepted.
    pub inactive: Option<i64>,
    /// Day on which the account expires.
    pub expires: Option<i64>,
}

/// Parses the file.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Numbered<Shadow>> {
    records(bytes, parse_line)
}

fn parse_line(line: &[u8]) -> Result<Shadow, Malformed> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    // Five fields are the form before ageing had warnings, which glibc still reads.
    if !matches!(fields.len(), 5 | FIELDS) {
        return Err(Malformed::Fields {
            expected: FIELDS,
            found: fields.len(),
        });
    }
    account_name(fields[0])?;
    let days = |at: usize, name| match fields.get(at).copied().unwrap_or_default() {
        [] => Ok(None),
        text => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or(Malformed::Number(name)),
    };
    Ok(Shadow {
        name: fields[0].to_vec(),
        password: Password::of(fields[1]),
        changed: days(2, "the day of the last change")?,
        min: days(3, "the minimum age")?,
        max: days(4, "the maximum age")?,
        warn: days(5, "the warning period")?,
        inactive: days(6, "the inactivity period")?,
        expires: days(7, "the day of expiry")?,
    })
}

const FIELDS: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ageing_and_state() {
        let alice = parse(b"alice:$6$saltsalt$hash:19000:0:90:7:30:20000:\n")
            .next()
            .unwrap()
            .record
            .unwrap();
        assert_eq!(alice.password.state(), "set");
        assert_eq!(
            (alice.changed, alice.min, alice.max),
            (Some(19000), Some(0), Some(90))
        );
        assert_eq!(
            (alice.warn, alice.inactive, alice.expires),
            (Some(7), Some(30), Some(20000))
        );
        let daemon = parse(b"daemon:*:0:0:99999\n").next().unwrap().record.unwrap();
        assert_eq!(
            (daemon.password, daemon.changed, daemon.warn),
            (Password::Unusable, Some(0), None)
        );
    }

    #[test]
    fn neither_parsed_nor_malformed_lines_keep_the_hash() {
        let file = b"alice:$6$SaltCanary$HashCanary:1:2:3:4:5:6:\nbob:$6$SaltCanary$HashCanary\n\
                     $6$SaltCanary$HashCanary:x:1:2:3:4:5:6:\nbob:x:HashCanary:2:3:4:5:6:\n";
        let printed = format!("{:?}", parse(file).skip(1).collect::<Vec<_>>());
        assert!(!printed.contains("Canary"), "{printed}");
        assert!(!format!("{:?}", parse(file).next()).contains("Canary"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
        }
    }
}
