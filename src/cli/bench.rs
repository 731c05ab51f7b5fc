//! `gpulogit bench`: what each engine here does in a second.

use super::args::BenchArgs;
use super::devices::every_engine;
use super::exit::Outcome;
use super::output::{count, device_words, json, plural, stdout};
use super::progress::Terminal;
use crate::bench::{Bench, DeviceBench, bench, synthetic};
use crate::data::size::{available, check_made_up};
use crate::data::{DataOptions, Dataset, Encoding, load_training};
use crate::engine::{DeviceKind, DeviceRequest};
use crate::error::{Error, Result};
use crate::fit::FitOptions;

/// What anybody would wait for.
const MOST_REPEATS: usize = 1000;

pub(super) fn run(args: &BenchArgs, terminal: &Terminal) -> Result<Outcome> {
    if !(1..=MOST_REPEATS).contains(&args.repeat) {
        return Err(Error::Usage(format!("--repeat must be between 1 and {MOST_REPEATS}")));
    }
    let data = rows(args, terminal)?;
    let devices = match args.common.device() {
        DeviceRequest::Auto => every_engine(terminal),
        one => vec![one],
    };
    let options = FitOptions { l2: args.l2, ..FitOptions::default() };
    let measured = bench(&data, &devices, args.repeat, &options, terminal)?;
    terminal.clear();
    if args.common.json {
        json(&measured)?;
    } else {
        stdout(&table(&measured))?;
    }
    Ok(if measured.ok { Outcome::Done } else { Outcome::NotGood })
}

/// The user's rows, or ones made up.
fn rows(args: &BenchArgs, terminal: &Terminal) -> Result<Dataset> {
    let usage = |message: &str| Err(Error::Usage(message.into()));
    if args.files.is_empty() {
        if args.target.is_some() || args.target_file.is_some() || args.no_header {
            return usage("name the files of rows, or leave out what is said about them");
        }
        let (rows, features) = (args.rows.unwrap_or(1_000_000), args.features.unwrap_or(32));
        if rows < 2 || features == 0 {
            return usage("--rows must be at least 2 and --features at least 1");
        }
        check_made_up(rows, features, available())?;
        return synthetic(rows, features, 0);
    }
    if args.rows.is_some() || args.features.is_some() {
        return usage("--rows and --features are of rows that are made up: leave them out, or the files");
    }
    let options = DataOptions {
        target: args.target.clone(),
        target_file: args.target_file.clone(),
        missing: args.missing.into(),
        no_header: args.no_header,
        // What is measured leaves nothing behind.
        no_cache: true,
        encoding: if args.l2 > 0.0 { Encoding::Full } else { Encoding::Reference },
        ..DataOptions::default()
    };
    Ok(load_training(&args.files, &options, terminal)?.train)
}

fn table(measured: &Bench) -> String {
    let mut text = format!(
        "{} × {}, medians of {}\n",
        plural(measured.rows as u64, "row"),
        plural(measured.features as u64, "feature"),
        plural(measured.repeats as u64, "round"),
    );
    for one in &measured.devices {
        text += &device(one);
    }
    if let [first, others @ ..] = measured.devices.as_slice()
        && first.device.kind == DeviceKind::Cpu
        && !others.is_empty()
    {
        text += "\nbeside the CPU engine, whole fits with upload and verification\n";
        for other in others {
            let ratio = first.fit_seconds() / other.fit_seconds();
            text += &match ratio {
                ratio if ratio >= 1.0 => format!("  {}: {ratio:.2} times faster\n", other.device.id),
                ratio => format!("  {}: {:.2} times slower\n", other.device.id, 1.0 / ratio),
            };
        }
    }
    text
}

fn device(one: &DeviceBench) -> String {
    let moves = if one.device.kind == DeviceKind::Cpu { "reads X" } else { "copies" };
    let mut text = format!("\n{}\n", device_words(&one.device));
    text += &format!("  {moves} at {:.1} GB/s", one.bandwidth / 1e9);
    if one.setup > 0.0 {
        text += &format!("; set up in {:.1} ms, rows uploaded in {:.1} ms", 1e3 * one.setup, 1e3 * one.upload);
    }
    if !(one.disagreement <= 1.0) {
        text += &format!("\n  DISAGREES with the CPU engine, {:.1} times more than allowed", one.disagreement);
    }
    text += &format!("\n\n  {:18}  {:>9}  {:>7}  {:>9}  {:>5}\n", "kernel", "ms", "GB/s", "Gmadd/s", "share");
    for kernel in &one.kernels {
        text += &format!(
            "  {:18}  {:>9.3}  {:>7.2}  {:>9.2}  {:>4.0}%\n",
            kernel.name,
            1e3 * kernel.seconds,
            kernel.bytes as f64 / kernel.seconds / 1e9,
            kernel.multiply_adds / kernel.seconds / 1e9,
            100.0 * kernel.share,
        );
    }
    let fit = &one.fit;
    text + &format!(
        "\n  fit                 {:.1} ms: upload {:.1}, solve {:.1}, verify {:.1}{}\n  \
           {}, {}, {} of X, {} MB, {}; {}, largest slope {:.1e}\n",
        1e3 * one.fit_seconds(),
        1e3 * fit.seconds.upload,
        1e3 * fit.seconds.solve,
        1e3 * fit.seconds.verify,
        if fit.seconds.setup > 0.0 { format!("; set-up {:.1} apart", 1e3 * fit.seconds.setup) } else { String::new() },
        fit.solver.name(),
        plural(fit.iterations as u64, "iteration"),
        plural(fit.passes, "read"),
        count(fit.bytes_read / 1_000_000),
        if fit.dispatches == 1 { "1 dispatch".to_owned() } else { format!("{} dispatches", count(fit.dispatches)) },
        fit.status.name(),
        fit.gradient_inf_norm,
    )
}
