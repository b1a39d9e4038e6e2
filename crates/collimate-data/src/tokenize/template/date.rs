//! The date that `strftime_now` writes.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::DataError;

/// A day and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tokenize) struct Moment {
    year: i64,
    month: u32,
    day: u32,
    /// Seconds since midnight.
    second: u32,
}

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Moment {
    /// Returns the present moment, in UTC.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs() as i64);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            second: second as u32,
        }
    }

    /// Reads a date `YYYY-MM-DD`; the time is midnight.
    pub(super) fn parse(text: &str) -> Result<Self, DataError> {
        let parts: Vec<Option<i64>> = text.split('-').map(|part| part.parse().ok()).collect();
        let moment = match parts.as_slice() {
            [
                Some(year @ 1..=9999),
                Some(month @ 1..=12),
                Some(day @ 1..=31),
            ] => Some(Self {
                year: *year,
                month: *month as u32,
                day: *day as u32,
                second: 0,
            }),
            _ => None,
        };
        moment
            .filter(|moment| civil(moment.days()) == (moment.year, moment.month, moment.day))
            .ok_or_else(|| {
                DataError::argument(
                    "template_date",
                    text,
                    "a date is written as year, month and day: 2025-01-31".to_owned(),
                )
            })
    }

    /// Returns the number of days since 1 January 1970 in the Gregorian calendar.
    fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// Formats the moment as `strftime` does. Returns the first unknown code as an error.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        let weekday = DAYS[(self.days() + 3).rem_euclid(7) as usize];
        let month = MONTHS[self.month as usize - 1];
        let new_year = Self {
            month: 1,
            day: 1,
            ..self
        };
        let of_year = self.days() - new_year.days() + 1;
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        let of_half = (hour + 11) % 12 + 1;
        let mut out = String::new();
        let mut signs = format.chars();
        while let Some(sign) = signs.next() {
            if sign != '%' {
                out.push(sign);
                continue;
            }
            let mut code = signs.next();
            // `%-d` writes no leading zeros.
            let bare = code == Some('-');
            if bare {
                code = signs.next();
            }
            let padded = |number: i64, width: usize| match bare {
                true => number.to_string(),
                false => format!("{number:0width$}"),
            };
            let two = |number: u32| padded(i64::from(number), 2);
            out.push_str(&match code {
                Some('Y') => self.year.to_string(),
                Some('y') => padded(self.year % 100, 2),
                Some('m') => two(self.month),
                Some('d') => two(self.day),
                Some('e') if bare => self.day.to_string(),
                Some('e') => format!("{:2}", self.day),
                Some('j') => padded(of_year, 3),
                Some('B') => month.to_owned(),
                Some('b' | 'h') => month[..3].to_owned(),
                Some('A') => weekday.to_owned(),
                Some('a') => weekday[..3].to_owned(),
                Some('H') => two(hour),
                Some('I') => two(of_half),
                Some('M') => two(minute),
                Some('S') => two(second),
                Some('p') => ["PM", "AM"][usize::from(hour < 12)].to_owned(),
                Some('F') => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
                Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('D') => {
                    format!("{:02}/{:02}/{:02}", self.month, self.day, self.year % 100)
                }
                Some('%') => "%".to_owned(),
                // The moment has no time zone, as in transformers.
                Some('Z' | 'z') => String::new(),
                Some(other) => return Err(format!("%{other}")),
                None => return Err("%".to_owned()),
            });
        }
        Ok(out)
    }
}

/// Converts a number of days since 1970 into year, month and day.
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are printed by Python.
    #[test]
    fn dates_are_written_as_strftime_does() {
        let written = |date: &str, format: &str| Moment::parse(date).unwrap().format(format);
        assert_eq!(written("2024-07-26", "%d %b %Y").unwrap(), "26 Jul 2024");
        assert_eq!(
            written("2024-02-29", "%A, %B %-d (%j) %H:%M:%S %I%p %y").unwrap(),
            "Thursday, February 29 (060) 00:00:00 12AM 24"
        );
        assert_eq!(
            written("1999-12-31", "%a %F %%").unwrap(),
            "Fri 1999-12-31 %"
        );
        assert_eq!(written("2000-01-01", "%Q").unwrap_err(), "%Q");
        for wrong in ["2023-02-29", "2024-13-01", "today", "2024-1"] {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Moment::now().format("%Y").unwrap().as_str() >= "2024");
    }
}
