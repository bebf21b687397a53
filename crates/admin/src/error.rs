//! What the API says when it does not do what it was asked: `{"error": "..."}` and a status that means something.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::StoreError;

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is not one that could ever be carried out (400).
    #[error("{0}")]
    BadRequest(String),
    /// The caller may not do this (403).
    #[error("{0}")]
    Forbidden(String),
    /// What was named does not exist (404).
    #[error("{0}")]
    NotFound(String),
    /// It exists, and this cannot be done with it (405).
    #[error("there is no such operation on it; see the methods in the Allow field")]
    NotAllowed,
    /// It contradicts what is there (409).
    #[error("{0}")]
    Conflict(String),
    /// Something that is needed is away; the same request may succeed later (503).
    #[error("{0}")]
    Temporary(String),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Temporary(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({ "error": self.to_string() }))).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::NotFound(text),
            StoreError::AlreadyExists(_) | StoreError::Conflict | StoreError::InUse(_) => {
                Self::Conflict(text)
            }
            StoreError::Invalid(_) | StoreError::Limit(_) => Self::BadRequest(text),
            other if other.is_temporary() => Self::Temporary(text),
            _ => Self::Conflict(text),
        }
    }
}
