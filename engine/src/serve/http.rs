//! `/healthz`, `/readyz`, `/metrics` for whoever watches.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use super::state::{Life, State};

pub(super) fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// The process is of use, or should be restarted.
async fn healthz(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    match state.life() {
        Life::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "device failed\n"),
        Life::Ready | Life::Draining => (StatusCode::OK, "ok\n"),
    }
}

/// Work would be taken.
async fn readyz(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    match state.life() {
        Life::Ready => (StatusCode::OK, "ready\n"),
        Life::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Life::Failed => (StatusCode::SERVICE_UNAVAILABLE, "device failed\n"),
    }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], state.exposition())
}
