//! The macro that defines a probe's struct from its options and its description.

/// Defines a probe's struct from its options: `name: Type = default, in range;` with docs.
///
/// A probe describes itself in a `#[probe(family, source, subjects, input, example)]` line: the fields of
/// [`About`](crate::probe::About).
///
/// It gets `Default`, [`Params`](crate::params::Params), a `new()`, and a setter for each option, for use as
/// `Occlusion::new().patch(16).stride(4)`.
#[macro_export]
macro_rules! params {
    ($(#[doc = $doc:literal])*
    $(#[probe(
        family = $family:ident, source = $source:expr, subjects = $subjects:expr, input = $input:ident, example = $example:expr
    )])?
    $vis:vis struct $name:ident as $script:literal {
        $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty = $default:expr $(, in $range:expr)?;)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        $vis struct $name { $($(#[doc = $fdoc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }

        impl $name {
            /// The default settings.
            pub fn new() -> Self {
                Self::default()
            }
            $($(#[doc = $fdoc])*
            pub fn $field(mut self, $field: impl Into<$ty>) -> Self {
                self.$field = $field.into();
                self
            })*
        }

        $(impl $crate::probe::Described for $name {
            fn about(&self) -> $crate::probe::About {
                $crate::probe::About {
                    family: $crate::probe::Family::$family,
                    source: $source,
                    subjects: $subjects,
                    input: $crate::probe::Takes::$input,
                    example: $example,
                }
            }
        })?

        impl $crate::params::Params for $name {
            fn name(&self) -> &'static str {
                $script
            }
            fn doc(&self) -> &'static str {
                concat!($($doc, "\n"),*)
            }
            #[allow(unused_mut, unused_assignments)]
            fn specs(&self) -> Vec<$crate::params::Spec> {
                vec![$({
                    let mut range = None;
                    $(range = Some(stringify!($range));)?
                    $crate::params::Spec {
                        name: stringify!($field),
                        doc: concat!($($fdoc, "\n"),*),
                        form: <$ty as $crate::params::Param>::form(),
                        default: $crate::params::Param::write(&self.$field),
                        range,
                        positional: <$ty as $crate::params::Param>::POSITIONAL,
                        file: <$ty as $crate::params::Param>::FILE,
                    }
                }),*]
            }
            #[allow(unused_variables)]
            fn set(&mut self, name: &str, value: &$crate::params::Value) -> $crate::Result<()> {
                match name {
                    $(stringify!($field) => {
                        let read = <$ty as $crate::params::Param>::read(value)
                            .map_err(|e| e.context(concat!("option `", stringify!($field), "` of `", $script, "`")))?;
                        $(if !($range).contains(&read) {
                            return Err($crate::Error::value(format!(
                                "option `{}` of `{}` must lie in {}, got {}",
                                stringify!($field), $script, stringify!($range), value.json()
                            )));
                        })?
                        self.$field = read;
                        Ok(())
                    })*
                    other => Err($crate::params::unknown_option($script, other, &[$(stringify!($field)),*])),
                }
            }
        }
    };
}
