//! What only the process may know.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};
use zeroize::Zeroizing;

/// A text that is never shown and never written out, and is wiped from memory when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error at hand would show what it found.
        let text = String::deserialize(deserializer)
            .map_err(|_| D::Error::custom("a secret that is no text: put a number in quotation marks"));
        text.map(Self::from)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
