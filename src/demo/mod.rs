//! Everything on this machine: the embedded stack, every role, one workflow with a client's approval, its verdicts.

mod parts;
mod workflow;

use std::sync::Arc;

use eyre::{Context, Result, ensure};
use futures::{FutureExt, StreamExt, TryStreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use runproof_executor::Scope;
use runproof_protocol::verdict::{Status, Verdict};
use runproof_stack::Stack;
use runproof_verifier::render;
use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Demo, StackArgs},
    config::{Config, Operations},
    database,
    observed::Observed,
    operations, roles,
};

/// The roles, each until it is told to stop.
type Running<'a> = FuturesUnordered<LocalBoxFuture<'a, Result<()>>>;

/// Runs the demo; tells whether every check of its run passed.
pub async fn run(demo: &Demo, token: CancellationToken) -> Result<bool> {
    let Some(stack) = token.run_until_cancelled(parts::start(&demo.data)).await.transpose()? else { return Ok(false) };
    let roles = CancellationToken::new();
    let shown = token.run_until_cancelled(show(&stack, demo, &token, &roles)).await;
    println!("\nstopping…");
    roles.cancel();
    stack.stop().await;
    println!("stopped; data are kept in {}", demo.data.display());
    shown.unwrap_or(Ok(true))
}

/// Runs only the embedded parts, until the token is cancelled.
pub async fn stack_only(options: &StackArgs, token: CancellationToken) -> Result<bool> {
    let Some(stack) = token.run_until_cancelled(parts::start(&options.data)).await.transpose()? else {
        return Ok(true);
    };
    let (config, file) = parts::configure(&stack, &options.data)?;
    parts::identify(&stack, &config).await?;
    println!("\nThe parts run until Ctrl-C. Use them with `runproof --config {} …`.", file.display());
    token.cancelled().await;
    stack.stop().await;
    Ok(true)
}

/// The job from the deployment to the verdict; then waits, unless it is to be done once.
async fn show(stack: &Stack, demo: &Demo, token: &CancellationToken, roles: &CancellationToken) -> Result<bool> {
    let (mut config, file) = parts::configure(stack, &demo.data)?;
    // Not in the file: a role that is started beside the demo would want the same port.
    config.operations = Some(Operations { listen: "127.0.0.1:27464".into() });
    let client = parts::identify(stack, &config).await?;
    let deployed = workflow::deploy(&config, &client).await?;
    let mut running = start_roles(&config, roles).await?;
    let verdict = tokio::select! {
        verdict = workflow::run(stack, &config, &client, deployed) => verdict?,
        Some(ended) = running.next() => return ended.and(Ok(false)),
    };
    report(&config, &file, &verdict);
    let passed = verdict.status() == Status::Passed;
    if !demo.once {
        println!("\nEverything stays live until Ctrl-C.");
        tokio::select! {
            () = token.cancelled() => {}
            Some(ended) = running.next() => ended?,
        }
    }
    roles.cancel();
    running.try_collect::<()>().await?;
    ensure!(passed, "the run did not pass every check: see the verdict above");
    Ok(true)
}

async fn start_roles<'a>(config: &'a Config, token: &CancellationToken) -> Result<Running<'a>> {
    let database = database::migrate(config).await?;
    let observed = Arc::new(Observed::new(config)?);
    let named = |name, ended: Result<()>| ended.wrap_err_with(|| format!("the role `{name}` ended"));
    let token = || token.clone();
    Ok([
        roles::follow(config, Scope::All, token()).map(move |ended| named("follow", ended)).boxed_local(),
        roles::site(config, token()).map(move |ended| named("site", ended)).boxed_local(),
        roles::index(config, observed.clone(), token()).map(move |ended| named("index", ended)).boxed_local(),
        roles::verdicts(config, observed.clone(), token()).map(move |ended| named("verdicts", ended)).boxed_local(),
        roles::serve(config, token()).map(move |ended| named("serve", ended)).boxed_local(),
        operations(config, database, observed, token()).map(move |ended| named("operations", ended)).boxed_local(),
    ]
    .into_iter()
    .collect())
}

async fn operations(
    config: &Config,
    database: DatabaseConnection,
    observed: Arc<Observed>,
    token: CancellationToken,
) -> Result<()> {
    operations::serve(config, std::slice::from_ref(config), vec![database], &[observed], token).await
}

fn report(config: &Config, file: &std::path::Path, verdict: &Verdict) {
    println!("\n{}", render::table(verdict));
    let api = format!("https://localhost:{}", config.api.listen.rsplit(':').next().unwrap_or_default());
    println!("monitor page    {api}/");
    if config.api.graphiql.is_some() {
        println!("GraphiQL        {api}/graphiql");
    }
    println!("documents       {}/{}.json", config.site.public_url, verdict.instance);
    if let Some(kafka) = &config.kafka {
        println!("Kafka topic     {} at {}", kafka.topic, kafka.bootstrap);
    }
    println!("SQL             psql '{}' -c 'select * from warehouse.f_state'", config.postgres.url);
    let this = std::env::args().next().unwrap_or_else(|| "runproof".into());
    println!("check it again  {this} --config {} verify {}", file.display(), verdict.instance);
    println!("The certificate of page and site is the demo's own: a browser asks once.");
}
