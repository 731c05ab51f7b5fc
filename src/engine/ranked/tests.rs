use std::sync::Arc;

use super::{SharedFolds, dismiss, serve};
use crate::data::{Dataset, PackOptions, Precision, hash};
use crate::engine::cpu::{ColumnMap, Curvature, Host, RowSample};
use crate::engine::gpu::GpuOptions;
use crate::engine::{Batch, Device, DeviceRequest, Draw, DrawnRows, Engine, LossSlope, Params};
use crate::error::{Error, Result};
use crate::ranks::{Team, Traffic, threads};

const FEATURES: usize = 3;

/// Values far from zero, the more so the later the row, and targets.
fn rows(n: usize) -> (Vec<f64>, Vec<f64>) {
    let number = |seed, i: usize| hash::unit_interval(seed, i as u64);
    let value = |i: usize, j: usize| number(j as u64, i) * (j + 1) as f64 + (i / 700) as f64 * 40.0;
    let values = (0..n).flat_map(|i| (0..FEATURES).map(move |j| value(i, j))).collect();
    (values, (0..n).map(|i| f64::from(u8::from(number(9, i) > 0.4))).collect())
}

/// The rows from `from` to `to`.
fn dataset(n: usize, from: usize, to: usize) -> Dataset {
    let (values, target) = rows(n);
    Dataset::from_rows(&values[from * FEATURES..to * FEATURES], FEATURES, &target[from..to], PackOptions::default())
        .unwrap()
}

/// Where the rows of a rank begin: parts are uneven, and of three ranks and more the second has none.
fn cut(n: usize, rank: usize, ranks: usize) -> usize {
    match rank {
        1 | 2 if ranks > 2 => n / 5,
        rank => n * rank * rank / (ranks * ranks),
    }
}

/// What `work` makes on rank 0 of `n` rows that `ranks` ranks share, and what went between them.
fn on_ranks<T: Send>(ranks: usize, n: usize, work: impl Fn(&Dataset) -> T + Sync) -> (T, Traffic) {
    let all = threads::run(ranks, |team: Arc<Team>| {
        let here = dataset(n, cut(n, team.rank(), ranks), cut(n, team.rank() + 1, ranks));
        let whole = here.spread_over(&team).unwrap();
        if !team.leads() {
            serve(&whole, &DeviceRequest::Cpu, &GpuOptions::default()).unwrap();
            return None;
        }
        let before = team.traffic();
        let made = work(&whole);
        let after = team.traffic();
        dismiss(&team).unwrap();
        let traffic = Traffic {
            reductions: after.reductions - before.reductions,
            reduced_bytes: after.reduced_bytes - before.reduced_bytes,
            ..after
        };
        Some((made, traffic))
    });
    all.into_iter().flatten().next().unwrap()
}

fn engine(data: &Dataset) -> Box<dyn Engine + '_> {
    Device::open(&DeviceRequest::Cpu, &GpuOptions::default()).unwrap().hold(data, 1).unwrap().0
}

/// Parameters that mean the same whatever units `data` is stored in.
fn params(data: &Dataset, beta: &[f64]) -> Params {
    Params::single(data.in_stored_units(&beta[..FEATURES], beta[FEATURES]))
}

/// The slopes on the original columns of a gradient in stored units.
fn original(data: &Dataset, gradient: &[f64]) -> Vec<f64> {
    let ones = gradient[FEATURES];
    let slope = |j: usize| data.columns[j].scale * gradient[j] + data.columns[j].centre * ones;
    (0..FEATURES).map(slope).chain([ones]).collect()
}

fn near(a: &[f64], b: &[f64], size: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-11 * size)
}

/// Loss, slopes, a line's losses and slopes, a batch and a softmax's loss at some points.
fn answers(data: &Dataset) -> Vec<f64> {
    let points = [[0.1, -0.2, 0.05, 0.3], [0.02, 0.1, -0.07, -0.1]].map(|beta| params(data, &beta));
    let mut engine = engine(data);
    let first = engine.loss_gradient(&points[0]).unwrap();
    engine.keep(first.point).unwrap();
    let second = engine.loss_gradient(&points[1]).unwrap();
    let line = engine.start_line(first.point, second.point).unwrap();
    let mut all = Vec::new();
    for at in [&first, &second] {
        all.push(at.loss[0]);
        all.extend(original(data, at.gradient.model(0)));
    }
    all.extend(
        engine.probe(line, &[0.0, 0.5, 1.0]).unwrap().iter().flatten().flat_map(|p: &LossSlope| [p.loss, p.slope]),
    );
    // Batches are in f32.
    let batch = Batch { w: &points[1], draws: &[Draw::All], rows: DrawnRows::all(&[]) };
    let sums = engine.loss_gradients(&batch).unwrap();
    assert!((sums[0].loss / second.loss[0] - 1.0).abs() < 1e-5, "{sums:?}");
    all
}

#[test]
fn the_sums_of_all_ranks_are_those_of_one_process() {
    let one = answers(&dataset(2000, 0, 2000));
    let size = one.iter().fold(0f64, |most, x| most.max(x.abs()));
    let mut seen = 0;
    for ranks in 1..=5 {
        let (all, _) = on_ranks(ranks, 2000, answers);
        assert!(near(&one, &all, size), "{ranks}: {one:?} {all:?}");
        // The same bits every time.
        assert_eq!(all, on_ranks(ranks, 2000, answers).0);
        seen += 1;
    }
    assert_eq!(seen, 5);
    // Negative control: other rows.
    assert!(!near(&one, &answers(&dataset(2000, 1, 2000)), size));
}

#[test]
fn what_the_host_asks_of_all_ranks_is_what_one_process_finds() {
    let found = |data: &Dataset| -> Vec<f64> {
        let host = Host::new(data);
        let map = ColumnMap {
            features: vec![0, 2],
            factor: [0, 2].map(|j: usize| data.columns[j].scale).to_vec(),
            shift: [0, 2].map(|j: usize| data.columns[j].centre).to_vec(),
            intercept: true,
        };
        let w = data.in_stored_units(&[0.1, -0.2, 0.05], 0.3);
        let rows: Vec<f64> = (0..data.rows).map(|i| (i % 3) as f64).collect();
        let mut all = Vec::new();
        for curvature in [Curvature::Gram, Curvature::At(&w), Curvature::Scores(&w), Curvature::Rows(&rows)] {
            let h = host.hessian(&map, curvature, RowSample::All, Precision::F64).unwrap();
            all.extend((0..3).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| h[(i, j)]));
        }
        let products = host.products(&w, &w).unwrap();
        all.extend(products.iter().map(|(value, _)| value));
        all.extend(original(data, &host.transposed_products(&rows).unwrap()));
        all.extend(host.vectors().unwrap().into_iter().flat_map(|(t, s)| [t, s]));
        let (counted, fractions) = host.counts().unwrap();
        let weights = host.weight_sums(&[Draw::All], DrawnRows::all(&[])).unwrap()[0].classes;
        all.extend([counted as f64, fractions as f64, weights[0], weights[1]]);
        let m = data.moments.iter().zip(&data.columns);
        all.extend(m.flat_map(|(m, c)| [c.scale * m.mean + c.centre, c.scale * m.sd, c.scale * m.max + c.centre]));
        all
    };
    let one = found(&dataset(1500, 0, 1500));
    let size = one.iter().fold(0f64, |most, x| most.max(x.abs()));
    let mut seen = 0;
    for ranks in 2..=4 {
        let (all, _) = on_ranks(ranks, 1500, found);
        assert!(near(&one, &all, size), "{ranks} ranks");
        seen += 1;
    }
    assert_eq!((seen, one.len() > 4000), (3, true));
    assert!(!near(&one, &found(&dataset(1500, 0, 1499)), size));
}

#[test]
fn models_of_drawn_rows_are_those_of_one_process() {
    let of_rows = |shift: usize| -> Vec<u8> { (0..1500).map(|i| ((i * i + shift) % 3) as u8).collect() };
    let found = |data: &Dataset, folds: &[u8]| -> Vec<f64> {
        let (host, rows) = (Host::new(data), DrawnRows::all(folds));
        let draws = [Draw::Without(1), Draw::Poisson { seed: 3, replicate: 8 }, Draw::Without(0)];
        // Ranks that were not told the folds are not asked about them.
        let untold = host.weight_sums(&draws, rows);
        assert_eq!(untold.is_err(), data.spread.is_some());
        let shared = SharedFolds::new(data, folds).unwrap();
        let _again = SharedFolds::new(data, folds).unwrap();
        let mut w = Params::zeros(FEATURES, 3);
        let betas = [[0.1, -0.2, 0.05, 0.3], [0.02, 0.1, -0.07, -0.1], [-0.01, 0.03, 0.02, 0.0]];
        for (k, beta) in betas.iter().enumerate() {
            w.model_mut(k).copy_from_slice(params(data, beta).model(0));
        }
        let mut all = Vec::new();
        let sums = host.engine().unwrap().loss_gradients(&Batch { w: &w, draws: &draws, rows }).unwrap();
        for sums in &sums {
            all.extend([sums.loss, sums.loss_left_out]);
            all.extend(original(data, &sums.gradient));
        }
        all.extend(host.weight_sums(&draws, rows).unwrap().iter().flat_map(|s| [s.classes, s.left_out]).flatten());
        let map = ColumnMap {
            features: vec![0, 2],
            factor: [0, 2].map(|j: usize| data.columns[j].scale).to_vec(),
            shift: [0, 2].map(|j: usize| data.columns[j].centre).to_vec(),
            intercept: true,
        };
        for draw in [Draw::Without(2), draws[1]] {
            let drawn = Curvature::Drawn(w.model(0), draw, rows);
            let h = host.hessian(&map, drawn, RowSample::All, Precision::F64).unwrap();
            all.extend((0..3).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| h[(i, j)]));
        }
        host.each_row_of_folds(&w, folds, |fold, a, t, s| {
            all.extend([fold as f64, a, t, s]);
            Ok(())
        })
        .unwrap();
        drop(shared);
        assert_eq!(host.weight_sums(&draws, rows).is_err(), data.spread.is_some());
        all
    };
    let folds = of_rows(0);
    let one = found(&dataset(1500, 0, 1500), &folds);
    let size = one.iter().fold(0f64, |most, x| most.max(x.abs()));
    let mut seen = 0;
    for ranks in 1..=4 {
        let (all, _) = on_ranks(ranks, 1500, |data| found(data, &folds));
        assert!(near(&one, &all, size), "{ranks} ranks");
        seen += 1;
    }
    assert_eq!((seen, one.len() > 6000), (4, true));
    // Negative control: other folds, in which there are as many rows.
    assert!(!near(&one, &found(&dataset(1500, 0, 1500), &of_rows(1)), size));
}

#[test]
fn folds_are_sent_once_and_a_pass_without_one_is_one_sum() {
    let mut bytes = Vec::new();
    for n in [300, 1200, 4800] {
        let work = |data: &Dataset| {
            let folds: Vec<u8> = (0..n).map(|i| (i % 2) as u8).collect();
            let _shared = SharedFolds::new(data, &folds).unwrap();
            let mut engine = engine(data);
            for k in 0..5 {
                let w = Params::single(vec![f64::from(k) * 0.01, 0.0, 0.0, 0.0]);
                let batch = Batch { w: &w, draws: &[Draw::Without(1)], rows: DrawnRows::all(&folds) };
                engine.loss_gradients(&batch).unwrap();
            }
        };
        let traffic = on_ranks(3, n, work).1;
        assert_eq!(traffic.reductions, 5);
        bytes.push(traffic.reduced_bytes);
    }
    // Both losses, p + 1 slopes, and how many ranks failed.
    assert_eq!(bytes, [5 * 8 * (FEATURES as u64 + 4); 3]);
}

#[test]
fn a_pass_sends_one_sum_whose_size_does_not_depend_on_the_rows() {
    let pass = |data: &Dataset| {
        let mut engine = engine(data);
        (0..5).for_each(|k| {
            drop(engine.loss_gradient(&params(data, &[0.01 * f64::from(k + 1), 0.0, 0.0, 0.0])).unwrap())
        });
        engine.cost().passes
    };
    let mut bytes = Vec::new();
    for n in [300, 1200, 4800] {
        let (passes, traffic) = on_ranks(3, n, pass);
        assert_eq!((passes, traffic.reductions), (5, 5));
        bytes.push(traffic.reduced_bytes);
    }
    // Loss, p + 1 slopes, and how many ranks failed.
    assert_eq!(bytes, [5 * 8 * (FEATURES as u64 + 3); 3]);
}

#[test]
fn sums_are_added_in_an_order_of_their_own() {
    let numbers = [1e16, 1.0, -1e16, 1.0, 0.1, 0.2];
    let sum = |ranks: usize| {
        let all = threads::run(ranks, |team| {
            // Later ranks are there first.
            std::thread::sleep(std::time::Duration::from_millis(10 * (ranks - team.rank()) as u64));
            team.sum(Some(vec![numbers[team.rank()]]), 1).unwrap().unwrap()[0]
        });
        all[0]
    };
    let in_tree = |n: &[f64]| ((n[0] + n[1]) + (n[2] + n[3])) + (n[4] + n[5]);
    assert_eq!(sum(6), in_tree(&numbers));
    // Negative control: the order matters for these numbers.
    assert_ne!(in_tree(&numbers), numbers.iter().sum::<f64>());
    assert_eq!([sum(1), sum(2), sum(3)], [1e16, 1e16 + 1.0, (1e16 + 1.0) - 1e16]);
}

#[test]
fn what_one_rank_fails_with_all_are_told() {
    let told = threads::run(3, |team| {
        let mine = if team.rank() == 1 { Err(Error::Usage("no".into())) } else { Ok(team.rank()) };
        let first: Result<usize> = team.agree(mine);
        // The others were on their way to something else.
        let later = team.exchange(&team.rank()).map(|ranks| ranks.len());
        (first.map_err(|e| e.to_string()), later.map_err(|e| e.to_string()), team.has_failed())
    });
    for (first, later, knows) in &told {
        assert_eq!((first, later, *knows), (&Err("no".to_string()), &Err("no".to_string()), true));
    }
    assert_eq!(told.len(), 3);
    let lacks = threads::run(2, |team| team.sum((team.rank() == 0).then(|| vec![1.0]), 1).unwrap());
    assert_eq!(lacks[0], None);
}
