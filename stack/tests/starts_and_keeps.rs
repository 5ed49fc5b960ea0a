//! Every part starts, answers, is stopped, and goes on from its data.

use std::time::{Duration, Instant};

use alloy::primitives::{B256, U256};
use alloy::providers::Provider;
use alloy::sol_types::SolCall;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use runproof_contracts::ens::EnsRegistry;
use runproof_contracts::registry::InstanceRegistry;
use runproof_stack::{Ports, Stack, StackError, StackOptions, namehash};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

const TOPIC: &str = "kept";

#[tokio::test(flavor = "multi_thread")]
async fn everything_starts_stops_and_goes_on() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let options = StackOptions { ports: Ports::free()?, ..StackOptions::new(folder.path()) };

    let stack = Stack::start(options.clone()).await?;
    let before = stack.endpoints();
    write_row(&stack).await?;
    write_message(&stack).await?;
    let named = write_name(&stack).await?;
    let in_use = Stack::start(options.clone()).await.expect_err("the folder is locked");
    assert!(matches!(in_use, StackError::DataFolderInUse { .. }), "{in_use}");
    let head = stack.chain()?.provider().get_block_number().await?;
    stack.stop().await;

    let begun = Instant::now();
    let stack = Stack::start(options).await?;
    assert!(begun.elapsed() < Duration::from_secs(30), "a second start took {} s", begun.elapsed().as_secs());
    assert_eq!(serde_json::to_value(stack.endpoints())?, serde_json::to_value(before)?);
    assert!(stack.chain()?.provider().get_block_number().await? >= head);
    assert_eq!(owner_of(&stack, "kept.runproof.eth").await?, named);
    assert_eq!(rows(&stack).await?, 1);
    assert_eq!(messages(&stack)?, 1);
    stack.emulator()?.seed_orders("again", 1).await?;

    survives_crashes(&stack).await?;
    stack.stop().await;
    Ok(())
}

async fn survives_crashes(stack: &Stack) -> eyre::Result<()> {
    stack.postgres()?.kill().await;
    assert!(PgConnection::connect(&stack.postgres()?.url()).await.is_err());
    stack.postgres()?.restart().await?;
    assert_eq!(rows(stack).await?, 1);
    stack.kafka()?.kill().await;
    stack.kafka()?.restart().await?;
    assert_eq!(messages(stack)?, 1);
    let kept = stack.chain()?.registry();
    let fresh = stack.chain()?.deploy_registry().await?;
    assert_ne!(kept.map(|registry| registry.address), Some(fresh.address));
    let domain = InstanceRegistry::new(fresh.address, stack.chain()?.provider()).domainSeparator().call().await?;
    assert_ne!(domain, B256::ZERO);
    Ok(())
}

async fn write_row(stack: &Stack) -> eyre::Result<()> {
    let mut connection = PgConnection::connect(&stack.postgres()?.url()).await?;
    sqlx::raw_sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").execute(&mut connection).await?;
    let copy = stack.postgres()?.create_database("copy \"of\" nothing").await?;
    assert!(copy.contains("127.0.0.1"));
    Ok(())
}

async fn rows(stack: &Stack) -> eyre::Result<i64> {
    let mut connection = PgConnection::connect(&stack.postgres()?.url()).await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut connection).await?)
}

async fn write_message(stack: &Stack) -> eyre::Result<()> {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", stack.kafka()?.bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    for created in admin.create_topics([&topic], &AdminOptions::new()).await? {
        created.map_err(|(topic, code)| eyre::eyre!("{topic}: {code}"))?;
    }
    let producer: FutureProducer = config.create()?;
    let record = FutureRecord::to(TOPIC).key("key").payload("kept");
    producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
    Ok(())
}

fn messages(stack: &Stack) -> eyre::Result<i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let mut config = rdkafka::ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", stack.kafka()?.bootstrap()).create()?;
    let (low, high) = consumer.fetch_watermarks(TOPIC, 0, Duration::from_secs(10))?;
    Ok(high - low)
}

async fn write_name(stack: &Stack) -> eyre::Result<alloy::primitives::Address> {
    let chain = stack.chain()?;
    let owner = alloy::primitives::Address::repeat_byte(7);
    chain.fund(owner, U256::from(5)).await?;
    assert_eq!(chain.provider().get_balance(owner).await?, U256::from(5));
    chain.register_name("kept", owner).await?;
    Ok(owner)
}

async fn owner_of(stack: &Stack, name: &str) -> eyre::Result<alloy::primitives::Address> {
    let chain = stack.chain()?;
    let ens = EnsRegistry::new(chain.ens().registry, chain.provider());
    assert!(!EnsRegistry::ownerCall { node: namehash(name) }.abi_encode().is_empty());
    Ok(ens.owner(namehash(name)).call().await?)
}
