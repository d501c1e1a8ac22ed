//! Reports of the fixture, byte for byte.
//!
//! `UPDATE_GOLDEN=1 cargo test report` writes the files anew; the difference is then reviewed.

use std::path::PathBuf;

use super::fixture::{profiled, record};
use super::{Options, build, export, terminal};
use crate::record::Record;

fn expect(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/report").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        found == expected,
        "{name} differs from its golden, first in line {:?}",
        differs.map(|i| i + 1)
    );
}

#[test]
fn markdown_of_the_fixture_is_as_reviewed() {
    let records = [record()];
    expect("report.md", &export(&build(&records), "markdown", &Options::default()).unwrap());
}

#[test]
fn html_of_the_fixture_is_as_reviewed() {
    let records = [record()];
    expect("report.html", &export(&build(&records), "html", &Options::default()).unwrap());
}

/// The part of a document from the line `from` to the next line that begins with `to`.
fn part(text: &str, from: &str, to: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.contains(from));
    let mut out: Vec<&str> = lines.clone().take(1).collect();
    out.extend(lines.skip(1).take_while(|line| !line.starts_with(to)));
    out.join("\n") + "\n"
}

#[test]
fn profiles_of_the_fixture_are_as_reviewed() {
    let records = [profiled()];
    let report = build(&records);
    let markdown = export(&report, "markdown", &Options::default()).unwrap();
    expect("profiles.md", &part(&markdown, "## Where the time goes", "## "));
    let html = export(&report, "html", &Options::default()).unwrap();
    expect("profiles.html", &part(&html, "<section id=\"profiles\">", "<section"));
    assert!(html.contains("<h3>Where the time goes</h3>"), "the chart is there");
    let json = export(&report, "json", &Options::default()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let decode = &value["studies"][0]["profiles"][0]["phases"][1];
    assert_eq!(decode["operators"][0]["limit"]["known"]["bound"], "memory");
}

#[test]
fn records_of_engines_without_profiles_are_still_read() {
    let mut value = serde_json::to_value(record()).unwrap();
    assert!(value.as_object_mut().unwrap().remove("profiles").is_some());
    let old: Record = serde_json::from_value(value).unwrap();
    assert_eq!(old, record());
}

#[test]
fn verdict_table_fits_wide_and_narrow_terminals() {
    let records = [record()];
    let report = build(&records);
    expect("terminal_160.txt", &terminal(&report, false, 160));
    expect("terminal_100.txt", &terminal(&report, false, 100));
    expect("terminal_79.txt", &terminal(&report, false, 79));
    expect("terminal_colour.txt", &terminal(&report, true, 160));
    let widest = |width| {
        let text = terminal(&report, false, width);
        text.lines().map(|line| line.chars().count()).max().unwrap()
    };
    for width in [80, 90, 100, 120, 140, 160] {
        assert!(widest(width) <= width, "{} in {width} columns", widest(width));
    }
}

#[test]
fn a_graph_is_told_with_its_own_axes_and_metrics() {
    let records = [super::fixture_tensor::record()];
    let report = build(&records);
    let markdown = export(&report, "markdown", &Options::default()).unwrap();
    expect("tensor.md", &markdown);
    expect("tensor_terminal.txt", &terminal(&report, false, 120));
    assert!(report.gates().all(|gate| gate.outcome == super::Outcome::Passed));
    let html = export(&report, "html", &Options::default()).unwrap();
    let csv = export(&report, "csv", &Options::default()).unwrap();
    for text in [&markdown, &html, &csv] {
        assert!(text.contains("height") && !text.contains("tok/s"));
    }
}

#[test]
fn a_classifier_loses_points_and_not_per_cent() {
    use super::Outcome::{Failed, Passed, Undecided};
    let records = [super::fixture_classes::record()];
    let report = build(&records);
    let markdown = export(&report, "markdown", &Options::default()).unwrap();
    let told = part(&markdown, "## Verdicts", "## Every cell");
    let methods = part(&markdown, "## Methods", "## ");
    let definitions = part(&markdown, "## Definitions", "## ");
    let how: String = methods.lines().filter(|line| line.starts_with("- **quality**")).collect();
    expect("classes.md", &format!("{told}{how}\n\n{definitions}"));
    expect("classes_terminal.txt", &terminal(&report, false, 120));
    let found: Vec<_> = report.gates().map(|gate| gate.outcome).collect();
    assert_eq!(found, [Passed, Undecided, Passed, Failed, Passed]);
    let html = export(&report, "html", &Options::default()).unwrap();
    assert!(html.contains("loss ≤ 5\u{a0}pp") && html.contains(">Items<"));
}

#[test]
fn searches_of_the_fixture_are_as_reviewed() {
    let records = [super::fixture_search::record()];
    let report = build(&records);
    let markdown = export(&report, "markdown", &Options::default()).unwrap();
    expect("search.md", &part(&markdown, "## Largest batch", "## "));
    let html = export(&report, "html", &Options::default()).unwrap();
    expect("search.html", &part(&html, "<section id=\"searches\">", "<section"));
    let shown = terminal(&report, false, 120);
    expect("search_terminal.txt", &shown);
    let json = export(&report, "json", &Options::default()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let found = &value["studies"][0]["searches"];
    assert_eq!((&found[0]["batch"], &found[1]["batch"]), (&11.into(), &19.into()));
    assert_eq!(found[0]["probes"][0]["answer"], "keeps");
    let csv = export(&report, "csv", &Options::default()).unwrap();
    let probes: usize =
        records[0].searches.iter().flat_map(|s| &s.probes).flat_map(|p| &p.launches).count();
    let launches = |line: &&str| {
        let one = line.contains(",first_call,") || line.contains("failed: out of memory");
        one && line.contains(",batch_search,")
    };
    assert_eq!(csv.lines().filter(launches).count(), probes);
}

#[test]
fn conditions_of_the_fixture_are_as_reviewed() {
    let records = [super::fixture_guard::record()];
    let report = build(&records);
    let markdown = export(&report, "markdown", &Options::default()).unwrap();
    expect("conditions.md", &part(&markdown, "## Conditions", "## "));
    let html = export(&report, "html", &Options::default()).unwrap();
    expect("conditions.html", &part(&html, "<section id=\"conditions\">", "<section"));
    let shown = terminal(&report, false, 120);
    expect("conditions_terminal.txt", &shown);
    for text in [&markdown, &html, &shown] {
        assert!(text.contains("ffmpeg (pid 411)"), "the hog is named everywhere");
    }
}

#[test]
fn curves_over_time_are_as_reviewed() {
    use super::fixture_curves::{loaded, soaked, unsettled};
    let figure = |record: Record, title: &str| {
        let records = [record];
        let html = export(&build(&records), "html", &Options::default()).unwrap();
        part(&html, &format!("<h3>{title}</h3>"), "</figure>")
    };
    expect("courses.html", &figure(unsettled(), "Request times that do not settle"));
    expect("soak.html", &figure(soaked(), "Long run of q8"));
    let on_schedule = figure(loaded(0, None), "Long run of q8");
    assert!(
        on_schedule.contains("Latency") && on_schedule.len() < 120_000,
        "{}",
        on_schedule.len()
    );
    let none = export(&build(&[record()]), "html", &Options::default()).unwrap();
    assert!(!none.contains("do not settle") && !none.contains("Long run of"));
}

#[test]
fn records_of_engines_without_searches_are_still_read() {
    let value = serde_json::to_value(record()).unwrap();
    assert!(value.get("searches").is_none(), "what is not there takes no room");
    let record = super::fixture_search::record();
    let value = serde_json::to_value(&record).unwrap();
    assert_eq!(serde_json::from_value::<Record>(value).unwrap(), record);
}

/// A sweep over `settings` settings of four variants, two blocks each.
fn sweep(settings: u32) -> Record {
    let mut big = record();
    let fourth = big.variants["q4"].clone();
    big.variants.insert("q2".into(), fourth);
    let template = [0, 1, 2, 2].map(|i| big.cells[i].clone());
    big.cells.clear();
    for setting in 0..settings {
        for (cell, name) in template.iter().zip(["fp32", "q8", "q4", "q2"]) {
            let mut cell = cell.clone();
            cell.variant = name.into();
            cell.axes = super::fixture::axes(setting);
            cell.launches.truncate(2);
            big.cells.push(cell);
        }
    }
    big
}

/// Renders a sweep and holds it to `most` bytes per cell.
fn renders_in_bounded_space(settings: u32, most: usize) {
    let records = [sweep(settings)];
    let report = build(&records);
    let cells = report.studies[0].cells.len();
    assert_eq!(cells, settings as usize * 4);
    for id in ["html", "markdown"] {
        let text = export(&report, id, &Options::default()).unwrap();
        assert!(text.len() < most * cells, "{id}: {} bytes", text.len());
        assert!(text.contains(&format!("prompt {}", settings - 1)), "{id}: every cell is there");
    }
}

#[test]
fn a_thousand_cells_render_in_bounded_space() {
    renders_in_bounded_space(250, 6 << 10);
}

#[test]
#[ignore = "takes a quarter of a minute without optimization"]
fn ten_thousand_cells_render_in_bounded_space() {
    renders_in_bounded_space(2500, 6 << 10);
}

#[test]
fn runs_on_different_machines_are_not_set_side_by_side() {
    let mut other = record();
    other.machine["digest"] = super::fixture::digest("another").hex().into();
    other.machine["cpu"]["model"] = "AMD EPYC 9654".into();
    let records = [record(), other];
    let report = build(&records);
    let warning = report.not_comparable.as_deref().unwrap();
    assert_eq!(warning, "Not comparable: different machines. They differ in cpu / model.");
    for id in ["html", "markdown"] {
        let text = export(&report, id, &Options::default()).unwrap();
        assert!(text.contains("Not comparable: different machines."), "{id}");
    }
    expect("two_machines.md", &export(&report, "markdown", &Options::default()).unwrap());
    assert!(terminal(&report, false, 120).starts_with(warning));
    assert!(build(&[record(), record()]).not_comparable.is_none());
}

#[test]
fn a_record_without_cells_or_variants_is_still_a_report() {
    let mut empty = record();
    empty.cells.clear();
    empty.quality.clear();
    empty.run.interrupted = true;
    let mut bare = empty.clone();
    bare.variants.clear();
    bare.spec = serde_json::Value::Null;
    bare.machine = serde_json::Value::Null;
    for record in [empty, bare] {
        let records = [record];
        let report = build(&records);
        for exporter in super::EXPORTERS {
            export(&report, exporter.id, &Options::default()).unwrap();
        }
        let shown = terminal(&report, false, 100);
        assert!(shown.contains("This run was interrupted before its end."), "{shown}");
    }
}

#[test]
fn templates_of_a_folder_stand_in_file_by_file() {
    let folder =
        std::env::temp_dir().join(format!("engine-report-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("report.md.j2"), "{{ page.title }}").unwrap();
    let records = [record()];
    let report = build(&records);
    let options = Options { templates: Some(folder.clone()) };
    assert_eq!(export(&report, "markdown", &options).unwrap(), "Llama INT8 on CPU");
    assert!(export(&report, "html", &options).unwrap().contains("<!doctype html>"));
    std::fs::write(folder.join("report.md.j2"), "{{ page.titel }}").unwrap();
    let error = export(&report, "markdown", &options).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(error.contains("report.md.j2") && error.contains("undefined"), "{error}");
}

#[test]
fn every_format_is_byte_identical_on_re_render() {
    let records = [record(), record()];
    for exporter in super::EXPORTERS {
        let first = export(&build(&records), exporter.id, &Options::default()).unwrap();
        let copy: Vec<Record> =
            serde_json::from_str(&serde_json::to_string(&records).unwrap()).unwrap();
        let second = export(&build(&copy), exporter.id, &Options::default()).unwrap();
        assert!(first == second, "{}", exporter.id);
    }
}
