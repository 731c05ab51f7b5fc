//! What a cell of a text file says: missing, a number, a date, or text.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// What stands for a missing value, in small letters; C prints the sign of a NaN.
pub const MISSING_MARKS: [&str; 8] = ["", "?", ".", "na", "nan", "n/a", "null", "-nan"];

/// Whether a trimmed cell stands for a missing value: one of [`MISSING_MARKS`], in small letters or large.
pub(in crate::data) fn is_missing(cell: &[u8]) -> bool {
    match cell.len() {
        0 => true,
        1 => cell == b"?" || cell == b".",
        2 => cell.eq_ignore_ascii_case(b"na"),
        3 => cell.eq_ignore_ascii_case(b"nan") || cell.eq_ignore_ascii_case(b"n/a"),
        4 => cell.eq_ignore_ascii_case(b"null") || cell.eq_ignore_ascii_case(b"-nan"),
        _ => false,
    }
}

/// The number a trimmed cell holds, if it holds one; infinite for `inf` and what overflows. Single quotes around it
/// are looked through.
pub(in crate::data) fn number(cell: &[u8]) -> Option<f64> {
    let cell = match cell {
        [b'\'', inner @ .., b'\''] => inner,
        _ => cell,
    };
    std::str::from_utf8(cell).ok()?.parse::<f64>().ok().filter(|x| !x.is_nan())
}

/// The date, or date and time, that a trimmed cell holds in ISO 8601 (`2013-01-31`, `2013-01-31 10:00`,
/// `2013-01-31T10:00:00.5Z`, `…+02:00`), as days since 1970-01-01; without an offset it is taken for UTC.
pub(in crate::data) fn date(cell: &[u8]) -> Option<f64> {
    // Most cells are told from dates at a glance.
    if cell.len() < 10 || cell[4] != b'-' || cell[7] != b'-' {
        return None;
    }
    let (day, rest) = std::str::from_utf8(cell).ok()?.split_at_checked(10)?;
    let day: NaiveDate = day.parse().ok()?;
    let Some(separator) = rest.chars().next() else { return Some(days(day.and_time(NaiveTime::MIN), 0)) };
    let rest = rest.strip_prefix(separator).filter(|_| matches!(separator, 'T' | 't' | ' '))?;
    let (time, minutes) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => match rest.rfind(['+', '-']) {
            Some(at) => (&rest[..at], offset_minutes(&rest[at..])?),
            None => (rest, 0),
        },
    };
    let time: NaiveTime = time.trim_end().parse().ok()?;
    Some(days(day.and_time(time), minutes))
}

/// Days since 1970-01-01 of a time that is `minutes` ahead of UTC.
fn days(time: NaiveDateTime, minutes: i64) -> f64 {
    let utc = time.and_utc();
    (utc.timestamp() - 60 * minutes) as f64 / 86_400.0 + f64::from(utc.timestamp_subsec_nanos()) / 86_400e9
}

/// `+02:00`, `+0200` or `+02` in minutes.
fn offset_minutes(text: &str) -> Option<i64> {
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Some(sign * (60 * hours + minutes))
}

/// The cell for a message: quoted, and cut when it is long.
pub(in crate::data) fn shown(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    let mut cut: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        cut.push('…');
    }
    format!("'{cut}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_marks_are_the_documented_ones() {
        let marks = ["", "NA", "na", "N/A", "NaN", "nan", "NAN", "null", "NULL", "?", ".", "-nan"];
        assert_eq!(marks.iter().filter(|m| is_missing(m.as_bytes())).count(), 12);
        assert_eq!(MISSING_MARKS.iter().filter(|m| is_missing(m.as_bytes())).count(), 8);
        let values = ["0", "-", "none", "nana", "..", "n", "NA1", "missing"];
        assert_eq!(values.iter().filter(|m| !is_missing(m.as_bytes())).count(), 8);
    }

    #[test]
    fn numbers_are_read_as_std_reads_them() {
        let cases = [("1", 1.0), ("-1.5e3", -1500.0), ("+2", 2.0), (".5", 0.5), ("5.", 5.0), ("'-1'", -1.0)];
        let read: Vec<Option<f64>> = cases.iter().map(|(text, _)| number(text.as_bytes())).collect();
        assert_eq!(read, cases.iter().map(|(_, x)| Some(*x)).collect::<Vec<_>>());
        assert_eq!(number(b"1e999"), Some(f64::INFINITY));
        assert_eq!(number(b"-inf"), Some(f64::NEG_INFINITY));
        let texts: [&[u8]; 8] = [b"true", b"1,5", b"0x10", b"1 2", b"nan", b"'", b"''", b"\xff"];
        assert_eq!(texts.iter().filter(|text| number(text).is_none()).count(), 8);
    }

    #[test]
    fn dates_are_days_since_1970() {
        let cases = [
            ("1970-01-01", 0.0),
            ("2013-01-01", 15706.0),
            ("1969-12-31", -1.0),
            ("2013-01-01T12:00:00Z", 15706.5),
            ("2013-01-01 06:00", 15706.25),
            ("2013-01-01T00:00:00+06:00", 15705.75),
            ("2013-01-01 00:00:00.5-0030", 15706.0 + 1800.5 / 86_400.0),
        ];
        for (text, expected) in cases {
            let read = date(text.as_bytes()).unwrap_or(f64::NAN);
            assert!((read - expected).abs() < 1e-11, "{text}: {read}");
        }
        let texts =
            ["2013-13-01", "2013-1-1", "20130101", "2013-01-01x", "2013-01-01T", "2013-01-01 25:00", "12-01-2013"];
        assert_eq!(texts.iter().filter(|text| date(text.as_bytes()).is_none()).count(), 7);
    }

    #[test]
    fn long_cells_are_cut_in_messages() {
        assert_eq!(shown(b"ab\ncd"), "'ab cd'");
        assert_eq!(shown(&[b'x'; 100]).chars().count(), 43);
    }
}
