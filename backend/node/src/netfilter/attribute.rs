//! Netlink's messages and attributes: a length, a number, and a value or more attributes, padded to four bytes.
use super::{HEADER, HEADER_NETFILTER, IPV4, REQUEST};

const NESTED: u16 = 0x8000;
const NUMBER: u16 = 0x3fff;
/// Length and number.
const ATTRIBUTE: usize = 4;

/// A message under construction, or its attributes alone.
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    /// Big-endian in the message.
    resource: u16,
    family: u8,
    body: Vec<u8>,
}

impl Message {
    /// To a subsystem of netfilter, about IPv4.
    pub(crate) fn new(subsystem: u8, kind: u8, flags: u16) -> Message {
        Message { kind: u16::from_be_bytes([subsystem, kind]), flags: REQUEST | flags, resource: 0, family: IPV4, body: Vec::new() }
    }

    /// Where a transaction begins or ends.
    pub(super) fn batch(kind: u16, subsystem: u8) -> Message {
        Message { kind, flags: REQUEST, resource: u16::from(subsystem), family: 0, body: Vec::new() }
    }

    pub(super) fn append(&self, out: &mut Vec<u8>, sequence: u32) {
        let length = HEADER + HEADER_NETFILTER + self.body.len();
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend(self.flags.to_ne_bytes());
        out.extend(sequence.to_ne_bytes());
        out.extend([0; 4]);
        out.extend([self.family, 0]);
        out.extend(self.resource.to_be_bytes());
        // Attributes are padded, so that the next message begins where it must.
        out.extend(&self.body);
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn bytes(&mut self, number: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.body.extend(length.to_ne_bytes());
        self.body.extend(number.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    pub(crate) fn text(&mut self, number: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(number, &bytes);
    }

    pub(crate) fn number(&mut self, number: u16, value: u32) {
        self.bytes(number, &value.to_be_bytes());
    }

    pub(crate) fn long(&mut self, number: u16, value: u64) {
        self.bytes(number, &value.to_be_bytes());
    }

    /// An attribute that holds attributes.
    pub(crate) fn nest(&mut self, number: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.body.len();
        self.body.extend([0; 2]);
        self.body.extend((number | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.body.len() - start).unwrap_or(u16::MAX);
        self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Of the message at the beginning.
pub(super) fn add_flags(message: &mut [u8], flags: u16) {
    let flags = u16::from_ne_bytes([message[6], message[7]]) | flags;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
}

/// The attributes of a message, or of an attribute: numbers and values. Ends where the bytes make no sense.
pub(crate) fn read(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (number, _) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*number) & NUMBER, value))
    })
}

/// The value behind a path of numbers.
pub(crate) fn find<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, wanted| read(bytes).find(|(number, _)| number == wanted).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::new(10, 3, 0);
        message.text(1, "name");
        message.nest(2, |inner| {
            inner.number(1, 7);
            inner.bytes(2, &[1, 2, 3]);
        });
        assert_eq!(find(&message.body, &[1]), Some(b"name\0".as_slice()));
        assert_eq!(find(&message.body, &[2, 1]), Some([0, 0, 0, 7].as_slice()));
        assert_eq!(find(&message.body, &[2, 2]), Some([1, 2, 3].as_slice()));
        assert_eq!(find(&message.body, &[3]), None);
        let mut bytes = Vec::new();
        message.append(&mut bytes, 5);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, bytes.len());
        // Whatever the bytes are, reading ends.
        for cut in 0..bytes.len() {
            assert!(read(&bytes[cut..]).count() <= bytes.len());
        }
        assert_eq!(read(&[0, 0, 1, 0]).count(), 0);
    }
}
