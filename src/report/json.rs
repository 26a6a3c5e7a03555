//! JSON documents.

use std::path::Path;

use serde::Serialize;

use crate::data::write_atomically;
use crate::error::{Error, Result};

/// Writes a document, indented, to a file (whole or not at all) or to standard output for the path "-".
///
/// # Errors
/// A number that is NaN or infinite (JSON has no word for it, and `null` would hide it); a file that cannot be written.
pub fn write_json<T: Serialize>(path: &Path, document: &T) -> Result<()> {
    let text = json_text(path, document)?;
    if path == Path::new("-") {
        use std::io::Write;
        return match std::io::stdout().write_all(text.as_bytes()) {
            // The reader went away (a pipe into `head`): nothing left to do.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|source| Error::Io { path: path.into(), source }),
        };
    }
    write_atomically(path, text.as_bytes())
}

/// A document as indented text that ends in a newline; errors name `path`.
///
/// # Errors
/// A number that is NaN or infinite.
pub fn json_text<T: Serialize>(path: &Path, document: &T) -> Result<String> {
    let failed = |problem: String| Error::Format { path: path.into(), problem };
    let value = serde_json::to_value(NumbersOnly(document)).map_err(|e| failed(e.to_string()))?;
    let mut text = serde_json::to_string_pretty(&value).map_err(|e| failed(e.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Serializes as the inner value, but refuses numbers that JSON would turn into `null`.
struct NumbersOnly<'a, T>(&'a T);

impl<T: Serialize> Serialize for NumbersOnly<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        finite::check(self.0).map_err(serde::ser::Error::custom)?;
        self.0.serialize(serializer)
    }
}

/// A serializer that produces nothing and fails on the first number that is not finite, naming its key.
mod finite {
    use serde::ser::{self, Serialize};

    pub(super) fn check<T: Serialize>(value: &T) -> Result<(), Problem> {
        let mut checker = Checker { path: Vec::new() };
        value.serialize(&mut checker)
    }

    #[derive(Debug)]
    pub(super) struct Problem(String);

    impl std::fmt::Display for Problem {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for Problem {}

    impl ser::Error for Problem {
        fn custom<T: std::fmt::Display>(message: T) -> Self {
            Problem(message.to_string())
        }
    }

    /// The path to the value at hand: names, each behind a dot, and indices in brackets.
    struct Checker {
        path: Vec<String>,
    }

    /// The entries of a list.
    pub(super) struct List<'a> {
        checker: &'a mut Checker,
        next: usize,
    }

    /// The entries of a map, and of structs that are flattened into another.
    pub(super) struct Map<'a> {
        checker: &'a mut Checker,
        key: String,
    }

    type Checked = Result<(), Problem>;

    impl Checker {
        fn within<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Checked {
            self.path.push(key);
            value.serialize(&mut *self)?;
            self.path.pop();
            Ok(())
        }

        fn list(&mut self) -> List<'_> {
            List { checker: self, next: 0 }
        }
    }

    macro_rules! accept {
        ($($name:ident($type:ty)),*) => { $(fn $name(self, _: $type) -> Checked { Ok(()) })* };
    }

    impl<'a> ser::Serializer for &'a mut Checker {
        type Ok = ();
        type Error = Problem;
        type SerializeSeq = List<'a>;
        type SerializeTuple = List<'a>;
        type SerializeTupleStruct = List<'a>;
        type SerializeTupleVariant = List<'a>;
        type SerializeMap = Map<'a>;
        type SerializeStruct = Self;
        type SerializeStructVariant = Self;

        accept!(serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64));
        accept!(serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64));
        accept!(serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]), serialize_unit_struct(&'static str));

        fn serialize_f32(self, value: f32) -> Checked {
            self.serialize_f64(f64::from(value))
        }

        fn serialize_f64(self, value: f64) -> Checked {
            if value.is_finite() {
                return Ok(());
            }
            let path = self.path.concat();
            let path = path.strip_prefix('.').unwrap_or(&path);
            Err(Problem(format!("{path} is {value}; expected a finite number")))
        }

        fn serialize_none(self) -> Checked {
            Ok(())
        }

        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
            value.serialize(self)
        }

        fn serialize_unit(self) -> Checked {
            Ok(())
        }

        fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
            Ok(())
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Checked {
            value.serialize(self)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            variant: &'static str,
            value: &T,
        ) -> Checked {
            self.within(format!(".{variant}"), value)
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Problem> {
            Ok(self.list())
        }

        fn serialize_tuple(self, _: usize) -> Result<List<'a>, Problem> {
            Ok(self.list())
        }

        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, Problem> {
            Ok(self.list())
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<List<'a>, Problem> {
            Ok(self.list())
        }

        fn serialize_map(self, _: Option<usize>) -> Result<Map<'a>, Problem> {
            Ok(Map { checker: self, key: String::new() })
        }

        fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Problem> {
            Ok(self)
        }

        fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Problem> {
            Ok(self)
        }
    }

    macro_rules! sequence {
        ($($trait:ident $method:ident),*) => { $(
            impl ser::$trait for List<'_> {
                type Ok = ();
                type Error = Problem;
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
                    let index = self.next;
                    self.next += 1;
                    self.checker.within(format!("[{index}]"), value)
                }
                fn end(self) -> Checked {
                    Ok(())
                }
            }
        )* };
    }

    macro_rules! structure {
        ($($trait:ident),*) => { $(
            impl ser::$trait for &mut Checker {
                type Ok = ();
                type Error = Problem;
                fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Checked {
                    self.within(format!(".{key}"), value)
                }
                fn end(self) -> Checked {
                    Ok(())
                }
            }
        )* };
    }

    sequence!(SerializeSeq serialize_element, SerializeTuple serialize_element);
    sequence!(SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);
    structure!(SerializeStruct, SerializeStructVariant);

    impl ser::SerializeMap for Map<'_> {
        type Ok = ();
        type Error = Problem;
        fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Checked {
            let key = serde_json::to_value(key).map_err(ser::Error::custom)?;
            self.key = key.as_str().map_or_else(|| key.to_string(), Into::into);
            Ok(())
        }
        fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
            self.checker.within(format!(".{}", self.key), value)
        }
        fn end(self) -> Checked {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Inner {
        value: Option<f64>,
    }

    #[derive(Serialize)]
    struct Outer {
        rows: Vec<Inner>,
        #[serde(flatten)]
        more: Inner,
        named: std::collections::BTreeMap<u8, (f64, f64)>,
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_with_their_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        let document = |row, more, named| Outer {
            rows: vec![Inner { value: None }, Inner { value: Some(row) }],
            more: Inner { value: Some(more) },
            named: [(3, (0.0, named))].into(),
        };
        for (document, part) in [
            (document(f64::NAN, 0.0, 0.0), ": rows[1].value is NaN; expected a finite number"),
            (document(0.0, f64::INFINITY, 0.0), ": value is inf; expected a finite number"),
            (document(0.0, 0.0, f64::NEG_INFINITY), ": named.3[1] is -inf; expected a finite number"),
        ] {
            let text = write_json(&path, &document).unwrap_err().to_string();
            assert!(text.ends_with(part), "{text}");
            assert!(!path.exists());
        }
        write_json(&path, &document(0.1, 0.0, 0.0)).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"value\": 0.1"));
    }
}
