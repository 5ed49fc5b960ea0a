//! Executor and verifier with several nodes: one that goes away, one of another chain.

use std::process::{Child, Command, Stdio};

use runproof_stack::Tools;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    crash::{ended, everything_agrees, start_slow_run},
    harness::{self, World, eventually, free_port},
    reorganisation::indexed,
};

#[test]
fn a_run_goes_on_and_is_verified_when_the_first_node_goes_away() {
    const STATES: usize = 8;
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let door = Door::open(world.chain().await.http_url()).await;
        let stranger = Stranger::start().await;
        several_nodes(&world, &door.url, &stranger.url).await;
        let _roles = ["site", "index", "serve"].map(|role| world.start(&[role]));
        let follow = world.start(&["follow"]);
        start_slow_run(&world, STATES).await;
        indexed(&world, 3).await;
        door.close();

        let instance = ended(&world).await;
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), STATES);
        everything_agrees(&world, instance).await;
        let log = follow.log();
        assert!(log.contains("the node does not answer") && log.contains("is on chain"), "{log}");
        assert!(!log.contains("abandoned"), "{log}");
    });
}

/// The door first, then the stranger, then the chain itself by two names.
async fn several_nodes(world: &World, door: &str, stranger: &str) {
    let chain = world.chain().await.http_url();
    let configured = std::fs::read_to_string(world.config()).expect("it was written");
    let first = configured.replace(&format!("rpc_url = \"{chain}\""), &format!("rpc_url = \"{door}\""));
    assert_ne!(first, configured);
    let further = format!(
        "[[chain.endpoint]]\nurl = \"{chain}\"\nrole = \"standby\"\n[[chain.endpoint]]\nurl = \"{twin}\"\nrole = \"standby\"\n\
         [[chain.endpoint]]\nname = \"stranger\"\nurl = \"{stranger}\"\n",
        twin = chain.replace("127.0.0.1", "localhost"),
    );
    world.file("runproof.toml", first + &further);
}

/// A way to the chain that can be closed.
struct Door {
    url: String,
    task: JoinHandle<()>,
}

impl Door {
    async fn open(to: String) -> Self {
        let to = to.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let to = to.clone();
                passing.spawn(async move {
                    let mut to = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut from, &mut to).await
                });
            }
        });
        Self { url, task }
    }

    /// Nobody passes any more, and those who are in it are cut off.
    fn close(self) {
        self.task.abort();
    }
}

/// A node of another chain.
struct Stranger {
    url: String,
    anvil: Child,
}

impl Stranger {
    async fn start() -> Self {
        let port = free_port();
        let mut anvil = Command::new(Tools::locate().anvil().expect("`make setup` installs it"));
        anvil.args(["--chain-id", "7", "--port", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        let anvil = anvil.spawn().expect("anvil runs");
        let address = format!("127.0.0.1:{port}");
        eventually("it listens", async || TcpStream::connect(&address).await.ok()).await;
        Self { url: format!("http://{address}"), anvil }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.anvil.kill();
        let _ = self.anvil.wait();
    }
}
