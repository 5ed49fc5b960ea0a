//! `/graphiql`: GraphiQL from npm packages on disk, so that it works without the internet.

use std::path::{Path, PathBuf};

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};

use crate::asset::{STRICT, asset};

/// GraphiQL's editor writes style attributes, and its style sheet embeds its icons and fonts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
    connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name served, file in the packages' folder, type.
const FILES: [(&str, &str, &str); 5] = [
    ("/graphiql/react.js", "react/umd/react.production.min.js", SCRIPT),
    ("/graphiql/react-dom.js", "react-dom/umd/react-dom.production.min.js", SCRIPT),
    ("/graphiql/graphql-ws.js", "graphql-ws/umd/graphql-ws.min.js", SCRIPT),
    ("/graphiql/graphiql.js", "graphiql/graphiql.min.js", SCRIPT),
    ("/graphiql/graphiql.css", "graphiql/graphiql.min.css", "text/css; charset=utf-8"),
];

/// Routes of GraphiQL from packages in `folder`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(folder: &Path) -> Router<S> {
    let page = Router::new()
        .route(
            "/graphiql",
            get(async || asset("text/html; charset=utf-8", POLICY, include_str!("../page/graphiql.html"))),
        )
        .route("/graphiql/start.js", get(async || asset(SCRIPT, STRICT, include_str!("../page/graphiql.js"))));
    FILES.into_iter().fold(page, |page, (name, file, content_type)| {
        let path = folder.join(file);
        page.route(name, get(move || read(path, content_type)))
    })
}

async fn read(path: PathBuf, content_type: &'static str) -> impl IntoResponse {
    match tokio::fs::read(&path).await {
        Ok(bytes) => asset(content_type, STRICT, bytes),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "GraphiQL's packages are incomplete: npm install graphiql@3 react@18 react-dom@18 graphql-ws@5");
            (StatusCode::NOT_FOUND, "GraphiQL's npm packages are not installed on the server").into_response()
        }
    }
}
