//! Who issues: an Ethereum account, a TLS certificate for its site, a name in ENS, and what binds them together (the paper, steps 2.1 to 2.3).
//!
//! All of it lies in one folder: `keystore.json`, `cert.pem`, `key.pem`, `history/` and, during a renewal, `next/`. Each step may be run again: what is there is left as
//! it is, and what is so already is not sent again.

pub mod bind;
pub mod certificate;
pub mod ens;
pub mod keystore;
pub mod renewal;
pub mod show;

use std::path::Path;

use eyre::WrapErr;

use crate::key::Key;

pub use self::{
    bind::{BindSettings, Step, bind},
    certificate::{Certificate, CertificateSource},
    keystore::{KeystoreError, load},
    renewal::renew,
    show::{Overview, show},
};

/// A key and a certificate in their folder.
#[derive(Debug)]
pub struct Identity {
    /// The account.
    pub signer: Key,
    /// The site's certificate.
    pub certificate: Certificate,
    /// Whether the key was made just now; otherwise it was there.
    pub created: bool,
}

/// Makes an identity in `folder`, or opens the one that is there: nothing is ever overwritten.
///
/// # Errors
/// [`KeystoreError`] if there is a keystore that the password does not open; or if the certificate's source is unusable.
pub fn new(folder: &Path, password: &str, source: &CertificateSource) -> eyre::Result<Identity> {
    let path = folder.join(keystore::KEYSTORE);
    let created = !path.exists();
    let signer = if created { keystore::create(folder, password)? } else { load(&path, password)? };
    let certificate = certificate::ensure_certificate(folder, source).wrap_err("no certificate for the site")?;
    Ok(Identity { signer: signer.into(), certificate, created })
}
