//! The method, worked through on a small example: the text of `gpulogit explain` and of `docs/derivation.md`.
//!
//! Every number of the lesson is computed when it is asked for, by the plain f64 code in [`example`], and kept beside
//! the text under a name, so that a test can compute each of them in another way.

pub mod example;
mod likelihood;
mod slope;
mod steps;
mod writer;

use serde::Serialize;
use std::fmt;

/// What a lesson may vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LessonOptions {
    /// Seed of the random first guess.
    pub seed: u64,
}

impl Default for LessonOptions {
    fn default() -> Self {
        LessonOptions { seed: 1 }
    }
}

/// The lesson, as text and as numbers. `Display` gives the text, no line wider than [`WIDTH`] characters.
#[derive(Debug, Clone, Serialize)]
pub struct Lesson {
    /// What it is about.
    pub title: String,
    /// Seed of the random first guess.
    pub seed: u64,
    /// The steps, in the order they are to be read.
    pub sections: Vec<Section>,
    /// Every number that was computed for the text, once each.
    pub numbers: Vec<Number>,
}

/// One step of the lesson.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// Its heading, with its number.
    pub heading: String,
    /// What it says.
    pub body: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// A paragraph, not yet broken into lines.
    Text(String),
    /// Formulas, numbers or a table, to be shown as they stand in a fixed-width font.
    Figure(String),
    /// Where gpulogit does this.
    Code(Code),
}

/// The place in gpulogit that does a step of the lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Code {
    /// What it does, as a formula.
    pub does: String,
    /// The shader that does it on a GPU, relative to the repository.
    pub shader: Option<String>,
    /// The function that does the same on the CPU, where there is a shader.
    pub function: Option<String>,
    /// The file or folder of that function, or of the code that does it for every device.
    pub source: String,
}

/// A number of the lesson.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Number {
    /// What it is, as `start.a.3` (the linear predictor of row 3 at the first guess).
    pub name: String,
    /// Its value.
    pub value: f64,
    /// How it is printed: `value`, rounded.
    pub text: String,
}

/// The widest line of the text, in characters.
pub const WIDTH: usize = 100;

/// The lesson, computed.
pub fn lesson(options: &LessonOptions) -> Lesson {
    let example = example::Example::shipped();
    let start = example::random_start(options.seed);
    let mut writer = writer::Writer::default();
    likelihood::write(&mut writer, &example, &start);
    slope::write(&mut writer, &example, &start);
    steps::write(&mut writer, &example, &start, options.seed);
    let (sections, numbers) = writer.finish();
    Lesson { title: "Logistic regression by maximum likelihood".into(), seed: options.seed, sections, numbers }
}

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.title, "═".repeat(self.title.chars().count()))?;
        for section in &self.sections {
            writeln!(f, "\n\n{}\n{}", section.heading, "─".repeat(section.heading.chars().count()))?;
            for block in &section.body {
                writeln!(f, "\n{block}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Block {
    /// The block without a line break at its end; figures and places are indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = match self {
            Block::Text(text) => wrap(text),
            Block::Figure(figure) => figure.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect(),
            Block::Code(code) => {
                let places = match (&code.shader, &code.function) {
                    (Some(shader), Some(function)) => format!("GPU: {shader}   CPU: {function} in {}", code.source),
                    _ => code.source.clone(),
                };
                vec![format!("  → in gpulogit: {}", code.does), format!("    {places}")]
            }
        };
        f.write_str(&lines.join("\n"))
    }
}

/// A paragraph, broken between words into lines of at most [`WIDTH`] characters.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
