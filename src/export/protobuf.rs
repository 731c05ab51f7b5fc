//! As much of protobuf's wire format as an ONNX file needs: integers, and all that has a length. A file of these two kinds of field
//! is less code than descriptions of ONNX's messages for a crate would be.

/// A message under way: its fields, as bytes, in the order they were added.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The whole message.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An integer, as a varint: seven bits a byte, the lowest first, the top bit set in all but the last.
    pub(super) fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    /// Bytes, or text, behind their length.
    pub(super) fn bytes(mut self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A message within this one.
    pub(super) fn message(self, field: u32, message: Message) -> Self {
        self.bytes(field, message.0)
    }

    /// `each` for every one of `items`: a repeated field.
    pub(super) fn all<T>(self, items: impl IntoIterator<Item = T>, each: impl Fn(Self, T) -> Self) -> Self {
        items.into_iter().fold(self, each)
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_specification() {
        // The examples of protobuf's encoding guide: 150 in field 1, "testing" in field 2, the former as field 3.
        let message = Message::default().int(1, 150);
        assert_eq!(message.0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, "testing").0, b"\x12\x07testing");
        assert_eq!(Message::default().message(3, message).0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        // A negative integer takes ten bytes.
        assert_eq!(Message::default().int(1, -2).0, [0x08, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(Message::default().all([1, 2], |message, x| message.int(1, x)).0, [8, 1, 8, 2]);
    }
}
