//! Properties that hold for any table: what is written is what is read, and floats at the edges end in a proof or in words.

#[path = "common/tables.rs"]
mod tables;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use gpulogit::certificate::Status;
use gpulogit::data::{
    DataOptions, Dataset, Design, Encoding, InputColumn, MISSING_MARKS, Missing, PackOptions, Precision, ReadOptions,
    RowMajor, RowVectors, Target, load_rows, load_training,
};
use gpulogit::engine::gpu::GpuOptions;
use gpulogit::engine::{Device, DeviceRequest};
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::model::Model;
use gpulogit::monitor::Silent;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tables::{Files, arrow, columns, npy, parquet};

/// The seed of all cases: 1, or what the environment asks for.
fn seed() -> RngSeed {
    let asked = std::env::var("GPULOGIT_PROPERTIES_SEED").ok();
    RngSeed::Fixed(asked.map_or(1, |seed| seed.parse().expect("GPULOGIT_PROPERTIES_SEED is a whole number")))
}

/// Numbers of every size, and those that are easily told wrong.
fn any_finite() -> impl Strategy<Value = f64> {
    let edges =
        [0.0, -0.0, 5e-324, -f64::MIN_POSITIVE, 1e-310, f64::MAX / 8.0, 1.0 + f64::EPSILON, 2f64.powi(53) + 2.0];
    prop_oneof![
        4 => any::<f64>().prop_filter("finite", |x| x.abs() < f64::MAX / 8.0),
        2 => -1e3..1e3,
        1 => proptest::sample::select(edges.to_vec()),
    ]
}

fn design(columns: Vec<InputColumn>) -> Design {
    Design {
        columns,
        target: Target { name: Some("y".into()), classes: vec!["0".into(), "1".into()], cut: None },
        weight: None,
        offset: None,
        missing: Missing::Error,
        header: true,
    }
}

fn numeric(features: usize) -> Design {
    let column = |j| InputColumn::Numeric { name: format!("x{j}"), fill: None, date: false };
    design((0..features).map(column).collect())
}

fn rows(path: &Path, design: &Design) -> Dataset {
    let options = ReadOptions {
        pack: PackOptions { precision: Some(Precision::F64), ..PackOptions::default() },
        ..ReadOptions::default()
    };
    load_rows(&[path.to_path_buf()], design, &options, &Silent).unwrap().0.data
}

/// The values of X as they are stored, and how.
fn stored(data: &Dataset) -> Vec<u64> {
    let columns = data.columns.iter().flat_map(|column| [column.centre, column.scale]);
    let values = data.blocks.iter().map(|block| block.here().unwrap()).flat_map(|block| {
        (0..block.rows()).flat_map(move |row| (0..block.features()).map(move |j| block.value(row, j)))
    });
    columns.chain(values).map(f64::to_bits).collect()
}

/// A CSV file with a quote around every cell.
fn quoted(header: &[&str], records: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_record(header).unwrap();
    records.for_each(|record| writer.write_record(record).unwrap());
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn any_finite_number_is_the_same_in_every_format(table in prop::collection::vec([any_finite(), any_finite()], 1..20)) {
        let files = Files::new();
        let column = |j: usize| table.iter().map(move |row| row[j]);
        let array = |j: usize| -> ArrayRef { Arc::new(Float64Array::from_iter_values(column(j))) };
        let batch = columns(vec![("x0", array(0)), ("x1", array(1))]);
        let text = table.iter().map(|row| row.iter().map(f64::to_string).collect());
        let bytes: Vec<u8> = table.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        let written = [
            files.write("x.csv", quoted(&["x0", "x1"], text)),
            files.write("e.csv", table.iter().fold("x0,x1\n".into(), |all, [a, b]| format!("{all}{a:e},{b:e}\n"))),
            files.write("x.parquet", parquet(&batch, 7)),
            files.write("x.arrow", arrow(&batch, 7)),
            files.write("x.npy", npy("<f8", false, &format!("{}, 2", table.len()), &bytes)),
        ];
        let read = written.map(|path| rows(&path, &numeric(2)));
        for other in &read[1..] {
            prop_assert_eq!(stored(&read[0]), stored(other));
        }
        let block = read[0].blocks[0].here().unwrap();
        for (row, values) in table.iter().enumerate() {
            for (j, right) in values.iter().enumerate() {
                let column = &read[0].columns[j];
                let x = block.value(row, j) * column.scale + column.centre;
                let rounding = 1e-15 * (right.abs() + column.centre.abs()) + column.scale * f64::MIN_POSITIVE;
                prop_assert!((x - right).abs() <= rounding, "{x} for {right}");
            }
        }
    }

    #[test]
    fn any_text_is_a_level_as_it_stands(cells in prop::collection::vec("[^\r\0]{0,6}", 2..12)) {
        let present = |cell: &&str| !MISSING_MARKS.contains(&cell.to_ascii_lowercase().as_str());
        let trimmed: Vec<&str> = cells.iter().map(|cell| cell.trim_ascii()).collect();
        let mut levels: Vec<&str> = trimmed.iter().copied().filter(present).collect();
        levels.sort_unstable();
        levels.dedup();
        prop_assume!(!levels.is_empty() && levels.iter().any(|level| level.parse::<f64>().is_err()));
        // Both labels in rows that stay.
        let label = |row: usize| (row % 2).to_string();
        let all: Vec<String> = cells.iter().chain(&cells).cloned().collect();
        let labels: Vec<String> = (0..cells.len()).map(|_| label(0)).chain((0..cells.len()).map(|_| label(1))).collect();
        let files = Files::new();
        let records = all.iter().zip(&labels).map(|(cell, label)| vec![cell.clone(), label.clone()]);
        let array = |cells: &[String]| -> ArrayRef { Arc::new(StringArray::from_iter_values(cells)) };
        let batch = columns(vec![("c", array(&all)), ("y", array(&labels))]);
        let options = DataOptions {
            target: Some("y".into()),
            categorical: vec!["c".into()],
            encoding: Encoding::Full,
            missing: Missing::Drop,
            ..DataOptions::default()
        };
        for path in [files.write("c.csv", quoted(&["c", "y"], records)), files.write("c.parquet", parquet(&batch, 5))] {
            let training = load_training(std::slice::from_ref(&path), &options, &Silent).unwrap();
            let InputColumn::Categorical { levels: learnt, .. } = &training.design.columns[0] else { unreachable!() };
            prop_assert_eq!(learnt, &levels);
            // A model that went through JSON finds each of them.
            let json = serde_json::to_string(&training.design).unwrap();
            let data = rows(&path, &serde_json::from_str(&json).unwrap());
            let block = data.blocks[0].here().unwrap();
            for (row, cell) in trimmed.iter().chain(&trimmed).enumerate() {
                let shown = (0..levels.len()).map(|j| block.value(row, j) * data.columns[j].scale + data.columns[j].centre);
                let expected = levels.iter().map(|level| f64::from(u8::from(level == cell)));
                prop_assert!(shown.eq(expected), "{cell:?} among {levels:?}");
            }
        }
    }

    #[test]
    fn a_model_comes_out_of_its_file_bit_by_bit(beta in [any_finite(), any_finite()], intercept in any_finite()) {
        let target = [0.0, 1.0, 1.0, 0.0, 1.0];
        let data = Dataset::from_rows(&[1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 2.0, 2.0, 5.0, 0.0], 2, &target, PackOptions::default());
        let (data, options) = (data.unwrap(), FitOptions { device: DeviceRequest::Cpu, l2: 1.0, ..FitOptions::default() });
        let mut model = fit(&data, &options, &Silent).unwrap().model(&data, &numeric(2), &options, 0);
        model.coefficients.iter_mut().zip(beta).for_each(|(coefficient, beta)| coefficient.value = beta);
        model.intercept = gpulogit::model::Intercept::One(intercept);
        let files = Files::new();
        model.save(&files.path("m.json")).unwrap();
        let read = Model::load(&files.path("m.json")).unwrap();
        let bits = |model: &Model| {
            let numbers = model.coefficients.iter().map(|c| c.value).chain(model.intercept.values().iter().copied());
            numbers.map(f64::to_bits).collect::<Vec<_>>()
        };
        prop_assert_eq!(bits(&model), bits(&read));
        prop_assert_eq!(model.to_json().unwrap(), read.to_json().unwrap());
    }
}

/// A column: some numbers of one order, most of them, and now and then one that is none.
fn hostile_column(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let scale = prop_oneof![
        6 => Just(1.0),
        1 => Just(0.0),
        1 => Just(1e-310),
        1 => Just(1e-200),
        1 => Just(1e-150),
        1 => Just(1e-38),
        1 => Just(1e38),
        1 => Just(1e150),
        1 => Just(1e160),
        1 => Just(1e300),
    ];
    let values = prop::collection::vec(-4i32..=4, rows);
    let stray = prop_oneof![
        12 => Just(None),
        1 => (0..rows, proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY])).prop_map(Some),
        3 => (0..rows, any_finite()).prop_map(Some),
    ];
    let shift = prop_oneof![4 => Just(0.0), 1 => Just(1.0), 1 => Just(1e6)];
    (scale, values, stray, shift).prop_map(|(scale, values, stray, shift)| {
        let mut column: Vec<f64> = values.iter().map(|k| scale * (f64::from(*k) + shift)).collect();
        if let Some((row, value)) = stray {
            column[row] = value;
        }
        column
    })
}

fn hostile_weights(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![Just(1.0), Just(0.0), Just(1e-300), Just(5e-324), Just(1e6), Just(1e300)];
    prop_oneof![
        3 => Just(vec![1.0; rows]),
        1 => prop::collection::vec(0.25..4.0, rows),
        1 => weight.clone().prop_map(move |weight| vec![weight; rows]),
        1 => prop::collection::vec(weight, rows),
    ]
}

/// Columns, targets and weights.
fn hostile_table() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>, Vec<f64>)> {
    (6usize..24, 1usize..4).prop_flat_map(|(rows, features)| {
        let target = prop::collection::vec(prop_oneof![Just(0.0), Just(1.0)], rows);
        (prop::collection::vec(hostile_column(rows), features), target, hostile_weights(rows))
    })
}

/// The textbook's largest |∂J/∂βⱼ|/(S·sdⱼ) at the optimum of a fit, and what its own rounding may add to that.
fn slope(columns: &[Vec<f64>], target: &[f64], weight: &[f64], l2: f64, fit: &Fit) -> (f64, f64) {
    let (total, rows) = (weight.iter().sum::<f64>(), target.len());
    let share: Vec<f64> = weight.iter().map(|s| s / total).collect();
    let terms = |row: usize| columns.iter().zip(&fit.coefficients).map(move |(column, beta)| column[row] * beta);
    let residual: Vec<f64> =
        (0..rows).map(|row| 1.0 / (1.0 + (-(terms(row).sum::<f64>() + fit.intercept)).exp()) - target[row]).collect();
    let size = |row: usize| terms(row).map(f64::abs).sum::<f64>() + fit.intercept.abs();
    let rounding = (0..rows).map(|row| share[row] * size(row)).fold(0.0, f64::max) * 1e-14;
    let mut worst = (0..rows).map(|row| share[row] * residual[row]).sum::<f64>().abs();
    let mut doubt = rounding;
    for (column, beta) in columns.iter().zip(&fit.coefficients) {
        let largest = column.iter().fold(0f64, |largest, x| largest.max(x.abs()));
        let unit: Vec<f64> = column.iter().map(|x| x / largest).collect();
        let mean: f64 = (0..rows).map(|row| share[row] * unit[row]).sum();
        let sd = (0..rows).map(|row| share[row] * (unit[row] - mean).powi(2)).sum::<f64>().sqrt();
        // Where rounding leaves something of the column's spread.
        if sd > 1e-12 {
            let data: f64 = (0..rows).map(|row| share[row] * residual[row] * unit[row]).sum();
            worst = worst.max((data + l2 * beta / total / largest).abs() / sd);
            doubt = doubt.max((rounding + 1e-13) / sd);
        }
    }
    (worst, doubt)
}

/// That a fit ends in an error, or at a point and in predictions that hold; whether it converged by its slope, which plain loops confirm.
fn end_in_a_proof_or_in_words(
    columns: &[Vec<f64>],
    target: &[f64],
    weight: &[f64],
    l2: f64,
) -> Result<bool, TestCaseError> {
    let (rows, features) = (target.len(), columns.len());
    let values: Vec<f64> = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let vectors = RowVectors { target: target.to_vec().into(), weight: weight.to_vec().into(), offset: None };
    let names = (0..features).map(|j| format!("x{j}")).collect();
    let source = RowMajor { values: &values, features, rows };
    let packed = Dataset::pack(names, &source, &vectors, PackOptions::default());
    // Where a number is none that is said.
    prop_assert!(packed.is_err() || values.iter().all(|x| x.is_finite()));
    let Ok(data) = packed else { return Ok(false) };
    let options = FitOptions { device: DeviceRequest::Cpu, l2, ..FitOptions::default() };
    let Ok(fitted) = fit(&data, &options, &Silent) else { return Ok(false) };
    prop_assert!(fitted.coefficients.iter().all(|beta| beta.is_finite()) && fitted.intercept.is_finite());
    let total: f64 = weight.iter().sum();
    let proved = fitted.status == Status::Converged && fitted.stopped_by == "gradient";
    if proved && total > 1e-290 {
        let (slope, doubt) = slope(columns, target, weight, l2, &fitted);
        prop_assert!(slope <= 1.001e-8 + doubt, "slope {slope:e}, doubt {doubt:e}: {fitted:?}");
    }
    let model = fitted.model(&data, &numeric(features), &options, 0);
    let device = Device::open(&DeviceRequest::Cpu, &GpuOptions::default()).unwrap();
    let (predictors, _) = model.linear_predictors(&data, &device).unwrap();
    for a in predictors {
        let y = model.log_probabilities(&[a])[1].exp();
        prop_assert!((0.0..=1.0).contains(&y), "{y} for {a}");
    }
    Ok(proved)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn hostile_floats_end_in_a_proof_or_in_words((columns, target, weight) in hostile_table(), l2 in prop_oneof![Just(0.0), Just(1.0), Just(1e-300), Just(1e300)]) {
        end_in_a_proof_or_in_words(&columns, &target, &weight, l2)?;
    }
}

#[test]
fn columns_of_any_size_are_fitted_or_refused_in_words() {
    let target = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0];
    let plain = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let fitted = |scale: f64, l2: f64| {
        let values: Vec<f64> = plain.iter().enumerate().flat_map(|(i, x)| [x * scale, (i % 3) as f64]).collect();
        let data = Dataset::from_rows(&values, 2, &target, PackOptions::default()).unwrap();
        fit(&data, &FitOptions { device: DeviceRequest::Cpu, l2, ..FitOptions::default() }, &Silent)
    };
    let right = fitted(1.0, 0.0).unwrap();
    for scale in [1e-300, 1e-250, 1e-200, 1e-160, 1e-150, 1e150, 1e156, 1e200, 1e300] {
        let found = fitted(scale, 0.0).unwrap();
        assert!(found.status == Status::Converged && found.redundant.is_empty(), "{scale:e}: {found:?}");
        let off = (found.coefficients[0] * scale - right.coefficients[0]).abs();
        let off = off
            .max((found.coefficients[1] - right.coefficients[1]).abs())
            .max((found.intercept - right.intercept).abs());
        assert!(off <= 1e-9, "{scale:e}: off by {off:e}");
        // The penalty that is the same for numbers of this size; J has the same minimum then, but for the other column's.
        let l2 = scale.min(1e150).powi(2);
        let columns = [plain.map(|x| x * scale).to_vec()];
        if scale >= 1e-150 {
            assert!(end_in_a_proof_or_in_words(&columns, &target, &[1.0; 10], l2).unwrap(), "{scale:e}");
        }
    }
    for (scale, l2, words) in [
        (1e-309, 0.0, "feature 'x0' varies by 1e-309 only, too little for its coefficient"),
        (5e-322, 0.0, "too little for its coefficient"),
        (1e-160, 1.0, "feature 'x0' varies by 1e-160 only, too little beside the penalty l2"),
    ] {
        let message = fitted(scale, l2).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("multiply it by a power of ten"), "{message}");
    }
}

#[test]
fn a_penalty_of_a_column_whose_square_is_beyond_f64_counts() {
    let mut column = vec![1e156; 13];
    (column[4], column[11]) = (0.0, 1.000001e156);
    let target: Vec<f64> = (0..13).map(|row| f64::from(u8::from([0, 1, 2, 4].contains(&row)))).collect();
    assert!(end_in_a_proof_or_in_words(&[column], &target, &[1.0; 13], 1e300).unwrap());
}
