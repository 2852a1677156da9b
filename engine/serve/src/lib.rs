//! Knows requests: how they wait, run and are answered, in this process or over TCP; never tensors
//! or kernels.
//!
//! A [`Service`] owns an engine on a thread of its own; any thread or task asks it through a
//! [`Handle`]. [`serve`] puts it behind a TCP listener, [`serve_health`] says how it is; both run
//! on the caller's runtime. A [`Server`] is all of it with a runtime of its own.
//!
//! ```no_run
//! use offramp::{Engine, EngineOptions, Exits, Model, Shape};
//! use offramp_serve::{Exiting, Infer, InferOptions, Input, Served, Service, ServiceOptions};
//! use offramp_tune::profile::ShapeProfile;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::open("my-model")?;
//! let mut engine = Engine::new(&model, &EngineOptions::default())?;
//! let exits = Exits::from_file(engine.plan(), model.thresholds().expect("it has some"))?;
//! let mut measure = |rows| ShapeProfile::measure(&mut engine, Shape { rows, tokens: 16 }, 3);
//! let shapes = vec![measure(1)?, measure(32)?];
//! let served = Served { model, engine, exiting: Exiting::Fixed(exits), shapes };
//! let service = Service::start(served, &ServiceOptions::default())?;
//!
//! let input = Input::Text("How many feet are in a mile?", None);
//! let options = InferOptions { deadline_us: Some(20_000), ..InferOptions::default() };
//! let answers = service.handle().infer(&Infer { input, options }).await?;
//! println!("{} {:.2}", answers.last.label, answers.last.score);
//! service.drain().await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod error;
mod metrics;
mod service;
mod tcp;

pub use error::{Error, Result};
pub use offramp_protocol::{
    Exit, Failure, Infer, InferOptions, Input, Phase, Status, Tokens, Verdict,
};
pub use service::{Answers, Exiting, Handle, Life, Pending, Served, Service, ServiceOptions};
pub use tcp::{
    Ask, ConnectionOptions, Order, Ports, ServeOptions, Server, SessionLimits, serve, serve_health,
};
