//! Wall-clock time in words: RFC 3339, always in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;
/// 400 years of the Gregorian calendar, after which it repeats.
const DAYS_AN_ERA: u64 = 146_097;
/// From 0000-03-01, the first day of an era, to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;

/// A moment as `2014-05-31T16:20:25Z`: whole seconds, UTC. What lies before 1970 is told as 1970, which only a
/// clock that was never set can ask for.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / SECONDS_A_DAY);
    let second = seconds % SECONDS_A_DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The same to the microsecond: `2014-05-31T16:20:25.000001Z`.
pub fn rfc3339_micros(time: SystemTime) -> String {
    let mut text = rfc3339(time);
    let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_micros();
    text.truncate(text.len() - 1);
    text + &format!(".{micros:06}Z")
}

/// Reads a moment: whole seconds or parts of them, in UTC or with an offset such as `+02:00`. Nothing before 1970 is one.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(19)?;
    let digits = |at: usize, length: usize| number(date.get(at..at + length)?);
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let is_marked =
        marks.iter().all(|(at, mark)| date.get(*at..at + 1).is_some_and(|c| c.eq_ignore_ascii_case(mark)));
    let days = day_number(year, month, day)?;
    if !is_marked || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (fraction, zone) = rest.split_at(end);
    let local =
        Duration::from_secs(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second) + part(fraction)?;
    let utc = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(local),
        ("+", offset) => local.checked_sub(offset_of(offset)?),
        ("-", offset) => local.checked_add(offset_of(offset)?),
        _ => None,
    };
    UNIX_EPOCH.checked_add(utc?)
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A part of a second, such as `.25`, or nothing.
fn part(text: &str) -> Option<Duration> {
    let Some(digits) = text.strip_prefix('.') else { return text.is_empty().then_some(Duration::ZERO) };
    let digits = digits.get(..9).unwrap_or(digits);
    let places = u32::try_from(digits.len()).ok()?;
    Some(Duration::from_nanos(number(digits)? * 10_u64.pow(9 - places)))
}

/// How far a zone is from UTC: `02:00`.
fn offset_of(text: &str) -> Option<Duration> {
    let (hours, minutes) =
        text.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then(|| Duration::from_secs(hours * 3600 + minutes * 60))
}

/// How many days after 1970-01-01 a date is, if there is such a date.
fn day_number(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let (year_from_march, month_from_march) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
    let first = (153 * month_from_march + 2) / 5;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + first + day.checked_sub(1)?;
    let days = (era * DAYS_AN_ERA + day_of_era).checked_sub(DAYS_TO_EPOCH)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of the day that is `days` after 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year and needs no case of its own.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (DAYS_AN_ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_moments() {
        let check =
            |seconds, expected| assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_401_553_225, "2014-05-31T16:20:25Z");
        check(1_709_164_800, "2024-02-29T00:00:00Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(253_402_300_799, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_written_is_read() {
        for micros in [0, 1, 951_782_399_999_999, 1_401_553_225_000_250, 253_402_300_799_000_000] {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(parse(&rfc3339_micros(time)), Some(time), "{}", rfc3339_micros(time));
        }
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(
                parse(text),
                seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
                "{text}"
            );
        };
        check("2014-05-31T16:20:25Z", Some(1_401_553_225));
        check("2014-05-31t16:20:25.000z", Some(1_401_553_225));
        check("2014-05-31T18:20:25+02:00", Some(1_401_553_225));
        check("2014-05-31T10:50:25.0000000001-05:30", Some(1_401_553_225));
        for text in [
            "",
            "2014-05-31",
            "2014-05-31T16:20:25",
            "2014-05-31 16:20:25Z",
            "2014-02-29T00:00:00Z",
            "2014-05-00T00:00:00Z",
            "2014-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2014-05-31T24:00:00Z",
            "2014-05-31T16:20:25.Z",
            "2014-05-31T16:20:25..5Z",
            "2014-05-31T16:20:25+2:00",
            "2014-05-31T16:20:25Zz",
            "+014-05-31T16:20:25Z",
            "2014-05-31T16:20:2\u{fc}Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_clock_before_1970_is_told_as_1970() {
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut expected = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), expected);
            let (year, month, day) = expected;
            let leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            expected = match (day < LENGTHS[month as usize - 1] + u64::from(leap), month) {
                (true, _) => (year, month, day + 1),
                (false, 12) => (year + 1, 1, 1),
                (false, _) => (year, month + 1, 1),
            };
        }
    }
}
