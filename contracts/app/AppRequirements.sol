// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {Requirements} from "../libraries/Requirements.sol";
import {AppBootInfo, BootRequest, Reason, TeeKind} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";
import {AppWords} from "./AppWords.sol";

/// @notice Conditions, launch tickets, denied advisories. Powers and non-powers: `IAppPolicy`.
abstract contract AppRequirements is AppWords, IAppPolicy {
    using Requirements for Requirements.Context;

    Requirements.Context private _requirements;

    /// @inheritdoc IAppPolicy
    function addCondition(address condition) external {
        _checkCallerIsOwner();
        _addCondition(condition);
    }

    /// @inheritdoc IAppPolicy
    function removeCondition(address condition) external {
        _checkCallerIsOwner();
        uint40 from = _afterNotice();
        _requirements.removeCondition(condition, from);
        emit ConditionRemoved(condition, from);
    }

    /// @inheritdoc IAppPolicy
    function requireTicket(bool needed) external {
        _checkCallerIsOwner();
        _requireTicket(needed);
    }

    /// @inheritdoc IAppPolicy
    function allowTicket(bytes32 ticket) external {
        _checkCallerIsOwner();
        _allowTicket(ticket, _afterNotice());
    }

    /// @inheritdoc IAppPolicy
    function revokeTicket(bytes32 ticket) external {
        _checkCallerIsOwnerOrGuardian();
        _requirements.revokeTicket(ticket);
        emit TicketRevoked(ticket, msg.sender);
    }

    /// @inheritdoc IAppPolicy
    function denyAdvisory(string calldata advisoryId) external {
        _checkCallerIsOwnerOrGuardian();
        _hasRequirements = true;
        emit AdvisoryDenied(_requirements.denyAdvisory(advisoryId), msg.sender, advisoryId);
    }

    /// @inheritdoc IAppPolicy
    function liftAdvisory(string calldata advisoryId) external {
        _checkCallerIsOwner();
        uint40 from = _afterNotice();
        emit AdvisoryLifted(_requirements.liftAdvisory(advisoryId, from), from);
    }

    /// @inheritdoc IAppPolicy
    function conditions() external view returns (Condition[] memory) {
        return _requirements.conditionsInForce();
    }

    /// @inheritdoc IAppPolicy
    function ticketRequirement() external view returns (bool needed, uint40 endsAt) {
        (needed, endsAt) = (_requirements.ticketNeeded, _requirements.ticketNeededUntil);
        if (_hasCome(endsAt)) return (false, 0);
    }

    /// @inheritdoc IAppPolicy
    function ticketAllowedFrom(bytes32 ticket) external view returns (uint40) {
        return _requirements.tickets[ticket];
    }

    /// @inheritdoc IAppPolicy
    function advisoryDeniedUntil(string calldata advisoryId) external view returns (uint40) {
        return _requirements.advisories[keccak256(bytes(advisoryId))];
    }

    function _initRequirements(Init calldata init) internal {
        for (uint256 i = 0; i < init.conditions.length; ++i) {
            _addCondition(init.conditions[i]);
        }
        if (init.ticketNeeded) _requireTicket(true);
        for (uint256 i = 0; i < init.tickets.length; ++i) {
            _allowTicket(init.tickets[i], currentTime());
        }
    }

    function _checkRequirements(AppBootInfo calldata info, TeeKind tee, uint64 generation_, bytes32 ticket)
        internal
        view
        returns (Reason)
    {
        if (!_hasRequirements) return Reason.Allowed;
        return _requirements.check(BootRequest({info: info, tee: tee, generation: generation_, ticket: ticket}));
    }

    function _addCondition(address condition) private {
        _hasRequirements = true;
        _requirements.addCondition(condition);
        emit ConditionAdded(condition);
    }

    function _requireTicket(bool needed) private {
        _hasRequirements = true;
        emit TicketRequirementSet(needed, _requirements.requireTicket(needed, _afterNotice()));
    }

    function _allowTicket(bytes32 ticket, uint40 from) private {
        _requirements.allowTicket(ticket, from);
        emit TicketAllowed(ticket, from);
    }
}
