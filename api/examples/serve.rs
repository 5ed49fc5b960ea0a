//! Dev.
#[tokio::main]
async fn main() -> eyre::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let settings = runproof_api::Settings {
        postgres_url: "postgres://postgres@127.0.0.1:25432/dev".into(),
        certificate: "/tmp/api/cert.pem".into(),
        private_key: "/tmp/api/key.pem".into(),
        allowed_origins: vec![],
        graphiql: Some("/tmp/api/gq/node_modules".into()),
        introspection: true,
        limits: runproof_api::Limits::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:28443").await?;
    let token = tokio_util::sync::CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.ok(); stop.cancel(); });
    runproof_api::serve(settings, listener, token).await
}
