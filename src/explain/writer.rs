//! Writing a lesson: sections, figures and the record of every number in them.

use super::{Block, Code, Number, Section};

/// A lesson in the making.
#[derive(Default)]
pub(super) struct Writer {
    sections: Vec<Section>,
    numbers: Vec<Number>,
}

impl Writer {
    /// Begins the next section.
    pub(super) fn section(&mut self, heading: &str) {
        let heading = format!("{}. {heading}", self.sections.len() + 1);
        self.sections.push(Section { heading, body: Vec::new() });
    }

    fn block(&mut self, block: Block) {
        if let Some(section) = self.sections.last_mut() {
            section.body.push(block);
        }
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.block(Block::Text(text.into()));
    }

    /// Lines to be shown as they stand.
    pub(super) fn figure(&mut self, lines: impl Into<String>) {
        self.block(Block::Figure(lines.into()));
    }

    /// What computes `does`: the stem of a file below `shaders/`, and a function on the CPU.
    pub(super) fn kernel(&mut self, does: &str, shader: &str, function: &str) {
        let (shader, function) = (Some(format!("shaders/{shader}.wgsl")), Some(function.to_owned()));
        self.block(Block::Code(Code {
            does: does.into(),
            shader,
            function,
            source: "src/engine/cpu/kernels.rs".into(),
        }));
    }

    /// Which file does `does`, whatever the device.
    pub(super) fn host(&mut self, does: &str, source: &str) {
        self.block(Block::Code(Code { does: does.into(), shader: None, function: None, source: source.into() }));
    }

    fn number(&mut self, name: impl Into<String>, value: f64, text: String) -> String {
        let number = Number { name: name.into(), value, text };
        let text = number.text.clone();
        // A number that is shown twice is kept once.
        if !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
        text
    }

    /// `value` with `places` digits after the point, as it is to be printed.
    pub(super) fn fixed(&mut self, name: impl Into<String>, value: f64, places: usize) -> String {
        // What rounds to zero is printed as 0, not as −0.
        let text = format!("{value:.places$}");
        let negative_zero = text.starts_with('-') && text.trim_matches(['-', '0', '.']).is_empty();
        self.number(name, value, if negative_zero { text[1..].to_owned() } else { text })
    }

    /// A whole number.
    pub(super) fn count(&mut self, name: impl Into<String>, value: usize) -> String {
        self.number(name, value as f64, value.to_string())
    }

    /// The sections and the numbers in them.
    pub(super) fn finish(self) -> (Vec<Section>, Vec<Number>) {
        (self.sections, self.numbers)
    }
}

/// A number as a factor: in brackets when it is negative.
pub(super) fn factor(number: &str) -> String {
    if number.starts_with('-') { format!("({number})") } else { number.to_owned() }
}

/// A table with its columns aligned to the right, a line under the heads.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).fold(width(heads[column]), usize::max);
    let widths: Vec<usize> = (0..heads.len()).map(widest).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &to)| format!("{cell:>to$}"));
        padded.collect::<Vec<_>>().join("   ")
    };
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let rule = widths.iter().map(|&to| "─".repeat(to)).collect::<Vec<_>>().join("───");
    [line(&heads), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n")
}
