//! A service without a server, and whatever is dropped where it may not be waited for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use offramp::{AfterExit, Exits, Limits};
use offramp_client::{Client, Connection, RetryOptions, SharedConnection};
use offramp_protocol::{Infer, InferOptions, Input, Kind, Phase, Reply, Status};
use offramp_serve::{
    ConnectionOptions, Handle, Life, ServeOptions, Service, ServiceOptions, serve, serve_health,
};
use offramp_tune::sched::Policy;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{any_port, count_of, ended, questions, served, start, text};

/// The shipped model with the shipped thresholds.
pub(crate) fn service(options: &ServiceOptions) -> Service {
    let served = served(Limits::default(), |model, engine| {
        Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap()
    });
    Service::start(served, options).unwrap()
}

/// The same, every row to the end, few rows a pass.
pub(crate) fn slow(queue_max: usize) -> Service {
    let limits = Limits { rows_max: 2, tokens_max: 256 };
    let options = ServiceOptions { queue_max, ..ServiceOptions::default() };
    Service::start(served(limits, |_, engine| Exits::off(engine.plan())), &options).unwrap()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// On a runtime of one thread, and on one of several.
pub(crate) fn on_each_runtime<F: Future>(work: impl Fn() -> F) {
    runtime().block_on(work());
    let mut several = tokio::runtime::Builder::new_multi_thread();
    several.worker_threads(2).enable_all().build().unwrap().block_on(work());
}

#[test]
fn a_handle_gives_the_answers_that_a_connection_gets() {
    let server = start(&ServeOptions::default());
    let handle = server.handle();
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let options = InferOptions { top: 3, ..InferOptions::default() };
    for question in questions().iter().take(50) {
        let input = Input::Text(question, None);
        let here = handle.infer_blocking(&Infer { input: input.clone(), options }).unwrap().last;
        let there = client.classify(&input, options).unwrap();
        assert_eq!((here.label, here.score, here.exit), (there.label, there.score, there.exit));
        assert_eq!(here.top, there.top);
    }
    assert_eq!(ended(&server.stats(), "ok"), 100);
    server.drain().unwrap();
}

#[test]
fn in_two_phases_the_early_answer_is_there_before_the_last() {
    let service = service(&ServiceOptions { after_exit: AfterExit::Compact, ..Default::default() });
    let handle = service.handle();
    runtime().block_on(async {
        let options = InferOptions { two_phase: true, ..InferOptions::default() };
        let mut pending =
            handle.infer(&Infer { input: Input::Text("Where is Oslo?", None), options });
        let early = pending.early().await.unwrap();
        assert_eq!(early.phase, Phase::Early);
        let answers = pending.await.unwrap();
        assert_eq!(answers.early.as_ref(), Some(&early));
        assert!(matches!(answers.last.phase, Phase::Confirm | Phase::Correct));
        let options = InferOptions { exits_off: true, ..options };
        let mut pending =
            handle.infer(&Infer { input: Input::Text("Where is Oslo?", None), options });
        assert_eq!(pending.early().await, None);
        assert_eq!(pending.await.unwrap().last.phase, Phase::Final);
        service.drain().await.unwrap();
    });
    assert_eq!(handle.life(), Life::Draining);
    let late = handle.infer_blocking(&text("Where is Oslo?")).unwrap_err();
    assert_eq!(late.status, Status::ShuttingDown);
}

#[test]
fn too_many_are_told_when_to_come_back_and_a_deadline_is_a_value() {
    let service = slow(1);
    let handle = service.handle();
    let pending: Vec<_> = (0..200).map(|_| handle.infer(&text("Where is Oslo?"))).collect();
    let ends: Vec<_> = pending.into_iter().map(|pending| pending.wait()).collect();
    let refused = ends.iter().filter_map(|end| end.as_ref().err());
    assert!(refused.clone().all(|f| f.status == Status::Overloaded && f.retry_after_ms > 0));
    assert!(refused.count() > 0 && ends.iter().any(Result::is_ok));
    let options = InferOptions { deadline_us: Some(1), ..InferOptions::default() };
    let end = handle.infer_blocking(&Infer { input: Input::Text("Where is Oslo?", None), options });
    assert_eq!(end.unwrap_err().status, Status::DeadlineExpired);
    let floor = InferOptions { score_floor: 2.0, ..InferOptions::default() };
    let end = handle.infer_blocking(&Infer { input: Input::Text("?", None), options: floor });
    assert_eq!(end.unwrap_err().status, Status::BadInput);
    runtime().block_on(service.drain()).unwrap();
}

#[test]
fn what_is_dropped_is_not_run_and_counted() {
    let service = slow(1000);
    let handle = service.handle();
    let all: Vec<_> = (0..400).map(|_| handle.infer(&text("Where is Oslo?"))).collect();
    drop(all);
    let kept = handle.infer(&text("Where is Oslo?"));
    assert!(kept.wait().is_ok(), "others are served");
    runtime().block_on(service.drain()).unwrap();
    let stats = handle.stats();
    let (cancelled, ok) = (ended(&stats, "cancelled"), ended(&stats, "ok"));
    assert_eq!(cancelled + ok, 401, "{stats}");
    assert!(cancelled > 200, "{stats}");
    assert_eq!(count_of(&stats, "/rows"), ok, "{stats}");
}

#[test]
fn whoever_has_gone_takes_up_no_place_in_the_queue_or_in_a_batch() {
    let limits = Limits { rows_max: 4, tokens_max: 256 };
    let policy = Policy::Window { delay_us: 20_000_000 };
    let options = ServiceOptions { policy, queue_max: 4, ..ServiceOptions::default() };
    let served = served(limits, |_, engine| Exits::off(engine.plan()));
    let service = Service::start(served, &options).unwrap();
    let handle = service.handle();
    (0..3).for_each(|_| drop(handle.infer(&text("Where is Oslo?"))));
    let mut kept = vec![handle.infer(&text("Where is Oslo?"))];
    while count_of(&handle.stats(), "/waiting") != 1 {
        assert_eq!(count_of(&handle.stats(), "/passes"), 0, "it ran for those who have gone");
        std::thread::sleep(Duration::from_millis(1));
    }
    kept.extend((0..3).map(|_| handle.infer(&text("Where is Oslo?"))));
    assert!(kept.into_iter().all(|pending| pending.wait().is_ok()));
    let stats = handle.stats();
    assert_eq!((count_of(&stats, "/passes"), count_of(&stats, "/rows")), (1, 4), "{stats}");
    assert_eq!(ended(&stats, "cancelled"), 3, "{stats}");
    runtime().block_on(service.drain()).unwrap();
}

#[test]
fn whatever_is_dropped_in_async_code_harms_nobody() {
    on_each_runtime(|| async {
        let service = slow(1000);
        let handle = service.handle();
        drop(handle.infer(&text("Where is Oslo?")));
        let pending: Vec<_> = (0..100).map(|_| handle.infer(&text("Where is Oslo?"))).collect();
        drop(service);
        for pending in pending {
            let end = pending.await;
            assert!(end.is_ok() || end.is_err_and(|f| f.status == Status::ShuttingDown));
        }
        drop(handle.clone());
        drop(start(&ServeOptions::default()));
        // A blocking call blocks, and that is all; more often than a task has a budget for.
        let server = start(&ServeOptions::default());
        for _ in 0..300 {
            assert!(server.handle().infer_blocking(&text("Where is Oslo?")).is_ok());
        }
        server.drain().unwrap();
    });
}

async fn listener() -> TcpListener {
    TcpListener::bind(any_port()).await.unwrap()
}

#[test]
fn a_server_future_serves_on_the_callers_runtime_until_it_is_told() {
    on_each_runtime(|| async {
        let service = service(&ServiceOptions::default());
        let listener = listener().await;
        let address = listener.local_addr().unwrap().to_string();
        let (tell, told) = oneshot::channel::<()>();
        let shutdown = async move { drop(told.await) };
        let serving = tokio::spawn(async move {
            serve(listener, service, &ConnectionOptions::default(), shutdown).await
        });
        let connection = SharedConnection::open(&address).await.unwrap();
        // Long enough to be read off the loop, where there is such a place.
        let long = "Where is Oslo? ".repeat(1000);
        for text_of in ["Where is Oslo?", &long] {
            assert!(connection.classify(&text(text_of)).await.is_ok());
        }
        tell.send(()).unwrap();
        assert_eq!(serving.await.unwrap().unwrap(), None);
        assert!(connection.classify(&text("Where is Oslo?")).await.is_err());
    });
}

#[test]
fn a_server_future_that_is_dropped_ends_what_it_served() {
    on_each_runtime(|| async {
        let service = slow(1000);
        let (handle, listener) = (service.handle(), listener().await);
        let address = listener.local_addr().unwrap().to_string();
        let options = ConnectionOptions::default();
        let connection = {
            let serving = serve(listener, service, &options, std::future::pending());
            let asking = async {
                let connection = SharedConnection::open(&address).await.unwrap();
                let _one = connection.ask(&text("Where is Oslo?")).await.unwrap();
                connection.classify(&text("Where is Oslo?")).await.unwrap();
                connection
            };
            tokio::select! {
                _ = serving => unreachable!("nobody told it"),
                connection = asking => connection,
            }
        };
        handle.left().await;
        assert_eq!(handle.life(), Life::Draining);
        let end = tokio::time::timeout(Duration::from_secs(20), async {
            while connection.classify(&text("Where is Oslo?")).await.is_ok() {}
        });
        end.await.expect("its connections end with it");
    });
}

#[test]
fn health_is_told_on_a_listener_of_the_callers() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let health = tokio::spawn(serve_health(listener, handle));
        let ask = move |path: &'static str| {
            tokio::task::spawn_blocking(move || crate::life::ask(address, path))
        };
        assert!(ask("/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
        let metrics = ask("/metrics").await.unwrap();
        assert!(metrics.contains("offramp_requests_total 0"), "{metrics}");
        service.drain().await.unwrap();
        assert!(ask("/readyz").await.unwrap().starts_with("HTTP/1.1 503"));
        health.abort();
    });
}

#[test]
fn a_runtime_may_go_before_what_it_served() {
    let service = service(&ServiceOptions::default());
    let handle: Handle = service.handle();
    let runtime = runtime();
    let listener = runtime.block_on(listener());
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move {
        serve(listener, service, &ConnectionOptions::default(), std::future::pending()).await
    });
    let ready = runtime.block_on(async {
        let ask = move || Connection::open(&address, None).unwrap().ask(Kind::Ready);
        tokio::task::spawn_blocking(ask).await.unwrap()
    });
    assert!(matches!(ready, Ok(Reply::Done)));
    drop(runtime);
    assert_eq!(handle.life(), Life::Draining);
}

#[test]
fn answers_that_were_given_are_not_given_again_nor_called_lost() {
    let service = service(&ServiceOptions::default());
    let handle = service.handle();
    runtime().block_on(async {
        let mut pending = handle.infer(&text("Where is Oslo?"));
        (&mut pending).await.unwrap();
        let is_pending =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut pending).poll(cx).is_pending())).await;
        assert!(is_pending);
        assert_eq!(pending.early().await, None);
        service.drain().await.unwrap();
    });
}
