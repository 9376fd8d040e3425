//! The interval of a cron, from the value of a process's tag `Cron-Interval`, exactly as a Compute
//! Unit (CU) reads it: the value is split at hyphens, its second part is the unit `block` or
//! `blocks`, or the first two parts together are what the npm package `ms` reads. A value without a
//! hyphen is what `ms` reads alone. No other form of a time is meant to be read here.

/// Texts longer than this are refused by `ms`.
const MAX_LENGTH: usize = 100;

/// How often a cron runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// A result whenever so many seconds have passed since the process's first block. Above zero.
    Seconds(u32),
    /// A result whenever so many blocks have passed; nothing tells when that is.
    Blocks,
    /// A CU cannot read it, so that the cron never runs; or the cron runs less than once in a
    /// century.
    Unreadable,
}

impl Interval {
    /// Reads the value of a tag `Cron-Interval`.
    #[must_use]
    pub fn read(tag: &str) -> Self {
        let mut parts = tag.split('-').map(trim);
        let value = parts.next().unwrap_or_default();
        match parts.next() {
            Some("block" | "blocks") => Self::Blocks,
            Some(unit) => seconds(value, unit).map_or(Self::Unreadable, Self::Seconds),
            None => {
                let end =
                    value.find(|c: char| c.is_alphabetic() || c == ' ').unwrap_or(value.len());
                let (value, unit) = value.split_at_checked(end).unwrap_or((value, ""));
                let unit = unit.trim_start_matches(' ');
                seconds(value, unit).map_or(Self::Unreadable, Self::Seconds)
            }
        }
    }

    /// The interval in milliseconds, if it is one of time.
    #[must_use]
    pub fn millis(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(u64::from(seconds) * 1000),
            Self::Blocks | Self::Unreadable => None,
        }
    }
}

/// What JavaScript trims.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

/// The whole seconds of what `ms` makes of the value and the unit with a space in between.
fn seconds(value: &str, unit: &str) -> Option<u32> {
    if value.len() + 1 + unit.len() > MAX_LENGTH {
        return None;
    }
    let millis = number_of(value)? * millis_of(unit)?;
    let seconds = (millis / 1000.0).floor();
    if (1.0..=f64::from(u32::MAX)).contains(&seconds) {
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number in the range")]
        #[expect(clippy::cast_sign_loss, reason = "it is at least 1")]
        return Some(seconds as u32);
    }
    None
}

/// Digits, with a point and more digits or without.
fn number_of(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = text.split_once('.').unwrap_or(("", text));
    (digits(whole) && digits(part) && !part.is_empty()).then(|| text.parse().ok()).flatten()
}

/// The milliseconds of a unit of `ms`.
fn millis_of(unit: &str) -> Option<f64> {
    let millis = match unit.to_ascii_lowercase().as_str() {
        "" | "milliseconds" | "millisecond" | "msecs" | "msec" | "ms" => 1.0,
        "seconds" | "second" | "secs" | "sec" | "s" => 1000.0,
        "minutes" | "minute" | "mins" | "min" | "m" => 60_000.0,
        "hours" | "hour" | "hrs" | "hr" | "h" => 3_600_000.0,
        "days" | "day" | "d" => 86_400_000.0,
        "weeks" | "week" | "w" => 604_800_000.0,
        // Of 365.25 days.
        "years" | "year" | "yrs" | "yr" | "y" => 31_557_600_000.0,
        _ => return None,
    };
    Some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: &str) -> Option<u32> {
        match Interval::read(tag) {
            Interval::Seconds(seconds) => Some(seconds),
            Interval::Blocks | Interval::Unreadable => None,
        }
    }

    #[test]
    fn interval_of_each_unit_and_form_is_read_in_any_case() {
        let units: [(u32, &[&str]); 7] = [
            (1, &["seconds", "second", "secs", "sec", "s", "S", "Seconds"]),
            (60, &["minutes", "minute", "mins", "min", "m", "MINUTES"]),
            (3600, &["hours", "hour", "hrs", "hr", "h"]),
            (86_400, &["days", "day", "d"]),
            (604_800, &["weeks", "week", "w"]),
            (31_557_600, &["years", "year", "yrs", "yr", "y"]),
            (0, &[]),
        ];
        for (seconds, names) in units {
            for name in names {
                for form in [format!("2-{name}"), format!(" 2 - {name} "), format!("2-{name}-x")] {
                    assert_eq!(of(&form), Some(2 * seconds), "{form}");
                }
            }
        }
    }

    #[test]
    fn interval_of_milliseconds_is_floored_to_seconds() {
        for unit in ["milliseconds", "millisecond", "msecs", "msec", "ms"] {
            assert_eq!(of(&format!("2999-{unit}")), Some(2), "{unit}");
            assert_eq!(of(&format!("999-{unit}")), None, "{unit}");
        }
        // No unit means milliseconds.
        assert_eq!([of("10000"), of("10000-"), of("999")], [Some(10), Some(10), None]);
    }

    #[test]
    fn interval_with_a_fraction_is_computed_as_by_javascript() {
        for (tag, seconds) in [
            ("1.5-minutes", 90),
            (".5-hours", 1800),
            ("0.3-weeks", 181_440),
            ("1.1-minutes", 66),
            ("4.35-seconds", 4),
            ("0.0001-years", 3155),
        ] {
            assert_eq!(of(tag), Some(seconds), "{tag}");
        }
    }

    #[test]
    fn interval_without_a_hyphen_is_read_as_a_whole() {
        assert_eq!(
            [of("1 hour"), of("1h"), of(" 2.5   mins ")],
            [Some(3600), Some(3600), Some(150)]
        );
        assert_eq!([of("hour"), of("1 block"), of("1h m")], [None; 3]);
    }

    #[test]
    fn interval_in_blocks_is_told_from_times() {
        for tag in ["10-blocks", "1-block", " 1 - block ", "x-blocks"] {
            assert_eq!(Interval::read(tag), Interval::Blocks, "{tag}");
        }
        assert_eq!(Interval::read("10-Blocks"), Interval::Unreadable, "the case matters");
    }

    #[test]
    fn interval_that_no_unit_reads_never_runs() {
        let long = format!("{}1-second", "0".repeat(99));
        for tag in [
            "",
            "-",
            "1-month",
            "2-months",
            "1-mo",
            "1-fortnight",
            "x-minutes",
            "0-seconds",
            "-1-day",
            "1.-day",
            "1..5-days",
            "1e3-seconds",
            "+1-day",
            "1_0-s",
            "1-day s",
            "1,5-days",
            "٣-days",
            "1-ſ",
            "200-years",
            "5 m-",
            "5-5 m",
            &long,
        ] {
            assert_eq!(Interval::read(tag), Interval::Unreadable, "{tag}");
        }
    }

    #[test]
    fn interval_is_trimmed_as_by_javascript() {
        assert_eq!(of("\u{feff}1\u{a0}-\u{2003}day\n"), Some(86_400));
        assert_eq!(of("1-\u{85}day"), None);
    }
}
