//! HTML: one file that needs nothing else, shows light and dark, and can run no foreign script.

use std::io::Write;

use serde::Serialize;

use super::chart::{self, Chart};
use super::page::{self, Page};
use super::render::{render_to, source};
use super::{Options, Report, ReportError};
use crate::base::Digest;

#[derive(Serialize)]
struct Context {
    page: Page,
    /// Per study.
    charts: Vec<Vec<Chart>>,
    style: String,
    script: String,
    /// Content Security Policy: nothing may load, only this style and this script may apply.
    policy: String,
}

pub fn export(
    report: &Report<'_>,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let folder = options.templates.as_deref();
    let style = source("parts/style.css", folder)?;
    let script = source("parts/script.js", folder)?;
    let context = Context {
        page: page::page(report),
        charts: report.studies.iter().map(chart::all).collect::<Result<_, _>>()?,
        policy: policy(&style, &script),
        style,
        script,
    };
    render_to("report.html.j2", context, folder, out)
}

fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        base64(Digest::of_bytes(style.as_bytes())),
        base64(Digest::of_bytes(script.as_bytes()))
    )
}

/// Standard base64 (RFC 4648) of a digest's 32 bytes.
fn base64(digest: Digest) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = digest
        .hex()
        .chars()
        .flat_map(|c| {
            let nibble = c.to_digit(16).unwrap_or_default() as u8;
            (0..4).rev().map(move |i| nibble >> i & 1)
        })
        .collect();
    let sextet =
        |bits: &[u8]| (0..6).fold(0, |value, i| value << 1 | bits.get(i).copied().unwrap_or(0));
    let mut text: String =
        bits.chunks(6).map(|bits| char::from(ALPHABET[usize::from(sextet(bits))])).collect();
    text.push('=');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_empty_digest_is_the_published_one() {
        let known = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(base64(Digest::of_bytes(b"")), known);
    }
}
