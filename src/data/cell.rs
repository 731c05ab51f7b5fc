//! What a cell of a text file says: missing, a number, or text.

/// Whether a trimmed cell stands for a missing value.
pub(super) fn is_missing(cell: &[u8]) -> bool {
    match cell.len() {
        0 => true,
        1 => cell == b"?" || cell == b".",
        2 => cell.eq_ignore_ascii_case(b"na"),
        3 => cell.eq_ignore_ascii_case(b"nan") || cell.eq_ignore_ascii_case(b"n/a"),
        // C prints the sign of a NaN.
        4 => cell.eq_ignore_ascii_case(b"null") || cell.eq_ignore_ascii_case(b"-nan"),
        _ => false,
    }
}

/// The number a trimmed cell holds, if it holds one; infinite for `inf` and what overflows. Single quotes around it
/// are looked through.
pub(super) fn number(cell: &[u8]) -> Option<f64> {
    let cell = match cell {
        [b'\'', inner @ .., b'\''] => inner,
        _ => cell,
    };
    std::str::from_utf8(cell).ok()?.parse::<f64>().ok().filter(|x| !x.is_nan())
}

/// The cell for a message: quoted, and cut when it is long.
pub(super) fn shown(cell: &[u8]) -> String {
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
    fn long_cells_are_cut_in_messages() {
        assert_eq!(shown(b"ab\ncd"), "'ab cd'");
        assert_eq!(shown(&[b'x'; 100]).chars().count(), 43);
    }
}
