//! Between the indexer and Postgres: holds a COMMIT before it arrives, or its acknowledgement after it was given, and cuts the connection.

use std::sync::Arc;

use eyre::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::trap::Snare;

/// What sqlx sends at the end of a transaction: a simple query (PostgreSQL documentation, "Message Formats").
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Where a commit is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitPoint {
    /// Postgres has not got it.
    Before,
    /// Postgres has done it, the indexer does not know.
    After,
}

/// A listening proxy; it ends when dropped.
pub(crate) struct PostgresProxy {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    /// After what is caught here, the connection is cut.
    pub(crate) snare: Arc<Snare<CommitPoint>>,
    accepting: JoinHandle<()>,
}

impl PostgresProxy {
    /// A proxy of the server at this loopback port.
    pub(crate) async fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let snare = Arc::new(Snare::new());
        let shared = snare.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, shared.clone()));
            }
        });
        Ok(Self { port, snare, accepting })
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until either side or a trap ends it.
async fn pass(client: TcpStream, to: u16, snare: Arc<Snare<CommitPoint>>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", to)).await?.into_split();
    let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = from_client.read(&mut sent) => {
                let sent = &sent[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                let commits = sent.windows(COMMIT.len()).any(|window| window == COMMIT);
                if commits && let Some(release) = snare.pass(CommitPoint::Before) {
                    let _ = release.await;
                    return Ok(());
                }
                to_server.write_all(sent).await?;
                if commits {
                    // The server's answer says that it is done; if it is caught, nobody gets to read it.
                    let length = from_server.read(&mut answered).await?;
                    if let Some(release) = snare.pass(CommitPoint::After) {
                        let _ = release.await;
                        return Ok(());
                    }
                    to_client.write_all(&answered[..length]).await?;
                }
            }
            read = from_server.read(&mut answered) => {
                let answered = &answered[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                to_client.write_all(answered).await?;
            }
        }
    }
}
