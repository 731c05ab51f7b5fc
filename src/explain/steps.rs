//! Steps 7 to 10: the step downhill, the descent, what the answer means, and what the tool adds.

use super::example::{Example, FLAT, Parameters, Visit, dot, largest, random_start, sigmoid, step};
use super::likelihood::parameters;
use super::writer::{Writer, factor, table};

/// The features of the student that step 9 predicts: hours, sheets, one.
const NEWCOMER: [f64; 3] = [3.0, 2.0, 1.0];

/// Writes steps 7 to 10; `start` is the first guess, drawn with `seed`.
pub(super) fn write(w: &mut Writer, example: &Example, start: &Parameters, seed: u64) {
    let rate = 4.0 / example.trace();
    downhill(w, example, start, rate);
    let answer = descent(w, example, start, rate, seed);
    meaning(w, example, &answer);
    tool(w);
}

fn downhill(w: &mut Writer, example: &Example, start: &Parameters, rate: f64) {
    w.section("One step downhill");
    w.text(
        "The gradient points uphill: it is the direction in which J rises fastest. We want J small, so we go the \
         opposite way, a little:",
    );
    w.figure("w := w + Δw,     Δw = −η·∇J");
    let trace = w.fixed("trace", example.trace(), 0);
    let rate_text = w.fixed("eta", rate, 4);
    w.text(
        "η (eta) is the learning rate: how far to go. With a tiny η the descent takes for ever. With a large one it \
         leaps across the valley and may land higher than before. A safe value is known. The curvature of J, which is \
         how fast its slope can change, is at most λ/4: λ is the most by which XᵀX can stretch a vector (its largest \
         eigenvalue), and a quarter is the largest value of y·(1−y). With η = 4/λ or less, every step lowers J. To find λ is work, but it cannot exceed \
         the sum of the squares of all entries of X (the trace of XᵀX). That is good enough for us:",
    );
    w.figure(format!("Σ x² = {trace}          η = 4 / {trace} = {rate_text}"));
    w.text("The first step, then:");
    let gradient = example.gradient(start);
    let next = step(start, &gradient, -rate);
    let old = parameters(w, "start", start);
    let new = parameters(w, "visit.1", &next);
    let mut lines = Vec::new();
    for (j, name) in ["w1", "w2", "b"].into_iter().enumerate() {
        lines.push(vec![
            ["w₁", "w₂", "b"][j].to_owned(),
            old[j].clone(),
            w.fixed(format!("start.gradient.{name}"), gradient[j], 4),
            w.fixed(format!("start.delta.{name}"), -rate * gradient[j], 4),
            new[j].clone(),
        ]);
    }
    w.figure(table(&["", "w", "∇J", "Δw = −η·∇J", "w + Δw"], &lines));
    w.text(
        "Mind the minus sign. Derivations of this rule often write w := w + Δw and then put the slope itself in place of \
         Δw. The minus is lost, and the step climbs. Try it:",
    );
    let here = w.fixed("start.J", example.objective(start), 4);
    let down = w.fixed("visit.1.J", example.objective(&next), 4);
    let up = w.fixed("wrong.J", example.objective(&step(start, &gradient, rate)), 4);
    w.figure(format!("J(w)          = {here}\nJ(w − η·∇J)   = {down}   lower\nJ(w + η·∇J)   = {up}   higher"));
    w.text(
        "A plus is right only for someone who climbs log L instead of going down J. The gradient of log L is Xᵀ(T−Y), \
         with T first: the same step, written from the other side.",
    );
    w.text(
        "And why may we begin at random? Because J is convex: it is one bowl with one bottom, and no start can get \
         caught in a second valley. (A neural network has many valleys, and its units must start out different from \
         each other; there the random start matters.) The next step tries two starts. gpulogit itself \
         begins at zero, or at random with --init random.",
    );
    w.kernel("J and its slope along w + α·Δw, for any step length α", "line_probe", "line_probe");
    w.host("w ← w + Δw", "src/solver/gradient_descent.rs");
}

/// Writes step 8 and returns the parameters it ends with.
fn descent(w: &mut Writer, example: &Example, start: &Parameters, rate: f64, seed: u64) -> Parameters {
    w.section("Until the slope is nearly zero");
    let flat = w.fixed("flat", FLAT, 6);
    w.text(format!(
        "Repeat: new residuals, new gradient, new step. Stop when none of the three slopes is larger than \
         {flat}, up or down:"
    ));
    let visits = example.descend(start, rate);
    let last = visits[visits.len() - 1];
    let mut lines = Vec::new();
    for visit in visits.iter().filter(|visit| shown(visit.iteration) || visit.iteration == last.iteration) {
        lines.push(visit_line(w, example, visit));
    }
    w.figure(table(&["step", "J", "largest slope", "w₁", "w₂", "b"], &lines));
    w.host("the loop, and when to stop", "src/solver/gradient_descent.rs");
    w.text("From another random start, drawn with the next seed, the descent ends in the same place:");
    let other = random_start(seed.wrapping_add(1));
    let other_visits = example.descend(&other, rate);
    let other_last = other_visits[other_visits.len() - 1];
    let from = parameters(w, "other.start", &other);
    let to = parameters(w, "other.end", &other_last.w);
    let count = w.count("other.iterations", other_last.iteration);
    let line = |name: &str, w: &[String; 3]| [&[name.to_owned()], &w[..]].concat();
    w.figure(table(&["step", "w₁", "w₂", "b"], &[line("0", &from), line(&count, &to)]));
    let objective = example.objective(&last.w);
    let j = w.fixed("end.J", objective, 4);
    let l = w.fixed("end.L", (-objective).exp(), 6);
    w.text(format!(
        "J is down to {j}. The likelihood has risen to e^−J = {l}. No other parameters give more: this is its maximum."
    ));
    let expected: f64 = example.linear_predictor(&last.w).into_iter().map(sigmoid).sum();
    let expected = w.fixed("end.sum.y", expected, 4);
    let passed = w.fixed("sum.t", example.t.iter().sum(), 0);
    w.text(format!(
        "A check that needs no calculus: the slope along the intercept is Σ(y−t). It is zero now, so the probabilities \
         must add up to the number of passes. They add up to {expected}, and {passed} students passed."
    ));
    last.w
}

/// Whether the table of the descent has a line for this step: 0, 1, 2, 3, and the powers of ten.
fn shown(iteration: usize) -> bool {
    iteration < 4 || 10_usize.pow(iteration.ilog10()) == iteration
}

fn visit_line(w: &mut Writer, example: &Example, visit: &Visit) -> Vec<String> {
    let point = format!("visit.{}", visit.iteration);
    let mut line = vec![
        w.count(format!("{point}.iteration"), visit.iteration),
        w.fixed(format!("{point}.J"), example.objective(&visit.w), 4),
        w.fixed(format!("{point}.slope"), largest(&example.gradient(&visit.w)), 7),
    ];
    line.extend(parameters(w, &point, &visit.w));
    line
}

fn meaning(w: &mut Writer, example: &Example, answer: &Parameters) {
    w.section("What the answer means");
    let a = example.linear_predictor(answer);
    let mut lines = Vec::new();
    for (i, x) in example.x.iter().enumerate() {
        let n = i + 1;
        lines.push(vec![
            n.to_string(),
            w.fixed(format!("row.{n}.hours"), x[0], 0),
            w.fixed(format!("row.{n}.sheets"), x[1], 0),
            w.fixed(format!("row.{n}.t"), example.t[i], 0),
            w.fixed(format!("end.y.{n}"), sigmoid(a[i]), 4),
        ]);
    }
    w.figure(table(&["row", "hours", "sheets", "passed", "y"], &lines));
    let ratios = [w.fixed("end.odds.w1", answer[0].exp(), 2), w.fixed("end.odds.w2", answer[1].exp(), 2)];
    w.text(format!(
        "The odds of passing are y / (1−y), the chance to pass against the chance to fail. They equal eᵃ. One hour more \
         adds w₁ to a, so it multiplies the odds by e^w₁ = {}. One sheet more multiplies them by e^w₂ = {}. These are \
         the odds ratios. With so few students they are rough guesses.",
        ratios[0], ratios[1]
    ));
    let [w1, w2, b] = parameters(w, "end", answer);
    let a = dot(&NEWCOMER, answer);
    let hours = w.fixed("new.hours", NEWCOMER[0], 0);
    let sheets = w.fixed("new.sheets", NEWCOMER[1], 0);
    let (a_text, y) = (w.fixed("new.a", a, 4), w.fixed("new.y", sigmoid(a), 4));
    w.text(format!("A new student with {hours} hours and {sheets} sheets:"));
    let terms = format!("{hours}·{} + {sheets}·{} + 1·{}", factor(&w1), factor(&w2), factor(&b));
    w.figure(format!("a = {terms} = {a_text}\ny = σ({a_text}) = {y}"));
    w.text(
        "Where is the border between likely to fail and likely to pass? Where y is one half, that is a = 0. Solved for \
         the hours, it is a straight line, the decision boundary:",
    );
    let mut lines = Vec::new();
    for sheets in 0..3_u8 {
        let border = -(answer[2] + answer[1] * f64::from(sheets)) / answer[0];
        lines.push(vec![sheets.to_string(), w.fixed(format!("end.border.{sheets}"), border, 2)]);
    }
    let lines = table(&["sheets", "hours needed"], &lines);
    w.figure(format!("hours = −(b + sheets·w₂) / w₁\n\n{lines}"));
}

fn tool(w: &mut Writer) {
    w.section("From the lesson to the tool");
    w.text("The same fit with gpulogit, which ends with the same parameters:");
    w.figure("gpulogit train data/lesson.csv --target passed --solver gd");
    w.text("On large data it does more than this lesson:");
    w.text(
        "• It standardises the columns. Ours made a long, narrow bowl, hence the many steps; a round bowl needs few. \
         The parameters are converted back afterwards.",
    );
    w.text(
        "• It has solvers that know the curvature, not only the slope: L-BFGS estimates it, Newton computes it (--solver \
         lbfgs, --solver newton). They often need ten steps where gradient descent needs a thousand.",
    );
    w.text(
        "• A GPU computes in f32. So the answer is checked again on the CPU in f64: the report shows how much \
         slope is left.",
    );
    w.text(
        "• It can keep the slopes small (--l2 adds ½·l2·‖w‖² to J, without the intercept). When a line does separate the \
         classes, J has no lowest point and the slopes grow without end; gpulogit notices and says so.",
    );
    w.text("The full derivation, with the curvature and the proof that J is convex, is in docs/derivation.md.");
}
