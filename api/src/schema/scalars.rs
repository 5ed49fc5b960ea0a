//! Scalars: what is written as hex or exceeds GraphQL's 32-bit `Int`.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};

fn from_hex(value: Value, length: usize, example: &str) -> Result<Vec<u8>, String> {
    let Value::String(text) = &value else { return Err(format!("give a string, {example}")) };
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .ok()
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| format!("give {example}"))
}

macro_rules! hex_scalar {
    ($(#[doc = $doc:literal])* $name:ident, $length:literal, $prefix:literal, $example:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(pub Vec<u8>);

        $(#[doc = $doc])*
        #[Scalar]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                from_hex(value, $length, $example).map($name).map_err(InputValueError::custom)
            }

            fn to_value(&self) -> Value {
                Value::String(format!(concat!($prefix, "{}"), hex::encode(&self.0)))
            }
        }
    };
}

hex_scalar! {
    /// Id of content: SHA-256 of published bytes, 64 lower-case hex digits. Also read with 0x.
    ContentId, 32, "", "64 hex digits"
}
hex_scalar! {
    /// A hash of the chain, 0x and 64 lower-case hex digits.
    Hash, 32, "0x", "0x and 64 hex digits"
}
hex_scalar! {
    /// An Ethereum address, 0x and 40 lower-case hex digits.
    Address, 20, "0x", "0x and 40 hex digits"
}

fn from_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().filter(|number| *number >= 0),
        Value::String(digits) => digits.parse().ok().filter(|number| *number >= 0),
        _ => None,
    }
}

/// A whole number from 0 to 2^63 - 1, written as a JSON number. Also read from a string of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Long(pub i64);

/// A whole number from 0 to 2^63 - 1, written as a JSON number. Also read from a string of digits.
#[Scalar]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        from_integer(&value).map(Self).ok_or_else(|| InputValueError::custom("give a whole number from 0 to 2^63 - 1"))
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

/// A place in the journal, from 1 without gaps; 0 is before the first. Also read from a string of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub i64);

/// A place in the journal, from 1 without gaps; 0 is before the first. Also read from a string of digits.
#[Scalar]
impl ScalarType for Position {
    fn parse(value: Value) -> InputValueResult<Self> {
        from_integer(&value).map(Self).ok_or_else(|| InputValueError::custom("give a position: a whole number from 0"))
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_any_case_and_written_in_lower_case() {
        let text = format!("0x{}", "Ab".repeat(20));
        let address = Address::parse(Value::String(text)).map_err(|_| ()).expect("an address");
        assert_eq!(address.to_value(), Value::String(format!("0x{}", "ab".repeat(20))));
        for wrong in
            [Value::Null, Value::from(1), Value::from("0x"), Value::from("ab".repeat(21)), Value::from("zz".repeat(20))]
        {
            assert!(Address::parse(wrong).is_err());
        }
    }

    #[test]
    fn positions_are_whole_and_not_negative() {
        assert_eq!(Position::parse(Value::from("9007199254740993")).ok(), Some(Position(9_007_199_254_740_993)));
        for wrong in [Value::from(-1), Value::from("-1"), Value::from("1.5"), Value::from(u64::MAX), Value::from(true)]
        {
            assert!(Position::parse(wrong).is_err());
        }
    }
}
