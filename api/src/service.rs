//! What all handlers share: the schema, the data behind it, and how a request is admitted.

use std::{sync::Arc, time::Duration};

use async_graphql::{Request, Response, ServerError};
use futures::{FutureExt, Stream, StreamExt, stream};
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use crate::{
    feed::Feed,
    limits,
    schema::{Served, failure::UNAVAILABLE, snapshot::Snapshot},
    settings::Settings,
    watermark::{self, Watermark},
};

/// One server's parts.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) schema: Served,
    pub(crate) database: DatabaseConnection,
    pub(crate) feed: Feed,
    pub(crate) stopping: CancellationToken,
}

impl Service {
    /// Answers one query, as of the newest position; a subscription is refused.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let answered = async {
            match self.admit(request).await {
                Ok((request, watermark)) => named(self.schema.execute(request).await, watermark.as_ref()),
                Err(error) => Response::from_errors(vec![error]),
            }
        };
        tokio::time::timeout(self.settings.limits.deadline, answered).await.unwrap_or_else(|_| {
            Response::from_errors(vec![unavailable("the query took too long: ask for less at a time")])
        })
    }

    /// Answers a query or a subscription, frame by frame.
    pub(crate) fn stream(self: Arc<Self>, request: Request) -> impl Stream<Item = Response> + Send + 'static {
        async move {
            match self.admit(request).await {
                Ok((request, _)) => self.schema.execute_stream(request).boxed(),
                Err(error) => stream::iter([Response::from_errors(vec![error])]).boxed(),
            }
        }
        .into_stream()
        .flatten()
    }

    async fn admit(&self, mut request: Request) -> Result<(Request, Option<Watermark>), ServerError> {
        limits::admit(&mut request)?;
        let watermark = self.watermark().await.map_err(|error| {
            tracing::error!(%error, "watermark cannot be read");
            unavailable("the data cannot be read at the moment: try again")
        })?;
        Ok((request.data(Snapshot(watermark.clone())), watermark))
    }

    /// How far the journal has come, read anew.
    pub(crate) async fn watermark(&self) -> Result<Option<Watermark>, DbErr> {
        watermark::read(&self.database).await
    }

    /// Waits until the journal has reached a position.
    pub(crate) async fn wait_for(&self, position: i64, longest: Duration) -> Result<(), ServerError> {
        let mut watermark = self.feed.watermark.clone();
        let reached = watermark.wait_for(|seen| seen.as_ref().is_some_and(|seen| seen.position.0 >= position));
        match tokio::time::timeout(longest, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable("the journal has not come so far yet: try again")),
        }
    }
}

fn unavailable(message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", UNAVAILABLE);
    error
}

/// Names the watermark in the answer's extensions, so that also a client that did not ask knows it.
fn named(response: Response, watermark: Option<&Watermark>) -> Response {
    match watermark {
        Some(watermark) => response.extension("position", watermark.position.0.into()),
        None => response,
    }
}
