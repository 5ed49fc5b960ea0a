//! An issuer's site: what it serves, and which certificate it presents. It is a stranger's server at an address that the chain names, so it
//! gets little: https, public addresses, port 443, no redirects, bounded time and size.

use std::{net::IpAddr, time::Duration};

use futures::StreamExt;
use reqwest::{Client, StatusCode, redirect};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::{
    Settings,
    address_filter::{PublicResolver, is_public},
    tls::{self, Presented},
};

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    /// The address is not one that is fetched from.
    #[error("{0} is not fetched: {1}")]
    Refused(String, &'static str),
    /// No answer, or none in time.
    #[error("{0} does not answer: {1}")]
    Unreachable(String, String),
    /// An answer, but not the document.
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    /// More bytes than are borne.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(String, usize),
}

impl SiteError {
    /// Whether it concerns the site and not one document.
    pub(crate) fn is_of_the_site(&self) -> bool {
        match self {
            Self::Refused(..) | Self::Unreachable(..) => true,
            Self::Status(_, status) => status.is_server_error(),
            Self::TooLarge(..) => false,
        }
    }
}

/// A URL as bindings and names give it, in one form: no trailing slash, the host in lower case. Text that is no URL is left as it is.
pub(crate) fn normalised(text: &str) -> String {
    let text = Url::parse(text).map_or_else(|_| text.to_owned(), String::from);
    text.trim_end_matches('/').to_owned()
}

pub(crate) struct Site {
    /// Base URL without trailing slash.
    pub(crate) base: String,
    client: Client,
    presented: Presented,
    max_bytes: usize,
    deadline: Instant,
}

impl Site {
    /// `base` is normalised.
    pub(crate) fn open(base: &str, settings: &Settings) -> Result<Self, SiteError> {
        let refused = |why| SiteError::Refused(base.to_owned(), why);
        let url = Url::parse(base).map_err(|_| refused("it is no URL"))?;
        admit(&url, settings.allow_private_addresses).map_err(refused)?;
        let presented = Presented::default();
        let tls = tls::client_config(presented.clone());
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls.map_err(|_| refused("TLS cannot be set up"))?)
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(settings.document_timeout);
        if !settings.allow_private_addresses {
            client = client.dns_resolver(PublicResolver);
        }
        Ok(Self {
            base: base.to_owned(),
            client: client.build().map_err(|_| refused("a client cannot be made"))?,
            presented,
            max_bytes: settings.max_document_bytes,
            deadline: Instant::now() + settings.site_timeout.max(Duration::from_millis(1)),
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The document at a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, SiteError> {
        let url = self.url(path);
        timeout_at(self.deadline, self.fetch(&url))
            .await
            .unwrap_or_else(|_| Err(SiteError::Unreachable(url, "the time for all documents is over".into())))
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>, SiteError> {
        let unreachable = |error: reqwest::Error| SiteError::Unreachable(url.to_owned(), causes(&error.without_url()));
        let response = self.client.get(url).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(SiteError::Status(url.to_owned(), response.status()));
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(part) = body.next().await {
            bytes.extend_from_slice(&part.map_err(unreachable)?);
            if bytes.len() > self.max_bytes {
                return Err(SiteError::TooLarge(url.to_owned(), self.max_bytes));
            }
        }
        Ok(bytes)
    }

    /// DER of the certificate that the server presented, if there was a handshake.
    pub(crate) fn presented(&self) -> Option<&[u8]> {
        self.presented.get().map(AsRef::as_ref)
    }
}

fn admit(url: &Url, allow_private_addresses: bool) -> Result<(), &'static str> {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::from(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::from(address)),
        Some(Host::Domain(_)) => None,
        None => return Err("it has no host"),
    };
    if url.scheme() != "https" {
        return Err("it is not https");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("it is more than host and path");
    }
    if allow_private_addresses {
        return Ok(());
    }
    if url.port_or_known_default() != Some(443) {
        return Err("its port is not 443");
    }
    if literal.is_some_and(|address| !is_public(address)) {
        return Err("its address is not public");
    }
    Ok(())
}

/// An error with its causes, which `Display` leaves out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(url: &str, private: bool) -> bool {
        admit(&Url::parse(url).expect("a URL"), private).is_ok()
    }

    #[test]
    fn only_https_at_public_addresses_and_the_usual_port_is_fetched() {
        assert!(admitted("https://runs.example/base", false));
        for url in [
            "http://runs.example",
            "https://runs.example:8443",
            "https://user@runs.example",
            "https://runs.example/?a=b",
            "https://127.0.0.1",
            "https://0177.0.0.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://[::1]",
            "https://[::ffff:10.0.0.1]",
            "https://[64:ff9b::7f00:1]",
        ] {
            assert!(!admitted(url, false), "{url}");
        }
    }

    #[test]
    fn private_addresses_and_ports_are_fetched_if_allowed_but_never_http() {
        assert!(admitted("https://localhost:21443", true));
        assert!(admitted("https://127.0.0.1:21443", true));
        assert!(!admitted("http://127.0.0.1", true));
    }

    #[test]
    fn urls_have_one_form() {
        assert_eq!(normalised("https://Runs.Example/"), "https://runs.example");
        assert_eq!(normalised("https://runs.example:443"), "https://runs.example");
        assert_eq!(normalised("https://localhost:21443"), "https://localhost:21443");
        assert_eq!(normalised("no url"), "no url");
    }
}
