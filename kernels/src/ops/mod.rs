//! One folder an op: the contract in `mod.rs`, one file per machine beside it.

mod attention;
mod compact;
mod conv2d;
mod embed;
mod linear;
mod narrow;
mod norm;
mod patches;
mod pixels;
mod pool2d;
mod ramp;

pub use attention::Attention;
pub(crate) use attention::AttentionScratch;
pub use compact::Compact;
pub use conv2d::Conv2d;
pub(crate) use conv2d::ConvScratch;
pub use embed::Embed;
#[cfg(feature = "cuda")]
pub(crate) use linear::linear_workspace;
pub use linear::{Activation, Linear};
pub use narrow::Narrow;
#[cfg(feature = "cuda")]
pub(crate) use norm::MOMENT_COLUMNS;
pub use norm::{LinearNorms, MomentsId, Norm, NormWeights, Normalised, Standardised};
pub use patches::Patches;
pub use pixels::{Fold, Pixels};
pub use pool2d::{Pool2d, Window};
pub(crate) use ramp::RampScratch;
pub use ramp::{Decision, Hidden, Pool, Ramp, RampHead};
