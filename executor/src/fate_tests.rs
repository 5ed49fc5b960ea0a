use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use runproof_protocol::{InstanceId, ModelId, StateId};

use super::*;
use crate::{
    agreement::{Agreement, Live, compare},
    chain::OnChain,
    plan::{Captured, OpenStates, Registration, open_registrations},
    replacement::bumped,
};

/// States that one transaction registers at most.
const BATCH: u64 = 3;
const REPLACE_AFTER_BLOCKS: u64 = 6;
const BASE_FEE: u128 = 10;

/// A transaction of the one key. Foreign ones register nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tx {
    hash: u64,
    nonce: u64,
    offer: u128,
    calls: Option<Vec<Registration>>,
}

/// A block by its id, with its transactions and whether each succeeded.
#[derive(Debug, Clone)]
struct Block {
    id: u64,
    txs: Vec<(Tx, bool)>,
}

/// A chain with its pool, and how far the run has come that is to be registered.
#[derive(Debug, Clone)]
struct Network {
    blocks: Vec<Block>,
    pool: Vec<Tx>,
    base_fee: u128,
    entered: u64,
    /// Blocks and hashes that were ever made.
    made: u64,
}

/// Where an executor dies in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    BeforeStore,
    BeforeSend,
    AfterSend,
}

/// What may happen.
#[derive(Debug, Clone)]
enum Transition {
    Mine,
    /// Blocks are taken back; what they held is in the pool again, or gone.
    Reorganise {
        depth: usize,
        pooled: bool,
    },
    /// The pool forgets one of its transactions.
    Drop(usize),
    /// The same key is used elsewhere, so many nonces ahead.
    Foreign {
        ahead: u64,
        offer: u128,
    },
    BaseFee(u128),
    /// The run enters states.
    Enter(u64),
    Look,
    Die(Death),
    /// Blocks are made and looked at until nothing moves.
    Settle,
}

impl Network {
    fn used_nonces(&self) -> u64 {
        self.blocks.iter().map(|block| block.txs.len() as u64).sum()
    }

    fn next_nonce(&self) -> u64 {
        (self.used_nonces()..).find(|nonce| self.pool.iter().all(|tx| tx.nonce != *nonce)).unwrap_or_default()
    }

    /// The contract's view of the run, after all blocks.
    fn contract(&self) -> Option<OnChain> {
        let succeeded = self.blocks.iter().flat_map(|block| &block.txs).filter(|(_, succeeded)| *succeeded);
        succeeded.flat_map(|(tx, _)| tx.calls.iter().flatten()).fold(None, apply)
    }

    fn mine(&mut self) {
        let mut block = Block { id: self.fresh(), txs: Vec::new() };
        let (mut contract, mut nonce) = (self.contract(), self.used_nonces());
        while let Some(place) = self.best(nonce) {
            let tx = self.pool.remove(place);
            let after = tx
                .calls
                .iter()
                .flatten()
                .try_fold(contract, |state, call| takes(state, call).then(|| apply(state, call)));
            contract = after.unwrap_or(contract);
            block.txs.push((tx, after.is_some()));
            nonce += 1;
        }
        self.pool.retain(|tx| tx.nonce >= nonce);
        self.blocks.push(block);
    }

    fn best(&self, nonce: u64) -> Option<usize> {
        let fits = |tx: &Tx| tx.nonce == nonce && tx.offer >= self.base_fee;
        (0..self.pool.len()).filter(|place| fits(&self.pool[*place])).max_by_key(|place| self.pool[*place].offer)
    }

    /// What a node does with a transaction that it is sent.
    fn send(&mut self, tx: Tx) {
        let outbid = |old: &Tx| old.nonce == tx.nonce && tx.offer < old.offer + old.offer.div_ceil(10);
        if tx.nonce >= self.used_nonces() && !self.pool.iter().any(outbid) {
            self.pool.retain(|old| old.nonce != tx.nonce);
            self.pool.push(tx);
        }
    }

    fn find(&self, hash: u64) -> Option<(u64, u64, bool)> {
        self.blocks.iter().zip(0..).find_map(|(block, height)| {
            block.txs.iter().find(|(tx, _)| tx.hash == hash).map(|(_, succeeded)| (height, block.id, *succeeded))
        })
    }

    fn knows(&self, hash: u64) -> bool {
        self.pool.iter().any(|tx| tx.hash == hash) || self.find(hash).is_some()
    }

    fn fresh(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

fn takes(state: Option<OnChain>, call: &Registration) -> bool {
    match call {
        Registration::Instance(..) => state.is_none(),
        Registration::States { first, .. } => state.is_some_and(|known| known.count == *first),
        _ => true,
    }
}

fn apply(state: Option<OnChain>, call: &Registration) -> Option<OnChain> {
    match call {
        Registration::Instance(..) => Some(OnChain { count: 0, outcome: None, registered_at_block: 1 }),
        Registration::States { states, .. } => {
            state.map(|known| OnChain { count: known.count + states.len() as u64, ..known })
        }
        _ => state,
    }
}

impl ReferenceStateMachine for Network {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { blocks: Vec::new(), pool: Vec::new(), base_fee: BASE_FEE, entered: 1, made: 0 }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let death = prop_oneof![Just(Death::BeforeStore), Just(Death::BeforeSend), Just(Death::AfterSend)];
        prop_oneof![
            4 => Just(Transition::Mine),
            2 => (1usize..5, any::<bool>()).prop_map(|(depth, pooled)| Transition::Reorganise { depth, pooled }),
            1 => (0usize..4).prop_map(Transition::Drop),
            1 => (0u64..3, 1u128..80).prop_map(|(ahead, offer)| Transition::Foreign { ahead, offer }),
            1 => (1u128..60).prop_map(Transition::BaseFee),
            2 => (1u64..5).prop_map(Transition::Enter),
            6 => Just(Transition::Look),
            2 => death.prop_map(Transition::Die),
            1 => Just(Transition::Settle),
        ]
        .boxed()
    }

    /// What executors do is no part of the reference: it is applied to the system under test, which has the network too.
    fn apply(state: Self, _: &Transition) -> Self {
        state
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Signed,
    /// Height and id of the block.
    Included(u64, u64),
    Reverted,
    Abandoned,
}

/// What Postgres keeps, and what the process remembers.
#[derive(Debug, Clone)]
struct Executor {
    network: Network,
    transactions: Vec<(Tx, Status)>,
    watches: std::collections::HashMap<u64, Watch>,
}

impl Executor {
    /// A turn as the following loop does it.
    fn look(&mut self, death: Option<Death>) {
        self.recheck();
        self.settle();
        self.register(death);
        if death.is_some() {
            self.watches.clear();
        }
    }

    fn recheck(&mut self) {
        let block = |height: u64| self.network.blocks.get(height as usize).map(|block| block.id);
        for (_, status) in &mut self.transactions {
            if let Status::Included(height, id) = *status
                && block(height) != Some(id)
            {
                *status = Status::Signed;
            }
        }
    }

    fn settle(&mut self) {
        let block = self.network.blocks.len() as u64;
        let (used_nonces, mut next_nonce) = (self.network.used_nonces(), self.network.next_nonce());
        let mut signed: Vec<Tx> = self.of(|status| *status == Status::Signed);
        signed.sort_by_key(|tx| tx.nonce);
        for tx in signed {
            let found = self.network.find(tx.hash);
            let known = self.network.knows(tx.hash);
            let underpriced = tx.offer < self.network.base_fee;
            let seen = Sighting { block, used_nonces, next_nonce, receipt: found.is_some(), known, underpriced };
            let watch = self.watches.entry(tx.hash).or_insert(Watch::new(block));
            match (watch.step(tx.nonce, &seen, REPLACE_AFTER_BLOCKS), found) {
                (Step::Include, Some((height, id, true))) => self.set(tx.hash, Status::Included(height, id)),
                (Step::Include, _) => self.set(tx.hash, Status::Reverted),
                (Step::Abandon(_), _) => self.set(tx.hash, Status::Abandoned),
                (Step::Send, _) => {
                    assert!(!known, "{tx:?} is sent needlessly");
                    self.network.send(tx.clone());
                    next_nonce = next_nonce.max(tx.nonce + 1);
                }
                (Step::Replace, _) => {
                    self.set(tx.hash, Status::Abandoned);
                    self.store_and_send(tx.nonce, bumped(tx.offer), tx.calls, None);
                    next_nonce = next_nonce.max(tx.nonce + 1);
                }
                (Step::Wait, _) => next_nonce = next_nonce.max(tx.nonce + 1),
            }
        }
    }

    fn register(&mut self, death: Option<Death>) {
        let signed = self.of(|status| *status == Status::Signed);
        let (live, on_chain) = (self.live(), self.network.contract());
        if !signed.is_empty() {
            return;
        }
        match compare(&live, on_chain) {
            Agreement::Behind => self.recheck(),
            Agreement::Ahead(_) => self.adopt(),
            Agreement::Equal => {
                let first = on_chain.map_or(0, |known| known.count);
                let open =
                    (first..self.network.entered.min(first + BATCH)).map(|k| (StateId::of(&k.to_be_bytes()), None));
                let captured = Captured {
                    model: ModelId::of(b"model"),
                    instance: InstanceId::of(b"instance"),
                    open: OpenStates::Listed(open.collect()),
                    count: self.network.entered,
                    ended: None,
                };
                let calls = open_registrations(captured, on_chain, true);
                if !calls.is_empty() && death != Some(Death::BeforeStore) {
                    let offer = self.network.base_fee * 2;
                    self.store_and_send(self.network.next_nonce(), offer, Some(calls), death);
                }
            }
        }
    }

    fn store_and_send(&mut self, nonce: u64, offer: u128, calls: Option<Vec<Registration>>, death: Option<Death>) {
        let tx = Tx { hash: self.network.fresh(), nonce, offer, calls };
        self.transactions.push((tx.clone(), Status::Signed));
        if death != Some(Death::BeforeSend) {
            self.network.send(tx);
        }
    }

    /// What the contract took, of transactions that were given up.
    fn adopt(&mut self) {
        for place in 0..self.transactions.len() {
            let (tx, _) = &self.transactions[place];
            if let Some((height, id, true)) = self.network.find(tx.hash) {
                let (hash, nonce) = (tx.hash, tx.nonce);
                self.set(hash, Status::Included(height, id));
                for (other, status) in &mut self.transactions {
                    if other.nonce == nonce && other.hash != hash {
                        *status = Status::Abandoned;
                    }
                }
            }
        }
    }

    fn live(&self) -> Live {
        let calls =
            self.transactions.iter().filter(|(_, status)| matches!(status, Status::Signed | Status::Included(..)));
        let calls: Vec<&Registration> = calls.flat_map(|(tx, _)| tx.calls.iter().flatten()).collect();
        let reached = calls.iter().filter_map(|call| match call {
            Registration::States { first, states, .. } => Some(first + states.len() as u64),
            _ => None,
        });
        let instance = calls.iter().any(|call| matches!(call, Registration::Instance(..)));
        Live { instance, count: reached.max().unwrap_or_default(), terminated: false }
    }

    fn of(&self, which: impl Fn(&Status) -> bool) -> Vec<Tx> {
        self.transactions.iter().filter(|(_, status)| which(status)).map(|(tx, _)| tx.clone()).collect()
    }

    fn set(&mut self, hash: u64, status: Status) {
        self.transactions.iter_mut().filter(|(tx, _)| tx.hash == hash).for_each(|(_, old)| *old = status);
    }

    /// Everything that was entered is registered, and the executor knows it.
    fn settled(&self) {
        let count = self.network.contract().map_or(0, |known| known.count);
        assert_eq!(count, self.network.entered, "{self:?}");
        assert_eq!(self.live().count, count, "{self:?}");
        assert!(self.of(|status| *status == Status::Signed).is_empty(), "{self:?}");
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Executor;
    type Reference = Network;

    fn init_test(network: &Network) -> Executor {
        Executor { network: network.clone(), transactions: Vec::new(), watches: Default::default() }
    }

    fn apply(mut executor: Executor, _: &Network, transition: Transition) -> Executor {
        let network = &mut executor.network;
        match transition {
            Transition::Mine => network.mine(),
            Transition::Reorganise { depth, pooled } => {
                let keep = network.blocks.len().saturating_sub(depth);
                let gone = network.blocks.split_off(keep).into_iter().flat_map(|block| block.txs);
                network.pool.extend(gone.filter(|_| pooled).map(|(tx, _)| tx));
                network.mine();
            }
            Transition::Drop(place) if place < network.pool.len() => drop(network.pool.remove(place)),
            Transition::Drop(_) => {}
            Transition::Foreign { ahead, offer } => {
                let tx = Tx { hash: network.fresh(), nonce: network.used_nonces() + ahead, offer, calls: None };
                network.send(tx);
            }
            Transition::BaseFee(fee) => network.base_fee = fee,
            Transition::Enter(states) => network.entered += states,
            Transition::Look => executor.look(None),
            Transition::Die(death) => executor.look(Some(death)),
            Transition::Settle => {
                network.base_fee = 1;
                let batches = network.entered / BATCH + 1;
                for _ in 0..20 + 4 * batches {
                    executor.look(None);
                    executor.network.mine();
                }
                executor.look(None);
                executor.settled();
            }
        }
        executor
    }

    fn check_invariants(executor: &Executor, _: &Network) {
        let mut nonces: Vec<u64> = executor
            .of(|status| matches!(status, Status::Signed | Status::Included(..)))
            .iter()
            .map(|tx| tx.nonce)
            .collect();
        nonces.sort_unstable();
        assert!(nonces.windows(2).all(|pair| pair[0] != pair[1]), "a nonce has two live transactions: {executor:?}");
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to transactions, nonces and blocks, each state is registered once, and what is stored says so in the end.
    #[test]
    fn whatever_the_chain_does_each_state_is_registered_once(sequential 1..60 => Machine);
}
