//! What becomes of a transaction on its way: told wrongly, dropped, outbid, overtaken, taken back.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::{
    consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable},
    eips::eip2718::{Decodable2718, Encodable2718},
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use axum::{http::StatusCode, response::IntoResponse};
use eyre::Result;
use rand::{Rng, SeedableRng, rngs::StdRng};
use runproof_stack::CHAIN_ID;
use serde_json::Value;

use super::{executors::TRIES_A_WORLD, nodes::method, p99};
use crate::{
    ground::Ground,
    line::Outcome,
    miner::mine,
    rpc_proxy::{Meddled, Passing, refusal},
    runs::Runs,
};

/// How long a transaction may take from its run's start to the node.
const REACHED_WITHIN: Duration = Duration::from_secs(60);

/// Line 25: the node has taken the transaction, and says something else.
pub(crate) async fn told_wrongly(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut reverted = 0;
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        runs.proxy.meddle(StdRng::seed_from_u64(random.random()), |call, answer, random| {
            if method(call) != "eth_sendRawTransaction" || !random.random_bool(0.2) {
                return Meddled::Not;
            }
            match random.random_range(0..3) {
                0 => return Meddled::Instead(StatusCode::GATEWAY_TIMEOUT.into_response()),
                1 => *answer = refusal(call, "already known"),
                _ => *answer = refusal(call, "nonce too low: next nonce 7, tx nonce 6"),
            }
            Meddled::Changed
        });
        let executor = runs.follow()?;
        let wanted = TRIES_A_WORLD.min(times - outcome.tried);
        while runs.proxy.meddled() < wanted {
            let started = random.random_range(1..=4);
            runs.start(started).await?;
            runs.quiet(&runs.desk).await?;
        }
        outcome.broken.extend(runs.judge(&runs.desk, &executor).await?);
        outcome.tried += runs.proxy.meddled();
        reverted += runs.count("reverted").await?;
        executor.kill().await?;
        runs.end().await;
    }
    outcome.figure = format!("duplicate effects 0, reverted transactions {reverted}");
    Ok(outcome)
}

/// Line 26: by turns dropped by the node, and made too cheap by the blocks' base fee.
pub(crate) async fn dropped_or_outbid(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut blocks = Vec::new();
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        runs.proxy.screen(underpriced());
        let executor = runs.follow()?;
        let until = times.min(outcome.tried + TRIES_A_WORLD);
        while outcome.tried < until {
            runs.quiet(&runs.desk).await?;
            let still = runs.miner.pause().await;
            let pending = on_its_way(&mut runs).await?;
            if outcome.tried.is_multiple_of(2) {
                runs.node()?.anvil_drop_transaction(*pending.tx_hash()).await?;
            } else {
                let dear = pending.max_fee_per_gas() + random.random_range(1..=5_000_000_000);
                runs.node()?.anvil_set_next_block_base_fee_per_gas(dear).await?;
                mine(runs.node()?).await?;
            }
            let height = runs.height().await?;
            drop(still);
            runs.quiet(&runs.desk).await?;
            blocks.push(u128::from(runs.height().await? - height));
            outcome.tried += 1;
        }
        outcome.broken.extend(runs.judge(&runs.desk, &executor).await?);
        executor.kill().await?;
        runs.end().await;
    }
    outcome.figure = format!("blocks until all of the run is included p99 {}", p99(blocks));
    Ok(outcome)
}

/// Starts a run; its first transaction, which is in the pool now. No block may be made meanwhile.
async fn on_its_way(runs: &mut Runs<'_>) -> Result<TxEnvelope> {
    let caught = runs.proxy.snare.set(Passing::Sent);
    runs.start(1).await?;
    drop(tokio::time::timeout(REACHED_WITHIN, caught).await??);
    runs.newest_signed().await
}

/// As go-ethereum does, and anvil does not: what replaces a transaction must offer a tenth more, of both.
fn underpriced() -> impl FnMut(&Value) -> Option<&'static str> + Send {
    let mut offered = HashMap::<(Address, u64), (B256, u128, u128)>::new();
    move |call| {
        let raw: Bytes =
            (method(call) == "eth_sendRawTransaction").then(|| call["params"][0].as_str()?.parse().ok())??;
        let sent = TxEnvelope::decode_2718(&mut &raw[..]).ok()?;
        let (fee, tip) = (sent.max_fee_per_gas(), sent.max_priority_fee_per_gas().unwrap_or_default());
        let new = (*sent.tx_hash(), fee, tip);
        let place = (sent.recover_signer().ok()?, sent.nonce());
        let tenth_more = |old: u128| old + old.div_ceil(10);
        match offered.get(&place) {
            Some((hash, old_fee, old_tip))
                if *hash != new.0 && (fee < tenth_more(*old_fee) || tip < tenth_more(*old_tip)) =>
            {
                Some("replacement transaction underpriced")
            }
            _ => {
                offered.insert(place, new);
                None
            }
        }
    }
}

/// What somebody else does with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// A transaction before the executor's, which vanishes again: a gap.
    Vanishes,
    /// One takes the nonce that the executor has stored and not sent yet.
    Overtakes,
    /// One takes the nonce of a transaction that is in the pool, by offering more.
    Outbids,
    /// One waits for the nonce after the next.
    IsAhead,
}

const FOREIGN: [Foreign; 4] = [Foreign::Vanishes, Foreign::Overtakes, Foreign::Outbids, Foreign::IsAhead];

/// Line 27.
pub(crate) async fn same_key(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut heals_ms = Vec::new();
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        let executor = runs.follow()?;
        let until = times.min(outcome.tried + TRIES_A_WORLD);
        while outcome.tried < until {
            let foreign = FOREIGN[usize::try_from(outcome.tried)? % FOREIGN.len()];
            meddle_with_nonces(&mut runs, foreign).await?;
            let begun = Instant::now();
            runs.quiet(&runs.desk).await?;
            heals_ms.push(begun.elapsed().as_millis());
            outcome.tried += 1;
        }
        outcome.broken.extend(runs.judge(&runs.desk, &executor).await?);
        executor.kill().await?;
        runs.end().await;
    }
    outcome.figure = format!("whole again within {} ms (p99)", p99(heals_ms));
    Ok(outcome)
}

async fn meddle_with_nonces(runs: &mut Runs<'_>, foreign: Foreign) -> Result<()> {
    let _still = runs.miner.pause().await;
    let nonce = runs.node()?.get_transaction_count(runs.signer.address()).await?;
    match foreign {
        Foreign::Vanishes => {
            let hash = send_foreign(runs, nonce).await?;
            on_its_way(runs).await?;
            runs.node()?.anvil_drop_transaction(hash).await?;
        }
        Foreign::Overtakes => {
            let caught = runs.proxy.snare.set(Passing::Sending);
            runs.start(1).await?;
            let caught = tokio::time::timeout(REACHED_WITHIN, caught).await??;
            send_foreign(runs, nonce).await?;
            mine(runs.node()?).await?;
            drop(caught);
        }
        Foreign::Outbids => {
            on_its_way(runs).await?;
            send_foreign(runs, nonce).await?;
        }
        Foreign::IsAhead => {
            send_foreign(runs, nonce + 1).await?;
            runs.start(1).await?;
        }
    }
    Ok(())
}

/// A transfer of nothing to nobody, past the executor.
async fn send_foreign(runs: &Runs<'_>, nonce: u64) -> Result<B256> {
    const FEE_WEI: u128 = 100_000_000_000;
    let request = TransactionRequest::default()
        .with_from(runs.signer.address())
        .with_to(Address::ZERO)
        .with_chain_id(CHAIN_ID)
        .with_nonce(nonce)
        .with_gas_limit(21_000)
        .with_max_fee_per_gas(FEE_WEI)
        .with_max_priority_fee_per_gas(FEE_WEI);
    let signed = request.build(&EthereumWallet::from(runs.signer.clone())).await?;
    Ok(*runs.node()?.send_raw_transaction(&signed.encoded_2718()).await?.tx_hash())
}

/// How what was known of a receipt becomes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receipts {
    /// Its block is replaced by an empty one.
    Replaced,
    /// The chain goes back to before it, and on.
    RolledBack,
    /// The node does not tell it for a while.
    Hidden,
    /// Nor that it has the transaction.
    Forgotten,
}

const RECEIPTS: [Receipts; 4] = [Receipts::Replaced, Receipts::RolledBack, Receipts::Hidden, Receipts::Forgotten];
/// Deepest reorganisation; the issuer's ether and model lie deeper.
const DEEPEST: u64 = 8;

/// Line 28.
pub(crate) async fn receipts_lost(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut needless, mut reverted) = (0, 0);
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        let silence = Silence::over(&runs, random);
        let executor = runs.follow()?;
        let until = times.min(outcome.tried + TRIES_A_WORLD);
        while outcome.tried < until {
            let what = RECEIPTS[usize::try_from(outcome.tried)? % RECEIPTS.len()];
            let (hidden, with_transaction) = match what {
                Receipts::Hidden => (random.random_range(1..20), false),
                Receipts::Forgotten => (random.random_range(1..20), true),
                _ => (0, false),
            };
            silence.begin(hidden, with_transaction);
            let before = runs.count("included").await?;
            let started = random.random_range(1..=2);
            runs.start(started).await?;
            let included = || async { Ok(runs.count("included").await? > before) };
            runs.world.until("a receipt is noted", included).await?;
            let still = runs.miner.pause().await;
            let depth = random.random_range(1..=DEEPEST);
            match what {
                Receipts::Replaced => runs.world.chain()?.reorganise(depth).await?,
                Receipts::RolledBack => runs.node()?.anvil_rollback(Some(depth)).await?,
                Receipts::Hidden | Receipts::Forgotten => {}
            }
            drop(still);
            runs.quiet(&runs.desk).await?;
            outcome.tried += 1;
        }
        outcome.broken.extend(runs.judge(&runs.desk, &executor).await?);
        needless += silence.needless.load(Ordering::Relaxed);
        reverted += runs.count("reverted").await?;
        executor.kill().await?;
        runs.end().await;
    }
    if needless > 0 {
        outcome.broken.push(format!("{needless} transactions were sent to a node that had them"));
    }
    outcome.figure = format!("needless resends {needless}, reverted transactions {reverted}");
    Ok(outcome)
}

/// Answers that the proxy turns into null.
struct Silence {
    receipts: Arc<AtomicU64>,
    transactions: Arc<AtomicU64>,
    /// Transactions that were sent although the node had them.
    needless: Arc<AtomicU64>,
}

impl Silence {
    fn over(runs: &Runs<'_>, random: &mut StdRng) -> Self {
        let [receipts, transactions, needless] = [(); 3].map(|()| Arc::<AtomicU64>::default());
        let silence = Self { receipts, transactions, needless };
        let (receipts, transactions, needless) =
            (silence.receipts.clone(), silence.transactions.clone(), silence.needless.clone());
        runs.proxy.meddle(StdRng::seed_from_u64(random.random()), move |call, answer, _| {
            let left = match method(call) {
                "eth_getTransactionReceipt" => &receipts,
                "eth_getTransactionByHash" if !answer["result"]["blockHash"].is_null() => &transactions,
                "eth_sendRawTransaction" => {
                    let told = answer["error"]["message"].as_str().unwrap_or_default();
                    let had = ["already imported", "nonce too low"].iter().any(|text| told.contains(text));
                    needless.fetch_add(had.into(), Ordering::Relaxed);
                    return Meddled::Not;
                }
                _ => return Meddled::Not,
            };
            let less = |left: u64| left.checked_sub(1);
            if answer["result"].is_null() || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
                return Meddled::Not;
            }
            answer["result"] = Value::Null;
            Meddled::Changed
        });
        silence
    }

    /// So many answers from now on.
    fn begin(&self, answers: u64, with_transaction: bool) {
        self.receipts.store(answers, Ordering::Relaxed);
        self.transactions.store(if with_transaction { answers } else { 0 }, Ordering::Relaxed);
    }
}
