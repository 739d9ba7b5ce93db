// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A persistent Merkle-Patricia trie over hashed keys.
//!
//! Cloning a trie is copying one pointer. A change copies only the nodes on its path that another clone still
//! holds, and forgets only their hashes; so every block keeps its whole state for the price of what it changed,
//! a root is recomputed in the size of the change, and a proof at any block is a walk.

use std::{
    fmt, mem,
    sync::{Arc, OnceLock},
};

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::{BufMut, EMPTY_STRING_CODE, Encodable, Header},
};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};

/// What a leaf holds: a value with its RLP.
pub(crate) trait Leaf: Clone + PartialEq {
    fn rlp(&self) -> Vec<u8>;
}

/// A map from 32-byte hashes to values, with a root hash.
#[derive(Clone)]
pub(crate) struct Trie<V>(Option<Arc<Node<V>>>);

struct Node<V> {
    kind: Kind<V>,
    /// The node's hash, or its RLP when that is shorter, once somebody asked.
    reference: OnceLock<RlpNode>,
}

#[derive(Clone)]
enum Kind<V> {
    Leaf { path: Nibbles, value: V },
    Extension { path: Nibbles, child: Arc<Node<V>> },
    // Keys are of one length, so that a branch never holds a value.
    Branch([Option<Arc<Node<V>>>; 16]),
}

/// What is left of a node after a removal below it.
enum Left {
    Something,
    Nothing,
}

impl<V: Leaf> Trie<V> {
    /// The value at `key`.
    pub(crate) fn get(&self, key: &B256) -> Option<&V> {
        let mut path = Nibbles::unpack(key);
        let mut node = self.0.as_deref()?;
        loop {
            match &node.kind {
                Kind::Leaf { path: own, value } => return (*own == path).then_some(value),
                Kind::Extension { path: own, child } => {
                    path = path.starts_with(own).then(|| path.slice(own.len()..))?;
                    node = child;
                }
                Kind::Branch(children) => {
                    node = children.get(usize::from(path.first()?))?.as_deref()?;
                    path = path.slice(1..);
                }
            }
        }
    }

    /// Puts `value` at `key`.
    pub(crate) fn insert(&mut self, key: &B256, value: V) {
        if self.get(key) == Some(&value) {
            return;
        }
        let path = Nibbles::unpack(key);
        match &mut self.0 {
            Some(root) => insert(root, path, value),
            empty => *empty = Some(Node::leaf(path, value)),
        }
    }

    /// Takes `key` out.
    pub(crate) fn remove(&mut self, key: &B256) {
        if self.get(key).is_none() {
            return;
        }
        if let Some(root) = &mut self.0
            && matches!(remove(root, Nibbles::unpack(key)), Left::Nothing)
        {
            self.0 = None;
        }
    }

    /// The root hash.
    pub(crate) fn root(&self) -> B256 {
        let Some(root) = &self.0 else { return EMPTY_ROOT_HASH };
        let reference = root.reference();
        reference.as_hash().unwrap_or_else(|| keccak256(reference.as_slice()))
    }

    /// The nodes from the root towards `key`: up to its leaf, or up to where it would have been.
    pub(crate) fn proof(&self, key: &B256) -> Vec<Bytes> {
        let mut path = Nibbles::unpack(key);
        let mut proof = Vec::new();
        let mut next = self.0.as_deref();
        while let Some(node) = next {
            let rlp = node.rlp();
            // A node shorter than a hash stands inside its parent.
            if proof.is_empty() || rlp.len() >= B256::len_bytes() {
                proof.push(rlp.into());
            }
            next = match &node.kind {
                Kind::Leaf { .. } => None,
                Kind::Extension { path: own, child } if path.starts_with(own) => {
                    path = path.slice(own.len()..);
                    Some(child.as_ref())
                }
                Kind::Extension { .. } => None,
                Kind::Branch(children) => {
                    let step = path.first().and_then(|nibble| children.get(usize::from(nibble)));
                    path = path.slice(1..);
                    step.and_then(Option::as_deref)
                }
            };
        }
        proof
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V> PartialEq for Trie<V> {
    /// Identity, not equality: enough to see that nothing changed, and never a walk.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl<V: Leaf> fmt::Debug for Trie<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trie").field(&self.root()).finish()
    }
}

impl<V: Clone> Clone for Node<V> {
    /// A copy is made to be changed, so it does not inherit the hash.
    fn clone(&self) -> Self {
        Self { kind: self.kind.clone(), reference: OnceLock::new() }
    }
}

impl<V> Node<V> {
    fn new(kind: Kind<V>) -> Arc<Self> {
        Arc::new(Self { kind, reference: OnceLock::new() })
    }

    fn leaf(path: Nibbles, value: V) -> Arc<Self> {
        Self::new(Kind::Leaf { path, value })
    }

    /// `child` below `path`; an empty path needs no extension.
    fn below(path: Nibbles, child: Arc<Self>) -> Arc<Self> {
        if path.is_empty() { child } else { Self::new(Kind::Extension { path, child }) }
    }
}

impl<V: Leaf> Node<V> {
    fn reference(&self) -> &RlpNode {
        self.reference.get_or_init(|| RlpNode::from_rlp(&self.rlp()))
    }

    fn rlp(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match &self.kind {
            Kind::Leaf { path, value } => LeafNodeRef::new(path, &value.rlp()).encode(&mut out),
            Kind::Extension { path, child } => {
                ExtensionNodeRef::new(path, child.reference().as_slice()).encode(&mut out);
            }
            Kind::Branch(children) => encode_branch(children, &mut out),
        }
        out
    }
}

fn encode_branch<V: Leaf>(children: &[Option<Arc<Node<V>>>; 16], out: &mut Vec<u8>) {
    let length = |child: &Option<Arc<Node<V>>>| child.as_ref().map_or(1, |node| node.reference().len());
    // One byte more for the empty value.
    let payload_length = children.iter().map(length).sum::<usize>() + 1;
    Header { list: true, payload_length }.encode(out);
    for child in children {
        match child {
            Some(node) => out.put_slice(node.reference().as_slice()),
            None => out.put_u8(EMPTY_STRING_CODE),
        }
    }
    out.put_u8(EMPTY_STRING_CODE);
}

/// The child slot of a nibble. A nibble is below 16 by construction; the mask says so to the compiler.
fn slot<V>(children: &mut [Option<Arc<Node<V>>>; 16], nibble: u8) -> &mut Option<Arc<Node<V>>> {
    #[expect(clippy::indexing_slicing, reason = "masked to the array's length")]
    &mut children[usize::from(nibble & 0x0f)]
}

fn insert<V: Leaf>(node: &mut Arc<Node<V>>, path: Nibbles, value: V) {
    let node = Arc::make_mut(node);
    node.reference = OnceLock::new();
    match &mut node.kind {
        Kind::Leaf { path: own, value: held } if *own == path => *held = value,
        Kind::Extension { path: own, child } if path.starts_with(own) => {
            insert(child, path.slice(own.len()..), value);
        }
        Kind::Branch(children) => {
            let child = slot(children, path.first().unwrap_or_default());
            let rest = path.slice(1..);
            match child {
                Some(child) => insert(child, rest, value),
                None => *child = Some(Node::leaf(rest, value)),
            }
        }
        Kind::Leaf { .. } | Kind::Extension { .. } => split(&mut node.kind, path, value),
    }
}

/// Makes a leaf or extension that parts ways with `path` into a branch with both below.
fn split<V: Leaf>(kind: &mut Kind<V>, path: Nibbles, value: V) {
    let old = mem::replace(kind, Kind::Branch(Default::default()));
    let own = match &old {
        Kind::Leaf { path, .. } | Kind::Extension { path, .. } => *path,
        Kind::Branch(_) => Nibbles::default(),
    };
    let common = own.common_prefix_length(&path);
    let rest = own.slice(common + 1..);
    let displaced = match old {
        Kind::Leaf { value, .. } => Node::leaf(rest, value),
        Kind::Extension { child, .. } => Node::below(rest, child),
        branch @ Kind::Branch(_) => Node::new(branch),
    };
    let mut children: [Option<Arc<Node<V>>>; 16] = Default::default();
    *slot(&mut children, own.get(common).unwrap_or_default()) = Some(displaced);
    *slot(&mut children, path.get(common).unwrap_or_default()) =
        Some(Node::leaf(path.slice(common + 1..), value));
    *kind = Kind::Branch(children);
    if common > 0 {
        let branch = mem::replace(kind, Kind::Branch(Default::default()));
        *kind = Kind::Extension { path: path.slice(..common), child: Node::new(branch) };
    }
}

/// Removes a path that is known to be there.
fn remove<V: Leaf>(node: &mut Arc<Node<V>>, path: Nibbles) -> Left {
    let node = Arc::make_mut(node);
    node.reference = OnceLock::new();
    let merged = match &mut node.kind {
        Kind::Leaf { .. } => return Left::Nothing,
        Kind::Extension { path: own, child } => {
            // Below an extension is a branch, which never vanishes at one removal.
            remove(child, path.slice(own.len()..));
            prepend(*own, child)
        }
        Kind::Branch(children) => {
            let child = slot(children, path.first().unwrap_or_default());
            if let Some(below) = child
                && matches!(remove(below, path.slice(1..)), Left::Nothing)
            {
                *child = None;
            }
            only_child(children).and_then(|(nibble, child)| {
                let step = Nibbles::from_nibbles([nibble]);
                prepend(step, child).or_else(|| Some(Kind::Extension { path: step, child: child.clone() }))
            })
        }
    };
    if let Some(kind) = merged {
        node.kind = kind;
    }
    Left::Something
}

/// `child` with its path lengthened at the front; `None` for a branch, which has no path.
fn prepend<V: Clone>(front: Nibbles, child: &Arc<Node<V>>) -> Option<Kind<V>> {
    match &child.kind {
        Kind::Leaf { path, value } => Some(Kind::Leaf { path: front.join(path), value: value.clone() }),
        Kind::Extension { path, child } => {
            Some(Kind::Extension { path: front.join(path), child: child.clone() })
        }
        Kind::Branch(_) => None,
    }
}

fn only_child<V>(children: &[Option<Arc<Node<V>>>; 16]) -> Option<(u8, &Arc<Node<V>>)> {
    let mut there = (0u8..).zip(children).filter_map(|(nibble, child)| Some((nibble, child.as_ref()?)));
    there.next().filter(|_| there.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy::primitives::U256;
    use alloy_trie::{proof::verify_proof, root::storage_root};
    use proptest::prelude::*;

    use super::*;

    impl Leaf for u64 {
        fn rlp(&self) -> Vec<u8> {
            alloy::rlp::encode(*self)
        }
    }

    /// Few distinct nibbles, so that paths share long prefixes and every shape of node occurs.
    fn key() -> impl Strategy<Value = B256> {
        (0u8..4, 0u8..4, any::<bool>(), 0u8..3).prop_map(|(first, second, deep, last)| {
            let mut key = B256::ZERO;
            key[0] = first << 4;
            key[if deep { 30 } else { 1 }] = second;
            key[31] = last;
            key
        })
    }

    fn reference_root(map: &BTreeMap<B256, u64>) -> B256 {
        storage_root(map.iter().map(|(key, value)| (*key, U256::from(*value))))
    }

    proptest! {
        #[test]
        fn trie_agrees_with_the_reference_at_every_step(
            steps in prop::collection::vec((key(), prop::option::weighted(0.6, 1u64..u64::MAX)), 1..60)
        ) {
            let (mut trie, mut map) = (Trie::<u64>::default(), BTreeMap::new());
            let mut history = Vec::new();
            for (key, value) in steps {
                match value {
                    Some(value) => { trie.insert(&key, value); map.insert(key, value); }
                    None => { trie.remove(&key); map.remove(&key); }
                }
                prop_assert_eq!(trie.root(), reference_root(&map));
                history.push((trie.clone(), map.clone()));
            }
            // Earlier versions are untouched by what came later, and prove what they held.
            for (trie, map) in history {
                prop_assert_eq!(trie.root(), reference_root(&map));
                for key in [B256::ZERO, B256::repeat_byte(0xff)].into_iter().chain(map.keys().copied()) {
                    prop_assert_eq!(trie.get(&key), map.get(&key));
                    let expected = map.get(&key).map(|value| value.rlp());
                    prop_assert!(verify_proof(
                        trie.root(), Nibbles::unpack(key), expected, &trie.proof(&key)).is_ok());
                }
            }
        }
    }

    #[test]
    fn trie_is_empty_again_when_all_is_removed() {
        let mut trie = Trie::<u64>::default();
        let keys: Vec<B256> = (0u64..500).map(|i| keccak256(i.to_be_bytes())).collect();
        keys.iter().for_each(|key| trie.insert(key, 7));
        keys.iter().for_each(|key| trie.remove(key));
        assert_eq!(trie.root(), EMPTY_ROOT_HASH);
        assert!(trie.proof(&B256::ZERO).is_empty());
    }
}
