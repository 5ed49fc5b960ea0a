//! Passwords that the stack makes for its own parts, kept in files that only their owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::StackError;

/// The password in `file`; a new random one is written there if there is none. 128 bits as lower-case hex.
pub(crate) fn of_file(file: &Path) -> Result<String, StackError> {
    if file.exists() {
        return fs::read_to_string(file).map_err(StackError::io(file));
    }
    let mut bytes = [0; 16];
    let source = "/dev/urandom";
    File::open(source).and_then(|mut random| random.read_exact(&mut bytes)).map_err(StackError::io(source))?;
    let password = hex::encode(bytes);
    write(file, &password)?;
    Ok(password)
}

/// Writes a file with mode 0600.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), StackError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(StackError::io(file))
}
