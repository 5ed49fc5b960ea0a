//! A range that holds more than fits into memory at once is read in parts that follow each other, each way of reading.

use std::{ops::RangeInclusive, sync::Arc};

use alloy::{
    contract::{CallBuilder, CallDecoder},
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
};
use runproof_contracts::{ContractKind, InstanceRegistry};
use runproof_indexer::{Settings, block::Block, endpoints::Endpoints, source::Source};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{audit, scalar},
    harness::{self, World, eventually},
    itrex,
};

/// Less than any block that holds something.
const NO_ROOM: usize = 1;
const BATCHES: u64 = 12;
const STATES: u64 = 20;

#[test]
fn a_dense_range_is_read_in_parts_that_follow_each_other() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        register(&world).await;
        let endpoints = Endpoints::one(world.chain().await.http_url().parse().expect("a URL")).expect("an endpoint");
        for strict in [true, false] {
            let source = || Source::new(endpoints.clone(), world.registry.address, ContractKind::Registry, strict);
            let parts = in_parts(source, range(&world).await).await;
            assert!(parts > 2, "{parts} parts, strict: {strict}");
        }
        let (contract, caller, stranger) = itrex::deploy(&world).await;
        itrex::register(&contract, caller, stranger).await;
        let source = || Source::new(endpoints.clone(), *contract.address(), ContractKind::Itrex, true);
        let parts = in_parts(source, range(&world).await).await;
        assert!(parts > 2, "{parts} parts of the paper's contract");

        indexed_without_room(&world, endpoints).await;
        // The audit wants an indexer that goes on, and a topic.
        let _index = world.start(&["index"]);
        assert_eq!(audit(&world).await.differences, []);
    });
}

/// A run whose states fill block after block.
async fn register(world: &World) {
    let provider = world.chain().await.provider();
    let issuer = provider.get_accounts().await.expect("development accounts")[3];
    let contract = InstanceRegistry::new(world.registry.address, provider.clone());
    let (model, instance) = (B256::repeat_byte(1), B256::repeat_byte(2));
    send(contract.registerModel(model), issuer).await;
    send(contract.registerInstance(model, instance), issuer).await;
    for batch in 0..BATCHES {
        let first = batch * STATES;
        let states = (first..first + STATES).map(|number| B256::left_padding_from(&(number + 1).to_be_bytes()));
        send(contract.registerStates(issuer, instance, first, states.collect(), Default::default()), issuer).await;
    }
}

async fn send<D: CallDecoder>(call: CallBuilder<&DynProvider, D>, from: Address) {
    let sent = call.from(from).send().await.expect("the chain takes it");
    assert!(sent.get_receipt().await.expect("it is included").status());
}

async fn range(world: &World) -> RangeInclusive<u64> {
    let newest = world.chain().await.provider().get_block_number().await.expect("the chain answers");
    world.registry.deployed_at_block..=newest
}

/// In how many parts it comes where there is no room, which together are the range as it comes where there is.
async fn in_parts(source: impl Fn() -> Source, range: RangeInclusive<u64>) -> usize {
    let (all, narrow) = (source(), source().holding(NO_ROOM));
    all.identify(None, None).await.expect("the contract is there");
    let whole = all.blocks(range.clone()).await.expect("the node answers");
    assert_eq!(whole.len() as u64, range.end() - range.start() + 1);
    let (mut read, mut parts) = (Vec::<Block>::new(), 0);
    while read.len() < whole.len() {
        let next = read.last().map_or(*range.start(), |block| block.number + 1);
        let part = narrow.blocks(next..=*range.end()).await.expect("the node answers");
        assert!(!part.is_empty(), "each part is a step forward");
        read.extend(part);
        parts += 1;
    }
    assert!(read == whole, "the parts are the range");
    parts
}

/// An indexer with no room comes to the chain's end all the same.
async fn indexed_without_room(world: &World, endpoints: Arc<Endpoints>) {
    let url: String =
        sqlx::query_scalar("select current_database()::text").fetch_one(&world.pool).await.expect("a name");
    let postgres = harness::stack().await.endpoints().postgres_url.expect("started");
    let mut postgres: url::Url = postgres.parse().expect("a URL");
    postgres.set_path(&url);
    let settings = Settings {
        start_block: world.registry.deployed_at_block,
        range_bytes: NO_ROOM,
        ..Settings::new(endpoints, world.registry.address, postgres)
    };
    let token = CancellationToken::new();
    let indexer = tokio::spawn(runproof_indexer::run(settings, token.clone()));
    eventually("all states are indexed", async || {
        let states = scalar(world, "select count(*) from journal.state").await;
        (states == (BATCHES * STATES) as i64).then_some(())
    })
    .await;
    token.cancel();
    indexer.await.expect("it does not panic").expect("it stops when it is told to");
}
