//! Content-based identifiers: SHA-256 over published bytes (the paper, step 1 and 3.2), written as 64 lower-case hex digits without `0x`.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// SHA-256 (FIPS 180-4) of `bytes`.
pub fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(bytes))
}

/// Text that is not 64 hex digits, with or without `0x`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: give 64 hex digits (SHA-256), with or without 0x")]
pub struct InvalidId(String);

fn parse(text: &str) -> Result<B256, InvalidId> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidId(text.chars().take(80).collect()))?;
    Ok(B256::from(bytes))
}

macro_rules! content_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub B256);

        impl $name {
            /// The id of these bytes as they are published.
            pub fn of(bytes: &[u8]) -> Self {
                Self(sha256(bytes))
            }

            /// The 32 bytes.
            pub fn as_slice(&self) -> &[u8] {
                self.0.as_slice()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(alloy_primitives::hex::Buffer::<32>::new().format(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;
            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                B256::try_from(bytes).map(Self).map_err(|_| InvalidId(hex::encode(bytes)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(alloy_primitives::hex::Buffer::<32>::new().format(&self.0))
            }
        }

        impl From<B256> for $name {
            fn from(bytes: B256) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for B256 {
            fn from(id: $name) -> B256 {
                id.0
            }
        }
    };
}

content_id! {
    /// Id of a model: SHA-256 of its bytes as published, for Step Functions the ASL file.
    ModelId
}
content_id! {
    /// Id of an instance: SHA-256 of the JSON document that describes the execution at its start.
    InstanceId
}
content_id! {
    /// Id of a state: SHA-256 of the cumulative trace up to and including it.
    StateId
}
content_id! {
    /// Fingerprint of a certificate: SHA-256 of its DER encoding (RFC 5280).
    Fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_read_with_and_without_prefix_and_written_in_lower_case() {
        let id = StateId::of(b"[]");
        let shown = id.to_string();
        assert_eq!(shown, "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945");
        assert_eq!(shown.parse(), Ok(id));
        assert_eq!(format!("0x{}", shown.to_uppercase()).parse(), Ok(id));
    }

    #[test]
    fn text_of_another_length_is_refused() {
        for text in ["", "0x", "ab", &"f".repeat(63), &"f".repeat(65), &"g".repeat(64)] {
            assert!(text.parse::<ModelId>().is_err(), "{text}");
        }
    }
}
