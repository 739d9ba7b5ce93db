// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The decision itself: a pure function from verified facts to an [`Outcome`].
//!
//! ```text
//! request, nonce ──no──▶ Denied        evidence ──no──▶ Denied       revocation remembered ──▶ Denied   (G-7)
//! lease over, anything not read ──▶ Undecided                                                           (G-6)
//! finalised: Denied ──▶ Denied         head: Denied ──▶ Denied                                          (G-1, G-7)
//! a node's wish: KmsCommittee does not let it have that ──▶ Denied
//! otherwise Allowed, until the earlier of the two ends
//! ```

use mandate_model::{Outcome, Reason, outcome::PolicyReason};
use mandate_runtime::redact::without_urls;

/// What an executed `KmsAuth.decide` said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, until this block time.
    Allowed {
        /// Unix seconds of block time.
        valid_until: u64,
    },
    /// No.
    Denied(PolicyReason),
}

/// A verdict, or what stood in the way of one.
pub type Judged = Result<Verdict, String>;

/// Whether the committee's contracts let a node of theirs have what it wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They do.
    Good,
    /// They do not.
    Refused(String),
    /// They could not be read.
    Unread(String),
}

impl Standing {
    /// Of a failed read.
    pub(crate) fn unread(error: &impl std::fmt::Display) -> Self {
        Self::Unread(without_urls(&error.to_string()).into_owned())
    }
}

/// Everything that a decision rests on. What was not looked at stays `None` and is never taken for a yes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the request is for this chain and this policy and names an unspent nonce of this node.
    pub request: Option<Result<(), String>>,
    /// Whether the evidence verified and binds this request.
    pub evidence: Option<Result<(), String>>,
    /// A revocation that this node saw at some head and remembers.
    pub remembered: Option<PolicyReason>,
    /// Whether the freshness lease runs.
    pub fresh: Option<bool>,
    /// The verdict at the finalised block.
    pub finalized: Option<Judged>,
    /// The verdict at the head.
    pub head: Option<Judged>,
    /// Whether what is wished is for nodes of the committee only, whose standing then counts too.
    pub of_committee: bool,
    /// That standing.
    pub standing: Option<Standing>,
}

impl Facts {
    /// Whether no further fact can change the outcome.
    pub fn settled(&self) -> bool {
        !matches!(decide(self), Outcome::Undecided { .. })
            || self.fresh == Some(false)
            || matches!(self.finalized, Some(Err(_)))
            || matches!(self.head, Some(Err(_)))
    }

    /// Whether all is well but, for a node of the committee, its standing.
    pub(crate) fn is_allowed_as_an_app(&self) -> bool {
        let as_app = Self { of_committee: false, ..self.clone() };
        matches!(decide(&as_app), Outcome::Allowed { .. })
    }
}

/// Judges `facts`.
pub fn decide(facts: &Facts) -> Outcome {
    conclude(facts).unwrap_or_else(|no| no)
}

/// `Ok` is the one way to a release; every other way leaves early.
fn conclude(facts: &Facts) -> Result<Outcome, Outcome> {
    match &facts.request {
        Some(Ok(())) => {}
        Some(Err(why)) => return Err(denied(Reason::Request(why.clone()))),
        None => return Err(undecided("the request was not looked at")),
    }
    match &facts.evidence {
        Some(Ok(())) => {}
        Some(Err(why)) => return Err(denied(Reason::Evidence(why.clone()))),
        None => return Err(undecided("the evidence was not looked at")),
    }
    if let Some(reason) = facts.remembered {
        return Err(denied(Reason::Policy(reason)));
    }
    if facts.fresh != Some(true) {
        return Err(undecided(
            "the freshness lease is over: this node has not seen its own nonce finalised in time",
        ));
    }
    let finalized = valid_until("finalised block", facts.finalized.as_ref())?;
    let head = valid_until("head", facts.head.as_ref())?;
    if facts.of_committee {
        match &facts.standing {
            Some(Standing::Good) => {}
            Some(Standing::Refused(why)) => return Err(denied(Reason::Request(why.clone()))),
            Some(Standing::Unread(why)) => return Err(undecided(why)),
            None => return Err(undecided("the node's standing was not looked at")),
        }
    }
    Ok(Outcome::Allowed { valid_until: finalized.min(head) })
}

fn valid_until(at: &str, judged: Option<&Judged>) -> Result<u64, Outcome> {
    match judged {
        Some(Ok(Verdict::Allowed { valid_until })) => Ok(*valid_until),
        Some(Ok(Verdict::Denied(reason))) => Err(denied(Reason::Policy(*reason))),
        Some(Err(why)) => Err(undecided(&format!("{at}: {why}"))),
        None => Err(undecided(&format!("{at}: not read"))),
    }
}

fn denied(reason: Reason) -> Outcome {
    Outcome::Denied { reason }
}

fn undecided(why: &str) -> Outcome {
    Outcome::Undecided { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_yes() -> Facts {
        Facts {
            request: Some(Ok(())),
            evidence: Some(Ok(())),
            remembered: None,
            fresh: Some(true),
            finalized: Some(Ok(Verdict::Allowed { valid_until: 20 })),
            head: Some(Ok(Verdict::Allowed { valid_until: 10 })),
            of_committee: false,
            standing: None,
        }
    }

    fn policy(reason: PolicyReason) -> Outcome {
        denied(Reason::Policy(reason))
    }

    #[test]
    fn g1_allowed_needs_every_fact_and_ends_with_the_earlier_permission() {
        assert_eq!(decide(&all_yes()), Outcome::Allowed { valid_until: 10 });
    }

    #[test]
    fn g6_lease_over_is_undecided_whatever_the_chain_said() {
        let facts = Facts { fresh: Some(false), ..all_yes() };
        assert!(matches!(decide(&facts), Outcome::Undecided { .. }));
        assert!(facts.settled());
    }

    #[test]
    fn g7_denied_at_head_beats_allowed_at_finality() {
        let head = Some(Ok(Verdict::Denied(PolicyReason::CodeRevoked)));
        assert_eq!(decide(&Facts { head, ..all_yes() }), policy(PolicyReason::CodeRevoked));
    }

    #[test]
    fn g1_allowed_at_head_only_is_denied() {
        let finalized = Some(Ok(Verdict::Denied(PolicyReason::CodeScheduled)));
        assert_eq!(decide(&Facts { finalized, ..all_yes() }), policy(PolicyReason::CodeScheduled));
    }

    #[test]
    fn g7_remembered_revocation_denies_even_a_stale_node() {
        let facts = Facts {
            remembered: Some(PolicyReason::CodeRevoked),
            fresh: None,
            finalized: None,
            head: None,
            ..all_yes()
        };
        assert_eq!(decide(&facts), policy(PolicyReason::CodeRevoked));
    }

    #[test]
    fn g6_unread_or_contradictory_state_is_undecided() {
        for facts in [
            Facts { finalized: None, ..all_yes() },
            Facts { head: None, ..all_yes() },
            Facts { finalized: Some(Err("proof".into())), ..all_yes() },
            Facts { head: Some(Err("proof".into())), ..all_yes() },
            Facts { fresh: None, ..all_yes() },
            Facts { of_committee: true, ..all_yes() },
            Facts { of_committee: true, standing: Some(Standing::Unread("proof".into())), ..all_yes() },
        ] {
            assert!(matches!(decide(&facts), Outcome::Undecided { .. }), "{facts:?}");
        }
    }

    fn judged() -> impl Strategy<Value = Option<Judged>> {
        prop_oneof![
            Just(None),
            Just(Some(Err("unproven".to_owned()))),
            any::<u64>().prop_map(|valid_until| Some(Ok(Verdict::Allowed { valid_until }))),
            (1..PolicyReason::ALL.len() as u8)
                .prop_map(|n| Some(Ok(Verdict::Denied(PolicyReason::try_from(n).unwrap())))),
        ]
    }

    fn standing() -> impl Strategy<Value = Option<Standing>> {
        let no = |why: &str| why.to_owned();
        prop_oneof![
            Just(None),
            Just(Some(Standing::Good)),
            Just(Some(Standing::Refused(no("no")))),
            Just(Some(Standing::Unread(no("unproven"))))
        ]
    }

    fn check() -> impl Strategy<Value = Option<Result<(), String>>> {
        prop_oneof![Just(None), Just(Some(Ok(()))), Just(Some(Err("no".to_owned())))]
    }

    proptest! {
        /// G-1, G-6, G-7 at once: whatever the facts, `Allowed` comes only from a yes to every question.
        #[test]
        fn g1_nothing_but_all_yes_is_allowed(
            request in check(), evidence in check(), fresh in any::<Option<bool>>(), finalized in judged(),
            head in judged(), remembered in prop_oneof![Just(None), Just(Some(PolicyReason::CodeRevoked))],
            of_committee in any::<bool>(), standing in standing(),
        ) {
            let facts =
                Facts { request, evidence, remembered, fresh, finalized, head, of_committee, standing };
            let yes = |j: &Option<Judged>| matches!(j, Some(Ok(Verdict::Allowed { .. })));
            let every = facts.request == Some(Ok(())) && facts.evidence == Some(Ok(())) && facts.remembered.is_none()
                && facts.fresh == Some(true) && yes(&facts.finalized) && yes(&facts.head)
                && (!facts.of_committee || facts.standing == Some(Standing::Good));
            prop_assert_eq!(matches!(decide(&facts), Outcome::Allowed { .. }), every);
        }
    }
}
