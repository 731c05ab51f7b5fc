//! Memory for one number a row or more.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::error::{Error, Result};

/// Bytes from which on memory is asked to lie on large pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 32 << 20;

/// Numbers in one piece of memory, zeros at first. Much of it is asked to lie on large pages where the system has them, which
/// halves the time it takes to fill it for the first time; a little is had from pages that were in use a moment ago, which a virtual
/// machine need not ask its host for. Where there is not enough of it that is an error.
#[derive(Debug)]
pub(crate) struct Storage<T> {
    /// None for no numbers.
    map: Option<MmapMut>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Pod> Storage<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is not enough memory.
    pub(crate) fn zeros(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Storage::none());
        }
        let bytes = len.saturating_mul(size_of::<T>());
        let map = MmapMut::map_anon(bytes).map_err(|error| {
            Error::Usage(format!(
                "{bytes} bytes of memory for the rows cannot be had ({error}); give --memory SIZE, beyond which rows are kept in a file, or fit fewer of them"
            ))
        })?;
        // Where the system has none, small pages do.
        #[cfg(target_os = "linux")]
        if bytes >= LARGE {
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Storage { map: Some(map), len, of: PhantomData })
    }
}

impl<T> Storage<T> {
    /// No numbers.
    pub(crate) const fn none() -> Self {
        Storage { map: None, len: 0, of: PhantomData }
    }
}

impl<T: Pod> Deref for Storage<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.map.as_ref().map_or(&[], |map| bytemuck::cast_slice(&map[..self.len * size_of::<T>()]))
    }
}

impl<T: Pod> DerefMut for Storage<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = self.len * size_of::<T>();
        self.map.as_mut().map_or(&mut [], |map| bytemuck::cast_slice_mut(&mut map[..bytes]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_and_more_than_there_is_is_refused() {
        for len in [0, 1, 5000] {
            let mut storage = Storage::<f32>::zeros(len).unwrap();
            assert!(storage.len() == len && storage.iter().all(|x| *x == 0.0));
            storage.fill(1.5);
            assert_eq!(storage.iter().map(|x| f64::from(*x)).sum::<f64>(), 1.5 * len as f64);
        }
        assert!(matches!(Storage::<f64>::zeros(usize::MAX / 16), Err(Error::Usage(_))));
    }
}
