//! Hostile text through every field that can carry it, into every format.

use html5ever::tendril::TendrilSink as _;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use serde_json::{Value, json};

use super::fixture::{profiled, record};
use super::{Options, build, export, terminal};
use crate::record::{Failure, Outcome, Record, Verdict};

const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" onfocus=\"alert(1)\" autofocus=\"",
    "<svg onload=alert(1)>",
    "</svg><iframe src=//evil.example>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "[x]: https://evil.example",
    "[1]: https://evil.example",
    "[1.5](https://evil.example)",
    "<https://evil.example>",
    "https://evil.example/a",
    "http://evil.example",
    "//evil.example",
    "www.evil.example",
    "me@evil.example",
    "@everyone",
    "#1",
    "`code`",
    "```\n<b>x</b>\n```",
    "~~~",
    "**bold**",
    "_em_",
    "a | b | c",
    "| --- | --- |",
    "- item",
    "+ item",
    "1. item",
    "1) item",
    "# title",
    "===",
    "---",
    "> quote",
    "    code",
    "{{7*7}}",
    "{% include 'x' %}",
    "{# x #}",
    "${HOME}",
    "$(id)",
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "=HYPERLINK(\"http://evil.example\")",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{202e}drowssap",
    "\u{2066}x",
    "\0",
    "a\nb",
    "a\r\nb",
    "\u{2028}",
    "&lt;script&gt;",
    "&#60;b&#62;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "expression(alert(1))",
    "url(https://evil.example)",
    "\\",
    "\\|",
    "'",
    "\"",
    "日本語",
    "🦀",
    "",
];

/// Puts `text` into every field of a record that takes text from outside.
#[allow(clippy::too_many_lines)]
fn poisoned(text: &str) -> Record {
    let mut record = profiled();
    record.searches = super::fixture_search::record().searches;
    let own = || text.to_owned();
    record.run.title = Some(own());
    record.run.why = own();
    record.run.name = own();
    record.run.spec_file = own();
    record.run.engine = own();
    record.model.source = own();
    record.model.architecture = Some(own());
    record.model.dtype = Some(own());
    record.machine = json!({ "digest": text, text: { "name": text, "list": [text, text] } });
    record.notes = vec![own()];
    record.runtimes.push(crate::record::Runtime {
        name: own(),
        version: Some(own()),
        digest: crate::base::Digest::of_bytes(b"library"),
        origin: own(),
    });
    let rename = |name: &str| format!("{name}{text}");
    record.variants = record.variants.into_iter().map(|(name, v)| (rename(&name), v)).collect();
    for variant in record.variants.values_mut() {
        variant.backend = own();
        variant.device = Some(crate::record::Device {
            device: own(),
            name: Some(own()),
            driver: Some(own()),
            tensorrt: None,
            fallback: false,
            nodes: [(own(), 1)].into_iter().collect(),
        });
        variant.recipe.push(own());
        if let Some(artifact) = &mut variant.artifact {
            artifact.kind = own();
            artifact.notes.push(own());
            artifact.weight_bytes.insert(own(), 7);
        }
        for check in &mut variant.checks {
            (check.what, check.expected, check.found) = (own(), own(), own());
        }
    }
    record.variants[2].failed = Some(own());
    for step in &mut record.steps {
        (step.id, step.label, step.kind, step.detail) = (own(), own(), own(), Some(own()));
    }
    for quality in &mut record.quality {
        quality.variant = rename(&quality.variant);
        quality.reference = rename(&quality.reference);
        quality.data = own();
        quality.part = Some(own());
        if quality.unmeasured.is_some() {
            quality.unmeasured = Some(own());
        }
    }
    for profile in &mut record.profiles {
        profile.variant = rename(&profile.variant);
        profile.backend = own();
        profile.unprofiled = profile.unprofiled.is_some().then(own);
        profile.unmeasured_peaks = profile.unmeasured_peaks.is_some().then(own);
        profile.trace = Some(own());
        if let Some(peaks) = &mut profile.peaks {
            peaks.unmeasured[0].rate = own();
            peaks.unmeasured[0].why = own();
        }
        for phase in &mut profile.phases {
            phase.name = own();
            for group in &mut phase.groups {
                group.operator = own();
                group.arithmetic = group.weights.is_none().then(own);
                group.nodes = vec![own()];
            }
        }
    }
    disturb(&mut record, text);
    record.soaks = soaks(text, &rename("q8"));
    for search in &mut record.searches {
        search.variant = rename(&search.variant);
        search.axes.insert(format!("x{text}"), Value::from(text));
        search.unsearched = search.unsearched.is_some().then(own);
        for probe in &mut search.probes {
            probe.cut_short = Some(own());
            for launch in &mut probe.launches {
                if let Outcome::Failed(failure) = &mut launch.outcome {
                    failure.detail = own();
                }
            }
        }
    }
    for cell in &mut record.cells {
        cell.variant = rename(&cell.variant);
        cell.launches.truncate(3);
        cell.scenario = own();
        cell.axes.insert(format!("x{text}"), Value::from(text));
    }
    let failure =
        Failure { verdict: Verdict::Error, detail: own(), log_tail: format!("{text}\n{text}") };
    record.cells[4].launches[0].outcome = Outcome::Failed(failure);
    record.cells[4].launches[1].outcome = Outcome::Skipped { why: own() };
    record.spec["why"] = Value::from(text);
    record.spec["compare"]["baseline"] = Value::from(rename("fp32"));
    record.spec["gates"][0]["name"] = Value::from(text);
    record.spec["gates"][0]["on"]["variant"] = Value::from(rename("q8"));
    record
}

/// A soak that could not be tried and one that died, both for the reason `text`.
fn soaks(text: &str, variant: &str) -> Vec<crate::record::Soak> {
    let soak = |unmeasured, failure| crate::record::Soak {
        variant: variant.to_owned(),
        axes: [(format!("x{text}"), Value::from(text))].into_iter().collect(),
        artifact: None,
        duration: 1,
        schedule: None,
        unmeasured,
        failure,
        conditions: None,
        readings: Vec::new(),
    };
    let (detail, log_tail) = (text.to_owned(), text.to_owned());
    let died = Failure { verdict: Verdict::Error, detail, log_tail };
    vec![soak(Some(text.to_owned()), None), soak(None, Some(died))]
}

/// Puts `text` into everything that tells of the machine's conditions.
fn disturb(record: &mut Record, text: &str) {
    use crate::machine::watch::{
        Finding, GpuReadings, Hog, Level, Readings, Signal, Tenant, Unseen,
    };
    let own = || text.to_owned();
    record.guard = Some(crate::record::Guard {
        unmeasured: vec![Unseen { signal: Signal::Thermal, why: own() }],
        max_invalid: 0.2,
    });
    let tenant = Tenant { pid: 7, name: Some(own()), memory: None };
    let finding =
        Finding { signal: Signal::Foreign, level: Level::Invalidate, value: 0.9, detail: own() };
    for cell in &mut record.cells {
        let cause = crate::record::Cause { variant: own(), finding: finding.clone() };
        let disturbed = |block, left_out| crate::record::Disturbed {
            block,
            causes: vec![cause.clone()],
            left_out,
        };
        cell.disturbed = vec![disturbed(1, true), disturbed(2, false)];
        for launch in &mut cell.launches {
            launch.conditions = Some(Readings {
                seconds: 1.0,
                cores: 2,
                busy: Some(2.0),
                foreign: Some(1.5),
                hogs: vec![Hog { name: own(), pid: 5, cores: 1.4 }],
                gpus: vec![GpuReadings {
                    foreign: Some(vec![tenant.clone()]),
                    ..GpuReadings::default()
                }],
                ..Readings::default()
            });
        }
    }
}

/// Elements that must not exist, handlers, and addresses that lead out of the document.
fn findings(html: &str) -> Vec<String> {
    fn walk(node: &Handle, out: &mut Vec<String>, scripts: &mut usize) {
        if let NodeData::Element { name, attrs, .. } = &node.data {
            let tag = name.local.to_string();
            *scripts += usize::from(tag == "script");
            if [
                "iframe",
                "object",
                "embed",
                "img",
                "link",
                "base",
                "form",
                "image",
                "use",
                "foreignObject",
            ]
            .contains(&tag.as_str())
            {
                out.push(format!("<{tag}>"));
            }
            for attr in attrs.borrow().iter() {
                let (key, value) = (attr.name.local.to_string(), attr.value.to_string());
                let leads_out = matches!(key.as_str(), "href" | "src" | "action" | "xlink:href")
                    && !value.starts_with('#');
                if key.starts_with("on") || key == "style" || leads_out {
                    out.push(format!("{key}={value}"));
                }
            }
        }
        for child in node.children.borrow().iter() {
            walk(child, out, scripts);
        }
    }
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(html);
    let (mut out, mut scripts) = (Vec::new(), 0);
    walk(&dom.document, &mut out, &mut scripts);
    if scripts != 1 {
        out.push(format!("{scripts} scripts"));
    }
    out
}

#[test]
fn hostile_text_is_inert_in_html() {
    for text in HOSTILE {
        let records = [poisoned(text)];
        let html = export(&build(&records), "html", &Options::default()).unwrap();
        assert_eq!(findings(&html), Vec::<String>::new(), "{text:?}");
        assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'), "{text:?}");
        assert!(!html.contains(">49<"), "{text:?} was computed");
    }
}

#[test]
fn the_parser_of_these_tests_sees_an_attack() {
    assert_eq!(findings("<script></script><p onclick=x><a href='//x'>"), ["onclick=x", "href=//x"]);
    assert_eq!(findings("<p>"), ["0 scripts"]);
}

#[test]
fn hostile_text_is_inert_in_the_terminal() {
    for text in HOSTILE {
        let records = [poisoned(text)];
        for width in [40, 200] {
            let shown = terminal(&build(&records), false, width);
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert!(!shown.contains('\u{202e}') && !shown.contains('\u{2066}'), "{text:?}");
        }
    }
}

/// Text outside code fences and our own markup, with what escaping took care of removed.
fn bare(markdown: &str) -> String {
    let mut fence: Option<String> = None;
    let mut out = String::new();
    for line in markdown.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if ticks.len() >= open.len() && line.len() == ticks.len() => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                let mut chars = line.chars();
                while let Some(c) = chars.next() {
                    if c == '\\' {
                        chars.next();
                    } else {
                        out.push(c);
                    }
                }
                out.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "an open fence");
    for ours in ["<details>", "</details>", "<summary>", "</summary>", "<br>", "<!-- -->"] {
        out = out.replace(ours, "");
    }
    out
}

#[test]
fn hostile_text_is_inert_in_markdown() {
    let harmless = [poisoned("plain")];
    let plain = export(&build(&harmless), "markdown", &Options::default()).unwrap();
    let heads = |text: &str| bare(text).lines().filter(|line| line.starts_with('#')).count();
    for text in HOSTILE {
        let records = [poisoned(text)];
        let markdown = export(&build(&records), "markdown", &Options::default()).unwrap();
        let bare = bare(&markdown);
        assert!(!bare.contains(['<', '`', '~']), "{text:?}");
        assert!(
            !bare.contains("](")
                && !bare.contains("]:")
                && !bare.contains("://")
                && !bare.contains("www."),
            "{text:?}"
        );
        assert!(!markdown.contains('\u{1b}') && !markdown.contains('\r'), "{text:?}");
        assert!(heads(&markdown) <= heads(&plain) + 1, "{text:?} made a heading");
        let pipes = |line: &str| line.matches('|').count();
        for table in bare.split("\n\n").filter(|block| block.starts_with('|')) {
            let mut counts = table.lines().map(pipes);
            let first = counts.next();
            assert!(counts.all(|count| Some(count) == first), "{text:?} broke a table:\n{table}");
        }
    }
}

/// Fields of one line by RFC 4180.
fn fields(line: &str) -> Vec<String> {
    let (mut out, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    out.push(field);
    out
}

#[test]
fn csv_keeps_its_columns_and_starts_no_formula() {
    for text in HOSTILE {
        let records = [poisoned(text)];
        let csv = export(&build(&records), "csv", &Options::default()).unwrap();
        let columns = fields(csv.lines().next().unwrap()).len();
        for line in csv.lines() {
            let fields = fields(line);
            assert_eq!(fields.len(), columns, "{text:?}: {line}");
            assert!(
                !fields.iter().any(|f| f.starts_with(['=', '+', '-', '@', '\t', '\r', '\0'])),
                "{text:?}: {line}"
            );
        }
    }
}

#[test]
fn csv_gives_back_the_raw_instants() {
    let records = [record()];
    let csv = export(&build(&records), "csv", &Options::default()).unwrap();
    let head = fields(csv.lines().next().unwrap());
    let column = |name: &str| head.iter().position(|h| h == name).unwrap();
    let rows: Vec<Vec<String>> = csv.lines().skip(1).map(fields).collect();
    let mut expected = Vec::new();
    for cell in &records[0].cells {
        for (_, seen) in super::evidence::observed(cell) {
            expected.push((
                cell.variant.clone(),
                seen.first_call.sent,
                *seen.first_call.tokens.last().unwrap(),
            ));
            expected.extend(
                seen.requests
                    .iter()
                    .map(|r| (cell.variant.clone(), r.sent, *r.tokens.last().unwrap())),
            );
        }
    }
    let is_again = |row: &&Vec<String>| row[column("variant")] == "the baseline again";
    let again: usize = records[0].conduct[0].again.len();
    assert_eq!(rows.iter().filter(is_again).count(), again * 6, "a first call and five requests");
    let rows: Vec<Vec<String>> = rows.iter().filter(|row| !is_again(row)).cloned().collect();
    let measured = rows.iter().filter(|row| row[column("outcome")] == "measured");
    let found: Vec<_> = measured
        .map(|row| {
            let number = |name: &str| row[column(name)].parse::<u64>().unwrap();
            (row[column("variant")].clone(), number("sent_ns"), number("last_token_ns"))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(rows.len() - found.len(), 3, "one row per failed launch");
}

#[test]
fn json_gives_hostile_text_back_unchanged() {
    for text in HOSTILE {
        let records = [poisoned(text)];
        let json = export(&build(&records), "json", &Options::default()).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["studies"][0]["run"]["why"], *text);
    }
}

#[test]
fn html_refers_to_nothing_outside_itself() {
    let records = [record()];
    let html = export(&build(&records), "html", &Options::default()).unwrap();
    let html = html
        .replace("http://www.w3.org/2000/svg", "")
        .replace("file://", "")
        .replace("file:&#x2f;&#x2f;", "");
    for outside in ["http:", "https:", "//", "url(", "@import", "data:"] {
        assert!(
            !html.contains(outside),
            "{outside}: {:?}",
            html.find(outside).map(|i| &html[i.saturating_sub(60)..i + 20])
        );
    }
    assert!(html.contains("default-src 'none'; style-src 'sha256-"));
}
