//! What the fuzz targets share: a second, obvious implementation of the frame rules and of the border between requests,
//! and the other end of a TLS connection.

pub mod messages;
pub mod model;
pub mod tls;
