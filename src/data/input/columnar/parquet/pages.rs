//! Pages of a Parquet file, held to be possible before the parquet crate makes room for what they say they hold: their headers before
//! they are unpacked, and the numbers of values in dictionaries and in the delta encodings of strings before they are decoded.
//!
//! Forms: `Encodings.md` of parquet-format.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::iter;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::RowGroups;
use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;

use super::super::thrift::{Fault, Walk, check_page_header, page_sizes};
use super::super::{Onward, Places, check_unpacked};

/// Bytes of a page's header at the most; it may hold the least and the largest value.
const HEADER_BYTES: usize = 1 << 20;
/// Strings in a delta encoding that a page may hold however few its bytes are, for those may all be the same; beyond that, one for each byte.
const STRINGS: u64 = 1 << 24;

/// A row group of which the pages are checked.
pub(super) struct CheckedRowGroup {
    file: Arc<Headers>,
    metadata: Arc<ParquetMetaData>,
    index: usize,
}

impl CheckedRowGroup {
    pub(super) fn new(file: &Places, metadata: &Arc<ParquetMetaData>, index: usize) -> Self {
        CheckedRowGroup { file: Arc::new(Headers(file.clone())), metadata: Arc::clone(metadata), index }
    }

    fn row_group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.index)
    }
}

impl RowGroups for CheckedRowGroup {
    fn num_rows(&self) -> usize {
        usize::try_from(self.row_group().num_rows()).unwrap_or(usize::MAX)
    }

    fn column_chunks(&self, column: usize) -> ParquetResult<Box<dyn PageIterator>> {
        let chunk = self.row_group().column(column);
        let pages = SerializedPageReader::new(Arc::clone(&self.file), chunk, self.num_rows(), None)?;
        let of = chunk.column_descr();
        let pages = CheckedPages { pages, largest_levels: [of.max_rep_level(), of.max_def_level()] };
        Ok(Box::new(OneChunk(Some(Box::new(pages)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(iter::once(self.row_group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// A column of one row group.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// Pages of a column that are checked before they are decoded.
struct CheckedPages {
    pages: SerializedPageReader<Headers>,
    /// The largest level of repetition and of definition.
    largest_levels: [i16; 2],
}

impl Iterator for CheckedPages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match page.as_ref().map_or(Ok(()), |page| check_values(page, self.largest_levels)) {
            Ok(()) => Ok(page),
            Err(Fault::Short) => Err(ParquetError::EOF("a page ends before its values do".into())),
            Err(Fault::Impossible(what)) => Err(ParquetError::General(format!("a page has {what}"))),
        }
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.pages.skip_next_page()
    }
}

/// Holds the values for which decoders make room to be no more than there can be: those of a dictionary, of which each has a byte at the
/// least, and strings in a delta encoding.
fn check_values(page: &Page, largest_levels: [i16; 2]) -> Result<(), Fault> {
    let (encoding, bytes) = (page.encoding(), page.buffer());
    let values = u64::from(page.num_values());
    if matches!(page, Page::DictionaryPage { .. }) && values > bytes.len() as u64 {
        return Err(Fault::Impossible("a dictionary of more values than bytes"));
    }
    if !matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
        return Ok(());
    }
    let most = values.min(STRINGS.max(bytes.len() as u64));
    let mut walk = Walk(bytes);
    match page {
        Page::DataPage { def_level_encoding, rep_level_encoding, .. } => {
            for (largest, encoding) in largest_levels.into_iter().zip([rep_level_encoding, def_level_encoding]) {
                let bits = u64::from(i16::BITS - largest.leading_zeros());
                match encoding {
                    _ if largest == 0 => {}
                    Encoding::RLE => {
                        let length = walk.u32()?;
                        walk.skip(length.into())?;
                    }
                    // In the one other encoding, each level has as many bits.
                    _ => walk.skip((values * bits).div_ceil(8))?,
                }
            }
        }
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            walk.skip((*rep_levels_byte_len).into())?;
            walk.skip((*def_levels_byte_len).into())?;
        }
        Page::DictionaryPage { .. } => {}
    }
    let lists = if encoding == Encoding::DELTA_BYTE_ARRAY { 2 } else { 1 };
    (0..lists).try_for_each(|_| pass_packed_deltas(&mut walk, most))
}

/// Passes over numbers in the encoding DELTA_BINARY_PACKED that may be so many: their header, then blocks of miniblocks.
fn pass_packed_deltas(walk: &mut Walk, most: u64) -> Result<(), Fault> {
    let [block, miniblocks, count, _first] = [walk.varint()?, walk.varint()?, walk.varint()?, walk.varint()?];
    if count > most {
        return Err(Fault::Impossible("more strings than it can hold"));
    }
    let in_miniblock = block.checked_div(miniblocks).filter(|values| *values > 0);
    let in_miniblock = in_miniblock.ok_or(Fault::Impossible("strings in blocks of none"))?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = walk.varint()?;
        let mut packed = 0u64;
        for _ in 0..miniblocks {
            let bits = walk.byte()?;
            // The widths of miniblocks without a number mean nothing.
            if left > 0 {
                packed = packed.saturating_add(u64::from(bits).saturating_mul(in_miniblock) / 8);
            }
            left = left.saturating_sub(in_miniblock);
        }
        walk.skip(packed)?;
    }
    Ok(())
}

/// A file of which the headers of pages are checked.
struct Headers(Places);

impl Length for Headers {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for Headers {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> ParquetResult<HeaderReader> {
        Ok(HeaderReader { inner: self.0.get_read(start)?, head: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Reads a page from its header on, if that can be true.
struct HeaderReader {
    inner: BufReader<Onward>,
    /// Its first bytes, once they are read.
    head: Option<Cursor<Vec<u8>>>,
}

impl HeaderReader {
    /// The first bytes, with a header that can be true.
    fn checked(inner: &mut BufReader<Onward>) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        loop {
            let more = inner.fill_buf()?;
            let length = more.len();
            head.extend_from_slice(more);
            inner.consume(length);
            match check_page_header(&head) {
                Ok(()) => break,
                Err(Fault::Impossible(what)) => {
                    return Err(io::Error::other(format!("the header of a page has {what}")));
                }
                // The file ends before the header does: the crate says so.
                Err(Fault::Short) if length == 0 => break,
                Err(Fault::Short) if head.len() > HEADER_BYTES => {
                    return Err(io::Error::other("the header of a page has no end"));
                }
                Err(Fault::Short) => {}
            }
        }
        check_page(&head).map_err(io::Error::other)?;
        Ok(head)
    }
}

impl Read for HeaderReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let head = match &mut self.head {
            Some(head) => head,
            none => none.insert(Cursor::new(HeaderReader::checked(&mut self.inner)?)),
        };
        match head.read(out)? {
            0 => self.inner.read(out),
            read => Ok(read),
        }
    }
}

/// Refuses a page that says it unpacks to more than it can.
fn check_page(header: &[u8]) -> Result<(), String> {
    let Some([unpacked, packed]) = page_sizes(header) else {
        return Err("a page has an impossible header".into());
    };
    check_unpacked(packed, unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_promises_the_impossible_is_refused() {
        // Kind 0; 8 bytes that unpack to 10.
        assert_eq!(check_page(&[0x15, 0, 0x15, 20, 0x15, 16, 0x2c]), Ok(()));
        // The same to 2³¹ − 1, and 2 MiB to that.
        let most = [0x15, 0, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15];
        let few = check_page(&[&most[..], &[16]].concat()).unwrap_err();
        assert!(few.contains("8 bytes say that they unpack to 2147483647"), "{few}");
        assert_eq!(check_page(&[&most[..], &[0x80, 0x80, 0x80, 0x02]].concat()), Ok(()));
        // Fields in another order or form, a number without end, none at all.
        let headers: [&[u8]; 5] =
            [&[], &[0x25, 20, 0x15, 16], &[0x15, 0, 0x25, 20], &[0x15, 0, 0x15, 20, 0x25, 16], &[0x15, 0, 0x15]];
        assert!(headers.iter().all(|header| check_page(header).is_err()));
        assert!(check_page(&[&[0x15, 0, 0x15][..], &[0xff; 20]].concat()).is_err());
    }

    /// Lengths in the encoding DELTA_BINARY_PACKED: the first, then all alike, in blocks of 128 of 4 miniblocks.
    fn packed(count: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, 0x01, 4, count, 2];
        (0..count.saturating_sub(1).div_ceil(128)).for_each(|_| bytes.extend([0, 0, 0, 0, 0]));
        bytes
    }

    fn page(bytes: Vec<u8>, num_values: u32, encoding: Encoding) -> Page {
        let [def_level_encoding, rep_level_encoding] = [Encoding::RLE; 2];
        Page::DataPage {
            buf: bytes.into(),
            num_values,
            encoding,
            def_level_encoding,
            rep_level_encoding,
            statistics: None,
        }
    }

    #[test]
    fn a_dictionary_of_more_values_than_bytes_is_refused() {
        let dictionary = |num_values| {
            let page = Page::DictionaryPage {
                buf: vec![0; 16].into(),
                num_values,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            check_values(&page, [0, 1])
        };
        assert_eq!(dictionary(4), Ok(()));
        assert_eq!(dictionary(u32::MAX), Err(Fault::Impossible("a dictionary of more values than bytes")));
    }

    #[test]
    fn strings_beyond_the_values_of_their_page_are_refused() {
        let lengths = |bytes, values| check_values(&page(bytes, values, Encoding::DELTA_LENGTH_BYTE_ARRAY), [0, 0]);
        assert_eq!(lengths(packed(100), 100), Ok(()));
        let beyond = Err(Fault::Impossible("more strings than it can hold"));
        assert_eq!(lengths(packed(100), 99), beyond);
        // 2³⁹ of them, in a page of as many values as there may be.
        assert_eq!(lengths(vec![0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0], u32::MAX), beyond);
        // 2²⁵, for which there would have to be as many bytes.
        assert_eq!(lengths(vec![0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x10, 0], u32::MAX), beyond);
        assert_eq!(lengths(vec![0x80, 0x01, 0, 2, 0], 2), Err(Fault::Impossible("strings in blocks of none")));
        assert_eq!(lengths(vec![0x80, 0x01, 4, 2, 0], 2), Err(Fault::Short));
        // The second list, after one whose first miniblock has numbers of 3 bits: 32 of them are 12 bytes.
        let both = |second| {
            let first = [&[0x80, 0x01, 4, 20, 0, 0, 3, 9, 9, 9][..], &[0xff; 12]].concat();
            check_values(&page([first, second].concat(), 20, Encoding::DELTA_BYTE_ARRAY), [0, 0])
        };
        assert_eq!(both(packed(20)), Ok(()));
        assert_eq!(both(packed(21)), beyond);
        // After levels of definition, in the two encodings that they have.
        let levels = |levels: &[u8], encoding| {
            let mut page = page([levels, &packed(21)].concat(), 20, Encoding::DELTA_LENGTH_BYTE_ARRAY);
            if let Page::DataPage { def_level_encoding, .. } = &mut page {
                *def_level_encoding = encoding;
            }
            check_values(&page, [0, 1])
        };
        assert_eq!(levels(&[2, 0, 0, 0, 40, 1], Encoding::RLE), beyond);
        assert_eq!(levels(&[255, 255, 15], Encoding::PLAIN), beyond);
        assert_eq!(levels(&[2, 0], Encoding::RLE), Err(Fault::Short));
    }
}
