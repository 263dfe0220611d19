//! Checkpoints that were kept from earlier: whether the log of then is the beginning of the log of now.

use tenantry_transparency::tree::proof_from_text;
use tenantry_transparency::{Frontier, Hash, TreeHead, check_consistency};

use super::Opened;
use crate::files;
use crate::keys::{Keys, Signed};
use crate::report::Report;

/// The kept checkpoints.
pub(super) struct Earlier(Vec<Kept>);

struct Kept {
    file: String,
    signed: Result<Signed, String>,
    /// The root over as many of the events that the export has.
    anew: Option<Hash>,
}

impl Earlier {
    /// Reads their files.
    pub(super) fn read(files: &[String], keys: &Keys) -> anyhow::Result<Self> {
        let mut kept = Vec::new();
        for file in files {
            kept.push(Kept {
                file: file.clone(),
                signed: keys.open(&files::read(file)?),
                anew: None,
            });
        }
        Ok(Self(kept))
    }

    /// Looks at the tree as it grows.
    pub(super) fn pass(&mut self, edge: &Frontier) {
        for kept in &mut self.0 {
            let size = kept.signed.as_ref().map(|signed| signed.checkpoint.size);
            if size == Ok(edge.size()) {
                kept.anew = Some(edge.root());
            }
        }
    }

    /// Tells what is shown of each.
    pub(super) fn tell(&self, opened: &Opened, report: &mut Report) {
        for kept in &self.0 {
            match kept.is_beginning_of(opened) {
                Ok(said) => report.proved(format!("{}: {said}", kept.file)),
                Err(why) => report.wrong(format!("{}: {why}", kept.file)),
            }
        }
    }
}

impl Kept {
    fn is_beginning_of(&self, now: &Opened) -> Result<String, String> {
        let then = &self.signed.as_ref().map_err(Clone::clone)?.checkpoint;
        if then.origin != now.origin {
            return Err(format!(
                "it is of the log {}, and the export of {}",
                then.origin, now.origin
            ));
        }
        let (size, total) = (then.size, now.tree.size);
        let said = format!("the log of then, {size} events, is the beginning of the log of now");
        let changed = Err(format!(
            "the log was changed: its first {size} events aren't those that this checkpoint was signed over"
        ));
        if size > total {
            return Err(format!(
                "it is over {size} events, and the export's checkpoint over {total}: only a later export can show that the one log goes on with the other"
            ));
        }
        if size == total {
            return if then.root == now.tree.root {
                Ok(said)
            } else {
                Err(format!(
                    "SPLIT VIEW: two different logs of {size} events were signed in the same name"
                ))
            };
        }
        let anew = if size == 0 {
            Some(TreeHead::EMPTY.root)
        } else {
            self.anew
        };
        if let Some(root) = anew {
            return if root == then.root { Ok(said) } else { changed };
        }
        match &now.consistency {
            Some(consistency) if consistency.from == size => {
                let proof =
                    proof_from_text(&consistency.proof).map_err(|error| error.to_string())?;
                match check_consistency(&then.head(), &now.tree, &proof) {
                    Ok(()) => Ok(said),
                    Err(_) => Err(format!(
                        "the proof in the first entry doesn't show that the log of then, {size} events, is the beginning of the log of now"
                    )),
                }
            }
            _ => Err(format!(
                "this export can't show that the log of then, {size} events, is the beginning of the log of now: it neither has these events from the first on nor a proof from that size; ask for one"
            )),
        }
    }
}
