//! The TCP ports of the stack, all on 127.0.0.1.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::{Part, StackError};

/// One port for each listener of the stack, on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// PostgreSQL.
    pub postgres: u16,
    /// Kafka's listener for clients.
    pub kafka: u16,
    /// Kafka's listener for its own controller.
    pub kafka_controller: u16,
    /// JSON-RPC of the chain, HTTP and WebSocket on the same port.
    pub chain: u16,
    /// The AWS endpoint: Lambda answered by the stack, all else by the emulator.
    pub aws: u16,
    /// The emulator behind the AWS endpoint.
    pub emulator: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self::fixed_defaults()
    }
}

impl Ports {
    /// Ports that stay the same from start to start, beside the usual ports of each part.
    pub const fn fixed_defaults() -> Self {
        Self { postgres: 27432, kafka: 27092, kafka_controller: 27093, chain: 27545, aws: 27566, emulator: 27567 }
    }

    /// Ports that are free now, for tests that run side by side.
    pub fn free() -> Result<Self, StackError> {
        // All are held until all are chosen, so that they differ.
        let held = (0..6)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StackError::io("127.0.0.1"))?;
        let ports = held
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StackError::io("127.0.0.1"))?;
        Ok(Self {
            postgres: ports[0],
            kafka: ports[1],
            kafka_controller: ports[2],
            chain: ports[3],
            aws: ports[4],
            emulator: ports[5],
        })
    }
}

/// Fails with [`StackError::PortBusy`] if another program listens on the port.
pub(crate) fn ensure_free(part: Part, port: u16) -> Result<(), StackError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(StackError::PortBusy { part, port }),
        Err(error) => Err(StackError::io(format!("127.0.0.1:{port}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_told_with_what_to_do() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = other.local_addr().expect("bound").port();
        let error = ensure_free(Part::Kafka, port).expect_err("the port is taken");
        let sentence = error.to_string();
        assert!(sentence.contains(&port.to_string()) && sentence.contains("stop it"), "{sentence}");
        drop(other);
        ensure_free(Part::Kafka, port).expect("the port is free again");
    }
}
