//! Checks the sizes that page headers declare, because the decoder allocates that much before it reads a page. With a
//! false size the child would run out of memory, and the error would not name the file.
//!
//! Source: `PageHeader` of the Parquet format's `parquet.thrift`, in Thrift's compact protocol.

use parquet::file::metadata::ColumnChunkMetaData;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

/// Upper bound on a page header, in bytes. Statistics can make headers long.
const HEADER_CAP: u64 = 16 * 1024 * 1024;
/// Upper bound on the levels of nested structures. A page header has three levels.
const DEPTH_CAP: u32 = 8;

/// Returns an error if a page of this column chunk declares more unpacked bytes than the whole chunk has.
pub(super) fn check_pages(file: &File, column: &ColumnChunkMetaData) -> Result<(), String> {
    let start = column.dictionary_page_offset().filter(|at| *at > 0).unwrap_or(column.data_page_offset());
    let bound = |number: i64| u64::try_from(number).map_err(|_| "a place or size below 0".to_owned());
    let (start, length, most) = (bound(start)?, bound(column.compressed_size())?, bound(column.uncompressed_size())?);
    let end = start.saturating_add(length);
    let mut at = start;
    while at < end {
        let mut from = file;
        let header = from.seek(SeekFrom::Start(at)).and_then(|_| PageHeader::read(from));
        let header = header.map_err(|error| format!("a page's header at byte {at}: {error}"))?;
        let claimed = bound(header.unpacked.into())?;
        if claimed > most {
            return Err(format!("a page at byte {at} claims {claimed} bytes, the whole column chunk has {most}"));
        }
        at = at.saturating_add(header.length).saturating_add(bound(header.packed.into())?);
    }
    Ok(())
}

struct PageHeader {
    /// Length of the header itself, in bytes.
    length: u64,
    unpacked: i32,
    packed: i32,
}

impl PageHeader {
    fn read(file: impl Read) -> io::Result<Self> {
        const BUFFER: usize = 256;
        let mut thrift = Compact { bytes: BufReader::with_capacity(BUFFER, file.take(HEADER_CAP)), read: 0 };
        let (mut unpacked, mut packed) = (None, None);
        thrift.fields(DEPTH_CAP, |id, value| match id {
            2 => unpacked = value,
            3 => packed = value,
            _ => {}
        })?;
        let size = |value: Option<i64>| value.and_then(|size| i32::try_from(size).ok()).ok_or_else(|| bad("no size"));
        Ok(Self { length: thrift.read, unpacked: size(unpacked)?, packed: size(packed)? })
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads those parts of Thrift's compact protocol that page headers use.
struct Compact<R> {
    bytes: R,
    read: u64,
}

impl<R: Read> Compact<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.bytes.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("a number that does not end"))
    }

    fn integer(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.bytes).take(bytes), &mut io::sink())?;
        self.read += skipped;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Calls `on_field` for each field of a structure: with the field's id and, if the value is an integer, the value.
    fn fields(&mut self, depth: u32, mut on_field: impl FnMut(i64, Option<i64>)) -> io::Result<()> {
        let mut id = 0;
        loop {
            let byte = self.byte()?;
            let (step, kind) = (byte >> 4, byte & 0x0f);
            if kind == 0 {
                return Ok(());
            }
            id = if step == 0 { self.integer()? } else { id + i64::from(step) };
            // A boolean field has no value bytes: its type says true or false.
            let value = if matches!(kind, 1 | 2) { None } else { self.value(kind, depth)? };
            on_field(id, value);
        }
    }

    fn value(&mut self, kind: u8, depth: u32) -> io::Result<Option<i64>> {
        let deeper = depth.checked_sub(1).ok_or_else(|| bad("too deep"))?;
        match kind {
            1..=3 => self.byte().map(|_| None),
            4..=6 => self.integer().map(Some),
            7 => self.skip(8).map(|()| None),
            8 => {
                let length = self.varint()?;
                self.skip(length).map(|()| None)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let length = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                // The loop ends, because every element takes at least one byte and the header's bytes are bounded.
                for _ in 0..length {
                    self.value(byte & 0x0f, deeper)?;
                }
                Ok(None)
            }
            12 => self.fields(deeper, |_, _| {}).map(|()| None),
            _ => Err(bad("a type that no page header has")),
        }
    }
}
