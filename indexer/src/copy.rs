//! Rows in Postgres' binary COPY format (PostgreSQL documentation, COPY, "Binary Format"), the fastest way in.

/// Rows being written.
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        Self { bytes: b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec() }
    }

    /// Begins a row; as many fields must follow.
    pub(crate) fn row(&mut self, fields: i16) -> &mut Self {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    /// `smallint`.
    pub(crate) fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(&[&value.to_be_bytes()])
    }

    /// `integer`.
    pub(crate) fn integer(&mut self, value: i32) -> &mut Self {
        self.field(&[&value.to_be_bytes()])
    }

    /// `bigint`.
    pub(crate) fn bigint(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.field(&[&value.to_be_bytes()]),
            None => self.null(),
        }
    }

    /// `bytea`, or `text` as UTF-8.
    pub(crate) fn bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.field(&[value]),
            None => self.null(),
        }
    }

    /// `jsonb`, whose wire format is a version byte and the text.
    pub(crate) fn jsonb(&mut self, text: &[u8]) -> &mut Self {
        self.field(&[&[1], text])
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }

    fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
        self
    }

    fn field(&mut self, parts: &[&[u8]]) -> &mut Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // A log, and so a field, is bounded by a block's gas, far below 2 GiB.
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self
    }
}
