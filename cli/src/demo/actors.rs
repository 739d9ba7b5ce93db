// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who acts in the story: accounts of the chain's mnemonic.

use alloy::primitives::{Address, address};

/// A person or service with a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Deploys the protocol.
    Deployer,
    /// Registers an app.
    Developer,
    /// Voters of the app's DAO.
    Alice,
    Bob,
    Carol,
    /// May revoke the app's code at once.
    Guardian,
    /// Pays for the relayer's transactions.
    Relayer,
    /// The protocol council, one of each role.
    Core,
    Auditor,
    Community,
}

impl Actor {
    /// The council, in the order of its roles.
    pub(crate) const COUNCIL: [Self; 3] = [Self::Core, Self::Auditor, Self::Community];
    /// The DAO's voters.
    pub(crate) const VOTERS: [Self; 3] = [Self::Alice, Self::Bob, Self::Carol];

    /// Index in the mnemonic.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The account's address; the mnemonic is public, and so are these.
    pub(crate) fn address(self) -> Address {
        const ADDRESSES: [Address; 10] = [
            address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
            address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
            address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
            address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
            address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
            address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
            address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
        ];
        ADDRESSES.get(self.index()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_mnemonic() {
        let signers = mandate_devchain::Config::default().signers().unwrap();
        assert_eq!(signers[Actor::Deployer.index()].address(), Actor::Deployer.address());
        assert_eq!(signers[Actor::Community.index()].address(), Actor::Community.address());
        assert_eq!(signers.len(), 10);
    }
}
