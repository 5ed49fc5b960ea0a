//! Account numbers that are not published: they are replaced in what comes from AWS before anything is stored, hashed or committed to.
//!
//! What the executor asks AWS by (ARNs of executions and state machines) is kept as it is, beside the documents.

use std::borrow::Cow;

/// Stands in place of a masked account number. As long as one, and none itself: AWS gives no account this number.
pub const MASK: &str = "000000000000";

/// Text that is no account number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no AWS account number: give its 12 digits, in quotation marks")]
pub struct NotAnAccount(String);

/// The account numbers that are masked. None by default, as in the paper.
#[derive(Clone, Default)]
pub struct AccountMask(Vec<String>);

impl AccountMask {
    /// Masks these, each of 12 digits.
    ///
    /// # Errors
    /// One that is no account number.
    pub fn new(accounts: Vec<String>) -> Result<Self, NotAnAccount> {
        let is_account = |text: &&String| text.len() == MASK.len() && text.bytes().all(|byte| byte.is_ascii_digit());
        match accounts.iter().find(|text| !is_account(text)) {
            Some(other) => Err(NotAnAccount(other.clone())),
            None => Ok(Self(accounts)),
        }
    }

    /// The text with [`MASK`] wherever one of the numbers stands, in an ARN, a URL or alone; within a longer number it is not one.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for account in &self.0 {
            let places: Vec<usize> = text.match_indices(account).map(|(place, _)| place).collect();
            for place in places.into_iter().filter(|place| stands_alone(text, *place)) {
                masked.to_mut().replace_range(place..place + MASK.len(), MASK);
            }
        }
        masked
    }
}

fn stands_alone(text: &str, place: usize) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    !digit(place.checked_sub(1).and_then(|before| bytes.get(before))) && !digit(bytes.get(place + MASK.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: &str = "726210406721";

    fn mask(text: &str) -> String {
        AccountMask::new(vec![ACCOUNT.into(), "111111111111".into()]).expect("account numbers").apply(text).into_owned()
    }

    #[test]
    fn a_number_is_masked_wherever_it_stands_and_no_other_is() {
        for (text, masked) in [
            (
                "arn:aws:states:us-east-1:726210406721:execution:etl:x",
                "arn:aws:states:us-east-1:000000000000:execution:etl:x",
            ),
            (
                "https://sqs.us-east-1.amazonaws.com/726210406721/q",
                "https://sqs.us-east-1.amazonaws.com/000000000000/q",
            ),
            ("726210406721", MASK),
            ("é726210406721é 111111111111,726210406721", "é000000000000é 000000000000,000000000000"),
            ("7262104067210 1726210406721 1111111111111", "7262104067210 1726210406721 1111111111111"),
            ("72621040672", "72621040672"),
        ] {
            assert_eq!(mask(text), masked);
        }
        assert_eq!(AccountMask::default().apply(ACCOUNT), ACCOUNT);
    }

    #[test]
    fn what_is_no_account_number_is_refused() {
        for text in ["", "72621040672", "7262-1040-6721", "72621040672é"] {
            assert_eq!(AccountMask::new(vec![text.into()]).err(), Some(NotAnAccount(text.into())));
        }
    }

    proptest! {
        #[test]
        fn nothing_of_it_is_left_and_nothing_else_changes(parts in prop::collection::vec("[^0-9]{1,9}", 1..6)) {
            let text = parts.join(ACCOUNT);
            prop_assert_eq!(mask(&text), parts.join(MASK));
            prop_assert_eq!(mask(&mask(&text)), mask(&text));
        }
    }
}
