//! Check 3: the issuer is a known server.

use alloy_primitives::Address;

use super::Question;
use crate::verdict::{Check, Finding};

/// What ENS tells of an address. A record that is not set is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnsRecords {
    /// Name of the address by its reverse record (EIP-181).
    pub name: Option<String>,
    /// Address of that name (EIP-137).
    pub address: Option<Address>,
    /// Text record `url` of that name (EIP-634), without trailing slash.
    pub url: Option<String>,
}

/// Check 3: the address leads to a name, the name back to the address, and to the site in use. `site` has no trailing slash.
pub fn issuer_known(issuer: Address, site: Option<&str>, ens: &EnsRecords, source: &str) -> Finding {
    let question = Question { check: Check::IssuerKnown, source };
    let Some(name) = &ens.name else {
        return question.failed(format!("a name for {issuer}"), None, "the address has no reverse record");
    };
    if !is_plain(name) {
        let shown = name.chars().flat_map(char::escape_default).take(120).collect();
        return question.failed("a normalised ENS name", Some(shown), "no client would look this name up");
    }
    if ens.address != Some(issuer) {
        let found = ens.address.map(|address| address.to_string());
        return question.failed(issuer, found, format!("{name} does not lead back to the issuer's address"));
    }
    match (site, &ens.url) {
        (Some(site), Some(url)) if site == url => question.passed(format!("{name} at {url}")),
        (_, url) => {
            let expected = site.unwrap_or("the address of a site");
            question.failed(expected, url.clone(), format!("the url of {name} is not the site"))
        }
    }
}

/// Whether a name is in the form that clients look up (ENSIP-15), as far as can be told without Unicode tables: no empty label, no upper
/// case, no space or control character.
fn is_plain(name: &str) -> bool {
    let odd = |c: char| c.is_uppercase() || c.is_whitespace() || c.is_control();
    name.len() <= 255 && !name.contains(odd) && name.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Status;

    const ISSUER: Address = Address::repeat_byte(7);
    const SITE: &str = "https://runs.example";

    fn records() -> EnsRecords {
        EnsRecords { name: Some("company.eth".into()), address: Some(ISSUER), url: Some(SITE.into()) }
    }

    fn judged(ens: &EnsRecords) -> Finding {
        issuer_known(ISSUER, Some(SITE), ens, "ENS")
    }

    #[test]
    fn names_that_lead_there_and_back_pass() {
        assert_eq!(judged(&records()).status, Status::Passed);
    }

    #[test]
    fn missing_reverse_record_fails() {
        let finding = judged(&EnsRecords::default());
        assert_eq!((finding.status, finding.found), (Status::Failed, None));
    }

    #[test]
    fn name_of_another_address_fails_with_both() {
        let other = Address::repeat_byte(8);
        let finding = judged(&EnsRecords { address: Some(other), ..records() });
        assert_eq!(finding.status, Status::Failed);
        assert_eq!((finding.expected, finding.found), (Some(ISSUER.to_string()), Some(other.to_string())));
    }

    #[test]
    fn url_elsewhere_or_unset_fails() {
        for url in [Some("https://elsewhere.example".to_owned()), None] {
            let finding = judged(&EnsRecords { url: url.clone(), ..records() });
            assert_eq!((finding.status, finding.found), (Status::Failed, url));
        }
    }

    #[test]
    fn names_that_nobody_looks_up_fail() {
        for name in ["Company.eth", "a..eth", "", "a b.eth", "a\n.eth", &"a".repeat(300)] {
            let finding = judged(&EnsRecords { name: Some(name.into()), ..records() });
            assert_eq!(finding.status, Status::Failed, "{name}");
        }
    }
}
