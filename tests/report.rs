//! The pages that `--report` writes: whole, on one's own, with the numbers of `--json`, and safe whatever columns are called.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::process::Command;

use desk::{Desk, Ended, data};
use serde_json::Value;

/// Sections that the page of a fit has, in order.
const OF_A_FIT: [&str; 8] =
    ["model", "data", "convergence", "certificate", "coefficients", "metrics", "device", "options"];
/// Words that the pictures of metrics of two classes begin with.
const PICTURES: [&str; 5] =
    ["ROC curve of the", "Precision over recall", "Calibration of the", "Probabilities of", "Lift of the"];

fn sections(page: &str) -> Vec<&str> {
    page.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What each picture says to those who do not see it.
fn pictures(page: &str) -> Vec<&str> {
    page.split("role=\"img\" aria-label=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Holds a page to be whole, of moderate size, and of need of nothing but itself.
fn check(page: &str) {
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">") && page.trim_end().ends_with("</html>"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let faults = outside(page);
    assert!(faults.is_empty(), "{faults:?}");
    let said = pictures(page);
    assert_eq!(page.matches("<svg").count(), said.len(), "each picture says what it shows");
    assert_eq!(page.matches("<figcaption>").count(), said.len());
    assert!(said.iter().all(|words| words.len() > 20 && words.contains(|c: char| c.is_ascii_digit())), "{said:?}");
    // Headings do not skip a level, and what links name is there.
    assert_eq!(page.matches("<h1>").count(), 1);
    for id in sections(page) {
        assert!(page.contains(&format!("<a href=\"#{id}\">")), "{id}");
    }
    assert_eq!(page.matches("<table").count(), page.matches("<thead>").count());
}

/// What of a page would reach outside of it, or run.
fn outside(page: &str) -> Vec<&str> {
    let markup = [
        "http://", "https://", "<script", "<iframe", "<object", "<embed", "<base", "<form", " src=", "srcset=", "url(",
        "@import",
    ];
    let mut found: Vec<&str> = markup.into_iter().filter(|what| page.contains(what)).collect();
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    found.extend(links.filter(|link| !link.starts_with('#') && *link != "data:,"));
    found
}

/// The page that a run wrote, and what it printed.
fn run(desk: &Desk, args: &[&str]) -> (String, Ended) {
    let ended = desk.run(&[args, &["--report", "page.html"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let page = desk.text("page.html");
    check(&page);
    (page, ended)
}

fn holds(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part:?} is missing");
    }
}

#[test]
fn what_reaches_outside_is_found() {
    assert!(outside("<a href=\"#data\">x</a><link rel=\"icon\" href=\"data:,\">").is_empty());
    let bad = ["<img src=x>", "<a href=\"page\">", "a{background:url(x)}", "see https://example.org", "<script>"];
    assert!(bad.iter().all(|bad| outside(bad).len() == 1));
}

#[test]
fn a_fit_with_everything_and_the_numbers_of_its_json() {
    let desk = Desk::on_cpu();
    let titanic = data("titanic.csv");
    let args =
        ["train", &titanic, "--target", "survived", "--missing", "mean", "--inference", "--holdout", "0.3", "--json"];
    let (page, ended) = run(&desk, &args);
    let json = ended.json();
    assert_eq!(sections(&page), OF_A_FIT);
    let said = pictures(&page);
    for words in PICTURES.iter().chain(&["Objective J", "Largest slope", "Coefficients times"]) {
        assert!(said.iter().any(|said| said.starts_with(words)), "{words:?} is missing from {said:?}");
    }
    assert_eq!(said.len(), 8);
    let number = |value: &Value| value.as_f64().unwrap();
    let metrics = &json["holdout"];
    let interval = &metrics["roc_auc_interval"];
    holds(
        &page,
        &[
            "which the model was not fitted to",
            &format!("<dd><bdi>{:.9}</bdi></dd>", number(&json["log_loss"])),
            &format!("<dt>objective J</dt><dd><bdi>{}</bdi></dd>", json["objective"]),
            &format!("{:.1e} of S·sd", number(&json["certificate"]["gradient_inf_norm"])),
            &format!("within {:.1e} of its minimum", number(&json["certificate"]["objective_gap"])),
            &format!(
                "{:.6} (95% interval {:.6} to {:.6})",
                number(&metrics["roc_auc"]),
                number(&interval["low"]),
                number(&interval["high"])
            ),
            &format!("area {:.4} (95% interval", number(&metrics["roc_auc"])),
            &format!("average precision {:.4}", number(&metrics["pr_auc"])),
            &format!("KS {:.4}", number(&metrics["ks"])),
            &format!(
                "slope {:.4}, intercept {:.4}",
                number(&metrics["calibration"]["slope"]),
                number(&metrics["calibration"]["intercept"])
            ),
            &format!("<dt>McFadden R²</dt><dd><bdi>{:.4}</bdi></dd>", number(&json["inference"]["mcfadden_r2"])),
            &format!("{} of X in all", format_args!("{} reads", json["passes"])),
            "<th scope=\"row\"><bdi>--holdout</bdi></th><td><bdi>0.3</bdi></td><td><bdi>given</bdi></td>",
            "<th scope=\"row\"><bdi>--tol</bdi></th><td><bdi>1e-8</bdi></td><td><bdi>default</bdi></td>",
            "<th scope=\"row\"><bdi>--level</bdi></th><td><bdi>0.95</bdi></td><td><bdi>default</bdi></td>",
            "gpulogit train ",
            "1,309",
        ],
    );
    let coefficients = json["inference"]["coefficients"].as_array().unwrap();
    for line in coefficients {
        let z = format!("<td><bdi>{:.3}</bdi></td>", number(&line["z"]));
        holds(&page, &[&z, line["name"].as_str().unwrap()]);
    }
    assert_eq!(coefficients.len(), 5);
    // The rows held out stand in the histogram, and a page is the same but for what a clock says.
    let print = |page: &str| page.split("<dt>fingerprint</dt><dd><bdi>").nth(1).unwrap()[..16].to_owned();
    let elsewhere = [&args[..], &["--threads", "1", "--model", "other.json"]].concat();
    assert_eq!(print(&run(&desk, &elsewhere).0), print(&page));
    let other_rows = ["train", &titanic, "--target", "survived", "--missing", "drop"];
    assert_ne!(print(&run(&desk, &other_rows).0), print(&page));
}

#[test]
fn rows_trained_on_are_judged_where_none_are_held_out_and_the_page_says_so() {
    let desk = Desk::on_cpu();
    let rows = data("pima_ripley.csv");
    let (page, ended) = run(&desk, &["train", &rows, "--target", "y"]);
    assert!(ended.out.contains("\nreport     page.html\n") && !ended.out.contains("metrics"), "{}", ended.out);
    assert_eq!(sections(&page), OF_A_FIT);
    holds(
        &page,
        &["No rows were held out", "ROC curve of the rows trained on", "--inference or --bootstrap give them"],
    );
    // What evaluate says of the same rows is the same.
    let metrics = desk.run(&["evaluate", "model.json", &rows, "--json"]).succeeds();
    holds(&page, &[&format!("{:.6}", metrics["metrics"]["roc_auc"].as_f64().unwrap())]);
    let (evaluated, ended) = run(&desk, &["evaluate", "model.json", &rows, "--cost", "1:5"]);
    assert!(ended.out.contains("\nreport     page.html\n"));
    assert_eq!(sections(&evaluated), ["model", "data", "metrics", "device", "options"]);
    assert_eq!(pictures(&evaluated).len(), PICTURES.len());
    holds(&evaluated, &["which cost least at 1:5", &format!("{:.6}", metrics["metrics"]["brier"].as_f64().unwrap())]);
}

#[test]
fn penalties_replicates_classes_and_separated_rows_have_their_pages() {
    let desk = Desk::on_cpu();
    let (rows, iris, setosa) = (data("wdbc.csv"), data("iris3.csv"), data("iris_setosa.csv"));
    let (sparse, ended) = run(&desk, &["train", &rows, "--target", "y", "--l1", "5", "--json"]);
    let nonzero = ended.json()["nonzero"].as_u64().unwrap();
    holds(
        &sparse,
        &["l1 = 5", "KKT residual", "a penalty pulls estimates", &format!("{nonzero} of 30: the others are 0")],
    );
    assert!(nonzero < 30);

    let (chosen, _) =
        run(&desk, &["train", &rows, "--target", "y", "--l2", "auto", "--bootstrap", "20", "--test", &rows]);
    holds(&chosen, &["cross-validation", "percentiles of 20 bootstrap replicates", "ROC curve of the test rows"]);

    for multi in ["softmax", "ovr"] {
        let (classes, ended) = run(&desk, &["train", &iris, "--target", "y", "--l2", "1", "--multi", multi, "--json"]);
        assert_eq!(sections(&classes), OF_A_FIT);
        holds(
            &classes,
            &[
                "3 classes: &#39;0&#39;, &#39;1&#39;, &#39;2&#39;",
                "macro ROC AUC",
                "confusion",
                "a column for each class",
            ],
        );
        holds(&classes, &[&format!("{:.9}", ended.json()["log_loss"].as_f64().unwrap())]);
        assert_eq!(pictures(&classes).len(), 2, "how it converged");
    }

    let (separated, ended) = run(&desk, &["train", &setosa, "--target", "y"]);
    assert_eq!(sections(&separated)[..2], ["model", "warnings"]);
    let warning = ended.err.lines().find_map(|line| line.strip_prefix("warning: ")).unwrap();
    holds(&separated, &[warning, "separated classes have no finite estimates", "the classes do not overlap"]);
}

/// Arguments of a fit to a file whose names and labels are markup, quotes, other scripts and very long.
fn hostile(desk: &Desk) -> [String; 6] {
    let names = ["<script>alert(1)</script>", "\"onload='x'&amp;", "\u{202e}年齢\u{1f600}", &"w".repeat(5000)];
    let quoted = names.map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    let mut rows = format!("{},\"y</title><script>\"\n", quoted.join(","));
    for i in 0..60 {
        let class = if (i * 7) % 5 < 2 { "<b>no" } else { "yes\"\"" };
        rows += &format!("{},{},{},{},\"{class}\"\n", i % 7, (i * i) % 11, i % 3, (i * 5) % 13);
    }
    let file = desk.write("rows&amp;'.csv", rows);
    ["train".into(), file, "--target".into(), "y</title><script>".into(), "--holdout".into(), "0.3".into()]
}

#[test]
fn names_are_text_whatever_they_say() {
    let desk = Desk::on_cpu();
    let (page, _) = run(&desk, &hostile(&desk).each_ref().map(String::as_str));
    assert!(!page.contains("<b>") && !page.contains("\"onload") && !page.contains("y</title>"));
    holds(&page, &["&#60;script&#62;alert(1)&#60;/script&#62;", "年齢", "&#60;b&#62;no", "rows&#38;amp;&#39;.csv"]);
    holds(
        &page,
        &[
            "train &#39;rows&#38;amp;&#39;\\&#39;&#39;.csv&#39; --target &#39;y&#60;/title&#62;&#60;script&#62;&#39; --holdout 0.3",
        ],
    );
    assert!(!page.contains(&"w".repeat(300)));
}

#[test]
fn a_page_is_no_input_and_no_other_output_and_never_costs_the_model() {
    let desk = Desk::on_cpu();
    let rows = std::fs::read_to_string(data("mtcars_am.csv")).unwrap();
    desk.write("rows.csv", &rows);
    let target = rows.lines().next().unwrap().split(',').next_back().unwrap().trim_matches('"');
    let train = ["train", "rows.csv", "--target", target, "--l2", "1"];
    let refused = |args: &[&str], part: &str| desk.run(args).fails(2, &[part]);
    refused(&[&train[..], &["--report", "rows.csv"]].concat(), "it is one of the files to be read");
    refused(&[&train[..], &["--report", "./model.json"]].concat(), "the model goes there");
    refused(&[&train[..], &["--report", "c", "--checkpoint", "c"]].concat(), "the checkpoint goes there");
    refused(&[&train[..], &["--report", "no/page.html"]].concat(), "its folder does not exist");
    assert_eq!(desk.names(""), ["rows.csv"]);
    assert_eq!(desk.run(&train).code, 0);
    refused(&["evaluate", "model.json", "rows.csv", "--report", "model.json"], "it is one of the files to be read");
    refused(&["evaluate", "model.json", "rows.csv", "--report", "rows.csv"], "it is one of the files to be read");
    assert_eq!(desk.text("rows.csv"), rows);

    // A device that is always full stands for a disk that is.
    #[cfg(target_os = "linux")]
    {
        std::fs::remove_file(desk.path("model.json")).unwrap();
        let ended = desk.run(&[&train[..], &["--report", "/dev/full"]].concat());
        assert!(ended.code == 1 && ended.err.contains("error: /dev/full"), "{}", ended.err);
        assert!(ended.out.contains("status     converged") && desk.names("").contains(&"model.json".to_owned()));
    }
}

/// What headless Chromium made of a page.
struct Seen {
    /// Messages of its console.
    console: Vec<String>,
    /// Addresses that the page asked for.
    requests: Vec<String>,
    /// The document in the end.
    dom: String,
}

fn open(desk: &Desk, name: &str) -> Seen {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let log = desk.path("net.json");
    let switches = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--v=0",
        "--hide-scrollbars",
        "--window-size=600,900",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ];
    let mut command = Command::new(&chromium);
    command.args(switches).arg(format!("--user-data-dir={}", desk.path("profile").display()));
    command.arg(format!("--log-net-log={}", log.display())).arg(format!("file://{}", desk.path(name).display()));
    let output =
        command.output().unwrap_or_else(|e| panic!("{chromium}: {e}; install Chromium, or name it in CHROMIUM"));
    let ended = Ended::new(output);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let log: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    // What Chromium asks for on its own account has no origin.
    let asked = |event: &Value| {
        let params = &event["params"];
        let origin = params["initiator"].as_str().filter(|origin| *origin != "not an origin")?;
        Some(format!("{} for {origin}", params["url"].as_str()?))
    };
    Seen {
        console: ended.err.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect(),
        requests: log["events"].as_array().unwrap().iter().filter_map(asked).collect(),
        dom: ended.out,
    }
}

#[test]
#[ignore = "needs Chromium: test.sh installs it"]
fn chromium_opens_pages_offline_without_a_word_and_they_fit_a_phone() {
    let desk = Desk::on_cpu();
    let (titanic, rows, iris) = (data("titanic.csv"), data("wdbc.csv"), data("iris3.csv"));
    let hostile = hostile(&desk);
    let hostile = hostile.each_ref().map(String::as_str);
    let runs: [&[&str]; 5] = [
        &["train", &titanic, "--target", "survived", "--missing", "mean", "--inference", "--holdout", "0.3"],
        &["train", &rows, "--target", "y", "--l1", "1"],
        &["evaluate", "model.json", &rows],
        &["train", &iris, "--target", "y", "--l2", "1"],
        &hostile,
    ];
    let mut seen = 0;
    for args in runs {
        let (page, _) = run(&desk, args);
        let found = open(&desk, "page.html");
        assert!(found.dom.contains("<main>"), "{args:?}");
        assert!(found.console.is_empty() && found.requests.is_empty(), "{:?} {:?}", found.console, found.requests);
        let width = width_on_a_phone(&desk, &page);
        assert_eq!(width, 375, "{args:?}");
        seen += 1;
    }
    assert_eq!(seen, 5);

    // What a page must not do is seen when it does it.
    let bad =
        "<p style=\"width:400px\">x</p><img src=\"http://example.invalid/x.png\"><script>console.log('x')</script>";
    desk.write("bad.html", bad);
    let found = open(&desk, "bad.html");
    assert!(found.console.len() == 1 && found.requests.iter().any(|url| url.contains("example.invalid")));
    assert!(width_on_a_phone(&desk, "<p style=\"width:400px\">x</p>") > 375);
}

/// Width of what a page shows in a window of 375 pixels, all that is folded unfolded.
fn width_on_a_phone(desk: &Desk, page: &str) -> u32 {
    let escaped = page.replace("<details>", "<details open>").replace('&', "&amp;").replace('"', "&quot;");
    let script = "onload = () => document.title = frames[0].document.documentElement.scrollWidth";
    desk.write(
        "phone.html",
        format!("<title></title><iframe width=375 height=800 style=\"border:0\" srcdoc=\"{escaped}\"></iframe><script>{script}</script>"),
    );
    let dom = open(desk, "phone.html").dom;
    let width = dom.split("<title>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    width.parse().unwrap_or_else(|_| panic!("no width in {dom}"))
}
