//! Pages of the log.

use tenantry_core::TenantId;
use tenantry_core::page::{Page, PageTokens};

use crate::app::App;
use crate::domain::usage_log::{LogLine, Query};
use crate::error::Error;
use crate::store::usage_list;

impl App {
    /// One page, the newest line first.
    pub(crate) async fn usage_logs(
        &self,
        tenant: TenantId,
        query: &Query,
        tokens: &PageTokens<'_>,
    ) -> Result<Page<LogLine>, Error> {
        let mut tx = self.store.read(tenant).await?;
        let (items, next) = usage_list::page(tx.conn(), tenant, query).await?;
        Ok(Page {
            items,
            next_page_token: next.map(|place| tokens.write(&place)).unwrap_or_default(),
        })
    }
}
