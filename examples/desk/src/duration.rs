//! Durations as people write them: `250ms`, `5s`, `2m`, `1h`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::input::Quoted;

/// Why a word is not a duration that the desk waits for.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum DurationError {
    /// It is not a whole number with a unit behind it.
    Malformed(String),
    /// It is longer than [`DAYS_MAX`].
    TooLong(String),
}

/// Returns the duration that `word` stands for: a whole number, and `ms`, `s`, `m` or `h` right behind it.
pub(crate) fn parse(word: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(word.to_owned());
    let too_long = || DurationError::TooLong(word.to_owned());
    let digits_len = word.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = word.split_at(digits_len);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(malformed()),
    };
    if digits.is_empty() {
        return Err(malformed());
    }
    // The digits are digits, so all that can be wrong with the number is its size.
    let number: u64 = digits.parse().map_err(|_| too_long())?;
    let ms = number.checked_mul(unit_ms).ok_or_else(too_long)?;
    if ms > DAYS_MAX * 24 * 60 * 60 * 1000 {
        return Err(too_long());
    }
    Ok(Duration::from_millis(ms))
}

/// Returns `duration` as one would say it, in at most two units, rounded up: `2m 5s`, `250ms`.
pub(crate) fn spoken(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = ms.div_ceil(1000);
    if seconds < 60 {
        return format!("{seconds}s");
    }
    if seconds < 60 * 60 {
        return two_units(seconds, 60, "m", "s");
    }
    two_units(seconds.div_ceil(60), 60, "h", "m")
}

fn two_units(small: u128, per_large: u128, large_name: &str, small_name: &str) -> String {
    let (large, small) = (small / per_large, small % per_large);
    if small == 0 {
        format!("{large}{large_name}")
    } else {
        format!("{large}{large_name} {small}{small_name}")
    }
}

/// The longest wait. Nobody sits at a desk for a year.
const DAYS_MAX: u64 = 365;

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(word) => write!(
                f,
                "{} is not a duration; write a number and a unit: 250ms, 5s, 2m, 1h",
                Quoted(word)
            ),
            Self::TooLong(word) => write!(
                f,
                "{} is longer than {DAYS_MAX} days, the longest wait",
                Quoted(word)
            ),
        }
    }
}

impl Error for DurationError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (word, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("007s", 7_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("8760h", 365 * 24 * 3_600_000),
        ] {
            assert_eq!(parse(word), Ok(Duration::from_millis(ms)), "{word}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for word in [
            "", "5", "s", "ms", "-5s", "+5s", "1.5s", "5S", "5 s", "5sec", "5s5", "٥s", "5é",
        ] {
            let malformed = DurationError::Malformed(word.to_owned());
            assert_eq!(parse(word), Err(malformed), "{word}");
        }
        for word in ["8761h", "18446744073709551615h", "99999999999999999999ms"] {
            let too_long = DurationError::TooLong(word.to_owned());
            assert_eq!(parse(word), Err(too_long), "{word}");
        }
    }

    #[test]
    fn it_is_said_in_two_units_rounded_up() {
        for (ms, said) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1001, "2s"),
            (59_001, "1m"),
            (61_000, "1m 1s"),
            (3_599_001, "1h"),
            (3_600_001, "1h 1m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(spoken(Duration::from_millis(ms)), said);
        }
        assert_eq!(spoken(Duration::from_nanos(1)), "1ms");
    }
}
