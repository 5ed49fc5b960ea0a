//! The site's certificate is renewed while it serves: never does it present one that the contract does not have, and both are good for a while.

use std::{path::Path, sync::Arc};

use runproof_contracts::InstanceRegistry;
use runproof_executor::{identity::Certificate, request::pinned};
use runproof_protocol::Fingerprint;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    crash::{ended, start_slow_run},
    harness::{self, World, eventually},
};

#[test]
fn a_renewed_certificate_is_bound_before_it_is_served_and_the_site_goes_on() {
    harness::run(async {
        let world = World::new().await;
        let [_executor, site, _indexer] = ["follow", "site", "index"].map(|role| world.start(&[role]));
        start_slow_run(&world, 2).await;
        let instance = ended(&world).await;
        let old = in_use(&world.identity());

        let unreachable = [("RUNPROOF_CHAIN__RPC_URL", "http://127.0.0.1:1")];
        let failed = world.command(&["identity", "renew"]).envs(unreachable).output().expect("the binary runs");
        assert!(!failed.status.success());
        assert_eq!(in_use(&world.identity()), old, "what cannot be bound is not put to use");
        let next = in_use(&world.identity().join("next"));

        world.runproof(&["identity", "renew"]).await;
        assert_eq!(in_use(&world.identity()), next, "what was made is gone on with");
        eventually("the running site presents the new certificate", async || {
            (presented(&world, [old, next]).await == next).then_some(())
        })
        .await;
        assert!(is_bound(&world, old).await && is_bound(&world, next).await);
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert!(world.identity().join(format!("history/{old}.key.pem")).exists());
        assert!(!world.identity().join("next").exists());
        assert!(site.stop(), "it was never started anew");
    });
}

fn in_use(folder: &Path) -> Fingerprint {
    Certificate::read(&folder.join("cert.pem")).expect("a certificate").fingerprint
}

async fn is_bound(world: &World, fingerprint: Fingerprint) -> bool {
    let registry = InstanceRegistry::new(world.registry.address, world.chain().await.provider());
    let bound = registry.certificateOf(world.issuer, fingerprint.0).call().await.expect("the contract answers");
    bound.boundAtBlock != 0 && bound.revokedFromBlock == 0
}

/// What a new connection to the site presents; it must be one of these.
async fn presented(world: &World, allowed: [Fingerprint; 2]) -> Fingerprint {
    let config = pinned::client_config(allowed.into()).expect("TLS");
    let address = world.site_url.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    let tcp = TcpStream::connect(address).await.expect("the site listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("one of both");
    let (_, session) = tls.get_ref();
    Fingerprint::of(&session.peer_certificates().expect("a certificate")[0])
}
