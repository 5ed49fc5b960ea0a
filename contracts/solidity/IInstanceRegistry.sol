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

/// Whether an account takes part in an instance: the issuer named it, and it accepted.
enum Participation {
    None,
    Named,
    Accepted
}

/// @title A registry of models, their instances, and every state that an instance entered
/// @notice The issuer is a namespace: all content is keyed by `(issuer, id)`, and written once. Whoever folds the
/// events of an instance and gets the head in storage knows that its history is complete, ordered, timed and unaltered.
/// Ids are SHA-256 digests over published bytes. Sequence numbers start at 0.
///
/// Whoever is said to call is the transaction's sender, or the account for which a call is relayed (see `relay`). A call
/// reverts with one of the errors below and then leaves no event; data that are no call of this interface revert without
/// one. Nothing is payable. Loops run over the caller's own calldata, at the caller's own cost; no array is stored.
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

    /// @notice The instance entered `count` states, which are not told here: the issuer's site serves them.
    /// @param first The sequence number of the first of them.
    /// @param head The instance's head after them, as in StatesRegistered: whoever has the states computes `root`.
    /// @param root The Merkle root of their ids, in the shape of RFC 9162: leaf = keccak256(0x00 || id), node =
    /// keccak256(0x01 || left || right).
    /// @param predecessorsHash keccak256 of their predecessors, as in StatesRegistered. The contract checks neither.
    event StatesRootRegistered(
        address indexed issuer,
        bytes32 indexed instance,
        uint64 first,
        uint64 count,
        bytes32 head,
        bytes32 root,
        bytes32 predecessorsHash
    );

    /// @notice The instance ended with `outcome` after `count` states. Nothing can be added to it.
    /// @param head Its last head: keccak256(abi.encode(before, count, outcome, block.number, block.timestamp)).
    event InstanceTerminated(
        address indexed issuer, bytes32 indexed instance, uint64 count, Outcome outcome, bytes32 head
    );

    /// @notice `delegate` may (or may no longer) register states and termination for `issuer`. Instance 0: for all
    /// instances.
    event DelegateSet(address indexed issuer, bytes32 indexed instance, address indexed delegate, bool allowed);

    /// @notice `issuer` named `participant` for the instance, or withdrew that. Instance 0: for all the issuer's instances.
    /// The participant may request transitions once it has accepted.
    event ParticipantSet(address indexed issuer, bytes32 indexed instance, address indexed participant, bool allowed);

    /// @notice `participant` accepted that it is named, or left. Instance 0: for all the issuer's instances.
    event ParticipationSet(
        address indexed issuer, bytes32 indexed instance, address indexed participant, bool accepted
    );

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

    /// @notice The certificate is not to be trusted in and after `fromBlock`, which may lie before this event: then it was
    /// compromised since. Fingerprint 0: all certificates of `subject`, for good. A later event for the same certificate
    /// names an earlier block.
    /// @param by The subject or its guardian.
    event CertificateRevoked(
        address indexed subject, bytes32 indexed fingerprint, address indexed by, uint64 fromBlock
    );

    /// @notice `guardian` may revoke certificates of `subject` from now on, and nobody else but the subject; 0: nobody.
    event GuardianSet(address indexed subject, address indexed guardian);

    // ---- errors ----

    /// Content is written once: `id` is there already.
    error AlreadyRegistered(bytes32 id);
    /// The issuer has no such model.
    error UnknownModel(bytes32 model);
    /// The issuer has no such instance.
    error UnknownInstance(bytes32 instance);
    /// States are neither skipped nor repeated: `expected` is the instance's count.
    error SequenceMismatch(uint64 expected, uint64 given);
    /// The caller is neither the issuer nor its delegate; of certificates, neither the subject nor its guardian.
    error NotAuthorised(address caller);
    /// The issuer has not named the caller a participant, or the caller has not accepted.
    error NotParticipant(address caller);
    /// The instance is sealed.
    error AlreadyTerminated(bytes32 instance);
    /// A batch holds at least one state.
    error NoStates();
    /// The payload or URI exceeds `limit` bytes.
    error TooLong(uint256 limit);
    /// The instance would have more than `limit` states, and some by their root: those cost nothing each.
    error TooManyStates(uint64 limit);
    /// The state at `sequence` names a predecessor that does not come before it.
    error BadPredecessor(uint64 sequence);
    /// Predecessors are empty, or four bytes a state.
    error BadPredecessorsLength();
    /// Termination has an outcome.
    error BadOutcome();
    /// The account did not sign this, for this chain and contract.
    error BadSignature();
    /// The relayed call came after its deadline, unix seconds.
    error Expired(uint64 deadline);
    /// Relayed calls of an account come in the order of their nonces.
    error NonceMismatch(uint256 expected, uint256 given);
    /// A certificate's validity ends after it begins.
    error BadValidity();
    /// A certificate's URI starts with https:// and is visible ASCII.
    error BadUri();
    /// The subject never bound this certificate.
    error UnknownCertificate(bytes32 fingerprint);
    /// This certificate is revoked from that block or an earlier one already; 0: all of the subject's are.
    error AlreadyRevoked(bytes32 fingerprint);
    /// No compromise is known of a block to come.
    error BlockInFuture(uint64 blockNumber);
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

    /// @notice Appends states to an instance by their Merkle root alone, whatever their number: for very long runs, and by
    /// `multicall` for many. The states are to be served by the issuer's site: while they are not, nobody can tell what was
    /// registered. The issuer and its delegates may call.
    /// @param first The sequence number of the first state: the instance's count.
    /// @param count How many states.
    /// @param root As in StatesRootRegistered.
    /// @param predecessorsHash As in StatesRootRegistered.
    /// @dev Reverts: NotAuthorised, UnknownInstance, AlreadyTerminated, SequenceMismatch, NoStates,
    /// TooManyStates. Emits StatesRootRegistered.
    function registerStatesRoot(
        address issuer,
        bytes32 instance,
        uint64 first,
        uint64 count,
        bytes32 root,
        bytes32 predecessorsHash
    ) external;

    /// @notice Seals an instance for good. The issuer and its delegates may call.
    /// @param count How many states it has, by the caller's own count.
    /// @dev Reverts: NotAuthorised, UnknownInstance, AlreadyTerminated, SequenceMismatch, BadOutcome. Emits
    /// InstanceTerminated.
    function terminateInstance(address issuer, bytes32 instance, uint64 count, Outcome outcome) external;

    // ---- several calls, and calls for others ----

    /// @notice Makes several calls to this contract in one transaction, all or none, each as the caller.
    /// @return results What each call returned.
    /// @dev Reverts with the error of the first call that reverts.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /// @notice Makes a call that `account` signed, as if `account` had sent it: every function of this contract can be
    /// called so, several by `multicall`. Anyone may submit it, and pays.
    /// @param call Selector and arguments of the function. A `multicall` of none only uses the nonce up: what else was signed
    /// with it can then be submitted no more.
    /// @param nonce The account's `nonceOf`.
    /// @param deadline The last second, in unix time, at which it may be submitted.
    /// @param signature EIP-712 over `Relay(address account,bytes call,uint256 nonce,uint64 deadline)`: r || s || v, or what
    /// the contract wallet `account` accepts (ERC-1271).
    /// @return result What the call returned.
    /// @dev Reverts: Expired, NonceMismatch, BadSignature, or with the error of the call; the nonce is then unused. Emits
    /// what the call emits.
    function relay(address account, bytes calldata call, uint256 nonce, uint64 deadline, bytes calldata signature)
        external
        returns (bytes memory result);

    // ---- rights ----

    /// @notice Lets `delegate` register states and termination for the caller, or no longer. Anyone may call, for its own
    /// instances. Instance 0: for all of them. The events are the history of who was a delegate when.
    /// @dev A delegate never becomes an issuer, and never starts an instance. Reverts: ZeroId. Emits DelegateSet.
    function setDelegate(bytes32 instance, address delegate, bool allowed) external;

    /// @notice Names `participant` for the caller's instance, or withdraws that with its acceptance. Anyone may call, for its
    /// own instances. Instance 0: for all of them.
    /// @dev Reverts: ZeroId. Emits ParticipantSet.
    function setParticipant(bytes32 instance, address participant, bool allowed) external;

    /// @notice Accepts to be the participant that the issuer named, or leaves. Whom the issuer named may call, for the same
    /// instance, or the same 0, as it was named for.
    /// @dev Reverts: NotParticipant. Emits ParticipationSet.
    function setParticipation(address issuer, bytes32 instance, bool accepted) external;

    /// @notice Asks for a transition out of a state that the instance entered. Participants that accepted may call.
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
    /// @dev A subject may have several at once, so that a new one is bound before the old one ends. Each is written once,
    /// even after revocation. Reverts: ZeroId, AlreadyRegistered, AlreadyRevoked (all of the subject's are), BadValidity,
    /// TooLong, BadUri, BadSignature. Emits CertificateBound.
    function bindCertificate(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter,
        bytes calldata signature
    ) external;

    /// @notice Revokes a certificate. Its subject and the subject's guardian may call.
    /// @param fingerprint The certificate; 0: all of the subject's, bound before or after, for good. That is for an account
    /// whose key is stolen: whoever has the key could bind others.
    /// @param compromisedSinceBlock The block from which it is not to be trusted; 0: from this one. It may be called again
    /// with an earlier one, never with a later one.
    /// @dev Reverts: NotAuthorised, UnknownCertificate, BlockInFuture, AlreadyRevoked. Emits CertificateRevoked.
    function revokeCertificate(address subject, bytes32 fingerprint, uint64 compromisedSinceBlock) external;

    /// @notice Names who may revoke the subject's certificates when its key is lost or stolen. The subject may call while
    /// there is no guardian; then only the guardian may, so that who steals the key cannot remove it.
    /// @param guardian Another account; 0: none.
    /// @dev Reverts: NotAuthorised. Emits GuardianSet.
    function setGuardian(address subject, address guardian) external;

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

    /// @notice A bound certificate; all zero if there is none. `revokedFromBlock` is the first block in which it is not to be
    /// trusted, by its own revocation or that of all; 0 if there is none.
    function certificateOf(address subject, bytes32 fingerprint)
        external
        view
        returns (uint64 boundAtBlock, uint64 revokedFromBlock, uint64 notBefore, uint64 notAfter);

    /// @notice Whether a certificate is to be trusted now: bound, not revoked, and within its validity.
    function isCertificateTrusted(address subject, bytes32 fingerprint) external view returns (bool);

    /// @notice Whether a certificate was to be trusted in a block with this number and time, by all that is known now.
    /// @param timestamp The block's, in unix seconds: the chain does not keep it.
    function wasCertificateTrusted(address subject, bytes32 fingerprint, uint64 blockNumber, uint64 timestamp)
        external
        view
        returns (bool);

    /// @notice Who may revoke the subject's certificates beside itself; 0: nobody.
    function guardianOf(address subject) external view returns (address);

    /// @notice Whether `who` may register for this instance of the issuer, by itself or by a right to all instances.
    function isDelegate(address issuer, bytes32 instance, address who) external view returns (bool);

    /// @notice The block since which `delegate` has this very right of the issuer; 0 if it has not. Instance 0: for all.
    function delegateSinceBlock(address issuer, bytes32 instance, address delegate) external view returns (uint64);

    /// @notice Whether `participant` was named for this very instance, and accepted. Instance 0: for all.
    function participationOf(address issuer, bytes32 instance, address participant)
        external
        view
        returns (Participation);

    /// @notice Whether `who` may request transitions of this instance: named for it or for all, and accepted.
    function isParticipant(address issuer, bytes32 instance, address who) external view returns (bool);

    /// @notice The nonce of the account's next relayed call, from 0.
    function nonceOf(address account) external view returns (uint256);

    /// @notice What `account` signs so that another may submit its call.
    function relayDigest(address account, bytes calldata call, uint256 nonce, uint64 deadline)
        external
        view
        returns (bytes32);

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
