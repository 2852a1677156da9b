//! Another engine for the model that is served, while requests go on.

use std::path::Path;
use std::thread::Builder;

use crossbeam_channel::bounded;
use offramp::Identity;
use offramp_tune::adapt::Adapted;
use tokio::sync::oneshot;

use super::Served;
use super::handle::Handle;
use super::inbox::Reload;
use super::reading::metadata;
use super::state::{Life, State};
use super::watch::Part;
use crate::error::{Error, Result};

impl Handle {
    /// Whether the folder `dir` holds the model that is served, ramps and thresholds aside: only
    /// then it can be loaded again. Reads the files, which takes time: not for async code. They are
    /// not mapped, so they may be written meanwhile.
    ///
    /// # Errors
    /// It holds another one, or cannot be read: says which files have changed.
    pub fn expect_same_model(&self, dir: &Path) -> Result<()> {
        let found = Identity::read(dir).map_err(offramp::Error::from)?;
        self.state.reads.expect_identity(dir, &found)
    }

    /// Version for the exits of a [`reload`](Self::reload): another one for each call, above all
    /// that were served.
    pub fn next_version(&self) -> u64 {
        self.state.versions.next()
    }

    /// From the next pass on, another engine for the same model, compiled with the same limits:
    /// other ramps and thresholds, whose version is [`next_version`](Self::next_version). Passes
    /// are predicted as before; `shapes` are not used. Ready once the former engine has ended; says
    /// what its adapting did. Files are read, and engines end, on a thread of its own. Dropped once
    /// it was polled, the reload happens all the same.
    ///
    /// # Errors
    /// It is another model, which reads, computes or says something else; its parts are not each
    /// other's, or a group is left in its engine; another reload with a later version was taken
    /// before; or the service is ending. Then the former engine stays.
    pub async fn reload(&self, served: Served) -> Result<Option<Adapted>> {
        let state = self.state.clone();
        let (sender, replaced) = oneshot::channel();
        let work = move || {
            let _part = Part::of_many(&state, "reload");
            // Nobody may wait for it.
            let _ = sender.send(replace(served, &state));
        };
        let thread = Builder::new().name("offramp-reload".to_owned()).spawn(work);
        thread.map_err(|source| Error::Start { what: "no thread to reload", source })?;
        replaced.await.unwrap_or(Err(Error::PartLost { part: "reload" }))
    }
}

/// Hands the executor another engine, and ends the former one.
fn replace(served: Served, state: &State) -> Result<Option<Adapted>> {
    if state.life() != Life::Ready {
        return Err(Error::Ending);
    }
    served.check()?;
    let Served { model, engine, exiting, .. } = served;
    state.reads.expect_same(&model, &engine)?;
    let version = exiting.exits().version;
    let metadata = metadata(&model, &engine);
    let (sender, former) = bounded(1);
    let reload = Box::new(Reload { engine, exiting, metadata, former: sender });
    state.versions.follow(version, || state.inbox.reload(reload))?;
    let (engine, exiting) = former.recv().map_err(|_| Error::Ending)?;
    drop(engine);
    Ok(exiting.finish().unwrap_or_else(|error| {
        tracing::error!(%error, "the former exits ended badly");
        None
    }))
}
