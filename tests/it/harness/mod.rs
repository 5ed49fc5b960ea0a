//! The real stack, started once for the test binary; each test gets a [`World`] of its own on it: database, contract, issuer, name, topic.

mod clients;
mod command;
mod world;

use std::{
    future::Future,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

pub use clients::{KafkaMessage, Subscription};
pub use command::{Role, free_port, succeeded};
pub use world::{World, address_in};

use runproof_stack::{LocalStack, Mining, Part, Ports, Stack, StackOptions};
use tokio::{runtime::Runtime, sync::OnceCell};

/// One runtime for all tests: the stack's servers live as long as the thread that started them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no other provider is installed");
    std::panic::set_hook(Box::new(|panic| report(&panic.to_string())));
    Runtime::new().expect("threads can be started")
});
tokio::task_local! {
    /// What a failing test has to say. Its task runs on threads of the runtime, whose output no test shows.
    static REPORT: Arc<Mutex<String>>;
}
static STACK: OnceCell<Stack> = OnceCell::const_new();

/// Runs a test on the shared runtime.
pub fn run(test: impl Future<Output = ()> + Send + 'static) {
    let said = Arc::new(Mutex::new(String::new()));
    let ended = RUNTIME.block_on(RUNTIME.spawn(REPORT.scope(said.clone(), test)));
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(ended.is_ok(), "{said}");
}

/// Adds to what the running test says if it fails.
fn report(text: &str) {
    let added = REPORT.try_with(|said| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(text);
        said.push('\n');
    });
    if added.is_err() {
        eprintln!("{text}");
    }
}

/// The stack that all tests share. Its chain makes a block for each transaction.
pub async fn stack() -> &'static Stack {
    STACK
        .get_or_init(|| async {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stack");
            let _ = std::fs::remove_dir_all(&folder);
            start(&folder, Part::ALL.into()).await
        })
        .await
}

/// A second emulator of Step Functions, for tests of what the stack's does not serve; they share it.
pub async fn localstack() -> &'static LocalStack {
    static LOCALSTACK: OnceCell<LocalStack> = OnceCell::const_new();
    LOCALSTACK
        .get_or_init(|| async {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("localstack");
            let _ = std::fs::remove_dir_all(&folder);
            LocalStack::start(&folder).await.expect("LocalStack starts; `make setup ARGS=--tests` installs it")
        })
        .await
}

/// A chain of the test's own, for tests that reorganise it.
pub async fn own_chain(folder: &Path) -> Stack {
    start(folder, [Part::Chain].into()).await
}

/// A Postgres of the test's own, for tests that stop it.
pub async fn own_postgres(folder: &Path) -> Stack {
    start(folder, [Part::Postgres].into()).await
}

async fn start(folder: &Path, parts: std::collections::BTreeSet<Part>) -> Stack {
    let options = StackOptions {
        ports: Ports::free().expect("free ports"),
        mining: Mining::EachTransaction,
        parts,
        ..StackOptions::new(folder)
    };
    Stack::start(options).await.expect("the stack starts; `make setup` installs its parts")
}

/// Waits until `look` finds something, for at most a minute, and tells what was awaited if it never does.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
    }
}
