//! What the fuzz targets share: a second, obvious implementation of the frame rules.

pub mod model;
