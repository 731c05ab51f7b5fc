//! Every number of the lesson, computed a second time from its CSV with the reference; and the document that quotes it.

use gpulogit::explain::example::{CSV, random_start};
use gpulogit::explain::{Block, Lesson, LessonOptions, Number, WIDTH, lesson};
use gpulogit::reference::{Problem, loss, residual, sigmoid};
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["w1", "w2", "b"];

/// The columns of the CSV: x (n, 2) row-major, and t.
fn columns() -> (Vec<f64>, Vec<f64>) {
    let mut lines = CSV.lines();
    assert_eq!(lines.next(), Some("hours,sheets,passed"));
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|cell| cell.parse().expect("numbers")).collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 3));
    (rows.iter().flat_map(|row| row[..2].to_vec()).collect(), rows.iter().map(|row| row[2]).collect())
}

/// The numbers of a lesson by name, as this test computes them.
#[derive(Default)]
struct Expected(BTreeMap<String, f64>);

impl Expected {
    fn put(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    fn put_all(&mut self, prefix: &str, suffix: &str, values: &[f64]) {
        for (name, value) in NAMES.iter().zip(values) {
            self.put(format!("{prefix}.{name}{suffix}"), *value);
        }
    }
}

fn plus(w: &[f64], alpha: f64, d: &[f64]) -> Vec<f64> {
    w.iter().zip(d).map(|(w, d)| w + alpha * d).collect()
}

fn largest(g: &[f64]) -> f64 {
    g.iter().fold(0.0, |largest, slope| slope.abs().max(largest))
}

/// All points of a descent with rate `eta`.
fn descend(problem: &Problem<'_>, start: &[f64], eta: f64) -> Vec<Vec<f64>> {
    let mut visits = vec![start.to_vec()];
    loop {
        let w = &visits[visits.len() - 1];
        let gradient = problem.gradient(w);
        if largest(&gradient) <= 1e-6 {
            return visits;
        }
        visits.push(plus(w, -eta, &gradient));
    }
}

fn expected(seed: u64) -> BTreeMap<String, f64> {
    let (x, t) = columns();
    let weight = vec![1.0; t.len()];
    let problem = Problem { x: &x, features: 2, target: &t, weight: &weight, offset: None, l2: 0.0, intercept: true };
    let mut e = Expected::default();
    let start = random_start(seed);
    e.put("rows", 8.0);
    e.put_all("start", "", &start);
    let mut factors = Vec::new();
    for (i, a) in problem.linear_predictor(&start).into_iter().enumerate() {
        let n = i + 1;
        e.put(format!("row.{n}.hours"), x[2 * i]);
        e.put(format!("row.{n}.sheets"), x[2 * i + 1]);
        e.put(format!("row.{n}.one"), 1.0);
        e.put(format!("row.{n}.t"), t[i]);
        e.put(format!("start.a.{n}"), a);
        e.put(format!("start.y.{n}"), sigmoid(a));
        factors.push(sigmoid(a).powf(t[i]) * (1.0 - sigmoid(a)).powf(1.0 - t[i]));
        e.put(format!("start.factor.{n}"), factors[i]);
        e.put(format!("start.loss.{n}"), -factors[i].ln());
        e.put(format!("start.residual.{n}"), residual(t[i], a));
    }
    let likelihood: f64 = factors.iter().product();
    e.put("start.L", likelihood);
    e.put("coin.L", 1.0 / 256.0);
    e.put("start.J", problem.objective(&start));
    e.put("start.exp(-J)", likelihood);
    let (mut single, mut double) = (1.0_f32, 1.0_f64);
    for count in 1..100_000 {
        let factor = factors[(count - 1) % factors.len()];
        if single > 0.0 {
            e.put("underflow.f32", count as f64);
        }
        if double > 0.0 {
            e.put("underflow.f64", count as f64);
        }
        (single, double) = (single * factor as f32, double * factor);
    }
    e.put("far.a", 40.0);
    e.put("far.loss", loss(0.0, 40.0));

    // The worked row is the fifth.
    let y = sigmoid(problem.linear_predictor(&start)[4]);
    let (by_y, by_a) = ((y - t[4]) / (y * (1.0 - y)), y * (1.0 - y));
    e.put("chain.dJ/dy", by_y);
    e.put("chain.dy/da", by_a);
    for (name, x) in NAMES.iter().zip([x[8], x[9], 1.0]) {
        e.put(format!("chain.product.{name}"), (y - t[4]) * x);
        e.put(format!("chain.short.{name}"), by_y * by_a * x);
    }
    let gradient = problem.gradient(&start);
    e.put_all("start.gradient", "", &gradient);
    e.put_all("start.gradient", ".precise", &gradient);
    e.put_all("start.measured", "", &gradient);
    e.put("nudge", 1e-5);

    let trace: f64 = x.iter().map(|x| x * x).sum::<f64>() + t.len() as f64;
    let eta = 4.0 / trace;
    e.put("trace", trace);
    e.put("eta", eta);
    e.put_all("start.delta", "", &gradient.iter().map(|g| -eta * g).collect::<Vec<_>>());
    e.put("wrong.J", problem.objective(&plus(&start, eta, &gradient)));
    e.put("flat", 1e-6);
    let visits = descend(&problem, &start, eta);
    let last = visits.len() - 1;
    for k in [0, 1, 2, 3, 10, 100, 1000, 10_000, last].into_iter().filter(|&k| k <= last) {
        e.put(format!("visit.{k}.iteration"), k as f64);
        e.put(format!("visit.{k}.J"), problem.objective(&visits[k]));
        e.put(format!("visit.{k}.slope"), largest(&problem.gradient(&visits[k])));
        e.put_all(&format!("visit.{k}"), "", &visits[k]);
    }
    let other = descend(&problem, &random_start(seed + 1), eta);
    e.put_all("other.start", "", &other[0]);
    e.put_all("other.end", "", &other[other.len() - 1]);
    e.put("other.iterations", (other.len() - 1) as f64);

    let end = &visits[last];
    e.put_all("end", "", end);
    e.put("end.J", problem.objective(end));
    e.put("end.L", (-problem.objective(end)).exp());
    for (i, a) in problem.linear_predictor(end).into_iter().enumerate() {
        e.put(format!("end.y.{}", i + 1), sigmoid(a));
    }
    e.put("sum.t", t.iter().sum());
    // Where the slope along the intercept is nearly zero.
    e.put("end.sum.y", t.iter().sum::<f64>() + problem.gradient(end)[2]);
    e.put("end.odds.w1", end[0].exp());
    e.put("end.odds.w2", end[1].exp());
    let newcomer = 3.0 * end[0] + 2.0 * end[1] + end[2];
    e.put("new.hours", 3.0);
    e.put("new.sheets", 2.0);
    e.put("new.a", newcomer);
    e.put("new.y", sigmoid(newcomer));
    for sheets in 0..3 {
        e.put(format!("end.border.{sheets}"), (-end[2] - end[1] * f64::from(sheets)) / end[0]);
    }
    e.0
}

/// What is wrong with a number: its value, or how it is printed.
fn fault(number: &Number, expected: f64) -> Option<String> {
    let places = number.text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let printed: f64 = number.text.parse().unwrap_or(f64::NAN);
    let rounding = 0.5 * 10.0_f64.powi(-(places as i32));
    let value_ok = (number.value - expected).abs() <= 1e-9 * expected.abs().max(1.0);
    let text_ok = (printed - expected).abs() <= rounding + 1e-9;
    (!(value_ok && text_ok)).then(|| format!("{number:?}, expected {expected}"))
}

/// Numbers in running text that could be results: with a point, or with two digits. Those that follow a letter
/// (`f32`) are names.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        if c.is_ascii_digit() {
            let token = rest[..digits].trim_end_matches('.');
            let signed = if before == '-' { format!("-{token}") } else { token.to_owned() };
            if token.len() >= 2 && !before.is_alphabetic() {
                found.push(signed);
            }
            before = '0';
            rest = &rest[digits..];
        } else {
            before = c;
            rest = &rest[c.len_utf8()..];
        }
    }
    found
}

/// The text of a lesson without its headings, which are counted.
fn bodies(lesson: &Lesson) -> String {
    lesson.sections.iter().flat_map(|section| &section.body).map(|block| format!("{block}\n\n")).collect()
}

/// Tokens of the text that no number of the lesson accounts for.
fn unaccounted(lesson: &Lesson) -> Vec<String> {
    let known = |token: &String| lesson.numbers.iter().any(|number| number.text == *token);
    tokens(&bodies(lesson)).into_iter().filter(|token| !known(token)).collect()
}

fn shown(seed: u64) -> Lesson {
    lesson(&LessonOptions { seed })
}

#[test]
fn every_number_is_what_the_reference_computes() {
    let mut checked = Vec::new();
    for seed in [1, 2, 77] {
        let lesson = shown(seed);
        let expected = expected(seed);
        let names: Vec<&String> = expected.keys().collect();
        let mut found: Vec<&String> = lesson.numbers.iter().map(|number| &number.name).collect();
        found.sort();
        assert_eq!(found, names, "seed {seed}: each number once, and none unchecked");
        let faults: Vec<String> =
            lesson.numbers.iter().filter_map(|number| fault(number, expected[&number.name])).collect();
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
        checked.push(lesson.numbers.len());
        // Negative controls: another value, another digit in print, NaN.
        for number in &lesson.numbers {
            let right = expected[&number.name];
            assert!(
                fault(&Number { value: number.value + 1e-6 + 1e-6 * right.abs(), ..number.clone() }, right).is_some()
            );
            assert!(fault(&Number { text: format!("1{}", number.text), ..number.clone() }, right).is_some());
            assert!(fault(&Number { value: f64::NAN, ..number.clone() }, right).is_some());
        }
    }
    assert_eq!(checked[0], 188);
    assert!(checked.iter().all(|count| count.abs_diff(188) <= 6), "{checked:?}: a line more of the descent at most");
}

#[test]
fn every_number_in_the_text_is_a_computed_one() {
    let mut lesson = shown(1);
    let text = bodies(&lesson);
    assert_eq!(unaccounted(&lesson), Vec::<String>::new());
    assert!(tokens(&text).len() > 150, "{} numbers seen", tokens(&text).len());
    let missing: Vec<&Number> = lesson.numbers.iter().filter(|number| !text.contains(&number.text)).collect();
    assert!(missing.is_empty(), "recorded and not shown: {missing:?}");
    // Negative control: a number written into the text by hand.
    lesson.sections[3].body.push(Block::Text("So J is 7.13, and f32 is a name.".into()));
    assert_eq!(unaccounted(&lesson), ["7.13"]);
}

#[test]
fn the_text_fits_a_terminal() {
    let lesson = shown(1);
    let text = lesson.to_string();
    assert!(text.lines().count() > 200);
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert_eq!(line, line.trim_end());
    }
    assert_eq!(lesson.sections.len(), 10);
    for section in &lesson.sections {
        assert!(text.contains(&format!("\n{}\n", section.heading)));
    }
}

#[test]
fn the_lesson_says_who_computes_what() {
    let lesson = shown(1);
    let read = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (mut kernels, mut hosts): (Vec<(&str, &str)>, _) = (Vec::new(), Vec::new());
    for block in lesson.sections.iter().flat_map(|section| &section.body) {
        if let Block::Code(code) = block {
            match (&code.shader, &code.function) {
                (Some(shader), Some(function)) => {
                    let stem = shader.rsplit('/').next().unwrap().trim_end_matches(".wgsl");
                    assert!(read(shader).contains(&format!("fn {stem}(")), "{shader} has that function");
                    assert!(read(&code.source).contains(&format!("fn {function}<")), "{} has {function}", code.source);
                    kernels.push((stem, function.as_str()));
                }
                _ => {
                    assert!(read(&code.source).contains("pub fn minimise("));
                    hosts.push(code.source.as_str());
                }
            }
        }
    }
    let residual = ("residual", "residual");
    let probe = ("line_probe", "line_probe");
    assert_eq!(kernels, [("logits", "logits"), residual, residual, ("loss_gradient", "gradient"), probe]);
    assert_eq!(hosts, ["src/solver/gradient_descent.rs"; 2]);
}

#[test]
fn the_lesson_serialises() {
    let lesson = shown(1);
    let json = serde_json::to_value(&lesson).expect("it serialises");
    assert_eq!(json["numbers"].as_array().map(Vec::len), Some(lesson.numbers.len()));
    assert!(lesson.numbers.iter().all(|number| number.value.is_finite()), "JSON has no infinity");
    assert_eq!(json["sections"][0]["heading"], "1. The question");
}

#[test]
fn the_tool_ends_where_the_lesson_does() {
    use gpulogit::data::{DataOptions, load_training};
    use gpulogit::engine::DeviceRequest;
    use gpulogit::fit::{FitOptions, fit};
    use gpulogit::monitor::Silent;
    use gpulogit::solver::Solver;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/lesson.csv");
    let options = DataOptions { target: Some("passed".into()), ..DataOptions::default() };
    let training = load_training(&[path], &options, &Silent).expect("the lesson's data");
    let options = FitOptions { device: DeviceRequest::Cpu, solver: Some(Solver::Gd), ..FitOptions::default() };
    let fitted = fit(&training.train, &options, &Silent).expect("a fit");
    let lesson = shown(1);
    let last =
        |name: &str| lesson.numbers.iter().find(|number| number.name == name).expect("the end of the descent").value;
    let ends = [("end.w1", fitted.coefficients[0]), ("end.w2", fitted.coefficients[1]), ("end.b", fitted.intercept)];
    for (name, value) in ends {
        assert!((last(name) - value).abs() < 1e-4, "{name}: {} {value}", last(name));
    }
}

/// The first outputs of SplitMix64 for this seed, as published on Rosetta Code.
#[test]
fn the_random_start_is_splitmix64() {
    let published = [6457827717110365317_u64, 3203168211198807973, 9817491932198370423];
    let expected = published.map(|bits| (bits >> 11) as f64 / 4503599627370496.0 - 1.0);
    assert_eq!(random_start(1234567), expected);
    assert_ne!(random_start(1234568), expected);
}

#[test]
fn the_example_ends_at_the_optimum_and_is_not_separable() {
    let (x, t) = columns();
    let problem = Problem { x: &x, features: 2, target: &t, weight: &[1.0; 8], offset: None, l2: 0.0, intercept: true };
    let lesson = shown(1);
    let end: Vec<f64> = NAMES
        .iter()
        .map(|name| lesson.numbers.iter().find(|number| number.name == format!("end.{name}")).expect("shown").value)
        .collect();
    // A tenth of the way on in any direction, J is higher: a finite optimum, as separable data has none.
    let best = problem.objective(&end);
    let mut seen = 0;
    for j in 0..3 {
        for step in [-0.1, 0.1] {
            let mut w = end.clone();
            w[j] += step;
            assert!(problem.objective(&w) > best + 1e-4);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    assert!(largest(&problem.gradient(&end)) <= 1e-6);
}

/// The document, split into what stands in ```text fences and the prose between them.
fn document(text: &str) -> (Vec<String>, String) {
    let (mut fences, mut prose) = (Vec::new(), String::new());
    for (i, part) in text.split("```").enumerate() {
        match (i % 2 == 1, part.strip_prefix("text\n")) {
            (true, Some(fence)) => fences.push(fence.trim_end().to_owned()),
            (true, None) => {}
            (false, _) => prose.push_str(part),
        }
    }
    (fences, prose)
}

fn figures(lesson: &Lesson) -> Vec<String> {
    let figure = |block: &Block| match block {
        Block::Figure(figure) => Some(figure.clone()),
        _ => None,
    };
    lesson.sections.iter().flat_map(|section| &section.body).filter_map(figure).collect()
}

#[test]
fn the_document_quotes_the_lesson() {
    let (fences, prose) = document(include_str!("../docs/derivation.md"));
    let figures = figures(&shown(1));
    for fence in &fences {
        assert!(figures.contains(fence), "not a figure of the lesson:\n{fence}");
    }
    assert_eq!(fences.len(), 13);
    assert_eq!(tokens(&prose), Vec::<String>::new(), "numbers of the document stand in its quotations only");
    // Negative controls: one digit changed, and the lesson of another seed.
    assert!(!figures.contains(&fences[1].replacen('1', "7", 1)));
    let others = self::figures(&shown(2));
    assert!(fences.iter().any(|fence| !others.contains(fence)));
}
