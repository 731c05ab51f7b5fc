//! Sizes as people write them.

/// Bytes that a budget has at the least: less than the program itself needs would mean nothing.
const LEAST_MEMORY: f64 = 67_108_864.0;

/// A number of bytes as people write it: 1000, 64K, 512M, 1.5G, 2TiB; K is 1024.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is no size; write it as 512M or 8G");
    let upper = text.trim().to_ascii_uppercase();
    let number = upper.trim_end_matches('B').trim_end_matches('I');
    let (number, unit) = match number.char_indices().last().ok_or_else(bad)? {
        (at, unit) if unit.is_ascii_alphabetic() => (&number[..at], unit),
        _ => (number, ' '),
    };
    let power = [' ', 'K', 'M', 'G', 'T'].iter().position(|known| *known == unit).ok_or_else(bad)?;
    let bytes = number.trim().parse::<f64>().map_err(|_| bad())? * 1024f64.powi(power as i32);
    if (LEAST_MEMORY..1e18).contains(&bytes) {
        return Ok(bytes as u64);
    }
    Err(format!("'{text}' is too little, or more than there can be; give 64M at the least"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read: Vec<u64> =
            ["67108864", "64M", "512MB", "1.5g", "2TiB", " 64 m "].iter().filter_map(|text| parse(text).ok()).collect();
        assert_eq!(read, [64 << 20, 64 << 20, 512 << 20, 3 << 29, 2 << 40, 64 << 20]);
        let bad = ["", "M", "-5G", "5X", "1k", "nan", "1e30G", "G5"];
        assert_eq!(bad.iter().filter(|text| parse(text).is_err()).count(), bad.len());
    }
}
