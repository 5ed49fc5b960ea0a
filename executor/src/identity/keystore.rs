//! The account's key, encrypted at rest: a Web3 Secret Storage file (version 3, scrypt) that its owner alone may read.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use alloy::{
    primitives::B256,
    signers::{
        k256::elliptic_curve::rand_core::OsRng,
        local::{LocalSignerError, PrivateKeySigner},
    },
};

/// Name of the keystore in an identity's folder.
pub const KEYSTORE: &str = "keystore.json";

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// A key is never overwritten: what it signed could not be continued.
    #[error("{0} exists already; it is left as it is. For another identity name another folder")]
    Exists(PathBuf),
    /// No identity yet.
    #[error("there is no keystore at {0}: run `runproof identity new`")]
    Missing(PathBuf),
    /// The file is there, the password does not open it.
    #[error("the password does not open {0}: check RUNPROOF_IDENTITY__PASSWORD, or the password that you typed")]
    WrongPassword(PathBuf),
    /// The file is not a keystore, or its key is none.
    #[error("{path} is not a keystore that can be read ({reason}): restore it from a backup")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        reason: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Makes a key (secp256k1) and stores it in `folder`, encrypted.
///
/// # Errors
/// [`KeystoreError::Exists`] if there is one, [`KeystoreError::Io`].
pub fn create(folder: &Path, password: &str) -> Result<PrivateKeySigner, KeystoreError> {
    import(folder, password, PrivateKeySigner::random().to_bytes())
}

/// Stores a given key in `folder`, encrypted.
///
/// # Errors
/// [`KeystoreError::Exists`] if there is one, [`KeystoreError::Malformed`] if the bytes are no key, [`KeystoreError::Io`].
pub fn import(folder: &Path, password: &str, key: B256) -> Result<PrivateKeySigner, KeystoreError> {
    let path = folder.join(KEYSTORE);
    if path.exists() {
        return Err(KeystoreError::Exists(path));
    }
    private_folder(folder)?;
    let draft = format!(".{KEYSTORE}.{}", std::process::id());
    let draft_path = folder.join(&draft);
    let (signer, _) = PrivateKeySigner::encrypt_keystore(folder, &mut OsRng, key, password, Some(&draft))
        .map_err(|error| unreadable(&path, error))?;
    // A hard link, unlike a rename, fails where a file came into being meanwhile.
    let stored = fs::set_permissions(&draft_path, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::hard_link(&draft_path, &path))
        .and_then(|()| fs::remove_file(&draft_path));
    match stored {
        Ok(()) => Ok(signer),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeystoreError::Exists(path)),
        Err(source) => Err(KeystoreError::Io { path, source }),
    }
}

/// Opens the keystore at `path`. Takes about a second of computing: that is what protects the password.
///
/// # Errors
/// [`KeystoreError`].
pub fn load(path: &Path, password: &str) -> Result<PrivateKeySigner, KeystoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeystoreError::Missing(path.into())),
        Err(source) => Err(KeystoreError::Io { path: path.into(), source }),
        Ok(_) => PrivateKeySigner::decrypt_keystore(path, password).map_err(|error| unreadable(path, error)),
    }
}

/// Makes a folder that nobody else may enter.
pub(super) fn private_folder(folder: &Path) -> Result<(), KeystoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| KeystoreError::Io { path: folder.into(), source })
}

fn unreadable(path: &Path, error: LocalSignerError) -> KeystoreError {
    match error {
        // The crate that names this variant's type is not re-exported; its text is the MAC check's alone.
        LocalSignerError::EthKeystoreError(inner) if inner.to_string() == "Mac Mismatch" => {
            KeystoreError::WrongPassword(path.into())
        }
        LocalSignerError::IoError(source) => KeystoreError::Io { path: path.into(), source },
        other => KeystoreError::Malformed { path: path.into(), reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_by_its_password_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("identity");
        let signer = create(&home, "right").expect("created");
        let path = home.join(KEYSTORE);
        assert_eq!(load(&path, "right").expect("opened").address(), signer.address());
        assert!(matches!(load(&path, "wrong"), Err(KeystoreError::WrongPassword(_))));
        assert!(matches!(create(&home, "right"), Err(KeystoreError::Exists(_))));
        assert_eq!(fs::metadata(&path).expect("stored").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&home).expect("made").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&home).expect("listed").count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_no_keystore_is_told_from_what_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(KEYSTORE);
        assert!(matches!(load(&path, ""), Err(KeystoreError::Missing(_))));
        fs::write(&path, "{}").expect("written");
        assert!(matches!(load(&path, ""), Err(KeystoreError::Malformed { .. })));
        assert!(matches!(import(&folder.path().join("x"), "", B256::ZERO), Err(KeystoreError::Malformed { .. })));
    }
}
