//! Bindings of the Ethereum Name Service (EIP-137 registry, EIP-181 reverse records, EIP-634 text records): what identities need of it.

alloy::sol! {
    /// The registry: who owns a node, and which resolver answers for it (EIP-137).
    #[sol(rpc)]
    interface EnsRegistry {
        /// Owner of a node; zero if it has none.
        function owner(bytes32 node) external view returns (address);
        /// Resolver of a node; zero if it has none.
        function resolver(bytes32 node) external view returns (address);
        /// Gives the child `keccak256(node, label)` to `owner`.
        function setSubnodeOwner(bytes32 node, bytes32 label, address owner) external returns (bytes32);
        /// Sets the resolver of a node that the caller owns.
        function setResolver(bytes32 node, address resolver) external;
    }

    /// The public resolver: a node's records.
    #[sol(rpc)]
    interface EnsResolver {
        /// The node's address; zero if unset.
        function addr(bytes32 node) external view returns (address);
        /// Sets the node's address.
        function setAddr(bytes32 node, address addr) external;
        /// The node's text record for `key`; empty if unset (EIP-634).
        function text(bytes32 node, string key) external view returns (string);
        /// Sets the node's text record.
        function setText(bytes32 node, string key, string value) external;
        /// The name of a reverse node; empty if unset (EIP-181).
        function name(bytes32 node) external view returns (string);
        /// Sets the name of a reverse node.
        function setName(bytes32 node, string name) external;
    }

    /// The reverse registrar: gives each account its node under `addr.reverse` (EIP-181).
    #[sol(rpc)]
    interface EnsReverseRegistrar {
        /// Gives the caller's reverse node to `owner`.
        function claim(address owner) external returns (bytes32);
        /// Claims the caller's reverse node and sets its name at the default resolver.
        function setName(string name) external returns (bytes32);
        /// The reverse node of an account.
        function node(address account) external view returns (bytes32);
    }
}
