//! When a statement was issued: whole seconds, in one spelling.

use std::ffi::OsStr;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::source::file_system::Fault;

/// A time of issue: seconds since 1970, UTC, before the year 10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issued(u64);

impl Issued {
    /// Reads `YYYY-MM-DDTHH:MM:SSZ` (RFC 3339), and nothing else that means the same.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        humantime::parse_rfc3339(text)
            .ok()
            .and_then(|time| Self::at(time).ok())
            .filter(|issued| issued.to_string() == text)
            .ok_or_else(|| {
                let text = text.escape_debug();
                Fault::new(format!("`{text}` is not a time like 2026-01-31T12:00:00Z"))
            })
    }

    /// A time, without its fraction of a second.
    pub fn at(time: SystemTime) -> Result<Self, Fault> {
        let since = time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        since
            .filter(|seconds| *seconds < END)
            .map(Self)
            .ok_or_else(|| Fault::new("the time is before 1970 or after 9999: is the clock right?"))
    }

    /// When a statement is issued: as given, else as the environment's `SOURCE_DATE_EPOCH` says
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>), else now.
    pub fn choose(given: Option<&str>, epoch: Option<&OsStr>, now: SystemTime) -> Result<Self, Fault> {
        if let Some(given) = given {
            return Self::parse(given);
        }
        let Some(epoch) = epoch else {
            return Self::at(now);
        };
        let seconds = epoch.to_str().and_then(|text| text.parse().ok());
        seconds
            .filter(|seconds| *seconds < END)
            .map(Self)
            .ok_or_else(|| Fault::new("SOURCE_DATE_EPOCH is not a number of seconds since 1970"))
    }

    /// Whether this lies so far ahead of `now` that it is no matter of clocks that differ a little. A time of issue
    /// in the future would outlive every correct one.
    #[must_use]
    pub fn is_ahead_of(self, now: SystemTime) -> bool {
        let Some(latest) = now.checked_add(SLACK) else {
            return false;
        };
        UNIX_EPOCH + Duration::from_secs(self.0) > latest
    }
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.0)).fmt(f)
    }
}

/// The first second of the year 10000.
const END: u64 = 253_402_300_800;

/// Longer than clocks that anybody looks after differ, shorter than anybody waits for a baseline.
const SLACK: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        assert_eq!(Issued::parse("1970-01-01T00:00:00Z").unwrap(), Issued(0));
        assert_eq!(Issued::parse("9999-12-31T23:59:59Z").unwrap(), Issued(END - 1));
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00z",
            "2026-01-31T12:00:00.0Z",
            "2026-01-31T12:00:00+00:00",
            "2016-12-31T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(Issued::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_time_is_chosen() {
        let now = UNIX_EPOCH + Duration::from_millis(5_900);
        let epoch = Some(OsStr::new("7"));
        assert_eq!(
            Issued::choose(Some("1970-01-01T00:00:09Z"), epoch, now).unwrap(),
            Issued(9)
        );
        assert_eq!(Issued::choose(None, epoch, now).unwrap(), Issued(7));
        assert_eq!(Issued::choose(None, None, now).unwrap(), Issued(5));
        for bad in ["", "x", "-1", "253402300800"] {
            assert!(Issued::choose(None, Some(OsStr::new(bad)), now).is_err(), "{bad}");
        }
        let day = SLACK.as_secs();
        assert!(!Issued(day + 5).is_ahead_of(now));
        assert!(Issued(day + 6).is_ahead_of(now));
    }

    proptest! {
        #[test]
        fn written_is_read(seconds in 0..END) {
            let issued = Issued(seconds);
            prop_assert_eq!(Issued::parse(&issued.to_string()).unwrap(), issued);
        }

        #[test]
        fn spelled_order_is_order(a in 0..END, b in 0..END) {
            prop_assert_eq!(Issued(a).cmp(&Issued(b)), Issued(a).to_string().cmp(&Issued(b).to_string()));
        }

        #[test]
        fn any_text_ends(text: String) {
            prop_assert!(Issued::parse(&text).is_err());
        }
    }
}
