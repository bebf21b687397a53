//! The doorbell: a search that stays open and rings when anything changes (MS-ADTS section 3.1.1.3.4.1.9).
//!
//! Several rings are one, and what changed is asked for by other means: a ring is never an answer.

use super::super::FeedError;
use super::super::read::told;
use ldap::{Client, Control, Filter, LdapError, ResultCode, Scope, SearchRequest};
use model::Unavailable;
use std::sync::Arc;
use tokio::sync::Notify;

/// Rings `bell` for every change below `suffix` until the search ends, which is an error.
pub(super) async fn listen(client: Client, suffix: String, bell: Arc<Notify>) -> Result<(), FeedError> {
    // The only filter that the control takes.
    let any = Filter::Present("objectClass".to_owned());
    let request = SearchRequest::new(suffix, Scope::Subtree, any)
        .attributes(["objectGUID"])
        .control(Control::notification())
        .control(Control::show_deleted())
        .endless();
    let failed = |error: LdapError| told(&error, None);
    let mut stream = client.search(request).await.map_err(failed)?;
    loop {
        match stream.next().await {
            Ok(Some(_)) => bell.notify_one(),
            Ok(None) => {
                let message = "the server ended the search that was to stay open".to_owned();
                return Err(FeedError::Unavailable(Unavailable(message)));
            }
            Err(error) if is_refused(&error) => {
                // Without a bell there is the clock.
                tracing::warn!(%error, "the server does not announce changes; they are asked for each polling_interval");
                return std::future::pending().await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Whether the server lives and does not want to: it does not know the control, or too many listen already.
fn is_refused(error: &LdapError) -> bool {
    matches!(
        error.code(),
        Some(
            ResultCode::UnavailableCriticalExtension
                | ResultCode::UnwillingToPerform
                | ResultCode::AdminLimitExceeded
                | ResultCode::InsufficientAccessRights
        )
    )
}
