//! A geth changes its mind, as its consensus client tells it to: the forks are real ones, and come and go at once.

use std::time::Duration;

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::B256,
    providers::{PendingTransactionBuilder, Provider},
    rpc::types::TransactionRequest,
};
use eyre::{OptionExt, Result};
use rand::{Rng, rngs::StdRng};
use runproof_contracts::InstanceRegistry;
use runproof_stack::{Geth, Registry};

use super::{
    forks::{RETRACTIONS, removed, residue, standing},
    judge_on, some_time,
};
use crate::{
    ground::Ground,
    line::Outcome,
    load::{self, Load},
    node::{block, head},
    process::Role,
    world::World,
};

const NOT_INSTALLED: &str = "geth is not installed (`stack/install.sh --faults`)";
/// Nothing is safe or final yet.
const NOTHING: B256 = B256::ZERO;
/// Blocks that geth lets its head sink at most: beyond it answers "Too deep reorg" (-38006).
const DEEPEST: u64 = 32;
const BLOCKS_A_NODE: u64 = 300;

/// A geth with the contract, and a world on it.
struct Driven<'a> {
    geth: Geth,
    world: World<'a>,
    load: Load,
    /// The last final block.
    finalized: (u64, B256),
}

impl<'a> Driven<'a> {
    async fn start(ground: &'a Ground, random: &mut StdRng) -> Result<Self> {
        let name = ground.name();
        let geth = Geth::start(&ground.folder.join(&name).join("node")).await?;
        let from = *geth.accounts().first().ok_or_eyre("geth has no accounts")?;
        let deployment =
            TransactionRequest::default().with_from(from).with_deploy_code(InstanceRegistry::BYTECODE.clone());
        let pending: PendingTransactionBuilder<_> = geth.provider().send_transaction(load::paid(deployment)).await?;
        geth.mine().await?;
        let receipt = geth.provider().get_transaction_receipt(*pending.tx_hash()).await?;
        let receipt = receipt.ok_or_eyre("the contract's deployment was not mined")?;
        let address = receipt.contract_address.ok_or_eyre("the contract was not made")?;
        let registry = Registry { address, deployed_at_block: receipt.block_number.unwrap_or_default() };
        let world = World::on(ground, name, registry, &geth).await?;
        let mut load = Load::new(&geth, address).await?;
        load.blocks(&geth, random, 3).await?;
        let finalized = head(&geth).await?;
        geth.choose(finalized.1, finalized.1, finalized.1).await?;
        Ok(Self { geth, world, load, finalized })
    }

    /// The head becomes an older block, and from there other blocks are made, one more than were lost. Returns the two heads.
    async fn fork(&mut self, random: &mut StdRng, depth: u64) -> Result<(B256, B256)> {
        let (number, old) = head(&self.geth).await?;
        let (_, ancestor) = block(&self.geth, BlockNumberOrTag::Number(number - depth)).await?;
        self.geth.choose(ancestor, NOTHING, NOTHING).await?;
        let busy = depth.min(random.random_range(1..=3));
        self.load.blocks(&self.geth, random, busy).await?;
        crate::node::Node::mine(&self.geth, depth + 1 - busy).await?;
        Ok((old, head(&self.geth).await?.1))
    }

    /// Blocks that may be lost at most.
    async fn deepest(&self) -> Result<u64> {
        Ok((head(&self.geth).await?.0 - self.finalized.0).min(DEEPEST))
    }

    async fn advance_finality(&mut self, behind: u64) -> Result<()> {
        let (number, newest) = head(&self.geth).await?;
        self.finalized = block(&self.geth, BlockNumberOrTag::Number((number - behind).max(self.finalized.0))).await?;
        Ok(self.geth.choose(newest, self.finalized.1, self.finalized.1).await?)
    }

    async fn judge(self, indexer: Role) -> Result<Vec<String>> {
        let broken = judge_on(&self.world, &self.geth, indexer).await?;
        self.geth.stop().await;
        self.world.end().await;
        Ok(broken)
    }
}

/// Line 3: the head sinks to an older block, down to the last final one, and grows from there.
pub(crate) async fn deep(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut retracted_in_all, mut deepest, mut to_the_last) = (0, 0, 0);
    if !Geth::is_installed() {
        return Ok(Outcome::skipped(NOT_INSTALLED));
    }
    while outcome.tried < times {
        let mut driven = Driven::start(ground, random).await?;
        let indexer = driven.world.index()?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_NODE {
            let new = random.random_range(1..=8);
            driven.load.blocks(&driven.geth, random, new).await?;
            driven.world.caught_up(&driven.geth).await?;
            let most = driven.deepest().await?;
            let depth = if random.random_bool(0.3) { most } else { random.random_range(1..=most) };
            let standing = standing(&driven.world, head(&driven.geth).await?.0 - depth).await?;
            let before = driven.world.number(RETRACTIONS).await?;
            driven.fork(random, depth).await?;
            driven.world.caught_up(&driven.geth).await?;
            let retracted = driven.world.number(RETRACTIONS).await? - before;
            let removed = removed(&driven.geth, &standing).await?;
            if retracted != removed {
                let name = &driven.world.name;
                outcome.broken.push(format!("{name}: {retracted} retractions of {removed} rows, depth {depth}"));
            }
            retracted_in_all += retracted;
            deepest = deepest.max(depth);
            to_the_last += u64::from(depth == most);
            blocks += new + depth + 1;
            outcome.tried += 1;
            if random.random_bool(0.2) {
                driven.advance_finality(random.random_range(0..8)).await?;
            }
        }
        outcome.broken.extend(driven.judge(indexer).await?);
    }
    outcome.figure = format!(
        "{retracted_in_all} rows removed = retractions; deepest {deepest}; {to_the_last} as deep as allowed, to the last final block"
    );
    Ok(outcome)
}

/// Line 4: the engine API chooses A, B and A again, at any moment; sometimes the indexer is killed in between.
pub(crate) async fn there_and_back(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    const TURNS_A_NODE: u64 = 25;
    let mut outcome = Outcome::default();
    let (mut kills, mut residues) = (0, 0);
    if !Geth::is_installed() {
        return Ok(Outcome::skipped(NOT_INSTALLED));
    }
    while outcome.tried < times {
        let mut driven = Driven::start(ground, random).await?;
        let mut indexer = driven.world.index()?;
        for _ in 0..TURNS_A_NODE.min(times - outcome.tried) {
            driven.load.blocks(&driven.geth, random, 2).await?;
            let depth = random.random_range(1..=driven.deepest().await?.min(12));
            let (a, b) = driven.fork(random, depth).await?;
            for fork in [a, b, a] {
                driven.geth.choose(fork, NOTHING, NOTHING).await?;
                some_time(random, 600).await;
                if random.random_bool(0.15) {
                    indexer.kill().await?;
                    indexer = driven.world.index()?;
                    kills += 1;
                }
            }
            driven.world.caught_up(&driven.geth).await?;
            outcome.tried += 1;
        }
        residues += residue(&driven.world, driven.geth.provider()).await?;
        outcome.broken.extend(driven.judge(indexer).await?);
    }
    if residues != 0 {
        outcome.broken.push(format!("{residues} rows of the dead fork stand"));
    }
    outcome.figure = format!("residue of the dead fork {residues}; {kills} kills in between");
    Ok(outcome)
}

/// Line 5: live, and at the next start.
pub(crate) async fn below_finalized(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    if !Geth::is_installed() {
        return Ok(Outcome::skipped(NOT_INSTALLED));
    }
    for live in (0..times).map(|time| time % 2 == 0) {
        let mut driven = Driven::start(ground, random).await?;
        let mut indexer = driven.world.index()?;
        driven.load.blocks(&driven.geth, random, 12).await?;
        // geth goes to no block below a final one, but to another fork: this must be there before.
        let depth = random.random_range(2..=10);
        let (a, b) = driven.fork(random, depth).await?;
        driven.geth.choose(a, NOTHING, NOTHING).await?;
        driven.advance_finality(random.random_range(0..depth)).await?;
        driven.load.blocks(&driven.geth, random, 2).await?;
        let (_, newest) = head(&driven.geth).await?;
        // Everything is also in the topic before the chain lies.
        outcome.broken.extend(driven.world.audit(&driven.geth).await?);
        let rows = driven.world.number(ROWS).await?;
        if live {
            driven.geth.choose(b, NOTHING, NOTHING).await?;
        } else {
            indexer.stop().await?;
            driven.geth.choose(b, NOTHING, NOTHING).await?;
            indexer = driven.world.index()?;
        }
        let name = driven.world.name.clone();
        match indexer.ended(Duration::from_secs(60)).await {
            Some(status) if !status.success() && indexer.log().contains("nothing was written") => {}
            other => outcome.broken.push(format!("{name}: it ended with {other:?}, without the alarm")),
        }
        driven.geth.choose(newest, NOTHING, NOTHING).await?;
        outcome.broken.extend(driven.world.audit(&driven.geth).await?);
        if driven.world.number(ROWS).await? != rows {
            outcome.broken.push(format!("{name}: the journal has grown"));
        }
        outcome.tried += 1;
        driven.geth.stop().await;
        driven.world.end().await;
    }
    outcome.figure = "halts with an alarm; rows written 0".into();
    Ok(outcome)
}

const ROWS: &str = "select count(*) from journal.entry";
