// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// How an instance ended. `None`: it has not.
enum Outcome {
    None,
    Succeeded,
    Failed,
    TimedOut,
    Aborted
}

/// @title A registry of models, their instances, and every state that an instance entered
/// @notice The issuer is a namespace: all content is keyed by `(issuer, id)`, and written once. Whoever folds the
/// events of an instance and gets the head in storage knows that its history is complete, ordered, timed and unaltered.
/// Ids are SHA-256 digests over published bytes. Sequence numbers start at 0.
interface IInstanceRegistry {
    // ---- events ----

    /// @notice `issuer` published the model whose bytes hash to `model`.
    event ModelRegistered(address indexed issuer, bytes32 indexed model);

    /// @notice `issuer` started an instance of its `model`.
    /// @param ordinal Its place among the issuer's instances, from 0.
    /// @param head The instance's genesis head: keccak256(abi.encode(chainid, contract, issuer, instance, model,
    /// ordinal)).
    /// @param issuerHead The issuer's head after it: keccak256(abi.encode(before, instance, model, ordinal,
    /// block.number, block.timestamp)), where the first `before` is 0.
    event InstanceRegistered(
        address indexed issuer,
        bytes32 indexed instance,
        bytes32 indexed model,
        uint64 ordinal,
        bytes32 head,
        bytes32 issuerHead
    );

    /// @notice The instance entered `states`, in this order.
    /// @param first The sequence number of the first of them.
    /// @param head The instance's head after them: keccak256(abi.encode(before, first, n, Merkle root of states,
    /// keccak256(predecessors), block.number, block.timestamp)).
    /// @param states Their ids.
    /// @param predecessors Empty: each follows the state just before it. Else four bytes a state, big-endian: its
    /// predecessor's sequence number, or 0xffffffff for none.
    event StatesRegistered(
        address indexed issuer,
        bytes32 indexed instance,
        uint64 first,
        bytes32 head,
        bytes32[] states,
        bytes predecessors
    );

    /// @notice The instance ended with `outcome` after `count` states. Nothing can be added to it.
    /// @param head Its last head: keccak256(abi.encode(before, count, outcome, block.number, block.timestamp)).
    event InstanceTerminated(
        address indexed issuer, bytes32 indexed instance, uint64 count, Outcome outcome, bytes32 head
    );

    /// @notice `delegate` may (or may no longer) register states and termination for `issuer`. Instance 0: for all
    /// instances.
    event DelegateSet(address indexed issuer, bytes32 indexed instance, address indexed delegate, bool allowed);

    /// @notice `participant` may (or may no longer) request transitions. Instance 0: of all the issuer's instances.
    event ParticipantSet(address indexed issuer, bytes32 indexed instance, address indexed participant, bool allowed);

    /// @notice `participant` asks that the task which waits in state `sequence` go on with `payload`.
    event TransitionRequested(
        address indexed issuer, bytes32 indexed instance, address indexed participant, uint64 sequence, bytes payload
    );

    /// @notice `subject` signed that its server at `uri` presents the X.509 certificate with this SHA-256 fingerprint.
    /// @param notBefore The certificate's validity, in unix seconds.
    /// @param notAfter The certificate's validity, in unix seconds.
    event CertificateBound(
        address indexed subject,
        bytes32 indexed fingerprint,
        string uri,
        uint64 notBefore,
        uint64 notAfter,
        bytes signature
    );

    /// @notice `subject` vouches for the certificate no longer.
    event CertificateRevoked(address indexed subject, bytes32 indexed fingerprint);

    // ---- errors ----

    /// Content is written once: `id` is there already.
    error AlreadyRegistered(bytes32 id);
    /// The issuer has no such model.
    error UnknownModel(bytes32 model);
    /// The issuer has no such instance.
    error UnknownInstance(bytes32 instance);
    /// States are neither skipped nor repeated: `expected` is the instance's count.
    error SequenceMismatch(uint64 expected, uint64 given);
    /// The caller is neither the issuer nor its delegate.
    error NotAuthorised(address caller);
    /// The issuer has not made the caller a participant.
    error NotParticipant(address caller);
    /// The instance is sealed.
    error AlreadyTerminated(bytes32 instance);
    /// A batch holds at least one state.
    error NoStates();
    /// The payload or URI exceeds `limit` bytes.
    error TooLong(uint256 limit);
    /// The state at `sequence` names a predecessor that does not come before it.
    error BadPredecessor(uint64 sequence);
    /// Predecessors are empty, or four bytes a state.
    error BadPredecessorsLength();
    /// Termination has an outcome.
    error BadOutcome();
    /// The subject did not sign this certificate for this chain and contract.
    error BadSignature();
    /// A certificate's validity ends after it begins.
    error BadValidity();
    /// A certificate's URI starts with https:// and is visible ASCII.
    error BadUri();
    /// The caller never bound this certificate.
    error UnknownCertificate(bytes32 fingerprint);
    /// The caller revoked this certificate before.
    error AlreadyRevoked(bytes32 fingerprint);
    /// Zero is no id and no account.
    error ZeroId();
    /// The instance has not entered a state with this sequence number.
    error NoSuchState(uint64 sequence);

    // ---- registration ----

    /// @notice Registers a model of the caller's. Anyone may call, for itself.
    /// @dev Reverts: ZeroId, AlreadyRegistered. Emits ModelRegistered.
    function registerModel(bytes32 model) external;

    /// @notice Registers an instance of a model of the caller's. Anyone may call, for itself.
    /// @dev Reverts: ZeroId, UnknownModel, AlreadyRegistered. Emits InstanceRegistered.
    function registerInstance(bytes32 model, bytes32 instance) external;

    /// @notice Appends states to an instance. The issuer and its delegates may call.
    /// @param first The sequence number of the first state: the instance's count.
    /// @param predecessors As in StatesRegistered.
    /// @dev Reverts: NotAuthorised, UnknownInstance, AlreadyTerminated, SequenceMismatch, NoStates,
    /// BadPredecessorsLength, BadPredecessor. Emits StatesRegistered.
    function registerStates(
        address issuer,
        bytes32 instance,
        uint64 first,
        bytes32[] calldata states,
        bytes calldata predecessors
    ) external;

    /// @notice Seals an instance for good. The issuer and its delegates may call.
    /// @param count How many states it has, by the caller's own count.
    /// @dev Reverts: NotAuthorised, UnknownInstance, AlreadyTerminated, SequenceMismatch, BadOutcome. Emits
    /// InstanceTerminated.
    function terminateInstance(address issuer, bytes32 instance, uint64 count, Outcome outcome) external;

    /// @notice Makes several calls to this contract in one transaction, all or none, each as the caller.
    /// @return results What each call returned.
    /// @dev Reverts with the error of the first call that reverts.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    // ---- rights ----

    /// @notice Lets `delegate` register for the caller, or no longer. Instance 0: for all instances of the caller.
    /// @dev A delegate never becomes an issuer, and never starts an instance. Reverts: ZeroId. Emits DelegateSet.
    function setDelegate(bytes32 instance, address delegate, bool allowed) external;

    /// @notice Lets `participant` request transitions of the caller's instance, or no longer. Instance 0: of all.
    /// @dev Reverts: ZeroId. Emits ParticipantSet.
    function setParticipant(bytes32 instance, address participant, bool allowed) external;

    /// @notice Asks for a transition out of a state that the instance entered. Participants may call.
    /// @param payload At most 64 KiB, for the waiting task.
    /// @dev Reverts: NotParticipant, UnknownInstance, AlreadyTerminated, NoSuchState, TooLong. Emits
    /// TransitionRequested.
    function requestTransition(address issuer, bytes32 instance, uint64 sequence, bytes calldata payload) external;

    // ---- certificates ----

    /// @notice Binds a server's certificate to an account. Anyone may submit what `subject` signed.
    /// @param uri The server, https://..., at most 256 bytes.
    /// @param notBefore The certificate's validity, in unix seconds.
    /// @param notAfter The certificate's validity, in unix seconds.
    /// @param signature EIP-712 over `Certificate`: r || s || v, or what the contract wallet `subject` accepts
    /// (ERC-1271).
    /// @dev Written once, even after revocation. Reverts: ZeroId, AlreadyRegistered, BadValidity, TooLong, BadUri,
    /// BadSignature. Emits CertificateBound.
    function bindCertificate(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter,
        bytes calldata signature
    ) external;

    /// @notice Revokes a certificate that was bound to the caller.
    /// @dev Reverts: UnknownCertificate, AlreadyRevoked. Emits CertificateRevoked.
    function revokeCertificate(bytes32 fingerprint) external;

    // ---- views ----

    /// @notice An instance as it is now; all zero if there is none.
    function instanceOf(address issuer, bytes32 instance)
        external
        view
        returns (bytes32 model, bytes32 head, uint64 count, uint64 ordinal, Outcome outcome, uint64 registeredAtBlock);

    /// @notice The block at which the issuer registered the model; 0 if it did not.
    function modelRegisteredAtBlock(address issuer, bytes32 model) external view returns (uint64);

    /// @notice How many instances the issuer has started, and the head of their chain.
    function issuerChain(address issuer) external view returns (uint64 count, bytes32 head);

    /// @notice A bound certificate; all zero if there is none; `revokedAtBlock` 0 if it is not revoked.
    function certificateOf(address subject, bytes32 fingerprint)
        external
        view
        returns (uint64 boundAtBlock, uint64 revokedAtBlock, uint64 notBefore, uint64 notAfter);

    /// @notice Whether `who` may register for this instance of the issuer, by itself or by a right to all instances.
    function isDelegate(address issuer, bytes32 instance, address who) external view returns (bool);

    /// @notice Whether `who` may request transitions of this instance, by itself or by a right to all instances.
    function isParticipant(address issuer, bytes32 instance, address who) external view returns (bool);

    /// @notice The EIP-712 domain separator: name "runproof", version "1", this chain, this contract.
    function domainSeparator() external view returns (bytes32);

    /// @notice What `subject` signs to bind a certificate.
    function certificateDigest(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter
    ) external view returns (bytes32);
}
