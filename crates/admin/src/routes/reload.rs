//! `/v1/reload`

use super::Admin;
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Reads the configuration again. A file with problems changes nothing (422, with the problems).
pub(super) async fn reload(State(admin): State<Arc<Admin>>) -> Result<Response, ApiError> {
    let (answer, reloaded) = oneshot::channel();
    let asked = admin.reload.try_send(answer);
    asked.map_err(|_| ApiError::Temporary("another reload is under way, or the server stops".to_owned()))?;
    let reloaded = reloaded.await;
    match reloaded.map_err(|_| ApiError::Temporary("the server stops".to_owned()))? {
        Ok(reloaded) => Ok(Json(reloaded).into_response()),
        Err(refused) => {
            let status = if refused.problems.is_empty() {
                StatusCode::CONFLICT
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let body = json!({ "error": refused.text, "problems": refused.problems });
            Ok((status, Json(body)).into_response())
        }
    }
}
