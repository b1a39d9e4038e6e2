//! Sources that are read more than once.

use std::convert::Infallible;

/// A source that gives the same items in the same order in every pass: a slice, a file of scores.
///
/// An algorithm that takes passes holds a constant number of items in memory, however many there
/// are. A pass hands the items over in pieces of any size. The size has no effect on a result, but
/// a call for every single item is slower than a call for some thousand items. If the passes differ
/// from each other, the result has no meaning.
///
/// # Examples
/// The scores of a file with one number a line:
/// ```
/// use std::fs::File;
/// use std::io::{BufRead, BufReader, Error, ErrorKind};
/// use std::path::PathBuf;
/// use collimate_core::{Passes, TopCut};
///
/// struct Lines(PathBuf);
///
/// impl Passes for Lines {
///     type Item = f64;
///     type Error = Error;
///     fn pass(&mut self, take: &mut dyn FnMut(&[f64])) -> Result<(), Error> {
///         for line in BufReader::new(File::open(&self.0)?).lines() {
///             take(&[line?.parse().map_err(|error| Error::new(ErrorKind::InvalidData, error))?]);
///         }
///         Ok(())
///     }
/// }
///
/// let path = std::env::temp_dir().join(format!("scores-{}.txt", std::process::id()));
/// std::fs::write(&path, "0.5\n2.0\n1.0\n")?;
/// let mut file = Lines(path);
/// let mut cut = TopCut::find(2, &mut file)?;
/// let mut kept: Vec<f64> = Vec::new();
/// file.pass(&mut |scores| kept.extend(scores.iter().filter(|&&score| cut.keeps(score))))?;
/// assert_eq!(kept, [2.0, 1.0]);
/// # std::fs::remove_file(&file.0)?;
/// # Ok::<(), Error>(())
/// ```
pub trait Passes {
    /// One item: a score, the scores of a pair.
    type Item;
    /// Reason why the source cannot be read.
    type Error;

    /// Hands every item to `take`, from the first to the last, in pieces of any size.
    ///
    /// # Errors
    /// Returns the error of the source. An algorithm stops at the error and returns it.
    fn pass(&mut self, take: &mut dyn FnMut(&[Self::Item])) -> Result<(), Self::Error>;
}

/// A slice is one piece.
impl<T> Passes for &[T] {
    type Item = T;
    type Error = Infallible;

    fn pass(&mut self, take: &mut dyn FnMut(&[T])) -> Result<(), Infallible> {
        take(self);
        Ok(())
    }
}

impl<P: Passes + ?Sized> Passes for &mut P {
    type Item = P::Item;
    type Error = P::Error;

    fn pass(&mut self, take: &mut dyn FnMut(&[P::Item])) -> Result<(), P::Error> {
        (**self).pass(take)
    }
}
