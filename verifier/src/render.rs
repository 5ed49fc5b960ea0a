//! A verdict for people: the run as a table like the paper's, then what was checked.

use std::fmt::Write;

use runproof_protocol::verdict::{Check, Finding, InputSeen, Status, Verdict, worst};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

/// One row a state, then one line a check with its meaning, and the evidence of each that did not pass.
pub fn table(verdict: &Verdict) -> String {
    let mut out = String::new();
    heading(&mut out, verdict);
    rows(&mut out, verdict);
    inputs(&mut out, verdict);
    for check in Check::ALL {
        summary(&mut out, verdict, check);
    }
    let _ = writeln!(out, "\nVerdict: {}", verdict.status().name().to_uppercase());
    out
}

/// The verdict with all its evidence, and with the grades that follow from it: `status` of the run and of each state.
pub fn json(verdict: &Verdict) -> Value {
    let mut value = json!(verdict);
    value["status"] = json!(verdict.status());
    for (index, state) in verdict.states.iter().enumerate() {
        value["states"][index]["status"] = json!(verdict.state_status(state));
    }
    value
}

fn heading(out: &mut String, verdict: &Verdict) {
    let lines = [
        ("instance", verdict.instance.to_string()),
        ("model", verdict.model.to_string()),
        ("issuer", verdict.issuer.to_string()),
        ("site", verdict.site.as_deref().map_or("unknown".to_owned(), printable)),
        ("contract", format!("{} on chain {}", verdict.registry.address, verdict.registry.chain_id)),
        (
            "as of",
            format!(
                "block {} of {}, on one node's word for its header",
                verdict.as_of.number,
                at_s(verdict.as_of.timestamp_s)
            ),
        ),
        ("checked", at_s(verdict.checked_at_s)),
    ];
    for (name, value) in lines {
        let _ = writeln!(out, "{name:<9} {value}");
    }
}

fn rows(out: &mut String, verdict: &Verdict) {
    let head = ["#", "state", "id", "entered (UTC)", "block", "block time (UTC)", "transaction", "issuer", "verdict"]
        .map(str::to_owned);
    let issuer = short(&verdict.issuer.to_string());
    let body = verdict.states.iter().map(|state| {
        [
            state.sequence.to_string(),
            state.state_name.as_deref().map_or("?".to_owned(), printable),
            short(&state.state.to_string()),
            state.entered_at_ms.map_or("?".to_owned(), at_ms),
            state.block_number.to_string(),
            at_s(state.block_timestamp_s),
            short(&state.transaction_hash.to_string()),
            issuer.clone(),
            verdict.state_status(state).name().to_owned(),
        ]
    });
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(body).collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    out.push('\n');
    for (place, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        if place == 0 {
            let _ = writeln!(out, "{}", widths.map(|width| "-".repeat(width)).join("  "));
        }
    }
    out.push('\n');
}

/// How much of a private run is disclosed; nothing of one that is published.
fn inputs(out: &mut String, verdict: &Verdict) {
    let seen = |input| verdict.states.iter().filter(|state| state.input == Some(input)).count();
    let (committed, disclosed) = (seen(InputSeen::Committed), seen(InputSeen::Disclosed));
    if committed + disclosed > 0 {
        let _ = writeln!(out, "Inputs are private: {committed} committed to, {disclosed} disclosed and confirmed.\n");
    }
}

fn summary(out: &mut String, verdict: &Verdict, check: Check) {
    let all: Vec<(Option<u64>, &Finding)> = verdict
        .findings
        .iter()
        .map(|finding| (None, finding))
        .chain(
            verdict
                .states
                .iter()
                .flat_map(|state| state.findings.iter().map(|finding| (Some(state.sequence), finding))),
        )
        .filter(|(_, finding)| finding.check == check)
        .collect();
    let status = worst(all.iter().map(|(_, finding)| *finding));
    let _ = writeln!(out, "{:<11} {:<24} {}", status.name(), check.name(), check.meaning());
    for (sequence, finding) in all.into_iter().filter(|(_, finding)| finding.status != Status::Passed) {
        evidence(out, sequence, finding);
    }
}

fn evidence(out: &mut String, sequence: Option<u64>, finding: &Finding) {
    if let Some(sequence) = sequence {
        let _ = writeln!(out, "{:12}state {sequence}", "");
    }
    let lines = [
        ("detail", &finding.detail),
        ("expected", &finding.expected),
        ("found", &finding.found),
        ("source", &Some(finding.source.clone())),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(out, "{:12}{name:<9} {}", "", printable(value));
        }
    }
}

/// The first digits of a long hash.
fn short(hash: &str) -> String {
    format!("{}…", hash.chars().take(12).collect::<String>())
}

/// Text from the chain or the web, without characters that would steer a terminal.
fn printable(text: &str) -> String {
    const BIDI: std::ops::RangeInclusive<char> = '\u{2066}'..='\u{2069}';
    const EMBEDDING: std::ops::RangeInclusive<char> = '\u{202a}'..='\u{202e}';
    text.chars()
        .take(200)
        .map(|c| if c.is_control() || BIDI.contains(&c) || EMBEDDING.contains(&c) { '\u{fffd}' } else { c })
        .collect()
}

fn at_s(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    time.and_then(|time| time.format(form).ok()).unwrap_or_else(|| seconds.to_string())
}

fn at_ms(milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    time.ok().and_then(|time| time.format(form).ok()).unwrap_or_else(|| milliseconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(at_s(1_678_443_257), "2023-03-10 10:14:17");
        assert_eq!(at_ms(1_678_443_189_342), "2023-03-10 10:13:09.342");
        assert_eq!(at_s(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
