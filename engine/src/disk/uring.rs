//! The io_uring writer.
