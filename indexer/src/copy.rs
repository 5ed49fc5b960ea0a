//! Rows in Postgres' binary COPY format (PostgreSQL documentation, COPY, "Binary Format"), the fastest way in.

use serde::Serialize;
use sqlx::{PgConnection, postgres::PgCopyIn};

/// Bytes that are sent at once: Postgres takes them in while the next are being written.
const CHUNK: usize = 256 * 1024;

/// A COPY under way.
pub(crate) struct Copy<'c> {
    statement: PgCopyIn<&'c mut PgConnection>,
    rows: CopyRows,
}

impl<'c> Copy<'c> {
    /// Begins `copy .. from stdin with (format binary)`.
    pub(crate) async fn begin(connection: &'c mut PgConnection, statement: &'static str) -> Result<Self, sqlx::Error> {
        Ok(Self { statement: connection.copy_in_raw(statement).await?, rows: CopyRows::new() })
    }

    /// Where the next row is to be written.
    pub(crate) async fn rows(&mut self) -> Result<&mut CopyRows, sqlx::Error> {
        if self.rows.bytes.len() >= CHUNK {
            self.statement.send(self.rows.bytes.as_slice()).await?;
            self.rows.bytes.clear();
        }
        Ok(&mut self.rows)
    }

    /// Sends the rest.
    pub(crate) async fn finish(mut self) -> Result<(), sqlx::Error> {
        self.statement.send(self.rows.finish()).await?;
        self.statement.finish().await.map(drop)
    }
}

/// Rows being written.
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    fn new() -> Self {
        Self { bytes: b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec() }
    }

    /// Begins a row; as many fields must follow.
    pub(crate) fn row(&mut self, fields: i16) -> &mut Self {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    /// `smallint`.
    pub(crate) fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// `integer`.
    pub(crate) fn integer(&mut self, value: Option<i32>) -> &mut Self {
        match value {
            Some(value) => self.field(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    /// `bigint`.
    pub(crate) fn bigint(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.field(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    /// `bytea`, or `text` as UTF-8.
    pub(crate) fn bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.field(value),
            None => self.null(),
        }
    }

    /// `numeric` without fraction, whose digits are those of base 10,000, most significant first (`numeric_send` in PostgreSQL's source).
    pub(crate) fn numeric(&mut self, value: u128) -> &mut Self {
        const BASE: u128 = 10_000;
        let mut digits = std::iter::successors(Some(value), |rest| Some(rest / BASE))
            .take_while(|rest| *rest > 0)
            .map(|rest| (rest % BASE) as i16)
            .collect::<Vec<_>>();
        digits.reverse();
        let count = digits.len() as i16;
        let (weight, sign, scale) = (count - 1, 0i16, 0i16);
        let words = [count, weight, sign, scale].into_iter().chain(digits);
        let bytes: Vec<u8> = words.flat_map(i16::to_be_bytes).collect();
        self.field(&bytes)
    }

    /// `jsonb`, whose wire format is a version byte and the text.
    pub(crate) fn jsonb(&mut self, value: Option<&impl Serialize>) -> Result<&mut Self, serde_json::Error> {
        let Some(value) = value else { return Ok(self.null()) };
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, 1]);
        serde_json::to_writer(&mut self.bytes, value)?;
        let length = length(self.bytes.len() - length_at - 4);
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(self)
    }

    /// All of it.
    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }

    fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
        self
    }

    fn field(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&length(value.len()).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }
}

/// A log, and so a field, is bounded by a block's gas, far below 2 GiB.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
