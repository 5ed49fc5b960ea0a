//! Step Functions behaves as AWS does on a bad day.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use eyre::{OptionExt, Result};
use rand::{Rng, rngs::StdRng};
use runproof_stack::{Pace, Recorded, Recording};
use serde_json::{Value, json};

use super::p99;
use crate::{aws_proxy::Manners, followed::Followed, ground::Ground, hints::Hints, line::Outcome};

/// The execution's start and its end.
const EVENTS_AROUND: u64 = 2;
const EVENTS_A_STATE: u64 = 2;
/// Events of a long history that come after later ones.
const HOLES: u64 = 50;
/// An execution that stood still for three seconds is looked at after a tenth of that at the latest; the look itself, beside whatever else runs here, and
/// the transaction of Postgres take the rest.
const ONE_LOOK: Duration = Duration::from_millis(1_500);

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Line 30; `times` is the number of events. Half of them come while they are read, at a pace that no emulator here has; the executor
/// is away for the others, and reads them at once.
pub(crate) async fn long_histories(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let states = times.saturating_sub(EVENTS_AROUND) / EVENTS_A_STATE;
    let told = Recording::counted("long", 0, states as usize);
    let arn = told.execution_arn.clone();
    let engine = Recorded::serve(vec![told.clone()], Pace::AsItHappened).await?;
    let runs = Followed::recorded(ground, random, engine.url(), &told).await?;
    let page = (times / 100).max(20) as usize;
    let hole_every = (times / HOLES).max(2);
    runs.proxy.behave(Manners { page, expired: 0.05, doubled: 0.2, hole_every, ..Manners::default() });
    let executor = runs.follow()?;
    runs.captured(times / 2).await?;
    executor.kill().await?;
    runs.stopped(&arn).await?;
    let executor = runs.follow()?;
    runs.sealed(1, &executor).await?;
    let broken = runs.judge(&[arn], &executor).await?;
    let counts = runs.proxy.counts();
    let (doubled, expired, holes) = (read(&counts.doubled), read(&counts.expired), read(&counts.holes));
    let tried = states * EVENTS_A_STATE + EVENTS_AROUND;
    let figure = format!(
        "{doubled} pages given twice, {expired} tokens refused, {holes} events late, {} calls",
        read(&counts.calls)
    );
    executor.kill().await?;
    runs.end().await;
    Ok(Outcome { tried, figure, broken, ..Outcome::default() })
}

/// Line 31; `times` is the number of executions.
pub(crate) async fn throttled(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let runs = Followed::new(ground, random, &steps()).await?;
    runs.proxy.behave(Manners { throttled: 0.5, lost: 0.5, ..Manners::default() });
    let executor = runs.follow()?;
    let (mut outcome, mut given) = (Outcome::default(), 0);
    for number in 0..times {
        given += runs.start_by_command(&format!("run-{number}")).await?;
        outcome.tried += 1;
    }
    runs.sealed(times, &executor).await?;
    let started = runs.executions().await?;
    if started.len() as u64 != times {
        outcome.broken.push(format!("{times} executions were meant to start, {} did", started.len()));
    }
    outcome.broken.extend(runs.judge(&started, &executor).await?);
    let counts = runs.proxy.counts();
    let (throttled, calls, lost) = (read(&counts.throttled), read(&counts.calls), read(&counts.lost));
    outcome.figure =
        format!("{throttled} of {calls} calls refused, {lost} replies lost, {given} commands for {times} runs");
    executor.kill().await?;
    runs.end().await;
    Ok(outcome)
}

/// Line 32.
pub(crate) async fn stale(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let (runs, mut hints) = Followed::hinted(ground, random, &waits()).await?;
    let executor = runs.follow()?;
    let mut outcome = Outcome::default();
    let mut arns = Vec::new();
    for _ in 0..times {
        let stale = Duration::from_millis(random.random_range(100..=2_000));
        runs.proxy.behave(Manners { stale, ..Manners::default() });
        let arn = runs.start(&format!("run-{}", outcome.tried), &json!({})).await?;
        outcome.tried += 1;
        hints.tell(random, &arn, "RUNNING").await?;
        runs.ended(&arn).await?;
        hints.tell(random, &arn, "SUCCEEDED").await?;
        runs.sealed(outcome.tried, &executor).await?;
        arns.push(arn);
    }
    outcome.broken.extend(runs.judge(&arns, &executor).await?);
    let mut late_ms = Vec::new();
    for arn in &arns {
        let history = runs.proxy.history(arn).await?;
        let ended_s = history.last().and_then(|event| event["timestamp"].as_f64()).ok_or_eyre("no end")?;
        // One that a list told of only after its end is looked at from then on.
        let sql = "select extract(epoch from ended_at - greatest(created_at, to_timestamp($2)))::float8
                   from executor.instance where execution_arn = $1";
        let late_s: f64 = sqlx::query_scalar(sql).bind(arn).bind(ended_s).fetch_one(&runs.world.pool).await?;
        late_ms.push((late_s.max(0.0) * 1_000.0) as u128);
    }
    let late = p99(late_ms);
    if late > ONE_LOOK.as_millis() {
        outcome.broken.push(format!("an end was captured {late} ms after it came"));
    }
    let stale = read(&runs.proxy.counts().stale);
    let Hints { dropped, doubled, .. } = hints;
    outcome.figure = format!(
        "{stale} answers of some time ago, {dropped} hints dropped, {doubled} doubled, end captured after {late} ms (p99)"
    );
    executor.kill().await?;
    runs.end().await;
    Ok(outcome)
}

/// Line 33: executions fail twice and are redriven twice, with the executor there, or away in the meantime.
pub(crate) async fn redriven(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let runs = Followed::new(ground, random, &fails_twice()).await?;
    let mut executor = runs.follow()?;
    let mut outcome = Outcome::default();
    let (mut arns, mut sealed) = (Vec::new(), 0);
    while outcome.tried < times {
        let arn = runs.start(&format!("run-{}", outcome.tried), &orders(random)).await?;
        sealed += 1;
        runs.sealed(sealed, &executor).await?;
        let before = runs.registered(&arn).await?;
        for _ in 0..2 {
            if random.random_bool(0.5) {
                runs.redrive(&arn).await?;
            } else {
                executor.kill().await?;
                runs.redrive(&arn).await?;
                runs.stopped(&arn).await?;
                executor = runs.follow()?;
            }
            outcome.tried += 1;
            sealed += 1;
            runs.sealed(sealed, &executor).await?;
        }
        if !runs.registered(&arn).await?.starts_with(&before) {
            outcome.broken.push(format!("{arn}: what was registered before its redrive was rewritten"));
        }
        arns.push(arn);
    }
    outcome.broken.extend(runs.judge(&arns, &executor).await?);
    outcome.figure = format!("{} instances of {} executions, rewritten 0", sealed, arns.len());
    executor.kill().await?;
    runs.end().await;
    Ok(outcome)
}

fn steps() -> Value {
    json!({"StartAt": "One", "States": {
        "One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Pass", "Next": "Three"}, "Three": {"Type": "Succeed"}}})
}

fn waits() -> Value {
    json!({"StartAt": "Wait", "States": {
        "Wait": {"Type": "Wait", "Seconds": 3, "Next": "Done"}, "Done": {"Type": "Succeed"}}})
}

/// Two tasks that fail when they are called for the first time, with no retry.
fn fails_twice() -> Value {
    let task = |order: &str| {
        json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": null, "Parameters": {
            "FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:transform", "Payload": {"body.$": order}}})
    };
    let (mut first, mut second) = (task("$.first"), task("$.second"));
    first["Next"] = json!("Second");
    second["Next"] = json!("Done");
    json!({"StartAt": "First", "States": {"First": first, "Second": second, "Done": {"Type": "Succeed"}}})
}

/// The demo's orders, which are throttled once.
fn orders(random: &mut StdRng) -> Value {
    let mut order = || {
        let number: u64 = random.random();
        json!({"order_id": format!("redriven-{number}"), "customer": "c", "items": [], "throttle_once": true})
            .to_string()
    };
    json!({"first": order(), "second": order()})
}
