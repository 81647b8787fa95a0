//! Cuts a stream of bytes into lines, wherever the network cut it.

/// A line longer than this is given out in pieces, so that memory stays bounded.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What has come and does not end in a line break yet.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = vec![];
        let mut pieces = bytes.split(|b| *b == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.rest.extend_from_slice(piece);
            if pieces.peek().is_some() || self.rest.len() > LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.rest);
                lines.push(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned());
            }
        }
        lines
    }

    /// What is left when the stream has ended.
    pub fn end(self) -> Option<String> {
        (!self.rest.is_empty()).then(|| String::from_utf8_lossy(&self.rest).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_do_not_matter() {
        let text = "grün\r\nzwei\n\ndrei".as_bytes();
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut all = lines.push(&text[..cut]);
            all.extend(lines.push(&text[cut..]));
            assert_eq!(all, ["grün", "zwei", ""]);
            assert_eq!(lines.end().as_deref(), Some("drei"));
        }
    }
}
