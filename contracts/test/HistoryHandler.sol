// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Reference} from "./Reference.sol";
import {Test} from "./Test.sol";

/// Uses a registry at random, honestly and not, and keeps its own account of what each instance must be.
contract HistoryHandler is Test {
    struct Ghost {
        bytes32 model;
        bytes32 head;
        uint64 count;
        uint64 ordinal;
        Outcome outcome;
        uint64 registeredAtBlock;
    }

    InstanceRegistry public immutable REGISTRY;
    uint256 private constant ISSUERS = 2;
    uint256 private constant IDS = 3;

    mapping(address issuer => mapping(bytes32 instance => Ghost)) private ghosts;
    mapping(address issuer => uint64) public instancesOf;
    mapping(address issuer => bytes32) public issuerHeadOf;

    constructor(InstanceRegistry registry) {
        REGISTRY = registry;
        for (uint256 i = 0; i < ISSUERS; ++i) {
            vm.prank(issuerAt(i));
            registry.registerModel(id("model"));
        }
    }

    function issuerAt(uint256 i) public pure returns (address) {
        return address(uint160(0x1000 + i % ISSUERS));
    }

    function instanceAt(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("instance", i % IDS));
    }

    function ghost(address issuer, bytes32 instance) external view returns (Ghost memory) {
        return ghosts[issuer][instance];
    }

    function registerInstance(uint256 who, uint256 which) external {
        (address issuer, bytes32 instance, Ghost storage it) = pick(who, which);
        vm.prank(issuer);
        if (it.registeredAtBlock != 0) {
            try REGISTRY.registerInstance(id("model"), instance) {
                revert("an instance was overwritten");
            } catch {}
            return;
        }
        REGISTRY.registerInstance(id("model"), instance);
        uint64 ordinal = instancesOf[issuer]++;
        issuerHeadOf[issuer] = Reference.afterInstance(
            issuerHeadOf[issuer], instance, id("model"), ordinal, vm.getBlockNumber(), vm.getBlockTimestamp()
        );
        bytes32 head = Reference.genesis(address(REGISTRY), issuer, instance, id("model"), ordinal);
        ghosts[issuer][instance] = Ghost(id("model"), head, 0, ordinal, Outcome.None, uint64(vm.getBlockNumber()));
    }

    function registerStates(uint256 who, uint256 which, uint256 n, int8 shift, bytes32 seed) external {
        (address issuer, bytes32 instance, Ghost storage it) = pick(who, which);
        bytes32[] memory batch = new bytes32[](n % 20);
        for (uint256 i = 0; i < batch.length; ++i) {
            batch[i] = keccak256(abi.encode(seed, i));
        }
        // Mostly the right place: a skip or a repetition now and then.
        uint64 first = shift > 100 ? it.count + uint64(uint8(shift)) : it.count;
        if (shift < -100 && first > 0) --first;
        bytes memory predecessors = seed[0] & 0x01 == 0 ? bytes("") : firstOnly(batch.length);
        bool right = first == it.count && batch.length > 0 && it.registeredAtBlock != 0 && it.outcome == Outcome.None;

        vm.prank(issuer);
        try REGISTRY.registerStates(issuer, instance, first, batch, predecessors) {
            require(right, "a wrong batch was taken");
        } catch {
            require(!right, "a right batch was refused");
            return;
        }
        it.head = Reference.afterBatch(it.head, first, batch, predecessors, vm.getBlockNumber(), vm.getBlockTimestamp());
        it.count += uint64(batch.length);
    }

    function registerStatesRoot(uint256 who, uint256 which, uint64 count, bool small, bool wrongly) external {
        (address issuer, bytes32 instance, Ghost storage it) = pick(who, which);
        if (small) count %= 1000;
        uint64 first = wrongly ? it.count + 1 : it.count;
        bool right = !wrongly && count > 0 && it.registeredAtBlock != 0 && it.outcome == Outcome.None
            && uint256(first) + count <= type(uint32).max;

        vm.prank(issuer);
        try REGISTRY.registerStatesRoot(issuer, instance, first, count, id("root"), id("links")) {
            require(right, "a wrong root was taken");
        } catch {
            require(!right, "a right root was refused");
            return;
        }
        it.head = Reference.afterRoot(
            it.head, first, count, id("root"), id("links"), vm.getBlockNumber(), vm.getBlockTimestamp()
        );
        it.count += count;
    }

    function terminateInstance(uint256 who, uint256 which, uint8 number, bool wrongly) external {
        (address issuer, bytes32 instance, Ghost storage it) = pick(who, which);
        // Seldom, or nothing would be left to register.
        if (number % 4 != 0) return;
        Outcome outcome = Outcome(number % 5);
        uint64 count = wrongly ? it.count + 1 : it.count;
        bool right = !wrongly && outcome != Outcome.None && it.registeredAtBlock != 0 && it.outcome == Outcome.None;

        vm.prank(issuer);
        try REGISTRY.terminateInstance(issuer, instance, count, outcome) {
            require(right, "a wrong termination was taken");
        } catch {
            require(!right, "a right termination was refused");
            return;
        }
        it.head = Reference.afterTermination(it.head, count, outcome, vm.getBlockNumber(), vm.getBlockTimestamp());
        it.outcome = outcome;
    }

    /// One issuer tries to write into another's instance.
    function intrude(uint256 who, uint256 which) external {
        (address issuer, bytes32 instance, Ghost storage it) = pick(who, which);
        bytes32[] memory batch = new bytes32[](1);
        vm.prank(issuerAt(who % ISSUERS + 1));
        try REGISTRY.registerStates(issuer, instance, it.count, batch, "") {
            revert("a stranger registered a state");
        } catch {}
    }

    function pass(uint16 blocks) external {
        vm.roll(vm.getBlockNumber() + blocks);
        vm.warp(vm.getBlockTimestamp() + uint256(blocks) * 12);
    }

    function pick(uint256 who, uint256 which)
        private
        view
        returns (address issuer, bytes32 instance, Ghost storage it)
    {
        (issuer, instance) = (issuerAt(who), instanceAt(which));
        it = ghosts[issuer][instance];
    }

    function firstOnly(uint256 n) private pure returns (bytes memory list) {
        for (uint256 i = 0; i < n; ++i) {
            list = bytes.concat(list, hex"ffffffff");
        }
    }
}
