//! The registry on a chain that does not have it, and the identity bound there.

use alloy::providers::Provider;

use crate::harness::{self, World};

#[test]
fn the_registry_is_created_once_at_its_address_on_every_chain() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let address = world.runproof(&["contract", "address"]).await;
        let address = address.trim();
        let first = world.runproof(&["contract", "deploy"]).await;
        assert!(first.contains("created") && first.contains(&format!("registry = \"{address}\"")), "{first}");
        let nonce = world.nonce().await;
        let second = world.runproof(&["contract", "deploy"]).await;
        assert!(second.contains("already") && second.contains(address), "{second}");
        assert_eq!(world.nonce().await, nonce, "nothing was sent the second time");
        let code = world.chain().await.provider().get_code_at(address.parse().expect("an address")).await;
        assert!(runproof_contracts::deployment::is_registry(&code.expect("the chain answers")));

        let mut bind = world.command(&["identity", "bind"]);
        let bind = bind.env("RUNPROOF_CHAIN__REGISTRY", address).output().expect("the binary runs");
        assert!(bind.status.success(), "{}", String::from_utf8_lossy(&bind.stderr));

        let foreign = runproof_contracts::InstanceRegistry::DEPLOYED_BYTECODE.slice(1..);
        let provider = world.chain().await.provider();
        let set: Result<(), _> = provider.raw_request("anvil_setCode".into(), (address, foreign)).await;
        set.expect("anvil takes any code");
        let refused = world.command(&["contract", "deploy"]).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("not the registry's"), "{told}");
    });
}
