// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Under which keys the committee's word counts.

use crate::bindings::Epoch;

/// The group keys of `KmsCommittee` at `now`, block time: the present one, and the one before it while its handover runs (G-11).
/// `current` and `outgoing` are what `currentEpoch` and `outgoingEpoch` answer; what has number 0 or a key of another length than
/// `N` bytes is none.
pub fn group_keys<const N: usize>(current: &Epoch, outgoing: &Epoch, now: u64) -> Vec<[u8; N]> {
    let runs = now < outgoing.validUntil.to::<u64>();
    let known = [Some(current), runs.then_some(outgoing)].into_iter().flatten().filter(|e| e.number != 0);
    known.filter_map(|epoch| epoch.groupKey.as_ref().try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::aliases::U40;

    use super::*;

    const LENGTH: usize = 48;

    fn epoch(number: u64, key: u8, until: u64) -> Epoch {
        Epoch { number, groupKey: vec![key; LENGTH].into(), validUntil: U40::from(until), ..Epoch::default() }
    }

    #[test]
    fn g11_former_group_key_counts_until_its_handover_ends() {
        let (current, former) = (epoch(2, 2, 0), epoch(1, 1, 101));
        let [one, two] = [[1; LENGTH], [2; LENGTH]];
        assert_eq!(group_keys(&current, &former, 100), [two, one]);
        assert_eq!(group_keys(&current, &former, 101), [two]);
        assert_eq!(group_keys(&current, &epoch(0, 1, 101), 100), [two]);
        assert_eq!(group_keys(&current, &Epoch::default(), 100), [two]);
    }

    #[test]
    fn epoch_that_is_none_and_key_of_another_length_do_not_count() {
        let nothing: [[u8; LENGTH]; 0] = [];
        assert_eq!(group_keys(&Epoch::default(), &Epoch::default(), 100), nothing);
        assert_eq!(group_keys(&epoch(0, 2, 0), &Epoch::default(), 100), nothing);
        let short = Epoch { groupKey: vec![2; LENGTH - 1].into(), ..epoch(2, 2, 0) };
        assert_eq!(group_keys(&short, &Epoch::default(), 100), nothing);
    }
}
