//! `/healthz`, `/readyz`, `/metrics` for whoever watches. A connection has one request and little
//! time, and there are few of them, so that nobody who stalls here takes what clients need.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::accept::{Guest, Port};
use crate::service::{Handle, Life, Part, State};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// What a connection has from its first to its last byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers `/healthz`, `/readyz` and `/metrics` of a service on the caller's listener and runtime,
/// until it is dropped.
pub async fn serve_health(listener: TcpListener, handle: Handle) {
    let state = handle.state;
    let mut port = Port::new(listener, CONNECTIONS_MAX, state.metrics.losses.accepts("http"));
    let _part = Part::vital(&state, "health port");
    loop {
        let Guest { stream, place, .. } = port.accept().await;
        let asked = state.clone();
        let answering = service_fn(move |request: Request<Incoming>| {
            let reply = reply(request.method(), request.uri().path(), &asked);
            async { Ok::<_, Infallible>(reply) }
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answering);
        let part = Part::of_many(&state, "health request");
        tokio::spawn(async move {
            let _part = part;
            // Whoever asks nonsense, or too slowly, gets no answer.
            let _ = timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

fn reply(method: &Method, path: &str, state: &State) -> Response<Full<Bytes>> {
    let (status, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => health(state),
        (&Method::GET | &Method::HEAD, "/readyz") => readiness(state),
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, state.exposition().into()),
        (_, "/healthz" | "/readyz" | "/metrics") => {
            (StatusCode::METHOD_NOT_ALLOWED, "GET is answered\n".into())
        }
        _ => (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let text = "text/plain; version=0.0.4".parse().expect("invariant: a header in ASCII");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Whether the process is of use, or should be restarted.
fn health(state: &State) -> (StatusCode, Bytes) {
    match state.life() {
        Life::Failed => (StatusCode::INTERNAL_SERVER_ERROR, why(state)),
        Life::Ready | Life::Draining => (StatusCode::OK, "ok\n".into()),
    }
}

/// Whether work would be taken.
fn readiness(state: &State) -> (StatusCode, Bytes) {
    match state.life() {
        Life::Ready => (StatusCode::OK, "ready\n".into()),
        Life::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()),
        Life::Failed => (StatusCode::SERVICE_UNAVAILABLE, why(state)),
    }
}

/// What ended it.
fn why(state: &State) -> Bytes {
    let why = state.told_lost().unwrap_or_else(|| "device failed".to_owned());
    (why + "\n").into()
}
