//! The account's key, encrypted at rest: a Web3 Secret Storage file (version 3, scrypt) that its owner alone may read.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use alloy::signers::{k256::elliptic_curve::rand_core::OsRng, local::PrivateKeySigner};
use zeroize::Zeroizing;

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
    let path = folder.join(KEYSTORE);
    if path.exists() {
        return Err(KeystoreError::Exists(path));
    }
    private_folder(folder)?;
    let draft = format!(".{KEYSTORE}.{}", std::process::id());
    let draft_path = folder.join(&draft);
    let signer = PrivateKeySigner::random();
    let key = Zeroizing::new(signer.to_bytes().0);
    eth_keystore::encrypt_key(folder, &mut OsRng, key.as_slice(), password, Some(&draft))
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
        Ok(_) => {
            let key = eth_keystore::decrypt_key(path, password).map_err(|error| unreadable(path, error))?;
            let malformed =
                |_| KeystoreError::Malformed { path: path.into(), reason: "its key is not of secp256k1".into() };
            PrivateKeySigner::from_slice(&Zeroizing::new(key)).map_err(malformed)
        }
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

fn unreadable(path: &Path, error: eth_keystore::KeystoreError) -> KeystoreError {
    match error {
        eth_keystore::KeystoreError::MacMismatch => KeystoreError::WrongPassword(path.into()),
        eth_keystore::KeystoreError::StdIo(reason) => {
            KeystoreError::Io { path: path.into(), source: io::Error::other(reason) }
        }
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
        fs::remove_file(&path).expect("removed");
        eth_keystore::encrypt_key(folder.path(), &mut OsRng, [0; 32], "", Some(KEYSTORE)).expect("written");
        assert!(matches!(load(&path, ""), Err(KeystoreError::Malformed { .. })), "zero is no key");
    }
}
