//! The site's TLS certificate: made here (P-256, self-signed: what vouches for it is the binding in the contract) or given as PEM files.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use eyre::{OptionExt, WrapErr, bail};
use runproof_protocol::Fingerprint;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::keystore::private_folder;

/// Name of the certificate (PEM, chain allowed, the site's own first) in an identity's folder.
pub const CERTIFICATE: &str = "cert.pem";
/// Name of its private key (PEM, PKCS #8).
pub const KEY: &str = "key.pem";
/// Folder of the certificates that were replaced, `<fingerprint>.cert.pem` and `<fingerprint>.key.pem`.
pub const HISTORY: &str = "history";

/// Where a certificate comes from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// Made here.
    Generated {
        /// Host names and IP addresses that it is valid for, such as `localhost` and `127.0.0.1`.
        names: Vec<String>,
        /// How long, from now.
        validity: Duration,
    },
    /// Made elsewhere, for instance by an ACME client.
    Given {
        /// PEM file of the certificate, chain allowed.
        certificate: PathBuf,
        /// PEM file of its private key.
        key: PathBuf,
    },
}

/// What the contract and a reader need to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// SHA-256 of the DER bytes.
    pub fingerprint: Fingerprint,
    /// Start of validity, Unix seconds.
    pub not_before_s: u64,
    /// End of validity, Unix seconds.
    pub not_after_s: u64,
    /// Host names and IP addresses.
    pub names: Vec<String>,
}

impl Certificate {
    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn read(path: &Path) -> eyre::Result<Self> {
        let pem = fs::read(path).wrap_err_with(|| format!("{}: run `runproof identity new`", path.display()))?;
        Self::parse(&pem).wrap_err_with(|| path.display().to_string())
    }

    fn parse(pem: &[u8]) -> eyre::Result<Self> {
        let der = CertificateDer::from_pem_slice(pem).wrap_err("no certificate in PEM form")?;
        let (_, certificate) = X509Certificate::from_der(&der).wrap_err("not an X.509 certificate")?;
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().wrap_err("its alternative names are malformed")?;
        Ok(Self {
            fingerprint: Fingerprint::of(&der),
            not_before_s: u64::try_from(validity.not_before.timestamp()).wrap_err("valid from before 1970")?,
            not_after_s: u64::try_from(validity.not_after.timestamp()).wrap_err("valid until before 1970")?,
            names: names.iter().flat_map(|extension| &extension.value.general_names).filter_map(shown).collect(),
        })
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| std::net::Ipv6Addr::from(ip).to_string()),
        },
        _ => None,
    }
}

/// Puts a certificate into `folder`, unless there is one: that one is read then.
///
/// # Errors
/// If the source is unusable or the folder cannot be written.
pub fn ensure_certificate(folder: &Path, source: &CertificateSource) -> eyre::Result<Certificate> {
    let path = folder.join(CERTIFICATE);
    if path.exists() {
        return Certificate::read(&path);
    }
    install(folder, &obtain(source)?)
}

/// Puts the certificate in the folder `next` in the place of the one in `folder`. The old one moves into [`HISTORY`]: its binding in the contract stands
/// until it ends or is revoked.
///
/// # Errors
/// If one of them cannot be read, or `folder` cannot be written.
pub(super) fn replace_by(next: &Path, folder: &Path) -> eyre::Result<Certificate> {
    let current = Certificate::read(&folder.join(CERTIFICATE))?;
    let given = CertificateSource::Given { certificate: next.join(CERTIFICATE), key: next.join(KEY) };
    let pair = obtain(&given)?;
    let history = folder.join(HISTORY);
    private_folder(&history)?;
    for file in [CERTIFICATE, KEY] {
        let kept = history.join(format!("{}.{file}", current.fingerprint));
        // What was kept before a crash may be half replaced by now.
        if !kept.exists() {
            fs::copy(folder.join(file), &kept).wrap_err_with(|| format!("{} could not be written", kept.display()))?;
        }
    }
    install(folder, &pair)
}

/// The certificates that were replaced, the longest valid first.
///
/// # Errors
/// If the folder or one of its certificates cannot be read.
pub fn history(folder: &Path) -> eyre::Result<Vec<Certificate>> {
    let folder = folder.join(HISTORY);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).wrap_err_with(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.to_str().is_some_and(|name| name.ends_with(CERTIFICATE)) {
            found.push(Certificate::read(&path)?);
        }
    }
    found.sort_by_key(|certificate| std::cmp::Reverse(certificate.not_after_s));
    Ok(found)
}

/// A certificate with its key, both PEM.
struct Pair {
    certificate: String,
    key: zeroize::Zeroizing<String>,
}

fn obtain(source: &CertificateSource) -> eyre::Result<Pair> {
    match source {
        CertificateSource::Generated { names, validity } => generate(names, *validity),
        CertificateSource::Given { certificate, key } => {
            let read = |path: &Path| fs::read_to_string(path).wrap_err_with(|| path.display().to_string());
            let pair = Pair { certificate: read(certificate)?, key: read(key)?.into() };
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).wrap_err("no private key in PEM form")?;
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            rustls::sign::CertifiedKey::from_der(chain, key, &provider)
                .wrap_err("certificate and key do not fit together")?;
            Ok(pair)
        }
    }
}

/// Clocks differ: a certificate is valid from a little before it was made.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

fn generate(names: &[String], validity: Duration) -> eyre::Result<Pair> {
    let Some(common_name) = names.first() else { bail!("name the hosts that the certificate is for") };
    let mut parameters = rcgen::CertificateParams::new(names).wrap_err("a host name that cannot be certified")?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let now = time::OffsetDateTime::now_utc();
    parameters.not_before = now - CLOCK_SKEW;
    parameters.not_after = now.checked_add(validity.try_into()?).ok_or_eyre("a validity beyond the calendar")?;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    Ok(Pair { certificate: parameters.self_signed(&key)?.pem(), key: key.serialize_pem().into() })
}

/// The key first: a site that reloads between the two keeps the pair that it has.
fn install(folder: &Path, pair: &Pair) -> eyre::Result<Certificate> {
    let certificate = Certificate::parse(pair.certificate.as_bytes())?;
    private_folder(folder)?;
    replace(&folder.join(KEY), pair.key.as_bytes(), 0o600)?;
    replace(&folder.join(CERTIFICATE), pair.certificate.as_bytes(), 0o644)?;
    Ok(certificate)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> eyre::Result<()> {
    let draft = path.with_extension("pem.new");
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().wrap_err_with(|| format!("{} could not be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localhost() -> CertificateSource {
        CertificateSource::Generated {
            names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            validity: Duration::from_secs(86_400),
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_kept_when_it_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = ensure_certificate(folder.path(), &localhost()).expect("made");
        assert_eq!(first.names, ["localhost", "127.0.0.1", "::1"]);
        assert!(first.not_after_s - first.not_before_s >= 86_400);
        assert_eq!(ensure_certificate(folder.path(), &localhost()).expect("read"), first);
        let next = tempfile::tempdir().expect("a folder");
        let second = ensure_certificate(next.path(), &localhost()).expect("made");
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(replace_by(next.path(), folder.path()).expect("replaced"), second);
        assert_eq!(history(folder.path()).expect("listed"), [first]);
        assert_eq!(Certificate::read(&folder.path().join(CERTIFICATE)).expect("read"), second);
    }

    #[test]
    fn a_given_pair_must_fit_together() {
        let (mine, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        ensure_certificate(mine.path(), &localhost()).expect("made");
        ensure_certificate(other.path(), &localhost()).expect("made");
        let given =
            |key: &Path| CertificateSource::Given { certificate: mine.path().join(CERTIFICATE), key: key.join(KEY) };
        let target = tempfile::tempdir().expect("a folder");
        assert!(ensure_certificate(target.path(), &given(other.path())).is_err());
        let adopted = ensure_certificate(target.path(), &given(mine.path())).expect("adopted");
        assert_eq!(adopted, Certificate::read(&mine.path().join(CERTIFICATE)).expect("read"));
    }
}
