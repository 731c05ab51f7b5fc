use super::*;

const A: [f64; 10] = [2.0, 0.5, 0.5, -1.0, 0.5, -3.0, 1.0, -1.0, 0.0, 2.0];
const T: [f64; 10] = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
const S: [f64; 10] = [1.0, 2.0, 0.5, 3.0, 1.5, 1.0, 0.25, 2.0, 1.0, 0.75];

/// Every number of a `Metrics`; an absent area as −1.
fn numbers(metrics: &Metrics) -> Vec<f64> {
    let Confusion { true_negative, false_positive, false_negative, true_positive, .. } = metrics.confusion;
    let areas = [metrics.roc_auc, metrics.pr_auc].map(|area| area.unwrap_or(-1.0));
    let scores = [metrics.log_loss, metrics.labels.accuracy, areas[0], areas[1], metrics.brier];
    [&scores[..], &[true_negative, false_positive, false_negative, true_positive]].concat()
}

/// NaN never agrees.
fn agree(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= 1e-14 * e.abs().max(1.0))
}

/// From scikit-learn 1.9.1, with `a`, `t`, `s` as above (and s = 1 in the second case):
///
/// ```python
/// y = 1 / (1 + np.exp(-a)); p = (y >= 0.6).astype(int)
/// log_loss(t, y, sample_weight=s), accuracy_score(t, p, sample_weight=s), roc_auc_score(t, a, sample_weight=s),
/// average_precision_score(t, a, sample_weight=s), brier_score_loss(t, y, sample_weight=s),
/// confusion_matrix(t, p, sample_weight=s).ravel()
/// ```
#[test]
fn equal_scikit_learn_with_ties_and_weights() {
    let weighted = [
        0.5965223344346143,
        0.5961538461538461,
        0.7096296296296296,
        0.7116402116402116,
        0.212045701556351,
        4.0,
        2.25,
        3.0,
        3.75,
    ];
    let plain = [0.5857606569314621, 0.6, 0.6875, 0.7857142857142857, 0.2094420197782798, 2.0, 2.0, 2.0, 4.0];
    let found = numbers(&evaluate(&A, &T, &S, 0.6).unwrap());
    assert!(agree(&found, &weighted), "{found:?}");
    let found = numbers(&evaluate(&A, &T, &[1.0; 10], 0.6).unwrap());
    assert!(agree(&found, &plain), "{found:?}");
    // Negative control: the one case is not the other, in any number.
    for (left, right) in weighted.iter().zip(&plain) {
        assert!(!agree(&[*left], &[*right]));
    }
}

/// Four rows by hand. Ranked 1 0 1 0: three of the four pairs are in order; precision is 1 at recall ½ and ⅔ at
/// recall 1.
#[test]
fn equal_values_by_hand() {
    let metrics = evaluate(&[3.0, 2.0, 0.0, -1.0], &[1.0, 0.0, 1.0, 0.0], &[1.0; 4], 0.5).unwrap();
    assert_eq!(metrics.roc_auc, Some(0.75));
    assert!(agree(&[metrics.pr_auc.unwrap()], &[0.5 + 0.5 * 2.0 / 3.0]));
    // y = ½ at a = 0 reaches the threshold ½.
    let cells =
        Confusion { threshold: 0.5, true_negative: 1.0, false_positive: 1.0, false_negative: 0.0, true_positive: 2.0 };
    assert_eq!(metrics.confusion, cells);
    assert_eq!((metrics.rows, metrics.weight_sum, metrics.labels.accuracy), (4, 4.0, 0.75));
    // All tied: ½ and the share of positives.
    let tied = evaluate(&[0.0, -0.0, 0.0, 0.0], &[1.0, 0.0, 0.0, 0.0], &[1.0; 4], 0.5).unwrap();
    assert_eq!((tied.roc_auc, tied.pr_auc, tied.brier), (Some(0.5), Some(0.25), 0.25));
    assert!(agree(&[tied.log_loss], &[std::f64::consts::LN_2]));
}

#[test]
fn one_class_has_no_areas_and_says_null() {
    for t in [0.0, 1.0] {
        let metrics = evaluate(&[1.0, -1.0], &[t, t], &[1.0, 1.0], 0.5).unwrap();
        assert_eq!((metrics.roc_auc, metrics.pr_auc), (None, None));
        let json = serde_json::to_value(&metrics).unwrap();
        assert!(json["roc_auc"].is_null() && json["pr_auc"].is_null() && json["accuracy"] == 0.5, "{json}");
    }
    // A class whose rows all weigh nothing is absent.
    assert_eq!(evaluate(&[1.0, -1.0], &[1.0, 0.0], &[1.0, 0.0], 0.5).unwrap().roc_auc, None);
    assert_eq!(evaluate(&[1.0, -1.0], &[1.0, 0.0], &[1.0, 1.0], 0.5).unwrap().roc_auc, Some(1.0));
}

#[test]
fn integer_weights_are_repeated_rows_and_weight_zero_is_none() {
    let s = [1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 0.0, 2.0, 4.0, 1.0];
    let (mut a, mut t) = (Vec::new(), Vec::new());
    for i in 0..10 {
        a.extend(std::iter::repeat_n(A[i], s[i] as usize));
        t.extend(std::iter::repeat_n(T[i], s[i] as usize));
    }
    let weighted = numbers(&evaluate(&A, &T, &s, 0.5).unwrap());
    let repeated = numbers(&evaluate(&a, &t, &vec![1.0; a.len()], 0.5).unwrap());
    assert!(agree(&weighted, &repeated), "{weighted:?} {repeated:?}");
    assert!(!agree(&weighted, &numbers(&evaluate(&A, &T, &[1.0; 10], 0.5).unwrap())));
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let expected = numbers(&evaluate(&A, &T, &S, 0.6).unwrap());
    let mut seen = 0;
    for shift in 1..10 {
        let rotated = |values: &[f64; 10]| {
            let mut values = *values;
            values.rotate_left(shift);
            values.reverse();
            values
        };
        assert!(agree(&numbers(&evaluate(&rotated(&A), &rotated(&T), &rotated(&S), 0.6).unwrap()), &expected));
        // Negative control: only the predictions moved.
        assert!(!agree(&numbers(&evaluate(&rotated(&A), &T, &S, 0.6).unwrap()), &expected));
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn swapping_the_classes_mirrors_the_areas() {
    let mirrored = evaluate(&A.map(|a| -a), &T.map(|t| 1.0 - t), &S, 0.5).unwrap();
    let metrics = evaluate(&A, &T, &S, 0.5).unwrap();
    assert!(agree(&[mirrored.roc_auc.unwrap()], &[metrics.roc_auc.unwrap()]));
    assert!(agree(&[mirrored.log_loss, mirrored.brier], &[metrics.log_loss, metrics.brier]));
}

#[test]
fn far_predictions_neither_overflow_nor_tie() {
    // Both probabilities round to 1, yet the first row still ranks above the second.
    let metrics = evaluate(&[900.0, 800.0], &[1.0, 0.0], &[1.0, 1.0], 0.5).unwrap();
    assert_eq!((metrics.roc_auc, metrics.log_loss, metrics.brier), (Some(1.0), 400.0, 0.5));
    let metrics = evaluate(&[-1e4, 1e4], &[0.0, 1.0], &[1.0, 1.0], 0.5).unwrap();
    assert_eq!((metrics.log_loss, metrics.brier, metrics.labels.accuracy), (0.0, 0.0, 1.0));
    // Infinite only if truly so, and not where the row has no weight.
    let infinite = [f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(evaluate(&infinite, &[1.0, 0.0], &[1.0, 1.0], 0.5).unwrap().log_loss, 0.0);
    assert_eq!(evaluate(&infinite, &[0.0, 0.0], &[1.0, 1.0], 0.5).unwrap().log_loss, f64::INFINITY);
    assert_eq!(evaluate(&infinite, &[0.0, 0.0], &[0.0, 1.0], 0.5).unwrap().log_loss, 0.0);
}

#[test]
fn unusable_input_is_an_error() {
    let one = [1.0];
    let mut seen = 0;
    for (a, t, s, threshold) in [
        (&[f64::NAN][..], &one[..], &one[..], 0.5),
        (&one, &[0.5], &one, 0.5),
        (&one, &one, &[-1.0], 0.5),
        (&one, &one, &[f64::NAN], 0.5),
        (&one, &one, &[0.0], 0.5),
        (&one, &one, &[1.0, 1.0], 0.5),
        (&[], &[], &[], 0.5),
        (&one, &one, &one, f64::NAN),
        (&one, &one, &one, 1.5),
    ] {
        assert!(evaluate(a, t, s, threshold).is_err(), "{a:?} {t:?} {s:?} {threshold}");
        seen += 1;
    }
    assert_eq!(seen, 9);
    assert!(evaluate(&one, &one, &one, 0.5).is_ok());
}
