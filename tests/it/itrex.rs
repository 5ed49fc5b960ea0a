//! The paper's own contract, indexed beside ours: what its logs and its calldata tell, and nothing that they do not.

use alloy::{
    primitives::{Address, B256, FixedBytes, fixed_bytes, hex},
    providers::{DynProvider, Provider},
};
use runproof_protocol::{Fingerprint, certificate::recover_legacy, event::Event, event::JournalEntry};
use serde_json::{Value, json};

use crate::{
    harness::{self, KafkaMessage, World, eventually},
    schemas::each_message_is_there_once_and_as_described,
};

alloy::sol! {
    #[sol(rpc)]
    Contract,
    "contracts/test/Itrex.json"
}

/// The contract on a chain.
pub type Deployed = Contract::ContractInstance<DynProvider>;

const MODEL: B256 = B256::repeat_byte(0x11);
const INSTANCE: B256 = B256::repeat_byte(0x22);
const STATES: [B256; 3] = [B256::repeat_byte(0x31), B256::repeat_byte(0x32), B256::repeat_byte(0x33)];
/// The paper's client, its certificate and its signature.
const CLIENT: Address = alloy::primitives::address!("AcD398d9F25C40b1d292bfF2190A08D7D907c568");
const FINGERPRINT: B256 = alloy::primitives::b256!("5350213c939a22175a665734f13eaf5bce4e42ecc26f2ac3d836450166558918");
const SIGNATURE: FixedBytes<65> = fixed_bytes!(
    "319a8127e02a87f9795b8d813220789b214181a7c4d40baa8bad2d80492e3b63340a407a10c39902a9ca86afcd16227922c5395fd549c43383b7a913db3881e91b"
);

/// Deploys the contract; returns also who calls it, and a stranger.
pub async fn deploy(world: &World) -> (Deployed, Address, Address) {
    let provider = world.chain().await.provider();
    let accounts = provider.get_accounts().await.expect("development accounts");
    let (caller, stranger) = (accounts[7], accounts[8]);
    let deployed = Contract::deploy_builder(provider.clone()).from(caller).gas(3_000_000).deploy().await;
    (Contract::new(deployed.expect("it deploys"), provider.clone()), caller, stranger)
}

async fn send<D: alloy::contract::CallDecoder>(
    call: alloy::contract::CallBuilder<&DynProvider, D>,
    from: Address,
) -> bool {
    let sent = call.from(from).gas(500_000).send().await.expect("the chain takes it");
    sent.get_receipt().await.expect("it is included").status()
}

/// A run as the paper registers it, with a certificate, twice: the second attempt reverts.
pub async fn register(contract: &Deployed, caller: Address, stranger: Address) {
    assert!(send(contract.registerModel(MODEL, caller, B256::ZERO), caller).await);
    assert!(send(contract.registerInstance(MODEL, INSTANCE, caller, B256::ZERO), caller).await);
    for state in STATES {
        assert!(send(contract.registerState_1(INSTANCE, state), caller).await);
    }
    assert!(send(contract.registerTransition(INSTANCE, STATES[0], STATES[1]), stranger).await);
    let mut parts = [0; 80];
    parts[..65].copy_from_slice(&SIGNATURE[..]);
    let certificate = || {
        let parts =
            (FixedBytes::from_slice(&parts[..16]), B256::from_slice(&parts[16..48]), B256::from_slice(&parts[48..]));
        contract.registerCertificate(CLIENT, FINGERPRINT, parts.0, parts.1, parts.2)
    };
    assert!(send(certificate(), caller).await);
    assert!(!send(certificate(), caller).await, "what reverts registers nothing");
    assert!(send(contract.terminateInstance(INSTANCE), stranger).await);
}

#[test]
fn the_papers_contract_is_indexed_beside_ours() {
    harness::run(async {
        let world = World::new().await;
        let (contract, caller, stranger) = deploy(&world).await;
        let chain = world.chain().await;
        let pool = world.add_source("paper", chain, "itrex", *contract.address()).await;
        register(&contract, caller, stranger).await;
        let model = world.file("flow.asl.json", crate::crash::slow_model(1));
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
        let _roles = ["index", "serve", "verdicts"].map(|role| world.start(&[role]));

        // Three states emit two logs each.
        const ENTRIES: usize = 1 + 1 + 6 + 1 + 1 + 1;
        let topic = format!("{}.paper.events", world.name);
        let messages = world.kcat_of(&topic, ENTRIES).await;
        let entries: Vec<JournalEntry> =
            messages.iter().map(|message| serde_json::from_str(&message.value).expect("an entry")).collect();
        told_is_what_happened(&entries, caller, stranger);
        sourced(&messages, &contract);
        let types = each_message_is_there_once_and_as_described(&world.messages_beside(&topic).await);
        let of_the_paper = types.iter().filter(|kind| kind.starts_with("runproof.itrex_"));
        assert_eq!(of_the_paper.count(), 7, "each of its events: {types:?}");
        let sql = "select count(*) from journal.entry where issuer is not null";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("rows");
        assert_eq!(count as usize, ENTRIES);

        served(&world, caller, stranger).await;
        world.runproof(&["audit", "--source", "paper"]).await;
        world.runproof(&["audit"]).await;
        verdicts_say_what_cannot_be_proved(&world, &contract, stranger).await;
    });
}

/// What stands passes, until a stranger moves it; what the contract cannot prove is told so.
async fn verdicts_say_what_cannot_be_proved(world: &World, contract: &Deployed, stranger: Address) {
    let statuses = ["PASSED", "PASSED", "PASSED"];
    let verdict = eventually("the run is verified", async || judged(world, statuses).await).await;
    let found = |check: &str| {
        let findings = verdict["findings"].as_array().expect("findings").iter();
        findings.clone().find(|finding| finding["check"] == check).expect("each check is there").clone()
    };
    assert_eq!(found("MODEL_AND_INSTANCE_EXIST")["status"], "PASSED");
    assert_eq!(found("ISSUER_KNOWN")["status"], "FAILED", "the caller has no name");
    for check in ["CERTIFICATE_KNOWN", "PROTOCOL_LINKED", "CONTENT", "COMPLETENESS"] {
        assert_eq!(found(check)["status"], "NOT_CHECKED", "{check}");
    }
    let why = found("COMPLETENESS")["detail"].to_string();
    assert!(why.contains("no head, no count and no order"), "{why}");

    assert!(send(contract.registerState_1(B256::repeat_byte(0x99), STATES[1]), stranger).await);
    eventually("the state that was moved fails", async || judged(world, ["PASSED", "FAILED", "PASSED"]).await).await;
}

/// The run's verdict, once its states exist as told.
async fn judged(world: &World, states: [&str; 3]) -> Option<Value> {
    let query = "{ instances { nodes { instanceId verdict { findings { check status detail } }
        states { nodes { verdict { findings { check status } } } } } } }";
    let mut served = world.graphql_of("paper", query).await;
    let run = served["instances"]["nodes"][0].take();
    let of_state = |state: &Value| state["verdict"]["findings"][0]["status"].clone();
    let found: Vec<Value> = run["states"]["nodes"].as_array()?.iter().map(of_state).collect();
    (found == states).then(|| run["verdict"].clone())
}

fn told_is_what_happened(entries: &[JournalEntry], caller: Address, stranger: Address) {
    let events: Vec<&Event> = entries.iter().map(|entry| &entry.event).collect();
    assert_eq!(*events[0], Event::ItrexModelRegistered { issuer: caller, model: MODEL.into() });
    let registered = Event::ItrexInstanceRegistered { issuer: caller, instance: INSTANCE.into(), model: MODEL.into() };
    assert_eq!(*events[1], registered);
    for (place, state) in STATES.into_iter().enumerate() {
        let expected = Event::ItrexStateRegistered { issuer: caller, instance: INSTANCE.into(), state: state.into() };
        assert_eq!(*events[2 + 2 * place], expected);
        let expected = Event::ItrexClientNotified { issuer: caller, state: state.into(), client: caller };
        assert_eq!(*events[3 + 2 * place], expected);
    }
    let transition = Event::ItrexTransitionRegistered {
        issuer: stranger,
        instance: INSTANCE.into(),
        from_state: STATES[0].into(),
        to_state: STATES[1].into(),
    };
    assert_eq!(*events[8], transition);
    let Event::ItrexCertificateRegistered { issuer, subject, fingerprint, signature } = events[9] else {
        panic!("{:?}", events[9])
    };
    assert_eq!(
        (*issuer, *subject, *fingerprint, entries[9].origin.place.and_then(|place| place.log_index)),
        (caller, CLIENT, Fingerprint(FINGERPRINT), None)
    );
    assert_eq!(recover_legacy(*fingerprint, &signature[..65]), Ok(CLIENT));
    assert_eq!(*events[10], Event::ItrexInstanceTerminated { issuer: stranger, instance: INSTANCE.into() });
}

/// Each message says of which chain and contract it is.
fn sourced(messages: &[KafkaMessage], contract: &Deployed) {
    let source = format!("ce_source=/chains/{}/contracts/{:#x}", runproof_stack::CHAIN_ID, contract.address());
    assert!(messages.iter().all(|message| message.headers.contains(&source)), "{messages:?}");
}

async fn served(world: &World, caller: Address, stranger: Address) {
    let issuer = format!("{caller:#x}");
    let query = "{ watermark { contract } models { nodes { modelId issuer } } instances { nodes { instanceId ordinal stateCount termination { outcome } } }
        states { nodes { stateId sequence issuer } } certificates { nodes { subject fingerprint uri } } }";
    let served = world.graphql_of("paper", query).await;
    assert_eq!(served["models"]["nodes"], json!([{"modelId": hex::encode(MODEL), "issuer": issuer}]));
    // A stranger's word does not end the caller's run.
    let instance = json!({"instanceId": hex::encode(INSTANCE), "ordinal": null, "stateCount": 3, "termination": null});
    assert_eq!(served["instances"]["nodes"], json!([instance]), "by {stranger}");
    let states = STATES.iter().enumerate();
    let states: Vec<Value> =
        states.map(|(place, id)| json!({"stateId": hex::encode(id), "sequence": place, "issuer": issuer})).collect();
    assert_eq!(served["states"]["nodes"], json!(states));
    let certificate = json!({"subject": format!("{CLIENT:#x}"), "fingerprint": hex::encode(FINGERPRINT), "uri": null});
    assert_eq!(served["certificates"]["nodes"], json!([certificate]));
    let ours = eventually("ours is indexed", async || {
        let ours = world.graphql("{ watermark { contract } models { nodes { issuer } } }").await;
        (ours["models"]["nodes"].as_array().is_some_and(|models| !models.is_empty())).then_some(ours)
    })
    .await;
    assert_eq!(ours["models"]["nodes"], json!([{"issuer": format!("{:#x}", world.issuer)}]));
    assert_ne!(ours["watermark"]["contract"], served["watermark"]["contract"]);
}
