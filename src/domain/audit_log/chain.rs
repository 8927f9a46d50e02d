//! Checks a chain block by block, up to the first block that is wrong.

use super::{Block, BrokenBlock};
use crate::domain::contract::{AuditActs, Head};

/// A chain whose blocks have been checked up to `head`.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
    /// The block after which the chain begins.
    start: Head,
    /// Number and digest of a block that were kept elsewhere. The chain must contain this block, or begin after it.
    /// `None` asks for no block.
    anchor: Option<Head>,
}

impl Chain {
    pub fn new(anchor: Option<Head>) -> Self {
        Self::behind(Head::start(), anchor)
    }

    /// Starts right after the block `head`, which is trusted without a check unless it is the anchor.
    pub fn behind(head: Head, anchor: Option<Head>) -> Self {
        Self { head, start: head, anchor }
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks that `block` is the next block, and reads its acts.
    pub fn follow(&mut self, block: &Block) -> Result<AuditActs, BrokenBlock> {
        let broken = |why: String| BrokenBlock { seq: block.seq, why };
        if block.seq != self.head.seq + 1 {
            return Err(broken(format!("it follows block {}; what belongs between is not there", self.head.seq)));
        }
        if block.previous != self.head.digest {
            return Err(broken(format!("it hangs on {}, not on the block before it", block.previous)));
        }
        let body = block.intact()?;
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.seq == block.seq && anchor.digest != block.digest) {
            return Err(broken(format!("its digest is {}, and was {}", block.digest, anchor.digest)));
        }
        self.head = block.head();
        Ok(body)
    }

    /// Returns the chain's head after the last block. Returns an error if the chain was not compared with its anchor, or
    /// begins after another block than the anchor.
    pub fn end(&self) -> Result<Head, BrokenBlock> {
        let Some(anchor) = self.anchor else { return Ok(self.head) };
        let broken = |seq: i64, why: String| Err(BrokenBlock { seq, why });
        if anchor.seq > self.head.seq {
            return broken(
                self.head.seq + 1,
                format!("the log ends before it, and once reached to block {}", anchor.seq),
            );
        }
        if anchor.seq < self.start.seq {
            let first = self.start.seq + 1;
            return broken(
                anchor.seq,
                format!(
                    "its digest was kept, and what is checked begins with block {first}, so that nothing was compared with it; \
                     export from block {} or an earlier one",
                    anchor.seq.max(1)
                ),
            );
        }
        if anchor.seq == self.start.seq && anchor.digest != self.start.digest {
            let (found, kept) = (self.start.digest, anchor.digest);
            return broken(anchor.seq, format!("the block after it hangs on {found}, and its digest was {kept}"));
        }
        Ok(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Digest;
    use chrono::DateTime;

    fn blocks() -> Vec<Block> {
        let mut head = Head::start();
        (0..5)
            .map(|number| {
                let block = Block::behind(&head, DateTime::UNIX_EPOCH, format!("{{\"acts\":[],\"by\":\"w{number}\"}}"));
                head = block.head();
                block
            })
            .collect()
    }

    fn first_broken(blocks: &[Block], anchor: Option<Head>) -> Option<i64> {
        let mut chain = Chain::new(anchor);
        for block in blocks {
            if let Err(broken) = chain.follow(block) {
                return Some(broken.seq);
            }
        }
        chain.end().err().map(|broken| broken.seq)
    }

    #[test]
    fn whatever_is_done_to_a_chain_is_found_at_the_first_block_that_suffers() {
        let whole = blocks();
        let head = whole[4].head();
        assert_eq!(first_broken(&whole, Some(head)), None);
        assert_eq!(first_broken(&whole, Some(whole[2].head())), None, "it has grown since");
        let mut changed = whole.clone();
        changed[2].body = changed[2].body.replace("w2", "w9");
        assert_eq!(first_broken(&changed, None), Some(3));
        changed[2].digest = changed[2].computed();
        assert_eq!(first_broken(&changed, None), Some(4), "with its digest made to fit");
        let mut moved = whole.clone();
        moved[1].at += chrono::TimeDelta::microseconds(1);
        assert_eq!(first_broken(&moved, None), Some(2));
        let mut without = whole.clone();
        without.remove(2);
        assert_eq!(first_broken(&without, None), Some(4));
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        assert_eq!(first_broken(&swapped, None), Some(3));
        assert_eq!(first_broken(&whole[..3], None), None, "nothing in it says how long it was");
        assert_eq!(first_broken(&whole[..3], Some(head)), Some(4));
        assert_eq!(first_broken(&whole, Some(Head { seq: 2, digest: Digest::of(b"other") })), Some(2));
    }

    #[test]
    fn an_anchor_is_compared_or_it_is_an_error() {
        let whole = blocks();
        let ends = |start: usize, anchor: Head| {
            let mut chain = Chain::behind(whole[start].head(), Some(anchor));
            whole[start + 1..].iter().try_for_each(|block| chain.follow(block).map(drop))?;
            chain.end()
        };
        for anchor in &whole[2..] {
            assert_eq!(ends(2, anchor.head()), Ok(whole[4].head()), "block {}", anchor.seq);
            assert!(ends(2, Head { digest: Digest::of(b"other"), ..anchor.head() }).is_err(), "block {}", anchor.seq);
        }
        for before in &whole[..2] {
            assert_eq!(ends(2, before.head()).unwrap_err().seq, before.seq);
        }
    }
}
