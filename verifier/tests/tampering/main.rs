//! One thing is altered at a time, on a real chain with the real ENS and a real TLS site: exactly the right check fails.

mod issuer;
mod judged;
mod private;
mod roots;
mod site;
mod suite;
mod unanswered;
mod worker;

use std::{future::Future, path::Path, sync::LazyLock};

use runproof_stack::{Mining, Part, Ports, Stack, StackOptions};
use tokio::{runtime::Runtime, sync::OnceCell};

/// One runtime for all tests: the stack lives as long as the thread that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no other provider is installed");
    Runtime::new().expect("threads can be started")
});
static STACK: OnceCell<Stack> = OnceCell::const_new();

fn run(test: impl Future<Output = ()> + Send + 'static) {
    if let Err(failure) = RUNTIME.block_on(RUNTIME.spawn(test)) {
        std::panic::resume_unwind(failure.into_panic());
    }
}

/// The parts that all tests share; each deploys a registry of its own.
async fn stack() -> &'static Stack {
    STACK
        .get_or_init(|| async {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tampering");
            let _ = std::fs::remove_dir_all(&folder);
            let options = StackOptions {
                ports: Ports::free().expect("free ports"),
                mining: Mining::EachTransaction,
                parts: [Part::Chain, Part::Postgres].into(),
                ..StackOptions::new(folder)
            };
            Stack::start(options).await.expect("the stack starts; `make setup` installs it")
        })
        .await
}
