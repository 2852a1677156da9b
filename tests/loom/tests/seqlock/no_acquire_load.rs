//! With a version that is loaded without order.

lock!();
weakened!(Acquire);
