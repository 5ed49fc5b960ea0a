//! Publication: every document that the site serves is stored in a folder or a bucket too, from where any static host can serve it.
//!
//! It is the site that renders each document ([`crate::site::documents`]), and what is stored is what it answers. What changes a document marks it
//! ([`unpublished`]), and a transaction is sent only when nothing of what it registers is marked. The documents that name others, an instance's protocol and
//! the index, are rendered before those are, and stored after them: they never tell of what does not stand.

mod changed;
mod store;
mod unpublished;

use std::collections::HashMap;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use bytes::Bytes;
use eyre::{WrapErr, bail};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;
use tower_service::Service;

pub use self::store::PublicationSettings;
use self::{
    changed::Changed,
    store::{Rendered, Store},
    unpublished::{Kind, Subject},
};
use crate::{
    Settings,
    executor::Executor,
    follow::Part,
    registration::Progress,
    site::{self, Documents},
};

/// Subjects at a time, and documents of each.
const CONCURRENT: usize = 8;

/// Subjects whose marks are taken away together.
const TOGETHER: i64 = 64;

/// Documents of the whole site, with the names under which they are stored.
const OVERVIEWS: [(&str, &str); 2] = [("", "index.json"), (".well-known/runproof.json", ".well-known/runproof.json")];

/// Where documents are published, and what renders them.
pub(crate) struct Publication {
    store: Store,
    documents: Router,
}

impl Publication {
    /// Opens what the settings name, if they name something.
    pub(crate) async fn open(settings: &Settings, documents: Documents) -> eyre::Result<Option<Self>> {
        let Some(publication) = &settings.publication else { return Ok(None) };
        let store = Store::open(publication, &settings.aws).await.wrap_err("publication.url")?;
        unpublished::begin(&documents.database, publication.url.as_str()).await?;
        Ok(Some(Self { store, documents: site::documents(documents) }))
    }

    /// What the site answers; `None` if it has no such document.
    async fn render(&self, path: &str) -> eyre::Result<Option<Rendered>> {
        let request = Request::get(format!("/{path}")).body(Body::empty())?;
        let answer = self.documents.clone().call(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => bail!("/{path} cannot be rendered ({status}): the log says why"),
        }
        Ok(Some(Rendered { headers: head.headers, bytes: to_bytes(body, usize::MAX).await? }))
    }

    async fn put(&self, path: &str) -> eyre::Result<()> {
        match self.render(path).await? {
            Some(document) => self.store.put(path, document).await,
            None => Ok(()),
        }
    }

    /// Stores all documents of a subject that have changed.
    async fn put_all(&self, database: &PgPool, subject: &Subject) -> eyre::Result<Changed> {
        let id = hex::encode(&subject.id);
        let main = match subject.kind {
            Kind::Model | Kind::Instance => format!("{id}.json"),
            Kind::Requests => format!("{id}/requests.json"),
        };
        let Some(rendered) = self.render(&main).await? else { return Ok(Changed::default()) };
        let changed = match subject.kind {
            Kind::Instance => Changed::of_instance(database, &subject.id).await?,
            Kind::Model | Kind::Requests => Changed::default(),
        };
        let puts: Vec<_> = changed.paths.iter().map(|path| self.put(path)).collect();
        stream::iter(puts).buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        self.store.put(&main, rendered).await?;
        Ok(changed)
    }

    async fn put_and_unmark(&self, database: &PgPool, subject: &Subject) -> eyre::Result<()> {
        let changed = self.put_all(database, subject).await?;
        Ok(subject.unmark(database, &changed).await?)
    }

    /// Publishes these. All are tried, models first; the first failure is returned.
    async fn publish(&self, database: &PgPool, subjects: Vec<Subject>) -> eyre::Result<()> {
        if subjects.is_empty() {
            return Ok(());
        }
        let mut sql = database.begin().await?;
        unpublished::lock(&mut sql).await?;
        let mut outcome = Ok(());
        let (models, others): (Vec<_>, Vec<_>) = subjects.into_iter().partition(|subject| subject.kind == Kind::Model);
        for part in [models, others] {
            let put: Vec<_> = part.iter().map(|subject| self.put_and_unmark(database, subject)).collect();
            let mut put = stream::iter(put).buffer_unordered(CONCURRENT);
            while let Some(done) = put.next().await {
                outcome = outcome.and(done);
            }
            if outcome.is_err() {
                break;
            }
        }
        sql.commit().await?;
        outcome
    }
}

impl Executor {
    /// Publishes what the transaction registers, as far as it has changed.
    pub(crate) async fn publish_registered_by(&self, transaction: i64) -> eyre::Result<()> {
        let Some(publication) = &self.publication else { return Ok(()) };
        let subjects = unpublished::of_transaction(&self.pool, transaction).await?;
        publication.publish(&self.pool, subjects).await
    }

    /// Whether nothing of what the transaction registers is still to be published.
    pub(crate) async fn is_published(&self, transaction: i64) -> eyre::Result<bool> {
        Ok(self.publication.is_none() || unpublished::of_transaction(&self.pool, transaction).await?.is_empty())
    }

    /// Publishes all that has changed.
    pub(crate) async fn publish_changes(&self) -> eyre::Result<()> {
        Publishing::new(self.clone()).turn().await?;
        Ok(())
    }
}

/// What the publishing loop keeps between two turns; all of it can be lost.
pub(crate) struct Publishing {
    executor: Executor,
    overviews: HashMap<&'static str, Bytes>,
}

impl Publishing {
    pub(crate) fn new(executor: Executor) -> Self {
        Self { executor, overviews: HashMap::new() }
    }
}

impl Part for Publishing {
    async fn news(&mut self) {
        std::future::pending().await
    }

    async fn turn(&mut self) -> eyre::Result<Progress> {
        let Executor { publication: Some(publication), pool, .. } = &self.executor else {
            return Ok(Progress::Complete);
        };
        let mut overviews = Vec::new();
        for (path, name) in OVERVIEWS {
            overviews.extend(publication.render(path).await?.map(|rendered| (name, rendered)));
        }
        let last = unpublished::newest_change(pool).await?;
        let (mut after, mut outcome) = (0, Ok(()));
        while let Some(last) = last {
            let subjects = unpublished::between(pool, after, last, TOGETHER).await?;
            let Some(newest) = subjects.last() else { break };
            after = newest.change;
            outcome = outcome.and(publication.publish(pool, subjects).await);
        }
        outcome?;
        for (name, rendered) in overviews {
            if self.overviews.get(name) != Some(&rendered.bytes) {
                let bytes = rendered.bytes.clone();
                publication.store.put(name, rendered).await?;
                self.overviews.insert(name, bytes);
            }
        }
        Ok(if last.is_some() { Progress::Waiting } else { Progress::Complete })
    }
}
