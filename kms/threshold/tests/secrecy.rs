// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why t−1 nodes, with all that they have and all that they see, learn nothing of an app's secret (G-4; K4, K7).
//!
//! The argument, in the order of the tests. Let `s` be the root, `Y = s·G` the group key, `H(m)` the point that an app's
//! message hashes to; the app's secret is made of `s·H(m)`. An adversary holds t−1 shares, that is values of a polynomial of
//! degree t−1 whose value at 0 is `s`.
//!
//! 1. *The shares alone leave everything open.* For every `s'` there is one polynomial of that degree through them and
//!    through `s'`, and each of these was as likely. The same holds of what each honest dealer dealt to them. So there are as
//!    many app secrets as roots that fit, and with a t-th share one is left.
//! 2. *What is public adds `Y`, and no more.* The polynomial on chain, and so every honest node's verification key, is computed
//!    here from `Y` and the t−1 shares: whoever has those could have written it down without the ceremony.
//! 3. *What honest nodes answer adds the signatures that were released, and no more.* Their partials for a message are computed
//!    here from the group's signature on that message and the t−1 shares.
//!
//! A simulator that is given `Y`, and `s·H(m')` for the apps whose secrets the adversary was allowed, can thus show it all that
//! it would have seen. If it could compute `s·H(m)` of another app from that, then it could do so from `Y` and `H(m)` alone:
//! that is the computational Diffie-Hellman problem in this group (the proof of BLS signatures, with `H` a random oracle).
//! HKDF, keyed with a point that cannot be computed, gives 32 bytes that cannot be told from random ones.
//!
//! What is not claimed: that the joint Feldman key is uniform. Whoever deals last can bias it by some bits, which helps no one
//! here. Nor that more than t−1 nodes are of no use: the last step of the first test is that t of them are enough.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use commonware_codec::{Copying, Decode, DecodeExt};
use commonware_cryptography::{
    bls12381::{
        dkg::feldman_desmedt::Output as LibOutput,
        primitives::{
            group::{G1, G2, Scalar, ScalarReadCfg},
            sharing::{ModeVersion, Sharing},
            variant::{MinPk, PartialSignature},
        },
    },
    ed25519,
};
use commonware_math::algebra::{Additive, CryptoGroup, Field, Ring, Space};
use commonware_utils::{NZU32, Participant};
use mandate_threshold::{DealerSession, Partial, Share, derive::APP_NAMESPACE};
use proptest::prelude::*;
use support::{Done, genesis, keys};

/// The place of a node on the polynomials, from its index.
fn place(index: u32) -> Scalar {
    Scalar::from(u64::from(index) + 1)
}

/// What is at `x` on the one polynomial through all `points` whose degree is below their number (Lagrange); over scalars as
/// over points of a group, that is "in the exponent".
fn at<T: Space<Scalar>>(points: &[(Scalar, T)], x: &Scalar) -> T {
    let mut sum = T::zero();
    for (i, (here, value)) in points.iter().enumerate() {
        let mut weight = Scalar::one();
        for (_, (there, _)) in points.iter().enumerate().filter(|(j, _)| *j != i) {
            weight *= &((x.clone() - there) * &(here.clone() - there).inv());
        }
        sum += &(value.clone() * &weight);
    }
    sum
}

fn scalar(bytes: &[u8]) -> Scalar {
    Scalar::decode_cfg(Copying(&bytes[bytes.len() - 32..]), &ScalarReadCfg::RejectZero).unwrap()
}

fn known(share: &Share) -> (Scalar, Scalar) {
    (place(share.index()), scalar(&share.encode()))
}

fn point(partial: &Partial) -> (Scalar, G2) {
    let partial = PartialSignature::<MinPk>::decode(Copying(&partial.encode())).unwrap();
    (place(partial.index.get()), partial.value)
}

fn public(done: &Done) -> Sharing<MinPk> {
    let bytes = done.output.encode();
    let cfg = (NZU32!(64), ModeVersion::v0());
    LibOutput::<MinPk, ed25519::PublicKey>::decode_cfg(Copying(&bytes), &cfg).unwrap().public().clone()
}

/// A ceremony of `n` nodes, and the shares of those that the adversary holds, one below the quorum.
fn seized(n: u8) -> (Done, Vec<(Scalar, Scalar)>) {
    let done = genesis(n);
    let points =
        done.shares[..done.output.quorum() as usize - 1].iter().map(|(_, share)| known(share)).collect();
    (done, points)
}

/// The points that fix one polynomial of the committee's degree: what is held, and `secret` at 0. It takes as many as the
/// quorum, so no share may be among what is held beyond those of one below it.
fn fitting(done: &Done, held: &[(Scalar, Scalar)], secret: &Scalar) -> Vec<(Scalar, Scalar)> {
    let mut points = held.to_vec();
    points.push((Scalar::zero(), secret.clone()));
    assert_eq!(
        points.len(),
        public(done).required() as usize,
        "a polynomial of too high a degree fits anything"
    );
    for (x, share) in &points {
        assert_eq!(at(&points, x), *share);
    }
    points
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    any::<[u64; 4]>().prop_map(|[a, b, c, d]| {
        let shift = Scalar::from(1 << 32) * &Scalar::from(1 << 32);
        [b, c, d].into_iter().fold(Scalar::from(a), |sum, limb| sum * &shift + &Scalar::from(limb))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn g4_every_root_fits_the_shares_of_one_below_the_quorum(one in any_scalar(), two in any_scalar(), n in 0usize..2) {
        prop_assume!(one != two);
        let (done, held) = seized([4, 7][n]);
        let (first, second) = (fitting(&done, &held, &one), fitting(&done, &held, &two));
        // What would be the shares of the others differs everywhere, and so do the secrets that come of them.
        let next = &done.shares[held.len()].1;
        prop_assert_ne!(at(&first, &place(next.index())), at(&second, &place(next.index())));
        let text = support::message(&done.output);
        let partials: Vec<_> = done.shares[..held.len()].iter().map(|(_, s)| point(&s.sign(APP_NAMESPACE, &text))).collect();
        let base = partials[0].1 * &held[0].1.inv();
        for (x, share) in &held {
            let partial = partials.iter().find(|(place, _)| place == x).unwrap();
            prop_assert_eq!(base * share, partial.1, "their partials are the same under either root");
        }
        prop_assert_ne!(base * &one, base * &two);

        // With one share more there is no choice: of the two at most one fits, and the real one does.
        let mut enough = held.clone();
        enough.push(known(next));
        let root = at(&enough, &Scalar::zero());
        prop_assert_eq!(G1::generator() * &root, *public(&done).public());
        prop_assert!(root != one && root != two);
        prop_assert_ne!(at(&first, &place(next.index())), known(next).1);
        // The real one is among those that fitted: it leads to the shares of all others.
        let real = fitting(&done, &held, &root);
        for (_, share) in &done.shares {
            prop_assert_eq!(at(&real, &known(share).0), known(share).1);
        }
    }

    /// The same for what a single honest dealer gave to them: its part of the root could be any.
    #[test]
    fn g4_every_part_of_an_honest_dealer_fits_what_it_dealt_to_one_below_the_quorum(part in any_scalar()) {
        let (done, held) = seized(4);
        let honest = &keys(0..4)[3];
        let (_, dealings) = DealerSession::start(&done.info, honest, None, [42; 32]).unwrap();
        let dealt: Vec<(Scalar, Scalar)> = done.shares[..held.len()]
            .iter()
            .map(|(key, share)| {
                let dealing = dealings.iter().find(|dealing| dealing.recipient == *key).unwrap();
                (place(share.index()), scalar(&dealing.body))
            })
            .collect();
        fitting(&done, &dealt, &part);
    }
}

#[test]
fn g4_public_polynomial_follows_from_the_group_key_and_the_shares_of_one_below_the_quorum() {
    for n in [4, 7] {
        let (done, held) = seized(n);
        let public = public(&done);
        let mut points: Vec<(Scalar, G1)> =
            held.iter().map(|(x, share)| (x.clone(), G1::generator() * share)).collect();
        points.push((Scalar::zero(), *public.public()));
        for index in 0..u32::from(n) {
            let real = public.partial_public(Participant::new(index)).unwrap();
            assert_eq!(at(&points, &place(index)), real, "node {index} of {n}");
        }
        // Without the group key it does not follow: one point fewer gives another polynomial.
        points.pop();
        let last = u32::from(n) - 1;
        assert_ne!(at(&points, &place(last)), public.partial_public(Participant::new(last)).unwrap());
    }
}

#[test]
fn g4_answers_of_honest_nodes_follow_from_the_released_signature_and_the_shares_of_one_below_the_quorum() {
    let (done, held) = seized(4);
    let partials: Vec<Partial> =
        done.shares.iter().map(|(_, share)| share.sign(APP_NAMESPACE, b"an app of the adversary")).collect();
    let own: Vec<(Scalar, G2)> = partials[..held.len()].iter().map(point).collect();
    let signature =
        done.output.public().combine(APP_NAMESPACE, b"an app of the adversary", &partials).unwrap();
    let released = G2::decode(Copying(signature.as_bytes())).unwrap();
    let mut points = own;
    points.push((Scalar::zero(), released));
    for partial in &partials {
        let (x, real) = point(partial);
        assert_eq!(at(&points, &x), real);
    }
}
