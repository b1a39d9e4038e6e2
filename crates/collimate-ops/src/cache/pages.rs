//! Page table of the cache: the pages of each row's tokens. Host only.

/// Number of tokens in a page. It is the widest vector, so one vector holds an element of every key
/// of a page.
pub(crate) const PAGE: usize = 16;

#[derive(Debug, Clone, Default)]
struct Row {
    pages: Vec<usize>,
    /// Number of pages at the beginning that were given back; their page numbers are no longer
    /// valid.
    gone: usize,
    len: usize,
}

impl Row {
    fn held(&self) -> &[usize] {
        &self.pages[self.gone..]
    }
}

/// Pages of all rows. Rows forked from one row share its pages until they write to them.
#[derive(Debug, Default)]
pub(crate) struct PageTable {
    rows: Vec<Row>,
    /// Number of rows that hold each page.
    holders: Vec<usize>,
    free: Vec<usize>,
}

impl PageTable {
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of tokens of a row.
    pub(crate) fn len(&self, row: usize) -> usize {
        self.rows[row].len
    }

    /// Returns the pages of a row, in reading order. Pages before the first token kept by
    /// [`Self::forget`] no longer belong to the row.
    pub(crate) fn pages(&self, row: usize) -> &[usize] {
        &self.rows[row].pages
    }

    /// Returns the number of pages that exist, including free pages.
    pub(crate) fn allocated(&self) -> usize {
        self.holders.len()
    }

    /// Returns the slot of a row's token.
    pub(crate) fn slot(&self, row: usize, token: usize) -> usize {
        self.rows[row].pages[token / PAGE] * PAGE + token % PAGE
    }

    /// Adds a row without tokens. Returns its index.
    pub(crate) fn push(&mut self) -> usize {
        self.rows.push(Row::default());
        self.rows.len() - 1
    }

    /// Replaces the rows by the given rows, in this order. A row that is named several times is
    /// forked; a row that is not named is dropped.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        let kept: Vec<Row> = rows.iter().map(|&row| self.rows[row].clone()).collect();
        for &page in kept.iter().flat_map(Row::held) {
            self.holders[page] += 1;
        }
        for row in std::mem::replace(&mut self.rows, kept) {
            for &page in row.held() {
                self.release(page);
            }
        }
    }

    /// Gives back the pages of a row that lie entirely before token `before`.
    pub(crate) fn forget(&mut self, row: usize, before: usize) {
        let Row { pages, gone, .. } = &mut self.rows[row];
        let first = (before / PAGE).min(pages.len()).max(*gone);
        let given_back = pages[*gone..first].to_vec();
        *gone = first;
        for page in given_back {
            self.release(page);
        }
    }

    /// Makes room for `count` more tokens of a row and returns their slots. A shared page that the
    /// row would write to is replaced by a copy; `copies` receives the pair (shared page, own
    /// page).
    pub(crate) fn append(
        &mut self,
        row: usize,
        count: usize,
        copies: &mut Vec<(usize, usize)>,
    ) -> impl Iterator<Item = usize> {
        let len = self.rows[row].len;
        if count > 0 && !len.is_multiple_of(PAGE) {
            let last = len / PAGE;
            let page = self.rows[row].pages[last];
            if self.holders[page] > 1 {
                let own = self.take();
                self.rows[row].pages[last] = own;
                self.release(page);
                copies.push((page, own));
            }
        }
        while self.rows[row].pages.len() * PAGE < len + count {
            let page = self.take();
            self.rows[row].pages.push(page);
        }
        self.rows[row].len += count;
        (len..len + count).map(move |token| self.slot(row, token))
    }

    fn take(&mut self) -> usize {
        match self.free.pop() {
            Some(page) => {
                self.holders[page] = 1;
                page
            }
            None => {
                self.holders.push(1);
                self.holders.len() - 1
            }
        }
    }

    fn release(&mut self, page: usize) {
        self.holders[page] -= 1;
        if self.holders[page] == 0 {
            self.free.push(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(table: &mut PageTable, row: usize, count: usize) -> Vec<(usize, usize)> {
        let mut copies = Vec::new();
        let slots: Vec<usize> = table.append(row, count, &mut copies).collect();
        assert_eq!(slots.len(), count);
        copies
    }

    #[test]
    fn a_fork_copies_only_the_page_that_it_writes_to() {
        let mut table = PageTable::default();
        table.push();
        assert_eq!(append(&mut table, 0, 2 * PAGE + 3), []);
        assert_eq!(table.allocated(), 3);
        table.keep(&[0, 0, 0]);
        assert_eq!(table.allocated(), 3, "a fork alone copies nothing");
        assert_eq!(append(&mut table, 0, 1), [(2, 3)]);
        assert_eq!(append(&mut table, 1, 1), [(2, 4)]);
        assert_eq!(
            append(&mut table, 2, 1),
            [],
            "the last holder writes in place"
        );
        assert_eq!(table.pages(0), [0, 1, 3]);
        assert_eq!(table.pages(1), [0, 1, 4]);
        assert_eq!(table.pages(2), [0, 1, 2]);
        assert_eq!(table.slot(1, 2 * PAGE + 3), 4 * PAGE + 3);
    }

    #[test]
    fn forgotten_pages_are_used_again_once_nobody_holds_them() {
        let mut table = PageTable::default();
        table.push();
        append(&mut table, 0, 3 * PAGE);
        table.keep(&[0, 0]);
        table.forget(0, 2 * PAGE - 1);
        assert!(table.free.is_empty(), "the fork holds the first page");
        table.forget(1, PAGE);
        assert_eq!(table.free, [0]);
        table.forget(1, 0);
        table.forget(0, 2 * PAGE);
        assert_eq!((table.free.as_slice(), table.len(0)), (&[0][..], 3 * PAGE));
        append(&mut table, 0, 1);
        assert_eq!(table.pages(0)[1..], [1, 2, 0]);
        table.keep(&[0]);
        assert_eq!(table.free, [1], "what row 0 forgot was row 1's alone");
        table.keep(&[]);
        let mut free = table.free.clone();
        free.sort_unstable();
        assert_eq!(free, [0, 1, 2], "each page once");
    }

    #[test]
    fn a_full_page_is_shared_for_good() {
        let mut table = PageTable::default();
        table.push();
        append(&mut table, 0, PAGE);
        table.keep(&[0, 0]);
        assert_eq!(append(&mut table, 1, 1), []);
        assert_eq!(table.pages(1), [0, 1]);
        assert_eq!(table.pages(0), [0]);
    }

    #[test]
    fn dropped_pages_are_used_again() {
        let mut table = PageTable::default();
        for row in 0..3 {
            table.push();
            append(&mut table, row, PAGE + 1);
        }
        table.keep(&[2, 0]);
        assert_eq!((table.rows(), table.len(0)), (2, PAGE + 1));
        assert_eq!(table.pages(0), [4, 5]);
        assert_eq!(table.pages(1), [0, 1]);
        let row = table.push();
        append(&mut table, row, 2 * PAGE);
        assert_eq!(table.allocated(), 6);
        let mut used: Vec<usize> = (0..3).flat_map(|row| table.pages(row).to_vec()).collect();
        used.sort_unstable();
        assert_eq!(used, [0, 1, 2, 3, 4, 5], "no page has two owners");
    }
}
