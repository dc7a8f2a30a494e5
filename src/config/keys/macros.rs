//! The macros in which the sections are written. A row declares a key, the field that it is read into, the
//! kind of its value, the rule for its absence and its meaning.

/// The rule for the absence of a key: its type, or its value.
macro_rules! absence {
    (Needed, $kind:ty) => { super::Needed };
    (Omittable, $kind:ty) => { super::Omittable };
    ($default:ident, $kind:ty) => {
        super::DefaultTo<<$kind as crate::config::kinds::ValueKind>::Value>
    };
    (Needed($help:expr)) => { super::Needed($help) };
    (Omittable($words:expr)) => { super::Omittable($words) };
    ($default:ident($($value:tt)*)) => { super::DefaultTo::$default($($value)*) };
}

/// Declares the keys of a section. A row is: STATIC key = kind, the kind's bounds, absence, meaning.
macro_rules! keys {
    ($section:ident $rows:ident; $($id:ident $name:ident = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        $(pub(in crate::config) static $id: super::Key<$kind, absence!($absence, $kind)> = super::Key {
            section: super::Section::$section,
            name: stringify!($name),
            kind: $made,
            absent: absence!($absence($($absent)*)),
            meaning: $meaning,
        };)*

        /// The keys of this section, in the order of the reference.
        pub(super) fn $rows() -> Vec<super::Row> {
            vec![$($id.row(),)*]
        }
    };
}

/// Declares the keys of a section and its struct. A row with a type is also a field of the struct, which
/// is read from that key. The fields in braces are read by the functions that they name.
macro_rules! section {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident {
        $($(#[$doc:meta])* $own:ident: $type:ty = $read:path,)*
    } $section:ident $rows:ident; $($id:ident $field:ident $(: $value:ty)? = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        keys! {
            $section $rows;
            $($id $field = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        $visible struct $name {
            $($(#[doc = $meaning] $visible $field: $value,)?)*
            $($(#[$doc])* $visible $own: $type,)*
        }

        impl $name {
            /// Reads the table. After a fault, which is reported, a field has its default or is empty.
            pub(in crate::config) fn read(reader: &crate::config::reader::SectionReader<'_>) -> Self {
                Self {
                    $($($field: super::Field::<$value>::read(&$id, reader),)?)*
                    $($own: $read(reader),)*
                }
            }
        }
    };
}

/// Declares a section like `section!`, and the public struct that holds its values after its files are read.
/// That struct has the fields of the rows, and the fields in braces, which the load step gives.
macro_rules! loaded {
    ($(#[$attribute:meta])* pub struct $name:ident from $keys:ident {
        $($(#[$doc:meta])* $own:ident: $type:ty,)*
    } $section:ident $rows:ident; $($id:ident $field:ident $(: $value:ty)? = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        section! {
            /// The keys of a table, before its files are read.
            pub(in crate::config) struct $keys {} $section $rows;
            $($id $field $(: $value)? = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        pub struct $name {
            $($(#[$doc])* pub $own: $type,)*
            $($(#[doc = $meaning] pub $field: $value,)?)*
        }

        impl $keys {
            /// Adds the values that are not read from one key.
            #[allow(clippy::too_many_arguments, reason = "one for each such field")]
            pub(in crate::config) fn with(self, $($own: $type),*) -> $name {
                $name { $($own,)* $($($field: std::convert::identity::<$value>(self.$field),)?)* }
            }
        }
    };
}

/// Declares the keys and the struct of a section in which every key has a default, and which another
/// table can override.
macro_rules! layered {
    ($(#[$attribute:meta])* $section:ident $rows:ident; $($id:ident $field:ident: $value:ty = $kind:ty,
        $made:expr, $absence:ident($($absent:tt)*), $meaning:literal;)*) => {
        keys! {
            $section $rows;
            $($id $field = $kind, $made, $absence($($absent)*), $meaning;)*
        }

        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $section {
            $(#[doc = $meaning] pub $field: $value,)*
        }

        impl $section {
            /// The values that apply if neither the file nor its profile sets them.
            pub(in crate::config) fn defaults() -> Self {
                Self { $($field: $id.absent.value(),)* }
            }

            /// The values of a table; keys that the table does not set keep their value in `base`.
            pub(in crate::config) fn over(
                base: &Self,
                reader: &crate::config::reader::SectionReader<'_>,
            ) -> Self {
                Self { $($field: reader.value_or(&$id, base.$field),)* }
            }

            /// Each key with its value as TOML.
            #[cfg(test)]
            pub(in crate::config) fn shown(&self) -> Vec<(String, String)> {
                use crate::config::kinds::ValueKind;

                vec![$(($id.name.to_owned(), ValueKind::show(&$id.kind, &self.$field)),)*]
            }
        }
    };
}
