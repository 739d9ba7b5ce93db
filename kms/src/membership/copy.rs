// SPDX-License-Identifier: Apache-2.0 OR MIT
//! "Simple duplication" (K6): a replica gets the single member's whole share, and destroys it when it is none any more.

use alloy::primitives::B256;
use mandate_model::wire::kms::{Given, SealedCopy, Wish};
use mandate_runtime::entropy;
use mandate_threshold::{Output, SealingKey, Share};
use mandate_witness::BlockRef;
use zeroize::Zeroizing;

use super::{Membership, MembershipError, News, ask::Asking};
use crate::{
    committee::{Epoch, Member},
    keys::KeySealing,
    shares::{COPY_INFO, Holding},
};

/// What a share signs to be compared with the polynomial; no app's message is in this namespace.
const PROBE: &[u8] = b"mandate-copy-probe-v1";

impl Membership {
    /// Nothing to do for members, and where the contract says nothing of replicas.
    pub(super) async fn copy(&self, news: News) -> Result<(), MembershipError> {
        let me = self.parts.context.keys.address();
        let Some(current) = self.parts.shares.current() else { return Ok(()) };
        let single = current.output.players().len() == 1;
        let own = self.parts.context.keys.dealing_public();
        if current.output.players().iter().any(|player| own == *player) {
            return Ok(());
        }
        let is_replica = single && self.parts.chain.is_replica(news.block, me).await?;
        match (is_replica, current.share.is_some()) {
            (true, false) => self.get(news.block, current.epoch).await,
            (false, true) => self.destroy(&current).await,
            _ => Ok(()),
        }
    }

    async fn get(&self, block: BlockRef, number: u64) -> Result<(), MembershipError> {
        let chain = &self.parts.chain;
        let Some(epoch) = chain.epoch(block).await?.filter(|epoch| epoch.number == number) else {
            return Ok(());
        };
        let listed = chain.members(block).await?;
        let members: Vec<Member> =
            listed.into_iter().filter(|member| epoch.members.contains(&member.node)).collect();
        let share = self.ask_for_copy(&members, &epoch).await?;
        self.keep(epoch, share).await
    }

    async fn ask_for_copy(&self, members: &[Member], epoch: &Epoch) -> Result<Share, MembershipError> {
        let parts = &self.parts;
        let quoter = parts.quoter.as_deref().ok_or(MembershipError::NoQuoter { until: 0 })?;
        let asking = Asking {
            http: &parts.http,
            quoter,
            chain_id: parts.context.chain_id,
            kms_auth: parts.kms_auth,
            members,
        };
        let transport = SealingKey::from_seed(entropy::bytes(&*parts.ambient.entropy));
        let wish = Wish::Copy(parts.context.keys.address());
        let (request, answers) = asking.ask(wish, B256::from(transport.public())).await?;
        let mut reports = Vec::new();
        for (member, answer) in answers {
            let binding = request.report_data();
            match answer.and_then(|given| open(given, &transport, &binding, epoch)) {
                Ok(share) => return Ok(share),
                Err(why) => reports.push(format!("{member}: {why}")),
            }
        }
        Err(MembershipError::NoCopy(reports.join("; ")))
    }

    async fn keep(&self, epoch: Epoch, share: Share) -> Result<(), MembershipError> {
        let (context, fresh) = (self.parts.context.clone(), entropy::bytes(&*self.parts.ambient.entropy));
        let keep = move || -> Result<Holding, MembershipError> {
            let place = epoch.round.to_be_bytes();
            let sealed = context.keys.seal("share", &place, &share.encode(), fresh)?;
            context.store.put_output(epoch.round, &epoch.polynomial, &sealed)?;
            Ok(Holding::load(&context, &epoch)?)
        };
        let holding = tokio::task::spawn_blocking(keep).await.map_err(|_| MembershipError::Stopped)??;
        tracing::warn!(
            epoch = holding.epoch,
            "THIS NODE HOLDS A COPY OF THE WHOLE KEY: whoever reads it knows every app's secret"
        );
        self.parts.shares.fill(holding);
        Ok(())
    }

    async fn destroy(&self, holding: &Holding) -> Result<(), MembershipError> {
        let round = holding.round;
        let kept: Vec<u64> =
            self.parts.shares.outgoing().map(|outgoing| outgoing.round).into_iter().collect();
        self.parts.shares.empty(holding.epoch);
        self.parts.context.store.run(move |store| store.forget_secrets(&kept, round)).await?;
        tracing::info!(epoch = holding.epoch, "this node is no replica any more: its copy is destroyed");
        Ok(())
    }
}

/// The share in an answer, if it is the one that the epoch's public polynomial commits to.
fn open(given: Given, transport: &SealingKey, binding: &[u8], epoch: &Epoch) -> Result<Share, String> {
    let Given::Copy(SealedCopy { epoch: number, sealed }) = given else {
        return Err("it gave something that was not asked for".to_owned());
    };
    if number != epoch.number {
        return Err(format!("it gave its share of epoch {number}, the one in force is {}", epoch.number));
    }
    let opened: Zeroizing<Vec<u8>> =
        mandate_threshold::open(transport, COPY_INFO, binding, &sealed).map_err(|error| error.to_string())?;
    let share = Share::decode(&opened).map_err(|error| error.to_string())?;
    let output = Output::decode(&epoch.polynomial).map_err(|error| error.to_string())?;
    match output.public().verify_partial(PROBE, PROBE, &share.sign(PROBE, PROBE)) {
        true => Ok(share),
        false => Err("it gave a share that is not the epoch's".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use mandate_threshold::{CeremonyInfo, DealerSession, DealingKey, PlayerSession};

    use super::*;

    fn committee_of_one(seed: u8) -> (Output, Share) {
        let key = DealingKey::from_seed([seed; 32]);
        let (dealers, players) = (vec![key.public()], vec![key.public()]);
        let info = CeremonyInfo { namespace: b"test".to_vec(), round: 1, previous: None, dealers, players };
        let (mut dealer, dealings) = DealerSession::start(&info, &key, None, [6; 32]).unwrap();
        let mut player = PlayerSession::new(&info, &key).unwrap();
        let ack = player.deal(&key.public(), &dealings[0].body).unwrap();
        dealer.acknowledge(&key.public(), &ack).unwrap();
        player.finish(&[(key.public(), dealer.finish())]).unwrap()
    }

    #[test]
    fn g5_only_the_share_that_the_chain_commits_to_is_taken() {
        let ((output, share), (_, other)) = (committee_of_one(1), committee_of_one(2));
        let epoch = Epoch {
            number: 3,
            round: 1,
            group_key: output.group_key().to_vec().into(),
            polynomial: output.encode().into(),
            valid_until: u64::MAX,
            quorum: 1,
            members: Vec::new(),
        };
        let transport = SealingKey::from_seed([7; 32]);
        let sealed = |share: &Share, epoch: u64, binding: &[u8]| {
            let sealed =
                mandate_threshold::seal(&transport.public(), COPY_INFO, binding, &share.encode(), [8; 32]);
            Given::Copy(SealedCopy { epoch, sealed: sealed.unwrap().into() })
        };
        assert!(open(sealed(&share, 3, b"asked"), &transport, b"asked", &epoch).is_ok());
        assert!(
            open(sealed(&other, 3, b"asked"), &transport, b"asked", &epoch)
                .unwrap_err()
                .contains("not the epoch's")
        );
        assert!(
            open(sealed(&share, 2, b"asked"), &transport, b"asked", &epoch).unwrap_err().contains("epoch 2")
        );
        assert!(open(sealed(&share, 3, b"another request"), &transport, b"asked", &epoch).is_err());
        assert!(open(Given::Vouch(Default::default()), &transport, b"asked", &epoch).is_err());
    }
}
