//! Fits linfa's logistic regression to an X.npy and a y.npy of f4 without a penalty, and prints the seconds, the
//! coefficients and the intercept.

use std::time::Instant;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let x: Array2<f32> = ndarray_npy::read_npy(&paths[0]).expect("X.npy of f4");
    let y: Array1<f32> = ndarray_npy::read_npy(&paths[1]).expect("y.npy of f4");
    let data = Dataset::new(x, y.mapv(|y| y > 0.5));
    let start = Instant::now();
    let model = LogisticRegression::default().alpha(0.0).fit(&data).expect("a fit");
    println!("{}", start.elapsed().as_secs_f64());
    // Which class is modelled as 1 is linfa's to choose.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    println!("{}", model.params().iter().map(|b| (sign * b).to_string()).collect::<Vec<_>>().join(" "));
    println!("{}", sign * model.intercept());
}
