//! A service whose device fails: everything has an end, and says why.

use std::time::{Duration, Instant};

use offramp::{Engine, EngineOptions, Exits, Model, Shape};
use offramp_protocol::Status;
use offramp_serve::{
    ConnectionOptions, Error, Exiting, Life, Served, Service, ServiceOptions, serve,
};
use offramp_tests::faulty::{Fault, Trigger, faulty_cpu};
use offramp_tests::shipped_dir;
use offramp_tune::profile::ShapeProfile;
use tokio::net::TcpListener;

use crate::service::on_each_runtime;
use crate::support::{any_port, count_of, ended, text};

/// A service that works, and what ends that.
fn service(fault: Fault, options: &ServiceOptions) -> (Service, Trigger) {
    let trigger = Trigger::default();
    let device = faulty_cpu(fault, trigger.clone()).unwrap();
    let model = Model::open(shipped_dir()).unwrap();
    let mut engine = Engine::with_device(device, &model, &EngineOptions::default()).unwrap();
    let exits = Exits::off(engine.plan());
    let shape = ShapeProfile::measure(&mut engine, Shape { rows: 1, tokens: 8 }, 3).unwrap();
    let served = Served { model, engine, exiting: Exiting::Fixed(exits), shapes: vec![shape] };
    (Service::start(served, options).unwrap(), trigger)
}

/// On a runtime of its own.
fn drain(service: Service) -> Error {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(service.drain()).unwrap_err()
}

#[test]
fn a_device_that_is_lost_ends_all_that_waits_and_all_that_comes() {
    let (service, trigger) = service(Fault::Lost, &ServiceOptions::default());
    let handle = service.handle();
    let ask = || handle.infer_blocking(&text("Where is Oslo?"));
    trigger.arm(3);
    assert!(ask().is_ok() && ask().is_ok());
    let pending: Vec<_> = (0..40).map(|_| handle.infer(&text("Where is Oslo?"))).collect();
    for pending in pending {
        assert_eq!(pending.wait().unwrap_err().status, Status::DeviceFailed);
    }
    assert_eq!(ask().unwrap_err().status, Status::DeviceFailed);
    assert_eq!(handle.life(), Life::Failed);
    let stats = handle.stats();
    assert_eq!((ended(&stats, "ok"), ended(&stats, "device_failed")), (2, 41), "{stats}");
    assert_eq!((count_of(&stats, "/requests"), count_of(&stats, "/waiting")), (43, 0));
    let error = drain(service);
    assert!(error.is_lasting() && error.to_string().contains("as the test asked"), "{error}");
}

#[test]
fn a_server_future_of_a_service_that_failed_says_so() {
    on_each_runtime(|| async {
        let (service, trigger) = service(Fault::Lost, &ServiceOptions::default());
        let handle = service.handle();
        trigger.arm(1);
        let listener = TcpListener::bind(any_port()).await.unwrap();
        let shutdown = async {
            let end = handle.infer(&text("Where is Oslo?")).await.unwrap_err();
            assert_eq!(end.status, Status::DeviceFailed);
            handle.left().await;
        };
        let ended = serve(listener, service, &ConnectionOptions::default(), shutdown).await;
        let error = ended.unwrap_err();
        assert!(error.is_lasting() && error.to_string().contains("as the test asked"), "{error}");
    });
}

#[test]
fn an_executor_that_panics_is_told_to_whoever_waits() {
    let (service, trigger) = service(Fault::Panic, &ServiceOptions::default());
    let handle = service.handle();
    trigger.arm(1);
    let end = handle.infer_blocking(&text("Where is Oslo?")).unwrap_err();
    assert_eq!((end.status, end.message.as_str()), (Status::DeviceFailed, "the batch was lost"));
    let error = drain(service);
    assert!(matches!(error, Error::ExecutorLost) && error.is_lasting(), "{error}");
    let told = String::from_utf8(handle.metrics()).unwrap();
    assert!(told.contains("offramp_panics_total{part=\"executor\"} 1"), "{told}");
    let late = handle.infer_blocking(&text("Where is Oslo?")).unwrap_err();
    assert_eq!(late.message, "the executor has panicked");
}

#[test]
fn a_device_that_does_not_come_back_is_left() {
    let options = ServiceOptions { drain_timeout: Duration::ZERO, ..ServiceOptions::default() };
    let (service, trigger) = service(Fault::Hang, &options);
    trigger.arm(1);
    let handle = service.handle();
    let _never = handle.infer(&text("Where is Oslo?"));
    while count_of(&handle.stats(), "/passes") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    assert!(matches!(drain(service), Error::ExecutorLost));
    assert!(began.elapsed() < Duration::from_secs(20));
}
