//! Steps 5 and 6: the chain rule for one row, and the gradient of all rows at once.

use super::example::{Example, Parameters, sigmoid};
use super::writer::{Writer, factor, table};

/// The row that step 5 works through, counted from 0.
const WORKED: usize = 4;

/// How far step 6 moves a parameter to measure a slope.
const NUDGE: f64 = 1e-5;

/// Writes steps 5 and 6; `start` is the first guess.
pub(super) fn write(w: &mut Writer, example: &Example, start: &Parameters) {
    chain_rule(w, example, start);
    all_rows(w, example, start);
}

fn chain_rule(w: &mut Writer, example: &Example, start: &Parameters) {
    w.section("The slope, by the chain rule");
    w.text(
        "Which way should the parameters change? We need the slope of J along each of them: how fast J rises when that \
         parameter rises a little and the others stay. It is written ∂J/∂w₁, ∂J/∂w₂, ∂J/∂b.",
    );
    w.text(
        "Take one row. Its share of J depends on y, y depends on a, and a depends on w. That is a chain, and along a \
         chain the slopes multiply:",
    );
    w.figure("∂J/∂w = ∂J/∂y · ∂y/∂a · ∂a/∂w");
    let (n, x, t) = (WORKED + 1, example.x[WORKED], example.t[WORKED]);
    let a = example.linear_predictor(start)[WORKED];
    let y = sigmoid(a);
    let hours = w.fixed(format!("row.{n}.hours"), x[0], 0);
    let sheets = w.fixed(format!("row.{n}.sheets"), x[1], 0);
    let one = w.fixed(format!("row.{n}.one"), x[2], 0);
    let t_text = w.fixed(format!("row.{n}.t"), t, 0);
    let (a_text, y_text) = (w.fixed(format!("start.a.{n}"), a, 4), w.fixed(format!("start.y.{n}"), y, 4));
    w.text(format!(
        "Row {n} has hours {hours}, sheets {sheets} and t = {t_text}. At our guess its a is {a_text} and its y is \
         {y_text}. Its three factors:"
    ));
    let (by_y, by_a) = (-t / y + (1.0 - t) / (1.0 - y), y * (1.0 - y));
    let (by_y_text, by_a_text) = (w.fixed("chain.dJ/dy", by_y, 4), w.fixed("chain.dy/da", by_a, 4));
    w.figure(format!(
        "∂J/∂y = −t/y + (1−t)/(1−y) = {by_y_text}\n∂y/∂a = y·(1−y)            = {by_a_text}\n\
         ∂a/∂w = x                  = ({hours}, {sheets}, {one})"
    ));
    w.text("Now something pleasant happens. Written as one fraction, the first factor has y·(1−y) below the line:");
    w.figure("∂J/∂y = (y−t) / (y·(1−y))\n\n∂J/∂y · ∂y/∂a = (y−t) / (y·(1−y)) · y·(1−y) = y − t\n\n∂J/∂w = (y−t)·x");
    w.text(
        "The slope collapses to what was predicted minus what happened, times the feature. y − t is called the \
         residual. Both ways, in numbers:",
    );
    let residual_text = w.fixed(format!("start.residual.{n}"), y - t, 4);
    let mut lines = Vec::new();
    for (j, (name, x_text)) in [("w1", &hours), ("w2", &sheets), ("b", &one)].into_iter().enumerate() {
        let chain = w.fixed(format!("chain.product.{name}"), by_y * by_a * x[j], 4);
        let short = w.fixed(format!("chain.short.{name}"), (y - t) * x[j], 4);
        lines.push(vec![
            ["∂J/∂w₁", "∂J/∂w₂", "∂J/∂b"][j].to_owned(),
            format!("{} · {by_a_text} · {x_text} = {chain}", factor(&by_y_text)),
            format!("{} · {x_text} = {short}", factor(&residual_text)),
        ]);
    }
    w.figure(table(&["", "∂J/∂y · ∂y/∂a · ∂a/∂w", "(y−t)·x"], &lines));
    w.text(
        "In words: a row pulls at a parameter by how wrong the prediction is, times how large the feature is. The short \
         form is also the safe one. For a row that is almost certain, the long one divides by almost nothing.",
    );
    w.kernel("y − t", "common/residual", "residual");
}

fn all_rows(w: &mut Writer, example: &Example, start: &Parameters) {
    w.section("All rows at once");
    w.text(
        "J is a sum over the rows, so its slope is the sum of the rows' slopes. Write the residuals below each other as \
         Y − T. Multiply by the features, feature by feature, and add. That is one product of matrices, where Xᵀ is X \
         with its rows made columns. The list of the three slopes is called the gradient, ∇J:",
    );
    let gradient = example.gradient(start);
    let names = ["w1", "w2", "b"];
    let slopes: [String; 3] = std::array::from_fn(|j| w.fixed(format!("start.gradient.{}", names[j]), gradient[j], 4));
    let mut residuals = Vec::new();
    for (i, residual) in example.residual(start).into_iter().enumerate() {
        residuals.push(w.fixed(format!("start.residual.{}", i + 1), residual, 4));
    }
    w.figure(format!("∇J = Xᵀ(Y−T)\n\n{}", product(example, &residuals, &slopes)));
    w.text(
        "The bottom row of Xᵀ is the column of ones: the intercept's slope is just the sum of the residuals. Is all of \
         this right? A slope can be measured, too. Move one parameter up and down by a small h and look at J:",
    );
    let nudge = w.fixed("nudge", NUDGE, 5);
    w.figure(format!("∂J/∂w ≈ ( J(w+h) − J(w−h) ) / 2h          h = {nudge}"));
    let mut lines = Vec::new();
    for j in 0..3 {
        let (mut up, mut down) = (*start, *start);
        up[j] += NUDGE;
        down[j] -= NUDGE;
        let measured = (example.objective(&up) - example.objective(&down)) / (2.0 * NUDGE);
        lines.push(vec![
            ["∂J/∂w₁", "∂J/∂w₂", "∂J/∂b"][j].to_owned(),
            w.fixed(format!("start.gradient.{}.precise", names[j]), gradient[j], 6),
            w.fixed(format!("start.measured.{}", names[j]), measured, 6),
        ]);
    }
    w.figure(table(&["", "Xᵀ(Y−T)", "measured"], &lines));
    w.text("The formula and the measurement agree. gpulogit's own tests put its gradient to the same check.");
    w.kernel("∇J = Xᵀ(Y−T)", "loss_gradient", "gradient");
}

/// The matrices of Xᵀ(Y−T), drawn: Xᵀ and the result three lines high, in the middle of the tall column Y−T.
fn product(example: &Example, residuals: &[String], slopes: &[String; 3]) -> String {
    let tall = residuals.len();
    let first = (tall - 3) / 2;
    let widest = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let (residual_width, slope_width) = (widest(residuals), widest(slopes));
    let mut lines = Vec::new();
    for (i, residual) in residuals.iter().enumerate() {
        let column = format!("[ {residual:>residual_width$} ]");
        let Some(j) = i.checked_sub(first).filter(|&j| j < 3) else {
            // As wide as "[ ∂J/∂w₁ ] = [ " + entries + " ] · " in the lines with entries.
            lines.push(format!("{:1$}{column}", "", 19 + 3 * tall));
            continue;
        };
        let name = ["∂J/∂w₁", "∂J/∂w₂", "∂J/∂b "][j];
        let entries: String = example.x.iter().map(|x| format!("{:3}", x[j])).collect();
        let (equals, times) = if j == 1 { ('=', '·') } else { (' ', ' ') };
        let slope = &slopes[j];
        lines.push(format!("[ {name} ] {equals} [{entries} ] {times} {column} {equals} [ {slope:>slope_width$} ]"));
    }
    lines.join("\n")
}
