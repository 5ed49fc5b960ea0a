//! A server between verifiers and the site, with the issuer's own certificate: it passes on what the site says, but for the leaves.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use axum_server::tls_rustls::RustlsConfig;
use runproof_protocol::{StateId, documents::Leaves};

use crate::harness::{Role, World, free_port};

/// What it makes of the leaves.
#[derive(Debug, Clone, Copy)]
pub enum Lie {
    None,
    Withhold(usize),
    Alter(usize),
}

pub struct Front {
    told: Arc<Mutex<Lie>>,
    _site: Role,
}

#[derive(Clone)]
struct Passing {
    site: String,
    client: reqwest::Client,
    told: Arc<Mutex<Lie>>,
}

impl Front {
    /// Starts the site at another port than the world's, and itself at that one.
    pub async fn before_the_site_of(world: &World) -> Self {
        let port = free_port();
        let mut command = world.command(&["site"]);
        command.env("RUNPROOF_SITE__LISTEN", format!("127.0.0.1:{port}"));
        let site = Role::start(command, world.file("site.log", ""));
        let told = Arc::new(Mutex::new(Lie::None));
        let passing =
            Passing { site: format!("https://localhost:{port}"), client: world.http(), told: Arc::clone(&told) };
        let identity = world.identity();
        let tls = RustlsConfig::from_pem_file(identity.join("cert.pem"), identity.join("key.pem")).await;
        let address = world.site_url.replace("https://localhost", "127.0.0.1");
        let listener = TcpListener::bind(address).expect("the port is free");
        listener.set_nonblocking(true).expect("a socket");
        let server = axum_server::from_tcp_rustls(listener, tls.expect("certificate and key")).expect("a listener");
        let app = Router::new().fallback(pass_on).with_state(passing);
        tokio::spawn(server.serve(app.into_make_service()));
        Self { told, _site: site }
    }

    /// From now on.
    pub fn tell(&self, lie: Lie) {
        *self.told.lock().expect("unpoisoned") = lie;
    }
}

async fn pass_on(State(passing): State<Passing>, uri: Uri, asked: HeaderMap) -> Response {
    let part = asked.get(header::RANGE).map(|range| (header::RANGE, range.clone()));
    let sent = passing.client.get(format!("{}{}", passing.site, uri.path())).headers(part.into_iter().collect());
    let Ok(answer) = sent.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let bytes = answer.bytes().await.expect("the site's bytes");
    let altered = match *passing.told.lock().expect("unpoisoned") {
        _ if !uri.path().contains("/roots/") => None,
        Lie::None => None,
        Lie::Withhold(place) => Some((place, None)),
        Lie::Alter(place) => Some((place, Some(StateId::of(b"never entered")))),
    };
    let Some((place, told)) = altered else { return (status, bytes).into_response() };
    let mut leaves: Leaves = serde_json::from_slice(&bytes).expect("leaves");
    leaves.states[place] = told;
    axum::Json(leaves).into_response()
}
