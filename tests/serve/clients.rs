//! Many tasks over few connections.

use std::sync::Arc;
use std::time::Duration;

use offramp_client::{BalancedClient, ClientError, Connection, RetryOptions, SharedConnection};
use offramp_protocol::{Infer, InferOptions, Input, Kind, Phase, Reply};
use offramp_serve::{ServeOptions, ServiceOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::{questions, start, start_slow, text};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One question after the other, over a blocking connection.
fn labels(address: &str, questions: &[String]) -> Vec<u32> {
    let mut connection = Connection::open(address, None).unwrap();
    let mut label = |question: &String| {
        connection.send(&text(question)).unwrap();
        match connection.receive().unwrap().1 {
            Reply::Verdict(verdict) => verdict.label,
            other => panic!("{other:?}"),
        }
    };
    questions.iter().map(&mut label).collect()
}

#[test]
fn each_of_many_tasks_gets_its_own_answer() {
    let server = start(&ServeOptions::default());
    let address = server.address().to_string();
    let questions: Vec<String> = questions().into_iter().take(400).collect();
    let expected = labels(&address, &questions);
    let found = runtime().block_on(async {
        let connection = Arc::new(SharedConnection::open(&address).await.unwrap());
        let mut tasks = JoinSet::new();
        for (index, question) in questions.into_iter().enumerate() {
            let connection = connection.clone();
            tasks.spawn(async move {
                let infer = text(&question);
                let asked = connection.classify(&infer);
                if index % 7 == 0 {
                    // Given up: nobody else is harmed.
                    let _ = tokio::time::timeout(Duration::from_micros(200), asked).await;
                    return (index, None);
                }
                (index, Some(asked.await.unwrap().label))
            });
        }
        tasks.join_all().await
    });
    assert_eq!(found.len(), 400);
    for (index, label) in found {
        assert!(label.is_none_or(|label| label == expected[index]), "{index}");
    }
    server.drain().unwrap();
}

#[test]
fn both_phases_reach_a_task() {
    let server = start(&ServeOptions::default());
    let address = server.address().to_string();
    runtime().block_on(async {
        let connection = SharedConnection::open(&address).await.unwrap();
        let options = InferOptions { two_phase: true, ..InferOptions::default() };
        let infer = Infer { input: Input::Text("Where is Oslo?", None), options };
        let mut replies = connection.ask(&infer).await.unwrap();
        assert_eq!(replies.next().await.unwrap().phase, Phase::Early);
        assert_eq!(replies.next().await.unwrap().phase, Phase::Confirm);
        assert_eq!(connection.classify(&infer).await.unwrap().phase, Phase::Confirm);
        assert!(matches!(connection.order(Kind::Stats).await.unwrap(), Reply::Json(_)));
    });
    server.drain().unwrap();
}

#[test]
fn the_end_of_a_server_fails_all_who_wait_and_nobody_hangs() {
    let server = start_slow(&ServeOptions::default());
    let address = server.address().to_string();
    runtime().block_on(async {
        let connection = Arc::new(SharedConnection::open(&address).await.unwrap());
        let mut tasks = JoinSet::new();
        for _ in 0..1000 {
            let connection = connection.clone();
            tasks.spawn(async move { connection.classify(&text("Who wrote Hamlet?")).await });
        }
        tokio::task::spawn_blocking(move || server.drain().unwrap()).await.unwrap();
        let ends = tasks.join_all().await;
        let is_told = |end: &Result<_, ClientError>| match end {
            Ok(_) | Err(ClientError::Io { .. }) => true,
            Err(ClientError::Failure(failure)) => failure.status.name() == "shutting_down",
            Err(ClientError::Protocol { .. }) | Err(_) => false,
        };
        assert!(ends.iter().all(is_told));
        assert!(ends.iter().any(Result::is_err) && connection.is_broken());
        let later = connection.classify(&text("Who wrote Hamlet?")).await;
        assert!(matches!(later, Err(ClientError::Io { .. })), "{later:?}");
    });
}

#[test]
fn a_balanced_client_outlives_a_server_and_waits_out_overload() {
    let tiny = ServeOptions {
        service: ServiceOptions { queue_max: 4, ..ServiceOptions::default() },
        ..ServeOptions::default()
    };
    let mut servers: Vec<_> = (0..3).map(|_| start(&tiny)).collect();
    let addresses: Vec<String> = servers.iter().map(|s| s.address().to_string()).collect();
    let doomed = servers.remove(0);
    let options = RetryOptions { tries: 100, ..RetryOptions::default() };
    let client = Arc::new(BalancedClient::new(addresses, options));
    runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..60 {
            let client = client.clone();
            tasks.spawn(async move {
                for _ in 0..20 {
                    let input = Input::Text("Where is Oslo?", None);
                    let verdict = client.classify(&input, InferOptions::default()).await.unwrap();
                    assert_eq!(verdict.label, 4);
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::task::spawn_blocking(move || doomed.drain().unwrap()).await.unwrap();
        tasks.join_all().await;
    });
    let refused = servers.iter().map(|s| crate::support::ended(&s.stats(), "overloaded"));
    assert!(refused.sum::<usize>() > 0, "the queue was long enough: nothing was tried again");
    for server in servers {
        server.drain().unwrap();
    }
}
