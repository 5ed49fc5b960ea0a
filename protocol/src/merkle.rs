//! The Merkle tree over the states that one call registers: RFC 9162, section 2.1, with Keccak-256 and a state's id as a leaf's data.

use alloy_primitives::{B256, keccak256};

use crate::StateId;

/// A tree that takes its leaves in order, one after another, and keeps O(log n) of it: whole subtrees whose sizes are falling powers of two.
#[derive(Debug, Clone, Default)]
pub struct MerkleTree {
    subtrees: Vec<Subtree>,
    /// Place of the leaf whose audit path is collected.
    proven: Option<u64>,
    path: Vec<B256>,
}

#[derive(Debug, Clone, Copy)]
struct Subtree {
    hash: B256,
    first: u64,
    leaves: u64,
}

impl MerkleTree {
    /// An empty tree that collects the audit path of the leaf at `place`, from 0.
    pub fn proving(place: u64) -> Self {
        Self { proven: Some(place), ..Self::default() }
    }

    /// Appends a leaf.
    pub fn push(&mut self, state: StateId) {
        let first = self.len();
        self.subtrees.push(Subtree { hash: leaf(state), first, leaves: 1 });
        while let [.., left, right] = self.subtrees[..]
            && left.leaves == right.leaves
        {
            self.join(left, right);
        }
    }

    /// How many leaves it has.
    pub fn len(&self) -> u64 {
        self.subtrees.last().map_or(0, |last| last.first + last.leaves)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.subtrees.is_empty()
    }

    /// Its root (of no leaf, which the contract refuses, the zero hash), and the audit path, the leaf's sibling first; empty if none is collected.
    pub fn close(mut self) -> (B256, Vec<B256>) {
        while let [.., left, right] = self.subtrees[..] {
            self.join(left, right);
        }
        (self.subtrees.first().map(|whole| whole.hash).unwrap_or_default(), self.path)
    }

    /// Joins the last two.
    fn join(&mut self, left: Subtree, right: Subtree) {
        let whole =
            Subtree { hash: node(left.hash, right.hash), first: left.first, leaves: left.leaves + right.leaves };
        if let Some(place) = self.proven.filter(|place| (whole.first..whole.first + whole.leaves).contains(place)) {
            self.path.push(if place < right.first { right.hash } else { left.hash });
        }
        self.subtrees.truncate(self.subtrees.len() - 2);
        self.subtrees.push(whole);
    }
}

impl Extend<StateId> for MerkleTree {
    fn extend<I: IntoIterator<Item = StateId>>(&mut self, states: I) {
        states.into_iter().for_each(|state| self.push(state));
    }
}

/// Root of the tree of `count` leaves in which `state` is the leaf at `place`, by its audit path (RFC 9162, section 2.1.3.2). `None` if the path
/// belongs to no such place.
pub fn root_by_path(state: StateId, place: u64, count: u64, path: &[B256]) -> Option<B256> {
    let (mut place, mut last) = (place, count.checked_sub(1).filter(|last| place <= *last)?);
    let mut hash = leaf(state);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = node(*sibling, hash);
            // A node without sibling is the same one level above.
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            hash = node(hash, *sibling);
        }
        (place, last) = (place / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

fn leaf(state: StateId) -> B256 {
    keccak256([&[0u8], state.as_slice()].concat())
}

fn node(left: B256, right: B256) -> B256 {
    keccak256([&[1u8], left.as_slice(), right.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn states(n: u64) -> Vec<StateId> {
        (0..n).map(|k| StateId::of(&k.to_be_bytes())).collect()
    }

    /// RFC 9162's recursive definition, beside the one above that goes leaf by leaf.
    fn recursive_root(states: &[StateId]) -> B256 {
        match states {
            [one] => leaf(*one),
            _ => {
                let (left, right) = states.split_at(states.len().next_power_of_two() / 2);
                node(recursive_root(left), recursive_root(right))
            }
        }
    }

    fn closed(states: &[StateId], mut tree: MerkleTree) -> (B256, Vec<B256>) {
        tree.extend(states.iter().copied());
        tree.close()
    }

    proptest! {
        #[test]
        fn root_is_that_of_rfc_9162(n in 1u64..70) {
            let states = states(n);
            prop_assert_eq!(closed(&states, MerkleTree::default()), (recursive_root(&states), vec![]));
        }

        #[test]
        fn a_path_proves_its_leaf_at_its_place_and_nothing_else(n in 1u64..70, at in any::<prop::sample::Index>(), flip in 1u8..) {
            let states = states(n);
            let place = at.index(states.len());
            let (root, path) = closed(&states, MerkleTree::proving(place as u64));
            let state = states[place];
            let proved = |state, place, count, path: &[B256]| root_by_path(state, place, count, path) == Some(root);
            prop_assert!(path.len() as u32 <= u64::BITS - (n - 1).leading_zeros(), "O(log n)");
            prop_assert!(proved(state, place as u64, n, &path));
            prop_assert!(!proved(StateId::of(b"another"), place as u64, n, &path));
            for other in (0..n + 2).filter(|other| *other != place as u64) {
                prop_assert!(!proved(state, other, n, &path), "at {}", other);
            }
            for changed in 0..path.len() {
                let mut path = path.clone();
                path[changed].0[31] ^= flip;
                prop_assert!(!proved(state, place as u64, n, &path));
            }
            prop_assert!(!proved(state, place as u64, n, &[path.clone(), vec![root]].concat()));
            prop_assert!(path.is_empty() || !proved(state, place as u64, n, &path[1..]));
        }
    }
}
