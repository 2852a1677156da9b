//! A service behind a handler of your own, as JSON over HTTP, with axum.
//! `cargo run --release -p offramp-serve --example axum_handler`, then
//! `curl --json '{"text": "How high is Mont Blanc?"}' localhost:8080/classify`
#![expect(clippy::print_stdout, reason = "an example for people")]

use std::error::Error;
use std::sync::Arc;

use axum::extract::{Json, State};
use axum::http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use axum::routing::{get, post};
use axum::{Router, serve};
use offramp::{Engine, EngineOptions, Exits, Model, Shape};
use offramp_serve::{
    Exiting, Failure, Handle, Infer, InferOptions, Input, Served, Service, ServiceOptions,
};
use offramp_tune::profile::ShapeProfile;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What handlers share.
struct App {
    handle: Handle,
    labels: Vec<String>,
}

type Refused = (StatusCode, HeaderMap, String);

/// A client that goes away has its request cancelled: axum drops this future.
async fn classify(
    State(app): State<Arc<App>>,
    Json(asked): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let Some(text) = asked["text"].as_str() else {
        return Err((StatusCode::BAD_REQUEST, HeaderMap::new(), "no text".to_owned()));
    };
    let in_us = |ms: u64| u32::try_from(ms.saturating_mul(1000)).unwrap_or(u32::MAX);
    let deadline_us = asked["deadline_ms"].as_u64().map(in_us);
    let options = InferOptions { deadline_us, ..InferOptions::default() };
    let infer = Infer { input: Input::Text(text, None), options };
    let answer = app.handle.infer(&infer).await.map_err(refused)?.last;
    let label = app.labels.get(answer.label as usize);
    Ok(Json(json!({ "label": label, "score": answer.score, "exit": answer.exit.to_string() })))
}

/// A failure as HTTP says it, with the time to come back.
fn refused(failure: Failure) -> Refused {
    let status = StatusCode::from_u16(failure.status.http());
    let mut headers = HeaderMap::new();
    if failure.retry_after_ms > 0 {
        headers.insert(RETRY_AFTER, failure.retry_after_ms.div_ceil(1000).into());
    }
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, failure.message)
}

fn router(app: App) -> Router {
    let metrics = |State(app): State<Arc<App>>| async move { app.handle.metrics() };
    Router::new()
        .route("/classify", post(classify))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(app))
}

/// The shipped model, warmed up, and the names of its classes.
fn start() -> Result<(Service, Vec<String>), Box<dyn Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
    let model = Model::open(dir)?;
    let labels = model.spec().labels().to_vec();
    let mut engine = Engine::new(&model, &EngineOptions::default())?;
    let exits = Exits::from_file(engine.plan(), model.thresholds().ok_or("no thresholds")?)?;
    let mut measure = |rows| ShapeProfile::measure(&mut engine, Shape { rows, tokens: 16 }, 3);
    let shapes = vec![measure(1)?, measure(32)?];
    let served = Served { model, engine, exiting: Exiting::Fixed(exits), shapes };
    Ok((Service::start(served, &ServiceOptions::default())?, labels))
}

async fn run(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let (service, labels) = start()?;
    let app = router(App { handle: service.handle(), labels });
    serve(listener, app).with_graceful_shutdown(shutdown).await?;
    service.drain().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on {}", listener.local_addr()?);
    run(listener, std::future::pending()).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: std::net::SocketAddr, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "POST /classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("it answers");
        reply
    }

    #[tokio::test]
    async fn it_runs() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let running =
            async { run(listener, async { drop(told.await) }).await.expect("it ends well") };
        let asking = async {
            let reply = ask(address, r#"{"text": "How high is Mont Blanc?"}"#).await;
            assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"NUM\""), "{reply}");
            let reply = ask(address, r#"{"text": ""}"#).await;
            assert!(reply.starts_with("HTTP/1.1 "), "{reply}");
            tell.send(()).expect("it runs");
        };
        tokio::join!(running, asking);
    }
}
