// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The precompiled contracts of a fork. On an OP-stack chain they differ from Ethereum's in a few places; where this build
//! does not know how, a call that gets there is undecided.

use std::sync::OnceLock;

use alloy::primitives::{Address, Bytes, address};
use revm::{
    context::Cfg,
    context_interface::ContextTr,
    handler::{EthPrecompiles, PrecompileProvider},
    interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult},
    precompile::{Precompiles, secp256r1::P256VERIFY},
    primitives::{AddressSet, hardfork::SpecId},
};

use crate::spec::ForkName;

const MODEXP: Address = address!("0000000000000000000000000000000000000005");
const BN254_PAIRING: Address = address!("0000000000000000000000000000000000000008");
const BLS_G1_MSM: Address = address!("000000000000000000000000000000000000000c");
const BLS_G2_MSM: Address = address!("000000000000000000000000000000000000000e");
const BLS_PAIRING: Address = address!("000000000000000000000000000000000000000f");
const P256: Address = address!("0000000000000000000000000000000000000100");

/// The longest input, in bytes, that a precompile takes.
type Limits = &'static [(Address, usize)];

/// <https://specs.optimism.io/protocol/granite/exec-engine.html>
const GRANITE: Limits = &[(BN254_PAIRING, 112_687)];
/// <https://specs.optimism.io/protocol/isthmus/exec-engine.html>
const ISTHMUS: Limits =
    &[(BN254_PAIRING, 112_687), (BLS_G1_MSM, 513_760), (BLS_G2_MSM, 488_448), (BLS_PAIRING, 235_008)];
/// <https://specs.optimism.io/protocol/jovian/exec-engine.html>
const JOVIAN: Limits =
    &[(BN254_PAIRING, 81_984), (BLS_G1_MSM, 288_960), (BLS_G2_MSM, 278_784), (BLS_PAIRING, 156_672)];

/// Ethereum's precompiles of the fork's EVM, with what the fork does otherwise.
#[derive(Debug, Clone)]
pub(crate) struct ForkPrecompiles {
    inner: EthPrecompiles,
    limits: Limits,
    /// What this build does not know how to run.
    doubtful: &'static [Address],
}

impl ForkPrecompiles {
    pub(crate) fn of(fork: ForkName) -> Self {
        let spec = SpecId::from(fork);
        let (precompiles, limits, doubtful): (Option<_>, Limits, &[Address]) = match fork {
            ForkName::Cancun | ForkName::Prague | ForkName::Osaka | ForkName::Ecotone => (None, &[], &[]),
            ForkName::Fjord => (Some(cancun_and_p256()), &[], &[]),
            ForkName::Granite => (Some(cancun_and_p256()), GRANITE, &[]),
            ForkName::Isthmus => (Some(prague_and_p256()), ISTHMUS, &[]),
            ForkName::Jovian => (Some(prague_and_p256()), JOVIAN, &[]),
            ForkName::Azul => (None, JOVIAN, &[]),
            // Osaka's instructions; whether with Osaka's prices of these two, and with which limits, is not settled here.
            ForkName::Karst => {
                (None, &[], &[MODEXP, BN254_PAIRING, BLS_G1_MSM, BLS_G2_MSM, BLS_PAIRING, P256])
            }
        };
        let mut inner = EthPrecompiles::new(spec);
        inner.precompiles = precompiles.unwrap_or(inner.precompiles);
        Self { inner, limits, doubtful }
    }

    fn exceeds(&self, address: Address, length: usize) -> bool {
        self.limits.iter().any(|(limited, most)| *limited == address && length > *most)
    }
}

fn cancun_and_p256() -> &'static Precompiles {
    static ALL: OnceLock<Precompiles> = OnceLock::new();
    ALL.get_or_init(|| with_p256(Precompiles::cancun()))
}

fn prague_and_p256() -> &'static Precompiles {
    static ALL: OnceLock<Precompiles> = OnceLock::new();
    ALL.get_or_init(|| with_p256(Precompiles::prague()))
}

fn with_p256(these: &Precompiles) -> Precompiles {
    let mut all = these.clone();
    all.extend([P256VERIFY]);
    all
}

impl<CTX: ContextTr> PrecompileProvider<CTX> for ForkPrecompiles
where
    EthPrecompiles: PrecompileProvider<CTX, Output = InterpreterResult>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: <CTX::Cfg as Cfg>::Spec) -> bool {
        // The fork was chosen with the block, and there is one block.
        false
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let address = inputs.bytecode_address;
        if self.doubtful.contains(&address) {
            return Err(format!("this build does not know the chain's rules of the precompile {address}"));
        }
        if self.exceeds(address, inputs.input.len()) {
            let mut gas = Gas::new(inputs.gas_limit);
            gas.spend_all();
            let failed = InterpreterResult::new(InstructionResult::PrecompileError, Bytes::new(), gas);
            return Ok(Some(failed));
        }
        self.inner.run(context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.inner.warm_addresses()
    }
}
