//! A buffer that several tasks write disjoint parts of.

/// See the module.
#[derive(Clone, Copy)]
pub struct Target<T>(*mut T);

// SAFETY: writing goes through unsafe functions whose callers vouch that parts are disjoint.
unsafe impl<T: Send> Send for Target<T> {}
unsafe impl<T: Send> Sync for Target<T> {}

/// A vector of `n` values that `fill` writes, without the zeros that it would overwrite.
///
/// # Safety
/// `fill` must write every one of the `n` values.
pub unsafe fn filled<T: Copy>(n: usize, fill: impl FnOnce(Target<T>)) -> Vec<T> {
    let mut values: Vec<T> = Vec::with_capacity(n);
    fill(Target::spare(&mut values));
    // SAFETY: the caller vouches that all values are written.
    unsafe { values.set_len(n) };
    values
}

impl<T> Target<T> {
    /// The buffer of `values`.
    pub fn new(values: &mut [T]) -> Self {
        Target(values.as_mut_ptr())
    }

    /// The room behind the elements of `values`.
    pub fn spare(values: &mut Vec<T>) -> Self {
        Target(values.spare_capacity_mut().as_mut_ptr().cast())
    }

    /// The buffer from element `begin` on.
    ///
    /// # Safety
    /// The element must lie inside the buffer, or right behind it.
    pub unsafe fn from(&self, begin: usize) -> Self {
        // SAFETY: the caller's.
        Target(unsafe { self.0.add(begin) })
    }

    /// The place of element `begin`.
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
    /// As [`Target::at`], for all of them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, begin: usize, length: usize) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(begin), length) }
    }
}
