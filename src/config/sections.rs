//! The sections of the configuration, and what they are if nothing is said.

mod aws;
mod chain;
mod executor;
mod identity;
mod kafka;
mod postgres;
mod serving;
mod site;

use url::Url;

pub use self::{aws::*, chain::*, executor::*, identity::*, kafka::*, postgres::*, serving::*, site::*};

fn local(text: &'static str) -> Url {
    #[expect(clippy::unwrap_used, reason = "a constant of this file, parsed by a test of the defaults")]
    Url::parse(text).unwrap()
}
