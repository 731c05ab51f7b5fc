//! Whether X fits the machine: a one-hot encoding may be far larger than its file.

use super::design::{Design, InputColumn};
use super::pack::{PackOptions, Precision};
use crate::error::{Error, Result};

/// What a column takes that nothing is read of: its name, and what is asked of it.
const BYTES_OF_A_COLUMN: u64 = 256;
/// What X may take where the machine does not tell how much memory is free.
const UNKNOWN: u64 = 8 << 30;

/// Bytes of memory that X may take: what Linux says is available, 8 GiB elsewhere.
pub(crate) fn available() -> u64 {
    std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_available(&text)).unwrap_or(UNKNOWN)
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Refuses a one-hot encoding that would take more than `limit` bytes; `remedy` is for the column with the most levels.
pub(super) fn check(
    design: &Design,
    rows: usize,
    pack: PackOptions,
    limit: u64,
    remedy: impl Fn(&str) -> String,
) -> Result<()> {
    let value = if pack.precision == Some(Precision::F64) { size_of::<f64>() } else { size_of::<f32>() } as u64;
    let features: usize = design.columns.iter().map(InputColumn::features).sum();
    let bytes = (features as u64).saturating_mul(rows as u64).saturating_mul(value);
    let widest = design.columns.iter().max_by_key(|column| column.features());
    match widest {
        Some(InputColumn::Categorical { name, levels, .. }) if bytes > limit => Err(Error::Usage(format!(
            "{rows} rows × {features} features × {value} bytes would take {}, more than the {} of memory there are; \
             column {name} alone has {} levels: {}",
            amount(bytes),
            amount(limit),
            levels.len(),
            remedy(name)
        ))),
        _ => Ok(()),
    }
}

/// Refuses sparse rows that would take more than `limit` bytes as dense ones.
pub(super) fn check_dense(rows: u64, columns: u64, limit: u64) -> Result<()> {
    let bytes = rows.saturating_mul(columns).saturating_mul(4);
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{rows} rows × {columns} columns × 4 bytes would take {}, more than the {} of memory there are (sparse rows are made \
         dense); choose columns with --features or --drop, or give fewer rows",
        amount(bytes),
        amount(limit)
    )))
}

/// Refuses sparse columns that would take more than `limit` bytes before a row is read.
pub(super) fn check_columns(columns: usize, limit: u64) -> Result<()> {
    let bytes = (columns as u64).saturating_mul(BYTES_OF_A_COLUMN);
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "the largest index is {columns}, and so many columns would take {} by their names alone, more than the {} of memory there \
         are; number the features anew",
        amount(bytes),
        amount(limit)
    )))
}

/// Refuses rows that are made up rather than read where they would take more than half of `limit` bytes: their values as f32,
/// and some numbers a row.
pub(crate) fn check_made_up(rows: usize, features: usize, limit: u64) -> Result<()> {
    let a_row = (features as u64).saturating_mul(4).saturating_add(32);
    let bytes = a_row.saturating_mul(rows as u64);
    if bytes <= limit / 2 {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{rows} rows × {features} features would take {}, more than half of the {} of memory there are; ask for fewer",
        amount(bytes),
        amount(limit)
    )))
}

pub(super) fn amount(bytes: u64) -> String {
    let in_units = |bits: u32| bytes as f64 / (1u64 << bits) as f64;
    match bytes {
        0..0x10_0000 => format!("{bytes} bytes"),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", in_units(20)),
        _ => format!("{:.1} GiB", in_units(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Missing, Target};
    use super::*;

    #[test]
    fn an_encoding_beyond_memory_is_refused_with_its_arithmetic() {
        let mut design = Design {
            columns: vec![InputColumn::Numeric { name: "a".into(), fill: None, date: false }],
            target: Target { name: None, classes: vec!["0".into(), "1".into()], cut: None },
            weight: None,
            offset: None,
            missing: Missing::Error,
            header: true,
        };
        let checked = |design: &Design, rows, precision| {
            let pack = PackOptions { precision, ..PackOptions::default() };
            check(design, rows, pack, 8 << 30, |name| format!("--drop {name}")).map_err(|e| e.to_string())
        };
        assert_eq!(checked(&design, usize::MAX, None), Ok(()));
        let levels = (0..100_000).map(|i| i.to_string()).collect();
        design.columns.push(InputColumn::Categorical { name: "id".into(), levels, reference: false, fill: None });
        assert_eq!(checked(&design, 20_000, None), Ok(()));
        assert!(checked(&design, 20_000, Some(Precision::F64)).is_err());
        let message = checked(&design, 1_000_000, None).unwrap_err();
        assert!(
            message.contains("1000000 rows × 100001 features × 4 bytes would take 372.5 GiB, more than the 8.0 GiB")
                && message.contains("column id alone has 100000 levels: --drop id"),
            "{message}"
        );
        assert!(checked(&design, usize::MAX, None).is_err());
    }

    #[test]
    fn sparse_rows_too_wide_to_be_dense_are_refused() {
        assert!(check_dense(1000, 10, 40_000).is_ok());
        let message = check_dense(20_000, 47_236, 1 << 30).unwrap_err().to_string();
        assert!(
            message.contains("20000 rows × 47236 columns × 4 bytes would take 3.5 GiB, more than the 1.0 GiB"),
            "{message}"
        );
        assert!(check_dense(u64::MAX, u64::MAX, u64::MAX - 1).is_err());
        assert!(check_columns(1000, 256_000).is_ok());
        let message = check_columns(10_000_000, 1 << 30).unwrap_err().to_string();
        assert!(message.contains("the largest index is 10000000, and so many columns would take 2.4 GiB"), "{message}");
    }

    #[test]
    fn made_up_rows_beyond_memory_are_refused() {
        assert!(check_made_up(1000, 10, 2 * 72_000).is_ok());
        let message = check_made_up(1001, 10, 2 * 72_000).unwrap_err().to_string();
        assert!(message.contains("1001 rows × 10 features would take 72072 bytes"), "{message}");
        assert!(check_made_up(usize::MAX, usize::MAX, u64::MAX).is_err());
    }

    #[test]
    fn available_memory_is_read() {
        assert_eq!(mem_available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(mem_available("MemTotal: 9 kB\n"), None);
        assert!(available() > 0);
    }
}
