//! Durations as people write them.

use std::fmt;
use std::time::Duration;

/// The longest duration that can be written: ten years. Adding a few of them to any moment cannot overflow.
pub const LONGEST: Duration = Duration::from_secs(3650 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// Units with their length in milliseconds, from the longest to the shortest.
const UNITS: [(&str, u64); 6] =
    [("w", 7 * DAY * 1000), ("d", DAY * 1000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationFault {
    /// It is written otherwise.
    Unreadable,
    /// It is less than nothing.
    Negative,
    /// It is over [`LONGEST`].
    TooLong,
}

impl fmt::Display for DurationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => {
                "must be a duration: seconds, or numbers with units (w, d, h, m, s, ms), such as 90, 5m or 1h30m"
            }
            Self::Negative => "must not be negative",
            Self::TooLong => "must be at most 10 years (3650d)",
        })
    }
}

/// As people write it: `1h30m`, with as few units as it takes.
pub fn words(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut words = String::new();
    for (unit, length) in UNITS {
        if left >= length {
            words += &format!("{}{unit}", left / length);
            left %= length;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words }
}

/// Reads `90`, `0.5` (seconds), `10s`, `5m`, `1h30m`, `2d`: units from the longest to the shortest, each at
/// most once.
pub fn parse(text: &str) -> Result<Duration, DurationFault> {
    if text.strip_prefix('-').is_some_and(|rest| parse(rest) != Err(DurationFault::Unreadable)) {
        return Err(DurationFault::Negative);
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit())
    {
        return from_seconds(text.parse().map_err(|_| DurationFault::Unreadable)?);
    }
    let (mut rest, mut units, mut total) = (text, &UNITS[..], 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0);
        let (number, tail) = rest.split_at(digits.ok_or(DurationFault::Unreadable)?);
        let unit_ends = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(unit_ends);
        let place = units.iter().position(|(name, _)| *name == unit).ok_or(DurationFault::Unreadable)?;
        let number: u64 = number.parse().map_err(|_| DurationFault::TooLong)?;
        total = total.saturating_add(number.saturating_mul(units[place].1));
        (rest, units) = (after, &units[place + 1..]);
    }
    if text.is_empty() { Err(DurationFault::Unreadable) } else { bounded(Duration::from_millis(total)) }
}

/// A number of seconds, as it stands in a file; read to the millisecond.
pub fn from_seconds(seconds: f64) -> Result<Duration, DurationFault> {
    if seconds.is_nan() {
        return Err(DurationFault::Unreadable);
    }
    if seconds < 0.0 {
        return Err(DurationFault::Negative);
    }
    // A cast from a floating-point number saturates, and what it saturates to is too long.
    bounded(Duration::from_millis((seconds * 1000.0).round() as u64))
}

fn bounded(duration: Duration) -> Result<Duration, DurationFault> {
    if duration > LONGEST { Err(DurationFault::TooLong) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(words(parse(text).expect("a duration")), expected);
        };
        for text in ["1h", "1h30m", "90ms", "2d", "1w2d3h4m5s", "0s"] {
            check(text, text);
        }
        check("90m", "1h30m");
        check("3600", "1h");
    }

    #[test]
    fn durations_are_read() {
        let check = |text: &str, expected: Result<u64, DurationFault>| {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text:?}");
        };
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("10s", 10),
            ("5m", 300),
            ("1h", 3600),
            ("1h30m", 5400),
            ("24h", DAY),
            ("2d", 2 * DAY),
            ("1w2d3h4m5s", 788_645),
            ("3650d", 3650 * DAY),
            ("1h0s", 3600),
        ] {
            check(text, Ok(seconds * 1000));
        }
        check("500ms", Ok(500));
        check("0.5", Ok(500));
        check("1s1ms", Ok(1001));
        for text in
            ["", " ", "s", "5x", "5 m", "1m1h", "1h1h", "h5", "1.5h", "5M", "+5", "1e3s", "٣s", "5s ", "."]
        {
            check(text, Err(DurationFault::Unreadable));
        }
        for text in ["-1", "-5m", "-0.5"] {
            check(text, Err(DurationFault::Negative));
        }
        for text in ["3651d", "99999999999999999999d", "18446744073709551615w", "999999999999", "1e300"] {
            check(text, Err(DurationFault::TooLong));
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(from_seconds(f64::NAN), Err(DurationFault::Unreadable));
        assert_eq!(from_seconds(f64::INFINITY), Err(DurationFault::TooLong));
        assert_eq!(from_seconds(f64::NEG_INFINITY), Err(DurationFault::Negative));
        assert_eq!(from_seconds(0.0004), Ok(Duration::ZERO));
        assert_eq!(from_seconds(1.25), Ok(Duration::from_millis(1250)));
    }
}
