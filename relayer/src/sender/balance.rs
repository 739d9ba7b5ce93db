// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the account can pay: watched, told before it runs dry, and asked before anything is signed.

use std::time::Duration;

use alloy::{primitives::U256, providers::Provider};
use mandate_runtime::http::Health;

use super::{Fees, SendError, Sender, rpc};
use crate::effects::webhook::Occurrence;

/// How often the balance is asked for while nothing is wrong.
const EVERY: Duration = Duration::from_secs(30);
/// A webhook is told once in so many seconds for as long as the account is low.
const TELL_EVERY: u64 = 6 * 3_600;

/// What is known of the account's money.
#[derive(Debug, Default)]
pub(super) struct Purse {
    asked: Option<Duration>,
    balance: U256,
}

impl Sender {
    /// Asks for the balance now and then, and raises the alarm below the threshold.
    pub(super) async fn watch_balance(&mut self) -> Result<(), SendError> {
        let now = self.ambient.clock.monotonic();
        if self.memory.purse.asked.is_some_and(|at| now.saturating_sub(at) < EVERY) {
            return Ok(());
        }
        self.ask_balance().await?;
        if self.is_low() {
            let (payer, balance, threshold) = (self.address(), self.memory.purse.balance, self.threshold());
            tracing::warn!(%payer, %balance, %threshold, "the account runs dry");
            let what = Occurrence::LowBalance { payer, balance, threshold };
            let about = format!("low_balance:{payer}:{}", self.ambient.clock.unix() / TELL_EVERY);
            self.tell(&about, what).await?;
        }
        Ok(())
    }

    async fn ask_balance(&mut self) -> Result<(), SendError> {
        let balance = self.provider.get_balance(self.address()).await.map_err(rpc("eth_getBalance"))?;
        self.memory.purse = Purse { asked: Some(self.ambient.clock.monotonic()), balance };
        let gwei: U256 = balance / U256::from(GWEI);
        metrics::gauge!("mandate_relayer_balance_gwei").set(gwei.saturating_to::<u64>() as f64);
        Ok(())
    }

    /// Whether the account has what a transaction may cost at most. What it had a moment ago is not taken for a no.
    pub(super) async fn can_pay(&mut self, gas: u64, fees: Fees) -> Result<(), SendError> {
        let needed = U256::from(gas).saturating_mul(U256::from(fees.max_fee));
        if self.memory.purse.balance < needed {
            self.ask_balance().await?;
        }
        let balance = self.memory.purse.balance;
        match balance < needed {
            true => Err(SendError::CannotPay { payer: self.address(), balance, needed }),
            false => Ok(()),
        }
    }

    fn threshold(&self) -> U256 {
        U256::from(self.config.low_balance_gwei).saturating_mul(U256::from(GWEI))
    }

    fn is_low(&self) -> bool {
        self.memory.purse.asked.is_some() && self.memory.purse.balance < self.threshold()
    }

    /// Says at `/healthz` whether there is enough.
    pub(super) fn report_balance(&self, health: &Health) {
        match self.is_low() {
            true => health.fail(
                "balance",
                format!(
                    "{} has {} wei left, below {}",
                    self.address(),
                    self.memory.purse.balance,
                    self.threshold()
                ),
            ),
            false => health.ok("balance"),
        }
    }
}

const GWEI: u64 = 1_000_000_000;
