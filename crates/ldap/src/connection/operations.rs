//! The operations of a connection that have one answer, and the searches made of several.

use super::search::PagedSearch;
use super::{Client, LdapError, Outcome, SearchRequest};
use crate::control::Control;
use crate::extended::{self, PasswordModify};
use crate::message::{
    Add, Authentication, Bind, Compare, Extended, ExtendedResponse, Message, Modify, ModifyDn, Request,
    Response,
};
use crate::{Entry, LdapResult, ResultCode};
use model::Secret;

impl Client {
    /// Binds with a password (RFC 4513 section 5.1.3). It waits for the operations under way, and new ones wait
    /// for it. Unless it succeeds, the connection is anonymous afterwards.
    ///
    /// An empty password is refused here: the server would say success and know nobody.
    pub async fn bind_simple(
        &self,
        dn: &str,
        password: &Secret,
        controls: &[Control],
    ) -> Result<Outcome, LdapError> {
        // RFC 4513 section 5.1.2.
        if password.is_empty() {
            return Err(LdapError::EmptyPassword);
        }
        self.bind(dn, Authentication::Simple(password.clone()), controls)
            .await
    }

    /// Binds as whom the connection itself proves: the TLS client certificate, or the user of the process at
    /// a Unix socket (RFC 4513 section 5.2.3).
    pub async fn bind_external(&self) -> Result<Outcome, LdapError> {
        // RFC 4422 appendix A: an empty response asks for the identity that the connection proves.
        let credentials = Some(Secret::new(Vec::new()));
        let mechanism = "EXTERNAL".to_owned();
        self.bind(
            "",
            Authentication::Sasl {
                mechanism,
                credentials,
            },
            &[],
        )
        .await
    }

    async fn bind(
        &self,
        dn: &str,
        authentication: Authentication,
        controls: &[Control],
    ) -> Result<Outcome, LdapError> {
        let request = Request::Bind(Bind {
            name: dn.to_owned(),
            authentication,
        });
        let message = self.call_bind(&request, controls).await?;
        match message.operation {
            Response::Bind(response) => success(response.result, message.controls),
            _ => Err(self.unexpected()),
        }
    }

    /// Adds an entry.
    pub async fn add(&self, add: Add, controls: &[Control]) -> Result<Outcome, LdapError> {
        self.change(Request::Add(add), controls).await
    }

    /// Changes an entry.
    pub async fn modify(&self, modify: Modify, controls: &[Control]) -> Result<Outcome, LdapError> {
        self.change(Request::Modify(modify), controls).await
    }

    /// Deletes an entry.
    pub async fn delete(&self, dn: impl Into<String>, controls: &[Control]) -> Result<Outcome, LdapError> {
        self.change(Request::Delete(dn.into()), controls).await
    }

    /// Renames or moves an entry.
    pub async fn modify_dn(&self, modify_dn: ModifyDn, controls: &[Control]) -> Result<Outcome, LdapError> {
        self.change(Request::ModifyDn(modify_dn), controls).await
    }

    async fn change(&self, request: Request, controls: &[Control]) -> Result<Outcome, LdapError> {
        let Message {
            operation, controls, ..
        } = self.call(&request, controls).await?;
        match (request, operation) {
            (Request::Add(_), Response::Add(result))
            | (Request::Modify(_), Response::Modify(result))
            | (Request::Delete(_), Response::Delete(result))
            | (Request::ModifyDn(_), Response::ModifyDn(result)) => success(result, controls),
            _ => Err(self.unexpected()),
        }
    }

    /// Whether an attribute of an entry has a value.
    pub async fn compare(&self, compare: Compare, controls: &[Control]) -> Result<bool, LdapError> {
        let message = self.call(&Request::Compare(compare), controls).await?;
        match message.operation {
            Response::Compare(result) => match result.code {
                ResultCode::CompareTrue => Ok(true),
                ResultCode::CompareFalse => Ok(false),
                _ => Err(refusal(result, message.controls)),
            },
            _ => Err(self.unexpected()),
        }
    }

    /// An extended operation. Not for StartTLS, which happens when connecting.
    pub async fn extended(
        &self,
        request: Extended,
        controls: &[Control],
    ) -> Result<ExtendedResponse, LdapError> {
        let message = self.call(&Request::Extended(request), controls).await?;
        match message.operation {
            Response::Extended(response) if response.result.is_success() => Ok(response),
            Response::Extended(response) => Err(refusal(response.result, message.controls)),
            _ => Err(self.unexpected()),
        }
    }

    /// Who the connection is bound as: `dn:...`, `u:...`, or empty for anonymous (RFC 4532).
    pub async fn whoami(&self) -> Result<String, LdapError> {
        let response = self.extended(extended::who_am_i(), &[]).await?;
        extended::who_am_i_response(&response).map_err(|error| LdapError::Protocol(error.to_string()))
    }

    /// Changes a password through the server, which hashes it (RFC 3062). Gives the new password when the server
    /// made it.
    pub async fn password_modify(&self, change: &PasswordModify) -> Result<Option<Secret>, LdapError> {
        let response = self.extended(change.to_request(), &[]).await?;
        PasswordModify::generated(&response).map_err(|error| LdapError::Protocol(error.to_string()))
    }

    /// All entries of a search. More than `max` of them are an error, and the search is abandoned: a lookup that
    /// must be unique asks for 2. References are passed over.
    pub async fn search_all(&self, request: SearchRequest, max: usize) -> Result<Vec<Entry>, LdapError> {
        let mut stream = self.search(request).await?;
        let mut entries = Vec::new();
        while let Some((entry, _)) = stream.next_entry().await? {
            if entries.len() >= max {
                return Err(LdapError::TooMany(max));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// A search that fetches `page_size` entries at a time, so that a server's size limit does not end it
    /// (RFC 2696). A server that cannot answers `unavailableCriticalExtension`.
    pub async fn search_paged(
        &self,
        request: SearchRequest,
        page_size: u32,
    ) -> Result<PagedSearch, LdapError> {
        PagedSearch::start(self.clone(), request, page_size).await
    }

    fn unexpected(&self) -> LdapError {
        self.protocol_error("an answer of another kind than the request")
    }
}

fn success(result: LdapResult, controls: Vec<Control>) -> Result<Outcome, LdapError> {
    if result.is_success() {
        Ok(Outcome { result, controls })
    } else {
        Err(refusal(result, controls))
    }
}

fn refusal(result: LdapResult, controls: Vec<Control>) -> LdapError {
    LdapError::Result(Box::new(Outcome { result, controls }))
}
