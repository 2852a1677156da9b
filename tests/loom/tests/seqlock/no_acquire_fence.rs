//! Without the acquire fence.

lock!();
without_fence!(Acquire);
