//! With a version that is stored without order.

lock!();
weakened!(Release);
