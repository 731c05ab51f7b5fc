//! A model as one C99 file to include: a struct of inputs, a function, and no library but the standard's.

use std::collections::HashSet;
use std::fmt::Write;

use super::scoring::{Adds, Column, Keys, Kind, Link, Scoring, number};
use crate::error::Result;

/// Levels that the comment on a field names.
const NAMED: usize = 8;

const NUMBER: &str = "\
/* Adds what a number adds; 0 where there is none to add. */
static inline int gpulogit_add_number(double *a, double x, double fill, const double *coefficients)
{
    if (isnan(x)) x = fill;
    if (!isfinite(x)) return 0;
    for (int k = 0; k < GPULOGIT_PREDICTORS; k++) a[k] += coefficients[k] * x;
    return 1;
}

";

const ADD: &str = "\
/* Adds the numbers of a level; those of no level stand behind the others, and are NAN where nothing fills the gap. */
static inline int gpulogit_add_level(double *a, const double (*adds)[GPULOGIT_PREDICTORS], long level)
{
    if (isnan(adds[level][0])) return 0;
    for (int k = 0; k < GPULOGIT_PREDICTORS; k++) a[k] += adds[level][k];
    return 1;
}

";

const NUMBER_LEVEL: &str = "\
/* The level of a number; count where it is none. */
static inline long gpulogit_number_level(double x, const double *levels, long count)
{
    long level = 0;
    while (level < count && x != levels[level]) level++;
    return level;
}

";

const TEXT_LEVEL: &str = "\
/* The level of a text, among levels in the order of their bytes; count where it is none. */
static inline long gpulogit_text_level(const char *text, const char *const *levels, long count)
{
    long low = 0, high = text ? count : 0;
    while (low < high) {
        long middle = low + (high - low) / 2;
        int order = strcmp(text, levels[middle]);
        if (order == 0) return middle;
        if (order < 0) high = middle; else low = middle + 1;
    }
    return count;
}

";

const HASH: &str = "\
/* The group of a text among 2^bits: FNV-1a, mixed by splitmix64. 2^bits where it is missing. */
static inline long gpulogit_group(const char *text, int bits)
{
    uint64_t z = UINT64_C(0xcbf29ce484222325);
    if (!text || !*text) return 1L << bits;
    for (; *text; text++) z = (z ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (long)((z ^ (z >> 31)) >> (64 - bits));
}

";

const LOGISTIC: &str = "    double e = exp(-fabs(a[0]));
    p[0] = a[0] >= 0 ? 1 / (1 + e) : e / (1 + e);
    return p[0] >= 0.5;
";

/// log σ(a), so that what is next to 0 in every class keeps its proportions.
const OVR: &str = "    for (int k = 0; k < GPULOGIT_PREDICTORS; k++) a[k] = fmin(a[k], 0) - log1p(exp(-fabs(a[k])));
";

const SOFTMAX: &str = "    int label = 0;
    double largest = a[0], sum = 0;
    for (int k = 1; k < GPULOGIT_PREDICTORS; k++) largest = fmax(largest, a[k]);
    for (int k = 0; k < GPULOGIT_PREDICTORS; k++) sum += exp(a[k] - largest);
    for (int k = 0; k < GPULOGIT_PREDICTORS; k++) {
        a[k] = a[k] - largest - log(sum);
        p[k] = exp(a[k]);
        if (a[k] > a[label]) label = k;
    }
    return label;
";

/// The file.
///
/// # Errors
/// As [`Scoring::check_keys`] and [`Scoring::check_characters`].
pub(super) fn write(scoring: &Scoring<'_>) -> Result<String> {
    scoring.check_keys("C", true)?;
    scoring.check_characters("C", |c| c == '\0')?;
    let probabilities = scoring.probabilities();
    let any = |test: fn(&Kind<'_>) -> bool| scoring.columns.iter().any(|column| test(&column.kind));
    let numbers = any(|kind| matches!(kind, Kind::Number { .. }));
    let number_levels = any(|kind| matches!(kind, Kind::Levels { keys: Keys::Numbers(_), .. }));
    let text_levels = any(|kind| matches!(kind, Kind::Levels { keys: Keys::Text, .. }));
    let hashes = any(|kind| matches!(kind, Kind::Hashed { .. }));
    let mut file = format!(
        "/* Predictions of a logistic regression trained by gpulogit {}: what `gpulogit predict` computes.\n\
         \x20*\n\
         \x20* Include this file, once in a program. Texts are UTF-8 without blanks around them. What is missing is NAN, or NULL for a\n\
         \x20* text. Dates are days since 1970-01-01.\n */\n",
        scoring.version
    );
    file += "#include <math.h>\n";
    file += if hashes { "#include <stdint.h>\n" } else { "" };
    file += if text_levels { "#include <string.h>\n" } else { "" };
    let _ = writeln!(
        file,
        "\nenum {{ GPULOGIT_PREDICTORS = {}, GPULOGIT_PROBABILITIES = {}, GPULOGIT_CLASSES = {} }};\n",
        scoring.intercepts.len(),
        probabilities.len(),
        scoring.classes.len()
    );
    let fields = fields(&scoring.columns);
    file += "/* A row, in the order of the columns. */\nstruct gpulogit_row {\n";
    for (field, column) in fields.iter().zip(&scoring.columns) {
        let _ = writeln!(file, "    {}{field}; /* {} */", kind_of(&column.kind), comment(&said_of(column)));
    }
    let classes: Vec<String> = scoring.classes.iter().map(|class| text(class)).collect();
    let _ = writeln!(
        file,
        "}};\n\n/* The labels. */\nstatic const char *const gpulogit_classes[GPULOGIT_CLASSES] = {{{}}};\n",
        classes.join(", ")
    );
    file += if numbers { NUMBER } else { "" };
    file += if number_levels || text_levels || hashes { ADD } else { "" };
    file += if number_levels { NUMBER_LEVEL } else { "" };
    file += if text_levels { TEXT_LEVEL } else { "" };
    file += if hashes { HASH } else { "" };
    let _ = writeln!(
        file,
        "/* Predicts a row: writes {}, and returns the number of its label among gpulogit_classes,\n \
         * or -1 and NAN where `gpulogit predict` leaves the cells empty (or refuses an infinite number). */\n\
         static inline int gpulogit_predict(const struct gpulogit_row *row, double p[GPULOGIT_PROBABILITIES])\n{{",
        match scoring.link {
            Link::Logistic => comment(&format!("the probability of {:?}", scoring.classes[1])),
            Link::Softmax | Link::Ovr => "the probability of each class".to_string(),
        }
    );
    let _ = writeln!(file, "    double a[GPULOGIT_PREDICTORS] = {};", list(scoring.intercepts));
    let mut calls = Vec::new();
    for (field, column) in fields.iter().zip(&scoring.columns) {
        calls.push(add(&mut file, calls.len() + 1, field, &column.kind));
    }
    let _ = writeln!(file, "    if (!({})) {{", calls.join("\n          && "));
    file += "        for (int k = 0; k < GPULOGIT_PROBABILITIES; k++) p[k] = NAN;\n        return -1;\n    }\n";
    file += match scoring.link {
        Link::Logistic => LOGISTIC,
        Link::Softmax => SOFTMAX,
        Link::Ovr => OVR,
    };
    file += if scoring.link == Link::Ovr { SOFTMAX } else { "" };
    Ok(file + "}\n")
}

/// Writes the numbers of the `n`-th column to `file` and returns the expression that adds them.
fn add(file: &mut String, n: usize, field: &str, kind: &Kind<'_>) -> String {
    match kind {
        Kind::Number { coefficients, fill, .. } => {
            let _ = writeln!(file, "    static const double slopes_{n}[] = {};", list(coefficients));
            let fill = fill.map_or("NAN".to_string(), number);
            format!("gpulogit_add_number(a, row->{field}, {fill}, slopes_{n})")
        }
        Kind::Levels { keys: Keys::Numbers(numbers), adds, .. } => {
            let _ = writeln!(file, "    static const double levels_{n}[] = {};", list(numbers));
            table(file, n, adds.of_level.iter(), adds);
            let count = numbers.len();
            format!("gpulogit_add_level(a, adds_{n}, gpulogit_number_level(row->{field}, levels_{n}, {count}))")
        }
        Kind::Levels { levels, adds, .. } => {
            let mut order: Vec<(&String, &Vec<f64>)> = levels.iter().zip(&adds.of_level).collect();
            order.sort_by_key(|(level, _)| *level);
            let texts: Vec<String> = order.iter().map(|(level, _)| text(level)).collect();
            let _ = writeln!(file, "    static const char *const levels_{n}[] = {{{}}};", texts.join(", "));
            table(file, n, order.into_iter().map(|(_, adds)| adds), adds);
            let count = levels.len();
            format!("gpulogit_add_level(a, adds_{n}, gpulogit_text_level(row->{field}, levels_{n}, {count}))")
        }
        Kind::Hashed { bits, adds } => {
            table(file, n, adds.of_level.iter(), adds);
            format!("gpulogit_add_level(a, adds_{n}, gpulogit_group(row->{field}, {bits}))")
        }
    }
}

/// The table of what the levels of the `n`-th column add, in this order, the numbers of no level last.
fn table<'a>(file: &mut String, n: usize, of_level: impl Iterator<Item = &'a Vec<f64>>, adds: &Adds) {
    let _ = writeln!(file, "    static const double adds_{n}[][GPULOGIT_PREDICTORS] = {{");
    of_level.for_each(|adds| {
        let _ = writeln!(file, "        {},", list(adds));
    });
    let missing = adds.missing.as_ref().map_or("{NAN}".to_string(), |adds| list(adds));
    let _ = writeln!(file, "        {missing}\n    }};");
}

/// The names of the struct's fields: those of the columns behind `x_`, so that they are no words of C, with `_` for what no name
/// of C may hold.
fn fields(columns: &[Column<'_>]) -> Vec<String> {
    let mut seen = HashSet::new();
    let field = |column: &Column<'_>| {
        let letters = column.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        let mut name = format!("x_{}", letters.collect::<String>());
        while !seen.insert(name.clone()) {
            name.push('_');
        }
        name
    };
    columns.iter().map(field).collect()
}

fn kind_of(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Number { .. } | Kind::Levels { keys: Keys::Numbers(_), .. } => "double ",
        Kind::Levels { .. } | Kind::Hashed { .. } => "const char *",
    }
}

/// What the comment on a field says: the name of the column, and the first of its levels.
fn said_of(column: &Column<'_>) -> String {
    let name = column.name;
    match &column.kind {
        Kind::Number { date: true, .. } => format!("{name:?}: days since 1970-01-01"),
        Kind::Number { .. } | Kind::Hashed { .. } => format!("{name:?}"),
        Kind::Levels { levels, .. } => {
            let shown: Vec<String> = levels.iter().take(NAMED).map(|level| format!("{level:?}")).collect();
            format!("{name:?}: {}{}", shown.join(", "), if levels.len() > NAMED { ", ..." } else { "" })
        }
    }
}

fn list(values: &[f64]) -> String {
    format!("{{{}}}", values.iter().map(|x| number(*x)).collect::<Vec<_>>().join(", "))
}

/// A text: ASCII that is no beginning of a trigraph, other bytes in octal, which ends after three digits.
fn text(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => literal.extend(['\\', char::from(byte)]),
            b' '..=b'~' => literal.push(char::from(byte)),
            _ => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal + "\""
}

/// Text within a comment.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace("/*", "/ *")
}
