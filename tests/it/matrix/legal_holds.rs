//! LegalHoldService: for operators alone.

use super::Class;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.registry.v1.LegalHoldService/ListLegalHolds",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.LegalHoldService/PlaceLegalHold",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.LegalHoldService/ReleaseLegalHold",
        Class::Operator,
    ),
];
