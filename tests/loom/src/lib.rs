//! Every order in which threads may meet: tests of the lock-free parts.
