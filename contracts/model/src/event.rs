// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contracts' events, typed, with the place on the chain where each was emitted.
//!
//! Some contracts emit the same event; which contract it was is told by [`Position::address`] alone.

use alloy::{
    primitives::{Address, B256, LogData},
    rpc::types::Log,
    sol_types::SolEvent,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    bindings::{
        AppAuth, AppGovernor, DomainRegistry, GovernanceFactory, GovernanceToken, KmsAuth, KmsCommittee,
        RebuildCondition, ReceiptAnchor, RoleCouncil,
    },
    wire::BlockRef,
};

/// Why a log could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventError {
    /// The topic is that of a known event, the data is not.
    #[error(
        "a log of {contract} with the topic of {event} does not decode: {why}; does another contract emit it?"
    )]
    Malformed {
        /// The emitter.
        contract: Address,
        /// The event.
        event: &'static str,
        /// What the decoder says.
        why: String,
    },
    /// A log that is pending, or lacks a coordinate.
    #[error("a log of {contract} has no {what}: only logs of mined blocks can be taken in")]
    NoCoordinate {
        /// The emitter.
        contract: Address,
        /// What is missing.
        what: &'static str,
    },
    /// A log of a block that was reorganised away.
    #[error("a log of {contract} was removed by a reorganisation: take its block back instead")]
    Removed {
        /// The emitter.
        contract: Address,
    },
}

macro_rules! events {
    ($($variant:ident = $contract:ident :: $event:ident),* $(,)?) => {
        /// One event of any of the contracts.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $(#[doc = concat!("`", stringify!($contract), ".", stringify!($event), "`.")] $variant($contract::$event)),*
        }

        impl Event {
            /// The first topics of all events here, for log filters.
            pub const TOPICS: &'static [B256] = &[$($contract::$event::SIGNATURE_HASH),*];

            /// The event's name, as in the contract.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($event)),* }
            }

            /// Decodes a log's topics and data. Nothing when the topic is not that of an event here.
            pub fn decode(contract: Address, log: &LogData) -> Result<Option<Self>, EventError> {
                let Some(topic) = log.topics().first() else { return Ok(None) };
                $(if *topic == $contract::$event::SIGNATURE_HASH {
                    return match $contract::$event::decode_log_data_validate(log) {
                        Ok(event) => Ok(Some(Self::$variant(event))),
                        Err(e) => Err(EventError::Malformed {
                            contract,
                            event: stringify!($event),
                            why: e.to_string(),
                        }),
                    };
                })*
                Ok(None)
            }

            /// The log that a contract emits for this event.
            pub fn encode(&self) -> LogData {
                match self { $(Self::$variant(event) => event.encode_log_data()),* }
            }
        }

        $(impl From<$contract::$event> for Event {
            fn from(event: $contract::$event) -> Self { Self::$variant(event) }
        })*
    };
}

events! {
    AppRegistered = KmsAuth::AppRegistered,
    AppSuspensionSet = KmsAuth::AppSuspensionSet,
    OsImageScheduled = KmsAuth::OsImageScheduled,
    OsImageRetirementSet = KmsAuth::OsImageRetirementSet,
    OsImageRevoked = KmsAuth::OsImageRevoked,
    KmsAppSet = KmsAuth::KmsAppSet,
    GatewayAppSet = KmsAuth::GatewayAppSet,

    // Emitted by every governed contract.
    NoticeSet = KmsAuth::NoticeSet,
    GuardianSet = KmsAuth::GuardianSet,
    OwnershipTransferStarted = KmsAuth::OwnershipTransferStarted,
    OwnershipTransferred = KmsAuth::OwnershipTransferred,

    CodeScheduled = AppAuth::CodeScheduled,
    CodeRetirementSet = AppAuth::CodeRetirementSet,
    CodesSuperseded = AppAuth::CodesSuperseded,
    CodeRevoked = AppAuth::CodeRevoked,
    Paused = AppAuth::Paused,
    GuardianPauseArmed = AppAuth::GuardianPauseArmed,
    Sunset = AppAuth::Sunset,
    DeviceScheduled = AppAuth::DeviceScheduled,
    DeviceDenied = AppAuth::DeviceDenied,
    AnyDeviceScheduled = AppAuth::AnyDeviceScheduled,
    AnyDeviceRemoved = AppAuth::AnyDeviceRemoved,
    TeeScheduled = AppAuth::TeeScheduled,
    TeeRemoved = AppAuth::TeeRemoved,
    TcbFloorSet = AppAuth::TcbFloorSet,
    KeysRotated = AppAuth::KeysRotated,
    ConditionAdded = AppAuth::ConditionAdded,
    ConditionRemoved = AppAuth::ConditionRemoved,
    TicketRequirementSet = AppAuth::TicketRequirementSet,
    TicketAllowed = AppAuth::TicketAllowed,
    TicketRevoked = AppAuth::TicketRevoked,
    AdvisoryDenied = AppAuth::AdvisoryDenied,
    AdvisoryLifted = AppAuth::AdvisoryLifted,
    // Upstream's names for what the events above tell already.
    ComposeHashAdded = AppAuth::ComposeHashAdded,
    ComposeHashRemoved = AppAuth::ComposeHashRemoved,
    DeviceAdded = AppAuth::DeviceAdded,
    DeviceRemoved = AppAuth::DeviceRemoved,

    NodeAdmitted = KmsCommittee::NodeAdmitted,
    NodeAttested = KmsCommittee::NodeAttested,
    AttestationDemanded = KmsCommittee::AttestationDemanded,
    ReplicationSet = KmsCommittee::ReplicationSet,
    NodeEvicted = KmsCommittee::NodeEvicted,
    NodeUrlSet = KmsCommittee::NodeUrlSet,
    CeremonyOpened = KmsCommittee::CeremonyOpened,
    DealerLogPosted = KmsCommittee::DealerLogPosted,
    OutputConfirmed = KmsCommittee::OutputConfirmed,
    EpochStarted = KmsCommittee::EpochStarted,
    CeremonyAborted = KmsCommittee::CeremonyAborted,
    NoncePublished = KmsCommittee::NoncePublished,

    DomainApproved = DomainRegistry::DomainApproved,
    DomainReleased = DomainRegistry::DomainReleased,
    AccountPinned = DomainRegistry::AccountPinned,
    CertificateRecorded = DomainRegistry::CertificateRecorded,
    IncidentReported = DomainRegistry::IncidentReported,
    IncidentClosed = DomainRegistry::IncidentClosed,
    RecorderSet = DomainRegistry::RecorderSet,
    RegistryTransferStarted = DomainRegistry::OwnershipTransferStarted,

    MotionProposed = RoleCouncil::MotionProposed,
    MotionApproved = RoleCouncil::MotionApproved,
    ApprovalWithdrawn = RoleCouncil::ApprovalWithdrawn,
    MotionExecuted = RoleCouncil::MotionExecuted,
    RoleSet = RoleCouncil::RoleSet,
    MotionLifetimeSet = RoleCouncil::MotionLifetimeSet,

    ProposalCreated = AppGovernor::ProposalCreated,
    ProposalQueued = AppGovernor::ProposalQueued,
    ProposalExecuted = AppGovernor::ProposalExecuted,
    ProposalCanceled = AppGovernor::ProposalCanceled,
    ProposalExtended = AppGovernor::ProposalExtended,
    VoteCast = AppGovernor::VoteCast,
    VoteCastWithParams = AppGovernor::VoteCastWithParams,
    VetoWindowSet = AppGovernor::VetoWindowSet,
    VotingDelaySet = AppGovernor::VotingDelaySet,
    VotingPeriodSet = AppGovernor::VotingPeriodSet,
    ProposalThresholdSet = AppGovernor::ProposalThresholdSet,
    QuorumNumeratorUpdated = AppGovernor::QuorumNumeratorUpdated,
    ProposalGuardianSet = AppGovernor::ProposalGuardianSet,
    LateQuorumVoteExtensionSet = AppGovernor::LateQuorumVoteExtensionSet,

    DelegateChanged = GovernanceToken::DelegateChanged,
    DelegateVotesChanged = GovernanceToken::DelegateVotesChanged,

    GovernedAppDeployed = GovernanceFactory::GovernedAppDeployed,

    Attested = RebuildCondition::Attested,
    AttestationWithdrawn = RebuildCondition::AttestationWithdrawn,
    QuorumReached = RebuildCondition::QuorumReached,
    QuorumLost = RebuildCondition::QuorumLost,

    RootPosted = ReceiptAnchor::RootPosted,
}

/// Where an event was emitted. `(block.hash, transaction, log_index)` names it for good (G-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    /// The emitting contract.
    pub address: Address,
    /// The block.
    pub block: BlockRef,
    /// The block's timestamp, seconds since the epoch.
    pub timestamp: u64,
    /// The transaction.
    pub transaction: B256,
    /// The log's index in the block.
    pub log_index: u64,
}

impl Position {
    /// The coordinates of a log as a node tells them; `timestamp` is for nodes that leave the block's time out.
    pub fn of(log: &Log, timestamp: Option<u64>) -> Result<Self, EventError> {
        let contract = log.address();
        if log.removed {
            return Err(EventError::Removed { contract });
        }
        let missing = |what| EventError::NoCoordinate { contract, what };
        let number = log.block_number.ok_or_else(|| missing("block number"))?;
        let hash = log.block_hash.ok_or_else(|| missing("block hash"))?;
        Ok(Self {
            address: contract,
            block: BlockRef { number, hash },
            timestamp: log.block_timestamp.or(timestamp).ok_or_else(|| missing("block timestamp"))?,
            transaction: log.transaction_hash.ok_or_else(|| missing("transaction hash"))?,
            log_index: log.log_index.ok_or_else(|| missing("log index"))?,
        })
    }
}

/// An event and where it was emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The event.
    pub event: Event,
    /// Where.
    pub at: Position,
}

impl Located {
    /// Decodes a node's log; nothing when it is no event of ours.
    pub fn decode(log: &Log, timestamp: Option<u64>) -> Result<Option<Self>, EventError> {
        let Some(event) = Event::decode(log.address(), log.data())? else { return Ok(None) };
        Ok(Some(Self { event, at: Position::of(log, timestamp)? }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy::primitives::Bytes;

    use super::*;
    use crate::abi;

    /// Deliberately not taken in: plain token transfers and permissions, and OpenZeppelin's notices about EIP-712 domains.
    const LEFT_OUT: [&str; 4] = ["Transfer", "Approval", "ApprovalForAll", "EIP712DomainChanged"];

    #[test]
    fn g9_every_event_of_every_contract_is_known() {
        let known: BTreeSet<_> = Event::TOPICS.iter().copied().collect();
        assert_eq!(known.len(), Event::TOPICS.len(), "a topic is there twice");
        for name in abi::NAMES {
            for event in abi::of(name).unwrap().events.values().flatten() {
                let is_left_out = LEFT_OUT.contains(&event.name.as_str());
                assert_eq!(known.contains(&event.selector()), !is_left_out, "{name}.{}", event.name);
            }
        }
    }

    fn revoked() -> Event {
        AppAuth::CodeRevoked { codeHash: B256::repeat_byte(7), by: Address::repeat_byte(8) }.into()
    }

    fn log() -> Log {
        Log {
            inner: alloy::primitives::Log { address: Address::repeat_byte(9), data: revoked().encode() },
            block_hash: Some(B256::repeat_byte(1)),
            block_number: Some(5),
            block_timestamp: None,
            transaction_hash: Some(B256::repeat_byte(2)),
            transaction_index: Some(0),
            log_index: Some(3),
            removed: false,
        }
    }

    #[test]
    fn decode_gives_the_event_and_its_place() {
        let located = Located::decode(&log(), Some(77)).unwrap().unwrap();
        assert_eq!(located.event, revoked());
        assert_eq!(located.event.name(), "CodeRevoked");
        assert_eq!((located.at.block.number, located.at.timestamp, located.at.log_index), (5, 77, 3));
    }

    #[test]
    fn decode_refuses_pending_and_removed_logs() {
        assert!(matches!(
            Located::decode(&log(), None),
            Err(EventError::NoCoordinate { what: "block timestamp", .. })
        ));
        let removed = Log { removed: true, ..log() };
        assert!(matches!(Located::decode(&removed, Some(1)), Err(EventError::Removed { .. })));
        let pending = Log { block_hash: None, ..log() };
        assert!(matches!(
            Located::decode(&pending, Some(1)),
            Err(EventError::NoCoordinate { what: "block hash", .. })
        ));
    }

    #[test]
    fn decode_ignores_unknown_topics_and_refuses_malformed_data() {
        let at = Address::ZERO;
        let unknown = LogData::new_unchecked(vec![B256::repeat_byte(1)], Bytes::new());
        assert_eq!(Event::decode(at, &unknown), Ok(None));
        assert_eq!(Event::decode(at, &LogData::default()), Ok(None));
        let short = LogData::new_unchecked(vec![AppAuth::CodeScheduled::SIGNATURE_HASH], Bytes::new());
        assert!(matches!(
            Event::decode(at, &short),
            Err(EventError::Malformed { event: "CodeScheduled", .. })
        ));
        let dirty = LogData::new_unchecked(
            vec![AppAuth::CodeRevoked::SIGNATURE_HASH, B256::ZERO, B256::repeat_byte(0xff)],
            Bytes::new(),
        );
        assert!(matches!(Event::decode(at, &dirty), Err(EventError::Malformed { .. })));
    }
}
