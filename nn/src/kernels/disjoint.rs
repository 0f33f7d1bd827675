//! A shared pointer to a buffer of which parallel tasks write disjoint parts.

/// A pointer to the first element of a buffer that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub struct DisjointSlice<T>(*mut T);

// SAFETY: all writes go through unsafe functions, whose callers guarantee that the parts are disjoint.
unsafe impl<T: Send> Send for DisjointSlice<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for DisjointSlice<T> {}

/// A vector of `n` values that `fill` writes. It saves zeroing the memory first.
///
/// # Safety
/// `fill` must write every one of the `n` values.
pub unsafe fn vec_filled_by<T: Copy>(n: usize, fill: impl FnOnce(DisjointSlice<T>)) -> Vec<T> {
    let mut values: Vec<T> = Vec::with_capacity(n);
    fill(DisjointSlice::spare_capacity(&mut values));
    // SAFETY: the caller guarantees that all values are written.
    unsafe { values.set_len(n) };
    values
}

impl<T> DisjointSlice<T> {
    /// The elements of `values`.
    pub fn new(values: &mut [T]) -> Self {
        DisjointSlice(values.as_mut_ptr())
    }

    /// The elements from a pointer on.
    ///
    /// # Safety
    /// The pointer must be that of the first of the elements that are written.
    pub unsafe fn at_pointer(first: *mut T) -> Self {
        DisjointSlice(first)
    }

    /// The unused capacity after the elements of `values`.
    pub fn spare_capacity(values: &mut Vec<T>) -> Self {
        DisjointSlice(values.spare_capacity_mut().as_mut_ptr().cast())
    }

    /// The buffer from element `begin` on.
    ///
    /// # Safety
    /// Element `begin` must lie inside the buffer, or right after it.
    pub unsafe fn from(&self, begin: usize) -> Self {
        // SAFETY: the caller's.
        DisjointSlice(unsafe { self.0.add(begin) })
    }

    /// A pointer to element `begin`.
    ///
    /// # Safety
    /// The element must lie inside the buffer, which must still live, and no other task may touch what is written there.
    pub unsafe fn at(&self, begin: usize) -> *mut T {
        // SAFETY: the caller's.
        unsafe { self.0.add(begin) }
    }

    /// `length` elements from `begin` on.
    ///
    /// # Safety
    /// As [`DisjointSlice::at`], for all of them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, begin: usize, length: usize) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(begin), length) }
    }
}
