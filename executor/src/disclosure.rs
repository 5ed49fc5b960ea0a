//! Discloses the input of one state of a private model: salt and data are told from then on, and the trace's commitment proves them. What an event came to is
//! only printed: the commitments of the companion document prove it to whom it is given.

use runproof_protocol::{
    InstanceId, StateId,
    commitment::{Disclosure, EventDisclosure},
    history::HistoryEvent,
};
use sqlx::PgPool;

use crate::executor::Executor;

/// Why nothing is disclosed.
#[derive(Debug, thiserror::Error)]
pub enum DisclosureError {
    /// No such state.
    #[error("instance {instance} has no state {sequence} here: `runproof verify {instance}` lists the states of a run")]
    UnknownState {
        /// The instance.
        instance: InstanceId,
        /// The sequence number.
        sequence: u64,
    },
    /// The trace does not commit to the state's input.
    #[error("state {sequence} of instance {instance} commits to no input: what it has is published already")]
    NothingCommitted {
        /// The instance.
        instance: InstanceId,
        /// The sequence number.
        sequence: u64,
    },
    /// Nothing of the event is committed to.
    #[error(
        "event {event} of instance {instance} commits to nothing: /{instance}/events.json tells all that is kept of it"
    )]
    NothingCommittedBy {
        /// The instance.
        instance: InstanceId,
        /// Id of the event.
        event: u64,
    },
    /// The database does not answer, or what it holds cannot be read.
    #[error(transparent)]
    Stored(#[from] eyre::Report),
}

impl Executor {
    /// What discloses the state. Nothing is published by it.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub async fn disclosure(&self, instance: InstanceId, sequence: u64) -> Result<Disclosure, DisclosureError> {
        let Some(Kept { disclosure, .. }) = read(&self.pool, instance, sequence).await? else {
            return Err(DisclosureError::UnknownState { instance, sequence });
        };
        disclosure.ok_or(DisclosureError::NothingCommitted { instance, sequence })
    }

    /// What opens the commitments to what an event of a private run came to. Nothing is published by it.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub async fn event_disclosure(&self, instance: InstanceId, event: u64) -> Result<EventDisclosure, DisclosureError> {
        let sql = "select openings::text from executor.history_event where instance_id = $1 and event_id = $2";
        let kept: Option<Option<String>> = sqlx::query_scalar(sql)
            .bind(instance.as_slice())
            .bind(i64::try_from(event).unwrap_or(-1))
            .fetch_optional(&self.pool)
            .await
            .map_err(eyre::Report::from)?;
        let kept = kept.flatten().ok_or(DisclosureError::NothingCommittedBy { instance, event })?;
        let openings = serde_json::from_str(&kept).map_err(eyre::Report::from)?;
        Ok(EventDisclosure { instance, event, openings })
    }

    /// Has the site, and what is published, disclose the state from now on. It cannot be taken back; to do it again changes nothing.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub async fn disclose(&self, instance: InstanceId, sequence: u64) -> Result<Disclosure, DisclosureError> {
        let disclosure = self.disclosure(instance, sequence).await?;
        sqlx::query("insert into executor.disclosure (instance_id, sequence) values ($1, $2) on conflict do nothing")
            .bind(instance.as_slice())
            .bind(sequence.cast_signed())
            .execute(&self.pool)
            .await
            .map_err(eyre::Report::from)?;
        self.publish_changes().await?;
        tracing::info!(%instance, sequence, "the input of a state is disclosed");
        Ok(disclosure)
    }
}

/// What is disclosed of a state to everybody; `None` if nothing is.
pub(crate) async fn published(
    database: &PgPool,
    instance: InstanceId,
    sequence: u64,
) -> eyre::Result<Option<Disclosure>> {
    let kept = read(database, instance, sequence).await?.filter(|kept| kept.is_public);
    Ok(kept.and_then(|kept| kept.disclosure))
}

/// A state's input as it is kept.
struct Kept {
    /// `None` if the trace commits to none.
    disclosure: Option<Disclosure>,
    is_public: bool,
}

async fn read(database: &PgPool, instance: InstanceId, sequence: u64) -> eyre::Result<Option<Kept>> {
    let row: Option<(Vec<u8>, Option<String>, bool)> = sqlx::query_as(
        "select s.state_id, e.event::text, d.instance_id is not null
         from executor.state s left join executor.history_event e using (instance_id, event_id)
         left join executor.disclosure d using (instance_id, sequence)
         where s.instance_id = $1 and s.sequence = $2",
    )
    .bind(instance.as_slice())
    .bind(i64::try_from(sequence).unwrap_or(-1))
    .fetch_optional(database)
    .await?;
    let Some((state, event, is_public)) = row else { return Ok(None) };
    let state = StateId::try_from(&state[..])?;
    // An imported state has no event.
    let event: Option<HistoryEvent> = event.as_deref().map(serde_json::from_str).transpose()?;
    let opening = event.and_then(|event| event.salt.zip(event.input));
    let disclosure = opening.map(|(salt, input)| Disclosure { instance, sequence, state, salt, input });
    Ok(Some(Kept { disclosure, is_public }))
}
