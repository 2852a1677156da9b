//! More than it can do: everything has an end, and both sides count the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offramp::{Exits, Limits};
use offramp_client::Connection;
use offramp_protocol::{Infer, InferOptions, Input, Kind, Reply, Status};
use offramp_serve::{ServeOptions, Server, Service, ServiceOptions, SessionLimits};

use crate::support::{any_port, count, count_of, ended, questions, served, start_slow, text};

const CONNECTIONS: usize = 4;
const REQUESTS: usize = 3000;

#[test]
fn a_flood_is_answered_or_refused_and_both_sides_count_alike() {
    let session = SessionLimits { in_flight_max: REQUESTS, ..SessionLimits::default() };
    let options = ServeOptions {
        service: ServiceOptions { queue_max: 64, ..ServiceOptions::default() },
        session,
        ..ServeOptions::default()
    };
    let server = start_slow(&options);
    let address = server.address().to_string();
    let questions = questions();
    let flood = |connection: Connection| {
        let (mut sender, mut receiver) = connection.split();
        std::thread::scope(|scope| {
            let counted = scope.spawn(move || count(&mut receiver, REQUESTS));
            for question in questions.iter().cycle().take(REQUESTS) {
                sender.send(&text(question)).unwrap();
            }
            counted.join().unwrap()
        })
    };
    let counts: Vec<_> = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..CONNECTIONS)
            .map(|_| Connection::open(&address, Some(Duration::from_secs(60))).unwrap())
            .map(|connection| scope.spawn(|| flood(connection)))
            .collect();
        floods.into_iter().map(|flood| flood.join().unwrap()).collect()
    });
    let total = |end| counts.iter().filter_map(|counts| counts.get(end)).sum::<usize>();
    let stats = server.stats();
    assert_eq!(total("ok") + total("overloaded"), CONNECTIONS * REQUESTS, "{counts:?}");
    assert_eq!(total("ok"), ended(&stats, "ok"), "{stats}");
    assert_eq!(total("overloaded"), ended(&stats, "overloaded"), "{stats}");
    // As many as may wait are let in at the very least.
    assert!(total("ok") >= options.service.queue_max && total("overloaded") > 500, "{counts:?}");
    server.drain().unwrap();
}

#[test]
fn a_refusal_says_when_to_try_again() {
    let session = SessionLimits { in_flight_max: 500, ..SessionLimits::default() };
    let server = start_slow(&ServeOptions {
        service: ServiceOptions { queue_max: 1, ..ServiceOptions::default() },
        session,
        ..ServeOptions::default()
    });
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    for _ in 0..500 {
        connection.send(&text("Who wrote Hamlet?")).unwrap();
    }
    let replies: Vec<Reply> = (0..500).map(|_| connection.receive().unwrap().1).collect();
    let refused = replies.iter().filter_map(|reply| match reply {
        Reply::Failure(failure) if failure.status == Status::Overloaded => Some(failure),
        _ => None,
    });
    assert!(refused.clone().count() > 0 && refused.clone().all(|f| f.retry_after_ms > 0));
    server.drain().unwrap();
}

#[test]
fn beyond_those_in_flight_a_deadline_is_refused_and_patience_waits() {
    let session = SessionLimits { in_flight_max: 4, ..SessionLimits::default() };
    let server = start_slow(&ServeOptions { session, ..ServeOptions::default() });
    let address = server.address().to_string();
    let all = |deadline_us| {
        let (mut sender, mut receiver) = Connection::open(&address, None).unwrap().split();
        let options = InferOptions { deadline_us, ..InferOptions::default() };
        let input = Input::Text("Who wrote Hamlet?", None);
        for _ in 0..400 {
            sender.send(&Infer { input: input.clone(), options }).unwrap();
        }
        sender.finish();
        count(&mut receiver, usize::MAX)
    };
    assert_eq!(all(None).get("ok"), Some(&400));
    let hurried = all(Some(60_000_000));
    assert!(hurried["overloaded"] > 100 && hurried["ok"] >= 4, "{hurried:?}");
    assert_eq!(hurried["overloaded"] + hurried["ok"], 400);
    server.drain().unwrap();
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused_not_run() {
    let server = start_slow(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let within = |deadline_us| InferOptions { deadline_us, ..InferOptions::default() };
    let input = Input::Text("Who wrote Hamlet?", None);
    for (deadline_us, is_met) in [(Some(1), false), (Some(5_000_000), true), (None, true)] {
        let options = within(deadline_us);
        connection.send(&Infer { input: input.clone(), options }).unwrap();
        match connection.receive().unwrap().1 {
            Reply::Verdict(_) => assert!(is_met),
            Reply::Failure(failure) => {
                assert_eq!((failure.status, is_met), (Status::DeadlineExpired, false));
            }
            other => panic!("{other:?}"),
        }
    }
    server.drain().unwrap();
}

#[test]
fn a_profile_that_is_far_too_slow_does_not_refuse_for_ever() {
    let options = ServeOptions::default();
    let mut served = served(Limits::default(), |_, engine| Exits::off(engine.plan()));
    let times = served.shapes.iter_mut().flat_map(|shape| &mut shape.segment_us);
    times.for_each(|us| *us *= 1e5);
    let server = Server::start(served, any_port(), None, &options).unwrap();
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let options = InferOptions { deadline_us: Some(2_000_000), ..InferOptions::default() };
    let infer = Infer { input: Input::Text("Who wrote Hamlet?", None), options };
    let mut refused = 0;
    while {
        connection.send(&infer).unwrap();
        !matches!(connection.receive().unwrap().1, Reply::Verdict(_))
    } {
        refused += 1;
        assert!(refused < 3000, "it was never tried");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(refused > 0, "the profile was not slow enough");
    server.drain().unwrap();
}

#[test]
fn a_service_that_was_idle_believes_its_predictions() {
    let mut served = served(Limits::default(), |_, engine| Exits::off(engine.plan()));
    for shape in &mut served.shapes {
        let each_us = 50_000.0 / shape.segment_us.len() as f64;
        shape.segment_us.fill(each_us);
    }
    let service = Service::start(served, &ServiceOptions::default()).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let options = InferOptions { deadline_us: Some(35_000), ..InferOptions::default() };
    let infer = Infer { input: Input::Text("Who wrote Hamlet?", None), options };
    for _ in 0..4 {
        let refused = service.handle().infer_blocking(&infer).unwrap_err();
        assert_eq!(refused.status, Status::DeadlineExpired);
    }
}

/// Behind passes of about a second, one after the other.
#[test]
fn a_deadline_behind_a_long_pass_is_refused_while_that_runs() {
    const LONG: usize = 64;
    let limits = Limits { rows_max: LONG, tokens_max: LONG * 128 };
    let served = served(limits, |_, engine| Exits::off(engine.plan()));
    let server = Server::start(served, any_port(), None, &ServeOptions::default()).unwrap();
    let address = server.address().to_string();
    let words = "when where who ".repeat(40);
    let is_over = AtomicBool::new(false);
    let passes = || count_of(&server.stats(), "/passes");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut long = Connection::open(&address, None).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..LONG {
                    long.send(&text(&words)).unwrap();
                }
                for _ in 0..LONG {
                    long.receive().unwrap();
                }
            }
        });
        let mut hurried = Connection::open(&address, None).unwrap();
        let options = InferOptions { deadline_us: Some(100_000), ..InferOptions::default() };
        let infer = Infer { input: Input::Text("Who wrote Hamlet?", None), options };
        // No pass has begun since it was asked: the one that runs goes on.
        let is_refused_at_once = (0..2000).any(|_| {
            let before = passes();
            hurried.send(&infer).unwrap();
            let Reply::Failure(failure) = hurried.receive().unwrap().1 else { return false };
            failure.status == Status::DeadlineExpired && passes() == before && before > 0
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(is_refused_at_once);
    });
    server.drain().unwrap();
}

#[test]
fn stats_tell_who_waits_now_and_how_passes_were_filled() {
    let session = SessionLimits { in_flight_max: REQUESTS, ..SessionLimits::default() };
    let options = ServeOptions {
        service: ServiceOptions { queue_max: REQUESTS, ..ServiceOptions::default() },
        session,
        ..ServeOptions::default()
    };
    let server = start_slow(&options);
    let address = server.address().to_string();
    let (mut sender, mut receiver) = Connection::open(&address, None).unwrap().split();
    let mut watch = Connection::open(&address, None).unwrap();
    let mut stats = || match watch.ask(Kind::Stats).unwrap() {
        Reply::Json(text) => serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        other => panic!("{other:?}"),
    };
    std::thread::scope(|scope| {
        let counted = scope.spawn(move || count(&mut receiver, REQUESTS));
        let mut has_waited = false;
        for request in 0..REQUESTS {
            sender.send(&text("Who wrote Hamlet?")).unwrap();
            has_waited |= request % 100 == 0 && stats()["waiting"].as_u64().unwrap() > 0;
        }
        assert!(has_waited);
        assert_eq!(counted.join().unwrap().get("ok"), Some(&REQUESTS));
    });
    let done = stats();
    assert_eq!((&done["waiting"], &done["rows"]), (&0.into(), &REQUESTS.into()), "{done}");
    let by_rows = done["pass_rows"].as_object().unwrap();
    let passes: u64 = by_rows.values().map(|passes| passes.as_u64().unwrap()).sum();
    assert_eq!(Some(passes), done["passes"].as_u64(), "{done}");
    assert!(by_rows["32"].as_u64().unwrap() > 0 && by_rows["more"] == 0, "{done}");
    server.drain().unwrap();
}
