//! Where documents are published: a folder, or a bucket of S3-compatible storage. Each is replaced as a whole: by a rename, or by one PUT.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_sfn::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;
use eyre::{OptionExt, WrapErr, bail, eyre};
use object_store::{
    Attribute, Attributes, CredentialProvider, ObjectStore, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredential},
    local::LocalFileSystem,
    path::Path,
    prefix::PrefixStore,
};
use tokio::sync::Mutex;
use url::Url;

use crate::settings::{AwsCredentials, AwsSettings};

/// Where to publish.
#[derive(Clone)]
pub struct PublicationSettings {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: Url,
    /// Of S3-compatible storage elsewhere than where Step Functions are.
    pub endpoint_url: Option<String>,
    /// For it; `None` takes those for Step Functions.
    pub credentials: Option<AwsCredentials>,
}

impl fmt::Debug for PublicationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicationSettings").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A document as the site answers with it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

/// Headers that a bucket keeps with an object.
const KEPT: [(HeaderName, Attribute); 2] =
    [(header::CONTENT_TYPE, Attribute::ContentType), (header::CACHE_CONTROL, Attribute::CacheControl)];

/// Attempts to store one document, with pauses that grow, end after this time.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// A folder keeps no headers: its server must know them.
    keeps_headers: bool,
}

impl Store {
    /// Names it. Whether it can be written, each document shows.
    pub(super) async fn open(settings: &PublicationSettings, aws: &AwsSettings) -> eyre::Result<Self> {
        let url = &settings.url;
        match url.scheme() {
            "file" => {
                let folder = url.to_file_path().map_err(|()| eyre!("{url} names no folder: write file:///folder"))?;
                let objects = LocalFileSystem::new().with_fsync(true);
                let objects = PrefixStore::new(objects, Path::from_absolute_path(folder)?);
                Ok(Self { objects: Arc::new(objects), keeps_headers: false })
            }
            "s3" => {
                let prefix = Path::from_url_path(url.path())?;
                let objects = PrefixStore::new(bucket(settings, aws).await?, prefix);
                Ok(Self { objects: Arc::new(objects), keeps_headers: true })
            }
            _ => bail!("{url} is neither file:///folder nor s3://bucket/prefix"),
        }
    }

    /// Puts the document in the place of the one that is there.
    pub(super) async fn put(&self, path: &str, document: Rendered) -> eyre::Result<()> {
        let kept = KEPT.into_iter().filter(|_| self.keeps_headers);
        let attributes = kept.filter_map(|(name, attribute)| {
            let value = document.headers.get(name)?.to_str().ok()?;
            Some((attribute, value.to_owned()))
        });
        let attributes = attributes.collect::<Attributes>();
        let options = PutOptions { attributes, ..PutOptions::default() };
        let put = self.objects.put_opts(&Path::parse(path)?, document.bytes.into(), options).await;
        put.wrap_err_with(|| format!("{path} could not be stored"))?;
        metrics::counter!("runproof_executor_documents_published_total").increment(1);
        Ok(())
    }
}

async fn bucket(settings: &PublicationSettings, aws: &AwsSettings) -> eyre::Result<AmazonS3> {
    let mut aws = aws.clone();
    aws.endpoint_url = settings.endpoint_url.clone().or(aws.endpoint_url);
    aws.credentials = settings.credentials.clone().or(aws.credentials);
    let loaded = aws.load().await;
    let provider = loaded.credentials_provider().ok_or_eyre("there are no AWS credentials")?;
    let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(settings.url.host_str().ok_or_eyre("s3://bucket/prefix needs a bucket")?)
        .with_region(&aws.region)
        .with_retry(retry)
        .with_credentials(Arc::new(SdkCredentials { provider, kept: Mutex::default() }));
    if let Some(endpoint) = aws.endpoint_url {
        builder =
            builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint.trim_end_matches('/'));
    }
    Ok(builder.build()?)
}

/// The credentials that all other calls of AWS are made with.
#[derive(Debug)]
struct SdkCredentials {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<Credentials>>,
}

/// Credentials that are good for less time are asked for anew.
const MARGIN: Duration = Duration::from_secs(300);

#[async_trait::async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let least = SystemTime::now() + MARGIN;
        let found = match kept.take() {
            Some(kept) if kept.expiry().is_none_or(|expiry| expiry > least) => kept,
            _ => {
                let found = self.provider.provide_credentials().await;
                found.map_err(|error| object_store::Error::Generic { store: "S3", source: error.into() })?
            }
        };
        let found = kept.insert(found);
        Ok(Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        }))
    }
}
