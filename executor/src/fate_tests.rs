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

/// Transactions that may be on their way.
const ON_THEIR_WAY: usize = 3;

/// A transaction of the one key. Foreign ones register nothing, or what another executor found open.
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
    /// The same key is used elsewhere, so many nonces ahead: by another executor of the same run, or for something else.
    Foreign {
        ahead: u64,
        offer: u128,
        registers: bool,
    },
    /// For so many looks the node does not tell of transactions in blocks.
    Silence(u32),
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

    fn is_pooled(&self, hash: u64) -> bool {
        self.pool.iter().any(|tx| tx.hash == hash)
    }

    /// What is open of the run, of which so much is registered.
    fn open(&self, registered: Option<OnChain>) -> Vec<Registration> {
        let first = registered.map_or(0, |known| known.count);
        let open = (first..self.entered.min(first + BATCH)).map(|k| (StateId::of(&k.to_be_bytes()), None));
        let captured = Captured {
            model: ModelId::of(b"model"),
            instance: InstanceId::of(b"instance"),
            open: OpenStates::Listed(open.collect()),
            count: self.entered,
            ended: None,
        };
        open_registrations(captured, registered, true)
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
            2 => (0u64..3, 1u128..80, any::<bool>())
                .prop_map(|(ahead, offer, registers)| Transition::Foreign { ahead, offer, registers }),
            1 => (1u32..8).prop_map(Transition::Silence),
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
    silent_looks: u32,
}

impl Executor {
    /// A turn as the following loop does it.
    fn look(&mut self, death: Option<Death>) {
        self.recheck();
        self.settle();
        self.silent_looks = self.silent_looks.saturating_sub(1);
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
            let found = self.network.find(tx.hash).filter(|_| self.silent_looks == 0);
            let known = found.is_some() || self.network.is_pooled(tx.hash);
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
        let live = self.live();
        let signed = self.of(|status| *status == Status::Signed);
        let calls = match signed.len() {
            0 => self.agreed(&live),
            1..ON_THEIR_WAY if live.instance && !live.has_gap => {
                self.network.open(Some(OnChain { count: live.count, outcome: None, registered_at_block: 0 }))
            }
            _ => Vec::new(),
        };
        if !calls.is_empty() && death != Some(Death::BeforeStore) {
            let stored = signed.iter().map(|tx| tx.nonce + 1).max().unwrap_or_default();
            self.store_and_send(self.network.next_nonce().max(stored), self.network.base_fee * 2, Some(calls), death);
        }
    }

    fn agreed(&mut self, live: &Live) -> Vec<Registration> {
        let on_chain = self.network.contract();
        match compare(live, on_chain) {
            Agreement::Equal => return self.network.open(on_chain),
            Agreement::Behind => self.recheck(),
            Agreement::Ahead(_) => self.adopt(),
        }
        Vec::new()
    }

    fn store_and_send(&mut self, nonce: u64, offer: u128, calls: Option<Vec<Registration>>, death: Option<Death>) {
        let tx = Tx { hash: self.network.fresh(), nonce, offer, calls };
        self.transactions.push((tx.clone(), Status::Signed));
        if death != Some(Death::BeforeSend) {
            self.network.send(tx);
        }
    }

    /// What the contract took: of transactions that were given up, and of another executor's.
    fn adopt(&mut self) {
        for (height, Block { id, txs }) in (0..).zip(self.network.blocks.clone()) {
            for (tx, _) in txs.iter().filter(|(tx, succeeded)| *succeeded && tx.calls.is_some()) {
                for (other, status) in &mut self.transactions {
                    if other.nonce == tx.nonce && other.hash != tx.hash {
                        *status = Status::Abandoned;
                    }
                }
                self.transactions.retain(|(stored, _)| stored.hash != tx.hash);
                self.transactions.push((tx.clone(), Status::Included(height, id)));
            }
        }
    }

    fn live(&self) -> Live {
        let calls =
            self.transactions.iter().filter(|(_, status)| matches!(status, Status::Signed | Status::Included(..)));
        let calls: Vec<&Registration> = calls.flat_map(|(tx, _)| tx.calls.iter().flatten()).collect();
        let mut parts: Vec<(u64, u64)> = calls
            .iter()
            .filter_map(|call| match call {
                Registration::States { first, states, .. } => Some((*first, first + states.len() as u64)),
                _ => None,
            })
            .collect();
        parts.sort_unstable();
        let count = parts.iter().fold(0, |end, part| if part.0 <= end { end.max(part.1) } else { end });
        let has_gap = parts.iter().any(|part| part.0 > count);
        let instance = calls.iter().any(|call| matches!(call, Registration::Instance(..)));
        Live { instance, count, has_gap, terminated: false }
    }

    fn of(&self, which: impl Fn(&Status) -> bool) -> Vec<Tx> {
        self.transactions.iter().filter(|(_, status)| which(status)).map(|(tx, _)| tx.clone()).collect()
    }

    fn set(&mut self, hash: u64, status: Status) {
        self.transactions.iter_mut().filter(|(tx, _)| tx.hash == hash).for_each(|(_, old)| *old = status);
    }

    /// Everything that was entered is registered, and the executor knows where.
    fn settled(&self) {
        let count = self.network.contract().map_or(0, |known| known.count);
        assert_eq!(count, self.network.entered, "{self:?}");
        assert!(self.of(|status| *status == Status::Signed).is_empty(), "{self:?}");
        for (height, block) in (0..).zip(&self.network.blocks) {
            let mut registering = block.txs.iter().filter(|(tx, succeeded)| *succeeded && tx.calls.is_some());
            let known =
                |(tx, _): &(Tx, bool)| self.transactions.contains(&(tx.clone(), Status::Included(height, block.id)));
            assert!(registering.all(known), "block {height} is not known: {self:?}");
        }
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Executor;
    type Reference = Network;

    fn init_test(network: &Network) -> Executor {
        Executor { network: network.clone(), transactions: Vec::new(), watches: Default::default(), silent_looks: 0 }
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
            Transition::Foreign { ahead, offer, registers } => {
                let calls = registers.then(|| network.open(network.contract())).filter(|calls| !calls.is_empty());
                let tx = Tx { hash: network.fresh(), nonce: network.used_nonces() + ahead, offer, calls };
                network.send(tx);
            }
            Transition::Silence(looks) => executor.silent_looks = looks,
            Transition::BaseFee(fee) => network.base_fee = fee,
            Transition::Enter(states) => network.entered += states,
            Transition::Look => executor.look(None),
            Transition::Die(death) => executor.look(Some(death)),
            Transition::Settle => {
                network.base_fee = 1;
                executor.silent_looks = 0;
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
