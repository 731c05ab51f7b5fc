//! Text in every dialect, whole and in small pieces.

use super::super::{Cells, Kind};
use super::*;

/// Lines and cells of all rows, or the first fault.
fn rows(text: &str, no_header: bool) -> Result<Vec<(u64, Vec<String>)>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let source = Source::new(file.path());
    let mut input = Delimited::open(&source, Format::Csv, no_header)?;
    let fields = input.fields().len();
    input.start((0..fields).map(|field| Request { field, kind: Kind::Kept }).collect());
    let mut rows = Vec::new();
    while let Some(batches) = input.next()? {
        for batch in batches {
            let columns: Vec<&Vec<String>> = batch
                .columns
                .iter()
                .map(|cells| if let Cells::Kept(cells) = cells { cells } else { panic!("not text") })
                .collect();
            assert!(columns.iter().all(|column| column.len() == batch.rows));
            let row = |i: usize| columns.iter().map(|column| column[i].clone()).collect();
            rows.extend((0..batch.rows).map(|i| (batch.lines.of(i), row(i))));
            if let Some(Fault::Row { line, message }) = batch.fault {
                return Err(error_at(file.path(), line, None, message));
            }
        }
    }
    assert_eq!(source.bytes_read(), text.len() as u64);
    Ok(rows)
}

fn lines(text: &str) -> Vec<u64> {
    rows(text, false).unwrap().iter().map(|(line, _)| *line).collect()
}

#[test]
fn lines_are_counted_through_blank_lines_and_quoted_line_ends() {
    assert_eq!(lines("a,b\n1,2\n3,4"), [2, 3]);
    assert_eq!(lines("\n\na,b\n\n1,2\n  \n\n3,4\n"), [5, 8]);
    assert_eq!(lines("a,b\n\"x\ny\nz\",2\n3,4\n"), [2, 5]);
    assert_eq!(lines("a,b\r\n\"x\r\ny\",2\r\n3,4\r\n"), [2, 4]);
    assert_eq!(lines("a,b\r1,2\r\r3,4"), [2, 4]);
    let first = rows("1,2\n3,4\n", true).unwrap();
    assert_eq!(first.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2]);
    let many: String = (0..100).map(|i| format!("{i},\"{i}\n\"\r\n")).collect();
    assert_eq!(lines(&format!("a,b\n{many}")), (0..100).map(|i| 2 + 2 * i).collect::<Vec<u64>>());
}

#[test]
fn cells_lose_blanks_and_quotes_and_the_file_its_mark() {
    let read = rows("\u{feff}a, b ,c\n 1 ,\"x, \"\"y\"\"\", \"z\"\n", false).unwrap();
    assert_eq!(read, [(2, vec!["1".into(), "x, \"y\"".into(), "z".into()])]);
}

#[test]
fn a_quoted_cell_behind_a_blank_may_hold_the_delimiter() {
    let cells = |text: &str| rows(text, false).unwrap().into_iter().map(|(_, cells)| cells).collect::<Vec<_>>();
    assert_eq!(
        cells("a, \"b, c\"\n1, \"a, b\"\n  \"2\",\t\"x \"\"y\"\",\n z\" \n"),
        [["1", "a, b"], ["2", "x \"y\",\n z"]]
    );
    // Inside quotes, and behind other text, blanks and quotes are the cell's own.
    assert_eq!(cells("a,b\n\"x, \",5\" long\n"), [["x,", "5\" long"]]);
    assert_eq!(cells("a;b\n \"1;\" ; \"2\"\n"), [["1;", "2"]]);
}

#[test]
fn a_quote_left_open_is_an_error_and_a_closed_one_is_not() {
    let message = rows("a,b\n1,2\n3,\"4\n5,6\n", false).unwrap_err().to_string();
    assert!(message.contains("line 3: a quote that opens in this row is never closed"), "{message}");
    assert_eq!(rows("a,b\n3,\"4\n\"\n\n", false).unwrap().len(), 1);
}

#[test]
fn a_single_column_keeps_its_quoted_empty_cells() {
    assert_eq!(rows("a\n1\n\"\"\n\n2\n", false).unwrap().len(), 3);
}

/// Pieces are 16 bytes here: what is read of them, and what is wrong, must be that of the whole.
#[test]
fn pieces_are_read_as_the_whole_text_is() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let parts = [
        "1",
        "-2.5",
        "NA",
        "x y",
        " ",
        "\t",
        "\"q\"",
        "\"a,b\"",
        "\"c\nd\"",
        " \"e\r\n\"\"f\"",
        "5\"",
        "\"\"",
        ",",
        ",",
        ",",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\"",
        "é",
        "\"g\" h",
    ];
    let (mut read, mut refused) = (0, 0);
    for _ in 0..4000 {
        let mut text = String::from("a,b\n");
        for _ in 0..random(40) {
            // Mostly whole rows, so that many texts can be read.
            let part = |random: &mut dyn FnMut(usize) -> usize| parts[random(parts.len())];
            if random(4) > 0 {
                let cells = ["1", "-2.5", "x y", "\"a,b\"", "\"c\nd\"", " \"e\r\n\"\"f\"", "5\"", "", "\"\""];
                let ends = ["\n", "\r\n", "\n", "\n"];
                text += &format!("{},{}{}", cells[random(9)], cells[random(9)], ends[random(4)]);
            } else if random(8) == 0 {
                text += part(&mut random);
            }
        }
        let mut whole = Vec::new();
        let fault = records(text.as_bytes(), b',', false, 1, |line, record| {
            if record.len() != 2 {
                return Err(Fault::row(line, format!("found {}", record.len())));
            }
            let cells = record.iter().map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned());
            whole.push((line, cells.collect::<Vec<_>>()));
            Ok(true)
        });
        match (rows(&text, false), fault) {
            (Ok(rows), None) => {
                assert_eq!(rows, whole[1..], "{text:?}");
                read += 1;
            }
            (Err(error), Some(Fault::Row { line: Some(line), message })) => {
                let error = error.to_string();
                assert!(error.contains(&format!("line {line}: ")) && error.ends_with(&message), "{text:?}: {error}");
                refused += 1;
            }
            (rows, fault) => panic!("{text:?}: {rows:?} {fault:?}"),
        }
    }
    assert!(read > 1000 && refused > 500, "{read} read, {refused} refused");
}

#[test]
fn compressed_text_is_unpacked() {
    let text = "a,b\n1,2\n3,4\n";
    let folder = tempfile::tempdir().unwrap();
    let gz = folder.path().join("t.csv.gz");
    let mut encoder = flate2::write::GzEncoder::new(std::fs::File::create(&gz).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let zst = folder.path().join("t.csv.zst");
    std::fs::write(&zst, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    let mut seen = 0;
    for path in [gz, zst] {
        let source = Source::new(&path);
        let mut input = Delimited::open(&source, Format::Csv, false).unwrap();
        input.start(vec![Request { field: 1, kind: Kind::Number }]);
        let batches = input.next().unwrap().unwrap();
        assert!(matches!(&batches[0].columns[0], Cells::Number(values) if *values == [2.0, 4.0]));
        assert_eq!(source.bytes_read(), std::fs::metadata(&path).unwrap().len());
        // Cut anywhere, it is an error or less of the text, never a panic.
        let bytes = std::fs::read(&path).unwrap();
        for length in 4..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let opened = Delimited::open(&Source::new(&path), Format::Csv, false);
            assert!(opened.is_err(), "{length} bytes of {}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
