//! A number that tells one set of training rows from another.

use rayon::prelude::*;

use super::{Dataset, each_block, hash};
use crate::error::Result;

/// 64 bits of everything that a fit sees of `data`: the features' names, how each column is stored, and of each row the stored values of X,
/// target, weight and offset. They are the same for any number of threads, size of blocks and place of the rows, and change with the
/// order of rows or columns. They tell accidents, not forgeries.
///
/// With `mix` of [`hash`], a name's bits those of [`hash::of_bytes`] and a number's those of an f64 (0 for −0):
///
/// ```text
/// columns  h ← mix(h, bits) over the name, centre and scale of each column in order, from the number of columns
/// row i    hᵢ ← mix(hᵢ, bits) over its p stored values, target, weight and offset (0 without one), from mix(h, i)
/// data     mix(h, n + Σ hᵢ)                                                                        all modulo 2⁶⁴
/// ```
///
/// # Errors
/// What reading rows that memory does not hold fails with.
pub fn fingerprint(data: &Dataset) -> Result<u64> {
    let bits = |number: f64| (number + 0.0).to_bits();
    let mut columns = data.features.len() as u64;
    for (name, column) in data.features.iter().zip(&data.columns) {
        for part in [hash::of_bytes(name.bytes()), bits(column.centre), bits(column.scale)] {
            columns = hash::mix(columns, part);
        }
    }
    let (mut first, mut sum) = (0u64, 0u64);
    each_block(&data.blocks, |_, block| {
        let of_row = |row: usize| {
            let vectors = block.vectors();
            let offset = vectors.offset.as_ref().map_or(0.0, |offset| offset.at(row));
            let beside = [vectors.target.at(row), vectors.weight.at(row), offset].map(bits);
            let start = hash::mix(columns, first + row as u64);
            let values = (0..block.features()).map(|feature| bits(block.value(row, feature)));
            values.chain(beside).fold(start, hash::mix)
        };
        let of_block: u64 = (0..block.rows()).into_par_iter().map(of_row).reduce(|| 0, u64::wrapping_add);
        sum = sum.wrapping_add(of_block);
        first += block.rows() as u64;
        Ok(())
    })?;
    Ok(hash::mix(columns, sum.wrapping_add(first)))
}

#[cfg(test)]
mod tests {
    use super::super::{PackOptions, RowMajor, RowVectors};
    use super::*;

    #[derive(Clone)]
    struct Table {
        names: [&'static str; 2],
        x: Vec<f64>,
        target: Vec<f64>,
        weight: Vec<f64>,
        offset: Option<Vec<f64>>,
    }

    fn of(table: &Table, block_rows: Option<usize>) -> u64 {
        let vectors = RowVectors {
            target: table.target.clone().into(),
            weight: table.weight.clone().into(),
            offset: table.offset.clone().map(Into::into),
        };
        let source = RowMajor { values: &table.x, features: 2, rows: table.target.len() };
        let options = PackOptions { block_rows, ..PackOptions::default() };
        let data = Dataset::pack(table.names.map(str::to_owned).to_vec(), &source, &vectors, options).unwrap();
        fingerprint(&data).unwrap()
    }

    #[test]
    fn it_tells_every_part_and_not_how_rows_are_held() {
        let rows = 500;
        let number = |i: usize| (hash::mix(3, i as u64) % 1000) as f64 / 8.0;
        let table = Table {
            names: ["a", "b"],
            x: (0..2 * rows).map(number).collect(),
            target: (0..rows).map(|i| (i % 2) as f64).collect(),
            weight: vec![1.0; rows],
            offset: None,
        };
        let known = of(&table, None);
        assert_eq!(of(&table, Some(64)), known);
        let few = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(few.install(|| of(&table, Some(96))), known);
        // An offset of 0 everywhere is none, and −0 is 0.
        assert_eq!(of(&Table { offset: Some(vec![-0.0; rows]), ..table.clone() }, None), known);
        let changes: [fn(&mut Table); 7] = [
            |table| table.names.swap(0, 1),
            |table| table.x[401] += 0.125,
            |table| table.x.swap(0, 3),
            |table| table.target[7] = 0.0,
            |table| table.weight[499] = 2.0,
            |table| table.offset = Some((0..500).map(|i| f64::from(u8::from(i == 3))).collect()),
            |table| {
                table.x.truncate(998);
                table.target.pop();
                table.weight.pop();
            },
        ];
        let mut seen = vec![known];
        for change in changes {
            let mut other = table.clone();
            change(&mut other);
            seen.push(of(&other, None));
        }
        // Two rows that change places.
        let mut swapped = table.clone();
        (0..2).for_each(|j| swapped.x.swap(j, 4 + j));
        seen.push(of(&swapped, None));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 9);
    }
}
