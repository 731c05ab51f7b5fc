//! Arrow IPC: a stream of messages (the schema, dictionaries, batches of rows), or a file, which lists where they lie.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io::{self, Read};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};
use arrow_schema::Schema;
use rayon::prelude::*;

use super::super::files::Source;
use super::super::{Batch, Field, Reader, Request};
use super::{Parts, Places, Plan, Table, check_unpacked, damaged, guarded};
use crate::error::{Error, Result};

const FORMAT: &str = "an Arrow (Feather) file";
/// What an Arrow file begins and ends with.
const MAGIC: &[u8] = b"ARROW1";
/// What a file of the first Feather version begins with.
const OLD_MAGIC: &[u8] = b"FEA1";
/// The length of the footer and the magic.
const TAIL_BYTES: u64 = 10;
/// What precedes the length of a message, but in old files.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Bytes that a buffer unpacks to from which on it is asked whether there is room for them.
const LARGE_BUFFER: usize = 256 << 20;
/// The compressed bytes of a buffer follow the length they unpack to.
const LENGTH_BYTES: usize = 8;
/// Bytes of a body from which on several threads read it, and those that each reads at a time.
const LARGE_BODY: u64 = 64 << 20;
const READ_BYTES: usize = 4 << 20;

/// Dictionaries as they were when a batch was met.
type Dictionaries = Arc<HashMap<i64, ArrayRef>>;

/// An Arrow IPC file or stream.
pub(in crate::data) struct Arrow {
    table: Table,
    file: Places,
    /// Where the batches of a file lie; those of a stream follow one another.
    listed: Option<VecDeque<u64>>,
    /// Where the next message of a stream begins.
    at: u64,
    dictionaries: Dictionaries,
    ready: VecDeque<Rows>,
}

/// A message: its metadata, and where its body lies.
struct Framed {
    metadata: Vec<u8>,
    body: u64,
    length: u64,
}

/// Rows that were read and not yet handed out.
struct Rows {
    /// The columns of each group.
    groups: Vec<Vec<ArrayRef>>,
    rows: usize,
    taken: usize,
}

/// What is wrong with a file.
enum Wrong {
    Io(io::Error),
    Damage(String),
}

impl Wrong {
    fn of(said: impl Display) -> Self {
        Wrong::Damage(said.to_string())
    }

    fn error(self, source: &Source) -> Error {
        match self {
            Wrong::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => Error::io(&source.path, error),
            Wrong::Io(error) => damaged(source, FORMAT, error),
            Wrong::Damage(said) => damaged(source, FORMAT, said),
        }
    }
}

impl Arrow {
    /// Opens a file and reads what it says of its columns.
    pub(in crate::data) fn open(source: &Source) -> Result<Self> {
        let file = Places::open(source)?;
        let start = file.bytes(0, file.length.min(MAGIC.len() as u64)).map_err(|e| Error::io(&source.path, e))?;
        if start.starts_with(OLD_MAGIC) {
            let message = "this is a Feather file of version 1, which is not read; write it anew in version 2";
            return Err(Error::data(&source.path, message));
        }
        let opened = if start == MAGIC { open_file(&file) } else { open_stream(&file).map(|(s, at)| (s, at, None)) };
        let (schema, at, blocks) = opened.map_err(|wrong| wrong.error(source))?;
        let table = Table::new(source, FORMAT, &schema)?;
        let (dictionaries, batches) = blocks.unzip();
        let mut arrow =
            Arrow { table, file, listed: None, at, dictionaries: Dictionaries::default(), ready: VecDeque::new() };
        for at in dictionaries.unwrap_or_default() {
            arrow.dictionary_at(at).map_err(|wrong| wrong.error(source))?;
        }
        arrow.listed = batches;
        Ok(arrow)
    }

    fn dictionary_at(&mut self, at: u64) -> Result<(), Wrong> {
        let framed = framed(&self.file, at)?.ok_or_else(|| Wrong::of("a dictionary is missing"))?;
        self.dictionary(&framed)
    }

    /// Takes in a message that brings a dictionary.
    fn dictionary(&mut self, framed: &Framed) -> Result<(), Wrong> {
        let message = framed.message()?;
        let batch = message.header_as_dictionary_batch().ok_or_else(|| Wrong::of("a dictionary is missing"))?;
        let body = framed.body(&self.file)?;
        check(batch.data().ok_or_else(|| Wrong::of("a dictionary has no values"))?, &body)?;
        let dictionaries = Arc::make_mut(&mut self.dictionaries);
        let (schema, version) = (&self.table.schema, message.version());
        guarded(|| read_dictionary(&body, batch, schema, dictionaries, &version)).map_err(Wrong::Damage)
    }

    /// The next message that brings rows, how many, and the dictionaries at that point.
    fn next_rows(&mut self) -> Result<Option<(Framed, usize, Dictionaries)>, Wrong> {
        loop {
            let framed = match &mut self.listed {
                Some(listed) => match listed.pop_front() {
                    Some(at) => Some(framed(&self.file, at)?.ok_or_else(|| Wrong::of("rows are missing"))?),
                    None => None,
                },
                None => framed(&self.file, self.at)?,
            };
            let Some(framed) = framed else { return Ok(None) };
            self.at = framed.body + framed.length;
            let message = framed.message()?;
            match message.header_type() {
                MessageHeader::DictionaryBatch => self.dictionary(&framed)?,
                MessageHeader::RecordBatch => {
                    let rows = message.header_as_record_batch().and_then(|batch| i32::try_from(batch.length()).ok());
                    let rows = rows.and_then(|rows| usize::try_from(rows).ok());
                    let rows = rows.ok_or_else(|| Wrong::of("a batch has an impossible number of rows"))?;
                    return Ok(Some((framed, rows, Arc::clone(&self.dictionaries))));
                }
                _ => return Err(Wrong::of("there is a message other than rows")),
            }
        }
    }

    /// Reads rows until there are enough to hand out.
    fn read_ahead(&mut self, plan: &Plan) -> Result<(), Wrong> {
        let mut ahead: usize = self.ready.iter().map(|ready| ready.rows - ready.taken).sum();
        let mut found = Vec::new();
        let mut ended = Ok(());
        while ahead < plan.wave_rows {
            match self.next_rows() {
                Ok(Some(next)) => {
                    ahead += next.1;
                    found.push(next);
                }
                Ok(None) => break,
                Err(wrong) => {
                    ended = Err(wrong);
                    break;
                }
            }
        }
        let read: Vec<_> = found.into_par_iter().with_max_len(1).map(|found| self.decode(plan, found)).collect();
        for rows in read {
            self.ready.push_back(rows?);
        }
        ended
    }

    /// The columns of a message.
    fn decode(&self, plan: &Plan, (framed, rows, dictionaries): (Framed, usize, Dictionaries)) -> Result<Rows, Wrong> {
        let message = framed.message()?;
        let batch = message.header_as_record_batch().ok_or_else(|| Wrong::of("rows are missing"))?;
        let body = framed.body(&self.file)?;
        check(batch, &body)?;
        let groups = plan.groups.par_iter().map(|group| {
            let (schema, version) = (Arc::clone(&self.table.schema), message.version());
            let fields = Some(&plan.fields[group.clone()]);
            let decode = || {
                let decoder = RecordBatchDecoder::try_new(&body, batch, schema, &dictionaries, &version)?;
                decoder.with_projection(fields).read_record_batch()
            };
            let (_, arrays, _) = guarded(decode).map_err(Wrong::Damage)?.into_parts();
            Ok(arrays)
        });
        Ok(Rows { groups: groups.collect::<Result<_, Wrong>>()?, rows, taken: 0 })
    }
}

impl Reader for Arrow {
    fn fields(&self) -> &[Field] {
        &self.table.fields
    }

    fn start(&mut self, wanted: Vec<Request>) {
        self.table.start(&wanted);
    }

    fn next(&mut self) -> Result<Option<Vec<Batch>>> {
        // One rank reads all of it, and others none.
        let Some(plan) = self.table.plan()?.filter(|_| self.table.source.portion.is_none()) else { return Ok(None) };
        let failed = self.read_ahead(&plan).err().map(|wrong| wrong.error(&self.table.source));
        let (mut slices, mut budget) = (Vec::new(), plan.wave_rows);
        // All of what comes before a failure is handed out.
        while let Some(ready) = self.ready.front_mut().filter(|_| budget > 0 || failed.is_some()) {
            let rows = (ready.rows - ready.taken).min(plan.slice_rows);
            let part = |arrays: &Vec<ArrayRef>| arrays.iter().map(|array| array.slice(ready.taken, rows)).collect();
            if rows > 0 {
                slices.push((rows, ready.groups.iter().map(part).collect::<Vec<Vec<ArrayRef>>>()));
            }
            ready.taken += rows;
            budget = budget.saturating_sub(rows);
            if ready.taken == ready.rows {
                self.ready.pop_front();
            }
        }
        let convert = |(rows, groups): (usize, Vec<Vec<ArrayRef>>)| {
            let parts = plan.groups.par_iter().zip(groups).map(|(group, arrays)| plan.convert(group, arrays));
            (rows, parts.flatten_iter().collect::<Parts>())
        };
        let converted: Vec<(usize, Parts)> = slices.into_par_iter().with_max_len(1).map(convert).collect();
        let mut batches = Vec::new();
        for (rows, parts) in converted {
            if !self.table.push(&mut batches, rows, parts) {
                return Ok(Some(batches));
            }
        }
        self.table.count(if batches.is_empty() { self.file.length } else { self.at });
        self.table.hand_out(batches, failed)
    }
}

impl Framed {
    fn message(&self) -> Result<Message<'_>, Wrong> {
        root_as_message(&self.metadata).map_err(Wrong::of)
    }

    fn body(&self, file: &Places) -> Result<Buffer, Wrong> {
        if self.length < LARGE_BODY {
            return file.bytes(self.body, self.length).map(Buffer::from_vec).map_err(Wrong::Io);
        }
        // A file may be one batch, so all threads read it; that it lies in the file is known by now.
        let mut body = vec![0; usize::try_from(self.length).map_err(Wrong::of)?];
        let starts = (self.body..).step_by(READ_BYTES);
        let chunks: Vec<(u64, &mut [u8])> = starts.zip(body.chunks_mut(READ_BYTES)).collect();
        chunks.into_par_iter().try_for_each(|(at, chunk)| file.from(at).read_exact(chunk)).map_err(Wrong::Io)?;
        Ok(Buffer::from_vec(body))
    }
}

/// The message that begins at `at`; nothing at the end of a stream.
fn framed(file: &Places, at: u64) -> Result<Option<Framed>, Wrong> {
    let word = |at: u64| match at.checked_add(4).filter(|_| at < file.length) {
        Some(_) => file.bytes(at, 4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]),
        None => Ok([0; 4]),
    };
    let mut at = at;
    let mut length = word(at).map_err(Wrong::Io)?;
    at += 4;
    if length == CONTINUATION {
        length = word(at).map_err(Wrong::Io)?;
        at += 4;
    }
    let length = u64::try_from(i32::from_le_bytes(length)).map_err(|_| Wrong::of("a message has a negative length"))?;
    if length == 0 {
        return Ok(None);
    }
    let mut framed = Framed { metadata: file.bytes(at, length).map_err(Wrong::Io)?, body: at + length, length: 0 };
    framed.length = u64::try_from(framed.message()?.bodyLength()).map_err(Wrong::of)?;
    match framed.body.checked_add(framed.length).filter(|end| *end <= file.length) {
        Some(_) => Ok(Some(framed)),
        None => Err(Wrong::of("a message goes on behind the end")),
    }
}

/// The schema of a stream, and where the message after it begins.
fn open_stream(file: &Places) -> Result<(Schema, u64), Wrong> {
    let framed = framed(file, 0)?.ok_or_else(|| Wrong::of("it is empty"))?;
    let message = framed.message()?;
    let schema = message.header_as_schema().ok_or_else(|| Wrong::of("it does not begin with a schema"))?;
    Ok((readable(schema)?, framed.body + framed.length))
}

/// Where the dictionaries and the batches of a file lie.
type Blocks = (VecDeque<u64>, VecDeque<u64>);

/// The schema of a file, where its messages begin, and where those that count lie.
fn open_file(file: &Places) -> Result<(Schema, u64, Option<Blocks>), Wrong> {
    let tail_at = file.length.checked_sub(TAIL_BYTES).ok_or_else(|| Wrong::of("it is too short"))?;
    let tail = file.bytes(tail_at, TAIL_BYTES).map_err(Wrong::Io)?;
    let (length, magic) = tail.split_first_chunk().ok_or_else(|| Wrong::of("it is too short"))?;
    let length = u64::from(u32::from_le_bytes(*length));
    let at = tail_at.checked_sub(length).filter(|_| magic == MAGIC).ok_or_else(|| Wrong::of("its end is missing"))?;
    let footer = file.bytes(at, length).map_err(Wrong::Io)?;
    let footer = root_as_footer(&footer).map_err(Wrong::of)?;
    let schema = readable(footer.schema().ok_or_else(|| Wrong::of("it has no schema"))?)?;
    let places = |blocks: Vec<i64>| blocks.into_iter().map(u64::try_from).collect::<Result<VecDeque<u64>, _>>();
    let dictionaries = footer.dictionaries().map_or(Vec::new(), |all| all.iter().map(|block| block.offset()).collect());
    let batches = footer.recordBatches().map_or(Vec::new(), |all| all.iter().map(|block| block.offset()).collect());
    let blocks = (places(dictionaries).map_err(Wrong::of)?, places(batches).map_err(Wrong::of)?);
    Ok((schema, 0, Some(blocks)))
}

fn readable(schema: arrow_ipc::Schema<'_>) -> Result<Schema, Wrong> {
    if !schema.endianness().equals_to_target_endianness() {
        return Err(Wrong::of("it was written for processors of the other byte order"));
    }
    guarded(|| try_fb_to_schema(schema)).map_err(Wrong::Damage)
}

/// Refuses buffers that reach behind the body, or that say they unpack to more than there is room for: the decoder
/// takes their word for it.
fn check(batch: RecordBatch<'_>, body: &[u8]) -> Result<(), Wrong> {
    for buffer in batch.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let end = range.and_then(|(from, length)| Some((from, from.checked_add(length)?)));
        let bytes = end.and_then(|(from, end)| body.get(from..end));
        let bytes = bytes.ok_or_else(|| Wrong::of("a buffer reaches behind its message"))?;
        if let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>().filter(|_| batch.compression().is_some()) {
            let length = usize::try_from(i64::from_le_bytes(*length)).unwrap_or(0);
            check_unpacked(bytes.len() as u64, length as u64).map_err(Wrong::Damage)?;
            if length > LARGE_BUFFER {
                Vec::<u8>::new().try_reserve_exact(length).map_err(Wrong::of)?;
            }
        }
    }
    let lengths = batch.nodes().into_iter().flatten().all(|node| node.length() >= 0 && node.null_count() >= 0);
    if lengths { Ok(()) } else { Err(Wrong::of("a column has a negative length")) }
}
