//! The account's name: ENS leads from the name to address and URL, and from the address back to the name (EIP-137, EIP-181, EIP-634).

use alloy::{
    primitives::{Address, B256},
    providers::DynProvider,
    sol_types::SolCall,
};
use alloy_ens::{namehash, reverse_address};
use eyre::{WrapErr, bail, ensure};
use runproof_contracts::ens::{EnsRegistry, EnsResolver, EnsReverseRegistrar};
use serde::Serialize;

use crate::sender::Sender;

/// Key of the text record that holds the site's base URL (EIP-634).
pub const URL: &str = "url";

alloy::sol! {
    /// What every version of the reverse registrar has besides.
    #[sol(rpc)]
    interface WithDefaultResolver {
        /// The resolver of reverse nodes.
        function defaultResolver() external view returns (address);
    }
}

/// A name's records, and the name that the account's reverse record gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Records {
    /// The name.
    pub name: String,
    /// Who owns it; `None` if nobody.
    pub owner: Option<Address>,
    /// Its resolver.
    pub resolver: Option<Address>,
    /// Its address.
    pub address: Option<Address>,
    /// Its URL.
    pub url: Option<String>,
    /// Name in the account's reverse record.
    pub reverse_name: Option<String>,
}

/// One change that a name needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give it a resolver.
    Resolver,
    /// Point it to the account.
    Address(Address),
    /// Point it to the site.
    Url(String),
    /// Point the account back to it.
    Reverse,
}

impl Records {
    /// Reads what the chain says of `name` and of `account`.
    ///
    /// # Errors
    /// If the name is malformed or the node does not answer.
    pub async fn read(ens: &Ens<'_>, name: &str, account: Address) -> eyre::Result<Self> {
        check_name(name)?;
        let node = namehash(name);
        let resolver = ens.resolver(node).await?;
        let (address, url) = match resolver {
            Some(at) => {
                let resolver = EnsResolver::new(at, ens.provider);
                let address = resolver.addr(node).call().await.wrap_err("ENS resolver, addr")?;
                (some_address(address), some_text(resolver.text(node, URL.into()).call().await?))
            }
            None => (None, None),
        };
        let owner = ens.owner(node).await?;
        let reverse_name = ens.reverse_name(account).await?;
        Ok(Self { name: name.into(), owner, resolver, address, url, reverse_name })
    }

    /// What has to change until name, account and site name each other.
    pub fn changes(&self, account: Address, url: &str) -> Vec<Change> {
        let wanted = [
            (self.resolver.is_none(), Change::Resolver),
            (self.address != Some(account), Change::Address(account)),
            (self.url.as_deref() != Some(url), Change::Url(url.into())),
            (self.reverse_name.as_deref() != Some(&self.name), Change::Reverse),
        ];
        wanted.into_iter().filter_map(|(differs, change)| differs.then_some(change)).collect()
    }
}

/// A name is hashed as it is written, so two spellings are two names (ENSIP-15 says which one counts; here only ASCII is taken).
fn check_name(name: &str) -> eyre::Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let well_formed = name.split('.').all(|label| !label.is_empty() && label.chars().all(plain));
    ensure!(well_formed && name.contains('.'), "`{name}` is not an ENS name: write it like company.eth, in lower case");
    Ok(())
}

/// An ENS deployment.
#[derive(Debug, Clone, Copy)]
pub struct Ens<'a> {
    /// Node.
    pub provider: &'a DynProvider,
    /// Address of the registry.
    pub registry: Address,
}

impl Ens<'_> {
    fn registry(&self) -> EnsRegistry::EnsRegistryInstance<&DynProvider> {
        EnsRegistry::new(self.registry, self.provider)
    }

    async fn owner(&self, node: B256) -> eyre::Result<Option<Address>> {
        let owner = self.registry().owner(node).call().await;
        Ok(some_address(owner.wrap_err_with(|| format!("ENS registry {}: is its address right?", self.registry))?))
    }

    async fn resolver(&self, node: B256) -> eyre::Result<Option<Address>> {
        let resolver = self.registry().resolver(node).call().await;
        Ok(some_address(resolver.wrap_err_with(|| format!("ENS registry {}: is its address right?", self.registry))?))
    }

    /// The name that an account's reverse record gives.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn reverse_name(&self, account: Address) -> eyre::Result<Option<String>> {
        let node = namehash(&reverse_address(&account));
        match self.resolver(node).await? {
            Some(at) => Ok(some_text(EnsResolver::new(at, self.provider).name(node).call().await?)),
            None => Ok(None),
        }
    }

    async fn reverse_registrar(&self) -> eyre::Result<Address> {
        match self.owner(namehash("addr.reverse")).await? {
            Some(registrar) => Ok(registrar),
            None => bail!("ENS registry {} has no reverse registrar", self.registry),
        }
    }

    /// Makes one change to a name that the sender owns; returns the transaction.
    ///
    /// # Errors
    /// If the sender may not, or the node does not take it.
    pub async fn apply(&self, records: &Records, change: &Change, sender: &Sender) -> eyre::Result<B256> {
        let account = sender.address();
        let node = namehash(&records.name);
        if *change != Change::Reverse {
            let owner = records.owner.map_or("nobody".into(), |owner| owner.to_string());
            ensure!(
                records.owner == Some(account),
                "{} belongs to {owner}, not to {account}: register it for {account} first",
                records.name
            );
        }
        let (to, data) = match change {
            Change::Resolver => {
                let registrar = WithDefaultResolver::new(self.reverse_registrar().await?, self.provider);
                let resolver = registrar.defaultResolver().call().await?;
                (self.registry, EnsRegistry::setResolverCall { node, resolver }.abi_encode())
            }
            Change::Address(addr) => {
                (self.resolver_of(node).await?, EnsResolver::setAddrCall { node, addr: *addr }.abi_encode())
            }
            Change::Url(url) => {
                let call = EnsResolver::setTextCall { node, key: URL.into(), value: url.clone() };
                (self.resolver_of(node).await?, call.abi_encode())
            }
            Change::Reverse => {
                let name = records.name.clone();
                (self.reverse_registrar().await?, EnsReverseRegistrar::setNameCall { name }.abi_encode())
            }
        };
        sender.send(to, data.into()).await
    }

    /// Read again: a change before this one may have set it.
    async fn resolver_of(&self, node: B256) -> eyre::Result<Address> {
        match self.resolver(node).await? {
            Some(resolver) => Ok(resolver),
            None => bail!("the name has no resolver"),
        }
    }
}

fn some_address(address: Address) -> Option<Address> {
    (!address.is_zero()).then_some(address)
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let account = Address::repeat_byte(1);
        let url = "https://localhost:21443";
        let mut records = Records {
            name: "company.eth".into(),
            owner: Some(account),
            resolver: None,
            address: None,
            url: None,
            reverse_name: None,
        };
        let all = [Change::Resolver, Change::Address(account), Change::Url(url.into()), Change::Reverse];
        assert_eq!(records.changes(account, url), all);
        records.resolver = Some(Address::repeat_byte(2));
        records.address = Some(account);
        records.url = Some(url.into());
        records.reverse_name = Some("other.eth".into());
        assert_eq!(records.changes(account, url), [Change::Reverse]);
        records.reverse_name = Some("company.eth".into());
        assert!(records.changes(account, url).is_empty());
    }

    #[test]
    fn names_that_would_hash_to_another_node_are_refused() {
        for name in ["", "eth", "Company.eth", "company..eth", ".eth", "company.eth.", "com pany.eth", "cömpany.eth"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("c-1.company.eth").is_ok());
    }
}
