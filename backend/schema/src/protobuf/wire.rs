//! Protobuf's wire format: tags, varints and length-delimited bytes.
use crate::Error;

/// One field as it stands on the wire.
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Reads the fields of one message in their order.
pub struct Reader<'a>(pub &'a [u8]);

fn truncated() -> Error {
    Error::Malformed("the protobuf message is cut off or damaged".into())
}

impl<'a> Reader<'a> {
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(truncated)?;
            self.0 = rest;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(truncated())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Error> {
        let count = usize::try_from(count).map_err(|_| truncated())?;
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next field's tag and value; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| truncated())?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return Err(truncated()),
        };
        Ok(Some((key >> 3, wire)))
    }
}

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn number(out: &mut Vec<u8>, tag: u16, value: i64) {
    varint(out, u64::from(tag) << 3);
    varint(out, value as u64);
}

pub fn double(out: &mut Vec<u8>, tag: u16, value: f64) {
    varint(out, u64::from(tag) << 3 | 1);
    out.extend(value.to_bits().to_le_bytes());
}

pub fn bytes(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    varint(out, u64::from(tag) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
