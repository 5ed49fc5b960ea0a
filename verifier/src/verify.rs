//! The straight line from an instance id to a verdict.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::Address;
use runproof_contracts::ContractKind;
use runproof_protocol::{
    InstanceId,
    rules::{
        Reading,
        certificate::{self, BoundCertificate, PresentedCertificate},
        completeness,
        content::{self, PublishedState},
        disclosure, existence, issuer,
        issuer::EnsRecords,
        registered::{RegisteredRun, RegisteredState},
    },
    verdict::{Finding, InputSeen, StateVerdict, Status, Trust, Verdict},
};

use crate::{
    Settings, VerifyError,
    certificate::presented,
    chain::{Chain, Pinned},
    documents::{self, Disclosed, Documents, Protocol, Sourced},
    ens, itrex,
    site::{self, Site},
};

/// Verifies a run from chain and web alone. Without `issuer`, the run must be in one namespace only.
///
/// # Errors
/// [`VerifyError`] if nothing can be said: the node does not answer or contradicts itself, or the contract does not know the run. A site
/// that does not answer is told in the verdict.
pub async fn verify(
    settings: &Settings,
    issuer: Option<Address>,
    instance: InstanceId,
) -> Result<Verdict, VerifyError> {
    if settings.kind == ContractKind::Itrex {
        return itrex::verify(settings, issuer, instance).await;
    }
    let chain = Chain::connect(settings).await?;
    let issuer = match issuer {
        Some(issuer) => issuer,
        None => chain.only_issuer_of(instance).await?,
    };
    let mut evidence = Evidence::gather(&chain, settings, issuer, instance).await?;
    if evidence.is_outdated() {
        evidence = Evidence::gather(&chain, settings, issuer, instance).await?;
    }
    evidence.judge(&chain).await
}

/// What all else rests on, as of one block.
struct Evidence {
    at: Pinned,
    run: RegisteredRun,
    ens: EnsRecords,
    /// Where the issuer's documents are, if chain or caller tell.
    location: Option<String>,
    site: Reading<Site>,
    protocol: Protocol,
    /// Whether the leaves of each root were read, and make it.
    leaves: Vec<Finding>,
}

impl Evidence {
    async fn gather(
        chain: &Chain,
        settings: &Settings,
        issuer: Address,
        instance: InstanceId,
    ) -> Result<Self, VerifyError> {
        let (at, mut run) = chain.run(issuer, instance).await?;
        let ens = ens::records(chain, &at, settings.ens_registry, issuer).await?;
        let location = match &settings.site {
            Some(given) => Some(given.to_string()),
            None => chain.bound_uri(&at, issuer).await?.or_else(|| ens.url.clone()),
        };
        let location = location.map(|url| site::normalised(&url));
        let site = match &location {
            None => Reading::NotAsked("no site of the issuer is known".into()),
            Some(base) => {
                Site::open(base, settings).map_or_else(|error| Reading::Unavailable(error.to_string()), Reading::Read)
            }
        };
        let (site, protocol) = documents::protocol(site, instance).await;
        let leaves = documents::reveal(&site, &mut run).await;
        Ok(Self { at, run, ens, location, site, protocol, leaves })
    }

    /// Whether the site knows of newer blocks than the pinned one: it was read later.
    fn is_outdated(&self) -> bool {
        let protocol = self.protocol.read().and_then(|protocol| protocol.as_ref().ok());
        protocol.is_some_and(|protocol| completeness::tells_beyond(protocol, self.at.reference.number))
    }

    async fn judge(self, chain: &Chain) -> Result<Verdict, VerifyError> {
        let Self { at, run, .. } = &self;
        let checked_at_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let existence = chain.existence(at, run).await?;
        let documents = Documents::read(&self.site, &self.protocol, run).await;
        let ens_source = format!("ENS on chain {}, block {}", run.registry.chain_id, at.reference.number);
        let mut findings = vec![
            existence::model_and_instance_exist(
                run,
                &existence,
                &chain.source("modelRegisteredAtBlock and instanceOf", at),
            ),
            issuer::issuer_known(run.issuer, self.location.as_deref(), &self.ens, &ens_source),
        ];
        for named in &documents.named {
            let (model, source) = (chain.model_of(at, run.issuer, *named).await?, chain.source("instanceOf", at));
            findings.push(existence::named_instance_exists(*named, model, &source));
        }
        let (certificate, certificate_then) = self.certificate(chain, checked_at_s).await?;
        findings.extend(certificate);
        findings.push(content::content(run.proved.model.0, &documents.model.reading, &documents.model.source));
        findings.push(content::content(run.instance.0, &documents.instance.reading, &documents.instance.source));
        findings.extend(self.leaves.iter().cloned());
        findings.push(self.completeness(&documents));
        let folds = run.folds_to_proved_head();
        let states = run.states().zip(&documents.states).zip(certificate_then).map(|((state, read), certificate)| {
            let mut verdict = judge_state(run, &state, folds, read, documents.disclosures.get(&state.sequence));
            verdict.findings.extend(certificate);
            verdict
        });
        Ok(Verdict {
            registry: run.registry,
            issuer: run.issuer,
            instance: run.instance,
            model: run.proved.model,
            site: self.location.clone(),
            engine: documents.engine,
            as_of: at.reference,
            checked_at_s,
            trust: Trust::OneNode,
            findings,
            states: states.collect(),
        })
    }

    /// What checks 4 and 5 rest on: the certificate that the site presented, and who bound it.
    async fn shown(
        &self,
        chain: &Chain,
    ) -> Result<(Reading<PresentedCertificate>, Vec<BoundCertificate>), VerifyError> {
        let shown = match &self.site {
            Reading::Read(site) => match site.presented().map(presented) {
                Some(Ok(certificate)) => Reading::Read(certificate),
                Some(Err(why)) => Reading::Unavailable(why),
                None => Reading::Unavailable("the server presented no certificate".into()),
            },
            Reading::Unavailable(why) => Reading::Unavailable(why.clone()),
            Reading::NotAsked(why) => Reading::NotAsked(why.clone()),
        };
        let bindings = match shown.read() {
            Some(certificate) => chain.bound_certificates(&self.at, self.run.issuer, certificate.fingerprint).await?,
            None => Vec::new(),
        };
        Ok((shown, bindings))
    }

    /// Checks 4 and 5 as of now, and check 4 as of each state's block.
    async fn certificate(
        &self,
        chain: &Chain,
        now_s: u64,
    ) -> Result<([Finding; 2], Vec<Option<Finding>>), VerifyError> {
        let issuer = self.run.issuer;
        let (shown, bindings) = self.shown(chain).await?;
        let base = self.location.as_deref().unwrap_or("the issuer's site");
        let known_source = format!("TLS handshake with {base}; {}", chain.source("certificateOf", &self.at));
        let linked_source = chain.source("signature in CertificateBound", &self.at);
        let known = certificate::certificate_known(issuer, &shown, &bindings, now_s, &known_source);
        let linked = certificate::protocol_linked(issuer, &shown, &bindings, now_s, &known, &linked_source);
        let view = chain.source("certificateOf", &self.at);
        let then = |state: RegisteredState| {
            certificate::trusted_when_registered(issuer, &shown, &bindings, now_s, state.block_number, &view)
        };
        Ok(([known, linked], self.run.states().map(then).collect()))
    }

    fn completeness(&self, documents: &Documents) -> Finding {
        let states: Vec<Option<PublishedState>> =
            documents.states.iter().map(|state| state.reading.read().cloned()).collect();
        let base = self.location.as_deref().unwrap_or("the issuer's site");
        let source = format!(
            "{base}/{}; storage of contract {} proved in block {}",
            documents::protocol_path(self.run.instance),
            self.run.registry.address,
            self.at.reference.number
        );
        completeness::completeness(&self.run, self.at.reference.number, &self.protocol, &states, &source)
    }
}

fn judge_state(
    run: &RegisteredRun,
    state: &RegisteredState,
    folds: bool,
    read: &Sourced<PublishedState>,
    told: Option<&Disclosed>,
) -> StateVerdict {
    let hash = read.reading.as_ref().map(|published| published.id.0);
    let entry = read.reading.read().filter(|published| published.id == state.state);
    let entry = entry.and_then(|published| published.entry.as_ref());
    let disclosed = told.map(|told| disclosure::disclosed(run.instance, state, entry, &told.reading, &told.source));
    let confirmed = disclosed.as_ref().is_some_and(|finding| finding.status == Status::Passed);
    let mut findings =
        vec![existence::state_exists(run, state, folds), content::content(state.state.0, &hash, &read.source)];
    findings.extend(disclosed);
    StateVerdict {
        sequence: state.sequence,
        state: state.state,
        predecessor: state.predecessor,
        state_name: entry.map(|entry| entry.state_name.clone()),
        entered_at_ms: entry.map(|entry| entry.entered_at_ms),
        input: entry.map(|entry| match entry.committed {
            None => InputSeen::Published,
            Some(_) if confirmed => InputSeen::Disclosed,
            Some(_) => InputSeen::Committed,
        }),
        block_number: state.block_number,
        block_timestamp_s: state.block_timestamp_s,
        transaction_hash: state.transaction_hash,
        findings,
    }
}
