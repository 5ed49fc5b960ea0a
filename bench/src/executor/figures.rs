//! What was found, as the executor's tables and the chain tell it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::providers::{DynProvider, Provider};
use eyre::{OptionExt, Result};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::BLOCK_GAS;
use crate::quantile::quantile;

/// How often the chain's height is looked at: how exactly a block's arrival is known.
const LOOK: Duration = Duration::from_millis(10);

/// What one measurement found.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Executions followed.
    pub executions: usize,
    /// Seconds between two blocks.
    pub block_s: u64,
    /// From the start until all states were captured.
    pub captured_s: f64,
    /// CPU seconds of the executor until then.
    pub capture_cpu_s: f64,
    /// From the start until the last receipt.
    pub registered_s: f64,
    /// The most that the executor had resident.
    pub peak_memory_bytes: u64,
    /// Calls of Step Functions' API, where the endpoint counts them.
    pub calls: Option<u64>,
    /// Whether the executions ran while they were followed.
    pub live: bool,
    /// What was registered.
    pub registered: Registered,
}

/// What was registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// States.
    pub states: usize,
    /// Transactions, the model's left out.
    pub transactions: i64,
    /// Gas that these used.
    pub gas: i64,
    /// By the chain's clock, seconds from the first state's block to the last one's.
    pub span_s: i64,
    /// Blocks from the first one with a state in it to the last.
    pub blocks: i64,
    /// From each state's entry until its block was there, milliseconds, ascending.
    pub latencies_ms: Vec<i64>,
}

/// The columns of [`Figures::row`], in Markdown.
pub const HEADINGS: &str = "\
| what | executions | states | block s | captured s | CPU s | µs CPU/state | peak MB | registered s | after capture s | states/s | the chain's bound, states/s | of the bound | first to last block s | blocks | blocks needed | transactions | gas/state | p50 ms | p99 ms | calls/state |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Figures {
    /// One line of a table. The latency, from a state's entry to its block, is told where the executions ran meanwhile.
    pub fn row(&self, what: &str) -> String {
        let Registered { states, transactions, gas, span_s, blocks, latencies_ms } = &self.registered;
        let each = *states as f64;
        // What blocks of this gas hold, with what a state took here.
        let bound = BLOCK_GAS as f64 * each / *gas as f64 / self.block_s as f64;
        let rate = each / self.registered_s;
        let needed = gas.unsigned_abs().div_ceil(BLOCK_GAS);
        let ms = |share| quantile(latencies_ms, share).map_or("-".to_owned(), |value| value.to_string());
        let (p50, p99) = match self.live {
            true => (ms(0.5), ms(0.99)),
            false => ("-".to_owned(), "-".to_owned()),
        };
        format!(
            "| {what} | {} | {states} | {} | {:.1} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {rate:.0} | {bound:.0} | {:.2} | {span_s} | {blocks} | {needed} | {transactions} | {:.0} | {p50} | {p99} | {} |",
            self.executions,
            self.block_s,
            self.captured_s,
            self.capture_cpu_s,
            self.capture_cpu_s * 1e6 / each,
            self.peak_memory_bytes as f64 / 1e6,
            self.registered_s,
            self.registered_s - self.captured_s,
            rate / bound,
            *gas as f64 / each,
            self.calls.map_or("-".to_owned(), |calls| format!("{:.2}", calls as f64 / each)),
        )
    }
}

/// When blocks arrived, milliseconds since the Unix epoch, by number.
pub(super) type Arrivals = BTreeMap<u64, i64>;

/// Notes when blocks arrive.
pub(super) struct Watch {
    stop: CancellationToken,
    seen: JoinHandle<Result<Arrivals>>,
}

pub(super) fn watch_blocks(chain: DynProvider) -> Watch {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let seen = tokio::spawn(async move {
        let (mut arrivals, mut look) = (Arrivals::new(), tokio::time::interval(LOOK));
        while stopped.run_until_cancelled(look.tick()).await.is_some() {
            let number = chain.get_block_number().await?;
            arrivals.entry(number).or_insert(now_ms()?);
        }
        Ok(arrivals)
    });
    Watch { stop, seen }
}

impl Watch {
    pub(super) async fn stop(self) -> Result<Arrivals> {
        self.stop.cancel();
        self.seen.await?
    }
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

pub(super) async fn registered(sql: &mut PgConnection, arrivals: &Arrivals) -> Result<Registered> {
    let (transactions, gas): (i64, i64) = sqlx::query_as(
        "select count(*), sum(gas_used)::bigint from executor.transaction t where status = 'included'
           and exists (select from executor.registration r where r.transaction_id = t.transaction_id and r.instance_id is not null)",
    )
    .fetch_one(&mut *sql)
    .await?;
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select s.entered_at_ms, t.block_number, t.block_timestamp_s
         from executor.state s
         join executor.registration r on r.instance_id = s.instance_id and r.kind = 'states'
             and s.sequence >= r.first and s.sequence < r.first + r.count
         join executor.transaction t on t.transaction_id = r.transaction_id and t.status = 'included'",
    )
    .fetch_all(sql)
    .await?;
    let span = |value: fn(&(i64, i64, i64)) -> i64| {
        let span = rows.iter().map(value).max().zip(rows.iter().map(value).min()).map(|(last, first)| last - first);
        span.ok_or_eyre("no state is registered")
    };
    let (blocks, span_s) = (span(|(_, block, _)| *block)? + 1, span(|(_, _, timestamp_s)| *timestamp_s)?);
    // A block that nobody saw arrive came before the watch began: there is none with a state in it.
    let latency = |(entered, block, _): &(i64, i64, i64)| Some(arrivals.get(&u64::try_from(*block).ok()?)? - entered);
    let mut latencies_ms: Vec<i64> = rows.iter().filter_map(latency).collect();
    latencies_ms.sort_unstable();
    Ok(Registered { states: rows.len(), transactions, gas, span_s, blocks, latencies_ms })
}
