//! The file format of the spool: records of `length (4 bytes) | CRC-32 (4 bytes) | hit as JSON`, numbers little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::proxy::hit::Hit;

const HEADER: usize = 8;
/// A longer record is none that we wrote.
const LONGEST_RECORD: usize = 4096;
const SUFFIX: &str = "hits";

/// Appends a hit as one record.
pub fn encode(hit: &Hit, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    // Strings and numbers only, into memory: nothing that could fail.
    let _ = serde_json::to_writer(&mut *buffer, hit);
    let payload = &buffer[start + HEADER..];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let checksum = crc32fast::hash(payload);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// How the reading of a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The last record was cut off: the process or the machine stopped while it was written, and its hit was not answered.
    Torn,
    /// Something before the end is not what was written.
    Damaged,
}

/// Reads as many hits as are whole.
pub fn decode(mut bytes: &[u8]) -> (Vec<Hit>, End) {
    let mut hits = Vec::new();
    while !bytes.is_empty() {
        let Some((header, rest)) = bytes.split_at_checked(HEADER) else {
            return (hits, End::Torn);
        };
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = number(0) as usize;
        // After a power failure a file may end with zeros where data was to come.
        if header.iter().chain(rest).all(|byte| *byte == 0) {
            return (hits, End::Torn);
        }
        if length > LONGEST_RECORD {
            return (hits, End::Damaged);
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            return (hits, End::Torn);
        };
        let hit = (crc32fast::hash(payload) == number(4))
            .then(|| serde_json::from_slice(payload).ok())
            .flatten();
        match hit {
            Some(hit) => hits.push(hit),
            None if rest.is_empty() => return (hits, End::Torn),
            None => return (hits, End::Damaged),
        }
        bytes = rest;
    }
    (hits, End::Complete)
}

/// The segment that is being written.
pub struct SegmentWriter {
    file: File,
    pub path: PathBuf,
    pub bytes: u64,
}

impl SegmentWriter {
    /// Makes the file of a number, durably.
    pub fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let path = directory.join(format!("{number:016}.{SUFFIX}"));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            // Tokens and addresses are nobody else's business.
            .mode(0o600)
            .open(&path)?;
        let made = File::open(directory).and_then(|directory| directory.sync_all());
        if let Err(error) = made {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Self {
            file,
            path,
            bytes: 0,
        })
    }

    /// Appends whole records and returns when they are durable. After an error the file ends where it did before.
    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let appended = self
            .file
            .write_all(records)
            .and_then(|()| self.file.sync_data());
        match appended {
            Ok(()) => self.bytes += records.len() as u64,
            Err(_) => self.file.set_len(self.bytes)?,
        }
        appended
    }
}

/// The segments in a directory and their numbers, oldest first.
pub fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|it| it == SUFFIX)) {
            segments.push((number, path));
        }
    }
    segments.sort();
    Ok(segments)
}
