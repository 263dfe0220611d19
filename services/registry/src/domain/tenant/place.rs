//! Where a tenant stands in its tree.

use jiff::Timestamp;
use tenantry_core::{TenantId, TenantStatus};

use super::{MAX_LEVELS, Outcome, Tenant};
use crate::error::Error;

/// Most children of one tenant, deleted ones included until they are purged. Creates that run at the same instant may pass
/// it by their number: it bounds what a page, a walk or a mistake can meet, and counts for nobody's bill.
pub(crate) const MAX_CHILDREN: i64 = 10_000;

/// A place that a tenant could move to, and what would move with it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The new parent and all above it, nearest first; none at the top.
    pub(crate) above: Vec<TenantId>,
    /// Children that the new parent has.
    pub(crate) siblings: i64,
    /// Levels of the tenant's own tree, itself included.
    pub(crate) levels: usize,
}

impl Place {
    /// Refuses one more child where there is room for none.
    pub(crate) fn has_room(siblings: i64) -> Result<(), Error> {
        if siblings < MAX_CHILDREN {
            Ok(())
        } else {
            Err(Error::TooManyChildren)
        }
    }
}

impl Tenant {
    /// Moves the tenant, with all below it.
    pub(crate) fn move_below(&self, place: &Place, now: Timestamp) -> Outcome {
        let parent = place.above.first().copied();
        if self.status == TenantStatus::Deleted {
            return Err(Error::StatusForbids(
                "A deleted tenant can't be moved. Undelete it first.",
            ));
        }
        if parent == self.parent_id {
            return Ok(None);
        }
        if place.above.contains(&self.id) {
            return Err(Error::Cycle);
        }
        if place.above.len() + place.levels > MAX_LEVELS {
            return Err(Error::TooDeep);
        }
        Place::has_room(place.siblings)?;
        self.changed("tenant.moved", now, |tenant| tenant.parent_id = parent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{now, tenant};
    use super::*;

    fn below(above: &[TenantId], levels: usize) -> Place {
        Place {
            above: above.to_vec(),
            siblings: 0,
            levels,
        }
    }

    #[test]
    fn a_tenant_moves_to_a_place_with_room_and_nowhere_below_itself() {
        let moved = tenant(0);
        let above: Vec<TenantId> = (0..9).map(|_| TenantId::new()).collect();
        let there = moved.move_below(&below(&above, 1), now()).unwrap().unwrap();
        assert_eq!(there.tenant.parent_id, Some(above[0]));
        let deep = moved.move_below(&below(&above, 2), now());
        assert!(matches!(deep, Err(Error::TooDeep)));
        for own in [vec![moved.id], vec![TenantId::new(), moved.id]] {
            let cycle = moved.move_below(&below(&own, 1), now());
            assert!(matches!(cycle, Err(Error::Cycle)));
        }
        let full = Place {
            siblings: MAX_CHILDREN,
            ..below(&above[..1], 1)
        };
        let full = moved.move_below(&full, now());
        assert!(matches!(full, Err(Error::TooManyChildren)));
        let top = there
            .tenant
            .move_below(&below(&[], 9), now())
            .unwrap()
            .unwrap();
        assert_eq!(top.tenant.parent_id, None);
        assert_eq!(moved.move_below(&below(&[], 1), now()).unwrap(), None);
    }
}
