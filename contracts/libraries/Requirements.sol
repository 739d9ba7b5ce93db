// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {ICondition} from "../interfaces/ICondition.sol";
import {IGoverned} from "../interfaces/IGoverned.sol";
import {BootRequest, Reason} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice What an app requires beside code, device, TEE and TCB, each of it optional: a launch ticket, freedom from
/// advisories that it denies, and that its conditions say yes.
library Requirements {
    /// @notice How many conditions can be in force at once.
    uint256 internal constant MAX_CONDITIONS = 4;
    /// @notice What one condition may spend on its answer.
    uint256 internal constant GAS_CAP = 100_000;
    /// @notice A boot with more advisories than this is refused by an app that denies any: the list is read in bounded time.
    uint256 internal constant MAX_ADVISORIES = 64;
    /// @notice No advisory's name is longer than this.
    uint256 internal constant MAX_ADVISORY_NAME = 64;

    uint40 private constant FOREVER = type(uint40).max;
    /// @dev So much must be left that the whole cap can be handed on: a call passes on no more than 63/64.
    uint256 private constant GAS_NEEDED = GAS_CAP * 64 / 63 + 10_000;

    /// @param ticketNeeded whether a ticket was required, until `ticketNeededUntil` unless that is 0
    /// @param advisoriesDenied whether an advisory was ever denied
    /// @param conditionCount how many of `conditions` are in use, those included that have ended
    /// @param advisories until when each is denied, by the hash of its name; 0 for never denied
    /// @param tickets from when each is allowed; 0 for not allowed
    struct Context {
        bool ticketNeeded;
        uint40 ticketNeededUntil;
        bool advisoriesDenied;
        uint8 conditionCount;
        IAppPolicy.Condition[MAX_CONDITIONS] conditions;
        mapping(bytes32 advisoryHash => uint40) advisories;
        mapping(bytes32 ticket => uint40) tickets;
    }

    /// @notice Requires `condition` from now on, also where its end was pending.
    function addCondition(Context storage self, address condition) internal {
        if (condition.code.length == 0) revert IAppPolicy.NotACondition(condition);
        uint256 free = self.conditionCount;
        for (uint256 i = self.conditionCount; i > 0; --i) {
            IAppPolicy.Condition storage other = self.conditions[i - 1];
            if (other.condition == condition) {
                if (other.endsAt == 0) revert IGoverned.NothingToChange();
                other.endsAt = 0;
                return;
            }
            if (_isOver(other.endsAt)) free = i - 1;
        }
        if (free == MAX_CONDITIONS) revert IAppPolicy.TooManyConditions(MAX_CONDITIONS);
        self.conditions[free] = IAppPolicy.Condition({condition: condition, endsAt: 0});
        if (free == self.conditionCount) ++self.conditionCount;
    }

    /// @notice No longer requires `condition` from `from`.
    function removeCondition(Context storage self, address condition, uint40 from) internal {
        for (uint256 i = 0; i < self.conditionCount; ++i) {
            IAppPolicy.Condition storage found = self.conditions[i];
            if (found.condition != condition) continue;
            if (found.endsAt != 0) revert IGoverned.NothingToChange();
            found.endsAt = from;
            return;
        }
        revert IAppPolicy.UnknownCondition(condition);
    }

    /// @notice Requires a ticket from now on, or only until `looseFrom`.
    /// @return from when that takes effect
    function requireTicket(Context storage self, bool needed, uint40 looseFrom) internal returns (uint40 from) {
        bool present = self.ticketNeeded && !_isOver(self.ticketNeededUntil);
        bool goal = present && self.ticketNeededUntil == 0;
        if (needed == goal) revert IGoverned.NothingToChange();
        from = needed ? currentTime() : looseFrom;
        (self.ticketNeeded, self.ticketNeededUntil) = (true, needed ? 0 : from);
    }

    /// @notice Lets `ticket` launch the app from `from`.
    function allowTicket(Context storage self, bytes32 ticket, uint40 from) internal {
        if (ticket == bytes32(0)) revert IAppPolicy.ZeroTicket();
        if (self.tickets[ticket] != 0) revert IGoverned.NothingToChange();
        self.tickets[ticket] = from;
    }

    /// @notice Ends `ticket` at once.
    function revokeTicket(Context storage self, bytes32 ticket) internal {
        if (self.tickets[ticket] == 0) revert IGoverned.NothingToChange();
        self.tickets[ticket] = 0;
    }

    /// @notice Denies boots that carry `advisoryId` from now on, also where the end of a denial was pending.
    function denyAdvisory(Context storage self, string calldata advisoryId) internal returns (bytes32 hash) {
        uint256 length = bytes(advisoryId).length;
        if (length == 0 || length > MAX_ADVISORY_NAME) revert IAppPolicy.InvalidAdvisory(advisoryId);
        hash = keccak256(bytes(advisoryId));
        if (self.advisories[hash] == FOREVER) revert IGoverned.NothingToChange();
        self.advisories[hash] = FOREVER;
        self.advisoriesDenied = true;
    }

    /// @notice No longer denies `advisoryId` from `from`.
    function liftAdvisory(Context storage self, string calldata advisoryId, uint40 from)
        internal
        returns (bytes32 hash)
    {
        hash = keccak256(bytes(advisoryId));
        if (self.advisories[hash] != FOREVER) revert IGoverned.NothingToChange();
        self.advisories[hash] = from;
    }

    /// @notice Whether `request` meets all of this now, and if not, why.
    function check(Context storage self, BootRequest memory request) internal view returns (Reason) {
        if (!_isTicketGood(self, request.ticket)) return Reason.TicketNotAllowed;
        if (self.advisoriesDenied && _isAdvisoryDenied(self, request.info.advisoryIds)) return Reason.AdvisoryDenied;
        if (self.conditionCount != 0 && !_areConditionsMet(self, request)) return Reason.ConditionNotMet;
        return Reason.Allowed;
    }

    /// @notice The conditions that are in force, those included whose end is pending.
    function conditionsInForce(Context storage self) internal view returns (IAppPolicy.Condition[] memory list) {
        list = new IAppPolicy.Condition[](self.conditionCount);
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            if (!_isOver(self.conditions[i].endsAt)) list[count++] = self.conditions[i];
        }
        // Cut the array to what was filled.
        assembly ("memory-safe") {
            mstore(list, count)
        }
    }

    function _isTicketGood(Context storage self, bytes32 ticket) private view returns (bool) {
        if (!self.ticketNeeded || _isOver(self.ticketNeededUntil)) return true;
        uint40 from = self.tickets[ticket];
        return from != 0 && currentTime() >= from;
    }

    function _isAdvisoryDenied(Context storage self, string[] memory advisoryIds) private view returns (bool) {
        if (advisoryIds.length > MAX_ADVISORIES) return true;
        for (uint256 i = 0; i < advisoryIds.length; ++i) {
            if (currentTime() < self.advisories[keccak256(bytes(advisoryIds[i]))]) return true;
        }
        return false;
    }

    function _areConditionsMet(Context storage self, BootRequest memory request) private view returns (bool) {
        bytes memory question = abi.encodeCall(ICondition.isAllowed, (request));
        for (uint256 i = 0; i < self.conditionCount; ++i) {
            IAppPolicy.Condition memory required = self.conditions[i];
            if (!_isOver(required.endsAt) && !_saysYes(required.condition, question)) return false;
        }
        return true;
    }

    /// @dev A caller who hands over too little gas gets a no: a starved condition could answer otherwise than a fed one.
    function _saysYes(address condition, bytes memory question) private view returns (bool) {
        if (gasleft() < GAS_NEEDED) return false;
        bool success;
        uint256 size;
        uint256 answer;
        uint256 gasCap = GAS_CAP;
        // Only the first word of the answer is taken in, so that a long one costs nothing here.
        assembly ("memory-safe") {
            success := staticcall(gasCap, condition, add(question, 0x20), mload(question), 0x00, 0x20)
            size := returndatasize()
            answer := mload(0x00)
        }
        return success && size >= 0x20 && answer == 1;
    }

    function _isOver(uint40 end) private view returns (bool) {
        return end != 0 && currentTime() >= end;
    }
}
