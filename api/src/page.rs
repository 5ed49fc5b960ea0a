//! The monitor page: files of `page/`, as they are.

use axum::{Router, routing::get};

use crate::asset::{STRICT, asset};

/// Routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || asset("text/html; charset=utf-8", STRICT, include_str!("../page/monitor.html"))))
        .route(
            "/monitor.css",
            get(async || asset("text/css; charset=utf-8", STRICT, include_str!("../page/monitor.css"))),
        )
        .route("/icon.svg", get(async || asset("image/svg+xml", STRICT, include_str!("../page/icon.svg"))))
        .route(
            "/monitor.js",
            get(async || asset("text/javascript; charset=utf-8", STRICT, include_str!("../page/monitor.js"))),
        )
        .route(
            "/view.js",
            get(async || asset("text/javascript; charset=utf-8", STRICT, include_str!("../page/view.js"))),
        )
        .route(
            "/socket.js",
            get(async || asset("text/javascript; charset=utf-8", STRICT, include_str!("../page/socket.js"))),
        )
}
