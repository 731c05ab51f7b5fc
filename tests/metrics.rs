//! Metrics against scikit-learn's numbers and against their definitions, worked row by row and pair by pair; then the program.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::Desk;
use gpulogit::metrics::{Cost, Groups, Metrics, Tally};
use serde_json::{Value, json};
use tables::{arrow, batch, csv, mixed, npy, parquet};

/// Linear predictors, targets and weights.
#[derive(Debug, Clone, Default)]
struct Rows {
    a: Vec<f64>,
    t: Vec<f64>,
    s: Vec<f64>,
}

impl Rows {
    fn metrics(&self) -> Metrics {
        let cost = Cost::new(1.0, 5.0).unwrap();
        let mut tally = Tally::new(0.6).unwrap().with_cost(Some(cost));
        self.each(|a, t, s| tally.add(a, t, s).unwrap());
        tally.finish().unwrap()
    }

    fn each(&self, mut each: impl FnMut(f64, f64, f64)) {
        for ((a, t), s) in self.a.iter().zip(&self.t).zip(&self.s) {
            each(*a, *t, *s);
        }
    }

    /// Σ s·f(a, t).
    fn sum(&self, f: impl Fn(f64, f64) -> f64) -> f64 {
        let mut sum = 0.0;
        self.each(|a, t, s| sum += s * f(a, t));
        sum
    }

    /// Rows of a kind: 0 none alike, 1 a few distinct predictors, 2 those with weights, 3 with weights 0 and rare ones among them.
    fn random(rows: usize, kind: usize, seed: u64) -> Self {
        let mut uniform = uniform(seed);
        let mut all = Rows::default();
        for i in 0..rows {
            let a = 6.0 * (uniform() + uniform() - 1.0);
            let a = if kind == 0 { a } else { (2.0 * a).round() / 2.0 };
            all.a.push(a);
            // One of each class at the least.
            let one = if i < 4 { i % 2 == 0 } else { uniform() < 1.0 / (1.0 + (0.4 - 0.7 * a).exp()) };
            all.t.push(f64::from(u8::from(one)));
            all.s.push(match kind {
                2 => 0.1 + 3.0 * uniform(),
                3 if i > 3 && uniform() < 0.3 => 0.0,
                3 => 10f64.powf(6.0 * uniform() - 3.0),
                _ => 1.0,
            });
        }
        all
    }
}

fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// NaN is never near.
fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-10 * expected.abs().max(1.0)
}

/// A number of metrics by its name.
fn named(metrics: &Value, name: &str) -> f64 {
    let value = match name {
        "slope" | "intercept" | "intercept_at_slope_1" | "expected_error" => &metrics["calibration"][name],
        "se" | "low" | "high" => &metrics["roc_auc_interval"][name],
        "mean_cost" => &metrics["best_threshold"][name],
        "true_negative" | "false_positive" | "false_negative" | "true_positive" => &metrics["confusion"][name],
        _ => &metrics[name],
    };
    value.as_f64().unwrap_or_else(|| panic!("{name}: {value}"))
}

/// As `python benches/peers/metrics.py --constants` prints them (scikit-learn 1.9.1; the interval, lift, calibration error and least
/// cost by their definitions): for these rows with weights, and without.
const SCIKIT_LEARN: [(&str, f64, f64); 25] = [
    ("base_rate", 0.5192307692307693, 0.6),
    ("mean_probability", 0.46970229507336586, 0.544533944410889),
    ("log_loss", 0.5965223344346143, 0.5857606569314621),
    ("brier", 0.212045701556351, 0.2094420197782798),
    ("accuracy", 0.5961538461538461, 0.6),
    ("balanced_accuracy", 0.5977777777777777, 0.5833333333333333),
    ("precision", 0.625, 0.6666666666666666),
    ("recall", 0.5555555555555556, 0.6666666666666666),
    ("specificity", 0.64, 0.5),
    ("f1", 0.5882352941176471, 0.6666666666666666),
    ("mcc", 0.19599157740244455, 0.16666666666666666),
    ("true_negative", 4.0, 2.0),
    ("false_positive", 2.25, 2.0),
    ("false_negative", 3.0, 2.0),
    ("true_positive", 3.75, 4.0),
    ("expected_error", 0.1603019884100936, 0.2111629459506253),
    ("roc_auc", 0.7096296296296296, 0.6875),
    ("pr_auc", 0.7116402116402116, 0.7857142857142857),
    ("ks", 0.34370370370370373, 0.33333333333333337),
    ("se", 0.1903425252308737, 0.19260038267720916),
    ("low", 0.33656513545071054, 0.31001018654403784),
    ("slope", 0.8357422148022935, 0.7418694654117748),
    ("intercept", 0.22996079784261697, 0.34084933413924146),
    ("intercept_at_slope_1", 0.2619841840646592, 0.31479275534164863),
    ("mean_cost", 0.40384615384615385, 0.3),
];
const CAPTURED: [[f64; 11]; 2] = [
    [
        0.01925925925925926,
        0.0962962962962963,
        0.1925925925925926,
        0.3037037037037037,
        0.4,
        0.4962962962962963,
        0.6296296296296297,
        0.7511111111111112,
        0.8281481481481481,
        0.9051851851851852,
        0.9822222222222223,
    ],
    [
        0.016666666666666666,
        0.08333333333333333,
        0.16666666666666666,
        0.3333333333333333,
        0.3333333333333333,
        0.4444444444444444,
        0.5555555555555555,
        0.6666666666666666,
        0.8333333333333334,
        0.9166666666666666,
        1.0,
    ],
];

#[test]
fn numbers_are_those_of_scikit_learn() {
    let weighted = Rows {
        a: vec![2.0, 0.5, 0.5, -1.0, 0.5, -3.0, 1.0, -1.0, 0.0, 2.0],
        t: vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        s: vec![1.0, 2.0, 0.5, 3.0, 1.5, 1.0, 0.25, 2.0, 1.0, 0.75],
    };
    let plain = Rows { s: vec![1.0; 10], ..weighted.clone() };
    let mut seen = 0;
    for (k, rows) in [weighted, plain].iter().enumerate() {
        let metrics = rows.metrics();
        let lift = metrics.lift.as_ref().unwrap();
        assert_eq!(lift.len(), CAPTURED[k].len());
        for (lift, captured) in lift.iter().zip(CAPTURED[k]) {
            assert!(near(lift.captured, captured) && near(lift.lift, captured / lift.share), "{lift:?} {captured}");
        }
        let metrics = serde_json::to_value(metrics).unwrap();
        for (name, with, without) in SCIKIT_LEARN {
            let (found, [expected, other]) = (named(&metrics, name), [[with, without], [without, with]][k]);
            assert!(near(found, expected) && !near(found, other), "{name}: {found}, not {expected}");
            seen += 1;
        }
        assert_eq!(named(&metrics, "high"), 1.0);
    }
    assert_eq!(seen, 50);
}

/// ψ = 1, ½ or 0 for a row of class 1 above, level with or below one of class 0.
fn psi(one: f64, zero: f64) -> f64 {
    f64::from(u8::from(one > zero)) + 0.5 * f64::from(u8::from(one == zero))
}

/// The area and its standard error from all pairs.
fn delong(rows: &Rows) -> (f64, f64) {
    let of_class = |class: f64| -> Vec<(f64, f64)> {
        let mut of_class = Vec::new();
        rows.each(|a, t, s| of_class.extend((t == class && s > 0.0).then_some((a, s))));
        of_class
    };
    let (zeros, ones) = (of_class(0.0), of_class(1.0));
    let weight = |rows: &[(f64, f64)]| rows.iter().map(|(_, s)| s).sum::<f64>();
    let part = |row: f64, others: &[(f64, f64)], psi: &dyn Fn(f64, f64) -> f64| {
        others.iter().map(|(other, s)| s * psi(row, *other)).sum::<f64>() / weight(others)
    };
    let area = ones.iter().map(|(a, s)| s * part(*a, &zeros, &psi)).sum::<f64>() / weight(&ones);
    let variance = |rows: &[(f64, f64)], others: &[(f64, f64)], psi: &dyn Fn(f64, f64) -> f64| {
        let squares: f64 = rows.iter().map(|(a, s)| (s * (part(*a, others, psi) - area)).powi(2)).sum();
        squares / weight(rows).powi(2) * rows.len() as f64 / (rows.len() - 1) as f64
    };
    let (of_ones, of_zeros) = (variance(&ones, &zeros, &psi), variance(&zeros, &ones, &|zero, one| psi(one, zero)));
    (area, (of_ones + of_zeros).sqrt())
}

#[test]
fn random_rows_with_ties_and_weights_have_the_metrics_of_the_definitions() {
    let mut seen = 0;
    for (case, n) in [7, 40, 300].into_iter().flat_map(|n| (0..12).map(move |case| (case, n))) {
        let rows = Rows::random(n, case % 4, (case * 1000 + n) as u64);
        let m = rows.metrics();
        let weight = rows.sum(|_, _| 1.0);
        let of_class = [rows.sum(|_, t| 1.0 - t), rows.sum(|_, t| t)];
        // Areas, KS.
        let (area, se) = delong(&rows);
        assert!(near(m.roc_auc.unwrap(), area), "case {case}: {:?} {area}", m.roc_auc);
        match m.roc_auc_interval {
            Some(interval) => {
                assert!(near(interval.se, se), "case {case}: {interval:?} {se}");
                assert!(near(interval.low, (area - 1.959_963_984_540_054 * se).max(0.0)));
                assert!(near(interval.high, (area + 1.959_963_984_540_054 * se).min(1.0)));
            }
            None => assert!(!(area > 1e-12 && area < 1.0 - 1e-12), "case {case}: {area}"),
        }
        let above = |cut: f64, class: f64| rows.sum(|a, t| f64::from(u8::from(a >= cut && t == class)));
        let gap = |cut: &f64| (above(*cut, 1.0) / of_class[1] - above(*cut, 0.0) / of_class[0]).abs();
        assert!(near(m.ks.unwrap(), rows.a.iter().map(gap).fold(0.0, f64::max)));
        // Labels at each threshold, and the cheapest of all cuts.
        for at in &m.thresholds {
            let c = &at.confusion;
            let labelled = |class: f64| rows.sum(|a, t| f64::from(u8::from(sigmoid(a) >= c.threshold && t == class)));
            assert!(near(c.false_positive, labelled(0.0)) && near(c.true_positive, labelled(1.0)), "{c:?}");
            assert!(near(c.true_negative, of_class[0] - labelled(0.0)));
            assert!(near(at.scores.accuracy, (c.true_negative + c.true_positive) / weight));
        }
        let cost_at = |cut: f64| (above(cut, 0.0) + 5.0 * (of_class[1] - above(cut, 1.0))) / weight;
        let least = rows.a.iter().chain([&f64::INFINITY]).map(|cut| cost_at(*cut)).fold(f64::INFINITY, f64::min);
        let best = m.best_threshold.unwrap();
        assert!(near(best.mean_cost, least), "case {case}: {best:?} {least}");
        let cut = rows.a.iter().copied().filter(|a| sigmoid(*a) >= best.at.confusion.threshold);
        assert!(near(cost_at(cut.fold(f64::INFINITY, f64::min)), least), "case {case}: {best:?}");
        // Calibration: at the optimum the slopes of the loss vanish.
        let c = &m.calibration;
        let residual = |c: f64, b: f64| move |a: f64, t: f64| sigmoid(c + b * a) - t;
        if let (Some(intercept), Some(slope)) = (c.intercept, c.slope) {
            let off = residual(intercept, slope);
            assert!(rows.sum(off).abs() <= 1e-12 * weight, "case {case}: {}", rows.sum(off));
            assert!(rows.sum(|a, t| a * off(a, t)).abs() <= 1e-11 * weight);
        } else {
            assert!(m.roc_auc_interval.is_none() || n == 7, "case {case}");
        }
        assert!(rows.sum(residual(c.intercept_at_slope_1.unwrap(), 1.0)).abs() <= 1e-12 * weight);
        let mut error = 0.0;
        for bin in &c.bins {
            let within = |a: f64| f64::from(u8::from(sigmoid(a) > bin.from && sigmoid(a) <= bin.to));
            assert!(near(bin.weight, rows.sum(|a, _| within(a))));
            error += rows.sum(|a, t| within(a) * (sigmoid(a) - t)).abs() / weight;
        }
        assert!(near(c.expected_error, error));
        seen += 1;
    }
    assert_eq!(seen, 36);
}

/// Equal weights are DeLong's own formula, any unit of weights has the same interval, and rows in another order nearly the same bits.
#[test]
fn the_interval_does_not_depend_on_the_unit_of_weights_or_the_order_of_rows() {
    let rows = Rows::random(200, 2, 5);
    let interval = |rows: &Rows| rows.metrics().roc_auc_interval.unwrap();
    let scaled = Rows { s: rows.s.iter().map(|s| 1e-4 * s).collect(), ..rows.clone() };
    assert!(near(interval(&scaled).se / interval(&rows).se, 1.0));
    let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<f64>>();
    let backwards = Rows { a: reversed(&rows.a), t: reversed(&rows.t), s: reversed(&rows.s) };
    assert!(near(interval(&backwards).se, interval(&rows).se));
    // Negative control: weights matter.
    assert!(!near(interval(&Rows { s: vec![1.0; 200], ..rows.clone() }).se, interval(&rows).se));
}

/// Every number in a JSON value.
fn all_numbers(value: &Value, numbers: &mut Vec<f64>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| all_numbers(value, numbers)),
        Value::Array(values) => values.iter().for_each(|value| all_numbers(value, numbers)),
        Value::Number(number) => numbers.push(number.as_f64().unwrap()),
        _ => {}
    }
}

#[test]
fn what_one_class_or_separated_classes_do_not_define_is_null() {
    for class in [0.0, 1.0] {
        let rows = Rows { a: vec![1.0, -1.0, 0.2], t: vec![class; 3], s: vec![1.0, 2.0, 0.5] };
        let m = rows.metrics();
        let c = &m.calibration;
        assert_eq!((m.roc_auc, m.roc_auc_interval, m.pr_auc, m.ks), (None, None, None, None));
        assert_eq!(
            (m.lift.as_ref(), m.labels.mcc, c.slope, c.intercept, c.intercept_at_slope_1),
            (None, None, None, None, None)
        );
        // At 0.6 only the first row is labelled 1.
        let of_class =
            if class == 1.0 { (Some(1.0), Some(1.0 / 3.5), None) } else { (Some(0.0), None, Some(2.5 / 3.5)) };
        assert_eq!((m.labels.precision, m.labels.recall, m.labels.specificity), of_class);
        assert!(near(m.labels.balanced_accuracy, if class == 1.0 { 1.0 / 3.5 } else { 2.5 / 3.5 }));
        // Labelling all rows as what they are costs nothing.
        assert_eq!(m.best_threshold.unwrap().mean_cost, 0.0);
        let json = serde_json::to_value(&m).unwrap();
        assert!(json["calibration"]["slope"].is_null() && json["lift"].is_null() && json["mcc"].is_null());
        let mut numbers = Vec::new();
        all_numbers(&json, &mut numbers);
        assert!(numbers.len() > 100 && numbers.iter().all(|x| x.is_finite()));
    }
    // Nothing is labelled 1, and nothing is.
    let m = Rows { a: vec![-1.0, -2.0], t: vec![0.0; 2], s: vec![1.0; 2] }.metrics();
    assert_eq!((m.labels.accuracy, m.labels.precision, m.labels.f1), (1.0, None, None));
    // Separated: areas are there, no interval and no slope are.
    for sign in [1.0, -1.0] {
        let a = [-1.0, -0.5, 0.5, 2.0].map(|a: f64| sign * a).to_vec();
        let m = Rows { a, t: vec![0.0, 0.0, 1.0, 1.0], s: vec![0.3, 0.1, 0.7, 0.2] }.metrics();
        assert!(near(m.roc_auc.unwrap(), if sign > 0.0 { 1.0 } else { 0.0 }) && near(m.ks.unwrap(), 1.0));
        assert_eq!((m.roc_auc_interval, m.calibration.slope), (None, None));
        assert!(m.calibration.intercept_at_slope_1.is_some());
    }
    // One value for all rows: the intercept at slope 1 takes it to the rate.
    let m = Rows { a: vec![2.0; 4], t: vec![1.0, 0.0, 0.0, 0.0], s: vec![1.0; 4] }.metrics();
    assert_eq!((m.roc_auc, m.calibration.slope), (Some(0.5), None));
    assert!(near(m.calibration.intercept_at_slope_1.unwrap(), (1f64 / 3.0).ln() - 2.0));
    // Predictions without end, or without scale.
    let m = Rows { a: vec![f64::INFINITY, 0.0, 1.0], t: vec![1.0, 0.0, 1.0], s: vec![1.0; 3] }.metrics();
    assert_eq!((m.calibration.slope, m.calibration.intercept_at_slope_1), (None, None));
    let far = Rows { a: vec![9e3, -8e3, 7e3, -6e3, 0.0], t: vec![1.0, 0.0, 0.0, 1.0, 1.0], s: vec![1.0; 5] };
    let near_by = Rows { a: far.a.iter().map(|a| a / 1e3).collect(), ..far.clone() };
    let [far, near_by] = [far, near_by].map(|rows| rows.metrics().calibration);
    assert!(
        near(1e3 * far.slope.unwrap(), near_by.slope.unwrap())
            && near(far.intercept.unwrap(), near_by.intercept.unwrap())
    );
    assert!(far.intercept_at_slope_1.unwrap().is_finite());
}

#[test]
fn thresholds_cut_where_probabilities_differ_and_read_well() {
    let best = |a: &[f64], t: &[f64]| {
        let m = Rows { a: a.to_vec(), t: t.to_vec(), s: vec![1.0; a.len()] }.metrics();
        m.best_threshold.unwrap()
    };
    // Between σ(−1) = 0.27 and σ(1) = 0.73.
    assert_eq!(best(&[1.0, -1.0], &[1.0, 0.0]).at.confusion.threshold, 0.5);
    // Both probabilities are 1: nothing cuts between them, nor above, so both are labelled 1.
    let one = best(&[900.0, 800.0], &[0.0, 0.0]);
    assert_eq!((one.at.confusion.false_positive, one.mean_cost), (2.0, 1.0));
    // All of class 0, and all of class 1.
    assert_eq!(best(&[0.0, 1.0], &[0.0, 0.0]).at.confusion.false_positive, 0.0);
    let all = best(&[-3.0, -2.0], &[1.0, 1.0]);
    assert!(all.at.confusion.threshold <= sigmoid(-3.0) && all.mean_cost == 0.0 && all.mean_cost_before == 5.0);
    for bad in [(0.0, 1.0), (1.0, f64::INFINITY), (-1.0, 1.0), (1.0, f64::NAN)] {
        assert!(Cost::new(bad.0, bad.1).is_err());
    }
}

/// More rows than are held in memory go to one file and come back to their groups.
#[test]
fn groups_beyond_memory_are_as_if_each_were_alone() {
    let mut groups = Groups::new("g", Tally::new(0.5).unwrap());
    let mut alone: Vec<Tally> = (0..3).map(|_| Tally::new(0.5).unwrap()).collect();
    let (mut uniform, rows) = (uniform(3), 1_300_000);
    for i in 0..rows {
        // The third group is small, and in memory at times only.
        let group = if i % 1000 == 0 { 2 } else { i % 2 };
        let a = (1e5 * (uniform() - 0.4)).round() / 1e4;
        let (t, s) = (f64::from(u8::from(uniform() < sigmoid(a))), 1.0 + (i % 3) as f64);
        groups.add(["one", "two", "three"][group], |tally| tally.add(a, t, s)).unwrap();
        alone[group].add(a, t, s).unwrap();
    }
    let mut found = groups.finish().unwrap();
    assert_eq!(found.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["one", "three", "two"]);
    found.swap(1, 2);
    assert_eq!(found.iter().map(|group| group.rows).sum::<usize>(), rows);
    for (group, alone) in found.into_iter().zip(alone) {
        let (found, mut alone) = (group.metrics.unwrap(), alone.finish().unwrap());
        let [here, there] = [&found, &alone].map(|m| (m.calibration.slope.unwrap(), m.calibration.intercept.unwrap()));
        assert!(near(here.0, there.0) && near(here.1, there.1));
        assert!(near(found.calibration.intercept_at_slope_1.unwrap(), alone.calibration.intercept_at_slope_1.unwrap()));
        alone.calibration.clone_from(&found.calibration);
        // Weights are whole, so that all else has the same bits but the squares that a standard error takes.
        assert!(near(found.roc_auc_interval.unwrap().se, alone.roc_auc_interval.unwrap().se));
        alone.roc_auc_interval = found.roc_auc_interval;
        assert_eq!(found, alone);
    }
}

/// A table of two features, text with an empty level, labels and weights.
fn table(rows: usize) -> String {
    let (mut text, mut uniform) = (String::from("x,kind,part,y,w\n"), uniform(9));
    for i in 0..rows {
        let (x, kind) = (4.0 * uniform() - 2.0, ["red", "green", "blue"][(3.0 * uniform()) as usize]);
        let y = uniform() < sigmoid(1.2 * x + if kind == "red" { 0.7 } else { -0.5 });
        text += &format!("{x},{kind},{},{},{}\n", ["10", "9", ""][i % 3], if y { "yes" } else { "no" }, 1 + i % 2);
    }
    text
}

fn run(desk: &Desk, args: &str) -> desk::Ended {
    desk.run(&args.split(' ').collect::<Vec<_>>())
}

#[test]
fn the_program_tells_groups_as_if_each_were_alone_and_the_cheapest_threshold() {
    let desk = Desk::on_cpu();
    let table = table(400);
    desk.write("d.csv", &table);
    run(&desk, "train d.csv --target y --weight w --drop part --json").succeeds();
    let all = run(&desk, "evaluate model.json d.csv --json --by part --cost 1:5").succeeds();
    let groups = all["groups"]["groups"].as_array().unwrap();
    assert_eq!(all["groups"]["by"], "part");
    assert_eq!(groups.iter().map(|group| group["group"].as_str().unwrap()).collect::<Vec<_>>(), ["9", "10", ""]);
    for group in groups {
        let of_group = format!(",{},", group["group"].as_str().unwrap());
        let lines: Vec<&str> = table.lines().skip(1).filter(|line| line.contains(&of_group)).collect();
        desk.write("g.csv", format!("x,kind,part,y,w\n{}\n", lines.join("\n")));
        let alone = run(&desk, "evaluate model.json g.csv --json --cost 1:5").succeeds();
        assert!(alone["groups"].is_null() && lines.len() > 100);
        for name in
            ["log_loss", "brier", "roc_auc", "pr_auc", "ks", "mcc", "slope", "se", "mean_cost", "expected_error"]
        {
            let (here, there) = (named(&group["metrics"], name), named(&alone["metrics"], name));
            assert!(near(here, there), "{name}: {here} {there}");
        }
    }
    // Nothing else changes, and the threshold does what is said of it.
    let plain = run(&desk, "evaluate model.json d.csv --json").succeeds();
    assert!(plain["metrics"]["best_threshold"].is_null() && !all["metrics"]["best_threshold"].is_null());
    let mut without = all["metrics"].clone();
    without["best_threshold"] = Value::Null;
    assert_eq!(without, plain["metrics"]);
    let best = &all["metrics"]["best_threshold"];
    let again = run(&desk, &format!("evaluate model.json d.csv --json --threshold {}", best["threshold"])).succeeds();
    for cell in ["threshold", "true_negative", "false_positive", "false_negative", "true_positive"] {
        assert_eq!(best[cell], again["metrics"]["confusion"][cell]);
    }
    assert!(best["mean_cost"].as_f64() < best["mean_cost_before"].as_f64());

    let text = run(&desk, "evaluate model.json d.csv --by kind --cost 1:5 --tables").out;
    for part in
        ["% interval", "calibration ", "cost least at 1:5", "rows ranked highest", "by kind", "specificity", "green"]
    {
        assert!(text.contains(part), "{part:?} is missing from: {text}");
    }
    assert!(!run(&desk, "evaluate model.json d.csv").out.contains("specificity"));

    // One class alone is no error.
    let yes: Vec<&str> = table.lines().filter(|line| !line.contains(",no,")).collect();
    desk.write("yes.csv", yes.join("\n") + "\n");
    let alone = run(&desk, "evaluate model.json yes.csv --json --cost 1:5").succeeds();
    assert!(alone["metrics"]["roc_auc"].is_null() && alone["metrics"]["calibration"]["slope"].is_null());
    let text = run(&desk, "evaluate model.json yes.csv --tables --by kind").out;
    assert!(text.contains("one class only") && text.contains('–') && !text.contains("NaN"), "{text}");
}

#[test]
fn train_tells_the_same_of_rows_held_out_and_of_a_test_file() {
    let desk = Desk::on_cpu();
    desk.write("d.csv", table(600));
    desk.write("t.csv", table(90));
    let held = "train d.csv --target y --weight w --drop part --holdout 0.3 --json";
    let [with, without] =
        [run(&desk, &format!("{held} --by part --cost 1:5")), run(&desk, held)].map(|run| run.succeeds());
    assert!(without["holdout_groups"].is_null());
    for name in ["rows", "weight_sum", "log_loss", "roc_auc", "slope", "true_positive"] {
        assert!(near(named(&with["holdout"], name), named(&without["holdout"], name)), "{name}");
    }
    let groups = with["holdout_groups"]["groups"].as_array().unwrap();
    let rows = groups.iter().map(|group| group["rows"].as_u64().unwrap());
    assert_eq!((groups.len(), rows.sum::<u64>()), (3, with["holdout"]["rows"].as_u64().unwrap()));

    let test = "train d.csv --target y --weight w --drop part --test t.csv --json --by kind";
    let trained = run(&desk, test).succeeds();
    let evaluated = run(&desk, "evaluate model.json t.csv --json --by kind").succeeds();
    assert_eq!(trained["holdout_groups"], evaluated["groups"]);
    assert_eq!(trained["holdout"], evaluated["metrics"]);
}

#[test]
fn a_column_of_any_kind_in_any_format_says_the_groups() {
    let desk = Desk::on_cpu();
    let table = mixed(400);
    let rows = batch(&table, true);
    desk.write("d.csv", csv(&table));
    desk.write("d.parquet", parquet(&rows, 90));
    desk.write("d.arrow", arrow(&rows, 90));
    run(&desk, "train d.csv --target label --weight w --missing mean --json").succeeds();
    let mut seen = 0;
    for (column, values) in [("tree", 6), ("sunny", 3), ("day", 5), ("w", 8), ("label", 2)] {
        let groups = |file: &str| {
            let judged = run(&desk, &format!("evaluate model.json {file} --by {column} --json")).succeeds();
            judged["groups"]["groups"].clone()
        };
        let of_text = groups("d.csv");
        assert_eq!(of_text.as_array().unwrap().len(), values, "{column}");
        // Rows that weigh nothing are a group without metrics.
        assert_eq!(of_text[0]["metrics"].is_null(), column == "w");
        for file in ["d.parquet", "d.arrow"] {
            assert_eq!(groups(file), of_text, "{column} of {file}");
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
    desk.write("x.npy", npy("|u1", false, "40, 1", &[0u8, 1, 2, 3, 4].repeat(8)));
    desk.write("y.npy", npy("|u1", false, "40,", &[0u8, 1].repeat(20)));
    run(&desk, "train x.npy --target-file y.npy --json").succeeds();
    run(&desk, "evaluate model.json x.npy --target-file y.npy --by x0").fails(2, &["--by x0", ".npy"]);
    run(&desk, "train x.npy --target-file y.npy --holdout 0.5 --seed 1 --by x0").fails(2, &["--by x0", ".npy"]);
}

#[test]
fn more_than_two_classes_have_groups_and_no_costs() {
    let desk = Desk::on_cpu();
    let iris = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/data/iris3.csv")).unwrap();
    let mut text = String::new();
    for (i, line) in iris.lines().enumerate() {
        text += &format!("{line},{}\n", if i == 0 { "half" } else { ["a", "b"][i % 2] });
    }
    desk.write("iris.csv", text);
    run(&desk, "train iris.csv --target y --l2 1 --drop half --json").succeeds();
    let all = run(&desk, "evaluate model.json iris.csv --by half --json").succeeds();
    let groups = all["groups"]["groups"].as_array().unwrap();
    assert_eq!(groups.iter().map(|group| group["rows"].clone()).collect::<Vec<_>>(), [json!(75), json!(75)]);
    for group in groups {
        assert!(group["metrics"]["mcc"].as_f64().unwrap() > 0.8 && group["metrics"]["confusion"].is_array());
    }
    assert!(run(&desk, "evaluate model.json iris.csv --by half").out.contains("macro recall"));
    for option in ["--cost 1:5", "--tables"] {
        let name = option.split(' ').next().unwrap();
        run(&desk, &format!("evaluate model.json iris.csv {option}")).fails(2, &[name, "two classes"]);
        run(&desk, &format!("train iris.csv --target y --holdout 0.3 {option}")).fails(2, &[name, "two classes"]);
    }
}

#[test]
fn options_that_cannot_be_are_one_clear_error() {
    let desk = Desk::on_cpu();
    desk.write("d.csv", table(60));
    let numbers: String = (0..1100).map(|i| format!("{i},red,{},yes,1\n", i as f64 / 7.0)).collect();
    desk.write("many.csv", format!("x,kind,part,y,w\n{numbers}"));
    run(&desk, "train d.csv --target y --drop part --json").succeeds();
    let mut seen = 0;
    for (args, parts) in [
        ("evaluate model.json d.csv --by sort", &["--by", "'sort'", "part"][..]),
        ("evaluate model.json many.csv --by part", &["--by part", "more than 1000", "ranges"]),
        ("evaluate model.json d.csv --cost 5", &["--cost", "1:5"]),
        ("evaluate model.json d.csv --cost -1:5", &["--cost", "above 0"]),
        ("evaluate model.json d.csv --cost 1:NaN", &["--cost", "above 0"]),
        ("train d.csv --target y --by kind", &["--by", "--holdout FRACTION or --test FILE"]),
        ("train d.csv --target y --cost 1:2", &["--cost", "--holdout FRACTION or --test FILE"]),
        ("train d.csv --target y --drop part --holdout 0.5 --by sort", &["--by", "'sort'"]),
        ("train - --target y --holdout 0.5 --by kind", &["--by", "standard input"]),
    ] {
        run(&desk, args).fails(2, parts);
        seen += 1;
    }
    assert_eq!(seen, 9);
}
