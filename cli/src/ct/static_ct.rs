// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs with the static CT API, <https://c2sp.org/static-ct-api>: a checkpoint, and tiles of entries and of hashes.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tlog_tiles::tile::Tile;

use super::{
    LogError,
    entry::Entry,
    head::SignedHead,
    merkle::{Frontier, Node, perfect},
    source::{MAX_ENTRIES, MAX_HEAD, Source},
};

/// The logarithm of a tile's width.
const HEIGHT: u8 = 8;
const WIDTH: u64 = 1 << HEIGHT;
/// The largest data tile, decompressed.
const MAX_TILE: usize = 64 << 20;
const HASH: usize = 32;
const MAX_HASHES: usize = WIDTH as usize * HASH;
/// How gzip begins. A data tile begins with a time in milliseconds, which does not.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(super) async fn head(source: &Source<'_>) -> Result<SignedHead, LogError> {
    let body = source.fetch.get(&source.url("checkpoint"), MAX_HEAD).await?;
    SignedHead::verify(source.log, &body)
}

pub(super) async fn entries(source: &Source<'_>, start: u64, end: u64) -> Result<Vec<Entry>, LogError> {
    let first = start / WIDTH * WIDTH;
    let (url, width, body) = tile_at(source, None, start / WIDTH, end, MAX_ENTRIES).await?;
    let all = parse_entries(&url, first, width, body)?;
    let (before, until) = (start.saturating_sub(first), end.saturating_sub(first));
    let wanted = all.into_iter().take(index(until)).skip(index(before)).collect::<Vec<_>>();
    if wanted.is_empty() { Err(LogError::bad(format!("{url}: no entries"))) } else { Ok(wanted) }
}

/// Reads a data tile of `width` entries, the first of which has index `first`, compressed or not.
///
/// # Errors
/// When it does not hold exactly these.
pub fn parse_entries(url: &str, first: u64, width: u64, body: Bytes) -> Result<Vec<Entry>, LogError> {
    let plain = decompressed(url, body)?;
    Entry::from_tile(&plain, first, width)
        .map_err(|e| LogError::bad(format!("{url}: an entry is not what it must be: {e}")))
}

/// In a tile.
fn index(n: u64) -> usize {
    n.min(WIDTH) as usize
}

/// All nodes of the edge at levels 8 L to 8 L + 7 are in the last tile of level L: one for each bit of its width.
pub(super) async fn frontier(source: &Source<'_>, size: u64, whole: u64) -> Result<Frontier, LogError> {
    let mut nodes = Vec::new();
    for level in (0..u64::BITS as u8 / HEIGHT).rev() {
        let hashes = size >> (level * HEIGHT);
        let width = hashes % WIDTH;
        if width == 0 {
            continue;
        }
        let (url, _, body) =
            tile_at(source, Some(level), hashes / WIDTH, whole >> (level * HEIGHT), MAX_HASHES).await?;
        nodes.extend(edge(&body, width).ok_or_else(|| LogError::bad(format!("{url}: not {width} hashes")))?);
    }
    Frontier::new(size, nodes).ok_or_else(|| LogError::bad("its tiles have another number of hashes"))
}

/// The nodes of the edge among the first `width` hashes of a tile; nothing when it has fewer or other bytes.
pub fn edge(tile: &[u8], width: u64) -> Option<Vec<Node>> {
    let (hashes, rest) = tile.as_chunks::<HASH>();
    let mut left = hashes.get(..usize::try_from(width).ok()?).filter(|_| rest.is_empty())?;
    let mut nodes = Vec::new();
    for bit in (0..HEIGHT).rev().filter(|bit| width >> bit & 1 == 1) {
        let (tree, right) = left.split_at_checked(1 << bit)?;
        nodes.push(perfect(tree)?);
        left = right;
    }
    Some(nodes)
}

/// A tile of a level with `size` hashes or entries, with its URL and width. A partial tile may be gone once the full one is
/// there.
async fn tile_at(
    source: &Source<'_>,
    level: Option<u8>,
    index: u64,
    size: u64,
    max: usize,
) -> Result<(String, u64, Bytes), LogError> {
    let widest = size.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
    for width in [widest, WIDTH] {
        let url = source.url(&path(level, index, width));
        if let Some(body) = source.fetch.find(&url, max).await? {
            return Ok((url, width, body));
        }
    }
    Err(LogError::Unreachable(format!("{} is not there", source.url(&path(level, index, widest)))))
}

/// As the C2SP specifications have it: without the height that `Tile::path` writes.
fn path(level: Option<u8>, index: u64, width: u64) -> String {
    let mut tile = Tile::new(HEIGHT, level.unwrap_or(0), index, width as u32, false);
    if level.is_none() {
        tile.set_is_data();
    }
    tile.path().replacen("tile/8/", "tile/", 1)
}

fn decompressed(url: &str, body: Bytes) -> Result<Vec<u8>, LogError> {
    if !body.starts_with(&GZIP) {
        return Ok(body.to_vec());
    }
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(&body[..]).take(MAX_TILE as u64 + 1);
    decoder.read_to_end(&mut plain).map_err(|e| LogError::bad(format!("{url}: gzip: {e}")))?;
    if plain.len() > MAX_TILE {
        return Err(LogError::bad(format!("{url}: more than {MAX_TILE} bytes when decompressed")));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::merkle::leaf_hash;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(Some(2), 0, 3), "tile/2/000.p/3");
        assert_eq!(path(None, 1234, 17), "tile/data/x001/234.p/17");
    }

    #[test]
    fn edge_of_a_tile_is_that_of_its_leaves() {
        for width in 1..WIDTH {
            let leaves: Vec<Node> = (0..width).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            let mut frontier = Frontier::default();
            leaves.iter().for_each(|leaf| frontier.append(*leaf));
            let nodes = edge(&leaves.concat(), width).unwrap();
            assert_eq!(Frontier::new(width, nodes).unwrap(), frontier);
        }
        assert!(edge(&[0; 63], 2).is_none());
    }

    #[test]
    fn gzip_bomb_is_refused_before_it_is_large() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..=MAX_TILE >> 20 {
            encoder.write_all(&[0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        let refused = decompressed("tile", bomb.into()).unwrap_err();
        assert!(refused.to_string().contains("when decompressed"), "{refused}");
        assert_eq!(decompressed("tile", Bytes::from_static(b"plain")).unwrap(), b"plain");
        assert!(decompressed("tile", Bytes::from_static(&[0x1f, 0x8b, 0])).is_err());
    }
}
