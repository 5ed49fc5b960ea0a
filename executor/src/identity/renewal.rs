//! Renewal: another certificate is bound in the contract, beside the one in use, and only then served in its place.

use std::{fs, path::Path};

use eyre::{WrapErr, ensure};

use super::{
    BindSettings, Certificate, CertificateSource, Step, bind,
    bind::Unbindable,
    certificate::{CERTIFICATE, ensure_certificate, replace_by},
};
use crate::sender::Sender;

/// Folder, in the identity's, of the certificate and key that are bound next. What is left there by a renewal that was cut off is gone on with.
pub const NEXT: &str = "next";

/// Binds a certificate from `source` and then puts it into the place of the one in `folder`, where a running site takes it from. `progress` is told each
/// step of the binding. The certificate is made before `sender` is connected to: what was made is gone on with.
///
/// # Errors
/// If there is none to replace, the source is unusable, or the certificate cannot be bound: the one in use stays.
pub async fn renew(
    folder: &Path,
    source: &CertificateSource,
    settings: &BindSettings,
    sender: impl Future<Output = eyre::Result<Sender>>,
    progress: impl FnMut(&Step),
) -> eyre::Result<Certificate> {
    let next = folder.join(NEXT);
    let certificate = next_certificate(folder, &next, source)?;
    let bound = async { bind(settings, &sender.await?, &certificate, progress).await };
    if let Err(error) = bound.await {
        if error.is::<Unbindable>() {
            remove(&next)?;
        }
        return Err(error.wrap_err("the certificate is not renewed, the one in use stays"));
    }
    let renewed = replace_by(&next, folder)?;
    remove(&next)?;
    Ok(renewed)
}

fn next_certificate(folder: &Path, next: &Path, source: &CertificateSource) -> eyre::Result<Certificate> {
    let current = Certificate::read(&folder.join(CERTIFICATE))?.fingerprint;
    let is_in_use = Certificate::read(&next.join(CERTIFICATE)).is_ok_and(|left| left.fingerprint == current);
    // What was generated may be bound already; what is given can be given again.
    if next.exists() && (is_in_use || matches!(source, CertificateSource::Given { .. })) {
        remove(next)?;
    }
    let certificate = ensure_certificate(next, source)?;
    ensure!(certificate.fingerprint != current, "this is the certificate in use: give another one");
    Ok(certificate)
}

fn remove(folder: &Path) -> eyre::Result<()> {
    fs::remove_dir_all(folder).wrap_err_with(|| format!("{} could not be removed", folder.display()))
}
