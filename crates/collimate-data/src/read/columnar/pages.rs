//! Pages of a column, checked before the library decodes them.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::chunks::Chunks;
use super::texts::TextPages;

/// Passes on pages, and refuses pages on which the library panics.
pub(super) struct Pages {
    inner: SerializedPageReader<Chunks>,
    /// Check for a column of texts.
    texts: Option<TextPages>,
    has_dictionary: bool,
    /// The next page, if the library asked about it.
    ahead: Option<Page>,
}

impl Pages {
    pub(super) fn new(inner: SerializedPageReader<Chunks>, column: &ColumnDescriptor) -> Self {
        Self {
            texts: TextPages::of(column),
            inner,
            has_dictionary: false,
            ahead: None,
        }
    }

    fn check(&mut self, page: &Page) -> std::result::Result<(), &'static str> {
        self.check_levels(page)?;
        match self.texts.is_some_and(|texts| !texts.are_whole(page)) {
            true => Err("a page that ends early"),
            false => Ok(()),
        }
    }

    fn check_levels(&mut self, page: &Page) -> std::result::Result<(), &'static str> {
        let encoding = match page {
            Page::DictionaryPage { .. } => {
                self.has_dictionary = true;
                return Ok(());
            }
            #[expect(deprecated)]
            Page::DataPage {
                def_level_encoding: Encoding::BIT_PACKED,
                ..
            }
            | Page::DataPage {
                rep_level_encoding: Encoding::BIT_PACKED,
                ..
            } => return Err("levels in an encoding that is out of use"),
            Page::DataPage { encoding, .. } => encoding,
            Page::DataPageV2 {
                buf,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                if levels > buf.len() as u64 {
                    return Err("a page that is shorter than its levels");
                }
                encoding
            }
        };
        let packed = matches!(
            encoding,
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY
        );
        match packed && !self.has_dictionary {
            true => Err("a page that needs a dictionary, but the column has none"),
            false => Ok(()),
        }
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if let Some(page) = self.ahead.take() {
            return Ok(Some(page));
        }
        let page = self.inner.get_next_page()?;
        match page.as_ref().map(|page| self.check(page)) {
            Some(Err(what)) => Err(ParquetError::General(what.to_owned())),
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        // The inner reader panics on some headers when it is asked for their metadata.
        self.ahead = self.get_next_page()?;
        Ok(self.ahead.as_ref().map(|page| PageMetadata {
            num_rows: match page {
                Page::DataPageV2 { num_rows, .. } => usize::try_from(*num_rows).ok(),
                _ => None,
            },
            num_levels: match page {
                Page::DictionaryPage { .. } => None,
                page => usize::try_from(page.num_values()).ok(),
            },
            is_dict: page.is_dictionary_page(),
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(|_| ())
    }
}
