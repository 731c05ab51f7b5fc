//! One number a row: targets, sample weights, offsets.

use super::block::LANES;

/// One number for each row of a block, in the fewest bytes that lose nothing. Beyond the last row, up to whole groups of
/// [`LANES`], it is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct RowVector {
    rows: usize,
    numbers: Numbers,
}

#[derive(Debug, Clone, PartialEq)]
enum Numbers {
    /// The same in every row; the last group, which may hold rows that are none, apart.
    Same(f64, Box<[f64; LANES]>),
    /// Numbers that f32 holds exactly, padded.
    F32(Vec<f32>),
    /// Others, padded.
    F64(Vec<f64>),
}

/// The numbers of one group of rows.
#[derive(Debug, Clone, Copy)]
pub enum Group<'a> {
    /// The same in every row.
    Same(f64),
    /// As f32.
    F32(&'a [f32; LANES]),
    /// As f64.
    F64(&'a [f64; LANES]),
}

impl RowVector {
    /// The vector of `numbers`, one for each row.
    pub fn new(numbers: &[f64]) -> Self {
        let rows = numbers.len();
        let padded = rows.div_ceil(LANES) * LANES;
        let first = numbers.first().copied().unwrap_or(0.0);
        let numbers = if numbers.iter().all(|x| *x == first) {
            let last = rows - rows.saturating_sub(1) / LANES * LANES;
            Numbers::Same(first, Box::new(std::array::from_fn(|lane| if lane < last { first } else { 0.0 })))
        } else if numbers.iter().all(|x| f64::from(*x as f32) == *x) {
            let mut narrow: Vec<f32> = Vec::with_capacity(padded);
            narrow.extend(numbers.iter().map(|x| *x as f32));
            narrow.resize(padded, 0.0);
            Numbers::F32(narrow)
        } else {
            let mut wide = numbers.to_vec();
            wide.resize(padded, 0.0);
            Numbers::F64(wide)
        };
        RowVector { rows, numbers }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of row `row`.
    pub fn at(&self, row: usize) -> f64 {
        match &self.numbers {
            Numbers::Same(value, _) => *value,
            Numbers::F32(numbers) => f64::from(numbers[row]),
            Numbers::F64(numbers) => numbers[row],
        }
    }

    /// The numbers of all rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows).map(|row| self.at(row))
    }

    /// The numbers of group `g`.
    #[inline]
    pub fn group(&self, g: usize) -> Group<'_> {
        match &self.numbers {
            Numbers::Same(_, last) if (g + 1) * LANES >= self.rows => Group::F64(last),
            Numbers::Same(value, _) => Group::Same(*value),
            Numbers::F32(numbers) => Group::F32(&numbers.as_chunks().0[g]),
            Numbers::F64(numbers) => Group::F64(&numbers.as_chunks().0[g]),
        }
    }

    /// The numbers of the rows from `first` on, padding included, rounded to f32.
    pub fn write_f32(&self, first: usize, out: &mut [f32]) {
        let within = |row: usize| if row < self.rows { self.at(row) as f32 } else { 0.0 };
        out.iter_mut().enumerate().for_each(|(i, x)| *x = within(first + i));
    }
}

impl Group<'_> {
    /// The numbers, one for each row.
    pub fn lanes(self) -> [f64; LANES] {
        match self {
            Group::Same(value) => [value; LANES],
            Group::F32(numbers) => numbers.map(f64::from),
            Group::F64(numbers) => *numbers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_holds_the_same_numbers_and_pads_with_zeros() {
        let mut seen = 0;
        for rows in [0, 1, 31, 32, 33, 64, 70] {
            for (of, exact) in [([0.5, 0.5], true), ([0.0, 1.0], true), ([0.1, 0.2], false), ([0.1, 0.1], true)] {
                let numbers: Vec<f64> = (0..rows).map(|i| of[i % 2]).collect();
                let vector = RowVector::new(&numbers);
                assert_eq!(vector.rows(), rows);
                assert_eq!(vector.iter().collect::<Vec<f64>>(), numbers);
                let lanes: Vec<f64> = (0..rows.div_ceil(LANES)).flat_map(|g| vector.group(g).lanes()).collect();
                assert_eq!(lanes[..rows], numbers);
                assert!(lanes[rows..].iter().all(|x| *x == 0.0), "{rows} rows of {of:?}: {lanes:?}");
                let mut narrow = vec![7f32; lanes.len()];
                vector.write_f32(0, &mut narrow);
                assert!(narrow.iter().zip(&lanes).all(|(narrow, wide)| *narrow == *wide as f32));
                let is_wide = matches!(vector.numbers, Numbers::F64(_));
                assert_eq!(is_wide, !exact && rows > 1, "{rows} rows of {of:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 28);
    }
}
