//! Instants between the database and the rest: Postgres counts microseconds, so do these.

use jiff::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};

/// A `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PgTime(pub Timestamp);

/// 2000-01-01T00:00:00Z in microseconds since 1970, where Postgres's binary format begins to count.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl From<Timestamp> for PgTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<PgTime> for Timestamp {
    fn from(at: PgTime) -> Self {
        at.0
    }
}

impl sqlx::Type<Postgres> for PgTime {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl sqlx::postgres::PgHasArrayType for PgTime {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}

impl sqlx::Encode<'_, Postgres> for PgTime {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.as_microsecond() - POSTGRES_EPOCH_MICROS;
        <i64 as sqlx::Encode<Postgres>>::encode_by_ref(&micros, buf)
    }
}

impl sqlx::Decode<'_, Postgres> for PgTime {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(match value.format() {
            PgValueFormat::Binary => {
                let micros = <i64 as sqlx::Decode<Postgres>>::decode(value)?;
                Timestamp::from_microsecond(micros.saturating_add(POSTGRES_EPOCH_MICROS))?
            }
            PgValueFormat::Text => value.as_str()?.replacen(' ', "T", 1).parse()?,
        }))
    }
}
