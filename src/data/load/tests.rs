//! Rows beyond memory are the rows within it.

use super::*;
use crate::data::Block;
use crate::monitor::Silent;

/// The rows of a table of numbers, labels and gaps, with so much memory: features, blocks and values.
fn read(text: &str, options: &DataOptions, memory: u64) -> Training {
    let options = &DataOptions { memory: Some(memory), no_cache: true, ..options.clone() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let files = Files::new(&[file.path().to_path_buf()], None, false, memory, None).unwrap();
    let opened = Opened::new(&files).unwrap();
    let wanted = plan(&opened, options).unwrap();
    let mut cache = Cache::new(None, &files, &wanted, options);
    let mut reading = opened.start(wanted, &HashMap::new(), true).unwrap();
    let Ok(intake) = Intake::read(&mut reading, options, &mut cache, &Silent) else { panic!() };
    assemble(intake, &files, Vec::new(), options, None, &Silent).unwrap()
}

/// Values in original units.
fn values(data: &Dataset) -> Vec<f64> {
    let mut values = Vec::new();
    super::super::each_block(&data.blocks, |_, block| {
        for i in 0..block.rows() {
            values.extend((0..data.features.len()).map(|j| {
                let column = data.columns[j];
                block.value(i, j) * column.scale + column.centre
            }));
        }
        Ok(())
    })
    .unwrap();
    values
}

#[test]
fn rows_that_memory_does_not_hold_are_the_same_rows() {
    let mut text = String::from("a,b,c,d,y\n");
    for i in 0..5000u32 {
        let b = if i % 17 == 3 { String::new() } else { format!("{}", f64::from(i % 100) * 0.25) };
        let c = ["u", "v", "w", ""][i as usize % 4];
        text += &format!("{},{b},{c},k{},{}\n", i % 251, i % 7, u32::from(i % 3 == 0));
    }
    let mut seen = 0;
    for missing in [Missing::Mean, Missing::Drop] {
        for holdout in [None, Some(0.2)] {
            let options = DataOptions {
                target: Some("y".into()),
                missing,
                holdout,
                pack: PackOptions { block_rows: Some(512), ..PackOptions::default() },
                ..DataOptions::default()
            };
            let held = read(&text, &options, u64::MAX);
            let read = read(&text, &options, 1000);
            assert!(held.train.blocks.iter().all(|block| block.here().is_some()));
            assert!(read.train.blocks.iter().all(|block| block.here().is_none()));
            assert_eq!((&read.design, &read.summary.notes), (&held.design, &held.summary.notes));
            assert_eq!(read.summary.filled_cells, held.summary.filled_cells);
            let parts = [(&read.train, &held.train)].into_iter();
            for (read, held) in
                parts.chain(read.holdout.iter().map(|h| &h.data).zip(held.holdout.iter().map(|h| &h.data)))
            {
                for (a, b) in values(read).iter().zip(values(held)) {
                    assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} {b}");
                    seen += 1;
                }
                let beside = |data: &Dataset| {
                    let of = |block: &Block| {
                        let vectors = block.vectors().unwrap();
                        vectors.target.iter().zip(vectors.weight.iter()).collect::<Vec<_>>()
                    };
                    data.blocks.iter().flat_map(of).collect::<Vec<_>>()
                };
                assert_eq!(beside(read), beside(held));
                for j in 0..held.features.len() {
                    let sd = |data: &Dataset| data.moments[j].sd * data.columns[j].scale;
                    assert!((sd(read) - sd(held)).abs() < 1e-6 * sd(held), "{} {}", sd(read), sd(held));
                }
            }
        }
    }
    assert!(seen > 100_000, "{seen}");
}
