//! Without the release fence.

lock!();
without_fence!(Release);
