//! Between the relay and Kafka: holds a request before it arrives or its answer after it was done, or lets the end of a transaction come late.
//!
//! Requests begin with their length, the number of the API, its version and a number by which the answer is known (Kafka protocol guide, "Protocol
//! Primitives"). Brokers tell clients where brokers are: in those answers the proxy's own port replaces the broker's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use eyre::{OptionExt, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinHandle,
};

use crate::trap::Snare;

/// The requests of a transactional producer, by their API numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Produce = 0,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    EndTxn = 26,
}

impl Request {
    pub(crate) const ALL: [Self; 4] = [Self::InitProducerId, Self::AddPartitionsToTxn, Self::Produce, Self::EndTxn];
}

/// On which side of the broker's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// A point in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) request: Request,
    pub(crate) side: Side,
}

/// A listening proxy; it ends when dropped.
pub(crate) struct KafkaProxy {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    /// After what is caught here, the connection is cut.
    pub(crate) snare: Arc<Snare<Step>>,
    /// Ends of transactions that come late.
    pub(crate) late: Arc<Late>,
    accepting: JoinHandle<()>,
}

/// An EndTxn is kept back, its sender cut off, so that it asks again; when the next transaction has begun, the first one arrives.
pub(crate) struct Late {
    next: AtomicBool,
    kept: AtomicBool,
    produced: Notify,
    delivered: AtomicU64,
}

impl Late {
    /// The next EndTxn comes late.
    pub(crate) fn keep_next(&self) {
        self.next.store(true, Ordering::SeqCst);
    }

    /// How many have come late so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::SeqCst)
    }
}

struct Shared {
    own_port: u16,
    broker_port: u16,
    snare: Arc<Snare<Step>>,
    late: Arc<Late>,
}

impl KafkaProxy {
    /// A proxy of the broker at `127.0.0.1:port`.
    pub(crate) async fn start(broker: String) -> Result<Self> {
        let broker_port =
            broker.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).ok_or_eyre("the broker has no port")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let snare = Arc::new(Snare::new());
        let late = Late { next: false.into(), kept: false.into(), produced: Notify::new(), delivered: 0.into() };
        let late = Arc::new(late);
        let shared = Arc::new(Shared { own_port: port, broker_port, snare: snare.clone(), late: late.clone() });
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, shared.clone()));
            }
        });
        Ok(Self { port, snare, late, accepting })
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Requests under way on a connection, by their numbers.
type Pending = Mutex<HashMap<[u8; 4], i16>>;

/// One connection, until either side or a trap ends it.
async fn pass(client: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let broker = TcpStream::connect(("127.0.0.1", shared.broker_port)).await?;
    let ((from_client, to_client), (mut from_broker, mut to_broker)) = (client.into_split(), broker.into_split());
    let pending = Pending::default();
    let kept = tokio::select! {
        kept = requests(from_client, &mut to_broker, &pending, &shared) => kept?,
        answered = answers(&mut from_broker, to_client, &pending, &shared) => return answered,
    };
    // The client is cut off by now, and has sent it again over another connection.
    if let Some(frame) = kept {
        shared.late.produced.notified().await;
        to_broker.write_all(&frame).await?;
        frame_of(&mut from_broker).await?;
        shared.late.delivered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// Returns a request that is kept back, if the connection ends for that.
async fn requests(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    pending: &Pending,
    shared: &Shared,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let frame = frame_of(&mut from).await?;
        let (Some(&[high, low]), Some(&id)) = (
            frame.get(4..6).and_then(|bytes| bytes.first_chunk()),
            frame.get(8..12).and_then(|bytes| bytes.first_chunk()),
        ) else {
            return Ok(None);
        };
        let api = i16::from_be_bytes([high, low]);
        if api == Request::EndTxn as i16 && shared.late.next.swap(false, Ordering::SeqCst) {
            shared.late.kept.store(true, Ordering::SeqCst);
            return Ok(Some(frame));
        }
        if let Some(release) = caught(shared, api, Side::Before) {
            let _ = release.await;
            return Ok(None);
        }
        pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id, api);
        to.write_all(&frame).await?;
    }
}

async fn answers(
    from: &mut OwnedReadHalf,
    mut to: OwnedWriteHalf,
    pending: &Pending,
    shared: &Shared,
) -> std::io::Result<()> {
    loop {
        let mut frame = frame_of(from).await?;
        let id = frame.get(4..8).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        let api = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(release) = api.and_then(|api| caught(shared, api, Side::After)) {
            let _ = release.await;
            return Ok(());
        }
        if api == Some(Request::Produce as i16) && shared.late.kept.swap(false, Ordering::SeqCst) {
            shared.late.produced.notify_one();
        }
        lead_to(&mut frame, shared.broker_port, shared.own_port);
        to.write_all(&frame).await?;
    }
}

fn caught(shared: &Shared, api: i16, side: Side) -> Option<crate::trap::Release> {
    let request = Request::ALL.into_iter().find(|request| *request as i16 == api)?;
    shared.snare.pass(Step { request, side })
}

/// A whole request or answer, its length before it.
async fn frame_of(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = length.to_be_bytes().to_vec();
    from.take(length.into()).read_to_end(&mut frame).await?;
    if frame.len() as u64 != u64::from(length) + 4 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}

/// In every kind of answer an address is the host, then four bytes of port.
fn lead_to(frame: &mut [u8], broker_port: u16, own_port: u16) {
    const HOST: &[u8] = b"127.0.0.1";
    let address = |port: u16| [HOST, &u32::from(port).to_be_bytes()].concat();
    let (theirs, ours) = (address(broker_port), address(own_port));
    let places: Vec<usize> = frame
        .windows(theirs.len())
        .enumerate()
        .filter(|(_, window)| *window == theirs)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        frame[place..place + ours.len()].copy_from_slice(&ours);
    }
}
