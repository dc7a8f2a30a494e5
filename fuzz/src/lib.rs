//! What the fuzz targets share: a second, obvious implementation of the frame rules, and the other
//! end of a TLS connection.

pub mod model;
pub mod tls;
