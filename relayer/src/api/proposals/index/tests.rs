// SPDX-License-Identifier: Apache-2.0 OR MIT
use alloy::primitives::{Bytes, aliases::U40};

use super::*;

const GOVERNOR: Address = Address::repeat_byte(0xa0);
const COUNCIL: Address = Address::repeat_byte(0xb0);

fn log(address: Address, block: u64, event: &impl SolEvent) -> StoredLog {
    let data = event.encode_log_data();
    StoredLog {
        block_number: block,
        block_hash: B256::with_last_byte(u8::try_from(block).unwrap()),
        timestamp: block * 12,
        tx_hash: B256::ZERO,
        log_index: 0,
        address,
        topics: data.topics().to_vec(),
        data: data.data.clone(),
    }
}

fn created(id: u64) -> AppGovernor::ProposalCreated {
    AppGovernor::ProposalCreated {
        proposalId: U256::from(id),
        proposer: GOVERNOR,
        targets: Vec::new(),
        values: Vec::new(),
        signatures: Vec::new(),
        calldatas: vec![Bytes::new()],
        voteStart: U256::from(1),
        voteEnd: U256::from(2),
        description: String::new(),
    }
}

fn vote(id: u64, support: u8, weight: u64) -> AppGovernor::VoteCast {
    let (proposal_id, weight) = (U256::from(id), U256::from(weight));
    AppGovernor::VoteCast { voter: GOVERNOR, proposalId: proposal_id, support, weight, reason: String::new() }
}

#[test]
fn a_vote_is_followed_from_proposal_to_execution() {
    let mut index = Index::default();
    let id = U256::from(7);
    index.fold(&log(GOVERNOR, 1, &created(7)));
    for (support, weight) in [(1, 5), (1, 6), (0, 3), (2, 1), (9, 100)] {
        index.fold(&log(GOVERNOR, 2, &vote(7, support, weight)));
    }
    // Somebody else's vote on a proposal of the same number is none.
    index.fold(&log(COUNCIL, 2, &vote(7, 1, 1_000)));
    let course = |index: &Index| index.courses[&(1, 0)].clone();
    assert_eq!(course(&index).votes, [3, 11, 1].map(U256::from));
    assert_eq!(course(&index).state(0), ProposalState::Proposed);
    index.fold(&log(
        GOVERNOR,
        3,
        &AppGovernor::ProposalQueued { proposalId: id, etaSeconds: U256::from(99) },
    ));
    assert_eq!((course(&index).state(0), course(&index).eta), (ProposalState::Queued, Some(99)));
    index.fold(&log(GOVERNOR, 4, &AppGovernor::ProposalExecuted { proposalId: id }));
    assert_eq!(course(&index).state(0), ProposalState::Executed);
    // A second one of that number does not take the first one's place.
    index.fold(&log(GOVERNOR, 5, &created(7)));
    assert_eq!(index.courses.len(), 1);
}

#[test]
fn a_motion_counts_approvals_until_its_life_ends() {
    let mut index = Index::default();
    let (id, role, member) = (U256::from(3), U256::from(1), Address::repeat_byte(1));
    let proposed = RoleCouncil::MotionProposed {
        motionId: id,
        proposer: member,
        calls: Vec::new(),
        description: String::new(),
        salt: B256::ZERO,
        expiresAt: U40::from(500),
    };
    index.fold(&log(COUNCIL, 1, &proposed));
    index.fold(&log(COUNCIL, 2, &RoleCouncil::MotionApproved { motionId: id, role, member }));
    let other = Address::repeat_byte(2);
    index.fold(&log(COUNCIL, 2, &RoleCouncil::MotionApproved { motionId: id, role, member: other }));
    index.fold(&log(COUNCIL, 3, &RoleCouncil::ApprovalWithdrawn { motionId: id, role, member: other }));
    let course = index.courses[&(1, 0)].clone();
    assert_eq!(course.approvals[&role], BTreeSet::from([member]));
    assert_eq!((course.state(499), course.state(500)), (ProposalState::Proposed, ProposalState::Expired));
    index.fold(&log(COUNCIL, 4, &RoleCouncil::MotionExecuted { motionId: id }));
    assert_eq!(index.courses[&(1, 0)].state(900), ProposalState::Executed);
}
