//! Steps 1 to 4: the question, the probability, the likelihood and its negative logarithm.

use super::example::{Example, Parameters, loss, sigmoid};
use super::writer::{Writer, factor, table};

/// Writes steps 1 to 4; `start` is the first guess.
pub(super) fn write(w: &mut Writer, example: &Example, start: &Parameters) {
    question(w, example);
    probability(w, example, start);
    likelihood(w, example, start);
    logarithm(w, example, start);
}

fn question(w: &mut Writer, example: &Example) {
    w.section("The question");
    let rows = w.count("rows", example.t.len());
    w.text(format!(
        "{rows} students sat an exam. For each we know the hours of study, the practice sheets solved, and whether the \
         exam was passed (1) or not (0). The numbers are made up. They ship with gpulogit as data/lesson.csv, and they \
         are few enough to follow every step by hand."
    ));
    let mut lines = Vec::new();
    for (i, (x, t)) in example.x.iter().zip(&example.t).enumerate() {
        let n = i + 1;
        lines.push(vec![
            n.to_string(),
            w.fixed(format!("row.{n}.hours"), x[0], 0),
            w.fixed(format!("row.{n}.sheets"), x[1], 0),
            w.fixed(format!("row.{n}.t"), *t, 0),
        ]);
    }
    w.figure(table(&["row", "hours", "sheets", "passed"], &lines));
    w.text(
        "The question: how likely is a student to pass, given the hours and the sheets? We do not ask for a yes or a \
         no. Look at rows 4 and 5: fewer hours and a pass, more hours and a failure. No straight line drawn through \
         hours and sheets puts all passes on one side. But some outcomes are more likely than others, and a \
         probability can say so.",
    );
    w.text(
        "The plan has four parts. Guess a rule. Measure how well it explains what happened. Find out which way to \
         change it. Repeat until no change helps. This is called maximum likelihood, found by gradient descent.",
    );
}

fn probability(w: &mut Writer, example: &Example, start: &Parameters) {
    w.section("From a line to a probability");
    w.text(
        "Let each feature have a number that says how much it counts: w₁ for an hour, w₂ for a sheet. Add a number b \
         that is the same for every student. The sum is called the linear predictor, a:",
    );
    w.figure("a = hours·w₁ + sheets·w₂ + b");
    w.text(
        "w₁ and w₂ are the slopes, b is the intercept. Many texts call them weights and bias. The three together are \
         the parameters, w. Nobody knows them yet, so we start from a guess, drawn at random:",
    );
    let [w1, w2, b] = parameters(w, "start", start);
    w.figure(format!("w₁ = {w1}      w₂ = {w2}      b = {b}"));
    w.text(
        "The linear predictor can be any number. A probability lies between 0 and 1. The sigmoid function σ bends the \
         one into the other. It is one half at a = 0, comes close to 1 when a is large, and close to 0 when a is far \
         below zero:",
    );
    w.figure("y = σ(a) = 1 / (1 + e^−a)");
    w.text("For the first row this is");
    let a = example.linear_predictor(start);
    let (hours, sheets) = (w.fixed("row.1.hours", example.x[0][0], 0), w.fixed("row.1.sheets", example.x[0][1], 0));
    let (a1, y1) = (w.fixed("start.a.1", a[0], 4), w.fixed("start.y.1", sigmoid(a[0]), 4));
    let terms = format!("{hours}·{} + {sheets}·{} + 1·{}", factor(&w1), factor(&w2), factor(&b));
    w.figure(format!("a = {terms} = {a1}\ny = σ({a1}) = {y1}"));
    w.text("and for all rows (numbers are rounded when they are shown, not when they are used):");
    let mut lines = Vec::new();
    for (i, x) in example.x.iter().enumerate() {
        let n = i + 1;
        lines.push(vec![
            n.to_string(),
            w.fixed(format!("row.{n}.hours"), x[0], 0),
            w.fixed(format!("row.{n}.sheets"), x[1], 0),
            w.fixed(format!("row.{n}.one"), x[2], 0),
            w.fixed(format!("start.a.{n}"), a[i], 4),
            w.fixed(format!("start.y.{n}"), sigmoid(a[i]), 4),
        ]);
    }
    w.figure(table(&["row", "hours", "sheets", "one", "a", "y"], &lines));
    w.text(
        "Why the column of ones? Because b is 1·b. With a 1 at the end of every row, the intercept is a parameter like \
         the others: a is the row times the parameters, a = x·w (also written wᵀx), and for all rows at once A = X·w. \
         Whatever we find out about a slope then holds for the intercept too, without a second derivation.",
    );
    w.kernel("a = X·w", "logits", "logits");
}

fn likelihood(w: &mut Writer, example: &Example, start: &Parameters) {
    w.section("The likelihood");
    w.text(
        "How good is the guess? Ask it this way: if the guess were right, how probable would be exactly what happened? \
         For a student who passed (t = 1) the answer is y. For one who failed (t = 0) it is 1 − y. One formula says \
         both, because anything to the power 0 is 1, so that the factor that does not apply drops out:",
    );
    w.figure("y^t · (1−y)^(1−t)");
    w.text(
        "One student's result does not change another's, so the probabilities multiply. Their product is the \
         likelihood L of the parameters. (Π means: multiply over all rows. Σ, further down, means: add over all rows.)",
    );
    let factors = factors(example, start);
    let mut shown = Vec::new();
    for (i, factor) in factors.iter().enumerate() {
        shown.push(w.fixed(format!("start.factor.{}", i + 1), *factor, 4));
    }
    let product: f64 = factors.iter().product();
    let product = w.fixed("start.L", product, 6);
    w.figure(format!("L = Π yₙ^tₙ · (1−yₙ)^(1−tₙ)\n\n  = {}\n  = {product}", shown.join(" · ")));
    let coin = w.fixed("coin.L", 0.5_f64.powi(example.t.len() as i32), 6);
    w.text(format!(
        "So under this guess, what happened had a probability of {product}. Tossing a coin for every student gives \
         {coin}. Other parameters give other values, and the best parameters are those that make L largest. That is \
         all the words maximum likelihood mean."
    ));
}

fn logarithm(w: &mut Writer, example: &Example, start: &Parameters) {
    w.section("Its negative logarithm");
    let factors = factors(example, start);
    let (single, double) = (w.count("underflow.f32", underflow_f32(&factors)), underflow_f64(&factors));
    let double = w.count("underflow.f64", double);
    w.text(format!(
        "A product of many numbers below 1 soon becomes too small for a computer. Suppose that more students came, \
         just like ours, over and over. In f32, the number format a GPU computes in, the product is exactly zero after \
         {single} students. In f64 it is zero after {double}. We want millions."
    ));
    w.text(
        "The logarithm helps (log is the natural one, which undoes eˣ). It turns the product into a sum, log(u·v) = log u + log v. And it rises when its argument \
         rises, so the parameters that were best stay best. A minus sign in front makes it a number to be made small:",
    );
    w.figure("J = −log L = −Σ [ tₙ·log yₙ + (1−tₙ)·log(1−yₙ) ]");
    w.text(
        "J is called the negative log-likelihood, the cross entropy or the log loss. Each row adds its own loss ℓ. That \
         is close to 0 where the guess found the outcome likely, and large where it found it unlikely:",
    );
    let a = example.linear_predictor(start);
    let mut lines = Vec::new();
    for (i, (&a, &t)) in a.iter().zip(&example.t).enumerate() {
        let n = i + 1;
        lines.push(vec![
            n.to_string(),
            w.fixed(format!("row.{n}.t"), t, 0),
            w.fixed(format!("start.y.{n}"), sigmoid(a), 4),
            w.fixed(format!("start.factor.{n}"), factors[i], 4),
            w.fixed(format!("start.loss.{n}"), loss(t, a), 4),
        ]);
    }
    let objective = example.objective(start);
    let j = w.fixed("start.J", objective, 4);
    lines.push(vec!["sum".into(), String::new(), String::new(), String::new(), j.clone()]);
    w.figure(table(&["row", "t", "y", "y or 1−y", "ℓ = −log"], &lines));
    let back = w.fixed("start.exp(-J)", (-objective).exp(), 6);
    w.text(format!("The sum is J = {j}. Taken back, e^−J = {back}: the likelihood from above."));
    w.text(
        "A sum also suits a GPU. Thousands of threads add up a few rows each, all at the same time, and at the end \
         their sums are added.",
    );
    let far = 40.0;
    let far_text = w.fixed("far.a", far, 0);
    let naive = -(1.0 - sigmoid(far)).ln();
    let safe = w.fixed("far.loss", loss(0.0, far), 4);
    w.text(format!(
        "One trap is left. At a = {far_text}, y rounds to exactly 1, and for a student who failed log(1−y) would be \
         the logarithm of zero. So put y = σ(a) into the formula and simplify before computing:"
    ));
    w.figure(
        "log y = a − log(1+eᵃ)          log(1−y) = −log(1+eᵃ)\n\n\
         ℓ(t,a) = log(1+eᵃ) − t·a\n       = max(a,0) − t·a + log(1 + e^−|a|)",
    );
    w.text(
        "The last line is the one to compute. Its only power of e has an exponent that is never above zero, so it \
         cannot overflow. Side by side, for t = 0:",
    );
    w.figure(format!("a = {far_text}:   −log(1−y) = {naive}      max(a,0) + log(1 + e^−|a|) = {safe}"));
    w.kernel("ℓ(t,a), and its sum over the rows", "common/residual", "residual");
}

/// The three parameters, to four places, under `point`.
pub(super) fn parameters(w: &mut Writer, point: &str, values: &Parameters) -> [String; 3] {
    let names = ["w1", "w2", "b"];
    std::array::from_fn(|j| w.fixed(format!("{point}.{}", names[j]), values[j], 4))
}

/// y^t·(1−y)^(1−t) of each row: the probability of what happened.
fn factors(example: &Example, w: &Parameters) -> Vec<f64> {
    let y = example.linear_predictor(w).into_iter().map(sigmoid);
    y.zip(&example.t).map(|(y, &t)| if t == 1.0 { y } else { 1.0 - y }).collect()
}

/// How many of the factors, repeated without end, make a product of 0 in f32.
fn underflow_f32(factors: &[f64]) -> usize {
    let mut product = 1.0_f32;
    let factors = factors.iter().cycle().map(|&factor| factor as f32);
    1 + factors.take_while(|factor| (product *= factor, product > 0.0).1).count()
}

/// The same in f64.
fn underflow_f64(factors: &[f64]) -> usize {
    let mut product = 1.0_f64;
    1 + factors.iter().cycle().take_while(|&factor| (product *= factor, product > 0.0).1).count()
}
