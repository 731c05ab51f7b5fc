//! What a Parquet file says of itself, in Thrift's compact form, held to be what it must before the parquet crate reads it. That passes over
//! fields that it does not know, and a list of flags among them, which it takes to have no bytes, it passes over flag by flag: seven bytes
//! of a file keep it busy for two thousand million rounds. No such list is in a field that it knows; and since it takes those fields to
//! be of their types whatever they say, they are held to say so.
//!
//! Forms: the Thrift compact protocol, and `parquet.thrift` of parquet-format.

/// What stands in a field.
#[derive(Clone, Copy)]
enum Form {
    Flag,
    I8,
    I16,
    I32,
    I64,
    Double,
    Bytes,
    List(&'static Form),
    /// The numbers and forms of its fields; a union is a structure of one.
    Struct(&'static [(i16, Form)]),
}
use Form::{Bytes, Double, Flag, I8, I16, I32, I64, List, Struct};

const EMPTY: Form = Struct(&[]);
const DECIMAL: Form = Struct(&[(1, I32), (2, I32)]);
const UNIT: Form = Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
const TIME: Form = Struct(&[(1, Flag), (2, UNIT)]);
const INTEGER: Form = Struct(&[(1, I8), (2, Flag)]);
const LOGICAL_TYPE: Form = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, DECIMAL),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, INTEGER),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, I8)])),
    (17, Struct(&[(1, Bytes)])),
    (18, Struct(&[(1, Bytes), (2, I32)])),
    (19, EMPTY),
]);
const SCHEMA_ELEMENT: Form = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Bytes),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const STATISTICS: Form =
    Struct(&[(1, Bytes), (2, Bytes), (3, I64), (4, I64), (5, Bytes), (6, Bytes), (7, Flag), (8, Flag), (9, I64)]);
const KEY_VALUES: Form = List(&Struct(&[(1, Bytes), (2, Bytes)]));
const SIZES: Form = Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))]);
const BOX: Form =
    Struct(&[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)]);
const COLUMN_METADATA: Form = Struct(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Bytes)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, KEY_VALUES),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, SIZES),
    (17, Struct(&[(1, BOX), (2, List(&I32))])),
]);
const COLUMN_KEY: Form = Struct(&[(1, EMPTY), (2, Struct(&[(1, List(&Bytes)), (2, Bytes)]))]);
const COLUMN_CHUNK: Form = Struct(&[
    (1, Bytes),
    (2, I64),
    (3, COLUMN_METADATA),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (8, COLUMN_KEY),
    (9, Bytes),
]);
const ROW_GROUP: Form = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Flag), (3, Flag)]))),
    (5, I64),
    (6, I64),
    (7, I16),
]);
const CIPHER: Form = Struct(&[(1, Bytes), (2, Bytes), (3, Flag)]);
const FILE_METADATA: &[(i16, Form)] = &[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, KEY_VALUES),
    (6, Bytes),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY)]))),
    (8, Struct(&[(1, CIPHER), (2, CIPHER)])),
    (9, Bytes),
];
const PAGE_HEADER: &[(i16, Form)] = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (6, EMPTY),
    (7, Struct(&[(1, I32), (2, I32), (3, Flag)])),
    (8, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, I32), (6, I32), (7, Flag), (8, STATISTICS)])),
];

/// Structures within each other at the most.
const DEPTH: usize = 64;
/// Bytes of a number at the most.
const VARINT_BYTES: usize = 10;
const I32_BYTES: usize = 5;
/// A field whose number is the next one.
const NEXT_FIELD: u8 = 0x10;
/// How types are written: a flag in a structure is its type.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8_TYPE: u8 = 3;
const I16_TYPE: u8 = 4;
const I32_TYPE: u8 = 5;
const I64_TYPE: u8 = 6;
const DOUBLE_TYPE: u8 = 7;
const BYTES_TYPE: u8 = 8;
const LIST_TYPE: u8 = 9;
const SET_TYPE: u8 = 10;
const MAP_TYPE: u8 = 11;
const STRUCT_TYPE: u8 = 12;
const UUID_TYPE: u8 = 13;

/// Why bytes are not what they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// They end too early.
    Short,
    /// They say what cannot be.
    Impossible(&'static str),
}

/// Holds the bytes of a file's metadata, all of them, to be such.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check_metadata(bytes: &[u8]) -> Result<(), Fault> {
    Walk(bytes).structure(FILE_METADATA, DEPTH)
}

/// Holds bytes to begin with the header of a page.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check_page_header(bytes: &[u8]) -> Result<(), Fault> {
    Walk(bytes).structure(PAGE_HEADER, DEPTH)
}

/// What a page says that it takes unpacked and packed, where its header begins with its kind and these, one field after the other.
pub(super) fn page_sizes(header: &[u8]) -> Option<[u64; 2]> {
    let mut walk = Walk(header);
    let mut number = || {
        let head = walk.byte().ok()?;
        let before = walk.0.len();
        let number = walk.varint().ok()?;
        let sound = head == NEXT_FIELD | I32_TYPE && before - walk.0.len() <= I32_BYTES;
        // Zigzag: the last bit is the sign.
        sound.then_some(if number & 1 == 0 { number >> 1 } else { 0 })
    };
    number()?;
    Some([number()?, number()?])
}

/// The bytes that are still to be looked at.
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl Walk<'_> {
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let bytes = usize::try_from(bytes).map_err(|_| Fault::Short)?;
        self.0 = self.0.get(bytes..).ok_or(Fault::Short)?;
        Ok(())
    }

    /// Four bytes, the lowest first.
    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*first))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for k in 0..VARINT_BYTES {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * k);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Fault::Impossible("a number without end"))
    }

    fn structure(&mut self, fields: &[(i16, Form)], depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Impossible("structures too deep within each other"))?;
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == STOP {
                return Ok(());
            }
            let further = head >> 4;
            let next = match further {
                // Zigzag: the last bit is the sign.
                0 => i16::try_from(self.varint()?).ok().map(|id| (id >> 1) ^ -(id & 1)),
                further => id.checked_add(further.into()),
            };
            id = next.ok_or(Fault::Impossible("a field without a number"))?;
            match fields.iter().find(|(known, _)| *known == id) {
                // Readers of small structures count on the short form.
                Some(_) if further == 0 && id < 16 => {
                    return Err(Fault::Impossible("a field's number in the long form"));
                }
                Some((_, form)) => self.known(*form, kind, depth)?,
                None => self.unknown(kind, depth)?,
            }
        }
    }

    /// A value of the type `kind`, which is to be of that form.
    fn known(&mut self, form: Form, kind: u8, depth: usize) -> Result<(), Fault> {
        let expected = match form {
            Flag => return if matches!(kind, TRUE | FALSE) { Ok(()) } else { Err(OTHER_TYPE) },
            I8 => I8_TYPE,
            I16 => I16_TYPE,
            I32 => I32_TYPE,
            I64 => I64_TYPE,
            Double => DOUBLE_TYPE,
            Bytes => BYTES_TYPE,
            List(_) => LIST_TYPE,
            Struct(_) => STRUCT_TYPE,
        };
        if kind != expected {
            return Err(OTHER_TYPE);
        }
        match form {
            Struct(fields) => self.structure(fields, depth),
            List(element) => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.known(*element, kind, depth))
            }
            _ => self.unknown(kind, depth),
        }
    }

    /// How many elements a list has, and their type.
    fn list(&mut self) -> Result<(u64, u8), Fault> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            few => few.into(),
        };
        Ok((count, head & 0x0f))
    }

    /// A value of the type `kind`, in a field that may be any.
    fn unknown(&mut self, kind: u8, depth: usize) -> Result<(), Fault> {
        match kind {
            TRUE | FALSE => Ok(()),
            I8_TYPE => self.skip(1),
            I16_TYPE | I32_TYPE | I64_TYPE => self.varint().map(|_| ()),
            DOUBLE_TYPE => self.skip(8),
            BYTES_TYPE => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST_TYPE | SET_TYPE => {
                let (count, kind) = self.list()?;
                self.elements(count, &[kind], depth)
            }
            MAP_TYPE => match self.varint()? {
                0 => Ok(()),
                count => {
                    let kinds = self.byte()?;
                    self.elements(count, &[kinds >> 4, kinds & 0x0f], depth)
                }
            },
            STRUCT_TYPE => self.structure(&[], depth),
            UUID_TYPE => self.skip(16),
            _ => Err(Fault::Impossible("a type that there is not")),
        }
    }

    /// So many values of each of `kinds`.
    fn elements(&mut self, count: u64, kinds: &[u8], depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Impossible("lists too deep within each other"))?;
        if count > 0 && kinds.iter().any(|kind| matches!(*kind, TRUE | FALSE)) {
            return Err(Fault::Impossible("a list of flags"));
        }
        (0..count).try_for_each(|_| kinds.iter().try_for_each(|kind| self.unknown(*kind, depth)))
    }
}

const OTHER_TYPE: Fault = Fault::Impossible("a field of another type than it has");

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata of version 2, then these bytes.
    fn checked(bytes: &[u8]) -> Result<(), Fault> {
        check_metadata(&[&[0x15, 4], bytes].concat())
    }

    #[test]
    fn lists_of_flags_and_fields_of_other_types_are_refused() {
        assert_eq!(checked(&[0]), Ok(()));
        // Field 6, text; field 14, unknown: 3 numbers, then a structure with a flag.
        assert_eq!(checked(&[0x58, 2, b'h', b'i', 0x89, 0x35, 1, 2, 3, 0x1c, 0x11, 0, 0]), Ok(()));
        // Empty lists and maps are what some writers leave.
        assert_eq!(checked(&[0xd9, 0x01, 0x1b, 0, 0x19, 0, 0]), Ok(()));
        let flags = Err(Fault::Impossible("a list of flags"));
        assert_eq!(checked(&[0xd9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0]), flags);
        assert_eq!(checked(&[0xda, 0x12, 1, 0]), flags);
        assert_eq!(checked(&[0xdb, 1, 0x11, 0]), flags);
        // One within another list, and within a structure of one that is known.
        assert_eq!(checked(&[0xd9, 0x19, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07, 0]), flags);
        assert_eq!(checked(&[0x19, 0x1c, 0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0]), flags);
        // Text that a reader would take for a number of rows; the same as an element of a list; a known field in the long form.
        assert_eq!(checked(&[0x28, 1, 0, 0]), Err(OTHER_TYPE));
        assert_eq!(checked(&[0x19, 0x15, 0, 0]), Err(OTHER_TYPE));
        assert_eq!(checked(&[0x06, 6, 0, 0]), Err(Fault::Impossible("a field's number in the long form")));
        assert!(matches!(
            checked(&[0xd5].into_iter().chain([0xff; 20]).collect::<Vec<u8>>()),
            Err(Fault::Impossible(_))
        ));
        assert!(matches!(checked(&[0xdd, 0x1e]), Err(Fault::Short)));
        assert!(matches!(checked(&[0xdf, 0]), Err(Fault::Impossible(_))));
        // More elements than bytes, and lists in lists.
        assert_eq!(checked(&[0xd9, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0]), Err(Fault::Short));
        let deep: Vec<u8> = [0xd9].into_iter().chain([0x19; 200]).collect();
        assert_eq!(checked(&deep), Err(Fault::Impossible("lists too deep within each other")));
    }
}
