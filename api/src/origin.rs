//! Which pages may use the API: those of its own origin and those that are named in the settings. Programs send no `Origin` and are let through.

use axum::http::{HeaderMap, Uri, header};

/// Whether a request with these headers comes from nowhere, from the server's own pages, or from a page that is allowed.
pub(crate) fn is_allowed(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    // HTTP/2 names the host in the URI's authority.
    let host = uri.authority().map(|authority| authority.as_str()).or_else(|| headers.get(header::HOST)?.to_str().ok());
    let own = host.is_some_and(|host| origin.strip_prefix("https://") == Some(host));
    own || allowed.iter().any(|known| known == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:8443".parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("header"));
        }
        is_allowed(&headers, &Uri::from_static("/graphql"), &["https://app.example".to_owned()])
    }

    #[test]
    fn only_exact_origins_pass() {
        for origin in [None, Some("https://localhost:8443"), Some("https://app.example")] {
            assert!(allowed(origin), "{origin:?}");
        }
        let foreign = [
            "http://localhost:8443",
            "https://localhost",
            "https://localhost:8443.evil",
            "https://app.example.evil",
            "https://evil",
            "null",
            "",
        ];
        for origin in foreign {
            assert!(!allowed(Some(origin)), "{origin}");
        }
    }
}
